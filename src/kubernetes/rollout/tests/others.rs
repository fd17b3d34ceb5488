//! Jobs, CronJobs and the Rollouts of Argo; and one look without waiting.

use super::*;
use crate::kubernetes::rollout::compare::{Health, report};

/// A Rollout of two pods, healthy.
fn rollout() -> State {
    let mut state = deployment(NEW, 2);
    state.kind = Kind::Rollout;
    state.workload["status"] = json!({
        "observedGeneration": "2", "phase": "Healthy", "currentPodHash": "new", "stableRS": "new",
        "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    });
    for object in state.revisions.iter_mut().chain(&mut state.pods) {
        let labels = object["metadata"]["labels"].as_object_mut().unwrap();
        let hash = labels.remove("pod-template-hash").unwrap();
        labels.insert("rollouts-pod-template-hash".to_owned(), hash);
    }
    state
}

fn with(mut state: State, pointer: &str, value: Value) -> State {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    state.workload.pointer_mut(parent).expect(parent)[key] = value;
    state
}

#[test]
fn a_rollout_is_over_when_argo_calls_it_healthy_and_its_new_pods_are_ready() {
    assert_eq!(
        done(judge(&rollout(), &wanted(NEW))).pods,
        ["web-new-0", "web-new-1"]
    );
    for (pointer, value, expected) in [
        // The number is a text; one of before is not believed.
        (
            "/status/observedGeneration",
            json!("1"),
            "has seen generation 1 of rollout/web, which is at 2",
        ),
        (
            "/status/observedGeneration",
            json!(null),
            "has seen generation 0",
        ),
        (
            "/status/phase",
            json!("Progressing"),
            "rollout/web: progressing",
        ),
        (
            "/status/phase",
            json!("Paused"),
            "paused; it goes on by itself",
        ),
        ("/status/updatedReplicas", json!(1), "1 of 2 pods are new"),
        (
            "/status/availableReplicas",
            json!(1),
            "1 of 2 pods are available",
        ),
        (
            "/status/stableRS",
            json!("old"),
            "the new pods are not the stable ones yet",
        ),
        (
            "/status/currentPodHash",
            json!("other"),
            "the new pods are not the stable ones yet",
        ),
    ] {
        let verdict = judge(&with(rollout(), pointer, value), &wanted(NEW));
        assert!(why(&verdict).contains(expected), "{verdict:?}");
    }
    // A hash, as before Argo Rollouts 0.10, tells nothing of generations.
    let hash = with(rollout(), "/status/observedGeneration", json!("6d8f9c"));
    done(judge(&hash, &wanted(NEW)));
    // Before 1.0 there was no phase: the counters alone.
    done(judge(
        &with(rollout(), "/status/phase", json!("")),
        &wanted(NEW),
    ));
}

#[test]
fn a_rollout_in_a_step_is_under_way_and_says_which() {
    let mut state = with(rollout(), "/status/phase", json!("Paused"));
    state.workload["spec"]["strategy"] =
        json!({"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]}});
    state.workload["status"]["currentStepIndex"] = json!(1);
    state.workload["status"]["pauseConditions"] = json!([{"reason": "CanaryPauseStep"}]);
    let verdict = judge(&state, &wanted(NEW));
    assert!(
        why(&verdict).contains("paused at step 2 of 3 (CanaryPauseStep)"),
        "{verdict:?}"
    );
}

#[test]
fn a_rollout_that_was_aborted_degraded_or_paused_by_hand_has_failed() {
    let message = "RolloutAborted: metric \"errors\" assessed Failed";
    for (change, cause) in [
        (("/status/abort", json!(true)), Cause::Aborted),
        (("/status/phase", json!("Degraded")), Cause::Degraded),
    ] {
        let mut state = with(rollout(), change.0, change.1);
        state.workload["status"]["message"] = json!(message);
        let reason = failed(judge(&state, &wanted(NEW)));
        assert_eq!(reason.cause, cause);
        assert_eq!(reason.message, message);
    }
    let mut state = with(rollout(), "/status/phase", json!("Paused"));
    state.workload["spec"]["paused"] = json!(true);
    assert_eq!(failed(judge(&state, &wanted(NEW))).cause, Cause::Paused);
}

#[test]
fn a_rollout_with_the_pods_of_a_deployment_says_whose() {
    let mut state = rollout();
    state.workload["spec"] = json!({"workloadRef": {"kind": "Deployment", "name": "base"}});
    let reason = failed(judge(&state, &wanted(NEW)));
    assert_eq!(reason.cause, Cause::NoContainer);
    assert!(
        reason.message.contains("those of Deployment `base`"),
        "{reason}"
    );
}

/// A Job of one pod that has ended well.
fn job() -> State {
    let mut state = deployment(NEW, 1);
    state.kind = Kind::Job;
    state.revisions.clear();
    state.workload["spec"] = json!({"completions": 1, "template": template(NEW)});
    state.workload["status"] =
        json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
    let pod = &mut state.pods[0];
    pod["metadata"]["ownerReferences"] = json!([{"uid": "d-1", "controller": true}]);
    pod["status"]["phase"] = json!("Succeeded");
    pod["status"]["conditions"] = json!([]);
    for status in pod["status"]["containerStatuses"].as_array_mut().unwrap() {
        status["ready"] = json!(false);
        status["state"] = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    }
    state
}

/// Its pod has ended badly, and the Job goes on.
fn failing_job() -> State {
    let mut state = job();
    state.workload["status"] = json!({"active": 1, "failed": 1});
    state.pods[0]["status"]["phase"] = json!("Failed");
    app(&mut state, 0)["state"] = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    state
}

#[test]
fn a_job_is_over_when_it_is_complete_and_has_failed_only_when_its_controller_says_so() {
    let ended = done(judge(&job(), &wanted(NEW)));
    assert_eq!(
        (ended.pods.len(), ended.notes.len(), ended.is_certain),
        (1, 0, true)
    );

    let verdict = judge(&failing_job(), &wanted(NEW));
    assert!(
        why(&verdict).contains("job/web: 0 of 1 pods have succeeded, 1 are active, 1 have failed"),
        "{verdict:?}"
    );
    let Verdict::Waiting { troubles, .. } = &verdict else {
        panic!("{verdict:?}");
    };
    // Its controller makes another pod; how often is its matter.
    assert_eq!(*troubles, []);

    let mut state = failing_job();
    state.workload["status"]["conditions"] = json!([{
        "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the limit",
    }]);
    let reason = failed(judge(&state, &wanted(NEW)));
    assert_eq!(reason.cause, Cause::JobFailed);
    assert_eq!(reason.pod.as_deref(), Some("web-new-0"));
    assert!(
        reason
            .message
            .contains("BackoffLimitExceeded: Job has reached the limit"),
        "{reason}"
    );
    assert!(reason.message.contains("exit code 3"), "{reason}");
}

#[test]
fn a_job_whose_pod_cannot_start_is_in_trouble_and_a_suspended_one_has_stopped() {
    let mut state = failing_job();
    state.pods[0]["status"]["phase"] = json!("Pending");
    app(&mut state, 0)["state"] =
        json!({"waiting": {"reason": "ErrImagePull", "message": "denied"}});
    assert_eq!(
        first_trouble(judge(&state, &wanted(NEW))).cause,
        Cause::Pull
    );
    let state = with(failing_job(), "/spec/suspend", json!(true));
    assert_eq!(failed(judge(&state, &wanted(NEW))).cause, Cause::Paused);
}

#[test]
fn the_bytes_that_a_job_ran_are_compared_as_far_as_its_pods_are_there() {
    let pinned = format!("{NEW}@{}", digest("app"));
    done(judge(&job(), &wanted(&pinned)));
    let other = format!("{NEW}@{}", digest("other"));
    assert_eq!(
        failed(judge(&job(), &wanted(&other))).cause,
        Cause::OtherBytes
    );
    let mut gone = job();
    gone.pods.clear();
    let ended = done(judge(&gone, &wanted(&pinned)));
    assert!(
        ended.notes[0].contains("whether they ran the wanted bytes"),
        "{ended:?}"
    );
}

#[test]
fn nothing_of_a_cron_job_rolls_out() {
    let mut state = State {
        kind: Kind::CronJob,
        workload: json!({
            "metadata": {"name": "night", "generation": 4},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template(NEW)}}},
        }),
        revisions: Vec::new(),
        pods: Vec::new(),
        events: Vec::new(),
    };
    let ended = done(judge(&state, &wanted(NEW)));
    assert_eq!(
        ended.notes,
        ["nothing of cronjob/night rolls out: its next run uses the image (schedule `0 3 * * *`)"]
    );
    state.workload["spec"]["suspend"] = json!(true);
    assert!(done(judge(&state, &wanted(NEW))).notes[0].contains("it is suspended"));
    let other = wanted("registry.example.com/team/app:v3");
    assert!(why(&judge(&state, &other)).contains("not yet `registry.example.com/team/app:v3`"));
}

#[test]
fn kinds_are_named_as_kubectl_names_them() {
    for (text, kind) in [
        ("ro", Kind::Rollout),
        ("rollouts.argoproj.io", Kind::Rollout),
        ("CronJob", Kind::CronJob),
        ("cronjobs.batch", Kind::CronJob),
        ("job", Kind::Job),
    ] {
        assert_eq!(text.parse::<Kind>().unwrap(), kind, "{text}");
    }
    assert!(
        "pods"
            .parse::<Kind>()
            .unwrap_err()
            .to_string()
            .contains("`pods` cannot be watched")
    );
}

#[test]
fn one_look_tells_what_runs_how_well_and_in_what_it_differs_from_the_record() {
    let seen = report(&deployment(NEW, 2), &wanted(NEW)).unwrap();
    assert_eq!(
        (seen.ready, seen.desired, seen.health),
        (2, 2, Health::Ready)
    );
    assert_eq!(seen.digests, [digest("app").to_string()]);
    assert_eq!((seen.drift, seen.why.as_str()), (None, ""));

    let drift = |state: &State, image: &str| report(state, &wanted(image)).unwrap().drift;
    let v3 = "registry.example.com/team/app:v3";
    let told = drift(&deployment(NEW, 1), v3).unwrap();
    assert_eq!(
        told,
        format!("it is to run `{NEW}`, and on record is `{v3}`")
    );
    // The same tag, other bytes.
    let pinned = format!("{NEW}@{}", digest("other"));
    let told = drift(&deployment(NEW, 1), &pinned).unwrap();
    assert!(
        told.contains(&format!("pod `web-new-0` runs {}", digest("app"))),
        "{told}"
    );
    // What is pinned in the template is what runs, whatever digest its platform has.
    assert_eq!(drift(&deployment(&pinned, 1), &pinned), None);

    let mut state = troubled(json!({
        "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}},
    }));
    let seen = report(&state, &wanted(NEW)).unwrap();
    assert_eq!((seen.ready, seen.health), (0, Health::Down));
    assert!(seen.why.contains("cannot pull its image"), "{}", seen.why);
    state
        .pods
        .push(pod("web-new-1", "rs-2", "pod-template-hash", "new"));
    assert_eq!(
        report(&state, &wanted(NEW)).unwrap().health,
        Health::Partial
    );
    assert_eq!(
        report(&deployment(NEW, 0), &wanted(NEW)).unwrap().health,
        Health::Idle
    );
    assert_eq!(report(&job(), &wanted(NEW)).unwrap().health, Health::Ready);
    let mut absent = wanted(NEW);
    absent.container = Some("api".to_owned());
    assert_eq!(
        report(&state, &absent).unwrap_err().cause,
        Cause::NoContainer
    );
}
