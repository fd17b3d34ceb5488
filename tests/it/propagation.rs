//! `--propagation-timeout`, behind a copy of a registry that lags behind it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use super::support::registry::Registry;
use super::support::relay::Relay;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat};

/// A project whose one application has this text; its builder.
fn write(directory: &Path, text: &str) {
    let builder = Tiny::default().write(directory);
    let source = directory.join("web");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("app.py"), text).unwrap();
    let own = format!("[applications.web]\npath = \"web\"\nbuilder = \"{builder}\"\n");
    fs::write(directory.join("overcoat.toml"), own).unwrap();
}

fn run(command: &mut Command, directory: &Path) -> Done {
    command
        .current_dir(directory)
        .env_remove("GITHUB_ACTIONS")
        .output()
        .unwrap()
        .into()
}

/// A registry in which `web:old` is something else than what is built next.
struct Bench {
    overcoat: Overcoat,
    registry: Registry,
    directory: tempfile::TempDir,
    old: String,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "old");
        let bench = Self {
            overcoat: Overcoat::new(),
            registry: Registry::start(),
            directory,
            old: String::new(),
        };
        let name = format!("{}/web:old", bench.registry.host());
        let old = bench.run(&["build", "web", "--push", "--tag", &name]).ok();
        let old = old.digest(&name);
        fs::write(bench.directory.path().join("web/app.py"), "new").unwrap();
        Self { old, ..bench }
    }

    fn run(&self, words: &[&str]) -> Done {
        run(&mut self.overcoat.command(words), self.directory.path())
    }

    fn has(&self, file: &str) -> bool {
        self.directory.path().join(file).exists()
    }
}

#[test]
fn a_push_is_over_when_the_tag_stands_for_its_digest() {
    let bench = Bench::new();
    bench.run(&["build", "web", "--tag", "web:1"]).ok();
    let (relay, reads) = Relay::lagging(bench.registry.host(), "v1", "old", 3);
    let name = format!("{}/web:v1", relay.host());
    let words = ["push", "web:1", &name, "--digest-file", "digest"];
    let done = bench.run(&[&words[..], &["--propagation-timeout", "1m"]].concat());
    let digest = done.ok().digest(&name);
    assert_ne!(digest, bench.old);
    // Three who were shown the old one, and the one who was not.
    assert_eq!(reads.load(Ordering::SeqCst), 4);
    assert!(bench.has("digest"));

    // Who does not ask for it does not look.
    let (relay, reads) = Relay::lagging(bench.registry.host(), "v2", "old", usize::MAX);
    let name = format!("{}/web:v2", relay.host());
    bench.run(&["push", "web:1", &name]).ok();
    assert_eq!(reads.load(Ordering::SeqCst), 0);
}

#[test]
fn what_is_not_seen_in_time_is_an_error_and_no_pipeline_is_told_of_it() {
    let bench = Bench::new();
    bench.run(&["build", "web", "--tag", "web:1"]).ok();
    let wait = ["--propagation-timeout", "300ms"];
    // A tag that stands for the image already would not be written again.
    for (tag, other) in [("v1", "old"), ("v2", "none")] {
        let (relay, _) = Relay::lagging(bench.registry.host(), tag, other, usize::MAX);
        let name = format!("{}/web:{tag}", relay.host());
        let push = ["push", "web:1", &name, "--digest-file", "digest"];
        let build = ["build", "web", "--push", "--tag", &name, "--no-cache"];
        for words in [&push[..], &build[..]] {
            let done = bench.run(&[words, &wait].concat());
            assert_eq!(done.code, Some(30), "{words:?}: {}", done.stderr);
            let found = match other {
                "old" => format!("stands for {}", bench.old),
                _ => format!("there is no `{name}`"),
            };
            for part in ["does not show it after 300ms", &found, "allow more time"] {
                assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
            }
            assert!(!bench.has("digest"));
            let is_built = words[0] == "build";
            assert!(!is_built || !bench.has("build_result.json"));
        }
    }
    let alone = bench.run(&[&["build", "web"][..], &wait].concat());
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
    assert!(alone.stderr.contains("say `--push`"), "{}", alone.stderr);
    let history = bench.run(&["history", "--json"]).ok().stdout;
    assert!(history.contains("\"push\""), "{history}");
}

#[test]
fn a_build_waits_too_and_op_goes_on_with_a_warning() {
    let bench = Bench::new();
    let (relay, reads) = Relay::lagging(bench.registry.host(), "1.0", "old", 2);
    let name = format!("{}/web:1.0", relay.host());
    let words = ["build", "web", "--push", "--tag", &name];
    let done = bench.run(&[&words[..], &["--propagation-timeout", "1m"]].concat());
    done.ok().digest(&name);
    assert_eq!(reads.load(Ordering::SeqCst), 3);
    assert!(bench.has("build_result.json"));

    let (relay, reads) = Relay::lagging(bench.registry.host(), "2.0", "old", usize::MAX);
    let words = ["build", "--push", "--propagation-timeout", "300ms"];
    let mut command = bench.overcoat.called("op", &words);
    command.env("DOCKER_METADATA_OUTPUT_VERSION", "2.0");
    command.env("SKAFFOLD_DEFAULT_REPO", relay.host());
    let done = run(&mut command, bench.directory.path()).ok();
    assert!(
        done.stderr.contains("warning: `") && done.stderr.contains("does not show it after 300ms"),
        "{}",
        done.stderr
    );
    assert!(reads.load(Ordering::SeqCst) >= 2);
    assert!(bench.has("build_result.json"));
}

#[test]
fn a_password_that_was_read_once_is_enough_for_the_wait() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "text");
    let registry = Registry::with_login();
    let overcoat = Overcoat::new();
    let name = format!("{}/web:v1", registry.host());
    let words = [
        "build",
        "web",
        "--push",
        "--tag",
        &name,
        "--creds",
        "user",
        "--propagation-timeout",
        "1m",
    ];
    let mut command = overcoat.command(&words);
    let mut child = command
        .current_dir(directory.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"password\n")
        .unwrap();
    let done: Done = child.wait_with_output().unwrap().into();
    done.ok().digest(&name);
}
