//! Where the bytes of layers are.

use super::Error;
use crate::event::Observer;
use crate::image::Descriptor;
use crate::reference::Reference;
use crate::registry::RegistryClient;
use crate::store::BlobStore;

/// Somebody who has layers, or can have them.
pub trait Layers {
    /// A store that has the layer now.
    ///
    /// # Errors
    /// When it cannot be had.
    fn bring(&mut self, layer: &Descriptor) -> Result<&BlobStore, Error>;

    /// The layer was read, and is not needed any more.
    fn release(&mut self, layer: &Descriptor);
}

/// Layers that are all in one store.
#[derive(Debug)]
pub struct Local<'a>(pub &'a BlobStore);

impl Layers for Local<'_> {
    fn bring(&mut self, layer: &Descriptor) -> Result<&BlobStore, Error> {
        match self.0.has(layer) {
            true => Ok(self.0),
            false => Err(Error::Nowhere {
                digest: layer.digest.clone(),
            }),
        }
    }

    fn release(&mut self, _layer: &Descriptor) {}
}

/// Layers that are in a store, or else in registries. Those are fetched one by one, and nothing of them stays.
pub struct Remote<'a> {
    /// The store that has some of them.
    pub store: &'a BlobStore,
    /// A store for those that are on their way, in a directory that is removed afterwards.
    pub passing: BlobStore,
    /// How to ask registries.
    pub registry: &'a RegistryClient,
    /// The repositories that may have them, the most likely first.
    pub origins: Vec<Reference>,
    /// Who is told.
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Remote<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("store", &self.store)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

impl Layers for Remote<'_> {
    fn bring(&mut self, layer: &Descriptor) -> Result<&BlobStore, Error> {
        if self.store.has(layer) {
            return Ok(self.store);
        }
        let mut failed = Error::Nowhere {
            digest: layer.digest.clone(),
        };
        for origin in &self.origins {
            let fetched =
                self.registry
                    .fetch_blobs(vec![layer], origin, &self.passing, self.observer);
            match fetched {
                Ok(()) => return Ok(&self.passing),
                Err(error @ crate::registry::Error::Interrupted) => return Err(error.into()),
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }

    fn release(&mut self, layer: &Descriptor) {
        // What stays by mistake goes with the directory.
        let _ = std::fs::remove_file(self.passing.blob_path(&layer.digest));
    }
}
