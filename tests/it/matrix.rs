//! The main job everywhere: the Flask application, with an `assemble` hook that gives files away, on every kind of runner.
//! **Needs the network**: a package index.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::flask::{seed, unpacked_seed};
use super::support::runner::Runner;
use super::support::{Done, app, tool};

/// The stock script, then owners that are not the step's user's.
const HOOK: &str = "#!/bin/sh\nset -eu\n/usr/libexec/s2i/assemble\n\
    mkdir -p /opt/app-root/data/deep\necho owned > /opt/app-root/data/deep/file\n\
    chown -R 33:34 /opt/app-root/data\nchown -R 1001:0 /opt/app-root/src\n\
    install -o 7 -g 8 -m 640 /opt/app-root/data/deep/file /opt/app-root/installed\n\
    tar -C /tmp -cf /tmp/owned.tar --owner=45 --group=46 scripts\ntar -C /opt/app-root -xf /tmp/owned.tar\nrm /tmp/owned.tar\n";

const OWNERS: [(&str, &str); 4] = [
    ("opt/app-root/data/deep/file", "33/34"),
    ("opt/app-root/installed", "7/8"),
    ("opt/app-root/scripts/assemble", "45/46"),
    ("opt/app-root/src/app.py", "1001/0"),
];

fn build(runner: &Runner, more: &[&str]) -> Done {
    let source = runner.volume().join("app");
    if !source.exists() {
        tool(
            "cp",
            &[
                "--archive",
                app("flask-hello").to_str().unwrap(),
                source.to_str().unwrap(),
            ],
        );
        let hook = source.join(".s2i/bin/assemble");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, HOOK).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        tool("chmod", &["-R", "a+rX", source.to_str().unwrap()]);
    }
    let builder = runner.volume().join("builder");
    if !builder.exists() {
        // The layout alone: what was unpacked of it belongs to another user.
        let from = format!("oci:{}:builder/python-3.11:latest", seed().display());
        tool(
            "skopeo",
            &[
                "copy",
                "-q",
                &from,
                &format!("oci:{}:python", builder.display()),
            ],
        );
        tool("chmod", &["-R", "a+rX", builder.to_str().unwrap()]);
    }
    let builder = format!("oci:{}:python", builder.display());
    let source = source.to_str().unwrap().to_owned();
    let words = ["build", &source, "-t", "app", "--build-image", &builder];
    runner.overcoat(&[&words[..], &["--assemble-user", "root"], more].concat())
}

/// GNU tar's listing of every layer of `app` but the builder's, and the configuration.
fn listing(runner: &Runner) -> String {
    let image = runner.overcoat(&["inspect", "app"]).ok().stdout;
    let parsed: serde_json::Value = serde_json::from_str(&image).unwrap();
    let layers = parsed["layers"].as_array().unwrap();
    let list = |layer: &serde_json::Value| {
        let digest = layer["digest"].as_str().unwrap().replace(':', "/");
        let blob: PathBuf = runner.store_from_outside().join("blobs").join(digest);
        let options = "--list --verbose --numeric-owner --full-time --utc --gzip --file";
        let mut arguments: Vec<&str> = options.split(' ').collect();
        arguments.push(blob.to_str().unwrap());
        tool("tar", &arguments)
    };
    let own = layers.iter().rev().take(2).map(list);
    own.chain([image.clone()]).collect()
}

/// The lines that only one of two texts has.
fn difference(one: &str, other: &str) -> String {
    let only = |mark: &str, these: &str, those: &str| -> String {
        let those: Vec<&str> = those.lines().collect();
        let lines = these.lines().filter(|line| !those.contains(line));
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    only("-", one, other) + &only("+", other, one)
}

#[test]
fn network_flask_is_the_same_image_on_every_runner() {
    let root = [unpacked_seed()];
    let in_place: &[&str] = &["--isolation", "in-place"];
    let table: Vec<(Runner, &str, &[&str])> = vec![
        (Runner::host_root(), "userns (overlay)", &[]),
        (
            Runner::host_root(),
            "userns (extracted)",
            &["--rootfs", "extracted"],
        ),
        (Runner::ordinary_user(), "userns (overlay)", &[]),
        (
            Runner::ordinary_user_without_subids(),
            "single-id (overlay)",
            &[],
        ),
        (
            Runner::ordinary_user_without_subids(),
            "single-id (extracted)",
            &["--rootfs", "extracted"],
        ),
        (Runner::docker_root(), "chroot (extracted)", &[]),
        (Runner::unconfined_root(), "userns (overlay)", &[]),
        (Runner::podman_root(), "userns (overlay)", &[]),
        (Runner::restricted_unconfined(), "single-id (overlay)", &[]),
        (
            Runner::root_without_user_namespaces(),
            "root (overlay)",
            &[],
        ),
        (
            Runner::crio_root().in_builder(&root),
            "in-place (this container)",
            &[],
        ),
        (
            Runner::restricted().in_builder(&root),
            "in-place (this container)",
            &[],
        ),
        (
            Runner::docker_root().in_builder(&root),
            "in-place (this container)",
            in_place,
        ),
    ];
    let mut first: Option<(Runner, String)> = None;
    for (runner, expected, more) in table {
        let runner = runner.within(Duration::from_secs(300));
        let done = build(&runner, more).ok();
        let taken = done
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("==> sandbox: "));
        assert_eq!(taken, Some(expected), "{}:\n{}", runner.name(), done.stderr);
        let digest = done.digest("app");
        match &first {
            None => {
                let text = listing(&runner);
                for (name, owner) in OWNERS {
                    let line = text
                        .lines()
                        .find(|line| line.ends_with(&format!(" {name}")));
                    let line = line.unwrap_or_else(|| panic!("no `{name}` in\n{text}"));
                    assert_eq!(line.split_whitespace().nth(1), Some(owner), "{line}");
                }
                first = Some((runner, digest));
            }
            Some((other, usual)) if digest != *usual => panic!(
                "{} as {expected}: another image\n{}",
                runner.name(),
                difference(&listing(other), &listing(&runner))
            ),
            Some(_) => {}
        }
    }
}
