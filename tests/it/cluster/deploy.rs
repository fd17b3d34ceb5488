//! One container of one workload, and nothing else.

use std::thread;

use serde_json::{Value, json};

use super::super::support::cluster::objects::{daemon_set, deployment, stateful_set};
use super::super::support::cluster::{ADMIN, Bed};
use super::super::support::registry::Registry;
use super::super::support::tiny::Tiny;
use super::super::support::{Overcoat, copy_of_app};
use super::{deploy, digest, image_of, running, wait_until_ready};

/// What changed between two objects: paths and the new values.
fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differences(&format!("{path}/{key}"), &before[key], &after[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{index}"), a, b, found);
            }
        }
        (a, b) if a != b => found.push(format!("{path} = {b}")),
        _ => {}
    }
}

#[test]
fn only_the_image_of_one_container_changes_and_the_rollout_follows() {
    let Some(bed) = Bed::start("only_the_image_of_one_container_changes_and_the_rollout_follows")
    else {
        return;
    };
    let _kubelet = bed.kubelet();
    bed.create(
        "apps/v1",
        "deployments",
        &deployment(
            "web",
            &[
                ("wosp", "example.com/wosp:1"),
                ("web-app", "example.com/app:1"),
            ],
        ),
    );
    wait_until_ready(&bed, "deployments", "web");
    let before = bed.get("apps/v1", "deployments", "web");
    let image = format!("example.com/app:2@{}", digest("a"));
    let done = deploy(
        &bed,
        &[
            "--image",
            &image,
            "--container",
            "web-app",
            "--format",
            "json",
        ],
    )
    .ok();
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(report["context"], "k3d-test");
    assert_eq!(report["server"], bed.url());
    let outcome = &report["outcome"];
    for (key, expected) in [
        ("workload", json!("deployment/web")),
        ("namespace", json!(bed.namespace())),
        ("container", json!("web-app")),
        ("previous_image", json!("example.com/app:1")),
        ("image", json!(image)),
        ("is_changed", json!(true)),
        ("generation", json!(2)),
    ] {
        assert_eq!(outcome[key], expected, "{key}: {report}");
    }
    let after = bed.get("apps/v1", "deployments", "web");
    let mut found = Vec::new();
    differences("", &before["spec"], &after["spec"], &mut found);
    assert_eq!(
        found,
        [format!("/template/spec/containers/1/image = \"{image}\"")]
    );
    assert_eq!(
        after["metadata"]["annotations"]["kubernetes.io/change-cause"],
        format!("overcoat deploy --cluster --image {image}")
    );
    wait_until_ready(&bed, "deployments", "web");
    let pods = running(&bed);
    assert_eq!(pods[0][0]["image"], "example.com/wosp:1", "{pods:?}");
    assert_eq!(pods[0][1]["image"], image, "{pods:?}");
}

#[test]
fn the_same_image_again_sends_nothing() {
    let Some(bed) = Bed::start("the_same_image_again_sends_nothing") else {
        return;
    };
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "example.com/app:1")]),
    );
    let image = format!("example.com/app:2@{}", digest("b"));
    deploy(&bed, &["--image", &image, "--workload", "web"]).ok();
    let before = bed.get("apps/v1", "deployments", "web");
    // The same bytes by another tag are the same image.
    for image in [image.clone(), image.replace(":2@", ":3@")] {
        let done = deploy(&bed, &["--image", &image, "--workload", "web"]).ok();
        assert!(
            done.stdout.contains("already: nothing was changed"),
            "{}",
            done.stdout
        );
    }
    let after = bed.get("apps/v1", "deployments", "web");
    assert_eq!(
        after["metadata"]["generation"],
        before["metadata"]["generation"]
    );
    let cause =
        |object: &Value| object["metadata"]["annotations"]["kubernetes.io/change-cause"].clone();
    assert_eq!(cause(&after), cause(&before));
}

#[test]
fn stateful_sets_and_daemon_sets_roll_out_too() {
    let Some(bed) = Bed::start("stateful_sets_and_daemon_sets_roll_out_too") else {
        return;
    };
    let _kubelet = bed.kubelet();
    bed.create(
        "apps/v1",
        "statefulsets",
        &stateful_set("db", &[("db", "example.com/db:1")]),
    );
    bed.create(
        "apps/v1",
        "daemonsets",
        &daemon_set(&bed, "agent", &[("agent", "example.com/agent:1")]),
    );
    for (resource, name) in [("statefulsets", "db"), ("daemonsets", "agent")] {
        wait_until_ready(&bed, resource, name);
        let image = format!("example.com/{name}:2@{}", digest("c"));
        deploy(&bed, &["--image", &image, "--container", name]).ok();
        assert_eq!(image_of(&bed, resource, name, name), image);
        wait_until_ready(&bed, resource, name);
        assert!(
            running(&bed)
                .iter()
                .any(|statuses| statuses[0]["image"] == image.as_str())
        );
    }
}

#[test]
fn what_is_not_one_container_is_refused_and_nothing_is_changed() {
    let Some(bed) = Bed::start("what_is_not_one_container_is_refused_and_nothing_is_changed")
    else {
        return;
    };
    let both = [
        ("wosp", "example.com/wosp:1"),
        ("web-app", "example.com/app:1"),
    ];
    bed.create("apps/v1", "deployments", &deployment("gateway", &both));
    bed.create("apps/v1", "deployments", &deployment("relay", &both));
    let image = format!("example.com/app:2@{}", digest("d"));
    for (code, flags, text, hint) in [
        (
            87,
            &["--container", "web-app"][..],
            "deployment/gateway, deployment/relay",
            "`--workload KIND/NAME`",
        ),
        (
            85,
            &["--container", "web"],
            "has a container `web`",
            "deployment/gateway: wosp, web-app",
        ),
        (
            85,
            &["--workload", "web"],
            "there is no workload `web`",
            "deployment/gateway; deployment/relay",
        ),
        (
            87,
            &["--workload", "relay"],
            "deployment/relay has several",
            "`--container NAME`",
        ),
        (
            85,
            &["--workload", "relay", "--container", "x"],
            "deployment/relay has no container `x`",
            "wosp, web-app",
        ),
    ] {
        let done = deploy(&bed, &[&["--image", &image], flags].concat());
        assert_eq!(done.code, Some(code), "{flags:?}: {}", done.stderr);
        assert!(
            done.stderr.contains(text) && done.stderr.contains(hint),
            "{flags:?}: {}",
            done.stderr
        );
        assert_eq!(done.stdout, "");
    }
    for name in ["gateway", "relay"] {
        assert_eq!(
            bed.get("apps/v1", "deployments", name)["metadata"]["generation"],
            1
        );
    }
}

#[test]
fn a_loaded_image_goes_by_its_tag_and_must_not_be_pulled_or_already_there() {
    let Some(bed) =
        Bed::start("a_loaded_image_goes_by_its_tag_and_must_not_be_pulled_or_already_there")
    else {
        return;
    };
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "team/app:1")]),
    );
    let loaded = |more: &[&str]| deploy(&bed, &[&["--workload", "web", "--no-pin"], more].concat());
    let pinned = format!("team/app:2@{}", digest("e"));
    loaded(&["--image", &pinned]).ok();
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        "team/app:2"
    );

    let again = loaded(&["--image", "docker.io/team/app:2"]);
    assert_eq!(again.code, Some(97), "{}", again.stderr);
    assert!(
        again.stderr.contains("nothing would be rolled out"),
        "{}",
        again.stderr
    );

    let always = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web-app", "image": "team/app:2", "imagePullPolicy": "Always"},
    ]}}}});
    bed.merge("apps/v1", "deployments", "web", &always);
    let pulled = loaded(&["--image", "team/app:3"]);
    assert_eq!(pulled.code, Some(97), "{}", pulled.stderr);
    assert!(
        pulled.stderr.contains("pull policy `Always`")
            && pulled.stderr.contains("--fix-pull-policy"),
        "{}",
        pulled.stderr
    );
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        "team/app:2"
    );
    loaded(&["--image", "team/app:3", "--fix-pull-policy"]).ok();
    let container =
        bed.get("apps/v1", "deployments", "web")["spec"]["template"]["spec"]["containers"][0]
            .clone();
    assert_eq!(
        (&container["image"], &container["imagePullPolicy"]),
        (&json!("team/app:3"), &json!("IfNotPresent"))
    );
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let Some(bed) = Bed::start("a_dry_run_says_what_would_be_and_changes_nothing") else {
        return;
    };
    let before = bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "example.com/app:1")]),
    );
    let image = format!("example.com/app:2@{}", digest("f"));
    let done = deploy(&bed, &["--image", &image, "--workload", "web", "--dry-run"]).ok();
    let expected = format!(
        "web-app of deployment/web in {} has {image}, had example.com/app:1\nnothing was done: --dry-run\n",
        bed.namespace()
    );
    assert_eq!(done.stdout, expected);
    let after = bed.get("apps/v1", "deployments", "web");
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(
        after["metadata"]["annotations"]["kubernetes.io/change-cause"],
        Value::Null
    );
}

#[test]
fn commands_side_by_side_do_not_undo_each_other() {
    let Some(bed) = Bed::start("commands_side_by_side_do_not_undo_each_other") else {
        return;
    };
    let names = ["a", "b", "c", "d"];
    let images = names.map(|name| format!("example.com/{name}:1"));
    let containers: Vec<(&str, &str)> = names
        .iter()
        .zip(&images)
        .map(|(name, image)| (*name, image.as_str()))
        .collect();
    bed.create("apps/v1", "deployments", &deployment("web", &containers));
    let wanted = names.map(|name| format!("example.com/{name}:2@{}", digest(name)));
    thread::scope(|scope| {
        for (name, image) in names.iter().zip(&wanted) {
            let bed = &bed;
            scope.spawn(move || deploy(bed, &["--image", image, "--container", name]).ok());
        }
    });
    for (name, image) in names.iter().zip(&wanted) {
        assert_eq!(image_of(&bed, "deployments", "web", name), *image);
    }
}

#[test]
fn what_flux_keeps_and_what_is_paused_is_warned_of() {
    let Some(bed) = Bed::start("what_flux_keeps_and_what_is_paused_is_warned_of") else {
        return;
    };
    let mut object = deployment("web", &[("web-app", "example.com/app:1")]);
    object["metadata"]["labels"] =
        json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"});
    object["spec"]["paused"] = json!(true);
    bed.create("apps/v1", "deployments", &object);
    let image = format!("example.com/app:2@{}", digest("a"));
    let done = deploy(&bed, &["--image", &image, "--workload", "web"]).ok();
    assert!(
        done.stderr
            .contains("the HelmRelease `shop/web` of Flux says: it will put the old image back"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("the rollout of deployment/web is paused"),
        "{}",
        done.stderr
    );
}

#[test]
fn the_registry_is_asked_and_its_digest_is_what_is_deployed_by_the_name_that_nodes_know() {
    let test =
        "the_registry_is_asked_and_its_digest_is_what_is_deployed_by_the_name_that_nodes_know";
    let Some(bed) = Bed::start(test) else { return };
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start();
    let name = format!("{}/team/app:1", registry.host());
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let build = [
        "build",
        source.to_str().unwrap(),
        "-t",
        &name,
        "--build-image",
        &builder,
        "--push",
    ];
    let pushed = Overcoat::new().run(&build).ok().digest(&name);
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "example.com/app:1")]),
    );

    let run = |image: &str| {
        bed.overcoat()
            .run(&["deploy", "--cluster", "--workload", "web", "--image", image])
    };
    run(&name).ok();
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        format!("{name}@{pushed}")
    );

    let absent = format!("{}/team/app@{}", registry.host(), digest("0"));
    let refused = run(&absent);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("is not deployed") && refused.stderr.contains("--no-verify"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        format!("{name}@{pushed}")
    );

    // The one ConfigMap of the whole cluster; other tests use other registries.
    let hosting = format!(
        "host: \"{}\"\nhostFromContainerRuntime: \"registry:5000\"\n",
        registry.host()
    );
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "local-registry-hosting"},
        "data": {"localRegistryHosting.v1": hosting},
    });
    bed.api()
        .ok("POST", "/api/v1/namespaces/kube-public/configmaps", &map);
    // A file that is written beside it is for the same nodes.
    let file = directory.path().join("web.yaml");
    let text = serde_json::to_string(&deployment("web", &[("web-app", "old:1")])).unwrap();
    std::fs::write(&file, &text).unwrap();
    let words = ["deploy", "--cluster", "--workload", "web", "--image", &name];
    let words = [&words[..], &["--manifest", file.to_str().unwrap()]].concat();
    let done = bed.overcoat().run(&words);
    // A watch knows both names too: by the tag alone, and without the container's name.
    let _kubelet = bed.kubelet();
    let there = format!("registry:5000/team/app:1@{pushed}");
    let two = [("wosp", "example.com/wosp:1"), ("web-app", there.as_str())];
    bed.create("apps/v1", "deployments", &deployment("two", &two));
    let words = ["watch", "--workload", "two", "--image", &name];
    let times = ["--stable", "0s", "--interval", "200ms", "--timeout", "60s"];
    let watched = bed.overcoat().run(&[&words[..], &times].concat());
    bed.api().ok(
        "DELETE",
        "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting",
        &Value::Null,
    );
    done.ok();
    let expected = format!("{} deployment/two {there}\n", bed.namespace());
    assert_eq!(watched.ok().stdout, expected);
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), there);
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, text.replace("old:1", &there));
}

#[test]
fn the_environment_of_the_project_says_context_and_namespace() {
    let Some(bed) = Bed::start("the_environment_of_the_project_says_context_and_namespace") else {
        return;
    };
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "example.com/app:1")]),
    );
    let project = tempfile::tempdir().unwrap();
    let text = format!(
        "[environments.dev]\ncontext = \"remote\"\nnamespace = \"{}\"\n",
        bed.namespace()
    );
    std::fs::write(project.path().join("overcoat.toml"), text).unwrap();
    let kubeconfig = bed.kubeconfig("remote", ADMIN);
    let image = format!("example.com/app:2@{}", digest("a"));
    let run = |environment: &str| {
        let overcoat = Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap());
        let flags = [
            "deploy",
            "--cluster",
            "--no-verify",
            "--workload",
            "web",
            "--image",
            &image,
            "--environment",
            environment,
        ];
        let mut command = overcoat.command(&flags);
        super::super::support::Done::from(command.current_dir(project.path()).output().unwrap())
    };
    let unknown = run("prod");
    assert_eq!(unknown.code, Some(81), "{}", unknown.stderr);
    run("dev").ok();
    assert_eq!(image_of(&bed, "deployments", "web", "web-app"), image);
}
