//! An upload that a registry has opened: where it goes on, and how much of it is there.

use reqwest::header::{HeaderMap, HeaderName, LOCATION, RANGE};
use reqwest::{Method, Response, Url};

use super::Error;
use super::transport::{Elsewhere, Request, Session, header, redirect_target};

/// The smallest chunk that a registry wants, in bytes.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that the registry has opened.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// Where it goes on: at the registry, or at another host, which then sees no credentials.
    pub(super) url: Url,
    /// The smallest chunk that the registry wants, in bytes.
    pub(super) least_chunk: u64,
}

impl Opened {
    /// The upload that a POST has opened.
    ///
    /// # Spec
    /// OCI distribution-spec, *Pushing a blob in chunks*: the location is relative or absolute, and
    /// `OCI-Chunk-Min-Length` is for everything that follows.
    pub(super) fn by(request: &Request<'_>, response: &Response) -> Result<Self, Error> {
        if header(response.headers(), &LOCATION).is_none() {
            let reason = "it opens an upload and does not say where: there is no `Location`";
            return Err(request.protocol(reason));
        }
        Ok(Self {
            url: redirect_target(response.url(), response.headers(), Elsewhere::Allowed)?,
            least_chunk: header(response.headers(), &CHUNK_MIN_LENGTH)
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
        })
    }
}

impl Opened {
    /// Each answer may name another location for what follows; without one, the last goes on.
    pub(super) fn go_on_at(&mut self, response: &Response) -> Result<(), Error> {
        if header(response.headers(), &LOCATION).is_some() {
            self.url = redirect_target(response.url(), response.headers(), Elsewhere::Allowed)?;
        }
        Ok(())
    }
}

/// Deletes an upload that is not needed. A registry that does not know how removes it in time.
///
/// # Spec
/// OCI distribution-spec 1.1 has no such request any more; docker-registry, Harbor, Quay and others answer 204.
pub(super) async fn delete(session: &Session<'_>, opened: Opened) {
    let request = Request::new(Method::DELETE, opened.url);
    let _ = session.exchange(&request).await;
}

/// How many bytes a `Range: 0-END` says to be there. `0-0` is docker-registry's way to say none, and never means one
/// byte here: nothing so small is sent in chunks.
pub(super) fn received(headers: &HeaderMap) -> Option<u64> {
    let range = header(headers, &RANGE)?.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let end: u64 = range.strip_prefix("0-")?.parse().ok()?;
    match end {
        0 => Some(0),
        end => end.checked_add(1),
    }
}
