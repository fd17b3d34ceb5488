//! `history`, `logs`, `status`, `workspaces`, `release`, `rollback` and `prune`, on records that the library writes.

mod hooks;
mod rollback;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use overcoat::digest::Digest;
use overcoat::event::{Event, Observer, Silent};
use overcoat::project::Operation;
use overcoat::release::history::{
    Begin, Ending, Facts, Filter, History, Outcome, Record, Running, State, Target,
};
use serde_json::{Value, json};

use super::support::cluster::Bed;
use super::support::registry::Registry;
use super::support::{Done, Overcoat, wait_for};

/// A project with one application, and its records.
struct Project {
    overcoat: Overcoat,
    root: PathBuf,
    history: History,
}

impl Project {
    /// With these lines at the end of `overcoat.toml`.
    fn new(more: &str) -> Self {
        Self::of(Overcoat::new(), more)
    }

    fn of(overcoat: Overcoat, more: &str) -> Self {
        let root = overcoat.path().join("shop");
        fs::create_dir_all(root.join("web")).unwrap();
        let text = format!(
            "project = \"shop\"\n\n[applications.web]\npath = \"web\"\n\n[environments.dev]\n\n[environments.prod]\n\n{more}"
        );
        fs::write(root.join("overcoat.toml"), text).unwrap();
        Self {
            history: History::of_project(&root),
            root,
            overcoat,
        }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = self.overcoat.command(arguments);
        for variable in ["OVERCOAT_HISTORY", "OVERCOAT_ENVIRONMENT", "GITHUB_ACTIONS"] {
            command.env_remove(variable);
        }
        command.current_dir(&self.root).output().unwrap().into()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).ok().stdout).unwrap()
    }

    fn begin(&self, operation: Operation, environment: &str, facts: Facts) -> Running {
        let begin = Begin {
            operation,
            application: "web".to_owned(),
            environment: environment.to_owned(),
            host: "machine".to_owned(),
            user: "somebody".to_owned(),
            commit: None,
            labels: BTreeMap::new(),
            facts,
        };
        self.history.begin(begin, SystemTime::now()).unwrap()
    }

    fn record(
        &self,
        operation: Operation,
        environment: &str,
        ending: Ending,
        facts: Facts,
    ) -> Record {
        let running = self.begin(operation, environment, facts);
        let outcome = Outcome {
            ending,
            error: None,
            facts: Facts::default(),
        };
        running.finish(outcome, SystemTime::now()).unwrap()
    }

    fn deploy(
        &self,
        environment: &str,
        image: &str,
        digest: &str,
        manifest: Option<&Path>,
    ) -> Record {
        let target = manifest.map(|file| Target::Manifests {
            files: vec![file.to_str().unwrap().to_owned()],
            outside: Vec::new(),
            container: Some("web".to_owned()),
            workload: None,
            namespace: None,
            init_containers: false,
            base_image: None,
        });
        self.deploy_to(environment, image, digest, target)
    }

    fn deploy_to(
        &self,
        environment: &str,
        image: &str,
        digest: &str,
        target: Option<Target>,
    ) -> Record {
        let facts = Facts {
            image: Some(image.to_owned()),
            digest: Some(digest.parse().unwrap()),
            target,
            ..Facts::default()
        };
        self.record(Operation::Deploy, environment, Ending::Success, facts)
    }

    fn newest(&self, operation: Operation) -> Record {
        let filter = Filter {
            operations: vec![operation],
            limit: Some(1),
            ..Filter::default()
        };
        self.history.records(&filter).unwrap().remove(0)
    }

    fn count(&self) -> usize {
        self.history.read().unwrap().records.len()
    }
}

fn digest(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

#[test]
fn lists_of_nothing_are_a_sentence_for_people_and_an_empty_array_for_programs() {
    let project = Project::new("");
    for command in ["history", "status"] {
        let done = project.run(&[command]).ok();
        assert_eq!(done.stdout, "");
        assert!(
            done.stderr.contains("warning: there are no records in `"),
            "{}",
            done.stderr
        );
        assert_eq!(project.json(&[command, "--json"]), json!([]));
    }
    let workspaces = project.json(&["workspaces", "--json"]);
    let names: Vec<&str> = workspaces
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["dev", "prod"]);
    let empty = project.overcoat.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut command = project.overcoat.command(&["workspaces", "--json"]);
    let done: Done = command.current_dir(&empty).output().unwrap().into();
    assert_eq!(done.ok().stdout, "[]\n");
    assert!(
        !project.root.join(".overcoat").exists(),
        "reading writes nothing"
    );
}

#[test]
fn history_filters_and_names_what_it_does_not_know() {
    let project = Project::new("");
    project.record(
        Operation::Build,
        "default",
        Ending::Success,
        Facts::default(),
    );
    project.deploy("dev", "r.example/web:v1", &digest("v1"), None);
    project.record(Operation::Deploy, "prod", Ending::Error, Facts::default());
    let titles = |arguments: &[&str]| -> Vec<String> {
        let all = [&["history", "--json"], arguments].concat();
        let rows = project.json(&all);
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["title"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(titles(&[]), ["web/deploy/2", "web/deploy/1", "web/build/1"]);
    assert_eq!(titles(&["--asc", "--limit", "1"]), ["web/build/1"]);
    assert_eq!(titles(&["--environment", "dev"]), ["web/deploy/1"]);
    assert_eq!(
        titles(&["--workspace", "prod", "--state", "error"]),
        ["web/deploy/2"]
    );
    assert_eq!(
        titles(&["--operation", "build", "--operation", "push"]),
        ["web/build/1"]
    );
    assert_eq!(
        titles(&["--application", "web", "--order-by", "complete-time"]).len(),
        3
    );
    let mut command = project.overcoat.command(&["history", "--json"]);
    command
        .env("OVERCOAT_ENVIRONMENT", "dev")
        .current_dir(&project.root);
    let done: Done = command.output().unwrap().into();
    let rows: Value = serde_json::from_str(&done.ok().stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["environment"], "dev");
    let table = project.run(&["history", "--long-ids"]).ok().stdout;
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("✖  2 ("), "{table}");

    let done = project.run(&["history", "--environment", "pord"]);
    assert_eq!(done.code, Some(81), "{}", done.stderr);
    assert!(
        done.stderr.contains("pord") && done.stderr.contains("prod"),
        "{}",
        done.stderr
    );
    let done = project.run(&["history", "--application", "wbe"]);
    assert_eq!(done.code, Some(81), "{}", done.stderr);
    let done = project.run(&["logs", "deploy/9"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
    assert!(done.stderr.contains("web/deploy/2"), "{}", done.stderr);
    let done = project.run(&["logs", "1"]);
    assert_eq!(done.code, Some(96));
    assert!(
        done.stderr.contains("`1` is more than one record"),
        "{}",
        done.stderr
    );
}

#[test]
fn records_elsewhere_and_damaged_ones_are_told() {
    let project = Project::new("");
    project.deploy("dev", "r.example/web:v1", &digest("v1"), None);
    project.deploy("dev", "r.example/web:v2", &digest("v2"), None);
    let file = project.history.directory().join("records.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(
        &file,
        format!(
            "{}\n{}\noops\n{}\n{}\n",
            lines[0], lines[1], lines[2], lines[3]
        ),
    )
    .unwrap();
    let elsewhere = project.overcoat.path().join("elsewhere");
    fs::rename(project.history.directory(), &elsewhere).unwrap();
    let elsewhere = elsewhere.to_str().unwrap();
    assert_eq!(project.json(&["history", "--json"]), json!([]));
    let done = project
        .run(&["history", "--json", "--history", elsewhere])
        .ok();
    assert!(
        done.stderr
            .contains("records.jsonl, line 3: the record cannot be read"),
        "{}",
        done.stderr
    );
    let rows: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2);
}

#[test]
fn logs_print_what_was_said_and_follow_it_to_the_end() {
    let project = Project::new("");
    let running = project.begin(Operation::Build, "dev", Facts::default());
    let recording = running.recording(&Silent);
    recording.observe(Event::Note {
        text: "first".into(),
    });
    assert_eq!(project.run(&["logs"]).ok().stdout, "    note: first\n");
    let mut command = project.overcoat.command(&["logs", "--follow", "web/1"]);
    command
        .current_dir(&project.root)
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "    note: first\n");
    recording.observe(Event::Note {
        text: "last".into(),
    });
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    assert_eq!(line, "    note: last\n");
    assert!(
        child.try_wait().unwrap().is_none(),
        "the operation still runs"
    );
    let outcome = Outcome {
        ending: Ending::Success,
        error: None,
        facts: Facts::default(),
    };
    let record = running.finish(outcome, SystemTime::now()).unwrap();
    assert!(child.wait().unwrap().success());
    fs::remove_file(project.history.log_path(&record.id)).unwrap();
    let done = project.run(&["logs"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
}

#[test]
fn status_and_workspaces_tell_what_is_live_and_what_is_released() {
    let project = Project::new("");
    let first = project.deploy("prod", "r.example/web:v1", &digest("v1"), None);
    project.run(&["release", "--environment", "prod"]).ok();
    project.deploy("prod", "r.example/web:v2", &digest("v2"), None);
    let status = project.json(&["status", "--json"]);
    assert_eq!(status.as_array().unwrap().len(), 1);
    assert_eq!(status[0]["live"]["sequence"], 2);
    assert_eq!(status[0]["released"]["id"], first.id.as_str());
    let table = project.run(&["status", "web"]).ok().stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        row[..8],
        ["web", "prod", "-", "-", "2", "-", "1", "r.example/web:v2"]
    );
    assert!(table.contains("deploy success, "), "{table}");
    let workspaces = project.json(&["workspaces", "--json", "--workspace", "prod"]);
    assert_eq!(workspaces[1]["name"], "prod");
    assert_eq!(workspaces[1]["records"], 3);
    assert_eq!(workspaces[1]["current"], true);
    assert_eq!(workspaces[0]["records"], 0);
}
