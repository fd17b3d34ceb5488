//! Which name an image has in which environment.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::reference::{ParseError, Reference};
use crate::release::result::names_its_registry;

/// Where an environment's images are: a registry, perhaps with a path, `ghcr.io/acme`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    text: String,
    host: String,
    /// Without slashes at its ends; empty for a registry as a whole.
    path: String,
}

/// Stands for an image's name while only what is before it matters. Two parts, for one alone would be an official image
/// of Docker Hub.
const SOME_IMAGE: &str = "some/image";

impl FromStr for Root {
    type Err = ParseError;

    /// Reads `HOST[:PORT][/PATH]`, or a path of Docker Hub; slashes at the end do not matter.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim_end_matches('/');
        let named: Reference = format!("{text}/{SOME_IMAGE}").parse().map_err(
            // What was typed, not what was made of it.
            |error: ParseError| ParseError {
                text: match error.text.strip_suffix(&format!("/{SOME_IMAGE}")) {
                    Some(typed) => typed.to_owned(),
                    None => error.text,
                },
                reason: error.reason,
            },
        )?;
        let path = named.repository().strip_suffix(SOME_IMAGE);
        Ok(Self {
            text: text.to_owned(),
            host: named.host().to_owned(),
            path: path.unwrap_or_default().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Root {
    /// The registry's host, as references name it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What this is called here: `path` is without a slash at its beginning.
    ///
    /// # Errors
    /// [`ParseError`] for what is no name, or too long.
    pub fn image(&self, path: &str, tag: &str) -> Result<Reference, ParseError> {
        let separator = if self.path.is_empty() { "" } else { "/" };
        format!("{}/{}{separator}{path}:{tag}", self.host, self.path).parse()
    }

    /// What of a name stands behind this, if the name begins with it.
    fn rest<'r>(&self, reference: &'r Reference) -> Option<&'r str> {
        if reference.host() != self.host {
            return None;
        }
        let repository = reference.repository();
        match self.path.is_empty() {
            true => Some(repository),
            false => repository.strip_prefix(&self.path)?.strip_prefix('/'),
        }
    }
}

/// An image's names below the registry of whichever environment, the most telling first: what stands behind the longest
/// registry that is known; all of a name that names no registry. Of a name in a registry that no environment has, nobody
/// knows where the registry's part ends: then these are all that it may be, and the last part alone comes last.
///
/// # Spec
/// `path-to-production.md` §1.5: *keep sub-paths relative to any known environment repository, with the base-name rule
/// as fallback*.
pub(super) fn paths_of(text: &str, reference: &Reference, known: &[Root]) -> Vec<String> {
    let is_short = !names_its_registry(text, reference);
    let roots = known
        .iter()
        .filter(|root| !(is_short && root.path.is_empty()));
    let rests = roots.filter_map(|root| root.rest(reference));
    if let Some(rest) = rests.min_by_key(|rest| rest.len()) {
        return vec![rest.to_owned()];
    }
    if is_short {
        let name = text.split('@').next().unwrap_or_default();
        return vec![name.split(':').next().unwrap_or_default().to_owned()];
    }
    let parts: Vec<&str> = reference.repository().split('/').collect();
    (0..parts.len()).map(|cut| parts[cut..].join("/")).collect()
}

/// The surest of these names where nobody can be asked which of them there is: what stands behind a known registry, else
/// the last part.
pub fn path_of(text: &str, reference: &Reference, known: &[Root]) -> String {
    let mut paths = paths_of(text, reference, known);
    paths.pop().unwrap_or_default()
}

/// Whether a tag is written in a reference; a port of its registry is none.
pub(super) fn has_tag(text: &str) -> bool {
    let name = text.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.contains(':')
}

/// The same with a digest behind its tag.
pub(super) fn pinned(reference: &Reference, digest: &Digest) -> Result<Reference, super::Error> {
    let text = format!("{reference}@{digest}");
    text.parse()
        .map_err(|source| super::Error::Name { name: text, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Root {
        text.parse().unwrap()
    }

    #[test]
    fn a_registry_is_a_host_with_or_without_a_path() {
        for (text, image) in [
            ("ghcr.io/acme", "ghcr.io/acme/web:1"),
            ("ghcr.io/acme/", "ghcr.io/acme/web:1"),
            ("ghcr.io", "ghcr.io/web:1"),
            ("localhost:5001", "localhost:5001/web:1"),
            ("127.0.0.1:5001/a/b", "127.0.0.1:5001/a/b/web:1"),
            ("[::1]:5000/a", "[::1]:5000/a/web:1"),
            ("acme", "acme/web:1"),
            ("docker.io/acme", "acme/web:1"),
            ("index.docker.io/acme", "acme/web:1"),
        ] {
            assert_eq!(
                root(text).image("web", "1").unwrap().to_string(),
                image,
                "{text}"
            );
        }
        assert_eq!(root("ghcr.io/acme/").to_string(), "ghcr.io/acme");
    }

    #[test]
    fn a_port_is_no_tag() {
        for (text, expected) in [
            ("host:5611/dev/app", false),
            ("app", false),
            ("host:5611/dev/app@sha256:00", false),
            ("host:5611/dev/app:1", true),
            ("app:1@sha256:00", true),
        ] {
            assert_eq!(has_tag(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_registry_is_refused_as_it_was_typed() {
        for (text, shown) in [
            ("", "`` is not"),
            ("https://ghcr.io/acme", "`https://ghcr.io/acme` is not"),
            ("ghcr.io/Acme", "`ghcr.io/Acme` is not"),
            ("ghcr.io/acme:v1", "`ghcr.io/acme:v1` is not"),
            ("ghcr.io//acme", "`ghcr.io//acme` is not"),
        ] {
            let error = text.parse::<Root>().unwrap_err().to_string();
            assert!(error.starts_with(shown), "{error}");
        }
        let secret = "user:hunter2@ghcr.io/acme"
            .parse::<Root>()
            .unwrap_err()
            .to_string();
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn what_stands_behind_a_known_registry_is_the_same_everywhere() {
        let known = [
            "ghcr.io/acme",
            "ghcr.io/acme/team",
            "eu.example/proj/reg",
            "acme",
            "localhost:5001",
            "docker.io",
        ];
        let known = known.map(root);
        let last = |text: &str, known: &[Root]| {
            let paths = paths_of(text, &text.parse().unwrap(), known);
            (paths.len(), paths[paths.len() - 1].clone())
        };
        for (text, expected) in [
            ("ghcr.io/acme/my-app:v1", "my-app"),
            ("ghcr.io/acme/sub/my-app:v1", "sub/my-app"),
            // The longest counts.
            ("ghcr.io/acme/team/my-app:v1", "my-app"),
            ("eu.example/proj/reg/a/b:v1", "a/b"),
            ("localhost:5001/x/y:v1", "x/y"),
            // Names without a registry.
            ("app:abc-123", "app"),
            ("team/app:abc-123", "team/app"),
            ("acme/app:abc-123", "app"),
            ("docker.io/acme/app:1", "app"),
            ("docker.io/other/app:1", "other/app"),
        ] {
            assert_eq!(last(text, &known), (1, expected.to_owned()), "{text}");
        }
        for (text, expected) in [
            // No part of a name is cut in two.
            (
                "ghcr.io/acme-other/my-app:v1",
                &["acme-other/my-app", "my-app"][..],
            ),
            ("localhost:5002/x/y/z:v1", &["x/y/z", "y/z", "z"]),
            (
                "localhost:5002/z@sha256:0c67b3ed56ee2c2cfaffcb8e9d8ac0b3d9c8f5e55de2ab57bd4b43f1bb9f2f4c",
                &["z"],
            ),
        ] {
            assert_eq!(paths_of(text, &text.parse().unwrap(), &known), expected);
        }
    }
}
