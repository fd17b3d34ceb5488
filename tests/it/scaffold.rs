//! `create` and `init`: what they write builds, runs, and passes its own test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::dockerfile::Buildah;
use super::flask::with_builder;
use super::support::{Done, Overcoat, app, copy_of_app, free_port, get, tool, wait_for};

/// A program that calls overcoat and writes its arguments down, a line a call.
fn recorder(overcoat: &Overcoat) -> std::path::PathBuf {
    let path = overcoat.path().join("recorder");
    let program = env!("CARGO_BIN_EXE_overcoat");
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> '{directory}/calls'\nexec '{program}' \"$@\"\n",
        directory = overcoat.path().display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn network_a_new_builder_builds_and_passes_its_own_test_at_once() {
    let overcoat = with_builder(Overcoat::new());
    let directory = overcoat.path().join("my-builder");
    let at = directory.to_str().unwrap();
    let created = overcoat.run(&["create", "acme/python:1", at]).ok();
    assert_eq!(created.stdout.lines().count(), 11, "{}", created.stdout);
    assert!(created.stdout.contains("my-builder/s2i/bin/assemble\n"));
    overcoat
        .run(&["builder", "build", at, "-t", "acme/python:1"])
        .ok();

    let run = |user: &Overcoat| -> Done {
        // As `overcoat` itself is started: with this store.
        let mut command = Command::new(directory.join("test/run"));
        let set = user.command(&[]);
        for (name, value) in set.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .env("OVERCOAT", recorder(user))
            .output()
            .unwrap()
            .into()
    };
    let done = run(&overcoat).ok();
    assert!(
        done.stderr.contains("---> All is well\n"),
        "{}",
        done.stderr
    );
    let calls = fs::read_to_string(overcoat.path().join("calls")).unwrap();
    let builds: Vec<bool> = calls
        .lines()
        .filter(|call| call.starts_with("build "))
        .map(|call| call.ends_with(" --incremental"))
        .collect();
    assert_eq!(builds, [false, true], "{calls}");
    // It cleans up: the builder images are all that is left.
    let images = overcoat.run(&["images"]).ok().stdout;
    assert!(
        !images.contains("testapp") && images.contains("acme/python"),
        "{images}"
    );

    // The builder's own scripts did it, and a test that should fail does.
    let usage = overcoat.run(&["run", "acme/python:1"]).ok().stdout;
    assert!(
        usage.contains("This is the builder image acme/python:1."),
        "{usage}"
    );
    fs::write(
        directory.join("test/test-app/app.py"),
        "print('no server')\n",
    )
    .unwrap();
    let done = run(&overcoat);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("FAILED: the application ended"),
        "{}",
        done.stderr
    );
}

/// The Dockerfile beside the recipe gives a builder image as well. Its base is one that can be had here, and the host's
/// apt settings (proxies, mirrors) are lent to it.
#[test]
fn network_the_dockerfile_of_a_new_builder_makes_one_too() {
    let overcoat = with_builder(Overcoat::new());
    let directory = overcoat.path().join("my-builder");
    let at = directory.to_str().unwrap();
    overcoat.run(&["create", "acme/python", at]).ok();
    let buildah = Buildah::new();
    let base = format!(
        "oci:{}:builder/python-3.11:latest",
        overcoat.store().display()
    );
    let base = format!("BASE={}", buildah.take(&base, "base"));
    let settings = "/etc/apt/apt.conf.d:/etc/apt/apt.conf.d:ro";
    let mut arguments = vec!["bud", "--isolation", "chroot", "--network", "host"];
    arguments.extend([
        "--build-arg",
        &base,
        "--volume",
        settings,
        "--tag",
        "localhost/made",
        at,
    ]);
    buildah.run(&arguments);
    let layout = format!("oci:{}:made", overcoat.path().join("layout").display());
    tool(
        "skopeo",
        &[
            "copy",
            "--insecure-policy",
            "--quiet",
            &buildah.name("made"),
            &layout,
        ],
    );
    let source = directory.join("test/test-app");
    overcoat
        .run(&[
            "build",
            source.to_str().unwrap(),
            "--build-image",
            &layout,
            "-t",
            "app",
        ])
        .ok();
    let port = free_port();
    let _running = overcoat.spawn(&["run", "app", "-e", &format!("PORT={port}")]);
    let body = wait_for("an answer", || get(port));
    assert_eq!(body, "Hello from the test application\n");
}

#[test]
fn what_exists_is_left_as_it_is_and_the_rest_is_written() {
    let overcoat = Overcoat::new();
    let directory = overcoat.path().join("b");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("README.md"), "mine").unwrap();
    fs::write(directory.join("test"), "a file").unwrap();
    let done = overcoat.run(&["create", "mine", directory.to_str().unwrap()]);
    assert_eq!(done.code, Some(63), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("b/README.md` exists and was left as it is\n"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("b/test`: it is there and is no directory"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read(directory.join("README.md")).unwrap(), b"mine");
    let mode = fs::metadata(directory.join("s2i/bin/run"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert!(
        !done.stdout.contains("README") && done.stdout.contains("b/recipe.toml\n"),
        "{}",
        done.stdout
    );

    let done = overcoat.run(&[
        "create",
        "Not A Name",
        overcoat.path().join("c").to_str().unwrap(),
    ]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(!overcoat.path().join("c").exists());
}

#[test]
fn init_finds_how_the_test_applications_are_started() {
    let overcoat = Overcoat::new();
    let rows = [
        (
            "flask-hello",
            "APP_MODULE=app:app, because `requirements.txt` has gunicorn, and `app.py` defines `app`",
        ),
        (
            "setup-py",
            "`requirements.txt` has gunicorn, which serves the package that `setup.py` names; no variable is needed",
        ),
        (
            "no-requirements",
            "APP_FILE=app.py, because `app.py` is there",
        ),
        ("app-script", "APP_SCRIPT=app.sh, because `app.sh` is there"),
        ("flask-gunicorn", "it exists and was left as it is"),
        ("app-home", "it exists and was left as it is"),
    ];
    for (name, expected) in rows {
        let source = copy_of_app(name, overcoat.path());
        let done = overcoat.run(&["init", source.to_str().unwrap()]).ok();
        let line = format!(".s2i/environment: {expected}\n");
        assert!(done.stdout.starts_with(&line), "{name}: {}", done.stdout);
        assert!(done.stdout.contains("\n.s2iignore: "), "{}", done.stdout);
        assert!(!source.join(".s2i/bin").exists());
        let written = fs::read(source.join(".s2i/environment")).unwrap();
        if let Ok(before) = fs::read(app(name).join(".s2i/environment")) {
            assert_eq!(written, before);
        }
        let again = overcoat.run(&["init", source.to_str().unwrap()]).ok();
        assert_eq!(
            again.stdout.matches("left as it is").count(),
            2,
            "{}",
            again.stdout
        );
    }
    let done = overcoat.run(&["init", "/no/such/directory"]);
    assert_eq!(done.code, Some(10), "{}", done.stderr);
}

/// Case 226 in small: an application's own scripts run, and reach the stock ones.
#[test]
fn network_an_application_with_hooks_of_init_builds_and_answers() {
    let overcoat = with_builder(Overcoat::new());
    let source = copy_of_app("no-requirements", overcoat.path());
    fs::rename(source.join("app.py"), source.join("service.py")).unwrap();
    let at = source.to_str().unwrap();
    overcoat.run(&["init", "--hooks", at]).ok();
    assert_eq!(variables(&source), ["APP_FILE=service.py"]);
    // An edit where the file says that there is a place for it.
    let hook = source.join(".s2i/bin/assemble");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(&hook, format!("{text}echo hooked > hooked\n")).unwrap();
    overcoat.run(&["build", at, "-t", "app"]).ok();
    let port = free_port();
    let running = overcoat.spawn(&["run", "app", "-e", &format!("PORT={port}")]);
    let body = wait_for("an answer", || get(port));
    assert_eq!(body, "Hello from no-requirements\n");
    drop(running);
    let done = overcoat.run(&["run", "app", "--", "cat", "hooked"]).ok();
    assert_eq!(done.stdout, "hooked\n");
}

fn variables(source: &Path) -> Vec<String> {
    let text = fs::read_to_string(source.join(".s2i/environment")).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}
