//! What is asked of a cluster while a rollout is watched, and how one moment of it is read.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Pause;
use crate::event::Event;
use crate::event::Observer;
use crate::kubernetes::cluster::{
    Changes, Cluster, Error, Logs, PatchKind, Resource, Selector, Within, resource,
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

/// A real cluster, asked until a deadline. What was asked last is watched: [`Self::pause`] ends when it has changed.
pub struct Asked<'a> {
    cluster: &'a Cluster,
    observer: &'a dyn Observer,
    deadline: Instant,
    changes: Changes<'a>,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked")
            .field("cluster", self.cluster)
            .finish_non_exhaustive()
    }
}

impl<'a> Asked<'a> {
    /// Nothing is asked after `deadline` but what explains a failure; `observer` may ask to stop before.
    pub fn new(cluster: &'a Cluster, observer: &'a dyn Observer, deadline: Instant) -> Self {
        Self {
            cluster,
            observer,
            deadline,
            changes: cluster.changes(),
        }
    }

    /// Waits until what was asked for may be otherwise, or the person wants to stop.
    pub fn pause(&self, pause: Pause) {
        self.changes.wait(pause.poll, pause.most, self.observer);
        for what in self.changes.refused() {
            self.observer.observe(Event::Note {
                text: format!(
                    "the cluster does not let {what} be watched: it is asked every {}",
                    humantime::format_duration(pause.poll)
                ),
            });
        }
    }

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
        let named = Selector::fields(format!("metadata.name={name}"));
        self.changes.follow(resource, namespace, &named);
        self.cluster.get(self.within(), resource, namespace, name)
    }

    fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Vec<Value>, Error> {
        self.changes.follow(resource, namespace, selector);
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

/// Where workloads of a kind are: of several versions, a server knows the first or only the others.
pub(super) fn resources_of(kind: Kind) -> &'static [Resource] {
    match kind {
        Kind::Deployment => std::slice::from_ref(&resource::DEPLOYMENT),
        Kind::StatefulSet => std::slice::from_ref(&resource::STATEFUL_SET),
        Kind::DaemonSet => std::slice::from_ref(&resource::DAEMON_SET),
        Kind::Rollout => std::slice::from_ref(&resource::ROLLOUT),
        Kind::CronJob => &resource::CRON_JOBS,
        Kind::Job => std::slice::from_ref(&resource::JOB),
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
        Kind::Deployment | Kind::Rollout => list(&resource::REPLICA_SET)?,
        Kind::StatefulSet | Kind::DaemonSet => list(&resource::CONTROLLER_REVISION)?,
        Kind::Job | Kind::CronJob => Vec::new(),
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
