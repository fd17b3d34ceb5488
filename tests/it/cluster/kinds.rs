//! Workloads beside those of `apps/v1`: CronJobs, Rollouts of Argo, Jobs.

use serde_json::{Value, json};

use super::super::support::cluster::Bed;
use super::super::support::cluster::objects::{
    cron_job, define_rollouts, deployment, job, rollout,
};
use super::{deploy, digest};

const APP: [(&str, &str); 2] = [
    ("mesh", "example.com/mesh:1"),
    ("web-app", "example.com/app:1"),
];

fn image() -> String {
    format!("example.com/app:2@{}", digest("a"))
}

#[test]
fn the_next_run_of_a_cron_job_has_the_image() {
    let Some(bed) = Bed::start("the_next_run_of_a_cron_job_has_the_image") else {
        return;
    };
    let version = "batch/v1beta1";
    let before = bed.create(version, "cronjobs", &cron_job("night", version, &APP));
    // No workload that runs all the time has such a container.
    let words = [
        "--image",
        &image(),
        "--container",
        "web-app",
        "--format",
        "json",
    ];
    let done = deploy(&bed, &words).ok();
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(report["outcome"]["workload"], "cronjob/night");
    assert_eq!(report["outcome"]["previous_image"], "example.com/app:1");
    assert!(
        done.stderr.contains("its next run uses the image"),
        "{}",
        done.stderr
    );
    let mut expected = before["spec"].clone();
    expected["jobTemplate"]["spec"]["template"]["spec"]["containers"][1]["image"] = json!(image());
    assert_eq!(bed.get(version, "cronjobs", "night")["spec"], expected);
    // A Deployment with such a container is meant before it.
    bed.create("apps/v1", "deployments", &deployment("web", &APP));
    let done = deploy(&bed, &words).ok();
    assert!(done.stdout.contains("deployment/web"), "{}", done.stdout);
}

#[test]
fn one_container_of_a_rollout_is_changed_by_its_place_after_a_test() {
    let Some(bed) = Bed::start("one_container_of_a_rollout_is_changed_by_its_place_after_a_test")
    else {
        return;
    };
    define_rollouts(bed.api());
    let version = "argoproj.io/v1alpha1";
    let mut object = rollout("web", &APP);
    object["spec"]["strategy"] = json!({"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}});
    let before = bed.create(version, "rollouts", &object);
    let words = [
        "--image",
        &image(),
        "--workload",
        "rollout/web",
        "--container",
        "web-app",
    ];
    let dry = deploy(&bed, &[&words[..], &["--dry-run"]].concat()).ok();
    assert!(dry.stdout.contains("nothing was done"), "{}", dry.stdout);
    assert_eq!(bed.get(version, "rollouts", "web")["spec"], before["spec"]);
    deploy(&bed, &words).ok();
    let mut expected = before["spec"].clone();
    expected["template"]["spec"]["containers"][1]["image"] = json!(image());
    let after = bed.get(version, "rollouts", "web");
    assert_eq!(after["spec"], expected);
    let cause = &after["metadata"]["annotations"]["kubernetes.io/change-cause"];
    assert!(
        cause
            .as_str()
            .unwrap()
            .starts_with("overcoat deploy --cluster"),
        "{cause}"
    );
    let again = deploy(&bed, &words).ok();
    assert!(
        again.stdout.contains("nothing was changed"),
        "{}",
        again.stdout
    );

    let reference = json!({
        "apiVersion": version, "kind": "Rollout", "metadata": {"name": "borrowed"},
        "spec": {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "base"}},
    });
    bed.create(version, "rollouts", &reference);
    let done = deploy(
        &bed,
        &["--image", &image(), "--workload", "rollout/borrowed"],
    );
    assert_eq!(done.code, Some(85), "{}", done.stderr);
    assert!(
        done.stderr.contains("--workload deployment/base"),
        "{}",
        done.stderr
    );
}

#[test]
fn somebody_elses_change_of_a_rollout_is_not_written_over() {
    let Some(bed) = Bed::start("somebody_elses_change_of_a_rollout_is_not_written_over") else {
        return;
    };
    define_rollouts(bed.api());
    let version = "argoproj.io/v1alpha1";
    bed.create(version, "rollouts", &rollout("web", &APP));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let patch = json!({"metadata": {"annotations": {"n": n.to_string()}}});
                bed.merge(version, "rollouts", "web", &patch);
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
        });
        let done = deploy(
            &bed,
            &[
                "--image",
                &image(),
                "--workload",
                "rollout/web",
                "--container",
                "web-app",
            ],
        );
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        done.ok();
    });
    let object = bed.get(version, "rollouts", "web");
    let containers = &object["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[1]["image"], image());
    assert_eq!(containers[0]["image"], "example.com/mesh:1");
}

#[test]
fn a_job_cannot_be_changed_and_it_is_said_what_can_be_done() {
    let Some(bed) = Bed::start("a_job_cannot_be_changed_and_it_is_said_what_can_be_done") else {
        return;
    };
    let before = bed.create("batch/v1", "jobs", &job("migrate", &APP));
    for name in ["job/migrate", "migrate"] {
        let words = [
            "--image",
            &image(),
            "--workload",
            name,
            "--container",
            "web-app",
        ];
        let done = deploy(&bed, &words);
        assert_eq!(done.code, Some(97), "{}", done.stderr);
        assert!(
            done.stderr.contains("the template of a Job is fixed"),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr.contains("kubectl replace --force"),
            "{}",
            done.stderr
        );
    }
    // By its container alone a Job is never meant: a CronJob's have those of the CronJob.
    let done = deploy(&bed, &["--image", &image(), "--container", "web-app"]);
    assert_eq!(done.code, Some(85), "{}", done.stderr);
    assert_eq!(
        bed.get("batch/v1", "jobs", "migrate")["spec"],
        before["spec"]
    );
    // It can be made with the image.
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("job.json");
    std::fs::write(&manifest, job("second", &APP).to_string()).unwrap();
    let words = [
        "--image",
        &image(),
        "--workload",
        "job/second",
        "--container",
        "web-app",
        "--apply",
    ];
    deploy(&bed, &[&words[..], &[manifest.to_str().unwrap()]].concat()).ok();
    let made = bed.get("batch/v1", "jobs", "second");
    assert_eq!(
        made["spec"]["template"]["spec"]["containers"][1]["image"],
        image()
    );
}
