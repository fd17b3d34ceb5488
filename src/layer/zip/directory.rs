//! The end of the archive and its central directory (APPNOTE 4.3.12 to 4.3.16).

use super::fields::{Extra, Zip64, read_exact, u16_at, u32_at, u64_at};
use super::{Error, Limits, Method, ReadAt};

const END_SIGNATURE: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const MAX_COMMENT: usize = u16::MAX as usize;
const LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const LOCATOR_BYTES: u64 = 20;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const END64_BYTES: u64 = 56;
const RECORD_SIGNATURE: u32 = 0x0201_4b50;
const RECORD_BYTES: usize = 46;

/// The bit of a data descriptor after the data.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
/// The bit of names in UTF-8.
pub(super) const UTF8: u16 = 1 << 11;
/// Hints for the compressor, without meaning for a reader.
pub(super) const HINTS: u16 = 0b110;

/// What the directory says of one member.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) flags: u16,
    pub(super) method: Method,
    pub(super) crc32: u32,
    pub(super) packed_size: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Where its local header is.
    pub(super) offset: u64,
}

/// The central directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) records: Vec<Record>,
    /// Where it begins: the members end there.
    pub(super) offset: u64,
    /// The size of the whole archive.
    pub(super) archive_bytes: u64,
}

pub(super) fn read(reader: &impl ReadAt, limits: &Limits) -> Result<Directory, Error> {
    let archive_bytes = reader.size()?;
    let end = End::find(reader, archive_bytes)?;
    if end.size > limits.directory_bytes || end.count > limits.members {
        return Err(Error::archive(format!(
            "has a directory of {} members in {} bytes, more than the limits of {} and {}",
            end.count, end.size, limits.members, limits.directory_bytes
        )));
    }
    let mut bytes = vec![0; usize::try_from(end.size).unwrap_or(usize::MAX)];
    read_exact(reader, &mut bytes, end.offset)?;
    let mut rest = &bytes[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, after) = Record::parse(rest)?;
        records.push(record);
        rest = after;
    }
    if records.len() as u64 != end.count {
        return Err(Error::archive(format!(
            "has {} members in its directory but says that there are {}",
            records.len(),
            end.count
        )));
    }
    Ok(Directory {
        records,
        offset: end.offset,
        archive_bytes,
    })
}

/// What the end of the archive says of the directory.
struct End {
    count: u64,
    size: u64,
    offset: u64,
}

impl End {
    fn find(reader: &impl ReadAt, archive_bytes: u64) -> Result<Self, Error> {
        let window = archive_bytes.min((END_BYTES + MAX_COMMENT) as u64);
        let start = archive_bytes - window;
        // At most 64 KiB.
        let mut tail = vec![0; window as usize];
        read_exact(reader, &mut tail, start)?;
        let is_end = |at: &usize| {
            let bytes = &tail[*at..];
            u32_at(bytes, 0) == END_SIGNATURE
                && END_BYTES + usize::from(u16_at(bytes, 20)) == bytes.len()
        };
        let mut found = (0..(tail.len() + 1).saturating_sub(END_BYTES)).filter(is_end);
        let at = found.next().ok_or_else(|| {
            Error::archive("is no zip archive, is cut off, or has bytes after its end")
        })?;
        if found.next().is_some() {
            return Err(Error::archive("has two ends"));
        }
        let bytes = &tail[at..];
        // This disk, the directory's disk; members here, members in all.
        if u16_at(bytes, 4) != u16_at(bytes, 6) || u16_at(bytes, 8) != u16_at(bytes, 10) {
            return Err(Error::archive("is spread over several disks"));
        }
        let short = Self {
            count: u16_at(bytes, 10).into(),
            size: u32_at(bytes, 12).into(),
            offset: u32_at(bytes, 16).into(),
        };
        let position = start + at as u64;
        let (end, after) = match Self::zip64(reader, position, &short)? {
            Some((end, offset)) => (end, offset),
            None if u16_at(bytes, 4) != 0 => {
                return Err(Error::archive("is spread over several disks"));
            }
            None => (short, position),
        };
        if end.offset.checked_add(end.size) != Some(after) {
            return Err(Error::archive(
                "has bytes between its parts, or its directory is not where it says",
            ));
        }
        Ok(end)
    }

    /// The zip64 end before the end at `position`, if there is one, and where it is.
    fn zip64(
        reader: &impl ReadAt,
        position: u64,
        short: &Self,
    ) -> Result<Option<(Self, u64)>, Error> {
        let Some(locator_at) = position.checked_sub(LOCATOR_BYTES) else {
            return Ok(None);
        };
        let mut locator = [0; LOCATOR_BYTES as usize];
        read_exact(reader, &mut locator, locator_at)?;
        // Could also be the end of a member's comment; then the directory would end after the locator.
        let is_short = short.offset.checked_add(short.size) == Some(position);
        if u32_at(&locator, 0) != LOCATOR_SIGNATURE || is_short {
            return Ok(None);
        }
        let offset = u64_at(&locator, 8);
        if u32_at(&locator, 4) != 0 || u32_at(&locator, 16) > 1 {
            return Err(Error::archive("is spread over several disks"));
        }
        let disagrees = || Error::archive("has a zip64 end that does not agree with its end");
        if offset
            .checked_add(END64_BYTES)
            .is_none_or(|end| end > locator_at)
        {
            return Err(disagrees());
        }
        let mut bytes = [0; END64_BYTES as usize];
        read_exact(reader, &mut bytes, offset)?;
        // The size field does not count itself and what is before it.
        let length = u64_at(&bytes, 4).checked_add(12);
        if u32_at(&bytes, 0) != END64_SIGNATURE || length != Some(locator_at - offset) {
            return Err(disagrees());
        }
        if u32_at(&bytes, 16) != 0
            || u32_at(&bytes, 20) != 0
            || u64_at(&bytes, 24) != u64_at(&bytes, 32)
        {
            return Err(Error::archive("is spread over several disks"));
        }
        let end = Self {
            count: u64_at(&bytes, 32),
            size: u64_at(&bytes, 40),
            offset: u64_at(&bytes, 48),
        };
        let agrees = |short: u64, long: u64, all: u64| short == all || short == long;
        let all = u32::MAX.into();
        if agrees(short.count, end.count, u16::MAX.into())
            && agrees(short.size, end.size, all)
            && agrees(short.offset, end.offset, all)
        {
            Ok(Some((end, offset)))
        } else {
            Err(disagrees())
        }
    }
}

impl Record {
    /// The record at the beginning of `bytes`, and what follows.
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let cut = || Error::archive("has a directory that is cut off or damaged");
        if bytes.len() < RECORD_BYTES || u32_at(bytes, 0) != RECORD_SIGNATURE {
            return Err(cut());
        }
        let lengths = [28, 30, 32].map(|at| usize::from(u16_at(bytes, at)));
        let [name_end, extra_end, end] = [
            RECORD_BYTES + lengths[0],
            RECORD_BYTES + lengths[0] + lengths[1],
            RECORD_BYTES + lengths.iter().sum::<usize>(),
        ];
        let (record, rest) = bytes.split_at_checked(end).ok_or_else(cut)?;
        let raw_name = &record[RECORD_BYTES..name_end];
        let shown = String::from_utf8_lossy(raw_name);
        let refuse = |reason: &str| Error::member(&shown, reason);

        let flags = u16_at(bytes, 8);
        let name = name(raw_name, flags).map_err(refuse)?;
        if flags & (1 | 1 << 6 | 1 << 13) != 0 {
            return Err(refuse("is encrypted"));
        }
        if flags & !(DESCRIPTOR | UTF8 | HINTS) != 0 {
            return Err(refuse("has flags that are unknown"));
        }
        let extra = Extra::parse(&record[name_end..extra_end]).map_err(refuse)?;
        // Version, CRC-32 of the name in the header, name.
        if extra
            .unicode_path
            .is_some_and(|field| field.get(5..) != Some(raw_name))
        {
            return Err(refuse("has a second name"));
        }
        let mut zip64 = Zip64::new(&extra);
        let size = zip64.resolve(u32_at(bytes, 24)).map_err(refuse)?;
        let packed_size = zip64.resolve(u32_at(bytes, 20)).map_err(refuse)?;
        let offset = zip64.resolve(u32_at(bytes, 42)).map_err(refuse)?;
        // All bits set with zip64: the disk is in the field, after the rest.
        if !matches!(u16_at(bytes, 34), 0 | u16::MAX) {
            return Err(refuse("is on another disk"));
        }
        let method = match u16_at(bytes, 10) {
            0 if packed_size != size => {
                return Err(refuse("is stored, but its packed size is another"));
            }
            0 => Method::Stored,
            8 => Method::Deflated,
            method => {
                return Err(refuse(&format!(
                    "is packed by method {method}: only stored and deflated members can be read"
                )));
            }
        };
        let record = Self {
            name,
            flags,
            method,
            crc32: u32_at(bytes, 16),
            packed_size,
            size,
            mode: u32_at(bytes, 38) >> 16,
            offset,
        };
        record.check_kind()?;
        Ok((record, rest))
    }

    /// Files and directories only.
    fn check_kind(&self) -> Result<(), Error> {
        let reason = match (self.mode & 0o170_000, self.name.ends_with('/')) {
            (0o120_000, _) => "is a symbolic link",
            (0 | 0o040_000, true) if self.size == 0 => return Ok(()),
            (0 | 0o040_000, true) => "is a directory with content",
            (0 | 0o100_000, false) => return Ok(()),
            (_, true) => "has the name of a directory and is none",
            (0o040_000, false) => "is a directory and has the name of a file",
            _ => "is neither a file nor a directory",
        };
        Err(Error::member(&self.name, reason))
    }
}

/// The name as text: ASCII, or UTF-8 that is marked so.
fn name(bytes: &[u8], flags: u16) -> Result<String, &'static str> {
    if !bytes.is_ascii() && flags & UTF8 == 0 {
        return Err("has a name that is neither ASCII nor marked as UTF-8");
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| "has a name that is not UTF-8")
}
