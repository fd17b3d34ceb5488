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
mod body;
mod copy;
mod credentials;
mod delete;
mod download;
mod error;
mod pages;
mod ping;
mod pull;
mod push;
mod referrers;
mod retry;
mod tags;
mod transport;
mod upload;

pub use copy::{SendReport, SendRequest};
pub use credentials::{Credential, Secret};
pub use delete::Deleted;
pub use error::{Answer, Error, Obstacle};
pub use pull::{Fetched, Layers};
pub use push::{Previous, PushReport, PushRequest};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::event::{Event, Observer};
use crate::http::Http;
use crate::image::{Content, Descriptor, Image, Platform};
use crate::reference::{DEFAULT_REGISTRY, Reference};
use crate::store::BlobStore;

/// How many blobs move at once; registries begin to refuse at more.
const PARALLEL: usize = 4;
/// Docker Hub's API does not live at the host that its references name.
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// What a client is told by its caller; nothing is looked up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Files with credentials, in the format of Docker's `config.json` or containers' `auth.json`; the first that has
    /// an entry for a repository wins, absent files are passed over.
    pub auth_files: Vec<PathBuf>,
    /// Credentials for hosts, as references name them (`docker.io`, `localhost:5000`); they come before the files'.
    pub credentials: BTreeMap<String, Credential>,
    /// Hosts, as references name them, that are spoken to over plain HTTP. Loopback hosts always are.
    pub insecure_hosts: Vec<String>,
    /// How long to wait before a request is made again; three times as long before each further attempt.
    pub first_retry_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_files: Vec::new(),
            credentials: BTreeMap::new(),
            insecure_hosts: Vec::new(),
            first_retry_delay: Duration::from_millis(300),
        }
    }
}

/// A client of any number of registries. It remembers how each wants to be spoken to, so one client should serve a
/// whole operation.
#[derive(Debug)]
pub struct RegistryClient {
    http: Arc<Http>,
    sources: credentials::Sources,
    insecure_hosts: Vec<String>,
    first_retry_delay: Duration,
    auth: auth::Cache,
    tls_hosts: Mutex<BTreeSet<String>>,
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
        };
        Self {
            http,
            sources,
            insecure_hosts: settings.insecure_hosts,
            first_retry_delay: settings.first_retry_delay,
            auth: auth::Cache::default(),
            tls_hosts: Mutex::default(),
        }
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
        let session = self.session(reference, Access::Pull, observer);
        self.http
            .run(observer, pull::resolve(&session, reference))?
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
        let session = self.session(reference, Access::Pull, observer);
        let pull::Documents { image, index } = self.http.run(
            observer,
            pull::documents(&session, reference, platform, store),
        )??;
        if layers == Layers::All {
            let needed = image.manifest.parsed.layers.iter().collect();
            let subject = session.subject.clone();
            download::layers(&[session], needed, &subject, store, observer)?;
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
        let sessions: Vec<_> = origins
            .iter()
            .map(|origin| self.session(origin, Access::Pull, observer))
            .collect();
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
        let session = self.session(reference, access, observer);
        self.http.run(observer, pull::find(&session, reference))?
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
        let session = self.session(reference, Access::Pull, observer);
        self.http
            .run(observer, pull::blob(&session, blob, "blob"))?
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
        let session = self.session(request.reference, Access::PullAndPush, observer);
        // A session of its own: a token server that refuses the other repository must not stop the push.
        let mut mounting = self.session(request.reference, Access::PullAndPush, observer);
        let sources = upload::mount_sources(request.reference, request.mount_from);
        let scope = |name: &String| format!("repository:{name}:pull");
        mounting.scopes.extend(sources.iter().map(scope));
        let (host, repository) = (request.reference.host(), request.reference.repository());
        let origins = request.origins.iter().filter(|origin| {
            // What is not in the destination cannot be fetched from there.
            origin.host() != host || origin.repository() != repository
        });
        let origins = origins.map(|origin| self.session(origin, Access::Pull, observer));
        push::push(
            request,
            &session,
            &upload::Supply {
                store: request.store,
                mounting: &mounting,
                sources,
                origins: origins.collect(),
            },
        )
    }

    fn session<'a>(
        &'a self,
        reference: &Reference,
        access: Access,
        observer: &'a dyn Observer,
    ) -> transport::Session<'a> {
        let actions = match access {
            Access::Pull => "pull",
            Access::PullAndPush => "pull,push",
        };
        transport::Session {
            client: self,
            observer,
            host: reference.host().to_owned(),
            repository: reference.repository().to_owned(),
            scopes: vec![format!("repository:{}:{actions}", reference.repository())],
            subject: reference.to_string(),
        }
    }

    /// The scheme and the host to speak to for a host as references name it.
    fn endpoint<'a>(&self, host: &'a str) -> (&'static str, &'a str) {
        let has_tls = self
            .tls_hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(host);
        let is_plain = is_loopback(host) || self.insecure_hosts.iter().any(|listed| listed == host);
        let scheme = if is_plain && !has_tls {
            "http"
        } else {
            "https"
        };
        (
            scheme,
            if host == DEFAULT_REGISTRY {
                DOCKER_HUB_API
            } else {
                host
            },
        )
    }

    fn remember_tls(&self, host: &str) {
        self.tls_hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host.to_owned());
    }
}

/// True for hosts that never leave this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Does `work` on each item, several at once, and gives the results in order. The first failure ends the others.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    observer: &dyn Observer,
    work: impl Fn(&T, &dyn Observer) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let results = Mutex::new(BTreeMap::new());
    let linked = Linked {
        observer,
        has_failed: AtomicBool::new(false),
    };
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
                    linked.has_failed.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..PARALLEL.min(items.len()) {
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

/// An observer that also asks to stop when a neighbour has failed.
struct Linked<'a> {
    observer: &'a dyn Observer,
    has_failed: AtomicBool,
}

impl Observer for Linked<'_> {
    fn observe(&self, event: Event) {
        self.observer.observe(event);
    }

    fn is_cancelled(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed) || self.observer.is_cancelled()
    }
}

#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lists_tests;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod shelf;
#[cfg(test)]
mod tests;
