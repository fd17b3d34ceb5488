//! Jobs, CronJobs, and Rollouts of Argo with a bare definition of their kind and a controller that the test plays.

use super::super::support::cluster::objects::{cron_job, define_rollouts, job, rollout};
use super::*;

const ARGO: &str = "argoproj.io/v1alpha1";

#[test]
fn a_job_is_awaited_until_it_is_complete_or_has_failed() {
    let test = "a_job_is_awaited_until_it_is_complete_or_has_failed";
    let Some(bed) = Bed::start(test) else { return };
    let kubelet = bed.kubelet();
    let overcoat = bed.overcoat();
    bed.create("batch/v1", "jobs", &job("migrate", &[("web-app", V1)]));
    let watching = overcoat.spawn(&words("job/migrate", V1, &["--interval", "1h"]));
    std::thread::sleep(Duration::from_secs(1));
    kubelet.fate(V1, Fate::Ended(0));
    let (done, _) = watching.wait(LONG);
    assert_eq!(
        done.ok().stdout,
        format!("{} job/migrate {V1}\n", bed.namespace())
    );
    // What it ran is compared.
    let wanted = format!("{V1}@{DIGEST}");
    let done = watch(&overcoat, "migrate", &wanted, &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(
        done.stderr.contains("cannot be told by its image id"),
        "{}",
        done.stderr
    );

    kubelet.fate(V2, Fate::Ended(3));
    kubelet.log(V2, "no such table: orders");
    let mut failing = job("migrate-2", &[("web-app", V2)]);
    failing["spec"]["backoffLimit"] = json!(0);
    bed.create("batch/v1", "jobs", &failing);
    let done = watch(&overcoat, "job/migrate-2", V2, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    assert!(
        done.stderr.contains("BackoffLimitExceeded"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("exit code 3"), "{}", done.stderr);
    assert!(
        done.stderr.contains("| no such table: orders"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_cron_job_is_answered_at_once() {
    let Some(bed) = Bed::start("a_cron_job_is_answered_at_once") else {
        return;
    };
    let version = "batch/v1beta1";
    bed.create(
        version,
        "cronjobs",
        &cron_job("night", version, &[("web-app", V1)]),
    );
    let done = watch(&bed.overcoat(), "cronjob/night", V1, &[]).ok();
    assert!(
        done.stderr
            .contains("nothing of cronjob/night rolls out: its next run uses the image"),
        "{}",
        done.stderr
    );
    let done = watch(&bed.overcoat(), "night", V2, &["--timeout", "1s"]);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
}

/// What the controller of Argo would say of `web`.
fn say(bed: &Bed, phase: &str, message: &str, hash: &str) {
    let object = bed.get(ARGO, "rollouts", "web");
    let generation = object["metadata"]["generation"].to_string();
    let status = json!({"status": {
        "observedGeneration": generation, "phase": phase, "message": message, "currentPodHash": hash, "stableRS": hash,
        "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
    }});
    bed.merge(ARGO, "rollouts", "web/status", &status);
}

/// The ReplicaSet that the controller of Argo would make for this image.
fn set(bed: &Bed, hash: &str, image: &str) {
    let owner = bed.get(ARGO, "rollouts", "web");
    let labels = json!({"app": "web", "rollouts-pod-template-hash": hash});
    let mut object = deployment("web", &[("sidecar", MESH), ("web-app", image)]);
    object["kind"] = json!("ReplicaSet");
    object["metadata"] = json!({
        "name": format!("web-{hash}"), "labels": labels,
        "ownerReferences": [{
            "apiVersion": ARGO, "kind": "Rollout", "name": "web", "uid": owner["metadata"]["uid"], "controller": true,
        }],
    });
    object["spec"]["selector"] = json!({"matchLabels": labels});
    object["spec"]["template"]["metadata"]["labels"] = labels;
    object["spec"]
        .as_object_mut()
        .unwrap()
        .remove("revisionHistoryLimit");
    bed.create("apps/v1", "replicasets", &object);
}

#[test]
fn a_rollout_of_argo_is_watched_by_its_phase_and_its_pods() {
    let test = "a_rollout_of_argo_is_watched_by_its_phase_and_its_pods";
    let Some(bed) = Bed::start(test) else { return };
    let kubelet = bed.kubelet();
    define_rollouts(bed.api());
    bed.create(
        ARGO,
        "rollouts",
        &rollout("web", &[("sidecar", MESH), ("web-app", V1)]),
    );
    let overcoat = bed.overcoat();
    let watching = overcoat.spawn(&words("rollout/web", V1, &["--interval", "1h"]));
    say(&bed, "Progressing", "more replicas need to be updated", "1");
    kubelet.fate(V1, Fate::Pending);
    set(&bed, "1", V1);
    say(&bed, "Healthy", "", "1");
    std::thread::sleep(Duration::from_secs(1));
    kubelet.fate(V1, Fate::Running(None));
    let (done, _) = watching.wait(LONG);
    assert_eq!(
        done.ok().stdout,
        format!("{} rollout/web {V1}\n", bed.namespace())
    );

    // A generation that the controller has not seen is not over.
    bed.merge(ARGO, "rollouts", "web", &to(V2));
    let done = watch(&overcoat, "web", V2, &["--timeout", "1s"]);
    assert_eq!(done.code, Some(93), "{}", done.stderr);
    assert!(
        done.stderr.contains("has seen generation 1 of rollout/web"),
        "{}",
        done.stderr
    );
    say(
        &bed,
        "Degraded",
        "ProgressDeadlineExceeded: has timed out progressing",
        "2",
    );
    let done = watch(&overcoat, "web", V2, &[]);
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("is degraded: ProgressDeadlineExceeded"),
        "{}",
        done.stderr
    );
}
