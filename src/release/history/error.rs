//! What can be wrong with a history.

use std::path::PathBuf;

use crate::fs;

/// Why records cannot be read, written or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A record has too many bytes to be written.
    #[error("a record of {bytes} bytes is too large: a line may have {limit}")]
    TooLarge {
        /// The size of its line.
        bytes: usize,
        /// What a line may have.
        limit: usize,
    },
    /// The file of records has too many bytes to be read.
    #[error("`{}` has more than {limit} bytes", path.display())]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What it may have.
        limit: u64,
    },
    /// No record has this number or id.
    #[error("there is no record `{wanted}`")]
    NoRecord {
        /// What was asked for.
        wanted: String,
        /// Records that there are, newest first, a few at most.
        known: Vec<String>,
    },
    /// Several records have this number, or ids that begin so.
    #[error("`{wanted}` is more than one record: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// The records that it may be, newest first, a few at most.
        candidates: Vec<String>,
    },
}

impl Error {
    /// What a person can do.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::File(_) => vec![
                "keep the records elsewhere: `--history DIR` or OVERCOAT_HISTORY=DIR".to_owned(),
            ],
            Self::TooLarge { .. } => Vec::new(),
            Self::TooMuch { path, .. } => vec![format!(
                "move `{}` away; new records begin a new file",
                path.display()
            )],
            Self::NoRecord { known, .. } if known.is_empty() => {
                vec!["`overcoat history` lists the records; there are none".to_owned()]
            }
            Self::NoRecord { known, .. } => vec![format!(
                "`overcoat history` lists the records; the last are {}",
                known.join(", ")
            )],
            Self::Ambiguous { .. } => {
                vec!["name one as `APPLICATION/OPERATION/NUMBER` or by its long id".to_owned()]
            }
        }
    }
}
