//! Flux, played.

use serde_json::Value;

use super::play::REQUESTED_AT;
use super::*;

const HELM: &str = "helm.toolkit.fluxcd.io/v2";

fn release(handled: &str, ready: &str) -> Value {
    json!({
        "metadata": {"name": "web", "generation": 1, "annotations": {}},
        "spec": {"chart": {"spec": {}}},
        "status": {
            "observedGeneration": 1, "lastHandledReconcileAt": handled,
            "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": "m"}],
        },
    })
}

fn by_name() -> Wish {
    Wish {
        reconcile: Reconcile::Of("helmrelease/web".parse().unwrap()),
        ..wish("web")
    }
}

#[test]
fn flux_is_asked_by_annotation_and_its_answer_awaited() {
    let play = Play::of(&complete(NEW));
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    play.at(10, |world| {
        assert_eq!(
            world.get(HELM, "helmreleases", "web")["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"],
            REQUESTED_AT
        );
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "Unknown"));
    });
    play.at(20, |world| {
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "True"))
    });
    play.watch(&[by_name()]).unwrap();
    assert_eq!(play.now(), Duration::from_secs(20));
    let merges = play
        .asked()
        .iter()
        .filter(|one| one.starts_with("merge"))
        .count();
    assert_eq!(merges, 1, "it is asked once");
}

#[test]
fn what_flux_applied_before_the_request_is_no_success() {
    let play = Play::of(&complete(NEW));
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    let error = play.watch(&[by_name()]).unwrap_err();
    assert!(
        error.because()[0].contains("helmrelease/web: Flux has not taken the request yet"),
        "{error:?}"
    );
}

#[test]
fn a_release_that_flux_cannot_apply_is_a_failure_with_its_message() {
    let play = Play::of(&complete("registry.example.com/team/app:v1"));
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    play.at(2, |world| {
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "False"))
    });
    let error = play.watch(&[by_name()]).unwrap_err();
    assert!(
        matches!(&error, Error::Failed { reason, .. } if reason.cause == Cause::Flux),
        "{error:?}"
    );
    assert!(
        error.because()[0].contains("helmrelease/web could not be reconciled: R: m"),
        "{error:?}"
    );
}

#[test]
fn a_workload_comes_into_being_by_flux() {
    let play = Play::default();
    play.put_object(HELM, "helmreleases", "shop", "web", release("", "Unknown"));
    play.at(10, |world| {
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "True"));
        world.put(&complete(NEW));
    });
    play.watch(&[by_name()]).unwrap();
}

#[test]
fn an_older_version_of_flux_is_found_and_its_absence_is_told() {
    let play = Play::of(&complete(NEW));
    play.forget(HELM);
    play.forget(&format!("{HELM}/helmreleases"));
    let old = "helm.toolkit.fluxcd.io/v2beta2";
    play.put_object(
        old,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    play.at(2, move |world| {
        world.set(old, "helmreleases", "web", release(REQUESTED_AT, "True"))
    });
    play.watch(&[by_name()]).unwrap();

    let play = Play::of(&complete(NEW));
    for version in ["v2", "v2beta2", "v2beta1"] {
        play.forget(&format!("helm.toolkit.fluxcd.io/{version}/helmreleases"));
    }
    let error = play.watch(&[by_name()]).unwrap_err();
    assert!(
        error.to_string().contains("Flux is not installed there"),
        "{error}"
    );
    assert!(error.hints()[0].contains("nothing here needs Flux"));
}

#[test]
fn a_release_that_is_absent_or_suspended_is_an_error_when_it_was_named() {
    let error = Play::of(&complete(NEW)).watch(&[by_name()]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there is none in the namespace `shop`"),
        "{error}"
    );
    let play = Play::of(&complete(NEW));
    let mut suspended = release("before", "True");
    suspended["spec"]["suspend"] = json!(true);
    play.put_object(HELM, "helmreleases", "shop", "web", suspended);
    let error = play.watch(&[by_name()]).unwrap_err();
    assert!(error.to_string().ends_with("it is suspended"), "{error}");
    assert!(
        !play.asked().iter().any(|one| one.starts_with("merge")),
        "{:?}",
        play.asked()
    );
}

fn labelled() -> State {
    let mut state = complete(NEW);
    state.workload["metadata"]["labels"] = json!({"helm.toolkit.fluxcd.io/name": "web"});
    state
}

#[test]
fn whoever_keeps_the_workload_is_asked_by_its_labels_and_cannot_spoil_the_watch() {
    let auto = Wish {
        reconcile: Reconcile::Auto,
        ..wish("web")
    };
    let play = Play::of(&labelled());
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    play.at(4, |world| {
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "True"))
    });
    play.watch(std::slice::from_ref(&auto)).unwrap();
    assert_eq!(play.now(), Duration::from_secs(4));

    for prepare in [
        (|_: &Play| {}) as fn(&Play),
        |play| play.forbid(&format!("{HELM}/helmreleases")),
        |play| {
            let mut suspended = release("before", "True");
            suspended["spec"]["suspend"] = json!(true);
            play.put_object(HELM, "helmreleases", "shop", "web", suspended);
        },
    ] {
        let play = Play::of(&labelled());
        prepare(&play);
        play.watch(std::slice::from_ref(&auto)).unwrap();
        assert_eq!(play.now(), Duration::ZERO, "{}", play.told());
        assert!(!play.told().is_empty());
    }
    // Without labels nobody is asked at all.
    let play = Play::of(&complete(NEW));
    play.watch(&[auto]).unwrap();
    assert!(
        !play.asked().iter().any(|one| one.contains("fluxcd")),
        "{:?}",
        play.asked()
    );
}

#[test]
fn the_source_is_asked_before_what_uses_it() {
    let source = "source.toolkit.fluxcd.io/v1";
    let play = Play::of(&complete(NEW));
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    play.put_object(
        source,
        "helmcharts",
        "shop",
        "shop-web",
        release("", "True"),
    );
    play.at(4, move |world| {
        world.set(
            source,
            "helmcharts",
            "shop-web",
            release(REQUESTED_AT, "True"),
        )
    });
    play.at(8, |world| {
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "True"))
    });
    let wish = Wish {
        with_source: true,
        ..by_name()
    };
    play.watch(&[wish]).unwrap();
    let merges: Vec<String> = play
        .asked()
        .into_iter()
        .filter(|one| one.starts_with("merge"))
        .collect();
    assert_eq!(
        merges,
        [
            "merge source.toolkit.fluxcd.io/v1/helmcharts/shop-web",
            "merge helm.toolkit.fluxcd.io/v2/helmreleases/web",
        ]
    );
    assert!(play.get(source, "helmcharts", "shop-web")["status"].is_object());
}

#[test]
fn a_rollout_that_fails_while_flux_waits_for_it_is_told_without_waiting_for_flux() {
    let play = Play::of(&pulling());
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "Unknown"),
    );
    let error = play.watch(&[by_name()]).unwrap_err();
    assert_eq!(play.now(), Duration::from_secs(20));
    assert!(
        error.because()[0].contains("cannot pull its image"),
        "{error:?}"
    );
}

#[test]
fn a_container_that_flux_has_yet_to_bring_is_awaited() {
    let play = Play::of(&complete(NEW));
    play.put_object(
        HELM,
        "helmreleases",
        "shop",
        "web",
        release("before", "True"),
    );
    let mut new = by_name();
    new.wanted.container = Some("web-app-2".to_owned());
    play.at(4, |world| {
        let mut state = complete(NEW);
        state.workload["spec"]["template"]["spec"]["containers"][1]["name"] = json!("web-app-2");
        app(&mut state, 0)["name"] = json!("web-app-2");
        world.put(&state);
        world.set(HELM, "helmreleases", "web", release(REQUESTED_AT, "True"));
    });
    play.watch(&[new]).unwrap();
    assert_eq!(play.now(), Duration::from_secs(4));
}
