use std::path::{Path, PathBuf};

use super::args::{self, Cli, Command};
use super::settings::Settings;
use super::step::Step;
use super::*;
use crate::project::version::TagFrom;
use crate::project::{Origin, Project, Setting};

/// A project's directory with these files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

/// Nothing but what a test says, whatever the machine's environment has.
fn settings(directory: &Path, variables: &[(&str, &str)]) -> (Settings, Project) {
    let mut settings = Settings::default();
    settings.wanted.directory = directory.to_owned();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.wanted.variables = variables.iter().map(own).collect();
    let project = settings.project().unwrap();
    (settings, project)
}

fn parsed(words: &[&str]) -> Cli {
    let words = ["op"].iter().chain(words);
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"))
}

/// A call as text; what is no command line of overcoat's fails.
#[track_caller]
pub(super) fn text(step: &Step) -> String {
    let words = [OsString::from("overcoat")]
        .into_iter()
        .chain(step.arguments.iter().cloned());
    let words: Vec<OsString> = words.collect();
    if let Err(error) = crate::cli::command().try_get_matches_from(&words) {
        panic!("{words:?}: {error}");
    }
    let words: Vec<_> = step
        .arguments
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

#[track_caller]
fn texts(steps: Result<Vec<Step>, Diagnostic>) -> Vec<String> {
    steps.unwrap().iter().map(text).collect()
}

const TWO: &str = "apiVersion: skaffold/v4beta1\nbuild:\n  artifacts:\n  - {image: base, context: base, buildpacks: {builder: b}}\n  - {image: team/my-app, context: app, buildpacks: {builder: b}}\n";
const MIXED: &str = "apiVersion: skaffold/v2beta29\nbuild:\n  artifacts:\n  - {image: app, buildpacks: {builder: b}}\n  - {image: front, docker: {dockerfile: F}}\n  - {image: my-chart, buildpacks: {builder: b}}\n";

fn build(
    words: &[&str],
    files: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Vec<Step>, Diagnostic> {
    let directory = tree(files);
    let cli = parsed(words);
    let Command::Build(args) = &cli.command else {
        panic!("{words:?}")
    };
    let (settings, _) = settings(directory.path(), variables);
    let settings = settings.with_registry("--repo", args.repo.as_ref());
    let project = settings.project()?;
    build::build_steps(args, &settings, &project, Path::new("/r.json"))
}

#[test]
fn it_is_op_by_the_name_of_the_program_or_by_the_first_word() {
    let call = |words: &[&str]| {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Call::of(&words).map(|call| call.words.len())
    };
    assert_eq!(call(&["/usr/bin/op", "build"]), Some(1));
    assert_eq!(call(&["octopipeline"]), Some(0));
    assert_eq!(call(&["overcoat", "op", "build", "--push"]), Some(2));
    assert_eq!(call(&["overcoat", "build", "op"]), None);
    assert_eq!(call(&["overcoat"]), None);
    assert_eq!(call(&[]), None);
    Cli::command().debug_assert();
}

#[test]
fn build_builds_all_artifacts_in_their_order_where_the_project_says() {
    let files = [("skaffold.yaml", TWO)];
    assert_eq!(
        texts(build(&["build"], &files, &[])),
        [
            "build --application=base --application=team/my-app --repo=localhost:5001 --result-file=/r.json"
        ]
    );
    let words = [
        "build",
        "--push",
        "--repo",
        "ghcr.io/acme/",
        "--platform",
        "linux/amd64,linux/arm64",
        "--insecure-registry",
        "a.example:5000,b.example",
    ];
    assert_eq!(
        texts(build(
            &words,
            &files,
            &[("SKAFFOLD_DEFAULT_REPO", "no.example")]
        )),
        [
            "build --application=base --application=team/my-app --repo=ghcr.io/acme --push \
          --platform=linux/amd64,linux/arm64 --insecure-registry=a.example:5000 --insecure-registry=b.example \
          --result-file=/r.json"
        ]
    );
    assert_eq!(
        texts(build(
            &["build", "--artifact", "my-app"],
            &files,
            &[("SKAFFOLD_DEFAULT_REPO", "a.example")]
        )),
        ["build --application=team/my-app --repo=a.example --result-file=/r.json"]
    );
    let own = [(
        "overcoat.toml",
        "default-registry = 'own.example'\n[applications.web]\n",
    )];
    assert_eq!(
        texts(build(&["build"], &own, &[])),
        ["build --application=web --repo=own.example --result-file=/r.json"]
    );
}

#[test]
fn a_version_of_the_pipeline_and_ttl_sh_give_the_images_their_names() {
    let files = [("skaffold.yaml", TWO)];
    let version = [
        ("DOCKER_METADATA_OUTPUT_VERSION", "1.2.3_linux_amd64"),
        ("TAG", "no"),
    ];
    assert_eq!(
        texts(build(&["build", "--push"], &files, &version)),
        [
            "build --application=base --tag=localhost:5001/base:1.2.3 --tag=localhost:5001/base:latest --push --result-file=/r.json",
            "build --application=team/my-app --tag=localhost:5001/team/my-app:1.2.3 --tag=localhost:5001/team/my-app:latest --push --result-file=/r.json",
        ]
    );
    let words = [
        "build",
        "--push",
        "--artifact",
        "team/my-app",
        "--ttl-uuid",
        "0af",
        "--ttl-tag",
        "2h",
    ];
    assert_eq!(
        texts(build(&words, &files, &version)),
        ["build --application=team/my-app --tag=ttl.sh/0af-app:2h --push --result-file=/r.json"]
    );
}

#[test]
fn what_cannot_be_built_here_is_named_with_its_reason() {
    let error = build(&["build"], &[("skaffold.yaml", MIXED)], &[]).unwrap_err();
    assert_eq!(error.what, "cannot build `front`, `my-chart` here");
    assert_eq!(
        error.because,
        [
            "`front`: it is built by a Dockerfile, `F`",
            "`my-chart`: it is a Helm chart, by its name"
        ]
    );
    let one = build(
        &["build", "--artifact", "app"],
        &[("skaffold.yaml", MIXED)],
        &[],
    );
    assert_eq!(texts(one).len(), 1);
    let error = build(
        &["build", "--artifact", "front"],
        &[("skaffold.yaml", MIXED)],
        &[],
    )
    .unwrap_err();
    assert!(error.what.contains("`front`"));
    let error = build(&["build"], &[], &[]).unwrap_err();
    assert!(
        error.what.starts_with("Skaffold file not found: "),
        "{error}"
    );
    // Declared here, it is ours to build.
    let declared = [
        ("skaffold.yaml", MIXED),
        (
            "overcoat.toml",
            "[applications.front]\n[applications.my-chart]\n",
        ),
    ];
    assert_eq!(texts(build(&["build"], &declared, &[])).len(), 1);
}

#[test]
fn build_push_has_the_tag_of_a_release_and_else_that_of_the_content() {
    let directory = tree(&[("skaffold.yaml", TWO)]);
    let steps = |variables: &[(&str, &str)], from| {
        let (settings, project) = settings(directory.path(), variables);
        texts(build::pushed_steps(
            &settings,
            &project,
            Path::new("/r.json"),
            from,
        ))
    };
    let plain = "build --application=base --application=team/my-app --push --repo=localhost:5001 --result-file=/r.json";
    assert_eq!(steps(&[], TagFrom::Content), [plain]);
    // A branch is no release, and git is not asked for one.
    assert_eq!(
        steps(
            &[("GITHUB_REF", "refs/heads/main"), ("GITHUB_SHA", "abc")],
            TagFrom::Ci
        ),
        [plain]
    );
    let release = [("GITHUB_REF", "refs/tags/v1.2.3")];
    assert_eq!(
        steps(&release, TagFrom::Ci),
        [
            "build --application=base --application=team/my-app --push --repo=localhost:5001 --tag-from=ci --result-file=/r.json"
        ]
    );
    assert_eq!(steps(&release, TagFrom::Content), [plain]);
}

#[test]
fn push_goes_where_the_destination_says() {
    let registry = "local: local.example\nci: [one.example, {url: two.example}, one.example/]\n";
    let files = [("skaffold.yaml", TWO), (".registry", registry)];
    let directory = tree(&files);
    let push = |directory: &Path, words: &[&str], variables: &[(&str, &str)]| {
        let all: Vec<&str> = ["push"].iter().chain(words).copied().collect();
        let cli = parsed(&all);
        let Command::Push(args) = cli.command else {
            panic!("{words:?}")
        };
        // What the machine's environment says is not asked here.
        let args = args::Push {
            default_repo: args
                .default_repo
                .filter(|_| words.contains(&"--default-repo")),
            ..*args
        };
        let (settings, project) = settings(directory, variables);
        let steps = build::push_steps(
            &args,
            &settings,
            &project,
            Path::new("/r.json"),
            Path::new("/e.json"),
        )?;
        let repo = |step: &Step| {
            let text = text(step);
            text.split(" --repo=").nth(1).unwrap().to_owned()
        };
        Ok::<_, Diagnostic>(steps.iter().map(repo).collect::<Vec<_>>())
    };
    let github = ("GITHUB_ACTIONS", "true");
    let result = " --result-file=/r.json";
    for (words, variables, expected) in [
        (&[][..], &[][..], &["local.example"][..]),
        (&[], &[github], &["one.example"]),
        (&["--push-all"], &[github], &["one.example", "two.example"]),
        (&["--destination", "local"], &[github], &["local.example"]),
        (&["--destination", "ci"], &[], &["one.example"]),
        (
            &["--destination", "all"],
            &[],
            &["local.example", "one.example", "two.example"],
        ),
        (
            &["--default-repo", "x.example/", "--destination", "all"],
            &[],
            &["x.example"],
        ),
        (
            &[],
            &[("GOOGLE_GKE_IMAGE_REPOSITORY", "dev.example")],
            &["dev.example"],
        ),
    ] {
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        expected[0].push_str(result);
        for other in &mut expected[1..] {
            other.push_str(" --result-file=/e.json");
        }
        assert_eq!(
            push(directory.path(), words, variables).unwrap(),
            expected,
            "{words:?}"
        );
    }
    let none = tree(&files[..1]);
    let error = push(none.path(), &[], &[]).unwrap_err();
    let hint = error.hints.join(" ");
    assert!(
        hint.contains("--default-repo") && hint.contains("SKAFFOLD_DEFAULT_REPO"),
        "{error}"
    );
    let missing = tree(&[files[0], (".registry", "local: l.example")]);
    assert!(push(missing.path(), &["--destination", "ci"], &[]).is_err());
    for words in [
        &["push", "--destination", "invalid"][..],
        &["push", "--image-pattern", "("],
        &["push", "--image-pattern", "(?P<image>x)"],
        &["promote-image", "--source", "dev"],
        &["build", "--unknown"],
    ] {
        assert!(
            Cli::try_parse_from(["op"].iter().chain(words)).is_err(),
            "{words:?}"
        );
    }
    parsed(&["push", "--image-pattern", "(?P<image>.*):(?P<tag>.*)"]);
}

#[test]
fn push_takes_the_profile_push_if_there_is_one_and_any_that_is_named() {
    let skaffold = "apiVersion: skaffold/v4beta1\nbuild: {artifacts: [{image: a, buildpacks: {}}]}\nprofiles:\n- name: push\n  build: {artifacts: [{image: b, buildpacks: {}}]}\n- name: other\n";
    let without = skaffold.replace("name: push", "name: pull");
    for (text, profile, expected) in [
        (skaffold, None, Some(("b", Some("push")))),
        (skaffold, Some("other"), Some(("a", Some("other")))),
        (&without, None, Some(("a", None))),
        (&without, Some("pull"), Some(("b", Some("pull")))),
        (&without, Some("push"), None),
    ] {
        let directory = tree(&[("skaffold.yaml", text)]);
        let (settings, _) = settings(directory.path(), &[]);
        let settings = settings.with_profile(profile).unwrap();
        let Some((image, variable)) = expected else {
            let error = settings.project().unwrap_err();
            assert!(error.what.contains("has no profile `push`"), "{error}");
            assert!(error.hints[0].contains("`pull`, `other`"), "{error}");
            continue;
        };
        let project = settings.project().unwrap();
        assert_eq!(project.applications[0].name, image, "{profile:?}");
        let step = settings.step("build");
        let found = step.variables.iter();
        let found = found.filter(|(name, _)| name == "SKAFFOLD_PROFILE");
        let found: Vec<&str> = found.filter_map(|(_, value)| value.to_str()).collect();
        assert_eq!(found, variable.into_iter().collect::<Vec<_>>());
    }
    // What op calls profiles by in CI.
    let directory = tree(&[("skaffold.yaml", skaffold)]);
    let (_, project) = settings(directory.path(), &[("SKAFFOLD_PROFILE", "other, push")]);
    assert_eq!(project.applications[0].name, "b");
}

#[test]
fn promote_image_takes_the_registries_of_the_environments() {
    let directory = tree(&[]);
    let variables = [
        ("GOOGLE_GKE_IMAGE_REPOSITORY", "ghcr.io/acme"),
        ("GOOGLE_GKE_IMAGE_PP_REPOSITORY", "eu.example/pp"),
        ("PROMOTE_SOURCE_REPOSITORY", "fallback.example"),
    ];
    let (settings, project) = settings(directory.path(), &variables);
    let step = |words: &[&str]| {
        let all: Vec<&str> = ["promote-image"].iter().chain(words).copied().collect();
        let cli = parsed(&all);
        let Command::PromoteImage(args) = &cli.command else {
            panic!("{words:?}")
        };
        promote::step(args, &settings, &project)
    };
    let found = step(&[
        "--source",
        "dev",
        "--destination",
        "pp",
        "--build-result-dir",
        "/d",
        "--image-name",
        "app",
    ]);
    assert_eq!(
        text(&found.unwrap()),
        "promote --source=dev --destination=pp --source-registry=ghcr.io/acme --destination-registry=eu.example/pp \
         --build-result=/d/build_result.json --image-name=app"
    );
    let fallback = text(&step(&["--source", "staging", "--destination", "pp"]).unwrap());
    assert!(
        fallback.contains("--source-registry=fallback.example"),
        "{fallback}"
    );
    let error = step(&["--source", "pp", "--destination", "prod"]).unwrap_err();
    let hint = error.hints.join(" ");
    assert!(hint.contains("GOOGLE_GKE_IMAGE_PROD_REPOSITORY"), "{error}");
}

#[test]
fn of_build_result_the_directory_counts_unless_the_file_is_there() {
    let directory = tree(&[("other.json", "{}")]);
    let root = directory.path();
    let file = |path: PathBuf| {
        let flags = args::ResultFlags {
            build_result_dir: PathBuf::from("."),
            build_result: Some(path),
            image_name: None,
        };
        promote::result_file(&flags).unwrap()
    };
    assert_eq!(file(root.join("other.json")), root.join("other.json"));
    assert_eq!(file(root.join("none.json")), root.join("build_result.json"));
    assert_eq!(file(root.to_owned()), root.join("build_result.json"));
}

#[test]
fn watch_deployment_passes_on_what_overcoat_knows() {
    let directory = tree(&[(
        "overcoat.toml",
        "[environments.pp]\nnamespace = 'acme'\n[environments.dev]\n",
    )]);
    let (settings, project) = settings(directory.path(), &[]);
    let step = |words: &[&str]| {
        let all: Vec<&str> = ["watch-deployment"].iter().chain(words).copied().collect();
        let cli = parsed(&all);
        let Command::WatchDeployment(args) = &cli.command else {
            panic!("{words:?}")
        };
        text(&watch::step(args, &settings, &project).unwrap())
    };
    let component = [
        "--component",
        "web",
        "--build-result-dir",
        "/d",
        "--environment",
    ];
    let rest = " --timeout=30m --build-result=/d/build_result.json";
    let with = |environment: &str, more: &[&str]| {
        let words: Vec<&str> = component
            .iter()
            .chain(&[environment])
            .chain(more)
            .copied()
            .collect();
        step(&words)
    };
    assert_eq!(
        with("pp", &[]),
        format!("watch --component=web --environment=pp{rest}")
    );
    assert_eq!(
        with("dev", &[]),
        format!("watch --component=web --environment=dev --namespace=default{rest}")
    );
    assert_eq!(
        with("qa", &[]),
        format!("watch --component=web --namespace=default{rest}")
    );
    assert_eq!(
        with("pp", &["--namespace", "n", "--image-name", "a"]),
        format!("watch --component=web --environment=pp --namespace=n{rest} --image-name=a")
    );
    let several = ["--component", "api", "--container", "web-app"];
    assert_eq!(
        with("qa", &several),
        format!(
            "watch --component=web --component=api --container=web-app --namespace=default{rest}"
        )
    );
}

#[test]
fn contexts_are_listed_with_their_ports() {
    let octopilot = "contexts: {my-app: {ports: ['80:80']}}\n";
    let directory = tree(&[
        ("skaffold.yaml", TWO),
        ("octopilot.yaml", octopilot),
        ("base/Procfile", "web: x -p 5000"),
    ]);
    let (_, project) = settings(directory.path(), &[]);
    assert_eq!(
        context::listed(&project).unwrap(),
        "Contexts (use: op run <context>):\n  base (base, port 5000)\n  my-app (team/my-app, port 8080)"
    );
    assert_eq!(
        project.registry,
        Some(Setting::new("localhost:5001".to_owned(), Origin::Default))
    );
}
