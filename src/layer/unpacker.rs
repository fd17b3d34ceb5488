//! The members of one layer, made on disk one after the other.

mod special;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self as rfs, AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::Error;
use super::apply::{Ownership, Report};
use super::entry::{CAPABILITY_XATTR, Entry, EntryPath, Kind};
use super::owners::Owned;
use super::whiteout::{self, Whiteout};
use super::within::{
    Fresh, clear_xattrs, create_file_with, open_directory, open_in_root, open_in_root_to_change,
    resolve, times,
};

/// What is written at a time, in bytes.
const BUFFER_BYTES: usize = 128 << 10;

pub(super) struct Unpacker {
    root: OwnedFd,
    ownership: Ownership,
    fresh: Fresh,
    buffer: Vec<u8>,
    /// The directory of the entry before: neighbours are the rule.
    parent: Option<Parent>,
    /// Owners, modes and times of directories, set at the end: what is put into them changes their times, their modes may
    /// forbid it, and their owners and setgid bits would be inherited. Nothing else is remembered: a layer may have a million members.
    directories: BTreeMap<EntryPath, Attributes>,
    implied: BTreeSet<EntryPath>,
    report: Report,
}

struct Parent {
    /// As the tar names it.
    path: EntryPath,
    /// Without links, when owners are recorded.
    real: EntryPath,
    directory: OwnedFd,
}

#[derive(Clone, Copy)]
struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: i64,
}

impl Attributes {
    fn of(entry: &Entry) -> Self {
        Self {
            uid: entry.uid,
            gid: entry.gid,
            mode: entry.mode,
            mtime: entry.mtime,
        }
    }
}

impl Unpacker {
    /// An unpacker into the empty directory `root`.
    pub(super) fn new(root: OwnedFd, ownership: Ownership) -> rustix::io::Result<Self> {
        Ok(Self {
            fresh: Fresh::find(root.as_fd())?,
            buffer: vec![0; BUFFER_BYTES],
            root,
            ownership,
            parent: None,
            directories: BTreeMap::new(),
            implied: BTreeSet::new(),
            report: Report::default(),
        })
    }

    /// Does what a member of the layer says.
    pub(super) fn apply(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        self.report.entries += 1;
        match whiteout::parse(&entry.path)? {
            None => self.create(entry, content),
            Some(Whiteout::Deleted(path)) => self.delete(&path),
            Some(Whiteout::Opaque(path)) => self.make_opaque(&path),
        }
    }

    fn create(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), Error> {
        if entry.path.is_root() {
            return self.describe_root(entry);
        }
        self.enter_parent(&entry.path)?;
        match &entry.kind {
            Kind::Directory => self.directory(entry),
            Kind::File { size } => self.file(entry, *size, content),
            Kind::HardLink { target } => self.link(entry, target),
            Kind::Symlink { .. }
            | Kind::CharacterDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => {
                self.make_room(entry)?;
                self.special(entry)
            }
        }
    }

    fn parent(&self) -> BorrowedFd<'_> {
        let parent = self.parent.as_ref().expect("the caller entered it");
        parent.directory.as_fd()
    }

    /// Records whose the file is that the tar calls `path`, in the directory that was entered.
    fn record(&mut self, path: &EntryPath, owned: Owned) -> Result<(), Error> {
        if self.ownership == Ownership::Recorded {
            let real = self.real(path)?;
            self.report.owners.set(real, owned);
        }
        Ok(())
    }

    fn real(&self, path: &EntryPath) -> Result<EntryPath, Error> {
        match &self.parent {
            Some(parent) if path.parent().as_ref() == Some(&parent.path) => {
                Ok(parent.real.join(path.file_name())?)
            }
            _ => Ok(path.clone()),
        }
    }

    fn describe_root(&mut self, entry: &Entry) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let directory = open_directory(self.root.as_fd(), b".").map_err(failed)?;
        let mut owned = Owned::by(entry.uid, entry.gid);
        owned.capability = self.set_xattrs(directory.as_fd(), entry).map_err(failed)?;
        self.directories
            .insert(entry.path.clone(), Attributes::of(entry));
        self.record(&entry.path, owned)
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let name = entry.path.file_name();
        let make = || rfs::mkdirat(self.parent(), name, Mode::from_raw_mode(0o700));
        let mut replaced = None;
        let is_new = match make() {
            Ok(()) => true,
            Err(Errno::EXIST) => {
                replaced = self.make_room(entry)?;
                match make() {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(errno) => return Err(failed(errno)),
                }
            }
            Err(errno) => return Err(failed(errno)),
        };
        let mut owned = Owned::by(entry.uid, entry.gid);
        if !is_new || replaced.is_some() || !entry.xattrs.is_empty() {
            let directory = open_directory(self.parent(), name).map_err(failed)?;
            if replaced == Some(Replaced::Whiteout) {
                rfs::fsetxattr(
                    &directory,
                    whiteout::OPAQUE_XATTR,
                    b"y",
                    rfs::XattrFlags::empty(),
                )
                .map_err(failed)?;
            }
            if !is_new {
                // The last description wins.
                clear_xattrs(directory.as_fd()).map_err(failed)?;
            }
            owned.capability = self.set_xattrs(directory.as_fd(), entry).map_err(failed)?;
        }
        self.directories
            .insert(entry.path.clone(), Attributes::of(entry));
        self.implied.remove(&entry.path);
        self.record(&entry.path, owned)
    }

    fn file(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let name = entry.path.file_name();
        // The mode may forbid to set attributes.
        let has_mode = entry.xattrs.is_empty() && self.fresh.keeps(entry.mode);
        let mode = if has_mode { entry.mode } else { 0o600 };
        // Hardly ever is there something in the way, and looking costs as much as making.
        let file = match create_file_with(self.parent(), name, mode) {
            Err(Errno::EXIST) => {
                self.make_room(entry)?;
                create_file_with(self.parent(), name, mode)
            }
            made => made,
        };
        let mut file = std::fs::File::from(file.map_err(failed)?);
        let written = self.copy(content, &mut file).map_err(|source| Error::Io {
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
        // Owner, attributes, mode, in this order: changing the owner clears setuid bits and capabilities.
        self.own(file.as_fd(), entry.uid, entry.gid)
            .map_err(failed)?;
        let mut owned = Owned::by(entry.uid, entry.gid);
        owned.capability = self.set_xattrs(file.as_fd(), entry).map_err(failed)?;
        if !has_mode {
            rfs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
        }
        rfs::futimens(&file, &times(entry.mtime)).map_err(failed)?;
        self.record(&entry.path, owned)
    }

    /// As [`io::copy`], in fewer pieces.
    fn copy(&mut self, content: &mut dyn Read, file: &mut std::fs::File) -> io::Result<u64> {
        let mut written = 0;
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(written),
                Ok(count) => {
                    file.write_all(&self.buffer[..count])?;
                    written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes away what stands in the way of an entry: a later member of the same name wins. A directory stays when
    /// the new entry is one too.
    fn make_room(&self, entry: &Entry) -> Result<Option<Replaced>, Error> {
        let parent = self.parent();
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
        let parent = self.parent();
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
        let link = || {
            let (from, to) = (target.file_name(), entry.path.file_name());
            rfs::linkat(&resolved, from, self.parent(), to, AtFlags::empty())
        };
        let linked = match link() {
            Err(Errno::EXIST) => {
                self.make_room(entry)?;
                link()
            }
            linked => linked,
        };
        match linked {
            Ok(()) if self.ownership == Ownership::Recorded => {
                // One file, one owner, as on disk.
                let real = resolve(self.root.as_fd(), &directory)
                    .map_err(|_| broken())?
                    .join(target.file_name())?;
                self.record(&entry.path, self.report.owners.get(&real))
            }
            Ok(()) => Ok(()),
            Err(Errno::NOENT | Errno::PERM) => Err(broken()),
            Err(errno) => Err(io_error("link", &entry.path, errno)),
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
            .is_none_or(|current| current.path != parent)
        {
            let directory = self.ensure_directory(&parent)?;
            let real = match self.ownership {
                Ownership::Real => parent.clone(),
                Ownership::Recorded => resolve(self.root.as_fd(), &parent)
                    .map_err(|errno| io_error("enter", &parent, errno))?,
            };
            self.parent = Some(Parent {
                path: parent,
                real,
                directory,
            });
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
        self.directories
            .insert(path.clone(), Attributes::of(&implied));
        self.implied.insert(path.clone());
        open_in_root(self.root.as_fd(), path).map_err(failed)
    }

    /// Gives directories their modes and times, the deepest first.
    pub(super) fn finish(mut self) -> Result<Report, Error> {
        for (path, attributes) in self.directories.iter().rev() {
            let failed = |errno: Errno| io_error("set the mode of", path, errno);
            let directory = match open_in_root_to_change(self.root.as_fd(), path) {
                Ok(directory) => directory,
                // A later member replaced it or a link that led to it.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            self.own(directory.as_fd(), attributes.uid, attributes.gid)
                .map_err(failed)?;
            rfs::fchmod(&directory, Mode::from_raw_mode(attributes.mode)).map_err(failed)?;
            rfs::futimens(&directory, &times(attributes.mtime)).map_err(failed)?;
        }
        self.report.implied = self.implied.into_iter().collect();
        Ok(self.report)
    }

    /// Before the mode is set: changing the owner clears setuid bits.
    fn own(&self, file: BorrowedFd<'_>, uid: u32, gid: u32) -> rustix::io::Result<()> {
        match self.ownership {
            Ownership::Real if !self.fresh.belongs_to(uid, gid) => {
                rfs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            }
            Ownership::Real | Ownership::Recorded => Ok(()),
        }
    }

    /// Sets the attributes of an entry; gives the file capabilities that are to be recorded instead.
    fn set_xattrs(
        &self,
        file: BorrowedFd<'_>,
        entry: &Entry,
    ) -> rustix::io::Result<Option<Vec<u8>>> {
        let mut recorded = None;
        for (name, value) in &entry.xattrs {
            let is_recorded = self.ownership == Ownership::Recorded && name == CAPABILITY_XATTR;
            match rfs::fsetxattr(
                file,
                std::ffi::OsStr::from_bytes(name),
                value,
                rfs::XattrFlags::empty(),
            ) {
                // The file system has no such attributes; nothing that runs could see them anyway.
                Ok(()) | Err(Errno::NOTSUP) => {}
                // Not root, or root of a namespace in which there is no user 0.
                Err(Errno::PERM | Errno::INVAL) if is_recorded => recorded = Some(value.clone()),
                Err(errno) => return Err(errno),
            }
        }
        Ok(recorded)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    Whiteout,
    Other,
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
