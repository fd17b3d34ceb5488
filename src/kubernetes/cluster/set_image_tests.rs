//! What has to be done with a container: a table.

use serde_json::json;

use super::super::PatchKind;
use super::super::workload::WorkloadKind;
use super::*;

fn digest(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn request(image: &str, origin: Origin) -> SetImage {
    SetImage {
        namespace: "shop".to_owned(),
        workload: None,
        container: Some("web-app".to_owned()),
        image: image.parse().unwrap(),
        origin,
        is_content_tag: false,
        fixes_pull_policy: false,
        cause: "test".to_owned(),
        is_dry_run: false,
    }
}

fn present(image: &str, policy: Option<&str>) -> (Workload, Container) {
    let object = json!({"metadata": {"name": "web", "resourceVersion": "7"}, "spec": {}});
    let container = Container {
        name: "web-app".to_owned(),
        is_init: false,
        image: image.to_owned(),
        pull_policy: policy.map(str::to_owned),
    };
    (
        Workload {
            kind: WorkloadKind::Deployment,
            object,
        },
        container,
    )
}

#[test]
fn images_are_compared_by_what_they_are_not_by_how_they_are_written() {
    let (a, b) = (digest("a"), digest("b"));
    let pinned = |tag: &str, digest: &str| format!("docker.io/team/app:{tag}@{digest}");
    for (was, wanted, is_same) in [
        (pinned("1", &a), pinned("1", &a), true),
        (format!("team/app:1@{a}"), pinned("1", &a), true),
        (pinned("1", &a), pinned("2", &a), true),
        (pinned("1", &a), pinned("1", &b), false),
        (format!("ghcr.io/team/app:1@{a}"), pinned("1", &a), false),
        ("team/app:1".to_owned(), pinned("1", &a), false),
        ("bad..ref::".to_owned(), pinned("1", &a), false),
        (String::new(), pinned("1", &a), false),
    ] {
        let (workload, container) = present(&was, Some("IfNotPresent"));
        let expected = if is_same {
            Verdict::Unchanged
        } else {
            Verdict::Change { pull_policy: None }
        };
        assert_eq!(
            judge(&workload, &container, &request(&wanted, Origin::Registry)),
            Ok(expected),
            "{was} {wanted}"
        );
    }
}

#[test]
fn a_tag_that_is_there_already_would_never_roll_out() {
    let (workload, container) = present("docker.io/library/app:1", Some("IfNotPresent"));
    for origin in [Origin::Loaded, Origin::Registry] {
        let mut request = request("app:1", origin);
        let error = judge(&workload, &container, &request).unwrap_err();
        assert!(matches!(error, SetImageError::SameTag { .. }), "{error}");
        request.is_content_tag = true;
        assert_eq!(
            judge(&workload, &container, &request),
            Ok(Verdict::Unchanged)
        );
    }
    let changed = judge(&workload, &container, &request("app:2", Origin::Loaded));
    assert_eq!(changed, Ok(Verdict::Change { pull_policy: None }));
}

#[test]
fn pull_policies_that_make_the_image_useless_are_refused_or_fixed() {
    for (origin, image, policy, is_refused) in [
        (Origin::Loaded, "app:2", Some("Always"), true),
        (Origin::Loaded, "app:2", Some("IfNotPresent"), false),
        (Origin::Loaded, "app:2", Some("Never"), false),
        (Origin::Loaded, "app:2", None, false),
        (Origin::Loaded, "app:latest", None, true),
        (Origin::Loaded, "app", None, true),
        (Origin::Registry, "app:2", Some("Never"), true),
        (Origin::Registry, "app:2", Some("Always"), false),
        (Origin::Registry, "app", None, false),
    ] {
        let (workload, container) = present("app:1", policy);
        let mut request = request(image, origin);
        let verdict = judge(&workload, &container, &request);
        assert_eq!(
            verdict.is_err(),
            is_refused,
            "{origin:?} {image} {policy:?}: {verdict:?}"
        );
        request.fixes_pull_policy = true;
        let pull_policy = is_refused.then_some("IfNotPresent");
        assert_eq!(
            judge(&workload, &container, &request),
            Ok(Verdict::Change { pull_policy })
        );
    }
    // The image is there, the policy is wrong: that is a change.
    let (workload, container) = present("app:1", Some("Always"));
    let request = SetImage {
        is_content_tag: true,
        fixes_pull_policy: true,
        ..request("app:1", Origin::Loaded)
    };
    assert_eq!(
        judge(&workload, &container, &request),
        Ok(Verdict::Change {
            pull_policy: Some("IfNotPresent")
        })
    );
}

#[test]
fn the_patch_names_one_container_and_the_version_it_was_made_from() {
    let (workload, mut container) = present("app:1", None);
    let expected = json!({
        "metadata": {"resourceVersion": "7", "annotations": {"kubernetes.io/change-cause": "why"}},
        "spec": {"template": {"spec": {"containers": [{"name": "web-app", "image": "app:2"}]}}},
    });
    let (kind, made) = patch(&workload, &container, "app:2", None, "why");
    assert_eq!((kind, made), (PatchKind::Strategic, expected));
    container.is_init = true;
    let (_, of_init) = patch(&workload, &container, "app:2", Some("IfNotPresent"), "why");
    let expected =
        json!([{"name": "web-app", "image": "app:2", "imagePullPolicy": "IfNotPresent"}]);
    assert_eq!(
        of_init["spec"]["template"]["spec"],
        json!({"initContainers": expected})
    );
}

#[test]
fn a_custom_kind_is_patched_by_place_after_a_test_of_the_name() {
    let object = json!({
        "metadata": {"name": "web", "resourceVersion": "7", "annotations": {"a": "b"}},
        "spec": {"template": {"spec": {"containers": [{"name": "mesh"}, {"name": "web-app", "image": "app:1"}]}}},
    });
    let mut workload = Workload {
        kind: WorkloadKind::Rollout,
        object,
    };
    let container = workload.containers().remove(1);
    let (kind, made) = patch(&workload, &container, "app:2", Some("IfNotPresent"), "why");
    assert_eq!(kind, PatchKind::Json);
    let here = "/spec/template/spec/containers/1";
    let expected = json!([
        {"op": "test", "path": format!("{here}/name"), "value": "web-app"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": format!("{here}/image"), "value": "app:2"},
        {"op": "add", "path": format!("{here}/imagePullPolicy"), "value": "IfNotPresent"},
        {"op": "add", "path": "/metadata/annotations/kubernetes.io~1change-cause", "value": "why"},
    ]);
    assert_eq!(made, expected);
    // Without annotations, their object is made first.
    workload.object["metadata"] = json!({"name": "web", "resourceVersion": "7"});
    let (_, made) = patch(&workload, &container, "app:2", None, "why");
    assert_eq!(
        made[3],
        json!({"op": "add", "path": "/metadata/annotations", "value": {}})
    );
}

#[test]
fn a_cron_job_is_patched_in_the_template_of_its_jobs() {
    let pods = json!({"containers": [{"name": "report", "image": "app:1"}]});
    let workload = Workload {
        kind: WorkloadKind::CronJob,
        object: json!({
            "metadata": {"name": "night", "resourceVersion": "7"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pods}}}},
        }),
    };
    let container = workload.containers().remove(0);
    assert_eq!(container.image, "app:1");
    let (kind, made) = patch(&workload, &container, "app:2", None, "why");
    assert_eq!(kind, PatchKind::Strategic);
    let changed = &made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"];
    assert_eq!(*changed, json!([{"name": "report", "image": "app:2"}]));
}
