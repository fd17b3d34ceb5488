//! What no name reaches, and removing it while nobody else uses the store.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{BlobStore, Error};
use crate::digest::{Digest, chain_ids};
use crate::fs::{self, Context};
use crate::image::{Descriptor, Index, Manifest, media_type};

/// Indexes within indexes beyond this are not followed; nobody makes them.
const MAX_NESTING: usize = 4;

/// What is not garbage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Documents and layers.
    pub blobs: BTreeSet<Digest>,
    /// Names below `unpacked/OWNERS/`: diff ids and chain ids, in hexadecimal.
    pub unpacked: BTreeSet<String>,
}

/// A file or directory of the store that nothing reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreached {
    /// Where it is.
    pub path: PathBuf,
    /// The sizes of its files, in bytes.
    pub bytes: u64,
}

/// The store, while no other process uses it: what somebody is about to name must stay.
///
/// Others that open the store wait until this is dropped.
#[derive(Debug)]
pub struct Alone<'a> {
    store: &'a BlobStore,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // The lock goes with the process at the latest.
        let _ = self.store.in_use.lock_shared();
    }
}

impl Alone<'_> {
    /// Removes files and directories. Absent ones are fine.
    ///
    /// # Errors
    /// [`Error::File`] with the first path that could not be removed.
    pub fn remove<'p>(&self, paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<(), Error> {
        for path in paths {
            if path.starts_with(self.store.root()) {
                remove(path)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &PathBuf) -> Result<(), fs::Error> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_tree(path),
        Ok(_) => std::fs::remove_file(path).context("remove", path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fs::Error::new("look at", path, error)),
    }
}

impl BlobStore {
    /// The store for this process alone; `None` when another one uses it.
    ///
    /// # Errors
    /// [`Error::File`] when the file system has no locks.
    pub fn alone(&self) -> Result<Option<Alone<'_>>, Error> {
        // A lock belongs to an open file: asking for it alone through our own file upgrades it.
        match self.in_use.try_lock() {
            Ok(()) => Ok(Some(Alone { store: self })),
            Err(std::fs::TryLockError::WouldBlock) => {
                self.in_use.lock_shared().context("lock", self.root())?;
                Ok(None)
            }
            Err(std::fs::TryLockError::Error(source)) => {
                Err(fs::Error::new("lock", self.root(), source).into())
            }
        }
    }

    /// What the names of the store reach.
    ///
    /// # Errors
    /// [`Error::Document`] and the like when a named image cannot be read, for then nobody knows what it reaches.
    pub fn reached(&self) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        for entry in self.entries()? {
            self.mark(&entry, &mut reached, 0)?;
        }
        Ok(reached)
    }

    /// What a manifest or an index reaches, itself included.
    ///
    /// # Errors
    /// As [`Self::reached`].
    pub fn reached_by(&self, document: &Descriptor) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        self.mark(document, &mut reached, 0)?;
        Ok(reached)
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
            let document = |source| Error::Document {
                digest: entry.digest.clone(),
                source,
            };
            let manifest = Manifest::parse(&self.read_document(entry)?).map_err(document)?;
            let is_image = [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG];
            if !is_image.contains(&manifest.config.media_type.as_str()) {
                // An artifact: nothing of it is ever unpacked.
                let blobs = manifest.layers.into_iter().chain([manifest.config]);
                reached.blobs.extend(blobs.map(|blob| blob.digest));
                return Ok(());
            }
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

    /// The blobs that are not among `reached`, sorted by path.
    ///
    /// # Errors
    /// [`Error::File`] for a directory that cannot be read.
    pub fn unreached_blobs(&self, reached: &BTreeSet<Digest>) -> Result<Vec<Unreached>, Error> {
        let mut unreached = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let directory = self.root().join("blobs").join(algorithm);
            if !directory.exists() {
                continue;
            }
            for name in fs::list(&directory)? {
                let digest = format!("{algorithm}:{}", name.display()).parse();
                if digest.is_ok_and(|digest| !reached.contains(&digest)) {
                    let path = directory.join(&name);
                    let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    unreached.push(Unreached { path, bytes });
                }
            }
        }
        Ok(unreached)
    }

    /// The unpacked layers and merged trees that are not among `reached`, with what is noted beside them.
    ///
    /// # Errors
    /// As [`Self::unreached_blobs`].
    pub fn unreached_unpacked(&self, reached: &BTreeSet<String>) -> Result<Vec<Unreached>, Error> {
        let unpacked = self.root().join("unpacked");
        let mut unreached = Vec::new();
        for owners in fs::list(&unpacked).unwrap_or_default() {
            for name in fs::list(&unpacked.join(&owners))? {
                // `ID` is a directory, `ID.implied` a note beside it.
                let id = name.to_str().and_then(|name| name.split('.').next());
                if !id.is_some_and(|id| reached.contains(id)) {
                    let path = unpacked.join(&owners).join(&name);
                    let bytes = fs::tree_bytes(&path);
                    unreached.push(Unreached { path, bytes });
                }
            }
        }
        Ok(unreached)
    }
}
