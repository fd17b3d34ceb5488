//! The program called as `op`, against Debian's docker-registry: a pipeline changes only the binary.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::registry::private_registry;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat, tool};

/// A project as op knows it, whose builder alone is said in our file.
fn project(directory: &Path) {
    let builder = Tiny::default().write(directory);
    for name in ["base", "app"] {
        let source = directory.join(name);
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("app.py"), format!("print({name:?})\n")).unwrap();
    }
    let skaffold = "apiVersion: skaffold/v4beta1\nkind: Config\nbuild:\n  artifacts:\n  - {image: base, context: base, buildpacks: {builder: b}}\n  - {image: team/app, context: app, buildpacks: {builder: b}}\n";
    fs::write(directory.join("skaffold.yaml"), skaffold).unwrap();
    let own = format!(
        "[applications.base]\nbuilder = \"{builder}\"\n[applications.app]\nimage = \"team/app\"\nbuilder = \"{builder}\"\n"
    );
    fs::write(directory.join("overcoat.toml"), own).unwrap();
}

fn op(overcoat: &Overcoat, directory: &Path, words: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command: Command = overcoat.called("op", words);
    command.current_dir(directory);
    for name in [
        "GITHUB_ACTIONS",
        "GITHUB_REF",
        "SKAFFOLD_DEFAULT_REPO",
        "TAG",
        "VERSION",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.output().unwrap().into()
}

fn builds(directory: &Path) -> Vec<(String, String)> {
    let bytes = fs::read(directory.join("build_result.json")).unwrap();
    let found: Value = serde_json::from_slice(&bytes).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let builds = found["builds"].as_array().unwrap();
    builds
        .iter()
        .map(|build| (text(&build["imageName"]), text(&build["tag"])))
        .collect()
}

fn tags(host: &str, name: &str) -> Vec<String> {
    let text = tool(
        "skopeo",
        &[
            "list-tags",
            "--tls-verify=false",
            &format!("docker://{host}/{name}"),
        ],
    );
    let found: Value = serde_json::from_str(&text).unwrap();
    let tags = found["Tags"].as_array().unwrap();
    let mut tags: Vec<String> = tags
        .iter()
        .map(|tag| tag.as_str().unwrap().to_owned())
        .collect();
    tags.sort();
    tags
}

#[test]
fn a_pipeline_builds_pushes_and_promotes() {
    let overcoat = Overcoat::new();
    let (dev, pp) = (Registry::start(), Registry::start());
    let directory = overcoat.path().join("project");
    fs::create_dir(&directory).unwrap();
    project(&directory);
    let variables = [
        ("DOCKER_METADATA_OUTPUT_VERSION", "1.2.3_linux_amd64"),
        (
            "GOOGLE_GKE_IMAGE_REPOSITORY",
            &format!("{}/acme", dev.host()),
        ),
        (
            "GOOGLE_GKE_IMAGE_PP_REPOSITORY",
            &format!("{}/pp", pp.host()),
        ),
        ("SKAFFOLD_DEFAULT_REPO", &format!("{}/acme/", dev.host())),
    ];
    let run = |words: &[&str]| op(&overcoat, &directory, words, &variables);
    let done = run(&["build", "--push", "--platform", "linux/amd64"]).ok();
    assert!(
        done.stderr.contains("(the variable SKAFFOLD_DEFAULT_REPO)"),
        "{}",
        done.stderr
    );
    let found = builds(&directory);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["base", "team/app"]);
    for (name, tag) in &found {
        let prefix = format!("{}/acme/{name}:1.2.3@sha256:", dev.host());
        assert!(tag.starts_with(&prefix), "{tag}");
    }
    assert_eq!(tags(dev.host(), "acme/team/app"), ["1.2.3", "latest"]);

    let done = run(&[
        "promote-image",
        "--source",
        "dev",
        "--destination",
        "pp",
        "--image-name",
        "team/app",
    ])
    .ok();
    assert!(
        done.stderr.contains("Promotion successful."),
        "{}",
        done.stderr
    );
    assert_eq!(tags(pp.host(), "pp/team/app"), ["1.2.3"]);
    let digest = |host: &str, name: &str| {
        tool(
            "skopeo",
            &[
                "inspect",
                "--tls-verify=false",
                "--format={{.Digest}}",
                &format!("docker://{host}/{name}:1.2.3"),
            ],
        )
    };
    assert_eq!(
        digest(pp.host(), "pp/team/app"),
        digest(dev.host(), "acme/team/app")
    );

    let done = run(&["promote-image", "--source", "pp", "--destination", "prod"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("GOOGLE_GKE_IMAGE_PROD_REPOSITORY"),
        "{}",
        done.stderr
    );
}

#[test]
fn build_push_says_what_it_wrote_and_push_goes_to_every_registry_of_the_file() {
    let overcoat = Overcoat::new();
    let (one, two) = (Registry::start(), Registry::start());
    let directory = overcoat.path().join("project");
    fs::create_dir(&directory).unwrap();
    project(&directory);
    let release = [("GITHUB_REF", "refs/tags/v2.0.0")];
    let words = ["build-push", "--repo", one.host(), "--output", "out"];
    let done = op(&overcoat, &directory, &words, &release).ok();
    assert!(
        done.stdout.ends_with("Wrote out/build_result.json\n"),
        "{}",
        done.stdout
    );
    assert_eq!(tags(one.host(), "base"), ["2.0.0", "latest"]);
    let found = builds(&directory.join("out"));
    assert!(
        found[1]
            .1
            .starts_with(&format!("{}/team/app:2.0.0@sha256:", one.host())),
        "{found:?}"
    );

    let registry = format!("local: {}/x\nci: [{}/y]\n", one.host(), two.host());
    fs::write(directory.join(".registry"), registry).unwrap();
    op(
        &overcoat,
        &directory,
        &["push", "--destination", "all"],
        &[],
    )
    .ok();
    let content = |host: &str, name: &str| {
        let tags = tags(host, name);
        assert_eq!(tags.len(), 2, "{tags:?}");
        tags[0].clone()
    };
    assert_eq!(content(one.host(), "x/base"), content(two.host(), "y/base"));
    let (_, tag) = builds(&directory).remove(0);
    assert!(tag.starts_with(&format!("{}/x/base:", one.host())), "{tag}");
}

#[test]
fn failures_have_the_statuses_and_annotations_of_op() {
    let overcoat = Overcoat::new();
    let directory = overcoat.path().join("empty");
    fs::create_dir(&directory).unwrap();
    let github = [("GITHUB_ACTIONS", "true")];
    for (words, status, text) in [
        (&["build-push"][..], 1, "Skaffold file not found"),
        (&["build", "-f", "none.yaml"], 1, "Skaffold file not found"),
        (&["start-registry", "--image", "x"], 2, "not done here"),
        (
            &["push", "--image-pattern", "(?P<image>.*):(?P<tag>.*)"],
            1,
            "`--image-pattern` has no effect",
        ),
        (
            &[
                "watch-deployment",
                "--component",
                "c",
                "--environment",
                "e",
                "--poll-timeout",
                "1m",
            ],
            1,
            "`--poll-timeout` has no effect",
        ),
        (&["build", "--unknown"], 2, "--unknown"),
        (
            &["--config", "none.properties", "build"],
            2,
            "none.properties",
        ),
        (&["run", "nothing"], 1, "`nothing`"),
        (&["run", "context", "list"], 1, "Skaffold file not found"),
    ] {
        let done = op(&overcoat, &directory, words, &github);
        assert_eq!(done.code, Some(status), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(text), "{words:?}: {}", done.stderr);
        let is_annotated = done.stderr.contains("\n::error");
        assert_eq!(
            is_annotated,
            !words.contains(&"--unknown"),
            "{words:?}: {}",
            done.stderr
        );
    }
    let done = op(&overcoat, &directory, &["version"], &[]).ok();
    assert!(done.stdout.starts_with("op version "), "{}", done.stdout);
    // By the other way to call it, with flags of overcoat's own before it.
    let done = overcoat.run(&["--progress", "plain", "op", "version"]).ok();
    assert!(done.stdout.starts_with("op version "), "{}", done.stdout);
    let done = overcoat.run(&["op", "--help"]).ok();
    assert!(done.stdout.contains("promote-image"), "{}", done.stdout);
}

#[test]
fn a_properties_file_that_is_named_is_read() {
    let overcoat = Overcoat::new();
    let registry = Registry::start();
    let directory = overcoat.path().join("project");
    fs::create_dir(&directory).unwrap();
    project(&directory);
    let text = format!(
        "# where images go\nSKAFFOLD_DEFAULT_REPO = {}/properties\n",
        registry.host()
    );
    fs::write(directory.join("ci.properties"), text).unwrap();
    let words = [
        "--config",
        "ci.properties",
        "-v",
        "build",
        "--push",
        "--artifact",
        "base",
    ];
    let done = op(&overcoat, &directory, &words, &[]).ok();
    assert!(
        done.stderr.contains("+ overcoat build --application=base"),
        "{}",
        done.stderr
    );
    let (name, tag) = builds(&directory).remove(0);
    assert_eq!(name, "base");
    let (reference, digest) = tag.split_once("@sha256:").unwrap();
    assert_eq!(
        reference,
        format!("{}/properties/base:{}", registry.host(), &digest[..12])
    );
    assert_eq!(tags(registry.host(), "properties/base").len(), 2);
}

#[test]
fn an_authority_that_ops_variable_names_is_trusted_beside_the_machines() {
    let overcoat = Overcoat::new();
    let directory = overcoat.path().join("project");
    fs::create_dir(&directory).unwrap();
    project(&directory);
    let (registry, authority) = private_registry(&directory);
    let words = [
        "build",
        "--push",
        "--artifact",
        "base",
        "--repo",
        registry.host(),
    ];
    let refused = op(&overcoat, &directory, &words, &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    let trusted = [
        ("OP_REGISTRY_CA_PATH", authority.as_str()),
        ("SKAFFOLD_LABEL", "a=b"),
    ];
    let done = op(&overcoat, &directory, &words, &trusted);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for warning in [
        "SKAFFOLD_LABEL has no effect",
        "builder `b` of the image `base` is for buildpacks",
    ] {
        assert!(done.stderr.contains(warning), "{warning}: {}", done.stderr);
    }
    let missing = [("OP_REGISTRY_CA_PATH", "/nowhere.pem")];
    let done = op(&overcoat, &directory, &words, &missing);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("OP_REGISTRY_CA_PATH names no file with certificates"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_file_of_skaffolds_without_artifacts_is_told_apart_from_none() {
    let overcoat = Overcoat::new();
    let directory = overcoat.path().join("project");
    fs::create_dir(&directory).unwrap();
    let text = "apiVersion: skaffold/v4beta1\nkind: Config\nbuild:\n  artifacts: []\n";
    fs::write(directory.join("skaffold.yaml"), text).unwrap();
    let done = op(&overcoat, &directory, &["build"], &[]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(
        done.stderr.contains("skaffold.yaml` names no artifacts"),
        "{}",
        done.stderr
    );
    assert!(!directory.join("build_result.json").exists());
}
