//! The `METADATA` of a wheel that is somewhere else, read with as few and as small requests as possible.
//!
//! A zip file is read from its end: the end record says where the directory is, the directory where the member is.
//! Wheels have their `.dist-info` last, so the end of a small wheel holds all three, and one request is enough.

use std::io::Read;
use std::ops::Range;

use flate2::read::DeflateDecoder;

use super::metadata::MAX_METADATA_BYTES;
use crate::python::WheelName;

/// How much of the end is read first, in bytes. Two wheels in three fit the first request; more would take longer on a
/// slow line than the second request does.
pub(super) const TAIL_BYTES: u64 = 32 << 10;
/// The largest directory that is read: about half a million members.
const MAX_DIRECTORY_BYTES: u64 = 32 << 20;
/// What is read before a directory that did not fit, in the hope that it holds the member.
const AHEAD_BYTES: u64 = 96 << 10;
/// The end record without its comment, and the longest comment.
const END_BYTES: usize = 22;
const MAX_COMMENT_BYTES: u64 = 0xffff;
const LOCATOR_BYTES: usize = 20;
const HEADER_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// Something that can be read from any place.
pub(super) trait Bytes {
    /// Why reading failed.
    type Error;

    /// Its size in bytes.
    fn size(&self) -> u64;

    /// All bytes of a range, which is within its size.
    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, Self::Error>;
}

/// Why there is no `METADATA`.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// The file is not what it should be.
    Zip(&'static str),
    /// It could not be read.
    Read(E),
}

impl<E> From<&'static str> for Failure<E> {
    fn from(reason: &'static str) -> Self {
        Self::Zip(reason)
    }
}

/// The bytes of `NAME-VERSION.dist-info/METADATA`, size and checksum compared with what the directory says.
///
/// # Spec
/// PKWARE's `APPNOTE.TXT` 6.3.10, §4.3.7, §4.3.12 to §4.3.16; packaging.python.org, *Binary distribution format*.
pub(super) fn metadata<B: Bytes>(
    bytes: &mut B,
    wheel: &WheelName,
) -> Result<Vec<u8>, Failure<B::Error>> {
    let mut window = Window::default();
    let range = directory_range(bytes, &mut window)?;
    if range.end - range.start > MAX_DIRECTORY_BYTES {
        return Err("its directory is larger than any wheel's".into());
    }
    let ahead = range.start.saturating_sub(AHEAD_BYTES)..range.end;
    let directory = window.get(bytes, range, ahead)?.to_vec();
    let member = find(&directory, wheel)?;
    let local = member.offset..add(member.offset, LOCAL_BYTES as u64)?;
    // The local header has a name and extra fields of its own length; 1 KiB is more than there ever are.
    let guess = add(local.end, member.packed_size + 1024)?.min(bytes.size());
    let header = window.get(bytes, local.clone(), local.start..guess)?;
    if header.get(..4) != Some(b"PK\x03\x04") {
        return Err("its directory points to no member".into());
    }
    let names = u64::from(u16_at(header, 26)?) + u64::from(u16_at(header, 28)?);
    let start = add(local.end, names)?;
    let range = start..add(start, member.packed_size)?;
    let packed = window.get(bytes, range.clone(), range)?;
    Ok(unpacked(packed, &member)?)
}

/// Bytes that have been read already.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes of `range`; reads `more`, which holds it, when they are not there.
    fn get<B: Bytes>(
        &mut self,
        source: &mut B,
        range: Range<u64>,
        more: Range<u64>,
    ) -> Result<&[u8], Failure<B::Error>> {
        if range.start > range.end || range.end > source.size() {
            return Err("it points outside of itself".into());
        }
        if self.slice(&range).is_none() {
            self.start = more.start;
            self.bytes = source.read(more).map_err(Failure::Read)?;
        }
        self.slice(&range)
            .ok_or(Failure::Zip("it is shorter than it says"))
    }

    fn slice(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..end)
    }
}

/// Where the directory is.
fn directory_range<B: Bytes>(
    bytes: &mut B,
    window: &mut Window,
) -> Result<Range<u64>, Failure<B::Error>> {
    let size = bytes.size();
    for length in [TAIL_BYTES, MAX_COMMENT_BYTES + TAIL_BYTES] {
        let start = size.saturating_sub(length);
        let tail = window.get(bytes, start..size, start..size)?;
        if let Some(position) = end_record(tail) {
            return from_end_record(bytes, window, start + position as u64);
        }
        if start == 0 {
            break;
        }
    }
    Err("it has no end record, so it is no zip file".into())
}

/// The place of the end record in the last bytes of a file: its comment ends where the file does.
fn end_record(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(END_BYTES)?;
    (0..=last).rev().find(|&position| {
        tail[position..].starts_with(b"PK\x05\x06")
            && u16_at(tail, position + 20)
                .is_ok_and(|comment| position + END_BYTES + usize::from(comment) == tail.len())
    })
}

fn from_end_record<B: Bytes>(
    bytes: &mut B,
    window: &mut Window,
    position: u64,
) -> Result<Range<u64>, Failure<B::Error>> {
    let end = add(position, END_BYTES as u64)?;
    let record = window.get(bytes, position..end, position..end)?;
    let (size, offset) = (u32_at(record, 12)?, u32_at(record, 16)?);
    if size != u32::MAX && offset != u32::MAX {
        let start = u64::from(offset);
        return Ok(start..add(start, u64::from(size))?);
    }
    let start = position
        .checked_sub(LOCATOR_BYTES as u64)
        .ok_or("its end record lacks the part for large files")?;
    let locator = window.get(bytes, start..position, start..position)?;
    if locator.get(..4) != Some(b"PK\x06\x07") {
        return Err("its end record lacks the part for large files".into());
    }
    let start = u64_at(locator, 8)?;
    let range = start..add(start, 56)?;
    let record = window.get(bytes, range.clone(), range)?;
    if record.get(..4) != Some(b"PK\x06\x06") {
        return Err("its end record for large files is none".into());
    }
    let (size, start) = (u64_at(record, 40)?, u64_at(record, 48)?);
    Ok(start..add(start, size)?)
}

struct Member {
    method: u16,
    crc32: u32,
    packed_size: u64,
    size: u64,
    offset: u64,
}

/// The member `NAME-VERSION.dist-info/METADATA`. A wheel has one such directory; with several, nobody could say which
/// is meant.
fn find(directory: &[u8], wheel: &WheelName) -> Result<Member, &'static str> {
    let mut found = None;
    let mut rest = directory;
    while rest.len() >= HEADER_BYTES {
        if !rest.starts_with(b"PK\x01\x02") {
            return Err("its directory is damaged");
        }
        let name_length = usize::from(u16_at(rest, 28)?);
        let others = usize::from(u16_at(rest, 30)?) + usize::from(u16_at(rest, 32)?);
        let name = rest.get(HEADER_BYTES..HEADER_BYTES + name_length);
        let name = name.ok_or("its directory is damaged")?;
        if is_metadata(name, wheel) {
            let member = Member {
                method: u16_at(rest, 10)?,
                crc32: u32_at(rest, 16)?,
                packed_size: u64::from(u32_at(rest, 20)?),
                size: u64::from(u32_at(rest, 24)?),
                offset: u64::from(u32_at(rest, 42)?),
            };
            if found.replace(member).is_some() {
                return Err("it has `METADATA` twice");
            }
        }
        let next = rest.get(HEADER_BYTES + name_length + others..);
        rest = next.ok_or("its directory is damaged")?;
    }
    let member = found.ok_or("it has no `METADATA` of its own name and version")?;
    // What is larger than this is refused, and it says so with a number that large files have, too.
    if member.packed_size.max(member.size) > MAX_METADATA_BYTES {
        return Err("its `METADATA` is larger than 8 MiB");
    }
    if member.offset == u64::from(u32::MAX) {
        return Err("its `METADATA` lies beyond 4 GiB");
    }
    Ok(member)
}

/// True for `NAME-VERSION.dist-info/METADATA`, however name and version are written.
fn is_metadata(member: &[u8], wheel: &WheelName) -> bool {
    let directory = member
        .strip_suffix(b".dist-info/METADATA")
        .and_then(|directory| std::str::from_utf8(directory).ok());
    let Some((name, version)) = directory.and_then(|directory| directory.split_once('-')) else {
        return false;
    };
    let is_same_name = name
        .parse()
        .is_ok_and(|name: pep508_rs::PackageName| name == wheel.name);
    let version = version.replace('_', "-").parse::<pep440_rs::Version>();
    is_same_name && version.is_ok_and(|version| version == wheel.version)
}

fn unpacked(packed: &[u8], member: &Member) -> Result<Vec<u8>, &'static str> {
    let mut content = Vec::new();
    match member.method {
        0 => content.extend_from_slice(packed),
        8 => {
            let mut limited = DeflateDecoder::new(packed).take(member.size + 1);
            limited
                .read_to_end(&mut content)
                .map_err(|_| "its `METADATA` cannot be unpacked")?;
        }
        _ => return Err("its `METADATA` is compressed by a method that wheels do not have"),
    }
    let is_right = content.len() as u64 == member.size && crc32fast::hash(&content) == member.crc32;
    is_right
        .then_some(content)
        .ok_or("its `METADATA` is not what its directory says")
}

fn add(one: u64, other: u64) -> Result<u64, &'static str> {
    one.checked_add(other).ok_or("it points outside of itself")
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], &'static str> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or("it is damaged")
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, &'static str> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, &'static str> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, &'static str> {
    number(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
#[path = "zip_member_tests.rs"]
mod tests;
