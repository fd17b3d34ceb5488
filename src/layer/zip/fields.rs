//! Numbers in a zip archive: little-endian, at fixed places, or in the zip64 extra field.

use std::io;

use super::{Error, ReadAt};

/// Reads exactly `buffer`, or says that the archive is cut off.
pub(super) fn read_exact(
    reader: &impl ReadAt,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> Result<(), Error> {
    while !buffer.is_empty() {
        match reader.read_at(buffer, offset) {
            Ok(0) => return Err(Error::archive("is cut off")),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Io(error)),
        }
    }
    Ok(())
}

/// The little-endian number of two bytes at `at`; the caller made sure that they are there.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The little-endian number of four bytes at `at`; as [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// The little-endian number of eight bytes at `at`; as [`u16_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// The two extra fields that mean something here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extra<'a> {
    /// 0x0001: what does not fit into 32 bits.
    pub(super) zip64: Option<&'a [u8]>,
    /// 0x7075: Info-ZIP's other name.
    pub(super) unicode_path: Option<&'a [u8]>,
}

impl<'a> Extra<'a> {
    /// Takes a list of extra fields apart. Up to three bytes at the end that are no field are padding (`zipalign`).
    pub(super) fn parse(mut bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut extra = Self::default();
        while bytes.len() >= 4 {
            let (id, length) = (u16_at(bytes, 0), usize::from(u16_at(bytes, 2)));
            let value = bytes
                .get(4..4 + length)
                .ok_or("has an extra field that is cut off")?;
            let known = match id {
                0x0001 => Some(&mut extra.zip64),
                0x7075 => Some(&mut extra.unicode_path),
                _ => None,
            };
            if let Some(field) = known
                && field.replace(value).is_some()
            {
                return Err("has an extra field twice");
            }
            bytes = &bytes[4 + length..];
        }
        Ok(extra)
    }
}

/// Takes 64-bit numbers off the zip64 field, in the order in which 32-bit ones refer to it.
pub(super) struct Zip64<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Zip64<'a> {
    pub(super) fn new(extra: &Extra<'a>) -> Self {
        Self { rest: extra.zip64 }
    }

    /// The value that `short` stands for: itself, or with all bits set the next number of the field.
    pub(super) fn resolve(&mut self, short: u32) -> Result<u64, &'static str> {
        match self.rest {
            // Without the field, all bits set is a number like another; that it is right will show.
            Some(rest) if short == u32::MAX => {
                if rest.len() < 8 {
                    return Err("has a zip64 field that is cut off");
                }
                self.rest = Some(&rest[8..]);
                Ok(u64_at(rest, 0))
            }
            _ => Ok(short.into()),
        }
    }
}
