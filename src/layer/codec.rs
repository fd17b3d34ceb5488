//! The form of the small files that overcoat keeps for itself: lists of owners, snapshots.
//!
//! A magic line with the version, numbers little-endian, bytes with their length before them, a CRC-32 at the end.
//! The check finds damage, not malice: whoever may write here may write the layers too. Still no count or length is
//! believed before it is compared with what is there.

use super::entry::EntryPath;

/// The file is not what it should be: cut off, damaged, of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged, or was written by another version of overcoat")]
pub struct Damaged;

pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub(super) fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Paths, targets and attributes are limited by the kernel to far less than 4 GiB.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let check = crc32fast::hash(&self.0);
        self.u32(check);
        self.0
    }
}

pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn open(bytes: &'a [u8], magic: &[u8]) -> Result<Self, Damaged> {
        let (body, check) = bytes.split_last_chunk::<4>().ok_or(Damaged)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*check) {
            return Err(Damaged);
        }
        Ok(Self(body.strip_prefix(magic).ok_or(Damaged)?))
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damaged> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Damaged> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = usize::try_from(self.u32()?).map_err(|_| Damaged)?;
        self.take(length)
    }

    /// A path in the one spelling that [`EntryPath`] gives it.
    pub(super) fn path(&mut self) -> Result<EntryPath, Damaged> {
        let bytes = self.bytes()?;
        let path = EntryPath::parse(bytes).map_err(|_| Damaged)?;
        if path.as_bytes() == bytes {
            Ok(path)
        } else {
            Err(Damaged)
        }
    }
}
