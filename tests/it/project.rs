//! Builds of a project: several applications at once, names, hooks, records, and what pipelines read of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, ORDINARY_USER, Overcoat};
use super::tiny::shared;

/// A project of two applications on a tiny builder; `more` is the rest of its `overcoat.toml`.
fn project(directory: &Path, more: &str) -> String {
    let builder = Tiny::default().write(directory);
    for name in ["web", "api"] {
        let source = directory.join(name);
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("app.py"), format!("print({name:?})\n")).unwrap();
    }
    let text = format!(
        "project = \"shop\"\n[labels]\nteam = \"x\"\n[applications.web]\npath = \"web\"\nimage = \"shop/web\"\nbuilder = \"{builder}\"\n\
         environment = {{ COLOUR = \"blue\" }}\n[applications.api]\npath = \"api\"\nbuilder = \"{builder}\"\n{more}"
    );
    fs::write(directory.join("overcoat.toml"), text).unwrap();
    builder
}

/// Runs a command in a directory.
fn run(overcoat: &Overcoat, directory: &Path, words: &[&str]) -> Done {
    overcoat
        .command(words)
        .current_dir(directory)
        .output()
        .unwrap()
        .into()
}

fn results(directory: &Path) -> Vec<(String, String)> {
    let text = fs::read(directory.join("build_result.json")).unwrap();
    let parsed: Value = serde_json::from_slice(&text).unwrap();
    let builds = parsed["builds"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    builds
        .map(|build| (text(&build["imageName"]), text(&build["tag"])))
        .collect()
}

#[test]
fn all_applications_are_built_at_once_and_unchanged_ones_keep_their_names() {
    let directory = shared();
    let registry = Registry::start();
    let host = registry.host();
    project(
        directory.path(),
        &format!("[environments.dev]\nregistry = \"{host}/dev\"\n"),
    );
    for overcoat in [Overcoat::new(), Overcoat::as_ordinary_user()] {
        let owner = overcoat.command(&[]).get_program().to_owned();
        if owner == "setpriv" {
            let own = Command::new("chown")
                .args(["-R", ORDINARY_USER])
                .arg(directory.path())
                .status();
            assert!(own.unwrap().success());
        }
        let run = |words: &[&str]| run(&overcoat, directory.path(), words);
        let words = ["build", "--all", "--push", "--environment", "dev"];
        let first = run(&words).ok();
        let found = results(directory.path());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, "shop/web");
        assert_eq!(found[1].0, "api");
        for (name, tag) in &found {
            // The tag is made of the digest that stands behind it.
            let (reference, digest) = tag.split_once("@sha256:").unwrap();
            assert_eq!(*reference, format!("{host}/dev/{name}:{}", &digest[..12]));
            assert!(first.stdout.contains(tag), "{}", first.stdout);
        }
        let again = run(&words).ok();
        assert_eq!(results(directory.path()), found, "{}", again.stderr);
        assert_eq!(
            again.stderr.matches("\n    unchanged\n").count(),
            2,
            "{}",
            again.stderr
        );

        fs::write(directory.path().join("web/app.py"), "print('other')\n").unwrap();
        run(&words).ok();
        let changed = results(directory.path());
        assert_ne!(changed[0], found[0]);
        assert_eq!(changed[1], found[1]);
        fs::write(directory.path().join("web/app.py"), "print(\"web\")\n").unwrap();
    }
}

#[test]
fn a_project_s_labels_and_variables_are_its_applications() {
    let directory = shared();
    project(directory.path(), "");
    let overcoat = Overcoat::new();
    let run = |words: &[&str]| run(&overcoat, directory.path(), words);
    // By its name, and by its directory.
    let by_name = run(&["build", "web"]).ok().stdout;
    let by_place = run(&["build", "./web"]).ok().stdout;
    assert_eq!(by_name, by_place);
    let name = by_name
        .lines()
        .next()
        .unwrap()
        .split('@')
        .next()
        .unwrap()
        .to_owned();
    let shown = run(&["inspect", &name]).ok().stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let text = shown.to_string();
    assert!(text.contains("COLOUR") && text.contains("blue"), "{text}");
    assert!(text.contains("\"team\":\"x\""), "{text}");
}

#[test]
fn one_that_fails_takes_nothing_from_the_others_and_no_results_are_written() {
    let directory = shared();
    project(directory.path(), "");
    let hook = directory.path().join("api/.s2i/bin");
    fs::create_dir_all(&hook).unwrap();
    fs::write(hook.join("assemble"), "#!/bin/sh\nexit 7\n").unwrap();
    fs::write(
        directory.path().join("build_result.json"),
        "{\"builds\":[]}",
    )
    .unwrap();
    let overcoat = Overcoat::new();
    let run = |words: &[&str]| run(&overcoat, directory.path(), words);
    let done = run(&["build", "--all"]);
    assert_eq!(done.code, Some(50), "{}", done.stderr);
    assert!(
        done.stderr.contains("`api` could not be built; 1 of 2 are"),
        "{}",
        done.stderr
    );
    assert!(done.stdout.contains("shop/web:"), "{}", done.stdout);
    assert!(!directory.path().join("build_result.json").exists());
}

#[test]
fn hooks_and_records_stand_around_builds_and_pushes() {
    let directory = shared();
    let registry = Registry::start();
    let host = registry.host();
    let write = |name: &str| {
        format!(
            "command = [\"sh\", \"-c\", \"echo $OVERCOAT_STAGE $OVERCOAT_OPERATION $OVERCOAT_DIGEST >> {name}\"]"
        )
    };
    let hooks = format!(
        "default-registry = \"{host}\"\n[[hooks]]\noperation = \"build\"\nwhen = \"before\"\n{0}\n[[hooks]]\noperation = \"push\"\nwhen = \"before\"\n{0}\n\
         [[hooks]]\noperation = \"push\"\nwhen = \"after\"\n{0}\n",
        write("said")
    );
    let text_of_hooks = hooks.split_once('\n').unwrap();
    project(directory.path(), text_of_hooks.1);
    // The default registry is a key of the top.
    let file = directory.path().join("overcoat.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{}\n{text}", text_of_hooks.0)).unwrap();
    let overcoat = Overcoat::new();
    let run = |words: &[&str]| run(&overcoat, directory.path(), words);
    let done = run(&["build", "web", "--push"]).ok();
    let digest = done
        .stdout
        .lines()
        .next()
        .unwrap()
        .split_once('@')
        .unwrap()
        .1
        .to_owned();
    let said = fs::read_to_string(directory.path().join("said")).unwrap();
    let said: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(
        said,
        [
            "before build".to_owned(),
            format!("before push {digest}"),
            format!("after push {digest}")
        ]
    );
    let records =
        fs::read_to_string(directory.path().join(".overcoat/history/records.jsonl")).unwrap();
    assert!(
        records.contains(&digest) && records.contains("\"push\""),
        "{records}"
    );
}

#[test]
fn several_names_are_applications_and_no_file_of_the_person_is_lost() {
    let directory = shared();
    project(directory.path(), "");
    let overcoat = Overcoat::new();
    let run = |words: &[&str]| run(&overcoat, directory.path(), words);
    let done = run(&["build", "web", "api"]).ok();
    assert!(
        done.stdout.contains("shop/web:") && done.stdout.contains("api:"),
        "{}",
        done.stdout
    );
    assert!(done.stderr.contains("web | "), "{}", done.stderr);
    for file in ["overcoat.toml", "web/app.py"] {
        let before = fs::read(directory.path().join(file)).unwrap();
        let done = run(&["build", "--application", "web", "--digest-file", file]);
        assert_eq!(done.code, Some(2), "{}", done.stderr);
        assert_eq!(fs::read(directory.path().join(file)).unwrap(), before);
    }
    let results = fs::read(directory.path().join("build_result.json")).unwrap();
    let done = run(&["build", "--all", "--environment", "typo"]);
    assert_eq!(done.code, Some(81), "{}", done.stderr);
    assert_eq!(
        fs::read(directory.path().join("build_result.json")).unwrap(),
        results
    );
}

#[test]
fn names_of_content_are_for_everyone() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = super::tiny::application(directory.path(), &[("app.py", "1")]);
    let overcoat = Overcoat::new();
    let done = overcoat
        .run(&[
            "build",
            &source,
            "-t",
            "app:{content}",
            "--build-image",
            &builder,
        ])
        .ok();
    let line = done.stdout.trim();
    let (name, digest) = line.split_once("@sha256:").unwrap();
    assert_eq!(name, format!("app:{}", &digest[..12]));
    assert!(
        overcoat
            .run(&["images"])
            .ok()
            .stdout
            .contains(&digest[..12])
    );
}

#[test]
fn skaffold_s_variables_are_all_that_a_build_command_needs() {
    let directory = shared();
    let registry = Registry::start();
    let builder = Tiny::default().write(directory.path());
    let source = super::tiny::application(directory.path(), &[("app.py", "1")]);
    let image = format!("{}/app:v1", registry.host());
    let overcoat = Overcoat::new()
        .with("IMAGE", &image)
        .with("PUSH_IMAGE", "true")
        .with("BUILD_CONTEXT", &source)
        .with("PLATFORMS", "");
    let done = run(
        &overcoat,
        Path::new(&source),
        &["build", "--build-image", &builder],
    )
    .ok();
    assert!(
        done.stdout.starts_with(&format!("{image}@sha256:")),
        "{}",
        done.stdout
    );
    assert!(
        overcoat
            .run(&["digest", &image])
            .ok()
            .stdout
            .contains("sha256:")
    );

    let alone = overcoat
        .with("PUSH_IMAGE", "false")
        .with("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let done = run(
        &alone,
        Path::new(&source),
        &["build", "--build-image", &builder],
    );
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    assert!(
        done.stderr.contains("build.local.push: true"),
        "{}",
        done.stderr
    );
}

/// A daemon that is there and answers nothing is no better than none.
#[test]
fn a_dead_docker_daemon_is_told_with_what_skaffold_can_do_instead() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = super::tiny::application(directory.path(), &[("app.py", "1")]);
    let socket = directory.path().join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let overcoat = Overcoat::new()
        .with("IMAGE", "localhost:5001/app:v1")
        .with("PUSH_IMAGE", "false")
        .with("BUILD_CONTEXT", &source)
        .with("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let words = ["build", "--build-image", &builder];
    let done = run(&overcoat, Path::new(&source), &words);
    assert_eq!(done.code, Some(60), "{}", done.stderr);
    for part in ["PUSH_IMAGE is `false`", "build.local.push: true"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

/// A tag is git's, or an error that says how to do without git; never half of a name.
#[test]
fn tags_of_git_are_whole_or_an_error_that_is_about_tags() {
    let directory = shared();
    let root = directory.path();
    project(root, "");
    let overcoat = Overcoat::new();
    let words = ["build", "web", "--tag-from", "git"];
    let without_git = || -> Done {
        let mut command = overcoat.command(&words);
        command.current_dir(root).env("PATH", "/nonexistent");
        command.output().unwrap().into()
    };
    // Outside a repository the content says it, and git is not needed to know that.
    let done = without_git().ok();
    assert!(done.stdout.starts_with("shop/web:"), "{}", done.stdout);

    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"];
        let done: Done = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(identity)
            .args(words)
            .output()
            .unwrap()
            .into();
        done.ok();
    };
    git(&["init", "--quiet"]);
    git(&["add", "web"]);
    git(&["commit", "--quiet", "--message", "x"]);
    let done = without_git();
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    for part in [
        "cannot ask git which tag",
        "install git",
        "--tag-from content",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    git(&["tag", &"9".repeat(130)]);
    let done = run(&overcoat, root, &words);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(
        done.stderr.contains("registries take 128"),
        "{}",
        done.stderr
    );
}

#[test]
fn inputs_are_the_files_that_a_build_takes() {
    let directory = shared();
    let source = super::tiny::application(
        directory.path(),
        &[
            ("app.py", "1"),
            ("pkg/a.py", "2"),
            (".s2iignore", "notes\n"),
            ("notes/x", "3"),
        ],
    );
    let done = Overcoat::new().run(&["inputs", &source, "--json"]).ok();
    let listed: Vec<String> = serde_json::from_str(&done.stdout).unwrap();
    assert!(
        listed.contains(&"app.py".to_owned()) && listed.contains(&"pkg/a.py".to_owned()),
        "{listed:?}"
    );
    assert!(
        !listed.iter().any(|path| path.starts_with("notes")),
        "{listed:?}"
    );
}
