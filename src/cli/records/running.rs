//! What still runs of what is on record, as far as manifests and clusters tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Place;
use super::files;
use super::reach::{Asked, At, read_namespace};
use crate::cli::diagnostic::Diagnostic;
use crate::digest::Digest;
use crate::event::Observer;
use crate::fs;
use crate::kubernetes::manifest;
use crate::reference::Reference;
use crate::release::history::{Contents, Record, Target};
use crate::release::named::Named;

/// The most bytes of a manifest that is looked through.
const MAX_MANIFEST: u64 = 64 << 20;

/// What manifests and clusters say of certain records.
#[derive(Debug, Default)]
pub(in crate::cli) struct Running {
    named: Named,
    /// Manifests that are on record and cannot be found, with the applications that were written into them.
    pub(in crate::cli) absent: BTreeMap<PathBuf, BTreeSet<String>>,
    /// Clusters that do not say what runs in a namespace, and why.
    pub(in crate::cli) silent: Vec<(Option<String>, String, Diagnostic)>,
}

impl Running {
    /// Looks for the images of these records in the manifests that deployments were written into, and in those that the
    /// project names.
    ///
    /// # Errors
    /// For a manifest that is there and cannot be read.
    pub(in crate::cli) fn of(
        records: &[Record],
        place: &Place,
        contents: &Contents,
    ) -> Result<Self, Diagnostic> {
        let mut running = Self::default();
        for record in records {
            if let Some(digest) = &record.facts.digest {
                running.named.look_for(digest);
            }
            if let Some(name) = name_of(record) {
                running.named.look_for_name(&name);
            }
        }
        let root = &place.project.root;
        let mut paths = BTreeSet::new();
        for record in &contents.records {
            for target in record.facts.targets() {
                for at in files::of(root, target)? {
                    // That of another checkout says nothing of this one's.
                    let is_known = matches!(at, files::At::Known(_)) && at.path().exists();
                    if !is_known {
                        let applications = running.absent.entry(at.path().to_owned());
                        applications.or_default().insert(record.application.clone());
                    }
                    paths.insert(at.path().to_owned());
                }
            }
        }
        let environments = place.project.environments.iter();
        let patterns = environments.filter_map(|environment| environment.manifests.as_ref());
        for pattern in patterns.flat_map(|patterns| &patterns.value) {
            // What is not there is read as such below.
            let meant = manifest::files(std::slice::from_ref(pattern));
            paths.extend(meant.unwrap_or_else(|_| vec![pattern.clone()]));
        }
        for path in paths {
            running.read(&path, root)?;
        }
        Ok(running)
    }

    fn read(&mut self, path: &Path, root: &Path) -> Result<(), Diagnostic> {
        let shown = path.strip_prefix(root).unwrap_or(path);
        match fs::read_limited(path, MAX_MANIFEST) {
            Ok(bytes) => {
                let place = format!("`{}`", shown.display());
                self.named.read(&String::from_utf8_lossy(&bytes), &place);
                Ok(())
            }
            Err(error) if error.is_absent() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks for them in the clusters that deployments were given to, in every namespace: an image may run where another
    /// deployment had put it.
    pub(in crate::cli) fn ask_clusters(
        &mut self,
        contents: &Contents,
        asked: &Asked<'_>,
        observer: &dyn Observer,
    ) {
        let places = contents.records.iter().flat_map(places_of);
        let places: BTreeSet<At<'_>> = places.collect();
        let has_endpoint = |at: &At<'_>| {
            places.iter().any(|other| {
                (other.context, other.namespace) == (at.context, at.namespace)
                    && other.endpoint.is_some()
            })
        };
        let mut dead: BTreeMap<_, Diagnostic> = BTreeMap::new();
        for at in &places {
            // Older records know less of the same place.
            if at.endpoint.is_none() && has_endpoint(at) {
                continue;
            }
            // One that does not answer is not waited for again.
            let cluster = (at.context, at.endpoint);
            let failed = match dead.get(&cluster) {
                Some(diagnostic) => Err(diagnostic.clone()),
                None => read_namespace(at, &mut self.named, asked, observer),
            };
            if let Err(diagnostic) = failed {
                if diagnostic.code == crate::cli::exit::Code::Cluster {
                    dead.insert(cluster, diagnostic.clone());
                }
                let context = at.context.map(str::to_owned);
                self.silent
                    .push((context, at.namespace.to_owned(), diagnostic));
            }
        }
    }

    /// Where an image stands by its digest.
    pub(in crate::cli) fn place_of_digest(&self, digest: &Digest) -> Option<&str> {
        self.named.place_of(digest)
    }

    /// Where a record's image stands, by its digest or by its name and tag.
    pub(in crate::cli) fn place_of(&self, record: &Record) -> Option<&str> {
        let digest = record.facts.digest.as_ref();
        let by_digest = digest.and_then(|digest| self.named.place_of(digest));
        by_digest.or_else(|| self.named.place_of_name(&name_of(record)?))
    }

    /// By what a deployment may run, for [`crate::release::prune::plan_beside`]: its digest, or its name and tag.
    pub(in crate::cli) fn known_by(&self, record: &Record) -> Option<String> {
        let digest = record.facts.digest.as_ref();
        let named = digest.filter(|digest| self.named.place_of(digest).is_some());
        if named.is_some() || self.is_silent(record) {
            return digest.map(ToString::to_string).or(record.image());
        }
        let name = name_of(record)?;
        self.named.place_of_name(&name).map(|_| name.to_string())
    }

    /// Where a name stands with its tag.
    pub(in crate::cli) fn place_of_name(&self, name: &Reference) -> Option<&str> {
        self.named.place_of_name(name)
    }

    /// True for a deployment into a namespace of which nobody knows what runs there.
    fn is_silent(&self, record: &Record) -> bool {
        places_of(record).any(|at| {
            let mut silent = self.silent.iter();
            silent.any(|(context, namespace, _)| {
                (context.as_deref(), namespace.as_str()) == (at.context, at.namespace)
            })
        })
    }
}

/// The image of a record by name and tag.
fn name_of(record: &Record) -> Option<Reference> {
    record.facts.image.as_ref()?.parse().ok()
}

/// The places in clusters that a deployment was given to.
fn places_of(record: &Record) -> impl Iterator<Item = At<'_>> {
    record.facts.targets().filter_map(|target| match target {
        Target::Cluster {
            context, namespace, ..
        } => Some(At {
            context: context.as_deref(),
            namespace,
            endpoint: record.facts.endpoint.as_ref(),
        }),
        _ => None,
    })
}
