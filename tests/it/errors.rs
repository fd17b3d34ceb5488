//! What people read when something is wrong: what happened, why, what to do; the exit code; and nothing left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, free_port, wait_for};

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
            "hint: put an executable `run` script into `.s2i/bin/` of the application\n",
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
            "UPPER/app",
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
fn a_full_disk_as_root() {
    let overcoat = Overcoat::new();
    // Room for the builder's blobs (about 1 MB), not for what they unpack to and what the step writes.
    let small = SmallDisk::mount(&overcoat.path().join("small"), "4m");
    let scene = Scene::with(&Tiny {
        assemble: "#!/bin/sh\nset -e\ni=0\nwhile [ $i -lt 200 ]; do cat /bin/busybox /bin/busybox > /opt/app-root/src/$i; i=$((i+1)); done\n",
        ..Tiny::default()
    });
    let store = small.0.join("store");
    let build = |overcoat: &Overcoat| scene.build(overcoat, &["--store", store.to_str().unwrap()]);
    let done = build(&overcoat);
    assert!(matches!(done.code, Some(50 | 61)), "{done:?}");
    assert!(
        done.stderr
            .to_lowercase()
            .contains("no space left on device"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("--store DIR"), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    let names = overcoat
        .run(&[
            "images",
            "--format",
            "json",
            "--store",
            store.to_str().unwrap(),
        ])
        .ok()
        .stdout;
    assert_eq!(names, "[]\n");
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
    // Too small even for the builder image.
    let tiny = SmallDisk::mount(&overcoat.path().join("tiny"), "400k");
    let store = tiny.0.join("store");
    let done = scene.build(&overcoat, &["--store", store.to_str().unwrap()]);
    assert_eq!(done.code, Some(61), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: free some space"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
}

/// A tmpfs of a given size; unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: &Path, size: &str) -> Self {
        fs::create_dir(path).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .status()
            .unwrap();
        assert!(mounted.success(), "mounting a tmpfs needs root");
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
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
fn an_output_that_cannot_be_written() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let done = scene.build(&overcoat, &["-o", "oci-archive:/no/such/directory/a.tar"]);
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("error: cannot write to `/no/such/directory`: no such file"),
        "{}",
        done.stderr
    );
    let done = scene.build(&overcoat, &["-o", "oci:/etc"]);
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr.contains("hint: write to a new directory"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_user_namespace_that_cannot_be_made() {
    let scene = Scene::new();
    let overcoat = Overcoat::as_ordinary_user().with("PATH", "/nonexistent");
    let source = scene.source();
    let inner = overcoat.command(&[
        "build",
        &source,
        "-t",
        "app",
        "--build-image",
        &scene.builder,
        "--isolation",
        "userns",
    ]);
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(inner.get_args());
    command.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("`--isolation=userns` cannot be had here: ISO06"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("uidmap") && done.stderr.contains("hint: install"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_store_whose_path_is_not_utf_8() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"st\xffre");
    let source = scene.source();
    let mut command = overcoat.command(&[
        "build",
        &source,
        "-t",
        "app",
        "--build-image",
        &scene.builder,
    ]);
    let done: Done = command
        .env("OVERCOAT_STORE", overcoat.path().join(name))
        .output()
        .unwrap()
        .into();
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("error: cannot describe the step: path contains invalid UTF-8"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("hint: keep the store where the path is UTF-8"),
        "{}",
        done.stderr
    );
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
fn ctrl_c_in_the_middle_of_a_step() {
    let scene = Scene::with(&Tiny {
        assemble: "#!/bin/sh\necho started\ntrap '' INT TERM\nwhile true; do sleep 1; done\n",
        ..Tiny::default()
    });
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        for signal in ["INT", "TERM"] {
            let source = scene.source();
            let running = overcoat.spawn(&[
                "build",
                &source,
                "-t",
                "app",
                "--build-image",
                &scene.builder,
            ]);
            wait_for("the step", || {
                let status = fs::read_dir(overcoat.store().join("tmp")).ok()?.flatten();
                status
                    .map(|entry| entry.path().join("assemble/status.json"))
                    .find(|path| path.exists())
            });
            running.signal(signal);
            let (done, _) = running.wait(Duration::from_secs(5));
            expect(
                &overcoat,
                &done,
                130,
                &["error: interrupted; nothing was left half-done\n"],
            );
        }
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
fn a_store_that_is_something_else() {
    let overcoat = Overcoat::new();
    let thesis = overcoat.path().join("thesis");
    fs::create_dir(&thesis).unwrap();
    fs::write(thesis.join("chapter1.tex"), "x").unwrap();
    let done = overcoat.run(&["images", "--store", thesis.to_str().unwrap()]);
    assert_eq!(done.code, Some(62), "{}", done.stderr);
    assert!(
        done.stderr.contains(
            "is neither empty nor an OCI image layout: it holds other files and no `oci-layout`"
        ),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_dir(thesis).unwrap().count(), 1);
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
fn an_ordinary_user_without_subordinate_ids_is_told_how_to_get_some() {
    let scene = Scene::new();
    let overcoat = Overcoat::new();
    let own = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(overcoat.path())
        .status()
        .unwrap();
    assert!(own.success());
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=nobody",
        "--regid=nogroup",
        "--clear-groups",
        "--",
        env!("CARGO_BIN_EXE_overcoat"),
    ]);
    command.args([
        "build",
        &scene.source(),
        "-t",
        "app",
        "--build-image",
        &scene.builder,
        "--isolation",
        "userns",
    ]);
    command
        .env("HOME", overcoat.path())
        .env("OVERCOAT_STORE", overcoat.store());
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(40), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("ISO08 `nobody` has no ids in `/etc/subuid`"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("usermod --add-subuids"),
        "{}",
        done.stderr
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
