//! No cluster, no permission, no such context: one message and one exit code each, and nothing is changed.

use std::fs;

use serde_json::Value;

use super::super::support::cluster::objects::deployment;
use super::super::support::cluster::{ADMIN, Bed, NOBODY};
use super::super::support::{Done, Overcoat, free_port};
use super::{digest, image_of};

fn run(kubeconfig: &std::path::Path, more: &[&str]) -> Done {
    let image = format!("example.com/app:2@{}", digest("a"));
    let overcoat = Overcoat::new().with("KUBECONFIG", kubeconfig.to_str().unwrap());
    let all = [
        &[
            "deploy",
            "--cluster",
            "--no-verify",
            "--workload",
            "deployment/web",
            "--image",
            &image,
        ],
        more,
    ]
    .concat();
    overcoat.run(&all)
}

#[test]
fn what_the_cluster_does_not_allow_is_named() {
    let Some(bed) = Bed::start("what_the_cluster_does_not_allow_is_named") else {
        return;
    };
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "example.com/app:1")]),
    );
    let nobody = bed.kubeconfig("k3d-nobody", NOBODY);
    let said = |done: &Done, verb: &str| {
        assert_eq!(done.code, Some(91), "{}", done.stderr);
        let text = format!(
            "does not allow to {verb} deployments.apps in the namespace `{}`",
            bed.namespace()
        );
        let hint = format!(
            "kubectl auth can-i {verb} deployments.apps --namespace {}",
            bed.namespace()
        );
        assert!(
            done.stderr.contains(&text) && done.stderr.contains(&hint),
            "{}",
            done.stderr
        );
    };
    said(&run(&nobody, &[]), "get");
    bed.allow_nobody(&["get", "list"], &["deployments"]);
    let patched = super::super::support::wait_for("the role", || {
        let done = run(&nobody, &[]);
        (!done.stderr.contains("to get")).then_some(done)
    });
    said(&patched, "patch");
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        "example.com/app:1"
    );
}

#[test]
fn an_expired_token_is_said_to_be_one_and_is_not_shown() {
    let Some(bed) = Bed::start("an_expired_token_is_said_to_be_one_and_is_not_shown") else {
        return;
    };
    let done = run(&bed.kubeconfig("k3d-old", "expired-token"), &[]);
    assert_eq!(done.code, Some(91), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("does not accept the credentials of the context `k3d-old`"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("log in again") && !done.stderr.contains("expired-token"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_cluster_that_is_not_local_must_be_asked_for() {
    let Some(bed) = Bed::start("a_cluster_that_is_not_local_must_be_asked_for") else {
        return;
    };
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", "example.com/app:1")]),
    );
    let kubeconfig = bed.kubeconfig("production", ADMIN);
    let done = run(&kubeconfig, &[]);
    assert_eq!(done.code, Some(97), "{}", done.stderr);
    assert!(
        done.stderr.contains("`--context production`"),
        "{}",
        done.stderr
    );
    run(&kubeconfig, &["--dry-run"]).ok();
    assert_eq!(
        image_of(&bed, "deployments", "web", "web-app"),
        "example.com/app:1"
    );
    run(&kubeconfig, &["--context", "production"]).ok();
    run(&kubeconfig, &["--yes"]).ok();
}

#[test]
fn an_impostor_is_not_given_the_token() {
    let Some(bed) = Bed::start("an_impostor_is_not_given_the_token") else {
        return;
    };
    let path = bed.kubeconfig("k3d-test", ADMIN);
    let mut kubeconfig: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    // Without an authority of its own the machine's are asked, which do not know this server.
    kubeconfig["clusters"][0]["cluster"]
        .as_object_mut()
        .unwrap()
        .remove("certificate-authority");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    let done = run(&path, &[]);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr.contains("no secure connection"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("certificate-authority"),
        "{}",
        done.stderr
    );
}

#[test]
fn no_cluster_no_kubeconfig_and_no_context_have_a_message_each() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    let none = run(&path, &[]);
    assert_eq!(none.code, Some(90), "{}", none.stderr);
    assert!(
        none.stderr.contains("no cluster is known: there is no `")
            && none.stderr.contains("--kubeconfig"),
        "{}",
        none.stderr
    );

    let port = free_port();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: k3d-gone\nclusters:\n- name: c\n  cluster: {{server: 'https://127.0.0.1:{port}'}}\n\
         contexts:\n- name: k3d-gone\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user: {{token: hunter2}}\n"
    );
    fs::write(&path, &text).unwrap();
    let gone = run(&path, &[]);
    assert_eq!(gone.code, Some(90), "{}", gone.stderr);
    assert!(
        gone.stderr.contains(&format!(
            "`https://127.0.0.1:{port}` cannot be reached: connection refused"
        )),
        "{}",
        gone.stderr
    );
    let unknown = run(&path, &["--context", "prod"]);
    assert_eq!(unknown.code, Some(90), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("has no context `prod`")
            && unknown.stderr.contains("`--context`: k3d-gone"),
        "{}",
        unknown.stderr
    );

    for user in [
        "token: [hunter2]",
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/false, args: [hunter2]}",
    ] {
        fs::write(&path, text.replace("token: hunter2", user)).unwrap();
        let done = run(&path, &[]);
        assert!(matches!(done.code, Some(90 | 91)), "{}", done.stderr);
        assert!(!done.stderr.contains("hunter2"), "{}", done.stderr);
    }
    fs::write(
        &path,
        text.replace(
            "{token: hunter2}",
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['30']}}",
        ),
    )
    .unwrap();
    let slow = run(&path, &["--cluster-timeout", "1s"]);
    assert_eq!(slow.code, Some(90), "{}", slow.stderr);
    assert!(
        slow.stderr
            .contains("the credential plugin `sleep` still runs"),
        "{}",
        slow.stderr
    );
}
