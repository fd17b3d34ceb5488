//! Fault 8: a failure says why. And every mistake that can be made has a message and a code of its own.

use super::super::support::cluster::NOBODY;
use super::*;

/// A watch whose patience is short.
fn impatient(bed: &Bed, image: &str) -> Done {
    let more = ["--grace", "0s", "--probe-grace", "0s"];
    watch(&bed.overcoat(), "deployment/web", image, &more)
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_with_pod_container_and_event() {
    let test = "an_image_that_cannot_be_pulled_is_told_with_pod_container_and_event";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::ImagePullBackOff);
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let done = impatient(&bed, V2);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    for part in [
        "error: the rollout of deployment/web has failed",
        "because: container `web-app` of pod `web-",
        "cannot pull its image: ImagePullBackOff: Back-off pulling image",
        "because: event Failed: Failed to pull image",
        "hint: see that the image is there",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    assert_eq!(done.stdout, "");
}

#[test]
fn a_failed_pull_may_pass_while_its_grace_lasts() {
    let Some((bed, kubelet)) = rolled_out("a_failed_pull_may_pass_while_its_grace_lasts", V1)
    else {
        return;
    };
    kubelet.fate(V2, Fate::ImagePullBackOff);
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let overcoat = bed.overcoat();
    let watching = overcoat.spawn(&words("web", V2, &["--grace", "90s"]));
    wait_for("the failed pull", || {
        let events = bed.list("v1", "events");
        events.into_iter().find(|event| event["reason"] == "Failed")
    });
    kubelet.fate(V2, Fate::Running(None));
    watching.wait(LONG).0.ok();
}

#[test]
fn a_crash_loop_is_told_with_the_last_lines_of_before_the_restart() {
    let test = "a_crash_loop_is_told_with_the_last_lines_of_before_the_restart";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::CrashLoopBackOff(3));
    kubelet.previous_log(
        V2,
        "starting\nModuleNotFoundError: No module named 'flask'\n",
    );
    kubelet.log(V2, "of now");
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let done = watch(&bed.overcoat(), "web", V2, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    for part in [
        "ends again and again: exit code 3 (Error)",
        "its last lines:\n  | starting\n  | ModuleNotFoundError: No module named 'flask'\n",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    let asked = kubelet.asked();
    assert!(
        asked
            .iter()
            .any(|one| one.contains("/web-app?") && one.contains("previous=true")),
        "{asked:?}"
    );
}

#[test]
fn a_failing_probe_is_told_by_its_event_with_the_lines_of_now() {
    let test = "a_failing_probe_is_told_by_its_event_with_the_lines_of_now";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::Unready);
    kubelet.log(V2, "listening on 9000");
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let done = impatient(&bed, V2);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    for part in [
        "fails its probe: Readiness probe failed: HTTP probe failed with statuscode: 503",
        "  | listening on 9000\n",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

#[test]
fn a_deployment_that_exceeds_its_progress_deadline_has_failed() {
    let test = "a_deployment_that_exceeds_its_progress_deadline_has_failed";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::Unready);
    let mut patch = to(V2);
    patch["spec"]["progressDeadlineSeconds"] = json!(1);
    bed.merge("apps/v1", "deployments", "web", &patch);
    let done = watch(&bed.overcoat(), "web", V2, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    for part in [
        "has made no progress for longer than `progressDeadlineSeconds`",
        "timed out progressing",
        "statuscode: 503",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

#[test]
fn pods_that_a_quota_forbids_are_told_for_each_kind() {
    let test = "pods_that_a_quota_forbids_are_told_for_each_kind";
    let Some(bed) = Bed::start(test) else { return };
    let _kubelet = bed.kubelet();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    });
    bed.create("v1", "resourcequotas", &quota);
    let status = json!({"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}});
    bed.merge("v1", "resourcequotas", "none/status", &status);
    let containers = [("sidecar", MESH), ("web-app", V1)];
    bed.create("apps/v1", "deployments", &deployment("web", &containers));
    bed.create("apps/v1", "statefulsets", &stateful_set("db", &containers));
    bed.create(
        "apps/v1",
        "daemonsets",
        &daemon_set(&bed, "agent", &containers),
    );
    for workload in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        let done = watch(&bed.overcoat(), workload, V1, &["--grace", "0s"]);
        assert_eq!(done.code, Some(92), "{workload}: {}", done.stderr);
        let expected = format!("{workload} cannot create its pods: ");
        assert!(
            done.stderr.contains(&expected),
            "{workload}: {}",
            done.stderr
        );
        assert!(
            done.stderr.contains("exceeded quota: none"),
            "{workload}: {}",
            done.stderr
        );
    }
}

#[test]
fn a_paused_deployment_is_told_as_that() {
    let Some((bed, _kubelet)) = rolled_out("a_paused_deployment_is_told_as_that", V1) else {
        return;
    };
    let mut patch = to(V2);
    patch["spec"]["paused"] = json!(true);
    bed.merge("apps/v1", "deployments", "web", &patch);
    let done = watch(&bed.overcoat(), "web", V2, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    assert!(
        done.stderr.contains("deployment/web is paused"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_at_once() {
    let Some((bed, _kubelet)) = rolled_out("what_is_not_there_or_not_allowed_is_said_at_once", V1)
    else {
        return;
    };
    let overcoat = bed.overcoat();
    let done = watch(&overcoat, "deployment/wep", V1, &[]);
    assert_eq!(done.code, Some(85), "{}", done.stderr);
    let missing = format!(
        "there is no deployment/wep in the namespace `{}`",
        bed.namespace()
    );
    assert!(done.stderr.contains(&missing), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: it has deployment/web"),
        "{}",
        done.stderr
    );

    let words = [
        "watch",
        "--workload",
        "web",
        "--image",
        V1,
        "--container",
        "webapp",
    ];
    let done = overcoat.run(&words);
    assert_eq!(done.code, Some(85), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("`webapp` is not among `sidecar`, `web-app`"),
        "{}",
        done.stderr
    );

    let done = watch(&overcoat, "web", V1, &["--context", "prod"]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr.contains("has no context `prod`"),
        "{}",
        done.stderr
    );

    let done = watch(&overcoat, "pod/web", V1, &[]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(
        done.stderr.contains("rollouts of `pod` cannot be watched"),
        "{}",
        done.stderr
    );

    let kubeconfig = bed.kubeconfig("test", NOBODY);
    let nobody = Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap());
    let done = watch(&nobody, "deployment/web", V1, &[]);
    assert_eq!(done.code, Some(91), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("does not allow to get deployments.apps"),
        "{}",
        done.stderr
    );
    // To watch, one has to read; nothing else.
    bed.allow_nobody(
        &["get", "list"],
        &["deployments", "replicasets", "pods", "events"],
    );
    wait_for("the rights", || {
        (watch(&nobody, "deployment/web", V1, &[]).code == Some(0)).then_some(())
    });
}

#[test]
fn ctrl_c_ends_a_watch_at_once() {
    let Some((bed, _kubelet)) = rolled_out("ctrl_c_ends_a_watch_at_once", V1) else {
        return;
    };
    let overcoat = bed.overcoat();
    let more = ["--interval", "1h", "--timeout", "2h"];
    let mut words: Vec<&str> = vec![
        "watch",
        "--workload",
        "web",
        "--image",
        V2,
        "--container",
        "web-app",
    ];
    words.extend(more);
    let mut watching = overcoat.spawn(&words);
    // It has looked once, and pauses for an hour.
    let mut said = String::new();
    let stderr = watching.child.stderr.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut said).unwrap();
    assert!(!said.is_empty());
    watching.signal("INT");
    let (done, _) = watching.wait(Duration::from_secs(30));
    assert_eq!(done.code, Some(130));
}
