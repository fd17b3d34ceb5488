//! Is a rollout over, is it under way, or has it failed, and why?
//!
//! The judgement is pure. [`judge`] looks at one [`State`]: a workload, its revisions, its pods and the events about
//! them, as JSON of the API. It says [`Verdict::Done`] only when the wanted image runs: the container is found by its
//! name, the image is compared as a reference (never as a part of a text) and by digest, the controller has seen the
//! newest template, and as many new pods are ready as there should be. [`Patience`] then looks at one verdict after
//! the other, with the time that the caller gives it, and turns troubles that do not pass into failures.
//!
//! # Spec
//! `reference/path-to-production.md` §1.6 lists what other tools get wrong here; §3.6, step 7, what a failure must tell.

mod argo;
mod cause;
mod compare;
mod image;
mod jobs;
mod judge;
mod patience;
mod pods;
mod progress;
#[cfg(test)]
pub(in crate::kubernetes) mod samples;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

pub use cause::{Cause, Class, Reason};
pub use compare::{Health, Report, report};
pub use image::Image;
pub use judge::judge;
pub use patience::{Grace, Patience};
pub use pods::{Pod, new_pods, subjects};

/// The kinds of workload that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Interchangeable pods, by ReplicaSets; `apps/v1`.
    Deployment,
    /// Pods with numbers; `apps/v1`.
    StatefulSet,
    /// A pod on each node; `apps/v1`.
    DaemonSet,
    /// A Deployment in steps, by Argo Rollouts; `argoproj.io/v1alpha1`.
    Rollout,
    /// Jobs at certain times; `batch/v1`. Nothing of it rolls out.
    CronJob,
    /// Pods that end; `batch/v1`.
    Job,
}

/// A kind of workload that cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rollouts of `{kind}` cannot be watched, only those of a Deployment, a StatefulSet, a DaemonSet, a Rollout (Argo), a CronJob \
     or a Job"
)]
pub struct UnsupportedKind {
    /// As it was given.
    pub kind: String,
}

impl Kind {
    /// Those that a name without a kind is looked for first.
    pub const COMMON: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];
    /// Those that it is looked for then.
    pub const OTHERS: [Self; 3] = [Self::Rollout, Self::CronJob, Self::Job];

    /// As manifests have it: `Deployment`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Rollout => "Rollout",
            Self::CronJob => "CronJob",
            Self::Job => "Job",
        }
    }

    /// As kubectl prints it: `deployment`.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Rollout => "rollout",
            Self::CronJob => "cronjob",
            Self::Job => "job",
        }
    }

    /// As paths of the API have it: `deployments`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Rollout => "rollouts",
            Self::CronJob => "cronjobs",
            Self::Job => "jobs",
        }
    }

    /// Where the specification of its pods is, as a JSON pointer.
    pub(in crate::kubernetes) fn pod_spec(self) -> &'static str {
        match self {
            Self::CronJob => "/spec/jobTemplate/spec/template/spec",
            _ => "/spec/template/spec",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lower())
    }
}

impl FromStr for Kind {
    type Err = UnsupportedKind;

    /// Reads what kubectl takes: `Deployment`, `deployments`, `deploy`, `deployment.apps`, …
    fn from_str(text: &str) -> Result<Self, UnsupportedKind> {
        let lower = text.to_ascii_lowercase();
        let groups = [".apps", ".batch", ".argoproj.io"];
        let mut short = groups.iter().filter_map(|group| lower.strip_suffix(group));
        match short.next().unwrap_or(&lower) {
            "deployment" | "deployments" | "deploy" => Ok(Self::Deployment),
            "statefulset" | "statefulsets" | "sts" => Ok(Self::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Ok(Self::DaemonSet),
            "rollout" | "rollouts" | "ro" => Ok(Self::Rollout),
            "cronjob" | "cronjobs" | "cj" => Ok(Self::CronJob),
            "job" | "jobs" => Ok(Self::Job),
            _ => Err(UnsupportedKind {
                kind: text.chars().take(100).collect(),
            }),
        }
    }
}

/// What the cluster says at one moment. Every object is as the API gives it.
#[derive(Clone, Debug)]
pub struct State {
    /// What the workload is.
    pub kind: Kind,
    /// The workload.
    pub workload: Value,
    /// ReplicaSets for a Deployment and a Rollout, ControllerRevisions for StatefulSets and DaemonSets; those of other workloads are
    /// ignored.
    pub revisions: Vec<Value>,
    /// Pods; those of others are ignored.
    pub pods: Vec<Value>,
    /// Events of type `Warning` about any of these.
    pub events: Vec<Value>,
}

/// What should run.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The container's name. Without it: the only container, or the only one whose image is of the wanted repository.
    pub container: Option<String>,
    /// The image; whatever the pod template names when there is none.
    pub image: Option<Image>,
}

/// What is to be thought of a [`State`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not there yet.
    Waiting {
        /// What is awaited, in a sentence.
        why: String,
        /// What is not as it should be; may pass.
        troubles: Vec<Reason>,
    },
    /// The wanted image runs in as many pods as it should.
    Done(Done),
    /// It will not come true without somebody doing something.
    Failed(Box<Reason>),
}

/// How a rollout ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The names of the new pods, sorted; none when no replica is wanted.
    pub pods: Vec<String>,
    /// The container that was looked at.
    pub container: String,
    /// The image as the pod template names it.
    pub image: String,
    /// What a person should know although it is done.
    pub notes: Vec<String>,
    /// True when the template says what being ready is (a readiness probe, `minReadySeconds`): a pod that is about to
    /// crash is not taken for a ready one then.
    pub is_certain: bool,
}

/// The workload as kubectl names it, `deployment/web`.
pub fn title(state: &State) -> String {
    format!("{}/{}", state.kind, super::object::name(&state.workload))
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
