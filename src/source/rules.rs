//! What a person says about which files of a source are built, and how.

use super::ignore::Exclude;

/// Which files of a directory are a source. The default takes everything but `.git`, and keeps links as they are.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `--exclude`.
    pub exclude: Exclude,
    /// The files of the source that say what is left out; each has its say.
    pub ignore_files: Vec<IgnoreFile>,
    /// What becomes of symbolic links.
    pub links: Links,
    /// Whether scripts stay that a `.s2iignore` names.
    pub hooks: Hooks,
    /// Paths below the source that are written by what builds it, and are no part of it for that.
    pub left_out: Vec<Vec<u8>>,
}

impl Rules {
    /// What s2i does: `.s2iignore` is honoured.
    ///
    /// # Spec
    /// `s2i-compat.md` §2.6.
    pub fn s2i() -> Self {
        Self {
            ignore_files: vec![IgnoreFile::S2i],
            ..Self::default()
        }
    }

    /// These rules for a source that was fetched: links of other people's are never followed, and the scripts of a clone
    /// stay.
    #[must_use]
    pub fn for_fetched(mut self, fetched: &super::wanted::Fetched) -> Self {
        self.links = fetched.links;
        self.hooks = fetched.hooks;
        self
    }
}

/// A file at the top of a source that says what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IgnoreFile {
    /// `.s2iignore`.
    S2i,
    /// `.dockerignore`, with Docker's rules.
    Docker,
    /// `.gitignore`, of every directory, with git's rules. What git tracks all the same is left out too.
    Git,
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// They stay links, wherever they point.
    #[default]
    Keep,
    /// What they point to takes their place. One that points nowhere stays a link, and so does one that leads back to a
    /// directory that it is in.
    Follow,
}

/// What becomes of scripts that `.s2iignore` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hooks {
    /// They go as other files do.
    #[default]
    AsOthers,
    /// They stay: s2i takes the scripts of a clone out before it ignores anything.
    Kept,
}
