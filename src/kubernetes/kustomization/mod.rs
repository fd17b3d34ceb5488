//! Kustomizations: the entry of `images` that gives an image its name, tag and digest, changed byte by byte.
//!
//! What an overlay says of an image counts more than what the manifests below it say, so there the image is changed in
//! the overlay.
//!
//! # Spec
//! Kustomize, *images*: an entry's `name` is the image as the manifests have it, without tag and digest; `newName`,
//! `newTag` and `digest` are put in the place of its parts.

mod list;
mod overlays;

#[cfg(test)]
#[path = "kustomization_tests.rs"]
mod tests;

use std::path::{Path, PathBuf};

pub use overlays::{Overlays, Pin, overlays};

use super::document::{Before, Change, Splice, beside, duplicate_key, gone, in_place_of, verify};
use super::manifest::{Edited, Error, Manifest, Marker, marker_behind};
use crate::event::printable;
use crate::reference::Reference;
use crate::yaml::Node;

/// What the file is called, in the order in which it is looked for.
pub const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// The group of Kustomize's own kind; Flux has a kind of the same name.
const GROUP: &str = "kustomize.config.k8s.io/";
/// The keys of an entry, in the order in which they are written.
const KEYS: [&str; 4] = ["name", "newName", "newTag", "digest"];

/// A kustomization, read and checked.
#[derive(Clone, Debug)]
pub struct Kustomization {
    manifest: Manifest,
    /// The value of its one document, a mapping.
    root: Node,
}

/// An image of a kustomization after it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The file.
    pub edited: Edited,
    /// The image as the entry gave it before, if there was one.
    pub before: Option<String>,
    /// The line of the entry, or of where it comes, from 1.
    pub line: usize,
    /// The marks of Flux beside its values.
    pub markers: Vec<Marker>,
}

/// A reference in the parts that an entry has, as they are written.
struct Parts<'r> {
    name: &'r str,
    tag: Option<&'r str>,
    digest: Option<&'r str>,
}

impl<'r> Parts<'r> {
    fn of(image: &'r str) -> Self {
        let (rest, digest) = match image.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (image, None),
        };
        let path = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[path..].split_once(':') {
            Some((name, tag)) => (&rest[..path + name.len()], Some(tag)),
            None => (rest, None),
        };
        Self { name, tag, digest }
    }
}

/// The name of an image as it is written, without tag and digest: what an entry's `name` is compared with.
pub fn name_of(image: &str) -> &str {
    Parts::of(image).name
}

impl Kustomization {
    /// Reads a file, or that of a directory.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NoKustomization`] for a directory without one, [`Error::NotKustomize`] for a file of
    /// another kind, and as [`Manifest::read`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = match path.is_dir() {
            true => Self::in_directory(path).ok_or_else(|| Error::NoKustomization {
                path: path.to_owned(),
            })?,
            false => path.to_owned(),
        };
        Self::of(Manifest::read(&file)?)
    }

    /// The file of a directory, if it has one.
    pub fn in_directory(directory: &Path) -> Option<PathBuf> {
        let mut files = NAMES.iter().map(|name| directory.join(name));
        files.find(|file| file.is_file())
    }

    /// What a file of manifests is when it is read as a kustomization.
    ///
    /// # Errors
    /// [`Error::NotKustomize`] and [`Error::DuplicateKey`].
    pub fn of(manifest: Manifest) -> Result<Self, Error> {
        let path = || manifest.path.clone();
        let refuse = |reason: String| Error::NotKustomize {
            path: path(),
            reason,
        };
        let documents = manifest.prints.len();
        if documents != 1 {
            return Err(refuse(format!("it has {documents} documents")));
        }
        let root = manifest.document(0).and_then(|document| document.root);
        let Some(root) = root.filter(|root| !root.entries().is_empty()) else {
            return Err(refuse("it is no mapping".to_owned()));
        };
        if let Some((key, first, second)) = duplicate_key(&root) {
            return Err(Error::DuplicateKey {
                path: path(),
                key,
                first,
                second,
            });
        }
        let text = |key: &str| root.get(key).and_then(Node::text).unwrap_or_default();
        if !text("apiVersion").is_empty() && !text("apiVersion").starts_with(GROUP) {
            return Err(refuse(format!(
                "its `apiVersion` is `{}`",
                printable(text("apiVersion"))
            )));
        }
        Ok(Self { manifest, root })
    }

    /// The resources that it takes, as they are written: files, directories, addresses.
    pub fn resources(&self) -> Vec<&str> {
        let lists = ["resources", "bases"]
            .into_iter()
            .filter_map(|key| self.root.get(key));
        lists.flat_map(Node::items).filter_map(Node::text).collect()
    }

    /// The components that it takes, as they are written.
    pub fn components(&self) -> Vec<&str> {
        let list = self.root.get("components");
        let items = list.map(Node::items).unwrap_or_default();
        items.iter().filter_map(Node::text).collect()
    }

    /// The names that it has entries for.
    pub fn images(&self) -> Vec<&str> {
        let entries = self.root.get("images").map(Node::items).unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| entry.get("name")?.text())
            .collect()
    }

    /// The names whose entries rename them to `name`.
    pub fn renamed_to(&self, name: &str) -> Vec<&str> {
        let entries = self.root.get("images").map(Node::items).unwrap_or_default();
        let renamed = entries
            .iter()
            .filter(|entry| entry.get("newName").and_then(Node::text) == Some(name));
        renamed
            .filter_map(|entry| entry.get("name")?.text())
            .collect()
    }

    /// What the image that it calls `name` is called by whoever takes this kustomization.
    pub fn name_after<'n>(&'n self, name: &'n str) -> &'n str {
        let entry = self.entry(name);
        let new = entry.and_then(|entry| entry.get("newName")?.text());
        new.unwrap_or(name)
    }

    /// As it would be with this text in its file.
    ///
    /// # Errors
    /// As [`Self::of`] and [`Manifest::new`].
    pub fn with_text(&self, text: &str) -> Result<Self, Error> {
        self.again(text.to_owned())
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.manifest.path
    }

    /// Sets the image that the manifests call `name`: of its entry only the values that differ change; without one, an
    /// entry is added.
    ///
    /// # Errors
    /// [`Error::Reference`], and [`Error::Unfit`], [`Error::Shared`], [`Error::Damage`] as for manifests.
    pub fn set(&self, name: &str, image: &str) -> Result<Set, Error> {
        let _: Reference = image.parse()?;
        let parts = Parts::of(image);
        let entry = self.entry(name);
        let before = entry.map(|entry| {
            let text = |key: &str| {
                entry
                    .get(key)
                    .filter(|node| !node.is_null())
                    .and_then(Node::text)
            };
            let part = |sign: &str, key: &str| {
                text(key)
                    .map(|text| format!("{sign}{text}"))
                    .unwrap_or_default()
            };
            format!(
                "{}{}{}",
                text("newName").unwrap_or(name),
                part(":", "newTag"),
                part("@", "digest")
            )
        });
        let markers = entry.map(|entry| {
            let values = entry
                .entries()
                .iter()
                .map(|(key, value)| value.span.end.max(key.span.end));
            values
                .filter_map(|end| marker_behind(&self.manifest.text, end))
                .collect()
        });
        let line = entry
            .or(self.root.get("images"))
            .map_or(1, |node| node.line);
        let after = match entry {
            None => self.with_entry(name, &parts)?,
            Some(_) => self.with_values(name, &parts)?,
        };
        Ok(Set {
            edited: Edited {
                path: self.manifest.path.clone(),
                before: self.manifest.text.clone(),
                after: after.manifest.text,
            },
            before,
            line,
            markers: markers.unwrap_or_default(),
        })
    }

    fn entry(&self, name: &str) -> Option<&Node> {
        let entries = self.root.get("images").map(Node::items).unwrap_or_default();
        entries
            .iter()
            .find(|entry| entry.get("name").and_then(Node::text) == Some(name))
    }

    /// With an entry whose values are right, changed one after another.
    fn with_values(&self, name: &str, parts: &Parts<'_>) -> Result<Self, Error> {
        let mut now = self.clone();
        let has_new_name = self
            .entry(name)
            .is_some_and(|entry| entry.get("newName").is_some());
        let new_name = (has_new_name || parts.name != name).then_some(parts.name);
        for (key, value) in [
            ("newName", new_name),
            ("newTag", parts.tag),
            ("digest", parts.digest),
        ] {
            now = now.with_value(name, key, value)?;
        }
        Ok(now)
    }

    fn with_value(&self, name: &str, key: &str, value: Option<&str>) -> Result<Self, Error> {
        let text = &self.manifest.text;
        let Some(entry) = self.entry(name) else {
            return Err(self.damage(1));
        };
        let standing = entry
            .entries()
            .iter()
            .find(|(name, _)| name.text() == Some(key));
        let (splice, change) = match (standing, value) {
            (None, None) => return Ok(self.clone()),
            (Some((_, old)), Some(new)) if old.text() == Some(new) && !old.is_null() => {
                return Ok(self.clone());
            }
            (Some((name, old)), Some(new)) => {
                if old.anchor.is_some() {
                    let uses = vec![old.line];
                    return Err(Error::Shared {
                        path: self.manifest.path.clone(),
                        line: old.line,
                        uses,
                    });
                }
                (in_place_of(text, name, old, new), Change::Value(new))
            }
            (Some(entry), None) => (gone(text, (&entry.0, &entry.1)), Change::Gone(key)),
            (None, Some(new)) => {
                // Behind the last of the keys that come before it.
                let place = KEYS.iter().position(|known| *known == key);
                let earlier = KEYS[..place.unwrap_or_default()].iter().rev();
                let mut siblings = earlier.filter_map(|known| {
                    let mut entries = entry.entries().iter();
                    entries.find(|(name, _)| name.text() == Some(known))
                });
                let Some((name, old)) = siblings.next() else {
                    return Err(self.damage(entry.line));
                };
                (
                    beside(text, entry, (name, old), key, new),
                    Change::Entry(key, new),
                )
            }
        };
        let splice = splice
            .map_err(|refusal| Error::unfit(&self.manifest.path, "entry of `images`", refusal))?;
        let before = Before {
            text,
            prints: &self.manifest.prints,
            number: 0,
            root: &self.root,
        };
        let after = verify(before, &splice, change, |_, _| true);
        self.again(after.ok_or_else(|| self.damage(entry.line))?)
    }

    /// With one entry more at the end of the list.
    fn with_entry(&self, name: &str, parts: &Parts<'_>) -> Result<Self, Error> {
        let new_name = (parts.name != name).then_some(parts.name);
        let values = [Some(name), new_name, parts.tag, parts.digest];
        let entry: Vec<(&str, &str)> = KEYS
            .into_iter()
            .zip(values)
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let root = &self.root;
        let splice: Splice = list::append(&self.manifest.text, root, &entry)
            .map_err(|refusal| Error::unfit(&self.manifest.path, "kustomization", refusal))?;
        let after = list::verify(&self.manifest.text, root, &splice, &entry);
        self.again(after.ok_or_else(|| self.damage(root.line))?)
    }

    fn again(&self, text: String) -> Result<Self, Error> {
        Self::of(Manifest::new(&self.manifest.path, text)?)
    }

    fn damage(&self, line: usize) -> Error {
        Error::Damage {
            path: self.manifest.path.clone(),
            line,
        }
    }
}
