//! One blob on its way into a registry: an upload is opened, fed, and closed with the digest.
//!
//! ```text
//! POST blobs/uploads/ ─▶ location ─▶ PUT location?digest=…            the whole blob, where that is taken
//!                           │
//!                           └─▶ PATCH, PATCH, … ─▶ PUT …?digest=…     in chunks: where it is refused, or breaks again
//!                                                                     and again, or goes on where a connection broke
//! ```
//!
//! After whatever broke, the registry is asked how much it has; what it says is checked, and decides. An upload that
//! it has forgotten begins anew, and one that is given up is deleted.

use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};

use super::Error;
use super::error::Answer;
use super::opened::{Opened, delete, received};
use super::pull::{content_digest, other_digest};
use super::retry::Patience;
use super::transport::{Body, Request, Session};
use super::upload::exists;
use crate::event::{Direction, Observer, Silent, Transfer};
use crate::image::Descriptor;
use crate::store::BlobStore;

/// How often sending the whole may break before chunks are sent.
const MAX_BREAKS: u32 = 2;
/// Chunks that are refused as too large are made smaller, down to this.
const LEAST_CHUNK_BYTES: u64 = 256 << 10;
/// How long deleting an upload that is given up may keep a person waiting.
const ABANDON_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a blob's bytes are.
#[derive(Clone, Copy)]
pub(super) enum From<'a> {
    Memory(&'a [u8]),
    Store(&'a BlobStore),
}

/// How the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    Chunks,
}

/// One blob on its way.
pub(super) struct Sending<'a> {
    session: &'a Session<'a>,
    blob: &'a Descriptor,
    from: From<'a>,
    /// The open upload; who drops [`Self::send`] in the middle finds here what to delete.
    opened: Option<Opened>,
    way: Way,
    chunk_bytes: u64,
    /// How many bytes the registry has, by its own account.
    offset: u64,
    /// Something broke, and only the registry knows what it has.
    is_unsure: bool,
    /// The request that completes the upload went out, and its answer was lost.
    may_be_done: bool,
    breaks: u32,
}

impl<'a> Sending<'a> {
    /// A blob to send, into an upload that is open already or a new one.
    pub(super) fn new(
        session: &'a Session<'a>,
        blob: &'a Descriptor,
        from: From<'a>,
        opened: Option<Opened>,
    ) -> Self {
        Self {
            session,
            blob,
            from,
            opened,
            way: Way::Whole,
            chunk_bytes: session.client.limits.chunk_bytes.max(1),
            offset: 0,
            is_unsure: false,
            may_be_done: false,
            breaks: 0,
        }
    }

    /// Sends the blob, as often and in as many pieces as it takes.
    pub(super) async fn send(&mut self, observer: &dyn Observer) -> Result<(), Error> {
        let mut patience = Patience::default();
        loop {
            let name = self.blob.digest.short();
            let transfer = Transfer::start(observer, Direction::Upload, name, Some(self.blob.size));
            let Err(error) = self.attempt(&transfer).await else {
                self.opened = None;
                return Ok(());
            };
            patience.reached(self.offset, self.blob.size);
            if let Some(error) = self.consider(error).await {
                patience.wait(self.session, error).await?;
            }
        }
    }

    /// Makes the best of a failure; gives it back when it counts as one.
    async fn consider(&mut self, error: Error) -> Option<Error> {
        match &error {
            Error::UploadLost(_) => {
                self.opened = None;
                Some(error)
            }
            // The specification's answer to a chunk that does not begin where the last one ended.
            Error::Answer(answer) if answer.status == 416 && self.way == Way::Chunks => {
                self.is_unsure = true;
                let Error::Answer(answer) = error else {
                    return Some(error);
                };
                Some(Error::UploadLost(answer))
            }
            Error::Answer(answer) if self.is_splittable(answer) => {
                match self.way {
                    Way::Whole => {
                        self.way = Way::Chunks;
                        // What was refused is in a state that nobody knows.
                        if let Some(opened) = self.opened.take() {
                            delete(self.session, opened).await;
                        }
                    }
                    Way::Chunks => {
                        self.chunk_bytes = (self.chunk_bytes / 4).max(LEAST_CHUNK_BYTES);
                        self.is_unsure = true;
                    }
                }
                None
            }
            _ if error.is_transient() => {
                self.breaks += 1;
                if self.breaks >= MAX_BREAKS && matches!(self.from, From::Store(_)) {
                    self.way = Way::Chunks;
                }
                self.is_unsure = true;
                Some(error)
            }
            _ => Some(error),
        }
    }

    /// True when a refusal may be about the size of the request or the way, and smaller requests may do.
    fn is_splittable(&self, answer: &Answer) -> bool {
        let is_final = |code: &&str| answer.has_code(code);
        let is_about_bytes = ["DIGEST_INVALID", "NAME_INVALID", "DENIED"]
            .iter()
            .any(is_final);
        match (self.way, answer.status) {
            _ if is_about_bytes => false,
            (Way::Whole, 400 | 405 | 411 | 413 | 415 | 501) => answer.method == Method::PUT,
            (Way::Chunks, 413) => {
                answer.method == Method::PATCH
                    && self.chunk_bytes > LEAST_CHUNK_BYTES.max(self.least_chunk())
            }
            _ => false,
        }
    }

    fn least_chunk(&self) -> u64 {
        self.opened.as_ref().map_or(0, |opened| opened.least_chunk)
    }

    /// Goes on from what is known, to the end if all goes well.
    async fn attempt(&mut self, transfer: &Transfer<'_>) -> Result<(), Error> {
        if self.is_unsure {
            self.ask_offset().await?;
            self.is_unsure = false;
        }
        if self.opened.is_none() {
            self.offset = 0;
            if self.may_be_done && exists(self.session, &self.blob.digest).await? {
                return Ok(());
            }
            self.may_be_done = false;
            self.location().await?;
        }
        if self.offset > 0 {
            transfer.advance(self.offset);
        }
        if self.offset == 0 && self.way == Way::Whole {
            return self.put(0, transfer).await;
        }
        while self.offset < self.blob.size {
            self.patch(transfer).await?;
        }
        self.put(self.offset, transfer).await
    }

    /// Where the upload goes on; opens one when there is none.
    async fn location(&mut self) -> Result<Url, Error> {
        if let Some(opened) = &self.opened {
            return Ok(opened.url.clone());
        }
        let request = Request::new(Method::POST, self.session.url("blobs/uploads/")?);
        let response = self.session.exchange(&request).await?;
        let opened = self.opened.insert(Opened::by(&request, &response)?);
        Ok(opened.url.clone())
    }

    fn body<'t>(&'t self, start: u64, end: u64, transfer: &'t Transfer<'t>) -> Body<'t> {
        match self.from {
            _ if start == end => Body::Empty,
            From::Memory(bytes) => Body::Bytes(&bytes[start as usize..end as usize]),
            From::Store(store) => Body::Blob {
                store,
                blob: self.blob,
                start,
                end,
                transfer,
            },
        }
    }

    /// Completes the upload with all bytes from `start`.
    ///
    /// The specification's other way, one POST with the body, saves nothing: docker-registry (2.8 was tried) answers it
    /// by an open upload, so that the body would travel twice.
    ///
    /// # Spec
    /// OCI distribution-spec, *POST then PUT*, and the end of *Pushing a blob in chunks*.
    async fn put(&mut self, start: u64, transfer: &Transfer<'_>) -> Result<(), Error> {
        let digest = &self.blob.digest;
        let mut url = self.location().await?;
        // The location's query is the registry's; ours is added to it.
        url.query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        let mut request = Request::new(Method::PUT, url);
        let octets = "application/octet-stream".to_owned();
        request.headers.push((CONTENT_TYPE, octets));
        request.body = self.body(start, self.blob.size, transfer);
        let answer = self.session.exchange(&request).await;
        let is_broken = matches!(&answer, Err(Error::Broken { .. }));
        let request = Request {
            body: Body::Empty,
            ..request
        };
        self.may_be_done |= is_broken;
        let response = lost(answer)?;
        if response.status() != StatusCode::CREATED {
            let status = response.status().as_u16();
            return Err(request.protocol(format!("the upload was answered {status} and not 201")));
        }
        match content_digest(response.headers()) {
            Some(found) if found.algorithm() == digest.algorithm() && found != *digest => {
                Err(other_digest(self.session, "uploaded blob", digest, found))
            }
            _ => Ok(()),
        }
    }

    /// Sends the next chunk.
    ///
    /// # Spec
    /// OCI distribution-spec, *Pushing a blob in chunks*: `Content-Range: START-END`, both inclusive.
    async fn patch(&mut self, transfer: &Transfer<'_>) -> Result<(), Error> {
        let length = self.chunk_bytes.max(self.least_chunk());
        let (start, size) = (self.offset, self.blob.size);
        let end = start.saturating_add(length).min(size);
        let mut request = Request::new(Method::PATCH, self.location().await?);
        let octets = "application/octet-stream".to_owned();
        request.headers.push((CONTENT_TYPE, octets));
        let range = format!("{start}-{}", end - 1);
        request.headers.push((CONTENT_RANGE, range));
        request.body = self.body(start, end, transfer);
        let response = lost(self.session.exchange(&request).await)?;
        let has = received(response.headers()).unwrap_or(end);
        let request = Request {
            body: Body::Empty,
            ..request
        };
        if has > end {
            let reason = format!("it says to have {has} bytes, and {end} were sent");
            return Err(request.protocol(reason));
        }
        if let Some(opened) = &mut self.opened {
            opened.go_on_at(&response)?;
        }
        self.offset = has;
        if has < end {
            let reason = format!("it took only {has} of {end} bytes");
            return Err(super::limits::stalled(
                &request.method,
                &request.url,
                reason,
            ));
        }
        Ok(())
    }

    /// Asks how much of the upload has arrived. One that the registry has no account of is given up.
    ///
    /// # Spec
    /// OCI distribution-spec, *Pushing a blob in chunks*: GET of the location is answered 204 with `Range: 0-END`.
    async fn ask_offset(&mut self) -> Result<(), Error> {
        let Some(opened) = self.opened.clone() else {
            return Ok(());
        };
        // A document is sent again sooner than asked about.
        let answer = match self.from {
            From::Memory(_) => None,
            From::Store(_) => {
                let request = Request::new(Method::GET, opened.url.clone());
                match self.session.exchange(&request).await {
                    Ok(response) => Some(response),
                    Err(error) if error.is_not_found() => {
                        self.opened = None;
                        return Ok(());
                    }
                    Err(error) if error.is_transient() => return Err(error),
                    Err(_) => None,
                }
            }
        };
        let account = answer.as_ref().and_then(|response| {
            let has = received(response.headers())?;
            Some((response, has))
        });
        match account {
            Some((response, has)) if has <= self.blob.size => {
                if let Some(opened) = &mut self.opened {
                    opened.go_on_at(response)?;
                }
                self.offset = has;
            }
            _ => {
                self.opened = None;
                delete(self.session, opened).await;
            }
        }
        Ok(())
    }

    /// Deletes the upload after a failure or when the person asked to stop, so that the registry need not keep what
    /// it has of it. Best effort, and short.
    pub(super) fn abandon(mut self) {
        if let Some(opened) = self.opened.take() {
            let session = self.session;
            // A timer is made where the runtime is.
            let deleting =
                async { tokio::time::timeout(ABANDON_TIMEOUT, delete(session, opened)).await };
            // Nobody is there to be told, and the registry removes old uploads by itself.
            let _ = session.client.http.run(&Silent, deleting);
        }
    }
}

/// An upload that is not found is one that the registry has forgotten, whatever else it has.
fn lost(answer: Result<Response, Error>) -> Result<Response, Error> {
    match answer {
        Err(Error::NotFound { answer, .. }) => Err(Error::UploadLost(answer)),
        answer => answer,
    }
}
