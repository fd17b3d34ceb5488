//! Why a registry could not do what was asked, told so that a person knows what to do next.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;

use super::hosts;
use crate::digest::Digest;
use crate::event::printable;
use crate::{http, image, store};

/// How much of an answer's body is shown when it is not the specification's JSON.
const SHOWN_BODY_CHARACTERS: usize = 200;
/// How much of a URL is shown. The longest honest ones, with a repository of 255 characters and a SHA-512, are shorter.
const SHOWN_URL_CHARACTERS: usize = 600;
/// Query parameters whose values say something to people and nothing to thieves; all others are hidden.
const SHOWN_PARAMETERS: [&str; 8] = [
    "artifactType",
    "digest",
    "from",
    "last",
    "mount",
    "n",
    "scope",
    "service",
];

/// Why a registry operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to a host.
    #[error("cannot connect to `{host}`: {cause}")]
    Connect {
        /// The host with its port, as asked for.
        host: String,
        /// The innermost reason.
        cause: String,
        /// What kind of reason it is.
        obstacle: Obstacle,
    },
    /// A connection ended in the middle of an exchange, or the answer was no HTTP.
    #[error("{method} `{url}` broke off: {cause}")]
    Broken {
        /// The request's method.
        method: Method,
        /// The request's URL, without secrets.
        url: String,
        /// What happened.
        cause: String,
    },
    /// The registry wants to know who asks, or does not believe the answer.
    #[error("`{host}` does not accept {}: {answer}", accepted(credentials))]
    Unauthorised {
        /// The registry, as the reference names it.
        host: String,
        /// Where the refused credentials came from; `None` when there were none.
        credentials: Option<String>,
        /// What it said.
        answer: Box<Answer>,
    },
    /// The registry knows who asks and does not allow it.
    #[error("access to `{subject}` is denied: {answer}")]
    Denied {
        /// The reference.
        subject: String,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// The reference, or a blob it needs, is not in the registry.
    #[error("`{subject}` is not in the registry: {answer}")]
    NotFound {
        /// The reference.
        subject: String,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// Too many requests, for longer than we are ready to wait.
    #[error("`{host}` limits how often it may be asked: {answer}")]
    RateLimited {
        /// The registry, as the reference names it.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// Any other answer that is not a success.
    #[error("{0}")]
    Answer(Box<Answer>),
    /// The registry, or its configuration, does not let anybody delete.
    #[error("`{host}` does not allow images to be deleted: {answer}")]
    NoDeletion {
        /// The registry, as the reference names it.
        host: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// A list that goes on for longer than any real one.
    #[error("the list of {noun} of `{subject}` has no end: {reason}")]
    Endless {
        /// `tags`, `referrers`.
        noun: &'static str,
        /// The repository or reference.
        subject: String,
        /// Why it is not read any further.
        reason: String,
    },
    /// The registry forgot an upload before it was complete.
    #[error("the registry lost an upload: {0}")]
    UploadLost(Box<Answer>),
    /// A redirect that is not followed.
    #[error("`{url}` redirects, {reason}")]
    Redirect {
        /// Where the redirect was met, without secrets.
        url: String,
        /// Why it is not followed.
        reason: String,
    },
    /// An answer that the distribution specification does not allow.
    #[error("the answer to {method} `{url}` is not what the specification asks for: {reason}")]
    Protocol {
        /// The request's method.
        method: Method,
        /// The request's URL, without secrets.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are others than their name promises.
    #[error("the {noun} of `{subject}` should have the digest `{expected}` but has `{found}`")]
    Digest {
        /// `manifest`, `configuration`, `layer`.
        noun: &'static str,
        /// The reference.
        subject: String,
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// More or fewer bytes than promised.
    #[error("the {noun} of `{subject}` should have {expected} bytes but has {}", size(*found, *expected))]
    Size {
        /// `manifest`, `configuration`, ``layer `sha256:…` ``.
        noun: String,
        /// The reference.
        subject: String,
        /// The promised (or largest allowed) size in bytes.
        expected: u64,
        /// The size found; reading stops just past the promise.
        found: u64,
    },
    /// A document that cannot be used.
    #[error("`{subject}` cannot be used: {source}")]
    Document {
        /// The reference.
        subject: String,
        /// What is wrong with it.
        source: Box<image::Error>,
    },
    /// Docker's first image format.
    #[error(
        "`{subject}` is stored in Docker's old image format (schema 1), which is not supported"
    )]
    Schema1 {
        /// The reference.
        subject: String,
    },
    /// A layer that is needed, is not on this machine, and cannot be had from anywhere.
    #[error(
        "the layer `{digest}` is neither in `{subject}` nor on this machine{}",
        tried(origins)
    )]
    LayerAbsent {
        /// The layer.
        digest: Digest,
        /// The destination, or the image that the layer belongs to.
        subject: String,
        /// Where else it was looked for, each with the reason why it was not had there.
        origins: Vec<String>,
    },
    /// An image that neither the mirrors of its registry nor the registry itself gave.
    #[error("{source}; its mirrors were asked before: {}", mirrors.join(", "))]
    Mirrors {
        /// What the registry itself said.
        source: Box<Error>,
        /// The mirrors, each with its reason.
        mirrors: Vec<String>,
    },
    /// The settings for registries.
    #[error(transparent)]
    Settings(#[from] hosts::Error),
    /// A registry that the settings forbid.
    #[error("`{subject}` is on a registry that `{}` blocks", path.display())]
    Blocked {
        /// The reference.
        subject: String,
        /// The file that says so.
        path: PathBuf,
    },
    /// Credentials that are there and cannot be read or kept.
    #[error("cannot use the credentials in `{}`: {reason}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any of its secrets.
        reason: String,
    },
    /// The operation took longer than it may altogether.
    #[error("`{subject}` took longer than {} s", super::limits::seconds(*limit))]
    TooLong {
        /// The reference.
        subject: String,
        /// The limit, [`Limits::overall`](super::Limits::overall).
        limit: Duration,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What kind of thing is in the way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Name resolution, routing, a closed port, a time limit.
    Network,
    /// The server speaks plain HTTP where TLS was expected.
    PlainHttp,
    /// The server's certificate is not trusted.
    Certificate,
    /// The server wants a certificate of ours, or another than it was shown.
    ClientCertificate,
    /// No certificate is trusted, for there are no authorities on this machine.
    NoAuthorities,
    /// Something else: another TLS failure, a host name that fits no URL.
    Other,
}

fn accepted(credentials: &Option<String>) -> String {
    match credentials {
        Some(origin) => format!("the credentials from {origin}"),
        None => "requests without credentials".to_owned(),
    }
}

fn tried(origins: &[String]) -> String {
    match origins.is_empty() {
        true => String::new(),
        false => format!(
            ", and could not be had from {}",
            origins.join(", nor from ")
        ),
    }
}

fn size(found: u64, expected: u64) -> String {
    if found > expected {
        "more".to_owned()
    } else {
        found.to_string()
    }
}

impl Error {
    /// What a person can do now: at most two sentences, imperative, without a full stop.
    pub fn hints(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::Connect { host, obstacle, .. } => match obstacle {
                Obstacle::Network => hint("check the host name, the port and the proxy settings"),
                Obstacle::PlainHttp => vec![format!(
                    "if `{host}` really speaks plain HTTP, pass `--insecure-registry {host}`"
                )],
                Obstacle::Certificate => hint(
                    "add the registry's certificate authority to the host's, or to the bundle that `SSL_CERT_FILE` names, or name it for this registry alone: `ca = \"FILE\"` below `[registry.\"HOST\"]` in `overcoat.toml`, or `/etc/containers/certs.d/HOST/ca.crt`",
                ),
                Obstacle::ClientCertificate => vec![format!(
                    "`{host}` wants a client certificate that it knows: `cert` and `key` below `[registry.\"{host}\"]` in `overcoat.toml`, or `/etc/containers/certs.d/{host}/client.cert` and `client.key`"
                )],
                Obstacle::NoAuthorities => hint(
                    "this machine has no CA certificates: install the package `ca-certificates` or set `SSL_CERT_FILE`",
                ),
                Obstacle::Other => Vec::new(),
            },
            Self::Unauthorised { host, credentials: None, .. } => vec![
                format!("log in with `overcoat login {host}`, `podman login {host}` or `docker login {host}`, or pass `--creds USER`"),
                "check the repository's name: many registries answer so for one that does not exist".to_owned(),
            ],
            Self::Unauthorised { host, .. } => vec![format!(
                "log in again with `overcoat login {host}`; the password or token may have expired"
            )],
            Self::Mirrors { source, .. } => source.hints(),
            Self::Blocked { .. } => hint("name an image on another registry, or have the entry changed"),
            Self::Denied { .. } => hint(
                "ask for access to the repository, or log in as somebody who has it",
            ),
            Self::Answer(_) | Self::NotFound { .. } if self.is_blob_unknown() => hint(
                "push again: the registry misses a blob that it said to have",
            ),
            Self::NotFound { .. } => hint("check the repository and the tag"),
            Self::RateLimited { host, answer } => {
                let mut hints = vec![format!("log in to `{host}`: limits are usually higher then")];
                if let Some(delay) = answer.retry_after {
                    hints.push(format!("try again in {} s", delay.as_secs()));
                }
                hints
            }
            Self::NoDeletion { .. } => hint(
                "who runs the registry can allow it (docker-registry: `storage.delete.enabled`), or remove the image by the registry's own means",
            ),
            Self::Schema1 { subject } => vec![format!(
                "convert it once: `skopeo copy --format oci docker://{subject} docker://{subject}`"
            )],
            Self::TooLong { .. } => hint(
                "allow more time with `--registry-timeout`; what has arrived is kept",
            ),
            Self::LayerAbsent { .. } => hint(
                "`overcoat pull` the base image first, or push to the registry that holds it",
            ),
            Self::Store(error) if error.is_mismatch() => hint(
                "the local copy is damaged: remove the blob from the store and build again",
            ),
            _ => Vec::new(),
        }
    }

    /// True when what was asked for is not in the registry.
    pub fn is_not_found(&self) -> bool {
        matches!(self.at_the_registry(), Self::NotFound { .. })
    }

    /// What the registry itself said, when its mirrors had their say before.
    pub fn at_the_registry(&self) -> &Self {
        match self {
            Self::Mirrors { source, .. } => source.at_the_registry(),
            error => error,
        }
    }

    /// True when a manifest was refused because something that it names is not there.
    ///
    /// # Spec
    /// OCI distribution-spec, *Error Codes*: code-1 and code-5, and code-6 where an index's manifest is meant.
    pub(super) fn is_blob_unknown(&self) -> bool {
        let (Self::Answer(answer) | Self::NotFound { answer, .. }) = self else {
            return false;
        };
        let codes = ["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];
        answer.method == Method::PUT && codes.iter().any(|code| answer.has_code(code))
    }

    /// True when this machine's disk is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_full())
    }

    /// True when the same request may well succeed in a moment.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { obstacle, .. } => *obstacle == Obstacle::Network,
            Self::Broken { .. } | Self::RateLimited { .. } | Self::UploadLost(_) => true,
            // 501 says that the registry will never know how.
            Self::Answer(answer) => {
                answer.status == 408 || (answer.status >= 500 && answer.status != 501)
            }
            _ => false,
        }
    }

    /// How long the registry wants us to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(answer) | Self::RateLimited { answer, .. } => answer.retry_after,
            _ => None,
        }
    }
}

impl From<http::Interrupted> for Error {
    fn from(_: http::Interrupted) -> Self {
        Self::Interrupted
    }
}

/// An answer that is not a success. Safe to show: no secrets, no control characters, no long bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request's method.
    pub method: Method,
    /// The URL that answered, without secrets.
    pub url: String,
    /// The status code.
    pub status: u16,
    /// The specification's error codes as text (unknown ones too), each with its message, which may be empty.
    pub errors: Vec<(String, String)>,
    /// The beginning of a body that is not the specification's JSON; may be empty.
    pub body: String,
    /// How long to wait before asking again.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Reads an answer; `body` may be its beginning only.
    ///
    /// # Spec
    /// OCI distribution-spec, *Error Codes*.
    pub(super) fn new(
        method: &Method,
        url: &Url,
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let document: Option<Value> = serde_json::from_slice(body).ok();
        let errors = document.as_ref().map(error_codes).unwrap_or_default();
        let body = if errors.is_empty() {
            shown(&String::from_utf8_lossy(body))
        } else {
            String::new()
        };
        Self {
            method: method.clone(),
            url: redacted(url),
            status,
            errors,
            body,
            retry_after,
        }
    }

    /// True when the registry gave this error code.
    pub fn has_code(&self, code: &str) -> bool {
        self.errors.iter().any(|(have, _)| have == code)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` answered {}", self.method, self.url, self.status)?;
        if self.method == Method::HEAD {
            // The specification's errors are in the body, which a HEAD answer cannot have.
            return write!(f, " (HEAD answers give no reason)");
        }
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|(code, message)| match message.as_str() {
                "" => code.clone(),
                message => format!("{code}: {message}"),
            })
            .collect();
        match (errors.is_empty(), self.body.is_empty()) {
            (false, _) => write!(f, " ({})", errors.join("; ")),
            (true, false) => write!(f, " ({})", self.body),
            (true, true) => Ok(()),
        }
    }
}

fn error_codes(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str).unwrap_or_default();
        shown(text)
    };
    let listed = document.get("errors").and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .map(|error| (text(error, "code"), text(error, "message")))
        .filter(|(code, message)| !code.is_empty() || !message.is_empty())
        .take(4)
        .collect()
}

/// One line of at most [`SHOWN_BODY_CHARACTERS`], safe to show.
pub(super) fn shown(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line: String = words.chars().take(SHOWN_BODY_CHARACTERS).collect();
    if line.len() < words.len() {
        line.push('…');
    }
    printable(&line)
}

/// A URL without user, password, fragment and the values of query parameters that may be signatures.
pub(super) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs that cannot have a user, which have none to hide.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    shown.set_query(None);
    let mut text = shown.to_string();
    for (position, (key, value)) in url.query_pairs().enumerate() {
        text.push(if position == 0 { '?' } else { '&' });
        let is_shown = SHOWN_PARAMETERS.contains(&key.as_ref());
        let value = if is_shown { value.as_ref() } else { "HIDDEN" };
        text.push_str(&format!("{key}={value}"));
    }
    // A server chooses the addresses of tokens and redirects, and how long they are.
    if let Some((end, _)) = text.char_indices().nth(SHOWN_URL_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(method: Method, body: &[u8]) -> Answer {
        let url = Url::parse(
            "https://u:p@r.example/v2/a/blobs/uploads/1?_state=SECRET&digest=sha256:1#f",
        );
        Answer::new(&method, &url.unwrap(), 400, None, body)
    }

    #[test]
    fn urls_are_shown_without_their_secrets() {
        let shown = answer(Method::GET, b"").url;
        assert_eq!(
            shown,
            "https://r.example/v2/a/blobs/uploads/1?_state=HIDDEN&digest=sha256:1"
        );
    }

    #[test]
    fn the_specifications_errors_are_shown_with_unknown_codes_as_they_are() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J"},{"code":"ODD"},{}]}"#;
        let answer = answer(Method::GET, body);
        assert!(
            answer
                .to_string()
                .ends_with("answered 400 (DENIED: no\u{fffd}[2J; ODD)"),
            "{answer}"
        );
        assert!(answer.has_code("ODD"));
    }

    #[test]
    fn other_bodies_are_cut_and_harmless_and_head_explains_itself() {
        let long = format!("<html>\n\u{7}{}", "x".repeat(5000));
        let shown = answer(Method::GET, long.as_bytes()).to_string();
        assert!(
            shown.len() < 400 && shown.ends_with("…)") && shown.contains("<html> \u{fffd}x"),
            "{shown}"
        );
        assert!(
            answer(Method::HEAD, b"")
                .to_string()
                .ends_with("(HEAD answers give no reason)")
        );
    }
}
