//! Unpacking one layer into a directory of its own, which overlay then stacks.
//!
//! ```text
//! tar                        directory
//! usr/bin/tool               usr/bin/tool
//! etc/.wh.motd               etc/motd            character device 0:0
//! opt/.wh..wh..opq           opt/                user.overlay.opaque=y
//! ```
//!
//! Every layer gets a fresh directory, so no layer ever writes through a symbolic link that another one made. Within
//! the layer, names are resolved by the kernel with that directory as the root (`openat2` with `RESOLVE_IN_ROOT`):
//! whatever `..`, absolute names and links say, nothing outside is reached (T4 of `rust-crates.md` is why this is
//! not `tar::Archive::unpack`).

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    self as rfs, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use super::entry::{Entry, EntryPath, Kind};
use super::read;
use super::whiteout::{self, Whiteout};
use super::{Error, decompress};
use crate::digest::{DiffId, Digester};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::media_type::Compression;

/// What there is to say after a layer was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries applied.
    pub entries: u64,
    /// Devices that this user may not make, left out.
    pub skipped_devices: u64,
    /// Directories that had to be made and that the layer does not describe: what lies below it does.
    pub implied: Vec<EntryPath>,
}

/// Unpacks a compressed layer into `directory`, which must be empty, with owners, modes, times and extended
/// attributes, and checks the diff id.
///
/// The caller verifies the compressed bytes (a [`crate::digest::VerifyingReader`]); this reads them to the end. After
/// an error the directory holds a part; the caller removes it.
///
/// # Errors
/// [`Error::Hostile`] for entries that point nowhere or outside, [`Error::DiffId`] when the tar is another one than
/// promised, [`Error::Io`] with the entry's path for the rest, [`Error::Interrupted`].
pub fn apply(
    compressed: impl io::BufRead,
    compression: Compression,
    expected: &DiffId,
    directory: &Path,
    observer: &dyn Observer,
) -> Result<Report, Error> {
    let read = |source| Error::Io {
        action: "read",
        path: "the layer".to_owned(),
        source,
    };
    let tar = decompress(compressed, compression).map_err(read)?;
    let mut tar = Teeing {
        inner: tar,
        digester: Digester::new(expected.0.algorithm()),
    };
    let report = unpack(&mut tar, directory, observer)?;
    // What follows the end-of-archive mark is part of the bytes that the digests name.
    io::copy(&mut tar, &mut io::sink()).map_err(read)?;
    let found = tar.digester.finish();
    if found != expected.0 {
        return Err(Error::DiffId {
            expected: expected.clone(),
            found: DiffId(found),
        });
    }
    Ok(report)
}

struct Teeing<R> {
    inner: R,
    digester: Digester,
}

impl<R: Read> Read for Teeing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digester.update(&buffer[..count]);
        Ok(count)
    }
}

fn unpack(tar: &mut dyn Read, directory: &Path, observer: &dyn Observer) -> Result<Report, Error> {
    let root = rfs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("open directory", directory)?;
    let mut unpacker = Unpacker {
        root,
        parent: None,
        directories: BTreeMap::new(),
        report: Report::default(),
    };
    read::for_each(tar, |entry, content| {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        unpacker.report.entries += 1;
        match whiteout::parse(&entry.path)? {
            None => unpacker.create(&entry, content),
            Some(Whiteout::Deleted(path)) => unpacker.delete(&path),
            Some(Whiteout::Opaque(path)) => unpacker.make_opaque(&path),
        }
    })?;
    unpacker.finish()
}

struct Unpacker {
    root: OwnedFd,
    /// The directory of the entry before: neighbours are the rule.
    parent: Option<(EntryPath, OwnedFd)>,
    /// Times and modes of directories, set at the end: what is put into them changes the former, and the latter
    /// may forbid it.
    directories: BTreeMap<EntryPath, Entry>,
    report: Report,
}

impl Unpacker {
    fn create(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        if entry.path.is_root() {
            self.directories.insert(entry.path.clone(), entry.clone());
            return Ok(());
        }
        self.enter_parent(&entry.path)?;
        let name = entry.path.file_name();
        let replaced = self.make_room(entry)?;
        let (_, parent) = self.parent.as_ref().expect("entered above");
        let parent = parent.as_fd();
        match &entry.kind {
            Kind::Directory => {
                match rfs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed(errno)),
                }
                let directory = open_directory(parent, name).map_err(failed)?;
                if replaced == Some(Replaced::Whiteout) {
                    rfs::fsetxattr(
                        &directory,
                        whiteout::OPAQUE_XATTR,
                        b"y",
                        rfs::XattrFlags::empty(),
                    )
                    .map_err(failed)?;
                }
                own(directory.as_fd(), entry).map_err(failed)?;
                self.directories.insert(entry.path.clone(), entry.clone());
                self.report.implied.retain(|path| *path != entry.path);
                return Ok(());
            }
            Kind::File { size } => return write_file(parent, entry, *size, content),
            Kind::Symlink { target } => {
                rfs::symlinkat(&target[..], parent, name).map_err(failed)?
            }
            Kind::HardLink { target } => return self.link(entry, target),
            Kind::CharacterDevice { major, minor } => {
                if !self.device(entry, FileType::CharacterDevice, *major, *minor)? {
                    return Ok(());
                }
            }
            Kind::BlockDevice { major, minor } => {
                if !self.device(entry, FileType::BlockDevice, *major, *minor)? {
                    return Ok(());
                }
            }
            Kind::Fifo => rfs::mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                .map_err(failed)?,
        }
        let (_, parent) = self.parent.as_ref().expect("entered above");
        finish_special(parent.as_fd(), entry).map_err(failed)
    }

    /// Takes away what stands in the way of an entry: a later member of the same name wins. A directory stays when
    /// the new entry is one too.
    fn make_room(&mut self, entry: &Entry) -> Result<Option<Replaced>, Error> {
        let (_, parent) = self.parent.as_ref().expect("entered above");
        let name = entry.path.file_name();
        let failed = |errno: Errno| io_error("replace", &entry.path, errno);
        let existing = match rfs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(existing) => existing,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        if FileType::from_raw_mode(existing.st_mode).is_dir() {
            if entry.kind == Kind::Directory {
                return Ok(None);
            }
            return Err(Error::Hostile(format!(
                "`{}` is both a directory and something else",
                entry.path
            )));
        }
        rfs::unlinkat(parent, name, AtFlags::empty()).map_err(failed)?;
        let was_whiteout = is_whiteout(&existing);
        Ok(Some(if was_whiteout {
            Replaced::Whiteout
        } else {
            Replaced::Other
        }))
    }

    fn delete(&mut self, path: &EntryPath) -> Result<(), Error> {
        self.enter_parent(path)?;
        let (_, parent) = self.parent.as_ref().expect("entered above");
        let failed = |errno: Errno| io_error("mark as deleted", path, errno);
        match rfs::mknodat(
            parent,
            path.file_name(),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        ) {
            Ok(()) => Ok(()),
            // The layer deletes what lower layers have and brings its own; only a directory would be merged.
            Err(Errno::EXIST) => {
                let existing = rfs::statat(parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed)?;
                match FileType::from_raw_mode(existing.st_mode).is_dir() {
                    true => self.make_opaque(path),
                    false => Ok(()),
                }
            }
            Err(errno) => Err(failed(errno)),
        }
    }

    fn make_opaque(&mut self, path: &EntryPath) -> Result<(), Error> {
        if path.is_root() {
            // Overlay knows no such thing; the layers below would shine through.
            let text = "it deletes everything below it (`.wh..wh..opq` in the root), which is not supported";
            return Err(Error::Hostile(text.to_owned()));
        }
        let directory = self.ensure_directory(path)?;
        let failed = |errno: Errno| io_error("mark as opaque", path, errno);
        let directory = open_directory(directory.as_fd(), b".").map_err(failed)?;
        rfs::fsetxattr(
            &directory,
            whiteout::OPAQUE_XATTR,
            b"y",
            rfs::XattrFlags::empty(),
        )
        .map_err(failed)
    }

    fn link(&mut self, entry: &Entry, target: &EntryPath) -> Result<(), Error> {
        let broken = || {
            Error::Hostile(format!(
                "`{}` is a hard link to `{target}`, which the layer does not have",
                entry.path
            ))
        };
        let directory = target.parent().ok_or_else(broken)?;
        let resolved = open_in_root(self.root.as_fd(), &directory).map_err(|_| broken())?;
        let (_, parent) = self.parent.as_ref().expect("entered above");
        match rfs::linkat(
            &resolved,
            target.file_name(),
            parent,
            entry.path.file_name(),
            AtFlags::empty(),
        ) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT | Errno::PERM) => Err(broken()),
            Err(errno) => Err(io_error("link", &entry.path, errno)),
        }
    }

    /// Makes a device; `false` when this user may not (inside a user namespace) and it is left out.
    fn device(
        &mut self,
        entry: &Entry,
        kind: FileType,
        major: u32,
        minor: u32,
    ) -> Result<bool, Error> {
        let (_, parent) = self.parent.as_ref().expect("entered above");
        let device = rfs::makedev(major, minor);
        if kind == FileType::CharacterDevice && device == 0 {
            // On disk this is overlay's whiteout; as a tar member it is not how layers delete.
            return Err(Error::Hostile(format!("`{}` is a device 0:0", entry.path)));
        }
        match rfs::mknodat(
            parent,
            entry.path.file_name(),
            kind,
            Mode::from_raw_mode(0o600),
            device,
        ) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS) => {
                self.report.skipped_devices += 1;
                Ok(false)
            }
            Err(errno) => Err(io_error("make the device", &entry.path, errno)),
        }
    }

    fn enter_parent(&mut self, path: &EntryPath) -> Result<(), Error> {
        let Some(parent) = path.parent() else {
            return Err(Error::Hostile(
                "an entry would replace the root directory".to_owned(),
            ));
        };
        if self
            .parent
            .as_ref()
            .is_none_or(|(current, _)| *current != parent)
        {
            let directory = self.ensure_directory(&parent)?;
            self.parent = Some((parent, directory));
        }
        Ok(())
    }

    /// Opens a directory of the layer, making it and its parents (mode 0755, root) where the tar did not.
    fn ensure_directory(&mut self, path: &EntryPath) -> Result<OwnedFd, Error> {
        match open_in_root(self.root.as_fd(), path) {
            Ok(directory) => return Ok(directory),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(io_error("enter", path, errno)),
        }
        let failed = |errno: Errno| io_error("make the directory", path, errno);
        let Some(parent) = path.parent() else {
            return Err(failed(Errno::NOENT));
        };
        let parent = self.ensure_directory(&parent)?;
        let name = path.file_name();
        let is_link = rfs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if is_link {
            return Err(Error::Hostile(format!(
                "something lies below `{path}`, a link that leads nowhere in this layer"
            )));
        }
        rfs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
        let implied = Entry::new(path.clone(), Kind::Directory, 0o755);
        let directory = open_directory(parent.as_fd(), name).map_err(failed)?;
        own(directory.as_fd(), &implied).map_err(failed)?;
        self.directories.insert(path.clone(), implied);
        self.report.implied.push(path.clone());
        open_in_root(self.root.as_fd(), path).map_err(failed)
    }

    /// Gives directories their modes and times, the deepest first.
    fn finish(self) -> Result<Report, Error> {
        for (path, entry) in self.directories.iter().rev() {
            let failed = |errno: Errno| io_error("set the mode of", path, errno);
            let directory = match open_in_root(self.root.as_fd(), path) {
                Ok(directory) => directory,
                // A later member replaced it or a link that led to it.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let directory = open_directory(directory.as_fd(), b".").map_err(failed)?;
            own(directory.as_fd(), entry).map_err(failed)?;
            rfs::fchmod(&directory, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
            set_xattrs(directory.as_fd(), entry).map_err(failed)?;
            rfs::futimens(&directory, &times(entry.mtime)).map_err(failed)?;
        }
        Ok(self.report)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Whiteout,
    Other,
}

/// Opens a directory by a path that the kernel resolves with `root` as the root directory.
fn open_in_root(root: BorrowedFd<'_>, path: &EntryPath) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_root() {
        Path::new(".")
    } else {
        path.as_path()
    };
    rfs::openat2(
        root,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::openat(parent, name, flags, Mode::empty())
}

fn write_file(
    parent: BorrowedFd<'_>,
    entry: &Entry,
    size: u64,
    content: &mut dyn Read,
) -> Result<(), Error> {
    let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rfs::openat(
        parent,
        entry.path.file_name(),
        flags,
        Mode::from_raw_mode(0o600),
    )
    .map_err(failed)?;
    let mut file = std::fs::File::from(file);
    let written = io::copy(content, &mut file).map_err(|source| Error::Io {
        action: "unpack",
        path: entry.path.to_string(),
        source,
    })?;
    if written != size {
        return Err(Error::Hostile(format!(
            "`{}` ends after {written} of {size} bytes",
            entry.path
        )));
    }
    own(file.as_fd(), entry).map_err(failed)?;
    rfs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
    set_xattrs(file.as_fd(), entry).map_err(failed)?;
    rfs::futimens(&file, &times(entry.mtime)).map_err(failed)
}

/// Owner, mode and time of what has no descriptor of its own: links, devices, pipes.
fn finish_special(parent: BorrowedFd<'_>, entry: &Entry) -> rustix::io::Result<()> {
    let name = entry.path.file_name();
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rfs::chownat(
        parent,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if !matches!(entry.kind, Kind::Symlink { .. }) {
        rfs::chmodat(
            parent,
            name,
            Mode::from_raw_mode(entry.mode),
            AtFlags::empty(),
        )?;
    }
    rfs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// Before the mode is set: changing the owner clears setuid bits.
fn own(file: BorrowedFd<'_>, entry: &Entry) -> rustix::io::Result<()> {
    rfs::fchown(
        file,
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    )
}

fn set_xattrs(file: BorrowedFd<'_>, entry: &Entry) -> rustix::io::Result<()> {
    for (name, value) in &entry.xattrs {
        match rfs::fsetxattr(
            file,
            std::ffi::OsStr::from_bytes(name),
            value,
            rfs::XattrFlags::empty(),
        ) {
            // The file system has no such attributes; nothing that runs could see them anyway.
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn is_whiteout(status: &rfs::Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0
}

fn io_error(action: &'static str, path: &EntryPath, errno: Errno) -> Error {
    Error::Io {
        action,
        path: path.to_string(),
        source: errno.into(),
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
