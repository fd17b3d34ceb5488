//! Which container is meant, and what workloads are.

use super::*;

#[test]
fn one_container_in_two_workloads_needs_the_workload_named() {
    let one = deployment(&format!("      - name: web-app\n        image: {OLD}\n"));
    let two = one
        .replace("name: web\n", "name: api\n")
        .replace("Deployment", "StatefulSet");
    let text = format!("{one}---\n{two}");
    let error = refused(
        &text,
        &web_app(),
        &[
            "Deployment/web (m.yaml:9)",
            "StatefulSet/api (m.yaml:20)",
            "--deployment",
        ],
    );
    assert!(matches!(error, Error::Ambiguous { .. }));
    for (name, first) in [
        ("web", true),
        ("deployment/web", true),
        ("deploy/web", true),
        ("sts/api", false),
        ("api", false),
    ] {
        let wanted = Wanted {
            workload: Some(name.parse().unwrap()),
            ..web_app()
        };
        let after = edited(&text, &wanted).unwrap().after;
        let expected = match first {
            true => format!("{}---\n{two}", one.replace(OLD, NEW)),
            false => format!("{one}---\n{}", two.replace(OLD, NEW)),
        };
        assert_eq!(after, expected, "{name}");
    }
    let wanted = Wanted {
        workload: Some("sts/web".parse().unwrap()),
        ..web_app()
    };
    refused(
        &text,
        &wanted,
        &["no workload `sts/web`", "Deployment/web", "StatefulSet/api"],
    );
    // The same name in two namespaces.
    let spaced =
        |space: &str| one.replace("name: web\n", &format!("name: web\n  namespace: {space}\n"));
    let text = format!("{}---\n{}", spaced("a"), spaced("b"));
    let wanted = Wanted {
        workload: Some("web".parse().unwrap()),
        ..web_app()
    };
    refused(&text, &wanted, &["several workloads", "--namespace"]);
    // Nothing is named, and only the workload tells them apart.
    refused(
        &text,
        &Wanted::default(),
        &["several containers", "`--deployment KIND/NAME`"],
    );
    let elsewhere = Wanted {
        namespace: Some("other".to_owned()),
        ..web_app()
    };
    refused(
        &text,
        &elsewhere,
        &["namespace `other`", "namespaces `a`, `b`"],
    );
    let wanted = Wanted {
        namespace: Some("b".to_owned()),
        ..web_app()
    };
    assert_eq!(
        edited(&text, &wanted).unwrap().after,
        format!("{}---\n{}", spaced("a"), spaced("b").replace(OLD, NEW))
    );
}

#[test]
fn who_is_not_there_is_said_with_who_is() {
    let text = deployment(&format!(
        "      - name: web\n        image: {OLD}\n      - name: side\n        image: {OLD}\n"
    ));
    refused(
        &text,
        &web_app(),
        &[
            "no container `web-app`",
            "`web in Deployment/web`, `side in Deployment/web`",
        ],
    );
    refused(
        &text,
        &Wanted::default(),
        &["several containers", "--container"],
    );
    refused(
        "kind: Service\napiVersion: v1\n",
        &web_app(),
        &["no workload is in `m.yaml`"],
    );
    refused("", &web_app(), &["no workload"]);
    refused("a: \u{1b}[31m[", &web_app(), &["m.yaml"]);
    let hostile = deployment("      - name: \"\\e[31mred\"\n        image: a\n");
    let message = edited(&hostile, &web_app()).unwrap_err().to_string();
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

#[test]
fn pull_policies_follow_kubernetes() {
    for (policy, image, always) in [
        (None, "a", true),
        (None, "a:latest", true),
        (None, "a:1", false),
        (
            None,
            "a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            false,
        ),
        (Some("Always"), "a:1", true),
        (Some("IfNotPresent"), "a:latest", false),
        (Some("Never"), "a", false),
    ] {
        let policy = PullPolicy(policy.map(str::to_owned));
        assert_eq!(
            policy.always_pulls(&image.parse().unwrap()),
            always,
            "{policy:?} {image}"
        );
    }
}

#[test]
fn workloads_are_listed_with_their_containers() {
    let text = "apiVersion: v1\nkind: Service\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: n\nspec:\n  template:\n    spec:\n      initContainers: [{name: i}]\n      containers:\n      - name: a\n        image: x:1\n        imagePullPolicy: Never\n      - image: y\n";
    let found = workloads(Path::new("m"), text).unwrap();
    assert_eq!(found.len(), 1);
    let workload = &found[0];
    assert_eq!(
        (
            workload.name.to_string().as_str(),
            workload.namespace.as_deref()
        ),
        ("Deployment/web", Some("n"))
    );
    assert_eq!((workload.document, workload.line), (1, 4));
    let containers: Vec<_> = workload
        .containers
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.image.as_deref(),
                c.is_init,
                c.pull_policy.0.as_deref(),
                c.line,
            )
        })
        .collect();
    assert_eq!(
        containers,
        [
            ("a", Some("x:1"), false, Some("Never"), 14),
            ("", Some("y"), false, None, 17),
            ("i", None, true, None, 12),
        ]
    );
}

#[test]
fn names_of_workloads_are_read_as_kubectl_reads_them() {
    for text in ["", "/", "deployment/", "x/y/z", "service/web", "thing/web"] {
        assert!(text.parse::<WorkloadName>().is_err(), "{text}");
    }
    let web = WorkloadName {
        kind: "StatefulSet".to_owned(),
        name: "web".to_owned(),
    };
    for (text, means) in [
        ("web", true),
        ("sts/web", true),
        ("STATEFULSETS/web", true),
        ("deploy/web", false),
        ("sts/we", false),
    ] {
        assert_eq!(
            text.parse::<WorkloadName>().unwrap().means(&web),
            means,
            "{text}"
        );
    }
}
