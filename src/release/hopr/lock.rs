//! `.overcoat-hopr.lock`: what was delivered outside of Section 1, for every pod, written while it was untouched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::sections::Parts;
use crate::digest::Digest;
use crate::fs;

/// The name of the file, in the blueprint's root.
pub const FILE: &str = ".overcoat-hopr.lock";
/// The most that it may have.
const MOST_BYTES: u64 = 64 << 20;
/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// What was delivered, by the path of `app.py` below the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    format: u32,
    files: BTreeMap<String, Locked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locked {
    /// SHA-256 of `before`, with its mark.
    before_sha256: String,
    /// SHA-256 of `after`, with its mark.
    after_sha256: String,
    before: String,
    after: String,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            format: FORMAT,
            files: BTreeMap::new(),
        }
    }
}

impl Lock {
    /// Where the lock of a blueprint is.
    pub fn path(root: &Path) -> PathBuf {
        root.join(FILE)
    }

    /// Reads the lock of a blueprint; `None` when it has none.
    ///
    /// # Errors
    /// [`Error::Lock`] for a file that is none, is of another format, or whose texts are not those of its digests;
    /// [`Error::File`].
    pub fn read(root: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(root);
        let bytes = match fs::read_limited(&path, MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let refuse = |reason: String| Error::Lock {
            path: path.clone(),
            reason,
        };
        let lock: Self =
            serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        if lock.format != FORMAT {
            return Err(refuse(format!(
                "its format is {}, and {FORMAT} is known",
                lock.format
            )));
        }
        for (file, locked) in &lock.files {
            let texts = [
                (&locked.before, &locked.before_sha256),
                (&locked.after, &locked.after_sha256),
            ];
            if texts.iter().any(|(text, digest)| sha256(text) != **digest) {
                return Err(refuse(format!(
                    "the text of `{file}` in it is not that of its digest"
                )));
            }
        }
        Ok(Some(lock))
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, root: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        Ok(fs::write_atomic(&Self::path(root), text.as_bytes())?)
    }

    /// What was delivered of a file, named by its path below the root; Section 1 is empty.
    pub fn get(&self, file: &str) -> Option<Parts> {
        let locked = self.files.get(file)?;
        Some(Parts {
            before: locked.before.clone(),
            section1: String::new(),
            after: locked.after.clone(),
        })
    }

    /// Adds a file that it does not have; false when it has it, with another text.
    pub fn add(&mut self, file: &str, parts: &Parts) -> bool {
        match self.get(file) {
            Some(old) => old.before == parts.before && old.after == parts.after,
            None => {
                let locked = Locked {
                    before_sha256: sha256(&parts.before),
                    after_sha256: sha256(&parts.after),
                    before: parts.before.clone(),
                    after: parts.after.clone(),
                };
                self.files.insert(file.to_owned(), locked);
                true
            }
        }
    }
}

fn sha256(text: &str) -> String {
    Digest::of(text.as_bytes()).hex().to_owned()
}

/// The name of a file in a lock: its path below the root, with `/` between its parts.
pub fn name(root: &Path, file: &Path) -> String {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let path = file.strip_prefix(&root).unwrap_or(file);
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(before: &str) -> Parts {
        Parts {
            before: before.to_owned(),
            section1: "mine\n".to_owned(),
            after: "after\n".to_owned(),
        }
    }

    #[test]
    fn a_lock_comes_back_and_keeps_what_was_first() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        assert_eq!(Lock::read(root).unwrap(), None);
        let mut lock = Lock::default();
        assert!(lock.add("a/app/app.py", &parts("x\n")));
        assert!(lock.add("a/app/app.py", &parts("x\n")));
        assert!(!lock.add("a/app/app.py", &parts("y\n")));
        lock.write(root).unwrap();
        let read = Lock::read(root).unwrap().unwrap();
        assert_eq!(read, lock);
        let found = read.get("a/app/app.py").unwrap();
        assert_eq!(
            (found.before.as_str(), found.section1.as_str()),
            ("x\n", "")
        );
        assert_eq!(name(root, &root.join("a/app/app.py")), "a/app/app.py");
    }

    #[test]
    fn a_lock_that_was_changed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut lock = Lock::default();
        lock.add("a.py", &parts("first\n"));
        lock.write(root).unwrap();
        let text = std::fs::read_to_string(Lock::path(root)).unwrap();
        for (from, to, reason) in [
            ("first", "other", "not that of its digest"),
            ("\"format\": 1", "\"format\": 2", "its format is 2"),
            ("\"files\"", "\"more\": 1, \"files\"", "unknown field"),
            ("{", "", "line"),
        ] {
            std::fs::write(Lock::path(root), text.replacen(from, to, 1)).unwrap();
            let error = Lock::read(root).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
