//! What an interpreter needs: which packages, which files hold them, and where those go. Nothing here is executed.
//!
//! ```text
//! requirements.txt ─read─▶ Requirements ──┐
//! pylock.toml ──────read─▶ Lock ──────────┼─resolve─▶ Resolution ─fetch─▶ wheels ─splice─▶ layers
//! builder image ──detect─▶ Target ────────┘   (index)
//! ```

pub mod file_hash;
pub mod index;
pub mod lock;
pub mod pep508;
pub mod provider;
pub mod requirements;
pub mod resolve;
pub mod tags;
pub mod target;
pub mod wheel;
pub mod wheel_name;

pub use target::{Layout, Target};
pub use wheel_name::WheelName;

pub use pep440_rs::{Version, VersionSpecifiers};
pub use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName};

use crate::digest::Digest;

/// A wheel that an index, a lock or a directory offers: where it is and what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteWheel {
    /// What its file name says.
    pub name: WheelName,
    /// Where it is: `https:`, `http:` or `file:`, without credentials and without a fragment.
    pub url: String,
    /// The SHA-256 that the index or the lock promises; `None` when it promises none.
    pub digest: Option<Digest>,
    /// Its size in bytes, when known.
    pub size: Option<u64>,
}

/// One package to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its normalised name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The file that it is installed from.
    pub wheel: RemoteWheel,
    /// True when a requirement of the application names it (pip's `REQUESTED`), and not only another package.
    pub is_requested: bool,
}

/// Every package to install, sorted by name: an answer to what was required.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// The packages.
    pub packages: Vec<Pinned>,
}
