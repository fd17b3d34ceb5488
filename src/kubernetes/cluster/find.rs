//! The one container of the one workload that is meant.

use super::workload::{COMMON_KINDS, Container, Workload, WorkloadName};
use crate::event::printable;

/// Why no single container is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// No workload of this name.
    #[error("there is no workload `{name}` in the namespace `{namespace}`")]
    NoWorkload {
        /// What was asked for.
        name: WorkloadName,
        /// Where.
        namespace: String,
        /// Those there are, `KIND/NAME`.
        known: Vec<String>,
    },
    /// Workloads of several kinds have this name.
    #[error("there are several workloads `{name}` in the namespace `{namespace}`: {}", .candidates.join(", "))]
    SeveralWorkloads {
        /// What was asked for.
        name: String,
        /// Where.
        namespace: String,
        /// `KIND/NAME` each.
        candidates: Vec<String>,
    },
    /// The cluster has no such namespace.
    #[error("the cluster has no namespace `{}`", printable(namespace))]
    NoNamespace {
        /// What was asked for.
        namespace: String,
    },
    /// No workload has such a container.
    #[error("no workload in the namespace `{namespace}` has a container `{container}`")]
    NoContainer {
        /// What was asked for.
        container: String,
        /// Where.
        namespace: String,
        /// `KIND/NAME: CONTAINER, CONTAINER` each.
        known: Vec<String>,
    },
    /// Several workloads have such a container.
    #[error("several workloads in the namespace `{namespace}` have a container `{container}`: {}", .candidates.join(", "))]
    SeveralContainers {
        /// What was asked for.
        container: String,
        /// Where.
        namespace: String,
        /// `KIND/NAME` each.
        candidates: Vec<String>,
    },
    /// A workload has no such container.
    #[error("{workload} has no container `{container}`")]
    NotInWorkload {
        /// The workload.
        workload: WorkloadName,
        /// What was asked for.
        container: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// Neither a container nor a workload was named, or a workload with several containers.
    #[error("which container is meant is not said{}", of(.workload.as_ref()))]
    NothingNamed {
        /// The workload, if one was named.
        workload: Option<WorkloadName>,
        /// What there is to choose from.
        known: Vec<String>,
    },
}

fn of(workload: Option<&WorkloadName>) -> String {
    workload.map_or_else(String::new, |name| format!(": {name} has several"))
}

impl FindError {
    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        let listed = |what: &str, known: &[String]| {
            match known.is_empty() {
            true => "there are no workloads at all: is it the right `--namespace` and `--context`? for the first deployment use `--apply FILE` or \
                     `--first-deployment SCRIPT`"
                .to_owned(),
            false => format!("{what}: {}", known.join("; ")),
        }
        };
        vec![match self {
            Self::NoNamespace { .. } => {
                "name another one: `--namespace NAME` (`kubectl get namespaces` lists them), or another `--context`; for the first deployment \
                 use `--apply FILE` or `--first-deployment SCRIPT`"
                    .to_owned()
            }
            Self::NoWorkload { known, .. } => listed("there are", known),
            Self::NoContainer { known, .. } => listed("there are", known),
            Self::NotInWorkload { known, .. } => format!("it has {}", known.join(", ")),
            Self::SeveralWorkloads { .. } | Self::SeveralContainers { .. } => {
                "choose one with `--workload KIND/NAME`".to_owned()
            }
            Self::NothingNamed { known, .. } => listed("choose one with `--container NAME`", known),
        }]
    }

    /// True when there are several, and nobody said which.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::SeveralWorkloads { .. } | Self::SeveralContainers { .. } => true,
            Self::NothingNamed { known, .. } => !known.is_empty(),
            _ => false,
        }
    }

    /// True when what was asked for is not there at all: a first deployment is due.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoWorkload { .. } | Self::NoContainer { .. } | Self::NoNamespace { .. }
        )
    }

    /// The namespace in which nothing was found at all: perhaps it is not there.
    pub(super) fn empty_namespace(&self) -> Option<&str> {
        match self {
            Self::NoWorkload {
                namespace, known, ..
            }
            | Self::NoContainer {
                namespace, known, ..
            } if known.is_empty() => Some(namespace),
            _ => None,
        }
    }
}

/// The one workload and the one container that are meant.
///
/// A named workload must be there and have the container; if it has only one container, that is the one. Without a workload, exactly
/// one of all must have a container of this name. Where no kind is named, what runs all the time is meant first
/// ([`COMMON_KINDS`]), and the other kinds only when none of that is it.
///
/// # Errors
/// [`FindError`].
pub fn find(
    workloads: Vec<Workload>,
    name: Option<&WorkloadName>,
    container: Option<&str>,
    namespace: &str,
) -> Result<(Workload, Container), FindError> {
    if name.is_none_or(|name| name.kind.is_none()) {
        let common = workloads.iter();
        let common = common.filter(|workload| COMMON_KINDS.contains(&workload.kind));
        match among(common.cloned().collect(), name, container, namespace) {
            Err(error) if error.is_absence() => {}
            found if container.is_some() || name.is_some() => return found,
            _ => {}
        }
    }
    among(workloads, name, container, namespace)
}

fn among(
    workloads: Vec<Workload>,
    name: Option<&WorkloadName>,
    container: Option<&str>,
    namespace: &str,
) -> Result<(Workload, Container), FindError> {
    let namespace = namespace.to_owned();
    let overview = |workloads: &[Workload]| -> Vec<String> {
        let line = |workload: &Workload| {
            format!(
                "{}: {}",
                workload.full_name(),
                container_names(workload).join(", ")
            )
        };
        workloads.iter().take(20).map(line).collect()
    };
    let Some(name) = name else {
        let known = overview(&workloads);
        let Some(wanted) = container else {
            return Err(FindError::NothingNamed {
                workload: None,
                known,
            });
        };
        let has = |workload: &Workload| {
            workload
                .containers()
                .into_iter()
                .find(|found| found.name == wanted)
        };
        let found = workloads
            .into_iter()
            .filter_map(|workload| has(&workload).map(|container| (workload, container)));
        let mut found: Vec<(Workload, Container)> = found.collect();
        let container = wanted.to_owned();
        if found.len() > 1 {
            let candidates = found
                .iter()
                .map(|(workload, _)| workload.full_name().to_string())
                .collect();
            return Err(FindError::SeveralContainers {
                container,
                namespace,
                candidates,
            });
        }
        return found.pop().ok_or(FindError::NoContainer {
            container,
            namespace,
            known,
        });
    };
    let is_meant = |workload: &Workload| {
        workload.name() == name.name && name.kind.is_none_or(|kind| kind == workload.kind)
    };
    let (mut meant, others): (Vec<Workload>, Vec<Workload>) =
        workloads.into_iter().partition(is_meant);
    if meant.len() > 1 {
        let candidates = meant
            .iter()
            .map(|workload| workload.full_name().to_string())
            .collect();
        return Err(FindError::SeveralWorkloads {
            name: name.name.clone(),
            namespace,
            candidates,
        });
    }
    let Some(workload) = meant.pop() else {
        let known = others
            .iter()
            .take(20)
            .map(|workload| workload.full_name().to_string())
            .collect();
        return Err(FindError::NoWorkload {
            name: name.clone(),
            namespace,
            known,
        });
    };
    let (full_name, known) = (workload.full_name(), container_names(&workload));
    let mut containers = workload.containers();
    let found = match container {
        Some(wanted) => {
            let found = containers.into_iter().find(|found| found.name == wanted);
            found.ok_or_else(|| FindError::NotInWorkload {
                workload: full_name,
                container: wanted.to_owned(),
                known,
            })?
        }
        None => {
            containers.retain(|container| !container.is_init);
            match <[Container; 1]>::try_from(containers) {
                Ok([only]) => only,
                Err(_) => {
                    return Err(FindError::NothingNamed {
                        workload: Some(full_name),
                        known,
                    });
                }
            }
        }
    };
    Ok((workload, found))
}

fn container_names(workload: &Workload) -> Vec<String> {
    workload
        .containers()
        .into_iter()
        .map(|container| printable(&container.name))
        .collect()
}
