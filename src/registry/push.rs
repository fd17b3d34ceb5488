//! From the store into a registry.

use std::collections::BTreeSet;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode, Url};

use super::pull::{content_digest, digest_of, head, other_digest};
use super::transport::{Body, Elsewhere, Request, Session, redirect_target};
use super::{Error, in_parallel};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::{Descriptor, Image};
use crate::reference::Reference;
use crate::store::BlobStore;

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushReport {
    /// The digest of the manifest, under which the image can now be pulled.
    pub digest: Digest,
    /// How many blobs were uploaded.
    pub uploaded_blobs: usize,
    /// How many blobs were mounted from another repository.
    pub mounted: usize,
    /// How many blobs the repository had already.
    pub skipped: usize,
    /// How many bytes the uploaded blobs have.
    pub bytes: u64,
}

/// What became of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Skipped,
    Mounted,
    Uploaded,
}

/// One blob to bring over.
struct Blob<'a> {
    descriptor: &'a Descriptor,
    /// The bytes of a document; a layer's are in the store.
    bytes: Option<&'a [u8]>,
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

/// Brings an image's blobs over, then its manifest.
pub(super) fn push(
    session: &Session<'_>,
    image: &Image,
    reference: &Reference,
    store: &BlobStore,
    mount_from: &[String],
) -> Result<PushReport, Error> {
    let manifest = &image.manifest;
    if let Some(expected) = reference.digest() {
        let found = digest_of(expected.algorithm(), &manifest.bytes);
        if found != *expected {
            return Err(other_digest(session, "manifest", expected, found));
        }
    }
    let name = match (reference.tag(), reference.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, _) => reference.manifest_reference(),
    };
    let blobs = blobs_of(image);
    let mut report = PushReport {
        digest: manifest.descriptor.digest.clone(),
        uploaded_blobs: 0,
        mounted: 0,
        skipped: 0,
        bytes: 0,
    };
    let http = &session.client.http;
    if http.run(
        session.observer,
        has_manifest(session, &name, &manifest.descriptor),
    )?? {
        report.skipped = blobs.len();
        return Ok(report);
    }
    let outcomes = in_parallel(&blobs, session.observer, |blob, observer| {
        http.run(observer, bring(session, blob, store, mount_from, observer))?
    })?;
    for (blob, outcome) in blobs.iter().zip(outcomes) {
        match outcome {
            Outcome::Skipped => report.skipped += 1,
            Outcome::Mounted => report.mounted += 1,
            Outcome::Uploaded => {
                report.uploaded_blobs += 1;
                report.bytes += blob.descriptor.size;
            }
        }
    }
    http.run(session.observer, put_manifest(session, &name, image))??;
    Ok(report)
}

/// Every blob once, the largest first.
fn blobs_of(image: &Image) -> Vec<Blob<'_>> {
    let config = Blob {
        descriptor: &image.config.descriptor,
        bytes: Some(&image.config.bytes),
    };
    let layers = image.manifest.parsed.layers.iter();
    let layers = layers.map(|descriptor| Blob {
        descriptor,
        bytes: None,
    });
    let mut seen = BTreeSet::new();
    let mut blobs: Vec<Blob<'_>> = std::iter::once(config)
        .chain(layers)
        .filter(|blob| seen.insert(&blob.descriptor.digest))
        .collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.descriptor.size));
    blobs
}

async fn has_manifest(
    session: &Session<'_>,
    name: &str,
    manifest: &Descriptor,
) -> Result<bool, Error> {
    match head(session, name).await {
        Ok(found) => Ok(found.is_some_and(|found| found.digest == manifest.digest)),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes sure that the repository has a blob.
async fn bring(
    session: &Session<'_>,
    blob: &Blob<'_>,
    store: &BlobStore,
    mount_from: &[String],
    observer: &dyn Observer,
) -> Result<Outcome, Error> {
    if exists(session, &blob.descriptor.digest).await? {
        return Ok(Outcome::Skipped);
    }
    let mut opened = None;
    if blob.bytes.is_none() {
        for source in mount_from {
            match mount(session, &blob.descriptor.digest, source).await? {
                Mount::Done => return Ok(Outcome::Mounted),
                Mount::Opened(url) => opened = Some(url),
                Mount::Refused => {}
            }
        }
    }
    let body = match blob.bytes {
        Some(bytes) => Body::Bytes(bytes),
        None if store.has(blob.descriptor) => Body::Blob {
            store,
            blob: blob.descriptor,
            observer,
        },
        None => {
            return Err(Error::LayerAbsent {
                digest: blob.descriptor.digest.clone(),
                subject: session.subject.clone(),
            });
        }
    };
    upload(session, &blob.descriptor.digest, body, opened).await?;
    Ok(Outcome::Uploaded)
}

/// # Spec
/// OCI distribution-spec, *Checking if content exists in the registry*.
async fn exists(session: &Session<'_>, digest: &Digest) -> Result<bool, Error> {
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
    Opened(Url),
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
        Ok(response) => Ok(Mount::Opened(upload_location(&response)?)),
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

/// Where an opened upload goes on; relative to the request, or absolute and perhaps at another host, which then sees
/// no credentials.
fn upload_location(response: &Response) -> Result<Url, Error> {
    redirect_target(response.url(), response.headers(), Elsewhere::Allowed)
}

/// Uploads a blob in one piece; an upload that broke off is begun anew. `opened` is an upload to use first.
///
/// # Spec
/// OCI distribution-spec, *POST then PUT*.
async fn upload(
    session: &Session<'_>,
    digest: &Digest,
    body: Body<'_>,
    mut opened: Option<Url>,
) -> Result<(), Error> {
    session
        .retry(async || {
            let mut url = match opened.take() {
                Some(url) => url,
                None => open_upload(session).await?,
            };
            // The location's query is the registry's; ours is added to it.
            url.query_pairs_mut()
                .append_pair("digest", &digest.to_string());
            let mut request = Request::new(Method::PUT, url);
            request
                .headers
                .push((CONTENT_TYPE, "application/octet-stream".to_owned()));
            request.body = body;
            let response = match session.exchange(&request).await {
                Err(Error::NotFound { answer, .. }) => return Err(Error::UploadLost(answer)),
                result => result?,
            };
            if response.status() != StatusCode::CREATED {
                let reason = format!(
                    "the upload was answered {} and not 201",
                    response.status().as_u16()
                );
                return Err(request.protocol(reason));
            }
            match content_digest(response.headers()) {
                Some(found) if found.algorithm() == digest.algorithm() && found != *digest => {
                    Err(other_digest(session, "uploaded blob", digest, found))
                }
                _ => Ok(()),
            }
        })
        .await
}

async fn open_upload(session: &Session<'_>) -> Result<Url, Error> {
    let request = Request::new(Method::POST, session.url("blobs/uploads/")?);
    let response = session.exchange(&request).await?;
    upload_location(&response)
}

/// # Spec
/// OCI distribution-spec, *Pushing Manifests*.
async fn put_manifest(session: &Session<'_>, name: &str, image: &Image) -> Result<(), Error> {
    let manifest = &image.manifest;
    let mut request = Request::new(Method::PUT, session.url(&format!("manifests/{name}"))?);
    request
        .headers
        .push((CONTENT_TYPE, manifest.descriptor.media_type.clone()));
    request.body = Body::Bytes(&manifest.bytes);
    let response = session
        .retry(async || session.exchange(&request).await)
        .await?;
    // Trust nobody who understood other bytes than we sent.
    let Some(understood) = content_digest(response.headers()) else {
        return Ok(());
    };
    let sent = digest_of(understood.algorithm(), &manifest.bytes);
    if understood != sent {
        return Err(other_digest(session, "manifest", &sent, understood));
    }
    Ok(())
}
