//! What is known of an image once it is where it was to go.

use crate::digest::Digest;
use crate::image::Platform;
use crate::reference::{DEFAULT_TAG, Reference};
use crate::release::result::Entry;

/// An image that is in the store or in its registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the file of results calls it, without registry and tag: `team/web`.
    pub name: String,
    /// Its names, each with a tag and without a digest, in the order that the person gave them; one at least.
    pub references: Vec<Reference>,
    /// What a puller of these names gets: the manifest's digest, the index's for several platforms.
    pub digest: Digest,
    /// The media type of what the digest names.
    pub media_type: String,
    /// The size of what the digest names, in bytes.
    pub size_bytes: u64,
    /// The digest of the configuration; an index has none.
    pub config_digest: Option<Digest>,
    /// Its images, one for a manifest.
    pub platforms: Vec<PlatformImage>,
    /// What it was made on.
    pub base: Option<Base>,
    /// Whether it is in the registries that its names name; otherwise only in the store, or in an archive.
    pub is_pushed: bool,
}

/// The image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformImage {
    /// Which.
    pub platform: Platform,
    /// Its manifest's digest.
    pub digest: Digest,
}

/// The image that another was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Its reference as it was asked for.
    pub name: String,
    /// Its digest, where it is known.
    pub digest: Option<Digest>,
}

impl Facts {
    /// The name that tells most: the first whose tag is not `latest`, else the first.
    ///
    /// # Panics
    /// Without any name.
    pub fn reference(&self) -> &Reference {
        let mut telling = self.references.iter();
        let telling = telling.find(|reference| reference.tag() != Some(DEFAULT_TAG));
        telling.unwrap_or(&self.references[0])
    }

    /// The tag of that name.
    pub fn tag(&self) -> &str {
        self.reference().tag().unwrap_or(DEFAULT_TAG)
    }

    /// `NAME:TAG@DIGEST`, with that name.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.reference(), self.digest)
    }

    /// `NAME:TAG@DIGEST` for every name.
    pub(super) fn pinned_all(&self) -> Vec<String> {
        let references = self.references.iter();
        references
            .map(|reference| format!("{reference}@{}", self.digest))
            .collect()
    }

    /// `NAME@DIGEST` for every name, each once.
    pub(super) fn names_with_digest(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for reference in &self.references {
            let name = format!("{}@{}", reference.name(), self.digest);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What the file of results says of it: with the digest only when a registry has it.
    pub fn entry(&self) -> Entry {
        let tag = match self.is_pushed {
            true => self.pinned(),
            false => self.reference().to_string(),
        };
        Entry::new(&self.name, tag)
    }
}
