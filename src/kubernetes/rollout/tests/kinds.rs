//! The counters of each kind.

use std::time::Duration;

use super::*;

/// A change of a state, by name.
type Change = (&'static str, Value);

fn changed(mut state: State, changes: &[Change]) -> State {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        state.workload.pointer_mut(parent).expect(parent)[key] = value.clone();
    }
    state
}

#[test]
fn a_deployment_is_complete_when_its_new_pods_are_available_and_the_old_ones_gone() {
    let rows: [(&str, &[Change]); 3] = [
        (
            "1 of 3 pods are new",
            &[("/status/updatedReplicas", json!(1))],
        ),
        (
            "1 old pods are still there",
            &[("/status/replicas", json!(4))],
        ),
        (
            "2 of 3 new pods are available",
            &[("/status/availableReplicas", json!(2))],
        ),
    ];
    for (expected, changes) in rows {
        let verdict = judge(&changed(deployment(NEW, 3), changes), &wanted(NEW));
        assert!(why(&verdict).ends_with(expected), "{verdict:?}");
    }
    done(judge(&deployment(NEW, 3), &wanted(NEW)));
}

#[test]
fn replicas_are_one_when_nothing_says_otherwise() {
    let mut state = deployment(NEW, 1);
    state.workload["spec"]
        .as_object_mut()
        .unwrap()
        .remove("replicas");
    done(judge(&state, &wanted(NEW)));
    state.workload["status"]["updatedReplicas"] = json!(0);
    assert!(why(&judge(&state, &wanted(NEW))).contains("0 of 1 pods are new"));
}

#[test]
fn a_workload_of_no_replicas_is_complete_and_says_that_nothing_runs() {
    let done = done(judge(&deployment(NEW, 0), &wanted(NEW)));
    assert!(done.pods.is_empty());
    assert_eq!(
        done.notes,
        ["deployment/web has no pod to run the image in"]
    );
}

#[test]
fn a_recreated_deployment_waits_while_it_has_no_pod_at_all() {
    let none = [
        ("/spec/strategy", json!({"type": "Recreate"})),
        ("/status/replicas", json!(0)),
        ("/status/updatedReplicas", json!(0)),
        ("/status/availableReplicas", json!(0)),
    ];
    let verdict = judge(&changed(deployment(NEW, 2), &none), &wanted(NEW));
    assert!(why(&verdict).contains("0 of 2 pods are new"));
}

#[test]
fn a_deployment_that_exceeded_its_progress_deadline_has_failed_with_what_its_pod_says() {
    let mut state = troubled(json!({
        "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}},
    }));
    state.workload["status"]["conditions"] = json!([{
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"web-new\" has timed out progressing.",
    }]);
    let reason = failed(judge(&state, &wanted(NEW)));
    assert_eq!(reason.cause, Cause::ProgressDeadline);
    assert!(
        reason
            .message
            .contains("has timed out progressing.; container `web-app`"),
        "{reason}"
    );
    assert!(reason.message.contains("ErrImagePull: denied"), "{reason}");
    assert_eq!(reason.pod.as_deref(), Some("web-new-0"));
}

#[test]
fn a_paused_deployment_has_failed_unless_it_is_complete() {
    let paused = [("/spec/paused", json!(true))];
    done(judge(&changed(deployment(NEW, 2), &paused), &wanted(NEW)));
    let under_way = [
        ("/spec/paused", json!(true)),
        ("/status/updatedReplicas", json!(0)),
    ];
    let reason = failed(judge(
        &changed(deployment(NEW, 2), &under_way),
        &wanted(NEW),
    ));
    assert_eq!(reason.cause, Cause::Paused);
    assert!(reason.cause.hint().contains("kubectl rollout resume"));
}

/// A StatefulSet of three pods, complete.
fn stateful_set() -> State {
    State {
        kind: Kind::StatefulSet,
        workload: json!({
            "metadata": {"name": "db", "uid": "s-1", "generation": 2},
            "spec": {"replicas": 3, "template": template(NEW), "updateStrategy": {"type": "RollingUpdate"}},
            "status": {
                "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3,
                "currentRevision": "db-new", "updateRevision": "db-new",
            },
        }),
        revisions: Vec::new(),
        pods: (0..3)
            .map(|n| {
                pod(
                    &format!("db-{n}"),
                    "s-1",
                    "controller-revision-hash",
                    "db-new",
                )
            })
            .collect(),
        events: Vec::new(),
    }
}

#[test]
fn a_stateful_set_is_complete_by_its_update_revision() {
    assert_eq!(
        done(judge(&stateful_set(), &wanted(NEW))).pods,
        ["db-0", "db-1", "db-2"]
    );
    let under_way: &[Change] = &[
        ("/status/currentRevision", json!("db-old")),
        ("/status/currentReplicas", json!(1)),
        ("/status/updatedReplicas", json!(2)),
    ];
    let verdict = judge(&changed(stateful_set(), under_way), &wanted(NEW));
    assert!(why(&verdict).contains("2 of 3 pods are new"), "{verdict:?}");
    let not_ready = [("/status/readyReplicas", json!(2))];
    let verdict = judge(&changed(stateful_set(), &not_ready), &wanted(NEW));
    assert!(
        why(&verdict).contains("2 of 3 pods are ready"),
        "{verdict:?}"
    );
}

#[test]
fn the_partition_of_a_stateful_set_keeps_the_pods_below_it_old() {
    let mut state = changed(
        stateful_set(),
        &[
            (
                "/spec/updateStrategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
            ),
            ("/status/currentRevision", json!("db-old")),
            ("/status/currentReplicas", json!(2)),
            ("/status/updatedReplicas", json!(1)),
        ],
    );
    for old in &mut state.pods[..2] {
        old["metadata"]["labels"]["controller-revision-hash"] = json!("db-old");
    }
    assert_eq!(done(judge(&state, &wanted(NEW))).pods, ["db-2"]);
    state.workload["status"]["updatedReplicas"] = json!(0);
    assert!(why(&judge(&state, &wanted(NEW))).contains("0 of 1 pods are new"));
}

#[test]
fn a_stateful_set_that_waits_for_somebody_to_delete_pods_has_failed() {
    let changes: &[Change] = &[
        ("/spec/updateStrategy", json!({"type": "OnDelete"})),
        ("/status/currentRevision", json!("db-old")),
        ("/status/updatedReplicas", json!(1)),
    ];
    let reason = failed(judge(&changed(stateful_set(), changes), &wanted(NEW)));
    assert_eq!(reason.cause, Cause::OnDelete);
    // Somebody does just that: a pod is missing, the next one will be new.
    let changes = [changes, &[("/status/replicas", json!(2))]].concat();
    let verdict = judge(&changed(stateful_set(), &changes), &wanted(NEW));
    assert!(why(&verdict).contains("1 of 3 pods are new"), "{verdict:?}");
}

/// A DaemonSet on two nodes, complete.
fn daemon_set() -> State {
    let revision = |hash: &str, number: u64| {
        json!({
            "metadata": {
                "name": format!("agent-{hash}"), "labels": {"controller-revision-hash": hash},
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"uid": "ds-1", "controller": true}],
            },
            "revision": number,
        })
    };
    State {
        kind: Kind::DaemonSet,
        workload: json!({
            "metadata": {"name": "agent", "uid": "ds-1", "generation": 5},
            "spec": {"template": template(NEW), "updateStrategy": {"type": "RollingUpdate"}},
            "status": {
                "observedGeneration": 5, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
                "updatedNumberScheduled": 2, "numberAvailable": 2, "numberReady": 2,
            },
        }),
        // Number 10 is newer than number 9.
        revisions: vec![revision("new", 10), revision("old", 9)],
        pods: (0..2)
            .map(|n| {
                pod(
                    &format!("agent-{n}"),
                    "ds-1",
                    "controller-revision-hash",
                    "new",
                )
            })
            .collect(),
        events: Vec::new(),
    }
}

#[test]
fn a_daemon_set_is_complete_when_each_node_has_its_new_pod() {
    assert_eq!(
        done(judge(&daemon_set(), &wanted(NEW))).pods,
        ["agent-0", "agent-1"]
    );
    let rows: [(&str, Change); 2] = [
        (
            "1 of 2 pods are new",
            ("/status/updatedNumberScheduled", json!(1)),
        ),
        (
            "0 of 2 new pods are available",
            ("/status/numberAvailable", json!(0)),
        ),
    ];
    for (expected, change) in rows {
        let verdict = judge(&changed(daemon_set(), &[change]), &wanted(NEW));
        assert!(why(&verdict).contains(expected), "{verdict:?}");
    }
    let mut old = daemon_set();
    old.pods[1]["metadata"]["labels"]["controller-revision-hash"] = json!("old");
    let verdict = judge(&old, &wanted(NEW));
    assert!(
        why(&verdict).contains("in 1 of 2 new pods, container `web-app` is ready"),
        "{verdict:?}"
    );
}

#[test]
fn a_daemon_set_without_nodes_is_complete_and_says_that_nothing_runs() {
    let mut state = changed(
        daemon_set(),
        &[
            ("/status/desiredNumberScheduled", json!(0)),
            ("/status/currentNumberScheduled", json!(0)),
            ("/status/updatedNumberScheduled", json!(0)),
            ("/status/numberAvailable", json!(0)),
        ],
    );
    state.pods.clear();
    assert_eq!(done(judge(&state, &wanted(NEW))).notes.len(), 1);
}

#[test]
fn pods_that_a_quota_forbids_are_told_of_each_kind() {
    let quota = "pods \"web-new-x\" is forbidden: exceeded quota: small";
    let mut state = troubled(running("web-app", ""));
    state.revisions[1]["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": quota}]);
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(reason.cause, Cause::NotCreated);
    assert_eq!(
        reason.to_string(),
        format!("deployment/web cannot create its pods: {quota}")
    );
    // Of the old ReplicaSet it says nothing about this rollout.
    state.revisions.swap(0, 1);
    let set = state.revisions[0]["metadata"]["annotations"].take();
    state.revisions[0]["metadata"]["annotations"] =
        state.revisions[1]["metadata"]["annotations"].take();
    state.revisions[1]["metadata"]["annotations"] = set;
    assert!(!format!("{:?}", judge(&state, &wanted(NEW))).contains("NotCreated"));

    let mut state = changed(
        daemon_set(),
        &[
            ("/status/currentNumberScheduled", json!(1)),
            ("/status/updatedNumberScheduled", json!(1)),
        ],
    );
    state.events = vec![event("ds-1", "FailedCreate", quota, "2026-01-01T00:00:07Z")];
    assert_eq!(
        first_trouble(judge(&state, &wanted(NEW))).cause,
        Cause::NotCreated
    );
    // An event of before the revision was made is about an older one.
    state.events = vec![event("ds-1", "FailedCreate", quota, "2025-12-31T23:59:59Z")];
    assert!(format!("{:?}", judge(&state, &wanted(NEW))).contains("troubles: []"));
}

#[test]
fn a_stateful_set_whose_controller_may_not_create_a_pod_is_told_although_it_was_not_observed() {
    let mut state = stateful_set();
    state.workload["status"] = json!({"replicas": 0});
    state.pods.clear();
    state.events = vec![event(
        "s-1",
        "FailedCreate",
        "exceeded quota: small",
        "2026-01-01T00:00:07Z",
    )];
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(
        (reason.cause, &*reason.message),
        (Cause::NotCreated, "exceeded quota: small")
    );
    // While all pods are there, the event is of an earlier trouble.
    state.workload["status"] = json!({"replicas": 3});
    let verdict = judge(&state, &wanted(NEW));
    assert!(
        format!("{verdict:?}").contains("troubles: []"),
        "{verdict:?}"
    );
}

#[test]
fn a_daemon_set_whose_controller_may_not_create_a_pod_is_told_although_it_was_not_observed() {
    let mut state = daemon_set();
    state.workload["status"] = json!({});
    state.pods.clear();
    assert_eq!(subjects(&state), ["ds-1"]);
    state.events = vec![event(
        "ds-1",
        "FailedCreate",
        "exceeded quota: small",
        "2026-01-01T00:00:07Z",
    )];
    assert_eq!(
        first_trouble(judge(&state, &wanted(NEW))).cause,
        Cause::NotCreated
    );
}

#[test]
fn a_broken_pod_of_an_older_revision_holds_a_stateful_set_up() {
    let mut state = stateful_set();
    state.workload["status"]["currentRevision"] = json!("db-old");
    state.workload["status"]["updatedReplicas"] = json!(0);
    state.workload["status"]["readyReplicas"] = json!(2);
    for one in &mut state.pods {
        one["metadata"]["labels"]["controller-revision-hash"] = json!("db-old");
    }
    let broken = &mut state.pods[2];
    broken["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    broken["status"]["containerStatuses"] = json!([{
        "name": "web-app", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
    }]);
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(reason.cause, Cause::OldPod);
    assert_eq!(reason.pod.as_deref(), Some("db-2"));
    assert!(
        reason
            .message
            .contains("cannot pull its image: ImagePullBackOff: no such image"),
        "{reason}"
    );
    assert!(
        reason.hint().contains("`kubectl delete pod db-2`"),
        "{}",
        reason.hint()
    );
    // It may be pulled after all; but not for ever.
    let mut patience = Patience::new(Grace::default());
    let mut at =
        |seconds| patience.decide(judge(&state, &wanted(NEW)), Duration::from_secs(seconds));
    first_trouble(at(0));
    first_trouble(at(119));
    assert_eq!(failed(at(120)).cause, Cause::OldPod);

    // Whoever starts all pods at once, or has somebody delete them, does not wait for it.
    let mut parallel = state.clone();
    parallel.workload["spec"]["podManagementPolicy"] = json!("Parallel");
    let Verdict::Waiting { troubles, .. } = judge(&parallel, &wanted(NEW)) else {
        panic!("it is under way");
    };
    assert_eq!(troubles, []);
}

#[test]
fn the_hint_speaks_of_last_lines_only_where_there_are_some() {
    let mut reason = Reason::of("deployment/web", Cause::Crash(3), "exit code 1");
    assert!(!reason.hint().contains("last lines"), "{}", reason.hint());
    reason.log = vec!["no module".to_owned()];
    assert!(
        reason.hint().contains("its last lines say why"),
        "{}",
        reason.hint()
    );
}
