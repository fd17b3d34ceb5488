//! Names that a person can type for an image: `[host[:port]/]repository[:tag][@digest]`.
//!
//! Read as Docker and containerd read them (`distribution/reference`, 0.6): a first component with a dot, a colon or an
//! upper-case letter, or `localhost`, is a host; without one the image is on Docker Hub, where one-word repositories
//! live below `library/`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry that a name without a host means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a name without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";
const OFFICIAL_PREFIX: &str = "library/";
/// In bytes, with the host, its port and the slash.
///
/// # Spec
/// OCI distribution-spec, *Pulling manifests*: many implementations limit it so.
const MAX_NAME_LENGTH: usize = 255;

/// An image reference, fully qualified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ParseError {
    /// What was given, cut to 300 characters, without a user and a password.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The host of a registry as references name it: `docker.io` for each of its names, else the text itself.
///
/// # Errors
/// [`ParseError`] when no reference can name it: a scheme, a path, a name without a dot that is not `localhost`, …
pub fn registry_host(text: &str) -> Result<String, ParseError> {
    let refuse = |reason: String| ParseError {
        text: shown(text),
        reason,
    };
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(refuse(format!("leave out `{scheme}://`")));
    }
    if text.contains('@') {
        return Err(refuse(
            "a registry's name has no user and password in it".to_owned(),
        ));
    }
    if text.contains('/') || !is_host_like(text) {
        return Err(refuse(
            "it is not the name of a registry: expected `HOST[:PORT]`".to_owned(),
        ));
    }
    check_host(text).map_err(refuse)?;
    Ok(canonical(text).to_owned())
}

/// True for hosts that never leave this machine: `localhost`, 127.0.0.0/8, `[::1]`; with or without a port.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl Reference {
    /// The registry's host, with its port if one was given: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository within the registry, `library/` included: what the distribution specification calls `<name>`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when neither a tag nor a digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask a registry for: the digest if there is one, else the tag.
    ///
    /// # Spec
    /// distribution-spec, *Pulling manifests*: `<reference>` is a digest or a tag.
    pub fn manifest_reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// Host and repository in the short form people use, without tag and digest: `flask-hello`, `quay.io/org/app`.
    pub fn name(&self) -> String {
        if self.host != DEFAULT_REGISTRY {
            return format!("{}/{}", self.host, self.repository);
        }
        let official = self.repository.strip_prefix(OFFICIAL_PREFIX);
        let short = official.filter(|name| !name.contains('/') && !is_identifier(name));
        let short = short.unwrap_or(&self.repository);
        match split_host(short) {
            (None, _) => short.to_owned(),
            // It would be taken for a host: `docker.io/localhost/app`.
            (Some(_), _) => format!("{DEFAULT_REGISTRY}/{short}"),
        }
    }

    /// What has this digest in the same repository.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// What has this tag in the same repository; `tag` is one that [`Reference::tag`] or a registry gave.
    pub(crate) fn with_tag(&self, tag: &str) -> Self {
        Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        }
    }

    /// The same reference without its digest; the name under which an image is kept.
    pub fn without_digest(&self) -> Self {
        Self {
            tag: Some(self.tag.clone().unwrap_or_else(|| DEFAULT_TAG.to_owned())),
            digest: None,
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    /// The short form, with the tag and the digest that there are: `flask-hello:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map_err(|reason| ParseError {
            text: shown(text),
            reason,
        })
    }
}

/// The beginning of a text that is no reference, without the user and the password that it may have before an `@`.
fn shown(text: &str) -> String {
    let hidden = match text.rsplit_once('@') {
        Some((_, rest)) if is_after_user(rest) => format!("…@{rest}"),
        _ => text.to_owned(),
    };
    hidden.chars().take(300).collect()
}

/// True when what follows an `@` looks like a host and its path and not like a digest.
fn is_after_user(rest: &str) -> bool {
    rest.contains(['/', '.'])
}

fn parse(text: &str) -> Result<Reference, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!(
            "it must not begin with a scheme; leave out `{scheme}://`"
        ));
    }
    let (rest, digest) = match text.split_once('@') {
        None => (text, None),
        Some((rest, digest)) => {
            if is_after_user(digest) {
                return Err("a name has no user and password in it; log in instead".to_owned());
            }
            let digest = digest
                .parse::<Digest>()
                .map_err(|error| error.to_string())?;
            (rest, Some(digest))
        }
    };
    let (host, path) = split_host(rest);
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) => (path, Some(check_tag(tag)?)),
        None => (path, None),
    };
    if let Some(host) = host {
        check_host(host)?;
    }
    check_repository(path)?;
    if host.is_none() && is_identifier(path) {
        return Err(
            "64 hexadecimal digits are taken for an image's identifier, not for a name".to_owned(),
        );
    }
    let host = canonical(host.unwrap_or(DEFAULT_REGISTRY));
    let repository = if host == DEFAULT_REGISTRY && !path.contains('/') {
        format!("{OFFICIAL_PREFIX}{path}")
    } else {
        path.to_owned()
    };
    if host.len() + 1 + repository.len() > MAX_NAME_LENGTH {
        return Err(format!("it is longer than {MAX_NAME_LENGTH} characters"));
    }
    let tag = match (tag, &digest) {
        (None, None) => Some(DEFAULT_TAG.to_owned()),
        (tag, _) => tag,
    };
    Ok(Reference {
        host: host.to_owned(),
        repository,
        tag,
        digest,
    })
}

fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, path)) if is_host_like(first) => (Some(first), path),
        _ => (None, text),
    }
}

/// What tells a host from the first part of a repository's name, which has no upper-case letters.
fn is_host_like(first: &str) -> bool {
    first == "localhost"
        || first
            .bytes()
            .any(|b| b == b'.' || b == b':' || b.is_ascii_uppercase())
}

/// `index.docker.io` is the name that old tools wrote into configurations.
fn canonical(host: &str) -> &str {
    match host {
        "index.docker.io" => DEFAULT_REGISTRY,
        host => host,
    }
}

/// Docker refuses such names: they could mean an image by its identifier.
fn is_identifier(path: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    path.len() == 64 && path.bytes().all(is_hex)
}

fn check_host(host: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("`{host}` is not a registry host: {why}"));
    let (name, port) = match host.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => match port.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return refuse("expected `:PORT` after `]`"),
            },
            None => return refuse("`[` is never closed"),
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if host.starts_with('[') {
        // An IPv4 address within, or a zone, Docker does not take either.
        let has_only = name.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        if !has_only || name.parse::<std::net::Ipv6Addr>().is_err() {
            return refuse("it is not an IPv6 address");
        }
    } else {
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(label) {
            return refuse(if host.matches(':').count() > 1 {
                "an IPv6 address stands in brackets: `[::1]:5000`"
            } else if name.contains('_') {
                "host names have no `_`"
            } else {
                "it is not a host name"
            });
        }
    }
    if port.is_some_and(|port| {
        port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()
    }) {
        return refuse("the port is not a number below 65536");
    }
    Ok(())
}

/// distribution-spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` for every component.
fn check_repository(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the repository name is missing".to_owned());
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!(
            "repository names are lower case; write `{}`",
            path.to_ascii_lowercase()
        ));
    }
    match path.split('/').find(|component| !is_component(component)) {
        None => Ok(()),
        Some("") => Err("there is an empty part between two slashes".to_owned()),
        Some(component) => Err(format!(
            "`{}` may hold only a-z, 0-9 and single separators `.`, `_`, `-` between them",
            component.escape_debug()
        )),
    }
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| alphanumeric(**b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|b| !alphanumeric(**b)).count();
        let valid = match &rest[..separator] {
            b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|b| *b == b'-'),
        };
        if !valid {
            return false;
        }
        rest = &rest[separator..];
    }
}

/// distribution-spec: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn check_tag(tag: &str) -> Result<String, String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let valid = tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if valid {
        return Ok(tag.to_owned());
    }
    Err(format!(
        "`{}` is not a tag: at most 128 of A-Z, a-z, 0-9, `_`, `.`, `-`, not beginning with `.` or `-`",
        tag.escape_debug()
    ))
}

#[cfg(test)]
mod tests;
