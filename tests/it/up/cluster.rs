//! `overcoat up` against a real Kubernetes API: only `web-app` changes, and it ends when the new image runs.

use serde_json::Value;

use super::Blueprint;
use super::loaders::Fakes;
use crate::support::Overcoat;
use crate::support::cluster::objects::deployment;
use crate::support::cluster::{ADMIN, Bed, Fate};

/// The blueprint in the namespace of the bed; its context is that of the k3d cluster `dev`.
pub fn blueprint(bed: &Bed, fakes: &Fakes) -> Blueprint {
    blueprint_with(bed, fakes, |blueprint| {
        std::fs::remove_file(blueprint.root().join("deploy.sh")).unwrap();
    })
}

/// The same with `deploy.sh`, changed further before it is locked.
pub fn blueprint_with(bed: &Bed, fakes: &Fakes, change: impl Fn(&Blueprint)) -> Blueprint {
    let kubeconfig = bed.kubeconfig("k3d-dev", ADMIN);
    let overcoat = Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap());
    let blueprint = Blueprint::new(fakes.before(overcoat));
    for pod in super::PODS {
        for file in ["02-secrets.yaml", "03-deployment.yaml"] {
            let from = format!("small-convoy-{pod}-ns");
            blueprint.replace(&format!("{pod}/{file}"), &from, bed.namespace());
        }
        // The namespace is there, and is the test's.
        std::fs::remove_file(blueprint.root().join(format!("{pod}/01-namespace.yaml"))).unwrap();
    }
    // Secrets of one name in one namespace are one.
    for pod in ["relay-1", "relay-2", "sink"] {
        std::fs::remove_file(blueprint.root().join(format!("{pod}/02-secrets.yaml"))).unwrap();
    }
    change(&blueprint);
    blueprint.locked()
}

pub fn containers(bed: &Bed, name: &str) -> Vec<(String, String)> {
    let deployment = bed.get("apps/v1", "deployments", name);
    let containers = deployment["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    containers
        .iter()
        .map(|one| (text(&one["name"]), text(&one["image"])))
        .collect()
}

#[test]
fn a_blueprint_is_deployed_changed_and_left_alone() {
    let Some(bed) = Bed::start("a_blueprint_is_deployed_changed_and_left_alone") else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    // What the nodes will run is known once it is built.
    let prepare = || {
        let made = blueprint.json(&["--no-deploy", "--no-edit", "gateway", "sink"]);
        for pod in made["pods"].as_array().unwrap() {
            let (image, digest) = (
                pod["image"].as_str().unwrap(),
                pod["digest"].as_str().unwrap(),
            );
            kubelet.fate(
                image,
                Fate::Running(Some(format!("docker.io/library/x@{digest}"))),
            );
            kubelet.log(image, "🚀 Auto-trigger complete — 5/5 messages sent");
        }
    };
    // For the first time: there is no deploy.sh, so the manifests are applied.
    prepare();
    let first = blueprint.json(&["gateway", "sink", "--timeout", "60s"]);
    assert_eq!(
        first["pods"][0]["said"].as_array().unwrap().len(),
        1,
        "{first:#}"
    );
    for pod in ["gateway", "sink"] {
        let containers = containers(&bed, pod);
        assert_eq!(
            containers[0],
            (
                "wosp".to_owned(),
                "registry.example/hopr/wosp:2.1".to_owned()
            )
        );
        assert_eq!(containers[1], ("web-app".to_owned(), blueprint.image(pod)));
    }
    assert_eq!(bed.get("v1", "secrets", "convoy-secrets")["kind"], "Secret");
    // Nothing has changed: nothing is told.
    let generation = |pod: &str| {
        bed.get("apps/v1", "deployments", pod)["metadata"]["generation"]
            .as_i64()
            .unwrap()
    };
    let before = [generation("gateway"), generation("sink")];
    let (files, records) = (blueprint.files(), blueprint.records());
    let again = blueprint.json(&["gateway", "sink", "--timeout", "60s"]);
    assert_eq!(again["pods"][1]["did"], serde_json::json!([]), "{again:#}");
    assert_eq!((blueprint.files(), blueprint.records()), (files, records));
    assert_eq!(
        again["pods"][0]["deployed"]["is_changed"], false,
        "{again:#}"
    );
    assert_eq!([generation("gateway"), generation("sink")], before);
    // One pod is changed, and only that is rolled out.
    let old = blueprint.image("gateway");
    blueprint.replace("gateway/app/app.py", "\"hello\"", "\"good morning\"");
    prepare();
    let changed = blueprint.json(&["gateway", "sink", "--timeout", "60s"]);
    assert_eq!(
        changed["pods"][0]["deployed"]["previous_image"],
        old.as_str(),
        "{changed:#}"
    );
    assert_eq!(changed["pods"][1]["deployed"]["is_changed"], false);
    assert_eq!(generation("sink"), before[1]);
    assert_ne!(blueprint.image("gateway"), old);
    assert_eq!(containers(&bed, "gateway")[1].1, blueprint.image("gateway"));
}

#[test]
fn an_auto_trigger_that_lost_messages_is_a_failure_of_its_own() {
    let Some(bed) = Bed::start("an_auto_trigger_that_lost_messages_is_a_failure_of_its_own") else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    let made = blueprint.json(&["--no-deploy", "--no-edit", "gateway"]);
    let pod = &made["pods"][0];
    let image = pod["image"].as_str().unwrap();
    kubelet.fate(
        image,
        Fate::Running(Some(format!("x@{}", pod["digest"].as_str().unwrap()))),
    );
    kubelet.log(image, "🚀 Auto-trigger complete — 3/5 messages sent");
    let done = blueprint.up(&["gateway", "--timeout", "60s"]);
    assert_eq!(done.code, Some(94), "{}", done.stderr);
    // The deployment was done; what became of it is on record beside it.
    let records = blueprint.records();
    assert_eq!(records[0]["operation"], "watch");
    assert_eq!(records[0]["results"]["rollout"], "not-ready");
    assert_eq!(records[0]["links"]["deploy"], records[1]["id"]);
    assert_eq!(records[1]["rollout"]["state"], "not-ready");
    assert!(!done.stderr.contains("option"), "{}", done.stderr);
    // The cluster has it, and it is as bad as before: that is not said to run.
    let again = blueprint.up(&["gateway", "--timeout", "60s"]);
    assert_eq!(again.code, Some(94), "{}", again.stderr);
    blueprint
        .up(&["gateway", "--timeout", "60s", "--no-auto-trigger"])
        .ok();
    let records = blueprint.records();
    assert_eq!(records[0]["results"]["rollout"], "complete", "{records:#?}");
    assert_eq!(records[1]["operation"], "deploy");
    assert_eq!(records[1]["rollout"]["state"], "complete");
    // Now it is known to be good.
    blueprint.up(&["gateway", "--timeout", "60s"]).ok();
    assert_eq!(blueprint.records(), records);
}

#[test]
fn a_deploy_sh_that_failed_half_way_is_run_again() {
    let Some(bed) = Bed::start("a_deploy_sh_that_failed_half_way_is_run_again") else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    let made = blueprint.json(&["--no-deploy", "--no-edit", "gateway"]);
    let pod = &made["pods"][0];
    let id = format!("x@{}", pod["digest"].as_str().unwrap());
    kubelet.fate(pod["image"].as_str().unwrap(), Fate::Running(Some(id)));
    let containers = [
        ("wosp", "example.com/wosp:1"),
        ("web-app", "example.com/old:1"),
    ];
    let object = deployment("gateway", &containers).to_string();
    std::fs::write(blueprint.root().join("object.json"), object).unwrap();
    let script = blueprint.root().join("deploy.sh");
    let authority = bed.api().files.join("ca.pem");
    let text = format!(
        "set -eu\ncurl --fail --silent --cacert {} -H 'Authorization: Bearer {ADMIN}' -H 'Content-Type: application/json' \
         --data @object.json {}{} >/dev/null\nexit 7\n",
        authority.display(),
        bed.url(),
        bed.path("apps/v1", "deployments")
    );
    std::fs::write(&script, text).unwrap();
    let mark = || {
        let object = bed.get("apps/v1", "deployments", "gateway");
        object["metadata"]["annotations"]["io.overcoat.first-deployment"].clone()
    };
    let flags = ["gateway", "--timeout", "60s", "--no-auto-trigger"];
    let done = blueprint.up(&flags);
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    assert!(mark().is_string(), "{}", mark());
    std::fs::write(&script, "echo said again\n").unwrap();
    let done = blueprint.up(&flags).ok();
    assert!(done.stderr.contains("said again"), "{}", done.stderr);
    assert_eq!(mark(), Value::Null);
    assert_eq!(
        self::containers(&bed, "gateway")[1].1,
        blueprint.image("gateway")
    );
}
