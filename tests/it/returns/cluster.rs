//! The same with a cluster.

use super::*;
use crate::support::cluster::objects::deployment as object;
use crate::support::cluster::{ADMIN, Bed};

const NOBODYS: &str = "https://127.0.0.1:1";

/// A workload, and a project that is deployed to it. The cluster has it by a kubeconfig in the project that nothing else names.
fn shop(bed: &Bed) -> Shop {
    let containers = [("sidecar", "example.com/sidecar:1"), ("web-app", OLD)];
    bed.create("apps/v1", "deployments", &object("web", &containers));
    let more = format!("namespace = \"{}\"\n", bed.namespace());
    let overcoat = Overcoat::new().with("KUBECONFIG", "/nonexistent");
    let shop = Shop::of(overcoat, &more);
    fs::copy(
        bed.kubeconfig("k3d-test", ADMIN),
        shop.root.join("kubeconfig"),
    )
    .unwrap();
    shop
}

fn image_of(bed: &Bed) -> String {
    let object = bed.get("apps/v1", "deployments", "web");
    let containers = &object["spec"]["template"]["spec"]["containers"];
    containers[1]["image"].as_str().unwrap().to_owned()
}

const TO: [&str; 3] = ["--cluster", "--kubeconfig", "kubeconfig"];

#[test]
fn a_file_and_the_cluster_get_one_image_and_go_back_together() {
    let Some(bed) = Bed::start("a_file_and_the_cluster_get_one_image_and_go_back_together") else {
        return;
    };
    let shop = shop(&bed);
    let to = [&TO[..], &["--manifest", "m/d.yaml"]].concat();
    let images = shop.deployed(&["1\n", "2\n"], &to);
    // By its tag alone it is the same: the registry knows the digest.
    shop.deploy(&[&to[..], &["--image", by_tag(&images[1])]].concat());
    assert_eq!(image_of(&bed), images[1]);
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[1]));
    let records = shop.deployments();
    assert_eq!(records[2]["digest"], records[1]["digest"]);
    let dry = shop.rollback(&["--dry-run"]).ok();
    assert!(
        dry.stdout
            .contains(&format!("+        image: {}", images[0]))
            && dry
                .stdout
                .contains(&format!("{} -> {}", images[1], images[0])),
        "{}",
        dry.stdout
    );
    assert_eq!(image_of(&bed), images[1]);
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[1]));

    shop.rollback(&[]).ok();
    assert_eq!(image_of(&bed), images[0]);
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[0]));
    let last = shop.deployments().pop().unwrap();
    assert_eq!(last["target"]["kind"], "cluster");
    assert_eq!(last["also"][0]["files"], json!(["m/d.yaml"]));

    // What the cluster refuses is written nowhere.
    bed.api().ok(
        "DELETE",
        &format!("{}/web", bed.path("apps/v1", "deployments")),
        &Value::Null,
    );
    let refused = shop.rollback(&["--to", "2"]);
    assert_eq!(refused.code, Some(85), "{}", refused.stderr);
    assert_eq!(shop.read("m/d.yaml"), deployment(&images[0]));
}

#[test]
fn a_rollback_reaches_the_cluster_of_then_or_none() {
    let Some(bed) = Bed::start("a_rollback_reaches_the_cluster_of_then_or_none") else {
        return;
    };
    let shop = shop(&bed);
    let images = shop.deployed(&["1\n", "2\n"], &TO);
    let record = &shop.deployments()[0];
    assert_eq!(
        record["endpoint"],
        json!({"server": bed.url(), "kubeconfig": "kubeconfig"})
    );
    shop.rollback(&[]).ok();
    assert_eq!(image_of(&bed), images[0]);

    // Another cluster by the same context.
    let mine = shop.root.join("kubeconfig");
    let text = fs::read_to_string(&mine).unwrap();
    fs::write(&mine, text.replace(bed.url(), NOBODYS)).unwrap();
    let count = shop.deployments().len();
    let refused = shop.rollback(&["--to", "2", "--dry-run"]);
    assert_eq!(refused.code, Some(97), "{}", refused.stderr);
    for part in [
        &format!("the context `k3d-test` leads to {NOBODYS}"),
        bed.url(),
        "`--yes`",
        "--kubeconfig FILE",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(shop.deployments().len(), count);
    let meant = shop.rollback(&["--to", "2", "--dry-run", "--yes"]);
    assert_eq!(meant.code, Some(90), "{}", meant.stderr);
    let pruned = shop.run(&["prune", "--retain", "1", "--delete-tags"]);
    assert_eq!(pruned.code, Some(97), "{}", pruned.stderr);
    assert!(
        pruned.stderr.contains("nothing was removed"),
        "{}",
        pruned.stderr
    );

    // It is named, or it is gone and the usual one leads there.
    let elsewhere = shop.directory.path().join("elsewhere");
    fs::write(&elsewhere, &text).unwrap();
    let named = ["--to", "2", "--kubeconfig", elsewhere.to_str().unwrap()];
    shop.rollback(&named).ok();
    assert_eq!(image_of(&bed), images[1]);
    let gone = |file: &str| {
        fs::remove_file(shop.root.join(file)).ok();
        let mut command = shop
            .overcoat
            .command(&["rollback", "--environment", "dev", "--to", "1"]);
        command
            .env("KUBECONFIG", &elsewhere)
            .current_dir(&shop.root);
        Done::from(command.output().unwrap())
    };
    gone("kubeconfig").ok();
    assert_eq!(image_of(&bed), images[0]);
    let unknown = shop.rollback(&["--to", "2"]);
    assert_eq!(unknown.code, Some(90), "{}", unknown.stderr);
    assert!(
        unknown
            .stderr
            .contains("the kubeconfig of the deployment is gone"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn what_a_workload_names_by_its_tag_is_not_pruned() {
    let Some(bed) = Bed::start("what_a_workload_names_by_its_tag_is_not_pruned") else {
        return;
    };
    let shop = shop(&bed);
    // Scaled to nothing: no pod has a digest.
    let none = json!({"spec": {"replicas": 0}});
    bed.merge("apps/v1", "deployments", "web", &none);
    let images = shop.deployed(&["1\n", "2\n", "3\n", "4\n"], &TO);
    // By hand.
    let containers = json!([
        {"name": "sidecar", "image": "example.com/sidecar:1"},
        {"name": "web-app", "image": by_tag(&images[0])},
    ]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    bed.merge("apps/v1", "deployments", "web", &patch);

    // A cluster that does not answer: what was deployed there stays on record, unless nobody asks.
    let mine = shop.root.join("kubeconfig");
    let text = fs::read_to_string(&mine).unwrap();
    fs::write(&mine, text.replace(bed.url(), NOBODYS)).unwrap();
    let silent = shop.run(&["prune", "--retain", "1"]).ok();
    assert!(
        silent.stderr.contains("it is not known what runs there"),
        "{}",
        silent.stderr
    );
    assert_eq!(shop.sequences(), [1, 2, 3, 4]);
    let dry = [
        "prune",
        "--retain",
        "1",
        "--dry-run",
        "--no-cluster",
        "--json",
    ];
    let dry = shop.json(&dry);
    let gone = dry["records"].as_array().unwrap().iter();
    let gone = gone.filter(|record| record["operation"] == "deploy");
    assert_eq!(gone.count(), 3);

    fs::write(&mine, text).unwrap();
    let done = shop
        .run(&["prune", "--retain", "1", "--delete-tags", "--json"])
        .ok();
    assert!(
        done.stderr
            .contains("the deploy 1 of web has an image that runs"),
        "{}",
        done.stderr
    );
    assert_eq!(shop.sequences(), [1, 4]);
    // The third was replaced by the one that stays, whose record names it.
    let gone = shop.run(&["digest", &images[1]]);
    assert_eq!(gone.code, Some(4), "{}", gone.stderr);
    shop.run(&["digest", by_tag(&images[0])]).ok();
}

#[test]
fn after_a_rollback_its_image_is_awaited_and_not_that_of_the_results() {
    let test = "after_a_rollback_its_image_is_awaited_and_not_that_of_the_results";
    let Some(bed) = Bed::start(test) else { return };
    let _kubelet = bed.kubelet();
    let shop = shop(&bed);
    let images = shop.deployed(&["1\n", "2\n"], &TO);
    let watch = |more: &[&str]| {
        let words = [
            "watch",
            "--environment",
            "dev",
            "web",
            "--kubeconfig",
            "kubeconfig",
        ];
        let words = [&words[..], &["--interval", "200ms", "--stable", "0s"], more].concat();
        shop.run(&words)
    };
    let done = watch(&["--timeout", "100s"]).ok();
    assert!(done.stdout.contains(&images[1]), "{}", done.stdout);
    assert!(!done.stderr.contains("is newer than"), "{}", done.stderr);
    shop.rollback(&[]).ok();
    let done = watch(&["--timeout", "100s"]).ok();
    assert!(done.stdout.contains(&images[0]), "{}", done.stdout);
    let said = format!(
        "the deploy 3 of web is newer than `build_result.json`: its image is awaited, {}",
        images[0]
    );
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    // The file counts where it is named, and where it is newer.
    let named = watch(&["--timeout", "5s", "--build-result", "build_result.json"]);
    assert_eq!(named.code, Some(93), "{}", named.stderr);
    shop.build("3\n");
    let newer = watch(&["--timeout", "5s"]);
    assert_eq!(newer.code, Some(93), "{}", newer.stderr);
}
