//! What does not come to run is put back: by `--rollback-on-failure` at once, by `overcoat rollback` later.

use serde_json::{Value, json};

use super::Blueprint;
use super::cluster::{blueprint, containers};
use super::loaders::Fakes;
use crate::support::Done;
use crate::support::cluster::{Bed, Fate, Kubelet};

/// What `up` would deploy for the gateway, with what becomes of it; its name.
fn prepare(blueprint: &Blueprint, kubelet: &Kubelet, fate: Option<Fate>, sent: u32) -> String {
    let made = blueprint.json(&["--no-deploy", "--no-edit", "gateway"]);
    let pod = &made["pods"][0];
    let image = pod["image"].as_str().unwrap();
    let digest = pod["digest"].as_str().unwrap();
    let runs = Fate::Running(Some(format!("docker.io/library/x@{digest}")));
    kubelet.fate(image, fate.unwrap_or(runs));
    kubelet.log(
        image,
        &format!("🚀 Auto-trigger complete — {sent}/5 messages sent"),
    );
    image.to_owned()
}

fn deployments(blueprint: &Blueprint) -> Vec<Value> {
    let records = blueprint.records().into_iter();
    records
        .filter(|record| record["operation"] == "deploy")
        .collect()
}

fn rollback(blueprint: &Blueprint, more: &[&str]) -> Done {
    let all = [&["rollback", "gateway"], more].concat();
    let mut command = blueprint.overcoat.command(&all);
    command
        .current_dir(blueprint.root())
        .output()
        .unwrap()
        .into()
}

const UP: [&str; 4] = ["gateway", "--timeout", "60s", "--rollback-on-failure"];

#[test]
fn a_rollout_that_fails_is_taken_back_in_manifest_and_cluster() {
    let test = "a_rollout_that_fails_is_taken_back_in_manifest_and_cluster";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    // The first one has nothing before it.
    let first = prepare(&blueprint, &kubelet, Some(Fate::CrashLoopBackOff(1)), 5);
    let done = blueprint.up(&UP);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("nothing was put back: no workload had another image before this run"),
        "{}",
        done.stderr
    );
    let failed = &deployments(&blueprint)[0];
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .starts_with("the rollout of deployment/gateway has failed"),
        "{failed:#}"
    );
    let digest = failed["digest"].as_str().unwrap().to_owned();
    kubelet.fate(&first, Fate::Running(Some(format!("x@{digest}"))));
    blueprint.up(&UP).ok();
    let manifest = blueprint.read("gateway/03-deployment.yaml");
    // A rollout that fails, and an auto-trigger that loses messages.
    for (number, (fate, sent, code, why)) in [
        (
            Some(Fate::CrashLoopBackOff(1)),
            5,
            92,
            "the rollout of deployment/gateway has failed",
        ),
        (None, 3, 94, "deployment/gateway runs, but"),
    ]
    .into_iter()
    .enumerate()
    {
        let edit = format!("\"hello {number}\"");
        let text = blueprint.read("gateway/app/app.py");
        blueprint.replace("gateway/app/app.py", "\"hello\"", &edit);
        let bad = prepare(&blueprint, &kubelet, fate, sent);
        let done = blueprint.up(&UP);
        assert_eq!(done.code, Some(code), "{}", done.stderr);
        let said = format!("what was there before was put back, and runs: gateway has {first}");
        for text in [why, &said] {
            assert!(done.stderr.contains(text), "{text}\n{}", done.stderr);
        }
        assert_eq!(blueprint.read("gateway/03-deployment.yaml"), manifest);
        assert_eq!(containers(&bed, "gateway")[1].1, first);
        let records = deployments(&blueprint);
        let (back, failed) = (&records[0], &records[1]);
        assert_eq!(failed["state"], "error", "{failed:#}");
        assert_eq!(failed["image"], bad.as_str());
        assert_eq!(failed["results"]["rolled-back-to"], first.as_str());
        assert!(
            failed["error"].as_str().unwrap().contains(why),
            "{failed:#}"
        );
        assert_eq!(
            (&back["state"], &back["image"], &back["previous"]),
            (&json!("success"), &json!(first), &json!(bad))
        );
        assert_eq!(back["digest"], digest.as_str());
        assert!(back["results"]["rollback-of"].is_string(), "{back:#}");
        assert!(back["results"]["because"].as_str().unwrap().contains(why));
        blueprint.write("gateway/app/app.py", &text);
    }
}

#[test]
fn what_cannot_be_put_back_is_told_beside_the_failure() {
    let test = "what_cannot_be_put_back_is_told_beside_the_failure";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    let first = prepare(&blueprint, &kubelet, None, 5);
    blueprint.up(&UP).ok();
    // It does not run any more either.
    kubelet.fate(&first, Fate::CrashLoopBackOff(2));
    blueprint.replace("gateway/app/app.py", "\"hello\"", "\"bye\"");
    prepare(&blueprint, &kubelet, Some(Fate::CrashLoopBackOff(1)), 5);
    let done = blueprint.up(&UP);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    for text in [
        "error: the rollout of deployment/gateway has failed",
        "because: what was there before could not be put back: it was put back, and does not run either",
    ] {
        assert!(done.stderr.contains(text), "{text}\n{}", done.stderr);
    }
    assert_eq!(containers(&bed, "gateway")[1].1, first);
    // A rollback that is waited for tells the same, and what it did stays on record as done.
    let again = ["--to", "1", "--repeat", "--watch", "--timeout", "60s"];
    let done = rollback(&blueprint, &again);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    let record = &deployments(&blueprint)[0];
    assert_eq!(record["state"], "success", "{record:#}");
    let error = record["error"].as_str().unwrap();
    assert!(
        error.starts_with("the rollout of deployment/gateway has failed"),
        "{error}"
    );
}

#[test]
fn a_loaded_image_is_loaded_again_for_a_rollback_or_refused_when_it_is_gone() {
    let test = "a_loaded_image_is_loaded_again_for_a_rollback_or_refused_when_it_is_gone";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    let up = ["gateway", "--timeout", "60s"];
    let first = prepare(&blueprint, &kubelet, None, 5);
    blueprint.up(&up).ok();
    blueprint.replace("gateway/app/app.py", "\"hello\"", "\"good day\"");
    let second = prepare(&blueprint, &kubelet, None, 5);
    blueprint.up(&up).ok();
    assert_eq!(containers(&bed, "gateway")[1].1, second);
    let count = deployments(&blueprint).len();
    // The nodes were made anew.
    fakes.lose_images();
    fakes.new_calls();
    let dry = rollback(&blueprint, &["--dry-run"]).ok();
    assert!(
        dry.stdout.contains(&format!("{second} -> {first}")),
        "{}",
        dry.stdout
    );
    assert_eq!(fakes.new_calls(), [""; 0]);
    let done = rollback(&blueprint, &["--watch", "--timeout", "60s"]).ok();
    assert!(done.stdout.starts_with(&first), "{}", done.stdout);
    assert!(
        fakes
            .new_calls()
            .contains(&"k3d image import FILE --mode direct -c dev".to_owned())
    );
    assert_eq!(containers(&bed, "gateway")[1].1, first);
    // The next `deploy.sh` would bring the other image back.
    assert_eq!(blueprint.image("gateway"), first);
    let record = deployments(&blueprint)[0].clone();
    assert_eq!(record["results"]["loaded-into"], "k3d:dev", "{record:#}");
    assert_eq!(
        record["previous"].as_str().unwrap().split('@').next(),
        Some(second.as_str())
    );
    assert_eq!(deployments(&blueprint).len(), count + 1);
    // What the store does not have any more cannot be loaded.
    blueprint.overcoat.run(&["rm", &second]).ok();
    let sequence = deployments(&blueprint)[1]["sequence"].to_string();
    let done = rollback(&blueprint, &["--to", &sequence]);
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(
        done.stderr.contains("is not in the store any more")
            && done.stderr.contains("nothing was changed"),
        "{}",
        done.stderr
    );
    assert_eq!(containers(&bed, "gateway")[1].1, first);
    assert_eq!(deployments(&blueprint).len(), count + 1);
    assert_eq!(fakes.new_calls(), [""; 0]);
}

#[test]
fn a_deployment_that_only_loaded_an_image_is_repeated_by_loading() {
    let fakes = Fakes::new();
    let blueprint = Blueprint::new(fakes.before(super::no_kubeconfig())).locked();
    blueprint.write("overcoat.toml", "project = \"convoy\"\n");
    let run = |arguments: &[&str]| -> Done {
        let mut command = blueprint.overcoat.command(arguments);
        command
            .current_dir(blueprint.root())
            .output()
            .unwrap()
            .into()
    };
    let mut images = Vec::new();
    for word in ["\"hello\"", "\"good evening\""] {
        let made = blueprint.json(&["--to", "archive", "--no-edit", "gateway"]);
        let image = made["pods"][0]["image"].as_str().unwrap().to_owned();
        run(&["deploy", "--to", "k3d:dev", "--image", &image]).ok();
        images.push(image);
        blueprint.replace("gateway/app/app.py", word, "\"good evening\"");
    }
    let live = &deployments(&blueprint)[0];
    assert_eq!(live["results"]["loaded-into"], "k3d:dev", "{live:#}");
    fakes.lose_images();
    fakes.new_calls();
    let done = rollback(&blueprint, &[]).ok();
    assert!(done.stdout.starts_with(&images[0]), "{}", done.stdout);
    let calls = fakes.new_calls();
    let loaded = calls.iter().filter(|call| call.contains("import"));
    assert_eq!(loaded.count(), 1, "{calls:?}");
    // The nodes have it: they are not given it again.
    rollback(&blueprint, &["--to", "1", "--repeat"]).ok();
    let calls = fakes.new_calls();
    assert!(
        !calls.is_empty() && !calls.iter().any(|call| call.contains("import")),
        "{calls:?}"
    );
}

const BOTH: [&str; 5] = ["gateway", "sink", "--timeout", "60s", "--no-auto-trigger"];

/// What `up` would deploy for both pods, running. The file of results stays as it is.
fn prepare_both(blueprint: &Blueprint, kubelet: &Kubelet) {
    let results = std::fs::read(blueprint.root().join("build_result.json"));
    let made = blueprint.json(&["--no-deploy", "--no-edit", "gateway", "sink"]);
    for pod in made["pods"].as_array().unwrap() {
        let id = format!("docker.io/library/x@{}", pod["digest"].as_str().unwrap());
        kubelet.fate(pod["image"].as_str().unwrap(), Fate::Running(Some(id)));
    }
    if let Ok(results) = results {
        std::fs::write(blueprint.root().join("build_result.json"), results).unwrap();
    }
}

#[test]
fn a_hook_that_fails_takes_back_every_pod_of_the_run() {
    let Some(bed) = Bed::start("a_hook_that_fails_takes_back_every_pod_of_the_run") else {
        return;
    };
    let fakes = Fakes::new();
    let blueprint = blueprint(&bed, &fakes);
    let kubelet = bed.kubelet();
    let project = |when: &str| {
        format!(
            "project = \"convoy\"\n[applications.sink]\npath = \"sink/app\"\n[[hooks]]\noperation = \"deploy\"\n\
             when = \"{when}\"\napplications = [\"sink\"]\ncommand = [\"sh\", \"-c\", \"test ! -e fail\"]\n"
        )
    };
    blueprint.write("overcoat.toml", &project("after"));
    prepare_both(&blueprint, &kubelet);
    blueprint.up(&BOTH).ok();
    let pods = ["gateway", "sink"];
    let manifests = || pods.map(|pod| blueprint.read(&format!("{pod}/03-deployment.yaml")));
    let (before, first) = (manifests(), pods.map(|pod| blueprint.image(pod)));
    let results = blueprint.read("build_result.json");
    let words = ["\"hello\"", "Is where the journey ends"];
    for (pod, word) in pods.iter().zip(words) {
        let changed = word.replace(['h', 'I'], "J");
        blueprint.replace(&format!("{pod}/app/app.py"), word, &changed);
    }
    blueprint.write("fail", "");
    let goes_back = |when: &str, said: &[String]| {
        blueprint.write("overcoat.toml", &project(when));
        prepare_both(&blueprint, &kubelet);
        let done = blueprint.up(&[&BOTH[..], &["--rollback-on-failure"]].concat());
        assert_eq!(done.code, Some(95), "{when}: {}", done.stderr);
        for text in said {
            assert!(done.stderr.contains(text), "{text}\n{}", done.stderr);
        }
        for text in ["nothing was taken back", "nothing was put back"] {
            assert!(!done.stderr.contains(text), "{text}\n{}", done.stderr);
        }
        assert_eq!(manifests(), before, "{when}");
        for (pod, image) in pods.iter().zip(&first) {
            assert_eq!(containers(&bed, pod)[1].1, *image, "{when}");
        }
        assert_eq!(blueprint.read("build_result.json"), results, "{when}");
    };
    let [gateway, sink] = &first;
    let back = "what was there before was put back, and runs: ";
    goes_back(
        "after",
        &[format!("{back}gateway has {gateway}, sink has {sink}")],
    );
    let records = deployments(&blueprint);
    let failed = records.iter().find(|record| {
        record["application"] == "sink" && record["results"]["rolled-back-to"].is_string()
    });
    assert_eq!(failed.unwrap()["state"], "error", "{records:#?}");
    // The cluster was not told of the second one, but its manifest was edited.
    goes_back(
        "before",
        &[
            format!("{back}gateway has {gateway}"),
            format!(
                "the manifests were put back, and the cluster was not changed: sink has {sink}"
            ),
        ],
    );
}

#[test]
fn of_two_workloads_of_one_name_only_the_one_that_is_late_is_to_blame() {
    let test = "of_two_workloads_of_one_name_only_the_one_that_is_late_is_to_blame";
    let Some(bed) = Bed::start(test) else {
        return;
    };
    let fakes = Fakes::new();
    let other = format!("{}-b", bed.namespace());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}});
    bed.api().ok("POST", "/api/v1/namespaces", &namespace);
    let blueprint = super::cluster::blueprint_with(&bed, &fakes, |blueprint| {
        std::fs::remove_file(blueprint.root().join("deploy.sh")).unwrap();
        let file = "sink/03-deployment.yaml";
        blueprint.replace(file, "name: sink", "name: gateway");
        blueprint.replace(file, bed.namespace(), &other);
    });
    // There is no kubelet in the other namespace.
    let kubelet = bed.kubelet();
    prepare_both(&blueprint, &kubelet);
    let flags = ["gateway", "sink", "--timeout", "20s", "--no-auto-trigger"];
    let done = blueprint.up(&flags);
    bed.api().call(
        "DELETE",
        &format!("/api/v1/namespaces/{other}"),
        &Value::Null,
    );
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    let said = format!("it is the pod `sink`, in the namespace `{other}`");
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    for record in deployments(&blueprint) {
        let is_late = record["application"] == "sink";
        assert_eq!(record["error"].is_string(), is_late, "{record:#}");
    }
}
