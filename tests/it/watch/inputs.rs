//! What is watched, out of the project, the environment and the results.

use std::fs;

use super::*;

/// A project of two applications with an environment that is this test's namespace.
fn project(bed: &Bed, overcoat: &Overcoat) {
    let text = format!(
        "project = \"shop\"\n\
         [applications.web]\nimage = \"team/app\"\ncontainer = \"web-app\"\nworkload = \"deployment/web\"\n\
         [applications.relay]\nimage = \"team/relay\"\n\
         [environments.prod]\nregistry = \"prod.example.com/eu\"\nnamespace = \"{}\"\ncontext = \"k3d-test\"\n\
         [environments.elsewhere]\nnamespace = \"elsewhere\"\n",
        bed.namespace()
    );
    fs::write(overcoat.path().join("overcoat.toml"), text).unwrap();
}

fn run(overcoat: &Overcoat, words: &[&str]) -> Done {
    let mut command = overcoat.command(words);
    command.current_dir(overcoat.path());
    command.args(["--interval", "200ms", "--timeout", "60s", "--stable", "0s"]);
    command.output().unwrap().into()
}

#[test]
fn applications_are_watched_with_the_images_that_the_environment_has() {
    let test = "applications_are_watched_with_the_images_that_the_environment_has";
    let Some(bed) = Bed::start(test) else { return };
    let kubelet = bed.kubelet();
    let overcoat = bed.overcoat();
    project(&bed, &overcoat);
    let image = "prod.example.com/eu/team/app:v1";
    kubelet.fate(
        image,
        Fate::Running(Some(format!("prod.example.com/eu/team/app@{DIGEST}"))),
    );
    web(&bed, image);
    let relay = format!("prod.example.com/eu/team/relay@{OTHER}");
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("relay", &[("main", &relay)]),
    );
    let words = ["watch", "--environment", "prod"];

    let done = run(&overcoat, &words);
    assert_eq!(done.code, Some(82), "{}", done.stderr);
    assert!(done.stderr.contains("build_result.json"), "{}", done.stderr);

    // They were built for dev, and promoted since.
    let result = format!(
        "{{\"builds\":[{{\"imageName\":\"team/relay\",\"tag\":\"dev.example.com/team/relay:v1@{OTHER}\"}},\
         {{\"imageName\":\"team/app\",\"tag\":\"team/app:v1@{DIGEST}\"}}]}}\n"
    );
    fs::write(overcoat.path().join("build_result.json"), result).unwrap();
    let done = run(&overcoat, &words).ok();
    let namespace = bed.namespace();
    let expected =
        format!("{namespace} deployment/web {image}\n{namespace} deployment/relay {relay}\n");
    let mut lines: Vec<&str> = done.stdout.lines().collect();
    let mut wanted: Vec<&str> = expected.lines().collect();
    lines.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(lines, wanted);
    run(&overcoat, &["watch", "relay", "--environment", "prod"]).ok();
    // op's words.
    let words = [
        "watch-deployment",
        "--component",
        "web",
        "--environment",
        "prod",
        "--build-result-dir",
        ".",
    ];
    let words = [
        &words[..],
        &["--image-name", "team/app", "--container", "web-app"],
    ]
    .concat();
    run(&overcoat, &words).ok();

    for (words, code, part) in [
        (&["watch", "wep", "--environment", "prod"][..], 81, "wep"),
        (&["watch", "web", "--environment", "stage"], 81, "stage"),
        (
            &["watch", "web", "--image-name", "team/other"],
            82,
            "team/other",
        ),
        (
            &["watch", "web", "--environment", "elsewhere"],
            85,
            "has no namespace `elsewhere`",
        ),
        (&["watch", "--image", V1], 2, "2 applications"),
        (
            &["watch", "web", "--image", "Not An Image"],
            3,
            "Not An Image",
        ),
        (
            &["watch", "web", "--ready-log", "("],
            2,
            "not a regular expression",
        ),
        (
            &["watch", "web", "--reconcile", "deployment/web"],
            2,
            "is not an object of Flux",
        ),
    ] {
        let done = run(&overcoat, words);
        assert_eq!(done.code, Some(code), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(part), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn a_directory_without_a_project_has_nothing_to_watch() {
    let overcoat = Overcoat::new();
    let done = run(&overcoat, &["watch"]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(
        done.stderr.contains("nothing says what is to be watched"),
        "{}",
        done.stderr
    );
    let done = run(&overcoat, &["watch", "--workload", "web", "--image", V1]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr.contains("no cluster is known"),
        "{}",
        done.stderr
    );
}
