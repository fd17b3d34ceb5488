//! What the search is about: nodes, and what they want of each other.

use std::fmt;

use pep508_rs::VersionOrUrl;

use crate::python::{ExtraName, PackageName};

use super::direct::shown;
use super::range::{Set, is_equal, is_pin, mentions_prerelease, set_of};

/// What versions are chosen for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Node {
    /// The application: it depends on the requirements.
    Root,
    /// A package.
    Package(PackageName),
    /// What an extra of a package adds, at the package's version.
    Extra(PackageName, ExtraName),
}

impl Node {
    pub(super) fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Root => None,
            Self::Package(name) | Self::Extra(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the application"),
            Self::Package(name) => write!(f, "{name}"),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}

/// One dependency as it was read, for messages and for what must be looked at again in the end.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) name: PackageName,
    pub(super) extras: Vec<ExtraName>,
    pub(super) set: Set,
    /// ``requirements.txt:3 wants `flask<2` `` for the application's, ``flask<2`` for a package's.
    pub(super) text: String,
    pub(super) permits_prereleases: bool,
    pub(super) is_pin: bool,
    /// It says `==`, also with a wildcard.
    pub(super) is_equal: bool,
}

/// A requirement as the search sees it.
pub(super) fn want(requirement: &pep508_rs::Requirement) -> Want {
    let specifiers = match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => Some(specifiers),
        Some(VersionOrUrl::Url(_)) | None => None,
    };
    Want {
        name: requirement.name.clone(),
        extras: requirement.extras.clone(),
        set: specifiers.map_or_else(Set::full, set_of),
        text: shown(requirement),
        permits_prereleases: specifiers.is_some_and(mentions_prerelease),
        is_pin: specifiers.is_some_and(is_pin),
        is_equal: specifiers.is_some_and(is_equal),
    }
}
