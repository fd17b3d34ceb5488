//! Troubles that pass, and troubles that do not.
//!
//! The rule, in full:
//!
//! * what cannot pass by itself (an impossible image name, `ErrImageNeverPull`, a container killed for its memory, a
//!   controller that gave up, other bytes under the wanted tag) is a failure at once;
//! * a container may end [`Grace::restarts`] times; once more, or `CrashLoopBackOff`, is a failure;
//! * a failed pull, a container that cannot be started (a Secret that is made a second later), a refused pod and an
//!   evicted one are failures when they have lasted for [`Grace::brief`] without a break;
//! * a failing readiness probe, a pod without a node and a volume that is not there yet are parts of many good starts:
//!   they are failures when they have lasted for [`Grace::slow`];
//! * a rollout is over when it has been complete for [`Grace::stable`], unless its template says what being ready
//!   means: a container without a probe counts as ready between its start and its crash.
//!
//! A trouble lasts as long as each verdict tells it, for the same container of the same pod.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Class, Reason, Verdict};

/// How long troubles may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// How often a container may end.
    pub restarts: u64,
    /// For hiccups. The kubelet pulls again after 10 s: the default of 20 s is two attempts.
    pub brief: Duration,
    /// For what is part of many good starts.
    pub slow: Duration,
    /// How long a rollout without a readiness probe has to stay complete.
    pub stable: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self {
            restarts: 1,
            brief: Duration::from_secs(20),
            slow: Duration::from_secs(120),
            stable: Duration::from_secs(3),
        }
    }
}

/// Since when, by what tells a trouble from others.
type Since = BTreeMap<(&'static str, Option<String>, Option<String>), Duration>;

/// Sees one verdict after the other.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    grace: Grace,
    since: Since,
    complete_since: Option<Duration>,
    due: Option<Duration>,
}

impl Patience {
    /// Has seen nothing yet.
    pub fn new(grace: Grace) -> Self {
        Self {
            grace,
            ..Self::default()
        }
    }

    /// What a verdict means that was made at `now`, a time since any fixed moment that never goes back.
    pub fn decide(&mut self, verdict: Verdict, now: Duration) -> Verdict {
        self.due = None;
        let (why, troubles) = match verdict {
            Verdict::Failed(_) => return verdict,
            Verdict::Done(done) => {
                self.since.clear();
                let since = *self.complete_since.get_or_insert(now);
                self.due = Some(since + self.grace.stable);
                if done.is_certain || now.saturating_sub(since) >= self.grace.stable {
                    return Verdict::Done(done);
                }
                return Verdict::Waiting {
                    why: "complete; seeing whether it stays so".to_owned(),
                    troubles: Vec::new(),
                };
            }
            Verdict::Waiting { why, troubles } => (why, troubles),
        };
        self.complete_since = None;
        let mut since = Since::new();
        for reason in &troubles {
            let key = reason.key();
            let first = self.since.get(&key).copied().unwrap_or(now);
            since.insert(key, first);
        }
        self.since = since;
        self.due = troubles
            .iter()
            .filter_map(|reason| self.patience_with(reason, now))
            .min();
        let has_lasted = |reason: &&Reason| self.has_lasted(reason, now);
        match troubles.iter().find(has_lasted) {
            Some(reason) => Verdict::Failed(Box::new(reason.clone())),
            None => Verdict::Waiting { why, troubles },
        }
    }

    /// When the last verdict will mean something else although nothing changes: a time as that of [`Self::decide`].
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Until when a trouble may last; nothing for what time does not change.
    fn patience_with(&self, reason: &Reason, now: Duration) -> Option<Duration> {
        let first = self.since.get(&reason.key()).copied().unwrap_or(now);
        match reason.cause.class() {
            Class::Brief => Some(first + self.grace.brief),
            Class::Slow => Some(first + self.grace.slow),
            Class::Definite | Class::Counted(_) => None,
        }
    }

    fn has_lasted(&self, reason: &Reason, now: Duration) -> bool {
        let first = self.since.get(&reason.key()).copied().unwrap_or(now);
        let lasted = now.saturating_sub(first);
        match reason.cause.class() {
            Class::Definite => true,
            Class::Brief => lasted >= self.grace.brief,
            Class::Slow => lasted >= self.grace.slow,
            Class::Counted(times) => times > self.grace.restarts,
        }
    }
}
