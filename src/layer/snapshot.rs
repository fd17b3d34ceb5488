//! A root file system at one moment, to find later what changed.
//!
//! The kernel stamps every change of a file with a time that no program can set (ctime), so path, inode and ctime
//! together tell what is as it was. A renamed directory leaves what is in it with the old times; the paths show it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{self as rfs, AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::change::{Before, Content, Found};
use super::codec::{Damaged, Decoder, Encoder};
use super::entry::{Entry, EntryPath, Kind};
use super::owners::Owned;
use super::{Error, disk};
use crate::digest::Digest;
use crate::event::Observer;
use crate::fs::Context;

/// The kernel stamps files with the time of its last tick, and the slowest configuration ticks 100 times a second.
const TICK: Duration = Duration::from_millis(10);
const MAGIC: &[u8] = b"overcoat snapshot 1\n";

/// What is noted of a file. Times are in nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The device that holds it.
    pub device: u64,
    /// Its inode on that device.
    pub inode: u64,
    /// When the inode was made; `None` where the file system does not say.
    pub born: Option<i64>,
    /// When the inode was changed last.
    pub changed: i64,
    /// Kind and permissions, as in `st_mode`.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
    detail: Option<Box<Detail>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    entry: Entry,
    /// Of files that can be read.
    digest: Option<Digest>,
}

impl Record {
    /// True when nothing happened to the file between the two looks at it.
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |of: &Self| (of.device, of.inode, of.born, of.changed, of.mode, of.size);
        key(self) == key(other)
    }

    /// True when `metadata` is of the same inode: inode numbers are used again, but not with the same time of birth.
    pub fn is_same_inode(&self, metadata: &Metadata) -> bool {
        let born = metadata
            .created()
            .ok()
            .and_then(|time| i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok());
        let is_same_birth = match (self.born, born) {
            (Some(before), Some(now)) => before == now,
            _ => true,
        };
        let kind = FileType::from_raw_mode;
        is_same_birth
            && (self.device, self.inode) == (metadata.dev(), metadata.ino())
            && kind(self.mode) == kind(metadata.mode())
    }

    /// True for directories.
    pub fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.mode).is_dir()
    }

    /// The file as a layer would have it, in snapshots with contents.
    pub fn entry(&self) -> Option<&Entry> {
        self.detail.as_ref().map(|detail| &detail.entry)
    }
}

/// How much a snapshot notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// That a file is there, which inode it is and when it changed: enough where layers say what was there.
    Listed,
    /// All that a layer says of it, and the SHA-256 of its content. What this user may not read is left out: it may
    /// not change it either.
    Hashed,
}

/// A root file system at one moment: every path with its [`Record`], sorted, the root itself first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    records: Vec<(EntryPath, Record)>,
    /// Mount points, and what was to be skipped: below them it says nothing.
    covered: BTreeSet<EntryPath>,
    contents: Contents,
}

impl Snapshot {
    /// Looks at everything below `root`, but for `skip` (with all below it) and what is mounted there.
    ///
    /// Returns only when a change that is made now gets a later time than any change before.
    ///
    /// # Errors
    /// [`Error::File`] with the path that could not be read, [`Error::Path`] for names that no layer can hold,
    /// [`Error::Interrupted`].
    pub fn take(
        root: &Path,
        skip: &[EntryPath],
        contents: Contents,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let snapshot = Self::look(root, skip, contents, observer)?;
        std::thread::sleep(TICK * 2);
        Ok(snapshot)
    }

    /// As [`Self::take`], at once: for a tree in which nothing happens any more.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn look(
        root: &Path,
        skip: &[EntryPath],
        contents: Contents,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rfs::open(root, flags, Mode::empty()).context("open directory", root)?;
        let mut walk = Walk {
            root,
            contents,
            observer,
            pending: Vec::new(),
            snapshot: Self {
                records: Vec::new(),
                covered: skip.iter().cloned().collect(),
                contents,
            },
        };
        let path = EntryPath::parse(b"")?;
        let status = statx(&top, Path::new("")).context("read", root)?;
        walk.note(path.clone(), &status)?;
        walk.pending.push(path);
        while let Some(path) = walk.pending.pop() {
            walk.directory(&top, &path)?;
        }
        let mut snapshot = walk.snapshot;
        snapshot.records.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(snapshot)
    }

    /// Every path with its record, sorted by path, the root (the empty path) first.
    pub fn records(&self) -> &[(EntryPath, Record)] {
        &self.records
    }

    /// What is noted of `path`.
    pub fn get(&self, path: &EntryPath) -> Option<&Record> {
        let index = self.records.binary_search_by(|(known, _)| known.cmp(path));
        index.ok().map(|index| &self.records[index].1)
    }

    /// True when the snapshot has nothing to say of `path`: something is mounted there or above, or it was skipped.
    pub fn is_covered(&self, path: &EntryPath) -> bool {
        let mut above = Some(path.clone());
        while let Some(path) = above.filter(|_| !self.covered.is_empty()) {
            if self.covered.contains(&path) {
                return true;
            }
            above = path.parent();
        }
        false
    }

    /// Where something is mounted, or was to be skipped.
    pub fn covered(&self) -> impl Iterator<Item = &EntryPath> {
        self.covered.iter()
    }

    /// What was there, for comparing; `None` when the snapshot does not know contents.
    pub fn as_before(&self) -> Option<&dyn Before> {
        (self.contents == Contents::Hashed).then_some(self)
    }

    /// The same snapshot of the same file system, which has another device number since (after a reboot).
    pub fn on_device(mut self, device: u64) -> Self {
        let known = self.records.first().map(|(_, root)| root.device);
        for (_, record) in &mut self.records {
            if Some(record.device) == known {
                record.device = device;
            }
        }
        self
    }

    /// The snapshot as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(MAGIC);
        encoder.u8(u8::from(self.contents == Contents::Hashed));
        encoder.u64(self.covered.len() as u64);
        for path in &self.covered {
            encoder.bytes(path.as_bytes());
        }
        for (path, record) in &self.records {
            encoder.bytes(path.as_bytes());
            encoder.u64(record.device);
            encoder.u64(record.inode);
            encoder.i64(record.born.unwrap_or(i64::MIN));
            encoder.i64(record.changed);
            encoder.u32(record.mode);
            encoder.u64(record.size);
            if let Some(detail) = &record.detail {
                put_detail(&mut encoder, detail);
            }
        }
        encoder.finish()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Damaged`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut decoder = Decoder::open(bytes, MAGIC)?;
        let contents = match decoder.u8()? {
            0 => Contents::Listed,
            1 => Contents::Hashed,
            _ => return Err(Damaged),
        };
        let mut covered = BTreeSet::new();
        for _ in 0..decoder.u64()? {
            covered.insert(decoder.path()?);
        }
        let mut records: Vec<(EntryPath, Record)> = Vec::new();
        while !decoder.is_at_end() {
            let path = decoder.path()?;
            if records.last().is_some_and(|(last, _)| *last >= path) {
                return Err(Damaged);
            }
            let mut record = Record {
                device: decoder.u64()?,
                inode: decoder.u64()?,
                born: Some(decoder.i64()?).filter(|born| *born != i64::MIN),
                changed: decoder.i64()?,
                mode: decoder.u32()?,
                size: decoder.u64()?,
                detail: None,
            };
            if contents == Contents::Hashed && !is_socket(&record) {
                record.detail = Some(Box::new(take_detail(&mut decoder, &path, &record)?));
            }
            records.push((path, record));
        }
        Ok(Self {
            records,
            covered,
            contents,
        })
    }
}

/// The kind and the permissions are in the record's mode already.
fn put_detail(encoder: &mut Encoder, detail: &Detail) {
    let entry = &detail.entry;
    encoder.u32(entry.uid);
    encoder.u32(entry.gid);
    encoder.i64(entry.mtime);
    match &entry.kind {
        Kind::Symlink { target } => encoder.bytes(target),
        Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            encoder.u32(*major);
            encoder.u32(*minor);
        }
        _ => {}
    }
    encoder.u32(u32::try_from(entry.xattrs.len()).unwrap_or(u32::MAX));
    for (name, value) in &entry.xattrs {
        encoder.bytes(name);
        encoder.bytes(value);
    }
    let digest = detail.digest.as_ref().map(ToString::to_string);
    encoder.bytes(digest.unwrap_or_default().as_bytes());
}

fn take_detail(
    decoder: &mut Decoder<'_>,
    path: &EntryPath,
    record: &Record,
) -> Result<Detail, Damaged> {
    let (uid, gid, mtime) = (decoder.u32()?, decoder.u32()?, decoder.i64()?);
    let kind = match FileType::from_raw_mode(record.mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File { size: record.size },
        FileType::Fifo => Kind::Fifo,
        FileType::Symlink => Kind::Symlink {
            target: decoder.bytes()?.to_vec(),
        },
        FileType::CharacterDevice => Kind::CharacterDevice {
            major: decoder.u32()?,
            minor: decoder.u32()?,
        },
        FileType::BlockDevice => Kind::BlockDevice {
            major: decoder.u32()?,
            minor: decoder.u32()?,
        },
        _ => return Err(Damaged),
    };
    let mut entry = Entry::new(path.clone(), kind, record.mode & 0o7777);
    (entry.uid, entry.gid, entry.mtime) = (uid, gid, mtime);
    for _ in 0..decoder.u32()? {
        let name = decoder.bytes()?.to_vec();
        entry.xattrs.insert(name, decoder.bytes()?.to_vec());
    }
    let digest = match std::str::from_utf8(decoder.bytes()?) {
        Ok("") => None,
        Ok(text) => Some(text.parse().map_err(|_| Damaged)?),
        Err(_) => return Err(Damaged),
    };
    Ok(Detail { entry, digest })
}

/// Sockets are noted, but no layer says anything of them.
fn is_socket(record: &Record) -> bool {
    FileType::from_raw_mode(record.mode) == FileType::Socket
}

struct Walk<'a> {
    root: &'a Path,
    contents: Contents,
    observer: &'a dyn Observer,
    pending: Vec<EntryPath>,
    snapshot: Snapshot,
}

impl Walk<'_> {
    fn directory(&mut self, top: &OwnedFd, path: &EntryPath) -> Result<(), Error> {
        if self.observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let place = path.below(self.root);
        let name = match path.is_root() {
            true => Path::new("."),
            false => path.as_path(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rfs::openat(top, name, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(Errno::ACCESS) if self.contents == Contents::Hashed => {
                self.snapshot.covered.insert(path.clone());
                return Ok(());
            }
            Err(errno) => return Err(failed("open directory", &place, errno)),
        };
        let names = rfs::Dir::read_from(&directory).context("read directory", &place)?;
        for found in names {
            let found = found.context("read directory", &place)?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let child = path.join(name)?;
            if self.snapshot.covered.contains(&child) {
                continue;
            }
            let status = match statx(&directory, Path::new(OsStr::from_bytes(name))) {
                Ok(status) => status,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed("read", &child.below(self.root), errno)),
            };
            if status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                self.snapshot.covered.insert(child);
                continue;
            }
            if FileType::from_raw_mode(status.stx_mode.into()).is_dir() {
                self.pending.push(child.clone());
            }
            self.note(child, &status)?;
        }
        Ok(())
    }

    fn note(&mut self, path: EntryPath, status: &rfs::Statx) -> Result<(), Error> {
        let time = |time: rfs::StatxTimestamp| {
            time.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(time.tv_nsec.into())
        };
        let is_born = status.stx_mask & StatxFlags::BTIME.bits() != 0;
        let mut record = Record {
            device: rfs::makedev(status.stx_dev_major, status.stx_dev_minor),
            inode: status.stx_ino,
            born: is_born.then(|| time(status.stx_btime)),
            changed: time(status.stx_ctime),
            mode: status.stx_mode.into(),
            size: status.stx_size,
            detail: None,
        };
        if self.contents == Contents::Hashed && !is_socket(&record) {
            match detail(&path.below(self.root), &path) {
                Ok(detail) => record.detail = Some(Box::new(detail)),
                // It is gone meanwhile: others work in this file system too.
                Err(Error::File(error)) if error.is_absent() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.snapshot.records.push((path, record));
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path, errno: Errno) -> Error {
    crate::fs::Error::new(action, path, errno.into()).into()
}

fn statx(directory: impl AsFd, name: &Path) -> rustix::io::Result<rfs::Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    rfs::statx(directory, name, flags, wanted)
}

fn detail(file: &Path, path: &EntryPath) -> Result<Detail, Error> {
    let may_read = |error: &Error| !matches!(error, Error::File(error) if error.source.kind() == io::ErrorKind::PermissionDenied);
    let metadata = fs::symlink_metadata(file).context("read", file)?;
    let owned = Owned::by(metadata.uid(), metadata.gid());
    let xattrs = match disk::xattrs(file) {
        Err(error) if !may_read(&error) => Default::default(),
        xattrs => xattrs?,
    };
    let entry = disk::entry_with(file, path.clone(), &metadata, owned, xattrs)?;
    let digest = match entry.kind {
        Kind::File { .. } => match disk::content_digest(file) {
            Err(error) if !may_read(&error) => None,
            digest => Some(digest?),
        },
        _ => None,
    };
    Ok(Detail { entry, digest })
}

impl Before for Snapshot {
    fn find(&self, path: &EntryPath) -> Result<Option<Found>, Error> {
        let detail = self.get(path).and_then(|record| record.detail.as_deref());
        Ok(detail.map(|detail| Found {
            entry: detail.entry.clone(),
            content: match &detail.digest {
                Some(digest) => Content::Digest(digest.clone()),
                None => Content::Unknown,
            },
        }))
    }

    fn names(&self, directory: &EntryPath) -> Result<Vec<Vec<u8>>, Error> {
        let start = self.records.partition_point(|(path, _)| path < directory);
        let below = self.records[start..]
            .iter()
            .map(|(path, _)| path)
            .skip_while(|path| *path == directory);
        // Between a directory and what is in it there may be others: `a`, `a-b`, `a/c`.
        let prefix = [directory.as_bytes(), b"/"].concat();
        let names = below
            .take_while(|path| {
                directory.is_root() || path.as_bytes().starts_with(directory.as_bytes())
            })
            .filter(|path| directory.is_root() || path.as_bytes().starts_with(&prefix))
            .filter(|path| path.parent().as_ref() == Some(directory))
            .map(|path| path.file_name().to_vec())
            .collect();
        Ok(names)
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
