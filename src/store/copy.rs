//! Copying files out of unpacked layers into a tree of their own.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    self as rfs, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::Error;
use super::unpacked::looking;
use crate::event::Observer;
use crate::fs::{self, Context};
use crate::layer::stack::{Shown, Stack};
use crate::layer::within::{clear_xattrs, create_file, open_directory, open_without_links};
use crate::layer::{EntryPath, disk};

/// Copies what `stack` shows into the empty directory `tree`.
///
/// Owners, modes, times and extended attributes are kept; hard links are not, for overlay breaks them too when one of
/// the names is written (T12 of `rust-crates.md`). Devices that this user may not make are left out.
pub(super) fn fill(tree: &Path, stack: &Stack, observer: &dyn Observer) -> Result<(), Error> {
    let mut copier = Copier::new(tree)?;
    let root = EntryPath::parse(b"").map_err(|error| looking(error.into()))?;
    if let Some(shown) = stack.find(&root).map_err(looking)? {
        copier.describe(root.clone(), &shown);
    }
    let mut pending = vec![root];
    while let Some(directory) = pending.pop() {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        for (name, shown) in stack.list(&directory).map_err(looking)? {
            let path = directory
                .join(&name)
                .map_err(|error| looking(error.into()))?;
            copier.copy(&path, &shown)?;
            if shown.metadata.is_dir() {
                pending.push(path);
            }
        }
    }
    copier.finish()
}

/// Copies files one by one. No link in the tree is ever followed.
pub(super) struct Copier<'a> {
    tree: &'a Path,
    root: OwnedFd,
    /// The directory of the file before: neighbours are the rule.
    parent: Option<(EntryPath, OwnedFd)>,
    /// Directories, and what they are to look like when everything is in them.
    directories: BTreeMap<EntryPath, (PathBuf, Metadata)>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(tree: &'a Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rfs::open(tree, flags, Mode::empty()).context("open directory", tree)?;
        Ok(Self {
            tree,
            root,
            parent: None,
            directories: BTreeMap::new(),
        })
    }

    /// Gives the directory at `path` the owner, mode, time and attributes of `shown`, in the end.
    pub(super) fn describe(&mut self, path: EntryPath, shown: &Shown) {
        let source = (shown.file.clone(), shown.metadata.clone());
        self.directories.insert(path, source);
    }

    /// Copies a file, or makes a directory, at `path`, where nothing is.
    pub(super) fn copy(&mut self, path: &EntryPath, shown: &Shown) -> Result<(), Error> {
        let place = path.below(self.tree);
        self.enter(path)?;
        let Some((_, parent)) = &self.parent else {
            return Ok(());
        };
        let (parent, name) = (parent.as_fd(), path.file_name());
        let metadata = &shown.metadata;
        let kind = metadata.file_type();
        if kind.is_dir() {
            rfs::mkdirat(parent, name, Mode::from_raw_mode(0o700))
                .context("create directory", &place)?;
            self.describe(path.clone(), shown);
            return Ok(());
        }
        if kind.is_file() {
            let mut source = open_source(&shown.file)?;
            let target = create_file(parent, name).context("create", &place)?;
            let mut target = File::from(target);
            // The file system copies, or shares the blocks, where it can.
            io::copy(&mut source, &mut target).context("write", &place)?;
            return attributes(target.as_fd(), &shown.file, metadata, &place);
        }
        special(parent, name, shown).context("create", &place)?;
        Ok(())
    }

    fn enter(&mut self, path: &EntryPath) -> Result<(), Error> {
        let Some(parent) = path.parent() else {
            self.parent = None;
            return Ok(());
        };
        if self.parent.as_ref().is_none_or(|(at, _)| *at != parent) {
            let directory = open_without_links(self.root.as_fd(), &parent)
                .context("open directory", &parent.below(self.tree))?;
            self.parent = Some((parent, directory));
        }
        Ok(())
    }

    /// Describes the directories, the deepest first.
    pub(super) fn finish(self) -> Result<(), Error> {
        for (path, (source, metadata)) in self.directories.iter().rev() {
            let place = path.below(self.tree);
            let directory =
                open_without_links(self.root.as_fd(), path).context("open directory", &place)?;
            let directory = open_directory(directory.as_fd(), b".")
                .or_else(|_| {
                    // Its owner may have closed it; this user may be its owner.
                    rfs::chmodat(
                        &directory,
                        Path::new("."),
                        Mode::from_raw_mode(0o700),
                        AtFlags::empty(),
                    )?;
                    open_directory(directory.as_fd(), b".")
                })
                .context("open directory", &place)?;
            clear_xattrs(directory.as_fd()).context("remove an attribute of", &place)?;
            attributes(directory.as_fd(), source, metadata, &place)?;
        }
        Ok(())
    }
}

fn open_source(file: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rfs::open(file, flags, Mode::empty()).context("open", file)?;
    Ok(File::from(file))
}

/// Owner, attributes, mode, times, in this order: changing the owner clears setuid bits and capabilities, and the mode
/// may forbid to set attributes.
fn attributes(
    file: BorrowedFd<'_>,
    source: &Path,
    metadata: &Metadata,
    place: &Path,
) -> Result<(), Error> {
    let (uid, gid) = ids(metadata);
    rfs::fchown(file, Some(uid), Some(gid)).context("set the owner of", place)?;
    for (name, value) in disk::xattrs(source).map_err(looking)? {
        let name = std::ffi::OsStr::from_bytes(&name);
        rfs::fsetxattr(file, name, &value, XattrFlags::empty())
            .context("set an attribute of", place)?;
    }
    rfs::fchmod(file, mode(metadata)).context("set the mode of", place)?;
    Ok(rfs::futimens(file, &times(metadata)).context("set the times of", place)?)
}

/// Links, devices, pipes.
fn special(parent: BorrowedFd<'_>, name: &[u8], shown: &Shown) -> rustix::io::Result<()> {
    let metadata = &shown.metadata;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        let target = rfs::readlinkat(rfs::CWD, &shown.file, Vec::new())?;
        rfs::symlinkat(target.as_c_str(), parent, name)?;
    } else {
        let (kind, device) = if kind.is_char_device() {
            (FileType::CharacterDevice, metadata.rdev())
        } else if kind.is_block_device() {
            (FileType::BlockDevice, metadata.rdev())
        } else {
            (FileType::Fifo, 0)
        };
        match rfs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::ACCESS) if kind != FileType::Fifo => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    let (uid, gid) = ids(metadata);
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rfs::chownat(parent, name, Some(uid), Some(gid), flags)?;
    if !kind.is_symlink() {
        rfs::chmodat(parent, name, mode(metadata), AtFlags::empty())?;
    }
    rfs::utimensat(parent, name, &times(metadata), flags)
}

fn ids(metadata: &Metadata) -> (Uid, Gid) {
    (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()))
}

fn mode(metadata: &Metadata) -> Mode {
    Mode::from_raw_mode(metadata.mode() & 0o7777)
}

fn times(metadata: &Metadata) -> Timestamps {
    let time = Timespec {
        tv_sec: metadata.mtime(),
        tv_nsec: metadata.mtime_nsec(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Removes whatever is at `path`; nothing below a link is touched.
pub(super) fn remove(place: &Path) -> Result<(), Error> {
    let metadata = std::fs::symlink_metadata(place).context("read", place)?;
    if metadata.is_dir() {
        fs::remove_tree(place)?;
    } else {
        std::fs::remove_file(place).context("remove", place)?;
    }
    Ok(())
}
