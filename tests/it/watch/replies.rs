//! Written replies: what runs on machines without a Kubernetes API, and what no real one says on request.

use super::super::support::cluster::replies::{Replies, Reply, status};
use super::*;

const WEB: &str = "GET /apis/apps/v1/namespaces/default/deployments/web";
const SETS: &str = "GET /apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "GET /api/v1/namespaces/default/pods";

/// A Deployment `web` at this generation, of which the controller has seen `observed`.
fn at(generation: u64, observed: u64) -> Reply {
    Reply::Json(
        200,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "d-1", "generation": generation},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "sidecar", "image": MESH}, {"name": "web-app", "image": V1}]}},
            },
            "status": {
                "observedGeneration": observed, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
            },
        }),
    )
}

fn list(items: Value) -> Reply {
    Reply::Json(200, json!({"kind": "List", "metadata": {}, "items": items}))
}

/// A server with the ReplicaSet and the ready pod of `web`.
fn server() -> Replies {
    let replies = Replies::start();
    replies.reply(
        SETS,
        list(json!([{"metadata": {
            "name": "web-1", "uid": "rs-1", "labels": {"pod-template-hash": "1"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{"uid": "d-1", "controller": true}],
        }}])),
    );
    replies.reply(PODS, list(json!([{
        "metadata": {
            "name": "web-1-a", "uid": "p-1", "labels": {"pod-template-hash": "1"},
            "ownerReferences": [{"uid": "rs-1", "controller": true}],
        },
        "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "web-app", "ready": true, "restartCount": 0, "imageID": V1, "state": {"running": {}},
            }],
        },
    }])));
    replies
}

fn overcoat(replies: &Replies) -> Overcoat {
    let overcoat = Overcoat::new();
    let kubeconfig = replies.kubeconfig(overcoat.path());
    overcoat.with("KUBECONFIG", kubeconfig.to_str().unwrap())
}

#[test]
fn fault_4_a_status_of_an_older_generation_is_not_believed() {
    let replies = server();
    replies
        .reply(WEB, at(2, 1))
        .reply(WEB, at(2, 1))
        .reply(WEB, at(2, 2));
    let done = watch(&overcoat(&replies), "deployment/web", V1, &[]).ok();
    assert!(
        done.stderr
            .contains("the controller has seen generation 1 of deployment/web, which is at 2"),
        "{}",
        done.stderr
    );
    assert_eq!(done.stdout, format!("default deployment/web {V1}\n"));
    let looks = replies
        .asked()
        .iter()
        .filter(|one| one.starts_with(WEB))
        .count();
    assert_eq!(looks, 3, "{:?}", replies.asked());
}

#[test]
fn a_server_that_falters_in_the_middle_is_asked_again_and_one_that_refuses_is_not() {
    let replies = server();
    replies
        .reply(WEB, at(2, 1))
        .reply(WEB, status(503, "ServiceUnavailable", "starting"));
    replies.reply(WEB, Reply::Close).reply(WEB, at(2, 2));
    watch(&overcoat(&replies), "deployment/web", V1, &[]).ok();

    let replies = server();
    replies
        .reply(WEB, at(2, 1))
        .reply(WEB, status(403, "Forbidden", "no longer"));
    let done = watch(&overcoat(&replies), "deployment/web", V1, &[]);
    assert_eq!(done.code, Some(91), "{}", done.stderr);

    let replies = server();
    replies.reply(WEB, status(401, "Unauthorized", "Unauthorized"));
    let done = watch(&overcoat(&replies), "deployment/web", V1, &[]);
    assert_eq!(done.code, Some(91), "{}", done.stderr);

    let replies = server();
    replies.reply(WEB, Reply::Bytes(b"<html>".to_vec()));
    let done = watch(&overcoat(&replies), "deployment/web", V1, &[]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(!done.stderr.contains("secret-token"), "{}", done.stderr);
}

#[test]
fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let replies = server();
    replies.reply(WEB, Reply::Silence);
    let done = watch(
        &overcoat(&replies),
        "deployment/web",
        V1,
        &["--timeout", "1s"],
    );
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr.contains("did not answer in time"),
        "{}",
        done.stderr
    );

    let replies = server();
    replies.reply(WEB, at(2, 1)).reply(WEB, Reply::Silence);
    let done = watch(
        &overcoat(&replies),
        "deployment/web",
        V1,
        &["--timeout", "2s"],
    );
    assert_eq!(done.code, Some(93), "{}", done.stderr);
}
