//! `build --check`: a second build in another way, and what is said of the difference.

use std::fs;
use std::time::Duration;

use super::support::tiny::Tiny;
use super::support::{Overcoat, wait_for};
use super::tiny::{application, shared};

/// A hook that does `extra`, as root of the image.
fn arguments(directory: &std::path::Path, extra: &str) -> Vec<String> {
    let tiny = Tiny {
        user: "0",
        ..Tiny::default()
    };
    let builder = tiny.write(directory);
    let hook = format!("#!/bin/sh\nset -e\ncp /tmp/src/app.py app.py\n{extra}\n");
    let source = application(directory, &[("app.py", "1"), (".s2i/bin/assemble", &hook)]);
    let words = [
        "build",
        &source,
        "-t",
        "app",
        "--build-image",
        &builder,
        "--check",
    ];
    words.map(str::to_owned).to_vec()
}

fn everybody() -> [Overcoat; 2] {
    [Overcoat::new(), Overcoat::as_ordinary_user()]
}

/// What only the comparison needed is gone.
fn nothing_is_left(overcoat: &Overcoat) {
    let images = overcoat.run(&["images"]).ok().stdout;
    assert!(!images.contains("overcoat.invalid"), "{images}");
    let logs: Vec<_> = fs::read_dir(overcoat.store().join("logs"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(logs, ["app.log"]);
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());
}

#[test]
fn an_image_that_is_the_same_in_another_way_is_said_to_be() {
    let directory = shared();
    let arguments = arguments(directory.path(), "/bin/busybox chown 33:34 app.py");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for overcoat in everybody() {
        let done = overcoat.run(&arguments).ok();
        done.stderr
            .find("gives the same digest")
            .unwrap_or_else(|| panic!("{}", done.stderr));
        assert!(
            done.stderr.contains("==> sandbox: userns (overlay)"),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr.contains("==> sandbox: single-id (extracted)"),
            "{}",
            done.stderr
        );
        let extracted = [&arguments[..], &["--rootfs", "extracted"]].concat();
        let other = overcoat.run(&extracted).ok();
        assert!(
            other.stderr.contains("==> sandbox: single-id (overlay)"),
            "{}",
            other.stderr
        );
        assert_eq!(other.digest("app"), done.digest("app"));
        nothing_is_left(&overcoat);
    }
}

#[test]
fn an_image_that_differs_is_shown_file_by_file() {
    let directory = shared();
    let arguments = arguments(
        directory.path(),
        "cat /proc/sys/kernel/random/uuid > /opt/random",
    );
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for overcoat in everybody() {
        let done = overcoat.run(&arguments);
        assert_eq!(done.code, Some(51), "{}", done.stderr);
        assert!(
            done.stderr.contains("/opt/random: file of 37 bytes"),
            "{}",
            done.stderr
        );
        assert!(!done.stderr.contains("app.py:"), "{}", done.stderr);
        // The first image is there all the same.
        overcoat.inspect("app");
        nothing_is_left(&overcoat);
    }
}

#[test]
fn an_interrupted_comparison_ends_both_builds() {
    let directory = shared();
    // Its second build waits for ever.
    let arguments = arguments(
        directory.path(),
        "if [ \"$(wc -l < /proc/self/uid_map)\" = 1 ] && ! grep -q 4294967295 /proc/self/uid_map; then sleep 613; fi",
    );
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for overcoat in everybody() {
        let running = overcoat.spawn(&arguments);
        wait_for("the second build", || {
            running.has_descendant("613").then_some(())
        });
        running.signal("TERM");
        let (done, _) = running.wait(Duration::from_secs(20));
        assert_eq!(done.code, Some(130), "{}", done.stderr);
        let processes = super::support::tool("ps", &["-eo", "args"]);
        assert!(
            !processes.lines().any(|line| line.trim() == "sleep 613"),
            "{processes}"
        );
        nothing_is_left(&overcoat);
    }
}
