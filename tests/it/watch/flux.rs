//! Flux, with bare definitions of its kinds, and a controller that the test plays.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::support::cluster::Api;
use super::*;

const VERSION: &str = "helm.toolkit.fluxcd.io/v2";

/// The kind HelmRelease, for all tests of this server.
fn define(api: &Api) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "helmreleases.helm.toolkit.fluxcd.io"},
        "spec": {
            "group": "helm.toolkit.fluxcd.io", "scope": "Namespaced",
            "names": {"plural": "helmreleases", "singular": "helmrelease", "kind": "HelmRelease"},
            "versions": [{
                "name": "v2", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, answer) = api.call("POST", definitions, &definition);
    assert!(matches!(code, 201 | 409), "{code} {answer}");
    let kinds = format!("/apis/{VERSION}/helmreleases");
    wait_for("the definition", || {
        (api.call("GET", &kinds, &Value::Null).0 == 200).then_some(())
    });
}

fn release(bed: &Bed) {
    define(bed.api());
    let object = json!({
        "apiVersion": VERSION, "kind": "HelmRelease", "metadata": {"name": "web"}, "spec": {"interval": "1h"},
    });
    bed.create(VERSION, "helmreleases", &object);
}

/// Plays Flux until `work` is done: at a new request `apply` is called, and the release is `ready` then.
fn with_controller<T>(
    bed: &Bed,
    ready: &str,
    apply: impl Fn() + Sync,
    work: impl FnOnce() -> T,
) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let release = bed.get(VERSION, "helmreleases", "web");
                let asked = &release["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"];
                if !asked.is_null() && *asked != release["status"]["lastHandledReconcileAt"] {
                    apply();
                    let status = json!({"status": {
                        "lastHandledReconcileAt": asked, "observedGeneration": release["metadata"]["generation"],
                        "conditions": [{
                            "type": "Ready", "status": ready, "reason": "UpgradeFailed", "message": "timed out waiting",
                        }],
                    }});
                    bed.merge(VERSION, "helmreleases", "web/status", &status);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn a_release_is_asked_to_reconcile_and_what_it_rolls_out_is_watched() {
    let test = "a_release_is_asked_to_reconcile_and_what_it_rolls_out_is_watched";
    let Some((bed, _kubelet)) = rolled_out(test, V1) else {
        return;
    };
    release(&bed);
    let apply = || {
        bed.merge("apps/v1", "deployments", "web", &to(V2));
    };
    let done = with_controller(&bed, "True", apply, || {
        watch(
            &bed.overcoat(),
            "web",
            V2,
            &["--reconcile", "helmrelease/web"],
        )
    });
    let done = done.ok();
    assert!(
        done.stderr
            .contains("asked Flux to reconcile helmrelease/web"),
        "{}",
        done.stderr
    );
    let release = bed.get(VERSION, "helmreleases", "web");
    let asked = release["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"]
        .as_str()
        .unwrap();
    assert!(
        humantime::parse_rfc3339(asked).is_ok() && asked.contains('.'),
        "{asked}"
    );
}

#[test]
fn the_owner_of_a_workload_is_asked_by_its_labels() {
    let Some((bed, _kubelet)) = rolled_out("the_owner_of_a_workload_is_asked_by_its_labels", V1)
    else {
        return;
    };
    release(&bed);
    let labels = json!({"metadata": {"labels": {
        "helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": bed.namespace(),
    }}});
    bed.merge("apps/v1", "deployments", "web", &labels);
    let apply = || {
        bed.merge("apps/v1", "deployments", "web", &to(V2));
    };
    with_controller(&bed, "True", apply, || {
        watch(&bed.overcoat(), "web", V2, &[])
    })
    .ok();
    // Nobody is asked who is not wanted.
    bed.merge("apps/v1", "deployments", "web", &to(V1));
    let done = watch(&bed.overcoat(), "web", V1, &["--reconcile", "none"]).ok();
    assert!(!done.stderr.contains("asked Flux"), "{}", done.stderr);
}

#[test]
fn a_release_that_cannot_be_applied_or_is_suspended_is_told() {
    let test = "a_release_that_cannot_be_applied_or_is_suspended_is_told";
    let Some((bed, _kubelet)) = rolled_out(test, V1) else {
        return;
    };
    release(&bed);
    let more = ["--reconcile", "hr/web", "--grace", "0s"];
    let done = with_controller(
        &bed,
        "False",
        || {},
        || watch(&bed.overcoat(), "web", V2, &more),
    );
    assert_eq!(done.code, Some(92), "{}", done.stderr);
    let expected = "helmrelease/web could not be reconciled: UpgradeFailed: timed out waiting";
    assert!(done.stderr.contains(expected), "{}", done.stderr);

    bed.merge(
        VERSION,
        "helmreleases",
        "web",
        &json!({"spec": {"suspend": true}}),
    );
    let done = watch(&bed.overcoat(), "web", V1, &more);
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr.contains("helmrelease/web: it is suspended"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_cluster_without_flux_says_so() {
    let Some((bed, _kubelet)) = rolled_out("a_cluster_without_flux_says_so", V1) else {
        return;
    };
    let done = watch(
        &bed.overcoat(),
        "web",
        V1,
        &["--reconcile", "kustomization/apps"],
    );
    assert_eq!(done.code, Some(90), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("the cluster has no such kind; Flux is not installed there"),
        "{}",
        done.stderr
    );
}
