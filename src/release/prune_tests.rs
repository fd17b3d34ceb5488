//! What goes and what stays.

use std::time::{Duration, SystemTime};

use super::*;
use crate::release::history::{Begin, Ending, Facts, History, Outcome};

struct Fixture {
    _directory: tempfile::TempDir,
    history: History,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            history: History::at(directory.path()),
            _directory: directory,
        }
    }

    /// A record that follows from others; its digest is that of its tag.
    fn add(&self, operation: Operation, environment: &str, tag: &str, from: &[&Record]) -> Record {
        self.add_ended(operation, environment, tag, from, Ending::Success)
    }

    fn add_ended(
        &self,
        operation: Operation,
        environment: &str,
        tag: &str,
        from: &[&Record],
        ending: Ending,
    ) -> Record {
        let facts = Facts {
            image: Some(format!("r.example/web:{tag}")),
            digest: Some(Digest::of(tag.as_bytes())),
            links: from.iter().map(|r| (r.operation, r.id.clone())).collect(),
            ..Facts::default()
        };
        let begin = Begin {
            operation,
            application: "web".to_owned(),
            environment: environment.to_owned(),
            host: String::new(),
            user: String::new(),
            commit: None,
            labels: BTreeMap::new(),
            facts,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let outcome = Outcome {
            ending,
            error: None,
            facts: Facts::default(),
        };
        self.history
            .begin(begin, now)
            .unwrap()
            .finish(outcome, now)
            .unwrap()
    }

    fn plan(&self, scope: &Scope, retain: usize) -> (Vec<String>, Vec<String>) {
        let plan = plan(&self.history.read().unwrap(), scope, retain);
        let titles = plan.records.iter().map(|record| {
            let title = record.title();
            format!(
                "{} {}",
                title.trim_start_matches("web/"),
                record.environment
            )
        });
        let images = plan.images.values().flatten().cloned();
        (titles.collect(), images.collect())
    }
}

const ALL: Scope = Scope {
    application: None,
    environment: None,
};

#[test]
fn the_newest_stay_in_each_environment() {
    let fixture = Fixture::new();
    for tag in ["v1", "v2", "v3"] {
        fixture.add(Operation::Deploy, "dev", tag, &[]);
    }
    fixture.add_ended(Operation::Deploy, "dev", "v4", &[], Ending::Error);
    for tag in ["p1", "p2"] {
        fixture.add(Operation::Deploy, "prod", tag, &[]);
    }
    let (records, images) = fixture.plan(&ALL, 2);
    assert_eq!(records, ["deploy/1 dev", "deploy/4 dev"]);
    assert_eq!(images.len(), 2);
    let (records, _) = fixture.plan(&ALL, 1);
    assert_eq!(
        records,
        [
            "deploy/1 dev",
            "deploy/2 dev",
            "deploy/4 dev",
            "deploy/5 prod"
        ]
    );
    // What is live stays, whatever was said.
    assert_eq!(fixture.plan(&ALL, 0), fixture.plan(&ALL, 1));
    let prod = Scope {
        environment: Some("prod".to_owned()),
        ..ALL
    };
    assert_eq!(fixture.plan(&prod, 1).0, ["deploy/5 prod"]);
    let other = Scope {
        application: Some("api".to_owned()),
        ..ALL
    };
    assert_eq!(fixture.plan(&other, 1).0, [""; 0]);
}

#[test]
fn the_released_one_stays_and_releases_go_with_their_deployments() {
    let fixture = Fixture::new();
    let deployments =
        ["v1", "v2", "v3"].map(|tag| fixture.add(Operation::Deploy, "prod", tag, &[]));
    fixture.add(Operation::Release, "prod", "v1", &[&deployments[0]]);
    fixture.add(Operation::Release, "prod", "v2", &[&deployments[1]]);
    let (records, images) = fixture.plan(&ALL, 1);
    assert_eq!(records, ["deploy/1 prod", "release/1 prod"]);
    assert_eq!(images, ["r.example/web:v1"]);
}

#[test]
fn origins_go_only_when_nothing_that_stays_follows_from_them() {
    let fixture = Fixture::new();
    let build = fixture.add(Operation::Build, "dev", "v1", &[]);
    let push = fixture.add(Operation::Push, "dev", "v1", &[&build]);
    fixture.add(Operation::Deploy, "dev", "v1", &[&build, &push]);
    let unused = fixture.add(Operation::Build, "dev", "v2", &[]);
    fixture.add(Operation::Deploy, "dev", "v2", &[&unused]);
    fixture.add(Operation::Build, "dev", "never-deployed", &[]);
    let promote = fixture.add(Operation::Promote, "prod", "v1", &[&push]);
    let in_prod = fixture.add(Operation::Deploy, "prod", "v1", &[&promote]);
    fixture.add(Operation::Deploy, "dev", "v3", &[]);
    // The same digest is live in prod.
    let (mut records, images) = fixture.plan(&ALL, 1);
    records.sort();
    assert_eq!(records, ["build/2 dev", "deploy/1 dev", "deploy/2 dev"]);
    assert_eq!(images, ["r.example/web:v2"]);
    fixture.history.forget(&[in_prod.id]).unwrap();
    fixture.add(Operation::Deploy, "prod", "p1", &[&promote]);
    fixture.add(Operation::Deploy, "prod", "p2", &[]);
    let (mut records, images) = fixture.plan(&ALL, 1);
    records.sort();
    assert_eq!(
        records,
        [
            "build/1 dev",
            "build/2 dev",
            "deploy/1 dev",
            "deploy/2 dev",
            "deploy/5 prod",
            "promote/1 prod",
            "push/1 dev",
        ]
    );
    let mut images = images;
    images.sort();
    assert_eq!(
        images,
        ["r.example/web:p1", "r.example/web:v1", "r.example/web:v2"]
    );
}

#[test]
fn a_digest_that_a_text_of_another_record_names_stays() {
    let fixture = Fixture::new();
    fixture.add(Operation::Deploy, "prod", "v1", &[]);
    let live = fixture.add(Operation::Deploy, "prod", "v2", &[]);
    let (_, images) = fixture.plan(&ALL, 1);
    assert_eq!(images, ["r.example/web:v1"]);
    let mut contents = fixture.history.read().unwrap();
    let position = contents
        .records
        .iter()
        .position(|r| r.id == live.id)
        .unwrap();
    contents.records[position].facts.previous =
        Some(format!("r.example/web:v1@{}", Digest::of(b"v1")));
    let plan = plan(&contents, &ALL, 1);
    assert_eq!(plan.records.len(), 1);
    assert!(plan.images.is_empty());
}

#[test]
fn digests_are_found_in_texts() {
    let digest = Digest::of(b"v1").to_string();
    let text = format!("image: a@{digest}\nsha256:short sha256:{}", "A".repeat(64));
    let found: Vec<String> = digests_in(&text).collect();
    assert_eq!(found, [digest, format!("sha256:{}", "a".repeat(64))]);
    assert_eq!(digests_in("sha256:é").count(), 0);
}

#[test]
fn of_what_is_known_to_run_the_newest_record_stays() {
    let fixture = Fixture::new();
    let push = fixture.add(Operation::Push, "dev", "old", &[]);
    for tag in ["old", "old", "older", "new"] {
        let from: &[&Record] = if tag == "old" { &[&push] } else { &[] };
        fixture.add(Operation::Deploy, "prod", tag, from);
    }
    let runs = |record: &Record| {
        record
            .facts
            .image
            .clone()
            .filter(|name| name.ends_with(":old"))
    };
    let plan = plan_beside(&fixture.history.read().unwrap(), &ALL, 1, &runs);
    let titles: Vec<String> = plan.records.iter().map(Record::title).collect();
    // The push stays with the deployment that stays.
    assert_eq!(titles, ["web/deploy/1", "web/deploy/3"]);
    let images: Vec<&String> = plan.images.values().flatten().collect();
    assert_eq!(images, ["r.example/web:older"]);
}

#[test]
fn deployments_whose_rollout_failed_are_no_way_back_and_do_not_count() {
    let fixture = Fixture::new();
    let watch = |deployment: &Record, fate: &str| {
        let begin = Begin {
            operation: Operation::Watch,
            application: "web".to_owned(),
            environment: "prod".to_owned(),
            host: String::new(),
            user: String::new(),
            commit: None,
            labels: BTreeMap::new(),
            facts: Facts {
                links: [(Operation::Deploy, deployment.id.clone())].into(),
                results: [(rollouts::OUTCOME.to_owned(), fate.to_owned())].into(),
                ..Facts::default()
            },
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let outcome = Outcome {
            ending: Ending::Error,
            error: None,
            facts: Facts::default(),
        };
        let running = fixture.history.begin(begin, now).unwrap();
        running.finish(outcome, now).unwrap();
    };
    let deployments =
        ["v1", "v2", "v3", "v4"].map(|tag| fixture.add(Operation::Deploy, "prod", tag, &[]));
    watch(&deployments[1], "failed");
    watch(&deployments[2], "late");
    // v4 is live, v1 the one to go back to; the watches go with their deployments.
    let (records, _) = fixture.plan(&ALL, 2);
    assert_eq!(
        records,
        [
            "deploy/2 prod",
            "deploy/3 prod",
            "watch/1 prod",
            "watch/2 prod"
        ]
    );
    // What is live stays although it failed, and is no way back either.
    watch(&deployments[3], "failed");
    let (records, _) = fixture.plan(&ALL, 1);
    assert!(
        !records.contains(&"deploy/1 prod".to_owned()),
        "{records:?}"
    );
    assert!(
        !records.contains(&"deploy/4 prod".to_owned()),
        "{records:?}"
    );
}
