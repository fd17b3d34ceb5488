//! What a version of a node depends on.

use std::sync::Arc;

use pep508_rs::VersionOrUrl;

use crate::python::{ExtraName, PackageName, Version};

use super::candidate::{File, Listing};
use super::direct::shown;
use super::error::Error;
use super::provider::{Metadata, ProviderError};
use super::range::Set;
use super::solver::{Seen, Solver, Stop};
use super::want::{Node, Want, want};

impl Solver<'_> {
    /// Core metadata, asked for once.
    pub(super) fn metadata_of(
        &self,
        name: &PackageName,
        version: &Version,
        file: &File,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let key = (name.clone(), version.clone());
        if let Some(metadata) = self.metadata.borrow().get(&key) {
            return Ok(Arc::clone(metadata));
        }
        let provider = self.candidates.provider;
        let metadata = match file {
            File::Wheel(wheel) => provider.metadata(name, wheel)?,
            File::Installed | File::Source => provider.installed(name)?.unwrap_or_default(),
        };
        let mut known = self.metadata.borrow_mut();
        known.insert(key, Arc::clone(&metadata));
        Ok(metadata)
    }

    /// The dependencies that a distribution has when `extra` is asked for (`None`: always).
    pub(super) fn wants_of(&self, metadata: &Metadata, extra: Option<&ExtraName>) -> Vec<Want> {
        let markers = &self.candidates.request.target.markers;
        let applies = |requirement: &&pep508_rs::Requirement| {
            let always = requirement.marker.evaluate(markers, &[]);
            match extra {
                None => always,
                Some(extra) => {
                    !always
                        && requirement
                            .marker
                            .evaluate(markers, std::slice::from_ref(extra))
                }
            }
        };
        let active = metadata.requires_dist.iter().filter(applies);
        active.map(want).collect()
    }

    /// Takes note of what a requirement permits. `is_own` when it is the application's.
    pub(super) fn permit(&self, want: &Want, is_own: bool) -> Result<(), Stop> {
        if !is_own && self.revoked.contains(&want.name) {
            return Ok(());
        }
        let mut all = self.permits.borrow_mut();
        let permits = all.entry(want.name.clone()).or_default();
        let mut is_news = false;
        if want.permits_prereleases && !permits.prereleases {
            permits.prereleases = true;
            is_news = true;
        }
        if want.is_pin && !permits.pins.contains(&want.set) {
            permits.pins.push(want.set.clone());
            let listing = self.candidates.listing(&want.name);
            let is_yanked = |listing: Arc<Listing>| {
                let inside = |version: &Version| want.set.contains(version);
                let mut entries = listing.entries.iter();
                entries.any(|entry| entry.yanked.is_some() && inside(&entry.version))
            };
            // Only what was passed over matters, and then the listing is at hand.
            let was_passed_over = self.exhausted.borrow().contains(&want.name);
            is_news |= was_passed_over && listing.is_ok_and(is_yanked);
        }
        if is_news && self.exhausted.borrow().contains(&want.name) {
            return Err(Stop::Again);
        }
        Ok(())
    }

    /// The nodes that requirements lead to, with the sets of versions; `None` when one of them contradicts its owner.
    pub(super) fn edges(
        &self,
        owner: (&Node, &Version),
        wants: &[Want],
    ) -> Result<Option<Vec<(Node, Set)>>, Stop> {
        let (node, version) = owner;
        let depth = node.name().map_or(0, |name| self.depth(name)) + 1;
        let mut edges = Vec::new();
        for want in wants {
            self.permit(want, *node == Node::Root)?;
            let mut seen = self.seen.borrow_mut();
            let seen = seen.entry(want.name.clone()).or_insert_with(|| Seen {
                depth,
                ..Seen::default()
            });
            seen.depth = seen.depth.min(depth);
            seen.is_limited |= want.set != Set::full();
            seen.is_pinned |= want.is_equal;
            let is_self = node.name() == Some(&want.name);
            if is_self && !want.set.contains(version) {
                return Ok(None);
            }
            let set = if is_self {
                Set::singleton(version.clone())
            } else {
                want.set.clone()
            };
            let package = Node::Package(want.name.clone());
            let extras = want.extras.iter();
            let extras = extras.map(|extra| Node::Extra(want.name.clone(), extra.clone()));
            for to in std::iter::once(package).chain(extras) {
                // PubGrub knows no dependency of something on itself.
                if to != *node {
                    edges.push((to, set.clone()));
                }
            }
        }
        Ok(Some(edges))
    }

    /// Every package must be listed when hashes are required.
    pub(super) fn check_listed(
        &self,
        owner: (&Node, &Version),
        wants: &[Want],
    ) -> Result<(), Error> {
        let request = &self.candidates.request;
        let Some(hashes) = request.hashes else {
            return Ok(());
        };
        for want in wants {
            let is_installed = request.target.installed.contains_key(&want.name);
            if !is_installed && !hashes.contains_key(&want.name) {
                let who = (*owner.0 != Node::Root).then(|| (owner.0.clone(), owner.1.clone()));
                return Err(Error::NotHashed {
                    name: want.name.clone(),
                    wanted_by: super::wording::sentence(who.as_ref(), &want.text),
                });
            }
        }
        Ok(())
    }

    /// The wheel or other file that `version` of a package is taken from.
    pub(super) fn file_of(&self, name: &PackageName, version: &Version) -> Result<File, Error> {
        let set = Set::singleton(version.clone());
        let candidate = self.candidates.best(name, &set, &self.permits(name))?;
        let gone = || Error::Inexpressible {
            wanted_by: format!("`{name}` {version} was chosen"),
            reason: "the index no longer lists it".to_owned(),
        };
        candidate.map(|candidate| candidate.file).ok_or_else(gone)
    }

    /// What `version` of a node wants; `Err(reason)` inside when it cannot be used.
    pub(super) fn wants_at(
        &self,
        node: &Node,
        version: &Version,
    ) -> Result<Result<Vec<Want>, String>, Stop> {
        let (name, extra) = match node {
            Node::Root => return Ok(Ok(self.roots.clone())),
            Node::Package(name) => (name, None),
            Node::Extra(name, extra) => (name, Some(extra)),
        };
        let file = self.file_of(name, version)?;
        let metadata = match self.metadata_of(name, version, &file) {
            Ok(metadata) => metadata,
            Err(ProviderError::Unusable { reason, .. }) => return Ok(Err(reason)),
            Err(error) => return Err(Error::Provider(error).into()),
        };
        if file == File::Installed {
            self.check_installed_extra(name, extra)?;
        } else if let Some(wanted) = self
            .candidates
            .wrong_python(metadata.requires_python.as_ref())
        {
            let python = &self.candidates.python;
            return Ok(Err(format!(
                "wants Python {wanted}; the builder has {python}"
            )));
        }
        let wants = self.wants_of(&metadata, extra);
        for requirement in &metadata.requires_dist {
            let markers = &self.candidates.request.target.markers;
            let extras: Vec<ExtraName> = extra.cloned().into_iter().collect();
            if let Some(VersionOrUrl::Url(_)) = &requirement.version_or_url
                && requirement.marker.evaluate(markers, &extras)
            {
                let wanted_by = format!("`{node} {version}` wants `{}`", shown(requirement));
                let reason = "only the application's own requirements may name a URL".to_owned();
                return Err(Error::Inexpressible { wanted_by, reason }.into());
            }
        }
        Ok(Ok(wants))
    }

    fn check_installed_extra(
        &self,
        name: &PackageName,
        extra: Option<&ExtraName>,
    ) -> Result<(), Error> {
        let Some(extra) = extra else { return Ok(()) };
        let known = self.candidates.provider.installed(name);
        if known.map_err(Error::Provider)?.is_none() {
            return Err(Error::Inexpressible {
                wanted_by: format!("`{name}[{extra}]` is wanted of the builder's own `{name}`"),
                reason: "what the installed package says of its extras is not known".to_owned(),
            });
        }
        Ok(())
    }
}
