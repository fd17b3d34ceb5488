//! Jobs: pods that end.
//!
//! # Spec
//! Kubernetes API, `batch/v1` Job: the conditions `Complete` and `Failed` are final; until then the controller makes new pods for
//! those that fail, up to `backoffLimit`.

use serde_json::Value;

use super::pods::Pod;
use super::progress::Progress;
use super::{Cause, Reason, State, title};
use crate::kubernetes::object::{
    condition, count, is_controlled_by, is_true, joined_condition, text,
};

/// How many pods have to succeed.
pub(super) fn completions(workload: &Value) -> u64 {
    let given = workload
        .pointer("/spec/completions")
        .and_then(Value::as_u64);
    given.unwrap_or(1)
}

fn has(workload: &Value, kind: &str) -> bool {
    condition(workload, kind).is_some_and(|one| text(one, "/status") == "True")
}

/// True when no pod will be made any more.
pub(super) fn is_over(workload: &Value) -> bool {
    has(workload, "Complete") || has(workload, "Failed")
}

/// Its pods; once it is complete, those that succeeded.
pub(super) fn pods(state: &State) -> Vec<Pod<'_>> {
    let is_complete = has(&state.workload, "Complete");
    let is_own = |pod: &&Value| {
        is_controlled_by(pod, &state.workload)
            && (!is_complete || text(pod, "/status/phase") == "Succeeded")
    };
    state.pods.iter().filter(is_own).map(Pod).collect()
}

/// How far it has come.
pub(super) fn progress(state: &State) -> Progress {
    let workload = &state.workload;
    if has(workload, "Complete") {
        // Pods that have ended may be gone; those that are there can be looked at.
        return Progress::Complete(0);
    }
    if has(workload, "Failed") {
        let message = joined_condition(workload, "Failed");
        return Progress::Stopped(Reason::of(title(state), Cause::JobFailed, message));
    }
    let why = format!(
        "{} of {} pods have succeeded, {} are active, {} have failed",
        count(workload, "/status/succeeded"),
        completions(workload),
        count(workload, "/status/active"),
        count(workload, "/status/failed"),
    );
    match is_true(workload, "/spec/suspend") {
        true => Progress::Stopped(Reason::of(title(state), Cause::Paused, why)),
        false => Progress::Under(why),
    }
}

/// True for what the Job's own controller deals with: it makes another pod, or gives up.
pub(super) fn is_its_own_matter(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Crash(_) | Cause::PodFailed | Cause::OutOfMemory
    )
}
