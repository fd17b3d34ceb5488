//! Images in registries: pulling, pushing, finding out what a tag means.
//!
//! [`RegistryClient`] is synchronous towards its callers; what is asynchronous stays in here, behind [`Http::run`].
//! Each blob that moves has a thread of its own, so that hashing one does not hold up another, and all of them stop
//! when one fails or the person asks to.
//!
//! Nothing that comes from a registry is believed: documents and blobs are checked against the digest that names them,
//! sizes are limits, texts are made harmless before they are shown, and credentials go to the host they are for.
//!
//! # Spec
//! OCI distribution-spec 1.1.

mod auth;
mod auth_file;
mod body;
pub mod challenge;
mod connection;
mod copy;
mod credentials;
mod delete;
mod download;
mod error;
pub mod hosts;
mod limits;
mod login;
mod opened;
pub mod pages;
mod ping;
mod pull;
mod push;
mod referrers;
mod retry;
mod sending;
mod sessions;
mod tags;
mod token;
mod transport;
mod upload;

pub use auth_file::{Erased, Kept, erase, keep};
pub use copy::{SendReport, SendRequest};
pub use credentials::{Credential, FromEnvironment, Secret};
pub use delete::Deleted;
pub use error::{Answer, Error, Obstacle};
pub use limits::Limits;
pub use login::Checked;
pub use pull::{Fetched, Layers};
pub use push::{Previous, PushReport, PushRequest};

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::event::{Linked, Observer};
use crate::http::Http;
use crate::image::{Content, Descriptor, Image, Platform};
use crate::reference::Reference;
use crate::store::BlobStore;

/// What a client is told by its caller; nothing is looked up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Files with credentials, in the format of Docker's `config.json` or containers' `auth.json`; the first that has
    /// an entry for a repository wins, absent files are passed over.
    pub auth_files: Vec<PathBuf>,
    /// Credentials for hosts, as references name them (`docker.io`, `localhost:5000`), that the person has just given;
    /// they come before the files'.
    pub credentials: BTreeMap<String, Credential>,
    /// Credentials that the environment holds, such as a CI's; they come after the files'.
    pub environment: Vec<FromEnvironment>,
    /// A `.netrc`, asked last; its `default` is not used. May be absent.
    pub netrc: Option<PathBuf>,
    /// Where settings for single hosts are: mirrors, certificates, plain HTTP.
    pub hosts: hosts::Sources,
    /// How long to wait before a request is made again; three times as long before each further attempt.
    pub first_retry_delay: Duration,
    /// How long registries may take, and how much moves at once.
    pub limits: Limits,
    /// Some number that differs from process to process: delays are spread by it.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_files: Vec::new(),
            credentials: BTreeMap::new(),
            environment: Vec::new(),
            netrc: None,
            hosts: hosts::Sources::default(),
            first_retry_delay: Duration::from_millis(300),
            limits: Limits::default(),
            seed: 0,
        }
    }
}

/// A client of any number of registries. It remembers how each wants to be spoken to, so one client should serve a
/// whole operation.
#[derive(Debug)]
pub struct RegistryClient {
    http: Arc<Http>,
    sources: credentials::Sources,
    hosts: hosts::Hosts,
    first_retry_delay: Duration,
    /// How often an operation is tried without getting any further.
    attempts: u32,
    limits: Limits,
    jitter: retry::Jitter,
    auth: auth::Cache,
    /// How hosts turned out to speak, where that is not what was tried first.
    schemes: Mutex<BTreeMap<String, &'static str>>,
    /// Mirrors that could not be reached.
    given_up: Mutex<BTreeSet<String>>,
    /// Hosts that have answered anything over TLS.
    answered: Mutex<BTreeSet<String>>,
}

/// What somebody wants to do with a repository. Tokens are bought for it, so who asks for both at first needs one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read.
    Pull,
    /// To read and to write.
    PullAndPush,
}

impl RegistryClient {
    /// A client that has spoken to nobody yet.
    pub fn new(http: Arc<Http>, settings: Settings) -> Self {
        let sources = credentials::Sources {
            explicit: settings.credentials,
            files: settings.auth_files,
            environment: settings.environment,
            netrc: settings.netrc,
        };
        Self {
            http,
            sources,
            hosts: hosts::Hosts::new(settings.hosts),
            first_retry_delay: settings.first_retry_delay,
            attempts: retry::MAX_ATTEMPTS,
            limits: settings.limits,
            jitter: retry::Jitter::new(settings.seed),
            auth: auth::Cache::default(),
            schemes: Mutex::default(),
            given_up: Mutex::default(),
            answered: Mutex::default(),
        }
    }

    /// The same client, which gives up when something fails once: for a question that is asked by the way.
    #[must_use]
    pub fn asking_once(mut self) -> Self {
        self.attempts = 1;
        self
    }

    /// Finds out what `reference` stands for now: a manifest or an index. Its bytes are fetched only from a registry
    /// that does not give their digest otherwise.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Digest`] when the reference has another digest, and whatever speaking to a
    /// registry can end with: [`Error::Connect`], [`Error::Unauthorised`], [`Error::Denied`], [`Error::Interrupted`], …
    ///
    /// # Spec
    /// OCI distribution-spec, *Checking if content exists in the registry*.
    pub fn resolve(
        &self,
        reference: &Reference,
        observer: &dyn Observer,
    ) -> Result<Descriptor, Error> {
        let (found, _) = self.reading(reference, observer, |session| {
            session.run(observer, pull::resolve(session, reference))
        })?;
        Ok(found)
    }

    /// Fetches an image into `store`: its two documents always, its layers as `layers` says, except those the store
    /// has. Of an index, the image for `platform` is taken. The documents are stored last: where they are, all that
    /// was asked for is.
    ///
    /// # Errors
    /// As [`Self::resolve`]; also [`Error::Digest`] and [`Error::Size`] for bytes that are not the promised ones,
    /// [`Error::Document`] for documents that make no sense or lack the platform, [`Error::Schema1`],
    /// [`Error::Store`].
    ///
    /// # Spec
    /// OCI distribution-spec, *Pull*.
    pub fn pull(
        &self,
        reference: &Reference,
        platform: &Platform,
        store: &BlobStore,
        layers: Layers,
        observer: &dyn Observer,
    ) -> Result<Image, Error> {
        let (documents, sessions) = self.reading(reference, observer, |session| {
            let documents = pull::documents(session, reference, platform, store);
            session.run(observer, documents)
        })?;
        let pull::Documents { image, index } = documents;
        if layers == Layers::All {
            let needed = Content::from(&image).layers();
            let subject = reference.to_string();
            download::layers(&sessions, needed, &subject, store, observer)?;
        }
        if let Some(index) = index {
            store.put(&index.descriptor, &index.bytes)?;
        }
        store.put_documents(&image)?;
        Ok(image)
    }

    /// Fetches those layers of an image that `store` does not have, each from the first of `origins` that gives it:
    /// for an image that was pulled with [`Layers::None`], or made of one, when its bytes are needed here after all.
    ///
    /// # Errors
    /// As [`Self::pull`]; with several origins, or none, [`Error::LayerAbsent`] that says why no one gave it.
    pub fn fetch_layers<'a>(
        &self,
        content: impl Into<Content<'a>>,
        origins: &[Reference],
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let content = content.into();
        let sessions = self.sessions_of(origins.iter(), observer)?;
        let subject = content.descriptor().digest.to_string();
        download::layers(&sessions, content.layers(), &subject, store, observer)
    }

    /// Fetches the manifest or index that `reference` stands for now, with one request; `None` when the registry has
    /// none, or not even the repository. `access` is what will be done next: see [`Access`].
    ///
    /// # Errors
    /// As [`Self::resolve`]; also [`Error::Size`] for one of more than 4 MiB, [`Error::Schema1`],
    /// [`Error::Protocol`] and [`Error::Document`] for what is neither.
    ///
    /// # Spec
    /// OCI distribution-spec, *Pulling manifests*.
    pub fn manifest(
        &self,
        reference: &Reference,
        access: Access,
        observer: &dyn Observer,
    ) -> Result<Option<Fetched>, Error> {
        let ask = |session: &transport::Session<'_>| {
            let name = reference.manifest_reference();
            let fetched = pull::manifest(session, &name, reference.digest());
            session.run(observer, fetched)
        };
        let fetched = match access {
            Access::Pull => self.reading(reference, observer, ask).map(|(it, _)| it),
            // What a mirror has is not what will be replaced.
            Access::PullAndPush => ask(&self.session(reference, access, observer)?),
        };
        match fetched {
            Ok(fetched) => Ok(Some(fetched)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches a small blob of `reference`'s repository whole: an image's configuration.
    ///
    /// # Errors
    /// As [`Self::resolve`]; [`Error::Size`] for one of more than 4 MiB or of another size than `blob` says.
    ///
    /// # Spec
    /// OCI distribution-spec, *Pulling blobs*.
    pub fn blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        observer: &dyn Observer,
    ) -> Result<Vec<u8>, Error> {
        let (bytes, _) = self.reading(reference, observer, |session| {
            session.run(observer, pull::blob(session, blob, "blob"))
        })?;
        Ok(bytes)
    }

    /// Writes an image, or an index with its images, to a reference, and sends no byte that is there already: blobs that
    /// the tag's manifest names now are in its repository; others are asked for, or mounted from another repository of
    /// the same registry; the rest is uploaded from the store, into which a layer that is not in it is fetched first
    /// from where it comes from. Then the manifests, byte for byte: under the reference's tag, or, when it has only a
    /// digest, under that.
    ///
    /// A push of what is there costs one request; of one changed layer six, four of them one after the other.
    ///
    /// # Errors
    /// As [`Self::resolve`]; also [`Error::LayerAbsent`] for a layer that is neither there nor here and cannot be had,
    /// [`Error::Store`] for one that is damaged here, [`Error::Digest`] when the image is not the one the reference
    /// names or the registry understood another.
    ///
    /// # Spec
    /// OCI distribution-spec, *Push*.
    pub fn push(
        &self,
        request: &PushRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<PushReport, Error> {
        let session = self.session(request.reference, Access::PullAndPush, observer)?;
        // A session of its own: a token server that refuses the other repository must not stop the push.
        let mut mounting = self.session(request.reference, Access::PullAndPush, observer)?;
        let sources = upload::mount_sources(request.reference, request.mount_from);
        let scope = |name: &String| format!("repository:{name}:pull");
        mounting.scopes.extend(sources.iter().map(scope));
        let (host, repository) = (request.reference.host(), request.reference.repository());
        let origins = request.origins.iter().filter(|origin| {
            // What is not in the destination cannot be fetched from there.
            origin.host() != host || origin.repository() != repository
        });
        let origins = self.sessions_of(origins, observer)?;
        push::push(
            request,
            &session,
            &upload::Supply {
                store: request.store,
                mounting: &mounting,
                sources,
                origins,
            },
        )
    }
}

/// Does `work` on each item, with so many threads, and gives the results in order. The first failure ends the others.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    observer: &dyn Observer,
    work: impl Fn(&T, &dyn Observer) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let results = Mutex::new(BTreeMap::new());
    let linked = Linked::to(observer);
    let worker = || {
        while !linked.is_cancelled() {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(position) else {
                return;
            };
            match work(item, &linked) {
                Ok(result) => {
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(position, result);
                }
                Err(error) => {
                    // Only the first is the cause; the others were interrupted by it.
                    failure
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(error);
                    linked.fail();
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    if results.len() < items.len() {
        return Err(Error::Interrupted);
    }
    Ok(results.into_values().collect())
}

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod chunk_tests;
#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod download_tests;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod lists_tests;
#[cfg(test)]
mod mirror_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod shelf;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod upload_tests;
