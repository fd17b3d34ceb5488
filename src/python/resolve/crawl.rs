//! Asking early for what will probably be needed.
//!
//! PubGrub decides one package after the other, so that a search which asks as it goes waits for the network twice
//! for each package. Instead, whenever the dependencies of something become known, the most probable answer is
//! followed level by level: all pages of a level are asked for together, then all metadata. The search then finds
//! everything at hand. What is fetched early never changes the answer, and errors here are met again by the search if
//! they matter.

use std::collections::BTreeMap;

use crate::python::{ExtraName, PackageName, RemoteWheel, Version};

use super::candidate::{Candidate, File};
use super::error::Error;
use super::range::Set;
use super::solver::Solver;
use super::want::Want;

/// Where following ends. Deeper dependencies are met by the search itself.
const MOST_LEVELS: usize = 40;

/// How many versions one search fetches early at most.
const MOST_CRAWLED: usize = 2_000;

impl Solver<'_> {
    /// Asks for the pages and the metadata that `wants` will probably lead to.
    ///
    /// # Errors
    /// [`Error::Interrupted`] only.
    pub(super) fn crawl(&self, wants: Vec<Want>) -> Result<(), Error> {
        let mut level = wants;
        for _ in 0..MOST_LEVELS {
            if level.is_empty() || self.crawled.borrow().len() > MOST_CRAWLED {
                break;
            }
            if self.observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            level = self.crawl_level(level);
        }
        Ok(())
    }

    /// One level: pages, choices, metadata. Returns what these want.
    fn crawl_level(&self, wants: Vec<Want>) -> Vec<Want> {
        let names = self.narrow(wants);
        let candidates = self.candidates;
        let expected = self.expected.borrow().clone();
        let set = |name: &PackageName| expected.get(name).cloned().unwrap_or_else(Set::full);
        let is_new = |name: &&PackageName| !candidates.is_at_hand(name, &set(name));
        let pages: Vec<PackageName> = names.keys().filter(is_new).cloned().collect();
        if !pages.is_empty() {
            candidates.provider.prefetch(&pages);
        }
        let mut chosen: Vec<(PackageName, Candidate, Vec<ExtraName>)> = Vec::new();
        for (name, extras) in names {
            let best = candidates.best(&name, &set(&name), &self.permits(&name));
            if let Ok(Some(candidate)) = best {
                let key = (name.clone(), candidate.version.clone(), extras.clone());
                if self.crawled.borrow_mut().insert(key) {
                    chosen.push((name, candidate, extras));
                }
            }
        }
        self.ask_for_metadata(&chosen);
        let mut next = Vec::new();
        for (name, candidate, extras) in chosen {
            next.extend(self.wanted_next(&name, &candidate, &extras));
        }
        next
    }

    /// Narrows what is expected of each package, and leaves out those that contradict it: their metadata would be
    /// fetched in vain for every version that the search tries and rejects.
    fn narrow(&self, wants: Vec<Want>) -> BTreeMap<PackageName, Vec<ExtraName>> {
        let mut expected = self.expected.borrow_mut();
        let mut names: BTreeMap<PackageName, Vec<ExtraName>> = BTreeMap::new();
        for want in wants {
            let set = expected.entry(want.name.clone()).or_insert_with(Set::full);
            let both = set.intersection(&want.set);
            if both.is_empty() {
                continue;
            }
            *set = both;
            let extras = names.entry(want.name).or_default();
            extras.extend(want.extras);
            extras.sort();
            extras.dedup();
        }
        names
    }

    fn ask_for_metadata(&self, chosen: &[(PackageName, Candidate, Vec<ExtraName>)]) {
        let known = self.metadata.borrow();
        let is_known = |name: &PackageName, version: &Version| {
            known.contains_key(&(name.clone(), version.clone()))
        };
        let wanted: Vec<(PackageName, RemoteWheel)> = chosen
            .iter()
            .filter(|(name, candidate, _)| !is_known(name, &candidate.version))
            .filter_map(|(name, candidate, _)| match &candidate.file {
                File::Wheel(wheel) => Some((name.clone(), wheel.as_ref().clone())),
                File::Installed | File::Source => None,
            })
            .collect();
        if !wanted.is_empty() {
            self.candidates.provider.prefetch_metadata(&wanted);
        }
    }

    fn wanted_next(
        &self,
        name: &PackageName,
        candidate: &Candidate,
        extras: &[ExtraName],
    ) -> Vec<Want> {
        if candidate.file == File::Source {
            return Vec::new();
        }
        let metadata = self.metadata_of(name, &candidate.version, &candidate.file);
        let Ok(metadata) = metadata else {
            return Vec::new();
        };
        let mut wants = self.wants_of(&metadata, None);
        for extra in extras {
            wants.extend(self.wants_of(&metadata, Some(extra)));
        }
        wants
    }
}
