//! `overcoat config explain`: every value of a project with where it was said.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::support::{Done, Overcoat};

fn write(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Runs a command in a directory, without what a CI may have set.
fn run(overcoat: &Overcoat, directory: &Path, words: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = overcoat.command(words);
    command.current_dir(directory);
    for name in [
        "GITHUB_ACTIONS",
        "SKAFFOLD_DEFAULT_REPO",
        "DEFAULT_REPO",
        "OVERCOAT_CONFIG",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.output().unwrap().into()
}

const OWN: &str = "default-registry = 'own.example'\n[applications.web]\npath = 'web'\nenvironment = { INDEX = 'https://me:hunter2@index.example/' }\n[environments.pp]\nregistry = 'pp.example'\n";

#[test]
fn explain_shows_values_and_origins_from_any_directory_of_the_project() {
    let overcoat = Overcoat::new();
    let root = overcoat.path().join("project");
    write(
        &root,
        &[
            ("overcoat.toml", OWN),
            ("web/app.py", ""),
            (".registry", "local: file.example\n"),
            (
                "pipeline.properties",
                "GOOGLE_GKE_IMAGE_REPOSITORY=dev.example\n",
            ),
            (
                "skaffold.yaml",
                "apiVersion: skaffold/v4beta1\nbuild: {artifacts: [{image: other, docker: {}}]}\n",
            ),
        ],
    );
    let web = root.join("web");
    let plain = run(&overcoat, &web, &["config", "explain"], &[])
        .ok()
        .stdout;
    assert_eq!(
        plain
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>(),
        [
            "default-registry own.example overcoat.toml:1".to_owned(),
            format!("applications.web.path {} overcoat.toml:3", web.display()),
            "applications.web.image web default".to_owned(),
            "applications.web.builder builder:python-3.11 default".to_owned(),
            "applications.web.strategy auto default".to_owned(),
            "applications.web.environment.INDEX https://index.example/ overcoat.toml:4".to_owned(),
            "applications.web.platforms this machine's default".to_owned(),
            format!("applications.other.path {} skaffold.yaml:2", root.display()),
            "applications.other.image other skaffold.yaml:2".to_owned(),
            "applications.other.foreign it is built by a Dockerfile, `Dockerfile` skaffold.yaml:2"
                .to_owned(),
            "environments.pp.registry pp.example overcoat.toml:6".to_owned(),
            "environments.dev.registry dev.example pipeline.properties:1".to_owned(),
        ]
    );
    let variables = [("SKAFFOLD_DEFAULT_REPO", "variable.example/")];
    let words = ["config", "explain", "--json", "default-registry"];
    let done = run(&overcoat, &web, &words, &variables).ok();
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    let file = |name: &str| json!({ "kind": "file", "path": root.join(name), "line": 1 });
    assert_eq!(
        found["settings"],
        json!([{
            "key": "default-registry",
            "value": "variable.example",
            "origin": { "kind": "variable", "name": "SKAFFOLD_DEFAULT_REPO" },
            "overruled": [
                { "value": "own.example", "origin": file("overcoat.toml") },
                { "value": "file.example", "origin": file(".registry") },
                { "value": "dev.example", "origin": file("pipeline.properties") },
                { "value": "localhost:5001", "origin": { "kind": "default" } },
            ],
        }])
    );
    let verbose = run(
        &overcoat,
        &web,
        &["config", "explain", "-v", "default-registry"],
        &variables,
    );
    let verbose = verbose.ok().stdout;
    assert!(
        verbose.contains("variable.example  $SKAFFOLD_DEFAULT_REPO"),
        "{verbose}"
    );
    assert!(verbose.contains("overruled: overcoat.toml:1"), "{verbose}");
}

#[test]
fn what_cannot_be_understood_or_is_not_there_has_an_exit_code_of_its_own() {
    let overcoat = Overcoat::new();
    let root = overcoat.path().join("project");
    let explain = |more: &[&str], variables: &[(&str, &str)]| {
        let words: Vec<&str> = ["config", "explain"].iter().chain(more).copied().collect();
        run(&overcoat, &root, &words, variables)
    };
    write(
        &root,
        &[("overcoat.toml", "[environments.dev]\n\nregistri = 'x'\n")],
    );
    let done = explain(&[], &[]);
    assert_eq!(done.code, Some(80), "{}", done.stderr);
    assert!(
        done.stderr.contains("overcoat.toml`, line 3: "),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("hint: did you mean `registry`?"),
        "{}",
        done.stderr
    );

    write(
        &root,
        &[
            (
                "overcoat.toml",
                "[environments.dev]\nregistry = 'x.example'\n",
            ),
            ("other.toml", "project = 'other'\n"),
        ],
    );
    let done = explain(&["environments.prod"], &[]);
    assert_eq!(done.code, Some(81), "{}", done.stderr);
    for (words, variables) in [
        (&["--config", "other.toml"][..], &[][..]),
        (&[], &[("OVERCOAT_CONFIG", "other.toml")]),
    ] {
        let done = explain(words, variables).ok();
        assert!(done.stdout.contains("other.toml:1"), "{}", done.stdout);
    }
    for (words, variables) in [
        (&["--config", "none.toml"][..], &[][..]),
        (&[], &[("OCTOPILOT_PIPELINE_PROPERTIES", "none.properties")]),
    ] {
        let done = explain(words, variables);
        assert_eq!(done.code, Some(80), "{}", done.stderr);
        assert!(
            done.stderr.contains("there is no such file"),
            "{}",
            done.stderr
        );
    }
    write(&root, &[(".registry", "ci: not-a-list\n")]);
    let done = explain(&[], &[]);
    assert_eq!(done.code, Some(80), "{}", done.stderr);
    assert!(
        done.stderr.contains(".registry`, line 1: "),
        "{}",
        done.stderr
    );
}

#[test]
fn a_file_that_a_stranger_put_above_is_not_obeyed() {
    let overcoat = Overcoat::as_ordinary_user();
    let root = overcoat.path().join("outer");
    write(
        &root,
        &[("overcoat.toml", "project = 'theirs'\n"), ("mine/x", "")],
    );
    let own = |who: &str, path: &Path| {
        let status = Command::new("chown").arg(who).arg(path).status().unwrap();
        assert!(status.success(), "this needs root, as ./test.sh does");
    };
    own("nobody", &root.join("overcoat.toml"));
    let owner = super::support::ORDINARY_USER;
    own(owner, &root.join("mine"));
    let done = run(&overcoat, &root.join("mine"), &["config", "explain"], &[]);
    assert_eq!(done.code, Some(80), "{}", done.stderr);
    assert!(
        done.stderr.contains("belongs to another user"),
        "{}",
        done.stderr
    );
    own(owner, &root.join("overcoat.toml"));
    let done = run(
        &overcoat,
        &root.join("mine"),
        &["config", "explain", "project"],
        &[],
    )
    .ok();
    assert!(
        done.stdout.starts_with("project  theirs  "),
        "{}",
        done.stdout
    );
}

#[test]
fn explain_shows_the_registries_of_all_environments_and_the_contexts_of_run() {
    let overcoat = Overcoat::new();
    let root = overcoat.path().join("project");
    write(
        &root,
        &[
            (
                "pipeline.properties",
                "PROMOTE_SOURCE_REPOSITORY=file.example\n",
            ),
            (
                ".github/octopilot.yaml",
                "tag: edge\ncontexts:\n  web:\n    ports: ['80:8080', '81:81']\n    env: {A: b}\n    volumes: ['./x:/x']\n  bare:\n",
            ),
        ],
    );
    let variables = [
        ("PROMOTE_SOURCE_REPOSITORY", "variable.example"),
        ("WATCH_DESTINATION_REPOSITORY", "watch.example"),
    ];
    let explained = |words: &[&str]| {
        let words: Vec<&str> = ["config", "explain"].iter().chain(words).copied().collect();
        let text = run(&overcoat, &root, &words, &variables).ok().stdout;
        let lines = text.lines();
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        explained(&["-v"]),
        [
            "default-registry localhost:5001 default",
            "registry-of-watched watch.example $WATCH_DESTINATION_REPOSITORY",
            "registry-of-source variable.example $PROMOTE_SOURCE_REPOSITORY",
            "file.example overruled: pipeline.properties:1",
            "run-tag edge .github/octopilot.yaml:1",
            "contexts.web.ports 80:8080, 81:81 .github/octopilot.yaml:4",
            "contexts.web.volumes ./x:/x .github/octopilot.yaml:4",
            "contexts.web.env.A b .github/octopilot.yaml:4",
            "contexts.bare .github/octopilot.yaml:7",
        ]
    );
    assert_eq!(explained(&["contexts.web.env"]).len(), 1);
}

#[test]
fn notes_are_those_of_what_is_asked_for() {
    let overcoat = Overcoat::new();
    let root = overcoat.path().join("project");
    write(
        &root,
        &[
            (
                "skaffold.yaml",
                "apiVersion: skaffold/v4beta1\nbuild: {artifacts: [{image: a, buildpacks: {builder: b}}, {image: c, buildpacks: {builder: d}}]}\n",
            ),
            (".registry", "local: ghcr.io/${NOBODY_SET_THIS}\n"),
        ],
    );
    let variables = [("SKAFFOLD_DEFAULT_REPO", "variable.example")];
    let notes = |key: &[&str]| {
        let words: Vec<&str> = ["config", "explain", "-v"]
            .iter()
            .chain(key)
            .copied()
            .collect();
        let text = run(&overcoat, &root, &words, &variables).ok().stdout;
        let json: Vec<&str> = words.iter().chain(&["--json"]).copied().collect();
        let json = run(&overcoat, &root, &json, &variables).ok().stdout;
        let json: Value = serde_json::from_str(&json).unwrap();
        let lines: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("note "))
            .map(str::to_owned)
            .collect();
        assert_eq!(
            json["notes"].as_array().unwrap().len(),
            lines.len(),
            "{text}"
        );
        lines
    };
    assert_eq!(notes(&[]).len(), 3);
    assert_eq!(notes(&["applications"]).len(), 2);
    let of_a = notes(&["applications.a"]);
    assert!(of_a.len() == 1 && of_a[0].contains("image `a`"), "{of_a:?}");
    assert_eq!(notes(&["applications.a.path"]).len(), 1);
    let of_registry = notes(&["default-registry"]);
    assert!(
        of_registry.len() == 1 && of_registry[0].contains("NOBODY_SET_THIS"),
        "{of_registry:?}"
    );
}

#[test]
fn a_list_where_one_registry_is_meant_is_told_where_lists_go() {
    let overcoat = Overcoat::new();
    let root = overcoat.path().join("project");
    write(&root, &[(".registry", "local: [a.example]\n")]);
    let done = run(&overcoat, &root, &["config", "explain"], &[]);
    assert_eq!(done.code, Some(80), "{}", done.stderr);
    for part in [
        ".registry`, line 1",
        "`local` is one registry",
        "`ci` takes several",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

#[test]
fn a_wrong_command_line_shows_no_flags_that_nobody_typed() {
    let overcoat = Overcoat::new();
    let variables = [
        ("OVERCOAT_CONFIG", "x.toml"),
        ("OVERCOAT_HISTORY", "h"),
        ("OVERCOAT_ENVIRONMENT", "dev"),
    ];
    for words in [
        &["build", "--nope"][..],
        &["deploy", "--nope"],
        &["nope"],
        &["op", "push", "--nope"],
        &["--store"],
    ] {
        let mut command = overcoat.command(words);
        command
            .envs(variables)
            .env("SKAFFOLD_DEFAULT_REPO", "r.example");
        let done: Done = command.output().unwrap().into();
        assert_eq!(done.code, Some(2), "{words:?}: {}", done.stderr);
        let usage = done.stderr.split("Usage:").nth(1).unwrap_or_default();
        for flag in [
            "--store",
            "--config",
            "--history",
            "--environment",
            "--default-repo",
        ] {
            assert!(!usage.contains(flag), "{words:?}: {}", done.stderr);
        }
    }
    // What only a variable says wrongly is told all the same, and help names the variables.
    let mut command = overcoat.command(&["images"]);
    let done: Done = command.env("OVERCOAT_STORE", "").output().unwrap().into();
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(done.stderr.contains("--store <DIR>"), "{}", done.stderr);
    let help = overcoat.run(&["build", "--help"]).ok().stdout;
    assert!(help.contains("OVERCOAT_STORE"), "{help}");
}
