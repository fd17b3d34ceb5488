//! From an edit to production and back, as the README tells it: build, push, deploy, promote, history, rollback.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat};
use super::tiny::shared;

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
      - name: sidecar
        image: example.com/sidecar:1
      - name: web-app   # ours
        image: example.com/old:1   # changed by overcoat
";

struct Shop {
    directory: tempfile::TempDir,
    overcoat: Overcoat,
    dev: Registry,
    prod: Registry,
}

impl Shop {
    fn new() -> Self {
        let directory = shared();
        let (dev, prod) = (Registry::start(), Registry::start());
        let builder = Tiny::default().write(directory.path());
        let source = directory.path().join("web");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("app.py"), "1\n").unwrap();
        for environment in ["dev", "prod"] {
            let place = directory.path().join(environment);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("web.yaml"), DEPLOYMENT).unwrap();
        }
        let text = format!(
            "project = \"shop\"\n[applications.web]\npath = \"web\"\ncontainer = \"web-app\"\nbuilder = \"{builder}\"\n\
             [environments.dev]\nregistry = \"{}/shop\"\nmanifests = [\"dev/*.yaml\"]\n\
             [environments.prod]\nregistry = \"{}/shop\"\nmanifests = [\"prod/*.yaml\"]\n",
            dev.host(),
            prod.host()
        );
        fs::write(directory.path().join("overcoat.toml"), text).unwrap();
        Self {
            directory,
            overcoat: Overcoat::new(),
            dev,
            prod,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, words: &[&str]) -> Done {
        let mut command = self.overcoat.command(words);
        command.current_dir(self.path()).output().unwrap().into()
    }

    fn image(&self, environment: &str) -> String {
        let text = fs::read_to_string(self.path().join(environment).join("web.yaml")).unwrap();
        let line = text.lines().nth(10).unwrap().trim();
        assert!(line.ends_with("   # changed by overcoat"), "{text}");
        line.strip_prefix("image: ")
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    }

    fn records(&self) -> Vec<Value> {
        let listed = self.run(&["history", "--json", "--asc"]).ok().stdout;
        serde_json::from_str(&listed).unwrap()
    }
}

#[test]
fn what_was_built_goes_to_production_by_its_digest_and_back() {
    let shop = Shop::new();
    assert_eq!(shop.records(), Vec::<Value>::new());
    let mut digests = Vec::new();
    for edit in ["1\n", "2\n"] {
        fs::write(shop.path().join("web/app.py"), edit).unwrap();
        let built = shop
            .run(&["build", "--all", "--push", "--environment", "dev"])
            .ok();
        let digest = built
            .stdout
            .lines()
            .next()
            .unwrap()
            .split_once('@')
            .unwrap()
            .1
            .to_owned();
        shop.run(&["deploy", "web", "--environment", "dev"]).ok();
        assert_eq!(
            shop.image("dev"),
            format!("{}/shop/web:{}@{digest}", shop.dev.host(), &digest[7..19])
        );
        shop.run(&[
            "promote",
            "--source",
            "dev",
            "--destination",
            "prod",
            "--result-file",
            "prod.json",
        ])
        .ok();
        shop.run(&[
            "deploy",
            "web",
            "--environment",
            "prod",
            "--build-result",
            "prod.json",
        ])
        .ok();
        let prod = format!("{}/shop/web:{}@{digest}", shop.prod.host(), &digest[7..19]);
        assert_eq!(shop.image("prod"), prod);
        assert!(shop.run(&["digest", &prod]).ok().stdout.contains(&digest));
        digests.push(digest);
    }
    assert_ne!(digests[0], digests[1]);

    let records = shop.records();
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| record["operation"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["build", "push", "deploy", "promote", "deploy"].repeat(2)
    );
    assert!(
        records.iter().all(|record| record["state"] == "success"),
        "{records:?}"
    );
    // Each follows from what brought the digest there.
    let id = |number: usize| records[number]["id"].clone();
    assert_eq!(records[1]["links"]["build"], id(0));
    assert_eq!(records[2]["links"]["push"], id(1));
    assert_eq!(records[4]["links"]["promote"], id(3));

    // The name in production is known without the promotion's results.
    shop.run(&["deploy", "web", "--environment", "prod", "--check"])
        .ok();

    // Nothing changes when it is there already, and a check says so.
    shop.run(&[
        "deploy",
        "web",
        "--environment",
        "prod",
        "--build-result",
        "prod.json",
        "--check",
    ])
    .ok();
    assert_eq!(shop.records().len(), 10);

    shop.run(&["rollback", "web", "--environment", "prod"]).ok();
    assert!(
        shop.image("prod").ends_with(&digests[0]),
        "{}",
        shop.image("prod")
    );
    assert!(
        shop.image("dev").ends_with(&digests[1]),
        "{}",
        shop.image("dev")
    );
    let done = shop.run(&["status"]).ok();
    assert!(done.stdout.contains("web"), "{}", done.stdout);
}

#[test]
fn what_does_not_exist_is_told_and_nothing_is_edited() {
    let shop = Shop::new();
    let before = fs::read(shop.path().join("dev/web.yaml")).unwrap();
    for (words, code, said) in [
        (
            &["deploy", "web", "--environment", "dev"][..],
            82,
            "build_result.json",
        ),
        (&["deploy", "web", "--environment", "staging"], 81, "dev"),
        (&["deploy", "api", "--environment", "dev"], 81, "web"),
        (
            &["promote", "--source", "dev", "--destination", "prod"],
            82,
            "build_result.json",
        ),
        (&["build", "--application", "nothing"], 81, "web"),
        (&["rollback", "web", "--environment", "dev"], 96, "deploy"),
        (&["build", "web", "--push"], 80, "--repo"),
    ] {
        let done = shop.run(words);
        assert_eq!(done.code, Some(code), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{words:?}: {}", done.stderr);
    }
    assert_eq!(fs::read(shop.path().join("dev/web.yaml")).unwrap(), before);
}

#[test]
fn an_image_that_its_registry_does_not_have_is_written_nowhere() {
    let shop = Shop::new();
    let file = |environment: &str| shop.path().join(environment).join("web.yaml");
    let before = fs::read(file("dev")).unwrap();
    shop.run(&["build", "--all", "--environment", "dev"]).ok();
    let refused = |environment: &str, said: &str| {
        let done = shop.run(&["deploy", "web", "--environment", environment]);
        assert_eq!(done.code, Some(4), "{}", done.stderr);
        assert!(done.stderr.contains("is not deployed"), "{}", done.stderr);
        assert!(done.stderr.contains(said), "{}", done.stderr);
        assert_eq!(fs::read(file(environment)).unwrap(), before);
    };
    refused("dev", "overcoat build --push --environment dev");
    shop.run(&["build", "--all", "--push", "--environment", "dev"])
        .ok();
    shop.run(&["deploy", "web", "--environment", "dev"]).ok();
    refused("prod", "--destination prod");
    // Whoever knows better leaves the question out.
    let words = ["deploy", "web", "--environment", "prod", "--no-verify"];
    shop.run(&words).ok();
    assert_ne!(fs::read(file("prod")).unwrap(), before);
}
