//! Operations with records and hooks around them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::digest::Digest;
use crate::project::{OnFailure, Origin};
use crate::release::history::{Filter, State};

/// Remembers warnings; asks to stop when told to.
#[derive(Default)]
struct Watch {
    warnings: Mutex<Vec<String>>,
    is_cancelled: AtomicBool,
}

impl Observer for Watch {
    fn observe(&self, event: Event) {
        if let Event::Warning { text, .. } = event {
            self.warnings.lock().unwrap().push(text);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

fn hook(when: When, script: &str) -> Hook {
    Hook {
        operation: Operation::Push,
        when,
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        on_failure: OnFailure::Fail,
        timeout: None,
        applications: Vec::new(),
        environments: Vec::new(),
        origin: Origin::Default,
    }
}

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

struct Fixture {
    root: tempfile::TempDir,
    history: History,
    watch: Watch,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            history: History::of_project(root.path()),
            watch: Watch::default(),
            root,
        }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    /// Pushes, with these hooks; the work writes `work` into the file `ran` to which hooks add what they want.
    fn push(
        &self,
        hooks: &[Hook],
        work: Result<(), &'static str>,
    ) -> Result<Performed<u8>, Failure<u8, &'static str>> {
        let job = Job {
            history: Some(&self.history),
            begin: Begin {
                operation: Operation::Push,
                application: "web".to_owned(),
                environment: "dev".to_owned(),
                host: "machine".to_owned(),
                user: "somebody".to_owned(),
                commit: None,
                labels: BTreeMap::new(),
                facts: Facts {
                    image: Some("r.example/web:v1".to_owned()),
                    ..Facts::default()
                },
            },
            hooks,
            context: Context::of(self.path(), vec![("PATH".into(), "/usr/bin:/bin".into())]),
            clock: &clock,
        };
        perform(job, &self.watch, |observer, running| {
            let running = running.expect("records are kept");
            let state = self.history.read().unwrap().records[0].state;
            assert_eq!(state, State::Running);
            observer.observe(Event::Note {
                text: format!("at work for {}", running.id()),
            });
            self.add("work");
            work.map(|()| Done {
                value: 7,
                facts: Facts {
                    digest: Some(Digest::of(b"image")),
                    ..Facts::default()
                },
                ..Done::default()
            })
        })
    }

    fn add(&self, word: &str) {
        let before = self.ran();
        fs::write(self.path().join("ran"), format!("{before}{word}\n")).unwrap();
    }

    fn ran(&self) -> String {
        fs::read_to_string(self.path().join("ran")).unwrap_or_default()
    }

    fn record(&self) -> Record {
        let mut records = self.history.records(&Filter::default()).unwrap();
        assert_eq!(records.len(), 1);
        records.remove(0)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.history.log_path(&self.record().id)).unwrap()
    }
}

#[test]
fn work_stands_between_its_hooks_and_all_is_on_record() {
    let fixture = Fixture::new();
    let hooks = [
        hook(
            When::After,
            "echo after $OVERCOAT_DIGEST $OVERCOAT_TAG >> ran; echo said",
        ),
        hook(When::Before, "echo before $OVERCOAT_DIGEST >> ran"),
        hook(When::Failure, "echo failure >> ran"),
    ];
    let performed = fixture.push(&hooks, Ok(())).unwrap();
    let digest = Digest::of(b"image");
    assert_eq!(performed.value, 7);
    assert_eq!(fixture.ran(), format!("before\nwork\nafter {digest} v1\n"));
    let record = fixture.record();
    assert_eq!(performed.record.as_ref(), Some(&record));
    assert_eq!(record.state, State::Success);
    assert_eq!(record.error, None);
    assert_eq!(record.image(), Some(format!("r.example/web:v1@{digest}")));
    let expected = format!(
        "==> run hook: `sh` before push\n    note: at work for {}\n==> run hook: `sh` after push\n  | said\n",
        record.id
    );
    assert_eq!(fixture.log(), expected);
}

#[test]
fn without_history_hooks_run_all_the_same() {
    let fixture = Fixture::new();
    let hooks = [hook(When::Before, "echo record=$OVERCOAT_RECORD >> ran")];
    let job = Job {
        history: None,
        begin: Begin {
            operation: Operation::Push,
            application: "web".to_owned(),
            environment: "dev".to_owned(),
            host: String::new(),
            user: String::new(),
            commit: None,
            labels: BTreeMap::new(),
            facts: Facts::default(),
        },
        hooks: &hooks,
        context: Context::of(
            fixture.path(),
            vec![("PATH".into(), "/usr/bin:/bin".into())],
        ),
        clock: &clock,
    };
    let performed = perform(job, &fixture.watch, |_, running| {
        assert!(running.is_none());
        Ok::<_, String>(Done::<()>::default())
    });
    assert_eq!(performed.unwrap().record, None);
    assert_eq!(fixture.ran(), "record=\n");
    assert!(!fixture.path().join(".overcoat").exists());
}

#[test]
fn a_hook_that_fails_before_the_work_keeps_it_from_being_done() {
    let fixture = Fixture::new();
    let hooks = [
        hook(When::Before, "exit 1"),
        hook(When::After, "echo after >> ran"),
        hook(When::Failure, "echo \"failure: $OVERCOAT_ERROR\" >> ran"),
    ];
    let failure = fixture.push(&hooks, Ok(())).unwrap_err();
    assert!(matches!(failure, Failure::Before(_)), "{failure}");
    let text = "the hook `sh` before push (default) ended with status 1";
    assert_eq!(fixture.ran(), format!("failure: {text}\n"));
    let record = fixture.record();
    assert_eq!(
        (record.state, record.facts.digest.clone()),
        (State::Error, None)
    );
    assert_eq!(record.error.as_deref(), Some(text));
    assert!(fixture.log().ends_with(&format!("error: {text}\n")));
}

#[test]
fn work_that_fails_is_followed_by_the_hooks_for_that_which_cannot_hide_it() {
    let fixture = Fixture::new();
    let hooks = [
        hook(When::After, "echo after >> ran"),
        hook(
            When::Failure,
            "echo \"$OVERCOAT_STAGE: $OVERCOAT_ERROR\" >> ran; exit 9",
        ),
        hook(When::Failure, "echo never >> ran"),
    ];
    let failure = fixture
        .push(&hooks, Err("no way to https://me:hunter2@r.example"))
        .unwrap_err();
    assert!(matches!(failure, Failure::Work(_)), "{failure}");
    assert_eq!(
        fixture.ran(),
        "work\nfailure: no way to https://r.example\n"
    );
    let warnings = fixture.watch.warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("on failure of push (default) ended with status 9"));
    let record = fixture.record();
    assert_eq!(record.state, State::Error);
    assert_eq!(record.error.as_deref(), Some("no way to https://r.example"));
}

#[test]
fn a_hook_that_fails_after_the_work_does_not_take_it_back() {
    let fixture = Fixture::new();
    let hooks = [
        hook(When::After, "exit 5"),
        hook(When::After, "echo second >> ran"),
        hook(When::Failure, "echo failure >> ran"),
    ];
    let failure = fixture.push(&hooks, Ok(())).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the push was done, but a hook after it failed: the hook `sh` after push (default) ended with status 5"
    );
    let Failure::After { performed, .. } = failure else {
        panic!("{failure}");
    };
    assert_eq!(performed.value, 7);
    assert_eq!(fixture.ran(), "work\n");
    let record = fixture.record();
    assert_eq!(performed.record.as_ref(), Some(&record));
    assert_eq!(record.state, State::Success);
    assert_eq!(record.facts.digest, Some(Digest::of(b"image")));
    assert!(record.error.unwrap().ends_with("ended with status 5"));
}

#[test]
fn the_digest_is_on_record_while_hooks_after_the_work_run() {
    let fixture = Fixture::new();
    let script = "grep --count '\"line\":\"update\".*\"digest\":\"sha256:' \"$OVERCOAT_HISTORY/records.jsonl\" >> ran";
    fixture.push(&[hook(When::After, script)], Ok(())).unwrap();
    assert_eq!(fixture.ran(), "work\n1\n");
}

#[test]
fn when_the_person_stops_it_nothing_more_is_started() {
    let fixture = Fixture::new();
    fixture.watch.is_cancelled.store(true, Ordering::Relaxed);
    let hooks = [hook(When::Failure, "echo failure >> ran")];
    let failure = fixture.push(&hooks, Err("interrupted")).unwrap_err();
    assert!(matches!(failure, Failure::Work(_)), "{failure}");
    assert_eq!(fixture.ran(), "work\n");
    assert_eq!(fixture.record().state, State::Interrupted);
}

#[test]
fn a_record_that_cannot_be_begun_stops_everything() {
    let fixture = Fixture::new();
    fs::write(fixture.path().join(".overcoat"), "in the way").unwrap();
    let hooks = [hook(When::Before, "echo before >> ran")];
    let failure = fixture.push(&hooks, Ok(())).unwrap_err();
    assert!(matches!(failure, Failure::History(_)), "{failure}");
    assert_eq!(fixture.ran(), "");
}
