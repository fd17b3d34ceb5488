//! Removing what no name reaches.

use std::collections::BTreeSet;
use std::fs::File;

use super::{BlobStore, Error};
use crate::digest::{Digest, chain_ids};
use crate::fs::{self, Context};
use crate::image::{Descriptor, Index, media_type};

/// Indexes within indexes beyond this are not followed; nobody makes them.
const MAX_NESTING: usize = 4;

/// What is not garbage.
#[derive(Default)]
struct Reached {
    blobs: BTreeSet<Digest>,
    /// Names below `unpacked/OWNERS/`.
    unpacked: BTreeSet<String>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl BlobStore {
    /// Removes the blobs and unpacked layers that no name reaches; `None` when another process uses the store, for
    /// what it is about to name must stay. Never touches names, nor a blob that a name reaches.
    ///
    /// # Errors
    /// [`Error::File`] with the path that could not be removed; [`Error::Document`] when a named image cannot be
    /// read, for then nobody knows what it reaches.
    pub fn collect_garbage(&self) -> Result<Option<Removed>, Error> {
        let path = self.root();
        // A lock belongs to an open file: asking for it alone through our own file upgrades it.
        let file: &File = &self._in_use;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                file.lock_shared().context("lock", path)?;
                return Ok(None);
            }
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(fs::Error::new("lock", path, source).into());
            }
        }
        let removed = self.sweep_blobs();
        file.lock_shared().context("lock", path)?;
        removed.map(Some)
    }

    /// Marks what an entry of the index reaches; an index of platforms need not have all of them here.
    fn mark(&self, entry: &Descriptor, reached: &mut Reached, depth: usize) -> Result<(), Error> {
        reached.blobs.insert(entry.digest.clone());
        if media_type::is_index(&entry.media_type) && depth < MAX_NESTING {
            let document = |source| Error::Document {
                digest: entry.digest.clone(),
                source,
            };
            let index = Index::parse(&self.read_document(entry)?).map_err(document)?;
            for child in index.manifests.iter().filter(|child| self.has(child)) {
                self.mark(child, reached, depth + 1)?;
            }
        } else if media_type::is_manifest(&entry.media_type) {
            let image = self.image(entry)?;
            reached.blobs.insert(image.config.descriptor.digest.clone());
            let layers = image.manifest.parsed.layers.iter();
            reached
                .blobs
                .extend(layers.map(|layer| layer.digest.clone()));
            let diff_ids = image.config.parsed.diff_ids();
            reached
                .unpacked
                .extend(diff_ids.iter().map(|diff_id| diff_id.0.hex().to_owned()));
            let chain_ids = chain_ids(diff_ids);
            reached
                .unpacked
                .extend(chain_ids.iter().map(|chain_id| chain_id.hex().to_owned()));
        }
        Ok(())
    }

    fn sweep_blobs(&self) -> Result<Removed, Error> {
        let mut reached = Reached::default();
        for entry in self.entries()? {
            self.mark(&entry, &mut reached, 0)?;
        }
        let mut removed = Removed::default();
        for algorithm in ["sha256", "sha512"] {
            let directory = self.root().join("blobs").join(algorithm);
            if !directory.exists() {
                continue;
            }
            for name in fs::list(&directory)? {
                let digest = format!("{algorithm}:{}", name.display()).parse();
                if digest.is_ok_and(|digest| !reached.blobs.contains(&digest)) {
                    let path = directory.join(&name);
                    removed.bytes += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    std::fs::remove_file(&path).context("remove", &path)?;
                    removed.blobs += 1;
                }
            }
        }
        self.sweep_unpacked(&reached.unpacked)?;
        Ok(removed)
    }

    fn sweep_unpacked(&self, reached: &BTreeSet<String>) -> Result<(), Error> {
        let unpacked = self.root().join("unpacked");
        for owners in fs::list(&unpacked).unwrap_or_default() {
            for name in fs::list(&unpacked.join(&owners))? {
                // `ID` is a directory, `ID.implied` a note beside it.
                let id = name.to_str().and_then(|name| name.split('.').next());
                if !id.is_some_and(|id| reached.contains(id)) {
                    let path = unpacked.join(&owners).join(&name);
                    match path.is_dir() {
                        true => fs::remove_tree(&path)?,
                        false => std::fs::remove_file(&path).context("remove", &path)?,
                    }
                }
            }
        }
        Ok(())
    }
}
