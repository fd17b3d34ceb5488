//! The writing half: images first, without names; tags last.

use super::{Attached, Checked, Conflict, Error, Found, Request, Tags, stands_for};
use crate::digest::Digest;
use crate::event::{Observer, stage};
use crate::image::graph::{Graph, Links, Platforms};
use crate::image::{Platform, media_type};
use crate::reference::Reference;
use crate::registry::{RegistryClient, SendReport, SendRequest};
use crate::release::outputs::{Facts, PlatformImage};
use crate::store::BlobStore;

/// An image that is at its destination under its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// What the results call it.
    pub name: String,
    /// Where it came from, with the digest that counted.
    pub source: String,
    /// Its tag.
    pub destination: Reference,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The size of its manifest or index, in bytes.
    pub size_bytes: u64,
    /// The digest of its configuration; an index has none.
    pub config_digest: Option<Digest>,
    /// The images of an index, by platform.
    pub platforms: Vec<PlatformImage>,
    /// What was sent.
    pub report: SendReport,
    /// Whether the tag stood for it before.
    pub was_there: bool,
}

impl Promoted {
    /// `NAME:TAG@DIGEST` at the destination.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.destination, self.digest)
    }

    /// The same for the outputs of pipelines.
    pub fn facts(&self) -> Facts {
        Facts {
            name: self.name.clone(),
            references: vec![self.destination.clone()],
            digest: self.digest.clone(),
            media_type: self.media_type.clone(),
            size_bytes: self.size_bytes,
            config_digest: self.config_digest.clone(),
            platforms: self.platforms.clone(),
            base: None,
            is_pushed: true,
        }
    }
}

/// Copies what was checked, and sets the tags once everything is there. Nothing is compressed again, blobs that the
/// destination has are not sent, and those of another repository of the same registry are mounted. Blobs on their way go
/// through a scratch directory of `store` and do not stay there.
///
/// # Errors
/// [`Error::Conflicts`] for tags that were moved by others meanwhile, [`Error::ReadBack`], [`Error::Registry`],
/// [`Error::Store`]. Whatever it is, tags that were set stand for what was to be promoted.
pub fn carry_out(
    checked: &[Checked],
    request: &Request<'_>,
    registry: &RegistryClient,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Vec<Promoted>, Error> {
    let passing = BlobStore::open(&store.workspace()?.join("promoted"))?;
    let work = Work {
        request,
        registry,
        store: &passing,
        observer,
    };
    let sent: Result<Vec<_>, Error> = checked.iter().map(|image| work.send(image)).collect();
    let sent = sent?;
    for (image, (graph, _)) in checked.iter().zip(&sent) {
        if image.found != Found::Same {
            work.name(image, graph)?;
        }
    }
    let promoted = checked.iter().zip(sent);
    Ok(promoted
        .map(|(image, (graph, report))| told(image, &graph, report))
        .collect())
}

struct Work<'a> {
    request: &'a Request<'a>,
    registry: &'a RegistryClient,
    store: &'a BlobStore,
    observer: &'a dyn Observer,
}

impl Work<'_> {
    /// Sends an image under its digest alone, and what refers to it. What is there already costs a few questions.
    fn send(&self, image: &Checked) -> Result<(Graph, SendReport), Error> {
        let way = &image.way;
        let digest = image.digest();
        let source = way.source.with_digest(digest.clone());
        let nameless = way.destination.with_digest(digest.clone());
        let copying = stage(self.observer, "promote", way.destination.to_string());
        let with_referrers = self.request.attached == Attached::Referrers;
        let all = Platforms::All;
        let graph = self
            .registry
            .graph(&source, &all, with_referrers, self.observer)?;
        let report = self.registry.send(
            &SendRequest {
                graph: &graph,
                reference: &nameless,
                store: self.store,
                origin: Some(&source),
            },
            self.observer,
        )?;
        copying.finish(format!(
            "{} blobs copied, {} mounted, {} there already",
            report.uploaded_blobs, report.mounted, report.skipped
        ));
        Ok((graph, report))
    }

    /// Sets the tag, unless somebody else has meanwhile, and reads it back.
    fn name(&self, image: &Checked, graph: &Graph) -> Result<(), Error> {
        let tag = &image.way.destination;
        let look = || stands_for(tag, &image.document, self.registry, self.observer);
        let before = look()?;
        if before == Found::Same {
            return Ok(());
        }
        if let Found::Other(found) = before
            && self.request.tags == Tags::Stay
        {
            let conflict = Conflict {
                name: image.name.clone(),
                tag: tag.to_string(),
                found,
                wanted: image.digest().clone(),
            };
            return Err(Error::Conflicts {
                conflicts: vec![conflict],
            });
        }
        let alone = Graph {
            referrers: Vec::new(),
            ..graph.clone()
        };
        let source = image.way.source.with_digest(image.digest().clone());
        self.registry.send(
            &SendRequest {
                graph: &alone,
                reference: tag,
                store: self.store,
                origin: Some(&source),
            },
            self.observer,
        )?;
        let wrong = |found| Error::ReadBack {
            tag: tag.to_string(),
            wanted: image.digest().clone(),
            found,
        };
        match look()? {
            Found::Same => Ok(()),
            Found::Nothing => Err(wrong(None)),
            Found::Other(found) => Err(wrong(found)),
        }
    }
}

fn told(image: &Checked, graph: &Graph, report: SendReport) -> Promoted {
    let root = &graph.tree.root().descriptor;
    // It was read before, so it can be read; what is told of it is no reason to fail.
    let links = Links::parse(&root.media_type, &image.document.bytes).unwrap_or_default();
    let is_manifest = media_type::is_manifest(&root.media_type);
    let config = links.blobs.first().filter(|_| is_manifest);
    let platforms = links.manifests.iter().filter_map(|entry| {
        // Attestations have one that says nothing.
        let is_real = |platform: &&Platform| platform.os != "unknown";
        Some(PlatformImage {
            platform: entry.platform.as_ref().filter(is_real)?.clone(),
            digest: entry.digest.clone(),
        })
    });
    Promoted {
        name: image.name.clone(),
        source: image.source(),
        destination: image.way.destination.clone(),
        digest: root.digest.clone(),
        media_type: root.media_type.clone(),
        size_bytes: root.size,
        config_digest: config.map(|config| config.digest.clone()),
        platforms: platforms.collect(),
        report,
        was_there: image.found == Found::Same,
    }
}
