//! What is added to a record after its end.

use super::*;

#[test]
fn what_came_to_be_known_afterwards_is_part_of_the_record() {
    let (_directory, history) = history();
    let good = done(&history, Operation::Deploy, "web", 0);
    let bad = done(&history, Operation::Deploy, "web", 5);
    let later = |has_failed, error: Option<&str>| Afterwards {
        has_failed,
        error: error.map(str::to_owned),
        facts: Facts {
            results: [("rolled-back-to".to_owned(), "https://u:p@h/x".to_owned())].into(),
            ..Facts::default()
        },
    };
    history
        .afterwards(&good.id, later(false, Some("the rollout failed")))
        .unwrap();
    history
        .afterwards(&bad.id, later(true, Some("it failed")))
        .unwrap();
    history.afterwards(&bad.id, later(false, None)).unwrap();
    let contents = history.read().unwrap();
    assert_eq!(contents.damages, []);
    let found: Vec<(State, Option<&str>)> = contents
        .records
        .iter()
        .map(|record| (record.state, record.error.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            (State::Success, Some("the rollout failed")),
            (State::Error, Some("it failed"))
        ]
    );
    // It ended when it ended, and no password is written.
    assert_eq!(contents.records[1].finished, bad.finished);
    let told = &contents.records[1].facts.results["rolled-back-to"];
    assert!(!told.contains("u:p"), "{told}");
    // One that runs still ends by itself.
    let running = history
        .begin(beginning(Operation::Deploy, "web"), at(9))
        .unwrap();
    history
        .afterwards(running.id(), later(true, Some("early")))
        .unwrap();
    assert_eq!(history.read().unwrap().records[2].state, State::Running);
    running.finish(outcome(Ending::Success), at(10)).unwrap();
    assert_eq!(history.read().unwrap().records[2].state, State::Success);
}
