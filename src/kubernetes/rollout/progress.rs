//! How far a controller has come, by the counters of each kind's status.

use serde_json::Value;

use super::{Cause, Kind, Reason, State, argo, jobs, title};
use crate::kubernetes::object::{condition, count, shown, text};

/// What the counters say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// As many pods are new and available as should be; how many that is.
    Complete(u64),
    /// Not yet, for this reason.
    Under(String),
    /// The controller will not go on.
    Stopped(Reason),
}

/// True once the controller has seen the newest template: before, every other field is of an older one.
///
/// A Rollout writes the number as a text; a text that is no number is a hash, of before Argo Rollouts 0.10, and tells nothing. Jobs
/// and CronJobs have none: the template of a Job never changes, and nothing follows from that of a CronJob.
pub(super) fn is_observed(state: &State) -> bool {
    let workload = &state.workload;
    match state.kind {
        Kind::Job | Kind::CronJob => return true,
        Kind::Rollout => return argo::is_observed(workload),
        Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {}
    }
    count(workload, "/status/observedGeneration") >= count(workload, "/metadata/generation")
}

/// How many pods should run the newest template.
///
/// # Spec
/// Kubernetes API, `apps/v1`: `replicas` is 1 when missing; a StatefulSet's `partition` keeps the pods below it old.
pub(super) fn expected(state: &State) -> u64 {
    let workload = &state.workload;
    match state.kind {
        Kind::Deployment | Kind::Rollout => replicas(workload),
        Kind::Job => jobs::completions(workload),
        Kind::CronJob => 0,
        Kind::StatefulSet => replicas(workload).saturating_sub(partition(workload)),
        Kind::DaemonSet => count(workload, "/status/desiredNumberScheduled"),
    }
}

/// `spec.replicas`.
pub(super) fn replicas(workload: &Value) -> u64 {
    let given = workload.pointer("/spec/replicas").and_then(Value::as_u64);
    given.unwrap_or(1)
}

fn partition(workload: &Value) -> u64 {
    count(workload, "/spec/updateStrategy/rollingUpdate/partition")
}

/// How many pods are missing that the controller should have created already.
pub(super) fn missing(state: &State) -> u64 {
    let workload = &state.workload;
    match state.kind {
        Kind::Job | Kind::CronJob => 0,
        Kind::Deployment | Kind::StatefulSet | Kind::Rollout => {
            replicas(workload).saturating_sub(count(workload, "/status/replicas"))
        }
        // Its controller counts nodes only after it could create their pods (Kubernetes 1.20).
        Kind::DaemonSet if !is_observed(state) => 1,
        Kind::DaemonSet => count(workload, "/status/desiredNumberScheduled")
            .saturating_sub(count(workload, "/status/currentNumberScheduled")),
    }
}

/// Reads the counters, which must be of the newest template ([`is_observed`]).
pub(super) fn progress(state: &State) -> Progress {
    match state.kind {
        Kind::Deployment => deployment(state),
        Kind::StatefulSet => stateful_set(state),
        Kind::DaemonSet => daemon_set(state),
        Kind::Rollout => argo::progress(state),
        Kind::Job => jobs::progress(state),
        Kind::CronJob => Progress::Complete(0),
    }
}

/// # Spec
/// As `kubectl rollout status` counts: new ones, then the end of old ones, then availability.
fn deployment(state: &State) -> Progress {
    let workload = &state.workload;
    let wanted = replicas(workload);
    let updated = count(workload, "/status/updatedReplicas");
    let all = count(workload, "/status/replicas");
    let available = count(workload, "/status/availableReplicas");
    let why = if updated < wanted {
        format!("{updated} of {wanted} pods are new")
    } else if all > updated {
        format!("{} old pods are still there", all - updated)
    } else if available < updated {
        format!("{available} of {updated} new pods are available")
    } else {
        return Progress::Complete(wanted);
    };
    if workload["spec"]["paused"] == true {
        return Progress::Stopped(Reason::of(title(state), Cause::Paused, why));
    }
    let progressing = condition(workload, "Progressing");
    if let Some(given_up) =
        progressing.filter(|one| text(one, "/reason") == "ProgressDeadlineExceeded")
    {
        let message = shown(text(given_up, "/message"));
        return Progress::Stopped(Reason::of(title(state), Cause::ProgressDeadline, message));
    }
    Progress::Under(why)
}

fn stateful_set(state: &State) -> Progress {
    let workload = &state.workload;
    let (wanted, expected) = (replicas(workload), expected(state));
    let is_current = text(workload, "/status/updateRevision")
        == text(workload, "/status/currentRevision")
        && !text(workload, "/status/updateRevision").is_empty();
    // After a complete update, the controller counts the pods as current ones and forgets `updatedReplicas`.
    let updated = match is_current && partition(workload) == 0 {
        true => count(workload, "/status/currentReplicas")
            .max(count(workload, "/status/updatedReplicas")),
        false => count(workload, "/status/updatedReplicas"),
    };
    let ready = count(workload, "/status/readyReplicas");
    let all = count(workload, "/status/replicas");
    let why = if updated < expected {
        format!("{updated} of {expected} pods are new")
    } else if all > wanted {
        format!("{} pods too many are still there", all - wanted)
    } else if ready < wanted {
        format!("{ready} of {wanted} pods are ready")
    } else {
        return Progress::Complete(expected);
    };
    unless_on_delete(state, updated < expected, why)
}

fn daemon_set(state: &State) -> Progress {
    let workload = &state.workload;
    let wanted = expected(state);
    let updated = count(workload, "/status/updatedNumberScheduled");
    let available = count(workload, "/status/numberAvailable");
    let why = if updated < wanted {
        format!("{updated} of {wanted} pods are new")
    } else if available < wanted {
        format!("{available} of {wanted} new pods are available")
    } else {
        return Progress::Complete(wanted);
    };
    unless_on_delete(state, updated < wanted, why)
}

/// With `OnDelete`, pods that are still old stay so; what is new already becomes ready all the same.
fn unless_on_delete(state: &State, has_old: bool, why: String) -> Progress {
    let is_on_delete = text(&state.workload, "/spec/updateStrategy/type") == "OnDelete";
    match is_on_delete && has_old && missing(state) == 0 {
        true => Progress::Stopped(Reason::of(title(state), Cause::OnDelete, why)),
        false => Progress::Under(why),
    }
}
