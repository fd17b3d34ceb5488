//! Every kind of runner takes the rung that it should, and the image is the same everywhere.
//!
//! The application's `assemble` hook runs `chown`, which only some runners allow; its owners must be in the layer of all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::support::runner::{Runner, unpack};
use super::support::tiny::Tiny;
use super::support::{Done, tool};

/// Where the text for `--build-image` is in a runner's volume.
const BUILDER: &str = "builder";

/// Where the rung that a build would take stands in the JSON of `doctor`.
const RUNG_OF_DOCTOR: &str = "/chosen/isolation";

/// The stock script, and owners that differ from the user's who runs it.
const HOOK: &str = "#!/bin/sh\nset -eu\n/usr/libexec/s2i/assemble\n\
    echo owned > /opt/app-root/owned\n/bin/busybox chown 33:34 /opt/app-root/owned\n\
    mkdir /opt/app-root/tree\necho deep > /opt/app-root/tree/deep\n/bin/busybox chown -R 1234 /opt/app-root/tree\n";

/// What GNU tar must list of it in the dependency layer.
const OWNERS: [(&str, &str); 3] = [
    ("opt/app-root/owned", "33/34"),
    ("opt/app-root/tree/", "1234/0"),
    ("opt/app-root/tree/deep", "1234/0"),
];

/// The tiny builder whose steps are root's: no other user may give files away, on any system.
fn builder() -> Tiny {
    Tiny {
        user: "0",
        ..Tiny::default()
    }
}

/// Puts the builder and the application into the runner's volume; the arguments of a build.
fn prepare(runner: &Runner) -> Vec<String> {
    let volume = runner.volume();
    let image = builder().write(&volume.join(BUILDER));
    let hook = volume.join("app/.s2i/bin/assemble");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, HOOK).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(volume.join("app/app.py"), "print(1)\n").unwrap();
    let source = volume.join("app").to_str().unwrap().to_owned();
    let words = ["build", &source, "-t", "app", "--build-image", &image];
    let strategy = ["--strategy", "assemble"];
    words
        .into_iter()
        .chain(strategy)
        .map(str::to_owned)
        .collect()
}

fn build(runner: &Runner, more: &[&str]) -> Done {
    let arguments = prepare(runner);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    runner.overcoat(&[&arguments[..], more].concat())
}

/// The rung in the line `==> sandbox: RUNG …` of a build's messages.
#[track_caller]
pub(super) fn rung(done: &Done) -> String {
    let line = done
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("==> sandbox: "));
    let line = line.unwrap_or_else(|| panic!("no line `sandbox: RUNG` in:\n{}", done.stderr));
    line.split_whitespace().next().unwrap().to_owned()
}

/// The digest that root of this machine gets, with overlay.
fn usual_digest() -> String {
    build(&Runner::host_root(), &[]).ok().digest("app")
}

/// GNU tar's listing of every layer of `app` in a runner's store.
pub(super) fn listing(runner: &Runner) -> String {
    let image: serde_json::Value =
        serde_json::from_str(&runner.overcoat(&["inspect", "app"]).ok().stdout).unwrap();
    let layers = image["layers"].as_array().unwrap();
    let list = |layer: &serde_json::Value| {
        let digest = layer["digest"].as_str().unwrap().replace(':', "/");
        let blob = runner.store_from_outside().join("blobs").join(digest);
        let options = "--list --verbose --numeric-owner --full-time --utc --gzip --file";
        let mut arguments: Vec<&str> = options.split(' ').collect();
        arguments.push(blob.to_str().unwrap());
        tool("tar", &arguments)
    };
    layers.iter().map(list).collect()
}

/// Builds, and checks the rung, the owners in the layer and the digest; a difference is shown as listings.
#[track_caller]
fn takes(expected: &str, runner: &Runner, more: &[&str]) {
    let done = build(runner, more).ok();
    assert_eq!(rung(&done), expected, "{}:\n{}", runner.name(), done.stderr);
    let own = listing(runner);
    for (name, owner) in OWNERS {
        let line = own.lines().find(|line| line.ends_with(&format!(" {name}")));
        let line = line.unwrap_or_else(|| panic!("{}: no `{name}` in\n{own}", runner.name()));
        assert_eq!(line.split_whitespace().nth(1), Some(owner), "{line}");
    }
    if done.digest("app") != usual_digest() {
        let usual = Runner::host_root();
        build(&usual, &[]).ok();
        panic!(
            "{}: another digest\nhere:\n{own}\nusually:\n{}",
            runner.name(),
            listing(&usual)
        );
    }
}

#[test]
fn docker_root_takes_chroot() {
    takes("chroot", &Runner::docker_root(), &[]);
    takes("chroot", &Runner::docker_root().with_store_in_root(), &[]);
}

#[test]
fn unconfined_root_takes_userns() {
    takes("userns", &Runner::unconfined_root(), &[]);
    takes(
        "userns",
        &Runner::unconfined_root().with_store_in_root(),
        &[],
    );
}

#[test]
fn podman_root_takes_userns() {
    takes("userns", &Runner::podman_root(), &[]);
    takes("userns", &Runner::podman_root().with_store_in_root(), &[]);
}

#[test]
fn restricted_unconfined_takes_single_id() {
    takes("single-id", &Runner::restricted_unconfined(), &[]);
    takes(
        "single-id",
        &Runner::restricted_unconfined().with_store_in_root(),
        &[],
    );
}

#[test]
fn root_without_user_namespaces_takes_root() {
    takes("root", &Runner::no_user_namespaces(), &[]);
    takes("root", &Runner::root_without_user_namespaces(), &[]);
}

#[test]
fn privileged_root_takes_userns() {
    takes("userns", &Runner::privileged_root(), &[]);
}

#[test]
fn ordinary_users_take_userns_with_subordinate_ids_and_single_id_without() {
    takes("userns", &Runner::ordinary_user(), &[]);
    takes("single-id", &Runner::ordinary_user_without_subids(), &[]);
}

#[test]
fn overlay_and_extracted_give_the_same_image() {
    type Make = fn() -> Runner;
    let runners: [(Make, &str); 4] = [
        (Runner::host_root, "userns"),
        (Runner::ordinary_user, "userns"),
        (Runner::ordinary_user_without_subids, "single-id"),
        (Runner::unconfined_root, "userns"),
    ];
    for (runner, rung) in runners {
        takes(rung, &runner(), &["--rootfs", "overlay"]);
        takes(rung, &runner(), &["--rootfs", "extracted"]);
    }
}

/// Builds that no rung can do, and what must be said then.
#[test]
fn where_nothing_can_be_executed_the_build_is_refused_with_the_reason_and_nothing_is_left() {
    for (runner, code) in [
        (Runner::crio_root(), "ISO14"),
        (Runner::restricted(), "ISO01"),
        (Runner::no_user_namespaces().with_user(1000, 1000), "ISO03"),
    ] {
        let done = build(&runner, &[]);
        assert!(
            matches!(done.code, Some(40..50)),
            "{}: {:?}",
            runner.name(),
            done.code
        );
        assert_eq!(done.stdout, "");
        assert!(
            done.stderr.contains(code) && done.stderr.contains("in-place"),
            "{}:\n{}",
            runner.name(),
            done.stderr
        );
        let images = runner.overcoat(&["images"]).ok().stdout;
        assert_eq!(images.lines().count(), 1, "{images}");
    }
}

#[test]
fn a_demanded_rung_that_is_not_there_fails_before_anything_runs() {
    let done = build(&Runner::docker_root(), &["--require-isolation", "userns"]);
    assert!(matches!(done.code, Some(40..50)), "{:?}", done.code);
    for words in ["ISO16", "chroot", "ISO01"] {
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
    assert!(!done.stderr.contains("---> assembling"), "{}", done.stderr);
    let done = build(&Runner::docker_root(), &["--require-isolation", "chroot"]);
    assert_eq!(rung(&done.ok()), "chroot");
}

/// The builder's unpacked root file system, for runners whose container is it.
fn unpacked(directory: &Path) -> PathBuf {
    let layout = builder().write(directory);
    unpack(layout.strip_prefix("oci:").unwrap(), directory)
}

#[test]
fn inside_the_builder_every_runner_builds_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let root = [unpacked(directory.path())];
    for runner in [
        Runner::crio_root(),
        Runner::restricted(),
        Runner::docker_root(),
        Runner::unconfined_root(),
    ] {
        let runner = runner.in_builder(&root);
        takes("in-place", &runner, &["--isolation", "in-place"]);
    }
    // Where nothing else works it is taken unasked.
    takes("in-place", &Runner::crio_root().in_builder(&root), &[]);
    takes("in-place", &Runner::restricted().in_builder(&root), &[]);
}

#[test]
fn doctor_names_the_rung_that_a_build_then_takes() {
    for runner in [
        Runner::docker_root(),
        Runner::unconfined_root(),
        Runner::restricted_unconfined(),
        Runner::ordinary_user(),
    ] {
        let doctor = runner.overcoat(&["doctor", "--format", "json"]).ok().stdout;
        let doctor: serde_json::Value = serde_json::from_str(&doctor).unwrap();
        let taken = rung(&build(&runner, &[]).ok());
        let named = doctor
            .pointer(RUNG_OF_DOCTOR)
            .and_then(|rung| rung.as_str());
        assert_eq!(named, Some(&*taken), "{}: {doctor:#}", runner.name());
    }
    let doctor = Runner::crio_root().overcoat(&["doctor"]);
    assert_ne!(doctor.code, Some(0));
    assert!(doctor.stdout.contains("ISO14"), "{}", doctor.stdout);
}
