//! Which records are forgotten, and which images nobody needs any more.
//!
//! Of each application in each environment the newest successful deployments stay, and whatever is live or released. With
//! a deployment go its releases, and the builds, pushes and promotions that no other record follows from. An image goes
//! only when no record that stays names its digest.
//!
//! Source: specification *The path to production*, §2.5 and §2.6.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Contents, Id, Record, State};
use super::named::digests_in;
use super::{rollback, rollouts};
use crate::digest::Digest;
use crate::project::Operation;

/// Of which deployments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Of one application.
    pub application: Option<String>,
    /// In one environment.
    pub environment: Option<String>,
}

/// What would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// The images of them that no other record names, each digest once with all its names.
    pub images: BTreeMap<Digest, BTreeSet<String>>,
}

/// Decides what goes when `retain` successful deployments stay of each application in each environment. What is live or
/// released stays beside them, and so does what is running.
pub fn plan(contents: &Contents, scope: &Scope, retain: usize) -> Plan {
    plan_beside(contents, scope, retain, &|_| None)
}

/// As [`plan`], beside deployments whose image is known to run, or to stand in a manifest. `runs` says by what: a digest, a
/// name with a tag. Of the deployments of an application in an environment that are known by the same, the newest stays: the newest that
/// succeeded, where one did; else the newest, for a deployment that was killed or failed late may have brought it.
pub fn plan_beside(
    contents: &Contents,
    scope: &Scope,
    retain: usize,
    runs: &dyn Fn(&Record) -> Option<String>,
) -> Plan {
    let mut forgotten: BTreeSet<&Id> = BTreeSet::new();
    let released = rollback::all_released(contents);
    let rollouts = rollouts::all(contents);
    let is_good = |record: &Record| {
        let rollout = rollouts.get(&record.id);
        record.state == State::Success && rollout.is_none_or(|rollout| !rollout.is_bad())
    };
    let mut live: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut kept: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut stays: BTreeSet<_> = BTreeSet::new();
    let place_of = |record: &'_ Record| (record.application.clone(), record.environment.clone());
    let deployed = contents.records.iter();
    let deployed = deployed.filter(|record| record.operation == Operation::Deploy);
    let succeeded = deployed.filter(|record| record.state == State::Success);
    let succeeded: BTreeSet<_> = succeeded
        .filter_map(|record| Some((place_of(record), runs(record)?)))
        .collect();
    for record in contents.records.iter().rev() {
        let place = (record.application.as_str(), record.environment.as_str());
        if record.operation != Operation::Deploy
            || record.state == State::Running
            || !scope.has(record)
        {
            continue;
        }
        let kept = kept.entry(place).or_default();
        // The newest successful one is what is live, whatever was said. Those whose rollout failed are no way back.
        let is_live = record.state == State::Success && live.insert(place);
        let is_kept = is_live || is_good(record) && *kept < retain.max(1);
        *kept += usize::from(is_good(record));
        let is_kept = is_kept || released.get(&place) == Some(&&record.id);
        let known_by = runs(record).filter(|name| {
            record.state == State::Success || !succeeded.contains(&(place_of(record), name.clone()))
        });
        let is_newest = known_by.is_some_and(|name| stays.insert((place, name)));
        if !is_kept && !is_newest {
            forgotten.insert(&record.id);
        }
    }
    let is_release_of_forgotten = |record: &&Record| {
        matches!(record.operation, Operation::Release | Operation::Watch)
            && record.state != State::Running
            && record
                .link(Operation::Deploy)
                .is_some_and(|id| forgotten.contains(id))
    };
    let releases = contents.records.iter().filter(is_release_of_forgotten);
    let releases: Vec<&Id> = releases.map(|record| &record.id).collect();
    forgotten.extend(releases);
    forget_origins(contents, &mut forgotten);

    let goes = |record: &&Record| forgotten.contains(&record.id);
    let records: Vec<Record> = contents.records.iter().filter(goes).cloned().collect();
    let stays = contents.records.iter().filter(|record| !goes(record));
    let needed: BTreeSet<String> = stays.flat_map(digests).collect();
    let mut images: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    for record in &records {
        let (Some(image), Some(digest)) = (&record.facts.image, &record.facts.digest) else {
            continue;
        };
        if !needed.contains(&digest.to_string()) {
            let names = images.entry(digest.clone()).or_default();
            names.insert(image.clone());
        }
    }
    Plan { records, images }
}

impl Scope {
    fn has(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.application, &record.application) && is(&self.environment, &record.environment)
    }
}

/// Adds the builds, pushes and promotions that forgotten records followed from and that no other record follows from, from
/// the last link of the chain to the first.
fn forget_origins<'a>(contents: &'a Contents, forgotten: &mut BTreeSet<&'a Id>) {
    loop {
        let links = |is_wanted: &dyn Fn(&Record) -> bool| -> BTreeSet<&'a Id> {
            let records = contents.records.iter().filter(|record| is_wanted(record));
            records.flat_map(|r| r.facts.links.values()).collect()
        };
        let of_forgotten = links(&|record| forgotten.contains(&record.id));
        let of_others = links(&|record| !forgotten.contains(&record.id));
        let is_origin = |record: &&Record| {
            let kinds = [Operation::Build, Operation::Push, Operation::Promote];
            kinds.contains(&record.operation)
                && record.state != State::Running
                && of_forgotten.contains(&record.id)
                && !of_others.contains(&record.id)
                && !forgotten.contains(&record.id)
        };
        let origins = contents.records.iter().filter(is_origin);
        let origins: Vec<&Id> = origins.map(|record| &record.id).collect();
        if origins.is_empty() {
            return;
        }
        forgotten.extend(origins);
    }
}

/// All digests that a record names, also those within texts.
fn digests(record: &Record) -> Vec<String> {
    let texts = [&record.facts.image, &record.facts.previous];
    let texts = texts.into_iter().flatten();
    let within = texts
        .chain(record.facts.results.values())
        .flat_map(|text| digests_in(text));
    let own = record.facts.digest.iter().map(ToString::to_string);
    own.chain(within).collect()
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
