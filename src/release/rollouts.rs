//! What became of deployments: the rollouts that were watched after them.
//!
//! A deployment is done when its image is written down or given to a cluster, and its record says so for ever. Whether the image
//! then runs is told by the record of a watch that follows from it ([`OUTCOME`] among its results): the newest one that came to a
//! decision counts, so a rollout that recovers is a good one again.
//!
//! Source: specification *The path to production*, §1.6 and §3.6, steps 7 and 9.

use std::collections::BTreeMap;

use super::history::{Contents, Id, Record, State};
use crate::digest::Digest;
use crate::project::Operation;

/// The result in which the record of a watch tells how the rollout ended: the name of a [`Fate`].
pub const OUTCOME: &str = "rollout";

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The image runs everywhere it should.
    Complete,
    /// It has failed.
    Failed,
    /// It was not complete in time.
    Late,
    /// The pods ran, but did not say that they are ready.
    NotReady,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Complete, Self::Failed, Self::Late, Self::NotReady];

    /// As records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::NotReady => "not-ready",
        }
    }

    /// What is said of the rollout: `has failed`.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Complete => "is complete",
            Self::Failed => "has failed",
            Self::Late => "was not complete in time",
            Self::NotReady => "ended with pods that did not say that they are ready",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.name() == name)
    }
}

/// How the rollout of a deployment ended.
#[derive(Clone, Copy, Debug)]
pub struct Rollout<'a> {
    /// How.
    pub fate: Fate,
    /// The watch that saw it. Its error is the reason.
    pub watch: &'a Record,
}

impl Rollout<'_> {
    /// True when the image does not run as it should.
    pub fn is_bad(&self) -> bool {
        self.fate != Fate::Complete
    }
}

/// The rollouts that were watched, by the ids of the deployments that they follow from.
pub fn all(contents: &Contents) -> BTreeMap<&Id, Rollout<'_>> {
    let mut rollouts = BTreeMap::new();
    // The order of the file is that of their beginnings: later ones replace earlier ones.
    for watch in &contents.records {
        let fate = watch.facts.results.get(OUTCOME);
        if watch.operation == Operation::Watch
            && matches!(watch.state, State::Success | State::Error)
            && let Some(deployment) = watch.link(Operation::Deploy)
            && let Some(fate) = fate.and_then(|name| Fate::named(name))
        {
            rollouts.insert(deployment, Rollout { fate, watch });
        }
    }
    rollouts
}

/// The rollout of one deployment, if it was watched to an end.
pub fn of<'a>(contents: &'a Contents, deployment: &Record) -> Option<Rollout<'a>> {
    all(contents).remove(&deployment.id)
}

/// True when the newest deployment of an application in an environment is a good one of this image: it was done, and its rollout is
/// complete, or was watched to a good end that is not told apart. What cannot be watched only has to be done.
pub fn settled(
    contents: &Contents,
    application: &str,
    environment: &str,
    digest: &Digest,
    can_be_watched: bool,
) -> bool {
    let is_of_it = |record: &&Record| {
        record.operation == Operation::Deploy
            && record.application == application
            && record.environment == environment
    };
    let Some(newest) = contents.records.iter().rev().find(is_of_it) else {
        return false;
    };
    if newest.state != State::Success || newest.facts.digest.as_ref() != Some(digest) {
        return false;
    }
    let was_watched = || {
        contents.records.iter().any(|record| {
            record.operation == Operation::Watch
                && record.state == State::Success
                && record.link(Operation::Deploy) == Some(&newest.id)
        })
    };
    match of(contents, newest) {
        Some(rollout) => !rollout.is_bad(),
        None => !can_be_watched || was_watched(),
    }
}
