//! Writing versions down: `overcoat lock`.

use std::collections::BTreeMap;

use super::layers::complete;
use super::placed::placed_packages;
use super::versions::{Solved, Solver, caches, solve};
use super::wanted::{LOCK, Wanted};
use super::{Error, How};
use crate::build::Error as BuildError;
use crate::event::{Observer, stage};
use crate::python::index::{FileKind, Index, Refresh};
use crate::python::lock::{NewLock, write};
use crate::python::{PackageName, RemoteWheel, Resolution};

/// A lock, not yet written.
#[derive(Clone, Debug)]
pub struct NewLockText {
    /// The text of `pylock.toml`.
    pub text: String,
    /// How many packages it has.
    pub packages: usize,
    /// Where the versions came from.
    pub how: How,
}

/// The text of a lock for what `solver` wants. A lock that is there says which versions to keep, unless newer ones are
/// asked for.
///
/// # Errors
/// [`Error`]; [`Error::LockUnusable`] for requirements that no lock of wheels can express.
pub(in crate::build) fn lock(
    solver: &Solver<'_>,
    observer: &dyn Observer,
) -> Result<NewLockText, BuildError> {
    let Some(requirements) = &solver.wanted.requirements else {
        return Err(Error::NothingToLock.into());
    };
    if let Some(line) = requirements.inexpressible.first() {
        let what = vec![format!("{}: `{}` {}", line.origin, line.text, line.reason)];
        return Err(Error::LockUnusable {
            file: "requirements.txt",
            what,
        }
        .into());
    }
    // As if the lock were for other requirements: its versions are kept where they still fit.
    let wanted = Wanted {
        requirements: Some(requirements.clone()),
        lock: solver.wanted.lock.clone().map(|mut lock| {
            lock.requirements = Some(Vec::new());
            lock
        }),
        is_being_locked: true,
    };
    let solver = Solver {
        wanted: &wanted,
        ..*solver
    };
    let Solved { solution, how, .. } = solve(&solver, observer)?;
    let looking = stage(observer, "look", "for wheels of other platforms");
    let settings = solver.index_settings(requirements);
    let tools = solver.tools;
    let caches = caches(tools.store.root());
    let index = Index::new(
        tools.http()?,
        &settings,
        caches,
        tools.now,
        Refresh::WhenStale,
    );
    let index = index.map_err(Error::from)?;
    // What is in the source or at a URL has a digest only once somebody looked.
    let packages = complete(&solver, &solution.resolution.packages, observer)?;
    let placed = placed_packages(&solver, &packages);
    let names: Vec<PackageName> = packages
        .iter()
        .map(|package| package.name.clone())
        .filter(|name| !placed.contains_key(name))
        .collect();
    index.prefetch(&names, observer).map_err(Error::from)?;
    let mut wheels: BTreeMap<PackageName, Vec<RemoteWheel>> = BTreeMap::new();
    for package in packages
        .iter()
        .filter(|package| !placed.contains_key(&package.name))
    {
        let project = index
            .project(&package.name, observer)
            .map_err(Error::from)?;
        let of_version = project.files.iter().filter(|file| {
            matches!(file.kind, FileKind::Wheel(_)) && *file.version() == package.version
        });
        // A lock has a digest of everything.
        let digested = of_version.filter(|file| file.digest.is_some());
        let found = digested.filter_map(|file| file.wheel()).collect();
        wheels.insert(package.name.clone(), found);
    }
    looking.finish("");
    let text = write(&NewLock {
        resolution: &Resolution {
            packages: packages.clone(),
        },
        wheels: &wheels,
        requirements: &solver.wanted.texts(),
        requires_python: None,
        environments: &[],
        base: &solver.source.root,
    });
    Ok(NewLockText {
        text: text.map_err(Error::from)?,
        packages: packages.len(),
        how,
    })
}

/// The name of the file that a lock is written to.
pub const FILE: &str = LOCK;
