//! A Debian archive, read without Debian: from a mirror's URL to parsed packages and open `.deb` files.
//!
//! The chain of trust has no gap, and nothing from the archive is ever executed:
//!
//! ```text
//!  keys (shipped) ──▶ InRelease ──▶ Packages.xz ──▶ .deb ──▶ control.tar, data.tar
//!          signature        SHA-256          SHA-256     bounded, checked names
//! ```
//!
//! [`mirror`] moves bytes and believes none that do not match the digest it was given; [`signature`]
//! checks who signed, [`release`] yields the digests of the indexes; [`packages`] parses an index; [`closure`] finds what a set of
//! packages needs, with [`relation`] and [`version`] for the grammar; [`distribution`] strings these together;
//! [`archive`] opens a `.deb`; [`status`] writes what dpkg would have recorded had dpkg installed it, and
//! [`ld_cache`] what `ldconfig` would have. Turning the members of a `.deb` into layers is not this module's work.
//!
//! Invariants: the result depends only on the bytes of the indexes and on what was asked for, never on the order in
//! which downloads end; no clock is read (`now` is given); memory stays bounded whatever a file claims.

use std::path::PathBuf;

use crate::digest::Digest;

mod apt_config;
pub mod archive;
pub mod closure;
pub mod distribution;
pub mod ld_cache;
pub mod mirror;
pub mod packages;
mod partial;
pub mod relation;
pub mod release;
pub mod signature;
mod sources;
pub mod status;
pub mod version;

pub use apt_config::apt_proxies;

/// Why packages could not be had from a Debian archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file of the download cache, or a `.deb`, could not be read or written.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// No answer came from the mirror, or it broke off every time.
    #[error("GET {url} failed: {reason}")]
    Unreachable {
        /// The URL without user name, password and query.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// The mirror answered, but not with the file.
    #[error("GET {url} answered {status}")]
    Status {
        /// The URL without user name, password and query.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// More redirects than a sane mirror needs, or one to no HTTP URL.
    #[error("GET {url} was redirected too often or to something that is no HTTP URL")]
    Redirect {
        /// The URL that was asked first, without user name, password and query.
        url: String,
    },
    /// A document is larger than such a document ever is, or a file larger than was promised.
    #[error("GET {url} answered with more than {limit_bytes} bytes")]
    TooLarge {
        /// The URL without user name, password and query.
        url: String,
        /// How many bytes were allowed.
        limit_bytes: u64,
    },
    /// A file has the right size and the wrong content, twice.
    #[error(
        "GET {url} answered with bytes of digest `{found}`, not `{expected}` as the signed index says"
    )]
    Mismatch {
        /// The URL without user name, password and query.
        url: String,
        /// The digest in the index.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The keys we were given are no OpenPGP keys.
    #[error("the archive keys cannot be read: {reason}")]
    Keys {
        /// What the OpenPGP parser said.
        reason: String,
    },
    /// An `InRelease` file is not a clear-signed document, or has text outside the signed part.
    #[error("the `InRelease` of `{suite}` is not a clear-signed document: {reason}")]
    NotSigned {
        /// The suite that was asked for.
        suite: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No signature on an `InRelease` file holds.
    #[error("no signature on the `InRelease` of `{suite}` can be trusted: {reason}")]
    Untrusted {
        /// The suite that was asked for.
        suite: String,
        /// One clause for each signature.
        reason: String,
    },
    /// A signed `InRelease` file is for another suite.
    #[error("the mirror answered with suite `{found}` where `{suite}` was asked for")]
    WrongSuite {
        /// The suite that was asked for.
        suite: String,
        /// Codename and suite of what came.
        found: String,
    },
    /// A signed `InRelease` file is too old: someone may be keeping updates back.
    #[error("the `InRelease` of `{suite}` was valid until {until}")]
    Expired {
        /// The suite that was asked for.
        suite: String,
        /// The date as the file has it.
        until: String,
    },
    /// A signed `InRelease` file lacks something.
    #[error("the `InRelease` of `{suite}` has no usable `{field}`")]
    Release {
        /// The suite that was asked for.
        suite: String,
        /// The field or the index that is missing or malformed.
        field: String,
    },
    /// A package index is malformed.
    #[error("the package index `{index}` is malformed: {reason}")]
    Index {
        /// Suite and path of the index.
        index: String,
        /// What is wrong, with the package's name where there is one.
        reason: String,
    },
    /// A package that a recipe names does not exist in the indexes.
    #[error("no index has a package `{package}`")]
    UnknownPackage {
        /// The package's name.
        package: String,
    },
    /// A dependency cannot be had.
    #[error("`{relation}` cannot be had, which is needed by {}", chain.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", needed by "))]
    Unsatisfied {
        /// The dependency as the package has it, alternatives included.
        relation: String,
        /// Who needs it: the package itself, then who needs that one, up to a root.
        chain: Vec<String>,
    },
    /// Two packages of the closure exclude each other.
    #[error("`{package}` and `{other}` exclude each other (`{relation}`)")]
    Conflict {
        /// The package with the `Conflicts` or `Breaks` field.
        package: String,
        /// The package it excludes.
        other: String,
        /// The relation as the package has it.
        relation: String,
    },
    /// A `.deb` file is malformed or asks for more than is sane.
    #[error("the package file `{}` is malformed: {reason}", path.display())]
    Deb {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the member's name where there is one.
        reason: String,
    },
}

impl Error {
    /// True when the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_full())
    }

    /// What a person can do about it, best first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        let hints: &[&str] = match self {
            Self::File(error) if error.is_full() => {
                &["free some space, or point `--store` at another disk"]
            }
            Self::Unreachable { .. } => &[
                "check that this machine reaches the mirror; proxies are taken from `http_proxy` and `https_proxy`",
                "use an image from a registry instead: `--build-image REGISTRY/IMAGE`",
            ],
            Self::Status {
                status: 403 | 407, ..
            } => &["check whether a proxy stands in the way"],
            Self::Status { .. } | Self::Redirect { .. } => {
                &["choose another mirror: this one lacks the file"]
            }
            Self::TooLarge { .. } | Self::Mismatch { .. } => &[
                "try again later: the mirror may be in the middle of an update",
                "choose another mirror, or check whether a proxy changes what it passes on",
            ],
            Self::NotSigned { .. } => &["check whether a proxy answers with a page of its own"],
            Self::Untrusted { .. } | Self::WrongSuite { .. } => &[
                "choose another mirror: this one does not serve Debian's own archive for the suite",
            ],
            Self::Expired { .. } => &[
                "check this machine's clock",
                "choose another mirror: this one is out of date",
            ],
            Self::UnknownPackage { .. } => &["correct the package's name in the recipe"],
            Self::Unsatisfied { .. } => {
                &["try again later: the mirror may be in the middle of an update"]
            }
            Self::Conflict { .. } => &["remove one of the two from the recipe's packages"],
            Self::Deb { .. } => &["remove the file and try again"],
            Self::Interrupted
            | Self::File(_)
            | Self::Keys { .. }
            | Self::Release { .. }
            | Self::Index { .. } => &[],
        };
        hints.iter().map(|&hint| hint.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsatisfied_dependency_names_everyone_who_needs_it() {
        let error = Error::Unsatisfied {
            relation: "libzork1 (>= 2)".into(),
            chain: vec!["zork".into(), "adventure".into()],
        };
        let expected =
            "`libzork1 (>= 2)` cannot be had, which is needed by `zork`, needed by `adventure`";
        assert_eq!(error.to_string(), expected);
        assert!(!error.hints().is_empty());
    }
}
