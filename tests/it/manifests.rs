//! `deploy --manifest` and `deploy --kustomization`: files of people, edited byte by byte, or refused and left alone.

mod kustomization;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Done, ORDINARY_USER, Overcoat};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OLD: &str = "registry.example/team/web:1";

fn new() -> String {
    format!("registry.example/team/web:2@{DIGEST}")
}

/// A Deployment as Hopr's are: the application and a sidecar.
const DEPLOYMENT: &str = "\
# Pod gateway – do not rename
apiVersion: apps/v1
kind: Deployment
metadata:
  name: gateway
  namespace: armored-convoy-gateway-ns
spec:
  template:
    spec:
      containers:
      - name: xtra-wasm
        image: registry.example/team/web:1  # the sidecar
      - image: \"registry.example/team/web:1\"   # {\"$imagepolicy\": \"flux-system:web\"}
        name: web-app
";

/// The same with the new image, in the place that a person would change.
fn expected() -> String {
    DEPLOYMENT.replace(&format!("\"{OLD}\""), &format!("\"{}\"", new()))
}

struct Files {
    overcoat: Overcoat,
}

impl Files {
    fn new() -> Self {
        Self {
            overcoat: Overcoat::new(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.overcoat.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
        self.at(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// `overcoat deploy ARGUMENTS` in the directory of the files.
    fn deploy(&self, arguments: &[&str]) -> Done {
        // These images are nowhere.
        let arguments = [&["deploy", "--no-verify"], arguments].concat();
        let mut command = self.overcoat.command(&arguments);
        command
            .current_dir(self.overcoat.path())
            .output()
            .unwrap()
            .into()
    }

    /// As [`Self::deploy`] of the new image into the container `web-app`.
    fn put(&self, arguments: &[&str]) -> Done {
        self.deploy(&[&["--image", &new(), "--container", "web-app"], arguments].concat())
    }
}

#[track_caller]
fn failed(done: &Done, code: i32, parts: &[&str]) {
    assert_eq!(done.code, Some(code), "{done:?}");
    assert_eq!(done.stdout, "", "{done:?}");
    for part in parts {
        assert!(
            done.stderr.contains(part),
            "{part:?} is not in {}",
            done.stderr
        );
    }
}

fn stamp(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

#[test]
fn the_image_of_one_container_changes_and_every_other_byte_stays() {
    for text in [
        DEPLOYMENT.to_owned(),
        DEPLOYMENT.replace('\n', "\r\n"),
        format!("\u{feff}{DEPLOYMENT}"),
        DEPLOYMENT.trim_end().to_owned(),
    ] {
        let files = Files::new();
        files.write("k8s/03-deployment.yaml", &text);
        files.write(
            "k8s/02-secrets.yaml",
            "apiVersion: v1\nkind: Secret\nstringData: {a: b}\n",
        );
        let done = files.put(&["--manifest", "k8s"]).ok();
        let line = format!("k8s/03-deployment.yaml:13: {OLD} -> {}\n", new());
        assert_eq!(done.stdout, line);
        assert!(done.stderr.contains("`flux-system:web`"), "{}", done.stderr);
        let changed = files.read("k8s/03-deployment.yaml");
        assert_eq!(
            changed,
            text.replace(&format!("\"{OLD}\""), &format!("\"{}\"", new()))
        );
        // Right already: not even its time changes, and nobody is warned.
        let before = stamp(&files.at("k8s/03-deployment.yaml"));
        let again = files.put(&["--manifest", "k8s/*.yaml"]).ok();
        assert_eq!(
            again.stdout,
            format!("k8s/03-deployment.yaml:13: unchanged, {}\n", new())
        );
        assert_eq!(again.stderr, "");
        assert_eq!(stamp(&files.at("k8s/03-deployment.yaml")), before);
    }
}

#[test]
fn permissions_and_links_stay() {
    let files = Files::new();
    let real = files.write("real/d.yaml", DEPLOYMENT);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/d.yaml", files.at("link.yaml")).unwrap();
    files.put(&["--manifest", "link.yaml"]).ok();
    assert!(files.at("link.yaml").is_symlink());
    assert_eq!(files.read("real/d.yaml"), expected());
    assert_eq!(
        fs::metadata(&real).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    let names: Vec<_> = fs::read_dir(files.at("real")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn the_image_comes_from_the_file_of_results() {
    let files = Files::new();
    files.write("d.yaml", DEPLOYMENT);
    let container = ["--container", "web-app", "--manifest", "d.yaml"];
    let missing = files.deploy(&container);
    failed(&missing, 82, &["build_result.json"]);
    let results = format!(
        "{{\"builds\":[{{\"imageName\":\"base\",\"tag\":\"registry.example/base:9@{DIGEST}\"}},{{\"imageName\":\"web\",\"tag\":\"{}\"}}]}}\n",
        new()
    );
    files.write("build_result.json", &results);
    files.deploy(&container).ok();
    assert_eq!(files.read("d.yaml"), expected());
    files.write("other.json", &results);
    let base = ["--build-result", "other.json", "--image-name", "base"];
    files.deploy(&[&container[..], &base].concat()).ok();
    assert!(
        files
            .read("d.yaml")
            .contains(&format!("\"registry.example/base:9@{DIGEST}\""))
    );
    let unknown = files.deploy(&[&container[..], &["--image-name", "web2"]].concat());
    failed(&unknown, 82, &["`web2`", "`base`, `web`"]);
    // For images that are loaded into nodes: the tag alone.
    files.deploy(&[&container[..], &["--no-pin"]].concat()).ok();
    assert!(
        files
            .read("d.yaml")
            .contains("\"registry.example/team/web:2\"")
    );
    let untagged = format!("registry.example/web@{DIGEST}");
    let nothing = files.deploy(&[&container[..], &["--no-pin", "--image", &untagged]].concat());
    failed(&nothing, 2, &["no tag"]);
}

#[test]
fn a_dry_run_prints_a_diff_that_git_applies_and_changes_nothing() {
    let files = Files::new();
    let file = files.write("k8s/d.yaml", DEPLOYMENT);
    let before = stamp(&file);
    let done = files.put(&["--manifest", "k8s/d.yaml", "--dry-run"]).ok();
    assert_eq!(
        (files.read("k8s/d.yaml").as_str(), stamp(&file)),
        (DEPLOYMENT, before)
    );
    assert_eq!(
        done.stdout
            .lines()
            .filter(|line| line.starts_with("+ "))
            .count(),
        1,
        "{}",
        done.stdout
    );
    fs::write(files.at("d.patch"), &done.stdout).unwrap();
    let applied: Done = Command::new("git")
        .args(["apply", "d.patch"])
        .current_dir(files.overcoat.path())
        .env(
            "GIT_CEILING_DIRECTORIES",
            files.overcoat.path().parent().unwrap(),
        )
        .output()
        .unwrap()
        .into();
    applied.ok();
    assert_eq!(files.read("k8s/d.yaml"), expected());
    assert_eq!(
        files
            .put(&["--manifest", "k8s/d.yaml", "--dry-run"])
            .ok()
            .stdout,
        ""
    );
}

#[test]
fn a_check_ends_with_its_own_code_when_a_file_would_change() {
    let files = Files::new();
    let file = files.write("d.yaml", DEPLOYMENT);
    let before = stamp(&file);
    let done = files.put(&["--manifest", "d.yaml", "--check"]);
    assert_eq!(done.code, Some(86), "{done:?}");
    assert!(
        done.stderr.contains("`d.yaml`") && done.stderr.contains("without `--check`"),
        "{done:?}"
    );
    assert_eq!(
        (files.read("d.yaml").as_str(), stamp(&file)),
        (DEPLOYMENT, before)
    );
    let done = files.put(&["--manifest", "d.yaml", "--check", "--dry-run"]);
    assert!(
        done.code == Some(86) && done.stdout.starts_with("--- a/d.yaml\n"),
        "{done:?}"
    );
    files.put(&["--manifest", "d.yaml"]).ok();
    files.put(&["--manifest", "d.yaml", "--check"]).ok();
}

#[test]
fn what_was_done_is_told_to_programs() {
    let files = Files::new();
    files.write("d.yaml", DEPLOYMENT);
    let json = |done: Done| -> Value { serde_json::from_str(&done.ok().stdout).unwrap() };
    let told = json(files.put(&["--manifest", "d.yaml", "--format", "json", "--dry-run"]));
    let edit = &told["edits"][0];
    assert_eq!(told["dry_run"], true);
    assert!(edit["diff"].as_str().unwrap().contains("+++ b/d.yaml"));
    let told = json(files.put(&["--manifest", "d.yaml", "--format", "json"]));
    let edit = &told["edits"][0];
    for (key, value) in [
        ("file", "d.yaml"),
        ("workload", "Deployment/gateway"),
        ("namespace", "armored-convoy-gateway-ns"),
        ("container", "web-app"),
        ("before", OLD),
        ("after", &new()),
    ] {
        assert_eq!(edit[key], value, "{key}");
    }
    assert_eq!(
        (edit["changed"].as_bool(), edit["line"].as_u64()),
        (Some(true), Some(13))
    );
    let again = json(files.put(&["--manifest", "d.yaml", "--format", "json"]));
    assert_eq!(again["edits"][0]["changed"], false);
}

#[test]
fn what_cannot_be_edited_is_refused_and_left_alone() {
    let other = DEPLOYMENT.replace("gateway", "relay");
    let two = format!("{DEPLOYMENT}---\n{other}");
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], i32, &'a [&'a str]);
    let cases: [Case<'_>; 11] = [
        (
            "helm",
            &DEPLOYMENT.replace(&format!("\"{OLD}\""), "{{ .Values.image }}"),
            &[],
            88,
            &["template", "line 13", "values"],
        ),
        (
            "two",
            &two,
            &[],
            87,
            &["Deployment/gateway", "Deployment/relay", "--deployment"],
        ),
        (
            "twice",
            &DEPLOYMENT.replace(
                "        name: web-app\n",
                "        name: web-app\n        image: b\n",
            ),
            &[],
            84,
            &["line 15", "line 13"],
        ),
        (
            "alias",
            &DEPLOYMENT
                .replace(&format!("image: {OLD}"), &format!("image: &i {OLD}"))
                .replace(&format!("\"{OLD}\""), "*i"),
            &[],
            84,
            &["shared", "12, 13"],
        ),
        ("broken", "a: [\n", &[], 84, &["broken.yaml", "not YAML"]),
        (
            "tag",
            &DEPLOYMENT.replace(&format!("\"{OLD}\""), "!x y"),
            &[],
            84,
            &["`!x`", "line 13"],
        ),
        (
            "container",
            DEPLOYMENT,
            &["--container", "web"],
            85,
            &["no container `web`", "web-app in Deployment/gateway"],
        ),
        (
            "workload",
            DEPLOYMENT,
            &["--workload", "sts/gateway"],
            85,
            &["sts/gateway", "Deployment/gateway"],
        ),
        (
            "namespace",
            DEPLOYMENT,
            &["--namespace", "other"],
            85,
            &["other", "armored-convoy-gateway-ns", "--namespace"],
        ),
        ("none", "kind: Service\n", &[], 85, &["no workload"]),
        (
            "kind",
            DEPLOYMENT,
            &["--workload", "service/x"],
            2,
            &["names no workload"],
        ),
    ];
    let files = Files::new();
    for (name, text, more, code, parts) in cases {
        let file = files.write(&format!("{name}.yaml"), text);
        let before = stamp(&file);
        let mut arguments = vec!["--image", OLD, "--manifest", file.to_str().unwrap()];
        if !more.contains(&"--container") {
            arguments.extend(["--container", "web-app"]);
        }
        let changed = new();
        arguments[1] = &changed;
        arguments.extend(more);
        let done = files.deploy(&arguments);
        failed(&done, code, parts);
        assert_eq!(
            (fs::read_to_string(&file).unwrap().as_str(), stamp(&file)),
            (text, before),
            "{name}"
        );
    }
    files.write("d.yaml", DEPLOYMENT);
    failed(
        &files.deploy(&[
            "--image",
            "bad..ref::",
            "--container",
            "web-app",
            "--manifest",
            "d.yaml",
        ]),
        3,
        &["bad..ref::"],
    );
    failed(
        &files.put(&["--manifest", "absent.yaml"]),
        63,
        &["absent.yaml"],
    );
    failed(&files.put(&["--manifest", "x/*.yaml"]), 63, &["x"]);
    failed(&files.put(&[]), 2, &["--manifest", "--kustomization"]);
    fs::write(files.at("latin.yaml"), b"a: \xe4\n").unwrap();
    failed(&files.put(&["--manifest", "latin.yaml"]), 84, &["UTF-8"]);
    assert_eq!(files.read("d.yaml"), DEPLOYMENT);
    // With the workload named, two are no trouble.
    files
        .put(&["--manifest", "two.yaml", "--deployment", "deploy/relay"])
        .ok();
    assert_eq!(
        files.read("two.yaml"),
        format!(
            "{DEPLOYMENT}---\n{}",
            expected().replace("gateway", "relay")
        )
    );
}

#[test]
fn in_a_directory_that_cannot_be_written_nothing_changes() {
    let overcoat = Overcoat::as_ordinary_user();
    let directory = overcoat.path().join("closed");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("d.yaml");
    fs::write(&file, DEPLOYMENT).unwrap();
    let own = Command::new("chown")
        .args(["-R", ORDINARY_USER])
        .arg(&directory)
        .status()
        .unwrap();
    assert!(own.success());
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o555)).unwrap();
    let path = file.to_str().unwrap();
    let done = overcoat.run(&[
        "deploy",
        "--image",
        &new(),
        "--container",
        "web-app",
        "--manifest",
        path,
    ]);
    assert_eq!(done.code, Some(63), "{done:?}");
    assert!(
        done.stderr.contains("closed") && done.stderr.contains("permission denied"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), DEPLOYMENT);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    overcoat
        .run(&[
            "deploy",
            "--image",
            &new(),
            "--container",
            "web-app",
            "--manifest",
            path,
        ])
        .ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), expected());
}

#[test]
fn guards_against_what_never_rolls_out() {
    let files = Files::new();
    files.write("d.yaml", DEPLOYMENT);
    let of = |image: &str| {
        let flags = [
            "--container",
            "web-app",
            "--manifest",
            "d.yaml",
            "--image",
            image,
        ];
        files.deploy(&flags).ok().stderr
    };
    let same = of(OLD);
    assert!(same.contains("nothing will roll out"), "{same}");
    let other = of("registry.example/team/web:3");
    assert!(other.contains("no digest"), "{other}");
    let latest = [
        "--container",
        "web-app",
        "--manifest",
        "d.yaml",
        "--no-pin",
        "--image",
        "web:latest",
    ];
    let done = files.deploy(&latest).ok();
    assert!(done.stderr.contains("IfNotPresent"), "{}", done.stderr);
}

#[test]
fn an_environment_has_manifests_and_a_namespace() {
    let files = Files::new();
    let other = DEPLOYMENT.replace("armored-convoy-gateway-ns", "other");
    files.write("deploy/d.yaml", &format!("{other}---\n{DEPLOYMENT}"));
    let project = "[environments.dev]\nnamespace = \"armored-convoy-gateway-ns\"\nmanifests = [\"deploy/*.yaml\"]\n\n[environments.pp]\nnamespace = \"x\"\n";
    files.write("overcoat.toml", &format!("project = \"p\"\n\n{project}"));
    files.put(&["--environment", "dev"]).ok();
    assert_eq!(
        files.read("deploy/d.yaml"),
        format!("{other}---\n{}", expected())
    );
    failed(
        &files.put(&["--environment", "prod"]),
        81,
        &["`prod`", "dev"],
    );
    failed(
        &files.put(&["--environment", "pp"]),
        80,
        &["`pp`", "manifests"],
    );
}
