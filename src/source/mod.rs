//! Where an application comes from. Everything ends as a [`SourceTree`]: a list of what is to be built.
//!
//! ```text
//! text ──Location::parse──▶ Location ──fetch──▶ Fetched { root, … } ──local::read──▶ SourceTree
//! ```
//!
//! [`mod@fetch`] leaves a directory of this machine where it is, clones a git repository ([`git`]), or unpacks an [`archive`].
//! [`local`] lists what is there by the [`Rules`] of the person and the application; [`content`] digests it.
//! [`provenance`] is what is known of where it comes from. No credentials leave [`Location`] but to git.

pub mod archive;
pub mod content;
pub mod environment;
mod error;
pub mod fetch;
pub mod git;
pub mod glob;
mod ignore;
pub mod local;
pub mod location;
pub mod provenance;
mod rules;
#[cfg(test)]
mod test_git;
mod url_text;
mod wanted;

use std::path::PathBuf;

pub use error::Error;
pub use fetch::fetch;
pub use git::Host;
pub use ignore::Exclude;
pub use location::Location;
pub use provenance::{GitFacts, Provenance};
pub use rules::{Hooks, IgnoreFile, Links, Rules};
pub use url_text::redact;
pub use wanted::{Fetched, How, Wanted};

/// An application's files, listed; their content stays where it is until it is copied.
#[derive(Clone, Debug)]
pub struct SourceTree {
    /// The directory, absolute.
    pub root: PathBuf,
    /// What is in it, sorted by path.
    pub entries: Vec<SourceEntry>,
    /// The variables of `.s2i/environment`, in order.
    pub environment: Vec<(String, String)>,
    /// Whether the entries that are no links may be links on this machine.
    pub links: Links,
}

/// A file, directory or link of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceEntry {
    /// Path below the source's root: bytes, no leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source has. Modes are reduced to what git keeps: whether a file can be executed; umasks differ between
/// machines and must not show in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Whether anybody may execute it.
        is_executable: bool,
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// The target's bytes.
        target: Vec<u8>,
    },
}

impl SourceTree {
    /// The entry at `path`, if it is a regular file.
    pub fn file(&self, path: &str) -> Option<&SourceEntry> {
        let index = self
            .entries
            .binary_search_by(|entry| entry.path.as_slice().cmp(path.as_bytes()))
            .ok()?;
        Some(&self.entries[index]).filter(|entry| matches!(entry.kind, SourceKind::File { .. }))
    }

    /// The size of all files in bytes.
    pub fn size_bytes(&self) -> u64 {
        let size = |entry: &SourceEntry| match entry.kind {
            SourceKind::File { size, .. } => size,
            _ => 0,
        };
        self.entries.iter().map(size).sum()
    }
}
