//! `requirements.txt`, as pip reads it.
//!
//! ```text
//! bytes ─decode─▶ lines ─join, uncomment, expand─▶ requirement │ options ─▶ Requirements
//!                                                      -r, -c: other files
//! ```
//!
//! Every step is pip's own (`pip._internal.req.req_file` and `constructors`, versions 23 to 25), for the answer must be
//! the one that pip would give. What pip would install and no wheel can express is not an error: it is listed, and the
//! caller leaves such requirements to pip.
//!
//! # Spec
//! pip documentation, *Requirements File Format* and *Constraints Files*; PEP 508 for each requirement.

mod error;
mod files;
mod format_control;
mod line;
mod options;
pub mod project;
mod reader;
mod text;
mod words;

pub use error::Error;
pub(crate) use error::shown;
pub use files::{DirectoryFiles, FileKind, MAX_FILE_BYTES, SourceFiles};
pub use format_control::FormatControl;
pub use reader::read;

use std::fmt;

use pep440_rs::Operator;
use pep508_rs::{Requirement, VersionOrUrl};

use super::WheelName;
use super::file_hash::FileHash;

/// Where a line is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file's path within the source tree.
    pub file: String,
    /// The number of the line, from 1; of a continued line the first.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, line {}", self.file, self.line)
    }
}

/// A requirement or a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Name, extras, versions and marker. It never has a URL: for a wheel that is named by its location, it has the name
    /// and the version of that wheel (`zork==1.0`), and [`Self::wheel`] says where it is.
    pub requirement: Requirement,
    /// The wheel to install, when the line names one; then no other file will do.
    pub wheel: Option<NamedWheel>,
    /// Hashes of which the file must have one; empty when the line has none.
    pub hashes: Vec<FileHash>,
    /// Where the line is.
    pub origin: Origin,
}

/// A wheel that a line names by its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedWheel {
    /// What its file name says.
    pub name: WheelName,
    /// Where it is.
    pub location: Location,
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// An `https:` or `http:` URL without fragment. It may hold a password: never to be shown as it is.
    Url(String),
    /// A path within the source tree, as [`SourceFiles`] takes them.
    Path(String),
}

/// A line that no wheel from an index can express, so that pip has to install it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inexpressible {
    /// Where it is.
    pub origin: Origin,
    /// The line, passwords masked, cut to 300 characters.
    pub text: String,
    /// Why: a clause as `it is editable`.
    pub reason: String,
}

/// What requirement files say of where to look and what to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexOptions {
    /// The last `--index-url`. It may hold a password.
    pub index_url: Option<String>,
    /// Each `--extra-index-url` after it. They may hold passwords.
    pub extra_index_urls: Vec<String>,
    /// `--no-index`: no index at all, only [`Self::find_links`].
    pub no_index: bool,
    /// Each `--find-links`: pages or directories with files.
    pub find_links: Vec<FindLinks>,
    /// `--no-binary` and `--only-binary`.
    pub formats: FormatControl,
    /// `--prefer-binary`: an older wheel before a newer source distribution.
    pub prefer_binary: bool,
    /// `--require-hashes`.
    pub require_hashes: bool,
    /// `--pre`: pre-releases, too.
    pub pre: bool,
    /// Each `--trusted-host`: a host, perhaps with a port, whose certificate is not checked.
    pub trusted_hosts: Vec<String>,
    /// Each `--use-feature`. Which there are depends on pip's version, so none is refused here.
    pub features: Vec<String>,
}

/// A `--find-links`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindLinks {
    /// An HTTP URL of a page. It may hold a password.
    Url(String),
    /// A path within the source tree: a directory with files, or an HTML file.
    Path(String),
}

impl IndexOptions {
    /// The indexes to ask, best first, when the environment names `default` and the `extra` ones: an `--index-url` takes
    /// the place of all those, an `--extra-index-url` is added to them.
    pub fn indexes(&self, default: &str, extra: &[String]) -> Vec<String> {
        if self.no_index {
            return Vec::new();
        }
        let mut indexes = match &self.index_url {
            Some(url) => vec![url.clone()],
            None => std::iter::once(default.to_owned())
                .chain(extra.iter().cloned())
                .collect(),
        };
        indexes.extend(self.extra_index_urls.iter().cloned());
        indexes
    }
}

/// Requirements, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// What is to be installed, in the order of the files. Markers are not evaluated.
    pub requirements: Vec<Line>,
    /// What limits versions, and asks for nothing.
    pub constraints: Vec<Line>,
    /// Where to look, and for what.
    pub options: IndexOptions,
    /// What only pip can do.
    pub inexpressible: Vec<Inexpressible>,
    /// Every file that was read, in the order of reading, each once.
    pub files: Vec<String>,
}

impl Requirements {
    /// True when files must be checked against hashes that the requirements have: `--require-hashes`, or any hash at all,
    /// after which pip refuses every package without one.
    pub fn needs_hashes(&self) -> bool {
        let mut lines = self.requirements.iter().chain(&self.constraints);
        self.options.require_hashes || lines.any(|line| !line.hashes.is_empty())
    }

    /// True when nothing is left to decide: each requirement has exactly one version, or names its wheel, and each has a
    /// hash. Such requirements must be complete, for pip takes no others with them.
    pub fn is_pinned_and_hashed(&self) -> bool {
        let is_pinned = |line: &Line| line.wheel.is_some() || line.pinned().is_some();
        let mut lines = self.requirements.iter();
        self.inexpressible.is_empty()
            && lines.all(|line| is_pinned(line) && !line.hashes.is_empty())
    }
}

impl Line {
    /// The only version that the line allows, if there is only one: `==1.0` or `===1.0`, not `==1.*`.
    pub fn pinned(&self) -> Option<&pep440_rs::Version> {
        let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &self.requirement.version_or_url
        else {
            return None;
        };
        let mut exact = specifiers.iter().filter(|specifier| {
            matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual)
        });
        let version = exact.next()?.version();
        specifiers.contains(version).then_some(version)
    }
}

#[cfg(test)]
mod differential_tests;
#[cfg(test)]
mod tests;
