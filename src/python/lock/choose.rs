//! From a [`Lock`] to what one environment gets.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};
use reqwest::Url;

use super::{Error, Lock, LockedLocation, LockedPackage, LockedSource, LockedWheel};
use crate::python::file_hash::HashAlgorithm;
use crate::python::tags::Ranking;
use crate::python::{Pinned, RemoteWheel, Resolution, Target};

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Extras.
    pub extras: Vec<ExtraName>,
    /// Dependency groups; `None` for the lock's default ones.
    pub groups: Option<Vec<ExtraName>>,
}

/// What one environment gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The packages that are installed from a wheel.
    pub resolution: Resolution,
    /// Those that are not, sorted by name; when there are any, the resolution is not complete.
    pub unusable: Vec<Unusable>,
}

/// A package that has no wheel to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The package.
    pub name: PackageName,
    /// Its version, when the lock has one.
    pub version: Option<Version>,
    /// Why.
    pub reason: UnusableReason,
}

/// Why a package has no wheel to install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableReason {
    /// It comes from a version control system.
    Vcs,
    /// It is a directory.
    Directory,
    /// It is an archive by its URL.
    Archive,
    /// None of its wheels is for the target, and there is a source distribution.
    OnlySdist,
    /// None of its wheels is for the target, and there is nothing else.
    NoWheel,
    /// Its wheel has no SHA-256, only another hash.
    NoSha256,
    /// Its wheel is a file outside of the directory of the lock.
    Outside,
}

impl UnusableReason {
    /// True when pip may still be able to install it.
    pub fn is_for_pip(self) -> bool {
        self != Self::NoWheel
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            UnusableReason::Vcs => "comes from a version control system",
            UnusableReason::Directory => "is a directory",
            UnusableReason::Archive => "is an archive",
            UnusableReason::OnlySdist => {
                "has no wheel for the builder image, only a source distribution"
            }
            UnusableReason::NoWheel => "has no wheel for the builder image",
            UnusableReason::NoSha256 => "has no SHA-256",
            UnusableReason::Outside => "is a file outside of the directory of the lock",
        };
        match &self.version {
            Some(version) => write!(f, "`{}=={version}` {reason}", self.name),
            None => write!(f, "`{}` {reason}", self.name),
        }
    }
}

impl Lock {
    /// Chooses for a target what the lock has for it. `base` is the lock's directory, absolute; files outside of it are
    /// not used.
    ///
    /// # Errors
    /// [`Error::Python`] and [`Error::Environment`] for a lock that is not for the target, [`Error::Unknown`] for an extra
    /// or a group that it does not have, [`Error::Ambiguous`] for a package twice.
    ///
    /// # Spec
    /// *`pylock.toml` specification*, "Installation".
    pub fn choose(
        &self,
        target: &Target,
        selection: &Selection,
        base: &Path,
    ) -> Result<Chosen, Error> {
        let groups = selection.groups.as_ref().unwrap_or(&self.default_groups);
        let known = |kind, asked: &[ExtraName], known: &[ExtraName]| match asked
            .iter()
            .find(|name| !known.contains(name))
        {
            Some(name) => Err(Error::Unknown {
                kind,
                name: name.clone(),
            }),
            None => Ok(()),
        };
        known("extra", &selection.extras, &self.extras)?;
        if selection.groups.is_some() {
            known("dependency group", groups, &self.dependency_groups)?;
        }
        let python = |what: &str, required: &Option<pep440_rs::VersionSpecifiers>| match required {
            Some(required) if !required.contains(&target.version) => Err(Error::Python {
                what: what.to_owned(),
                required: required.clone(),
                found: target.version.clone(),
            }),
            _ => Ok(()),
        };
        python("the lock", &self.requires_python)?;
        let holds = |marker: &super::LockMarker| {
            marker.evaluate(&target.markers, &selection.extras, groups)
        };
        if !self.environments.is_empty() && !self.environments.iter().any(holds) {
            return Err(Error::Environment);
        }
        let ranking = Ranking::new(&target.tags);
        let mut seen = BTreeSet::new();
        let mut chosen = Chosen::default();
        for package in self
            .packages
            .iter()
            .filter(|package| package.marker.as_ref().is_none_or(holds))
        {
            python(
                &format!("`{}` of the lock", package.name),
                &package.requires_python,
            )?;
            if !seen.insert(&package.name) {
                return Err(Error::Ambiguous {
                    name: package.name.clone(),
                });
            }
            match choose_wheel(package, &ranking, base) {
                Ok(pinned) => chosen.resolution.packages.push(pinned),
                Err(reason) => chosen.unusable.push(Unusable {
                    name: package.name.clone(),
                    version: package.version.clone(),
                    reason,
                }),
            }
        }
        chosen
            .resolution
            .packages
            .sort_by(|one, other| one.name.cmp(&other.name));
        chosen
            .unusable
            .sort_by(|one, other| one.name.cmp(&other.name));
        Ok(chosen)
    }
}

fn choose_wheel(
    package: &LockedPackage,
    ranking: &Ranking,
    base: &Path,
) -> Result<Pinned, UnusableReason> {
    let (wheels, has_sdist) = match &package.source {
        LockedSource::Files { wheels, has_sdist } => (wheels, *has_sdist),
        LockedSource::Vcs => return Err(UnusableReason::Vcs),
        LockedSource::Directory => return Err(UnusableReason::Directory),
        LockedSource::Archive => return Err(UnusableReason::Archive),
    };
    let Some(best) = ranking.best(wheels.iter().map(|wheel| &wheel.name)) else {
        return Err(if has_sdist {
            UnusableReason::OnlySdist
        } else {
            UnusableReason::NoWheel
        });
    };
    let LockedWheel {
        name,
        location,
        size,
        hashes,
    } = &wheels[best];
    let sha256 = hashes
        .iter()
        .find(|hash| hash.algorithm() == HashAlgorithm::Sha256);
    let url = match location {
        LockedLocation::Url(url) => url.split('#').next().unwrap_or_default().to_owned(),
        LockedLocation::Path(path) => file_url(base, path).ok_or(UnusableReason::Outside)?,
    };
    Ok(Pinned {
        name: package.name.clone(),
        version: name.version.clone(),
        wheel: RemoteWheel {
            name: name.clone(),
            url,
            digest: Some(
                sha256
                    .and_then(|hash| hash.digest())
                    .ok_or(UnusableReason::NoSha256)?,
            ),
            size: *size,
        },
        is_requested: package.is_requested,
    })
}

/// The `file:` URL of a path below `base`.
fn file_url(base: &Path, path: &str) -> Option<String> {
    let mut full = base.to_owned();
    for part in path.split('/') {
        match part {
            "" if path.starts_with('/') => return None,
            "" | "." => {}
            ".." if full == base || !full.pop() => return None,
            ".." => {}
            part => full.push(part),
        }
    }
    Url::from_file_path(full).ok().map(String::from)
}
