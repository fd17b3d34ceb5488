//! Packages that requirements name by the place of their wheel, as `./wheels/zork-1.0-py3-none-any.whl`.

use std::collections::BTreeMap;

use pep508_rs::VersionOrUrl;

use super::pip::without_credentials;
use super::versions::Solver;
use super::wanted::Wanted;
use crate::layer::EntryPath;
use crate::python::requirements::{FindLinks, Line, Location, NamedWheel};
use crate::python::wheel::{direct_url, file_url};
use crate::python::{PackageName, Pinned, Target};
use crate::source::content::Contents;
use crate::source::{SourceEntry, SourceKind, SourceTree};

/// The requirements and constraints that count for `target` and name a wheel by its place. pip records the place of both.
fn placed<'a>(
    wanted: &'a Wanted,
    target: &'a Target,
) -> impl Iterator<Item = (&'a Line, &'a NamedWheel)> {
    let lines = wanted
        .requirements
        .iter()
        .flat_map(|found| found.requirements.iter().chain(&found.constraints));
    let is_active = |line: &&Line| line.requirement.marker.evaluate(&target.markers, &[]);
    lines
        .filter(is_active)
        .filter_map(|line| line.wheel.as_ref().map(|wheel| (line, wheel)))
}

/// The place that is recorded in the image: of a file of the source, where `assemble` would have put it.
fn recorded(wheel: &NamedWheel, directory: &EntryPath) -> String {
    match &wheel.location {
        Location::Url(url) => without_credentials(url),
        Location::Path(path) => file_url(directory, path),
    }
}

/// The packages that are installed from the place that a requirement names, whether requirements or a lock gave their
/// versions.
pub(super) fn placed_packages<'a>(
    solver: &Solver<'a>,
    packages: &[Pinned],
) -> BTreeMap<PackageName, &'a NamedWheel> {
    let mut found = BTreeMap::new();
    for (line, wheel) in placed(solver.wanted, solver.target) {
        let Some(VersionOrUrl::Url(url)) = solver.requirement(line).version_or_url else {
            continue;
        };
        let name = &line.requirement.name;
        let is_there =
            |package: &Pinned| package.name == *name && package.wheel.url == url.raw().as_str();
        if packages.iter().any(is_there) {
            found.insert(name.clone(), wheel);
        }
    }
    found
}

/// The content of `direct_url.json` of each package that has one. `directory` is the application's; `packages` have their
/// digests.
pub(super) fn direct_urls(
    solver: &Solver<'_>,
    packages: &[Pinned],
    directory: &EntryPath,
) -> BTreeMap<PackageName, Vec<u8>> {
    let placed = placed_packages(solver, packages);
    let text = |package: &Pinned| {
        let wheel = placed.get(&package.name)?;
        let digest = package.wheel.digest.as_ref()?;
        let text = direct_url(&recorded(wheel, directory), digest);
        Some((package.name.clone(), text))
    };
    packages.iter().filter_map(text).collect()
}

/// What an answer depends on beside names and versions: the places that requirements name, and what is there as far as
/// it is in the source. A wheel may be built again without getting another name.
pub(in crate::build) fn parts(
    wanted: &Wanted,
    target: &Target,
    source: &SourceTree,
    contents: &Contents,
    directory: &EntryPath,
) -> Vec<String> {
    // What is reached through a link may be anywhere in the source.
    let digest = |path: &str| {
        let is_file = source.file(path).is_some();
        let digest = contents.entries().get(path.as_bytes());
        let digest = digest.filter(|_| is_file).unwrap_or(contents.tree());
        digest.to_string()
    };
    let mut parts = Vec::new();
    for (_, wheel) in placed(wanted, target) {
        let content = match &wheel.location {
            Location::Url(_) => String::new(),
            Location::Path(path) => digest(path),
        };
        parts.push(format!("{} {content}", recorded(wheel, directory)));
    }
    let options = wanted.requirements.iter().map(|found| &found.options);
    for place in options.flat_map(|options| &options.find_links) {
        match place {
            FindLinks::Url(url) => parts.push(without_credentials(url)),
            FindLinks::Path(path) => {
                parts.push(path.clone());
                let is_directory = |entry: &&SourceEntry| {
                    entry.path == path.as_bytes() && entry.kind == SourceKind::Directory
                };
                if !path.is_empty() && !source.entries.iter().any(|entry| is_directory(&entry)) {
                    parts.push(digest(path));
                    continue;
                }
                let below = format!("{path}/");
                let prefix = if path.is_empty() { "" } else { &below };
                let wheels = source.entries.iter().filter_map(|entry| {
                    let path = std::str::from_utf8(&entry.path).ok()?;
                    let name = path.strip_prefix(prefix)?;
                    let is_wheel = name.ends_with(".whl") && !name.contains('/');
                    is_wheel.then(|| format!("{name} {}", digest(path)))
                });
                parts.extend(wheels);
            }
        }
    }
    parts
}
