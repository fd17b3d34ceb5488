//! Why there is no source.

use super::archive;
use super::location::ParseError;

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
    /// Links lead to directories that hold links, and so on.
    #[error("the source has more than {limit} files once its links are followed")]
    TooMany {
        /// How many are taken.
        limit: usize,
    },
    /// The text that names the source says nothing.
    #[error(transparent)]
    Location(#[from] ParseError),
    /// `--exclude` is no regular expression.
    #[error("`--exclude {pattern}` is no regular expression: {reason}")]
    Exclude {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The source has to be cloned, and there is no git.
    #[error("cannot clone `{location}`: there is no `git` on this machine")]
    NoGit {
        /// The source, without credentials.
        location: String,
    },
    /// git failed.
    #[error("cannot {action} `{location}`: {reason}")]
    Git {
        /// A verb phrase.
        action: &'static str,
        /// The source, without credentials.
        location: String,
        /// What git printed, without credentials.
        reason: String,
    },
    /// A repository in which nothing was committed yet.
    #[error("the git repository `{location}` has no commit to build")]
    EmptyRepository {
        /// The source, without credentials.
        location: String,
    },
    /// `--ref` names nothing.
    #[error("the git repository `{location}` has no branch, tag or commit `{reference}`")]
    NoSuchRef {
        /// As given.
        reference: String,
        /// The source, without credentials.
        location: String,
    },
    /// `--ref` cannot be a name in a repository.
    #[error("`{reference}` cannot be a branch, tag or commit of a git repository")]
    InvalidRef {
        /// As given.
        reference: String,
    },
    /// `--context-dir` names no directory of the source.
    #[error("the context directory `{context_dir}` of the source `{location}` {reason}")]
    ContextDir {
        /// As given.
        context_dir: String,
        /// The source, without credentials.
        location: String,
        /// What is wrong with it, as the rest of the sentence.
        reason: &'static str,
    },
    /// The archive cannot be unpacked, or must not be.
    #[error("cannot unpack the source archive `{location}`: {reason}")]
    Archive {
        /// The file, or `-`.
        location: String,
        /// Why not.
        reason: archive::Refusal,
    },
    /// `-` where nobody can read the standard input.
    #[error("the source is `-`, and there is no standard input to read an archive from")]
    NoInput,
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
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
            Self::TooMany { .. } => {
                "keep the links as they are (`--keep-symlinks`), or leave them out with `.s2iignore`"
            }
            Self::Location(error) => error.hint(),
            Self::Exclude { .. } => {
                "the pattern is matched against paths like `pkg/module.py`; `--exclude ''` excludes nothing"
            }
            Self::NoGit { .. } => {
                "install git, or give a directory or a tar archive of the application"
            }
            Self::Git { reason, .. } => git_hint(reason),
            Self::EmptyRepository { .. } => {
                "commit the application, or build the directory as it is with `--copy`"
            }
            Self::NoSuchRef { .. } => "`git ls-remote` lists the branches and tags that are there",
            Self::InvalidRef { .. } => "give a branch, a tag or a commit id: `--ref main`",
            Self::ContextDir { .. } => {
                "`--context-dir` is a directory below the top of the source, such as `services/api`"
            }
            Self::Archive { reason, .. } => reason.hint(),
            Self::NoInput => "pipe a tar archive in: `tar -c . | overcoat build -`",
            Self::File(_) | Self::Interrupted => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// What helps, by what git said.
fn git_hint(reason: &str) -> &'static str {
    let says = |texts: &[&str]| texts.iter().any(|text| reason.contains(text));
    if says(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "Permission denied",
        "returned error: 403",
        "Invalid username or",
    ]) {
        "git is never asked to prompt: give `https://USER:TOKEN@HOST/…`, a credential helper of git, or a key in the SSH agent"
    } else if says(&["Host key verification failed"]) {
        "add the host's key to `known_hosts` (`ssh-keyscan`), after comparing it with what the host publishes"
    } else if says(&["dubious ownership"]) {
        "the repository belongs to somebody else: `git config --global --add safe.directory DIRECTORY` trusts it"
    } else if says(&["Could not resolve host", "unable to access", "timed out"]) {
        "look at the address, and at `HTTPS_PROXY` and `NO_PROXY` if there is a proxy"
    } else {
        "`git ls-remote ADDRESS` tries the same by hand"
    }
}
