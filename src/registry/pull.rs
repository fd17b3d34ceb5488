//! From a registry into the store.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, HeaderMap, HeaderName};
use serde_json::Value;

use super::Error;
use super::error::shown;
use super::transport::{Request, Session, content_type, header};
use crate::digest::{Algorithm, Digest, Digester};
use crate::image::{
    self, Descriptor, Image, Index, MAX_DOCUMENT_BYTES, Manifest, Platform, media_type,
};
use crate::reference::Reference;
use crate::store::BlobStore;

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Which layers to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// Those that the store does not have.
    All,
    /// None: only the documents are wanted.
    None,
}

/// A manifest or an index as it came, checked against its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What there is to know of an image without its layers.
pub(super) struct Documents {
    pub(super) image: Image,
    /// The index that led to it, if one did.
    pub(super) index: Option<Fetched>,
}

/// Finds out what a reference stands for.
pub(super) async fn resolve(
    session: &Session<'_>,
    reference: &Reference,
) -> Result<Descriptor, Error> {
    if let Some(found) = head(session, &reference.manifest_reference()).await? {
        match reference.digest() {
            // By another algorithm: only the bytes tell.
            Some(expected) if expected.algorithm() != found.digest.algorithm() => {}
            Some(expected) if *expected != found.digest => {
                return Err(other_digest(session, "manifest", expected, found.digest));
            }
            _ => return Ok(found),
        }
    }
    let document = manifest(session, &reference.manifest_reference(), reference.digest()).await?;
    Ok(document.descriptor)
}

/// Asks for a manifest's descriptor; `None` when the registry does not tell all of it without the body.
async fn head(session: &Session<'_>, name: &str) -> Result<Option<Descriptor>, Error> {
    let request = manifest_request(session, Method::HEAD, name)?;
    let response = match session
        .retry(async || session.exchange(&request).await)
        .await
    {
        Ok(response) => response,
        // Some registries know HEAD for blobs only.
        Err(Error::Answer(answer)) if answer.status < 500 || answer.status == 501 => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let headers = response.headers();
    let size = header(headers, &CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    let known = content_type(headers)
        .filter(|known| media_type::is_manifest(known) || media_type::is_index(known));
    Ok(match (known, content_digest(headers), size) {
        (Some(media_type), Some(digest), Some(size)) => {
            Some(Descriptor::new(media_type, digest, size))
        }
        _ => None,
    })
}

/// The digest that an answer declares. One of another algorithm or form tells us nothing.
pub(super) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    header(headers, &CONTENT_DIGEST)?.parse().ok()
}

/// Fetches and checks the manifest and the configuration of the image for `platform`. What is named by its digest and is
/// in the store is not asked for.
pub(super) async fn documents(
    session: &Session<'_>,
    reference: &Reference,
    platform: &Platform,
    store: &BlobStore,
) -> Result<Documents, Error> {
    let unusable = |source: image::Error| Error::Document {
        subject: session.subject.clone(),
        source: Box::new(source),
    };
    let mut document = match reference.digest() {
        Some(digest) => by_digest(session, digest, store).await?,
        None => manifest(session, &reference.manifest_reference(), None).await?,
    };
    let mut through = None;
    if media_type::is_index(&document.descriptor.media_type) {
        let index = Index::parse(&document.bytes).map_err(unusable)?;
        let chosen = index.choose(platform).map_err(unusable)?;
        let manifest = by_digest(session, &chosen.digest, store).await?;
        if !media_type::is_manifest(&manifest.descriptor.media_type) {
            let media_type = manifest.descriptor.media_type;
            return Err(unusable(image::Error::MediaType { media_type }));
        }
        through = Some(std::mem::replace(&mut document, manifest));
    }
    let parsed = Manifest::parse(&document.bytes).map_err(unusable)?;
    let config = configuration(session, &parsed.config, store).await?;
    let descriptor = document.descriptor;
    let image = Image::parse(&descriptor.media_type, document.bytes, config);
    let mut image = image.map_err(|error| {
        let config = shown(&parsed.config.media_type);
        unusable(match media_type::is_config(&parsed.config.media_type) {
            true => error,
            false => image::Error::Artifact { config },
        })
    })?;
    // The digest that it was asked for by, whatever its algorithm.
    image.manifest.descriptor = descriptor;
    Ok(Documents {
        image,
        index: through,
    })
}

/// The store's document of that digest, else the registry's.
async fn by_digest(
    session: &Session<'_>,
    digest: &Digest,
    store: &BlobStore,
) -> Result<Fetched, Error> {
    // A damaged one is fetched again.
    if let Ok(Some(bytes)) = store.document(digest) {
        let request = manifest_request(session, Method::GET, &digest.to_string())?;
        if let Ok(media_type) = document_media_type(session, &request, None, &bytes) {
            let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
            return Ok(Fetched { descriptor, bytes });
        }
    }
    manifest(session, &digest.to_string(), Some(digest)).await
}

/// As [`manifest`]; `None` when there is none, or not even a repository.
pub(super) async fn find(
    session: &Session<'_>,
    reference: &Reference,
) -> Result<Option<Fetched>, Error> {
    match manifest(session, &reference.manifest_reference(), reference.digest()).await {
        Ok(fetched) => Ok(Some(fetched)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fetches a manifest or an index by tag or digest and checks that it is what it says.
pub(super) async fn manifest(
    session: &Session<'_>,
    name: &str,
    expected: Option<&Digest>,
) -> Result<Fetched, Error> {
    let request = manifest_request(session, Method::GET, name)?;
    let (headers, bytes) = session
        .retry(async || {
            let response = session.exchange(&request).await?;
            let headers = response.headers().clone();
            Ok((
                headers,
                session
                    .read(response, MAX_DOCUMENT_BYTES, "manifest")
                    .await?,
            ))
        })
        .await?;
    for promised in [expected.cloned(), content_digest(&headers)]
        .into_iter()
        .flatten()
    {
        let found = digest_of(promised.algorithm(), &bytes);
        if found != promised {
            return Err(other_digest(session, "manifest", &promised, found));
        }
    }
    let media_type = document_media_type(session, &request, content_type(&headers), &bytes)?;
    let mut descriptor = Descriptor::of(media_type, &bytes);
    if let Some(expected) = expected {
        descriptor.digest = expected.clone();
    }
    Ok(Fetched { descriptor, bytes })
}

fn manifest_request(
    session: &Session<'_>,
    method: Method,
    name: &str,
) -> Result<Request<'static>, Error> {
    let accepted = [
        media_type::OCI_INDEX,
        media_type::OCI_MANIFEST,
        media_type::DOCKER_INDEX,
        media_type::DOCKER_MANIFEST,
    ];
    let mut request = Request::new(method, session.url(&format!("manifests/{name}"))?);
    request.headers.push((ACCEPT, accepted.join(", ")));
    Ok(request)
}

/// What kind of document this is. One that could be taken for two kinds is refused: two programs would see two
/// different images under one digest.
///
/// # Spec
/// OCI image-spec `manifest.md`, *mediaType*; the threat is CVE-2021-41190.
fn document_media_type(
    session: &Session<'_>,
    request: &Request<'_>,
    declared: Option<String>,
    bytes: &[u8],
) -> Result<String, Error> {
    let document: Value = serde_json::from_slice(bytes)
        .map_err(|_| request.protocol("it is not a manifest but something that is no JSON"))?;
    let is_old = declared
        .as_deref()
        .is_some_and(|text| text.contains("manifest.v1+"))
        && declared
            .as_deref()
            .is_some_and(|text| text.starts_with("application/vnd.docker."));
    if is_old || document.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
        return Err(Error::Schema1 {
            subject: session.subject.clone(),
        });
    }
    let is_known = |text: &str| media_type::is_manifest(text) || media_type::is_index(text);
    let inside = document
        .get("mediaType")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let declared = declared.filter(|declared| is_known(declared));
    let (has_layers, has_manifests) = (
        document.get("layers").is_some(),
        document.get("manifests").is_some(),
    );
    if has_layers && has_manifests {
        return Err(request.protocol("it could be read as an image and as an index"));
    }
    match (inside, declared) {
        (Some(inside), Some(declared)) if inside != declared => Err(request.protocol(format!(
            "it is served as `{declared}` but calls itself `{}`",
            shown(&inside)
        ))),
        (Some(media_type), _) | (None, Some(media_type)) if is_known(&media_type) => Ok(media_type),
        // `mediaType` is optional in OCI documents, and simple servers give no useful header.
        (None, None) if has_manifests => Ok(media_type::OCI_INDEX.to_owned()),
        (None, None) if has_layers => Ok(media_type::OCI_MANIFEST.to_owned()),
        (other, _) => Err(Error::Document {
            subject: session.subject.clone(),
            source: Box::new(image::Error::MediaType {
                media_type: shown(&other.unwrap_or_default()),
            }),
        }),
    }
}

async fn configuration(
    session: &Session<'_>,
    config: &Descriptor,
    store: &BlobStore,
) -> Result<Vec<u8>, Error> {
    if store.has(config)
        && let Ok(bytes) = store.read_document(config)
    {
        return Ok(bytes);
    }
    blob(session, config, "configuration").await
}

/// Fetches a small blob whole; `noun` says what it is.
///
/// # Spec
/// OCI distribution-spec, *Pulling blobs*.
pub(super) async fn blob(
    session: &Session<'_>,
    blob: &Descriptor,
    noun: &'static str,
) -> Result<Vec<u8>, Error> {
    if blob.size > MAX_DOCUMENT_BYTES {
        return Err(wrong_size(session, noun, MAX_DOCUMENT_BYTES, blob.size));
    }
    let url = session.url(&format!("blobs/{}", blob.digest))?;
    let request = Request::new(Method::GET, url);
    let bytes = session
        .retry(async || {
            let response = session.exchange(&request).await?;
            session.read(response, blob.size, noun).await
        })
        .await?;
    if bytes.len() as u64 != blob.size {
        return Err(wrong_size(session, noun, blob.size, bytes.len() as u64));
    }
    let found = digest_of(blob.digest.algorithm(), &bytes);
    if found != blob.digest {
        return Err(other_digest(session, noun, &blob.digest, found));
    }
    Ok(bytes)
}

pub(super) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut digester = Digester::new(algorithm);
    digester.update(bytes);
    digester.finish()
}

pub(super) fn other_digest(
    session: &Session<'_>,
    noun: &'static str,
    expected: &Digest,
    found: Digest,
) -> Error {
    Error::Digest {
        noun,
        subject: session.subject.clone(),
        expected: expected.clone(),
        found,
    }
}

pub(super) fn wrong_size(session: &Session<'_>, noun: &str, expected: u64, found: u64) -> Error {
    Error::Size {
        noun: noun.to_owned(),
        subject: session.subject.clone(),
        expected,
        found,
    }
}
