//! Changes that are told, and what is known when a watch ends.

use super::*;

#[test]
fn what_is_told_is_seen_at_once_and_nothing_is_asked_in_between() {
    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.tells();
    play.at(25, |world| world.put(&complete(NEW)));
    play.watch(&[wish("web")]).unwrap();
    assert_eq!(play.now(), Duration::from_secs(25));
    let looks = |play: &Play| {
        let asked = play.asked();
        asked
            .iter()
            .filter(|one| one.ends_with("deployments/web"))
            .count()
    };
    assert_eq!(looks(&play), 2, "{:?}", play.asked());

    // What nobody tells is found all the same, and what is a matter of time in time.
    let play = Play::of(&pulling());
    play.tells();
    let error = play.watch(&[wish("web")]).unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert_eq!(play.now(), Duration::from_secs(20));
    assert_eq!(looks(&play), 2);

    let mut state = deployment(NEW, 1);
    state.workload["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    let play = Play::of(&state);
    play.tells();
    play.watch(&[wish("web")]).unwrap();
    assert_eq!(play.now(), Duration::from_secs(3));

    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.tells();
    play.watch(&[wish("web")]).unwrap_err();
    assert_eq!(play.now(), play::TIMEOUT);
    assert_eq!(looks(&play), 3, "after half a minute, and at the deadline");
}

#[test]
fn what_became_of_each_workload_is_known_when_one_fails() {
    let play = Play::of(&complete(NEW));
    for (name, image) in [("relay", NEW), ("sink", "registry.example.com/team/app:v1")] {
        let mut state = complete(image);
        state.workload["metadata"]["name"] = json!(name);
        if name == "relay" {
            state.workload["spec"]["paused"] = json!(true);
            state.workload["status"]["updatedReplicas"] = json!(0);
        }
        play.put(&state);
    }
    let ended = play.watch_all(&[wish("web"), wish("sink"), wish("relay")]);
    let outcomes: Vec<&str> = ended
        .outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Complete(watched) => watched.workload.as_str(),
            Outcome::Failed(_) => "failed",
            Outcome::Open => "open",
        })
        .collect();
    assert_eq!(outcomes, ["deployment/web", "open", "failed"]);
    assert!(
        matches!(ended.error, Some(Error::Failed { .. })),
        "{ended:?}"
    );
}

#[test]
fn at_the_deadline_each_workload_that_is_late_has_its_own_verdict() {
    let play = Play::of(&complete(NEW));
    for name in ["relay", "sink"] {
        let mut state = complete("registry.example.com/team/app:v1");
        state.workload["metadata"]["name"] = json!(name);
        play.put(&state);
    }
    let ended = play.watch_all(&[wish("sink"), wish("web"), wish("relay")]);
    let late = |place: usize| match &ended.outcomes[place] {
        Outcome::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for (place, name) in [(0, "sink"), (2, "relay")] {
        let expected = format!("the rollout of deployment/{name} was not complete within 1m");
        assert_eq!(late(place), expected);
    }
    assert!(matches!(ended.outcomes[1], Outcome::Complete(_)));
    let error = ended.into_result().unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 rollouts were not complete in time: deployment/sink, deployment/relay"
    );
    let because = error.because().join("\n");
    for name in ["sink", "relay"] {
        assert!(
            because.contains(&format!("of deployment/{name} is to run")),
            "{because}"
        );
    }
    assert_eq!(error.hints().len(), 1, "{:?}", error.hints());
}
