//! The faults of `op watch-deployment` (reference §1.6) that a judgement can have; each is absent here.

use super::*;

#[test]
fn fault_1_the_container_is_found_by_name_behind_a_sidecar() {
    let done = done(judge(&deployment(NEW, 2), &wanted(NEW)));
    assert_eq!(done.container, "web-app");
    assert_eq!(done.image, NEW);
    assert_eq!(done.pods, ["web-new-0", "web-new-1"]);
    let sidecar = Wanted {
        container: Some("sidecar".to_owned()),
        ..wanted(NEW)
    };
    assert!(
        why(&judge(&deployment(NEW, 2), &sidecar))
            .contains("is to run `registry.example.com/mesh:v9`")
    );
}

#[test]
fn fault_1_without_a_name_the_container_is_the_only_one_of_the_wanted_repository() {
    let nameless = Wanted {
        container: None,
        ..wanted(NEW)
    };
    assert_eq!(
        done(judge(&deployment(NEW, 1), &nameless)).container,
        "web-app"
    );
    let mut two = deployment(NEW, 1);
    two.workload["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!("registry.example.com/team/app:v1");
    let reason = failed(judge(&two, &nameless));
    assert_eq!(reason.cause, Cause::NoContainer);
    assert!(
        reason.message.contains("several of `sidecar`, `web-app`"),
        "{reason}"
    );
    let reason = failed(judge(&deployment(NEW, 1), &Wanted::default()));
    assert!(
        reason.message.contains("none of `sidecar`, `web-app`"),
        "{reason}"
    );
}

#[test]
fn a_container_that_is_not_there_is_a_failure_at_once_that_lists_the_others() {
    let wanted = Wanted {
        container: Some("webapp".to_owned()),
        ..wanted(NEW)
    };
    let reason = failed(judge(&deployment(NEW, 1), &wanted));
    assert_eq!(reason.cause, Cause::NoContainer);
    assert!(
        reason
            .to_string()
            .contains("`webapp` is not among `sidecar`, `web-app`")
    );
}

#[test]
fn an_initialising_container_can_be_meant_by_name() {
    let mut state = deployment(NEW, 1);
    state.workload["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "migrate", "image": NEW}]);
    state.pods[0]["status"]["initContainerStatuses"] = json!([{
        "name": "migrate", "ready": true, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
    }]);
    let wanted = Wanted {
        container: Some("migrate".to_owned()),
        ..wanted(NEW)
    };
    assert_eq!(done(judge(&state, &wanted)).container, "migrate");
}

#[test]
fn fault_2_tags_are_equal_or_different_never_parts_of_one_another() {
    for (there, wanted_tag) in [
        ("abc-1234", "abc-123"),
        ("abc-123", "abc-1234"),
        ("v1.0.1", "v1.0"),
        ("v1.0", "v1.0.1"),
        ("xv1.0", "v1.0"),
        ("V1", "v1"),
    ] {
        let state = deployment(&format!("registry.example.com/team/app:{there}"), 1);
        let wanted = wanted(&format!("registry.example.com/team/app:{wanted_tag}"));
        assert!(
            why(&judge(&state, &wanted)).contains("not yet"),
            "{there} was taken for {wanted_tag}"
        );
    }
    done(judge(&deployment(NEW, 1), &wanted(NEW)));
}

#[test]
fn fault_2_the_same_tag_of_another_repository_or_registry_is_another_image() {
    for there in [
        "registry.example.com/team/app2:v2",
        "registry.example.com/other/app:v2",
        "registry.example.com:5000/team/app:v2",
        "team/app:v2",
    ] {
        let verdict = judge(&deployment(there, 1), &wanted(NEW));
        assert!(why(&verdict).contains("not yet"), "{there}: {verdict:?}");
    }
}

#[test]
fn fault_3_a_tag_that_was_pulled_as_other_bytes_is_a_failure() {
    let old = digest("what the tag stood for before");
    let mut state = deployment("registry.example.com/team/app:latest", 1);
    app(&mut state, 0)["imageID"] = json!(format!(
        "docker-pullable://registry.example.com/team/app@{old}"
    ));
    let wanted = wanted(&format!(
        "registry.example.com/team/app:latest@{}",
        digest("app")
    ));
    let reason = failed(judge(&state, &wanted));
    assert_eq!(reason.cause, Cause::OtherBytes);
    assert_eq!(reason.pod.as_deref(), Some("web-new-0"));
    assert!(reason.message.contains(&old.to_string()), "{reason}");
    app(&mut state, 0)["imageID"] =
        json!(format!("registry.example.com/team/app@{}", digest("app")));
    assert!(done(judge(&state, &wanted)).notes.is_empty());
}

#[test]
fn fault_3_a_template_pinned_to_another_digest_is_not_there_yet_whatever_its_tag() {
    let state = deployment(&format!("{NEW}@{}", digest("old")), 1);
    let verdict = judge(&state, &wanted(&format!("{NEW}@{}", digest("app"))));
    assert!(why(&verdict).contains("not yet"), "{verdict:?}");
}

#[test]
fn fault_4_counters_of_an_older_template_are_not_believed() {
    let mut state = deployment(NEW, 2);
    state.workload["metadata"]["generation"] = json!(3);
    let verdict = judge(&state, &wanted(NEW));
    assert!(
        why(&verdict).contains("has seen generation 2 of deployment/web, which is at 3"),
        "{verdict:?}"
    );
    // Neither is a failure of it.
    state.workload["status"]["availableReplicas"] = json!(0);
    state.workload["status"]["conditions"] = json!([
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    ]);
    assert!(matches!(
        judge(&state, &wanted(NEW)),
        Verdict::Waiting { .. }
    ));
}

#[test]
fn fault_7_other_kinds_are_told_as_not_supported() {
    for kind in ["ReplicaSet", "Pod", "Service", ""] {
        let error = kind.parse::<Kind>().unwrap_err().to_string();
        assert!(error.contains("cannot be watched"), "{error}");
    }
    for (text, kind) in [
        ("deploy", Kind::Deployment),
        ("Deployment", Kind::Deployment),
        ("deployments.apps", Kind::Deployment),
        ("sts", Kind::StatefulSet),
        ("DaemonSets", Kind::DaemonSet),
    ] {
        assert_eq!(text.parse::<Kind>().unwrap(), kind);
    }
}

#[test]
fn fault_8_a_failure_names_pod_container_message_and_event() {
    let mut state = troubled(json!({
        "ready": false, "restartCount": 0, "imageID": "",
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
    }));
    state.events = vec![
        event(
            "uid-web-new-0",
            "Failed",
            "manifest unknown",
            "2026-01-01T00:00:05Z",
        ),
        event(
            "uid-web-new-0",
            "BackOff",
            "Back-off",
            "2026-01-01T00:00:01Z",
        ),
        event("uid-another", "Failed", "not ours", "2026-01-01T00:00:09Z"),
    ];
    let reason = first_trouble(judge(&state, &wanted(NEW)));
    assert_eq!(
        reason.to_string(),
        "container `web-app` of pod `web-new-0` cannot pull its image: ImagePullBackOff: Back-off pulling image"
    );
    assert_eq!(reason.event.as_deref(), Some("Failed: manifest unknown"));
}
