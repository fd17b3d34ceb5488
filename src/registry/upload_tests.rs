//! Uploads to servers that refuse, forget, break off and move house.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::desk::{Desk, assert_taken, in_chunks, is_large, sent};
use super::ground::{Ground, Leaving};
use super::hostile::{Hostile, Reply};
use super::{Credential, Error, Limits, PushRequest, Secret, Settings};
use crate::event::Silent;
use crate::reference::Reference;

const SIZE: usize = 1_000_000;
const TENTH: usize = SIZE / 10;

#[test]
fn an_upload_that_is_reset_at_any_tenth_goes_on_from_there() {
    for tenth in 0..10 {
        let (ground, desk) = (Ground::new(SIZE), Desk::default());
        let (at_work, cut) = (desk.clone(), AtomicUsize::new(0));
        let server = Hostile::cutting(
            move |seen| at_work.answer(seen),
            move |seen| {
                let is_first = is_large(seen) && cut.fetch_add(1, Ordering::SeqCst) == 0;
                is_first.then_some(tenth * TENTH)
            },
        );
        ground.push(&server.host()).unwrap();
        assert_taken(&ground, &desk);
        assert_eq!(desk.opened(), 2, "the layer and the configuration");
        let configuration = ground.image.config.bytes.len();
        assert_eq!(desk.received(), SIZE + configuration, "no byte twice");
    }
}

#[test]
fn a_line_that_breaks_after_every_tenth_still_brings_the_whole() {
    let (ground, desk) = (Ground::new(SIZE), Desk::default());
    let at_work = desk.clone();
    let server = Hostile::cutting(
        // What came of a chunk before the line broke is kept.
        move |seen| at_work.answer(seen),
        move |seen| is_large(seen).then_some(TENTH),
    );
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    assert_eq!(desk.received(), SIZE + ground.image.config.bytes.len());
    let methods: Vec<String> = sent(&server)
        .into_iter()
        .map(|(method, _)| method)
        .collect();
    assert_eq!(methods.iter().filter(|method| *method == "GET").count(), 9);
}

#[test]
fn a_token_that_expires_in_the_middle_is_bought_again_and_the_upload_goes_on() {
    let desk = Desk::default();
    let (at_work, bought) = (desk.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&bought);
    let server = Hostile::start(move |seen| {
        if seen.target.starts_with("/token") {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200).body(format!(r#"{{"token":"t{number}"}}"#));
        }
        if seen.method == "PUT" && is_large(seen) {
            return Reply::new(413);
        }
        // The first token is good until half of the layer is there, the second for the rest.
        let is_late = at_work.received() > SIZE / 2 && seen.target.contains("/uploads/");
        let wanted = if is_late { "Bearer t2" } else { "Bearer t1" };
        let given = seen.header("authorization");
        match given == Some(wanted) || (given == Some("Bearer t2") && !is_late) {
            true => at_work.answer(seen),
            false => Reply::new(401).header("www-authenticate", r#"Bearer realm="/token""#),
        }
    });
    let ground = Ground::limited(SIZE, in_chunks(300_000));
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    assert_eq!(bought.load(Ordering::SeqCst), 2);
    assert_eq!(desk.received(), SIZE + ground.image.config.bytes.len());
}

#[test]
fn an_upload_may_move_to_another_host_which_sees_no_credentials() {
    let desk = Desk::default();
    let elsewhere = desk.serve();
    let target = elsewhere.host();
    let at_work = desk.clone();
    let server = Hostile::start(move |seen| {
        if seen.header("authorization") != Some("Basic dTpw") {
            return Reply::new(401).header("www-authenticate", "Basic realm=x");
        }
        let location = format!("http://{target}/v2/app/blobs/uploads/");
        match seen.method.as_str() {
            "POST" => {
                at_work.answer(seen);
                let number = at_work.opened();
                Reply::new(202).header("location", format!("{location}{number}?_state=secret"))
            }
            _ => at_work.answer(seen),
        }
    });
    let credential = Credential::Password {
        username: "u".to_owned(),
        password: Secret::new("p"),
    };
    let ground = Ground::with(
        SIZE,
        Settings {
            credentials: [(server.host(), credential)].into(),
            limits: in_chunks(SIZE as u64),
            ..Settings::default()
        },
    );
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 2, "the layer and the configuration");
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    assert_eq!(server.count("PUT", "/manifests/"), 1);
}

#[test]
fn an_upload_that_is_opened_nowhere_is_an_error_that_says_so() {
    let ground = Ground::new(SIZE);
    let server = Hostile::start(|seen| match seen.method.as_str() {
        "POST" => Reply::new(202),
        _ => Reply::new(404),
    });
    let error = ground.push(&server.host()).unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("no `Location`"), "{error}");
}

#[test]
fn a_body_is_never_redirected_to_another_host() {
    let ground = Ground::new(SIZE);
    let other = Desk::default().serve();
    let (target, desk) = (other.host(), Desk::default());
    let server = Hostile::start(move |seen| match seen.method.as_str() {
        "PUT" => Reply::new(307).header("location", format!("http://{target}{}", seen.target)),
        _ => desk.answer(seen),
    });
    let error = ground.push(&server.host()).unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    assert!(other.seen().is_empty());
}

#[test]
fn an_answer_that_was_lost_is_not_paid_for_by_sending_everything_again() {
    let limits = Limits {
        answer: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let (ground, desk) = (Ground::limited(SIZE, limits), Desk::default());
    let at_work = desk.clone();
    let server = Hostile::start(move |seen| {
        let is_layer = seen.method == "PUT" && is_large(seen);
        let reply = at_work.answer(seen);
        match is_layer {
            // Less than a status line.
            true => Reply::silence(),
            false => reply,
        }
    });
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    assert_eq!(desk.received(), SIZE + ground.image.config.bytes.len());
    let digest = ground.blob().digest.to_string();
    assert_eq!(
        server.count("HEAD", &digest),
        2,
        "before, and when it was forgotten"
    );
}

#[test]
fn an_upload_that_is_given_up_is_deleted() {
    // Because the person leaves.
    let one = in_chunks(1 << 20);
    let (ground, desk) = (Ground::limited(40_000_000, one), Desk::default());
    let server = desk.serve();
    let left = ground.push_watched(&server.host(), &Leaving::after(1_000_000));
    assert!(matches!(left, Err(Error::Interrupted)), "{left:?}");
    assert_eq!(
        (desk.opened(), desk.deleted(), desk.left_over()),
        (1, vec![1], 0)
    );
    assert!(desk.blob(&ground.blob().digest).is_none());
    assert_eq!(server.count("PUT", "/manifests/"), 0);

    // Because the registry does not want it.
    let (ground, desk) = (Ground::limited(SIZE, one), Desk::default());
    let at_work = desk.clone();
    let server = Hostile::start(move |seen| match seen.method == "PUT" && is_large(seen) {
        true => Reply::new(403),
        false => at_work.answer(seen),
    });
    let refused = ground.push(&server.host());
    assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    assert_eq!(server.count("DELETE", "/uploads/"), 1);
}

#[test]
fn of_two_mounts_that_are_answered_by_uploads_one_is_used_and_one_deleted() {
    let (ground, desk) = (Ground::new(SIZE), Desk::default());
    let server = desk.serve();
    ground.store.put(ground.blob(), &ground.layer).unwrap();
    let reference =
        |name: &str| -> Reference { format!("{}/{name}", server.host()).parse().unwrap() };
    let (to, from) = (reference("app:1"), [reference("one"), reference("two")]);
    let request = PushRequest {
        mount_from: &from,
        ..PushRequest::new(&ground.image, &to, &ground.store)
    };
    let report = ground.client.push(&request, &Silent).unwrap();
    assert_eq!(report.uploaded_blobs, 2);
    assert_taken(&ground, &desk);
    assert_eq!((desk.opened(), desk.deleted().len()), (3, 1));
}

#[test]
fn uploads_are_tried_again_as_long_as_there_is_hope() {
    for (status, times, succeeds) in [
        (500, 3, true),
        (429, 1, true),
        (503, 4, false),
        (403, 1, false),
    ] {
        let (ground, desk) = (Ground::new(SIZE), Desk::default());
        let (at_work, failures) = (desk.clone(), AtomicUsize::new(0));
        let server = Hostile::start(move |seen| {
            let is_layer = matches!(seen.method.as_str(), "PUT" | "PATCH") && is_large(seen);
            match is_layer && failures.fetch_add(1, Ordering::SeqCst) < times {
                true => Reply::new(status).header("retry-after", "0"),
                false => at_work.answer(seen),
            }
        });
        let pushed = ground.push(&server.host());
        assert_eq!(pushed.is_ok(), succeeds, "{status}: {pushed:?}");
        if succeeds {
            assert_taken(&ground, &desk);
        }
    }
}
