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
            Outcome::Failed => "failed",
            Outcome::Open => "open",
        })
        .collect();
    assert_eq!(outcomes, ["deployment/web", "open", "failed"]);
    assert!(
        matches!(ended.error, Some(Error::Failed { .. })),
        "{ended:?}"
    );
}
