//! The members of one layer, made on disk one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self as rfs, AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::Error;
use super::apply::{Ownership, Report};
use super::entry::{CAPABILITY_XATTR, Entry, EntryPath, Kind};
use super::owners::{Device, Owned};
use super::whiteout::{self, Whiteout};
use super::within::{clear_xattrs, create_file, open_directory, open_in_root, resolve, times};

pub(super) struct Unpacker {
    root: OwnedFd,
    ownership: Ownership,
    /// The directory of the entry before: neighbours are the rule.
    parent: Option<Parent>,
    /// Owners, modes and times of directories, set at the end: what is put into them changes their times, and their
    /// modes may forbid it. Nothing else is remembered: a layer may have a million members.
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
    pub(super) fn new(root: OwnedFd, ownership: Ownership) -> Self {
        Self {
            root,
            ownership,
            parent: None,
            directories: BTreeMap::new(),
            implied: BTreeSet::new(),
            report: Report::default(),
        }
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
        let replaced = self.make_room(entry)?;
        match &entry.kind {
            Kind::Directory => self.directory(entry, replaced),
            Kind::File { size } => self.file(entry, *size, content),
            Kind::HardLink { target } => self.link(entry, target),
            Kind::Symlink { .. }
            | Kind::CharacterDevice { .. }
            | Kind::BlockDevice { .. }
            | Kind::Fifo => self.special(entry),
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

    fn directory(&mut self, entry: &Entry, replaced: Option<Replaced>) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let name = entry.path.file_name();
        let is_new = match rfs::mkdirat(self.parent(), name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(failed(errno)),
        };
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
        self.own(directory.as_fd(), entry.uid, entry.gid)
            .map_err(failed)?;
        let mut owned = Owned::by(entry.uid, entry.gid);
        owned.capability = self.set_xattrs(directory.as_fd(), entry).map_err(failed)?;
        self.directories
            .insert(entry.path.clone(), Attributes::of(entry));
        self.implied.remove(&entry.path);
        self.record(&entry.path, owned)
    }

    fn file(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let file = create_file(self.parent(), entry.path.file_name()).map_err(failed)?;
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
        // Owner, attributes, mode, in this order: changing the owner clears setuid bits and capabilities, and the mode
        // may forbid to set attributes.
        self.own(file.as_fd(), entry.uid, entry.gid)
            .map_err(failed)?;
        let mut owned = Owned::by(entry.uid, entry.gid);
        owned.capability = self.set_xattrs(file.as_fd(), entry).map_err(failed)?;
        rfs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(failed)?;
        rfs::futimens(&file, &times(entry.mtime)).map_err(failed)?;
        self.record(&entry.path, owned)
    }

    /// Links, devices, pipes: what has no content and no descriptor of its own.
    fn special(&mut self, entry: &Entry) -> Result<(), Error> {
        let failed = |errno: Errno| io_error("unpack", &entry.path, errno);
        let name = entry.path.file_name();
        let mut owned = Owned::by(entry.uid, entry.gid);
        let private = Mode::from_raw_mode(0o600);
        match &entry.kind {
            Kind::Symlink { target } => {
                rfs::symlinkat(&target[..], self.parent(), name).map_err(failed)?;
            }
            Kind::CharacterDevice { major, minor } => {
                let device = Device::Character {
                    major: *major,
                    minor: *minor,
                };
                match self.device(entry, device)? {
                    Made::Device => {}
                    Made::Placeholder => owned.device = Some(device),
                    Made::Nothing => return Ok(()),
                }
            }
            Kind::BlockDevice { major, minor } => {
                let device = Device::Block {
                    major: *major,
                    minor: *minor,
                };
                match self.device(entry, device)? {
                    Made::Device => {}
                    Made::Placeholder => owned.device = Some(device),
                    Made::Nothing => return Ok(()),
                }
            }
            _ => rfs::mknodat(self.parent(), name, FileType::Fifo, private, 0).map_err(failed)?,
        }
        if self.ownership == Ownership::Real {
            let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rfs::chownat(self.parent(), name, Some(uid), Some(gid), flags).map_err(failed)?;
        }
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            let mode = Mode::from_raw_mode(entry.mode);
            rfs::chmodat(self.parent(), name, mode, AtFlags::empty()).map_err(failed)?;
        }
        let times = times(entry.mtime);
        rfs::utimensat(self.parent(), name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        self.record(&entry.path, owned)
    }

    /// Takes away what stands in the way of an entry: a later member of the same name wins. A directory stays when
    /// the new entry is one too.
    fn make_room(&mut self, entry: &Entry) -> Result<Option<Replaced>, Error> {
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
        match rfs::linkat(
            &resolved,
            target.file_name(),
            self.parent(),
            entry.path.file_name(),
            AtFlags::empty(),
        ) {
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

    /// Makes a device, or what takes its place when this user may not (inside a user namespace).
    fn device(&mut self, entry: &Entry, device: Device) -> Result<Made, Error> {
        let failed = |errno: Errno| io_error("make the device", &entry.path, errno);
        let name = entry.path.file_name();
        let (kind, major, minor) = match device {
            Device::Character { major, minor } => (FileType::CharacterDevice, major, minor),
            Device::Block { major, minor } => (FileType::BlockDevice, major, minor),
        };
        let number = rfs::makedev(major, minor);
        if kind == FileType::CharacterDevice && number == 0 {
            // On disk this is overlay's whiteout; as a tar member it is not how layers delete.
            return Err(Error::Hostile(format!("`{}` is a device 0:0", entry.path)));
        }
        let private = Mode::from_raw_mode(0o600);
        match rfs::mknodat(self.parent(), name, kind, private, number) {
            Ok(()) => Ok(Made::Device),
            Err(Errno::PERM | Errno::ACCESS) if self.ownership == Ownership::Recorded => {
                create_file(self.parent(), name).map_err(failed)?;
                Ok(Made::Placeholder)
            }
            Err(Errno::PERM | Errno::ACCESS) => {
                self.report.skipped_devices += 1;
                Ok(Made::Nothing)
            }
            Err(errno) => Err(failed(errno)),
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
        let directory = open_directory(parent.as_fd(), name).map_err(failed)?;
        self.own(directory.as_fd(), 0, 0).map_err(failed)?;
        self.directories
            .insert(path.clone(), Attributes::of(&implied));
        self.implied.insert(path.clone());
        open_in_root(self.root.as_fd(), path).map_err(failed)
    }

    /// Gives directories their modes and times, the deepest first.
    pub(super) fn finish(mut self) -> Result<Report, Error> {
        for (path, attributes) in self.directories.iter().rev() {
            let failed = |errno: Errno| io_error("set the mode of", path, errno);
            let directory = match open_in_root(self.root.as_fd(), path) {
                Ok(directory) => directory,
                // A later member replaced it or a link that led to it.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            let directory = open_directory(directory.as_fd(), b".").map_err(failed)?;
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
            Ownership::Real => {
                rfs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            }
            Ownership::Recorded => Ok(()),
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

/// What was made for a device.
enum Made {
    Device,
    Placeholder,
    Nothing,
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
