//! Is this the image that is wanted? References are compared part by part, digests by value; texts never.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::reference::Reference;

/// The image that should run.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Its names: the same image may be promoted into another registry, or be called otherwise inside the cluster.
    pub references: Vec<Reference>,
    /// The digests that are this image: of the index and of the manifest of each platform.
    pub digests: BTreeSet<Digest>,
    /// The digests of its configurations (image ids). Runtimes name an image that was loaded from an archive so.
    pub configs: BTreeSet<Digest>,
}

/// What a pod template's image says of the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It is another one.
    Other,
    /// It is named by a tag, which is the wanted one. What the tag stood for when it was pulled, only the pod knows.
    ByTag,
    /// It is pinned to a wanted digest: nothing else can run.
    ByDigest,
    /// It is of the right repository with a tag, while only a digest is wanted: only the pods can tell.
    Perhaps,
}

/// What a pod's `imageID` says of the wanted image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// It is it.
    Wanted,
    /// It is another one.
    Other(Digest),
    /// It cannot be told: no digest is known on one side, or they are of different kinds.
    Unknown,
}

impl Image {
    /// What `reference` names, with its digest if it has one.
    pub fn new(reference: Reference) -> Self {
        Self {
            digests: reference.digest().cloned().into_iter().collect(),
            references: vec![reference],
            configs: BTreeSet::new(),
        }
    }

    /// Its first name, for messages.
    pub fn shown(&self) -> String {
        let first = self.references.first();
        first.map_or_else(
            || {
                self.digests
                    .iter()
                    .map(Digest::to_string)
                    .next()
                    .unwrap_or_default()
            },
            Reference::to_string,
        )
    }

    /// True when the image called `text` is of the same repository, whatever its tag.
    pub(super) fn is_of_repository(&self, text: &str) -> bool {
        let Ok(other) = text.parse::<Reference>() else {
            return false;
        };
        self.references.iter().any(|one| same_name(one, &other))
    }

    /// Compares with the image of a container in a pod template.
    ///
    /// Two digests decide alone, whatever the names are: the bytes are the identity. Without them, registry,
    /// repository and tag must be equal, each as a whole.
    pub(super) fn named_by(&self, text: &str) -> Named {
        let Ok(other) = text.parse::<Reference>() else {
            return Named::Other;
        };
        if let Some(digest) = other.digest()
            && !self.digests.is_empty()
        {
            return match self.digests.contains(digest) {
                true => Named::ByDigest,
                false => Named::Other,
            };
        }
        let mut named = Named::Other;
        for one in self.references.iter().filter(|one| same_name(one, &other)) {
            match (one.tag(), other.tag()) {
                (Some(a), Some(b)) if a == b => return Named::ByTag,
                (None, Some(_)) => named = Named::Perhaps,
                _ => {}
            }
        }
        named
    }

    /// Compares with a `status.containerStatuses[].imageID`: `docker-pullable://REPOSITORY@DIGEST`,
    /// `REPOSITORY@DIGEST`, or the digest of the configuration alone (`docker://sha256:…`, `sha256:…`).
    pub(super) fn run_as(&self, image_id: &str) -> Running {
        let id = image_id.split_once("://").map_or(image_id, |(_, id)| id);
        let (known, digest) = match id.rsplit_once('@') {
            Some((_, digest)) => (&self.digests, digest),
            None => (&self.configs, id),
        };
        let Ok(digest) = digest.parse::<Digest>() else {
            return Running::Unknown;
        };
        // A runtime that stores by manifest and has no name for an image gives its manifest's digest alone.
        match self.digests.contains(&digest) || self.configs.contains(&digest) {
            true => Running::Wanted,
            false if known.is_empty() => Running::Unknown,
            false => Running::Other(digest),
        }
    }
}

fn same_name(one: &Reference, other: &Reference) -> bool {
    one.host() == other.host() && one.repository() == other.repository()
}
