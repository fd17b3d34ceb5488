//! Why a rollout does not come to its end: what a person reads, and what can be done.

use std::fmt;

/// What is the matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The pod template has no such container, or several that may be meant.
    NoContainer,
    /// The image's name cannot be one.
    InvalidImage,
    /// The image is not on the node, and the pull policy forbids to get it.
    NeverPulled,
    /// The image cannot be pulled.
    Pull,
    /// The container ended, this many times so far.
    Crash(u64),
    /// The container needed more memory than it may have.
    OutOfMemory,
    /// The container cannot be started: a missing Secret or ConfigMap, a missing command.
    Start,
    /// A probe fails.
    Probe,
    /// Pods cannot be created: a quota, an admission controller, a missing account.
    NotCreated,
    /// No node takes the pod.
    Unschedulable,
    /// A volume or the pod's network cannot be had.
    Sandbox,
    /// The pod was evicted, or ended as a whole.
    PodFailed,
    /// The controller gave up: `progressDeadlineSeconds`.
    ProgressDeadline,
    /// The Deployment, Rollout or Job is paused.
    Paused,
    /// The rollout was aborted, and the old pods serve (Argo Rollouts).
    Aborted,
    /// The controller says that it is degraded (Argo Rollouts).
    Degraded,
    /// The Job has failed for good: `backoffLimit`, `activeDeadlineSeconds`.
    JobFailed,
    /// Pods are replaced only when somebody deletes them: `updateStrategy: OnDelete`.
    OnDelete,
    /// A pod of an older revision is broken, and the controller waits for it (a StatefulSet, pods one after the other).
    OldPod,
    /// The right tag, but other bytes.
    OtherBytes,
    /// Flux could not apply what it has.
    Flux,
}

/// How long a trouble may last before it is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It does not pass by itself.
    Definite,
    /// It may be a hiccup, or a matter of the order in which objects were made: some seconds.
    Brief,
    /// It is part of many good starts: minutes.
    Slow,
    /// It is counted: more than so many times is a failure.
    Counted(u64),
}

impl Cause {
    /// How long it may last.
    pub fn class(self) -> Class {
        match self {
            Self::Pull | Self::Start | Self::NotCreated | Self::PodFailed => Class::Brief,
            Self::Probe | Self::Unschedulable | Self::Sandbox | Self::OldPod => Class::Slow,
            Self::Crash(times) => Class::Counted(times),
            Self::NoContainer
            | Self::InvalidImage
            | Self::NeverPulled
            | Self::OutOfMemory
            | Self::ProgressDeadline
            | Self::Paused
            | Self::Aborted
            | Self::Degraded
            | Self::JobFailed
            | Self::OnDelete
            | Self::OtherBytes
            | Self::Flux => Class::Definite,
        }
    }

    /// Its name for programs, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoContainer => "no-container",
            Self::InvalidImage => "invalid-image",
            Self::NeverPulled => "never-pulled",
            Self::Pull => "pull",
            Self::Crash(_) => "crash",
            Self::OutOfMemory => "out-of-memory",
            Self::Start => "start",
            Self::Probe => "probe",
            Self::NotCreated => "not-created",
            Self::Unschedulable => "unschedulable",
            Self::Sandbox => "sandbox",
            Self::PodFailed => "pod-failed",
            Self::ProgressDeadline => "progress-deadline",
            Self::Paused => "paused",
            Self::Aborted => "aborted",
            Self::Degraded => "degraded",
            Self::JobFailed => "job-failed",
            Self::OnDelete => "on-delete",
            Self::OldPod => "old-pod",
            Self::OtherBytes => "other-bytes",
            Self::Flux => "flux",
        }
    }

    /// What a person can do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoContainer => "name the container that runs the image: `--container NAME`",
            Self::InvalidImage => {
                "write the image in the manifest as `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`"
            }
            Self::NeverPulled => {
                "bring the image to the node (`overcoat deploy --to …`), or change `imagePullPolicy` to `IfNotPresent`"
            }
            Self::Pull => {
                "see that the image is there under this name (`overcoat digest IMAGE`) and that the pod may pull it: \
                 `imagePullSecrets`, and the registry's certificate on the node"
            }
            Self::Crash(_) => {
                "its last lines say why it ended; `overcoat run` tries the same image here"
            }
            Self::OutOfMemory => {
                "raise `resources.limits.memory` of the container, or have the application need less"
            }
            Self::Start => {
                "see that the Secrets, ConfigMaps and the command that the container names are there"
            }
            Self::Probe => {
                "see that the application listens on the probe's port and path, or give it more time: \
                 `initialDelaySeconds`, `failureThreshold`"
            }
            Self::NotCreated => {
                "the quota or the admission controller that is named has to allow the pods"
            }
            Self::Unschedulable => {
                "the cluster needs a node with enough room, or the pod must ask for less"
            }
            Self::Sandbox => "see that the volumes exist and the nodes can mount them",
            Self::PodFailed => "see the pod's message; the node may be short of memory or disk",
            Self::ProgressDeadline => {
                "a slow start needs a longer `progressDeadlineSeconds` in the Deployment"
            }
            Self::Paused => {
                "resume it: `kubectl rollout resume deployment/NAME`, `kubectl argo rollouts promote NAME`, or `suspend: false` of a Job"
            }
            Self::Aborted => {
                "see what its analysis says (`kubectl argo rollouts get rollout NAME`); `kubectl argo rollouts retry rollout NAME` tries again"
            }
            Self::Degraded => {
                "`kubectl argo rollouts get rollout NAME` shows its pods and analyses"
            }
            Self::JobFailed => {
                "a Job is not tried again: mend the image, delete the Job and make it anew"
            }
            Self::OnDelete => "delete the old pods, or change `updateStrategy` to `RollingUpdate`",
            Self::OldPod => {
                "the controller of a StatefulSet replaces no pod before all are ready; make room for the new one: \
                 `kubectl delete pod NAME`"
            }
            Self::OtherBytes => {
                "an image of a registry is deployed by digest (`overcoat deploy` does); where the wanted digest is an \
                 index and the pod shows its platform's, say so: `--accept-digest DIGEST`. One that was loaded into \
                 nodes has no digest there: load it under a new tag, for a node keeps what it has of an old one"
            }
            Self::Flux => "see what Flux says of its object, and that its sources can be reached",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::NoContainer => "has no such container",
            Self::InvalidImage => "names an image that cannot be one",
            Self::NeverPulled => "may not pull its image, which is not on the node",
            Self::Pull => "cannot pull its image",
            Self::Crash(1) => "has ended once",
            Self::Crash(_) => "ends again and again",
            Self::OutOfMemory => "was killed for needing more memory than it may have",
            Self::Start => "cannot be started",
            Self::Probe => "fails its probe",
            Self::NotCreated => "cannot create its pods",
            Self::Unschedulable => "finds no node",
            Self::Sandbox => "does not get its volumes or its network",
            Self::PodFailed => "has failed as a whole",
            Self::ProgressDeadline => {
                "has made no progress for longer than `progressDeadlineSeconds`"
            }
            Self::Paused => "is paused",
            Self::Aborted => "was aborted",
            Self::Degraded => "is degraded",
            Self::JobFailed => "has failed",
            Self::OnDelete => {
                "replaces its pods only when somebody deletes them (`updateStrategy: OnDelete`)"
            }
            Self::OldPod => {
                "is of an older revision and holds the rollout up, which waits until it is ready"
            }
            Self::OtherBytes => "runs other bytes under the wanted name",
            Self::Flux => "could not be reconciled",
        }
    }
}

/// What is the matter, where, and what the cluster says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What kind of trouble.
    pub cause: Cause,
    /// What it is about when it is not about a pod: `deployment/web`.
    pub object: String,
    /// The pod, by name.
    pub pod: Option<String>,
    /// The container in it.
    pub container: Option<String>,
    /// What the cluster says, in one line; may be empty.
    pub message: String,
    /// The newest warning event about it: `Unhealthy: Readiness probe failed: …`.
    pub event: Option<String>,
    /// The last lines that the container printed, when somebody asked for them.
    pub log: Vec<String>,
}

impl Reason {
    /// About the workload itself.
    pub fn of(object: impl Into<String>, cause: Cause, message: impl Into<String>) -> Self {
        Self {
            cause,
            object: object.into(),
            pod: None,
            container: None,
            message: message.into(),
            event: None,
            log: Vec::new(),
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> String {
        let hint = self.cause.hint();
        match (self.cause, &self.pod) {
            (Cause::Crash(_), _) if self.log.is_empty() => {
                "no line of it is known; `overcoat run` tries the same image here".to_owned()
            }
            (Cause::OldPod, Some(pod)) => hint.replace("NAME", pod),
            _ => hint.to_owned(),
        }
    }

    /// What tells it from others while time passes. The number of crashes does not.
    pub(super) fn key(&self) -> (&'static str, Option<String>, Option<String>) {
        (self.cause.name(), self.pod.clone(), self.container.clone())
    }
}

impl fmt::Display for Reason {
    /// One sentence: `container web-app of pod web-1 cannot pull its image: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.container, &self.pod) {
            (Some(container), Some(pod)) => write!(f, "container `{container}` of pod `{pod}`")?,
            (None, Some(pod)) => write!(f, "pod `{pod}`")?,
            (Some(container), None) => write!(f, "container `{container}` of {}", self.object)?,
            (None, None) => f.write_str(&self.object)?,
        }
        write!(f, " {}", self.cause.what())?;
        match self.message.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.message),
        }
    }
}
