//! `deploy --cluster`, and what is behind it, against a real Kubernetes API and against written replies.

mod access;
mod deploy;
mod first;
mod kinds;
mod objects;
mod replies;

use serde_json::Value;

use super::support::cluster::Bed;
use super::support::{Done, wait_for};

/// A digest for images that nobody asks a registry for.
fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

/// `overcoat deploy --cluster --no-verify …` as an administrator.
fn deploy(bed: &Bed, arguments: &[&str]) -> Done {
    let all = [&["deploy", "--cluster", "--no-verify"], arguments].concat();
    bed.overcoat().run(&all)
}

/// The image of a container in the template of a workload.
#[track_caller]
fn image_of(bed: &Bed, resource: &str, name: &str, container: &str) -> String {
    let object = bed.get("apps/v1", resource, name);
    let containers = object["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .clone();
    let found = containers
        .into_iter()
        .find(|found| found["name"] == container)
        .unwrap();
    found["image"].as_str().unwrap().to_owned()
}

/// Waits until a workload's pods all run its newest template.
#[track_caller]
fn wait_until_ready(bed: &Bed, resource: &str, name: &str) {
    wait_for("a rollout", || {
        let object = bed.get("apps/v1", resource, name);
        let status = &object["status"];
        let count = |key: &str| status[key].as_i64().unwrap_or_default();
        let is_seen = status["observedGeneration"] == object["metadata"]["generation"];
        let is_ready = match resource {
            "daemonsets" => count("numberReady") == 1 && count("updatedNumberScheduled") == 1,
            _ => {
                count("readyReplicas") == 1
                    && count("updatedReplicas") == 1
                    && count("replicas") == 1
            }
        };
        (is_seen && is_ready).then_some(())
    });
}

/// The pods' images by container, of those that are not going away.
fn running(bed: &Bed) -> Vec<Value> {
    let pods = bed.list("v1", "pods").into_iter();
    let pods = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    pods.map(|pod| pod["status"]["containerStatuses"].clone())
        .collect()
}
