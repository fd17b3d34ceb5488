//! Why an image is not promoted.

use crate::digest::Digest;
use crate::reference::ParseError;
use crate::release::result;
use crate::{registry, store};

/// A tag that stands for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The image that is promoted.
    pub name: String,
    /// The tag, as a reference.
    pub tag: String,
    /// What it stands for, where that can be read.
    pub found: Option<Digest>,
    /// What it was to stand for.
    pub wanted: Digest,
}

/// What is wrong with a promotion.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to go.
    #[error("source and destination are the same, `{registry}`")]
    SamePlace {
        /// The registry.
        registry: String,
    },
    /// A result without a tag has no name at the destination.
    #[error(
        "`{name}` cannot be promoted: its result `{text}` has no tag, and nobody finds what has none"
    )]
    NoTag {
        /// What the results call it.
        name: String,
        /// Its reference.
        text: String,
    },
    /// A name that a registry cannot have.
    #[error("`{name}` cannot be promoted: it would have no name")]
    Name {
        /// What the results call it.
        name: String,
        /// What is wrong with the name.
        source: ParseError,
    },
    /// The source environment's registry does not have the image.
    #[error(
        "`{registry}` does not have `{name}`, which was to be promoted from there: `{reference}`"
    )]
    Gone {
        /// What the results call it.
        name: String,
        /// What was asked for.
        reference: String,
        /// Where.
        registry: String,
        /// What the registry says.
        source: registry::Error,
    },
    /// Two images that would be one.
    #[error("`{}` and `{}` would both be `{destination}`, and are not the same", names[0], names[1])]
    Clash {
        /// What the results call them.
        names: [String; 2],
        /// Where both would go.
        destination: String,
    },
    /// Tags that stand for something else.
    #[error("{}; no tag was moved", told(conflicts))]
    Conflicts {
        /// All of them.
        conflicts: Vec<Conflict>,
    },
    /// The registry says that it took the tag, and shows something else under it.
    #[error("`{tag}` was set to {wanted}, and stands for {} when it is read back", other(found.as_ref()))]
    ReadBack {
        /// The tag, as a reference.
        tag: String,
        /// What was sent.
        wanted: Digest,
        /// What is there, where that can be read.
        found: Option<Digest>,
    },
    /// A result cannot be used.
    #[error(transparent)]
    Result(#[from] result::Error),
    /// A registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// There is no place for what is on its way.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn other(found: Option<&Digest>) -> String {
    match found {
        Some(digest) => digest.to_string(),
        None => "something else".to_owned(),
    }
}

fn told(conflicts: &[Conflict]) -> String {
    let told = conflicts.iter().map(|conflict| {
        let Conflict { tag, wanted, .. } = conflict;
        let found = other(conflict.found.as_ref());
        format!("`{tag}` stands for {found} already, not for {wanted}")
    });
    told.collect::<Vec<_>>().join("; ")
}

impl Error {
    /// What a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::SamePlace { .. } => "name two environments whose registries differ",
            Self::NoTag { .. } => "write the file of results with tags: `NAME:TAG@sha256:…`",
            Self::Name { .. } => {
                "look at the registry of the environment, and at the name in the file of results"
            }
            Self::Gone { .. } => {
                "promote it to the source environment first, or build and push it again; `overcoat tags` lists what there is"
            }
            Self::Clash { .. } => {
                "choose one with `--image-name`, or tell the registries of all environments, so that names keep their paths"
            }
            Self::Conflicts { .. } => {
                "give the new image a tag of its own; `--force` moves the tag, and who runs the old one is not told"
            }
            Self::ReadBack { .. } => {
                "somebody else may have moved it at the same time; promote again"
            }
            Self::Result(error) => return error.hints(),
            Self::Registry(error) => return error.hints(),
            Self::Store(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
