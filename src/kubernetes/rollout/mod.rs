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

mod cause;
mod image;
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
pub use image::Image;
pub use judge::judge;
pub use patience::{Grace, Patience};
pub use pods::{Pod, new_pods, subjects};

/// The kinds of workload that can be watched; all of `apps/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Interchangeable pods, by ReplicaSets.
    Deployment,
    /// Pods with numbers.
    StatefulSet,
    /// A pod on each node.
    DaemonSet,
}

/// A kind of workload that cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rollouts of `{kind}` cannot be watched, only those of a Deployment, a StatefulSet or a DaemonSet"
)]
pub struct UnsupportedKind {
    /// As it was given.
    pub kind: String,
}

impl Kind {
    /// All, in the order in which a name without a kind is looked for.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// As manifests have it: `Deployment`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// As kubectl prints it: `deployment`.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        }
    }

    /// As paths of the API have it: `deployments`.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
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
        match lower.trim_end_matches(".apps") {
            "deployment" | "deployments" | "deploy" => Ok(Self::Deployment),
            "statefulset" | "statefulsets" | "sts" => Ok(Self::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Ok(Self::DaemonSet),
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
    /// ReplicaSets for a Deployment, ControllerRevisions for the others; those of other workloads are ignored.
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
