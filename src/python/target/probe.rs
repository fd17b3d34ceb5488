//! A target as the interpreter itself describes it, where the files of its image do not: behind a script that chooses
//! among interpreters, as a static program, in a place that nobody else uses.

use std::collections::BTreeMap;

use pep508_rs::PackageName;
use serde::Deserialize;

use super::{Basics, Detected, Error, Layout, Provenance, missing, unsupported};
use crate::layer::EntryPath;
use crate::python::Version;
use crate::python::tags::Libc;

/// What the interpreter executes, with the path of the report as its argument.
pub const PROGRAM: &str = include_str!("probe.py");
/// The largest report, in bytes: thousands of installed packages fit.
pub const MAX_REPORT: u64 = 1 << 20;

/// The report. It comes from the image, and is believed as its files are.
#[derive(Deserialize)]
struct Report {
    implementation: String,
    version: String,
    free_threaded: bool,
    machine: String,
    libc: Option<String>,
    executable: String,
    purelib: String,
    platlib: String,
    scripts: String,
    data: String,
    headers: String,
    is_venv: bool,
    is_managed: bool,
    is_plain: bool,
    uid: u32,
    gid: u32,
    /// Owner, group and mode of the directory that packages go into.
    owner: (u32, u32, u32),
    installed: Option<Vec<(Option<String>, Option<String>)>>,
}

/// The target that a report describes.
///
/// # Errors
/// [`Error::Unsupported`] when packages cannot be written as pip would install them, [`Error::Missing`] for a report that
/// cannot be understood.
pub fn read(report: &[u8]) -> Result<Detected, Error> {
    const WHAT: &str = "the interpreter";
    let report: Report = match serde_json::from_slice(report) {
        Ok(report) => report,
        Err(error) => {
            return missing(
                WHAT,
                format!("what it says of itself is no report: {error}"),
            );
        }
    };
    if report.implementation != "cpython" {
        return unsupported(format!("its interpreter is {}", report.implementation));
    }
    if report.is_managed {
        return unsupported("it says that pip must not install there; use a virtual environment");
    }
    if report.purelib != report.platlib {
        return unsupported("it keeps packages with compiled parts apart from others");
    }
    if !report.is_plain {
        return unsupported(format!("`{}` is behind a link", report.purelib));
    }
    let libc: Option<Libc> = report.libc.as_deref().and_then(libc);
    let (Some(libc), Ok(version)) = (
        libc,
        report.version.trim_end_matches('+').parse::<Version>(),
    ) else {
        return missing(WHAT, "it does not say its version or that of its C library");
    };
    let Some(basics) = Basics::new(version.clone(), report.free_threaded, libc, &report.machine)
    else {
        return unsupported("its interpreter is not a release of CPython 3");
    };
    let path = |text: &str| {
        EntryPath::parse(text.as_bytes()).map_err(|error| Error::Unsupported {
            reason: error.to_string(),
        })
    };
    // pip gives a virtual environment's packages a place for headers of their own.
    let headers = match (report.is_venv, version.release()) {
        (true, [major, minor, ..]) => {
            format!("{}/include/site/python{major}.{minor}", report.data)
        }
        _ => report.headers.clone(),
    };
    let (owner, group, mode) = report.owner;
    let is_own = owner == report.uid;
    let is_shared = is_own && mode & 0o020 != 0 && group == report.gid;
    let layout = Layout {
        interpreter: report.executable.clone(),
        site_packages: path(&report.purelib)?,
        scripts: path(&report.scripts)?,
        data: path(&report.data)?,
        headers: path(&headers)?,
        uid: if is_own { report.uid } else { 0 },
        gid: if is_own { report.gid } else { 0 },
        umask: if is_shared { 0o002 } else { 0o022 },
    };
    let is_complete = report.installed.is_some();
    let installed: BTreeMap<PackageName, Version> = report
        .installed
        .into_iter()
        .flatten()
        .filter_map(|(name, version)| Some((PackageName::new(name?).ok()?, version?.parse().ok()?)))
        .collect();
    match basics.detected(layout, installed, Provenance::Probe, is_complete) {
        Some(detected) => Ok(detected),
        None => missing("the version of the interpreter", "it has no two numbers"),
    }
}

/// `glibc 2.36`, `musl 1.2.4`.
fn libc(text: &str) -> Option<Libc> {
    let (name, version) = text.split_once(' ')?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next()??, numbers.next()??);
    match name {
        "glibc" => Libc::glibc(major, minor),
        "musl" => Libc::musl(major, minor),
        _ => None,
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
