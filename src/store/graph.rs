//! Documents and blobs as they are: between this layout and other places, whatever they hold.

use std::collections::BTreeMap;

use super::{BlobStore, Error, read_error};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::graph::{
    Attached, Document, Documents, Graph, Platforms, Referrer, referrers_tag,
};
use crate::image::{self, Descriptor, ImageConfiguration, Manifest, Platform, media_type};

impl BlobStore {
    /// Reads the documents of an image, index or artifact, and of what refers to it when that is wanted.
    ///
    /// # Errors
    /// [`Error::Absent`] for a document that is not here, [`Error::Mismatch`] for one that is damaged,
    /// [`Error::Document`] for those that make no sense, lack the platform, or are too many.
    pub fn graph(
        &self,
        root: &Descriptor,
        platforms: &Platforms,
        with_referrers: bool,
    ) -> Result<Graph, Error> {
        let mut place = Local {
            store: self,
            root: root.digest.clone(),
        };
        let root = place.read(root)?;
        Graph::collect(root, platforms, with_referrers, &mut place)
    }

    /// Stores the documents of a graph, then the lists of its referrers under the names that stand in for a registry's
    /// API ([`referrers_tag`]). The blobs must be here already.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_graph(&self, graph: &Graph) -> Result<(), Error> {
        for document in graph.trees().flat_map(|tree| tree.documents()) {
            self.put(&document.descriptor, &document.bytes)?;
        }
        for (subject, entries) in attached(&graph.referrers)? {
            let name = referrers_tag(&subject);
            let existing = self.list_under(&name)?;
            let unusable = |source| Error::Document {
                digest: subject.clone(),
                source,
            };
            let updated = Referrer::add_to(existing.as_deref(), &entries).map_err(unusable)?;
            if let Some(bytes) = updated {
                let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
                self.put(&descriptor, &bytes)?;
                self.tag_document(&name, &descriptor, None)?;
            }
        }
        Ok(())
    }

    /// Copies a blob from another layout, unless it is here.
    ///
    /// # Errors
    /// As [`Self::open_blob`]; [`Error::Mismatch`] when it is damaged there, [`Error::Interrupted`].
    pub fn copy_blob(
        &self,
        from: &Self,
        blob: &Descriptor,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        if self.has(blob) {
            return Ok(());
        }
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let path = from.blob_path(&blob.digest);
        let mut reader = from.open_blob(blob)?;
        let mut writer = self.begin_blob()?;
        std::io::copy(&mut reader, &mut writer).map_err(|error| read_error(&path, error))?;
        writer.finish_as(blob)
    }

    /// The platform of an image's manifest, as its configuration has it; `None` for indexes and artifacts.
    pub fn platform_of(&self, document: &Document) -> Option<Platform> {
        if !media_type::is_manifest(&document.descriptor.media_type) {
            return None;
        }
        let config = Manifest::parse(&document.bytes).ok()?.config;
        let config = self.read_document(&config).ok()?;
        Some(ImageConfiguration::parse(&config).ok()?.platform())
    }

    /// The list of referrers that has this name.
    fn list_under(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let named = self.names()?.into_iter().find(|named| named.name == name);
        match named {
            Some(named) => Ok(Some(self.read_document(&named.manifest)?)),
            None => Ok(None),
        }
    }
}

/// The entries for the referrers of a graph, by what they refer to.
///
/// # Errors
/// [`Error::Document`] for a referrer that cannot be read.
pub fn attached(referrers: &[Attached]) -> Result<BTreeMap<Digest, Vec<Referrer>>, Error> {
    let mut lists: BTreeMap<Digest, Vec<Referrer>> = BTreeMap::new();
    for Attached { subject, tree } in referrers {
        let document = tree.root();
        let entry = Referrer::of(document).map_err(|source| Error::Document {
            digest: document.descriptor.digest.clone(),
            source,
        })?;
        lists.entry(subject.clone()).or_default().push(entry);
    }
    Ok(lists)
}

/// A layout as a place that documents are read from.
struct Local<'a> {
    store: &'a BlobStore,
    /// For messages.
    root: Digest,
}

impl Documents for Local<'_> {
    type Error = Error;

    fn read(&mut self, descriptor: &Descriptor) -> Result<Document, Error> {
        let bytes = self.store.read_document(descriptor)?;
        let Descriptor {
            media_type,
            digest,
            size,
            platform,
            ..
        } = descriptor.clone();
        Ok(Document {
            descriptor: Descriptor {
                platform,
                ..Descriptor::new(media_type, digest, size)
            },
            bytes,
        })
    }

    fn referrers(&mut self, subject: &Digest) -> Result<Vec<Referrer>, Error> {
        let Some(list) = self.store.list_under(&referrers_tag(subject))? else {
            return Ok(Vec::new());
        };
        Referrer::list(&list).map_err(|error| self.refuse(error))
    }

    fn refuse(&self, error: image::Error) -> Error {
        Error::Document {
            digest: self.root.clone(),
            source: error,
        }
    }
}
