//! Changes are told by the API; where they are not, somebody looks.

use super::super::support::cluster::NOBODY;
use super::super::support::cluster::replies::{Replies, Reply};
use super::*;

/// What is asked for seldom enough that only what is told can end a test.
const SELDOM: [&str; 2] = ["--interval", "1h"];

#[test]
fn a_rollout_is_seen_when_it_is_complete_although_nobody_looks_for_an_hour() {
    let test = "a_rollout_is_seen_when_it_is_complete_although_nobody_looks_for_an_hour";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::Pending);
    let overcoat = bed.overcoat();
    let watching = overcoat.spawn(&words("web", V2, &SELDOM));
    // Each of these is told: the template, the new pod, its end.
    std::thread::sleep(Duration::from_secs(1));
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    std::thread::sleep(Duration::from_secs(1));
    kubelet.fate(V2, Fate::Running(None));
    let (done, _) = watching.wait(LONG);
    let done = done.ok();
    assert!(
        done.stderr
            .contains("is to run `registry.example.com/team/app:v1`"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_failure_that_is_told_by_an_event_or_by_time_is_seen_although_nobody_looks_for_an_hour() {
    let test = "a_failure_that_is_told_by_an_event_or_by_time_is_seen_although_nobody_looks";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    kubelet.fate(V2, Fate::Unready);
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let more = [&SELDOM[..], &["--probe-grace", "2s"]].concat();
    let done = watch(&bed.overcoat(), "web", V2, &more);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    assert!(
        done.stderr.contains("Readiness probe failed"),
        "{}",
        done.stderr
    );
}

#[test]
fn who_may_not_watch_looks_instead() {
    let Some((bed, _kubelet)) = rolled_out("who_may_not_watch_looks_instead", V1) else {
        return;
    };
    let workloads = ["deployments", "replicasets", "pods", "events"];
    bed.allow_nobody(&["get", "list"], &workloads);
    let nobody = bed.kubeconfig("k3d-nobody", NOBODY);
    let overcoat = Overcoat::new().with("KUBECONFIG", nobody.to_str().unwrap());
    let watching = overcoat.spawn(&words("deployment/web", V2, &["--verbose"]));
    std::thread::sleep(Duration::from_secs(1));
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let (done, _) = watching.wait(LONG);
    let done = done.ok();
    assert!(
        done.stderr
            .contains("does not let deployments.apps in the namespace"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_person_and_the_deadline_end_the_wait_for_a_change() {
    let test = "a_person_and_the_deadline_end_the_wait_for_a_change";
    let Some((bed, _kubelet)) = rolled_out(test, V1) else {
        return;
    };
    let overcoat = bed.overcoat();
    let more = [&SELDOM[..], &["--timeout", "2s"]].concat();
    let done = watch(&overcoat, "web", V2, &more);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    let watching = overcoat.spawn(&words("web", V2, &SELDOM));
    std::thread::sleep(Duration::from_secs(2));
    watching.signal("INT");
    let (done, _) = watching.wait(LONG);
    assert_eq!(done.code, Some(130), "{}", done.stderr);
}

/// A Deployment `web` at `version` of the whole cluster; the controller has seen it or not.
fn at(is_seen: bool) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "uid": "d-1", "generation": 2},
        "spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "web-app", "image": V1}]}}},
        "status": {"observedGeneration": if is_seen { 2 } else { 1 }},
    })
}

/// A watch goes on from where it had come to, and anew when that is too long ago: each with what was told in between.
#[test]
fn a_watch_that_is_cut_off_goes_on_and_one_that_has_expired_begins_anew() {
    let one = "GET /apis/apps/v1/namespaces/default/deployments/web";
    let all = "GET /apis/apps/v1/namespaces/default/deployments";
    let line = |text: &str| Reply::Bytes(format!("{text}\n").into_bytes());
    let list = |version: &str| {
        Reply::Json(
            200,
            json!({"kind": "List", "metadata": {"resourceVersion": version}, "items": []}),
        )
    };
    let replies = Replies::start();
    replies.reply(one, Reply::Json(200, at(false)));
    replies
        .reply(all, list("10"))
        // A bookmark moves the place, and is no change.
        .reply(
            all,
            line(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"15"}}}"#),
        )
        .reply(
            all,
            line(r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#),
        )
        .reply(all, list("20"))
        .reply(all, Reply::Silence);
    let overcoat = Overcoat::new();
    let kubeconfig = replies.kubeconfig(overcoat.path());
    let overcoat = overcoat.with("KUBECONFIG", kubeconfig.to_str().unwrap());
    let watching = overcoat.spawn(&words("deployment/web", V1, &SELDOM));
    let versions = || -> Vec<String> {
        let asked = replies.asked();
        let watches = asked.iter().filter(|one| one.contains("watch=true"));
        let version = |one: &String| one.rsplit_once("resourceVersion=").unwrap().1.to_owned();
        watches.map(version).collect()
    };
    wait_for("three watches", || (versions().len() == 3).then_some(()));
    assert_eq!(versions(), ["10", "15", "20"]);
    let asked = replies.asked();
    let of_list = asked.iter().filter(|one| one.contains("limit=1"));
    assert_eq!(of_list.count(), 2, "{asked:?}");
    let named = |one: &&String| one.contains("fieldSelector=metadata.name%3Dweb");
    assert_eq!(asked.iter().filter(named).count(), 5, "{asked:?}");
    watching.signal("INT");
    assert_eq!(watching.wait(LONG).0.code, Some(130));
}
