//! What is asked of a fetch, and what it gives.

use std::path::PathBuf;

use super::location::Location;
use super::provenance::Provenance;
use super::rules::{Hooks, Links};

/// What is to be brought.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// From where; `None` for a build that consists of scripts alone.
    pub location: Option<Location>,
    /// `--ref`: a branch, tag, commit or other ref; it goes before the location's fragment.
    pub reference: Option<String>,
    /// `--context-dir`: a directory below the top of the source.
    pub context_dir: Option<String>,
    /// `--copy`: a local repository is taken as it is, with everything that was not committed.
    pub copies: bool,
    /// Whether of a local repository only what is committed is taken, as s2i does.
    pub is_committed_only: bool,
    /// `--ignore-submodules`.
    pub ignores_submodules: bool,
    /// What becomes of the links of a directory that is read where it is: s2i follows them unless there is
    /// `--keep-symlinks`. Those of clones and archives always stay links.
    pub links: Links,
}

/// A source that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The directory that [`super::local::read`] lists. A directory of the person's, or one below the directory that
    /// [`super::fetch()`] was given.
    pub root: PathBuf,
    /// How it came here.
    pub how: How,
    /// What is to become of its links ([`super::Rules::for_fetched`]).
    pub links: Links,
    /// What is to become of scripts that are ignored.
    pub hooks: Hooks,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// How a source came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// There is none: an empty directory.
    Nothing,
    /// It is where it was.
    InPlace,
    /// By git.
    Cloned,
    /// From an archive.
    Unpacked,
}
