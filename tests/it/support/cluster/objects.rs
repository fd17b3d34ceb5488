//! Workloads as the tests create them.

use serde_json::{Value, json};

use super::super::wait_for;
use super::{Api, Bed};

/// The template of pods with these containers, `(NAME, IMAGE)`, labelled `app: NAME`.
fn template(name: &str, containers: &[(&str, &str)]) -> Value {
    let containers = containers.iter().map(|(container, image)| {
        json!({"name": container, "image": image, "imagePullPolicy": "IfNotPresent"})
    });
    let containers: Vec<Value> = containers.collect();
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 0},
    })
}

fn workload(kind: &str, name: &str, containers: &[(&str, &str)]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name, containers)},
    })
}

/// A Deployment with one replica.
pub fn deployment(name: &str, containers: &[(&str, &str)]) -> Value {
    let mut object = workload("Deployment", name, containers);
    object["spec"]["replicas"] = json!(1);
    object["spec"]["revisionHistoryLimit"] = json!(3);
    object
}

/// A StatefulSet with one replica.
pub fn stateful_set(name: &str, containers: &[(&str, &str)]) -> Value {
    let mut object = workload("StatefulSet", name, containers);
    object["spec"]["replicas"] = json!(1);
    object["spec"]["serviceName"] = json!(name);
    object
}

/// A DaemonSet for the node of this test alone.
pub fn daemon_set(bed: &Bed, name: &str, containers: &[(&str, &str)]) -> Value {
    let mut object = workload("DaemonSet", name, containers);
    object["spec"]["template"]["spec"]["nodeSelector"] = json!({"test": bed.namespace()});
    object
}

/// A Job of one pod.
pub fn job(name: &str, containers: &[(&str, &str)]) -> Value {
    let mut template = template(name, containers);
    template["spec"]["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template},
    })
}

/// A CronJob that never runs.
pub fn cron_job(name: &str, version: &str, containers: &[(&str, &str)]) -> Value {
    json!({
        "apiVersion": version, "kind": "CronJob", "metadata": {"name": name},
        "spec": {"schedule": "0 3 31 2 *", "jobTemplate": {"spec": job(name, containers)["spec"]}},
    })
}

/// A Rollout of Argo with one replica.
pub fn rollout(name: &str, containers: &[(&str, &str)]) -> Value {
    let mut object = deployment(name, containers);
    object["apiVersion"] = json!("argoproj.io/v1alpha1");
    object["kind"] = json!("Rollout");
    object
}

/// The kind Rollout, for all tests of this server.
pub fn define_rollouts(api: &Api) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced",
            "names": {"plural": "rollouts", "singular": "rollout", "kind": "Rollout"},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, answer) = api.call("POST", definitions, &definition);
    assert!(matches!(code, 201 | 409), "{code} {answer}");
    wait_for("the definition", || {
        let (code, _) = api.call("GET", "/apis/argoproj.io/v1alpha1/rollouts", &Value::Null);
        (code == 200).then_some(())
    });
}
