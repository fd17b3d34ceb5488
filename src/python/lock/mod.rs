//! `pylock.toml`: which files to install, decided once.
//!
//! # Spec
//! packaging.python.org, *`pylock.toml` specification* (PEP 751), lock version 1.0.

mod choose;
mod marker;
mod read;
mod write;

pub use choose::{Chosen, Selection, Unusable, UnusableReason};
pub use marker::LockMarker;
pub use read::read;
pub use write::{NewLock, write};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName};

use super::WheelName;
use super::file_hash::FileHash;

/// The largest lock that is read, in bytes.
pub const MAX_BYTES: u64 = 32 << 20;

/// A lock, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The interpreters that it is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// Environments that it is for; empty means any.
    pub environments: Vec<LockMarker>,
    /// Extras that may be asked for.
    pub extras: Vec<ExtraName>,
    /// Dependency groups that may be asked for; their names have the form of extras'.
    pub dependency_groups: Vec<ExtraName>,
    /// The groups that are taken when none is asked for.
    pub default_groups: Vec<ExtraName>,
    /// Who wrote it.
    pub created_by: String,
    /// What was required when overcoat wrote it (`tool.overcoat.requirements`), a requirement each; `None` in locks of
    /// other tools.
    pub requirements: Option<Vec<String>>,
    /// The packages, in the order of the file.
    pub packages: Vec<LockedPackage>,
}

/// A package of a lock. The same name may occur several times with markers that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// Its normalised name.
    pub name: PackageName,
    /// Its version; some sources have none.
    pub version: Option<Version>,
    /// When it is to be installed; `None` is always.
    pub marker: Option<LockMarker>,
    /// The interpreters that it is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// Where it comes from.
    pub source: LockedSource,
    /// True when a requirement names it: `tool.overcoat.requested`; in locks of other tools, always.
    pub is_requested: bool,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockedSource {
    /// Files of an index or directory.
    Files {
        /// Its wheels, in the order of the file.
        wheels: Vec<LockedWheel>,
        /// True when there is a source distribution, too.
        has_sdist: bool,
    },
    /// A version control system.
    Vcs,
    /// A directory.
    Directory,
    /// A source archive, or a wheel by its URL.
    Archive,
}

/// A wheel of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedWheel {
    /// What its file name says.
    pub name: WheelName,
    /// Where it is.
    pub location: LockedLocation,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its hashes, the weak ones left out; at least one.
    pub hashes: Vec<FileHash>,
}

/// Where a file of a lock is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockedLocation {
    /// An `https:` or `http:` URL. It may hold a password.
    Url(String),
    /// A path, relative to the lock unless it begins with `/`.
    Path(String),
}

/// Why a lock cannot be read, used or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no lock file, or says something that none may say.
    #[error("`{file}`: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with the line or the package.
        reason: String,
    },
    /// It is of a version that we do not know.
    #[error("`{file}` has the lock version `{version}`, and only 1.x can be read")]
    Version {
        /// The file.
        file: String,
        /// The version that it has.
        version: String,
    },
    /// It is for other interpreters.
    #[error("{what} requires Python {required}, and the builder image has {found}")]
    Python {
        /// The lock, or the package of it.
        what: String,
        /// The specifiers.
        required: VersionSpecifiers,
        /// The builder's version.
        found: Version,
    },
    /// It is for other environments.
    #[error("the lock is for other environments than that of the builder image (`environments`)")]
    Environment,
    /// Something was asked for that it does not have.
    #[error("the lock has no {kind} `{name}`")]
    Unknown {
        /// `extra` or `dependency group`.
        kind: &'static str,
        /// What was asked for.
        name: ExtraName,
    },
    /// Two entries of one package hold for the same environment.
    #[error("the lock has `{name}` twice for this environment")]
    Ambiguous {
        /// The package.
        name: PackageName,
    },
    /// An answer that has no hash cannot be locked.
    #[error("`{wheel}` has no SHA-256, so it cannot be locked: {url} gives none")]
    NoHash {
        /// The file's name.
        wheel: String,
        /// Where it is, without password.
        url: String,
    },
}

impl Error {
    /// What a person can do about it, best first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Malformed { .. } | Self::Ambiguous { .. } => {
                "write the lock again with the tool that made it, or with `overcoat lock`"
            }
            Self::Version { .. } => "write it with lock version 1.0",
            Self::Python { .. } | Self::Environment => {
                "choose a builder image that it is for, or lock for this one: `overcoat lock`"
            }
            Self::Unknown { .. } => {
                "`extras` and `dependency-groups` of the lock list what there is"
            }
            Self::NoHash { .. } => "use an index that has hashes",
        };
        vec![hint.to_owned()]
    }
}

#[cfg(test)]
mod tests;
