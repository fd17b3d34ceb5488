//! What can be wrong with a file of results.

use std::path::PathBuf;

use crate::{fs, reference};

/// Why results cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("there is no file of results: `{}`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is not JSON.
    #[error("`{}` is not JSON: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled over, with line and column.
        reason: String,
    },
    /// It is JSON, and something else.
    #[error("`{}` is no file of results: expected 'builds', a list", path.display())]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// Nothing was built.
    #[error("no builds found in `{}`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A build that says nothing usable.
    #[error("build {number} of `{}` cannot be used: {reason}", path.display())]
    Entry {
        /// Which, from 1.
        number: usize,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The `tag` of a build is no reference.
    #[error("the result of `{name}` cannot be used")]
    Reference {
        /// What the build is called.
        name: String,
        /// What is wrong with it.
        source: reference::ParseError,
    },
    /// The image that was asked for was not built.
    #[error("`{}` has no image `{name}`; it has {}", path.display(), listed(names))]
    NoSuchImage {
        /// What was asked for.
        name: String,
        /// The file.
        path: PathBuf,
        /// What there is.
        names: Vec<String>,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
}

fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.is_empty() {
        true => "none".to_owned(),
        false => quoted.join(", "),
    }
}

impl Error {
    /// What a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Missing { .. } => {
                "build and push first (`overcoat build --push --result-file build_result.json`), or name the file with \
                 `--build-result`"
            }
            Self::Empty { .. } | Self::NoList { .. } | Self::Entry { .. } => {
                "it is written by `overcoat build --push --result-file`, by op and by `skaffold build --file-output`; look \
                 whether the build before succeeded"
            }
            Self::Json { .. } => "write it anew: build again, or promote again with `--result-out`",
            Self::Reference { .. } => "expected `[HOST[:PORT]/]NAME:TAG[@sha256:…]` as its `tag`",
            Self::NoSuchImage { .. } => "names are compared as they stand; choose one of those",
            Self::File(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
