//! `overcoat up` on a blueprint of four pods, built on the tiny builder; k3d and docker are scripts that keep what they are given.

mod back;
mod before;
mod cluster;
mod first;
mod loaders;
mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::support::engine::Engine;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, tool};

const PODS: [&str; 4] = ["gateway", "relay-1", "relay-2", "sink"];

/// A copy of `testdata/hopr`, and a builder.
pub struct Blueprint {
    directory: tempfile::TempDir,
    builder: String,
    pub overcoat: Overcoat,
}

impl Blueprint {
    pub fn new(overcoat: Overcoat) -> Self {
        Self::on(&Tiny::default(), overcoat)
    }

    /// The same on another builder.
    pub fn on(builder: &Tiny, overcoat: Overcoat) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let builder = builder.write(directory.path());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hopr");
        let root = directory.path().join("convoy");
        tool(
            "cp",
            &[
                "--recursive",
                source.to_str().unwrap(),
                root.to_str().unwrap(),
            ],
        );
        Self {
            directory,
            builder,
            overcoat,
        }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("convoy")
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.root().join(path), text).unwrap();
    }

    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }

    /// `overcoat up` in the blueprint's directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let all = [&["up", "--build-image", &self.builder], arguments].concat();
        let mut command = self.overcoat.command(&all);
        command.current_dir(self.root());
        command
    }

    pub fn up(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// The same, with the JSON that it prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let done = self.up(&[arguments, &["--json"]].concat()).ok();
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// The records that there are.
    pub fn records(&self) -> Vec<Value> {
        let mut command = self.overcoat.command(&["history", "--json"]);
        let done: Done = command.current_dir(self.root()).output().unwrap().into();
        serde_json::from_str(&done.ok().stdout).unwrap()
    }

    /// Writes down what was delivered.
    pub fn locked(self) -> Self {
        self.up(&["--lock"]).ok();
        self
    }

    /// Every file with its bytes and its time of change.
    pub fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.root()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                    continue;
                }
                let metadata = fs::metadata(&path).unwrap();
                let value = (
                    fs::read(&path).unwrap(),
                    metadata.mtime(),
                    metadata.mtime_nsec(),
                );
                found.insert(path, value);
            }
        }
        found
    }

    /// The image that a pod's manifest names.
    pub fn image(&self, pod: &str) -> String {
        let text = self.read(&format!("{pod}/03-deployment.yaml"));
        let line = text
            .lines()
            .find(|line| line.contains("small-convoy/") && line.contains("image:"));
        let value = line.unwrap().split_once("image: ").unwrap().1;
        value.split_whitespace().next().unwrap().to_owned()
    }
}

fn no_kubeconfig() -> Overcoat {
    Overcoat::new().with("KUBECONFIG", "/nonexistent/kubeconfig")
}

#[test]
fn a_dry_run_shows_every_step_and_changes_nothing() {
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let before = blueprint.files();
    let done = blueprint
        .up(&["--to", "k3d:dev", "--no-deploy", "--dry-run"])
        .ok();
    let expected = [
        "1. check gateway: gateway/app/app.py: nothing speaks against it",
        "10. deliver gateway: k3d image import FILE --mode direct -c dev, and ask the nodes for small-convoy/gateway:<content>",
        "5. ready: the k3d cluster `dev` is asked whether it is there",
        "+          image: small-convoy/gateway:<content>   # changed by overcoat up",
        "14. edit gateway: gateway/03-deployment.yaml:18: the image of `web-app` in Deployment/gateway from small-convoy/gateway:delivered to small-convoy/gateway:<content>",
        "18. results: write build_result.json and the history",
    ];
    for line in expected {
        assert!(
            done.stdout.lines().any(|found| found == line),
            "{line}\n{}",
            done.stdout
        );
    }
    let all = blueprint.json(&["--to", "kind:dev", "--dry-run", "relay-1", "gateway"]);
    assert_eq!(all["pods"], serde_json::json!(["gateway", "relay-1"]));
    assert_eq!(all["context"], "kind-dev");
    let names: Vec<&str> = all["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    let once = ["check", "build", "deliver", "edit", "deploy", "watch"];
    let mut expected: Vec<&str> = once.iter().flat_map(|name| [*name, *name]).collect();
    expected.push("results");
    expected.insert(2, "ready");
    assert_eq!(names, expected);
    // What programs want to know is not in sentences alone.
    let step = |number: usize| &all["steps"][number];
    assert_eq!(step(3)["source"], "gateway/app");
    assert_eq!(
        step(5)["command"],
        serde_json::json!(["kind", "load", "image-archive", "FILE", "--name", "dev"])
    );
    assert_eq!(step(8)["pod"], "relay-1");
    assert_eq!(step(8)["before"], "small-convoy/relay-1:delivered");
    let diff = step(8)["diff"].as_str().unwrap();
    assert!(diff.contains("relay-1:<content>"), "{diff}");
    assert!(
        diff.starts_with("--- a/relay-1/03-deployment.yaml\n"),
        "{diff}"
    );
    assert_eq!(step(9)["workload"], "Deployment/gateway");
    assert_eq!(
        (&step(11)["auto_trigger"], &step(11)["timeout_s"]),
        (&Value::from(true), &Value::from(600))
    );
    let deploy = all["steps"][9]["what"].as_str().unwrap();
    assert!(
        deploy.ends_with("if it is not there yet, run deploy.sh as it is"),
        "{deploy}"
    );
    assert!(
        all["steps"][11]["what"]
            .as_str()
            .unwrap()
            .contains("auto-trigger"),
        "{all:#}"
    );
    assert!(
        !all["steps"][12]["what"]
            .as_str()
            .unwrap()
            .contains("auto-trigger"),
        "{all:#}"
    );
    assert_eq!(blueprint.files(), before);
}

#[test]
fn archives_are_loaded_by_containerd_under_the_names_that_the_manifests_have() {
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let delivered = blueprint.read("gateway/03-deployment.yaml");
    let first = blueprint.json(&["--to", "archive"]);
    let engine = Engine::containerd();
    let mut expected = Vec::new();
    for (number, pod) in PODS.into_iter().enumerate() {
        let archive = blueprint.root().join(format!("{pod}.tar"));
        engine.ctr(&[
            "-n",
            "k8s.io",
            "images",
            "import",
            "--all-platforms",
            archive.to_str().unwrap(),
        ]);
        let told = &first["pods"][number];
        let image = blueprint.image(pod);
        assert_eq!(told["image"], image.as_str());
        let digest = told["digest"].as_str().unwrap();
        // The tag is made of the content: the beginning of the digest.
        assert_eq!(image, format!("small-convoy/{pod}:{}", &digest[7..19]));
        expected.push(format!("docker.io/{image} {digest}"));
    }
    let table = engine.ctr(&["-n", "k8s.io", "images", "list"]);
    let listed: Vec<String> = table
        .lines()
        .skip(1)
        .map(|row| {
            let columns: Vec<&str> = row.split_whitespace().collect();
            format!("{} {}", columns[0], columns[2])
        })
        .collect();
    assert_eq!(listed, expected);
    // Of the manifest, one value has changed.
    let edited = blueprint.read("gateway/03-deployment.yaml");
    let image = blueprint.image("gateway");
    assert_eq!(
        edited,
        delivered.replace("small-convoy/gateway:delivered", &image)
    );
    let results: Value = serde_json::from_str(&blueprint.read("build_result.json")).unwrap();
    assert_eq!(results["builds"].as_array().unwrap().len(), 4);
    assert_eq!(results["builds"][0]["tag"], image.as_str());
    // As the delivered Dockerfile has it.
    let inspected = blueprint.overcoat.inspect(&image);
    let config = &inspected["config"];
    let text = inspected.to_string();
    assert!(
        text.contains("/app") && text.contains("PYTHONUNBUFFERED=1"),
        "{config}: {text}"
    );
    // Again: nothing is built, and no file but the archives is touched.
    let before = blueprint.read("gateway/03-deployment.yaml");
    let again = blueprint.json(&["--to", "archive"]);
    assert_eq!(again["edited"], serde_json::json!([]));
    for (first, again) in first["pods"]
        .as_array()
        .unwrap()
        .iter()
        .zip(again["pods"].as_array().unwrap())
    {
        assert_eq!(first["digest"], again["digest"]);
        assert_eq!(again["is_unchanged"], true, "{again}");
    }
    assert_eq!(blueprint.read("gateway/03-deployment.yaml"), before);
    // A change of one pod's Section 1 changes that image alone.
    blueprint.replace(
        "sink/app/app.py",
        "print(\"arrived\", payload)",
        "print(\"here\", payload)",
    );
    let changed = blueprint.json(&["--to", "archive"]);
    let edited = changed["edited"].as_array().unwrap();
    assert_eq!(edited.len(), 1, "{changed:#}");
    assert!(
        edited[0]
            .as_str()
            .unwrap()
            .ends_with("sink/03-deployment.yaml")
    );
}

#[test]
fn a_change_outside_of_section_1_is_refused_whatever_knows_what_was_delivered() {
    let change = ["PORT\", \"8000\"", "PORT\", \"9000\""];
    let refused = |blueprint: &Blueprint, from: &str| {
        let before = blueprint.files();
        let done = blueprint.up(&["--to", "archive", "relay-1"]);
        assert_eq!(done.code, Some(97), "{}", done.stderr);
        let expected =
            format!("  because: relay-1/app/app.py: it differs outside of Section 1 from {from}");
        assert!(
            done.stderr.contains(&expected),
            "{expected}\n{}",
            done.stderr
        );
        assert!(
            done.stderr
                .contains("\n-PORT = int(os.environ.get(\"PORT\", \"8000\"))\n+PORT"),
            "{}",
            done.stderr
        );
        assert_eq!(blueprint.files(), before);
    };
    // The lock.
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    blueprint.replace("relay-1/app/app.py", change[0], change[1]);
    refused(&blueprint, ".overcoat-hopr.lock");
    let done = blueprint.up(&["--lock"]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    let allowed = blueprint
        .up(&["--to", "archive", "--allow-section2", "--dry-run"])
        .ok();
    assert!(
        allowed.stderr.contains("it differs outside of Section 1"),
        "{}",
        allowed.stderr
    );
    // git.
    let blueprint = Blueprint::new(no_kubeconfig());
    let root = blueprint.root();
    let git = |arguments: &[&str]| {
        let identity = [
            "-C",
            root.to_str().unwrap(),
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
        ];
        tool("git", &[&identity, arguments].concat());
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "delivered"]);
    blueprint.replace("relay-1/app/app.py", change[0], change[1]);
    git(&["commit", "--quiet", "-am", "changed"]);
    refused(&blueprint, "the commit ");
    // The commit that is named goes before the lock, and nothing stands in for it.
    blueprint.up(&["--lock", "--allow-section2"]).ok();
    let named = |revision: &str| {
        let option = format!("--baseline={revision}");
        blueprint.up(&["--to", "archive", "--dry-run", "relay-1", &option])
    };
    let done = named("HEAD~1");
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    assert!(done.stderr.contains("from the commit "), "{}", done.stderr);
    for revision in ["v99", "--all"] {
        let done = named(revision);
        assert_eq!(done.code, Some(97), "{}", done.stderr);
        let said = format!("`--baseline {revision}`: git knows no such commit");
        assert!(done.stderr.contains(&said), "{}", done.stderr);
    }
    // The image that the manifest names now, out of the store.
    let blueprint = Blueprint::new(no_kubeconfig());
    let done = blueprint.up(&["--to", "archive", "relay-1"]).ok();
    assert!(
        done.stderr
            .contains("nothing is known of it as it was delivered"),
        "{}",
        done.stderr
    );
    blueprint.replace("relay-1/app/app.py", change[0], change[1]);
    refused(&blueprint, "the image small-convoy/relay-1:");
}

#[test]
fn the_image_in_a_registry_tells_what_was_delivered() {
    let registry = Registry::start();
    let blueprint = Blueprint::new(no_kubeconfig());
    let repo = format!("{}/convoy", registry.host());
    let pushed = blueprint.json(&[
        "--to",
        "registry",
        "--repo",
        &repo,
        "--no-deploy",
        "relay-2",
    ]);
    let image = pushed["pods"][0]["image"].as_str().unwrap();
    let digest = pushed["pods"][0]["digest"].as_str().unwrap();
    assert!(
        image.starts_with(&format!("{repo}/relay-2:")) && image.ends_with(&format!("@{digest}")),
        "{image}"
    );
    // By the name that `promote --image-name` asks for.
    let results: Value = serde_json::from_str(&blueprint.read("build_result.json")).unwrap();
    assert_eq!(
        results["builds"],
        json!([{ "imageName": "relay-2", "tag": image }])
    );
    assert!(
        blueprint
            .read("relay-2/03-deployment.yaml")
            .contains(&format!("image: {image}   # changed"))
    );
    let raw = tool(
        "skopeo",
        &[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{}", image.split('@').next().unwrap()),
        ],
    );
    assert_eq!(
        overcoat::digest::Digest::of(raw.as_bytes()).to_string(),
        digest
    );
    // Another machine, which has nothing but the files.
    fs::remove_dir_all(blueprint.overcoat.store()).unwrap();
    blueprint.replace("relay-2/app/app.py", "do_POST", "do_PUT");
    let done = blueprint.up(&[
        "--to",
        "registry",
        "--repo",
        &repo,
        "--no-deploy",
        "relay-2",
    ]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    assert!(
        done.stderr
            .contains(&format!("from the image {repo}/relay-2:")),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("-    def do_POST(self):\n+    def do_PUT(self):"),
        "{}",
        done.stderr
    );
}

#[test]
fn what_must_not_be_built_is_refused_with_its_place_and_nothing_is_changed() {
    type Change = fn(&Blueprint);
    let table: [(&str, Change, i32, &str); 8] = [
        (
            "a secret in the source",
            |it| {
                fs::copy(
                    it.root().join("gateway/02-secrets.yaml"),
                    it.root().join("gateway/app/02-secrets.yaml"),
                )
                .unwrap();
            },
            97,
            "gateway/app/02-secrets.yaml:3: a Kubernetes Secret would be in the image",
        ),
        (
            "a hook with other parameters",
            |it| {
                it.replace(
                    "gateway/app/app.py",
                    "def on_trigger(payload, headers)",
                    "def on_trigger(payload)",
                )
            },
            97,
            "gateway/app/app.py:11: `on_trigger(payload)` has other parameters than Hopr calls it with",
        ),
        (
            "a text that is no Python",
            |it| {
                it.replace(
                    "gateway/app/app.py",
                    "return {\"greeting\"",
                    "return {(\"greeting\"",
                )
            },
            97,
            "gateway/app/app.py:13: `}` closes the `(` of line 13",
        ),
        (
            "a mark that is gone",
            |it| it.replace("gateway/app/app.py", "END SECTION 1", "end of it"),
            97,
            "SECTION 1",
        ),
        (
            "a pull policy that asks a registry",
            |it| {
                it.replace(
                    "gateway/03-deployment.yaml",
                    "imagePullPolicy: IfNotPresent",
                    "imagePullPolicy: Always",
                )
            },
            97,
            "gateway/03-deployment.yaml:18: `web-app`: its `imagePullPolicy` is `Always`",
        ),
        (
            "no container of that name",
            |it| {
                it.replace(
                    "gateway/03-deployment.yaml",
                    "- name: web-app",
                    "- name: other",
                )
            },
            85,
            "no manifest of the pod `gateway` has a workload with a container `web-app`",
        ),
        (
            "two workloads",
            |it| {
                let text = it
                    .read("gateway/03-deployment.yaml")
                    .replace("name: gateway", "name: second");
                it.write("gateway/04-more.yaml", &text);
            },
            87,
            "several workloads of the pod `gateway` have a container `web-app`",
        ),
        (
            "a lock that was changed",
            |it| {
                it.replace(
                    ".overcoat-hopr.lock",
                    "BaseHTTPRequestHandler",
                    "OtherHandler",
                )
            },
            80,
            "is not that of its digest",
        ),
    ];
    for (what, change, code, text) in table {
        let blueprint = Blueprint::new(no_kubeconfig()).locked();
        change(&blueprint);
        let before = blueprint.files();
        let done = blueprint.up(&["--to", "archive"]);
        assert_eq!(done.code, Some(code), "{what}: {}", done.stderr);
        assert!(done.stderr.contains(text), "{what}: {}", done.stderr);
        assert!(done.stdout.is_empty(), "{what}: {}", done.stdout);
        assert_eq!(blueprint.files(), before, "{what}");
    }
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let done = blueprint.up(&["--to", "archive", "relay-3"]);
    assert_eq!(done.code, Some(81), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("hint: there are gateway, relay-1, relay-2, sink"),
        "{}",
        done.stderr
    );
    blueprint.write("gateway/app/.env", "TOKEN=x\n");
    let allowed = blueprint
        .up(&["--to", "archive", "--allow-secrets", "--dry-run"])
        .ok();
    assert!(
        allowed
            .stderr
            .contains("gateway/app/.env: a file of variables"),
        "{}",
        allowed.stderr
    );
}

#[test]
fn python_of_this_machine_sees_what_the_light_reader_does_not() {
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    blueprint.replace(
        "gateway/app/app.py",
        "\"greeting\": \"hello\"",
        "\"greeting\" \"hello\":: 1",
    );
    let arguments = ["--to", "archive", "--dry-run", "gateway"];
    blueprint
        .up(&[&arguments[..], &["--no-check-syntax"]].concat())
        .ok();
    let done = blueprint.up(&arguments);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("gateway/app/app.py:13: python3 of this machine refuses it"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_run_that_was_killed_anywhere_is_completed_by_the_next() {
    let blueprint = Blueprint::new(no_kubeconfig()).locked();
    let manifests = || PODS.map(|pod| blueprint.read(&format!("{pod}/03-deployment.yaml")));
    let delivered = manifests();
    let mut images = Vec::new();
    // A whole run in as many parts as it is killed times; it is never as fast as an unchanged one.
    const KILLS: u32 = 50;
    let begun = std::time::Instant::now();
    blueprint.up(&["--to", "archive"]).ok();
    let whole = begun.elapsed();
    std::fs::remove_dir_all(blueprint.root().join(".overcoat")).unwrap();
    for (pod, text) in PODS.iter().zip(&delivered) {
        blueprint.write(&format!("{pod}/03-deployment.yaml"), text);
    }
    for round in 0..KILLS {
        blueprint.replace(
            "sink/app/app.py",
            "Is where the journey ends",
            ".Is where the journey ends",
        );
        let mut child = blueprint.command(&["--to", "archive"]);
        child
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut child = child.spawn().unwrap();
        std::thread::sleep(whole * round / KILLS);
        // SIGKILL.
        let _ = child.kill();
        child.wait().unwrap();
        // Never half a manifest: it is as it was, or names an image of ours.
        for (pod, text) in PODS.iter().zip(manifests()) {
            let image = blueprint.image(pod);
            assert!(
                text.ends_with("image: registry.example/hopr/chips:2.1\n"),
                "{round} {pod}"
            );
            assert!(
                image.starts_with(&format!("small-convoy/{pod}:")),
                "{round} {image}"
            );
        }
    }
    let done = blueprint.json(&["--to", "archive"]);
    let records = blueprint.records();
    let mut names = std::collections::BTreeSet::new();
    for record in &records {
        let name = ["application", "operation", "sequence"].map(|key| record[key].to_string());
        assert!(names.insert(name), "{record} is there twice");
        assert_ne!(record["state"], "running", "{record}");
    }
    assert!(records.len() > 4, "{records:?}");
    for (number, pod) in PODS.iter().enumerate() {
        images.push(blueprint.image(pod));
        assert_eq!(done["pods"][number]["image"], images[number].as_str());
        let expected =
            delivered[number].replace(&format!("small-convoy/{pod}:delivered"), &images[number]);
        assert_eq!(
            blueprint.read(&format!("{pod}/03-deployment.yaml")),
            expected
        );
    }
    let results: Value = serde_json::from_str(&blueprint.read("build_result.json")).unwrap();
    let tags: Vec<&str> = results["builds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|build| build["tag"].as_str().unwrap())
        .collect();
    assert_eq!(tags, images);
    // Nothing of the killed runs is left beside the files.
    let names: Vec<String> = blueprint
        .files()
        .into_keys()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| name.contains("03-deployment"))
        .collect();
    assert_eq!(names, ["03-deployment.yaml"; 4]);
}
