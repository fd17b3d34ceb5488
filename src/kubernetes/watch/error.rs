//! How watching ends badly.

use std::time::Duration;

use crate::event::printable;
use crate::kubernetes::cluster;
use crate::kubernetes::flux::Target;
use crate::kubernetes::rollout::{Cause, Reason, UnsupportedKind};

/// Why a watch did not end with a complete rollout. Workloads are named as kubectl does, `deployment/web`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The cluster cannot be asked, or does not allow it.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// There is no such workload.
    #[error("there is no {} in the namespace `{namespace}`", printable(what))]
    NoWorkload {
        /// What was looked for: `deployment/web`, or `workload called web`.
        what: String,
        /// Where.
        namespace: String,
        /// The workloads that are there; some of them if there are many.
        present: Vec<String>,
    },
    /// The cluster has no such namespace.
    #[error("the cluster has no namespace `{}`", printable(namespace))]
    NoNamespace {
        /// Where was to be looked.
        namespace: String,
    },
    /// Workloads of several kinds have this name.
    #[error("`{}` may be {}", printable(name), found.join(" or "))]
    Ambiguous {
        /// The name without a kind.
        name: String,
        /// With their kinds.
        found: Vec<String>,
    },
    /// It is a workload of another kind.
    #[error(transparent)]
    Unsupported(#[from] UnsupportedKind),
    /// The rollout has failed.
    #[error("the rollout of {workload} has failed")]
    Failed {
        /// The workload.
        workload: String,
        /// Why.
        reason: Box<Reason>,
    },
    /// The container that is meant is not there, or it is not clear which is meant.
    #[error("{reason}")]
    NoContainer {
        /// Why.
        reason: Box<Reason>,
    },
    /// The deadline came first.
    #[error("the rollout of {workload} was not complete within {}", humantime::format_duration(*timeout))]
    Timeout {
        /// The workload.
        workload: String,
        /// The whole time that there was.
        timeout: Duration,
        /// What was awaited last, and what was not as it should be.
        why: Vec<String>,
        /// What was the matter then, if anything was.
        reason: Option<Box<Reason>>,
    },
    /// The deadline came before several were complete.
    #[error("{} rollouts were not complete in time: {}", late.len(), names(late))]
    Late {
        /// What is to be said of each: [`Self::Timeout`] or [`Self::NotReady`].
        late: Vec<Error>,
    },
    /// The new pods run, but did not say that they are ready.
    #[error("{workload} runs, but {why}")]
    NotReady {
        /// The workload.
        workload: String,
        /// Why not.
        why: String,
        /// Lines of the log that tell more.
        lines: Vec<String>,
    },
    /// Flux cannot be asked.
    #[error("Flux cannot be asked to reconcile {target}: {problem}")]
    Flux {
        /// What it should have reconciled.
        target: Target,
        /// Why not.
        problem: FluxProblem,
    },
    /// The person asked to stop.
    #[error("interrupted; the rollout goes on without us")]
    Interrupted,
}

/// Why Flux cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FluxProblem {
    /// The cluster does not know such objects.
    #[error("the cluster has no such kind; Flux is not installed there")]
    NotInstalled,
    /// There is no such object.
    #[error("there is none in the namespace `{namespace}`")]
    Absent {
        /// Where it was looked for.
        namespace: String,
    },
    /// It is suspended.
    #[error("it is suspended")]
    Suspended,
}

fn names(late: &[Error]) -> String {
    let names: Vec<&str> = late.iter().filter_map(Error::workload).collect();
    names.join(", ")
}

impl Error {
    /// One error of those of several workloads; nothing of none.
    pub(super) fn of_all<'e>(errors: impl Iterator<Item = &'e Self>) -> Option<Self> {
        let mut late: Vec<Self> = errors.cloned().collect();
        match late.len() {
            0 | 1 => late.pop(),
            _ => Some(Self::Late { late }),
        }
    }

    /// The workload that it is about, where it is about one: `deployment/web`.
    pub fn workload(&self) -> Option<&str> {
        match self {
            Self::Failed { workload, .. }
            | Self::Timeout { workload, .. }
            | Self::NotReady { workload, .. } => Some(workload),
            Self::Late { late } => late.first()?.workload(),
            _ => None,
        }
    }

    /// The reasons, nearest first.
    pub fn because(&self) -> Vec<String> {
        match self {
            Self::Failed { reason, .. } => {
                let event = reason.event.iter().map(|event| format!("event {event}"));
                std::iter::once(reason.to_string()).chain(event).collect()
            }
            Self::Timeout { why, reason, .. } => {
                let event = reason.iter().filter_map(|reason| reason.event.as_ref());
                let event = event.map(|event| format!("event {event}"));
                why.iter().cloned().chain(event).collect()
            }
            Self::Late { late } => {
                let each = late
                    .iter()
                    .flat_map(|error| std::iter::once(error.to_string()).chain(error.because()));
                each.collect()
            }
            _ => Vec::new(),
        }
    }

    /// The last lines of the container that is to blame.
    pub fn lines(&self) -> &[String] {
        match self {
            Self::Failed { reason, .. }
            | Self::Timeout {
                reason: Some(reason),
                ..
            } => &reason.log,
            Self::NotReady { lines, .. } => lines,
            Self::Late { late } => {
                let mut each = late.iter().map(Self::lines);
                each.find(|lines| !lines.is_empty()).unwrap_or_default()
            }
            _ => &[],
        }
    }

    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Cluster(error) => return error.hints(),
            Self::Late { late } => {
                let mut hints = Vec::new();
                for hint in late.iter().flat_map(Self::hints) {
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                }
                return hints;
            }
            Self::NoWorkload { present, namespace, .. } => match present.is_empty() {
                true => format!(
                    "the namespace `{namespace}` has no workloads; see `--namespace` and `--context`, or wait until it is \
                     made: `--wait-for-creation`"
                ),
                false => format!("it has {}", present.join(", ")),
            },
            Self::NoNamespace { .. } => {
                "name another one: `--namespace NAME` (`kubectl get namespaces` lists them), or another `--context`".to_owned()
            }
            Self::Ambiguous { .. } => "name its kind: `--workload KIND/NAME`".to_owned(),
            Self::Unsupported(_) => {
                "the tool of that kind knows its rollouts: `kubectl wait job/NAME`, `kubectl argo rollouts status NAME`".to_owned()
            }
            Self::Failed { reason, .. } | Self::NoContainer { reason } => reason.hint(),
            Self::Timeout { reason, .. } => match reason {
                Some(reason) => reason.hint(),
                None => "give it longer with `--timeout TIME`, or see whether the image was deployed at all".to_owned(),
            },
            Self::NotReady { .. } => "`kubectl logs` shows all of it".to_owned(),
            Self::Flux { problem, .. } => match problem {
                FluxProblem::NotInstalled => "leave `--reconcile` out: nothing here needs Flux".to_owned(),
                FluxProblem::Absent { .. } => "name it with its namespace: `--reconcile helmrelease/NAMESPACE/NAME`".to_owned(),
                FluxProblem::Suspended => "resume it (`flux resume`), or leave `--reconcile` out".to_owned(),
            },
            Self::Interrupted => return Vec::new(),
        };
        vec![hint]
    }

    /// True for a rollout that failed for want of its container: a mistake of the configuration.
    pub(super) fn of_reason(workload: String, reason: Box<Reason>) -> Self {
        match reason.cause {
            Cause::NoContainer => Self::NoContainer { reason },
            _ => Self::Failed { workload, reason },
        }
    }
}
