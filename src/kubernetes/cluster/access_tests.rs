//! Which cluster is chosen: tables of kubeconfigs.

use std::path::PathBuf;

use serde_json::json;

use super::*;

fn write(directory: &Path, name: &str, contexts: &[&str], current: Option<&str>) -> PathBuf {
    let entries: Vec<_> = contexts
        .iter()
        .map(|context| json!({"name": context, "context": {"cluster": context, "user": "me", "namespace": format!("ns-{context}")}}))
        .collect();
    let clusters: Vec<_> = contexts
        .iter()
        .map(|context| json!({"name": context, "cluster": {"server": format!("https://{name}-{context}.example:6443")}}))
        .collect();
    let mut text = json!({
        "apiVersion": "v1", "kind": "Config", "contexts": entries, "clusters": clusters,
        "users": [{"name": "me", "user": {"token": "secret-token"}}],
    });
    if let Some(current) = current {
        text["current-context"] = json!(current);
    }
    let path = directory.join(name);
    std::fs::write(&path, text.to_string()).unwrap();
    path
}

fn pod(directory: &Path) -> InCluster {
    let made = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("ca.crt", made),
        ("token", "pod-token"),
        ("namespace", "pod-namespace\n"),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    InCluster {
        host: "10.0.0.1".to_owned(),
        port: "443".to_owned(),
        directory: directory.to_owned(),
    }
}

#[test]
fn the_first_file_and_the_asked_for_context_win() {
    let directory = tempfile::tempdir().unwrap();
    let first = write(directory.path(), "first", &["a", "b"], None);
    let second = write(directory.path(), "second", &["b", "c"], Some("b"));
    let access = Access {
        kubeconfigs: vec![directory.path().join("absent"), first, second],
        in_cluster: Some(pod(directory.path())),
        ..Access::default()
    };
    let contexts = access.contexts().unwrap();
    assert_eq!(contexts.current.as_deref(), Some("b"));
    assert_eq!(contexts.names, ["a", "b", "c"]);
    let target = access.target().unwrap();
    let expected = Target {
        context: Some("b".to_owned()),
        server: "https://first-b.example:6443".to_owned(),
        namespace: "ns-b".to_owned(),
    };
    assert_eq!(target, expected);
    let asked = Access {
        context: Some("c".to_owned()),
        namespace: Some("mine".to_owned()),
        ..access
    };
    let target = asked.target().unwrap();
    assert_eq!(
        (target.server.as_str(), target.namespace.as_str()),
        ("https://second-c.example:6443", "mine")
    );
}

#[test]
fn a_pod_knows_its_cluster_when_nothing_else_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let access = Access {
        kubeconfigs: vec![directory.path().join("absent")],
        in_cluster: Some(pod(directory.path())),
        ..Access::default()
    };
    let target = access.target().unwrap();
    assert_eq!(
        (target.context, target.server.as_str()),
        (None, "https://10.0.0.1:443")
    );
    assert_eq!(target.namespace, "pod-namespace");
    let asked = Access {
        context: Some("a".to_owned()),
        ..access
    };
    assert!(
        matches!(asked.target(), Err(Error::NoKubeconfig { .. })),
        "{:?}",
        asked.target()
    );
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let of = |path: PathBuf| Access {
        kubeconfigs: vec![path],
        ..Access::default()
    };
    let said = |access: &Access| access.target().unwrap_err().to_string();

    assert_eq!(
        said(&Access::default()),
        "no cluster is known: neither `KUBECONFIG` nor `HOME` is set"
    );
    let absent = of(directory.path().join("absent"));
    assert!(said(&absent).ends_with("absent`"), "{}", said(&absent));
    let named = Access {
        must_exist: true,
        ..absent
    };
    assert!(matches!(named.target(), Err(Error::Kubeconfig { .. })));

    let unknown = Access {
        context: Some("prod".to_owned()),
        ..of(write(directory.path(), "k", &["dev", "pp"], None))
    };
    let error = unknown.target().unwrap_err();
    assert_eq!(error.to_string(), "the kubeconfig has no context `prod`");
    assert_eq!(error.hints(), ["choose one with `--context`: dev, pp"]);
    let none = of(write(directory.path(), "k2", &["dev"], None));
    assert_eq!(said(&none), "the kubeconfig has no current context");

    let broken = of(path(
        "broken",
        "users:\n- name: x\n  user: {token: hunter2\n",
    ));
    assert!(
        said(&broken).contains("cannot be used"),
        "{}",
        said(&broken)
    );
    assert!(!format!("{} {:?}", said(&broken), broken.target()).contains("hunter2"));
    let typed = of(path("typed", "users: hunter2\ncontexts: 5\n"));
    assert!(!format!("{} {:?}", said(&typed), typed.target()).contains("hunter2"));

    let plain = "contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'http://api.example'}}]\n";
    assert!(said(&of(path("plain", plain))).contains("plain HTTP"));
    assert_eq!(
        of(path(
            "loop",
            &plain.replace("api.example", "127.0.0.1:8080")
        ))
        .target()
        .unwrap()
        .namespace,
        "default"
    );
    assert!(
        said(&of(path(
            "none",
            &plain.replace("cluster: c,", "cluster: d,")
        )))
        .contains("there is no cluster `d`")
    );
}

#[test]
fn a_proxy_is_the_kubeconfigs_then_the_machines_unless_the_host_is_excepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "k", &["a"], Some("a"));
    let with = |none: Option<&str>| {
        let access = Access {
            kubeconfigs: vec![path.clone()],
            proxies: Proxies {
                http: None,
                https: Some("http://proxy.example:3128".to_owned()),
                none: none.map(str::to_owned),
            },
            ..Access::default()
        };
        access
            .config()
            .unwrap()
            .0
            .proxy_url
            .map(|url| url.to_string())
    };
    assert_eq!(with(None).as_deref(), Some("http://proxy.example:3128/"));
    assert_eq!(with(Some("other,.example")), None);
    assert_eq!(with(Some("*")), None);
    assert_eq!(
        with(Some("ample")).as_deref(),
        Some("http://proxy.example:3128/")
    );
    for (host, excepted, expected) in [
        ("10.1.2.3", "10.0.0.0/8", true),
        ("11.1.2.3", "10.0.0.0/8", false),
        ("10.1.2.3", "0.0.0.0/0", true),
        ("[fd00::1]", "fd00::/8", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("api.example", "api.example", true),
        ("notapi.example", "api.example", false),
    ] {
        assert_eq!(is_excepted(host, excepted), expected, "{host} {excepted}");
    }
}

#[test]
fn contexts_of_local_clusters_are_known_by_their_names() {
    for (name, expected) in [
        ("k3d-dev", true),
        ("kind-kind", true),
        ("minikube", true),
        ("prod", false),
        ("my-k3d-dev", false),
    ] {
        assert_eq!(is_local_context(name), expected, "{name}");
    }
}
