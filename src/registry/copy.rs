//! Whole images, indexes and artifacts as they are: out of one registry and into another, blob by blob.

use std::collections::{BTreeMap, BTreeSet};

use super::download;
use super::pull::{digest_of, manifest, other_digest, resolve};
use super::referrers;
use super::transport::Session;
use super::upload::{Ask, Blob, Outcome, Supply, bring, mount_sources};
use super::{Access, Error, RegistryClient, in_parallel};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::graph::{Document, Documents, Graph, Platforms, Referrer, Tree};
use crate::image::{self, Descriptor, media_type};
use crate::reference::Reference;
use crate::store::BlobStore;

/// What to send where.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// The documents, and the blobs that they name.
    pub graph: &'a Graph,
    /// Where to.
    pub reference: &'a Reference,
    /// Where the blobs are that are not fetched from `origin`.
    pub store: &'a BlobStore,
    /// The registry's repository that the blobs are in; they go through `store` one by one and do not stay there.
    pub origin: Option<&'a Reference>,
}

/// What sending did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// How many blobs were uploaded.
    pub uploaded_blobs: usize,
    /// How many blobs were mounted from another repository.
    pub mounted: usize,
    /// How many blobs the repository had already.
    pub skipped: usize,
    /// How many bytes the uploaded blobs have.
    pub bytes: u64,
    /// How many referrers were sent.
    pub referrers: usize,
    /// True when the reference stood for exactly this before.
    pub already_there: bool,
}

impl RegistryClient {
    /// Fetches the manifest or index that `reference` stands for, with one request.
    ///
    /// # Errors
    /// As [`Self::manifest`], and [`Error::NotFound`].
    pub fn document(
        &self,
        reference: &Reference,
        observer: &dyn Observer,
    ) -> Result<Document, Error> {
        let root = |session: &Session<'_>| root(session, reference);
        self.reading(reference, observer, root).map(|(it, _)| it)
    }

    /// Reads the documents of an image, index or artifact, and of what refers to it when that is wanted. No layer is
    /// fetched, and no configuration.
    ///
    /// # Errors
    /// As [`Self::resolve`]; [`Error::Document`] for documents that make no sense, lack the platform, or are too many.
    pub fn graph(
        &self,
        reference: &Reference,
        platforms: &Platforms,
        with_referrers: bool,
        observer: &dyn Observer,
    ) -> Result<Graph, Error> {
        let collect = |session: &Session<'_>| {
            let root = root(session, reference)?;
            Graph::collect(root, platforms, with_referrers, &mut Remote(session))
        };
        match with_referrers {
            false => self.reading(reference, observer, collect).map(|(it, _)| it),
            // A mirror has what it was asked for before, and of referrers it may know none.
            true => collect(&self.session(reference, Access::Pull, observer)?),
        }
    }

    /// Fetches blobs of `origin`'s repository into `store`, those that it does not have.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn fetch_blobs(
        &self,
        blobs: Vec<&Descriptor>,
        origin: &Reference,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let sessions = self.sessions_of(std::iter::once(origin), observer)?;
        download::layers(&sessions, blobs, &origin.to_string(), store, observer)
    }

    /// Sends documents as they are, and those of their blobs that the destination does not have: mounted where they
    /// are in another repository of the same registry, else uploaded. What gets the name goes last, after the
    /// referrers; these are sent unless the destination lists them.
    ///
    /// # Errors
    /// As [`Self::push`].
    ///
    /// # Spec
    /// OCI distribution-spec, *Push*.
    pub fn send(
        &self,
        request: &SendRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<SendReport, Error> {
        let SendRequest {
            graph, reference, ..
        } = *request;
        let session = self.session(reference, Access::PullAndPush, observer)?;
        let root = graph.tree.root();
        if let Some(expected) = reference.digest() {
            let found = digest_of(expected.algorithm(), &root.bytes);
            if found != *expected {
                return Err(other_digest(&session, "manifest", expected, found));
            }
        }
        let mut mounting = self.session(reference, Access::PullAndPush, observer)?;
        let origins: Vec<Reference> = request.origin.into_iter().cloned().collect();
        let sources = mount_sources(reference, &origins);
        let scope = |name: &String| format!("repository:{name}:pull");
        mounting.scopes.extend(sources.iter().map(scope));
        let origins = self.sessions_of(origins.iter(), observer)?;
        let supply = Supply {
            store: request.store,
            mounting: &mounting,
            sources,
            origins,
        };
        let sending = Sending {
            session: &session,
            supply,
            passes_through: request.origin.is_some(),
        };
        sending.send(graph, reference)
    }
}

/// The manifest or index that a reference stands for in the session's repository.
fn root(session: &Session<'_>, reference: &Reference) -> Result<Document, Error> {
    let name = reference.manifest_reference();
    let fetch = manifest(session, &name, reference.digest());
    let root = session.run(session.observer, fetch)?;
    Ok(Document {
        descriptor: named_by(reference, root.descriptor),
        bytes: root.bytes,
    })
}

/// The digest that a reference asks for is the one that counts, also when it is of another algorithm than ours.
fn named_by(reference: &Reference, descriptor: Descriptor) -> Descriptor {
    match reference.digest() {
        Some(digest) => Descriptor {
            digest: digest.clone(),
            ..descriptor
        },
        None => descriptor,
    }
}

/// A repository as a place that documents are read from.
struct Remote<'s, 'a>(&'s Session<'a>);

impl Documents for Remote<'_, '_> {
    type Error = Error;

    fn read(&mut self, descriptor: &Descriptor) -> Result<Document, Error> {
        let session = self.0;
        let name = descriptor.digest.to_string();
        let fetch = manifest(session, &name, Some(&descriptor.digest));
        let fetched = session.run(session.observer, fetch)?;
        Ok(Document {
            descriptor: Descriptor {
                digest: descriptor.digest.clone(),
                platform: descriptor.platform.clone(),
                ..fetched.descriptor
            },
            bytes: fetched.bytes,
        })
    }

    fn referrers(&mut self, subject: &Digest) -> Result<Vec<Referrer>, Error> {
        let session = self.0;
        let list = referrers::list(session, subject, None);
        session.run(session.observer, list)
    }

    fn refuse(&self, error: image::Error) -> Error {
        Error::Document {
            subject: self.0.subject.clone(),
            source: Box::new(error),
        }
    }
}

struct Sending<'a> {
    session: &'a Session<'a>,
    supply: Supply<'a>,
    /// Blobs that were fetched on the way are removed again.
    passes_through: bool,
}

impl Sending<'_> {
    fn send(&self, graph: &Graph, reference: &Reference) -> Result<SendReport, Error> {
        let mut report = SendReport::default();
        let root = graph.tree.root();
        report.already_there = self.stands_for(reference, root)?;
        let missing = self.unlisted(graph)?;
        let mut trees: Vec<&Tree> = missing;
        report.referrers = trees.len();
        if !report.already_there {
            trees.push(&graph.tree);
        }
        let name = reference.manifest_reference();
        for ask in [Ask::Always, Ask::Never] {
            self.blobs(&trees, ask, &mut report)?;
            match self.documents(&trees, graph, &name) {
                // The registry said that it had a blob, and has not: everything is sent then.
                Err(error) if error.is_blob_unknown() && ask == Ask::Always => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        Ok(report)
    }

    /// True when the reference stands for `root` already.
    fn stands_for(&self, reference: &Reference, root: &Document) -> Result<bool, Error> {
        let wanted = match reference.tag() {
            Some(tag) => reference.with_tag(tag),
            None => reference.clone(),
        };
        let session = self.session;
        match session.run(session.observer, resolve(session, &wanted)) {
            Ok(found) => {
                let digest = digest_of(found.digest.algorithm(), &root.bytes);
                Ok(found.digest == digest)
            }
            Err(
                error @ (Error::Interrupted | Error::Connect { .. } | Error::Unauthorised { .. }),
            ) => Err(error),
            // Whatever is there is replaced, also what nobody can read.
            Err(_) => Ok(false),
        }
    }

    /// The referrers that the destination does not list.
    fn unlisted<'g>(&self, graph: &'g Graph) -> Result<Vec<&'g Tree>, Error> {
        let mut listed: BTreeMap<&Digest, BTreeSet<Digest>> = BTreeMap::new();
        let mut missing = Vec::new();
        for attached in &graph.referrers {
            let subject = &attached.subject;
            if !listed.contains_key(subject) {
                let list = referrers::list(self.session, subject, None);
                let found = self.session.run(self.session.observer, list)?;
                let digests = found.into_iter().map(|entry| entry.descriptor.digest);
                listed.insert(subject, digests.collect());
            }
            let root = &attached.tree.root().descriptor.digest;
            if !listed[subject].contains(root) {
                missing.push(&attached.tree);
            }
        }
        Ok(missing)
    }

    fn blobs(&self, trees: &[&Tree], ask: Ask, report: &mut SendReport) -> Result<(), Error> {
        let blobs = trees.iter().flat_map(|tree| tree.blobs());
        let blobs = blobs.filter(|blob| !media_type::is_foreign(&blob.media_type));
        let blobs: BTreeMap<&Digest, &Descriptor> =
            blobs.map(|blob| (&blob.digest, blob)).collect();
        let mut blobs: Vec<&Descriptor> = blobs.into_values().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let threads = self.session.client.limits.connections;
        let outcomes = in_parallel(
            &blobs,
            threads,
            self.session.observer,
            |descriptor, observer| {
                let blob = Blob {
                    descriptor,
                    bytes: None,
                };
                let outcome = bring(self.session, &blob, &self.supply, ask, observer);
                if self.passes_through {
                    // Where it fails, the scratch store is removed as a whole later.
                    let _ = std::fs::remove_file(self.supply.store.blob_path(&descriptor.digest));
                }
                outcome
            },
        )?;
        let count = |wanted| {
            let equal = outcomes.iter().filter(|outcome| **outcome == wanted);
            equal.count()
        };
        let sent = blobs.iter().zip(&outcomes);
        let sent = sent.filter(|(_, outcome)| **outcome == Outcome::Uploaded);
        report.bytes = sent.map(|(blob, _)| blob.size).sum();
        report.uploaded_blobs = count(Outcome::Uploaded);
        report.mounted = count(Outcome::Mounted);
        report.skipped = count(Outcome::Skipped);
        Ok(())
    }

    /// Puts documents in the order of the trees; the graph's own root under `name`.
    fn documents(&self, trees: &[&Tree], graph: &Graph, name: &str) -> Result<(), Error> {
        let named = graph.tree.root();
        let mut seen = BTreeSet::new();
        for tree in trees {
            for document in tree.documents() {
                let digest = &document.descriptor.digest;
                if !seen.insert(digest) {
                    continue;
                }
                let own = digest.to_string();
                let is_named = *digest == named.descriptor.digest;
                let name = if is_named { name } else { &own };
                let put = referrers::put(self.session, name, document);
                self.session.run(self.session.observer, put)?;
            }
        }
        Ok(())
    }
}
