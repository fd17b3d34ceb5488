//! Owners where the disk cannot hold them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::disk;
use super::entry::EntryPath;
use super::owners::{Device, Owned, OwnerList, Owners};
use super::snapshot::{Record, Snapshot};
use super::stack::{Shown, Stack};
use crate::fs::Context;

/// What the step asked for and was told that it got. What it did not ask for is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerAnswer {
    /// The owner that was set last.
    pub uid: Option<u32>,
    /// The group that was set last.
    pub gid: Option<u32>,
    /// The device that was made, for which an empty file stands.
    pub device: Option<Device>,
}

/// Owners by record. The first rule that says something counts:
///
/// 1. What the step asked for: the ledger.
/// 2. What was there before keeps its owner, also under another name.
///    - Over an overlay's upper directory: what overlay copied up. It has `user.overlay.origin`, which names the file
///      below; links and devices cannot have the attribute, and count as copied up when the same, with the same time, is
///      below.
///    - In a tree: the inodes of the snapshot.
/// 3. What is new belongs to the step's user; its group is that of the directory if that has the setgid bit.
pub struct RecordedOwners<'a> {
    below: Below<'a>,
    step: (u32, u32),
    ledger: &'a dyn Fn(&Path) -> Option<LedgerAnswer>,
}

enum Below<'a> {
    /// Layers under an overlay.
    Overlaid {
        layers: Layers<'a>,
        by_inode: OnceCell<BTreeMap<u64, (usize, EntryPath)>>,
    },
    /// Layers merged into a tree, of which a snapshot was taken.
    Merged {
        layers: Layers<'a>,
        inodes: Inodes<'a>,
    },
    /// A tree of which nothing else is known.
    InPlace {
        inodes: Inodes<'a>,
        snapshot: &'a Snapshot,
        own_uid: u32,
    },
}

struct Layers<'a> {
    stack: &'a Stack,
    lists: &'a [OwnerList],
}

/// A snapshot by device and inode.
struct Inodes<'a>(BTreeMap<(u64, u64), (&'a EntryPath, &'a Record)>);

/// A file that was there before: whose it was, and where it still is as it was.
struct Inherited {
    owned: Owned,
    original: Option<PathBuf>,
}

impl std::fmt::Debug for RecordedOwners<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordedOwners")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl<'a> RecordedOwners<'a> {
    /// For a step that ran over an overlay of `stack`. `lists` has the owners in each directory of the stack, in its
    /// order; `step` is the uid and gid, as the image knows them, that new files get; `ledger` is asked with the path
    /// of a file on disk.
    pub fn overlaid(
        stack: &'a Stack,
        lists: &'a [OwnerList],
        step: (u32, u32),
        ledger: &'a dyn Fn(&Path) -> Option<LedgerAnswer>,
    ) -> Self {
        let layers = Layers { stack, lists };
        let by_inode = OnceCell::new();
        Self {
            below: Below::Overlaid { layers, by_inode },
            step,
            ledger,
        }
    }

    /// For a step that ran in a tree made of `stack`; `snapshot` is from before. The rest as in [`Self::overlaid`].
    pub fn merged(
        stack: &'a Stack,
        lists: &'a [OwnerList],
        snapshot: &'a Snapshot,
        step: (u32, u32),
        ledger: &'a dyn Fn(&Path) -> Option<LedgerAnswer>,
    ) -> Self {
        let below = Below::Merged {
            layers: Layers { stack, lists },
            inodes: Inodes::of(snapshot),
        };
        Self {
            below,
            step,
            ledger,
        }
    }

    /// For a step that ran, as the user `own_uid` of this machine, in a root file system that was there already;
    /// `snapshot`, with contents ([`super::snapshot::Contents::Hashed`]), says whose files were. What belongs to somebody
    /// else on disk is not the step's work, whatever its inode is now: a container's root is often an overlay, where a
    /// file that is written to gets another one. The rest as in [`Self::overlaid`].
    pub fn in_place(
        snapshot: &'a Snapshot,
        own_uid: u32,
        step: (u32, u32),
        ledger: &'a dyn Fn(&Path) -> Option<LedgerAnswer>,
    ) -> Self {
        Self {
            below: Below::InPlace {
                inodes: Inodes::of(snapshot),
                snapshot,
                own_uid,
            },
            step,
            ledger,
        }
    }

    fn inherited(
        &self,
        path: &EntryPath,
        file: &Path,
        metadata: &Metadata,
    ) -> Result<Option<Inherited>, Error> {
        match &self.below {
            Below::Overlaid { layers, by_inode } => {
                let Some((layer, path, original)) =
                    copied_up(layers.stack, by_inode, path, file, metadata)?
                else {
                    return Ok(None);
                };
                Ok(Some(Inherited {
                    owned: layers.owned(layer, &path),
                    original,
                }))
            }
            Below::Merged { layers, inodes } => {
                let Some((path, _)) = inodes.find(metadata) else {
                    return Ok(None);
                };
                let shown = layers.stack.find(path)?;
                Ok(shown.map(|shown| Inherited {
                    owned: layers.owned(shown.layer, path),
                    original: Some(shown.file),
                }))
            }
            Below::InPlace {
                inodes,
                snapshot,
                own_uid,
            } => {
                let owned = if metadata.uid() != *own_uid {
                    Some(Owned::by(metadata.uid(), metadata.gid()))
                } else {
                    let by_inode = inodes.find(metadata).and_then(|(_, record)| record.entry());
                    let by_path = || snapshot.get(path).and_then(Record::entry);
                    by_inode
                        .or_else(by_path)
                        .map(|entry| Owned::by(entry.uid, entry.gid))
                };
                Ok(owned.map(|owned| Inherited {
                    owned,
                    original: None,
                }))
            }
        }
    }

    /// The group that a new file gets.
    fn new_gid(&self, path: &EntryPath, file: &Path) -> Result<u32, Error> {
        let (Some(parent), Some(directory)) = (path.parent(), file.parent()) else {
            return Ok(self.step.1);
        };
        let metadata = std::fs::symlink_metadata(directory).context("read", directory)?;
        match metadata.mode() & 0o2000 {
            0 => Ok(self.step.1),
            _ => Ok(self.now(&parent, directory, &metadata)?.gid),
        }
    }
}

impl Owners for RecordedOwners<'_> {
    fn now(&self, path: &EntryPath, file: &Path, metadata: &Metadata) -> Result<Owned, Error> {
        let answer = (self.ledger)(file).unwrap_or_default();
        let mut owned = match self.inherited(path, file, metadata)? {
            Some(Inherited {
                mut owned,
                original,
            }) => {
                // The kernel takes capabilities away when a file is written or changes hands.
                let is_kept = match (&owned.capability, &original) {
                    (Some(_), Some(original)) if answer.uid.or(answer.gid).is_none() => {
                        metadata.is_file() && disk::is_same_content(file, original)?
                    }
                    _ => false,
                };
                owned.capability = owned.capability.filter(|_| is_kept);
                owned
            }
            None if answer.gid.is_some() => Owned::by(self.step.0, self.step.1),
            None => Owned::by(self.step.0, self.new_gid(path, file)?),
        };
        owned.uid = answer.uid.unwrap_or(owned.uid);
        owned.gid = answer.gid.unwrap_or(owned.gid);
        // Only a file stands for a device; what was put in its place does not.
        owned.device = answer
            .device
            .or(owned.device)
            .filter(|_| metadata.is_file());
        Ok(owned)
    }

    fn before(&self, path: &EntryPath, shown: &Shown) -> Result<Owned, Error> {
        Ok(match &self.below {
            Below::Overlaid { layers, .. } | Below::Merged { layers, .. } => {
                layers.owned(shown.layer, path)
            }
            Below::InPlace { .. } => Owned::by(shown.metadata.uid(), shown.metadata.gid()),
        })
    }
}

impl Layers<'_> {
    fn owned(&self, layer: usize, path: &EntryPath) -> Owned {
        self.lists
            .get(layer)
            .map(|list| list.get(path))
            .unwrap_or_default()
    }
}

impl<'a> Inodes<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let inode = |(path, record): &'a (EntryPath, Record)| {
            ((record.device, record.inode), (path, record))
        };
        Self(snapshot.records().iter().map(inode).collect())
    }

    /// The path and record of a file in the snapshot; an inode number that was used again is another file.
    fn find(&self, metadata: &Metadata) -> Option<(&'a EntryPath, &'a Record)> {
        let found = self.0.get(&(metadata.dev(), metadata.ino())).copied();
        found.filter(|(_, record)| record.is_same_inode(metadata))
    }
}

/// Where below the file is that overlay copied up to `file`: the layer, its path, and the file where it is known.
fn copied_up(
    stack: &Stack,
    by_inode: &OnceCell<BTreeMap<u64, (usize, EntryPath)>>,
    path: &EntryPath,
    file: &Path,
    metadata: &Metadata,
) -> Result<Option<(usize, EntryPath, Option<PathBuf>)>, Error> {
    let shown = stack.find(path)?;
    if path.is_root() {
        return Ok(shown.map(|shown| (shown.layer, path.clone(), None)));
    }
    if !metadata.is_dir() && !metadata.is_file() {
        // Overlay keeps times when it copies; what was made anew has a new one.
        let time = |of: &Metadata| (of.mtime(), of.mtime_nsec());
        let is_same = |shown: &Shown| {
            shown.metadata.file_type() == metadata.file_type()
                && shown.metadata.rdev() == metadata.rdev()
                && time(&shown.metadata) == time(metadata)
                && (!metadata.is_symlink()
                    || std::fs::read_link(&shown.file).ok() == std::fs::read_link(file).ok())
        };
        return Ok(shown
            .filter(is_same)
            .map(|shown| (shown.layer, path.clone(), None)));
    }
    let Some(origin) = disk::overlay_xattr(file, "user.overlay.origin")? else {
        return Ok(None);
    };
    let here =
        |shown: Option<Shown>| shown.map(|shown| (shown.layer, path.clone(), Some(shown.file)));
    let Some(inode) = origin_inode(&origin) else {
        return Ok(here(shown));
    };
    if shown
        .as_ref()
        .is_some_and(|shown| shown.metadata.ino() == inode)
    {
        return Ok(here(shown));
    }
    // It had another name: rare, so only now is it worth a look at every file.
    let known = match by_inode.get() {
        Some(known) => known,
        None => {
            let found = inodes_of(stack)?;
            by_inode.get_or_init(|| found)
        }
    };
    match known.get(&inode) {
        Some((layer, path)) => {
            let original = path.below(&stack.directories()[*layer]);
            Ok(Some((*layer, path.clone(), Some(original))))
        }
        None => Ok(here(shown)),
    }
}

/// The inode that overlay's `origin` attribute names; `None` for file handles of an unknown form.
///
/// # Spec
/// Linux `fs/overlayfs/overlayfs.h`, `struct ovl_fb`: version, magic `0xfb`, length, flags, type, 16 bytes of UUID,
/// then the file handle: `FILEID_INO32_GEN` (`fs/libfs.c`, ext4 and others), the same type with three words (tmpfs:
/// generation first), XFS's and btrfs's own.
fn origin_inode(origin: &[u8]) -> Option<u64> {
    let (header, handle) = origin.split_at_checked(21)?;
    if header[1] != 0xfb {
        return None;
    }
    let word = |index: usize| {
        let bytes = handle.get(index * 4..index * 4 + 4)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let long = || Some(word(0)? | word(1)? << 32);
    match (header[4], handle.len()) {
        (1, 8) => word(0),
        (1, 12) => Some(word(1)? | word(2)? << 32),
        (0x81, 12) | (0x4d, 20) => long(),
        _ => None,
    }
}

/// Every file and directory of the layers by its inode number; they are on one file system.
fn inodes_of(stack: &Stack) -> Result<BTreeMap<u64, (usize, EntryPath)>, Error> {
    let mut found: BTreeMap<u64, (usize, EntryPath)> = BTreeMap::new();
    for (layer, directory) in stack.directories().iter().enumerate() {
        for file in walkdir::WalkDir::new(directory)
            .min_depth(1)
            .sort_by_file_name()
        {
            let file = file
                .map_err(std::io::Error::from)
                .context("read directory", directory)?;
            if file.file_type().is_dir() || file.file_type().is_file() {
                let metadata =
                    std::fs::symlink_metadata(file.path()).context("read", file.path())?;
                let relative = file.path().strip_prefix(directory).unwrap_or(file.path());
                let path = EntryPath::parse(relative.as_os_str().as_bytes())?;
                found.entry(metadata.ino()).or_insert((layer, path));
            }
        }
    }
    Ok(found)
}
