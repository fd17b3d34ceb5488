//! Records written and read again.

mod afterwards;
mod choosing;
mod crashes;

use std::fs;
use std::time::{Duration, SystemTime};

use super::*;
use crate::digest::Digest;
use crate::event::{Event, Observer, Silent, Stream};

/// Seconds after a fixed moment.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

fn beginning(operation: Operation, application: &str) -> Begin {
    Begin {
        operation,
        application: application.to_owned(),
        environment: DEFAULT_ENVIRONMENT.to_owned(),
        host: "machine".to_owned(),
        user: "somebody".to_owned(),
        commit: None,
        labels: std::collections::BTreeMap::new(),
        facts: Facts::default(),
    }
}

fn outcome(ending: Ending) -> Outcome {
    Outcome {
        ending,
        error: None,
        facts: Facts::default(),
    }
}

fn history() -> (tempfile::TempDir, History) {
    let directory = tempfile::tempdir().unwrap();
    let history = History::at(directory.path().join("history"));
    (directory, history)
}

fn done(history: &History, operation: Operation, application: &str, seconds: u64) -> Record {
    let running = history.begin(beginning(operation, application), at(seconds));
    let ended = running
        .unwrap()
        .finish(outcome(Ending::Success), at(seconds + 1));
    ended.unwrap()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let (_directory, history) = history();
    let build = done(&history, Operation::Build, "web", 0);
    let digest = Digest::of(b"image");
    let begin = Begin {
        environment: "prod".to_owned(),
        commit: Some("0123abc".to_owned()),
        labels: [("team".to_owned(), "blue".to_owned())].into(),
        facts: Facts {
            image: Some("ghcr.io/acme/web:v1".to_owned()),
            links: [(Operation::Build, build.id.clone())].into(),
            ..Facts::default()
        },
        ..beginning(Operation::Deploy, "web")
    };
    let running = history.begin(begin, at(10)).unwrap();
    let target = Target::Cluster {
        context: None,
        namespace: "shop".to_owned(),
        workload: "deployment/web".to_owned(),
        container: "web".to_owned(),
    };
    let facts = Facts {
        digest: Some(digest.clone()),
        target: Some(target.clone()),
        ..Facts::default()
    };
    running.update(facts).unwrap();
    let outcome = Outcome {
        ending: Ending::Error,
        error: Some("it did not start".to_owned()),
        facts: Facts {
            previous: Some("ghcr.io/acme/web:v0".to_owned()),
            ..Facts::default()
        },
    };
    let written = running.finish(outcome, at(20)).unwrap();
    let contents = history.read().unwrap();
    assert_eq!(contents.damages, []);
    assert_eq!(contents.records, [build.clone(), written.clone()]);
    assert_eq!(written.state, State::Error);
    assert_eq!(written.error.as_deref(), Some("it did not start"));
    assert_eq!(written.finished, Some(at(20)));
    assert_eq!(written.link(Operation::Build), Some(&build.id));
    assert_eq!(written.facts.target, Some(target));
    assert_eq!(
        written.image(),
        Some(format!("ghcr.io/acme/web:v1@{digest}"))
    );
    assert_eq!(
        written.facts.previous.as_deref(),
        Some("ghcr.io/acme/web:v0")
    );
    assert_eq!(written.labels["team"], "blue");
}

#[test]
fn numbers_are_of_one_application_and_one_kind() {
    let (_directory, history) = history();
    let wanted = [
        (Operation::Build, "web", 1),
        (Operation::Build, "web", 2),
        (Operation::Push, "web", 1),
        (Operation::Build, "api", 1),
        (Operation::Build, "web", 3),
    ];
    for (operation, application, sequence) in wanted {
        assert_eq!(
            done(&history, operation, application, 0).sequence,
            sequence,
            "{application}"
        );
        // Without the kept numbers, they are counted.
        if sequence == 2 {
            fs::remove_file(history.directory().join("sequences.json")).unwrap();
        }
    }
}

#[test]
fn kept_numbers_of_another_file_are_not_believed() {
    let (_directory, history) = history();
    for _ in 0..3 {
        done(&history, Operation::Build, "web", 0);
    }
    let records = history.directory().join("records.jsonl");
    let first: String = fs::read_to_string(&records)
        .unwrap()
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::remove_file(&records).unwrap();
    fs::write(&records, first).unwrap();
    assert_eq!(done(&history, Operation::Build, "web", 0).sequence, 2);
    fs::write(history.directory().join("sequences.json"), "{\"inode\":").unwrap();
    assert_eq!(done(&history, Operation::Build, "web", 0).sequence, 3);
}

#[test]
fn a_record_runs_as_long_as_its_process_holds_it() {
    let (_directory, history) = history();
    let state = |history: &History| history.read().unwrap().records[0].state;
    let running = history
        .begin(beginning(Operation::Build, "web"), at(0))
        .unwrap();
    assert_eq!(state(&history), State::Running);
    let log = running.log_path();
    drop(running);
    assert_eq!(state(&history), State::Interrupted);
    // Without a log, the process itself is looked at: this one, which is there.
    fs::remove_file(log).unwrap();
    assert_eq!(state(&history), State::Running);
    let records = history.directory().join("records.jsonl");
    let text = fs::read_to_string(&records).unwrap();
    let other = text.replace("\"boot\":\"", "\"boot\":\"not-this-one-");
    assert_ne!(text, other);
    fs::write(&records, other).unwrap();
    assert_eq!(state(&history), State::Interrupted);
}

#[test]
fn the_person_may_stop_it() {
    let (_directory, history) = history();
    let running = history.begin(beginning(Operation::Push, "web"), at(0));
    let ended = running
        .unwrap()
        .finish(outcome(Ending::Interrupted), at(1))
        .unwrap();
    assert_eq!(ended.state, State::Interrupted);
    assert_eq!(history.read().unwrap().records, [ended]);
}

#[test]
fn git_is_told_to_look_away_before_the_first_record() {
    let project = tempfile::tempdir().unwrap();
    let history = History::of_project(project.path());
    assert_eq!(history.read().unwrap().records, []);
    assert_eq!(fs::read_dir(project.path()).unwrap().count(), 0);
    done(&history, Operation::Build, "web", 0);
    let ignored = fs::read_to_string(project.path().join(".overcoat/.gitignore")).unwrap();
    assert_eq!(ignored, "*\n");
    assert!(
        project
            .path()
            .join(".overcoat/history/records.jsonl")
            .is_file()
    );
}

#[test]
fn nothing_before_the_at_sign_of_a_url_is_written_anywhere() {
    let (_directory, history) = history();
    let url = "https://somebody:hunter2@git.example/x";
    let begin = Begin {
        labels: [("source".to_owned(), url.to_owned())].into(),
        facts: Facts {
            image: Some(url.to_owned()),
            results: [("from".to_owned(), url.to_owned())].into(),
            ..Facts::default()
        },
        ..beginning(Operation::Build, "web")
    };
    let running = history.begin(begin, at(0)).unwrap();
    running
        .recording(&Silent)
        .observe(Event::Note { text: url.into() });
    let facts = Facts {
        previous: Some(url.to_owned()),
        ..Facts::default()
    };
    running.update(facts).unwrap();
    let log = running.log_path();
    let outcome = Outcome {
        ending: Ending::Error,
        error: Some(format!("cannot clone {url}")),
        facts: Facts::default(),
    };
    running.finish(outcome, at(1)).unwrap();
    let records = fs::read_to_string(history.directory().join("records.jsonl")).unwrap();
    let all = records + &fs::read_to_string(log).unwrap();
    assert!(!all.contains("hunter2"), "{all}");
    assert_eq!(all.matches("https://git.example/x").count(), 6, "{all}");
}

#[test]
fn the_log_has_what_happens_as_it_happens_and_nothing_that_moves_the_cursor() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl Observer for Count {
        fn observe(&self, _: Event) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let (_directory, history) = history();
    let running = history
        .begin(beginning(Operation::Build, "web"), at(0))
        .unwrap();
    let inner = Count(0.into());
    let recording = running.recording(&inner);
    let read = || fs::read_to_string(running.log_path()).unwrap();
    recording.observe(Event::StageStarted {
        name: "push",
        detail: "web".to_owned(),
    });
    assert_eq!(read(), "==> push: web\n");
    recording.observe(Event::Output {
        step: "hook".to_owned(),
        stream: Stream::Err,
        line: "red \u{1b}[31m".to_owned(),
    });
    recording.observe(Event::Warning {
        text: "two\nlines".to_owned(),
        hint: Some("do".to_owned()),
    });
    recording.observe(Event::TransferFinished { id: 1 });
    assert_eq!(
        read(),
        "==> push: web\n  | red \u{fffd}[31m\nwarning: two\nlines\nhint: do\n"
    );
    assert_eq!(inner.0.load(std::sync::atomic::Ordering::Relaxed), 4);
    assert!(recording.is_cancelled());
}

#[test]
fn lines_of_a_newer_overcoat_are_read_as_far_as_they_are_understood() {
    let (_directory, history) = history();
    let first = done(&history, Operation::Deploy, "web", 0);
    let path = history.directory().join("records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text
        .replace(
            "\"version\":1",
            "\"version\":2,\"weather\":{\"sun\":[1,null]}",
        )
        .replace(
            "\"state\":",
            "\"target\":{\"kind\":\"balloon\",\"colour\":\"red\"},\"state\":",
        );
    assert_eq!(newer.matches("weather").count(), 1);
    fs::write(&path, newer + "{\"line\":\"weather\",\"id\":7}\n").unwrap();
    let contents = history.read().unwrap();
    assert_eq!(contents.damages, []);
    let mut expected = first;
    expected.facts.target = Some(Target::Unknown);
    assert_eq!(contents.records, [expected]);
}

#[test]
fn what_is_forgotten_is_gone_with_its_log_and_its_number_is_not_given_again() {
    let (_directory, history) = history();
    let records: Vec<Record> = (0..3)
        .map(|_| done(&history, Operation::Deploy, "web", 0))
        .collect();
    let under_way = history.begin(beginning(Operation::Deploy, "web"), at(9));
    let under_way = under_way.unwrap();
    let ids = [
        records[0].id.clone(),
        records[2].id.clone(),
        under_way.id().clone(),
    ];
    history.forget(&ids).unwrap();
    let left = history.read().unwrap();
    assert_eq!(left.damages, []);
    let left: Vec<&Id> = left.records.iter().map(|record| &record.id).collect();
    assert_eq!(left, [&records[1].id, under_way.id()]);
    assert!(!history.log_path(&records[0].id).exists());
    assert!(history.log_path(&records[1].id).exists());
    fs::remove_file(history.directory().join("sequences.json")).unwrap();
    assert_eq!(done(&history, Operation::Deploy, "web", 0).sequence, 5);
}

#[test]
fn a_record_that_nobody_could_read_again_is_not_written() {
    let (_directory, history) = history();
    let begin = Begin {
        labels: [("big".to_owned(), "x".repeat(2 << 20))].into(),
        ..beginning(Operation::Build, "web")
    };
    let error = history.begin(begin, at(0)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert_eq!(history.read().unwrap().records, []);
    // A long error is cut instead: the record must end.
    let running = history
        .begin(beginning(Operation::Build, "web"), at(0))
        .unwrap();
    let outcome = Outcome {
        ending: Ending::Error,
        error: Some("é".repeat(1 << 20)),
        facts: Facts::default(),
    };
    let ended = running.finish(outcome, at(1)).unwrap();
    let error = ended.error.clone().unwrap();
    assert!(
        error.len() < 9000 && error.ends_with("é …"),
        "{}",
        error.len()
    );
    assert_eq!(history.read().unwrap().records, [ended]);
}

#[test]
fn times_before_1970_and_after_9999_do_no_harm() {
    let (_directory, history) = history();
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    let running = history
        .begin(beginning(Operation::Build, "web"), early)
        .unwrap();
    running.finish(outcome(Ending::Success), late).unwrap();
    let contents = history.read().unwrap();
    assert_eq!(contents.damages, []);
    assert_eq!(contents.records[0].started, SystemTime::UNIX_EPOCH);
}
