//! First deployments by the delivered `deploy.sh`, whose kubectl is a script that speaks with the real API; and clusters that refuse.

use serde_json::{Value, json};

use super::Blueprint;
use super::cluster::{blueprint_with, containers};
use super::loaders::Fakes;
use crate::support::cluster::{ADMIN, Bed, Fate, NOBODY};

/// `kubectl apply -f FILE` for a file with one deployment.
fn kubectl(bed: &Bed) -> String {
    format!(
        "#!/bin/sh\necho \"kubectl $*\" >> \"$STATE/calls\"\n[ \"$1 $2\" = 'apply -f' ] || exit 9\n\
         exec curl --fail --silent --show-error --cacert '{}' -H 'Authorization: Bearer {ADMIN}' \
         -H 'Content-Type: application/yaml' --data-binary \"@$3\" --output /dev/null '{}{}'\n",
        bed.api().files.join("ca.pem").display(),
        bed.url(),
        bed.path("apps/v1", "deployments"),
    )
}

fn newest(blueprint: &Blueprint, operation: &str) -> Value {
    let records = blueprint.records();
    let mut found = records
        .iter()
        .filter(|record| record["operation"] == operation);
    found
        .next()
        .unwrap_or_else(|| panic!("{records:?}"))
        .clone()
}

#[test]
fn the_delivered_script_deploys_for_the_first_time_and_a_failing_one_is_on_record() {
    let test = "the_delivered_script_deploys_for_the_first_time_and_a_failing_one_is_on_record";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let fakes = Fakes::new();
    fakes.program("kubectl", &kubectl(&bed));
    let blueprint = blueprint_with(&bed, &fakes, |blueprint| {
        std::fs::remove_file(blueprint.root().join("gateway/02-secrets.yaml")).unwrap();
    });
    let kubelet = bed.kubelet();
    // A script that fails: its status, its last lines, a record that says so, and no workload.
    let delivered = blueprint.read("deploy.sh");
    blueprint.write(
        "deploy.sh",
        "echo in \"$PWD\"\necho error: no room >&2\nexit 7\n",
    );
    let done = blueprint.up(&["sink", "--timeout", "60s"]);
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    let root = blueprint.root().canonicalize().unwrap();
    for text in [
        "error: `deploy.sh` ended with status 7".to_owned(),
        "  | error: no room".to_owned(),
        format!("in {}", root.display()),
    ] {
        assert!(done.stderr.contains(&text), "{text}\n{}", done.stderr);
    }
    let record = newest(&blueprint, "deploy");
    assert_eq!(
        (&record["state"], &record["error"]),
        (&json!("error"), &json!("`deploy.sh` ended with status 7"))
    );
    assert!(bed.list("apps/v1", "deployments").is_empty());
    let log = blueprint
        .overcoat
        .command(&["logs", record["id"].as_str().unwrap()])
        .current_dir(blueprint.root())
        .output()
        .unwrap();
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("error: no room"), "{log}");
    // The delivered one.
    blueprint.write("deploy.sh", &delivered);
    let image = blueprint.image("sink");
    let digest = record["digest"].as_str().unwrap();
    kubelet.fate(&image, Fate::Running(Some(format!("x@{digest}"))));
    fakes.new_calls();
    let done = blueprint.json(&["sink", "--timeout", "60s"]);
    assert_eq!(done["pods"][0]["did"], json!(["deploy"]), "{done:#}");
    let applied: Vec<String> = super::PODS
        .iter()
        .map(|pod| format!("kubectl apply -f {pod}/03-deployment.yaml"))
        .collect();
    let calls = fakes.new_calls();
    let calls: Vec<&String> = calls
        .iter()
        .filter(|call| call.starts_with("kubectl"))
        .collect();
    assert_eq!(calls, applied.iter().collect::<Vec<_>>());
    assert_eq!(containers(&bed, "sink")[1].1, image);
    let record = newest(&blueprint, "deploy");
    assert_eq!(record["state"], "success", "{record:#}");
    assert_eq!(record["previous"], Value::Null, "{record:#}");
    // It is there now, so the script is not run again; and the whole is left alone.
    let before = (blueprint.files(), blueprint.records());
    let done = blueprint.up(&["sink", "--timeout", "60s"]).ok();
    let said = format!("==> unchanged: sink: {image} is where it is wanted, and it runs\n");
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    assert_eq!((blueprint.files(), blueprint.records()), before);
    assert!(
        fakes
            .new_calls()
            .iter()
            .all(|call| !call.starts_with("kubectl") && !call.contains("import"))
    );
}

#[test]
fn a_cluster_that_refuses_after_the_build_is_on_record_and_no_manifest_changes() {
    let test = "a_cluster_that_refuses_after_the_build_is_on_record_and_no_manifest_changes";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint_with(&bed, &fakes, |blueprint| {
        std::fs::remove_file(blueprint.root().join("deploy.sh")).unwrap();
    });
    let _kubelet = bed.kubelet();
    blueprint.up(&["sink", "--timeout", "60s"]).ok();
    let (image, manifest) = (
        blueprint.image("sink"),
        blueprint.read("sink/03-deployment.yaml"),
    );
    blueprint.replace("sink/app/app.py", "\"arrived\"", "\"here\"");
    // Who may look and not touch.
    bed.allow_nobody(&["get", "list"], &["deployments"]);
    let mut command = blueprint.command(&["sink", "--timeout", "60s"]);
    command.env("KUBECONFIG", bed.kubeconfig("k3d-dev", NOBODY));
    let done: crate::support::Done = command.output().unwrap().into();
    assert_eq!(done.code, Some(91), "{}", done.stderr);
    let record = newest(&blueprint, "deploy");
    assert_eq!(record["state"], "error", "{record:#}");
    let error = record["error"].as_str().unwrap();
    assert!(error.contains("sink"), "{error}");
    assert_ne!(record["image"], image.as_str());
    assert_eq!(newest(&blueprint, "build")["state"], "success");
    assert_eq!(blueprint.read("sink/03-deployment.yaml"), manifest);
    assert_eq!(containers(&bed, "sink")[1].1, image);
}
