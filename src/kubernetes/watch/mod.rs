//! Rollouts are watched until they are over: several at once, with one deadline.
//!
//! Every few seconds each workload is read and judged (`kubernetes::rollout`). On the way Flux may be asked to look at
//! what it has ([`Reconcile`]); at the end the new pods may have to say that they are ready ([`ReadyCheck`]). The first
//! workload that fails ends the whole watch, with the reason: pod, container, message, event, last lines.
//!
//! The clock is the caller's ([`Clock`]).
//!
//! # Spec
//! `reference/path-to-production.md` §1.6, §3.4, §3.6 steps 7 and 8.

mod error;
mod find;
mod flux;
mod lines;
mod objects;
mod track;

use std::time::Duration;

use crate::event::{self, Event, Observer};
use crate::kubernetes::cluster;
use crate::kubernetes::flux::Target;
use crate::kubernetes::ready::ReadyCheck;
use crate::kubernetes::rollout::{Done, Grace, Kind, Wanted};

pub use error::{Error, FluxProblem};
pub use objects::{Asked, Objects};
use track::Track;

/// A workload, and what is expected of it.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where it is.
    pub namespace: String,
    /// What it is, when that was said; else whichever kind has the name.
    pub kind: Option<Kind>,
    /// What it is called.
    pub name: String,
    /// What should run in it.
    pub wanted: Wanted,
    /// Whether Flux is asked to hurry.
    pub reconcile: Reconcile,
    /// Whether Flux is to look at the source of that first.
    pub with_source: bool,
    /// True when the workload may come into being while it is awaited.
    pub awaits_creation: bool,
    /// What each new pod has to say, all of it.
    pub ready: Vec<ReadyCheck>,
}

/// Whether Flux is asked to look at what it has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reconcile {
    /// Whoever the labels of the workload say; nobody when they say nothing. What hinders that is only a warning.
    #[default]
    Auto,
    /// This object; what hinders it is an error. The workload may come into being by it.
    Of(Target),
    /// Nobody.
    Never,
}

/// A clock of the caller's.
#[derive(Clone, Copy)]
pub struct Clock<'a> {
    /// The time since the watch began.
    pub now: &'a dyn Fn() -> Duration,
    /// Waits for so long, or until the person wants to stop.
    pub pause: &'a dyn Fn(Duration),
}

impl std::fmt::Debug for Clock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&(self.now)()).finish()
    }
}

/// How is watched.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The one deadline of everything, since the beginning.
    pub timeout: Duration,
    /// How often is looked.
    pub interval: Duration,
    /// Which troubles may pass.
    pub grace: Grace,
    /// The time at the beginning, RFC 3339 with nanoseconds: the value of the request to Flux.
    pub requested_at: &'a str,
    /// The time.
    pub clock: Clock<'a>,
    /// Who is told.
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Terms<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms")
            .field("timeout", &self.timeout)
            .field("interval", &self.interval)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// A rollout that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// `deployment/web`.
    pub workload: String,
    /// Where it is.
    pub namespace: String,
    /// What runs now.
    pub done: Done,
    /// What its pods said, if they had to say something: one line a pod and check.
    pub said: Vec<String>,
}

/// Watches until every wish has come true. The result is in the order of the wishes.
///
/// # Errors
/// [`Error`]: the first workload that fails, or the first that is not complete at the deadline.
pub fn watch(
    objects: &dyn Objects,
    wishes: &[Wish],
    terms: &Terms<'_>,
) -> Result<Vec<Watched>, Error> {
    let names: Vec<&str> = wishes.iter().map(|wish| wish.name.as_str()).collect();
    let stage = event::stage(
        terms.observer,
        "watch rollout",
        event::printable(&names.join(", ")),
    );
    let mut tracks: Vec<Track<'_>> = wishes
        .iter()
        .map(|wish| Track::new(wish, terms.grace))
        .collect();
    loop {
        let now = (terms.clock.now)();
        for track in tracks.iter_mut().filter(|track| !track.is_over()) {
            match track.look(objects, terms, now) {
                Ok(()) => {}
                Err(Error::Cluster(cluster::Error::Interrupted)) => return Err(Error::Interrupted),
                Err(error) => return Err(error),
            }
        }
        if tracks.iter().all(Track::is_over) {
            break;
        }
        if terms.observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let left = terms.timeout.saturating_sub((terms.clock.now)());
        if let Some(late) = tracks
            .iter_mut()
            .find(|track| left.is_zero() && !track.is_over())
        {
            return Err(late.timed_out(objects, terms));
        }
        (terms.clock.pause)(terms.interval.min(left));
    }
    let watched: Vec<Watched> = tracks.into_iter().filter_map(Track::finish).collect();
    for note in watched.iter().flat_map(|one| &one.done.notes) {
        terms.observer.observe(Event::Warning {
            text: note.clone(),
            hint: None,
        });
    }
    let told: Vec<String> = watched.iter().map(told).collect();
    stage.finish(told.join(", "));
    Ok(watched)
}

fn told(watched: &Watched) -> String {
    format!(
        "{} runs {} in {} pods",
        watched.workload,
        watched.done.image,
        watched.done.pods.len()
    )
}

#[cfg(test)]
mod tests;
