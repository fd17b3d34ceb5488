//! Rollouts of Argo Rollouts: what their controller says of them.
//!
//! # Spec
//! Argo Rollouts, `argoproj.io/v1alpha1`: `status.phase` and `status.message` (since 1.0), `status.observedGeneration` (a text),
//! `status.currentPodHash`, `status.abort`, `status.pauseConditions`; pods have the label `rollouts-pod-template-hash`.

use serde_json::Value;

use super::pods::{Pod, own_revisions, pods_of};
use super::progress::{Progress, replicas};
use super::{Cause, Reason, State, title};
use crate::kubernetes::object::{count, is_true, items, label, shown, text};

/// The label that tells the pods of one template from those of another.
const HASH: &str = "rollouts-pod-template-hash";

/// True once the controller has seen the newest template.
pub(super) fn is_observed(workload: &Value) -> bool {
    let generation = count(workload, "/metadata/generation");
    match text(workload, "/status/observedGeneration") {
        "" => false,
        // A hash may consist of digits only; it is larger than any generation.
        seen => seen.parse::<u64>().map_or(true, |seen| seen >= generation),
    }
}

/// The ReplicaSet of the newest template.
pub(super) fn current_set(state: &State) -> Option<&Value> {
    let hash = text(&state.workload, "/status/currentPodHash");
    own_revisions(state).find(|set| !hash.is_empty() && label(set, HASH) == hash)
}

/// The pods of the newest template.
pub(super) fn new_pods(state: &State) -> Vec<Pod<'_>> {
    match current_set(state) {
        None => Vec::new(),
        Some(set) => pods_of(state, set, HASH, label(set, HASH)),
    }
}

/// What its status says, which must be of the newest template.
pub(super) fn progress(state: &State) -> Progress {
    let workload = &state.workload;
    let message = shown(text(workload, "/status/message"));
    let stopped = |cause| Progress::Stopped(Reason::of(title(state), cause, message.clone()));
    if is_true(workload, "/status/abort") {
        return stopped(Cause::Aborted);
    }
    match text(workload, "/status/phase") {
        "Degraded" => return stopped(Cause::Degraded),
        "Paused" if is_true(workload, "/spec/paused") => return stopped(Cause::Paused),
        // A step that waits for a person, or for some minutes: the way of this kind, and no failure.
        "Paused" => return Progress::Under(paused(workload)),
        "Healthy" | "" => {}
        phase => {
            return Progress::Under(match message.is_empty() {
                true => shown(phase).to_lowercase(),
                false => format!("{}: {message}", shown(phase).to_lowercase()),
            });
        }
    }
    let wanted = replicas(workload);
    let updated = count(workload, "/status/updatedReplicas");
    let available = count(workload, "/status/availableReplicas");
    if updated < wanted {
        return Progress::Under(format!("{updated} of {wanted} pods are new"));
    }
    if available < wanted {
        return Progress::Under(format!("{available} of {wanted} pods are available"));
    }
    // Until it is promoted, the new one of a blue-green Rollout serves nobody.
    let stable = text(workload, "/status/stableRS");
    match stable.is_empty() || stable == text(workload, "/status/currentPodHash") {
        true => Progress::Complete(wanted),
        false => Progress::Under("the new pods are not the stable ones yet".to_owned()),
    }
}

fn paused(workload: &Value) -> String {
    let steps = items(workload, "/spec/strategy/canary/steps").len();
    let place = match count(workload, "/status/currentStepIndex") {
        _ if steps == 0 => String::new(),
        step => format!(" at step {} of {steps}", (step + 1).min(steps as u64)),
    };
    let reasons = items(workload, "/status/pauseConditions").iter();
    let reasons: Vec<String> = reasons.map(|one| shown(text(one, "/reason"))).collect();
    let reasons = match reasons.is_empty() {
        true => String::new(),
        false => format!(" ({})", reasons.join(", ")),
    };
    format!("paused{place}{reasons}; it goes on by itself, or by `kubectl argo rollouts promote`")
}
