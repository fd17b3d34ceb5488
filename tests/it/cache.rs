//! What is not done again: steps with known keys, the previous image as a cache, and what happens when a cache is wrong
//! or a build is killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::Overcoat;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::tiny::{application, shared};

/// What the builder's script says when it runs.
const RAN: &str = "---> assembling";

struct Fixture {
    overcoat: Overcoat,
    builder: String,
    source: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let overcoat = Overcoat::new();
        let builder = Tiny::default().write(overcoat.path());
        let source = overcoat.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("app.py"), "one\n").unwrap();
        fs::write(source.join("README"), "read me\n").unwrap();
        Self {
            overcoat,
            builder,
            source,
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec![
            "build",
            self.source.to_str().unwrap(),
            "-t",
            "app",
            "--build-image",
            &self.builder,
        ];
        arguments.extend(more);
        arguments
    }

    fn build(&self, more: &[&str]) -> (String, String) {
        let done = self.overcoat.run(&self.arguments(more)).ok();
        (done.digest("app"), done.stderr)
    }

    fn edit(&self, name: &str, text: &str) {
        fs::write(self.source.join(name), text).unwrap();
    }
}

#[test]
fn a_step_whose_inputs_are_unchanged_is_not_done_again() {
    let fixture = Fixture::new();
    let (first, log) = fixture.build(&[]);
    assert!(log.contains(RAN), "{log}");
    let (second, log) = fixture.build(&[]);
    assert_eq!(second, first);
    assert!(!log.contains(RAN) && log.contains("unchanged"), "{log}");
    // A label is no input of the step, and an input of the image.
    let (labelled, log) = fixture.build(&["--label", "a=b"]);
    assert!(!log.contains(RAN), "{log}");
    assert_ne!(labelled, first);
    let (again, log) = fixture.build(&["--no-cache"]);
    assert!(log.contains(RAN), "{log}");
    assert_eq!(again, first);
}

#[test]
fn explain_names_the_input_that_changed() {
    let fixture = Fixture::new();
    let explain = |more: &[&str]| {
        let (_, log) = fixture.build(&[&["--explain", "--quiet"], more].concat());
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 1, "{log}");
        log
    };
    assert!(
        explain(&[]).contains("explain: assemble: miss, this application was not built before")
    );
    assert!(explain(&[]).contains("assemble: hit, made"));
    fixture.edit("app.py", "two\n");
    let log = explain(&[]);
    assert!(
        log.contains("assemble: miss, `app.py` changed (key "),
        "{log}"
    );
    fixture.edit("new.py", "");
    fs::remove_file(fixture.source.join("README")).unwrap();
    let log = explain(&[]);
    assert!(
        log.contains("miss, `new.py` is new, `README` is gone"),
        "{log}"
    );
    let log = explain(&["-e", "TOKEN=hunter2"]);
    assert!(log.contains("variable `TOKEN` is new"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    let log = explain(&[]);
    assert!(log.contains("assemble: hit"), "{log}");
}

#[test]
fn an_edit_within_the_same_tick_is_seen() {
    let fixture = Fixture::new();
    let mut seen = Vec::new();
    // The same length each time, as fast as this machine can.
    for number in 100..120 {
        fixture.edit("app.py", &format!("{number}\n"));
        let (digest, _) = fixture.build(&["--strategy", "direct", "--quiet"]);
        assert!(
            !seen.contains(&digest),
            "the edit number {number} was not seen"
        );
        seen.push(digest);
    }
}

#[test]
fn a_step_that_sees_volumes_is_never_kept() {
    let fixture = Fixture::new();
    let volume = format!("{}:/mnt/volume:ro", fixture.overcoat.path().display());
    for _ in 0..2 {
        let (_, log) = fixture.build(&["--volume", &volume]);
        assert!(log.contains(RAN), "{log}");
    }
}

#[test]
fn a_record_whose_layer_is_gone_or_that_is_damaged_is_as_good_as_none() {
    let fixture = Fixture::new();
    let (first, _) = fixture.build(&[]);
    let layer = fixture.overcoat.layers("app").pop().unwrap();
    let blob = fixture
        .overcoat
        .store()
        .join("blobs")
        .join(layer.replace(':', "/"));
    fs::remove_file(&blob).unwrap();
    let (second, log) = fixture.build(&[]);
    assert!(log.contains(RAN), "{log}");
    assert_eq!(second, first);
    let records = fixture.overcoat.store().join("cache/steps");
    for entry in fs::read_dir(&records).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 3]).unwrap();
    }
    let (third, log) = fixture.build(&[]);
    assert!(log.contains(RAN), "{log}");
    assert_eq!(third, first);
}

/// A registry with the builder image, and a fixture that builds with it and pushes.
fn with_registry() -> (Registry, Fixture, String) {
    let registry = Registry::start();
    let mut fixture = Fixture::new();
    let base = format!("{}/base/tiny:1", registry.host());
    let copied = Command::new("skopeo")
        .args(["copy", "--quiet", "--dest-tls-verify=false"])
        .arg(&fixture.builder)
        .arg(format!("docker://{base}"))
        .status()
        .unwrap();
    assert!(copied.success());
    fixture.builder = base;
    let tag = format!("{}/team/app:1", registry.host());
    (registry, fixture, tag)
}

impl Fixture {
    fn push(&self, tag: &str, more: &[&str]) -> (String, String) {
        let source = self.source.to_str().unwrap();
        let mut arguments = vec!["build", source, "-t", tag, "--push"];
        arguments.extend(["--build-image", &self.builder]);
        arguments.extend(more);
        let done = self.overcoat.run(&arguments).ok();
        (done.digest(tag), done.stderr)
    }

    /// As a runner with an empty disk.
    fn forget(&self) {
        fs::remove_dir_all(self.overcoat.store()).unwrap();
    }
}

#[test]
fn the_previous_tag_is_the_cache_of_a_runner_with_an_empty_disk() {
    let (_registry, fixture, tag) = with_registry();
    let (first, log) = fixture.push(&tag, &[]);
    assert!(log.contains(RAN), "{log}");
    fixture.forget();
    let (second, log) = fixture.push(&tag, &[]);
    assert_eq!(second, first);
    assert!(!log.contains(RAN), "{log}");
    assert!(log.contains("unchanged, from"), "{log}");
    // No layer was downloaded for it.
    let blobs = fixture.overcoat.store().join("blobs/sha256");
    let largest = fs::read_dir(blobs)
        .unwrap()
        .map(|blob| blob.unwrap().metadata().unwrap().len());
    assert!(largest.max().unwrap() < 10_000);
    // Another tag knows nothing, unless it is told where to look.
    fixture.forget();
    let other = tag.replace("app:1", "other:1");
    let (third, log) = fixture.push(&other, &["--cache-from", &tag]);
    assert_eq!(third, first);
    assert!(!log.contains(RAN), "{log}");
    fixture.forget();
    fixture.edit("app.py", "changed\n");
    let (_, log) = fixture.push(&tag, &[]);
    assert!(log.contains(RAN), "{log}");
}

#[test]
fn in_direct_an_edit_sends_one_small_layer_and_no_base_bytes_move() {
    let (_registry, fixture, tag) = with_registry();
    let direct = ["--strategy", "direct"];
    let (first, _) = fixture.push(&tag, &direct);
    fixture.forget();
    fixture.edit("app.py", "changed\n");
    let (second, log) = fixture.push(&tag, &direct);
    assert_ne!(second, first);
    assert!(log.contains("2 blobs sent"), "{log}");
    let blobs = fixture.overcoat.store().join("blobs/sha256");
    let sizes = fs::read_dir(blobs)
        .unwrap()
        .map(|blob| blob.unwrap().metadata().unwrap().len());
    assert!(
        sizes.max().unwrap() < 10_000,
        "the builder's layers were downloaded"
    );
    // What was pushed is whole: somebody else can pull and run it.
    let other = Overcoat::new();
    other.run(&["pull", &tag]).ok();
    assert_eq!(other.run(&["run", &tag]).ok().stdout, "changed\n");
}

#[test]
fn without_a_push_the_layers_of_the_builder_are_fetched_before_the_image_gets_its_name() {
    let (_registry, fixture, _) = with_registry();
    fixture.build(&["--strategy", "direct"]);
    assert_eq!(fixture.overcoat.run(&["run", "app"]).ok().stdout, "one\n");
}

/// Replaces the manifest of a tag by what `change` makes of it.
fn rewrite(registry: &Registry, tag: &str, change: impl Fn(&mut Value)) {
    let reference = tag.strip_prefix(&format!("{}/", registry.host())).unwrap();
    let (repository, name) = reference.rsplit_once(':').unwrap();
    let url = format!(
        "http://{}/v2/{repository}/manifests/{name}",
        registry.host()
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let read = Command::new("curl")
        .args([
            "--silent",
            "--fail",
            "--header",
            &format!("Accept: {media_type}"),
            &url,
        ])
        .output()
        .unwrap();
    assert!(read.status.success());
    let mut manifest: Value = serde_json::from_slice(&read.stdout).unwrap();
    change(&mut manifest);
    let written = Command::new("curl")
        .args(["--silent", "--fail", "--request", "PUT", "--header"])
        .arg(format!("Content-Type: {media_type}"))
        .args(["--data-binary", &manifest.to_string(), &url])
        .status()
        .unwrap();
    assert!(written.success());
}

#[test]
fn an_entry_of_a_cache_that_is_wrong_foreign_or_poisoned_is_ignored() {
    let (registry, fixture, tag) = with_registry();
    let (first, _) = fixture.push(&tag, &[]);
    let last = |manifest: &mut Value| -> Value {
        let layers = manifest["layers"].as_array_mut().unwrap();
        layers.last_mut().unwrap().take()
    };
    type Change = fn(&mut Value, Value);
    let changes: [(&str, Change); 4] = [
        ("another diff id", |manifest, mut layer| {
            layer["annotations"]["io.overcoat.diff-id"] =
                json!(format!("sha256:{}", "0".repeat(64)));
            *manifest["layers"]
                .as_array_mut()
                .unwrap()
                .last_mut()
                .unwrap() = layer;
        }),
        (
            "the annotations of one layer on another",
            |manifest, layer| {
                let mut other = manifest["layers"][0].clone();
                other["annotations"] = layer["annotations"].clone();
                *manifest["layers"]
                    .as_array_mut()
                    .unwrap()
                    .last_mut()
                    .unwrap() = other;
            },
        ),
        ("one of its layers is gone", |manifest, _| {
            manifest["layers"].as_array_mut().unwrap().pop();
        }),
        ("no annotations", |manifest, mut layer| {
            layer.as_object_mut().unwrap().remove("annotations");
            *manifest["layers"]
                .as_array_mut()
                .unwrap()
                .last_mut()
                .unwrap() = layer;
        }),
    ];
    for (what, change) in changes {
        fixture.push(&tag, &["--no-cache"]);
        rewrite(&registry, &tag, |manifest| {
            let layer = last(manifest);
            change(manifest, layer);
        });
        fixture.forget();
        let (digest, log) = fixture.push(&tag, &[]);
        assert!(log.contains(RAN), "{what}: {log}");
        assert_eq!(digest, first, "{what}");
    }
    // An image of somebody else's under the tag.
    let foreign = Command::new("skopeo")
        .args([
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ])
        .arg(format!("docker://{}", fixture.builder))
        .arg(format!("docker://{tag}"))
        .status()
        .unwrap();
    assert!(foreign.success());
    fixture.forget();
    let (digest, log) = fixture.push(&tag, &[]);
    assert!(log.contains(RAN), "{log}");
    assert_eq!(digest, first);
}

/// Numbers that look random and are the same in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn a_build_killed_at_any_moment_leaves_nothing_that_a_plain_run_does_not_clear() {
    let fixture = Fixture::new();
    let expected = |text: &str| {
        let other = Fixture::new();
        other.edit("app.py", text);
        other.build(&["--strategy", "direct"]).0
    };
    let texts = ["a = 1\n", "a = 2\n"];
    let digests = texts.map(expected);
    let mut state = 0x2545_f491_4f6c_dd1d;
    for round in 0..200 {
        let text = texts[round % 2];
        fixture.edit("app.py", text);
        let mut child = fixture
            .overcoat
            .command(&fixture.arguments(&["--strategy", "direct"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random(&mut state) % 40_000));
        let _ = child.kill();
        child.wait().unwrap();
        if round % 4 == 3 {
            let (digest, _) = fixture.build(&["--strategy", "direct"]);
            assert_eq!(digest, digests[round % 2], "round {round}");
        }
    }
    let (digest, _) = fixture.build(&["--strategy", "direct"]);
    assert_eq!(digest, digests[1]);
    assert_eq!(fixture.overcoat.left_behind(), Vec::<String>::new());
    check_layout(&fixture.overcoat.store());
}

/// Every blob is what its name says.
fn check_layout(store: &Path) {
    for entry in fs::read_dir(store.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let output = Command::new("sha256sum").arg(&path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(text.starts_with(name), "{text}");
    }
}

#[test]
fn garbage_collection_keeps_what_the_next_build_needs() {
    let fixture = Fixture::new();
    let (first, _) = fixture.build(&[]);
    fixture.edit("app.py", "two\n");
    let (second, _) = fixture.build(&[]);
    assert_ne!(second, first);
    let overcoat = &fixture.overcoat;
    let gc = |more: &[&str]| -> Value {
        let done = overcoat
            .run(&[&["gc", "--format", "json"], more].concat())
            .ok();
        serde_json::from_str(&done.stdout).unwrap()
    };
    // The two documents of the first image, which its layers make again, and the two of the builder, which has no name.
    assert_eq!(gc(&["--dry-run"])["kinds"]["blobs"]["count"], 4);
    let removed = gc(&[]);
    assert_eq!(removed["kinds"]["blobs"]["count"], 4, "{removed}");
    assert_eq!(removed["dry_run"], false);
    assert_eq!(gc(&[])["total"]["count"], 0);
    fixture.edit("app.py", "one\n");
    let (again, log) = fixture.build(&[]);
    assert_eq!(again, first);
    assert!(!log.contains(RAN), "{log}");

    // A record of a month ago keeps nothing.
    let now = std::time::SystemTime::now();
    let steps = overcoat.store().join("cache/steps");
    for entry in fs::read_dir(&steps).unwrap() {
        let record = fs::File::open(entry.unwrap().path()).unwrap();
        record
            .set_modified(now - Duration::from_secs(31 * 86_400))
            .unwrap();
    }
    let removed = gc(&[]);
    assert_eq!(removed["kinds"]["records"]["count"], 2, "{removed}");
    assert_eq!(overcoat.run(&["run", "app"]).code, Some(0));
    fixture.edit("app.py", "two\n");
    let (_, log) = fixture.build(&[]);
    assert!(log.contains(RAN), "{log}");

    // With `--all` only the image is left, and it runs.
    let all = overcoat.run(&["gc", "--all"]).ok();
    assert!(all.stdout.starts_with("REMOVED"), "{}", all.stdout);
    assert_eq!(fs::read_dir(&steps).unwrap().count(), 0);
    assert_eq!(overcoat.run(&["run", "app"]).code, Some(0));
    overcoat.run(&["rm", "app"]).ok();
    let blobs = overcoat.store().join("blobs/sha256");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn garbage_collection_waits_for_no_build_and_disturbs_none() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.source.join(".s2i/bin")).unwrap();
    let hook = fixture.source.join(".s2i/bin/assemble");
    let script =
        "#!/bin/sh\ntouch /signal/started\nwhile [ ! -e /signal/go ]; do sleep 0.1; done\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let signal = fixture.overcoat.path().join("signal");
    fs::create_dir(&signal).unwrap();
    fs::set_permissions(&signal, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let volume = format!("{}:/signal", signal.display());
    let running = fixture
        .overcoat
        .spawn(&fixture.arguments(&["--volume", &volume]));
    super::support::wait_for("the script", || {
        signal.join("started").exists().then_some(())
    });
    let gc = fixture.overcoat.run(&["gc", "--all"]);
    let would = fixture.overcoat.run(&["gc", "--all", "--dry-run"]).ok();
    fs::write(signal.join("go"), "").unwrap();
    let (done, _) = running.wait(Duration::from_secs(60));
    done.ok();
    assert_eq!(gc.code, Some(62), "{}", gc.stderr);
    let expected = "because: another overcoat is using the store";
    assert!(gc.stderr.contains(expected), "{}", gc.stderr);
    assert!(would.stdout.starts_with("WOULD GO"), "{}", would.stdout);
}

#[test]
fn garbage_of_ids_that_only_a_user_namespace_has_is_removed_by_an_ordinary_user() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let hook = "#!/bin/sh\nmkdir -p /keep/deep\ntouch /keep/deep/file\nchmod 700 /keep/deep\n";
    let files = [("app.py", "1"), (".s2i/bin/assemble", hook)];
    let source = application(directory.path(), &files);
    let overcoat = Overcoat::as_ordinary_user();
    let arguments = ["build", &source, "-t", "app", "--build-image", &builder];
    let more = ["--cache-mount", "/keep", "--isolation", "userns"];
    overcoat.run(&[&arguments[..], &more].concat()).ok();
    let mounts = overcoat.store().join("cache/mounts");
    let owners = |place: &Path| -> Vec<u32> {
        let files = walkdir::WalkDir::new(place).into_iter().flatten();
        let files = files.filter(|entry| entry.file_name() == "file");
        files.map(|entry| entry.metadata().unwrap().uid()).collect()
    };
    let user = fs::metadata(overcoat.store()).unwrap().uid();
    let [owner] = owners(&mounts)[..] else {
        panic!("{:?}", owners(&mounts));
    };
    assert_ne!(owner, user, "it belongs to a subordinate id");
    let removed = overcoat.run(&["gc", "--all"]).ok().stdout;
    assert!(removed.contains("mounts"), "{removed}");
    assert_eq!(owners(&mounts), [0_u32; 0]);
    // The builder's layers are those of the image, and stay as directories.
    let unpacked = overcoat.store().join("unpacked");
    let count = || walkdir::WalkDir::new(&unpacked).into_iter().count();
    assert!(count() > 10);
    overcoat.run(&["rm", "app"]).ok();
    assert!(count() < 4, "{}", count());
}
