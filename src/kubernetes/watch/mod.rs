//! Rollouts are watched until they are over: several at once, with one deadline.
//!
//! Whenever something has changed, each workload is read and judged (`kubernetes::rollout`): the API tells of changes
//! ([`Asked::pause`]), and where it does not, they are looked for every few seconds. On the way Flux may be asked to look at
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

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::event::{self, Event, Observer};
use crate::kubernetes::cluster::{self, Cluster};
use crate::kubernetes::flux::Target;
use crate::kubernetes::ready::ReadyCheck;
use crate::kubernetes::rollout::{self, Done, Grace, Kind, Report, Wanted};

pub use error::{Error, FluxProblem};
pub use objects::{Asked, Objects};
use track::Track;

/// How long nothing may be told before somebody looks all the same: something on the way may swallow what is told.
const UNTOLD: Duration = Duration::from_secs(30);
/// The shortest pause.
const MOMENT: Duration = Duration::from_millis(50);

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
    /// Waits until something may have changed, or until the person wants to stop.
    pub pause: &'a dyn Fn(Pause),
}

/// For how long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Where nobody tells of changes.
    pub poll: Duration,
    /// At most.
    pub most: Duration,
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
    /// How often is looked where nobody tells of changes.
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

/// What has become of one wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has come true.
    Complete(Watched),
    /// It has ended the watch, or was not complete at the deadline.
    Failed(Box<Error>),
    /// The watch ended before it was decided.
    Open,
}

/// How a watch has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What has become of each wish, in their order.
    pub outcomes: Vec<Outcome>,
    /// Why it ended, when not all of them have come true.
    pub error: Option<Error>,
}

impl Ended {
    /// What was watched, when all have come true.
    ///
    /// # Errors
    /// Why not.
    pub fn into_result(self) -> Result<Vec<Watched>, Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.watched().cloned().collect()),
        }
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Complete(watched) => Some(watched),
            Outcome::Failed(_) | Outcome::Open => None,
        })
    }
}

/// Watches until every wish has come true, the first fails ([`Error`]), or the time is over.
pub fn watch(objects: &dyn Objects, wishes: &[Wish], terms: &Terms<'_>) -> Ended {
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
    let stopped = follow(objects, &mut tracks, terms).err();
    let (mut failed, error) = match stopped {
        None => (BTreeMap::new(), None),
        Some(Stopped::Interrupted) => (BTreeMap::new(), Some(Error::Interrupted)),
        Some(Stopped::By(failed)) => {
            let error = Error::of_all(failed.values());
            (failed, error)
        }
    };
    let outcome = |(place, track): (usize, Track<'_>)| match (track.finish(), failed.remove(&place))
    {
        (Some(watched), _) => Outcome::Complete(watched),
        (None, Some(error)) => Outcome::Failed(Box::new(error)),
        (None, None) => Outcome::Open,
    };
    let ended = Ended {
        outcomes: tracks.into_iter().enumerate().map(outcome).collect(),
        error,
    };
    for note in ended.watched().flat_map(|one| &one.done.notes) {
        terms.observer.observe(Event::Warning {
            text: note.clone(),
            hint: None,
        });
    }
    if ended.error.is_none() {
        let told: Vec<String> = ended.watched().map(told).collect();
        stage.finish(told.join(", "));
    }
    ended
}

/// Why nobody looks any more although not all tracks are over.
enum Stopped {
    /// The person asked to stop.
    Interrupted,
    /// Those that are to blame, by their places: the one that failed, or all that are late.
    By(BTreeMap<usize, Error>),
}

/// Looks until all tracks are over; why not, and which of them are to blame.
fn follow(
    objects: &dyn Objects,
    tracks: &mut [Track<'_>],
    terms: &Terms<'_>,
) -> Result<(), Stopped> {
    loop {
        let now = (terms.clock.now)();
        for (place, track) in tracks.iter_mut().enumerate() {
            if track.is_over() {
                continue;
            }
            track
                .look(objects, terms, now)
                .map_err(|error| match error {
                    Error::Cluster(cluster::Error::Interrupted) => Stopped::Interrupted,
                    error => Stopped::By(BTreeMap::from([(place, error)])),
                })?;
        }
        if tracks.iter().all(Track::is_over) {
            return Ok(());
        }
        if terms.observer.is_cancelled() {
            return Err(Stopped::Interrupted);
        }
        let now = (terms.clock.now)();
        let left = terms.timeout.saturating_sub(now);
        if left.is_zero() {
            let late = tracks.iter_mut().enumerate();
            let late = late.filter(|(_, track)| !track.is_over());
            let late = late.map(|(place, track)| (place, track.timed_out(objects, terms)));
            return Err(Stopped::By(late.collect()));
        }
        let under_way = tracks.iter().filter(|track| !track.is_over());
        let due = under_way.filter_map(Track::due).min();
        let until = due.map_or(UNTOLD.max(terms.interval), |due| due.saturating_sub(now));
        let most = until.max(MOMENT).min(left);
        (terms.clock.pause)(Pause {
            poll: terms.interval.min(most),
            most,
        });
    }
}

/// How a real cluster is watched.
#[derive(Clone, Copy)]
pub struct Live<'a> {
    /// When the time that there is begins.
    pub start: Instant,
    /// As [`Terms::timeout`].
    pub timeout: Duration,
    /// As [`Terms::interval`].
    pub interval: Duration,
    /// As [`Terms::grace`].
    pub grace: Grace,
    /// As [`Terms::requested_at`].
    pub requested_at: &'a str,
    /// As [`Terms::observer`].
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// [`watch`] on a real cluster, which tells of changes where it can.
pub fn live(cluster: &Cluster, wishes: &[Wish], live: &Live<'_>) -> Ended {
    let asked = Asked::new(cluster, live.observer, live.start + live.timeout);
    let now = || live.start.elapsed();
    let pause = |pause| asked.pause(pause);
    let terms = Terms {
        timeout: live.timeout,
        interval: live.interval,
        grace: live.grace,
        requested_at: live.requested_at,
        clock: Clock {
            now: &now,
            pause: &pause,
        },
        observer: live.observer,
    };
    watch(&asked, wishes, &terms)
}

/// Looks once, without waiting: what runs now, beside what is wished. Nobody in Flux is asked for anything.
///
/// # Errors
/// [`Error::Cluster`]; [`Error::NoWorkload`], [`Error::Ambiguous`] and [`Error::NoContainer`] when there is nothing to look at.
pub fn look(objects: &dyn Objects, wish: &Wish) -> Result<(Kind, Report), Error> {
    let track = Track::new(wish, Grace::default());
    let Some((kind, workload)) = track.find(objects)? else {
        return Err(Error::NoWorkload {
            what: track.workload(),
            namespace: wish.namespace.clone(),
            present: Vec::new(),
        });
    };
    let state = objects::state(objects, kind, &wish.namespace, workload)?;
    let report = rollout::report(&state, &wish.wanted).map_err(|reason| Error::NoContainer {
        reason: Box::new(reason),
    })?;
    Ok((kind, report))
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
