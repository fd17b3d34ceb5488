//! What new pods have to say.

use super::*;
use crate::kubernetes::ready::AUTO_TRIGGER;

fn auto_trigger() -> Wish {
    Wish {
        ready: vec![ReadyCheck::count(AUTO_TRIGGER).unwrap()],
        ..wish("web")
    }
}

/// A Deployment with a new and an old pod.
fn with_old_pod() -> State {
    let mut state = complete(NEW);
    state
        .pods
        .push(pod("web-old-0", "rs-1", "pod-template-hash", "old"));
    state
}

#[test]
fn the_line_counts_in_the_new_pods_only_and_in_the_container_by_name() {
    let play = Play::of(&with_old_pod());
    play.log(
        "web-old-0/web-app",
        "Auto-trigger complete — 5/5 messages sent\n",
    );
    play.log(
        "web-new-0/sidecar",
        "Auto-trigger complete — 5/5 messages sent\n",
    );
    play.at(10, |world| {
        let line = "up\n🚀 Auto-trigger complete — 5/5 messages sent\n".to_owned();
        world.logs.insert("web-new-0/web-app".to_owned(), line);
    });
    let watched = play.watch(&[auto_trigger()]).unwrap();
    assert_eq!(play.now(), Duration::from_secs(10));
    assert_eq!(
        watched[0].said,
        ["🚀 Auto-trigger complete — 5/5 messages sent"]
    );
    assert!(
        !play
            .asked()
            .iter()
            .any(|one| one == "log web-old-0/web-app")
    );
}

#[test]
fn numbers_that_differ_and_tracebacks_end_the_watch_at_once() {
    for (log, why) in [
        (
            "Auto-trigger complete — 3/5 messages sent\n",
            "not all of its messages were sent",
        ),
        (
            "Traceback (most recent call last):\nKeyError: 'x'\n",
            "an exception was not handled",
        ),
    ] {
        let play = Play::of(&complete(NEW));
        play.log("web-new-0/web-app", log);
        let error = play.watch(&[auto_trigger()]).unwrap_err();
        assert_eq!(play.now(), Duration::ZERO);
        let expected =
            format!("deployment/web runs, but pod `web-new-0` says that it is not ready: {why}");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.lines().join("\n") + "\n", log);
    }
}

#[test]
fn silence_until_the_deadline_is_not_a_time_out_of_the_rollout() {
    let play = Play::of(&complete(NEW));
    play.log("web-new-0/web-app", "up\n");
    let wish = Wish {
        ready: vec![ReadyCheck::line("ready to serve").unwrap()],
        ..wish("web")
    };
    let error = play.watch(&[wish]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "deployment/web runs, but pod `web-new-0` has printed no line that fits `ready to serve` within 1m"
    );
    assert_eq!(error.lines(), ["up"]);
}

#[test]
fn a_container_that_ends_while_its_line_is_awaited_ends_the_watch() {
    let play = Play::of(&complete(NEW));
    play.log("web-new-0/web-app", "up\n");
    play.log("previous web-new-0/web-app", "it broke\n");
    play.at(4, |world| {
        let mut state = complete(NEW);
        app(&mut state, 0)["restartCount"] = json!(1);
        app(&mut state, 0)["lastState"] = json!({"terminated": {"exitCode": 7}});
        world.put(&state);
    });
    let error = play.watch(&[auto_trigger()]).unwrap_err();
    assert_eq!(play.now(), Duration::from_secs(4));
    assert!(
        error
            .to_string()
            .ends_with("its container in pod `web-new-0` has ended: exit code 7"),
        "{error}"
    );
    assert_eq!(error.lines(), ["it broke"]);
}

#[test]
fn each_new_pod_and_each_check_has_to_be_heard() {
    let mut state = complete(NEW);
    state
        .pods
        .push(pod("web-new-1", "rs-2", "pod-template-hash", "new"));
    let play = Play::of(&state);
    play.log("web-new-0/web-app", "one\ntwo\n");
    play.log("web-new-1/web-app", "one\n");
    play.at(6, |world| {
        world
            .logs
            .insert("web-new-1/web-app".to_owned(), "one\ntwo\n".to_owned());
    });
    let wish = Wish {
        ready: vec![
            ReadyCheck::line("one").unwrap(),
            ReadyCheck::line("two").unwrap(),
        ],
        ..wish("web")
    };
    let watched = play.watch(&[wish]).unwrap();
    assert_eq!(play.now(), Duration::from_secs(6));
    assert_eq!(watched[0].said, ["one", "two", "one", "two"]);
}

#[test]
fn where_no_pod_runs_nothing_can_say_that_it_is_ready() {
    let mut state = complete(NEW);
    state.workload["spec"]["replicas"] = json!(0);
    state.workload["status"] = json!({"observedGeneration": 2});
    state.pods.clear();
    let error = Play::of(&state).watch(&[auto_trigger()]).unwrap_err();
    assert!(matches!(error, Error::NotReady { .. }), "{error:?}");
}

#[test]
fn a_long_log_is_searched_at_its_beginning_and_its_end() {
    let noise = "x".repeat(999) + "\n";
    for log in [
        "ready\n".to_owned() + &noise.repeat(3000),
        noise.repeat(3000) + "ready\n",
    ] {
        let play = Play::of(&complete(NEW));
        play.log("web-new-0/web-app", &log);
        let wish = Wish {
            ready: vec![ReadyCheck::line("^ready$").unwrap()],
            ..wish("web")
        };
        assert_eq!(play.watch(&[wish]).unwrap()[0].said, ["ready"]);
    }
}
