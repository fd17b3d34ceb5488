//! Layers into the store: several at once, each over as many connections as it takes.

use std::collections::BTreeMap;
use std::io::Write;

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::error::redacted;
use super::pull::{other_digest, wrong_size};
use super::retry::Patience;
use super::transport::{Request, Session, broken, header};
use super::{Error, in_parallel};
use crate::digest::{Digest, Mismatch};
use crate::event::{Direction, Observer, Transfer};
use crate::fs;
use crate::image::Descriptor;
use crate::store::{self, BlobStore, BlobWriter};

/// After how many new bytes a connection that broke counts as progress and not as failure.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Fetches the layers that the store does not have, the largest first, each from the first of `sessions` that gives it.
/// They belong to `subject`.
pub(super) fn layers(
    sessions: &[Session<'_>],
    layers: Vec<&Descriptor>,
    subject: &str,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let missing: BTreeMap<&Digest, &Descriptor> = layers
        .into_iter()
        .filter(|layer| !store.has(layer))
        .map(|layer| (&layer.digest, layer))
        .collect();
    let mut missing: Vec<&Descriptor> = missing.into_values().collect();
    missing.sort_by_key(|layer| std::cmp::Reverse(layer.size));
    in_parallel(&missing, observer, |layer, observer| match sessions {
        [only] => fetch(only, layer, store, observer),
        several => fetch_from_any(several, layer, subject, store, observer),
    })?;
    Ok(())
}

/// Fetches a layer into the store from the first of `origins` that gives it; `subject` is what it is needed for.
///
/// A place that fails is passed over whatever its reason: the next may do. All reasons are told when none does.
pub(super) fn fetch_from_any(
    origins: &[Session<'_>],
    layer: &Descriptor,
    subject: &str,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let mut reasons = Vec::new();
    for origin in origins {
        match fetch(origin, layer, store, observer) {
            Ok(()) => return Ok(()),
            Err(error @ (Error::Interrupted | Error::Store(_))) => return Err(error),
            Err(error) => reasons.push(format!("`{}` ({error})", origin.subject)),
        }
    }
    Err(Error::LayerAbsent {
        digest: layer.digest.clone(),
        subject: subject.to_owned(),
        origins: reasons,
    })
}

/// Fetches one layer into the store.
fn fetch(
    session: &Session<'_>,
    layer: &Descriptor,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let name = layer.digest.short();
    let transfer = Transfer::start(observer, Direction::Download, name, Some(layer.size));
    let http = &session.client.http;
    let partial = http.run(observer, download(session, layer, store, &transfer))??;
    finish(session, layer, partial)
}

/// Hashing ends and the bytes are made durable; nothing is kept of a blob that is not what its digest says.
fn finish(session: &Session<'_>, layer: &Descriptor, partial: Partial<'_>) -> Result<(), Error> {
    partial
        .writer
        .finish_as(layer)
        .map_err(|error| match error {
            store::Error::Mismatch(Mismatch::Digest { expected, found }) => {
                other_digest(session, "layer", &expected, found)
            }
            error => error.into(),
        })
}

/// The beginning of a blob.
struct Partial<'a> {
    writer: BlobWriter<'a>,
    size: u64,
}

impl<'a> Partial<'a> {
    fn begin(store: &'a BlobStore) -> Result<Self, Error> {
        let writer = store.begin_blob()?;
        Ok(Self { writer, size: 0 })
    }
}

/// Receives a blob, however many connections it takes; hashing goes on where the last connection ended.
///
/// # Spec
/// OCI distribution-spec, *Pulling blobs*: a registry should support `Range` (RFC 9110).
async fn download<'a>(
    session: &Session<'_>,
    layer: &Descriptor,
    store: &'a BlobStore,
    transfer: &Transfer<'_>,
) -> Result<Partial<'a>, Error> {
    let mut partial = Partial::begin(store)?;
    let mut patience = Patience::default();
    while partial.size < layer.size {
        let size_before = partial.size;
        if let Err(error) = receive(session, layer, store, &mut partial, transfer).await {
            if partial.size >= size_before + PROGRESS_BYTES {
                patience.renew();
            }
            patience.wait(session, error).await?;
        }
    }
    Ok(partial)
}

/// Receives as much as one connection gives.
async fn receive<'a>(
    session: &Session<'_>,
    layer: &Descriptor,
    store: &'a BlobStore,
    partial: &mut Partial<'a>,
    transfer: &Transfer<'_>,
) -> Result<(), Error> {
    let mut request = Request::new(
        Method::GET,
        session.url(&format!("blobs/{}", layer.digest))?,
    );
    if partial.size > 0 {
        request
            .headers
            .push((RANGE, format!("bytes={}-", partial.size)));
    }
    let answer = session.exchange(&request).await;
    if partial.size > 0
        && !answer
            .as_ref()
            .is_ok_and(|response| continues(response, partial.size))
    {
        *partial = Partial::begin(store)?;
        // A refused range: the next attempt asks for everything.
        if matches!(&answer, Err(Error::Answer(answer)) if answer.status == 416) {
            return Ok(());
        }
    }
    let mut response = answer?;
    if response.status() == StatusCode::PARTIAL_CONTENT && partial.size == 0 {
        return Err(request.protocol("it is a part, but the whole was asked for"));
    }
    let url = response.url().clone();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| broken(&Method::GET, &url, error))?
    {
        let size = partial.size + piece.len() as u64;
        if size > layer.size {
            return Err(wrong_size(
                session,
                &format!("layer `{}`", layer.digest),
                layer.size,
                size,
            ));
        }
        let path = store.blob_path(&layer.digest);
        let written = partial.writer.write_all(&piece);
        written.map_err(|error| store::Error::from(fs::Error::new("write", path, error)))?;
        partial.size = size;
        transfer.advance(piece.len() as u64);
    }
    if partial.size < layer.size {
        return Err(Error::Broken {
            method: Method::GET,
            url: redacted(&url),
            cause: format!(
                "the answer ended after {} of {} bytes",
                partial.size, layer.size
            ),
        });
    }
    Ok(())
}

/// True when a response goes on exactly at `offset`.
fn continues(response: &Response, offset: u64) -> bool {
    let range =
        header(response.headers(), &CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
    let start = range.and_then(|range| range.split('-').next()?.trim().parse::<u64>().ok());
    response.status() == StatusCode::PARTIAL_CONTENT && start == Some(offset)
}
