//! What is asked of the resolver.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::python::{PackageName, Pinned, RemoteWheel, Target, Version};

/// A requirement, or a constraint, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// What is required.
    pub requirement: pep508_rs::Requirement,
    /// Where, for messages: `requirements.txt:3`.
    pub origin: String,
}

/// Everything that an answer depends on, beside the indexes.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What must be there. Those whose markers do not apply to the target are passed over.
    pub requirements: &'a [Required],
    /// What limits versions (or, with a URL, says where to take them) but requires nothing: pip's `--constraint`.
    pub constraints: &'a [Required],
    /// The interpreter, and what it has.
    pub target: &'a Target,
    /// Pre-releases may be taken of any package: pip's `--pre`.
    pub pre: bool,
    /// Which kinds of files may be taken.
    pub formats: &'a Formats,
    /// The previous answer: what it has is kept where it still satisfies.
    pub preferences: &'a BTreeMap<PackageName, Preference>,
    /// The files that may be taken, by SHA-256: pip's `--require-hashes`. Every package must then be listed.
    pub hashes: Option<&'a BTreeMap<PackageName, BTreeSet<Digest>>>,
}

/// Which kinds of files may be taken.
///
/// # Spec
/// pip's `--no-binary`, `--only-binary`, `--prefer-binary`. A package named in one of the first two is decided by that,
/// whatever `:all:` says in the other; `only_binary` is looked at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// Packages that must be built from source.
    pub no_binary: Names,
    /// Packages of which only wheels are taken.
    pub only_binary: Names,
    /// An older version with a wheel is better than a newer one without.
    pub prefer_binary: bool,
}

/// All packages, or some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// pip's `:all:`.
    pub all: bool,
    /// Packages by name.
    pub names: BTreeSet<PackageName>,
}

impl Formats {
    /// Whether wheels, and whether source distributions, of a package may be taken.
    pub fn allowed(&self, name: &PackageName) -> (bool, bool) {
        if self.only_binary.names.contains(name) {
            (true, false)
        } else if self.no_binary.names.contains(name) {
            (false, true)
        } else if self.only_binary.all {
            (true, false)
        } else {
            (!self.no_binary.all, true)
        }
    }
}

/// A version of a previous answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// The version.
    pub version: Version,
    /// The wheel that it was. With it the index is not asked for the package at all as long as the version satisfies;
    /// leave it out when the indexes are not those of the previous answer. That the version was yanked meanwhile is then
    /// not noticed.
    pub wheel: Option<RemoteWheel>,
}

impl From<&Pinned> for Preference {
    fn from(pinned: &Pinned) -> Self {
        Self {
            version: pinned.version.clone(),
            wheel: Some(pinned.wheel.clone()),
        }
    }
}
