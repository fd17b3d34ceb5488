//! Which version of one package to take next.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::Digest;
use crate::python::{PackageName, RemoteWheel, Version, VersionSpecifiers, WheelName};

use super::direct::Direct;
use super::error::Error;
use super::provider::{Provider, ProviderError, Release};
use super::range::{Set, set_of};
use super::request::{Preference, Request};

/// A version that may be taken, and the file that it would be installed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) version: Version,
    pub(super) file: File,
}

/// What a version would be installed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// It is installed already.
    Installed,
    Wheel(Arc<RemoteWheel>),
    /// Only a source distribution will do.
    Source,
}

/// Why a version that an index lists may not be taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exclusion {
    /// It is for another Python, as its specifier says.
    Python(String),
    /// A constraint does not allow it.
    Constraint,
    /// Its files are of a kind that may not be taken.
    Format,
    /// None of its files has a hash that is listed.
    Hash,
    /// It was yanked and nothing pins it; with the reason.
    Yanked(String),
    /// It is a pre-release and nothing asks for one.
    Prerelease,
}

/// What requirements permit beside ordinary versions of a package.
#[derive(Clone, Debug, Default)]
pub(super) struct Permits {
    /// A specifier names a pre-release.
    pub(super) prereleases: bool,
    /// Sets that `==` specifiers pin: a yanked version in one of them may be taken.
    pub(super) pins: Vec<Set>,
}

impl Permits {
    pub(super) fn pins(&self, version: &Version) -> bool {
        self.pins.iter().any(|pin| pin.contains(version))
    }
}

/// The releases of one project with what does not depend on requirements decided.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// No index has the project.
    pub(super) is_unknown: bool,
    /// Newest first.
    pub(super) entries: Vec<Entry>,
    /// There are only pre-releases that could be taken at all.
    only_prereleases: bool,
}

/// One release.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: Version,
    pub(super) yanked: Option<String>,
    /// The file to take, or why none may be taken whatever is required.
    pub(super) file: Result<File, Exclusion>,
}

/// Candidates for every package, asked for when they are needed and then kept.
pub(super) struct Candidates<'a> {
    pub(super) request: Request<'a>,
    pub(super) provider: &'a dyn Provider,
    pub(super) directs: BTreeMap<PackageName, Direct>,
    /// What constraints leave of a package's versions.
    constraints: BTreeMap<PackageName, Set>,
    tags: BTreeSet<&'a str>,
    /// What requires-python is compared with: pip leaves out pre-release parts.
    pub(super) python: Version,
    listings: RefCell<BTreeMap<PackageName, Arc<Listing>>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(
        request: Request<'a>,
        provider: &'a dyn Provider,
        directs: BTreeMap<PackageName, Direct>,
    ) -> Self {
        let mut constraints: BTreeMap<PackageName, Set> = BTreeMap::new();
        for constraint in super::active(request.constraints, request.target) {
            if let Some(pep508_rs::VersionOrUrl::VersionSpecifier(specifiers)) =
                &constraint.requirement.version_or_url
            {
                let name = constraint.requirement.name.clone();
                let set = constraints.entry(name).or_insert_with(Set::full);
                *set = set.intersection(&set_of(specifiers));
            }
        }
        Self {
            request,
            provider,
            directs,
            constraints,
            tags: request.target.tags.iter().map(String::as_str).collect(),
            python: request.target.version.only_release(),
            listings: RefCell::default(),
        }
    }

    /// The versions that constraints leave.
    pub(super) fn constrained(&self, name: &PackageName, version: &Version) -> bool {
        self.constraints
            .get(name)
            .is_none_or(|set| set.contains(version))
    }

    /// True when choosing a version of `name` in `set` needs no answer of an index.
    pub(super) fn is_at_hand(&self, name: &PackageName, set: &Set) -> bool {
        self.directs.contains_key(name)
            || self.request.target.installed.contains_key(name)
            || self.listings.borrow().contains_key(name)
            || self.preferred(name, set, &Permits::default()).is_some()
    }

    /// The best candidate of `name` in `set`: what is installed, what the previous answer had, the newest.
    pub(super) fn best(
        &self,
        name: &PackageName,
        set: &Set,
        permits: &Permits,
    ) -> Result<Option<Candidate>, Error> {
        Ok(self.several(name, set, permits, 1)?.pop())
    }

    /// As [`Candidates::best`], the best `limit` of them, best first.
    pub(super) fn several(
        &self,
        name: &PackageName,
        set: &Set,
        permits: &Permits,
        limit: usize,
    ) -> Result<Vec<Candidate>, Error> {
        let is_in = |version: &Version| set.contains(version) && self.constrained(name, version);
        if let Some(direct) = self.directs.get(name) {
            let candidate = direct.candidate.clone();
            let fits = set.contains(&candidate.version);
            return Ok(fits.then_some(candidate).into_iter().collect());
        }
        if let Some(have) = self.request.target.installed.get(name) {
            let version = have.clone();
            let file = File::Installed;
            let fits = is_in(have);
            return Ok(fits
                .then_some(Candidate { version, file })
                .into_iter()
                .collect());
        }
        if limit == 1
            && let Some(candidate) = self.preferred(name, set, permits)
        {
            return Ok(vec![candidate]);
        }
        let listing = self.listing(name)?;
        let may = |entry: &&Entry| self.excluded(name, &listing, entry, permits).is_none();
        let inside = |entry: &&Entry| set.contains(&entry.version);
        let mut entries: Vec<&Entry> = listing.entries.iter().filter(inside).filter(may).collect();
        // pip takes yanked files only when there are no others.
        if entries.iter().any(|entry| entry.yanked.is_none()) {
            entries.retain(|entry| entry.yanked.is_none());
        }
        if self.request.formats.prefer_binary {
            entries.sort_by_key(|entry| entry.file == Ok(File::Source));
        }
        if let Some(preference) = self.request.preferences.get(name) {
            entries.sort_by_key(|entry| entry.version != preference.version);
        }
        let candidate = |entry: &Entry| {
            let file = entry.file.clone().ok()?;
            let version = entry.version.clone();
            Some(Candidate { version, file })
        };
        Ok(entries
            .into_iter()
            .filter_map(candidate)
            .take(limit)
            .collect())
    }

    /// The previous answer's version with its wheel, when that may still be taken without asking an index.
    fn preferred(&self, name: &PackageName, set: &Set, permits: &Permits) -> Option<Candidate> {
        let Preference { version, wheel } = self.request.preferences.get(name)?;
        let wheel = wheel.as_ref()?;
        let (wheels, _) = self.request.formats.allowed(name);
        let mentioned = !version.any_prerelease() || self.request.pre || permits.prereleases;
        let may = wheels
            && mentioned
            && set.contains(version)
            && self.constrained(name, version)
            && wheel.name.name == *name
            && wheel.name.version == *version
            && self.fits(&wheel.name);
        let wheel = may.then(|| self.hashed(name, std::slice::from_ref(wheel)))??;
        Some(Candidate {
            version: version.clone(),
            file: File::Wheel(Arc::new(wheel)),
        })
    }

    /// True when one of the tags of a wheel is one of the target's.
    pub(super) fn fits(&self, wheel: &WheelName) -> bool {
        wheel.pythons.iter().any(|python| {
            wheel.abis.iter().any(|abi| {
                wheel.platforms.iter().any(|platform| {
                    self.tags
                        .contains(format!("{python}-{abi}-{platform}").as_str())
                })
            })
        })
    }

    /// The hashes that are listed for `name`; `None` when hashes are not required.
    fn listed(&self, name: &PackageName) -> Option<BTreeSet<Digest>> {
        let hashes = self.request.hashes?;
        Some(hashes.get(name).cloned().unwrap_or_default())
    }

    /// The first wheel that hashes allow. One for which the index promises nothing is taken when a single hash is
    /// listed: that is then what it must have.
    pub(super) fn hashed(&self, name: &PackageName, wheels: &[RemoteWheel]) -> Option<RemoteWheel> {
        let Some(listed) = self.listed(name) else {
            return wheels.first().cloned();
        };
        let has = |wheel: &&RemoteWheel| {
            let digest = wheel.digest.as_ref();
            digest.is_some_and(|digest| listed.contains(digest))
        };
        if let Some(wheel) = wheels.iter().find(has) {
            return Some(wheel.clone());
        }
        let wheel = wheels.iter().find(|wheel| wheel.digest.is_none())?;
        let mut listed = listed.into_iter();
        let (Some(only), None) = (listed.next(), listed.next()) else {
            return None;
        };
        let digest = Some(only);
        Some(RemoteWheel {
            digest,
            ..wheel.clone()
        })
    }

    /// The releases of a project, asked for once.
    pub(super) fn listing(&self, name: &PackageName) -> Result<Arc<Listing>, Error> {
        if let Some(listing) = self.listings.borrow().get(name) {
            return Ok(Arc::clone(listing));
        }
        let listing = match self.provider.releases(name) {
            Ok(releases) => self.list(name, &releases),
            Err(ProviderError::Unknown(_)) => Listing {
                is_unknown: true,
                ..Listing::default()
            },
            Err(error) => return Err(Error::Provider(error)),
        };
        let listing = Arc::new(listing);
        let mut listings = self.listings.borrow_mut();
        listings.insert(name.clone(), Arc::clone(&listing));
        Ok(listing)
    }

    fn list(&self, name: &PackageName, releases: &[Release]) -> Listing {
        let entry = |release: &Release| Entry {
            version: release.version.clone(),
            yanked: release.yanked.clone(),
            file: self.file(name, release),
        };
        let mut entries: Vec<Entry> = releases.iter().map(entry).collect();
        // The sort is stable and the first of equal versions stays, so that the first index wins.
        entries.sort_by(|a, b| b.version.cmp(&a.version));
        entries.dedup_by(|later, first| later.version == first.version && first.file.is_ok());
        let mut usable = entries.iter().filter(|entry| entry.file.is_ok());
        Listing {
            is_unknown: false,
            only_prereleases: usable.all(|entry| entry.version.any_prerelease()),
            entries,
        }
    }

    /// The file of a release, or what forbids the release whatever is required.
    fn file(&self, name: &PackageName, release: &Release) -> Result<File, Exclusion> {
        if let Some(wanted) = self.wrong_python(release.requires_python.as_ref()) {
            return Err(Exclusion::Python(wanted));
        }
        let (wheels, sources) = self.request.formats.allowed(name);
        let has_wheel = wheels && !release.wheels.is_empty();
        let source = release.source.as_ref().filter(|_| sources);
        if !has_wheel && source.is_none() {
            return Err(Exclusion::Format);
        }
        if has_wheel && let Some(wheel) = self.hashed(name, &release.wheels) {
            return Ok(File::Wheel(Arc::new(wheel)));
        }
        let listed = self.listed(name);
        let is_listed = |digest: &Digest| {
            let listed = listed.as_ref();
            listed.is_none_or(|listed| listed.contains(digest))
        };
        match source {
            Some(source) if source.digest.as_ref().is_none_or(is_listed) => {
                let built = source.built.clone();
                Ok(built.map_or(File::Source, |wheel| File::Wheel(Arc::new(wheel))))
            }
            _ => Err(Exclusion::Hash),
        }
    }

    /// The specifiers as text when they exclude the target's Python.
    pub(super) fn wrong_python(&self, wanted: Option<&VersionSpecifiers>) -> Option<String> {
        let wanted = wanted?;
        let fits = wanted.contains(&self.python);
        (!fits).then(|| wanted.to_string())
    }

    /// Why a release may not be taken; `None` when it may.
    pub(super) fn excluded(
        &self,
        name: &PackageName,
        listing: &Listing,
        entry: &Entry,
        permits: &Permits,
    ) -> Option<Exclusion> {
        if let Err(exclusion) = &entry.file {
            return Some(exclusion.clone());
        }
        if !self.constrained(name, &entry.version) {
            return Some(Exclusion::Constraint);
        }
        if self.needs_permit(listing, &entry.version) && !permits.prereleases {
            return Some(Exclusion::Prerelease);
        }
        match &entry.yanked {
            Some(reason) if !permits.pins(&entry.version) => {
                Some(Exclusion::Yanked(reason.clone()))
            }
            _ => None,
        }
    }

    /// True for a pre-release of a project that has other versions, unless pre-releases are asked for in general.
    pub(super) fn needs_permit(&self, listing: &Listing, version: &Version) -> bool {
        version.any_prerelease() && !self.request.pre && !listing.only_prereleases
    }
}
