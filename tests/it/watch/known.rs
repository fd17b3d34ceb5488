//! What is known of the wanted image before the watch: what its tag stands for, and several workloads that are to run it.

use super::*;
use crate::support::copy_of_app;
use crate::support::registry::Registry;
use crate::support::tiny::Tiny;

#[test]
fn a_tag_means_what_its_registry_says_and_not_whatever_runs_under_it() {
    let test = "a_tag_means_what_its_registry_says_and_not_whatever_runs_under_it";
    let Some(bed) = Bed::start(test) else { return };
    let kubelet = bed.kubelet();
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let name = format!("{}/team/app:v1", registry.host());
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let source = source.to_str().unwrap();
    let build = [
        "build",
        source,
        "-t",
        &name,
        "--build-image",
        &builder,
        "--push",
    ];
    let pushed = Overcoat::new().run(&build).ok().digest(&name);
    let runs = |digest: &str| {
        let id = format!("{}/team/app@{digest}", registry.host());
        kubelet.fate(&name, Fate::Running(Some(id)));
    };
    runs(OTHER);
    web(&bed, &name);
    let overcoat = bed.overcoat();
    let done = watch(&overcoat, "web", &name, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    let expected = format!("`{name}` was pulled as {OTHER}");
    assert!(done.stderr.contains(&expected), "{}", done.stderr);
    runs(&pushed);
    wait_for("the other bytes", || {
        let pods = bed.list("v1", "pods");
        pods.iter()
            .any(|pod| pod.to_string().contains(&pushed))
            .then_some(())
    });
    let done = watch(&overcoat, "web", &name, &[]).ok();
    assert!(!done.stderr.contains("only the tag"), "{}", done.stderr);
    // The file of an older op says no more than the tag.
    let results = format!("{{\"builds\":[{{\"tag\":\"{name}\"}}]}}\n");
    let file = directory.path().join("build_result.json");
    std::fs::write(&file, results).unwrap();
    runs(OTHER);
    wait_for("the first bytes", || {
        let pods = bed.list("v1", "pods");
        pods.iter()
            .any(|pod| pod.to_string().contains(OTHER))
            .then_some(())
    });
    let words = [
        "watch",
        "--workload",
        "web",
        "--container",
        "web-app",
        "--timeout",
        "60s",
    ];
    let words = [&words[..], &["--build-result", file.to_str().unwrap()]].concat();
    let done = overcoat.run(&words);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
}

#[test]
fn several_workloads_are_watched_and_a_tag_that_nobody_resolves_is_told() {
    let test = "several_workloads_are_watched_and_a_tag_that_nobody_resolves_is_told";
    let Some(bed) = Bed::start(test) else { return };
    let _kubelet = bed.kubelet();
    let image = "127.0.0.1:1/team/app:v1";
    for name in ["web", "worker"] {
        let containers = [("sidecar", MESH), ("web-app", image)];
        bed.create("apps/v1", "deployments", &deployment(name, &containers));
    }
    let overcoat = bed.overcoat();
    let done = watch(
        &overcoat,
        "web",
        image,
        &["--workload", "deployment/worker"],
    )
    .ok();
    let namespace = bed.namespace();
    let expected =
        format!("{namespace} deployment/web {image}\n{namespace} deployment/worker {image}\n");
    assert_eq!(done.stdout, expected);
    let warning = format!("only the tag of `{image}` is compared");
    assert!(done.stderr.contains(&warning), "{}", done.stderr);
    let other = "127.0.0.1:1/team/app:v2";
    let more = ["--workload", "worker", "--timeout", "4s"];
    let done = watch(&overcoat, "web", other, &more);
    assert_eq!(done.code, Some(93), "{}", done.stderr);

    // Each with the image of its own name in the results.
    let digest = format!("127.0.0.1:1/team/worker:v1@{DIGEST}");
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("job", &[("main", &digest)]),
    );
    let file = overcoat.path().join("build_result.json");
    let results = format!(
        "{{\"builds\":[{{\"imageName\":\"job\",\"tag\":\"{digest}\"}},{{\"imageName\":\"app\",\"tag\":\"{image}\"}}]}}\n"
    );
    std::fs::write(&file, results).unwrap();
    let words = [
        "watch",
        "--workload",
        "job",
        "--workload",
        "web",
        "--stable",
        "0s",
    ];
    let file = ["--build-result", file.to_str().unwrap(), "--timeout", "60s"];
    let done = overcoat.run(&[&words[..], &file].concat()).ok();
    let expected =
        format!("{namespace} deployment/job {digest}\n{namespace} deployment/web {image}\n");
    assert_eq!(done.stdout, expected);
}
