//! Workloads as the tests create them.

use serde_json::{Value, json};

use super::Bed;

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
