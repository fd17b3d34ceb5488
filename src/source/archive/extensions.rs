//! The headers before a member that say what its own has no room for.

use std::collections::BTreeMap;
use std::io::Read;

use super::{Failure, Refusal, damaged};

/// The most that an extension header may hold; paths are at most a fraction of it.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// What extension headers say of the member after them.
#[derive(Default)]
pub(super) struct Extensions {
    pub name: Option<Vec<u8>>,
    pub target: Option<Vec<u8>>,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Extensions {
    /// The records of a PAX header: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
    pub(super) fn add_records(&mut self, bytes: &[u8]) -> Result<(), Failure> {
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

    /// Whether they say what only other readers of tar understand of a member of `size` bytes: another size, which the crate
    /// does not know where members are raw, or that it is a sparse file.
    pub(super) fn are_beyond_us(&self, size: u64) -> bool {
        let has_other_size = self
            .records
            .get(&b"size"[..])
            .is_some_and(|text| *text != size.to_string().as_bytes());
        let mut keys = self.records.keys();
        has_other_size || keys.any(|key| key.starts_with(b"GNU.sparse."))
    }

    pub(super) fn name(&self, header: &[u8]) -> Vec<u8> {
        let recorded = self.records.get(&b"path"[..]).or(self.name.as_ref());
        recorded.map_or_else(|| header.to_vec(), |name| until_nul(name).to_vec())
    }

    pub(super) fn target(&self, header: Option<&[u8]>) -> Vec<u8> {
        let recorded = self.records.get(&b"linkpath"[..]).or(self.target.as_ref());
        recorded.map_or_else(
            || header.unwrap_or_default().to_vec(),
            |target| until_nul(target).to_vec(),
        )
    }
}

pub(super) fn small(member: &mut impl Read) -> Result<Vec<u8>, Failure> {
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
