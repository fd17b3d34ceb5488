//! What was deployed is found again: by a rollback, in another checkout, in a kustomization, in a cluster; and is not pruned while
//! anything names it.

mod cluster;
mod prune;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat};
use super::tiny::shared;

const OLD: &str = "example.com/old:1";

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      containers:\n      \
         - name: sidecar\n        image: example.com/sidecar:1\n      - name: web-app\n        image: {image}   # ours\n"
    )
}

/// A project with one application and an environment with a registry.
struct Shop {
    directory: tempfile::TempDir,
    overcoat: Overcoat,
    registry: Registry,
    root: PathBuf,
}

impl Shop {
    fn new() -> Self {
        Self::of(Overcoat::new(), "")
    }

    /// With these lines for the environment `dev`.
    fn of(overcoat: Overcoat, more: &str) -> Self {
        let directory = shared();
        let registry = Registry::start();
        let builder = Tiny::default().write(directory.path());
        let root = directory.path().join("h");
        for place in ["web", "m", "ks"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        let text = format!(
            "project = \"shop\"\n[applications.web]\npath = \"web\"\ncontainer = \"web-app\"\nworkload = \"deployment/web\"\n\
             builder = \"{builder}\"\n[environments.dev]\nregistry = \"{}/dev\"\n{more}",
            registry.host()
        );
        fs::write(root.join("overcoat.toml"), text).unwrap();
        fs::write(root.join("m/d.yaml"), deployment(OLD)).unwrap();
        Self {
            directory,
            overcoat,
            registry,
            root,
        }
    }

    fn run_in(&self, root: &Path, words: &[&str]) -> Done {
        let mut command = self.overcoat.command(words);
        command.current_dir(root).output().unwrap().into()
    }

    fn run(&self, words: &[&str]) -> Done {
        self.run_in(&self.root, words)
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.run(words).ok().stdout).unwrap()
    }

    /// Changes the application, builds and pushes it; its image by tag and digest.
    fn build(&self, edit: &str) -> String {
        fs::write(self.root.join("web/app.py"), edit).unwrap();
        let built = self.run(&["build", "--all", "--push", "--environment", "dev"]);
        let stdout = built.ok().stdout;
        stdout.lines().next().unwrap().to_owned()
    }

    fn deploy(&self, to: &[&str]) -> Done {
        let words = [&["deploy", "web", "--environment", "dev"], to].concat();
        self.run(&words).ok()
    }

    /// Builds and deploys these edits, one after the other; their images.
    fn deployed(&self, edits: &[&str], to: &[&str]) -> Vec<String> {
        let each = edits.iter().map(|edit| {
            let image = self.build(edit);
            self.deploy(to);
            image
        });
        each.collect()
    }

    fn rollback(&self, more: &[&str]) -> Done {
        self.run(&[&["rollback", "--environment", "dev"], more].concat())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap()
    }

    /// The records of deployments, the oldest first.
    fn deployments(&self) -> Vec<Value> {
        let words = ["history", "--json", "--asc", "--operation", "deploy"];
        let rows = self.json(&words);
        rows.as_array().unwrap().clone()
    }

    fn sequences(&self) -> Vec<u64> {
        let rows = self.deployments();
        rows.iter()
            .map(|row| row["sequence"].as_u64().unwrap())
            .collect()
    }
}

/// The image without its digest.
fn by_tag(image: &str) -> &str {
    image.split('@').next().unwrap()
}

#[test]
fn records_in_another_checkout_mean_the_files_there() {
    let shop = Shop::new();
    let images = shop.deployed(&["1\n", "2\n"], &["--manifest", "m/d.yaml"]);
    let target = &shop.deployments()[0]["target"];
    assert_eq!(target["files"], json!(["m/d.yaml"]));
    let copy = shop.directory.path().join("h2");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&shop.root, &copy])
        .status();
    assert!(copied.unwrap().success());
    shop.run_in(&copy, &["rollback", "--environment", "dev"])
        .ok();
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[1]));
    let there = || fs::read_to_string(copy.join("m/d.yaml")).unwrap();
    assert_eq!(there(), deployment(&images[0]));
    // Where the first checkout is gone, too; and from a directory below.
    let away = shop.directory.path().join("away");
    fs::rename(&shop.root, &away).unwrap();
    let back = ["rollback", "--environment", "dev", "--to", "2"];
    shop.run_in(&copy.join("web"), &back).ok();
    assert_eq!(there(), deployment(&images[1]));
    fs::rename(&away, &shop.root).unwrap();

    // What an older version wrote down names the other checkout: nobody knows which of the two is meant.
    let records = copy.join(".overcoat/history/records.jsonl");
    let text = fs::read_to_string(&records).unwrap();
    let old = shop.root.join("m/d.yaml");
    let text = text.replace("\"m/d.yaml\"", &json!(old).to_string());
    fs::write(&records, text).unwrap();
    let back = ["rollback", "--environment", "dev", "--to", "1"];
    let refused = shop.run_in(&copy, &back);
    assert_eq!(refused.code, Some(96), "{}", refused.stderr);
    let said = format!("its record names `{}`", old.display());
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert_eq!(there(), deployment(&images[1]));
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[1]));
    // In the checkout that it names it is what it was.
    fs::copy(&records, shop.root.join(".overcoat/history/records.jsonl")).unwrap();
    shop.rollback(&["--to", "1"]).ok();
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[0]));
}

#[test]
fn files_outside_of_the_project_are_the_same_from_everywhere() {
    let shop = Shop::new();
    let gitops = shop.directory.path().join("gitops");
    fs::create_dir(&gitops).unwrap();
    let file = gitops.join("d.yaml");
    fs::write(&file, deployment(OLD)).unwrap();
    let images = shop.deployed(&["1\n", "2\n"], &["--manifest", "../gitops/d.yaml"]);
    let target = &shop.deployments()[0]["target"];
    assert_eq!(target["files"], json!([]));
    let real = file.canonicalize().unwrap();
    assert_eq!(target["outside"], json!([real]));
    shop.rollback(&[]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), deployment(&images[0]));

    // A record cannot lead out of the project by itself.
    let records = shop.root.join(".overcoat/history/records.jsonl");
    let text = fs::read_to_string(&records).unwrap();
    let text = text
        .replace("\"files\":[]", "\"files\":[\"../gitops/d.yaml\"]")
        .replace("\"outside\"", "\"other\"");
    fs::write(&records, text).unwrap();
    let refused = shop.rollback(&["--to", "2"]);
    assert_eq!(refused.code, Some(96), "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("a record names a file outside of the project: `../gitops/d.yaml`"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), deployment(&images[0]));
}

#[test]
fn a_kustomization_gets_the_earlier_image_back() {
    let shop = Shop::new();
    let file = "ks/kustomization.yaml";
    let before = "resources: [../m/d.yaml]\nimages:\n- name: other\n  newTag: \"1\"\n- name: web   # ours\n  newName: x\n  newTag: \"0\"\n";
    fs::write(shop.root.join(file), before).unwrap();
    let to = ["--kustomization", "ks", "--base-image", "web"];
    let images = shop.deployed(&["1\n", "2\n"], &to);
    let after = shop.read(file);
    let dry = shop.rollback(&["--dry-run"]).ok();
    let digest = |image: &str| image.split_once('@').unwrap().1.to_owned();
    assert!(
        dry.stdout
            .contains(&format!("+  digest: {}", digest(&images[0]))),
        "{}",
        dry.stdout
    );
    assert_eq!(shop.read(file), after);
    shop.rollback(&[]).ok();
    let tag = |image: &str| by_tag(image).rsplit_once(':').unwrap().1.to_owned();
    let expected = after
        .replace(&digest(&images[1]), &digest(&images[0]))
        .replace(&tag(&images[1]), &tag(&images[0]));
    assert_eq!(shop.read(file), expected);
    assert_ne!(expected, after);
    assert_eq!(shop.read("m/d.yaml"), deployment(OLD));
    let records = shop.deployments();
    assert_eq!(records[2]["target"], records[0]["target"]);
    assert_eq!(records[0]["target"]["base_image"], "web");

    // A record of an older version does not say which entry it was; the one that gives the image its name is it.
    let records = shop.root.join(".overcoat/history/records.jsonl");
    let text = fs::read_to_string(&records).unwrap();
    let text = text.replace(",\"base_image\":\"web\"", "");
    assert!(!text.contains("base_image"), "{text}");
    fs::write(&records, text).unwrap();
    shop.rollback(&["--to", "2"]).ok();
    assert_eq!(shop.read(file), after);
}

#[test]
fn a_manifest_whose_kustomization_names_the_image_is_rolled_back_there() {
    let shop = Shop::new();
    let file = "m/kustomization.yaml";
    let text = format!(
        "resources: [d.yaml]\nimages:\n- name: {}\n  newTag: \"0\"\n",
        by_tag(OLD).rsplit_once(':').unwrap().0
    );
    fs::write(shop.root.join(file), text).unwrap();
    let images = shop.deployed(&["1\n", "2\n"], &["--manifest", "m/d.yaml"]);
    let digest = |image: &str| image.split_once('@').unwrap().1.to_owned();
    assert!(shop.read(file).contains(&digest(&images[1])));
    shop.rollback(&[]).ok();
    assert!(
        shop.read(file).contains(&digest(&images[0])),
        "{}",
        shop.read(file)
    );
    assert_eq!(shop.read("m/d.yaml"), deployment(OLD));
}

#[test]
fn a_release_can_be_tried() {
    let shop = Shop::new();
    let images = shop.deployed(&["1\n"], &["--manifest", "m/d.yaml"]);
    let toml = shop.read("overcoat.toml");
    let hook = |when: &str, environment: &str, program: &str| {
        format!(
            "[[hooks]]\noperation = \"release\"\nwhen = \"{when}\"\nenvironments = [\"{environment}\"]\n\
             command = [\"{program}\", \"made-by-a-hook\", \"s3cret\"]\n"
        )
    };
    let hooks =
        hook("before", "dev", "touch") + &hook("after", "dev", "cp") + &hook("after", "prod", "mv");
    let more = format!("[environments.prod]\n{hooks}");
    fs::write(shop.root.join("overcoat.toml"), toml + &more).unwrap();
    let dry = shop
        .run(&["release", "--environment", "dev", "--dry-run"])
        .ok();
    let lines: Vec<&str> = dry.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", dry.stdout);
    assert!(lines[0].ends_with(&format!("would be released: {}", images[0])));
    assert!(
        lines[1].starts_with("before it, the hook `touch` would run"),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].starts_with("after it, the hook `cp` would run"),
        "{}",
        lines[2]
    );
    assert!(!dry.stdout.contains("s3cret"));
    assert!(!shop.root.join("made-by-a-hook").exists());
    let releases = shop.json(&["history", "--json", "--operation", "release"]);
    assert_eq!(releases, json!([]));
    // What would not be released is not said to be.
    let refused = shop.run(&["release", "--environment", "dev", "--to", "7", "--dry-run"]);
    assert_eq!(refused.code, Some(96), "{}", refused.stderr);
}
