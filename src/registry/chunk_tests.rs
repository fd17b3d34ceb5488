//! Uploads in chunks: to servers that do not take the whole, and keep account of what they have in their own way.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Error;
use super::desk::{Desk, assert_taken, in_chunks, is_large, sent};
use super::ground::Ground;
use super::hostile::{Hostile, Reply, Seen};

const SIZE: usize = 1_000_000;

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
