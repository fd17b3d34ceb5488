//! What people read when something is wrong: what happened, why, what to do; the exit code; and nothing left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, free_port, wait_for};

mod machine;

/// A directory that others may read, with the tiny builder and an application in it.
struct Scene {
    directory: tempfile::TempDir,
    builder: String,
}

impl Scene {
    fn new() -> Self {
        Self::with(&Tiny::default())
    }

    fn with(tiny: &Tiny) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let builder = tiny.write(directory.path());
        fs::create_dir(directory.path().join("app")).unwrap();
        fs::write(directory.path().join("app/app.py"), "1").unwrap();
        Self { directory, builder }
    }

    fn source(&self) -> String {
        self.directory
            .path()
            .join("app")
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn build(&self, overcoat: &Overcoat, more: &[&str]) -> Done {
        let source = self.source();
        overcoat.run(
            &[
                &[
                    "build",
                    &source,
                    "-t",
                    "app",
                    "--build-image",
                    &self.builder,
                ],
                more,
            ]
            .concat(),
        )
    }
}

/// Checks the code and the lines of a message, and that no image and no work in progress is there.
#[track_caller]
fn expect(overcoat: &Overcoat, done: &Done, code: i32, lines: &[&str]) {
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    for line in lines {
        assert!(
            done.stderr.contains(line),
            "expected {line:?} in:\n{}",
            done.stderr
        );
    }
    assert!(
        done.stderr.contains("\nhint: ") || code == 130,
        "no advice in:\n{}",
        done.stderr
    );
    assert!(
        !done.stderr.contains("os error") && !done.stderr.contains("panicked"),
        "{}",
        done.stderr
    );
    assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    assert_eq!(
        overcoat.run(&["images", "--format", "json"]).ok().stdout,
        "[]\n"
    );
}

#[test]
fn no_such_source() {
    let overcoat = Overcoat::new();
    let done = overcoat.run(&["build", "/no/such/place", "-t", "app"]);
    expect(
        &overcoat,
        &done,
        10,
        &[
            "error: the source `/no/such/place` does not exist\n",
            "hint: give the directory",
        ],
    );
    let done = overcoat.run(&["build", "/etc/passwd", "-t", "app"]);
    expect(
        &overcoat,
        &done,
        10,
        &["error: the source `/etc/passwd` is not a directory\n"],
    );
}

#[test]
fn unreadable_requirements() {
    let scene = Scene::new();
    let requirements = scene.directory.path().join("app/requirements.txt");
    fs::write(&requirements, "flask\n").unwrap();
    fs::set_permissions(&requirements, fs::Permissions::from_mode(0o000)).unwrap();
    let overcoat = Overcoat::as_ordinary_user();
    let done = scene.build(&overcoat, &[]);
    expect(
        &overcoat,
        &done,
        11,
        &["error: `requirements.txt` of the source cannot be read: permission denied\n"],
    );
    fs::set_permissions(&requirements, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&requirements, b"flask\xff\xfe\n").unwrap();
    let done = scene.build(&overcoat, &[]);
    expect(
        &overcoat,
        &done,
        11,
        &["cannot be read: it is not UTF-8 (byte 5)\n"],
    );
    fs::remove_file(&requirements).unwrap();
    symlink("nowhere", &requirements).unwrap();
    let done = scene.build(&overcoat, &[]);
    expect(
        &overcoat,
        &done,
        11,
        &["it is a link to `nowhere`, which is not a file\n"],
    );
    fs::remove_file(&requirements).unwrap();
    symlink("/etc/hostname", &requirements).unwrap();
    let done = scene.build(&overcoat, &[]);
    let expected = "it is a link to `/etc/hostname`, which is not in the source\n";
    expect(&overcoat, &done, 11, &[expected]);
}

#[test]
fn an_unreadable_file_of_the_source() {
    let scene = Scene::new();
    let secret = scene.directory.path().join("app/secret.key");
    fs::write(&secret, "x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let overcoat = Overcoat::as_ordinary_user();
    let done = scene.build(&overcoat, &[]);
    expect(
        &overcoat,
        &done,
        12,
        &["error: cannot read `secret.key` of the source: permission denied\n"],
    );
}

#[test]
fn a_builder_that_does_not_exist() {
    let scene = Scene::new();
    let registry = Registry::start();
    let overcoat = Overcoat::new();
    let build = |image: &str| {
        overcoat.run(&[
            "build",
            &scene.source(),
            "-t",
            "app",
            "--build-image",
            image,
        ])
    };
    let image = format!("{}/no/such:builder", registry.host());
    let done = build(&image);
    expect(
        &overcoat,
        &done,
        20,
        &[
            &format!("error: cannot get the builder image `{image}`\n"),
            "  because: ",
            "not in the registry",
        ],
    );
    let done = build("builder:python-2.7");
    expect(&overcoat, &done, 20, &["python-2.7", "python-3.11"]);
    let done = build("oci:/no/such/layout");
    expect(
        &overcoat,
        &done,
        20,
        &[
            "error: cannot get the builder image `oci:/no/such/layout`\n",
            "`/no/such/layout`",
        ],
    );
    let done = build("docker-archive:/no/such.tar");
    expect(&overcoat, &done, 20, &["`/no/such.tar`", "no such file"]);
    let closed = format!("localhost:{}/builder", free_port());
    let done = build(&closed);
    expect(
        &overcoat,
        &done,
        30,
        &["cannot connect to `localhost:", "hint: check the host name"],
    );
}

#[test]
fn an_image_that_is_no_builder() {
    let scene = Scene::with(&Tiny {
        labels: vec![("maintainer", "nobody")],
        ..Tiny::default()
    });
    let overcoat = Overcoat::new();
    let done = scene.build(&overcoat, &[]);
    expect(
        &overcoat,
        &done,
        21,
        &[
            "error: `tiny:latest` is not a builder image: it has no label `io.openshift.s2i.scripts-url`, and the \
             application brings no `.s2i/bin/run`\n",
            "hint: put a script `run` into `.s2i/bin/` of the application, or name a place that has one: `--scripts-url URL`\n",
        ],
    );
}

#[test]
fn a_builder_for_another_platform() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let done = scene.build(&overcoat, &["--platform", "linux/s390x"]);
    expect(
        &overcoat,
        &done,
        22,
        &["is for `linux/", "not for `linux/s390x`"],
    );
}

#[test]
fn a_tag_that_is_not_a_reference() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let source = scene.source();
    let build =
        |tag: &str| overcoat.run(&["build", &source, "-t", tag, "--build-image", &scene.builder]);
    let cases = [
        (
            "quay.io/UPPER/app",
            "repository names are lower case; write `upper/app`",
        ),
        ("app:1.0.0+build", "`1.0.0+build` is not a tag"),
        ("https://quay.io/app", "leave out `https://`"),
        ("", "it is empty"),
    ];
    for (tag, reason) in cases {
        let done = build(tag);
        expect(
            &overcoat,
            &done,
            3,
            &[
                &format!("error: `{tag}` is not an image reference: "),
                reason,
            ],
        );
    }
    let digest = "0".repeat(64);
    let done = build(&format!("app@sha256:{digest}"));
    expect(&overcoat, &done, 3, &["must not have a digest"]);
}

#[test]
fn a_layer_with_a_wrong_digest() {
    let scene = Scene::new();
    let blobs = scene.directory.path().join("builder/blobs/sha256");
    let largest = fs::read_dir(&blobs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let largest = largest
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let overcoat = Overcoat::new();
    let done = scene.build(&overcoat, &[]);
    let digest = largest.file_name().unwrap().to_str().unwrap().to_owned();
    expect(
        &overcoat,
        &done,
        32,
        &[&format!(
            "because: the bytes named `sha256:{digest}` have the digest `sha256:"
        )],
    );
    assert!(!overcoat.store().join("blobs/sha256").join(digest).exists());
}

#[test]
fn a_script_that_fails() {
    let scene = Scene::with(&Tiny {
        assemble: "#!/bin/sh\necho first\nprintf 'bell \\a and \\033[31mred\\033[0m\\n' >&2\nexit 7\n",
        ..Tiny::default()
    });
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let done = scene.build(&overcoat, &["--progress", "none"]);
        assert_eq!(done.code, Some(50), "{}", done.stderr);
        let expected =
            "error: the `assemble` script failed with exit status 7\n  its last lines:\n";
        assert!(done.stderr.starts_with(expected), "{}", done.stderr);
        assert!(done.stderr.contains("  | first\n"), "{}", done.stderr);
        assert!(
            done.stderr
                .contains("  | bell \u{fffd} and \u{fffd}[31mred\u{fffd}[0m\n"),
            "{}",
            done.stderr
        );
        assert_eq!(
            (done.stdout.as_str(), overcoat.left_behind()),
            ("", Vec::new())
        );
        assert_eq!(
            overcoat.run(&["images", "--format", "json"]).ok().stdout,
            "[]\n"
        );
    }
}

#[test]
fn programs_read_errors_as_json() {
    let scene = Scene::with(&Tiny {
        assemble: "#!/bin/sh\necho last words\nexit 3\n",
        ..Tiny::default()
    });
    let done = scene.build(&Overcoat::new(), &["--progress", "json"]);
    let lines = done
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<_> = lines.collect();
    assert!(
        lines
            .iter()
            .any(|line| line["event"] == "output" && line["line"] == "last words"),
        "{}",
        done.stderr
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["code"]),
        (&"error".into(), &50.into())
    );
    assert_eq!(last["output"], serde_json::json!(["last words"]));
}

#[test]
fn scripts_and_users_that_cannot_be_run() {
    let hooks: [(&str, &str, &str); 2] = [
        (
            "1001",
            "#!/no/such/interpreter\n",
            "its interpreter is not in the image (`/no/such/interpreter`)",
        ),
        (
            "somebody",
            "#!/bin/sh\n",
            "error: the image has no user `somebody`\n",
        ),
    ];
    for (user, hook, expected) in hooks {
        let scene = Scene::with(&Tiny {
            user: Box::leak(user.to_owned().into_boxed_str()),
            ..Tiny::default()
        });
        let bin = scene.directory.path().join("app/.s2i/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("assemble"), hook).unwrap();
        let overcoat = Overcoat::new();
        let done = scene.build(&overcoat, &[]);
        assert_eq!(done.code, Some(41), "{}", done.stderr);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
        assert_eq!(overcoat.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn images_that_are_not_there() {
    let overcoat = Overcoat::new();
    for command in [
        ["run", "app"],
        ["inspect", "app"],
        ["rm", "app"],
        ["push", "app"],
    ] {
        let done = overcoat.run(&command);
        expect(
            &overcoat,
            &done,
            4,
            &[
                "error: the store has no image `app:latest`\n",
                "hint: it is empty; `overcoat build`",
            ],
        );
    }
}

#[test]
fn direct_where_packages_must_be_installed() {
    let scene = Scene::new();
    fs::write(
        scene.directory.path().join("app/requirements.txt"),
        "flask\n",
    )
    .unwrap();
    let overcoat = Overcoat::new();
    let done = scene.build(&overcoat, &["--strategy", "direct"]);
    let what = "error: `--strategy direct` executes nothing, but the interpreter cannot be found out from the \
                builder image: there is neither `python` nor `python3`";
    expect(
        &overcoat,
        &done,
        22,
        &[what, "hint: leave `--strategy` out"],
    );
}

#[test]
fn a_wrong_command_line_is_clap_s_business() {
    let overcoat = Overcoat::new();
    for arguments in [
        &["build", "--no-such-flag"][..],
        &["build", "-e", "novalue"],
        &["build", "-o", "tar:x"],
        &["frob"],
    ] {
        let done = overcoat.run(arguments);
        assert_eq!(done.code, Some(2), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    }
}
