//! The packages of an application: what its files ask for, which versions that is, and the layers that hold them.
//! Nothing here is executed, but for wheels that have to be built (`workshop`).

pub mod groups;
mod layers;
mod locking;
mod pip;
mod placed;
mod versions;
mod wanted;

pub use layers::WHEELS;
pub(super) use layers::{add_layout, make, names};
pub(super) use locking::lock;
pub use locking::{FILE as LOCK_FILE, NewLockText};
pub(super) use pip::{PipSettings, without_credentials};
pub(super) use placed::parts as parts_of_places;
pub use versions::How;
pub(super) use versions::{Solved, Solver, solve};
pub use wanted::Wanted;

use crate::python::{PackageName, Version, index, lock, requirements, resolve, wheel};

/// Why packages cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `requirements.txt`, or a file that it names, cannot be understood.
    #[error(transparent)]
    Requirements(#[from] requirements::Error),
    /// `pylock.toml` cannot be understood, or is for something else.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A lock lists packages that cannot be installed here.
    #[error("`{file}` cannot be installed: {}", what.join("; "))]
    LockUnusable {
        /// The lock.
        file: &'static str,
        /// Which packages, and why.
        what: Vec<String>,
    },
    /// `--locked`, and nothing pins every version.
    #[error("`--locked` takes versions from a lock, and {reason}")]
    NotLocked {
        /// What there is instead.
        reason: String,
    },
    /// `overcoat lock`, and nothing is required.
    #[error("there is no `requirements.txt` whose versions could be locked")]
    NothingToLock,
    /// There are no versions that fit together.
    #[error(transparent)]
    Resolve(#[from] resolve::Error),
    /// An index, or a download.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// What pip built of a source distribution is not its wheel.
    #[error("`{name}` {version} cannot be built from its source distribution: {reason}")]
    Built {
        /// The package.
        name: PackageName,
        /// Its version.
        version: Version,
        /// What was there instead.
        reason: String,
    },
    /// A wheel is damaged or unsafe.
    #[error(transparent)]
    Wheel(#[from] wheel::Error),
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Lock(error) => error.hints(),
            Self::Index(error) => error.hints(),
            Self::LockUnusable { .. } => {
                vec!["lock again for this builder image: `overcoat lock`".to_owned()]
            }
            Self::NotLocked { .. } => vec![
                "write a lock with `overcoat lock`, and keep it with the application".to_owned(),
            ],
            _ => Vec::new(),
        }
    }

    /// True when pip in the sandbox may succeed where wheels alone do not do.
    pub fn is_for_pip(&self) -> bool {
        match self {
            Self::Resolve(error) => error.is_for_pip(),
            _ => false,
        }
    }
}
