//! What servers say on bad days, from written replies: needs no cluster, so these run everywhere.

use std::path::Path;

use serde_json::{Value, json};

use super::super::support::cluster::objects::deployment;
use super::super::support::cluster::replies::{Replies, Reply, status};
use super::super::support::{Done, Overcoat};
use super::digest;

const WEB: &str = "/apis/apps/v1/namespaces/default/deployments/web";

fn run(replies: &Replies, directory: &Path, more: &[&str]) -> Done {
    let kubeconfig = replies.kubeconfig(directory);
    let image = format!("example.com/app:2@{}", digest("a"));
    let overcoat = Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap());
    let all = [
        "deploy",
        "--cluster",
        "--no-verify",
        "--workload",
        "deployment/web",
        "--image",
        &image,
    ];
    overcoat.run(&[&all[..], more].concat())
}

/// The deployment as a server has it.
fn web(version: &str, image: &str) -> Value {
    let mut object = deployment("web", &[("web-app", image)]);
    object["metadata"]["resourceVersion"] = json!(version);
    object["metadata"]["generation"] = json!(1);
    object
}

#[test]
fn a_conflict_is_tried_again_from_what_is_there_then() {
    let directory = tempfile::tempdir().unwrap();
    let replies = Replies::start();
    let image = format!("example.com/app:2@{}", digest("a"));
    replies
        .reply(
            &format!("GET {WEB}"),
            Reply::Json(200, web("1", "example.com/app:1")),
        )
        .reply(
            &format!("GET {WEB}"),
            Reply::Json(200, web("2", "example.com/app:other")),
        )
        .reply(
            &format!("PATCH {WEB}"),
            status(409, "Conflict", "the object has been modified"),
        )
        .reply(&format!("PATCH {WEB}"), Reply::Json(200, web("3", &image)));
    let done = run(&replies, directory.path(), &["--format", "json"]).ok();
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(report["outcome"]["previous_image"], "example.com/app:other");
    let patches: Vec<_> = replies
        .requests()
        .into_iter()
        .filter(|request| request.method == "PATCH")
        .collect();
    let versions: Vec<Value> = patches
        .iter()
        .map(|request| {
            serde_json::from_str::<Value>(&request.body).unwrap()["metadata"]["resourceVersion"]
                .clone()
        })
        .collect();
    assert_eq!(versions, ["1", "2"]);
    assert_eq!(patches[0].target, format!("{WEB}?fieldManager=overcoat"));
    assert_eq!(
        patches[0].headers["content-type"],
        "application/strategic-merge-patch+json"
    );
    assert_eq!(patches[0].headers["authorization"], "Bearer secret-token");

    let stubborn = Replies::start();
    stubborn
        .reply(
            &format!("GET {WEB}"),
            Reply::Json(200, web("1", "example.com/app:1")),
        )
        .reply(
            &format!("PATCH {WEB}"),
            status(409, "Conflict", "the object has been modified"),
        );
    let done = run(&stubborn, directory.path(), &[]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr.contains("was changed by somebody else"),
        "{}",
        done.stderr
    );
    assert_eq!(
        stubborn
            .asked()
            .iter()
            .filter(|asked| asked.starts_with("PATCH"))
            .count(),
        12
    );
}

#[test]
fn answers_that_are_none_have_one_message_each() {
    let directory = tempfile::tempdir().unwrap();
    let many = "x".repeat(5000);
    for (reply, code, said) in [
        (
            status(401, "Unauthorized", "Unauthorized"),
            91,
            "does not accept the credentials",
        ),
        (
            status(403, "Forbidden", "deployments.apps is forbidden: \u{1b}[2J"),
            91,
            "does not allow to get deployments.apps",
        ),
        (
            status(404, "NotFound", "not found"),
            85,
            "there is no workload `deployment/web`",
        ),
        (
            status(422, "Invalid", "no"),
            90,
            "refuses deployments.apps `web` in the namespace `default`: no",
        ),
        (
            status(503, "ServiceUnavailable", "the server is starting"),
            90,
            "answers 503 to get deployments.apps",
        ),
        (Reply::Json(500, json!("no status")), 90, "answers 500"),
        (Reply::Json(302, json!({})), 90, "answers 302"),
        (
            Reply::Bytes(b"<html>a login page</html>".to_vec()),
            90,
            "makes no sense: it is not JSON",
        ),
        (
            Reply::Bytes(b"[]".to_vec()),
            90,
            "makes no sense: it is not an object",
        ),
        (
            Reply::Bytes(b"{\"kind\":\"Deployment\",\"spec\":[1],\"metadata\":7}".to_vec()),
            85,
            "there is no workload",
        ),
        (Reply::Close, 90, "cannot be reached"),
        (status(500, "InternalError", &many), 90, "xxx…"),
    ] {
        let replies = Replies::start();
        let told = format!("{reply:?}");
        replies.reply(&format!("GET {WEB}"), reply);
        // The namespace is there, whatever the server says of the workload.
        replies.reply(
            "GET /api/v1/namespaces/default",
            Reply::Json(200, json!({})),
        );
        let done = run(&replies, directory.path(), &[]);
        assert_eq!(done.code, Some(code), "{said}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{told:.100}: {}", done.stderr);
        assert!(
            !done.stderr.contains('\u{1b}') && !done.stderr.contains("secret-token"),
            "{}",
            done.stderr
        );
        assert!(done.stderr.len() < 2000, "{}", done.stderr);
        assert!(
            replies.asked().iter().all(|asked| asked.starts_with("GET")),
            "{:?}",
            replies.asked()
        );
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let replies = Replies::start();
    replies.reply(&format!("GET {WEB}"), Reply::Silence);
    let done = run(&replies, directory.path(), &["--cluster-timeout", "1s"]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("did not answer in time: get deployments.apps `web`"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_server_that_changes_the_image_on_the_way_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let replies = Replies::start();
    replies
        .reply(
            &format!("GET {WEB}"),
            Reply::Json(200, web("1", "example.com/app:1")),
        )
        .reply(
            &format!("PATCH {WEB}"),
            Reply::Json(200, web("2", "mirror.example.com/app:2")),
        );
    let done = run(&replies, directory.path(), &[]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("has the image `mirror.example.com/app:2` after the change"),
        "{}",
        done.stderr
    );
}
