//! `history`, `logs`, `status`, `workspaces`, `release`, `rollback` and `prune`, on records that the library writes.

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
        row[..7],
        ["web", "prod", "-", "-", "2", "1", "r.example/web:v2"]
    );
    assert!(table.contains("deploy success, "), "{table}");
    let workspaces = project.json(&["workspaces", "--json", "--workspace", "prod"]);
    assert_eq!(workspaces[1]["name"], "prod");
    assert_eq!(workspaces[1]["records"], 3);
    assert_eq!(workspaces[1]["current"], true);
    assert_eq!(workspaces[0]["records"], 0);
}

#[test]
fn a_release_runs_its_hooks_once_and_is_on_record() {
    let project = Project::new(
        "[[hooks]]\noperation = \"release\"\nwhen = \"before\"\n\
         command = [\"sh\", \"-c\", \"echo open $OVERCOAT_IMAGE $OVERCOAT_DIGEST in $OVERCOAT_ENVIRONMENT >> opened; echo said\"]\n",
    );
    let digest = digest("v1");
    let deployment = project.deploy("prod", "r.example/web:v1", &digest, None);
    let done = project
        .run(&["release", "web", "--environment", "prod"])
        .ok();
    assert_eq!(done.stdout, format!("r.example/web:v1@{digest}\n"));
    let opened = || fs::read_to_string(project.root.join("opened")).unwrap();
    let line = format!("open r.example/web:v1 {digest} in prod\n");
    assert_eq!(opened(), line);
    let record = project.newest(Operation::Release);
    assert_eq!(record.state, State::Success);
    assert_eq!(record.link(Operation::Deploy), Some(&deployment.id));
    assert_eq!(
        project.run(&["logs", "release/1"]).ok().stdout,
        "==> run hook: `sh` before release\n  | said\n"
    );
    assert!(
        project
            .run(&["history"])
            .ok()
            .stdout
            .contains("🚀  1   web          deploy")
    );

    let again = project.run(&["release", "--environment", "prod"]).ok();
    assert!(
        again.stderr.contains("released already; nothing was done"),
        "{}",
        again.stderr
    );
    assert_eq!(opened(), line);
    project
        .run(&["release", "--environment", "prod", "--repeat", "--to", "1"])
        .ok();
    assert_eq!(opened(), format!("{line}{line}"));
    let done = project.run(&["release", "--environment", "dev"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
    assert!(
        done.stderr.contains("--environment prod"),
        "{}",
        done.stderr
    );
}

#[test]
fn hooks_that_fail_end_the_command_before_or_after_the_fact() {
    let hook = |when: &str| {
        format!(
            "[[hooks]]\noperation = \"release\"\nwhen = \"{when}\"\nenvironments = [\"{}\"]\n\
             command = [\"sh\", \"-c\", \"echo what went wrong; exit 3\"]\n\n",
            if when == "before" { "dev" } else { "prod" }
        )
    };
    let project = Project::new(&(hook("before") + &hook("after")));
    for environment in ["dev", "prod"] {
        project.deploy(environment, "r.example/web:v1", &digest("v1"), None);
    }
    let done = project.run(&["release", "--environment", "dev"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert!(
        done.stderr.contains("error: nothing was done\n"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("ended with status 3") && done.stderr.contains("| what went wrong"),
        "{}",
        done.stderr
    );
    assert_eq!(project.newest(Operation::Release).state, State::Error);

    let done = project.run(&["release", "--environment", "prod"]);
    assert_eq!(done.code, Some(95), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("the release was done, but a hook after it failed"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("on record as web/release/2"),
        "{}",
        done.stderr
    );
    let record = project.newest(Operation::Release);
    assert_eq!(record.state, State::Success);
    assert!(record.error.unwrap().contains("ended with status 3"));
}

/// A hook that says that it runs, in a file, and does not end by itself.
const WAITING: &str = "[[hooks]]\noperation = \"release\"\nwhen = \"before\"\n\
                       command = [\"sh\", \"-c\", \"test -e again || { echo $$ > hook; exec sleep 1000; }\"]\n";

fn wait_for_hook(project: &Project) -> String {
    wait_for("the hook", || {
        let pid = fs::read_to_string(project.root.join("hook")).ok()?;
        pid.ends_with('\n').then(|| pid.trim().to_owned())
    })
}

#[test]
fn an_interrupted_command_ends_its_hook_and_is_on_record_as_interrupted() {
    let project = Project::new(WAITING);
    project.deploy("default", "r.example/web:v1", &digest("v1"), None);
    let root = project.root.join("overcoat.toml");
    let arguments = ["release", "--config", root.to_str().unwrap(), "web"];
    let running = project.overcoat.spawn(&arguments);
    let pid = wait_for_hook(&project);
    assert_eq!(project.newest(Operation::Release).state, State::Running);
    running.signal("INT");
    let (done, _) = running.wait(Duration::from_secs(60));
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    assert!(!Path::new("/proc").join(pid).exists());
    assert_eq!(project.newest(Operation::Release).state, State::Interrupted);
}

#[test]
fn a_killed_command_reads_as_interrupted_and_can_be_run_again() {
    let project = Project::new(WAITING);
    project.deploy("default", "r.example/web:v1", &digest("v1"), None);
    let root = project.root.join("overcoat.toml");
    let arguments = ["release", "--config", root.to_str().unwrap(), "web"];
    let running = project.overcoat.spawn(&arguments);
    let pid = wait_for_hook(&project);
    assert_eq!(project.json(&["history", "--json"])[0]["state"], "running");
    running.signal("KILL");
    running.wait(Duration::from_secs(60));
    assert_eq!(
        project.json(&["history", "--json"])[0]["state"],
        "interrupted"
    );
    super::support::tool("kill", &[&pid]);
    fs::write(project.root.join("again"), "").unwrap();
    project.run(&["release"]).ok();
    let record = project.newest(Operation::Release);
    assert_eq!((record.state, record.sequence), (State::Success, 2));
    assert_eq!(project.count(), 3);
}

/// An image of its own for each text, under this name in the registry; its digest.
fn push(project: &Project, registry: &Registry, tag: &str) -> (String, String) {
    let layout = project.overcoat.path().join(format!("layout-{tag}"));
    let name = format!("{}/web:{tag}", registry.host());
    image(&layout, tag);
    let from = format!("oci:{}:{tag}", layout.display());
    let done = project.overcoat.run(&["copy", &from, &name]).ok();
    let digest = done.stdout.trim().rsplit_once('@').unwrap().1.to_owned();
    (name, digest)
}

/// An image without layers, as an OCI layout; the text makes it another one.
fn image(layout: &Path, text: &str) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |value: &Value, kind: &str| {
        let bytes = value.to_string();
        let digest = Digest::of(bytes.as_bytes());
        fs::write(blobs.join(digest.hex()), &bytes).unwrap();
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    };
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Labels": { "text": text } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let config = put(&config, "application/vnd.oci.image.config.v1+json");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [] });
    let mut manifest = put(&manifest, kind);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": text });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(
        layout.join("oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
}

fn manifest(project: &Project, image: &str) -> PathBuf {
    let path = project.root.join("web.yaml");
    let text = format!(
        "# by hand\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: web\n          image: {image}  # mine\n"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_rollback_brings_the_earlier_digest_back_where_it_was_or_changes_nothing() {
    let registry = Registry::start();
    let project = Project::new("");
    let images = ["v1", "v2", "v3"].map(|tag| push(&project, &registry, tag));
    let full = |index: usize| format!("{}@{}", images[index].0, images[index].1);
    let file = manifest(&project, &full(2));
    for (name, digest) in &images {
        project.deploy("prod", name, digest, Some(&file));
    }
    let before = fs::read_to_string(&file).unwrap();
    let rollback = |more: &[&str]| {
        let all = [&["rollback", "--environment", "prod"], more].concat();
        project.run(&all)
    };

    let dry = rollback(&["--dry-run"]).ok();
    assert!(
        dry.stdout
            .contains(&format!("+          image: {}  # mine", full(1))),
        "{}",
        dry.stdout
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(project.count(), 3);

    let done = rollback(&[]).ok();
    assert_eq!(done.stdout, format!("{}\n", full(1)));
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace(&full(2), &full(1))
    );
    let record = project.newest(Operation::Deploy);
    assert_eq!((record.sequence, record.state), (4, State::Success));
    assert_eq!(record.facts.previous, Some(full(2)));
    let second = &project.history.read().unwrap().records[1];
    assert_eq!(record.facts.results["rollback-of"], second.id.as_str());

    let same = rollback(&["--to", "2"]).ok();
    assert!(
        same.stderr.contains("is live already; nothing was done"),
        "{}",
        same.stderr
    );
    assert_eq!(project.count(), 4);
    rollback(&["--to", "web/deploy/v1"]).ok();
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace(&full(2), &full(0))
    );

    // The registry has lost the image.
    project.overcoat.run(&["delete", &full(2)]).ok();
    let gone = rollback(&["--to", "3"]);
    assert_eq!(gone.code, Some(4), "{}", gone.stderr);
    assert!(
        gone.stderr
            .contains("the image of the deploy 3 of web is gone from its registry"),
        "{}",
        gone.stderr
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        before.replace(&full(2), &full(0))
    );
    assert_eq!(project.count(), 5);
}

#[test]
fn a_rollback_is_released_where_deployments_are_and_needs_to_know_where_it_was() {
    let registry = Registry::start();
    let project = Project::new("");
    let images = ["v1", "v2"].map(|tag| push(&project, &registry, tag));
    let file = manifest(&project, "web:old");
    for (name, digest) in &images {
        project.deploy("default", name, digest, Some(&file));
        project.run(&["release"]).ok();
    }
    project.run(&["rollback"]).ok();
    let release = project.newest(Operation::Release);
    let deployment = project.newest(Operation::Deploy);
    assert_eq!(release.sequence, 3);
    assert_eq!(release.link(Operation::Deploy), Some(&deployment.id));
    assert_eq!(deployment.facts.digest.unwrap().to_string(), images[0].1);

    for (name, digest) in &images {
        project.deploy("dev", name, digest, None);
    }
    let done = project.run(&["rollback", "--environment", "dev"]);
    assert_eq!(done.code, Some(96), "{}", done.stderr);
    assert!(
        done.stderr.contains("does not say where it was put"),
        "{}",
        done.stderr
    );
    let failed = project.newest(Operation::Deploy);
    assert_eq!(
        (failed.environment.as_str(), failed.state),
        ("dev", State::Error)
    );
}

#[test]
fn pruning_forgets_what_is_old_and_deletes_only_what_nothing_names() {
    let registry = Registry::start();
    let project = Project::new("");
    let images = ["v1", "v2", "v3", "v4", "v5"].map(|tag| push(&project, &registry, tag));
    // v1 also has a tag that nobody has on record; v2 stands in a manifest.
    let other = format!("{}/web:keep", registry.host());
    let first = format!("{}@{}", images[0].0, images[0].1);
    project.overcoat.run(&["copy", &first, &other]).ok();
    let file = manifest(&project, &format!("{}@{}", images[1].0, images[1].1));
    for (name, digest) in &images {
        project.deploy("prod", name, digest, Some(&file));
    }
    let tags = || {
        let name = format!("{}/web", registry.host());
        project.overcoat.run(&["tags", &name]).ok().stdout
    };
    let all = "keep\nv1\nv2\nv3\nv4\nv5\n";
    assert_eq!(tags(), all);

    let arguments = ["prune", "--retain", "2", "--delete-tags", "--json"];
    let dry = project.json(&[&arguments[..], &["--dry-run"]].concat());
    let third = format!("{}/web@{}", registry.host(), images[2].1);
    assert_eq!(dry["images"], json!([third]));
    assert_eq!((project.count(), tags().as_str()), (5, all));

    let done = project.run(&arguments).ok();
    assert!(
        done.stderr.contains("stays: it is also called keep"),
        "{}",
        done.stderr
    );
    let done: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(done["images"], dry["images"]);
    assert_eq!(done["records"].as_array().unwrap().len(), 2);
    assert_eq!(tags(), "keep\nv1\nv2\nv4\nv5\n");
    let left = project.json(&["history", "--json"]);
    let left: Vec<&Value> = left
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["sequence"])
        .collect();
    assert_eq!(left, [5, 4, 2]);
    let again = project.run(&arguments[..4]).ok();
    assert_eq!(again.stdout, "0 records and 0 images are gone\n");
    // Without the flag, registries are left alone.
    project.run(&["prune", "--retain", "1"]).ok();
    assert_eq!(
        (project.count(), tags().as_str()),
        (2, "keep\nv1\nv2\nv4\nv5\n")
    );
    let next = project.deploy("prod", &images[0].0, &images[0].1, None);
    assert_eq!(next.sequence, 6, "numbers are not given again");
}

fn deployment(name: &str, image: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            // No pods: how far the controller has come with them is of no matter.
            "replicas": 0,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [
                    { "name": "sidecar", "image": "sidecar:1" },
                    { "name": "web", "image": image },
                ] },
            },
        },
    })
}

#[test]
fn a_cluster_is_told_of_a_rollback_and_asked_before_images_are_deleted() {
    let test = "a_cluster_is_told_of_a_rollback_and_asked_before_images_are_deleted";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let registry = Registry::start();
    let project = Project::of(bed.overcoat(), "");
    let images = ["v0", "v1", "v2", "v3"].map(|tag| push(&project, &registry, tag));
    let full = |index: usize| format!("{}@{}", images[index].0, images[index].1);
    bed.create("apps/v1", "deployments", &deployment("web", &full(3)));
    // Somebody else still runs an old one.
    bed.create("apps/v1", "deployments", &deployment("old", &full(1)));
    for (name, digest) in &images {
        let target = Target::Cluster {
            context: Some("k3d-test".to_owned()),
            namespace: bed.namespace().to_owned(),
            workload: "deployment/web".to_owned(),
            container: "web".to_owned(),
        };
        project.deploy_to("prod", name, digest, Some(target));
    }
    let template = || bed.get("apps/v1", "deployments", "web")["spec"]["template"]["spec"].clone();
    let before = template();
    let dry = project
        .run(&["rollback", "--environment", "prod", "--dry-run"])
        .ok();
    assert!(
        dry.stdout.contains(&format!("{} -> {}", full(3), full(2))),
        "{}",
        dry.stdout
    );
    assert_eq!(template(), before);
    project.run(&["rollback", "--environment", "prod"]).ok();
    let mut expected = before;
    expected["containers"][1]["image"] = json!(full(2));
    assert_eq!(template(), expected);
    let record = project.newest(Operation::Deploy);
    assert_eq!((record.sequence, record.facts.previous), (5, Some(full(3))));

    let arguments = ["prune", "--retain", "1", "--delete-tags", "--json"];
    let mut command = project.overcoat.command(&arguments);
    command.env("KUBECONFIG", project.root.join("no-such-file"));
    let unknown: Done = command.current_dir(&project.root).output().unwrap().into();
    assert_eq!(unknown.code, Some(90), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("nothing was removed"),
        "{}",
        unknown.stderr
    );
    assert_eq!(project.count(), 5);
    let done = project.json(&arguments);
    // The record that stays names the image that it replaced.
    let first = format!("{}/web@{}", registry.host(), images[0].1);
    assert_eq!(done["images"], json!([first]));
    // The one that runs, whoever runs it, stays on record.
    assert_eq!(project.count(), 2);
}
