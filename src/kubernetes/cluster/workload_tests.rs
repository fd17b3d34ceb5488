//! Which container is meant: tables.

use serde_json::json;

use super::*;

pub(super) fn workload(kind: WorkloadKind, name: &str, containers: &[&str]) -> Workload {
    let containers: Vec<Value> = containers
        .iter()
        .map(|container| json!({"name": container, "image": format!("example.com/{container}:1")}))
        .collect();
    let object = json!({"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": containers}}}});
    Workload { kind, object }
}

fn three() -> Vec<Workload> {
    vec![
        workload(WorkloadKind::Deployment, "gateway", &["wosp", "web-app"]),
        workload(WorkloadKind::StatefulSet, "db", &["postgres"]),
        workload(WorkloadKind::DaemonSet, "db", &["agent"]),
    ]
}

/// What is found by `WORKLOAD` and `CONTAINER`, or what is said.
fn found(workloads: Vec<Workload>, name: Option<&str>, container: Option<&str>) -> String {
    let name = name.map(|name| name.parse().unwrap());
    match find(workloads, name.as_ref(), container, "shop") {
        Ok((workload, container)) => format!("{} {}", workload.full_name(), container.name),
        Err(error) => error.to_string(),
    }
}

#[test]
fn one_container_of_one_workload_is_found_or_it_is_said_what_there_is() {
    for (name, container, expected) in [
        (None, Some("web-app"), "deployment/gateway web-app"),
        (
            Some("gateway"),
            Some("web-app"),
            "deployment/gateway web-app",
        ),
        (Some("sts/db"), None, "statefulset/db postgres"),
        (
            Some("daemonsets.apps/db"),
            Some("agent"),
            "daemonset/db agent",
        ),
        (
            Some("db"),
            None,
            "there are several workloads `db` in the namespace `shop`: statefulset/db, daemonset/db",
        ),
        (
            Some("deploy/db"),
            None,
            "there is no workload `deployment/db` in the namespace `shop`",
        ),
        (
            Some("gateway"),
            Some("web"),
            "deployment/gateway has no container `web`",
        ),
        (
            Some("gateway"),
            None,
            "which container is meant is not said: deployment/gateway has several",
        ),
        (None, None, "which container is meant is not said"),
        (
            None,
            Some("web"),
            "no workload in the namespace `shop` has a container `web`",
        ),
    ] {
        assert_eq!(found(three(), name, container), expected);
    }
    let mut two = three();
    two.push(workload(WorkloadKind::Deployment, "relay", &["web-app"]));
    let expected = "several workloads in the namespace `shop` have a container `web-app`: deployment/gateway, deployment/relay";
    assert_eq!(found(two.clone(), None, Some("web-app")), expected);
    assert_eq!(
        found(two, Some("relay"), Some("web-app")),
        "deployment/relay web-app"
    );
}

#[test]
fn a_container_that_runs_before_the_others_is_found_by_its_name_only() {
    let mut one = workload(WorkloadKind::Deployment, "web", &["app"]);
    one.object["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "migrate", "image": "x"}]);
    assert_eq!(
        found(vec![one.clone()], Some("web"), None),
        "deployment/web app"
    );
    assert_eq!(
        found(vec![one], None, Some("migrate")),
        "deployment/web migrate"
    );
}

#[test]
fn names_of_workloads_are_those_that_the_server_allows() {
    for bad in [
        "",
        "pod/x",
        "deployment/",
        "Deployment/Web",
        "../x",
        "deployment/a/b",
        "a b",
    ] {
        assert!(bad.parse::<WorkloadName>().is_err(), "{bad:?}");
    }
}

#[test]
fn who_would_undo_a_change_is_named() {
    let mut one = workload(WorkloadKind::Deployment, "web", &["app"]);
    assert_eq!(one.manager(), None);
    one.object["metadata"]["labels"] =
        json!({"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "shop"});
    assert_eq!(one.manager().unwrap(), "the HelmRelease `shop/web` of Flux");
    one.object["metadata"] =
        json!({"annotations": {"argocd.argoproj.io/tracking-id": "site:apps/Deployment:shop/web"}});
    assert_eq!(one.manager().unwrap(), "the application `site` of Argo CD");
}
