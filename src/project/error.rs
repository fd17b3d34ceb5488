//! What can be wrong with what a project says of itself.

use std::fmt;
use std::path::PathBuf;

use super::Origin;
use super::nearest::nearest;

/// Settings that cannot be read, make no sense, or lack what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value that makes no sense, or a key that nobody knows.
    #[error("{place}: {reason}")]
    Invalid {
        /// Where it is written.
        place: Origin,
        /// What is wrong there; no secret is in it.
        reason: String,
        /// What can be done.
        hints: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What can be done.
        hints: Vec<String>,
    },
    /// Something was named that the project does not have.
    #[error("there is no {kind} `{name}`")]
    Unknown {
        /// What it should be.
        kind: Kind,
        /// How it was named.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Several things answer to a name.
    #[error("`{name}` may be any of the applications {}", listed(known))]
    Ambiguous {
        /// How it was named.
        name: String,
        /// Those that it may be.
        known: Vec<String>,
    },
    /// Nothing says which registry an environment has.
    #[error("nothing says which registry the environment `{environment}` has")]
    NoRegistry {
        /// Which environment.
        environment: String,
        /// The variables that would say it.
        variables: Vec<String>,
    },
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of [`super::Project::applications`].
    Application,
    /// One of [`super::Project::environments`].
    Environment,
    /// One of op's `run` contexts.
    Context,
    /// A setting, as `config explain` names them.
    Setting,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "application",
            Self::Environment => "environment",
            Self::Context => "run context",
            Self::Setting => "setting",
        })
    }
}

impl Error {
    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Invalid { hints, .. } | Self::Unreadable { hints, .. } => hints.clone(),
            Self::Unknown { kind, name, known } => {
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                let near = nearest(name, &names).map(|near| format!("did you mean `{near}`?"));
                let there_are = match known.is_empty() {
                    true => format!(
                        "the project has no {kind}s; `{}` declares them",
                        super::FILE
                    ),
                    false => format!("the project has the {kind}s {}", listed(known)),
                };
                near.into_iter().chain([there_are]).collect()
            }
            Self::Ambiguous { .. } => vec!["say its whole name".to_owned()],
            Self::NoRegistry {
                environment,
                variables,
            } => vec![format!(
                "say it in `{}`: `[environments.{environment}]` with `registry = \"HOST/PATH\"`; or set {}",
                super::FILE,
                listed(variables)
            )],
        }
    }

    /// True when something was named that is not there, rather than written wrongly.
    pub fn is_unknown_name(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Ambiguous { .. })
    }
}

/// Names in a sentence: "`a`, `b`".
pub(super) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}
