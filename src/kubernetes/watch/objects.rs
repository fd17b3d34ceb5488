//! What is asked of a cluster while a rollout is watched, and how one moment of it is read.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::event::Observer;
use crate::kubernetes::cluster::{
    Cluster, Error, Logs, PatchKind, Resource, Selector, Within, resource,
};
use crate::kubernetes::object::text;
use crate::kubernetes::rollout::{Kind, State, subjects};

/// How long one question may take: a server that hangs must not use up the whole deadline.
const QUESTION: Duration = Duration::from_secs(30);
/// After the deadline, how long the last lines of a container that is to blame may take.
const EXPLANATION: Duration = Duration::from_secs(5);
/// Of how many objects events are asked for at once: a rollout of a thousand pods fails as one of ten does.
const SUBJECTS: usize = 10;

/// What is asked of a cluster. Tests play one.
pub trait Objects {
    /// One object, if there is one.
    ///
    /// # Errors
    /// As [`Cluster::get`].
    fn get(&self, resource: &Resource, namespace: &str, name: &str)
    -> Result<Option<Value>, Error>;

    /// The objects that a selector fits.
    ///
    /// # Errors
    /// As [`Cluster::list`].
    fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Vec<Value>, Error>;

    /// Changes an object by a merge patch (RFC 7386).
    ///
    /// # Errors
    /// As [`Cluster::patch`].
    fn merge(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error>;

    /// A part of a container's log.
    ///
    /// # Errors
    /// As [`Cluster::logs`].
    fn log(&self, namespace: &str, pod: &str, logs: &Logs) -> Result<String, Error>;
}

/// A real cluster, asked until a deadline.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Which.
    pub cluster: &'a Cluster,
    /// May ask to stop.
    pub observer: &'a dyn Observer,
    /// When nothing is asked any more but what explains a failure.
    pub deadline: Instant,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("cluster", self.cluster)
            .finish_non_exhaustive()
    }
}

impl Asked<'_> {
    fn within(&self) -> Within<'_> {
        self.until(self.deadline)
    }

    fn until(&self, deadline: Instant) -> Within<'_> {
        Within {
            observer: self.observer,
            deadline: deadline.min(Instant::now() + QUESTION),
        }
    }
}

impl Objects for Asked<'_> {
    fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        self.cluster.get(self.within(), resource, namespace, name)
    }

    fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Vec<Value>, Error> {
        self.cluster
            .list(self.within(), resource, namespace, selector)
    }

    fn merge(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let (within, kind) = (self.within(), PatchKind::Merge);
        self.cluster
            .patch(within, resource, namespace, name, kind, patch, false)
    }

    fn log(&self, namespace: &str, pod: &str, logs: &Logs) -> Result<String, Error> {
        let within = self.until(self.deadline + EXPLANATION);
        self.cluster.logs(within, namespace, pod, logs)
    }
}

/// Where workloads of a kind are.
pub(super) fn resource_of(kind: Kind) -> &'static Resource {
    match kind {
        Kind::Deployment => &resource::DEPLOYMENT,
        Kind::StatefulSet => &resource::STATEFUL_SET,
        Kind::DaemonSet => &resource::DAEMON_SET,
    }
}

/// Reads what is around a workload. The order matters: whatever a controller made for the template that `workload` says
/// it has observed is there by now.
pub(super) fn state(
    objects: &dyn Objects,
    kind: Kind,
    namespace: &str,
    workload: Value,
) -> Result<State, Error> {
    let selector = Selector::of_workload(&workload["spec"]["selector"]);
    // An empty selector would mean every pod of the namespace; the API does not allow one.
    let list = |resource: &Resource| match selector.labels.is_empty() {
        true => Ok(Vec::new()),
        false => objects.list(resource, namespace, &selector),
    };
    let revisions = match kind {
        Kind::Deployment => list(&resource::REPLICA_SET)?,
        Kind::DaemonSet => list(&resource::CONTROLLER_REVISION)?,
        Kind::StatefulSet => Vec::new(),
    };
    let pods = list(&resource::POD)?;
    let mut state = State {
        kind,
        workload,
        revisions,
        pods,
        events: Vec::new(),
    };
    for uid in subjects(&state).iter().take(SUBJECTS) {
        let about = Selector::fields(format!("involvedObject.uid={uid},type=Warning"));
        match objects.list(&resource::EVENT, namespace, &about) {
            Ok(events) => state.events.extend(events),
            // Events explain; who may not read them is told less.
            Err(error) if error.is_refusal() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(state)
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}
