use std::path::Path;

use super::*;

fn workload(name: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: convoy-{name}-ns\nspec:\n  template:\n    spec:\n      containers:\n      - name: {container}\n        image: team/{name}:1\n"
    )
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn pods_are_found_by_content_under_any_file_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (pod, file) in [
        ("sink", "sink/Pod-X-deployment.yaml"),
        ("gateway", "gateway/k8s/03-deployment.yml"),
    ] {
        write(root, &format!("{pod}/app/app.py"), "");
        write(root, file, &workload(pod, "web-app"));
        write(
            root,
            &format!("{pod}/01-namespace.yaml"),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
        );
        // What is built is not looked at, nor is what is no manifest.
        write(
            root,
            &format!("{pod}/app/04.yaml"),
            &workload("other", "web-app"),
        );
        write(
            root,
            &format!("{pod}/notes.txt"),
            &workload("other", "web-app"),
        );
        write(root, &format!("{pod}/values.yaml"), "a: {{ .Values.x }}\n");
    }
    write(root, "docs/readme.md", "");
    write(root, ".venv/sink/app/app.py", "");
    let pods = discover(root, &[]).unwrap();
    let found: Vec<(&str, &str)> = pods
        .iter()
        .map(|pod| (pod.name.as_str(), pod.workload.name.as_str()))
        .collect();
    assert_eq!(found, [("gateway", "gateway"), ("sink", "sink")]);
    assert_eq!(pods[0].manifest, root.join("gateway/k8s/03-deployment.yml"));
    assert_eq!(
        pods[0].workload.namespace.as_deref(),
        Some("convoy-gateway-ns")
    );
    assert_eq!(pods[1].manifests.len(), 2, "{:?}", pods[1].manifests);
    let one = discover(root, &["sink".to_owned()]).unwrap();
    assert_eq!(one, pods[1..]);
    let one = discover(&root.join("sink"), &[]).unwrap();
    assert_eq!(one, pods[1..]);
}

#[test]
fn manifests_in_the_root_belong_to_the_pod_that_they_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for pod in ["relay-1", "relay-10"] {
        write(root, &format!("{pod}/app/app.py"), "");
        write(
            root,
            &format!("manifests/{pod}.yaml"),
            &workload(pod, "web-app"),
        );
    }
    let pods = discover(root, &[]).unwrap();
    assert_eq!(pods[0].manifest, root.join("manifests/relay-1.yaml"));
    assert_eq!(pods[1].manifest, root.join("manifests/relay-10.yaml"));
}

#[test]
fn what_is_not_there_or_there_twice_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    assert!(matches!(discover(root, &[]), Err(Error::NoPods { .. })));
    write(root, "a/app/app.py", "");
    write(root, "a/one.yaml", &workload("x", "other"));
    write(root, "a/helm.yaml", "a: b: [\n");
    let error = discover(root, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::NoWorkload { unread, .. } if unread.len() == 1),
        "{error}"
    );
    write(
        root,
        "a/two.yaml",
        &[workload("x", "web-app"), workload("y", "web-app")].join("---\n"),
    );
    let error = discover(root, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "several workloads of the pod `a` have a container `web-app`: a/two.yaml, line 11: Deployment/x, a/two.yaml, line 23: Deployment/y"
    );
    let error = discover(root, &["b".to_owned()]).unwrap_err();
    assert_eq!(error.hints(), ["there are a"]);
    write(root, "b/a/app/app.py", "");
    assert!(matches!(discover(root, &[]), Err(Error::SameName { .. })));
}
