//! Why outputs cannot be written.

use std::path::PathBuf;

use crate::fs;
use crate::release::result;

/// What is wrong with an output that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file has room for one image.
    #[error("`{flag}` is for one image, and {images} are built")]
    ForOne {
        /// Who asked for it.
        flag: &'static str,
        /// How many there are.
        images: usize,
    },
    /// An index has no configuration.
    #[error("`--iidfile` is for one platform, and the image is for {platforms}")]
    Platforms {
        /// How many.
        platforms: usize,
    },
    /// As [`Self::Platforms`], found out after the work.
    #[error("`--iidfile` cannot be written: `{name}` is an index, which has no configuration")]
    NoConfiguration {
        /// The image.
        name: String,
    },
    /// Two outputs would overwrite each other.
    #[error("`{}` and `{}` name the same file, `{}`", flags[0], flags[1], path.display())]
    SameFile {
        /// Which.
        path: PathBuf,
        /// Who names it.
        flags: [String; 2],
    },
    /// What is there was not written by an earlier run, and would be lost.
    #[error("`{flag}` names `{}`, which is something else", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Who names it.
        flag: &'static str,
    },
    /// GitLab refuses such a file.
    #[error("the dotenv file would have {bytes} bytes, and GitLab takes {limit}")]
    TooLarge {
        /// How many it would have.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Two images whose names give the same name of a variable.
    #[error("`{}` and `{}` would both be `{variable}` in the dotenv file", names[0], names[1])]
    SameVariable {
        /// The images.
        names: [String; 2],
        /// The variable.
        variable: String,
    },
    /// A file cannot be written.
    #[error("the output of `{flag}` cannot be written: {source}")]
    File {
        /// Who asked for it.
        flag: String,
        /// What the system says.
        source: fs::Error,
    },
    /// A file of an earlier run cannot be removed, or a directory not be made.
    #[error(transparent)]
    Stale(#[from] fs::Error),
    /// The file of results.
    #[error(transparent)]
    Result(#[from] result::Error),
}

impl Error {
    /// What a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::ForOne { .. } => "`--image-refs` and `--metadata-file` are for any number",
            Self::Platforms { .. } | Self::NoConfiguration { .. } => {
                "`--digest-file` has the digest of the index, `--metadata-file` that of every image"
            }
            Self::Foreign { .. } => {
                "name a file of its own; one that is there is replaced only if it names a digest"
            }
            Self::SameFile { .. } => "give each a file of its own",
            Self::TooLarge { .. } | Self::SameVariable { .. } => {
                "build fewer images in one job, or read `--metadata-file` instead"
            }
            Self::Result(error) => return error.hints(),
            Self::File { .. } | Self::Stale(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
