//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it was said.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value that was said there.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// Where a value was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag(&'static str),
    /// By a variable of the environment.
    Variable(String),
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// In which line, from 1; 0 where the format has none.
        line: usize,
    },
    /// By git, of this commit.
    Commit(String),
    /// Nowhere; it is what is taken then.
    #[default]
    Default,
}

impl Origin {
    /// The line, from 1, if it is one of a file.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } if *line > 0 => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::File { path, line: 0 } => write!(f, "`{}`", path.display()),
            Self::File { path, line } => write!(f, "`{}`, line {line}", path.display()),
            Self::Commit(commit) => write!(f, "the commit {commit}"),
            Self::Default => f.write_str("default"),
        }
    }
}
