use super::*;
use crate::cli::op::args::{Cli, Command};
use clap::Parser;

fn build(words: &[&str]) -> Build {
    let words = ["op", "build"].iter().chain(words);
    match Cli::try_parse_from(words).unwrap().command {
        Command::Build(build) => *build,
        other => panic!("{other:?}"),
    }
}

fn project(text: &str, variables: &[(&str, &str)]) -> (tempfile::TempDir, Settings, Project) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("skaffold.yaml"), text).unwrap();
    let mut settings = Settings::default();
    settings.wanted.directory = directory.path().to_owned();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.wanted.variables = variables.iter().map(own).collect();
    let project = settings.project().unwrap();
    (directory, settings, project)
}

const TWO: &str = "apiVersion: skaffold/v4beta1\nkind: Config\nbuild:\n  artifacts:\n  - {image: base, context: ., buildpacks: {builder: one}}\n  - {image: app, context: ., buildpacks: {builder: two, runImage: base}}\n";

#[test]
fn registries_without_tls_come_from_the_flag_and_both_variables_once_each() {
    let variables = [
        ("SKAFFOLD_INSECURE_REGISTRY", "a:1, b:2,"),
        ("SKAFFOLD_INSECURE_REGISTRIES", "b:2,c:3"),
    ];
    let (_directory, settings, _) = project(TWO, &variables);
    let found = insecure_registries(&build(&["--insecure-registry", "c:3,d:4"]), &settings);
    assert_eq!(found, ["c:3", "d:4", "a:1", "b:2"]);
    let (_directory, settings, _) = project(TWO, &[]);
    assert!(insecure_registries(&build(&[]), &settings).is_empty());
}

#[test]
fn what_only_buildpacks_heed_is_told_of_the_artifacts_that_are_built() {
    let (_directory, _, project) = project(TWO, &[]);
    let all = unheeded(&build(&[]), &project);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(
        all[2].starts_with("runImage `base` of the image `app`"),
        "{all:?}"
    );
    let one = unheeded(&build(&["--artifact", "base"]), &project);
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(one[0].starts_with("builder `one`"), "{one:?}");
}
