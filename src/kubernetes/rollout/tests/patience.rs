//! Which troubles pass.

use std::time::Duration;

use super::*;

const GRACE: Grace = Grace {
    restarts: 1,
    brief: Duration::from_secs(20),
    slow: Duration::from_secs(120),
    stable: Duration::from_secs(3),
};

fn trouble(cause: Cause, pod: &str) -> Reason {
    Reason {
        pod: Some(pod.to_owned()),
        ..Reason::of("deployment/web", cause, "m")
    }
}

fn waiting(troubles: &[Reason]) -> Verdict {
    Verdict::Waiting {
        why: "w".to_owned(),
        troubles: troubles.to_vec(),
    }
}

/// Whether each of these verdicts, told at these seconds, is a failure.
fn failures(verdicts: &[(u64, Verdict)]) -> Vec<bool> {
    let mut patience = Patience::new(GRACE);
    verdicts
        .iter()
        .map(|(at, verdict)| {
            let decided = patience.decide(verdict.clone(), Duration::from_secs(*at));
            matches!(decided, Verdict::Failed(_))
        })
        .collect()
}

#[test]
fn a_failed_pull_has_twenty_seconds_and_a_probe_two_minutes() {
    for (cause, limit) in [
        (Cause::Pull, 20),
        (Cause::Start, 20),
        (Cause::NotCreated, 20),
        (Cause::PodFailed, 20),
        (Cause::Probe, 120),
        (Cause::Unschedulable, 120),
        (Cause::Sandbox, 120),
    ] {
        let verdict = waiting(&[trouble(cause, "a")]);
        let told = [
            (7, verdict.clone()),
            (7 + limit - 1, verdict.clone()),
            (7 + limit, verdict),
        ];
        assert_eq!(failures(&told), [false, false, true], "{cause:?}");
    }
}

#[test]
fn a_trouble_that_passes_begins_anew_when_it_comes_again() {
    let bad = waiting(&[trouble(Cause::Pull, "a")]);
    let told = [
        (0, bad.clone()),
        (15, waiting(&[])),
        (25, bad.clone()),
        (44, bad.clone()),
        (45, bad),
    ];
    assert_eq!(failures(&told), [false, false, false, false, true]);
}

#[test]
fn each_container_has_its_own_time() {
    let (a, b) = (trouble(Cause::Pull, "a"), trouble(Cause::Pull, "b"));
    let told = [
        (0, waiting(std::slice::from_ref(&a))),
        (15, waiting(&[a.clone(), b.clone()])),
        (19, waiting(std::slice::from_ref(&b))),
        (34, waiting(std::slice::from_ref(&b))),
        (35, waiting(&[b])),
    ];
    assert_eq!(failures(&told), [false, false, false, false, true]);
}

#[test]
fn one_end_of_a_container_is_forgiven_and_the_second_is_not() {
    let told = [
        (0, waiting(&[trouble(Cause::Crash(1), "a")])),
        (500, waiting(&[trouble(Cause::Crash(1), "a")])),
        (501, waiting(&[trouble(Cause::Crash(2), "a")])),
    ];
    assert_eq!(failures(&told), [false, false, true]);
}

#[test]
fn what_cannot_pass_is_a_failure_at_once() {
    for cause in [Cause::InvalidImage, Cause::NeverPulled, Cause::OutOfMemory] {
        assert_eq!(
            failures(&[(0, waiting(&[trouble(cause, "a")]))]),
            [true],
            "{cause:?}"
        );
    }
}

#[test]
fn a_rollout_without_a_probe_has_to_stay_complete() {
    let mut patience = Patience::new(GRACE);
    let complete = Verdict::Done(Done::default());
    let at = |seconds: u64| Duration::from_secs(seconds);
    assert!(matches!(
        patience.decide(complete.clone(), at(10)),
        Verdict::Waiting { .. }
    ));
    assert!(matches!(
        patience.decide(complete.clone(), at(12)),
        Verdict::Waiting { .. }
    ));
    // It crashed in between: from the beginning.
    let crashed = waiting(&[trouble(Cause::Crash(1), "a")]);
    assert!(matches!(
        patience.decide(crashed, at(13)),
        Verdict::Waiting { .. }
    ));
    assert!(matches!(
        patience.decide(complete.clone(), at(14)),
        Verdict::Waiting { .. }
    ));
    assert!(matches!(
        patience.decide(complete, at(17)),
        Verdict::Done(_)
    ));
}

#[test]
fn a_rollout_with_a_probe_is_done_as_soon_as_it_is_complete() {
    let probe: [(&str, Value); 2] = [
        ("/spec/minReadySeconds", json!(5)),
        (
            "/spec/template/spec/containers/1/readinessProbe",
            json!({"httpGet": {"port": 8000}}),
        ),
    ];
    for (pointer, value) in probe {
        let mut state = deployment(NEW, 1);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        state.workload.pointer_mut(parent).unwrap()[key] = value;
        let verdict = judge(&state, &wanted(NEW));
        let decided = Patience::new(GRACE).decide(verdict, Duration::ZERO);
        assert!(
            matches!(decided, Verdict::Done(_)),
            "{pointer}: {decided:?}"
        );
    }
    let verdict = judge(&deployment(NEW, 1), &wanted(NEW));
    assert!(!done(verdict).is_certain);
}

#[test]
fn it_is_known_when_a_verdict_will_mean_something_else() {
    let seconds = Duration::from_secs;
    let mut patience = Patience::new(GRACE);
    let both = waiting(&[trouble(Cause::Probe, "a"), trouble(Cause::Pull, "b")]);
    patience.decide(both.clone(), seconds(7));
    assert_eq!(patience.due(), Some(seconds(27)));
    patience.decide(both, seconds(9));
    assert_eq!(patience.due(), Some(seconds(27)), "since it began");
    patience.decide(waiting(&[trouble(Cause::Probe, "a")]), seconds(10));
    assert_eq!(patience.due(), Some(seconds(127)));
    patience.decide(waiting(&[trouble(Cause::Crash(1), "a")]), seconds(11));
    assert_eq!(patience.due(), None, "a crash is counted");
    patience.decide(Verdict::Done(Done::default()), seconds(12));
    assert_eq!(patience.due(), Some(seconds(15)));
    patience.decide(waiting(&[]), seconds(13));
    assert_eq!(patience.due(), None);
}
