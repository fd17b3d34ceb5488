//! Hopr's blueprints: the pods below a directory, what of each is its user's, and what has to hold before one is built.
//!
//! ```text
//! ROOT/deploy.sh
//! ROOT/POD/app/{app.py,requirements.txt}     what is built; Section 1 of `app.py` is the user's
//! ROOT/POD/*.yaml                            one workload with a container `web-app`, under any file name
//! ROOT/.overcoat-hopr.lock                   the rest of each `app.py` as it was delivered
//! ```
//!
//! Nothing here executes anything, and nothing here looks for a baseline: [`check()`] is given the texts to compare with, best
//! first, by who can read git and images.
//!
//! # Spec
//! `path-to-production.md` §3.1 to §3.2.

pub mod baseline;
pub mod check;
pub mod compare;
pub mod discover;
pub mod hooks;
pub mod imports;
pub mod lock;
pub mod manifest;
pub mod python;
pub mod sections;

pub use check::{Baseline, Finding, Level, check};
pub use discover::{Pod, discover};
pub use lock::Lock;

use std::path::PathBuf;

/// The container that is the user's.
pub const CONTAINER: &str = "web-app";
/// Where a pod's application is, below the pod's directory.
pub const APPLICATION: &str = "app";
/// The module that Hopr starts.
pub const MODULE: &str = "app.py";
/// The most that a module may have.
pub const MOST_MODULE_BYTES: u64 = 4 << 20;

/// A text that cannot be worked with, and the line that makes it so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Refused {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Why the pods of a directory cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no pod at all.
    #[error("there is no pod below `{}`: no directory has `app/app.py`", root.display())]
    NoPods {
        /// Where was looked.
        root: PathBuf,
    },
    /// A pod that was named is not there.
    #[error("there is no pod `{name}` below `{}`", root.display())]
    NoSuchPod {
        /// What was named.
        name: String,
        /// Where was looked.
        root: PathBuf,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Two pods have the same name, so their images would have.
    #[error("two pods are called `{name}`: `{}` and `{}`", first.display(), second.display())]
    SameName {
        /// The name.
        name: String,
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// No manifest of a pod has a workload with the container.
    #[error("no manifest of the pod `{pod}` has a workload with a container `{container}`")]
    NoWorkload {
        /// The pod.
        pod: String,
        /// The container that was looked for.
        container: String,
        /// Files that could not be read as manifests, with the reason.
        unread: Vec<(PathBuf, String)>,
    },
    /// Several have.
    #[error("several workloads of the pod `{pod}` have a container `{container}`: {}", found.join(", "))]
    SeveralWorkloads {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// `FILE, line N: KIND/NAME` of each.
        found: Vec<String>,
    },
    /// The lock file is not one, or has been changed.
    #[error("`{}` cannot be used: {reason}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// More directories than a blueprint has.
    #[error("`{}` has more than {limit} directories below it", root.display())]
    TooMany {
        /// Where was looked.
        root: PathBuf,
        /// How many were looked at.
        limit: usize,
    },
    /// A module is no text.
    #[error("`{}` is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
}

impl Error {
    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoPods { .. } => vec![
                "run it where the blueprint was unpacked, or name that place: `--root DIR`".to_owned(),
            ],
            Self::NoSuchPod { known, .. } => vec![format!("there are {}", known.join(", "))],
            Self::SameName { .. } => {
                vec!["rename one of the directories, or take one of them alone: `--root DIR`".to_owned()]
            }
            Self::NoWorkload { unread, .. } if !unread.is_empty() => unread
                .iter()
                .take(2)
                .map(|(path, reason)| format!("`{}` was not understood: {reason}", path.display()))
                .collect(),
            Self::NoWorkload { .. } => vec![
                "its manifests belong into the pod's directory, beside `app`; they are found by what they hold".to_owned(),
            ],
            Self::SeveralWorkloads { .. } => {
                vec!["remove those that are not deployed from the pod's directory".to_owned()]
            }
            Self::Lock { .. } => vec![
                "restore it from version control, or remove it and write it again on the delivered files: `overcoat up --lock`"
                    .to_owned(),
            ],
            Self::TooMany { .. } => vec!["name the blueprint's directory: `--root DIR`".to_owned()],
            Self::NotText { .. } => vec!["save it as UTF-8".to_owned()],
            Self::File(_) => Vec::new(),
        }
    }
}
