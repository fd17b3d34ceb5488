//! `overcoat watch` against a real Kubernetes API: rollouts that come true, and every way in which they do not.

mod changes;
mod failures;
mod flux;
mod inputs;
mod kinds;
mod known;
mod ready;
mod records;
mod replies;

use std::time::Duration;

use serde_json::{Value, json};

use super::support::cluster::objects::{daemon_set, deployment, stateful_set};
use super::support::cluster::{Bed, Fate, Kubelet};
use super::support::{Done, Overcoat, wait_for};

const MESH: &str = "registry.example.com/mesh:v9";
const V1: &str = "registry.example.com/team/app:v1";
const V2: &str = "registry.example.com/team/app:v2";
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// What no test waits for in vain.
const LONG: Duration = Duration::from_secs(120);

/// The arguments of a watch that looks often, for the container `web-app`.
fn words<'a>(workload: &'a str, image: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["watch", "--workload", workload, "--image", image];
    words.extend(["--container", "web-app", "--stable", "0s"]);
    // Nobody needs to look for a registry that there is not.
    if image.starts_with("registry.example.com/") {
        words.push("--no-verify");
    }
    for [flag, value] in [["--interval", "200ms"], ["--timeout", "100s"]] {
        if !more.contains(&flag) {
            words.extend([flag, value]);
        }
    }
    words.extend(more);
    words
}

fn watch(overcoat: &Overcoat, workload: &str, image: &str, more: &[&str]) -> Done {
    overcoat.run(&words(workload, image, more))
}

/// A Deployment `web` of a sidecar and, behind it, `web-app` with this image.
fn web(bed: &Bed, image: &str) {
    let object = deployment("web", &[("sidecar", MESH), ("web-app", image)]);
    bed.create("apps/v1", "deployments", &object);
}

/// The patch that gives `web-app` another image.
fn to(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [
        {"name": "sidecar", "image": MESH, "imagePullPolicy": "IfNotPresent"},
        {"name": "web-app", "image": image, "imagePullPolicy": "IfNotPresent"},
    ]}}}})
}

/// A namespace with a kubelet and `web` rolled out with `image`.
fn rolled_out(test: &str, image: &str) -> Option<(Bed, Kubelet)> {
    let bed = Bed::start(test)?;
    let kubelet = bed.kubelet();
    web(&bed, image);
    watch(&bed.overcoat(), "deployment/web", image, &[]).ok();
    Some((bed, kubelet))
}

#[test]
fn fault_1_a_rollout_behind_a_sidecar_is_seen_and_printed() {
    let Some((bed, _kubelet)) =
        rolled_out("fault_1_a_rollout_behind_a_sidecar_is_seen_and_printed", V1)
    else {
        return;
    };
    let overcoat = bed.overcoat();
    let watching = overcoat.spawn(&words("web", V2, &[]));
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let (done, _) = watching.wait(LONG);
    let done = done.ok();
    assert_eq!(
        done.stdout,
        format!("{} deployment/web {V2}\n", bed.namespace())
    );

    let done = watch(&overcoat, "deploy/web", V2, &["--format", "json"]).ok();
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed[0]["container"], "web-app");
    assert_eq!(printed[0]["image"], V2);
    assert_eq!(printed[0]["pods"].as_array().unwrap().len(), 1);
    // Without its name the container is the one with an image of this repository.
    let words = [
        "watch",
        "--workload",
        "web",
        "--image",
        V2,
        "--stable",
        "0s",
        "--timeout",
        "60s",
    ];
    overcoat.run(&words).ok();
}

#[test]
fn fault_2_a_tag_that_begins_with_the_wanted_one_is_another_tag() {
    let there = "registry.example.com/team/app:abc-1234";
    let test = "fault_2_a_tag_that_begins_with_the_wanted_one_is_another_tag";
    let Some((bed, _kubelet)) = rolled_out(test, there) else {
        return;
    };
    let wanted = "registry.example.com/team/app:abc-123";
    let done = watch(&bed.overcoat(), "web", wanted, &["--timeout", "1s"]);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    let expected = format!(
        "because: container `web-app` of deployment/web is to run `{there}`, not yet `{wanted}`"
    );
    assert!(done.stderr.contains(&expected), "{}", done.stderr);
    assert!(
        done.stderr.contains("was not complete within 1s"),
        "{}",
        done.stderr
    );
}

#[test]
fn fault_3_other_bytes_under_the_wanted_tag_are_a_failed_rollout() {
    let test = "fault_3_other_bytes_under_the_wanted_tag_are_a_failed_rollout";
    let Some(bed) = Bed::start(test) else { return };
    let kubelet = bed.kubelet();
    let latest = "127.0.0.1:1/team/app:latest";
    kubelet.fate(
        latest,
        Fate::Running(Some(format!(
            "docker-pullable://127.0.0.1:1/team/app@{OTHER}"
        ))),
    );
    web(&bed, latest);
    let overcoat = bed.overcoat();
    let wanted = format!("{latest}@{DIGEST}");
    let done = watch(&overcoat, "web", &wanted, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    assert!(done.stderr.contains(&format!(
        "runs other bytes under the wanted name: `{latest}` was pulled as {OTHER}"
    )));
    // The registry was asked whether these are the bytes of one platform, and is not there.
    assert!(
        done.stderr
            .contains("the digests of the image's platforms are not known"),
        "{}",
        done.stderr
    );
    watch(&overcoat, "web", &wanted, &["--accept-digest", OTHER]).ok();
}

#[test]
fn fault_4_the_old_rollout_is_not_taken_for_the_new_one() {
    let test = "fault_4_the_old_rollout_is_not_taken_for_the_new_one";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::Pending);
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let overcoat = bed.overcoat();
    let done = watch(&overcoat, "web", V2, &["--timeout", "1s"]);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    assert!(done.stderr.contains("because: "), "{}", done.stderr);
    kubelet.fate(V2, Fate::Running(None));
    watch(&overcoat, "web", V2, &[]).ok();
}

#[test]
fn fault_7_stateful_and_daemon_sets_are_watched_several_at_once() {
    let test = "fault_7_stateful_and_daemon_sets_are_watched_several_at_once";
    let Some(bed) = Bed::start(test) else { return };
    let _kubelet = bed.kubelet();
    let containers = [("sidecar", MESH), ("web-app", V1)];
    bed.create("apps/v1", "statefulsets", &stateful_set("db", &containers));
    bed.create(
        "apps/v1",
        "daemonsets",
        &daemon_set(&bed, "agent", &containers),
    );
    let overcoat = bed.overcoat();
    for (plural, workload) in [
        ("statefulsets", "statefulset/db"),
        ("daemonsets", "daemonset/agent"),
    ] {
        watch(&overcoat, workload, V1, &[]).ok();
        let watching = overcoat.spawn(&words(workload, V2, &[]));
        let name = workload.split_once('/').unwrap().1;
        bed.merge("apps/v1", plural, name, &to(V2));
        let (done, _) = watching.wait(LONG);
        assert_eq!(
            done.ok().stdout,
            format!("{} {workload} {V2}\n", bed.namespace())
        );
        let done = watch(&overcoat, workload, V1, &["--timeout", "2s"]);
        assert_eq!(done.code, Some(93), "{}", done.stderr);
    }
}

#[test]
fn a_rolling_update_of_several_pods_is_over_when_the_old_ones_are_gone() {
    let test = "a_rolling_update_of_several_pods_is_over_when_the_old_ones_are_gone";
    let Some(bed) = Bed::start(test) else { return };
    let _kubelet = bed.kubelet();
    let mut object = deployment("web", &[("web-app", V1)]);
    object["spec"]["replicas"] = json!(3);
    bed.create("apps/v1", "deployments", &object);
    let overcoat = bed.overcoat();
    watch(&overcoat, "web", V1, &[]).ok();
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web-app", "image": V2}]}}}});
    bed.merge("apps/v1", "deployments", "web", &patch);
    let done = watch(&overcoat, "web", V2, &["--format", "json"]).ok();
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed[0]["pods"].as_array().unwrap().len(), 3);
    let status = &bed.get("apps/v1", "deployments", "web")["status"];
    assert_eq!(
        (&status["replicas"], &status["updatedReplicas"]),
        (&json!(3), &json!(3))
    );
}

#[test]
fn a_workload_without_replicas_is_complete_with_a_warning() {
    let test = "a_workload_without_replicas_is_complete_with_a_warning";
    let Some(bed) = Bed::start(test) else { return };
    let mut object = deployment("web", &[("web-app", V1)]);
    object["spec"]["replicas"] = json!(0);
    bed.create("apps/v1", "deployments", &object);
    let done = watch(&bed.overcoat(), "web", V1, &[]).ok();
    assert!(
        done.stderr
            .contains("deployment/web has no pod to run the image in"),
        "{}",
        done.stderr
    );
}

#[test]
fn whatever_the_workload_names_now_can_be_watched() {
    let Some((bed, _kubelet)) = rolled_out("whatever_the_workload_names_now_can_be_watched", V1)
    else {
        return;
    };
    let words = [
        "watch",
        "--workload",
        "web",
        "--current",
        "--container",
        "web-app",
        "--timeout",
        "60s",
    ];
    let done = bed.overcoat().run(&words).ok();
    assert_eq!(
        done.stdout,
        format!("{} deployment/web {V1}\n", bed.namespace())
    );
}

#[test]
fn a_workload_that_does_not_exist_yet_can_be_awaited() {
    let test = "a_workload_that_does_not_exist_yet_can_be_awaited";
    let Some(bed) = Bed::start(test) else { return };
    let _kubelet = bed.kubelet();
    let overcoat = bed.overcoat();
    let watching = overcoat.spawn(&words("deployment/web", V1, &["--wait-for-creation"]));
    web(&bed, V1);
    watching.wait(LONG).0.ok();
}
