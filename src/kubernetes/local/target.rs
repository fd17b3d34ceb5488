//! Which cluster a context names, and how an image gets there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Error;

/// What a person wants: `--to`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// What the context says.
    #[default]
    Auto,
    /// A cluster of k3d's, the context's when no name is given.
    K3d(Option<String>),
    /// A cluster of kind's, the context's when no name is given.
    Kind(Option<String>),
    /// A profile of minikube's.
    Minikube(Option<String>),
    /// A registry.
    Registry,
    /// A file, for a loader that is run by somebody else.
    Archive(Option<PathBuf>),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, name) = match self {
            Self::Auto => ("auto", None),
            Self::K3d(name) => ("k3d", name.clone()),
            Self::Kind(name) => ("kind", name.clone()),
            Self::Minikube(name) => ("minikube", name.clone()),
            Self::Registry => ("registry", None),
            Self::Archive(file) => (
                "archive",
                file.as_ref().map(|file| file.display().to_string()),
            ),
        };
        match name {
            Some(name) => write!(f, "{word}:{name}"),
            None => f.write_str(word),
        }
    }
}

/// Where an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The nodes of a cluster of k3d's.
    K3d(String),
    /// The nodes of a cluster of kind's.
    Kind(String),
    /// The node of a profile of minikube's.
    Minikube(String),
    /// A registry.
    Registry,
    /// A file.
    Archive(Option<PathBuf>),
}

impl Target {
    /// True when the image is loaded into nodes, and found there by its tag alone.
    pub fn is_loaded(&self) -> bool {
        !matches!(self, Self::Registry)
    }

    /// True when a program loads the image into nodes.
    pub fn has_nodes(&self) -> bool {
        matches!(self, Self::K3d(_) | Self::Kind(_) | Self::Minikube(_))
    }

    /// As it is written after `--to`: what [`Wanted`] reads.
    pub fn word(&self) -> String {
        Wanted::from(self.clone()).to_string()
    }
}

impl From<Target> for Wanted {
    fn from(target: Target) -> Self {
        match target {
            Target::K3d(name) => Self::K3d(Some(name)),
            Target::Kind(name) => Self::Kind(Some(name)),
            Target::Minikube(name) => Self::Minikube(Some(name)),
            Target::Registry => Self::Registry,
            Target::Archive(file) => Self::Archive(file),
        }
    }
}

/// A target, and why it is that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where the image goes.
    pub target: Target,
    /// `the context is k3d-dev`.
    pub because: String,
}

/// Whether a cluster that is not of this machine's may be changed without having been named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// `--yes`.
    Yes,
    /// Nobody has said so.
    No,
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Wanted {
            text: text.to_owned(),
        };
        let (kind, rest) = match text.split_once(':') {
            Some((_, "")) => return Err(refuse()),
            Some((kind, rest)) => (kind, Some(rest.to_owned())),
            None => (text, None),
        };
        // The name becomes an argument of a program.
        let is_name = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
        };
        let is_right = rest.as_ref().is_none_or(is_name);
        match (kind, rest) {
            ("auto", None) => Ok(Self::Auto),
            ("registry", None) => Ok(Self::Registry),
            ("archive", file) => Ok(Self::Archive(file.map(PathBuf::from))),
            ("k3d", name) if is_right => Ok(Self::K3d(name)),
            ("kind", name) if is_right => Ok(Self::Kind(name)),
            ("minikube", name) if is_right => Ok(Self::Minikube(name)),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::K3d(name) => write!(f, "the k3d cluster `{name}`"),
            Self::Kind(name) => write!(f, "the kind cluster `{name}`"),
            Self::Minikube(name) => write!(f, "the minikube profile `{name}`"),
            Self::Registry => f.write_str("a registry"),
            Self::Archive(Some(file)) => write!(f, "the file `{}`", file.display()),
            Self::Archive(None) => f.write_str("a file"),
        }
    }
}

/// Chooses the target: what is wanted, completed by the context of the kubeconfig.
///
/// # Errors
/// [`Error::NotLocal`] when nothing is wanted in particular and the context is no local cluster's, unless that is confirmed;
/// [`Error::NoCluster`] when a kind of cluster is wanted without a name and the context names none.
///
/// # Spec
/// `path-to-production.md` §3.5, *Target choice by kube context*.
pub fn choose(
    wanted: &Wanted,
    context: Option<&str>,
    confirmed: Confirmed,
) -> Result<Choice, Error> {
    let of_context = context.map(of_context);
    let asked = |target| Choice {
        target,
        because: "it was asked for".to_owned(),
    };
    let named =
        |kind: &'static str, name: &Option<String>, known: Option<String>| match (name, known) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(name)) => Ok(name),
            (None, None) => Err(Error::NoCluster {
                kind,
                context: context.map(str::to_owned),
            }),
        };
    let target = match wanted {
        Wanted::Auto => {
            let because = context.map_or_else(
                || "there is no context".to_owned(),
                |context| format!("the context is `{context}`"),
            );
            let target = of_context.unwrap_or(Target::Registry);
            if let (Target::Registry, Some(context), Confirmed::No) = (&target, context, confirmed)
            {
                return Err(Error::NotLocal {
                    context: context.to_owned(),
                });
            }
            return Ok(Choice { target, because });
        }
        Wanted::K3d(name) => {
            let known = match of_context {
                Some(Target::K3d(name)) => Some(name),
                _ => None,
            };
            Target::K3d(named("k3d", name, known)?)
        }
        Wanted::Kind(name) => {
            let known = match of_context {
                Some(Target::Kind(name)) => Some(name),
                _ => None,
            };
            Target::Kind(named("kind", name, known)?)
        }
        Wanted::Minikube(name) => {
            Target::Minikube(name.clone().unwrap_or_else(|| "minikube".to_owned()))
        }
        Wanted::Registry => Target::Registry,
        Wanted::Archive(file) => Target::Archive(file.clone()),
    };
    Ok(asked(target))
}

fn of_context(context: &str) -> Target {
    let named = |prefix: &str| context.strip_prefix(prefix).filter(|name| !name.is_empty());
    match (named("k3d-"), named("kind-")) {
        (Some(name), _) => Target::K3d(name.to_owned()),
        (_, Some(name)) => Target::Kind(name.to_owned()),
        _ if context == "minikube" => Target::Minikube(context.to_owned()),
        _ => Target::Registry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_decides_unless_something_is_wanted() {
        let k3d = |name: &str| Target::K3d(name.to_owned());
        for (wanted, context, expected) in [
            ("auto", Some("k3d-dev"), k3d("dev")),
            ("auto", Some("kind-kind"), Target::Kind("kind".to_owned())),
            (
                "auto",
                Some("minikube"),
                Target::Minikube("minikube".to_owned()),
            ),
            ("auto", None, Target::Registry),
            ("k3d", Some("k3d-dev"), k3d("dev")),
            ("k3d:other", Some("k3d-dev"), k3d("other")),
            ("k3d:other", Some("prod"), k3d("other")),
            ("kind:x", None, Target::Kind("x".to_owned())),
            ("registry", Some("prod"), Target::Registry),
            ("archive", Some("prod"), Target::Archive(None)),
            (
                "archive:/a/b.tar",
                None,
                Target::Archive(Some("/a/b.tar".into())),
            ),
        ] {
            let wanted: Wanted = wanted.parse().unwrap();
            let choice = choose(&wanted, context, Confirmed::No).unwrap();
            assert_eq!(choice.target, expected, "{wanted:?} {context:?}");
            // What is on record is read again.
            let again = choice.target.word().parse().unwrap();
            let again = choose(&again, None, Confirmed::No).unwrap();
            assert_eq!(again.target, expected);
        }
    }

    #[test]
    fn other_peoples_clusters_are_not_changed_by_accident() {
        for context in [
            "prod",
            "arn:aws:eks:eu-west-1:1:cluster/x",
            "k3d-",
            "docker-desktop",
        ] {
            let refused = choose(&Wanted::Auto, Some(context), Confirmed::No);
            assert!(matches!(refused, Err(Error::NotLocal { .. })), "{context}");
            let confirmed = choose(&Wanted::Auto, Some(context), Confirmed::Yes).unwrap();
            assert_eq!(confirmed.target, Target::Registry);
        }
        let refused = choose(&Wanted::Kind(None), Some("k3d-dev"), Confirmed::Yes);
        assert!(matches!(
            refused,
            Err(Error::NoCluster { kind: "kind", .. })
        ));
    }

    #[test]
    fn nothing_else_is_a_place() {
        for text in [
            "",
            "k3s",
            "auto:x",
            "k3d:",
            "k3d:-c",
            "kind:a b",
            "registry:x",
            "archive:",
        ] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }
}
