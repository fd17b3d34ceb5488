//! Local headers and data descriptors (APPNOTE 4.3.7 and 4.3.9), and that members lie side by side.

use super::directory::{DESCRIPTOR, Directory, HINTS, Record};
use super::fields::{Extra, Zip64, read_exact, u16_at, u32_at, u64_at};
use super::{Error, Member, Method, ReadAt};

const SIGNATURE: u32 = 0x0403_4b50;
const HEADER_BYTES: usize = 30;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;

/// Finds the data of every member.
pub(super) fn members(reader: &impl ReadAt, directory: Directory) -> Result<Vec<Member>, Error> {
    let Directory {
        mut records,
        offset: end,
        ..
    } = directory;
    records.sort_by_key(|record| record.offset);
    if records.first().map_or(end, |record| record.offset) != 0 {
        return Err(Error::archive("has bytes before its first member"));
    }
    let next: Vec<u64> = records.iter().skip(1).map(|record| record.offset).collect();
    let next = next.into_iter().chain([end]);
    let mut members = Vec::with_capacity(records.len());
    for (record, next) in records.into_iter().zip(next) {
        let data = check(reader, &record, next)?;
        members.push(Member {
            name: record.name,
            method: record.method,
            crc32: record.crc32,
            packed_size: record.packed_size,
            size: record.size,
            mode: record.mode,
            data,
        });
    }
    Ok(members)
}

/// Checks a member that ends at `next`; where its data begins.
fn check(reader: &impl ReadAt, record: &Record, next: u64) -> Result<u64, Error> {
    let refuse = |reason: &str| Error::member(&record.name, reason);
    let overlaps = || refuse("overlaps another member or the directory");
    let header_end = record
        .offset
        .checked_add((HEADER_BYTES + record.name.len()) as u64)
        .filter(|end| *end <= next)
        .ok_or_else(overlaps)?;
    let mut header = vec![0; HEADER_BYTES + record.name.len()];
    read_exact(reader, &mut header, record.offset)?;
    let name_length = usize::from(u16_at(&header, 26));
    if u32_at(&header, 0) != SIGNATURE {
        return Err(refuse("is not where the directory says"));
    }
    let method = match record.method {
        Method::Stored => 0,
        Method::Deflated => 8,
    };
    if name_length != record.name.len()
        || &header[HEADER_BYTES..] != record.name.as_bytes()
        || u16_at(&header, 8) != method
        || (u16_at(&header, 6) ^ record.flags) & !HINTS != 0
    {
        return Err(refuse(
            "has a name, method or flags other than the directory says",
        ));
    }
    let mut extra = vec![0; usize::from(u16_at(&header, 28))];
    let data = header_end + extra.len() as u64;
    let data_end = data
        .checked_add(record.packed_size)
        .filter(|end| *end <= next)
        .ok_or_else(overlaps)?;
    read_exact(reader, &mut extra, header_end)?;
    let extra = Extra::parse(&extra).map_err(refuse)?;
    if extra
        .unicode_path
        .is_some_and(|field| field.get(5..) != Some(record.name.as_bytes()))
    {
        return Err(refuse("has a second name"));
    }
    let mut zip64 = Zip64::new(&extra);
    let size = zip64.resolve(u32_at(&header, 22)).map_err(refuse)?;
    let packed_size = zip64.resolve(u32_at(&header, 18)).map_err(refuse)?;
    let has_descriptor = record.flags & DESCRIPTOR != 0;
    let agrees = |here: u64, there: u64| here == there || (has_descriptor && here == 0);
    if !agrees(size, record.size)
        || !agrees(packed_size, record.packed_size)
        || !agrees(u32_at(&header, 14).into(), record.crc32.into())
    {
        return Err(refuse("has sizes or a CRC other than the directory says"));
    }
    if has_descriptor {
        check_descriptor(reader, record, data_end, next - data_end)?;
    } else if data_end != next {
        return Err(refuse("is followed by bytes that belong to no member"));
    }
    Ok(data)
}

/// A descriptor has 32-bit or 64-bit sizes and may have a signature: its length says which.
fn check_descriptor(
    reader: &impl ReadAt,
    record: &Record,
    at: u64,
    length: u64,
) -> Result<(), Error> {
    let refuse = |reason: &str| Error::member(&record.name, reason);
    let (has_signature, is_long) = match length {
        12 => (false, false),
        16 => (true, false),
        20 => (false, true),
        24 => (true, true),
        _ => {
            return Err(refuse(
                "is followed by bytes that are no data descriptor, and belong to no member",
            ));
        }
    };
    let mut buffer = [0; 24];
    let bytes = &mut buffer[..length as usize];
    read_exact(reader, bytes, at)?;
    let start = if has_signature { 4 } else { 0 };
    let [packed_size, size] = if is_long {
        [u64_at(bytes, start + 4), u64_at(bytes, start + 12)]
    } else {
        [start + 4, start + 8].map(|at| u64::from(u32_at(bytes, at)))
    };
    let agrees = (!has_signature || u32_at(bytes, 0) == DESCRIPTOR_SIGNATURE)
        && u32_at(bytes, start) == record.crc32
        && packed_size == record.packed_size
        && size == record.size;
    if agrees {
        Ok(())
    } else {
        Err(refuse(
            "has a data descriptor that does not agree with the directory",
        ))
    }
}
