//! What a step changed, found in an overlay's upper directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs as rfs;

use super::entry::{Entry, EntryPath, Kind, is_portable_xattr};
use super::{Error, whiteout};
use crate::event::Observer;
use crate::fs::Context;

/// One change to the layers below.
///
/// # Spec
/// OCI image-spec `layer.md`, *Change Types*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something is new, or is now this.
    Present {
        /// What it is now.
        entry: Entry,
        /// Where its content is, for files.
        content: Option<PathBuf>,
    },
    /// Something that lower layers have is gone.
    Deleted(EntryPath),
    /// Everything that lower layers have in this directory is gone.
    Opaque(EntryPath),
}

impl Change {
    /// Where the change is.
    pub fn path(&self) -> &EntryPath {
        match self {
            Self::Present { entry, .. } => &entry.path,
            Self::Deleted(path) | Self::Opaque(path) => path,
        }
    }
}

/// Lists what an overlay's `upper` directory changes of `lowers` (topmost first), sorted by path.
///
/// Overlay copies up more than changes: a file that was only opened for writing, a directory in which something
/// changed. What is like before (times aside: opening a file for writing changes them) is no change and is left out;
/// directories above a change are put back by whoever writes the layer. Sockets are left out.
///
/// # Errors
/// [`Error::File`] with the path that could not be read, [`Error::Path`] for names that no layer can hold,
/// [`Error::Interrupted`].
pub fn from_overlay_upper(
    upper: &Path,
    lowers: &[PathBuf],
    observer: &dyn Observer,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let mut inodes: BTreeMap<EntryPath, (u64, u64)> = BTreeMap::new();
    // The walk goes into a directory right after it, so the last opaque one is the only one to remember.
    let mut opaque: Option<EntryPath> = None;
    let walk = walkdir::WalkDir::new(upper)
        .min_depth(1)
        .sort_by_file_name();
    for found in walk {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let found = found.map_err(|error| {
            let path = error.path().unwrap_or(upper).to_owned();
            crate::fs::Error::new("read directory", path, error.into())
        })?;
        let file = found.path();
        let relative = file.strip_prefix(upper).unwrap_or(file);
        let path = EntryPath::parse(relative.as_os_str().as_bytes())?;
        let metadata = fs::symlink_metadata(file).context("read", file)?;
        let hidden = opaque.as_ref().is_some_and(|opaque| path.is_within(opaque));
        let before = if hidden { None } else { lookup(lowers, &path)? };
        if is_whiteout(&metadata) {
            if before.is_some() {
                changes.push(Change::Deleted(path));
            }
            continue;
        }
        if metadata.file_type().is_socket() {
            continue;
        }
        if whiteout::is_reserved(&path) {
            return Err(Error::Hostile(format!(
                "`{path}` has a name that layers reserve for deletions"
            )));
        }
        let is_opaque = metadata.is_dir() && is_opaque(file)?;
        if is_opaque {
            if before
                .as_ref()
                .is_some_and(|(_, metadata)| metadata.is_dir())
            {
                changes.push(Change::Opaque(path.clone()));
            }
            if !hidden {
                opaque = Some(path.clone());
            }
        }
        let entry = entry_of(file, path, &metadata)?;
        // Whiteouts share one inode (T11), but they never come here. A file of several names is always written: one
        // of the names may be as before while another is new.
        let is_linked = metadata.nlink() > 1 && metadata.is_file();
        let unchanged = match &before {
            Some((lower, lower_metadata)) if !is_opaque && !is_linked => {
                is_same(&entry, file, lower, lower_metadata)?
            }
            _ => false,
        };
        if is_linked {
            inodes.insert(entry.path.clone(), (metadata.dev(), metadata.ino()));
        }
        if !unchanged {
            let content = matches!(entry.kind, Kind::File { .. }).then(|| file.to_owned());
            changes.push(Change::Present { entry, content });
        }
    }
    changes.sort_by(|a, b| a.path().cmp(b.path()));
    link_names(&mut changes, &inodes);
    Ok(changes)
}

/// Turns all but the first name of a file into links to the first, which comes earlier in the layer.
fn link_names(changes: &mut [Change], inodes: &BTreeMap<EntryPath, (u64, u64)>) {
    let mut first: BTreeMap<(u64, u64), EntryPath> = BTreeMap::new();
    for change in changes {
        let Change::Present { entry, .. } = change else {
            continue;
        };
        let Some(inode) = inodes.get(&entry.path) else {
            continue;
        };
        let target = first.entry(*inode).or_insert_with(|| entry.path.clone());
        if *target != entry.path {
            entry.kind = Kind::HardLink {
                target: target.clone(),
            };
        }
    }
}

/// The entry of a directory that stands above changes: as it is in `upper`, where overlay has it whenever something
/// below it changed.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn directory_entry(upper: &Path, path: &EntryPath) -> Result<Entry, Error> {
    let file = path.below(upper);
    let metadata = fs::symlink_metadata(&file).context("read", &file)?;
    entry_of(&file, path.clone(), &metadata)
}

fn entry_of(file: &Path, path: EntryPath, metadata: &Metadata) -> Result<Entry, Error> {
    let kind = metadata.file_type();
    let device = metadata.rdev();
    let (major, minor) = (rfs::major(device), rfs::minor(device));
    let kind = if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(file).context("read link", file)?;
        Kind::Symlink {
            target: target.as_os_str().as_bytes().to_vec(),
        }
    } else if kind.is_char_device() {
        Kind::CharacterDevice { major, minor }
    } else if kind.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::File {
            size: metadata.len(),
        }
    };
    Ok(Entry {
        path,
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: metadata.mtime(),
        xattrs: xattrs(file)?,
    })
}

fn xattrs(file: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let mut names = vec![0; 64 << 10];
    let length = match rfs::llistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(errno) => {
            return Err(crate::fs::Error::new("list the attributes of", file, errno.into()).into());
        }
    };
    let mut found = BTreeMap::new();
    for name in names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| is_portable_xattr(name))
    {
        let mut value = vec![0; 64 << 10];
        let length = rfs::lgetxattr(file, OsStr::from_bytes(name), &mut value[..])
            .context("read an attribute of", file)?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// True for overlay's mark of a deleted name.
pub(crate) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(directory: &Path) -> Result<bool, Error> {
    let mut value = [0; 8];
    match rfs::lgetxattr(directory, whiteout::OPAQUE_XATTR, &mut value) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(false),
        Err(errno) => {
            Err(crate::fs::Error::new("read an attribute of", directory, errno.into()).into())
        }
    }
}

/// Finds what the stacked `lowers` (topmost first) show at `path`, as overlay would.
fn lookup(lowers: &[PathBuf], path: &EntryPath) -> Result<Option<(PathBuf, Metadata)>, Error> {
    let components: Vec<&[u8]> = path.as_bytes().split(|byte| *byte == b'/').collect();
    'lower: for lower in lowers {
        let mut file = lower.clone();
        let mut hides_the_rest = false;
        for (depth, component) in components.iter().enumerate() {
            file.push(OsStr::from_bytes(component));
            let metadata = match fs::symlink_metadata(&file) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if hides_the_rest {
                        return Ok(None);
                    }
                    continue 'lower;
                }
                Err(error) => return Err(crate::fs::Error::new("read", file, error).into()),
            };
            if is_whiteout(&metadata) {
                return Ok(None);
            }
            if depth + 1 == components.len() {
                return Ok(Some((file, metadata)));
            }
            if !metadata.is_dir() {
                return Ok(None);
            }
            hides_the_rest |= is_opaque(&file)?;
        }
    }
    Ok(None)
}

/// True when an entry is what the lower layers already show.
fn is_same(
    entry: &Entry,
    file: &Path,
    lower: &Path,
    lower_metadata: &Metadata,
) -> Result<bool, Error> {
    let before = entry_of(lower, entry.path.clone(), lower_metadata)?;
    let alike = entry.kind == before.kind
        && (entry.mode, entry.uid, entry.gid) == (before.mode, before.uid, before.gid)
        && entry.xattrs == before.xattrs;
    match entry.kind {
        Kind::File { .. } if alike => same_content(file, lower),
        _ => Ok(alike),
    }
}

fn same_content(a: &Path, b: &Path) -> Result<bool, Error> {
    let (mut left, mut right) = (crate::fs::open(a)?, crate::fs::open(b)?);
    let (mut left_bytes, mut right_bytes) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = left.read(&mut left_bytes).context("read", a)?;
        if count == 0 {
            return Ok(right.read(&mut right_bytes[..1]).context("read", b)? == 0);
        }
        if right.read_exact(&mut right_bytes[..count]).is_err()
            || left_bytes[..count] != right_bytes[..count]
        {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::event::Silent;

    struct Trees {
        _directory: tempfile::TempDir,
        upper: PathBuf,
        lowers: Vec<PathBuf>,
    }

    /// An upper directory over two lower ones, each made by its function.
    fn trees(upper: impl Fn(&Path), top: impl Fn(&Path), bottom: impl Fn(&Path)) -> Trees {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str, fill: &dyn Fn(&Path)| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fill(&path);
            path
        };
        let lowers = vec![make("top", &top), make("bottom", &bottom)];
        let upper = make("upper", &upper);
        Trees {
            _directory: directory,
            upper,
            lowers,
        }
    }

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn delete(root: &Path, name: &str) {
        rfs::mknodat(
            rfs::CWD,
            root.join(name),
            rfs::FileType::CharacterDevice,
            rfs::Mode::empty(),
            0,
        )
        .unwrap();
    }

    fn found(trees: &Trees) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::Present { entry, .. } => match &entry.kind {
                Kind::HardLink { target } => format!("{} = {target}", entry.path),
                _ => format!("+{}", entry.path),
            },
            Change::Deleted(path) => format!("-{path}"),
            Change::Opaque(path) => format!("!{path}"),
        };
        from_overlay_upper(&trees.upper, &trees.lowers, &Silent)
            .unwrap()
            .iter()
            .map(name)
            .collect()
    }

    #[test]
    fn what_was_copied_up_and_is_as_before_is_no_change() {
        let trees = trees(
            |upper| {
                write(upper, "etc/same", "1");
                write(upper, "etc/other", "2");
                write(upper, "etc/new", "3");
                symlink("same", upper.join("etc/link")).unwrap();
            },
            |top| write(top, "etc/same", "1"),
            |bottom| {
                write(bottom, "etc/other", "1");
                symlink("same", bottom.join("etc/link")).unwrap();
            },
        );
        assert_eq!(found(&trees), ["+/etc/new", "+/etc/other"]);
    }

    #[test]
    fn deletions_count_only_where_something_was() {
        let trees = trees(
            |upper| {
                delete(upper, "gone");
                delete(upper, "never-was");
                delete(upper, "already-gone");
            },
            |top| delete(top, "already-gone"),
            |bottom| {
                write(bottom, "gone", "");
                write(bottom, "already-gone", "");
            },
        );
        assert_eq!(found(&trees), ["-/gone"]);
    }

    #[test]
    fn an_opaque_directory_is_said_before_its_content_and_only_over_a_lower_one() {
        let opaque = |path: PathBuf| {
            fs::create_dir(&path).unwrap();
            rfs::setxattr(
                &path,
                whiteout::OPAQUE_XATTR,
                b"y",
                rfs::XattrFlags::empty(),
            )
            .unwrap();
        };
        let trees = trees(
            |upper| {
                opaque(upper.join("replaced"));
                write(upper, "replaced/file", "");
                opaque(upper.join("new"));
            },
            |_| {},
            |bottom| write(bottom, "replaced/file", ""),
        );
        assert_eq!(
            found(&trees),
            ["+/new", "!/replaced", "+/replaced", "+/replaced/file"]
        );
    }

    #[test]
    fn hard_links_are_kept_and_whiteouts_are_not_taken_for_them() {
        let trees = trees(
            |upper| {
                write(upper, "a", "x");
                fs::hard_link(upper.join("a"), upper.join("b")).unwrap();
                delete(upper, "c");
                // T11 of rust-crates.md: overlay hard-links its whiteouts.
                fs::hard_link(upper.join("c"), upper.join("d")).unwrap();
            },
            |top| write(top, "c", ""),
            |bottom| write(bottom, "d", ""),
        );
        assert_eq!(found(&trees), ["+/a", "/b = /a", "-/c", "-/d"]);
    }
}
