//! Names that a person can type for an image: `[host[:port]/]repository[:tag][@digest]`.
//!
//! Read as Docker and containerd read them: a first component with a dot or a colon, or `localhost`, is a host;
//! without one the image is on Docker Hub, where one-word repositories live below `library/`.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;

/// The registry that a name without a host means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a name without tag and digest means.
pub const DEFAULT_TAG: &str = "latest";
const OFFICIAL_PREFIX: &str = "library/";
/// distribution-spec limits a name, host included, to what fits a host name field.
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
    /// What was given, cut to 300 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
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
        let short = self.repository.strip_prefix(OFFICIAL_PREFIX);
        short.unwrap_or(&self.repository).to_owned()
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
            text: text.chars().take(300).collect(),
            reason,
        })
    }
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
    let host = host.unwrap_or(DEFAULT_REGISTRY);
    // `index.docker.io` is the name that old tools wrote into configurations.
    let host = if host == "index.docker.io" {
        DEFAULT_REGISTRY
    } else {
        host
    };
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
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), path)
        }
        _ => (None, text),
    }
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
        if name.parse::<std::net::Ipv6Addr>().is_err() {
            return refuse("it is not an IPv6 address");
        }
    } else {
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(label) {
            return refuse("it is not a host name");
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_read_as_docker_reads_them() {
        // text, host, repository, tag, printed again
        let table = [
            (
                "app",
                "docker.io",
                "library/app",
                Some("latest"),
                "app:latest",
            ),
            ("org/app:1", "docker.io", "org/app", Some("1"), "org/app:1"),
            (
                "docker.io/app",
                "docker.io",
                "library/app",
                Some("latest"),
                "app:latest",
            ),
            (
                "index.docker.io/a/b",
                "docker.io",
                "a/b",
                Some("latest"),
                "a/b:latest",
            ),
            (
                "localhost/app",
                "localhost",
                "app",
                Some("latest"),
                "localhost/app:latest",
            ),
            (
                "localhost:5000/a/b:v1.0",
                "localhost:5000",
                "a/b",
                Some("v1.0"),
                "localhost:5000/a/b:v1.0",
            ),
            (
                "127.0.0.1:5000/a__b--c.d",
                "127.0.0.1:5000",
                "a__b--c.d",
                Some("latest"),
                "127.0.0.1:5000/a__b--c.d:latest",
            ),
            (
                "[::1]:5000/app",
                "[::1]:5000",
                "app",
                Some("latest"),
                "[::1]:5000/app:latest",
            ),
            (
                "quay.io/org/app",
                "quay.io",
                "org/app",
                Some("latest"),
                "quay.io/org/app:latest",
            ),
            (
                "my_host.example/app",
                "my_host.example",
                "app",
                Some("latest"),
                "my_host.example/app:latest",
            ),
        ];
        for (text, host, repository, tag, printed) in table {
            let reference: Reference = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                (reference.host(), reference.repository(), reference.tag()),
                (host, repository, tag),
                "{text}"
            );
            assert_eq!(reference.to_string(), printed);
        }
    }

    #[test]
    fn a_digest_stands_alone_or_beside_a_tag() {
        let alone: Reference = format!("app@{DIGEST}").parse().unwrap();
        assert_eq!(
            (alone.tag(), alone.manifest_reference().as_str()),
            (None, DIGEST)
        );
        let both: Reference = format!("quay.io/app:1@{DIGEST}").parse().unwrap();
        assert_eq!(both.to_string(), format!("quay.io/app:1@{DIGEST}"));
        assert_eq!(both.manifest_reference(), DIGEST);
        assert_eq!(both.without_digest().to_string(), "quay.io/app:1");
    }

    #[test]
    fn what_is_not_a_reference_is_refused_with_the_reason() {
        let table = [
            ("", "it is empty"),
            ("UPPER/app", "lower case"),
            ("App", "write `app`"),
            ("app:", "is not a tag"),
            ("app:-x", "is not a tag"),
            ("app:1.0.0+build", "is not a tag"),
            ("https://quay.io/app", "leave out `https://`"),
            ("a//b", "empty part"),
            ("a/b/", "empty part"),
            ("a..b", "single separators"),
            ("a___b", "single separators"),
            ("-a", "single separators"),
            ("app@sha256:abc", "not a digest"),
            ("host.example:99999/app", "port"),
            ("host.example:/app", "port"),
            ("[::1/app", "never closed"),
            ("[zz::1]:5/app", "IPv6"),
            ("-bad.example/app", "host name"),
            ("quay.io/", "missing"),
            ("a b", "single separators"),
            ("app\n", "single separators"),
        ];
        for (text, reason) in table {
            let error = text.parse::<Reference>().expect_err(text);
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
        }
        assert!("a".repeat(300).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(
            host in prop::option::of("([a-z0-9]{1,8}\\.[a-z]{2,5}|localhost)(:[1-9][0-9]{0,3})?"),
            path in "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}){0,2}",
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
            pinned in any::<bool>(),
        ) {
            let mut text = host.map(|host| format!("{host}/")).unwrap_or_default() + &path;
            if let Some(tag) = tag { text = format!("{text}:{tag}"); }
            if pinned { text = format!("{text}@{DIGEST}"); }
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
            let _ = text.parse::<Reference>();
        }
    }
}
