//! Downloads from servers that break off, start over, lie and never end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ground::{Ground, Leaving, bytes};
use super::hostile::{Hostile, Reply, Seen};
use super::{Error, Limits};
use crate::digest::{DiffId, Digest};
use crate::event::Silent;
use crate::image::edit::{Changes, NewLayer, from_scratch};
use crate::image::{Descriptor, Platform, media_type};

const SIZE: usize = 1_000_000;
const TENTH: usize = SIZE / 10;

/// The start of a `Range: bytes=N-`.
fn start(seen: &Seen) -> Option<usize> {
    let range = seen.header("range")?.strip_prefix("bytes=")?;
    range.strip_suffix('-')?.parse().ok()
}

/// What a good server answers to a GET of `layer`, whole or in part.
fn part(layer: &[u8], seen: &Seen) -> Reply {
    let Some(start) = start(seen) else {
        return Reply::new(200).body(layer);
    };
    let range = format!("bytes {start}-{}/{}", layer.len() - 1, layer.len());
    let rest = &layer[start..];
    Reply::new(206).header("content-range", range).body(rest)
}

fn ranges(server: &Hostile) -> Vec<Option<usize>> {
    server.seen().iter().map(start).collect()
}

#[test]
fn a_reset_at_any_tenth_is_gone_on_from() {
    for tenth in 0..10 {
        let ground = Ground::new(SIZE);
        let (layer, cut) = (ground.layer.clone(), tenth * TENTH);
        let server = Hostile::start(move |seen| match seen.header("range") {
            None if seen.earlier == 0 => part(&layer, seen).cut_after(cut),
            _ => part(&layer, seen),
        });
        ground.fetch(&server.host()).unwrap();
        ground.assert_fetched();
        let again = (cut > 0).then_some(cut);
        assert_eq!(ranges(&server), [None, again], "{tenth}");
    }
}

#[test]
fn a_line_that_breaks_after_every_tenth_still_gives_the_whole() {
    let ground = Ground::new(SIZE);
    let layer = ground.layer.clone();
    let server = Hostile::start(move |seen| part(&layer, seen).cut_after(TENTH));
    ground.fetch(&server.host()).unwrap();
    ground.assert_fetched();
    let expected = (0..10).map(|tenth| (tenth > 0).then_some(tenth * TENTH));
    assert_eq!(ranges(&server), expected.collect::<Vec<_>>());
}

#[test]
fn where_ranges_are_ignored_refused_or_others_the_whole_comes_again() {
    type Answer = fn(&[u8], &Seen) -> Reply;
    let table: [(&str, usize, Answer); 5] = [
        ("ignored", 2, |layer, _| Reply::new(200).body(layer)),
        ("refused", 3, |_, _| Reply::new(416)),
        ("another start", 3, |layer, _| {
            let rest = &layer[5..];
            Reply::new(206)
                .header("content-range", format!("bytes 5-{}/{SIZE}", SIZE - 1))
                .body(rest)
        }),
        ("of something else", 3, |layer, seen| {
            let at = start(seen).unwrap();
            Reply::new(206)
                .header("content-range", format!("bytes {at}-{SIZE}/{}", SIZE + 1))
                .body(&layer[at..])
        }),
        ("nameless", 3, |layer, _| Reply::new(206).body(&layer[..9])),
    ];
    for (name, requests, answer) in table {
        let ground = Ground::new(SIZE);
        let layer = ground.layer.clone();
        let server = Hostile::start(move |seen| match start(seen) {
            None if seen.earlier == 0 => part(&layer, seen).cut_after(3 * TENTH),
            None => part(&layer, seen),
            Some(_) => answer(&layer, seen),
        });
        let fetched = ground.fetch(&server.host());
        fetched.unwrap_or_else(|error| panic!("{name}: {error}"));
        ground.assert_fetched();
        assert_eq!(server.seen().len(), requests, "{name}");
    }
}

/// Two servers behind one name need not have the same bytes.
#[test]
fn parts_that_do_not_fit_together_are_fetched_again_in_one_piece() {
    for is_right_in_the_end in [true, false] {
        let ground = Ground::new(SIZE);
        let layer = ground.layer.clone();
        let server = Hostile::start(move |seen| match start(seen) {
            None if seen.earlier == 0 => part(&layer, seen).cut_after(TENTH),
            None if is_right_in_the_end => part(&layer, seen),
            _ => part(&vec![7; SIZE], seen),
        });
        let fetched = ground.fetch(&server.host());
        assert_eq!(ranges(&server), [None, Some(TENTH), None]);
        match is_right_in_the_end {
            true => ground.assert_fetched(),
            false => {
                assert!(
                    matches!(&fetched, Err(Error::Digest { noun: "layer", .. })),
                    "{fetched:?}"
                );
                assert!(ground.files().is_empty());
            }
        }
    }
}

/// The same stretch again and again is no progress, however long it is.
#[test]
fn a_body_that_is_always_too_short_is_given_up() {
    let ground = Ground::new(3 * SIZE);
    let short = ground.layer[..2 * SIZE].to_vec();
    let server = Hostile::start(move |seen| match start(seen) {
        None => Reply::new(200).body(short.clone()),
        Some(_) => Reply::new(416),
    });
    let told = ground.refusal(&server.host());
    assert!(
        told.contains("ended after 2000000 of 3000000 bytes"),
        "{told}"
    );
    assert!(server.seen().len() <= 10, "{}", server.seen().len());
}

#[test]
fn more_than_was_promised_is_refused_before_it_is_read() {
    // Announced; announced by a lie, with the right bytes; and not announced.
    for kind in 0..3 {
        let ground = Ground::new(SIZE);
        let layer = ground.layer.clone();
        let server = Hostile::start(move |_| match kind {
            0 => Reply::new(200).body(bytes(SIZE + 1)),
            1 => Reply::new(200)
                .header("content-length", "5000000000")
                .body(layer.clone()),
            _ => Reply::new(200).body(bytes(SIZE / 2)).endless(),
        });
        let told = ground.refusal(&server.host());
        assert!(told.contains("should have 1000000 bytes"), "{told}");
        assert_eq!(server.seen().len(), 1);
        assert!(server.sent_bytes() < 16 * SIZE, "{}", server.sent_bytes());
    }
}

#[test]
fn a_length_that_says_less_than_there_is_costs_another_request() {
    let ground = Ground::new(SIZE);
    let layer = ground.layer.clone();
    let server = Hostile::start(move |seen| match start(seen) {
        None => Reply::new(200)
            .header("content-length", "1234")
            .body(layer.clone()),
        Some(_) => part(&layer, seen),
    });
    ground.fetch(&server.host()).unwrap();
    ground.assert_fetched();
    assert_eq!(ranges(&server), [None, Some(1234)]);
}

#[test]
fn blobs_are_asked_for_again_as_long_as_there_is_hope() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    type Failure = fn() -> Reply;
    let table: [(Failure, usize, bool); 7] = [
        (|| Reply::new(429), 1, true),
        (|| Reply::new(429).header("retry-after", "0"), 3, true),
        (|| Reply::new(500), 3, true),
        (|| Reply::new(500), 4, false),
        (|| Reply::new(504), 2, true),
        (|| Reply::new(403), 1, false),
        (|| Reply::new(404), 1, false),
    ];
    for (failure, times, succeeds) in table {
        let ground = Ground::new(1000);
        let layer = ground.layer.clone();
        let server = Hostile::start(move |seen| match seen.earlier < times {
            true => failure(),
            false => part(&layer, seen),
        });
        let fetched = ground.fetch(&server.host());
        assert_eq!(fetched.is_ok(), succeeds, "{fetched:?}");
        assert_eq!(server.seen().len(), times + usize::from(succeeds));
    }
    // A date in the past of the server's own clock: at once. One far ahead: the person is told.
    for (until, requests) in [(date, 2), ("Sun, 06 Nov 1994 09:49:37 GMT", 1)] {
        let ground = Ground::new(1000);
        let layer = ground.layer.clone();
        let server = Hostile::start(move |seen| match seen.earlier {
            0 => Reply::new(503)
                .header("retry-after", until)
                .header("date", date),
            _ => part(&layer, seen),
        });
        assert_eq!(ground.fetch(&server.host()).is_ok(), requests == 2);
        assert_eq!(server.seen().len(), requests, "{until}");
    }
}

#[test]
fn who_leaves_in_the_middle_leaves_nothing() {
    let ground = Ground::new(SIZE);
    let layer = ground.layer.clone();
    let pause = std::time::Duration::from_millis(5);
    let server = Hostile::start(move |seen| part(&layer, seen).trickling(TENTH / 4, pause));
    let left = ground.fetch_watched(&server.host(), &Leaving::after(SIZE as u64 / 5));
    assert!(matches!(left, Err(Error::Interrupted)), "{left:?}");
    assert_eq!(ground.files(), Vec::<std::path::PathBuf>::new());
    assert!(server.sent_bytes() < SIZE);
}

#[test]
fn there_are_never_more_connections_than_were_allowed() {
    for connections in [1, 3] {
        let limits = Limits {
            connections,
            ..Limits::default()
        };
        let ground = Ground::limited(1, limits);
        let layers: Vec<Vec<u8>> = (0..12).map(|n| bytes(20_000 + n)).collect();
        let new = layers.iter().map(|bytes| NewLayer {
            descriptor: Descriptor::of(media_type::OCI_LAYER_GZIP, bytes),
            diff_id: DiffId(Digest::of(b"not looked at")),
            created_by: "test".to_owned(),
        });
        let new: Vec<_> = new.collect();
        let image = from_scratch(&Platform::host(), &new, &Changes::default()).unwrap();
        let (served, busy) = (layers.clone(), Arc::new(AtomicUsize::new(0)));
        let most = Arc::new(AtomicUsize::new(0));
        let seen_most = Arc::clone(&most);
        let server = Hostile::start(move |seen| {
            let now = busy.fetch_add(1, Ordering::SeqCst) + 1;
            seen_most.fetch_max(now, Ordering::SeqCst);
            // Long enough for the others to be there, if they come.
            std::thread::sleep(std::time::Duration::from_millis(20));
            busy.fetch_sub(1, Ordering::SeqCst);
            let wanted = |bytes: &&Vec<u8>| seen.target.ends_with(&Digest::of(bytes).to_string());
            Reply::new(200).body(served.iter().find(wanted).unwrap().clone())
        });
        let origin = format!("{}/app:1", server.host()).parse().unwrap();
        let fetched = ground
            .client
            .fetch_layers(&image, &[origin], &ground.store, &Silent);
        fetched.unwrap();
        assert_eq!(server.seen().len(), 12);
        assert!(most.load(Ordering::SeqCst) <= connections);
    }
}
