//! What an application's files ask for.

use std::collections::BTreeMap;

use super::Error;
use crate::python::lock::{self, Lock};
use crate::python::requirements::{self, DirectoryFiles, Requirements, SourceFiles};
use crate::source::SourceTree;

/// The file that pip installs from.
pub(super) const REQUIREMENTS: &str = "requirements.txt";
/// The file that pins every version.
///
/// # Spec
/// PEP 751.
pub(super) const LOCK: &str = "pylock.toml";

/// What is to be installed, as far as the application's files say.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// What `requirements.txt` says, if there is one.
    pub requirements: Option<Requirements>,
    /// What `pylock.toml` says, if there is one.
    pub lock: Option<Lock>,
    /// True while a new lock is made: then the old one answers nothing, and nobody need be told.
    pub(super) is_being_locked: bool,
}

impl Wanted {
    /// Reads the files. `variables` are those that `${NAME}` may stand for.
    ///
    /// # Errors
    /// [`Error::Requirements`], [`Error::Lock`].
    pub(in crate::build) fn read(
        source: &SourceTree,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, crate::build::Error> {
        let has = |file: &str| {
            source
                .entries
                .iter()
                .any(|entry| entry.path == file.as_bytes())
        };
        let mut wanted = Self::default();
        if !has(REQUIREMENTS) && !has(LOCK) {
            return Ok(wanted);
        }
        let files = DirectoryFiles::open(&source.root)?;
        if has(REQUIREMENTS) {
            let read = requirements::read(REQUIREMENTS, &files, variables);
            wanted.requirements = Some(read.map_err(Error::from)?);
        }
        if let Some(bytes) = files.read(LOCK)? {
            wanted.lock = Some(lock::read(&bytes, LOCK).map_err(Error::from)?);
        }
        Ok(wanted)
    }

    /// True when nothing is to be installed.
    pub fn is_nothing(&self) -> bool {
        let has_none = |requirements: &Requirements| {
            requirements.requirements.is_empty() && requirements.inexpressible.is_empty()
        };
        self.lock.is_none() && self.requirements.as_ref().is_none_or(has_none)
    }

    /// What only pip can install: the first such line and why.
    pub fn inexpressible(&self) -> Option<String> {
        if self.lock.is_some() {
            return None;
        }
        let line = self.requirements.as_ref()?.inexpressible.first()?;
        Some(format!("{}: `{}` {}", line.origin, line.text, line.reason))
    }

    /// The requirements, a text each, as a lock records them.
    pub fn texts(&self) -> Vec<String> {
        let lines = self
            .requirements
            .iter()
            .flat_map(|found| &found.requirements);
        lines.map(|line| line.requirement.to_string()).collect()
    }

    /// The lock, when it is the answer to these requirements. A lock that does not say what it answers is believed.
    pub fn current_lock(&self) -> Option<&Lock> {
        let lock = self.lock.as_ref()?;
        let is_current = match (&lock.requirements, &self.requirements) {
            (Some(answered), Some(_)) => *answered == self.texts(),
            _ => true,
        };
        is_current.then_some(lock)
    }

    /// True when no version is left to choose.
    pub fn is_locked(&self) -> bool {
        let is_pinned = |found: &Requirements| found.is_pinned_and_hashed();
        self.current_lock().is_some() || self.requirements.as_ref().is_some_and(is_pinned)
    }

    /// # Errors
    /// [`Error::NotLocked`] when a version is left to choose.
    pub(in crate::build) fn check_locked(&self) -> Result<(), Error> {
        let reason = match (self.is_locked(), &self.lock) {
            (true, _) => return Ok(()),
            (false, Some(_)) => format!("`{LOCK}` was made for other requirements"),
            (false, None) => {
                format!(
                    "there is no `{LOCK}`, and `{REQUIREMENTS}` does not pin and hash every package"
                )
            }
        };
        Err(Error::NotLocked { reason })
    }
}
