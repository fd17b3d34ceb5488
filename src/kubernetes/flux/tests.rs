use super::*;

const BEFORE: &str = "2026-01-01T00:00:00.000000001Z";
const ASKED: &str = "2026-01-01T00:00:01.000000001Z";

fn release(handled: &str, ready: Value) -> Value {
    json!({
        "metadata": {"name": "web", "generation": 3},
        "status": {
            "observedGeneration": 3, "lastHandledReconcileAt": handled,
            "conditions": [ready],
        },
    })
}

fn ready(status: &str) -> Value {
    json!({"type": "Ready", "status": status, "reason": "UpgradeFailed", "message": "timed out"})
}

#[test]
fn an_answer_counts_once_the_request_or_a_later_one_was_handled() {
    let rows = [
        (release("", ready("True")), "has not taken"),
        (release(BEFORE, ready("True")), "has not taken"),
        (
            release(ASKED, ready("Unknown")),
            "at work: UpgradeFailed: timed out",
        ),
        (
            release(ASKED, json!({"type": "Other", "status": "True"})),
            "not decided",
        ),
    ];
    for (object, expected) in rows {
        let Answer::Pending(why) = answer(&object, ASKED, BEFORE) else {
            panic!("{object}");
        };
        assert!(why.contains(expected), "{why}");
    }
    assert_eq!(
        answer(&release(ASKED, ready("True")), ASKED, BEFORE),
        Answer::Ready
    );
    let later = release("2026-01-01T00:00:02Z", ready("True"));
    assert_eq!(answer(&later, ASKED, BEFORE), Answer::Ready);
    assert_eq!(
        answer(&release(ASKED, ready("False")), ASKED, BEFORE),
        Answer::Failed("UpgradeFailed: timed out".to_owned())
    );
}

#[test]
fn an_answer_about_an_older_generation_or_of_an_attempt_under_way_does_not_count() {
    let mut stale = release(ASKED, ready("False"));
    stale["metadata"]["generation"] = json!(4);
    assert!(
        matches!(answer(&stale, ASKED, BEFORE), Answer::Pending(why) if why.contains("generation 4"))
    );
    let mut trying = release(ASKED, ready("False"));
    let conditions = trying["status"]["conditions"].as_array_mut().unwrap();
    conditions.push(json!({"type": "Reconciling", "status": "True"}));
    assert!(matches!(answer(&trying, ASKED, BEFORE), Answer::Pending(_)));
}

#[test]
fn objects_are_named_as_flux_names_them() {
    let rows = [
        ("helmrelease/web", Kind::HelmRelease, ""),
        ("HelmRelease/web", Kind::HelmRelease, ""),
        ("hr/web", Kind::HelmRelease, ""),
        ("ks/flux-system/web", Kind::Kustomization, "flux-system"),
    ];
    for (text, kind, namespace) in rows {
        let target: Target = text.parse().unwrap();
        assert_eq!(
            (target.kind, &*target.namespace, &*target.name),
            (kind, namespace, "web")
        );
    }
    assert_eq!(
        "hr/web".parse::<Target>().unwrap().to_string(),
        "helmrelease/web"
    );
    for text in [
        "web",
        "deployment/web",
        "helmrelease/",
        "hr//web",
        "hr/a/b/c",
        "",
    ] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}

#[test]
fn the_owner_of_a_workload_is_in_its_labels() {
    let labelled = |labels: Value| json!({"metadata": {"labels": labels}});
    let helm = labelled(json!({
        "helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "apps",
        "kustomize.toolkit.fluxcd.io/name": "all",
    }));
    let owner_of_helm = owner(&helm).unwrap();
    assert_eq!(
        (owner_of_helm.kind, &*owner_of_helm.namespace),
        (Kind::HelmRelease, "apps")
    );
    let kustomize = labelled(json!({"kustomize.toolkit.fluxcd.io/name": "all"}));
    assert_eq!(owner(&kustomize).unwrap().to_string(), "kustomization/all");
    assert_eq!(owner(&labelled(json!({"app": "web"}))), None);
}

#[test]
fn the_source_of_a_release_is_its_chart_or_what_its_chart_reference_names() {
    let chart = json!({"metadata": {"name": "web"}, "spec": {"chart": {"spec": {"sourceRef": {"namespace": "charts"}}}}});
    let found = source(Kind::HelmRelease, &chart, "apps").unwrap();
    assert_eq!(
        (found.kind, &*found.namespace, &*found.name),
        (Kind::HelmChart, "charts", "apps-web")
    );
    let by_reference = json!({"metadata": {"name": "web"}, "spec": {"chartRef": {"kind": "OCIRepository", "name": "web-chart"}}});
    let found = source(Kind::HelmRelease, &by_reference, "apps").unwrap();
    assert_eq!(
        (found.kind, &*found.namespace, &*found.name),
        (Kind::OciRepository, "apps", "web-chart")
    );
    let kustomization = json!({"spec": {"sourceRef": {"kind": "GitRepository", "name": "fleet", "namespace": "flux-system"}}});
    let found = source(Kind::Kustomization, &kustomization, "apps").unwrap();
    assert_eq!(
        (found.kind, &*found.namespace),
        (Kind::GitRepository, "flux-system")
    );
    for (kind, object) in [
        (Kind::HelmRelease, json!({"spec": {}})),
        (
            Kind::Kustomization,
            json!({"spec": {"sourceRef": {"kind": "Strange", "name": "x"}}}),
        ),
        (Kind::HelmChart, chart),
    ] {
        assert_eq!(source(kind, &object, "apps"), None);
    }
}

#[test]
fn suspended_objects_are_seen_and_the_request_is_an_annotation() {
    assert!(is_suspended(&json!({"spec": {"suspend": true}})));
    assert!(!is_suspended(&json!({"spec": {"suspend": "true"}})));
    assert_eq!(
        request(ASKED)["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"],
        ASKED
    );
}
