//! What was found out, kept in the store.
//!
//! ```text
//! STORE/cache/sbom/layers/HASH       what a layer changes on top of all below it
//! STORE/cache/sbom/documents/HASH    the document for an image
//! ```
//!
//! Each file is the SHA-256 of what follows, a line end, and that. What is damaged is made again.

use std::path::{Path, PathBuf};

use super::scan::Delta;
use super::{Format, version};
use crate::digest::Digest;
use crate::fs::{self, Error};

/// The directory in the store's cache.
pub const CACHE: &str = "sbom";
/// The version of what is kept of layers: to be raised when more is found in them.
const LAYERS: u32 = 1;
/// The version of what is made of them.
const DOCUMENTS: u32 = 1;
/// Larger files are not ours, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Where what was found out is kept.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// A cache in this directory, `STORE/cache/sbom`, which is made when something is kept.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn delta(&self, key: &Digest) -> Option<Delta> {
        serde_json::from_slice(&self.read(&self.layer(key))?).ok()
    }

    pub(super) fn keep_delta(&self, key: &Digest, delta: &Delta) -> Result<(), Error> {
        let bytes = serde_json::to_vec(delta).unwrap_or_default();
        keep(&self.layer(key), &bytes)
    }

    pub(super) fn document(&self, image: &Digest, format: Format) -> Option<Vec<u8>> {
        self.read(&self.document_file(image, format))
    }

    pub(super) fn keep_document(
        &self,
        image: &Digest,
        format: Format,
        document: &[u8],
    ) -> Result<(), Error> {
        keep(&self.document_file(image, format), document)
    }

    fn layer(&self, key: &Digest) -> PathBuf {
        let name = format!("{LAYERS} {} {key}", version());
        self.directory
            .join("layers")
            .join(Digest::of(name.as_bytes()).hex())
    }

    fn document_file(&self, image: &Digest, format: Format) -> PathBuf {
        let name = format!(
            "{LAYERS} {DOCUMENTS} {} {} {image}",
            version(),
            format.media_type()
        );
        self.directory
            .join("documents")
            .join(Digest::of(name.as_bytes()).hex())
    }

    fn read(&self, file: &Path) -> Option<Vec<u8>> {
        let bytes = fs::read_limited(file, MAX_FILE).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (said, kept) = (bytes.get(..end)?, bytes.get(end + 1..)?);
        if Digest::of(kept).hex().as_bytes() != said {
            return None;
        }
        fs::touch(file);
        Some(kept.to_vec())
    }
}

fn keep(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let digest = Digest::of(bytes);
    fs::replace(file, &[digest.hex().as_bytes(), b"\n", bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("sbom"));
        let image = Digest::of(b"image");
        assert_eq!(cache.document(&image, Format::Spdx), None);
        cache
            .keep_document(&image, Format::Spdx, b"{\"a\": 1}\n")
            .unwrap();
        assert_eq!(
            cache.document(&image, Format::Spdx).as_deref(),
            Some(&b"{\"a\": 1}\n"[..])
        );
        assert_eq!(cache.document(&image, Format::CycloneDx), None);
        let file = cache.document_file(&image, Format::Spdx);
        let bytes = std::fs::read(&file).unwrap();
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..10], b""] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(cache.document(&image, Format::Spdx), None);
        }
    }
}
