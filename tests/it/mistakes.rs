//! Namespaces, kinds, times and places that cannot be meant: the same clear answer from every command around clusters.

use super::support::cluster::Bed;
use super::support::cluster::objects::deployment;
use super::support::tiny::Tiny;
use super::support::{Done, Overcoat};
use super::tiny::{application, shared};

const IMAGE: &str = "registry.example.com/team/app:v2";

#[track_caller]
fn failed(done: &Done, code: i32, parts: &[&str]) {
    assert_eq!(done.code, Some(code), "{}", done.stderr);
    assert_eq!(done.stdout, "");
    for part in parts {
        assert!(done.stderr.contains(part), "{part:?}: {}", done.stderr);
    }
}

#[test]
fn a_namespace_that_is_not_there_is_told_apart_from_an_empty_one() {
    let test = "a_namespace_that_is_not_there_is_told_apart_from_an_empty_one";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let overcoat = bed.overcoat();
    let deploy = [
        "deploy",
        "--cluster",
        "--no-verify",
        "--no-pin",
        "--image",
        IMAGE,
    ];
    let watch = ["watch", "--image", IMAGE, "--timeout", "60s"];
    for command in [&deploy[..], &watch[..]] {
        let with = |more: &[&str]| overcoat.run(&[command, more].concat());
        // The test's own namespace has nothing in it yet.
        let done = with(&["--workload", "web"]);
        assert!(!done.stderr.contains("has no namespace"), "{}", done.stderr);
        failed(&done, 85, &["web", "no workloads"]);
        let done = with(&["--workload", "web", "-n", "no-such-place"]);
        failed(
            &done,
            85,
            &[
                "the cluster has no namespace `no-such-place`",
                "`--namespace NAME`",
            ],
        );
    }
    let done =
        overcoat.run(&[&deploy[..], &["--container", "web", "-n", "no-such-place"]].concat());
    failed(&done, 85, &["the cluster has no namespace `no-such-place`"]);
    // One with workloads is there, and nothing more is asked.
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("api", &[("api", "x:1")]),
    );
    let done = overcoat.run(&[&deploy[..], &["--workload", "web"]].concat());
    failed(&done, 85, &["there is no workload `web`", "deployment/api"]);
}

#[test]
fn kinds_and_times_that_cannot_be_meant_are_mistakes_of_the_command_line() {
    let overcoat = Overcoat::new();
    let run = |arguments: &[&str]| overcoat.run(arguments);
    for workload in ["service/web", "deployment/", "Deployment/Web"] {
        let watch = run(&["watch", "--workload", workload, "--image", IMAGE]);
        assert_eq!(watch.code, Some(2), "{workload}: {}", watch.stderr);
        let arguments = [
            "deploy",
            "--cluster",
            "--image",
            IMAGE,
            "--workload",
            workload,
        ];
        let deploy = run(&arguments);
        // What a cluster would be asked for is looked at once one is known; there is none here.
        assert!(
            matches!(deploy.code, Some(2 | 90)),
            "{workload}: {}",
            deploy.stderr
        );
    }
    for arguments in [
        &[
            "watch",
            "--workload",
            "web",
            "--image",
            IMAGE,
            "--timeout",
            "0s",
        ][..],
        &[
            "watch",
            "--workload",
            "web",
            "--image",
            IMAGE,
            "--timeout",
            "0",
        ],
        &[
            "deploy",
            "--cluster",
            "--image",
            IMAGE,
            "--cluster-timeout",
            "0s",
        ],
    ] {
        failed(&run(arguments), 2, &["no time at all", "timeout"]);
    }
}

#[test]
fn a_kind_that_is_none_is_a_mistake_of_the_command_line_also_where_there_is_a_cluster() {
    let test = "a_kind_that_is_none_is_a_mistake_of_the_command_line_also_where_there_is_a_cluster";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let overcoat = bed.overcoat();
    for command in [
        &["deploy", "--cluster", "--no-verify", "--no-pin"][..],
        &["watch"],
    ] {
        for kind in ["service", "replicaset"] {
            let workload = format!("{kind}/web");
            let more = ["--image", IMAGE, "--workload", &workload];
            failed(&overcoat.run(&[command, &more].concat()), 2, &[kind]);
        }
    }
}

#[test]
fn an_archive_that_can_be_nowhere_is_told_with_a_place_that_would_do() {
    let directory = shared();
    let builder = Tiny::default().write(directory.path());
    let source = application(directory.path(), &[("app.py", "print(1)\n")]);
    let overcoat = Overcoat::new();
    overcoat
        .run(&["build", &source, "-t", "app:v1", "--build-image", &builder])
        .ok();
    let deploy = |to: &str| {
        let to = format!("archive:{to}");
        overcoat.run(&["deploy", "--image", "app:v1", "--to", &to])
    };
    let here = directory.path().display();
    let done = deploy(&format!("{here}/no/such/app.tar"));
    failed(
        &done,
        60,
        &[
            "there is no directory",
            "no/such`",
            "hint: make the directory first",
        ],
    );
    let done = deploy(&here.to_string());
    let hint = format!("`archive:{here}/image.tar`");
    failed(&done, 60, &["that is a directory", &hint]);
    deploy(&format!("{here}/app.tar")).ok();
    assert!(directory.path().join("app.tar").exists());
}
