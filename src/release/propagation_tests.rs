use std::cell::{Cell, RefCell};

use super::*;
use crate::event::Silent;

/// What a registry answers, one after the other; the last answer stays.
struct Answers<'a> {
    tag: Vec<&'a dyn Fn() -> Result<Option<Digest>, registry::Error>>,
    asked: RefCell<Vec<String>>,
    now: Cell<Duration>,
}

impl<'a> Answers<'a> {
    fn new(tag: Vec<&'a dyn Fn() -> Result<Option<Digest>, registry::Error>>) -> Self {
        Self {
            tag,
            asked: RefCell::default(),
            now: Cell::default(),
        }
    }

    /// Waits for `names` as long as `timeout`, the digest itself being there.
    fn wait(&self, names: &[&str], timeout: Duration) -> Result<(), Error> {
        let pushed: Vec<Pushed> = names
            .iter()
            .map(|name| Pushed {
                reference: name.parse().unwrap(),
                digest: wanted(),
            })
            .collect();
        let look = |reference: &Reference| {
            let mut asked = self.asked.borrow_mut();
            let count = asked.iter().filter(|it| !it.contains('@')).count();
            asked.push(reference.to_string());
            match reference.digest() {
                Some(digest) => Ok(Some(digest.clone())),
                None => self.tag[count.min(self.tag.len() - 1)](),
            }
        };
        let clock = Clock {
            now: &|| self.now.get(),
            pause: &|pause| self.now.set(self.now.get() + pause),
        };
        wait(&pushed, timeout, &look, clock, &Silent)
    }
}

fn wanted() -> Digest {
    Digest::of(b"new")
}

fn there() -> Result<Option<Digest>, registry::Error> {
    Ok(Some(wanted()))
}

fn older() -> Result<Option<Digest>, registry::Error> {
    Ok(Some(Digest::of(b"old")))
}

fn nothing() -> Result<Option<Digest>, registry::Error> {
    Ok(None)
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_is_there_at_once_is_not_waited_for() {
    let registry = Answers::new(vec![&there]);
    registry
        .wait(&["r.example/a:1", "r.example/b:2"], MINUTE)
        .unwrap();
    assert_eq!(registry.now.get(), Duration::ZERO);
    let digest = wanted();
    assert_eq!(
        *registry.asked.borrow(),
        [
            "r.example/a:1".to_owned(),
            format!("r.example/a@{digest}"),
            "r.example/b:2".to_owned(),
            format!("r.example/b@{digest}"),
        ]
    );
}

#[test]
fn an_older_digest_and_nothing_are_waited_out_with_growing_pauses() {
    let registry = Answers::new(vec![&nothing, &older, &older, &there]);
    registry.wait(&["r.example/a:1"], MINUTE).unwrap();
    assert_eq!(registry.now.get(), Duration::from_millis(200 + 400 + 800));
}

#[test]
fn the_end_of_the_time_says_what_was_seen_instead() {
    let registry = Answers::new(vec![&older]);
    let error = registry.wait(&["r.example/a:1"], MINUTE).unwrap_err();
    assert_eq!(registry.now.get(), MINUTE);
    let text = error.to_string();
    for part in [
        "`r.example/a:1@sha256:",
        "after 1m",
        "stands for sha256:",
        wanted().hex(),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let registry = Answers::new(vec![&nothing]);
    let error = registry
        .wait(&["r.example/a:1"], Duration::ZERO)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("there is no `r.example/a:1`"),
        "{error}"
    );
}

#[test]
fn the_time_is_for_all_names_together() {
    let late = Answers::new(vec![&nothing, &nothing, &nothing, &there, &nothing]);
    let error = late.wait(&["r.example/a:1", "r.example/b:1"], Duration::from_secs(2));
    assert!(error.unwrap_err().to_string().contains("r.example/b:1"));
    assert_eq!(late.now.get(), Duration::from_secs(2));
}

#[test]
fn who_may_not_look_is_told_at_once_and_who_wants_to_stop_stops() {
    let stop: &dyn Fn() -> Result<Option<Digest>, registry::Error> =
        &|| Err(registry::Error::Interrupted);
    let registry = Answers::new(vec![&nothing, stop]);
    let error = registry.wait(&["r.example/a:1"], MINUTE).unwrap_err();
    assert!(matches!(
        error,
        Error::Registry(registry::Error::Interrupted)
    ));
    assert_eq!(registry.now.get(), Duration::from_millis(200));
}
