//! One exchange with a registry: the request, who we are, redirects, retries, and what the answer means.
//!
//! ```text
//! retry ─▶ exchange ─▶ authorised ─▶ follow ─▶ send
//!   │         │            │            └ redirects, by hand: credentials stay with the host they are for
//!   │         │            └ a 401 is answered once
//!   │         └ the status becomes an error; a plain-HTTP request to a TLS server is made again over TLS
//!   └ what may go better next time is tried again, up to four times
//! ```

use reqwest::header::{
    CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::RegistryClient;
use super::auth::Authorization;
use super::body;
use super::connection::{is_tls_complaint, shown_host, with_scheme};
use super::error::{Answer, Error, Obstacle, redacted, shown};
use super::hosts::Preference;
use super::limits::{Limits, Pace, stalled};
use super::retry::retry_after;
use crate::event::{Observer, Transfer};
use crate::http::{self, Purpose, Tls};
use crate::image::Descriptor;
use crate::store::BlobStore;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;
/// How much of an answer that is an error is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// Everything that the requests of one operation have in common.
pub(super) struct Session<'a> {
    pub(super) client: &'a RegistryClient,
    pub(super) observer: &'a dyn Observer,
    /// The host as the reference names it, or as the mirror's name does.
    pub(super) host: String,
    pub(super) repository: String,
    /// How the host is spoken to.
    pub(super) preference: Preference,
    pub(super) tls: Tls,
    /// True when another place can be asked as well: then nobody waits for one that cannot be reached.
    pub(super) is_mirror: bool,
    /// What tokens are asked for: `repository:NAME:pull,push`.
    pub(super) scopes: Vec<String>,
    /// The reference, for messages.
    pub(super) subject: String,
    /// When the operation must be over.
    pub(super) deadline: Option<tokio::time::Instant>,
}

/// A request that can be made again.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Body<'a>,
    pub(super) elsewhere: Elsewhere,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    Empty,
    Bytes(&'a [u8]),
    /// A blob or a part of it, read from the store; its end is sent only when the whole was found right.
    Blob {
        store: &'a BlobStore,
        blob: &'a Descriptor,
        /// From which byte to which.
        start: u64,
        end: u64,
        transfer: &'a Transfer<'a>,
    },
}

impl std::fmt::Debug for Body<'_> {
    /// Bytes may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}

/// Whether redirects to other hosts are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    Allowed,
    Refused,
}

impl Request<'_> {
    /// A request without headers and body. Only reading follows redirects to other hosts.
    pub(super) fn new(method: Method, url: Url) -> Self {
        let is_reading = matches!(method, Method::GET | Method::HEAD);
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Body::Empty,
            elsewhere: if is_reading {
                Elsewhere::Allowed
            } else {
                Elsewhere::Refused
            },
        }
    }

    /// An error about an answer that breaks the specification.
    pub(super) fn protocol(&self, reason: impl Into<String>) -> Error {
        Error::Protocol {
            method: self.method.clone(),
            url: redacted(&self.url),
            reason: reason.into(),
        }
    }
}

impl Session<'_> {
    /// The URL of an endpoint: `path` follows `/v2/NAME/`.
    pub(super) fn url(&self, path: &str) -> Result<Url, Error> {
        let (scheme, host) = self.client.endpoint(&self.host, self.preference);
        let text = format!("{scheme}://{host}/v2/{}/{path}", self.repository);
        Url::parse(&text).map_err(|error| Error::Connect {
            host: self.host.clone(),
            cause: error.to_string(),
            obstacle: Obstacle::Other,
        })
    }

    /// Makes a request once and gives a successful answer.
    pub(super) async fn exchange(&self, request: &Request<'_>) -> Result<Response, Error> {
        let error = match self.client.gave_up(self) {
            None => self.exchange_now(request).await,
            Some(error) => Err(error),
        };
        error.inspect_err(|error| {
            if matches!(error, Error::Connect { .. }) {
                self.client.give_up(self);
            }
        })
    }

    async fn exchange_now(&self, request: &Request<'_>) -> Result<Response, Error> {
        let response = match self.authorised(request).await {
            Err(error) if self.may_go_plain(request, &error) => {
                self.client.remember_scheme(&self.host, "http");
                self.authorised(&with_scheme(request, "http")).await?
            }
            response => response?,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let mut lacks_rights = self.lacks_rights(&response);
        let limits = self.client.limits;
        let mut answer = Answer::read(&request.method, response, limits).await;
        if self.wants_tls(request, &answer).await {
            self.client.remember_scheme(&self.host, "https");
            let response = self.authorised(&with_scheme(request, "https")).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            lacks_rights = self.lacks_rights(&response);
            answer = Answer::read(&request.method, response, limits).await;
        }
        if lacks_rights {
            return Err(Error::Denied {
                subject: self.subject.clone(),
                answer: Box::new(answer),
            });
        }
        Err(self.classify(answer))
    }

    /// True when a plain-HTTP request met a TLS server. A HEAD answer cannot say so: then a GET is made to find out.
    async fn wants_tls(&self, request: &Request<'_>, answer: &Answer) -> bool {
        if request.url.scheme() != "http" || answer.status != 400 || request.method != Method::HEAD
        {
            return is_tls_complaint(request, answer);
        }
        let Ok(url) = request.url.join("/v2/") else {
            return false;
        };
        let probe = Request::new(Method::GET, url);
        match self.send(&probe, &probe.url, None).await {
            Ok(response) => {
                let answer = Answer::read(&probe.method, response, self.client.limits).await;
                is_tls_complaint(&probe, &answer)
            }
            Err(_) => false,
        }
    }

    /// Reads a body of at most `limit` bytes; `noun` says of what.
    pub(super) async fn read(
        &self,
        mut response: Response,
        limit: u64,
        noun: &str,
    ) -> Result<Vec<u8>, Error> {
        let too_large = |found| Error::Size {
            noun: noun.to_owned(),
            subject: self.subject.clone(),
            expected: limit,
            found,
        };
        if let Some(announced) = response.content_length().filter(|found| *found > limit) {
            return Err(too_large(announced));
        }
        let mut bytes = Vec::new();
        let mut pace = Pace::new(self.client.limits);
        while let Some(piece) = pace.chunk(&Method::GET, &mut response).await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > limit {
                return Err(too_large(bytes.len() as u64));
            }
        }
        Ok(bytes)
    }

    /// Makes a request as whoever the registry wants to see.
    async fn authorised(&self, request: &Request<'_>) -> Result<Response, Error> {
        let authorization = self.authorization().await?;
        let response = self
            .follow(request, authorization.as_ref(), &self.url("")?)
            .await?;
        // Only the registry itself may ask who we are.
        let is_challenge = response.status() == StatusCode::UNAUTHORIZED;
        if !is_challenge || !is_same_origin(response.url(), &self.url("")?) {
            return Ok(response);
        }
        match self.answer(&response, authorization.as_ref()).await? {
            Some(fresh) => self.follow(request, Some(&fresh), &self.url("")?).await,
            None => Ok(response),
        }
    }

    /// Makes a request and follows redirects. `authorization` is for `owner` and is shown to no other host, nor to
    /// `owner` again after another host had its say.
    pub(super) async fn follow(
        &self,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
        owner: &Url,
    ) -> Result<Response, Error> {
        let mut url = request.url.clone();
        let mut is_trusted = is_same_origin(&url, owner);
        for _ in 0..=MAX_REDIRECTS {
            let response = self
                .send(request, &url, authorization.filter(|_| is_trusted))
                .await?;
            self.client.remember_answer(&url);
            let is_reading = matches!(request.method, Method::GET | Method::HEAD);
            let is_redirect = match response.status().as_u16() {
                307 | 308 => true,
                301..=303 => is_reading,
                _ => false,
            };
            if !is_redirect {
                return Ok(response);
            }
            let next = redirect_target(&url, response.headers(), request.elsewhere)?;
            is_trusted &= is_same_origin(&next, owner);
            url = next;
        }
        Err(Error::Redirect {
            url: redacted(&request.url),
            reason: format!("more than {MAX_REDIRECTS} times"),
        })
    }

    async fn send(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Error> {
        // The limits of time are ours, and one client for everything means few connections.
        let tls = self.tls_for(url)?;
        let client = self.client.http.client_for(&tls, Purpose::Upload);
        let client = client.map_err(|error| Error::Connect {
            host: shown_host(url),
            cause: error.to_string(),
            obstacle: Obstacle::Other,
        })?;
        let mut builder = client.request(request.method.clone(), url.clone());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder = match authorization {
            Some(Authorization::Basic { username, password }) => {
                builder.basic_auth(username, Some(password.expose()))
            }
            Some(Authorization::Bearer(token)) => builder.bearer_auth(token.expose()),
            None => builder,
        };
        builder = match request.body {
            Body::Empty if matches!(request.method, Method::GET | Method::HEAD) => builder,
            Body::Empty => builder.header(CONTENT_LENGTH, 0),
            Body::Bytes(bytes) => builder.body(bytes.to_vec()),
            Body::Blob {
                store,
                blob,
                start,
                end,
                transfer,
            } => {
                let part = body::Part {
                    store,
                    blob,
                    range: start..end,
                };
                let limits = &self.client.limits;
                let sent = body::send(builder, request, part, transfer, limits).await?;
                return sent.map_err(|error| self.failed(&request.method, url, error));
            }
        };
        let sent = tokio::time::timeout(self.client.limits.idle, builder.send()).await;
        sent.map_err(|_| stalled(&request.method, url, "no answer came for too long"))?
            .map_err(|error| self.failed(&request.method, url, error))
    }

    /// The error that an unsuccessful answer means.
    pub(super) fn classify(&self, answer: Answer) -> Error {
        let subject = self.subject.clone();
        match answer.status {
            401 => self.unauthorised(answer),
            403 => Error::Denied {
                subject,
                answer: Box::new(answer),
            },
            404 => Error::NotFound {
                subject,
                answer: Box::new(answer),
            },
            429 => Error::RateLimited {
                host: self.host.clone(),
                answer: Box::new(answer),
            },
            _ => Error::Answer(Box::new(answer)),
        }
    }

    pub(super) fn unauthorised(&self, answer: Answer) -> Error {
        Error::Unauthorised {
            host: self.host.clone(),
            credentials: self.credentials_origin(),
            answer: Box::new(answer),
        }
    }
}

impl Answer {
    /// Reads what an unsuccessful response says.
    pub(super) async fn read(method: &Method, mut response: Response, limits: Limits) -> Self {
        let mut body = Vec::new();
        let mut pace = Pace::new(limits);
        while body.len() < MAX_ERROR_BYTES {
            match pace.chunk(method, &mut response).await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                // The status says enough when the explanation is cut.
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(MAX_ERROR_BYTES);
        let wait = header(response.headers(), &RETRY_AFTER);
        let wait = wait.and_then(|wait| retry_after(wait, header(response.headers(), &DATE)));
        let status = response.status().as_u16();
        Self::new(method, response.url(), status, wait, &body)
    }
}

/// A header's value, when it is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The media type of an answer, without parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = header(headers, &CONTENT_TYPE)?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    Some(media_type.to_ascii_lowercase()).filter(|media_type| !media_type.is_empty())
}

/// Where an answer points to.
pub(super) fn redirect_target(
    url: &Url,
    headers: &HeaderMap,
    elsewhere: Elsewhere,
) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Redirect {
        url: redacted(url),
        reason: reason.to_owned(),
    };
    let location = header(headers, &LOCATION).ok_or_else(|| refuse("but does not say where to"))?;
    let next = url.join(location).map_err(|_| refuse("but not to a URL"))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(refuse("but to something that is not HTTP"));
    }
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(refuse(
            "to an address without encryption, which is not followed",
        ));
    }
    if elsewhere == Elsewhere::Refused && !is_same_origin(url, &next) {
        return Err(refuse("to another host, which is not followed here"));
    }
    Ok(next)
}

pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// A connection that broke while `method` was under way.
pub(super) fn broken(method: &Method, url: &Url, error: reqwest::Error) -> Error {
    let cause = if error.is_timeout() {
        "nothing came for too long".to_owned()
    } else {
        shown(&http::cause(error))
    };
    Error::Broken {
        method: method.clone(),
        url: redacted(url),
        cause,
    }
}
