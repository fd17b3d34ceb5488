//! The four kinds of places that are written to.

use std::path::{Path, PathBuf};

use super::{CopyRequest, Error};
use crate::build::Tools;
use crate::event::Observer;
use crate::image::graph::{Graph, Referrer, referrers_tag};
use crate::image::{Descriptor, media_type};
use crate::output::Destination;
use crate::output::archive::{self, Format};
use crate::reference::Reference;
use crate::registry::{RegistryClient, SendReport, SendRequest};
use crate::store::{self, BlobStore};

/// Where the blobs of a source are.
pub(super) enum Bytes<'a> {
    Registry(&'a Reference),
    Layout(&'a BlobStore),
}

/// A copy whose documents are read.
pub(super) struct Copying<'a> {
    pub(super) request: &'a CopyRequest<'a>,
    pub(super) graph: &'a Graph,
    pub(super) bytes: Bytes<'a>,
    /// The name that the image brings along.
    pub(super) name: Option<String>,
    /// Where blobs are that are on their way.
    pub(super) scratch: PathBuf,
    pub(super) observer: &'a dyn Observer,
}

impl Copying<'_> {
    pub(super) fn nameless(&self) -> Error {
        Error::Nameless {
            source_end: self.request.source.to_string(),
            target: self.request.target.to_string(),
        }
    }

    /// The blobs that are to be copied; some live elsewhere for good.
    fn blobs(&self) -> Vec<&Descriptor> {
        let blobs = self.graph.blobs().into_iter();
        blobs
            .filter(|blob| !media_type::is_foreign(&blob.media_type))
            .collect()
    }

    pub(super) fn to_registry(
        &self,
        reference: &Reference,
        registry: &RegistryClient,
    ) -> Result<SendReport, Error> {
        let passing;
        let (store, origin) = match self.bytes {
            Bytes::Layout(store) => (store, None),
            Bytes::Registry(origin) => {
                passing = BlobStore::open(&self.scratch)?;
                (&passing, Some(origin))
            }
        };
        let request = SendRequest {
            graph: self.graph,
            reference,
            store,
            origin,
        };
        Ok(registry.send(&request, self.observer)?)
    }

    pub(super) fn to_layout(
        &self,
        layout: &BlobStore,
        name: &str,
        tools: &Tools<'_>,
    ) -> Result<SendReport, Error> {
        let blobs = self.blobs();
        let (there, missing): (Vec<&Descriptor>, Vec<&Descriptor>) =
            blobs.into_iter().partition(|blob| layout.has(blob));
        let report = SendReport {
            uploaded_blobs: missing.len(),
            skipped: there.len(),
            bytes: missing.iter().map(|blob| blob.size).sum(),
            ..SendReport::default()
        };
        match self.bytes {
            Bytes::Registry(origin) => {
                let registry = tools.registry()?;
                registry.fetch_blobs(missing, origin, layout, self.observer)?;
            }
            Bytes::Layout(from) => {
                for blob in missing {
                    layout.copy_blob(from, blob, self.observer)?;
                }
            }
        }
        layout.put_graph(self.graph)?;
        let root = self.graph.tree.root();
        layout.tag_document(name, &root.descriptor, layout.platform_of(root))?;
        Ok(report)
    }

    pub(super) fn to_archive(&self, file: &Path, tools: &Tools<'_>) -> Result<SendReport, Error> {
        let name = self.name.clone().ok_or_else(|| self.nameless())?;
        let root = self.graph.tree.root();
        let entry = |name: String, descriptor: &Descriptor| {
            let mut entry = descriptor.clone();
            entry.annotations.insert(store::REF_NAME.to_owned(), name);
            entry
        };
        let mut lists: Vec<(Descriptor, Vec<u8>)> = Vec::new();
        let mut entries = vec![entry(name, &root.descriptor)];
        for (subject, referrers) in store::attached(&self.graph.referrers)? {
            if let Some(bytes) = Referrer::add_to(None, &referrers)? {
                let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
                entries.push(entry(referrers_tag(&subject), &descriptor));
                lists.push((descriptor, bytes));
            }
        }
        let own = self.graph.trees().flat_map(|tree| tree.documents().iter());
        let own = own.map(|document| (&document.descriptor, document.bytes.as_slice()));
        let lists = lists.iter();
        let lists = lists.map(|(descriptor, bytes)| (descriptor, bytes.as_slice()));
        let documents: Vec<(&Descriptor, &[u8])> = own.chain(lists).collect();
        let blobs = self.blobs();
        let passing;
        let store = match self.bytes {
            Bytes::Layout(store) => store,
            Bytes::Registry(origin) => {
                passing = BlobStore::open(&self.scratch)?;
                let registry = tools.registry()?;
                registry.fetch_blobs(blobs.clone(), origin, &passing, self.observer)?;
                &passing
            }
        };
        archive::write_graph(file, &entries, &documents, &blobs, store, self.observer)?;
        Ok(SendReport {
            uploaded_blobs: blobs.len(),
            bytes: blobs.iter().map(|blob| blob.size).sum(),
            ..SendReport::default()
        })
    }

    /// One file for container engines: an image, or an index where the format can hold one.
    pub(super) fn to_engines(
        &self,
        file: &Path,
        format: Format,
        tools: &Tools<'_>,
    ) -> Result<SendReport, Error> {
        let name = self.name.clone().ok_or_else(|| self.nameless())?;
        let root = self.graph.tree.root();
        let blobs = self.blobs();
        let bytes = blobs.iter().map(|blob| blob.size).sum();
        let count = blobs.len();
        let passing;
        let store = match self.bytes {
            Bytes::Layout(store) => store,
            Bytes::Registry(origin) => {
                passing = BlobStore::open(&self.scratch)?;
                let registry = tools.registry()?;
                registry.fetch_blobs(blobs, origin, &passing, self.observer)?;
                for document in self.graph.tree.documents() {
                    passing.put(&document.descriptor, &document.bytes)?;
                }
                &passing
            }
        };
        let destination = Destination::Archive {
            format,
            file: file.to_owned(),
            name: None,
        };
        let stored = store.stored(&root.descriptor)?;
        destination.write(stored.content(), &[name], store, self.observer)?;
        Ok(SendReport {
            uploaded_blobs: count,
            bytes,
            ..SendReport::default()
        })
    }
}
