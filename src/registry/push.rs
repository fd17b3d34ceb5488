//! From the store into a registry, with no byte and hardly a request for what is there already.

use std::collections::{BTreeMap, BTreeSet};

use super::pull::{digest_of, find, manifest, other_digest};
use super::transport::Session;
use super::upload::{Ask, Blob, Outcome, Supply, bring, put_manifest};
use super::{Error, Fetched, in_parallel};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::{Content, Descriptor, Image, Index, Manifest, media_type};
use crate::reference::Reference;
use crate::store::BlobStore;

/// What to push, where to, and where its layers may be had from.
#[derive(Clone, Debug)]
pub struct PushRequest<'a> {
    /// The image, or the index with its images.
    pub content: Content<'a>,
    /// Where to.
    pub reference: &'a Reference,
    /// Where the layers are; those that are not in it must be in the destination, mountable, or have an origin.
    pub store: &'a BlobStore,
    /// Where layers may be mounted from; only other repositories on the destination's registry are.
    pub mount_from: &'a [Reference],
    /// Where layers come from that are not in the store, to be fetched into it when there is no other way.
    pub origins: &'a [Reference],
    /// What the reference stands for now, if the caller has just found out.
    pub previous: Previous<'a>,
}

impl<'a> PushRequest<'a> {
    /// A push of layers that are all in the store.
    pub fn new(
        content: impl Into<Content<'a>>,
        reference: &'a Reference,
        store: &'a BlobStore,
    ) -> Self {
        Self {
            content: content.into(),
            reference,
            store,
            mount_from: &[],
            origins: &[],
            previous: Previous::Unknown,
        }
    }
}

/// What is known of a reference before it is pushed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Previous<'a> {
    /// Nobody has looked: it costs one request to.
    Unknown,
    /// It stands for nothing.
    Absent,
    /// It stands for this.
    Manifest(&'a Fetched),
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushReport {
    /// The digest of the manifest or index, under which it can now be pulled.
    pub digest: Digest,
    /// How many blobs were uploaded.
    pub uploaded_blobs: usize,
    /// How many blobs were mounted from another repository.
    pub mounted: usize,
    /// How many blobs the repository had already.
    pub skipped: usize,
    /// How many bytes the uploaded blobs have.
    pub bytes: u64,
    /// True when the reference stood for exactly this before, and nothing was sent.
    pub already_there: bool,
}

/// What the repository has, as far as a manifest that is in it tells: a registry does not remove the blobs of a manifest
/// that has a tag.
#[derive(Default)]
struct Known {
    blobs: BTreeSet<Digest>,
    manifests: BTreeSet<Digest>,
}

/// How much of what the registry seems to have is believed. When the manifest is refused because a blob is missing, the
/// next attempt believes less.
const ATTEMPTS: [Trust; 3] = [Trust::Manifest, Trust::Answers, Trust::Nothing];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// A blob is there that a manifest in the repository names.
    Manifest,
    /// A blob is there that the registry says to have.
    Answers,
    /// A blob is there that was sent.
    Nothing,
}

/// Brings blobs over, then manifests, the one that gets the name last.
pub(super) fn push(
    request: &PushRequest<'_>,
    session: &Session<'_>,
    supply: &Supply<'_>,
) -> Result<PushReport, Error> {
    let content = &request.content;
    if let Some(expected) = request.reference.digest() {
        let found = digest_of(expected.algorithm(), content.bytes());
        if found != *expected {
            return Err(other_digest(session, "manifest", expected, found));
        }
    }
    let name = match request.reference.tag() {
        Some(tag) => tag.to_owned(),
        None => request.reference.manifest_reference(),
    };
    let blobs = blobs_of(content);
    let asked = match request.previous {
        Previous::Unknown => previous(session, request.reference)?,
        Previous::Absent | Previous::Manifest(_) => None,
    };
    let previous = match request.previous {
        Previous::Manifest(fetched) => Some(fetched),
        Previous::Unknown | Previous::Absent => asked.as_ref(),
    };
    if previous.is_some_and(|previous| previous.bytes == content.bytes()) {
        return Ok(PushReport {
            skipped: blobs.len(),
            already_there: true,
            ..report(content, &[], &BTreeMap::new())
        });
    }
    let known = match previous {
        Some(previous) => known_from(session, previous, content)?,
        None => Known::default(),
    };
    let mut done: BTreeMap<&Digest, Outcome> = BTreeMap::new();
    for trust in ATTEMPTS {
        let ask = match trust {
            Trust::Manifest if previous.is_some() => Ask::Large,
            Trust::Manifest | Trust::Answers => Ask::Always,
            Trust::Nothing => Ask::Never,
        };
        let is_known = |blob: &Blob<'_>| known.blobs.contains(&blob.descriptor.digest);
        if trust == Trust::Manifest {
            let there = blobs.iter().filter(|blob| is_known(blob));
            done.extend(there.map(|blob| (&blob.descriptor.digest, Outcome::Skipped)));
        }
        let open: Vec<&Blob<'_>> = blobs
            .iter()
            .filter(|blob| match done.get(&blob.descriptor.digest) {
                None => true,
                Some(Outcome::Skipped) => trust != Trust::Manifest,
                Some(Outcome::Mounted | Outcome::Uploaded) => false,
            })
            .collect();
        let threads = session.client.limits.connections;
        let outcomes = in_parallel(&open, threads, session.observer, |blob, observer| {
            bring(session, blob, supply, ask, observer)
        })?;
        done.extend(
            open.iter()
                .map(|blob| &blob.descriptor.digest)
                .zip(outcomes),
        );
        let is_believed = trust == Trust::Manifest;
        match put_manifests(session, &name, content, is_believed.then_some(&known)) {
            Ok(()) => break,
            Err(error) if error.is_blob_unknown() && trust != Trust::Nothing => {}
            Err(error) => return Err(error),
        }
    }
    Ok(report(content, &blobs, &done))
}

fn report(
    content: &Content<'_>,
    blobs: &[Blob<'_>],
    done: &BTreeMap<&Digest, Outcome>,
) -> PushReport {
    let count = |wanted| done.values().filter(|outcome| **outcome == wanted).count();
    let sent = blobs
        .iter()
        .filter(|blob| done.get(&blob.descriptor.digest) == Some(&Outcome::Uploaded));
    PushReport {
        digest: content.descriptor().digest.clone(),
        uploaded_blobs: count(Outcome::Uploaded),
        mounted: count(Outcome::Mounted),
        skipped: count(Outcome::Skipped),
        bytes: sent.map(|blob| blob.descriptor.size).sum(),
        already_there: false,
    }
}

/// Every blob once, the largest first.
fn blobs_of<'a>(content: &Content<'a>) -> Vec<Blob<'a>> {
    let configs = content.images().iter().map(|image| Blob {
        descriptor: &image.config.descriptor,
        bytes: Some(&image.config.bytes),
    });
    let layers = content.layers().into_iter().map(|descriptor| Blob {
        descriptor,
        bytes: None,
    });
    let mut seen = BTreeSet::new();
    let mut blobs: Vec<Blob<'_>> = configs
        .chain(layers)
        .filter(|blob| seen.insert(&blob.descriptor.digest))
        .collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.descriptor.size));
    blobs
}

/// What the reference stands for now. Whatever is there may be replaced, also what nobody can read: then as if it were
/// nothing.
fn previous(session: &Session<'_>, reference: &Reference) -> Result<Option<Fetched>, Error> {
    // Under the tag, when there is one: that is what will be replaced.
    let wanted = match reference.tag() {
        Some(_) => &reference.without_digest(),
        None => reference,
    };
    match session.run(session.observer, find(session, wanted)) {
        Ok(found) => Ok(found),
        Err(
            Error::Schema1 { .. }
            | Error::Document { .. }
            | Error::Protocol { .. }
            | Error::Digest { .. }
            | Error::Size { .. }
            | Error::Denied { .. },
        ) => Ok(None),
        // Some registries cannot tell of manifests that they take.
        Err(Error::Answer(answer)) if answer.status < 500 || answer.status == 501 => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the repository must have if `previous` is in it. Of an index, those manifests are read that are for the
/// platforms of `content`.
fn known_from(
    session: &Session<'_>,
    previous: &Fetched,
    content: &Content<'_>,
) -> Result<Known, Error> {
    let mut known = Known::default();
    if media_type::is_manifest(&previous.descriptor.media_type) {
        known.add(previous);
        return Ok(known);
    }
    let Ok(index) = Index::parse(&previous.bytes) else {
        return Ok(known);
    };
    let mut chosen: BTreeMap<&Digest, &Descriptor> = BTreeMap::new();
    for image in content.images() {
        let platform = image.config.parsed.platform();
        let entry = index.choose(&platform).ok();
        if index
            .manifests
            .iter()
            .any(|entry| entry.digest == *image.digest())
        {
            known.add_own(image);
        } else if let Some(entry) = entry {
            chosen.insert(&entry.digest, entry);
        }
    }
    let chosen: Vec<&Descriptor> = chosen.into_values().collect();
    let threads = session.client.limits.connections;
    let fetched = in_parallel(&chosen, threads, session.observer, |entry, observer| {
        let name = entry.digest.to_string();
        match session.run(observer, manifest(session, &name, Some(&entry.digest))) {
            Err(error @ (Error::Interrupted | Error::TooLong { .. })) => Err(error),
            // It only saves requests; what is missing in it is asked for.
            fetched => Ok(fetched.ok()),
        }
    })?;
    for manifest in fetched.iter().flatten() {
        known.add(manifest);
    }
    Ok(known)
}

impl Known {
    fn add(&mut self, fetched: &Fetched) {
        if let Ok(manifest) = Manifest::parse(&fetched.bytes) {
            self.manifests.insert(fetched.descriptor.digest.clone());
            self.blobs.insert(manifest.config.digest);
            let layers = manifest.layers.into_iter();
            self.blobs.extend(layers.map(|layer| layer.digest));
        }
    }

    fn add_own(&mut self, image: &Image) {
        let manifest = &image.manifest;
        self.manifests.insert(manifest.descriptor.digest.clone());
        self.blobs.insert(image.config.descriptor.digest.clone());
        let layers = manifest.parsed.layers.iter();
        self.blobs.extend(layers.map(|layer| layer.digest.clone()));
    }
}

/// Puts the manifests of an index by their digests, but those that are known to be there, then what gets the name.
fn put_manifests(
    session: &Session<'_>,
    name: &str,
    content: &Content<'_>,
    known: Option<&Known>,
) -> Result<(), Error> {
    let put = |name: &str, document: &Descriptor, bytes: &[u8], observer: &dyn Observer| {
        let putting = put_manifest(session, name, &document.media_type, bytes);
        session.run(observer, putting)
    };
    if content.is_index() {
        let is_there =
            |image: &&Image| known.is_some_and(|known| known.manifests.contains(image.digest()));
        let images = content.images().iter().copied();
        let missing: Vec<&Image> = images.filter(|image| !is_there(image)).collect();
        let threads = session.client.limits.connections;
        in_parallel(&missing, threads, session.observer, |image, observer| {
            let manifest = &image.manifest;
            put(
                &image.digest().to_string(),
                &manifest.descriptor,
                &manifest.bytes,
                observer,
            )
        })?;
    }
    put(
        name,
        content.descriptor(),
        content.bytes(),
        session.observer,
    )
}
