//! The patch that gives one container another image.

use serde_json::{Value, json};

use super::PatchKind;
use super::workload::{Container, Workload, WorkloadKind};

/// The annotation that `kubectl rollout history` shows.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// How long a cause may be, in characters.
const MOST_CAUSE: usize = 1000;

/// The patch that changes this container's image and nothing else of the template, and fails with a conflict when the object
/// was changed since it was read.
///
/// Built-in kinds merge containers by their names. Custom ones, such as a Rollout, would replace the whole list: there the
/// container is named by its place, after a test that it is the one of this name.
pub fn patch(
    workload: &Workload,
    container: &Container,
    image: &str,
    pull_policy: Option<&str>,
    cause: &str,
) -> (PatchKind, Value) {
    let cause: String = cause.chars().take(MOST_CAUSE).collect();
    match workload.kind {
        WorkloadKind::Rollout => {
            let patch = by_place(workload, container, image, pull_policy, &cause);
            (PatchKind::Json, patch)
        }
        _ => {
            let patch = by_name(workload, container, image, pull_policy, &cause);
            (PatchKind::Strategic, patch)
        }
    }
}

fn list_of(container: &Container) -> &'static str {
    match container.is_init {
        true => "initContainers",
        false => "containers",
    }
}

/// A strategic merge patch.
fn by_name(
    workload: &Workload,
    container: &Container,
    image: &str,
    pull_policy: Option<&str>,
    cause: &str,
) -> Value {
    let mut changed = json!({"name": container.name, "image": image});
    if let Some(policy) = pull_policy {
        changed["imagePullPolicy"] = json!(policy);
    }
    let pods = json!({ list_of(container): [changed] });
    let path = workload.kind.pod_spec().iter().rev();
    let mut patch = path.fold(pods, |inner, key| json!({ *key: inner }));
    patch["metadata"] = json!({
        "resourceVersion": workload.object["metadata"]["resourceVersion"],
        "annotations": {CHANGE_CAUSE: cause},
    });
    patch
}

/// A JSON patch (RFC 6902).
fn by_place(
    workload: &Workload,
    container: &Container,
    image: &str,
    pull_policy: Option<&str>,
    cause: &str,
) -> Value {
    let spec = workload.kind.pod_spec();
    let pods = spec
        .iter()
        .fold(&workload.object, |value, key| &value[*key]);
    let list = list_of(container);
    let all = pods[list].as_array().map_or(&[][..], Vec::as_slice);
    let is_it = |one: &Value| one["name"] == container.name.as_str();
    // What was found is there; were it not, the test would fail.
    let place = all.iter().position(is_it).unwrap_or_default();
    let here = format!("/{}/{list}/{place}", spec.join("/"));
    let metadata = &workload.object["metadata"];
    let mut patch = vec![
        json!({"op": "test", "path": format!("{here}/name"), "value": container.name}),
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}),
        json!({"op": "add", "path": format!("{here}/image"), "value": image}),
    ];
    if let Some(policy) = pull_policy {
        let path = format!("{here}/imagePullPolicy");
        patch.push(json!({"op": "add", "path": path, "value": policy}));
    }
    if !metadata["annotations"].is_object() {
        patch.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    }
    let path = format!("/metadata/annotations/{}", CHANGE_CAUSE.replace('/', "~1"));
    patch.push(json!({"op": "add", "path": path, "value": cause}));
    Value::Array(patch)
}
