//! Bytecode whose header names the time of its source, when the layer shows another time for that source.
//!
//! A `.pyc` of the usual kind is valid while its header holds the time and the size of its source. Layers clamp times,
//! so without more ado the bytecode of everything that a step installed would be ignored, and compiled again at every
//! start. So the header gets the time that the layer shows, if it had the right one before: what was stale stays stale.
//! Files that are checked by the hash of their source, or not at all, hold no time and are left alone.
//!
//! # Spec
//! PEP 552: magic (4 bytes), flags (4), then for flags 0 the time (4) and the size (4) of the source, little-endian,
//! modulo 2^32. PEP 3147 and PEP 488 for names: `__pycache__/NAME.TAG[.opt-N].pyc` beside `NAME.py`, or `NAME.pyc`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::change::{Before, Change};
use super::entry::{EntryPath, Kind};
use super::{Error, tar};
use crate::fs::Context;

const HEADER_BYTES: usize = 16;

/// The times of sources, as their `.pyc` files have them and as the layers show them, by the paths of the `.pyc` files.
/// Only those are listed whose source shows another time than it had.
#[derive(Debug, Default)]
pub struct SourceTimes(BTreeMap<EntryPath, Source>);

/// A source, as a `.pyc` header sees it: modulo 2^32.
#[derive(Clone, Copy, Debug)]
struct Source {
    size: u32,
    found_mtime: u32,
    shown_mtime: u32,
}

impl SourceTimes {
    /// Looks for the sources of all `.pyc` files among `changes`, which are sorted and complete: a source that is not
    /// among them is as it was `before`, although its time in `root` may be another. `newest_mtime` is what
    /// [`super::LayerWriter`] is given.
    ///
    /// # Errors
    /// [`Error::File`] with the source that cannot be read.
    pub fn find(
        changes: &[Change],
        root: &Path,
        before: &dyn Before,
        newest_mtime: i64,
    ) -> Result<Self, Error> {
        let mut times = BTreeMap::new();
        for change in changes {
            let Change::Present { entry, .. } = change else {
                continue;
            };
            let is_file = matches!(entry.kind, Kind::File { .. });
            let Some(path) = source_of(&entry.path).filter(|_| is_file) else {
                continue;
            };
            let looked = match changes.binary_search_by(|other| other.path().cmp(&path)) {
                Ok(index) => changed(&changes[index], newest_mtime)?,
                Err(_) => unchanged(&path, root, before)?,
            };
            if let Some(source) = looked.filter(|source| source.found_mtime != source.shown_mtime) {
                times.insert(entry.path.clone(), source);
            }
        }
        Ok(Self(times))
    }

    /// The content of the file at `path` as the layer holds it: of a `.pyc` that was valid, with the other time.
    ///
    /// # Errors
    /// Those of `content`.
    pub fn content<R: Read>(&self, path: &EntryPath, mut content: R) -> io::Result<impl Read> {
        let mut header = Vec::new();
        if let Some(source) = self.0.get(path) {
            let limit = HEADER_BYTES as u64;
            content.by_ref().take(limit).read_to_end(&mut header)?;
            source.set_time(&mut header);
        }
        Ok(io::Cursor::new(header).chain(content))
    }
}

impl Source {
    /// Nothing happens to a header of another kind, or of another time or size than the source has.
    fn set_time(self, header: &mut [u8]) {
        let expected = [0, self.found_mtime, self.size].map(u32::to_le_bytes);
        if header.len() == HEADER_BYTES && header[4..] == *expected.as_flattened() {
            header[8..12].copy_from_slice(&self.shown_mtime.to_le_bytes());
        }
    }
}

/// Python compares both numbers modulo 2^32 (`importlib._bootstrap_external`, `_validate_timestamp_pyc`).
fn modulo(number: i64) -> u32 {
    number as u32
}

fn changed(change: &Change, newest_mtime: i64) -> Result<Option<Source>, Error> {
    let Change::Present {
        entry,
        content: Some(content),
    } = change
    else {
        return Ok(None);
    };
    let size = match entry.kind {
        Kind::File { size } => size,
        Kind::HardLink { .. } => std::fs::symlink_metadata(content)
            .context("read", content)?
            .len(),
        _ => return Ok(None),
    };
    Ok(Some(Source {
        size: modulo(size.cast_signed()),
        found_mtime: modulo(entry.mtime),
        shown_mtime: modulo(tar::shown_mtime(entry.mtime, newest_mtime)),
    }))
}

/// A source that is no change was in lower layers, and the image shows the time that it has there. A step that only
/// installed it again gave it another one, which its bytecode has.
fn unchanged(path: &EntryPath, root: &Path, before: &dyn Before) -> Result<Option<Source>, Error> {
    use std::os::unix::fs::MetadataExt;

    let file = path.below(root);
    let metadata = match std::fs::symlink_metadata(&file) {
        Ok(metadata) if metadata.is_file() => metadata,
        // Overlay did not copy it up: its time is the one below.
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(crate::fs::Error::new("read", file, error).into()),
    };
    Ok(before.find(path)?.map(|found| Source {
        size: modulo(metadata.len().cast_signed()),
        found_mtime: modulo(metadata.mtime()),
        shown_mtime: modulo(found.entry.mtime),
    }))
}

/// Where the source of a `.pyc` is; `None` for other names.
fn source_of(path: &EntryPath) -> Option<EntryPath> {
    let name = path.file_name().strip_suffix(b".pyc")?;
    let directory = path.parent()?;
    let (directory, module) = if directory.file_name() == b"__pycache__" {
        // `NAME.TAG` or `NAME.TAG.opt-N`; a tag has no dot, a name may have some.
        let mut name = name;
        let mut last = name.rsplitn(2, |byte| *byte == b'.');
        if last.next()?.starts_with(b"opt-") {
            name = last.next()?;
        }
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        (directory.parent()?, &name[..dot])
    } else {
        (directory, name)
    };
    if module.is_empty() {
        return None;
    }
    directory.join(&[module, b".py"].concat()).ok()
}

#[cfg(test)]
#[path = "pyc_tests.rs"]
mod tests;
