//! Workloads and the containers in them: finding the one that is meant. No cluster is asked here.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::{Resource, resource};
use crate::event::printable;

/// A kind of workload whose pods are replaced when its template changes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

/// All kinds, in the order in which they are looked through.
pub const KINDS: [WorkloadKind; 3] = [
    WorkloadKind::Deployment,
    WorkloadKind::StatefulSet,
    WorkloadKind::DaemonSet,
];

impl WorkloadKind {
    /// Where servers keep them.
    pub fn resource(self) -> &'static Resource {
        match self {
            Self::Deployment => &resource::DEPLOYMENT,
            Self::StatefulSet => &resource::STATEFUL_SET,
            Self::DaemonSet => &resource::DAEMON_SET,
        }
    }

    /// The kind by any name that kubectl knows it by: `deploy`, `Deployment`, `deployments.apps`, `sts`, `ds` …
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.strip_suffix(".apps").unwrap_or(&name) {
            "deployment" | "deployments" | "deploy" => Some(Self::Deployment),
            "statefulset" | "statefulsets" | "sts" => Some(Self::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Some(Self::DaemonSet),
            _ => None,
        }
    }
}

impl fmt::Display for WorkloadKind {
    /// In small letters, as kubectl shows it: `deployment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        })
    }
}

/// A workload as a person names it: `KIND/NAME` or `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// The kind, if it was named.
    pub kind: Option<WorkloadKind>,
    /// The name.
    pub name: String,
}

impl FromStr for WorkloadName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => {
                let known = WorkloadKind::named(kind);
                let kind = known.ok_or_else(|| {
                    format!(
                        "`{}` is no kind of workload: use deployment, statefulset or daemonset",
                        printable(kind)
                    )
                })?;
                (Some(kind), name)
            }
        };
        // DNS-1123 subdomain: what the API server allows.
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            });
        match is_name {
            true => Ok(Self {
                kind,
                name: name.to_owned(),
            }),
            false => Err(format!(
                "`{}` is no name of a workload: expected NAME or KIND/NAME",
                printable(name)
            )),
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A workload as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// The whole object.
    pub object: Value,
}

/// One container of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// True for one that runs before the others (`initContainers`).
    pub is_init: bool,
    /// Its image as it stands there; empty when it has none.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`; nothing where the server has not filled it in.
    pub pull_policy: Option<String>,
}

impl Workload {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// As a person would name it, kind included.
    pub fn full_name(&self) -> WorkloadName {
        WorkloadName {
            kind: Some(self.kind),
            name: self.name().to_owned(),
        }
    }

    /// The containers of its template, those that run before the others last.
    pub fn containers(&self) -> Vec<Container> {
        let spec = &self.object["spec"]["template"]["spec"];
        let of = |key: &str, is_init: bool| -> Vec<Container> {
            let containers = spec[key].as_array().into_iter().flatten();
            let container = |container: &Value| Container {
                name: container["name"].as_str().unwrap_or_default().to_owned(),
                is_init,
                image: container["image"].as_str().unwrap_or_default().to_owned(),
                pull_policy: container["imagePullPolicy"].as_str().map(str::to_owned),
            };
            containers.map(container).collect()
        };
        [of("containers", false), of("initContainers", true)].concat()
    }

    /// True when its rollout has been stopped by hand (`kubectl rollout pause`).
    pub fn is_paused(&self) -> bool {
        self.object["spec"]["paused"].as_bool() == Some(true)
    }

    /// What keeps it as something else says, and would undo a change: `the HelmRelease shop/web of Flux`.
    pub fn manager(&self) -> Option<String> {
        let labels = &self.object["metadata"]["labels"];
        let label = |name: &str| labels[name].as_str().map(printable);
        let of_flux = |kind: &str, group: &str| {
            let name = label(&format!("{group}/name"))?;
            let namespace = label(&format!("{group}/namespace")).unwrap_or_default();
            Some(format!("the {kind} `{namespace}/{name}` of Flux"))
        };
        let argo =
            self.object["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"].as_str();
        of_flux("HelmRelease", "helm.toolkit.fluxcd.io")
            .or_else(|| of_flux("Kustomization", "kustomize.toolkit.fluxcd.io"))
            .or_else(|| {
                Some(format!(
                    "the application `{}` of Argo CD",
                    printable(argo?.split(':').next()?)
                ))
            })
    }
}

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
            Self::NoWorkload { known, .. } => listed("there are", known),
            Self::NoContainer { known, .. } => listed("there are", known),
            Self::NotInWorkload { known, .. } => format!("it has {}", known.join(", ")),
            Self::SeveralWorkloads { .. } | Self::SeveralContainers { .. } => {
                "choose one with `--workload KIND/NAME`".to_owned()
            }
            Self::NothingNamed { known, .. } => listed("choose one with `--container NAME`", known),
        }]
    }

    /// True when what was asked for is not there at all: a first deployment is due.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NoWorkload { .. } | Self::NoContainer { .. })
    }
}

/// The one workload and the one container that are meant.
///
/// A named workload must be there and have the container; if it has only one container, that is the one. Without a workload, exactly
/// one of all must have a container of this name.
///
/// # Errors
/// [`FindError`].
pub fn find(
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

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
