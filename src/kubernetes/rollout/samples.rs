//! Objects as an API server gives them, small: for tests.

use serde_json::{Value, json};

use super::{Image, Kind, State, Wanted};
use crate::digest::Digest;

/// The image that is wanted in most tests.
pub(in crate::kubernetes) const NEW: &str = "registry.example.com/team/app:v2";

/// The digest of some bytes.
pub(in crate::kubernetes) fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// The image `registry.example.com/team/app:v2` with this digest, wanted in the container `web-app`.
pub(in crate::kubernetes) fn wanted(image: &str) -> Wanted {
    Wanted {
        container: Some("web-app".to_owned()),
        image: Some(Image::new(image.parse().unwrap())),
    }
}

/// A pod template of a sidecar and of `web-app`, in this order.
pub(in crate::kubernetes) fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [
            {"name": "sidecar", "image": "registry.example.com/mesh:v9"},
            {"name": "web-app", "image": image},
        ]},
    })
}

/// A Deployment of `replicas`, its ReplicaSets of the revisions 1 (old) and 2 (new), and its new pods: complete.
pub(in crate::kubernetes) fn deployment(image: &str, replicas: u64) -> State {
    let workload = json!({
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "d-1", "generation": 2},
        "spec": {"replicas": replicas, "template": template(image)},
        "status": {
            "observedGeneration": 2, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        },
    });
    let set = |uid: &str, hash: &str, revision: &str| {
        json!({
            "metadata": {
                "name": format!("web-{hash}"), "uid": uid, "labels": {"pod-template-hash": hash},
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"uid": "d-1", "controller": true}],
            },
        })
    };
    State {
        kind: Kind::Deployment,
        workload,
        revisions: vec![set("rs-1", "old", "1"), set("rs-2", "new", "2")],
        pods: (0..replicas)
            .map(|n| pod(&format!("web-new-{n}"), "rs-2", "pod-template-hash", "new"))
            .collect(),
        events: Vec::new(),
    }
}

/// A pod that is ready.
pub(in crate::kubernetes) fn pod(name: &str, owner: &str, key: &str, hash: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": format!("uid-{name}"), "labels": {key: hash},
            "ownerReferences": [{"uid": owner, "controller": true}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                running("sidecar", &format!("registry.example.com/mesh@{}", digest("mesh"))),
                running("web-app", &format!("registry.example.com/team/app@{}", digest("app"))),
            ],
        },
    })
}

pub(in crate::kubernetes) fn running(name: &str, image_id: &str) -> Value {
    json!({"name": name, "ready": true, "restartCount": 0, "imageID": image_id, "state": {"running": {}}})
}

/// The status of the container `web-app` of the pod with this index.
pub(in crate::kubernetes) fn app(state: &mut State, pod: usize) -> &mut Value {
    &mut state.pods[pod]["status"]["containerStatuses"][1]
}

/// A Deployment under way: one of two new pods is there, and its `web-app` has this status beside its name.
pub(in crate::kubernetes) fn troubled(status: Value) -> State {
    let mut state = deployment(NEW, 2);
    state.workload["status"]["updatedReplicas"] = json!(1);
    state.workload["status"]["availableReplicas"] = json!(1);
    state.pods.truncate(1);
    state.pods[0]["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    let mut status = status;
    status["name"] = json!("web-app");
    *app(&mut state, 0) = status;
    state
}

pub(in crate::kubernetes) fn event(uid: &str, reason: &str, message: &str, at: &str) -> Value {
    json!({
        "type": "Warning", "reason": reason, "message": message, "lastTimestamp": at,
        "involvedObject": {"uid": uid},
    })
}
