//! What runs now, and whether it is what should: one look, without waiting.

use super::image::{Named, Running};
use super::judge::{choose, judge, running};
use super::progress::expected;
use super::{Kind, Reason, State, Verdict, Wanted, new_pods};
use crate::event::printable;
use crate::kubernetes::object::{shown, text};

/// How a workload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As many pods as should be are ready, and the rollout is over.
    Ready,
    /// Some pods are ready; a rollout may be under way.
    Partial,
    /// No pod is ready.
    Down,
    /// No pod is wanted now: no replicas, or the time of a CronJob has not come.
    Idle,
}

impl Health {
    /// As tables and JSON have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Partial => "partial",
            Self::Down => "down",
            Self::Idle => "idle",
        }
    }
}

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The container that was looked at.
    pub container: String,
    /// The image that the pod template names.
    pub image: String,
    /// The digests that the pods of the newest template run, sorted; empty where they do not say.
    pub digests: Vec<String>,
    /// How many pods of the newest template are ready (of a Job: have succeeded).
    pub ready: u64,
    /// How many there should be.
    pub desired: u64,
    /// How it stands.
    pub health: Health,
    /// What is awaited, or what is the matter; empty when all is well.
    pub why: String,
    /// In what it differs from what should run, in a sentence; nothing when it does not, or when nothing is known of what should.
    pub drift: Option<String>,
    /// True when the digest that the pods run may be one platform's of the wanted index: who knows these digests can tell.
    pub is_perhaps_platform: bool,
}

/// Compares what runs with what should, `wanted`.
///
/// # Errors
/// A [`Reason`] when the container is not there, or it is not clear which is meant.
pub fn report(state: &State, wanted: &Wanted) -> Result<Report, Reason> {
    let found = choose(state, wanted)?;
    let (container, image) = (text(found, "/name"), text(found, "/image"));
    let new = new_pods(state);
    let is_job = state.kind == Kind::Job;
    let is_well = |pod: &&super::Pod<'_>| match is_job {
        true => text(pod.0, "/status/phase") == "Succeeded",
        false => pod.is_ready(container),
    };
    let ready = new.iter().filter(is_well).count() as u64;
    let ids = new.iter().filter_map(|pod| pod.container(container));
    let ids = ids.filter_map(|status| text(status, "/imageID").rsplit_once("sha256:"));
    let mut digests: Vec<String> = ids
        .map(|(_, hex)| format!("sha256:{}", shown(hex)))
        .collect();
    digests.sort();
    digests.dedup();
    let desired = expected(state);
    let now = Wanted {
        container: Some(container.to_owned()),
        image: None,
    };
    let (health, why) = match judge(state, &now) {
        Verdict::Done(_) if desired == 0 => (Health::Idle, String::new()),
        Verdict::Done(_) => (Health::Ready, String::new()),
        Verdict::Failed(reason) => (partial(ready), reason.to_string()),
        Verdict::Waiting { why, troubles } => {
            let trouble = troubles.first().map(Reason::to_string);
            (partial(ready), trouble.unwrap_or(why))
        }
    };
    let mut report = Report {
        container: shown(container),
        image: shown(image),
        digests,
        ready,
        desired,
        health,
        why,
        drift: None,
        is_perhaps_platform: false,
    };
    let Some(recorded) = &wanted.image else {
        return Ok(report);
    };
    let named = recorded.named_by(image);
    if named == Named::Other {
        report.drift = Some(format!(
            "it is to run `{}`, and on record is `{}`",
            shown(image),
            printable(&recorded.shown())
        ));
        return Ok(report);
    }
    let other = new
        .iter()
        .find_map(|pod| match running(wanted, *pod, container)?.0 {
            Running::Other(digest) if named != Named::ByDigest => Some((*pod, digest)),
            _ => None,
        });
    if let Some((pod, digest)) = other {
        report.is_perhaps_platform = true;
        report.drift = Some(format!(
            "pod `{}` runs {digest}, and on record is `{}`",
            shown(pod.name()),
            printable(&recorded.shown())
        ));
    }
    Ok(report)
}

fn partial(ready: u64) -> Health {
    match ready {
        0 => Health::Down,
        _ => Health::Partial,
    }
}
