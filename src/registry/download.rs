//! Layers into the store: several at once, each over as many connections as it takes.

use std::collections::BTreeMap;
use std::io::Write;

use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::limits::{Pace, stalled};
use super::pull::{other_digest, wrong_size};
use super::retry::Patience;
use super::transport::{Request, Session, header};
use super::{Error, in_parallel};
use crate::digest::{Digest, Mismatch};
use crate::event::{Direction, Observer, Transfer};
use crate::fs;
use crate::image::Descriptor;
use crate::store::{self, BlobStore, BlobWriter};

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
    let connections = sessions.iter().map(|session| session.client.limits);
    let threads = connections.map(|limits| limits.connections).max();
    in_parallel(
        &missing,
        threads.unwrap_or(1),
        observer,
        |layer, observer| match sessions {
            [only] => fetch(only, layer, store, observer),
            several => fetch_from_any(several, layer, subject, store, observer),
        },
    )?;
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
            Err(error @ (Error::Interrupted | Error::TooLong { .. } | Error::Store(_))) => {
                return Err(error);
            }
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
    let mut ranges = Ranges::Wanted;
    loop {
        let name = layer.digest.short();
        let transfer = Transfer::start(observer, Direction::Download, name, Some(layer.size));
        let partial = session.run(
            observer,
            download(session, layer, store, &transfer, &mut ranges),
        )?;
        let is_patched = partial.is_patched;
        match finish(session, layer, partial) {
            // Parts that do not fit together say nothing about the blob: another server behind the same name may have
            // sent them. In one piece it is as it is.
            Err(Error::Digest { .. }) if is_patched => ranges = Ranges::Avoided,
            result => return result,
        }
    }
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

/// Whether to ask for the rest of a blob when a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ranges {
    /// Yes.
    Wanted,
    /// No, for the answers were of no use: everything anew.
    Avoided,
}

/// The beginning of a blob.
struct Partial<'a> {
    writer: BlobWriter<'a>,
    size: u64,
    /// True when it came in several pieces.
    is_patched: bool,
}

impl<'a> Partial<'a> {
    fn begin(store: &'a BlobStore) -> Result<Self, Error> {
        Ok(Self {
            writer: store.begin_blob()?,
            size: 0,
            is_patched: false,
        })
    }
}

/// Receives a blob, however many connections it takes; hashing goes on where the last connection ended. How often
/// that can be is bounded: only bytes that never came before renew the patience.
///
/// # Spec
/// OCI distribution-spec, *Pulling blobs*: a registry should support `Range` (RFC 9110, section 14).
async fn download<'a>(
    session: &Session<'_>,
    layer: &Descriptor,
    store: &'a BlobStore,
    transfer: &Transfer<'_>,
    ranges: &mut Ranges,
) -> Result<Partial<'a>, Error> {
    let mut partial = Partial::begin(store)?;
    let mut patience = Patience::default();
    while partial.size < layer.size {
        if partial.size > 0 && *ranges == Ranges::Avoided {
            partial = Partial::begin(store)?;
        }
        let received = receive(session, layer, store, &mut partial, transfer, ranges).await;
        patience.reached(partial.size, layer.size);
        if let Err(error) = received {
            patience.wait(session, error).await?;
        }
    }
    Ok(partial)
}

/// Receives as much as one connection gives, the rest of the blob if all goes well.
async fn receive<'a>(
    session: &Session<'_>,
    layer: &Descriptor,
    store: &'a BlobStore,
    partial: &mut Partial<'a>,
    transfer: &Transfer<'_>,
    ranges: &mut Ranges,
) -> Result<(), Error> {
    let mut request = Request::new(
        Method::GET,
        session.url(&format!("blobs/{}", layer.digest))?,
    );
    if partial.size > 0 {
        let range = format!("bytes={}-", partial.size);
        request.headers.push((RANGE, range));
    }
    let mut answer = session.exchange(&request).await;
    if partial.size > 0 {
        let is_refused = matches!(&answer, Err(Error::Answer(answer)) if answer.status == 416);
        let is_other = matches!(&answer, Ok(response)
            if response.status() == StatusCode::PARTIAL_CONTENT && !continues(response, partial.size, layer.size));
        if is_refused || is_other {
            // A range that is refused, or another one: the whole is asked for, and no range again.
            *ranges = Ranges::Avoided;
            *partial = Partial::begin(store)?;
            request.headers.clear();
            answer = session.exchange(&request).await;
        } else if answer
            .as_ref()
            .is_ok_and(|response| response.status() != StatusCode::PARTIAL_CONTENT)
        {
            // `Range` was ignored, and this is the whole.
            *partial = Partial::begin(store)?;
        }
    }
    let mut response = answer?;
    if response.status() == StatusCode::PARTIAL_CONTENT && partial.size == 0 {
        return Err(request.protocol("it is a part, but the whole was asked for"));
    }
    partial.is_patched |= partial.size > 0;
    let noun = || format!("layer `{}`", layer.digest);
    // Before a byte of it is read: what announces more cannot be the blob.
    let announced = response.content_length().unwrap_or(0);
    if announced > layer.size - partial.size {
        let found = partial.size.saturating_add(announced);
        return Err(wrong_size(session, &noun(), layer.size, found));
    }
    let mut pace = Pace::new(session.client.limits);
    while let Some(piece) = pace.chunk(&Method::GET, &mut response).await? {
        let size = partial.size + piece.len() as u64;
        if size > layer.size {
            return Err(wrong_size(session, &noun(), layer.size, size));
        }
        let path = store.blob_path(&layer.digest);
        let written = partial.writer.write_all(&piece);
        written.map_err(|error| store::Error::from(fs::Error::new("write", path, error)))?;
        partial.size = size;
        transfer.advance(piece.len() as u64);
    }
    if partial.size < layer.size {
        let cause = format!(
            "the answer ended after {} of {} bytes",
            partial.size, layer.size
        );
        return Err(stalled(&Method::GET, response.url(), cause));
    }
    Ok(())
}

/// True when a response goes on exactly at `offset`, in something of `total` bytes (if it says of how many).
fn continues(response: &Response, offset: u64, total: u64) -> bool {
    let Some((range, of)) = header(response.headers(), &CONTENT_RANGE)
        .and_then(|range| range.trim().strip_prefix("bytes "))
        .and_then(|range| range.split_once('/'))
    else {
        return false;
    };
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.trim().parse::<u64>().ok());
    start == Some(offset) && (of.trim() == "*" || of.trim().parse() == Ok(total))
}
