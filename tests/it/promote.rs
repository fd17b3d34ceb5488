//! `overcoat promote` between three of Debian's docker-registries; skopeo says what is where afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use overcoat::digest::Digest;
use overcoat::event::Silent;
use overcoat::reference::Reference;
use overcoat::store::BlobStore;
use serde_json::{Value, json};

use super::copy::{artifact, client, skopeo_copy, skopeo_raw};
use super::push::index_in;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, tool};

mod environments;
mod outputs;
mod refused;
mod roads;

/// Three environments, two images in the first, and the file that says so.
struct Bench {
    directory: tempfile::TempDir,
    overcoat: Overcoat,
    dev: Registry,
    pp: Registry,
    prod: Registry,
    /// `web` and `api` as they are in dev: path and digest.
    web: String,
    api: String,
}

/// The tiny builder with a label of its own, so with a digest of its own, at `target`; its digest.
fn image_at(directory: &Path, label: &'static str, target: &str) -> String {
    let directory = directory.join(label);
    fs::create_dir_all(&directory).unwrap();
    let mut labels = Tiny::default().labels;
    labels.push(("test.name", label));
    let layout = Tiny {
        labels,
        ..Tiny::default()
    }
    .write(&directory);
    let target = format!("docker://{target}");
    skopeo_copy(&layout, &target, &[]);
    Digest::of(skopeo_raw(&target).as_bytes()).to_string()
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let [dev, pp, prod] = [Registry::start(), Registry::start(), Registry::start()];
    let place = |name: &str| format!("{}/acme/{name}:v1", dev.host());
    let web = image_at(directory.path(), "web", &place("web"));
    let api = image_at(directory.path(), "api", &place("team/api"));
    assert_ne!(web, api);
    let bench = Bench {
        directory,
        overcoat: Overcoat::new(),
        web,
        api,
        dev,
        pp,
        prod,
    };
    bench.results(&[
        ("web", &format!("{}@{}", bench.place("web"), bench.web)),
        ("api", &format!("{}@{}", bench.place("team/api"), bench.api)),
    ]);
    bench
}

impl Bench {
    /// What an image is called in dev.
    fn place(&self, name: &str) -> String {
        format!("{}/acme/{name}:v1", self.dev.host())
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("build_result.json")
    }

    /// Writes the file of results.
    fn results(&self, builds: &[(&str, &str)]) {
        let builds = builds.iter();
        let builds = builds.map(|(name, tag)| json!({ "imageName": name, "tag": tag }));
        let builds: Vec<Value> = builds.collect();
        fs::write(self.file(), json!({ "builds": builds }).to_string()).unwrap();
    }

    fn registries(&self) -> [String; 3] {
        [
            format!("{}/acme", self.dev.host()),
            format!("{}/pp", self.pp.host()),
            format!("{}/prod/eu", self.prod.host()),
        ]
    }

    fn command(&self, from: &str, to: &str, more: &[&str]) -> Command {
        let usual = [
            "promote",
            "--source-registry",
            from,
            "--destination-registry",
            to,
        ];
        let mut command = self.overcoat.command(&[&usual[..], more].concat());
        command.current_dir(self.directory.path());
        command
    }

    fn promote(&self, from: &str, to: &str, more: &[&str]) -> Done {
        self.command(from, to, more).output().unwrap().into()
    }
}

/// The digest of what a reference stands for, by skopeo; none when there is nothing.
fn standing(reference: &str) -> Option<String> {
    let image = format!("docker://{reference}");
    let output = Command::new("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false", &image])
        .output()
        .unwrap();
    let is_there = output.status.success();
    is_there.then(|| Digest::of(&output.stdout).to_string())
}

/// The tags of a repository, by skopeo.
fn tags(repository: &str) -> Vec<String> {
    let image = format!("docker://{repository}");
    let list = tool("skopeo", &["list-tags", "--tls-verify=false", &image]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let tags = list["Tags"].as_array().unwrap().iter();
    tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

/// What wrote something to a registry.
fn writes(registry: &Registry) -> Vec<String> {
    let requests = registry.requests().into_iter();
    let methods = ["PUT ", "POST ", "PATCH ", "DELETE "];
    requests
        .filter(|request| methods.iter().any(|method| request.starts_with(method)))
        .collect()
}

#[test]
fn the_same_digest_goes_on_under_the_same_tag_from_the_source_environment() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    let done = bench.promote(&dev, &pp, &[]).ok();
    let (web, api) = (&bench.web, &bench.api);
    assert_eq!(
        done.stdout,
        format!("{pp}/web:v1@{web}\n{pp}/team/api:v1@{api}\n")
    );
    for line in [
        format!("Promoting {dev}/web:v1@{web}"),
        format!("-> {pp}/web:v1"),
        format!("Promoting {dev}/team/api:v1@{api}"),
        format!("-> {pp}/team/api:v1"),
    ] {
        assert!(
            done.stderr.lines().any(|it| it == line),
            "{line}:\n{}",
            done.stderr
        );
    }
    assert!(
        done.stderr.ends_with("Promotion successful.\n"),
        "{}",
        done.stderr
    );

    // The file of the first hop is what the second one reads.
    let chained = bench.directory.path().join("pp/build_result.json");
    let chain = ["--result-out", chained.to_str().unwrap()];
    bench.promote(&dev, &pp, &chain).ok();
    let directory = chained.parent().unwrap().to_str().unwrap();
    let asked = bench.dev.requests().len();
    bench
        .promote(&pp, &prod, &["--build-result", directory])
        .ok();
    assert_eq!(bench.dev.requests().len(), asked);
    for (name, digest) in [("web", web), ("team/api", api)] {
        for root in [&dev, &pp, &prod] {
            assert_eq!(
                standing(&format!("{root}/{name}:v1")).as_ref(),
                Some(digest)
            );
            assert_eq!(tags(&format!("{root}/{name}")), ["v1"]);
        }
    }
    // Byte by byte, configuration and layers included: skopeo checks them against their digests.
    let copy = format!("dir:{}", bench.directory.path().join("copy").display());
    skopeo_copy(&format!("docker://{prod}/web:v1"), &copy, &[]);
}

#[test]
fn the_first_file_does_for_the_second_hop() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    bench.results(&[("web", &format!("{}@{}", bench.place("web"), bench.web))]);
    bench.promote(&dev, &pp, &[]).ok();
    let asked = bench.dev.requests().len();
    bench.promote(&pp, &prod, &[]).ok();
    assert_eq!(standing(&format!("{prod}/web:v1")), Some(bench.web.clone()));
    assert_eq!(
        bench.dev.requests().len(),
        asked,
        "the results name dev, the image is in pp"
    );
}

#[test]
fn promoting_again_writes_nothing_and_says_the_same() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let first = bench.promote(&dev, &pp, &[]).ok();
    let written = writes(&bench.pp);
    assert!(!written.is_empty());
    let again = bench.promote(&dev, &pp, &[]).ok();
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(writes(&bench.pp), written);
    let told = bench.promote(&dev, &pp, &["--format", "json", "-q"]).ok();
    assert_eq!(told.stderr, "");
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told[0]["already_there"], true);
    assert_eq!(told[1]["uploaded_blobs"], 0);
}

#[test]
fn one_image_is_promoted_by_its_name_and_all_by_all() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let one = bench.promote(&dev, &pp, &["--image-name", "api"]).ok();
    assert_eq!(one.stdout, format!("{pp}/team/api:v1@{}\n", bench.api));
    assert_eq!(standing(&format!("{pp}/web:v1")), None);
    let unknown = bench.promote(&dev, &pp, &["--image-name", "missing"]);
    assert_eq!(unknown.code, Some(82), "{}", unknown.stderr);
    assert!(
        unknown
            .stderr
            .contains("no image `missing`; it has `web`, `api`"),
        "{}",
        unknown.stderr
    );
    let all = bench.promote(&dev, &pp, &["--image-name", "all"]).ok();
    assert_eq!(all.stdout.lines().count(), 2);
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));
}

#[test]
fn names_keep_what_stands_behind_a_known_registry_and_else_their_last_part() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let digest = &bench.web;
    for (tag, expected) in [
        // A registry that no environment has.
        (format!("ghcr.io/elsewhere/deep/web:v1@{digest}"), "web"),
        // Names without a registry, as the Python op writes them; and a tag alone, as Skaffold does.
        ("web:v1".to_owned(), "web"),
        ("v1".to_owned(), "web"),
        ("team/api:v1".to_owned(), "team/api"),
    ] {
        bench.results(&[("web", &tag)]);
        let done = bench.promote(&dev, &pp, &[]).ok();
        assert!(
            done.stdout
                .starts_with(&format!("{pp}/{expected}:v1@sha256:")),
            "{tag}: {}",
            done.stdout
        );
    }
}

#[test]
fn without_a_digest_the_tag_counts_and_with_one_the_digest_does() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    bench.results(&[("web", &bench.place("web"))]);
    let done = bench.promote(&dev, &pp, &[]).ok();
    let said = format!(
        "the result of `web` has no digest; `{dev}/web:v1` stands for {} now, and that is promoted",
        bench.web
    );
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    assert_eq!(standing(&format!("{pp}/web:v1")), Some(bench.web.clone()));
    // The tag moves on in dev.
    let moved = image_at(bench.directory.path(), "newer", &bench.place("web"));
    assert_ne!(moved, bench.web);
    bench.results(&[("web", &format!("{}@{}", bench.place("web"), bench.web))]);
    let done = bench.promote(&dev, &prod, &[]).ok();
    let said =
        format!("`{dev}/web:v1` stands for {moved} by now; the digest of the results counts");
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    assert_eq!(standing(&format!("{prod}/web:v1")), Some(bench.web.clone()));
}

#[test]
fn an_index_goes_whole_and_what_refers_to_it_goes_along() {
    let bench = bench();
    let [dev, pp, prod] = bench.registries();
    let layouts = bench.directory.path().join("multi");
    fs::create_dir(&layouts).unwrap();
    Tiny::default().write(&layouts);
    let store = BlobStore::open(&layouts.join("builder")).unwrap();
    let index = index_in(&store);
    let digest = index.index().descriptor.digest.to_string();
    drop(store);
    let name = format!("{dev}/multi:v2");
    let layout = format!("oci:{}:multi:1", layouts.join("builder").display());
    skopeo_copy(&layout, &format!("docker://{name}"), &["--all"]);
    let reference: Reference = name.parse().unwrap();
    let image = client().document(&reference, &Silent).unwrap().descriptor;
    assert_eq!(image.digest.to_string(), digest);
    let host = bench.dev.host();
    let bill = artifact(
        host,
        "acme/multi",
        "application/x.bill",
        "bill",
        Some(&image),
    );
    let signature = artifact(
        host,
        "acme/multi",
        "application/x.signature",
        "signed",
        Some(&bill.descriptor),
    );
    for document in [&bill, &signature] {
        client()
            .put_document(&reference, document, &Silent)
            .unwrap();
    }
    bench.results(&[("multi", &format!("{name}@{digest}"))]);
    let done = bench.promote(&dev, &pp, &["--format", "json"]).ok();
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (&told[0]["digest"], &told[0]["referrers"]),
        (&json!(digest), &json!(2))
    );
    // Every platform, byte by byte, by other eyes.
    let copy = format!("dir:{}", bench.directory.path().join("copy").display());
    skopeo_copy(
        &format!("docker://{pp}/multi:v2"),
        &copy,
        &["--all", "--preserve-digests"],
    );
    let index: Value =
        serde_json::from_str(&skopeo_raw(&format!("docker://{pp}/multi:v2"))).unwrap();
    let platforms = index["manifests"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    for entry in platforms {
        let digest = entry["digest"].as_str().unwrap();
        let [from, to] =
            [&dev, &pp].map(|root| skopeo_raw(&format!("docker://{root}/multi@{digest}")));
        assert_eq!(from, to);
    }
    let referrers = |root: &str| {
        let done =
            bench
                .overcoat
                .run(&["referrers", &format!("{root}/multi:v2"), "--format", "json"]);
        let list: Value = serde_json::from_str(&done.ok().stdout).unwrap();
        list["referrers"].as_array().unwrap().len()
    };
    assert_eq!(referrers(&pp), 1);
    let bare = bench
        .promote(&pp, &prod, &["--no-referrers", "--format", "json"])
        .ok();
    let bare: Value = serde_json::from_str(&bare.stdout).unwrap();
    assert_eq!(bare[0]["referrers"], 0);
    assert_eq!(referrers(&prod), 0);
    // What is attached later follows the image that is there already.
    let later = bench.promote(&pp, &prod, &["--format", "json"]).ok();
    let later: Value = serde_json::from_str(&later.stdout).unwrap();
    assert_eq!(
        (&later[0]["already_there"], &later[0]["referrers"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(referrers(&prod), 1);
}

#[test]
fn a_dry_run_tells_everything_and_writes_nothing() {
    let bench = bench();
    let [dev, pp, _] = bench.registries();
    let out = bench.directory.path().join("out.json");
    fs::write(&out, "old").unwrap();
    let flags = ["--dry-run", "--result-out", out.to_str().unwrap()];
    let done = bench.promote(&dev, &pp, &flags).ok();
    assert_eq!(done.stdout, "");
    let said = format!(
        "Would promote {dev}/web:v1@{}\n-> {pp}/web:v1 (a new tag)\n",
        bench.web
    );
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    assert_eq!(writes(&bench.pp), [""; 0]);
    assert_eq!(fs::read_to_string(&out).unwrap(), "old");
    let plan = bench
        .promote(&dev, &pp, &["--dry-run", "--format", "json", "-q"])
        .ok();
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan[1]["destination"], format!("{pp}/team/api:v1"));
    assert_eq!(plan[1]["stands_for"], Value::Null);
    assert_eq!(writes(&bench.pp), [""; 0]);
}
