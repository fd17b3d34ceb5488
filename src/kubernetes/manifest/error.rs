//! Why a manifest is not edited.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::document::Refusal;
use crate::event::printable;
use crate::{fs, reference, yaml};

/// Why manifests cannot be read, or not be edited as they stand. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// What is to be written is no reference.
    #[error(transparent)]
    Reference(#[from] reference::ParseError),
    /// A directory or a pattern means no file.
    #[error("`{}` means no file", path.display())]
    NoFile {
        /// As it was given.
        path: PathBuf,
    },
    /// A directory has no kustomization.
    #[error("`{}` has no kustomization", path.display())]
    NoKustomization {
        /// The directory.
        path: PathBuf,
    },
    /// A file is no kustomization of Kustomize.
    #[error("`{}` is no kustomization of Kustomize: {reason}", path.display())]
    NotKustomize {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The bytes are no UTF-8.
    #[error("`{}` is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The text is no YAML.
    #[error("`{}` is not YAML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: yaml::Error,
    },
    /// The text is made into a manifest by a template engine.
    #[error("`{}`, line {line}: it is a template (`{{{{ … }}}}`), not a manifest", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// The line of the first mark of a template, from 1.
        line: usize,
    },
    /// A mapping has a key twice; programs differ in which one they take.
    #[error("`{}`, line {second}: `{}` is there already in line {first}", path.display(), printable(key))]
    DuplicateKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The line of the first, from 1.
        first: usize,
        /// The line of the second.
        second: usize,
    },
    /// Aliases make more of a text than is read.
    #[error("`{}`, line {line}: its aliases make more than {} values of it", path.display(), yaml::MOST_NODES)]
    Aliases {
        /// The file.
        path: PathBuf,
        /// Where the document begins, from 1.
        line: usize,
    },
    /// There is no workload in the files.
    #[error("no workload is in {}", listed(files))]
    NoWorkload {
        /// The files.
        files: Vec<String>,
    },
    /// The workload that was named is not in the files.
    #[error(
        "no workload `{}` is in the manifests; they have {}",
        printable(wanted),
        listed(present)
    )]
    NoSuchWorkload {
        /// As it was named.
        wanted: String,
        /// `KIND/NAME` of those that there are.
        present: Vec<String>,
    },
    /// No workload is in the namespace that was named.
    #[error(
        "no workload of namespace `{}` is in the manifests; they have the namespaces {}",
        printable(wanted),
        listed(present)
    )]
    NoSuchNamespace {
        /// As it was named.
        wanted: String,
        /// The namespaces that there are.
        present: Vec<String>,
    },
    /// No workload has the container.
    #[error(
        "no container `{}` is in the manifests; there are {}",
        printable(wanted),
        listed(present)
    )]
    NoContainer {
        /// Its name.
        wanted: String,
        /// `NAME in KIND/NAME` of those that there are.
        present: Vec<String>,
        /// The workload in which it is a container of the initialisation.
        init: Option<String>,
    },
    /// The container is not named, and there are several.
    #[error("the manifests have several containers: {}", listed(present))]
    Unnamed {
        /// `NAME in KIND/NAME` of those that there are.
        present: Vec<String>,
        /// True when all have one name, so that only their workloads tell them apart.
        is_one_name: bool,
    },
    /// Several workloads have the container.
    #[error(
        "container `{}` is in several workloads: {}",
        printable(container),
        listed(places)
    )]
    Ambiguous {
        /// Its name.
        container: String,
        /// `KIND/NAME (FILE:LINE)` of each.
        places: Vec<String>,
    },
    /// The image is used in other places too, through an anchor and aliases.
    #[error("`{}`, line {line}: the image is shared through an anchor: it is used in lines {}", path.display(), numbers(uses))]
    Shared {
        /// The file.
        path: PathBuf,
        /// Where the image is written.
        line: usize,
        /// The lines of its uses.
        uses: Vec<usize>,
    },
    /// The image is written in a way that cannot be changed exactly.
    #[error("`{}`, line {line}: the {what} {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was to be changed: `image`, `container`.
        what: &'static str,
        /// Why not: `has the tag …`.
        reason: String,
    },
    /// The changed text was not what it should be when it was read again.
    #[error("`{}`, line {line}: an edit would change more than one value", path.display())]
    Damage {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A file was changed by someone else meanwhile.
    #[error("`{}` was changed by another program meanwhile", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Some files were replaced, one could not be, and the others could not be put back.
    #[error(
        "{source}; {} changed already and could not be put back",
        listed(changed)
    )]
    Half {
        /// What failed first.
        source: fs::Error,
        /// The files that have the new image.
        changed: Vec<String>,
    },
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Template { .. } => {
                "set the image where the chart takes it from: its values (`helm upgrade --set image.…`), or a kustomization"
            }
            Self::NoFile { .. } => {
                "of a directory the files `*.yaml`, `*.yml` and `*.json` are read, without those below it"
            }
            Self::NoKustomization { .. } => {
                "the file is called `kustomization.yaml`, `kustomization.yml` or `Kustomization`"
            }
            Self::NotKustomize { .. } => {
                "one of Kustomize has the kind Kustomization of `kustomize.config.k8s.io`; Flux's kind of this name has its own `spec.images`"
            }
            Self::DuplicateKey { .. } => {
                "leave one of them; which of the two counts differs from program to program"
            }
            Self::Aliases { .. } => "write out what its aliases stand for",
            Self::NoWorkload { .. } | Self::NoSuchWorkload { .. } => {
                "workloads are Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, Pod and lists of them"
            }
            Self::NoContainer { init: Some(_), .. } => {
                "it is a container of the initialisation: add `--init-containers`"
            }
            Self::NoSuchNamespace { .. } => "name one of these: `--namespace NAME`",
            Self::NoContainer { .. }
            | Self::Unnamed {
                is_one_name: false, ..
            } => "name the container: `--container NAME`",
            Self::Ambiguous { .. }
            | Self::Unnamed {
                is_one_name: true, ..
            } => {
                "name the workload: `--deployment KIND/NAME`, and `--namespace` if that is not enough"
            }
            Self::Shared { .. } => {
                "write the image out at this container, or let the anchor stand below a key `x-…` that nothing else uses"
            }
            Self::Unfit { .. } => "write the image as one value on one line",
            Self::Damage { .. } => {
                "the file was left as it was; please report this together with the lines around it"
            }
            Self::Changed { .. } | Self::Half { .. } => "run the command again",
            Self::File(_) | Self::Reference(_) | Self::NotText { .. } | Self::Syntax { .. } => {
                return Vec::new();
            }
        };
        vec![hint.to_owned()]
    }

    /// As [`Self::Unfit`].
    pub(in super::super) fn unfit(
        path: &std::path::Path,
        what: &'static str,
        refusal: Refusal,
    ) -> Self {
        Self::Unfit {
            path: path.to_owned(),
            line: refusal.line,
            what,
            reason: refusal.reason,
        }
    }
}

/// How many names a message lists.
const MOST_NAMES: usize = 20;

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text: Vec<String> = names
        .iter()
        .take(MOST_NAMES)
        .map(|name| format!("`{}`", printable(name)))
        .collect();
    if names.len() > MOST_NAMES {
        text.push(format!("{} more", names.len() - MOST_NAMES));
    }
    text.join(", ")
}

fn numbers(lines: &[usize]) -> String {
    let lines: BTreeSet<usize> = lines.iter().copied().collect();
    let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
    lines.join(", ")
}
