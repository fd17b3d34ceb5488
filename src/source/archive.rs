//! A tar archive as a source: unpacked into a directory of its own, whoever made it.
//!
//! An archive is believed nothing. Members are written below the directory without ever following a link, names that would
//! lead elsewhere are refused by name, and sizes are counted. What it was compressed with shows in its first bytes.
//! A single directory at the top is not taken away: `--context-dir` chooses it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Error;
use crate::event::{Observer, printable};
use crate::fs::Context;

/// The most that an extension header may hold; paths are at most a fraction of it.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// The memory that unpacking `.xz` may take: `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// The largest window of `.zst` that is accepted, as a power of two: what `zstd` itself accepts.
const ZSTD_WINDOW_LOG: u32 = 27;
/// The longest path that Linux takes.
const MAX_PATH_BYTES: usize = 4096;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all files together, unpacked.
    pub bytes: u64,
    /// How many members.
    pub members: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            members: 2_000_000,
        }
    }
}

/// Why an archive is not unpacked. Names are those of its members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first bytes are those of something else.
    #[error("it is no tar archive")]
    NotTar,
    /// A compression that overcoat does not read.
    #[error("it is compressed with {0}, which overcoat does not read")]
    Compression(&'static str),
    /// It ends early, or a checksum is wrong.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A name that leads out, or that no file can have.
    #[error("the name of its member `{0}` leads out of the archive, or is no file name")]
    Name(String),
    /// A link to what is not in the archive.
    #[error("its member `{name}` is a link to `{target}`, which leads out of the archive")]
    Link {
        /// The link.
        name: String,
        /// Where it points.
        target: String,
    },
    /// Devices, pipes, sparse files.
    #[error("its member `{0}` is no file, directory or link")]
    Kind(String),
    /// A member below another one that is no directory.
    #[error(
        "its member `{0}` lies below a link or a file, or takes the place of a directory that is not empty"
    )]
    Below(String),
    /// Too much.
    #[error("it holds more than {bytes} bytes or {members} members")]
    TooLarge {
        /// Of all files together.
        bytes: u64,
        /// How many members.
        members: u64,
    },
}

impl Refusal {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::NotTar => "make one with `tar -c`; plain, or compressed with gzip, xz or zstd",
            Self::Compression(_) => "unpack it first, or compress it with gzip, xz or zstd",
            Self::Damaged(_) => "make or fetch it again; `tar -t` reads it to the end",
            Self::Name(_) | Self::Below(_) => "make it from within the directory: `tar -c .`",
            Self::Link { .. } | Self::Kind(_) => "leave it out: `tar --exclude NAME`",
            Self::TooLarge { .. } => "leave out what the application does not need",
        }
    }
}

/// What stands in the way, before the archive's name is known.
enum Failure {
    Refused(Refusal),
    Other(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<crate::fs::Error> for Failure {
    fn from(error: crate::fs::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Unpacks a tar archive into `directory`, which must exist and be empty; what was unpacked before a failure stays there.
///
/// Plain, or compressed with gzip, zstd or xz. Files keep their permission bits, without set-user-id and its like, and
/// may always be read by their owner; directories may be entered and written by theirs. Owners and times are not kept. A
/// member that comes again takes the place of the earlier one. `location` is what messages call the archive.
///
/// # Errors
/// [`Error::Archive`] for whatever an archive must not hold, [`Error::File`] when it cannot be written, and
/// [`Error::Interrupted`].
///
/// # Spec
/// POSIX.1-2024 pax; which names and links are refused is that of PEP 706, *data filter*.
pub fn unpack(
    archive: &mut dyn Read,
    location: &str,
    directory: &Path,
    limits: Limits,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let root = rfs::open(
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .context("open", directory)?;
    let mut unpacking = Unpacking {
        root,
        directory,
        limits,
        left: limits,
    };
    let mut archive = BufReader::with_capacity(64 << 10, archive);
    let result = decompressed(&mut archive).and_then(|mut tar| unpacking.read(&mut *tar, observer));
    result.map_err(|failure| match failure {
        Failure::Refused(reason) => Error::Archive {
            location: location.to_owned(),
            reason,
        },
        Failure::Other(error) => error,
    })
}

/// The archive as plain tar; told by its first bytes.
fn decompressed<'a>(archive: &'a mut dyn BufRead) -> Result<Box<dyn Read + 'a>, Failure> {
    let mut start = Vec::new();
    archive.take(512).read_to_end(&mut start).map_err(damaged)?;
    let is = |magic: &[u8]| start.starts_with(magic);
    let is_gzip = is(&[0x1f, 0x8b]);
    let is_zstd = is(&[0x28, 0xb5, 0x2f, 0xfd]);
    let is_xz = is(&[0xfd, b'7', b'z', b'X', b'Z', 0]);
    let named = [
        (is(b"BZh"), "bzip2"),
        (is(b"PK\x03\x04"), "zip"),
        (is(b"7z\xbc\xaf"), "7-Zip"),
        (is(&[0x1f, 0x9d]), "compress"),
    ];
    if let Some((_, name)) = named.into_iter().find(|(is_it, _)| *is_it) {
        return Err(Refusal::Compression(name).into());
    }
    if !is_gzip && !is_zstd && !is_xz {
        check_header(&start)?;
    }
    let whole = io::Cursor::new(start).chain(archive);
    if is_gzip {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(whole)));
    }
    if is_zstd {
        let mut decoder = zstd::Decoder::with_buffer(whole).map_err(damaged)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
        return Ok(Box::new(decoder));
    }
    if is_xz {
        let decoder = lzma_rust2::XzReader::new_mem_limit(whole, true, XZ_MEMORY_KIB);
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}

/// Whether the first block is one of tar: a header with a right checksum, or the end.
fn check_header(block: &[u8]) -> Result<(), Refusal> {
    if block.len() < 512 {
        return Err(Refusal::NotTar);
    }
    if block.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum();
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    match header.cksum() {
        Ok(written) if written == sum => Ok(()),
        _ => Err(Refusal::NotTar),
    }
}

fn damaged(error: io::Error) -> Failure {
    Refusal::Damaged(printable(&crate::fs::reason(&error))).into()
}

struct Unpacking<'a> {
    root: OwnedFd,
    directory: &'a Path,
    limits: Limits,
    left: Limits,
}

/// What extension headers say of the member after them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Unpacking<'_> {
    fn read(&mut self, tar: &mut dyn Read, observer: &dyn Observer) -> Result<(), Failure> {
        let mut first = Vec::new();
        tar.take(512).read_to_end(&mut first).map_err(damaged)?;
        check_header(&first)?;
        let mut archive = tar::Archive::new(io::Cursor::new(first).chain(&mut *tar));
        let mut extensions = Extensions::default();
        for member in archive.entries().map_err(damaged)?.raw(true) {
            if observer.is_cancelled() {
                return Err(Failure::Other(Error::Interrupted));
            }
            let mut member = member.map_err(damaged)?;
            self.count(0, 1)?;
            match member.header().entry_type() {
                tar::EntryType::XHeader => extensions.add_records(&small(&mut member)?)?,
                tar::EntryType::GNULongName => extensions.name = Some(small(&mut member)?),
                tar::EntryType::GNULongLink => extensions.target = Some(small(&mut member)?),
                // What git writes: the commit's id as a comment.
                tar::EntryType::XGlobalHeader => {}
                _ => self.member(&mut member, std::mem::take(&mut extensions), observer)?,
            }
        }
        Ok(())
    }

    fn count(&mut self, bytes: u64, members: u64) -> Result<(), Refusal> {
        let left = self.left.bytes.checked_sub(bytes);
        let members = self.left.members.checked_sub(members);
        match (left, members) {
            (Some(bytes), Some(members)) => {
                self.left = Limits { bytes, members };
                Ok(())
            }
            _ => Err(Refusal::TooLarge {
                bytes: self.limits.bytes,
                members: self.limits.members,
            }),
        }
    }

    fn member<R: Read>(
        &mut self,
        member: &mut tar::Entry<'_, R>,
        extensions: Extensions,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let size = member.size();
        let name = extensions.name(&member.path_bytes());
        let shown = shown(&name);
        // A size that the header has no room for comes in a record; the crate does not know it where members are raw.
        let has_other_size = extensions
            .records
            .get(&b"size"[..])
            .is_some_and(|text| *text != size.to_string().as_bytes());
        let is_sparse = extensions
            .records
            .keys()
            .any(|key| key.starts_with(b"GNU.sparse."));
        if has_other_size || is_sparse {
            return Err(Refusal::Kind(shown).into());
        }
        let mut components = components(&name).ok_or_else(|| Refusal::Name(shown.clone()))?;
        let kind = member.header().entry_type();
        let Some(last) = components.pop() else {
            // `./`, which every `tar -c .` begins with.
            return match kind {
                tar::EntryType::Directory => Ok(()),
                _ => Err(Refusal::Name(shown).into()),
            };
        };
        let mode = member
            .header()
            .mode()
            .map_err(|error| damaged(io::Error::other(error.to_string())))?;
        let mode = Mode::from_raw_mode(mode & 0o777);
        let target = extensions.target(member.link_name_bytes().as_deref());
        let parent = self.parent(&components, &shown)?;
        // Old archives mark directories by the slash alone.
        let is_directory = kind == tar::EntryType::Directory
            || kind == tar::EntryType::Regular && name.ends_with(b"/") && size == 0;
        match kind {
            _ if is_directory => {
                self.directory(&parent, last, mode, &shown)?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                self.count(size, 0)?;
                self.make_room(&parent, last, &shown)?;
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let file = rfs::openat(&parent, last, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(|errno| self.failed(errno, &name))?;
                let mut file = File::from(file);
                self.copy(member, size, &mut file, observer)?;
                rfs::fchmod(&file, mode | Mode::RUSR).map_err(|errno| self.failed(errno, &name))?;
            }
            tar::EntryType::Symlink => {
                let leads_out = || Refusal::Link {
                    name: shown.clone(),
                    target: printable(&String::from_utf8_lossy(&target)),
                };
                if !stays_within(components.len(), &target) {
                    return Err(leads_out().into());
                }
                self.make_room(&parent, last, &shown)?;
                rfs::symlinkat(OsStr::from_bytes(&target), &parent, last)
                    .map_err(|errno| self.failed(errno, &name))?;
            }
            tar::EntryType::Link => {
                let refusal = || Refusal::Link {
                    name: shown.clone(),
                    target: printable(&String::from_utf8_lossy(&target)),
                };
                let mut source = self::components(&target).ok_or_else(refusal)?;
                let source_name = source.pop().ok_or_else(refusal)?;
                let source_parent = self.parent(&source, &shown)?;
                self.hard_link(&source_parent, source_name, &parent, last)
                    .map_err(|errno| match errno {
                        Errno::NOENT | Errno::ISDIR | Errno::PERM => refusal().into(),
                        errno => self.failed(errno, &name),
                    })?;
            }
            _ => return Err(Refusal::Kind(shown).into()),
        }
        Ok(())
    }

    /// Opens the directory that a member lies in, and makes those that the archive does not name. No link is followed.
    fn parent(&self, components: &[&OsStr], shown: &str) -> Result<OwnedFd, Failure> {
        let mut directory = self.root.try_clone().context("open", self.directory)?;
        for component in components {
            let mode = Mode::from_raw_mode(0o755);
            directory = self.directory(&directory, component, mode, shown)?;
        }
        Ok(directory)
    }

    /// Makes a directory, or takes the one that is there; anything else that is there is in the way.
    fn directory(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        mode: Mode,
        shown: &str,
    ) -> Result<OwnedFd, Failure> {
        match rfs::mkdirat(parent, name, mode | Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed(errno, name.as_bytes())),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rfs::openat(parent, name, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOTDIR | Errno::LOOP => Refusal::Below(shown.to_owned()).into(),
            errno => self.failed(errno, name.as_bytes()),
        })
    }

    /// Removes what an earlier member of this name left; an empty directory too.
    fn make_room(&self, parent: &OwnedFd, name: &OsStr, shown: &str) -> Result<(), Failure> {
        let removed = match rfs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => rfs::unlinkat(parent, name, AtFlags::REMOVEDIR),
            other => other,
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(Refusal::Below(shown.to_owned()).into()),
            Err(errno) => Err(self.failed(errno, name.as_bytes())),
        }
    }

    /// Gives an unpacked file one more name; whatever has that name already is replaced.
    fn hard_link(
        &self,
        source_parent: &OwnedFd,
        source: &OsStr,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> rustix::io::Result<()> {
        let place = |at: &OwnedFd, name: &OsStr| {
            let found = rfs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok::<_, Errno>((found.st_dev, found.st_ino))
        };
        let wanted = place(source_parent, source)?;
        match place(parent, name) {
            Ok(there) if there == wanted => return Ok(()),
            Ok(_) => rfs::unlinkat(parent, name, AtFlags::empty())?,
            Err(_) => {}
        }
        rfs::linkat(source_parent, source, parent, name, AtFlags::empty())
    }

    fn copy(
        &self,
        member: &mut impl Read,
        size: u64,
        file: &mut File,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            if observer.is_cancelled() {
                return Err(Failure::Other(Error::Interrupted));
            }
            let count = member.read(&mut buffer).map_err(damaged)?;
            if count == 0 {
                return Err(Refusal::Damaged("it ends within a file".to_owned()).into());
            }
            file.write_all(&buffer[..count])
                .context("write to", self.directory)?;
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }

    fn failed(&self, errno: Errno, name: &[u8]) -> Failure {
        match errno {
            Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => Refusal::Name(shown(name)).into(),
            errno => {
                let path = self.directory.join(OsStr::from_bytes(name));
                crate::fs::Error::new("unpack", path, errno.into()).into()
            }
        }
    }
}

impl Extensions {
    /// The records of a PAX header: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
    fn add_records(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let wrong = || Refusal::Damaged("an extension header is wrong".to_owned());
        // One header a member: many in a row must not fill memory.
        self.records.clear();
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = rest
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(wrong)?;
            let digits = std::str::from_utf8(&rest[..space]).map_err(|_| wrong())?;
            let length: usize = digits.parse().map_err(|_| wrong())?;
            let (record, after) = rest.split_at_checked(length).ok_or_else(wrong)?;
            let record = record
                .get(space + 1..)
                .and_then(|record| record.strip_suffix(b"\n"))
                .ok_or_else(wrong)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            self.records.insert(key.to_vec(), value.to_vec());
            rest = after;
        }
        Ok(())
    }

    fn name(&self, header: &[u8]) -> Vec<u8> {
        let recorded = self.records.get(&b"path"[..]).or(self.name.as_ref());
        recorded.map_or_else(|| header.to_vec(), |name| until_nul(name).to_vec())
    }

    fn target(&self, header: Option<&[u8]>) -> Vec<u8> {
        let recorded = self.records.get(&b"linkpath"[..]).or(self.target.as_ref());
        recorded.map_or_else(
            || header.unwrap_or_default().to_vec(),
            |target| until_nul(target).to_vec(),
        )
    }
}

fn small(member: &mut impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    member
        .take(MAX_EXTENSION_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(damaged)?;
    if bytes.len() as u64 > MAX_EXTENSION_BYTES {
        return Err(Refusal::Damaged("an extension header is too long".to_owned()).into());
    }
    Ok(bytes)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

fn shown(name: &[u8]) -> String {
    let text = printable(&String::from_utf8_lossy(name));
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The components of a member's name; `None` when it leads out or holds what no file name can.
fn components(name: &[u8]) -> Option<Vec<&OsStr>> {
    if name.is_empty() || name.len() > MAX_PATH_BYTES || name.starts_with(b"/") || name.contains(&0)
    {
        return None;
    }
    let mut components = Vec::new();
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            component => components.push(OsStr::from_bytes(component)),
        }
    }
    Some(components)
}

/// Whether the target of a link that lies `depth` directories deep is in the archive, by its text: a link through another one
/// can still lead out, which is why nobody ever follows one.
fn stays_within(depth: usize, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let mut depth = depth;
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

/// Whether a file of this machine begins as an archive does that [`unpack`] reads, or that it refuses for its compression.
pub(super) fn is_archive(file: &Path) -> Result<bool, Error> {
    let mut reader = BufReader::new(crate::fs::open(file)?);
    Ok(!matches!(
        decompressed(&mut reader),
        Err(Failure::Refused(Refusal::NotTar))
    ))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
