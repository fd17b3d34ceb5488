//! Reading zip archives strictly: what two readers could understand differently is refused.
//!
//! Wheels come from anybody. A member that overlaps another, a directory that says one thing and the member's own
//! header another, a name twice, bytes that belong to nothing: each has been used to show one archive to a checker and
//! another to an installer. So the archive is accepted as a whole, when it is opened, or not at all; what is left for
//! later is the content of the members ([`Unpacking`]).
//!
//! ```text
//! ┌ member 0 ──────────────────────────┬ member 1 ┬ … ┬ directory ┬ (zip64 end, locator) ┬ end ┐
//! │ local header  data  (descriptor)   │          │   │           │                      │     │
//! ```
//!
//! Nothing may lie between these parts, before the first or after the last.
//!
//! # Spec
//! PKWARE APPNOTE.TXT 6.3.10; packaging.python.org, *Binary distribution format*.

mod directory;
mod fields;
mod local;
mod names;
mod unpacking;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

pub use unpacking::{Piece, Scratch, Unpacking};

/// Bytes that can be read from any position, as those of a file.
pub trait ReadAt {
    /// Reads some bytes from `offset` on: how many; 0 at the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The size in bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.as_slice().read_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Why an archive is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("the archive cannot be read: {}", crate::fs::reason(.0))]
    Io(#[from] io::Error),
    /// Something is wrong with the whole of it.
    #[error("the archive {0}")]
    Archive(String),
    /// Something is wrong with one member.
    #[error("the archive's member `{name}` {reason}")]
    Member {
        /// Its name, escaped, cut to 200 characters.
        name: String,
        /// A sentence without its subject.
        reason: String,
    },
}

impl Error {
    fn archive(reason: impl Into<String>) -> Self {
        Self::Archive(reason.into())
    }

    fn member(name: &str, reason: impl Into<String>) -> Self {
        Self::Member {
            name: name.escape_debug().take(200).collect(),
            reason: reason.into(),
        }
    }
}

/// How much an archive may hold. What is more is refused before anything is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The central directory, in bytes.
    pub directory_bytes: u64,
    /// How many members.
    pub members: u64,
    /// All members unpacked, in bytes.
    pub unpacked_bytes: u64,
    /// How many times larger than its data a member may be, if it is larger than [`Self::small_bytes`].
    pub member_ratio: u64,
    /// How many times larger than the archive all members together may be, if they are larger than
    /// [`Self::small_bytes`].
    pub archive_ratio: u64,
    /// What is not larger than this, in bytes, is no bomb.
    pub small_bytes: u64,
}

impl Default for Limits {
    /// Several times what the largest wheels on PyPI have: 3 GB packed, 40,000 members, 8 GB unpacked; deflate itself
    /// ends at 1,032 to 1.
    fn default() -> Self {
        Self {
            directory_bytes: 64 << 20,
            members: 300_000,
            unpacked_bytes: 32 << 30,
            member_ratio: 500,
            archive_ratio: 100,
            small_bytes: 32 << 20,
        }
    }
}

/// How a member's data is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As it is (0).
    Stored,
    /// As a raw deflate stream (8; RFC 1951).
    Deflated,
}

/// One member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name: a relative path in its one spelling, with a slash at the end if it is a directory.
    pub name: String,
    /// How its data is packed.
    pub method: Method,
    /// The CRC-32 of its content.
    pub crc32: u32,
    /// Its data in bytes.
    pub packed_size: u64,
    /// Its content in bytes.
    pub size: u64,
    /// Its mode as in `stat`; 0 when the archive gives none. Read whatever system the archive says it was made on, as
    /// Python's `zipfile` and pip do.
    pub mode: u32,
    /// Where its data begins.
    data: u64,
}

impl Member {
    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.name.ends_with('/')
    }

    /// True when somebody may execute it, by pip's rule: the mode says that it is a regular file, and has an `x`.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000 && self.mode & 0o111 != 0
    }
}

/// An archive whose structure was checked.
#[derive(Clone, Debug)]
pub struct Archive<R> {
    reader: R,
    members: Vec<Member>,
}

impl<R: ReadAt> Archive<R> {
    /// Reads the directory and every member's local header, and checks that they agree and fill the archive.
    ///
    /// # Errors
    /// [`Error::Member`] and [`Error::Archive`] for whatever could be understood in two ways, is not allowed in wheels
    /// (encryption, links, methods other than stored and deflated, several disks), leads out of the directory that it
    /// is unpacked to, or exceeds `limits`; [`Error::Io`] when reading fails.
    pub fn open(reader: R, limits: &Limits) -> Result<Self, Error> {
        let found = directory::read(&reader, limits)?;
        names::check(&found.records)?;
        check_sizes(&found, limits)?;
        let mut members = local::members(&reader, found)?;
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { reader, members })
    }

    /// The members, sorted by name.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The place of the member with this name in [`Self::members`].
    pub fn find(&self, name: &str) -> Option<usize> {
        self.members
            .binary_search_by(|member| member.name.as_str().cmp(name))
            .ok()
    }

    /// A member's data as it is packed.
    pub fn raw(&self, member: &Member) -> Raw<'_, R> {
        Raw {
            reader: &self.reader,
            at: member.data,
            left: member.packed_size,
        }
    }

    /// A member's whole content, checked.
    ///
    /// # Errors
    /// [`Error::Member`] when it is larger than `limit` bytes or not as the archive says, [`Error::Io`].
    pub fn read(&self, member: &Member, limit: u64) -> Result<Vec<u8>, Error> {
        if member.size > limit {
            let reason = format!("is larger than {limit} bytes");
            return Err(Error::member(&member.name, reason));
        }
        let mut scratch = Scratch::default();
        let mut unpacking = Unpacking::new(self.raw(member), member, &mut scratch);
        let mut content = Vec::new();
        while let Some(piece) = unpacking.next()? {
            content.extend_from_slice(piece.content);
        }
        Ok(content)
    }

    /// The first bytes of a member's content, at most `count`; what follows is not checked.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_start(&self, member: &Member, count: usize) -> Result<Vec<u8>, Error> {
        let mut scratch = Scratch::default();
        let mut unpacking = Unpacking::new(self.raw(member), member, &mut scratch);
        let mut content = Vec::new();
        while content.len() < count
            && let Some(piece) = unpacking.next()?
        {
            content.extend_from_slice(piece.content);
        }
        content.truncate(count);
        Ok(content)
    }
}

/// The data of one member.
#[derive(Debug)]
pub struct Raw<'a, R> {
    reader: &'a R,
    at: u64,
    left: u64,
}

impl<R: ReadAt> Read for Raw<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let count = self.reader.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Refuses bombs by what the directory says of sizes; unpacking never gives out more than that.
fn check_sizes(found: &directory::Directory, limits: &Limits) -> Result<(), Error> {
    let mut total: u64 = 0;
    for record in &found.records {
        total = total.saturating_add(record.size);
        if record.size > limits.small_bytes
            && record.size / limits.member_ratio > record.packed_size
        {
            let reason = format!(
                "unpacks to {} bytes, more than {} times its packed size: it is taken for a bomb",
                record.size, limits.member_ratio
            );
            return Err(Error::member(&record.name, reason));
        }
    }
    let is_bomb = total > limits.small_bytes && total / limits.archive_ratio > found.archive_bytes;
    if total > limits.unpacked_bytes || is_bomb {
        return Err(Error::archive(format!(
            "unpacks to {total} bytes; the limits are {} bytes and {} times its own size",
            limits.unpacked_bytes, limits.archive_ratio
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "zip_tests.rs"]
pub(crate) mod tests;
