//! Why an engine does not have the image.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// Why an engine does not have the image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such engine, or not where it was looked for.
    #[error("cannot load into `{engine}`: there is neither {looked_for}")]
    Absent {
        /// The engine.
        engine: String,
        /// Where it was looked for: two or more places, as half a sentence after `neither`.
        looked_for: String,
    },
    /// There is only one way to the engine, and nothing at its end.
    #[error("cannot load into `{engine}`: there is no {looked_for}")]
    NotThere {
        /// The engine.
        engine: String,
        /// What was looked for, and why only that.
        looked_for: String,
    },
    /// The engine's socket takes no connection.
    #[error("cannot speak with `{engine}`: cannot connect to `{}`: {}", socket.display(), crate::fs::reason(source))]
    Connect {
        /// The engine.
        engine: String,
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine's answer is none.
    #[error("cannot speak with `{engine}`: its answer cannot be understood: {reason}")]
    Protocol {
        /// The engine.
        engine: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine, or its command, said no.
    #[error("`{engine}` did not take the image: {how}")]
    Refused {
        /// The engine.
        engine: String,
        /// The status, in a few words.
        how: String,
        /// What it said, the last lines.
        said: Vec<String>,
    },
    /// The engine has an image and does not hand it out.
    #[error("`{engine}` does not hand out `{name}`: {how}")]
    NotGiven {
        /// The engine.
        engine: String,
        /// The image.
        name: String,
        /// The status, in a few words.
        how: String,
        /// What it said, the last lines.
        said: Vec<String>,
    },
    /// The engine has an image that it should remove, and keeps it.
    #[error("`{engine}` keeps it: {how}{}", said.first().map(|line| format!(", {line}")).unwrap_or_default())]
    Kept {
        /// The engine.
        engine: String,
        /// The status, in a few words.
        how: String,
        /// What it said, the last lines.
        said: Vec<String>,
    },
    /// The engine took it and has something else.
    #[error(
        "`{engine}` says that it has `{name}`, but as `{found}`, and not as {}",
        any(expected)
    )]
    Different {
        /// The engine.
        engine: String,
        /// The name.
        name: String,
        /// What it should have; one of them.
        expected: Vec<Digest>,
        /// What it has.
        found: String,
    },
    /// Nothing has moved for too long.
    #[error("`{engine}` did nothing for {minutes} minutes")]
    Stalled {
        /// The engine.
        engine: String,
        /// How long was waited.
        minutes: u64,
    },
    /// The image cannot be written as an archive.
    #[error(transparent)]
    Archive(#[from] super::super::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn any(digests: &[Digest]) -> String {
    let texts: Vec<String> = digests.iter().map(|digest| format!("`{digest}`")).collect();
    texts.join(" or ")
}

impl Error {
    /// What the other side said, the last lines.
    pub fn output(&self) -> &[String] {
        match self {
            Self::Refused { said, .. } | Self::NotGiven { said, .. } | Self::Kept { said, .. } => {
                said
            }
            _ => &[],
        }
    }

    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = |text: &str| vec![text.to_owned()];
        match self {
            Self::Absent { .. } | Self::NotThere { .. } => hint(
                "install or start it; or write a file with `-o archive:FILE`, and load that where the engine is",
            ),
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => hint(
                    "the socket is for others: become a member of its group (`docker`), or do this with sudo",
                ),
                io::ErrorKind::ConnectionRefused => hint("nobody listens there: start the engine"),
                _ => hint("name the socket: `DOCKER_HOST=unix:///PATH`"),
            },
            Self::Refused { engine, said, .. } => {
                let is_about = |word: &str| said.iter().any(|line| line.contains(word));
                match engine.as_str() {
                    // What Docker before 23 says of a layer that is compressed with zstd.
                    "docker" if is_about("Error processing tar file") => hint(
                        "Docker before 23 does not read layers of zstd: build with `--compression gzip`",
                    ),
                    _ if is_about("permission denied") => {
                        hint("do this as a user that may speak with the engine, or with sudo")
                    }
                    _ => Vec::new(),
                }
            }
            Self::Stalled { .. } => hint("look at the engine's own log"),
            Self::Archive(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
