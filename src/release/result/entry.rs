//! One image of a file of results.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::Error;
use crate::reference::{DEFAULT_REGISTRY, Reference};

/// An image that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the project, without registry and tag: `team/web`. Files of the older op have none.
    pub image_name: Option<String>,
    /// Its reference as the file has it: `ghcr.io/acme/web:1.2@sha256:…` after a push, else `web:1.2`, or nothing but a
    /// tag.
    pub tag: String,
    /// What the file says beside the two (`runtimeType`), kept when it is written again.
    pub others: Map<String, Value>,
}

impl Entry {
    /// An image with this name and this reference.
    pub fn new(image_name: impl Into<String>, tag: impl Into<String>) -> Self {
        Self {
            image_name: Some(image_name.into()),
            tag: tag.into(),
            others: Map::new(),
        }
    }

    /// Reads a text or an object; `number` counts from 1.
    pub(super) fn from_json(value: Value, number: usize, path: &Path) -> Result<Self, Error> {
        let refuse = |reason| Error::Entry {
            number,
            path: path.to_owned(),
            reason,
        };
        let mut others = match value {
            Value::String(tag) if !tag.is_empty() => {
                return Ok(Self {
                    image_name: None,
                    tag,
                    others: Map::new(),
                });
            }
            Value::Object(entry) => entry,
            _ => return Err(refuse("it is neither a reference nor an object")),
        };
        let image_name = match others.remove("imageName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if name.is_empty() => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(refuse("its `imageName` is no text")),
        };
        // What Skaffold prints of a single build.
        let image_name = match (image_name, others.get("image")) {
            (None, Some(Value::String(name))) if !name.is_empty() => {
                let name = name.clone();
                others.remove("image");
                Some(name)
            }
            (image_name, _) => image_name,
        };
        let tag = match others.remove("tag") {
            Some(Value::String(tag)) if !tag.is_empty() => tag,
            Some(Value::String(_)) | Some(Value::Null) | None => {
                return Err(refuse("it has no `tag`"));
            }
            Some(_) => return Err(refuse("its `tag` is no text")),
        };
        Ok(Self {
            image_name,
            tag,
            others,
        })
    }

    /// What it is called: its `imageName`, else the last part of the path of its reference.
    pub fn name(&self) -> &str {
        match &self.image_name {
            Some(name) => name,
            None => {
                let path = self.tag.split('@').next().unwrap_or_default();
                let last = path.rsplit('/').next().unwrap_or_default();
                last.split(':').next().unwrap_or_default()
            }
        }
    }

    /// Its reference as text. Skaffold may write a tag alone: then `imageName` stands before it.
    pub fn text(&self) -> String {
        let is_tag_alone = !self.tag.contains([':', '/', '@']);
        match &self.image_name {
            Some(name) if is_tag_alone => format!("{name}:{}", self.tag),
            _ => self.tag.clone(),
        }
    }

    /// Its reference. A name without a registry is one of `repository` (`ghcr.io/acme`), where that is given; else
    /// Docker Hub's, as everywhere.
    ///
    /// # Errors
    /// [`Error::Reference`] for what is none.
    pub fn reference(&self, repository: Option<&str>) -> Result<Reference, Error> {
        let text = self.text();
        let parse = |text: &str| {
            text.parse::<Reference>()
                .map_err(|source| Error::Reference {
                    name: self.name().to_owned(),
                    source,
                })
        };
        let reference = parse(&text)?;
        match repository {
            Some(repository) if !names_its_registry(&text, &reference) => {
                parse(&format!("{}/{text}", repository.trim_end_matches('/')))
            }
            _ => Ok(reference),
        }
    }
}

/// False for a short form, which means Docker Hub only where nothing else is known.
pub(in crate::release) fn names_its_registry(text: &str, reference: &Reference) -> bool {
    let hub = ["docker.io/", "index.docker.io/"];
    reference.host() != DEFAULT_REGISTRY || hub.iter().any(|host| text.starts_with(host))
}

impl Serialize for Entry {
    /// Who reads the file strictly wants both keys, in this order.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("imageName", self.name())?;
        map.serialize_entry("tag", &self.tag)?;
        for (key, value) in &self.others {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The tag in a reference: `v1` of `ghcr.io/org/op:v1@sha256:…`. A text that is one word is a tag itself; a registry's
/// port is none, so `localhost:5001/app` has no tag.
///
/// # Spec
/// `path-to-production.md` §1.8, *tag extraction*.
pub fn tag_of(text: &str) -> Option<&str> {
    let name = text.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => Some(tag),
        Some(_) => None,
        None => (!name.contains('/')).then_some(name),
    }
    .filter(|tag| !tag.is_empty())
}

/// What stands behind the `@` of a reference, as `awk -F@ '{print $2}'` would cut it out.
pub fn digest_of(text: &str) -> Option<&str> {
    text.split('@').nth(1).filter(|digest| !digest.is_empty())
}
