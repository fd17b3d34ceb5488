//! One request, until it is answered: who we are, redirects, and trying again what may go better next time.
//!
//! ```text
//! get ─▶ once ─▶ send
//!  │      └ redirects, by hand: each host gets its own credentials and no other's
//!  └ up to four attempts, a question to the keyring after a 401
//! ```
//!
//! The first request to a host is made alone. Sixteen at once would open sixteen connections, for a client cannot know
//! before the first handshake that the server speaks HTTP/2 and one is enough.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_RANGE, HeaderMap, HeaderName, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Response, StatusCode, Url};

use super::credentials::Keys;
use super::error::{Error, shown};
use crate::event::{Event, Observer};
use crate::http::{self, Http};

/// How often a request is made before its failure is believed.
const MAX_ATTEMPTS: u32 = 4;
/// How long to wait before the second attempt; three times as long for each further one.
const BACKOFF: Duration = Duration::from_millis(300);
/// How long a server may make us wait; when it wants more, the person should know.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// From which wait on the person is told what we wait for.
const NOTED_WAIT: Duration = Duration::from_secs(3);
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;
/// After how many new bytes a connection that broke counts as progress and not as failure.
const PROGRESS_BYTES: u64 = 1 << 20;

/// What makes requests.
pub(super) struct Transport<'h> {
    http: &'h Http,
    keys: Keys,
    trusted_hosts: Vec<String>,
    gates: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<bool>>>>,
    /// See [`BACKOFF`].
    backoff: Duration,
}

impl fmt::Debug for Transport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// The beginning of an answer.
#[derive(Debug)]
pub(super) struct Head {
    /// Where it finally came from, without credentials.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// A header's value, when it is text.
    pub(super) fn get(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first byte and the size of the whole of a partial answer, as `bytes 5-9/10` says them.
    pub(super) fn range(&self) -> Option<(u64, Option<u64>)> {
        let (range, size) = self
            .get(&CONTENT_RANGE)?
            .strip_prefix("bytes ")?
            .split_once('/')?;
        let start = range.split('-').next()?.trim().parse().ok()?;
        Some((start, size.trim().parse().ok()))
    }

    /// The error that an answer which is no success is.
    pub(super) fn error(&self, credentials: Option<&'static str>) -> Error {
        let url = shown(&self.url);
        match self.status.as_u16() {
            status @ (401 | 403) => Error::Unauthorised {
                url,
                status,
                credentials,
            },
            status => Error::Status { url, status },
        }
    }
}

/// Takes what comes.
pub(super) trait Receiver {
    /// From which byte on the file is wanted.
    fn offset(&self) -> u64 {
        0
    }

    /// A success begins. False when its body is of no use: then it is not read.
    ///
    /// # Errors
    /// When the answer is not what it should be, which ends the request.
    fn begin(&mut self, head: &Head) -> Result<bool, Error>;

    /// The next bytes of the body.
    ///
    /// # Errors
    /// When there are too many, or they cannot be kept, which ends the request.
    fn piece(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// A failure, and whether trying again may help.
enum Failure {
    /// It may, after as long as the server says.
    Passing(Error, Option<Duration>),
    /// It will not.
    Final(Error),
}

impl<'h> Transport<'h> {
    pub(super) fn new(http: &'h Http, keys: Keys, trusted_hosts: Vec<String>) -> Self {
        Self {
            http,
            keys,
            trusted_hosts,
            gates: Mutex::default(),
            backoff: BACKOFF,
        }
    }

    #[cfg(test)]
    pub(super) fn set_backoff(&mut self, backoff: Duration) {
        self.backoff = backoff;
    }

    /// Where the credentials that `url` gets come from.
    pub(super) fn credentials(&self, url: &Url) -> Option<&'static str> {
        self.keys.origin(url)
    }

    /// Makes a GET request and gives the beginning of the answer; a success has gone through `receiver`.
    ///
    /// # Errors
    /// When there is no answer, or none to its end. An answer that is no success is none of these errors.
    pub(super) fn get(
        &self,
        url: &Url,
        headers: &[(HeaderName, String)],
        receiver: &mut dyn Receiver,
        observer: &dyn Observer,
    ) -> Result<Head, Error> {
        let (mut failures, mut has_asked) = (0, false);
        loop {
            let offset = receiver.offset();
            let done = self
                .http
                .run(observer, self.once(url, headers, receiver))
                .map_err(|_| Error::Interrupted)?;
            let (error, delay) = match done {
                Ok(head) => {
                    let is_challenge = head.status == StatusCode::UNAUTHORIZED;
                    if is_challenge && !has_asked && self.keys.ask(&head.url, observer)? {
                        has_asked = true;
                        continue;
                    }
                    return Ok(head);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, delay)) => (error, delay),
            };
            if receiver.offset() >= offset + PROGRESS_BYTES {
                failures = 0;
            }
            failures += 1;
            let delay = delay.unwrap_or_else(|| jittered(self.backoff * 3_u32.pow(failures - 1)));
            if failures >= MAX_ATTEMPTS || delay > MAX_WAIT {
                return Err(error);
            }
            if delay >= NOTED_WAIT {
                let text = format!("trying again in {} s: {error}", delay.as_secs());
                observer.observe(Event::Note { text });
            }
            // Built inside: a timer needs the runtime around it.
            let pause = async { tokio::time::sleep(delay).await };
            let paused = self.http.run(observer, pause);
            paused.map_err(|_| Error::Interrupted)?;
        }
    }

    /// One attempt, redirects included.
    async fn once(
        &self,
        url: &Url,
        headers: &[(HeaderName, String)],
        receiver: &mut dyn Receiver,
    ) -> Result<Head, Failure> {
        let mut response = self.follow(url, headers, receiver.offset()).await?;
        let status = response.status();
        let mut final_url = response.url().clone();
        final_url.set_fragment(None);
        let head = Head {
            url: final_url,
            status,
            headers: std::mem::take(response.headers_mut()),
        };
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            let seconds = head
                .get(&RETRY_AFTER)
                .and_then(|value| value.trim().parse().ok());
            return Err(Failure::Passing(
                head.error(None),
                seconds.map(Duration::from_secs),
            ));
        }
        if !status.is_success() || !receiver.begin(&head).map_err(Failure::Final)? {
            return Ok(head);
        }
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => receiver.piece(&piece).map_err(Failure::Final)?,
                Ok(None) => return Ok(head),
                Err(error) => return Err(self.failure(&head.url, error)),
            }
        }
    }

    async fn follow(
        &self,
        url: &Url,
        headers: &[(HeaderName, String)],
        offset: u64,
    ) -> Result<Response, Failure> {
        let refuse = |url: &Url, reason| {
            let url = shown(url);
            Failure::Final(Error::Redirect { url, reason })
        };
        let mut target = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&target, headers, offset).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| refuse(&target, "but does not say where to"))?;
            let mut next = target
                .join(location)
                .map_err(|_| refuse(&target, "but not to a URL"))?;
            if !matches!(next.scheme(), "http" | "https") {
                return Err(refuse(&target, "but to something that is not HTTP"));
            }
            if target.scheme() == "https" && next.scheme() == "http" {
                let reason = "to an address without encryption, which is not followed";
                return Err(refuse(&target, reason));
            }
            // What a server says of who we are is nothing that we send.
            let _ = next.set_username("");
            let _ = next.set_password(None);
            target = next;
        }
        Err(refuse(url, "more than ten times"))
    }

    async fn send(
        &self,
        url: &Url,
        headers: &[(HeaderName, String)],
        offset: u64,
    ) -> Result<Response, Failure> {
        let client = match self.is_trusted(url) {
            true => self.http.unverified_client(),
            false => Ok(self.http.client()),
        };
        let client = client.map_err(|error| {
            Failure::Final(Error::Unreachable {
                url: shown(url),
                reason: crate::http::cause(error),
            })
        })?;
        let mut request = client.get(url.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        // A password goes over no line that others may listen to, unless the person trusts it.
        if let Some(login) = self.keys.login(url).filter(|_| self.is_secure(url)) {
            request = request.basic_auth(login.user, Some(login.password));
            debug_assert!(headers.iter().all(|(name, _)| name != AUTHORIZATION));
        }
        let gate = (url.scheme() == "https").then(|| self.gate(url));
        let mut first = None;
        if let Some(gate) = &gate {
            first = Some(gate.lock().await).filter(|is_open| !**is_open);
        }
        let response = request.send().await;
        if let Some(is_open) = &mut first {
            **is_open = true;
        }
        response.map_err(|error| self.failure(url, error))
    }

    fn gate(&self, url: &Url) -> Arc<tokio::sync::Mutex<bool>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(url.origin().ascii_serialization()).or_default())
    }

    /// True when nobody on the way can change what comes, or the person says that nobody does.
    pub(super) fn is_secure(&self, url: &Url) -> bool {
        matches!(url.scheme(), "https" | "file") || is_loopback(url) || self.is_trusted(url)
    }

    /// True for hosts of `trusted_hosts`: without a port it stands for all of them.
    fn is_trusted(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let port = url.port_or_known_default().unwrap_or_default();
        let with_port = format!("{host}:{port}");
        self.trusted_hosts
            .iter()
            .any(|trusted| trusted == host || *trusted == with_port)
    }

    fn failure(&self, url: &Url, error: reqwest::Error) -> Failure {
        let is_timeout = error.is_timeout();
        let is_tls = is_tls(&error);
        let (url, mut reason) = (shown(url), http::cause(error));
        if is_tls {
            let has_certificates = self.http.has_certificates();
            return Failure::Final(Error::Tls {
                url,
                reason,
                has_certificates,
            });
        }
        if is_timeout {
            reason = "nothing came for too long".to_owned();
        }
        Failure::Passing(Error::Unreachable { url, reason }, None)
    }
}

/// True when a request failed because of TLS itself, and not because its connection broke.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if current.downcast_ref::<rustls::Error>().is_some() {
            return true;
        }
        // An I/O error does not give what it wraps as its source.
        let wrapped = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        source = match wrapped {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    false
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Between 3/4 and 5/4 of `delay`, so that many clients do not come back at the same moment.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    delay.mul_f64(0.75 + random as f64 / 1024.0)
}

/// A body that is kept in memory, up to a limit.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) bytes: Vec<u8>,
    url: String,
    limit_bytes: u64,
}

impl Memory {
    pub(super) fn new(url: &Url, limit_bytes: u64) -> Self {
        Self {
            bytes: Vec::new(),
            url: shown(url),
            limit_bytes,
        }
    }
}

impl Receiver for Memory {
    fn begin(&mut self, _head: &Head) -> Result<bool, Error> {
        self.bytes.clear();
        Ok(true)
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if (self.bytes.len() + bytes.len()) as u64 > self.limit_bytes {
            return Err(Error::TooLarge {
                url: self.url.clone(),
                limit_bytes: self.limit_bytes,
            });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}
