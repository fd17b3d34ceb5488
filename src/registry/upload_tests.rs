//! Uploads to servers that refuse, forget, break off and move house.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::desk::Desk;
use super::ground::{Ground, Leaving};
use super::hostile::{Hostile, Reply, Seen};
use super::{Credential, Error, Limits, PushRequest, Secret, Settings};
use crate::event::Silent;
use crate::reference::Reference;

const SIZE: usize = 1_000_000;
const TENTH: usize = SIZE / 10;

/// One connection: the layer goes first, the configuration after it.
fn in_chunks(chunk_bytes: u64) -> Limits {
    Limits {
        chunk_bytes,
        connections: 1,
        ..Limits::default()
    }
}

/// The requests about the layer's upload: all that have a body of more than a configuration's size, or none.
fn sent(server: &Hostile) -> Vec<(String, usize)> {
    let seen = server.seen().into_iter();
    let about_layer = seen.filter(|seen| seen.target.contains("/blobs/uploads/"));
    about_layer
        .map(|seen| (seen.method, seen.body.len()))
        .filter(|(_, size)| *size == 0 || *size > 10_000)
        .collect()
}

fn is_large(seen: &Seen) -> bool {
    let length = seen.header("content-length").map(str::parse::<usize>);
    matches!(length, Some(Ok(length)) if length > 10_000)
}

fn assert_taken(ground: &Ground, desk: &Desk) {
    let taken = desk
        .blob(&ground.blob().digest)
        .expect("the layer is there");
    assert!(taken == ground.layer, "the layer's bytes are others");
    assert_eq!(desk.left_over(), 0);
}

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
fn a_registry_that_does_not_take_the_whole_gets_chunks_of_the_size_it_wants() {
    for (status, least, chunk) in [
        (413, None, 300_000),
        (405, Some("100"), 300_000),
        (400, Some("400000"), 400_000),
        (501, Some("18446744073709551615"), SIZE),
    ] {
        let ground = Ground::limited(SIZE, in_chunks(300_000));
        let desk = Desk::default();
        let at_work = desk.clone();
        let server = Hostile::start(move |seen| {
            if seen.is("PUT", "/blobs/uploads/") && is_large(seen) {
                return Reply::new(status);
            }
            let reply = at_work.answer(seen);
            match least {
                Some(least) if seen.method == "POST" => reply.header("OCI-Chunk-Min-Length", least),
                _ => reply,
            }
        });
        ground.push(&server.host()).unwrap();
        assert_taken(&ground, &desk);
        let seen = server.seen();
        let patches = seen.iter().filter(|seen| seen.method == "PATCH");
        let ranges: Vec<_> = patches
            .map(|seen| seen.header("content-range").unwrap())
            .collect();
        let expected = (0..SIZE).step_by(chunk);
        let expected = expected.map(|at| format!("{at}-{}", (at + chunk).min(SIZE) - 1));
        assert_eq!(ranges, expected.collect::<Vec<_>>(), "{status}");
        assert_eq!(desk.deleted().len(), 1, "the upload that was refused");
    }
}

#[test]
fn chunks_that_are_too_large_become_smaller() {
    let ground = Ground::limited(SIZE, in_chunks(16 << 20));
    let desk = Desk::default();
    let at_work = desk.clone();
    let server = Hostile::start(move |seen| match seen.body.len() {
        300_000.. => Reply::new(413),
        _ => at_work.answer(seen),
    });
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    let sizes: Vec<usize> = sent(&server)
        .into_iter()
        .filter(|(method, _)| method == "PATCH")
        .map(|(_, size)| size)
        .collect();
    let least = 256 << 10;
    let expected = [SIZE, SIZE, SIZE, least, least, least, SIZE - 3 * least];
    assert_eq!(sizes, expected);
    // Smaller ones are not tried: then the answer is told.
    let server = Hostile::start({
        let desk = Desk::default();
        move |seen| match seen.body.len() {
            10_000.. => Reply::new(413).body("too large"),
            _ => desk.answer(seen),
        }
    });
    let error = ground.push(&server.host()).unwrap_err();
    assert!(error.to_string().contains("413 (too large)"), "{error}");
}

/// A proxy in between that answers nothing to a large body and hangs up; a registry without an account of uploads.
#[test]
fn what_breaks_again_and_again_goes_in_chunks() {
    let ground = Ground::limited(SIZE, in_chunks(400_000));
    let desk = Desk::default();
    let at_work = desk.clone();
    let server = Hostile::cutting(
        move |seen| match seen.is("GET", "/uploads/") {
            true => Reply::new(405),
            false => at_work.answer(seen),
        },
        |seen| (seen.method == "PUT" && is_large(seen)).then_some(500_000),
    );
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    let bodies: Vec<_> = sent(&server)
        .into_iter()
        .filter(|(_, size)| *size > 0)
        .collect();
    let pair = |method: &str, size| (method.to_owned(), size);
    assert_eq!(
        bodies,
        [
            pair("PUT", 500_000),
            pair("PUT", 500_000),
            pair("PATCH", 400_000),
            pair("PATCH", 400_000),
            pair("PATCH", 200_000),
        ]
    );
}

/// A desk that refuses the whole, with `unruly` before it; it sees how many PATCH requests came before.
fn chunked(
    desk: &Desk,
    unruly: impl Fn(&Seen, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Hostile {
    let (desk, patches) = (desk.clone(), AtomicUsize::new(0));
    Hostile::start(move |seen| {
        if seen.method == "PUT" && is_large(seen) {
            return Reply::new(413);
        }
        let count = match seen.method.as_str() {
            "PATCH" => patches.fetch_add(1, Ordering::SeqCst),
            _ => patches.load(Ordering::SeqCst),
        };
        unruly(seen, count).unwrap_or_else(|| desk.answer(seen))
    })
}

#[test]
fn an_upload_that_is_forgotten_begins_anew() {
    let (ground, desk) = (Ground::limited(SIZE, in_chunks(400_000)), Desk::default());
    let forgetful = desk.clone();
    let server = chunked(&desk, move |seen, count| {
        if seen.method == "PATCH" && count == 1 {
            forgetful.forget();
        }
        None
    });
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    let patches = sent(&server)
        .into_iter()
        .filter(|(method, _)| method == "PATCH");
    assert_eq!(patches.count(), 5, "one, one to nobody, and three");
}

#[test]
fn a_chunk_that_does_not_fit_is_followed_by_what_the_registry_lacks() {
    let (ground, desk) = (Ground::limited(SIZE, in_chunks(400_000)), Desk::default());
    let leaky = desk.clone();
    let server = chunked(&desk, move |seen, count| {
        if seen.method == "PATCH" && count == 2 {
            leaky.lose(150_000);
        }
        None
    });
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    let seen = server.seen();
    let patches = seen.iter().filter(|seen| seen.method == "PATCH");
    let ranges: Vec<_> = patches
        .map(|seen| seen.header("content-range").unwrap())
        .collect();
    assert_eq!(
        ranges,
        [
            "0-399999",
            "400000-799999",
            "800000-999999",
            "650000-999999"
        ]
    );
}

#[test]
fn an_account_that_cannot_be_is_not_believed() {
    // More than was sent, in the answer to a chunk; and, when asked, more than there is.
    let (ground, desk) = (Ground::limited(SIZE, in_chunks(400_000)), Desk::default());
    let server = chunked(&desk, |seen, _| {
        (seen.method == "PATCH").then(|| Reply::new(202).header("range", "0-499999"))
    });
    let error = ground.push(&server.host()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("500000 bytes, and 400000 were sent"),
        "{error}"
    );
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert_eq!(desk.left_over(), 0, "the upload was deleted");

    let (ground, desk) = (Ground::limited(SIZE, in_chunks(400_000)), Desk::default());
    let server = chunked(&desk, |seen, count| {
        if seen.is("GET", "/uploads/") {
            return Some(Reply::new(204).header("range", "0-1000000"));
        }
        (seen.method == "PATCH" && count == 1).then(|| Reply::new(500))
    });
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
}

/// However often it says that it took a little.
#[test]
fn a_registry_that_takes_next_to_nothing_is_given_up() {
    let (ground, desk) = (Ground::limited(SIZE, in_chunks(400_000)), Desk::default());
    let server = chunked(&desk, |seen, count| {
        let range = format!("0-{}", count + 1);
        let is_account = seen.method == "PATCH" || seen.is("GET", "/uploads/");
        is_account.then(|| Reply::new(202).header("range", range))
    });
    let error = ground.push(&server.host()).unwrap_err();
    assert!(error.to_string().contains("it took only"), "{error}");
    assert_eq!(server.count("PATCH", ""), 4);
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
fn each_chunk_goes_where_the_answer_to_the_last_one_says() {
    let (ground, desk) = (Ground::limited(SIZE, in_chunks(400_000)), Desk::default());
    let at_work = desk.clone();
    // Relative, absolute, and none: then the last goes on.
    let turns = AtomicUsize::new(0);
    let server = Hostile::start(move |seen| {
        if seen.method == "PUT" && is_large(seen) {
            return Reply::new(413);
        }
        if seen.method != "PATCH" {
            return at_work.answer(seen);
        }
        let turn = turns.fetch_add(1, Ordering::SeqCst);
        at_work.answer(seen);
        let path = seen.target.split('?').next().unwrap().to_owned();
        match turn {
            0 => Reply::new(202).header("location", format!("{path}?turn=1")),
            1 => Reply::new(202).header(
                "location",
                format!("http://{}{path}?turn=2", seen.header("host").unwrap()),
            ),
            _ => Reply::new(202),
        }
    });
    ground.push(&server.host()).unwrap();
    assert_taken(&ground, &desk);
    let seen = server.seen();
    let queries: Vec<_> = seen
        .iter()
        .filter(|seen| seen.method == "PATCH" || seen.target.contains("turn="))
        .map(|seen| seen.target.split(['?', '&']).nth(1).unwrap())
        .collect();
    assert_eq!(queries[1..], ["turn=1", "turn=2", "turn=2"]);
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
