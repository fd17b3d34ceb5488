//! The pods of the newest template, and what is the matter with them.

use serde_json::Value;

use super::{Cause, Kind, Reason, State, argo, jobs, progress, title};
use crate::kubernetes::object::{
    condition, count, is_controlled_by, is_true, items, label, name, shown, text,
};

const TEMPLATE_HASH: &str = "pod-template-hash";
const REVISION_HASH: &str = "controller-revision-hash";
const DEPLOYMENT_REVISION: &str = "deployment.kubernetes.io/revision";

/// A pod of the newest template.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'s>(pub(super) &'s Value);

impl<'s> Pod<'s> {
    /// Its name.
    pub fn name(self) -> &'s str {
        name(self.0)
    }

    /// The status of one of its containers; initialising ones after the others.
    pub(super) fn container(self, wanted: &str) -> Option<&'s Value> {
        self.containers()
            .find(|status| text(status, "/name") == wanted)
    }

    fn containers(self) -> impl Iterator<Item = &'s Value> {
        let later = items(self.0, "/status/containerStatuses").iter();
        later.chain(items(self.0, "/status/initContainerStatuses"))
    }

    /// True when this container answers as it should.
    pub fn is_ready(self, container: &str) -> bool {
        self.container(container)
            .is_some_and(|status| is_true(status, "/ready"))
    }

    /// How often this container has ended since the pod was made, and what is known of its last end: `exit code 1`.
    pub fn ends(self, container: &str) -> (u64, String) {
        self.container(container)
            .map_or((0, String::new()), |status| {
                (ends(status), last_end(status))
            })
    }
}

/// The pods of the newest template that are to stay, by name.
///
/// Of a Deployment those with the `pod-template-hash` of the ReplicaSet with the highest revision (after a rollback
/// that is not the youngest); of a Rollout those with the hash that its status calls the current one; of StatefulSets and
/// DaemonSets those with the newest `controller-revision-hash`; of a Job all, and only those that succeeded once it is complete. Pods that are being
/// deleted do not count, and neither do pods of another owner with the same labels.
pub fn new_pods(state: &State) -> Vec<Pod<'_>> {
    let mut pods: Vec<Pod<'_>> = match state.kind {
        Kind::Deployment => match newest_replica_set(state) {
            None => Vec::new(),
            Some(set) => pods_of(state, set, TEMPLATE_HASH, label(set, TEMPLATE_HASH)),
        },
        Kind::StatefulSet => {
            let hash = text(&state.workload, "/status/updateRevision");
            pods_of(state, &state.workload, REVISION_HASH, hash)
        }
        Kind::Rollout => argo::new_pods(state),
        Kind::Job => jobs::pods(state),
        Kind::CronJob => Vec::new(),
        Kind::DaemonSet => match newest_revision(state) {
            None => Vec::new(),
            Some(revision) => {
                let hash = label(revision, REVISION_HASH);
                pods_of(state, &state.workload, REVISION_HASH, hash)
            }
        },
    };
    pods.sort_by_key(|pod| pod.name());
    pods
}

pub(super) fn pods_of<'s>(state: &'s State, owner: &Value, key: &str, hash: &str) -> Vec<Pod<'s>> {
    let is_new = |pod: &&Value| {
        !hash.is_empty()
            && label(pod, key) == hash
            && is_controlled_by(pod, owner)
            && pod.pointer("/metadata/deletionTimestamp").is_none()
    };
    state.pods.iter().filter(is_new).map(Pod).collect()
}

pub(super) fn own_revisions(state: &State) -> impl Iterator<Item = &Value> {
    let own = |one: &&Value| is_controlled_by(one, &state.workload);
    state.revisions.iter().filter(own)
}

fn newest_replica_set(state: &State) -> Option<&Value> {
    let revision = |set: &Value| -> u64 {
        let annotations = &set["metadata"]["annotations"];
        let number = annotations[DEPLOYMENT_REVISION].as_str();
        number.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    own_revisions(state).max_by_key(|set| (revision(set), text(set, "/metadata/creationTimestamp")))
}

fn newest_revision(state: &State) -> Option<&Value> {
    own_revisions(state).max_by_key(|one| count(one, "/revision"))
}

/// The objects of which events are worth asking for: the workload where pods are missing and no condition tells why, and
/// the new pods that are not ready. Uids, the workload's first.
pub fn subjects(state: &State) -> Vec<String> {
    let mut uids = Vec::new();
    let has_condition = matches!(state.kind, Kind::Deployment | Kind::Rollout);
    let needs_pods = state.kind == Kind::Job && !jobs::is_over(&state.workload);
    if !has_condition && (needs_pods && state.pods.is_empty() || progress::missing(state) > 0) {
        uids.push(text(&state.workload, "/metadata/uid"));
    }
    let not_ready = |pod: &Pod<'_>| {
        condition(pod.0, "Ready").is_none_or(|ready| text(ready, "/status") != "True")
    };
    let pods = new_pods(state).into_iter().filter(not_ready);
    uids.extend(pods.map(|pod| text(pod.0, "/metadata/uid")));
    // A field selector is made of them.
    uids.retain(|uid| {
        !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    uids.into_iter().map(str::to_owned).collect()
}

/// Everything that is not as it should be, the most telling first.
pub(super) fn troubles(state: &State) -> Vec<Reason> {
    let mut found: Vec<Reason> = Vec::new();
    for pod in new_pods(state) {
        found.extend(of_pod(state, pod));
    }
    found.extend(held_up_by(state));
    found.extend(not_created(state));
    found.sort_by_key(|reason| severity(reason.cause));
    found
}

/// Broken pods of older revisions, which a StatefulSet that starts its pods one after the other waits for, and never replaces.
///
/// # Spec
/// Kubernetes, *StatefulSets*, "Forced rollback"; `podManagementPolicy` is `OrderedReady` when missing.
fn held_up_by(state: &State) -> Vec<Reason> {
    let workload = &state.workload;
    let newest = text(workload, "/status/updateRevision");
    if state.kind != Kind::StatefulSet
        || newest.is_empty()
        || text(workload, "/spec/podManagementPolicy") == "Parallel"
        || text(workload, "/spec/updateStrategy/type") == "OnDelete"
    {
        return Vec::new();
    }
    let is_old = |pod: &&Value| {
        label(pod, REVISION_HASH) != newest
            && is_controlled_by(pod, workload)
            && pod.pointer("/metadata/deletionTimestamp").is_none()
            && condition(pod, "Ready").is_none_or(|ready| text(ready, "/status") != "True")
    };
    let is_broken = |reason: &Reason| {
        use Cause::{Crash, InvalidImage, NeverPulled, OutOfMemory, Pull, Start};
        matches!(
            reason.cause,
            Pull | InvalidImage | NeverPulled | Start | OutOfMemory | Crash(2..)
        )
    };
    let old = state.pods.iter().filter(is_old).map(Pod);
    let reasons = old.flat_map(|pod| of_pod(state, pod)).filter(is_broken);
    let held = reasons.map(|reason| Reason {
        message: match reason.message.is_empty() {
            true => format!("it {}", reason.cause.what()),
            false => format!("it {}: {}", reason.cause.what(), reason.message),
        },
        cause: Cause::OldPod,
        ..reason
    });
    held.collect()
}

/// What ends a rollout first is told first.
fn severity(cause: Cause) -> u8 {
    match cause {
        Cause::InvalidImage | Cause::NeverPulled | Cause::OutOfMemory => 0,
        Cause::Crash(_) => 1,
        Cause::Pull | Cause::Start => 2,
        Cause::NotCreated | Cause::PodFailed | Cause::OldPod => 3,
        _ => 4,
    }
}

fn of_pod(state: &State, pod: Pod<'_>) -> Vec<Reason> {
    let reason = |cause, container: Option<&str>, message: String| Reason {
        pod: Some(pod.name().to_owned()),
        container: container.map(str::to_owned),
        event: newest_event(state, pod, container, |_| true).map(event_text),
        ..Reason::of(title(state), cause, message)
    };
    let mut found = Vec::new();
    for status in pod.containers() {
        let container = text(status, "/name");
        if let Some((cause, message)) = of_container(status) {
            found.push(reason(cause, Some(container), message));
        } else if !is_true(status, "/ready")
            && status.pointer("/state/running").is_some()
            && let Some(event) = newest_event(state, pod, Some(container), |event| {
                text(event, "/reason") == "Unhealthy"
            })
        {
            let message = shown(text(event, "/message"));
            found.push(reason(Cause::Probe, Some(container), message));
        }
    }
    if text(pod.0, "/status/phase") == "Failed" {
        let message = [
            text(pod.0, "/status/reason"),
            text(pod.0, "/status/message"),
        ];
        found.push(reason(Cause::PodFailed, None, joined(&message)));
    }
    let scheduled = condition(pod.0, "PodScheduled");
    if let Some(refused) = scheduled.filter(|one| text(one, "/status") == "False") {
        found.push(reason(
            Cause::Unschedulable,
            None,
            shown(text(refused, "/message")),
        ));
    }
    let blocks = [
        "FailedMount",
        "FailedAttachVolume",
        "FailedCreatePodSandBox",
    ];
    let is_blocked = |event: &Value| blocks.contains(&text(event, "/reason"));
    let runs = |status: &Value| {
        status.pointer("/state/running").is_some() || status.pointer("/state/terminated").is_some()
    };
    if found.is_empty()
        && !pod.containers().any(runs)
        && let Some(event) = newest_event(state, pod, None, is_blocked)
    {
        found.push(reason(Cause::Sandbox, None, shown(text(event, "/message"))));
    }
    found
}

/// What a container's status says is wrong. A container that runs and is ready has nothing wrong now, whatever it went
/// through: a rollout that was over a month ago may have seen a restart since.
///
/// # Spec
/// The reasons are those of the kubelet (`pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go`).
fn of_container(status: &Value) -> Option<(Cause, String)> {
    let waiting = text(status, "/state/waiting/reason");
    let message = joined(&[waiting, text(status, "/state/waiting/message")]);
    if is_true(status, "/ready") && status.pointer("/state/running").is_some() {
        return None;
    }
    let was_oom = |state: &str| text(status, &format!("/{state}/terminated/reason")) == "OOMKilled";
    if was_oom("state") || was_oom("lastState") {
        return Some((Cause::OutOfMemory, last_end(status)));
    }
    match waiting {
        "" | "ContainerCreating" | "PodInitializing" => {}
        "InvalidImageName" => return Some((Cause::InvalidImage, message)),
        "ErrImageNeverPull" => return Some((Cause::NeverPulled, message)),
        // The kubelet starts a container twice before it backs off.
        "CrashLoopBackOff" => {
            return Some((Cause::Crash(ends(status).max(2)), last_end(status)));
        }
        reason if is_about_image(reason) => return Some((Cause::Pull, message)),
        reason if reason.ends_with("Error") || reason.ends_with("BackOff") => {
            return Some((Cause::Start, message));
        }
        _ => {}
    }
    match ends(status) {
        0 => None,
        times => Some((Cause::Crash(times), last_end(status))),
    }
}

fn is_about_image(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed"
    )
}

/// How often a container has ended although it should run; an initialising one ends well.
fn ends(status: &Value) -> u64 {
    let now = status.pointer("/state/terminated");
    let is_bad =
        now.is_some_and(|end| !(count(end, "/exitCode") == 0 && is_true(status, "/ready")));
    let completed = now.is_some_and(|end| text(end, "/reason") == "Completed");
    count(status, "/restartCount") + u64::from(is_bad && !completed)
}

/// What is known of a container's last end.
fn last_end(status: &Value) -> String {
    let end = ["/state/terminated", "/lastState/terminated"]
        .into_iter()
        .find_map(|pointer| status.pointer(pointer));
    let Some(end) = end else {
        return shown(text(status, "/state/waiting/message"));
    };
    let code = end["exitCode"].as_i64().unwrap_or_default();
    let mut told = format!("exit code {code}");
    if let Some(signal) = end["signal"].as_i64().filter(|signal| *signal != 0) {
        told = format!("{told}, signal {signal}");
    }
    let more = joined(&[text(end, "/reason"), text(end, "/message")]);
    match more.is_empty() {
        true => told,
        false => format!("{told} ({more})"),
    }
}

/// What keeps a controller from making pods.
pub(super) fn not_created(state: &State) -> Option<Reason> {
    let refused = |message: &str| Reason::of(title(state), Cause::NotCreated, shown(message));
    if matches!(state.kind, Kind::Deployment | Kind::Rollout) {
        if !progress::is_observed(state) {
            return None;
        }
        let set = match state.kind {
            Kind::Rollout => argo::current_set(state)?,
            _ => newest_replica_set(state)?,
        };
        let failure = condition(set, "ReplicaFailure")?;
        let is_now = text(failure, "/status") == "True";
        return is_now.then(|| refused(text(failure, "/message")));
    }
    // The other kinds have no condition for it, only events; an event of an earlier trouble is not taken for a new one
    // while all pods are there.
    let is_idle_job = state.kind == Kind::Job && count(&state.workload, "/status/active") == 0;
    if progress::missing(state) == 0 && !is_idle_job {
        return None;
    }
    let made = newest_revision(state).map_or("", |one| text(one, "/metadata/creationTimestamp"));
    let uid = text(&state.workload, "/metadata/uid");
    let is_it = |event: &&Value| {
        text(event, "/involvedObject/uid") == uid
            && text(event, "/reason") == "FailedCreate"
            && event_time(event) >= made
    };
    let newest = state
        .events
        .iter()
        .filter(is_it)
        .max_by_key(|one| event_time(one))?;
    Some(Reason {
        event: Some(event_text(newest)),
        ..refused(text(newest, "/message"))
    })
}

/// The newest event about a pod, or about one of its containers.
fn newest_event<'s>(
    state: &'s State,
    pod: Pod<'_>,
    container: Option<&str>,
    is_wanted: impl Fn(&Value) -> bool,
) -> Option<&'s Value> {
    let uid = text(pod.0, "/metadata/uid");
    let is_about = |event: &&Value| {
        let field = text(event, "/involvedObject/fieldPath");
        let is_for = |name: &str| {
            field.is_empty()
                || field == format!("spec.containers{{{name}}}")
                || field == format!("spec.initContainers{{{name}}}")
        };
        !uid.is_empty()
            && text(event, "/involvedObject/uid") == uid
            && container.is_none_or(is_for)
            && is_wanted(event)
    };
    let events = state.events.iter().filter(is_about);
    events.max_by_key(|event| event_time(event))
}

/// RFC 3339 in UTC: such texts are ordered as the times are, to the second.
fn event_time(event: &Value) -> &str {
    let places = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    let times = places.into_iter().map(|place| text(event, place));
    times.max().unwrap_or_default()
}

fn event_text(event: &Value) -> String {
    format!(
        "{}: {}",
        shown(text(event, "/reason")),
        shown(text(event, "/message"))
    )
}

/// Texts of the cluster with a colon between them; empty ones left out.
fn joined(texts: &[&str]) -> String {
    let texts: Vec<&str> = texts
        .iter()
        .copied()
        .filter(|text| !text.is_empty())
        .collect();
    shown(&texts.join(": "))
}
