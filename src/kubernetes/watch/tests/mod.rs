//! A cluster that is played, and a clock that stands until somebody waits.

mod changes;
mod flux;
mod play;
mod ready;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::kubernetes::rollout::samples::*;
use crate::kubernetes::rollout::{Cause, Image, State};
use play::{Play, error_of};

fn wish(name: &str) -> Wish {
    Wish {
        namespace: "shop".to_owned(),
        kind: None,
        name: name.to_owned(),
        wanted: wanted(NEW),
        reconcile: Reconcile::Never,
        with_source: false,
        awaits_creation: false,
        ready: Vec::new(),
    }
}

/// A Deployment whose template names `image`, complete.
fn complete(image: &str) -> State {
    let mut state = deployment(image, 1);
    state.workload["spec"]["minReadySeconds"] = json!(1);
    state.workload["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    state
}

/// It is under way with its `web-app` in this state.
fn under_way(status: serde_json::Value) -> State {
    let mut state = troubled(status);
    state.workload["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    state
}

fn pulling() -> State {
    under_way(json!({
        "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}},
    }))
}

#[test]
fn a_rollout_that_comes_true_later_is_awaited_and_told() {
    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.at(10, |world| world.put(&complete(NEW)));
    let watched = play.watch(&[wish("web")]).unwrap();
    assert_eq!(watched[0].workload, "deployment/web");
    assert_eq!(watched[0].done.image, NEW);
    assert_eq!(play.now(), Duration::from_secs(10));
    let told = play.told();
    assert!(
        told.contains("not yet `registry.example.com/team/app:v2`"),
        "{told}"
    );
    assert!(
        told.contains("deployment/web runs registry.example.com/team/app:v2 in 1 pods"),
        "{told}"
    );
}

#[test]
fn fault_6_the_deadline_ends_the_watch_with_what_was_awaited_last() {
    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert_eq!(play.now(), play::TIMEOUT);
    assert_eq!(
        error.to_string(),
        "the rollout of deployment/web was not complete within 1m"
    );
    assert!(
        error.because()[0].contains("not yet `registry.example.com/team/app:v2`"),
        "{error:?}"
    );
    assert!(error.hints()[0].contains("--timeout"));
}

#[test]
fn the_deadline_tells_the_trouble_that_there_was_its_event_and_lines() {
    let play = Play::of(&under_way(
        json!({"ready": false, "restartCount": 0, "state": {"running": {}}}),
    ));
    play.put_event(event(
        "uid-web-new-0",
        "Unhealthy",
        "Readiness probe failed: 503",
        "2026-01-01T00:00:05Z",
    ));
    play.log("web-new-0/web-app", "listening on 9000\n");
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let because = error.because();
    assert!(because[0].contains("1 of 2 pods are new"), "{because:?}");
    assert!(
        because[1].contains("fails its probe: Readiness probe failed: 503"),
        "{because:?}"
    );
    assert_eq!(because[2], "event Unhealthy: Readiness probe failed: 503");
    assert_eq!(error.lines(), ["listening on 9000"]);
    assert!(error.hints()[0].contains("initialDelaySeconds"));
}

#[test]
fn a_failed_pull_ends_the_watch_after_its_grace_and_tells_pod_event_and_image() {
    let play = Play::of(&pulling());
    play.put_event(event(
        "uid-web-new-0",
        "Failed",
        "Failed to pull image",
        "2026-01-01T00:00:05Z",
    ));
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert_eq!(play.now(), Duration::from_secs(20));
    assert_eq!(
        error.to_string(),
        "the rollout of deployment/web has failed"
    );
    assert_eq!(
        error.because(),
        [
            "container `web-app` of pod `web-new-0` cannot pull its image: ErrImagePull: manifest unknown",
            "event Failed: Failed to pull image",
        ]
    );
    assert!(error.hints()[0].contains("imagePullSecrets"));
}

#[test]
fn a_pull_that_succeeds_in_time_is_no_failure() {
    let play = Play::of(&pulling());
    play.at(18, |world| world.put(&complete(NEW)));
    play.watch(&[wish("web")]).unwrap();
    assert!(play.told().contains("cannot pull its image"));
}

#[test]
fn a_crash_loop_ends_the_watch_at_once_with_the_lines_of_before_the_restart() {
    let play = Play::of(&under_way(json!({
        "ready": false, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    })));
    play.log("web-new-0/web-app", "now\n");
    play.log(
        "previous web-new-0/web-app",
        "before\nModuleNotFoundError: No module named 'flask'\x1b[0m\n",
    );
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert_eq!(play.now(), Duration::ZERO);
    assert!(
        error.because()[0].contains("ends again and again: exit code 1 (Error)"),
        "{error:?}"
    );
    assert_eq!(
        error.lines(),
        [
            "before",
            "ModuleNotFoundError: No module named 'flask'\u{fffd}[0m"
        ]
    );
}

#[test]
fn a_workload_that_is_not_there_is_an_error_at_once_that_names_those_that_are() {
    let play = Play::of(&complete(NEW));
    let error = play.watch(&[wish("wep")]).unwrap_err();
    assert_eq!(play.now(), Duration::ZERO);
    assert_eq!(
        error.to_string(),
        "there is no workload called `wep` in the namespace `shop`"
    );
    assert_eq!(error.hints(), ["it has deployment/web"]);
    let mut elsewhere = wish("web");
    elsewhere.namespace = "shoe".to_owned();
    let error = play.watch(std::slice::from_ref(&elsewhere)).unwrap_err();
    assert_eq!(error.to_string(), "the cluster has no namespace `shoe`");
    play.put_object("v1", "namespaces", "", "shoe", json!({}));
    let error = play.watch(&[elsewhere]).unwrap_err();
    assert!(
        error.hints()[0].contains("the namespace `shoe` has no workloads"),
        "{error:?}"
    );
}

#[test]
fn a_workload_that_is_not_there_can_be_awaited() {
    let play = Play::default();
    play.at(6, |world| world.put(&complete(NEW)));
    let mut patient = wish("web");
    patient.awaits_creation = true;
    play.watch(std::slice::from_ref(&patient)).unwrap();
    assert!(play.told().contains("web is not created yet"));
    let error = Play::default().watch(&[patient]).unwrap_err();
    assert_eq!(error.because(), ["web is not created yet"]);
}

#[test]
fn a_name_is_looked_for_among_all_kinds_those_of_every_cluster_first() {
    let cron = json!({
        "metadata": {"name": "web"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": template(NEW)}}},
    });
    let play = Play::default();
    // A server before Kubernetes 1.21, without Argo.
    play.forget("batch/v1/cronjobs");
    play.forget("argoproj.io/v1alpha1/rollouts");
    play.put_object("batch/v1beta1", "cronjobs", "shop", "web", cron.clone());
    let watched = play.watch(&[wish("web")]).unwrap();
    assert_eq!(watched[0].workload, "cronjob/web");
    assert!(
        play.told()
            .contains("its next run uses the image (schedule `0 3 * * *`)"),
        "{}",
        play.told()
    );
    // Who may read nothing but Deployments has no CronJob.
    let play = Play::default();
    for kind in [
        "batch/v1/cronjobs",
        "batch/v1/jobs",
        "argoproj.io/v1alpha1/rollouts",
    ] {
        play.forbid(kind);
    }
    play.put_object("v1", "namespaces", "", "shop", json!({}));
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(matches!(error, Error::NoWorkload { .. }), "{error:?}");
    // What runs all the time is meant.
    let play = Play::of(&complete(NEW));
    play.put_object("batch/v1", "cronjobs", "shop", "web", cron);
    assert_eq!(
        play.watch(&[wish("web")]).unwrap()[0].workload,
        "deployment/web"
    );
}

#[test]
fn a_name_of_two_workloads_has_to_be_given_with_a_kind() {
    let play = Play::of(&complete(NEW));
    play.put_object(
        "apps/v1",
        "statefulsets",
        "shop",
        "web",
        json!({"metadata": {"name": "web"}}),
    );
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`web` may be deployment/web or statefulset/web"
    );
    let mut named = wish("web");
    named.kind = Some(Kind::Deployment);
    play.watch(&[named]).unwrap();
}

#[test]
fn a_container_that_is_not_there_is_no_failed_rollout_but_a_mistake() {
    let mut wrong = wish("web");
    wrong.wanted.container = Some("webapp".to_owned());
    let error = Play::of(&complete(NEW)).watch(&[wrong]).unwrap_err();
    assert!(matches!(&error, Error::NoContainer { reason } if reason.cause == Cause::NoContainer));
    assert!(
        error
            .to_string()
            .contains("`webapp` is not among `sidecar`, `web-app`"),
        "{error}"
    );
}

#[test]
fn several_workloads_are_watched_at_once_with_one_deadline() {
    let play = Play::of(&complete(NEW));
    let mut second = complete("registry.example.com/team/app:v1");
    second.workload["metadata"]["name"] = json!("relay");
    play.put(&second);
    play.at(30, |world| {
        let mut second = complete(NEW);
        second.workload["metadata"]["name"] = json!("relay");
        world.put(&second);
    });
    let watched = play.watch(&[wish("web"), wish("relay")]).unwrap();
    let names: Vec<&str> = watched.iter().map(|one| one.workload.as_str()).collect();
    assert_eq!(names, ["deployment/web", "deployment/relay"]);
    // What is over is not asked for again.
    let asked = play.asked();
    let of_web = asked
        .iter()
        .filter(|one| one.ends_with("deployments/web"))
        .count();
    assert_eq!(of_web, 1, "{asked:?}");

    let play = Play::of(&complete(NEW));
    let mut failing = pulling();
    failing.workload["metadata"]["name"] = json!("relay");
    failing.workload["spec"]["paused"] = json!(true);
    play.put(&failing);
    let error = play.watch(&[wish("web"), wish("relay")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the rollout of deployment/relay has failed"
    );
}

#[test]
fn a_cluster_that_never_answered_is_an_error_at_once_and_one_that_falters_is_not() {
    let play = Play::of(&complete(NEW));
    play.fail(error_of("unreachable"));
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(
        matches!(error, Error::Cluster(cluster::Error::Unreachable { .. })),
        "{error:?}"
    );
    assert_eq!(play.now(), Duration::ZERO);

    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.at(4, |world| world.failure = Some(error_of("unreachable")));
    play.at(40, |world| {
        world.failure = None;
        world.put(&complete(NEW));
    });
    play.watch(&[wish("web")]).unwrap();
    assert!(play.told().contains("cannot be reached"));

    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.at(4, |world| world.failure = Some(error_of("forbidden")));
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(
        matches!(error, Error::Cluster(cluster::Error::Forbidden { .. })),
        "{error:?}"
    );
    assert_eq!(play.now(), Duration::from_secs(4));
}

#[test]
fn a_question_that_the_deadline_cuts_off_does_not_hide_what_was_awaited() {
    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.at(4, |world| world.hangs = true);
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(
        error.because()[0].contains("not yet `registry.example.com/team/app:v2`"),
        "{error:?}"
    );

    let play = Play::of(&complete(NEW));
    play.hang();
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(
        matches!(error, Error::Cluster(cluster::Error::Timeout { .. })),
        "{error:?}"
    );
}

#[test]
fn who_may_not_read_events_is_told_less_and_nothing_fails() {
    let play = Play::of(&pulling());
    play.forbid("v1/events");
    play.at(10, |world| world.put(&complete(NEW)));
    play.watch(&[wish("web")]).unwrap();
}

#[test]
fn who_may_read_one_kind_alone_needs_no_more_and_who_may_read_none_is_told() {
    let play = Play::of(&complete(NEW));
    play.forbid("apps/v1/statefulsets");
    play.forbid("apps/v1/daemonsets");
    play.watch(&[wish("web")]).unwrap();
    let error = play.watch(&[wish("wep")]).unwrap_err();
    assert!(
        matches!(error, Error::Cluster(cluster::Error::Forbidden { .. })),
        "{error:?}"
    );
}

#[test]
fn a_person_who_had_enough_ends_it_at_once() {
    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.cancel_at(4);
    assert_eq!(play.watch(&[wish("web")]).unwrap_err(), Error::Interrupted);
    assert_eq!(play.now(), Duration::from_secs(4));
}

#[test]
fn notes_about_a_complete_rollout_are_warnings() {
    let mut state = complete(NEW);
    state.workload["spec"]["replicas"] = json!(0);
    state.workload["status"] = json!({"observedGeneration": 2});
    state.pods.clear();
    let play = Play::of(&state);
    let mut any = wish("web");
    any.wanted.image = Some(Image::new(NEW.parse().unwrap()));
    assert!(play.watch(&[any]).unwrap()[0].done.pods.is_empty());
    assert!(
        play.told()
            .contains("deployment/web has no pod to run the image in")
    );
}
