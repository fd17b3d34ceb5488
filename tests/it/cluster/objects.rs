//! The client itself: what other commands build on.

use std::fs;
use std::time::{Duration, Instant};

use overcoat::event::Silent;
use overcoat::kubernetes::cluster::{
    Access, Cluster, Done, Error, Logs, Selector, Within, resource,
};
use serde_json::{Value, json};

use super::super::support::cluster::objects::deployment;
use super::super::support::cluster::{ADMIN, Bed, Fate};
use super::super::support::wait_for;
use super::{digest, running, wait_until_ready};

fn within() -> Within<'static> {
    Within {
        observer: &Silent,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

fn connect(bed: &Bed) -> Cluster {
    let access = Access {
        kubeconfigs: vec![bed.kubeconfig("k3d-test", ADMIN)],
        must_exist: true,
        ..Access::default()
    };
    Cluster::connect(&access, within()).unwrap()
}

#[test]
fn lists_are_read_to_their_end_and_objects_that_are_not_there_are_none() {
    let Some(bed) =
        Bed::start("lists_are_read_to_their_end_and_objects_that_are_not_there_are_none")
    else {
        return;
    };
    for number in 0..260 {
        let metadata = json!({"name": format!("map-{number:03}"), "labels": {"half": (number % 2).to_string()}});
        bed.create(
            "v1",
            "configmaps",
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}),
        );
    }
    let cluster = connect(&bed);
    let count = |selector: &Selector| {
        let maps = cluster
            .list(within(), &resource::CONFIG_MAP, bed.namespace(), selector)
            .unwrap();
        let names: std::collections::BTreeSet<String> = maps
            .iter()
            .map(|map| map["metadata"]["name"].to_string())
            .collect();
        assert_eq!(names.len(), maps.len());
        names.iter().filter(|name| name.contains("map-")).count()
    };
    assert_eq!(count(&Selector::all()), 260);
    assert_eq!(count(&Selector::labels("half=1")), 130);
    assert_eq!(
        count(&Selector::of_workload(
            &json!({"matchExpressions": [{"key": "half", "operator": "In", "values": ["0"]}]})
        )),
        130
    );
    assert_eq!(count(&Selector::fields("metadata.name=map-007")), 1);
    assert_eq!(
        cluster
            .get(within(), &resource::CONFIG_MAP, bed.namespace(), "none")
            .unwrap(),
        None
    );
    // A name cannot lead elsewhere.
    assert_eq!(
        cluster
            .get(within(), &resource::CONFIG_MAP, bed.namespace(), "../pods")
            .unwrap(),
        None
    );
}

#[test]
fn logs_and_events_come_through_the_server() {
    let Some(bed) = Bed::start("logs_and_events_come_through_the_server") else {
        return;
    };
    let kubelet = bed.kubelet();
    let image = format!("example.com/app:1@{}", digest("a"));
    kubelet.log(&image, "first");
    kubelet.log(&image, "second \u{1b}[31m");
    kubelet.previous_log(&image, "before the crash\n");
    bed.create(
        "apps/v1",
        "deployments",
        &deployment("web", &[("web-app", &image)]),
    );
    wait_until_ready(&bed, "deployments", "web");
    let cluster = connect(&bed);
    let pods = cluster
        .list(
            within(),
            &resource::POD,
            cluster.namespace(),
            &Selector::labels("app=web"),
        )
        .unwrap();
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    let logs = Logs {
        container: "web-app".to_owned(),
        ..Logs::default()
    };
    let read = |logs: &Logs| cluster.logs(within(), cluster.namespace(), pod, logs);
    assert_eq!(read(&logs).unwrap(), "first\nsecond \u{1b}[31m\n");
    assert_eq!(
        read(&Logs {
            tail_lines: Some(1),
            ..logs.clone()
        })
        .unwrap(),
        "second \u{1b}[31m\n"
    );
    assert_eq!(
        read(&Logs {
            most_bytes: Some(3),
            ..logs.clone()
        })
        .unwrap(),
        "fir"
    );
    assert_eq!(
        read(&Logs {
            since_time: Some("2100-01-01T00:00:00Z".to_owned()),
            ..logs.clone()
        })
        .unwrap(),
        ""
    );
    assert_eq!(
        read(&Logs {
            since_seconds: Some(3600),
            tail_lines: Some(1),
            ..logs.clone()
        })
        .unwrap(),
        "second \u{1b}[31m\n"
    );
    assert_eq!(
        read(&Logs {
            is_previous: true,
            ..logs.clone()
        })
        .unwrap(),
        "before the crash\n"
    );
    assert!(
        read(&Logs {
            has_timestamps: true,
            ..logs.clone()
        })
        .unwrap()
        .contains("Z first\n")
    );
    let other = read(&Logs {
        container: "other".to_owned(),
        ..logs
    });
    assert!(matches!(other, Err(Error::Invalid { .. })), "{other:?}");
    assert!(
        kubelet
            .asked()
            .iter()
            .all(|asked| asked.contains("limitBytes=")),
        "{:?}",
        kubelet.asked()
    );

    for (fate, reason) in [
        (Fate::ImagePullBackOff, "Failed"),
        (Fate::CrashLoopBackOff(1), "BackOff"),
        (Fate::Unready, "Unhealthy"),
    ] {
        kubelet.fate(&image, fate);
        let uid = pods[0]["metadata"]["uid"].as_str().unwrap();
        let event = wait_for("an event", || {
            let events = cluster
                .events_about(within(), cluster.namespace(), uid)
                .unwrap();
            events.into_iter().find(|event| event["reason"] == reason)
        });
        assert_eq!(event["involvedObject"]["name"], pod);
    }
    kubelet.fate(&image, Fate::Running(Some("sha256:1234".to_owned())));
    wait_for("the image's id", || {
        running(&bed)
            .iter()
            .any(|statuses| statuses[0]["imageID"] == "sha256:1234")
            .then_some(())
    });
}

#[test]
fn applying_creates_configures_and_leaves_alone_also_what_others_defined() {
    let Some(bed) =
        Bed::start("applying_creates_configures_and_leaves_alone_also_what_others_defined")
    else {
        return;
    };
    let cluster = connect(&bed);
    let apply = |object: &Value| cluster.apply(within(), object, false);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}});
    assert_eq!(apply(&map).unwrap().done, Done::Created);
    assert_eq!(apply(&map).unwrap().done, Done::Unchanged);
    let mut changed = map.clone();
    changed["data"]["a"] = json!("2");
    let applied = cluster.apply(within(), &changed, true).unwrap();
    assert_eq!(
        (
            applied.done,
            bed.get("v1", "configmaps", "one")["data"]["a"].as_str()
        ),
        (Done::Configured, Some("1"))
    );
    let applied = apply(&changed).unwrap();
    assert_eq!(
        (applied.done, applied.namespace.as_str()),
        (Done::Configured, bed.namespace())
    );

    // Somebody else has set it since.
    bed.merge("v1", "configmaps", "one", &json!({"data": {"a": "3"}}));
    let conflict = apply(&map).unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict:?}");
    for (object, what) in [
        (
            json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "one"}}),
            "kind `Thing`",
        ),
        (
            json!({"apiVersion": "../../x", "kind": "Thing", "metadata": {"name": "one"}}),
            "kind `Thing`",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
            "`metadata.name`",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": 1}}),
            "expected string",
        ),
    ] {
        let error = apply(&object).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }

    let group = format!("{}.example", bed.namespace());
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    assert_eq!(apply(&definition).unwrap().namespace, "");
    let thing = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "one"}, "spec": {"size": 3}});
    wait_for("the kind", || apply(&thing).ok());
    let kind = cluster
        .resource_of(within(), &format!("{group}/v1"), "Thing")
        .unwrap();
    assert_eq!(
        cluster
            .get(within(), &kind, bed.namespace(), "one")
            .unwrap()
            .unwrap()["spec"]["size"],
        3
    );
    bed.api().ok(
        "DELETE",
        &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}"),
        &Value::Null,
    );
}

#[test]
fn a_pod_finds_its_cluster_by_its_own_files() {
    let Some(bed) = Bed::start("a_pod_finds_its_cluster_by_its_own_files") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.crt"), bed.authority()).unwrap();
    fs::write(directory.path().join("token"), ADMIN).unwrap();
    fs::write(directory.path().join("namespace"), bed.namespace()).unwrap();
    let port = bed.url().rsplit(':').next().unwrap().to_owned();
    let pod = overcoat::kubernetes::cluster::InCluster {
        host: "127.0.0.1".to_owned(),
        port,
        directory: directory.path().to_owned(),
    };
    let access = Access {
        in_cluster: Some(pod),
        ..Access::default()
    };
    let cluster = Cluster::connect(&access, within()).unwrap();
    assert_eq!(
        (cluster.namespace(), cluster.target().context.as_deref()),
        (bed.namespace(), None)
    );
    assert!(
        cluster
            .get(within(), &resource::NAMESPACE, "", bed.namespace())
            .unwrap()
            .is_some()
    );
}
