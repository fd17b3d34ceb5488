//! A file of settings as text, with lines to name in errors.

use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Origin};
use crate::event::printable;
use crate::fs;

/// No settings are larger.
const MOST_BYTES: u64 = 1 << 20;

/// A file and what is in it.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Text {
    /// Reads a file; nothing when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read, is longer than 1 MiB, or is not UTF-8.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        match fs::read_limited(path, MOST_BYTES) {
            Ok(bytes) => Self::of(path, bytes).map(Some),
            Err(error) => match error.source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(unreadable(path, fs::reason(&error.source))),
            },
        }
    }

    /// Reads a file that somebody has named, with what named it.
    ///
    /// # Errors
    /// As [`Self::read`], and when there is none.
    pub(super) fn named(path: &Path, by: &str) -> Result<Self, Error> {
        Self::read(path)?.ok_or_else(|| Error::Unreadable {
            path: path.to_owned(),
            reason: "there is no such file".to_owned(),
            hints: vec![format!("{by} names it")],
        })
    }

    fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self {
                path: path.to_owned(),
                text,
            }),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let lines = error.as_bytes()[..good]
                    .split(|byte| *byte == b'\n')
                    .count();
                Err(Error::Invalid {
                    place: Origin::File {
                        path: path.to_owned(),
                        line: lines,
                    },
                    reason: "it is not UTF-8".to_owned(),
                    hints: Vec::new(),
                })
            }
        }
    }

    /// The line, from 1, of a byte.
    pub(super) fn line_of(&self, byte: usize) -> usize {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// A place in it.
    pub(super) fn origin(&self, line: usize) -> Origin {
        Origin::File {
            path: self.path.clone(),
            line,
        }
    }

    /// The directory that its paths are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The error of a line.
    pub(super) fn refuse(&self, line: usize, reason: impl AsRef<str>) -> Error {
        self.refuse_with(line, reason, [])
    }

    /// The error of a line, and what can be done.
    pub(super) fn refuse_with(
        &self,
        line: usize,
        reason: impl AsRef<str>,
        hints: impl IntoIterator<Item = String>,
    ) -> Error {
        Error::Invalid {
            place: self.origin(line),
            reason: printable(reason.as_ref()),
            hints: hints.into_iter().collect(),
        }
    }
}

/// A file that is there and cannot be read.
pub(super) fn unreadable(path: &Path, reason: String) -> Error {
    Error::Unreadable {
        path: path.to_owned(),
        reason,
        hints: Vec::new(),
    }
}
