//! A blob as the body of a request: read from the store piece by piece, and checked before its end is sent.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, RequestBuilder, Response, Url};
use tokio::sync::mpsc;

use super::error::{Error, redacted};
use crate::event::Transfer;
use crate::image::Descriptor;
use crate::store::{self, BlobStore};

/// How long an upload may make no progress.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a registry may take to file away what it has received; object stores copy large blobs at this point.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// In which pieces a blob is uploaded.
const PIECE_BYTES: u64 = 256 << 10;

/// Sends a blob as a request's body; the outer error is ours, the inner one the connection's.
pub(super) async fn send(
    builder: RequestBuilder,
    url: &Url,
    store: &BlobStore,
    blob: &Descriptor,
    transfer: &Transfer<'_>,
) -> Result<reqwest::Result<Response>, Error> {
    let (sender, receiver) = mpsc::channel(2);
    let body = reqwest::Body::wrap_stream(Pieces(receiver));
    let builder = builder.header(CONTENT_LENGTH, blob.size).body(body);
    let mut sending = std::pin::pin!(builder.send());
    tokio::select! {
        biased;
        // A registry may refuse before it has seen everything.
        response = &mut sending => return Ok(response),
        fed = feed(&sender, store, blob, transfer) => if let Err(error) = fed {
            // An error as the body's next piece, so that what was sent cannot be taken for the whole. It is not
            // waited for: a full channel means that the connection is stuck, and it ends with this function.
            let _ = sender.try_send(Err(io::Error::other("the blob cannot be read")));
            return Err(error);
        },
    }
    drop(sender);
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, sending).await;
    answered.map_err(|_| Error::Broken {
        method: Method::PUT,
        url: redacted(url),
        cause: "the whole blob was sent and no answer came for too long".to_owned(),
    })
}

/// Reads a blob piece by piece. The last piece goes out only after the whole was found right.
async fn feed(
    sender: &mpsc::Sender<io::Result<Vec<u8>>>,
    store: &BlobStore,
    blob: &Descriptor,
    transfer: &Transfer<'_>,
) -> Result<(), Error> {
    let mut reader = store.open_blob(blob)?;
    let mut held_back: Option<Vec<u8>> = None;
    loop {
        let mut piece = Vec::new();
        let read = reader.by_ref().take(PIECE_BYTES).read_to_end(&mut piece);
        read.map_err(|error| read_error(store, blob, error))?;
        let is_end = piece.is_empty();
        if let Some(ready) = held_back.replace(piece) {
            let size = ready.len() as u64;
            match tokio::time::timeout(IDLE_TIMEOUT, sender.send(Ok(ready))).await {
                Ok(Ok(())) => transfer.advance(size),
                // Nobody listens any more, or takes too long: the connection has the reason.
                Ok(Err(_)) | Err(_) => return Ok(()),
            }
        }
        if is_end {
            return Ok(());
        }
    }
}

fn read_error(store: &BlobStore, blob: &Descriptor, error: io::Error) -> Error {
    let path = store.blob_path(&blob.digest);
    let error = match error.downcast() {
        Ok(mismatch) => store::Error::Mismatch(mismatch),
        Err(error) => crate::fs::Error::new("read", path, error).into(),
    };
    error.into()
}

/// Pieces of a body, as they are read.
struct Pieces(mpsc::Receiver<io::Result<Vec<u8>>>);

impl futures_core::Stream for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
