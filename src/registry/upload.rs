//! One blob into a registry, by the cheapest way there is; and manifests.

use std::io::Read;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};

use super::Error;
use super::download;
use super::opened::{self, Opened};
use super::pull::{content_digest, digest_of, other_digest};
use super::sending::{From, Sending};
use super::transport::{Body, Request, Session};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::Descriptor;
use crate::reference::Reference;
use crate::store::{self, BlobStore};

/// A blob of at most this many bytes is sent from memory, over the connection that is open already, and without asking
/// first whether it is there when that is not likely: asking takes as long as sending it.
pub(super) const SMALL_BYTES: u64 = 64 << 10;

/// Where blobs come from.
pub(super) struct Supply<'a> {
    pub(super) store: &'a BlobStore,
    /// A session for the destination whose tokens may read `sources`, too.
    pub(super) mounting: &'a Session<'a>,
    /// Other repositories of the destination's registry.
    pub(super) sources: Vec<String>,
    /// Where layers can be fetched that are not in the store.
    pub(super) origins: Vec<Session<'a>>,
}

/// One blob to bring over.
pub(super) struct Blob<'a> {
    pub(super) descriptor: &'a Descriptor,
    /// The bytes of a document; a layer's are in the store.
    pub(super) bytes: Option<&'a [u8]>,
}

/// What became of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Skipped,
    Mounted,
    Uploaded,
}

/// Whether to ask the registry if it has a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Yes.
    Always,
    /// Not for small ones: the blob is a new one in all likelihood.
    Large,
    /// No: it has said yes, and it was not true.
    Never,
}

/// The repositories of `candidates` that blobs can be mounted from: those on the registry of `destination`.
pub(super) fn mount_sources(destination: &Reference, candidates: &[Reference]) -> Vec<String> {
    let mut sources: Vec<String> = Vec::new();
    for candidate in candidates {
        let name = candidate.repository();
        let is_other = candidate.host() == destination.host() && name != destination.repository();
        if is_other && !sources.iter().any(|known| known == name) {
            sources.push(name.to_owned());
        }
    }
    sources
}

/// Makes sure that the repository has a blob.
pub(super) fn bring(
    session: &Session<'_>,
    blob: &Blob<'_>,
    supply: &Supply<'_>,
    ask: Ask,
    observer: &dyn Observer,
) -> Result<Outcome, Error> {
    let is_here = || blob.bytes.is_some() || supply.store.has(blob.descriptor);
    let way = session.run(observer, find_way(session, blob, supply, ask, is_here()))?;
    let opened = match way {
        Way::Done(outcome) => return Ok(outcome),
        Way::Upload { opened } => opened,
    };
    if !is_here() {
        let (layer, subject) = (blob.descriptor, &session.subject);
        download::fetch_from_any(&supply.origins, layer, subject, supply.store, observer)?;
    }
    let from_memory;
    let bytes = match blob.bytes {
        Some(bytes) => Some(bytes),
        None if blob.descriptor.size <= SMALL_BYTES => {
            from_memory = small(supply.store, blob.descriptor)?;
            Some(from_memory.as_slice())
        }
        None => None,
    };
    let from = match bytes {
        Some(bytes) => From::Memory(bytes),
        None => From::Store(supply.store),
    };
    let mut sending = Sending::new(session, blob.descriptor, from, opened);
    let sent = session.run(observer, sending.send(observer));
    if sent.is_err() {
        sending.abandon();
    }
    sent.map(|()| Outcome::Uploaded)
}

/// How a blob gets to where it should be.
enum Way {
    Done(Outcome),
    /// Into an upload that the registry has opened already, or into a new one.
    Upload {
        opened: Option<Opened>,
    },
}

/// A blob that is here is asked for first: that opens nothing. For one that is not, mounting is the likelier way, and
/// answers whether it is there as well.
async fn find_way(
    session: &Session<'_>,
    blob: &Blob<'_>,
    supply: &Supply<'_>,
    ask: Ask,
    is_here: bool,
) -> Result<Way, Error> {
    let descriptor = blob.descriptor;
    let digest = &descriptor.digest;
    let is_small = descriptor.size <= SMALL_BYTES;
    if is_here && is_small && ask == Ask::Large {
        return Ok(Way::Upload { opened: None });
    }
    if is_here && ask != Ask::Never && exists(session, digest).await? {
        return Ok(Way::Done(Outcome::Skipped));
    }
    let mut opened = None;
    // A document is sent in no more time than it takes to ask for a mount.
    if blob.bytes.is_none() {
        for source in &supply.sources {
            match mount(supply.mounting, digest, source).await? {
                Mount::Done => {
                    delete_unused(session, opened).await;
                    return Ok(Way::Done(Outcome::Mounted));
                }
                // One upload is enough.
                Mount::Opened(next) => delete_unused(session, opened.replace(next)).await,
                Mount::Refused => {}
            }
        }
    }
    if !is_here && ask != Ask::Never && exists(session, digest).await? {
        delete_unused(session, opened).await;
        return Ok(Way::Done(Outcome::Skipped));
    }
    Ok(Way::Upload { opened })
}

/// Deletes an upload that a mount has opened instead of mounting.
async fn delete_unused(session: &Session<'_>, unused: Option<Opened>) {
    if let Some(unused) = unused {
        opened::delete(session, unused).await;
    }
}

/// The bytes of a small blob of the store, checked.
fn small(store: &BlobStore, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = store.open_blob(blob)?.read_to_end(&mut bytes);
    read.map_err(|error| store::Error::reading(&store.blob_path(&blob.digest), error))?;
    Ok(bytes)
}

/// # Spec
/// OCI distribution-spec, *Checking if content exists in the registry*.
pub(super) async fn exists(session: &Session<'_>, digest: &Digest) -> Result<bool, Error> {
    let request = Request::new(Method::HEAD, session.url(&format!("blobs/{digest}"))?);
    match session
        .retry(async || session.exchange(&request).await)
        .await
    {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a registry makes of a wish to mount.
enum Mount {
    Done,
    /// It opened an upload instead, at this URL.
    Opened(Opened),
    Refused,
}

/// # Spec
/// OCI distribution-spec, *Mounting a blob from another repository*: 201 when it was done; 202 with an open upload
/// when it was not.
async fn mount(session: &Session<'_>, digest: &Digest, source: &str) -> Result<Mount, Error> {
    let mut url = session.url("blobs/uploads/")?;
    url.query_pairs_mut()
        .append_pair("mount", &digest.to_string())
        .append_pair("from", source);
    let request = Request::new(Method::POST, url);
    match session
        .retry(async || session.exchange(&request).await)
        .await
    {
        Ok(response) if response.status() == StatusCode::CREATED => Ok(Mount::Done),
        Ok(response) => Ok(Mount::Opened(Opened::by(&request, &response)?)),
        // Mounting saves time, nothing else: without it the blob is uploaded.
        Err(
            Error::Answer(_)
            | Error::NotFound { .. }
            | Error::Denied { .. }
            | Error::Unauthorised { .. },
        ) => Ok(Mount::Refused),
        Err(error) => Err(error),
    }
}

/// Puts a manifest or an index under `name`, a tag or its digest.
///
/// # Spec
/// OCI distribution-spec, *Pushing Manifests*.
pub(super) async fn put_manifest(
    session: &Session<'_>,
    name: &str,
    media_type: &str,
    bytes: &[u8],
) -> Result<(), Error> {
    put_document(session, name, media_type, bytes).await?;
    Ok(())
}

/// As [`put_manifest`]; the headers of the answer.
pub(super) async fn put_document(
    session: &Session<'_>,
    name: &str,
    media_type: &str,
    bytes: &[u8],
) -> Result<HeaderMap, Error> {
    let mut request = Request::new(Method::PUT, session.url(&format!("manifests/{name}"))?);
    request.headers.push((CONTENT_TYPE, media_type.to_owned()));
    request.body = Body::Bytes(bytes);
    let response = session
        .retry(async || session.exchange(&request).await)
        .await?;
    // Trust nobody who understood other bytes than we sent.
    if let Some(understood) = content_digest(response.headers()) {
        let sent = digest_of(understood.algorithm(), bytes);
        if understood != sent {
            return Err(other_digest(session, "manifest", &sent, understood));
        }
    }
    Ok(response.headers().clone())
}
