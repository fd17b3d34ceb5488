//! What new pods say in their logs, read through the API server.

use super::*;

#[test]
fn a_line_in_the_log_of_the_new_pods_is_awaited() {
    let Some((bed, kubelet)) = rolled_out("a_line_in_the_log_of_the_new_pods_is_awaited", V1)
    else {
        return;
    };
    // What the old pods and the sidecars say does not count.
    kubelet.log(V1, "ready to serve");
    kubelet.log(MESH, "ready to serve");
    kubelet.log(V2, "starting");
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    let overcoat = bed.overcoat();
    let more = ["--ready-log", "^ready to [a-z]+$", "--format", "json"];
    let watching = overcoat.spawn(&words("web", V2, &more));
    wait_for("a look at the log", || {
        kubelet
            .asked()
            .into_iter()
            .find(|one| one.contains("/web-app?"))
    });
    kubelet.log(V2, "ready to serve");
    let done = watching.wait(LONG).0.ok();
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed[0]["said"], json!(["ready to serve"]));
}

#[test]
fn silence_and_bad_counts_are_told_apart_from_a_failed_rollout() {
    let test = "silence_and_bad_counts_are_told_apart_from_a_failed_rollout";
    let Some((bed, kubelet)) = rolled_out(test, V1) else {
        return;
    };
    let overcoat = bed.overcoat();
    kubelet.log(V1, "up");
    let done = watch(&overcoat, "web", V1, &["--auto-trigger", "--timeout", "1s"]);
    assert_eq!(done.code, Some(94), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("has printed no line that fits `Auto-trigger complete"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("  | up\n"), "{}", done.stderr);

    kubelet.log(V1, "🚀 Auto-trigger complete — 3/5 messages sent");
    let done = watch(&overcoat, "web", V1, &["--auto-trigger"]);
    assert_eq!(done.code, Some(94), "{}", done.stderr);
    assert!(
        done.stderr.contains("not all of its messages were sent"),
        "{}",
        done.stderr
    );

    kubelet.log(V2, "🚀 Auto-trigger complete — 5/5 messages sent");
    bed.merge("apps/v1", "deployments", "web", &to(V2));
    watch(&overcoat, "web", V2, &["--auto-trigger"]).ok();
}
