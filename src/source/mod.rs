//! Where an application comes from. Everything ends as a [`SourceTree`]: a list of what is to be built.

pub mod archive;
pub mod content;
pub mod environment;
pub mod glob;
pub mod local;

use std::path::PathBuf;

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is there.
    #[error("the source `{path}` does not exist")]
    Absent {
        /// The path as given.
        path: String,
    },
    /// Something else is there.
    #[error("the source `{path}` is not a directory")]
    NotADirectory {
        /// The path as given.
        path: String,
    },
    /// A part of it cannot be read.
    #[error("cannot read `{path}` of the source: {reason}")]
    Unreadable {
        /// The path within the source.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// pip could not read the requirements either.
    #[error("`requirements.txt` of the source cannot be read: {reason}")]
    Requirements {
        /// What is wrong with it.
        reason: String,
    },
    /// A file was edited while it was built from.
    #[error("`{path}` was changed while the build was reading it")]
    Changed {
        /// The file.
        path: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// An archive.
    #[error("{location}: {reason}")]
    Archive {
        /// Which.
        location: String,
        /// Why.
        reason: archive::Refusal,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Absent { .. } => {
                "give the directory that holds the application; without one, `.` is built"
            }
            Self::NotADirectory { .. } => "give the directory that holds the file",
            Self::Unreadable { .. } => {
                "make it readable (`chmod a+r`), or move it out of the source directory"
            }
            Self::Requirements { .. } => {
                "`requirements.txt` must be a readable UTF-8 text file, one requirement a line"
            }
            Self::Changed { .. } => "build again once nothing writes to the source directory",
            Self::File(_) | Self::Interrupted | Self::Archive { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// An application's files, listed; their content stays where it is until it is copied.
#[derive(Clone, Debug)]
pub struct SourceTree {
    /// The directory, absolute.
    pub root: PathBuf,
    /// What is in it, sorted by path.
    pub entries: Vec<SourceEntry>,
    /// The variables of `.s2i/environment`, in order.
    pub environment: Vec<(String, String)>,
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
