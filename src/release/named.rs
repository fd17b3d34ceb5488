//! What texts say of images: manifests, kustomizations, values of charts, objects of clusters.
//!
//! The texts are not understood, only looked through for certain digests, names and tags, so that templates and what is no
//! YAML count too. In doubt an image counts as named. Registries have several names (for who pushes, for nodes, for
//! mirrors), so of a name only what stands behind the host is compared.
//!
//! Source: specification *The path to production*, §2.6 (“never a digest that another record or a running workload uses”).

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::reference::{DEFAULT_TAG, Reference};

/// What stands before the hexadecimal digits of a digest, and how many there are.
const ALGORITHMS: [(&str, usize); 2] = [("sha256:", 64), ("sha512:", 128)];

/// Which of certain images texts name, and where.
#[derive(Clone, Debug, Default)]
pub struct Named {
    digests: BTreeSet<String>,
    /// Repositories without their registry, and the tags that are looked for.
    repositories: BTreeMap<String, BTreeSet<String>>,
    tags: BTreeSet<String>,
    found_digests: BTreeMap<String, String>,
    found_names: BTreeMap<(String, String), String>,
    /// Repositories and tags that stand alone, as in kustomizations and in values of charts.
    found_repositories: BTreeMap<String, String>,
    found_tags: BTreeSet<String>,
}

impl Named {
    /// Looks for a digest from now on.
    pub fn look_for(&mut self, digest: &Digest) {
        self.digests.insert(digest.to_string());
    }

    /// Looks for a name and its tag from now on; without a tag for `latest`, with a digest for that.
    pub fn look_for_name(&mut self, name: &Reference) {
        if let Some(digest) = name.digest() {
            return self.look_for(digest);
        }
        let (repository, tag) = parts(name);
        self.tags.insert(tag.clone());
        self.repositories.entry(repository).or_default().insert(tag);
    }

    /// Looks through a text; `place` is what people call it.
    pub fn read(&mut self, text: &str, place: &str) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        for token in text.split(|c: char| !is_part(c)) {
            self.read_token(token, place);
        }
    }

    fn read_token(&mut self, token: &str, place: &str) {
        let mut has_digest = false;
        for digest in digests_in(token) {
            has_digest = true;
            if self.digests.contains(&digest) {
                let places = &mut self.found_digests;
                places.entry(digest).or_insert_with(|| place.to_owned());
            }
        }
        // Where there is a digest, nobody looks at the tag.
        let name = token.split('@').next().unwrap_or_default();
        if has_digest || name.is_empty() {
            return;
        }
        if self.tags.contains(name) {
            self.found_tags.insert(name.to_owned());
        }
        let path = without_host(name);
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (path, None),
        };
        let Some(tags) = self.repositories.get(repository) else {
            return;
        };
        match tag.filter(|tag| !tag.is_empty()) {
            Some(tag) if tags.contains(tag) => {
                let name = (repository.to_owned(), tag.to_owned());
                let places = &mut self.found_names;
                places.entry(name).or_insert_with(|| place.to_owned());
            }
            Some(_) => {}
            None => {
                let places = &mut self.found_repositories;
                let place = || place.to_owned();
                places.entry(repository.to_owned()).or_insert_with(place);
            }
        }
    }

    /// Where the digest stands.
    pub fn place_of(&self, digest: &Digest) -> Option<&str> {
        let place = self.found_digests.get(&digest.to_string());
        place.map(String::as_str)
    }

    /// Where the name stands with its tag, in one piece or in two; without a tag it means `latest`.
    pub fn place_of_name(&self, name: &Reference) -> Option<&str> {
        let (repository, tag) = parts(name);
        let alone = self.found_repositories.get(&repository);
        let is_tag = tag == DEFAULT_TAG || self.found_tags.contains(&tag);
        let whole = self.found_names.get(&(repository, tag));
        whole.or(alone.filter(|_| is_tag)).map(String::as_str)
    }
}

/// The digests in a text, in lower case.
pub fn digests_in(text: &str) -> impl Iterator<Item = String> {
    ALGORITHMS.into_iter().flat_map(move |(algorithm, digits)| {
        text.match_indices(algorithm).filter_map(move |(start, _)| {
            let hex = start + algorithm.len();
            let hex = text.get(hex..hex + digits)?;
            let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| format!("{algorithm}{}", hex.to_ascii_lowercase()))
        })
    })
}

/// The repository behind the host, and the tag.
fn parts(name: &Reference) -> (String, String) {
    let repository = name.repository();
    let repository = repository.strip_prefix("library/").unwrap_or(repository);
    let tag = name.tag().unwrap_or(DEFAULT_TAG);
    (repository.to_owned(), tag.to_owned())
}

/// The path and the tag of a name as it is written.
fn without_host(name: &str) -> &str {
    let path = match name.split_once('/') {
        Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => path,
        _ => name,
    };
    path.strip_prefix("library/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn named(looked_for: &str, text: &str) -> bool {
        let mut named = Named::default();
        named.look_for_name(&image(looked_for));
        named.read(text, "web.yaml");
        let place = named.place_of_name(&image(looked_for));
        assert!(place.is_none_or(|place| place == "web.yaml"));
        place.is_some()
    }

    #[test]
    fn names_are_found_with_their_tag_whole_or_in_two_pieces() {
        let dev = "127.0.0.1:5611/dev/web:v1";
        for text in [
            "image: 127.0.0.1:5611/dev/web:v1",
            "        image: \"127.0.0.1:5611/dev/web:v1\"   # ours\n",
            "- {image: 'reg:5000/dev/web:v1'}",
            "{\"image\":\"mirror.example/dev/web:v1\"}",
            "images:\n- name: web\n  newName: 127.0.0.1:5611/dev/web\n  newTag: \"v1\"\n",
            "image:\n  registry: 127.0.0.1:5611\n  repository: dev/web\n  tag: v1\n",
            "{{ if .x }}\nimage: dev/web:v1\n",
        ] {
            assert!(named(dev, text), "{text}");
        }
        for text in [
            "image: 127.0.0.1:5611/dev/web:v10",
            "image: 127.0.0.1:5611/dev/web:v",
            "image: 127.0.0.1:5611/prod/web:v1",
            "image: 127.0.0.1:5611/dev/web-api:v1",
            "image: 127.0.0.1:5611/dev/web",
            "name: v1",
            "",
        ] {
            assert!(!named(dev, text), "{text}");
        }
        // A digest counts, not the tag before it.
        let pinned = format!("image: 127.0.0.1:5611/dev/web:v1@{}", Digest::of(b"x"));
        assert!(!named(dev, &pinned));
        assert!(named("ghcr.io/acme/web", "image: ghcr.io/acme/web\n"));
        assert!(named(
            "ghcr.io/acme/web:latest",
            "image: ghcr.io/acme/web\n"
        ));
        assert!(named("acme/web:1", "image: docker.io/acme/web:1\n"));
        assert!(named("redis:7", "image: redis:7\n"));
        assert!(named("redis:7", "image: docker.io/library/redis:7\n"));
    }

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let mut named = Named::default();
        named.look_for(&one);
        named.look_for(&other);
        named.read("digest: \"sha256:1234\"", "broken.yaml");
        named.read(
            &format!("x@{one}, {}", one.to_string()[7..].to_uppercase()),
            "a.yaml",
        );
        named.read(&format!("docker-pullable://h/x@{one}"), "b.yaml");
        assert_eq!(named.place_of(&one), Some("a.yaml"));
        assert_eq!(named.place_of(&other), None);
        let upper = other.to_string()[7..].to_uppercase();
        named.read(&format!("digest: sha256:{upper}"), "c.yaml");
        assert_eq!(named.place_of(&other), Some("c.yaml"));
    }
}
