//! Finding the versions that satisfy everything, as pip would, and asking the index as seldom as can be.
//!
//! ```text
//! Request ──▶ resolve ──▶ Solution ──▶ answer::Record, remembered by answer::AnswerKey
//!               │  ▲
//!     crawl: asks early, level by level
//!               ▼  │
//!             Provider (an index)
//! ```
//!
//! The search is PubGrub's (<https://nex3.medium.com/pubgrub-2fb6470504f>), the rules are pip's:
//!
//! - the newest version that satisfies is taken, after what the builder has installed and what the previous answer had;
//! - pre-releases are taken when a specifier names one, when all are asked for, or when a project has nothing else;
//! - yanked versions are taken only where `==` pins them and there is nothing else;
//! - a version whose `Requires-Python` excludes the target does not exist;
//! - an extra is a package of its own at the same version as what it extends;
//! - what wheels cannot express ends the resolution with an error for which [`Error::is_for_pip`] is true.
//!
//! The answer depends on the request and on what the provider says, never on the order or time of arrival.
//!
//! # Spec
//! pip's user guide, "Dependency Resolution", and `pip/_internal/resolution/resolvelib` of pip 23; PEP 440, 508, 592.

mod answer;
mod candidate;
mod check;
mod conflict;
mod crawl;
mod dependency;
mod direct;
mod error;
mod provider;
mod range;
mod request;
mod solver;
mod want;
mod wording;

pub use answer::{AnswerKey, Record, find, previous, remember};
pub use check::{Unmet, check};
pub use error::Error;
pub use provider::{Metadata, Provider, ProviderError, Release, Source};
pub use request::{Formats, Names, Preference, Request, Required};

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pep508_rs::VersionOrUrl;
use pubgrub::{PubGrubError, SelectedDependencies};

use crate::event::{Event, Observer};
use crate::python::{ExtraName, PackageName, Pinned, Resolution, Target, Version};

use candidate::{Candidates, File, Permits};
use provider::Metadata as Core;
use solver::{Solver, Stop, root_version};
use want::Node;

/// How often a search begins again because a permission came too late.
const MOST_SEARCHES: usize = 64;

/// An answer: what to install, and what is there already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    /// What to install.
    pub resolution: Resolution,
    /// What is required and the builder has already, sorted by name.
    pub satisfied: Vec<(PackageName, Version)>,
    /// The extras that are asked for, of what is installed and of what is there.
    pub extras: BTreeMap<PackageName, BTreeSet<ExtraName>>,
}

/// Finds versions of everything that `request` requires, directly or not, that fit together.
///
/// `observer` is told warnings: yanked versions that are taken, extras that do not exist. It is asked between steps
/// whether the person wants to stop.
///
/// # Errors
/// See [`Error`]; [`Error::is_for_pip`] says for which of them pip itself should be run.
pub fn resolve(
    request: &Request<'_>,
    provider: &dyn Provider,
    observer: &dyn Observer,
) -> Result<Solution, Error> {
    let directs = direct::directs(request)?;
    let mut candidates = Candidates::new(*request, provider, directs);
    check_directs(&mut candidates)?;
    let search = Search {
        candidates: &candidates,
        observer,
        metadata: RefCell::default(),
    };
    let (found, unjustified) = search.run(&BTreeSet::new())?;
    let found = if unjustified.is_empty() {
        found
    } else {
        // A requirement permitted a version, and was itself given up later. The answer without that permission is
        // better, if there is one.
        match search.run(&unjustified) {
            Ok((better, _)) => better,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(_) => found,
        }
    };
    for text in &found.warnings {
        let (text, hint) = (text.clone(), None);
        observer.observe(Event::Warning { text, hint });
    }
    Ok(found.solution)
}

/// Requirements whose markers apply to the target.
fn active<'a>(all: &'a [Required], target: &'a Target) -> impl Iterator<Item = &'a Required> {
    active_of(all.iter(), target)
}

fn active_of<'a>(
    all: impl Iterator<Item = &'a Required>,
    target: &'a Target,
) -> impl Iterator<Item = &'a Required> {
    all.filter(|required| required.requirement.marker.evaluate(&target.markers, &[]))
}

/// A direct reference must fit the target and have a hash that is listed, and the builder must not have the package.
fn check_directs(candidates: &mut Candidates<'_>) -> Result<(), Error> {
    for (name, direct) in std::mem::take(&mut candidates.directs) {
        let mut direct = direct;
        let wanted_by = format!("`{name}` is required by its URL");
        let refuse = |reason: &str| {
            let (wanted_by, reason) = (wanted_by.clone(), reason.to_owned());
            Err(Error::Inexpressible { wanted_by, reason })
        };
        if candidates.request.target.installed.contains_key(&name) {
            return refuse("the builder has a version of it installed");
        }
        if let File::Wheel(wheel) = &direct.candidate.file {
            if !candidates.fits(&wheel.name) {
                return refuse("the wheel does not fit the builder's Python");
            }
            let is_listed = |hashes: &BTreeMap<_, _>| hashes.contains_key(&name);
            // A hash in the URL is as good as a listed one.
            let needs_hash =
                wheel.digest.is_none() || candidates.request.hashes.is_some_and(is_listed);
            if candidates.request.hashes.is_some() && needs_hash {
                match candidates.hashed(&name, std::slice::from_ref(wheel.as_ref())) {
                    Some(wheel) => direct.candidate.file = File::Wheel(Arc::new(wheel)),
                    None => return refuse("its hash is not one of those that are listed"),
                }
            }
        }
        candidates.directs.insert(name, direct);
    }
    Ok(())
}

/// What searches share.
struct Search<'a> {
    candidates: &'a Candidates<'a>,
    observer: &'a dyn Observer,
    metadata: RefCell<BTreeMap<(PackageName, Version), Arc<Core>>>,
}

/// An answer with what is to be told about it.
struct Found {
    solution: Solution,
    warnings: Vec<String>,
}

impl Search<'_> {
    /// Searches until no permission comes too late. Also returns the packages whose version nothing in the answer
    /// permits.
    fn run(
        &self,
        revoked: &BTreeSet<PackageName>,
    ) -> Result<(Found, BTreeSet<PackageName>), Error> {
        let permits = RefCell::new(self.permits_of_constraints());
        for _ in 0..MOST_SEARCHES {
            let solver = Solver::new(
                self.candidates,
                self.observer,
                &permits,
                revoked,
                &self.metadata,
            );
            let stop = match pubgrub::resolve(&solver, Node::Root, root_version()) {
                Ok(selected) => return self.answer(&solver, selected),
                Err(PubGrubError::NoSolution(tree)) => {
                    return Err(conflict::explain(tree, &solver));
                }
                Err(PubGrubError::ErrorRetrievingDependencies { source, .. }) => source,
                Err(PubGrubError::ErrorChoosingVersion { source, .. }) => source,
                Err(PubGrubError::ErrorInShouldCancel(source)) => source,
            };
            match stop {
                Stop::Error(error) => return Err(error),
                Stop::Again => {}
            }
        }
        Err(Error::GaveUp {
            steps: MOST_SEARCHES,
        })
    }

    /// pip reads constraints as it reads specifiers: they permit pre-releases and pin yanked versions, too.
    fn permits_of_constraints(&self) -> BTreeMap<PackageName, Permits> {
        let request = &self.candidates.request;
        let mut all: BTreeMap<PackageName, Permits> = BTreeMap::new();
        for constraint in active(request.constraints, request.target) {
            let requirement = &constraint.requirement;
            if let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url {
                let permits = all.entry(requirement.name.clone()).or_default();
                permits.prereleases |= range::mentions_prerelease(specifiers);
                if range::is_pin(specifiers) {
                    permits.pins.push(range::set_of(specifiers));
                }
            }
        }
        all
    }

    fn answer(
        &self,
        solver: &Solver<'_>,
        selected: SelectedDependencies<Node, Version>,
    ) -> Result<(Found, BTreeSet<PackageName>), Error> {
        let selected: BTreeMap<Node, Version> = selected.into_iter().collect();
        let mut solution = Solution::default();
        let mut warnings = Vec::new();
        let mut unjustified = BTreeSet::new();
        for (node, version) in &selected {
            match node {
                Node::Root => {}
                Node::Extra(name, extra) => {
                    let extras = solution.extras.entry(name.clone()).or_default();
                    extras.insert(extra.clone());
                    warnings.extend(self.missing_extra(name, version, extra));
                }
                Node::Package(name) => {
                    let wheel = match solver.file_of(name, version)? {
                        File::Wheel(wheel) => wheel,
                        File::Installed => {
                            let satisfied = (name.clone(), version.clone());
                            solution.satisfied.push(satisfied);
                            continue;
                        }
                        File::Source => {
                            let (name, version) = (name.clone(), version.clone());
                            return Err(Error::NeedsBuild { name, version });
                        }
                    };
                    let justified = self.justified(solver, &selected, name);
                    let (is_justified, warning) = self.look_again(name, version, &justified)?;
                    warnings.extend(warning);
                    if !is_justified {
                        unjustified.insert(name.clone());
                    }
                    solution.resolution.packages.push(Pinned {
                        name: name.clone(),
                        version: version.clone(),
                        wheel: Arc::unwrap_or_clone(wheel),
                        is_requested: solver.order.contains_key(name),
                    });
                }
            }
        }
        Ok((Found { solution, warnings }, unjustified))
    }

    /// What the requirements of the answer itself permit of a package.
    fn justified(
        &self,
        solver: &Solver<'_>,
        selected: &BTreeMap<Node, Version>,
        name: &PackageName,
    ) -> Permits {
        let mut permits = self
            .permits_of_constraints()
            .remove(name)
            .unwrap_or_default();
        for (who, want) in solver.wanting(name) {
            let is_active = who.is_none_or(|(node, version)| selected.get(&node) == Some(&version));
            if is_active {
                permits.prereleases |= want.permits_prereleases;
                if want.is_pin {
                    permits.pins.push(want.set);
                }
            }
        }
        permits
    }

    /// Whether a version of the answer is permitted by it, and what is to be told about it.
    fn look_again(
        &self,
        name: &PackageName,
        version: &Version,
        permits: &Permits,
    ) -> Result<(bool, Option<String>), Error> {
        let is_preferred = |preference: &Preference| preference.version == *version;
        let preferences = self.candidates.request.preferences;
        if self.candidates.directs.contains_key(name)
            || preferences.get(name).is_some_and(is_preferred)
        {
            return Ok((true, None));
        }
        let listing = self.candidates.listing(name)?;
        let mut entries = listing.entries.iter();
        let Some(entry) = entries.find(|entry| entry.version == *version) else {
            return Ok((true, None));
        };
        let exclusion = self.candidates.excluded(name, &listing, entry, permits);
        let warning = entry.yanked.as_ref().map(|reason| {
            let reason = Some(reason.trim()).filter(|reason| !reason.is_empty());
            let reason = reason.unwrap_or("no reason given");
            format!(
                "`{name}` {version} was yanked from the index: {}",
                cut(reason)
            )
        });
        Ok((exclusion.is_none(), warning))
    }

    fn missing_extra(
        &self,
        name: &PackageName,
        version: &Version,
        extra: &ExtraName,
    ) -> Option<String> {
        let known = self.metadata.borrow();
        let metadata = known.get(&(name.clone(), version.clone()))?;
        (!metadata.provides_extra.contains(extra))
            .then(|| format!("`{name}` {version} has no extra `{extra}`"))
    }
}

/// A text of an index, cut to 200 characters and without control characters.
fn cut(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(200).collect()
}

#[cfg(test)]
mod tests;
