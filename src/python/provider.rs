//! The package indexes, as the resolver wants to see them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{self, File, FileKind, Index};
use super::resolve::{Metadata, Provider, ProviderError, Release, Source};
use super::tags::Ranking;
use super::{PackageName, RemoteWheel, Target, Version};
use crate::event::Observer;

/// Answers the resolver's questions from package indexes.
pub struct IndexProvider<'a> {
    index: &'a Index<'a>,
    target: &'a Target,
    ranking: Ranking,
    observer: &'a dyn Observer,
    /// The files behind wheels that were answered, by URL.
    files: Mutex<BTreeMap<String, Arc<File>>>,
    /// Source distributions that were answered.
    sources: Mutex<BTreeMap<(PackageName, Version), Arc<File>>>,
    /// The wheels that were built from some of them.
    built: Mutex<BTreeMap<(PackageName, Version), RemoteWheel>>,
}

impl std::fmt::Debug for IndexProvider<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexProvider")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'a> IndexProvider<'a> {
    /// Of these indexes, for this interpreter.
    pub fn new(index: &'a Index<'a>, target: &'a Target, observer: &'a dyn Observer) -> Self {
        Self {
            index,
            target,
            ranking: Ranking::new(&target.tags),
            observer,
            files: Mutex::default(),
            sources: Mutex::default(),
            built: Mutex::default(),
        }
    }

    /// The source distribution that was answered for a version.
    pub fn source(&self, name: &PackageName, version: &Version) -> Option<Arc<File>> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(&(name.clone(), version.clone())).cloned()
    }

    /// Answers this wheel from now on where a version is to be built from its source distribution.
    pub fn add_built(&self, name: PackageName, version: Version, wheel: RemoteWheel) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.insert((name, version), wheel);
    }

    fn release(
        &self,
        name: &PackageName,
        version: &Version,
        files: &[&Arc<File>],
    ) -> Option<Release> {
        let is_for_python = |file: &&&Arc<File>| {
            let required = file.requires_python.as_deref();
            required.is_none_or(|required| required.contains(&self.target.version))
        };
        // Files of one version may be for different Pythons; those that are for this one decide.
        let mut fitting: Vec<&Arc<File>> = files.iter().filter(is_for_python).copied().collect();
        if fitting.is_empty() {
            fitting = files.to_vec();
        }
        let mut wheels = Vec::new();
        let mut source = None;
        for (position, file) in fitting.iter().enumerate() {
            match &file.kind {
                FileKind::Wheel(name) => {
                    if let (Some(rank), Some(wheel)) = (self.ranking.rank(name), file.wheel()) {
                        let build = std::cmp::Reverse(name.build.clone());
                        wheels.push(((rank, build, position), wheel, *file));
                    }
                }
                FileKind::Sdist(_) => {
                    source.get_or_insert(Arc::clone(file));
                }
            }
        }
        if wheels.is_empty() && source.is_none() {
            return None;
        }
        wheels.sort_by(|one, other| one.0.cmp(&other.0));
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, wheel, file) in &wheels {
            known.insert(wheel.url.clone(), Arc::clone(file));
        }
        let source = source.map(|file| {
            let key = (name.clone(), version.clone());
            let digest = file.digest.clone();
            let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
            let built = built.get(&key).cloned();
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            sources.insert(key, file);
            Source { digest, built }
        });
        let is_yanked = fitting.iter().all(|file| file.yanked.is_some());
        let first = fitting.first();
        Some(Release {
            version: version.clone(),
            wheels: wheels.into_iter().map(|(_, wheel, _)| wheel).collect(),
            source,
            yanked: first
                .filter(|_| is_yanked)
                .and_then(|file| file.yanked.clone()),
            requires_python: first.and_then(|file| file.requires_python.as_deref().cloned()),
        })
    }
}

fn failed(error: index::Error) -> ProviderError {
    ProviderError::Failed(Box::new(error))
}

impl Provider for IndexProvider<'_> {
    fn releases(&self, name: &PackageName) -> Result<Arc<Vec<Release>>, ProviderError> {
        let project = self.index.project(name, self.observer).map_err(failed)?;
        if project.found_in.is_empty() {
            return Err(ProviderError::Unknown(name.clone()));
        }
        let mut versions: BTreeMap<&Version, Vec<&Arc<File>>> = BTreeMap::new();
        for file in &project.files {
            versions.entry(file.version()).or_default().push(file);
        }
        let release =
            |(version, files): (&Version, Vec<&Arc<File>>)| self.release(name, version, &files);
        Ok(Arc::new(versions.into_iter().filter_map(release).collect()))
    }

    fn metadata(
        &self,
        name: &PackageName,
        wheel: &RemoteWheel,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let unusable = |reason: String| ProviderError::Unusable {
            name: name.clone(),
            version: wheel.name.version.clone(),
            reason,
        };
        let known = {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.get(&wheel.url).cloned()
        };
        let offered = known.map(|file| file.metadata.clone()).unwrap_or_default();
        let found = self.index.metadata_of(wheel, &offered, self.observer);
        let found = found.map_err(|error| match error {
            index::Error::Metadata { reason, .. } => unusable(reason),
            error => failed(error),
        })?;
        if let Some(unreadable) = found.unreadable.first() {
            return Err(unusable(format!(
                "its requirement `{}` cannot be read: {}",
                unreadable.text, unreadable.reason
            )));
        }
        Ok(Arc::new(Metadata {
            requires_python: found.requires_python.clone(),
            requires_dist: found.requires_dist.clone(),
            provides_extra: found.provides_extra.iter().cloned().collect(),
        }))
    }

    fn prefetch(&self, names: &[PackageName]) {
        // What fails here fails again when it is asked for.
        let _ = self.index.prefetch(names, self.observer);
    }

    fn prefetch_metadata(&self, wanted: &[(PackageName, RemoteWheel)]) {
        let files: Vec<Arc<File>> = {
            let known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let file = |(_, wheel): &(PackageName, RemoteWheel)| known.get(&wheel.url).cloned();
            wanted.iter().filter_map(file).collect()
        };
        let _ = self.index.prefetch_metadata(&files, self.observer);
    }
}
