//! Waiting until a registry shows what was pushed to it: some answer from copies that lag behind.
//!
//! The clock is the caller's ([`Clock`]).
//!
//! # Spec
//! `reference/path-to-production.md` §1.2.1 (waits until the pushed reference is visible), §5 *propagation wait* (by digest).

use std::time::Duration;

use crate::digest::Digest;
use crate::event::{Observer, stage};
use crate::reference::Reference;
use crate::registry;

/// The first pause between two looks; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A name, and what it was pushed to stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The name, its digest not looked at.
    pub reference: Reference,
    /// What it stands for.
    pub digest: Digest,
}

/// A clock of the caller's.
#[derive(Clone, Copy)]
pub struct Clock<'a> {
    /// The time since some moment.
    pub now: &'a dyn Fn() -> Duration,
    /// Waits for so long.
    pub pause: &'a dyn Fn(Duration),
}

impl std::fmt::Debug for Clock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&(self.now)()).finish()
    }
}

/// Why something that was pushed is not seen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The time is over.
    #[error(
        "`{name}` was pushed, and its registry does not show it after {}: {found}",
        humantime::format_duration(*timeout)
    )]
    Unseen {
        /// What is looked for: `NAME:TAG@DIGEST`.
        name: String,
        /// How long it was looked for.
        timeout: Duration,
        /// What there was instead.
        found: String,
    },
    /// The registry does not let us look, or the person wants to stop.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

/// Asks a registry itself, not a mirror, what a name stands for; `None` when it says that there is nothing.
pub type Look<'a> = &'a dyn Fn(&Reference) -> Result<Option<Digest>, registry::Error>;

/// Waits until every name stands for what was pushed, and that can be had by its digest as well. What a registry or the
/// network fails at is tried again until the time is over; who may not look is told at once.
///
/// # Errors
/// [`Error`]: the first name that is not there.
pub fn wait(
    pushed: &[Pushed],
    timeout: Duration,
    look: Look<'_>,
    clock: Clock<'_>,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let begin = (clock.now)();
    for one in pushed {
        let tagged = one.reference.without_digest();
        let pinned = tagged.with_digest(one.digest.clone());
        let name = format!("{tagged}@{}", one.digest);
        let waiting = stage(observer, "propagation", name.clone());
        let mut pause = FIRST_PAUSE;
        loop {
            let found = match look_once(look, &tagged, &pinned, &one.digest)? {
                None => break,
                Some(found) => found,
            };
            let left = timeout.saturating_sub((clock.now)().saturating_sub(begin));
            if left.is_zero() {
                return Err(Error::Unseen {
                    name,
                    timeout,
                    found,
                });
            }
            sleep(pause.min(left), clock, observer)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        waiting.finish("it is seen");
    }
    Ok(())
}

/// What is seen instead; nothing when all is as it should be.
fn look_once(
    look: Look<'_>,
    tagged: &Reference,
    pinned: &Reference,
    digest: &Digest,
) -> Result<Option<String>, registry::Error> {
    let seen = |reference: &Reference| match look(reference) {
        Ok(Some(found)) if found == *digest => Ok(None),
        Ok(Some(found)) => Ok(Some(format!("`{reference}` stands for {found}"))),
        Ok(None) => Ok(Some(format!("there is no `{reference}`"))),
        Err(error) => match error.at_the_registry() {
            registry::Error::Interrupted
            | registry::Error::Unauthorised { .. }
            | registry::Error::Denied { .. } => Err(error),
            _ => Ok(Some(error.to_string())),
        },
    };
    match seen(tagged)? {
        None => seen(pinned),
        found => Ok(found),
    }
}

/// Waits in short pieces, so that the person need not.
fn sleep(
    pause: Duration,
    clock: Clock<'_>,
    observer: &dyn Observer,
) -> Result<(), registry::Error> {
    let end = (clock.now)() + pause;
    loop {
        if observer.is_cancelled() {
            return Err(registry::Error::Interrupted);
        }
        let left = end.saturating_sub((clock.now)());
        if left.is_zero() {
            return Ok(());
        }
        (clock.pause)(left.min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
#[path = "propagation_tests.rs"]
mod tests;
