//! Which versions: those of a lock, those that were found before, or new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pep508_rs::{Requirement, VerbatimUrl, VersionOrUrl};

use super::Error;
use super::pip::PipSettings;
use super::wanted::{LOCK, Wanted};
use crate::build::cache::record;
use crate::build::workshop::Workshop;
use crate::build::{BuildRequest, Tools};
use crate::digest::Digest;
use crate::event::{Event, Observer, stage};
use crate::python::index::{self, Caches, Credentials, Index, IndexSettings, Refresh};
use crate::python::lock::Selection;
use crate::python::provider::IndexProvider;
use crate::python::requirements::{FormatControl, Line, Location, Requirements};
use crate::python::resolve::{
    self, AnswerKey, Formats, Names, Preference, ProviderError, Record, Request, Required, Solution,
};
use crate::python::{PackageName, RemoteWheel, Target};
use crate::source::SourceTree;

/// Where versions came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// A lock.
    Lock,
    /// An earlier resolution of the same requirements.
    Remembered {
        /// When that was, in seconds since 1970.
        made: u64,
    },
    /// The indexes, just now.
    Fresh,
}

/// Versions, and where they came from.
#[derive(Clone, Debug)]
pub(in crate::build) struct Solved {
    pub(in crate::build) solution: Solution,
    pub(in crate::build) how: How,
    /// The place of the workshop that built some of the wheels; see [`Workshop::place`].
    pub(in crate::build) built_in: Option<String>,
}

/// What a resolution works with.
#[derive(Clone, Copy)]
pub(in crate::build) struct Solver<'a> {
    pub(in crate::build) request: &'a BuildRequest,
    pub(in crate::build) source: &'a SourceTree,
    pub(in crate::build) wanted: &'a Wanted,
    pub(in crate::build) target: &'a Target,
    pub(in crate::build) settings: &'a PipSettings,
    /// What the application is called in the store's memory.
    pub(in crate::build) slot: &'a str,
    pub(in crate::build) tools: &'a Tools<'a>,
    /// What builds wheels from source distributions, if anything may be executed.
    pub(in crate::build) workshop: Option<&'a Workshop<'a>>,
}

/// Finds the version of every package.
///
/// # Errors
/// [`Error`]; of those that [`Error::is_for_pip`] says, pip may make more.
pub(in crate::build) fn solve(
    solver: &Solver<'_>,
    observer: &dyn Observer,
) -> Result<Solved, crate::build::Error> {
    let wanted = solver.wanted;
    if let Some(lock) = wanted.current_lock() {
        let chosen = lock.choose(solver.target, &Selection::default(), &solver.source.root);
        let chosen = chosen.map_err(Error::from)?;
        if !chosen.unusable.is_empty() {
            let what = chosen.unusable.iter().map(ToString::to_string).collect();
            return Err(Error::LockUnusable { file: LOCK, what }.into());
        }
        return Ok(Solved {
            solution: Solution {
                resolution: chosen.resolution,
                ..Solution::default()
            },
            how: How::Lock,
            built_in: None,
        });
    }
    let Some(requirements) = &wanted.requirements else {
        return Ok(Solved {
            solution: Solution::default(),
            how: How::Fresh,
            built_in: None,
        });
    };
    if wanted.lock.is_some() && !solver.request.is_locked && !wanted.is_being_locked {
        observer.observe(Event::Warning {
            text: format!("`{LOCK}` is not used: it was made for other requirements"),
            hint: Some("`overcoat lock` makes it anew".to_owned()),
        });
    }
    if solver.request.is_locked {
        wanted.check_locked()?;
    }
    solver.resolve(requirements, observer)
}

impl Solver<'_> {
    fn resolve(
        &self,
        requirements: &Requirements,
        observer: &dyn Observer,
    ) -> Result<Solved, crate::build::Error> {
        let tools = self.tools;
        let required = self.required(&requirements.requirements);
        let constraints = self.required(&requirements.constraints);
        let formats = formats(
            &self.settings.formats(requirements),
            self.settings.prefers_binary(requirements),
        );
        let hashes = requirements.needs_hashes().then(|| hashes(requirements));
        let is_pinned = requirements.is_pinned_and_hashed();
        let index = self.index_settings(requirements);
        let addresses: Vec<String> = index
            .index_url
            .iter()
            .chain(&index.extra_index_urls)
            .chain(&index.find_links)
            .cloned()
            .collect();
        let directory = tools.store.cache("resolutions");
        let refresh = self.request.cache.refresh;
        let previous = match refresh {
            true => None,
            false => resolve::previous(&directory, self.slot),
        };
        // Wheels of a workshop come from another place than those of the indexes alone.
        let workshop = self.workshop.filter(|workshop| workshop.is_open());
        let with_workshop = workshop.map(|workshop| {
            let place = workshop.place();
            [addresses.clone(), vec![place]].concat()
        });
        let places = || std::iter::once(&addresses).chain(&with_workshop);
        let mut preferences = self.preferences_of_lock();
        if let Some(previous) = &previous {
            let same = places().find(|place| previous.indexes.len() == place.len());
            preferences.extend(previous.preferences(same.unwrap_or(&addresses)));
        }
        for preference in preferences.values_mut() {
            preference.wheel = preference.wheel.take().filter(is_there);
        }
        let request = Request {
            requirements: &required,
            constraints: &constraints,
            target: self.target,
            pre: self.settings.pre(requirements),
            formats: &formats,
            preferences: &preferences,
            hashes: hashes.as_ref(),
        };
        let how = |how| match is_pinned {
            true => How::Lock,
            false => how,
        };
        let built_in = |is_built: bool| workshop.filter(|_| is_built).map(Workshop::place);
        for place in places().filter(|_| !refresh) {
            let found = resolve::find(&directory, &AnswerKey::of(&request, place));
            let is_whole = |found: &Record| {
                let packages = &found.solution.resolution.packages;
                packages.iter().all(|package| is_there(&package.wheel))
            };
            if let Some(found) = found.filter(is_whole) {
                return Ok(Solved {
                    solution: found.solution,
                    how: how(How::Remembered { made: found.made }),
                    built_in: built_in(place.len() > addresses.len()),
                });
            }
        }
        let resolving = stage(observer, "resolve", "the versions of packages");
        let http = tools.http()?;
        let refresh = match refresh {
            true => Refresh::Always,
            false => Refresh::WhenStale,
        };
        let caches = caches(tools.store.root());
        let index = Index::new(http, &index, caches, tools.now, refresh).map_err(Error::from)?;
        let provider = IndexProvider::new(&index, self.target, observer);
        let mut is_built = false;
        let solution = loop {
            match resolve::resolve(&request, &provider, observer) {
                Err(resolve::Error::NeedsBuild { name, version })
                    if let Some(workshop) = workshop
                        && let Some(source) = provider.source(&name, &version) =>
                {
                    let allowed: Option<Vec<Digest>> = hashes.as_ref().map(|hashes| {
                        let listed = hashes.get(&name).into_iter().flatten();
                        listed.cloned().collect()
                    });
                    let allowed = allowed.as_deref();
                    let wheel = workshop.wheel(&index, &source, &name, allowed, observer)?;
                    provider.add_built(name, version, wheel);
                    is_built = true;
                }
                other => break other.map_err(of_the_index)?,
            }
        };
        let from: &[String] = match &with_workshop {
            Some(places) if is_built => places,
            _ => &addresses,
        };
        let key = AnswerKey::of(&request, from);
        let record = Record::new(key, record::seconds(tools.now), from, solution);
        resolve::remember(&directory, self.slot, &record)?;
        let count = record.solution.resolution.packages.len();
        resolving.finish(format!("{count} packages"));
        Ok(Solved {
            solution: record.solution,
            how: how(How::Fresh),
            built_in: built_in(is_built),
        })
    }

    /// Where packages come from, by the application's files and the variables.
    pub(in crate::build) fn index_settings(&self, requirements: &Requirements) -> IndexSettings {
        let lines = requirements
            .requirements
            .iter()
            .chain(&requirements.constraints);
        let urls = lines.filter_map(|line| match &line.wheel.as_ref()?.location {
            Location::Url(url) => Some(url.clone()),
            Location::Path(_) => None,
        });
        let credentials = Credentials {
            urls: urls.collect(),
            ..self.tools.python_credentials.clone()
        };
        self.settings
            .index(&requirements.options, &self.source.root, credentials)
    }

    fn required(&self, lines: &[Line]) -> Vec<Required> {
        let required = |line: &Line| Required {
            requirement: self.requirement(line),
            origin: line.origin.to_string(),
        };
        lines.iter().map(required).collect()
    }

    /// A line's requirement; of one that names a wheel, with where that is.
    pub(super) fn requirement(&self, line: &Line) -> Requirement {
        let mut requirement = line.requirement.clone();
        if let Some(wheel) = &line.wheel {
            let url = match &wheel.location {
                Location::Url(url) => VerbatimUrl::parse_url(url).ok(),
                Location::Path(path) => {
                    let file = reqwest::Url::from_file_path(self.source.root.join(path)).ok();
                    file.and_then(|url| VerbatimUrl::parse_url(url).ok())
                }
            };
            if let Some(url) = url {
                requirement.version_or_url = Some(VersionOrUrl::Url(url));
            }
        }
        requirement
    }

    /// A lock that answers other requirements still says what was there.
    fn preferences_of_lock(&self) -> BTreeMap<PackageName, Preference> {
        let Some(lock) = self
            .wanted
            .lock
            .as_ref()
            .filter(|_| !self.request.cache.refresh)
        else {
            return BTreeMap::new();
        };
        let preference = |package: &crate::python::lock::LockedPackage| {
            let version = package.version.clone()?;
            let wheel = None;
            Some((package.name.clone(), Preference { version, wheel }))
        };
        lock.packages.iter().filter_map(preference).collect()
    }
}

/// False for a wheel of this machine that was removed.
fn is_there(wheel: &RemoteWheel) -> bool {
    let url = reqwest::Url::parse(&wheel.url).ok();
    let path = url
        .filter(|url| url.scheme() == "file")
        .map(|url| url.to_file_path());
    match path {
        Some(Ok(path)) => path.exists(),
        _ => true,
    }
}

/// What failed may be an index, and not the search for versions.
fn of_the_index(error: resolve::Error) -> crate::build::Error {
    let failure = match error {
        resolve::Error::Interrupted => return crate::build::Error::Interrupted,
        resolve::Error::Provider(ProviderError::Failed(failure)) => failure,
        error => return Error::Resolve(error).into(),
    };
    match failure.downcast::<index::Error>().map(|error| *error) {
        Ok(index::Error::Interrupted) => crate::build::Error::Interrupted,
        Ok(error) => Error::Index(error).into(),
        Err(other) => Error::Resolve(resolve::Error::Provider(ProviderError::Failed(other))).into(),
    }
}

/// Where pages, metadata and wheels are kept.
pub(super) fn caches(store: &Path) -> Caches {
    Caches {
        pypi: store.join("cache/pypi"),
        wheels: store.join("wheels"),
    }
}

fn formats(control: &FormatControl, prefer_binary: bool) -> Formats {
    let names = |texts: &BTreeSet<String>| Names {
        all: texts.contains(":all:"),
        names: texts
            .iter()
            .filter_map(|text| PackageName::new(text.clone()).ok())
            .collect(),
    };
    Formats {
        no_binary: names(control.no_binary()),
        only_binary: names(control.only_binary()),
        prefer_binary,
    }
}

/// The digests that each package's files may have.
fn hashes(requirements: &Requirements) -> BTreeMap<PackageName, BTreeSet<Digest>> {
    let mut found: BTreeMap<PackageName, BTreeSet<Digest>> = BTreeMap::new();
    for line in requirements
        .requirements
        .iter()
        .chain(&requirements.constraints)
    {
        if !line.hashes.is_empty() {
            let digests = line.hashes.iter().filter_map(|hash| hash.digest());
            found
                .entry(line.requirement.name.clone())
                .or_default()
                .extend(digests);
        }
    }
    found
}
