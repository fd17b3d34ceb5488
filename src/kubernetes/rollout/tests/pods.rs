//! Which pods are the new ones, and what is the matter with them.

use super::*;

#[test]
fn new_pods_are_those_of_the_revision_with_the_highest_number_not_the_youngest() {
    let mut state = deployment(NEW, 2);
    state
        .pods
        .push(pod("web-old-0", "rs-1", "pod-template-hash", "old"));
    state
        .pods
        .push(pod("stranger", "rs-9", "pod-template-hash", "new"));
    let names = |state: &State| -> Vec<String> {
        new_pods(state)
            .iter()
            .map(|pod| pod.name().to_owned())
            .collect()
    };
    assert_eq!(names(&state), ["web-new-0", "web-new-1"]);
    // After a rollback the old one has the highest revision; 10 is more than 9.
    for (set, revision) in state.revisions.iter_mut().zip(["10", "9"]) {
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!(revision);
    }
    state.revisions[1]["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    assert_eq!(names(&state), ["web-old-0"]);
}

#[test]
fn a_pod_that_is_being_deleted_and_a_pod_of_a_namesake_do_not_count() {
    let mut state = deployment(NEW, 2);
    state.pods[0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(new_pods(&state).len(), 1);
    assert!(why(&judge(&state, &wanted(NEW))).contains("in 1 of 2 new pods"));
    let mut state = deployment(NEW, 2);
    state.revisions[1]["metadata"]["ownerReferences"][0]["uid"] =
        json!("a Deployment of the same name, deleted");
    assert!(new_pods(&state).is_empty());
}

#[test]
fn what_the_kubelet_says_of_a_container_has_a_cause_and_a_class() {
    let waiting = |reason: &str| json!({"ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": "m"}}});
    let rows = [
        (
            waiting("InvalidImageName"),
            Cause::InvalidImage,
            Class::Definite,
        ),
        (
            waiting("ErrImageNeverPull"),
            Cause::NeverPulled,
            Class::Definite,
        ),
        (waiting("ErrImagePull"), Cause::Pull, Class::Brief),
        (waiting("ImagePullBackOff"), Cause::Pull, Class::Brief),
        (
            waiting("CreateContainerConfigError"),
            Cause::Start,
            Class::Brief,
        ),
        (waiting("CreateContainerError"), Cause::Start, Class::Brief),
        (waiting("RunContainerError"), Cause::Start, Class::Brief),
        (
            waiting("CrashLoopBackOff"),
            Cause::Crash(2),
            Class::Counted(2),
        ),
        (
            json!({"ready": false, "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}),
            Cause::Crash(4),
            Class::Counted(4),
        ),
        (
            json!({"ready": false, "restartCount": 1, "state": {"running": {}},
                   "lastState": {"terminated": {"exitCode": 1}}}),
            Cause::Crash(1),
            Class::Counted(1),
        ),
        (
            json!({"ready": false, "restartCount": 1, "state": {"terminated": {"exitCode": 3}}}),
            Cause::Crash(2),
            Class::Counted(2),
        ),
        (
            json!({"ready": false, "restartCount": 1, "state": {"running": {}},
                   "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
            Cause::OutOfMemory,
            Class::Definite,
        ),
    ];
    for (status, cause, class) in rows {
        let reason = first_trouble(judge(&troubled(status.clone()), &wanted(NEW)));
        assert_eq!(
            (reason.cause, reason.cause.class()),
            (cause, class),
            "{status}"
        );
        assert_eq!(reason.container.as_deref(), Some("web-app"));
        assert_eq!(reason.pod.as_deref(), Some("web-new-0"));
        assert!(!reason.cause.hint().is_empty());
    }
    for calm in ["ContainerCreating", "PodInitializing"] {
        let verdict = judge(&troubled(waiting(calm)), &wanted(NEW));
        assert!(
            format!("{verdict:?}").contains("troubles: []"),
            "{calm}: {verdict:?}"
        );
    }
}

#[test]
fn the_end_of_a_container_is_told_with_its_code_signal_and_reason() {
    let status = json!({
        "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 139, "signal": 11, "reason": "Error", "message": "boom\n\u{1b}[2J"}},
    });
    let reason = first_trouble(judge(&troubled(status), &wanted(NEW)));
    assert_eq!(
        reason.message,
        "exit code 139, signal 11 (Error: boom \u{fffd}[2J)"
    );
}

#[test]
fn a_container_that_runs_and_is_ready_has_nothing_wrong_whatever_it_went_through() {
    let healed = json!({
        "ready": true, "restartCount": 5, "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    });
    let verdict = judge(&troubled(healed), &wanted(NEW));
    assert!(
        format!("{verdict:?}").contains("troubles: []"),
        "{verdict:?}"
    );
}

#[test]
fn a_container_beside_the_wanted_one_can_hold_up_the_rollout_too() {
    let mut state = troubled(running("web-app", ""));
    state.pods[0]["status"]["containerStatuses"][0] = json!({
        "name": "sidecar", "ready": false, "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    });
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(reason.container.as_deref(), Some("sidecar"));
}

#[test]
fn a_failing_probe_is_told_by_its_event_for_the_container_that_is_not_ready() {
    let mut state = troubled(json!({"ready": false, "restartCount": 0, "state": {"running": {}}}));
    let mut failed = event(
        "uid-web-new-0",
        "Unhealthy",
        "Readiness probe failed: connection refused",
        "2026-01-01T00:00:05Z",
    );
    failed["involvedObject"]["fieldPath"] = json!("spec.containers{web-app}");
    state.events = vec![failed];
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(
        (reason.cause, reason.cause.class()),
        (Cause::Probe, Class::Slow)
    );
    assert!(
        reason
            .to_string()
            .ends_with("fails its probe: Readiness probe failed: connection refused")
    );
    state.events[0]["involvedObject"]["fieldPath"] = json!("spec.containers{sidecar}");
    let verdict = judge(&state, &wanted(NEW));
    assert!(
        format!("{verdict:?}").contains("troubles: []"),
        "{verdict:?}"
    );
}

#[test]
fn pods_without_a_node_a_volume_or_a_future_are_told() {
    let creating = json!({"ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}});
    let mut state = troubled(creating);
    state.pods[0]["status"]["containerStatuses"][0] =
        json!({"name": "sidecar", "state": {"waiting": {}}});
    state.events = vec![event(
        "uid-web-new-0",
        "FailedMount",
        "no such claim",
        "2026-01-01T00:00:05Z",
    )];
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(
        (reason.cause, &*reason.message),
        (Cause::Sandbox, "no such claim")
    );

    state.pods[0]["status"]["conditions"] = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available",
    }]);
    state.events.clear();
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(
        (reason.cause, &*reason.message),
        (Cause::Unschedulable, "0/3 nodes are available")
    );

    state.pods[0]["status"]["phase"] = json!("Failed");
    state.pods[0]["status"]["reason"] = json!("Evicted");
    state.pods[0]["status"]["message"] = json!("low on memory");
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(
        reason.to_string(),
        "pod `web-new-0` has failed as a whole: Evicted: low on memory"
    );
}

#[test]
fn counters_alone_do_not_make_a_rollout_complete() {
    let mut state = deployment(NEW, 2);
    app(&mut state, 1)["ready"] = json!(false);
    let verdict = judge(&state, &wanted(NEW));
    assert!(
        why(&verdict).contains("in 1 of 2 new pods, container `web-app` is ready"),
        "{verdict:?}"
    );
    state.pods.clear();
    assert!(why(&judge(&state, &wanted(NEW))).contains("in 0 of 2 new pods"));
}

#[test]
fn objects_that_make_no_sense_are_waited_for_and_break_nothing() {
    let nonsense = [
        json!(null),
        json!([]),
        json!("text"),
        json!({"metadata": 7, "spec": [], "status": "x"}),
        json!({"metadata": {"name": 3, "ownerReferences": {}}, "spec": {"template": {"spec": {"containers": {}}}}}),
    ];
    for kind in Kind::COMMON.into_iter().chain(Kind::OTHERS) {
        for workload in &nonsense {
            let state = State {
                kind,
                workload: workload.clone(),
                revisions: nonsense.to_vec(),
                pods: nonsense.to_vec(),
                events: nonsense.to_vec(),
            };
            let verdict = judge(&state, &wanted(NEW));
            assert_eq!(failed(verdict).cause, Cause::NoContainer);
        }
        let mut state = deployment(NEW, 1);
        state.kind = kind;
        state.workload["status"] =
            json!({"observedGeneration": 2, "replicas": -3, "conditions": {"a": 1}});
        state.pods = nonsense.to_vec();
        state.revisions = nonsense.to_vec();
        state.events = nonsense.to_vec();
        let _ = judge(&state, &wanted(NEW));
    }
}

#[test]
fn long_texts_of_the_cluster_are_cut() {
    let status = json!({
        "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "x".repeat(1 << 20)}},
    });
    let reason = first_trouble(judge(&troubled(status), &wanted(NEW)));
    assert!(
        reason.message.chars().count() < 700,
        "{}",
        reason.message.len()
    );
}
