//! Removing what no name reaches.

use std::collections::BTreeSet;
use std::fs::File;

use super::{BlobStore, Error};
use crate::fs::{self, Context};

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
        let path = self.root().join("use.lock");
        // A lock belongs to an open file: asking for it alone through our own file upgrades it.
        let file: &File = &self._in_use;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                file.lock_shared().context("lock", &path)?;
                return Ok(None);
            }
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(fs::Error::new("lock", path, source).into());
            }
        }
        let removed = self.sweep_blobs();
        file.lock_shared().context("lock", &path)?;
        removed.map(Some)
    }

    fn sweep_blobs(&self) -> Result<Removed, Error> {
        let mut blobs = BTreeSet::new();
        let mut diff_ids = BTreeSet::new();
        for named in self.names()? {
            let image = self.image(&named.manifest)?;
            blobs.insert(named.manifest.digest);
            blobs.insert(image.config.descriptor.digest.clone());
            for (layer, diff_id) in image.layers() {
                blobs.insert(layer.digest.clone());
                diff_ids.insert(diff_id.0.hex().to_owned());
            }
        }
        let mut removed = Removed::default();
        for algorithm in ["sha256", "sha512"] {
            let directory = self.root().join("blobs").join(algorithm);
            if !directory.exists() {
                continue;
            }
            for name in fs::list(&directory)? {
                let digest = format!("{algorithm}:{}", name.display()).parse();
                if digest.is_ok_and(|digest| !blobs.contains(&digest)) {
                    let path = directory.join(&name);
                    removed.bytes += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    std::fs::remove_file(&path).context("remove", &path)?;
                    removed.blobs += 1;
                }
            }
        }
        self.sweep_unpacked(&diff_ids)?;
        Ok(removed)
    }

    fn sweep_unpacked(&self, diff_ids: &BTreeSet<String>) -> Result<(), Error> {
        let unpacked = self.root().join("unpacked");
        for owners in fs::list(&unpacked).unwrap_or_default() {
            for name in fs::list(&unpacked.join(&owners))? {
                if !name.to_str().is_some_and(|name| diff_ids.contains(name)) {
                    fs::remove_tree(&unpacked.join(&owners).join(name))?;
                }
            }
        }
        Ok(())
    }
}
