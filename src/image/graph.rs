//! Everything that a manifest or an index names, to be moved as it is: documents by their bytes, blobs by descriptors.
//!
//! Unlike [`Image`](super::Image) nothing is asked of what the blobs are: an artifact's configuration may be `{}`, and
//! an index may list indexes. What moves is what the digests name.

mod referrers;

pub use referrers::{Referrer, is_referrers_tag, referrers_tag};

use std::collections::{BTreeMap, BTreeSet};

use super::{Descriptor, Error, Index, Platform, media_type};
use crate::digest::Digest;

/// How deep indexes may list indexes.
const MAX_NESTING: usize = 4;
/// How many documents belong together at most, referrers included.
const MAX_DOCUMENTS: usize = 4096;
/// How many bytes they have together at most: they are held in memory.
const MAX_BYTES: usize = 24 << 20;

/// A manifest or an index: its bytes, and what names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a document points to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Manifests and indexes that an index lists.
    pub manifests: Vec<Descriptor>,
    /// Configuration and layers; in an index, entries of other media types.
    pub blobs: Vec<Descriptor>,
    /// What a referrer is about.
    pub subject: Option<Descriptor>,
    /// What kind of artifact it is: the document's `artifactType`, else the media type of its configuration.
    pub artifact_type: Option<String>,
    /// The document's annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Links {
    /// Reads what a manifest or an index of either family points to.
    ///
    /// # Errors
    /// [`Error::MediaType`] for what is neither, [`Error::Json`] and [`Error::Digest`] for what cannot be read.
    ///
    /// # Spec
    /// OCI image-spec `manifest.md` and `image-index.md`; for `artifact_type` distribution-spec, *Listing Referrers*.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |document| {
            move |error: serde_json::Error| Error::Json {
                document,
                reason: error.to_string(),
            }
        };
        if media_type::is_manifest(media_type) {
            let parsed: oci_spec::image::ImageManifest =
                serde_json::from_slice(bytes).map_err(refuse("manifest"))?;
            let config = Descriptor::from_oci(parsed.config())?;
            let own = parsed.artifact_type().as_ref().map(ToString::to_string);
            let artifact_type = own.unwrap_or_else(|| config.media_type.clone());
            let layers = parsed.layers().iter().map(Descriptor::from_oci);
            let mut blobs = vec![config];
            blobs.extend(layers.collect::<Result<Vec<_>, _>>()?);
            let subject = parsed.subject().as_ref().map(Descriptor::from_oci);
            return Ok(Self {
                manifests: Vec::new(),
                blobs,
                subject: subject.transpose()?,
                artifact_type: Some(artifact_type),
                annotations: parsed
                    .annotations()
                    .clone()
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            });
        }
        if !media_type::is_index(media_type) {
            let media_type = media_type.to_owned();
            return Err(Error::MediaType { media_type });
        }
        let parsed: oci_spec::image::ImageIndex =
            serde_json::from_slice(bytes).map_err(refuse("index"))?;
        let entries = parsed.manifests().iter().map(Descriptor::from_oci);
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let is_document = |entry: &Descriptor| {
            media_type::is_manifest(&entry.media_type) || media_type::is_index(&entry.media_type)
        };
        let (manifests, blobs) = entries.into_iter().partition(is_document);
        let subject = parsed.subject().as_ref().map(Descriptor::from_oci);
        Ok(Self {
            manifests,
            blobs,
            subject: subject.transpose()?,
            artifact_type: parsed.artifact_type().as_ref().map(ToString::to_string),
            annotations: parsed
                .annotations()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        })
    }
}

/// Which images of an index are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// All, with the index itself.
    All,
    /// The one for this platform, without the index.
    One(Platform),
}

/// A document with all that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// What is listed comes before what lists it; the last is the root.
    documents: Vec<Document>,
    /// Every blob once.
    blobs: Vec<Descriptor>,
}

impl Tree {
    /// The document that was asked for.
    pub fn root(&self) -> &Document {
        // `collect` ends by adding it.
        &self.documents[self.documents.len() - 1]
    }

    /// Every document once, the listed before what lists it, the root last.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Every blob once.
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }
}

/// A tree, and those of the referrers that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The image, index or artifact itself.
    pub tree: Tree,
    /// The index that `tree` was chosen from, if one was.
    pub chosen_from: Option<Descriptor>,
    /// What refers to a document of `tree`, or to another referrer.
    pub referrers: Vec<Attached>,
}

/// A referrer and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The document that it is about.
    pub subject: Digest,
    /// The referrer.
    pub tree: Tree,
}

/// A place that documents are read from.
pub trait Documents {
    /// Why one cannot be read.
    type Error;

    /// Reads a document and checks its bytes against the descriptor's digest.
    ///
    /// # Errors
    /// Whatever the place says.
    fn read(&mut self, descriptor: &Descriptor) -> Result<Document, Self::Error>;

    /// What refers to a document.
    ///
    /// # Errors
    /// Whatever the place says.
    fn referrers(&mut self, subject: &Digest) -> Result<Vec<Referrer>, Self::Error>;

    /// An error of the place about documents that make no sense.
    fn refuse(&self, error: Error) -> Self::Error;
}

impl Graph {
    /// Reads all documents that belong to `root`.
    ///
    /// # Errors
    /// What `place` says; [`Error::NoPlatform`], [`Error::Entry`] for documents that are not what lists them says,
    /// [`Error::Extent`] for more of them than fit.
    pub fn collect<P: Documents>(
        root: Document,
        platforms: &Platforms,
        with_referrers: bool,
        place: &mut P,
    ) -> Result<Self, P::Error> {
        let mut extent = Extent::default();
        let (root, chosen_from) = match platforms {
            Platforms::All => (root, None),
            Platforms::One(platform) => narrow(root, platform, place)?,
        };
        let tree = collect(root, place, &mut extent)?;
        let mut referrers = Vec::new();
        if with_referrers {
            let digests = tree.documents.iter();
            let mut pending: Vec<Digest> = digests
                .map(|document| document.descriptor.digest.clone())
                .collect();
            let mut seen: BTreeSet<Digest> = pending.iter().cloned().collect();
            pending.reverse();
            while let Some(subject) = pending.pop() {
                for entry in place.referrers(&subject)? {
                    // A referrer that refers to itself in the end, or that is a part of the image.
                    if !seen.insert(entry.descriptor.digest.clone()) {
                        continue;
                    }
                    let document = listed(&entry.descriptor, place)?;
                    let tree = collect(document, place, &mut extent)?;
                    pending.push(entry.descriptor.digest);
                    referrers.push(Attached {
                        subject: subject.clone(),
                        tree,
                    });
                }
            }
        }
        Ok(Self {
            tree,
            chosen_from,
            referrers,
        })
    }

    /// The image's tree and those of the referrers.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        [&self.tree]
            .into_iter()
            .chain(self.referrers.iter().map(|attached| &attached.tree))
    }

    /// Every blob of every tree once, in the order of digests.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        let blobs = self.trees().flat_map(|tree| &tree.blobs);
        let blobs: BTreeMap<&Digest, &Descriptor> =
            blobs.map(|blob| (&blob.digest, blob)).collect();
        blobs.into_values().collect()
    }
}

/// How much has been read.
#[derive(Default)]
struct Extent {
    documents: usize,
    bytes: usize,
}

/// Goes from an index to the image for a platform.
fn narrow<P: Documents>(
    root: Document,
    platform: &Platform,
    place: &mut P,
) -> Result<(Document, Option<Descriptor>), P::Error> {
    let (mut document, mut from) = (root, None);
    for _ in 0..MAX_NESTING {
        if !media_type::is_index(&document.descriptor.media_type) {
            return Ok((document, from));
        }
        let index = Index::parse(&document.bytes).map_err(|error| place.refuse(error))?;
        let chosen = index
            .choose(platform)
            .map_err(|error| place.refuse(error))?;
        let next = listed(chosen, place)?;
        from.get_or_insert(std::mem::replace(&mut document, next).descriptor);
    }
    Err(place.refuse(Error::Extent {
        limit: format!("indexes within indexes, more than {MAX_NESTING} deep"),
    }))
}

/// Reads a document that another lists: it must be what it is said to be.
fn listed<P: Documents>(entry: &Descriptor, place: &mut P) -> Result<Document, P::Error> {
    let document = place.read(entry)?;
    let found = &document.descriptor;
    if found.media_type != entry.media_type || found.size != entry.size {
        return Err(place.refuse(Error::Entry {
            digest: entry.digest.clone(),
            listed: format!("`{}` of {} bytes", entry.media_type, entry.size),
            found: format!("`{}` of {} bytes", found.media_type, found.size),
        }));
    }
    Ok(document)
}

fn collect<P: Documents>(
    root: Document,
    place: &mut P,
    extent: &mut Extent,
) -> Result<Tree, P::Error> {
    let mut tree = Tree {
        documents: Vec::new(),
        blobs: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    add(root, place, extent, &mut tree, &mut seen, 0)?;
    let mut blobs = BTreeSet::new();
    tree.blobs.retain(|blob| blobs.insert(blob.digest.clone()));
    Ok(tree)
}

fn add<P: Documents>(
    document: Document,
    place: &mut P,
    extent: &mut Extent,
    tree: &mut Tree,
    seen: &mut BTreeSet<Digest>,
    depth: usize,
) -> Result<(), P::Error> {
    extent.documents += 1;
    extent.bytes += document.bytes.len();
    let limit = if extent.documents > MAX_DOCUMENTS {
        Some(format!("more than {MAX_DOCUMENTS} manifests"))
    } else if extent.bytes > MAX_BYTES {
        Some(format!("manifests of more than {} MiB", MAX_BYTES >> 20))
    } else if depth > MAX_NESTING {
        Some(format!(
            "indexes within indexes, more than {MAX_NESTING} deep"
        ))
    } else {
        None
    };
    if let Some(limit) = limit {
        return Err(place.refuse(Error::Extent { limit }));
    }
    let links = Links::parse(&document.descriptor.media_type, &document.bytes)
        .map_err(|error| place.refuse(error))?;
    seen.insert(document.descriptor.digest.clone());
    for entry in links.manifests {
        if seen.contains(&entry.digest) {
            continue;
        }
        let child = listed(&entry, place)?;
        add(child, place, extent, tree, seen, depth + 1)?;
    }
    tree.blobs.extend(links.blobs);
    tree.documents.push(document);
    Ok(())
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
