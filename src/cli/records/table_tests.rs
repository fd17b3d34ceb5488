//! Lists as they are printed, with a fixed clock.

use std::collections::BTreeMap;

use super::*;
use crate::digest::Digest;
use crate::project::Operation;
use crate::release::history::{Facts, Id, Process};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
}

fn record(letter: char, operation: Operation, sequence: u64, state: State) -> Record {
    let image = Some("ghcr.io/acme/web:v1".to_owned());
    Record {
        id: Id::try_from(letter.to_string().repeat(20)).unwrap(),
        sequence,
        operation,
        application: "web".to_owned(),
        environment: "prod".to_owned(),
        state,
        started: at(0),
        finished: (state == State::Success || state == State::Error).then(|| at(30)),
        error: (state == State::Error).then(|| "no way".to_owned()),
        host: "machine".to_owned(),
        user: "somebody".to_owned(),
        process: Process {
            pid: 1,
            started_ticks: 2,
            boot: "b".to_owned(),
        },
        commit: None,
        labels: BTreeMap::new(),
        facts: Facts {
            image,
            digest: Some(Digest::of(b"v1")),
            ..Facts::default()
        },
    }
}

fn some() -> Contents {
    let mut build = record('k', Operation::Build, 12, State::Success);
    build.commit = Some("0123456789abcdef".to_owned());
    build.environment = "default".to_owned();
    build.labels = [(
        "team".to_owned(),
        "a name that is far too long for a list".to_owned(),
    )]
    .into();
    let deploy = record('l', Operation::Deploy, 1, State::Success);
    let mut release = record('m', Operation::Release, 1, State::Success);
    release.facts.links = [(Operation::Deploy, deploy.id.clone())].into();
    let mut failed = record('n', Operation::Deploy, 2, State::Error);
    failed.facts.image = Some("\u{1b}[31mred".to_owned());
    let gone = record('p', Operation::Push, 3, State::Interrupted);
    let running = record('q', Operation::Push, 4, State::Running);
    Contents {
        records: vec![build, deploy, release, failed, gone, running],
        damages: Vec::new(),
    }
}

#[test]
fn a_list_has_marks_numbers_images_and_relative_times() {
    let contents = some();
    let text = of(&contents.records, &contents, at(185), Detail::default());
    let expected = "    ID  APPLICATION  OPERATION  ENVIRONMENT  DETAILS                                          STARTED        COMPLETED
✔   12  web          build      default      ghcr.io/acme/web:v1 3bfc269594ef commit 0123456  3 minutes ago  2 minutes ago
🚀  1   web          deploy     prod         ghcr.io/acme/web:v1 3bfc269594ef                 3 minutes ago  2 minutes ago
✔   1   web          release    prod         ghcr.io/acme/web:v1 3bfc269594ef                 3 minutes ago  2 minutes ago
✖   2   web          deploy     prod         \u{fffd}[31mred 3bfc269594ef                            3 minutes ago  2 minutes ago
?   3   web          push       prod         ghcr.io/acme/web:v1 3bfc269594ef                 3 minutes ago  interrupted
●   4   web          push       prod         ghcr.io/acme/web:v1 3bfc269594ef                 3 minutes ago  -";
    assert_eq!(text, expected);
}

#[test]
fn a_verbose_list_has_long_ids_people_labels_and_errors() {
    let contents = some();
    let chosen = [contents.records[0].clone(), contents.records[3].clone()];
    let detail = Detail {
        has_long_ids: true,
        is_verbose: true,
    };
    let text = of(&chosen, &contents, at(7200), detail);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("BY                LABELS                           ERROR"));
    assert!(lines[1].contains("12 (kkkkkkkkkkkkkkkkkkkk)"), "{text}");
    assert!(
        lines[1].ends_with("1 hour ago  somebody@machine  team=a name that is far too lo…"),
        "{text}"
    );
    assert!(lines[2].ends_with("  no way"), "{text}");
}

#[test]
fn programs_get_every_field_with_whole_times() {
    let contents = some();
    let value = json_of(&contents.records[1..2], &contents);
    let digest = Digest::of(b"v1").to_string();
    let expected = json!([{
        "id": "llllllllllllllllllll",
        "sequence": 1,
        "title": "web/deploy/1",
        "operation": "deploy",
        "application": "web",
        "environment": "prod",
        "state": "success",
        "started": "2026-09-21T14:13:20.000000000Z",
        "finished": "2026-09-21T14:13:50.000000000Z",
        "error": null,
        "host": "machine",
        "user": "somebody",
        "process": { "pid": 1, "started_ticks": 2, "boot": "b" },
        "commit": null,
        "labels": {},
        "image": "ghcr.io/acme/web:v1",
        "digest": digest,
        "reference": format!("ghcr.io/acme/web:v1@{digest}"),
        "released": true,
    }]);
    assert_eq!(value, expected);
    assert_eq!(json_of(&[], &contents), json!([]));
}

#[test]
fn times_are_told_from_now() {
    let table = [
        (0, "just now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86_400, "1 day ago"),
        (60 * 86_400 - 1, "59 days ago"),
        (60 * 86_400, "2026-09-21 14:13:20"),
    ];
    for (seconds, text) in table {
        assert_eq!(ago(at(0), at(seconds)), text);
    }
    assert_eq!(ago(at(10), at(0)), "2026-09-21 14:13:30");
}
