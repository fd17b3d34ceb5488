//! What `pip check` would say of an answer.

use crate::python::{ExtraName, PackageName, Target, Version};

use super::Solution;
use super::direct::shown;
use super::provider::{Provider, ProviderError};
use super::range::set_of;

/// A requirement of an installed package that the answer does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Whose requirement.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The requirement, without its marker.
    pub requirement: String,
    /// The version that the answer has; `None` when it has none.
    pub have: Option<Version>,
}

/// Looks at every `Requires-Dist` of everything in an answer, extras included: an empty list is what it should be.
///
/// # Errors
/// Those of the provider.
///
/// # Spec
/// `pip check`.
pub fn check(
    solution: &Solution,
    target: &Target,
    provider: &dyn Provider,
) -> Result<Vec<Unmet>, ProviderError> {
    let have = |name: &PackageName| {
        let mut packages = solution.resolution.packages.iter();
        let pinned = packages.find(|pinned| pinned.name == *name);
        pinned
            .map(|pinned| &pinned.version)
            .or_else(|| target.installed.get(name))
    };
    let mut unmet = Vec::new();
    let mut all = Vec::new();
    for pinned in &solution.resolution.packages {
        let metadata = provider.metadata(&pinned.name, &pinned.wheel)?;
        all.push((&pinned.name, &pinned.version, metadata));
    }
    for (name, version) in &solution.satisfied {
        if let Some(metadata) = provider.installed(name)? {
            all.push((name, version, metadata));
        }
    }
    for (name, version, metadata) in all {
        let extras = solution.extras.get(name).into_iter().flatten();
        // Markers are looked at with one extra at a time, as pip does.
        let mut sets: Vec<Vec<ExtraName>> = vec![Vec::new()];
        sets.extend(extras.map(|extra| vec![extra.clone()]));
        for requirement in &metadata.requires_dist {
            let marker = &requirement.marker;
            if !sets.iter().any(|set| marker.evaluate(&target.markers, set)) {
                continue;
            }
            let have = have(&requirement.name);
            let is_met = match (&requirement.version_or_url, have) {
                (_, None) => false,
                (Some(pep508_rs::VersionOrUrl::VersionSpecifier(specifiers)), Some(version)) => {
                    set_of(specifiers).contains(version)
                }
                (Some(pep508_rs::VersionOrUrl::Url(_)) | None, Some(_)) => true,
            };
            if !is_met {
                unmet.push(Unmet {
                    package: name.clone(),
                    version: version.clone(),
                    requirement: shown(requirement),
                    have: have.cloned(),
                });
            }
        }
    }
    Ok(unmet)
}
