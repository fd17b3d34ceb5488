//! A blob, or a part of one, as the body of a request: read from the store piece by piece, and the whole checked before
//! its end is sent.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use reqwest::header::CONTENT_LENGTH;
use reqwest::{RequestBuilder, Response};
use tokio::sync::mpsc;

use super::error::Error;
use super::limits::{Limits, stalled};
use super::transport::Request;
use crate::event::Transfer;
use crate::fs;
use crate::image::Descriptor;
use crate::store::{self, BlobStore};

/// In which pieces a body is handed over. Each must be taken within [`Limits::idle`], which is how an upload that makes
/// no progress is noticed.
const PIECE_BYTES: u64 = 256 << 10;

/// What is sent: some bytes of a blob.
pub(super) struct Part<'a> {
    pub(super) store: &'a BlobStore,
    pub(super) blob: &'a Descriptor,
    pub(super) range: Range<u64>,
}

/// Sends a part of a blob as a request's body; the outer error is ours, the inner one the connection's.
pub(super) async fn send(
    builder: RequestBuilder,
    request: &Request<'_>,
    part: Part<'_>,
    transfer: &Transfer<'_>,
    limits: &Limits,
) -> Result<reqwest::Result<Response>, Error> {
    let (sender, receiver) = mpsc::channel(2);
    let body = reqwest::Body::wrap_stream(Pieces(receiver));
    let length = part.range.end - part.range.start;
    let builder = builder.header(CONTENT_LENGTH, length).body(body);
    let mut sending = std::pin::pin!(builder.send());
    let fed = tokio::select! {
        biased;
        // A registry may refuse before it has seen everything.
        response = &mut sending => return Ok(response),
        fed = feed(&sender, &part, transfer, limits) => fed,
    };
    match fed {
        Ok(Fed::Whole) => {}
        Ok(Fed::Stuck) => {
            let cause = "the registry takes nothing any more";
            return Err(stalled(&request.method, &request.url, cause));
        }
        Err(error) => {
            // An error as the body's next piece, so that what was sent cannot be taken for the whole. It is not
            // waited for: a full channel means that the connection is stuck, and it ends with this function.
            let _ = sender.try_send(Err(io::Error::other("the blob cannot be read")));
            return Err(error);
        }
    }
    drop(sender);
    let answered = tokio::time::timeout(limits.answer, sending).await;
    answered.map_err(|_| {
        let cause = "everything was sent and no answer came for too long";
        stalled(&request.method, &request.url, cause)
    })
}

/// How feeding ended.
enum Fed {
    /// Everything was handed over, or nobody listens any more: the answer has the reason.
    Whole,
    /// A piece was not taken in time.
    Stuck,
}

/// Reads a part piece by piece. The blob's last piece goes out only after the whole was found right, so the part with
/// the end reads what is before it once more.
async fn feed(
    sender: &mpsc::Sender<io::Result<Vec<u8>>>,
    part: &Part<'_>,
    transfer: &Transfer<'_>,
    limits: &Limits,
) -> Result<Fed, Error> {
    let Part { store, blob, range } = part;
    let path = store.blob_path(&blob.digest);
    let failed = |error| Error::from(store::Error::reading(&path, error));
    let has_end = range.end == blob.size;
    let mut reader: Box<dyn Read> = if has_end {
        let mut whole = store.open_blob(blob)?;
        let mut skipped = 0;
        while skipped < range.start {
            let piece = PIECE_BYTES.min(range.start - skipped);
            let count = io::copy(&mut whole.by_ref().take(piece), &mut io::sink());
            match count.map_err(failed)? {
                0 => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
                count => skipped += count,
            }
            // Hashing gigabytes takes seconds, and the person may want to stop.
            tokio::task::yield_now().await;
        }
        Box::new(whole)
    } else {
        let mut file = fs::open(&path).map_err(store::Error::from)?;
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        Box::new(file.take(range.end - range.start))
    };
    let mut held_back: Option<Vec<u8>> = None;
    loop {
        let mut piece = Vec::new();
        let read = reader.by_ref().take(PIECE_BYTES).read_to_end(&mut piece);
        read.map_err(failed)?;
        let is_end = piece.is_empty();
        if let Some(ready) = held_back.replace(piece) {
            let size = ready.len() as u64;
            match tokio::time::timeout(limits.idle, sender.send(Ok(ready))).await {
                Ok(Ok(())) => transfer.advance(size),
                Ok(Err(_)) => return Ok(Fed::Whole),
                Err(_) => return Ok(Fed::Stuck),
            }
        }
        if is_end {
            return Ok(Fed::Whole);
        }
    }
}

/// Pieces of a body, as they are read.
struct Pieces(mpsc::Receiver<io::Result<Vec<u8>>>);

impl futures_core::Stream for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
