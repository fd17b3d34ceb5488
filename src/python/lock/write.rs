//! From an answer to the text of a lock.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use pep440_rs::VersionSpecifiers;
use pep508_rs::PackageName;
use reqwest::Url;

use super::Error;
use crate::python::requirements::shown;
use crate::python::{Pinned, RemoteWheel, Resolution};

/// What a new lock is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewLock<'a> {
    /// The answer.
    pub resolution: &'a Resolution,
    /// More wheels of the same versions, for other targets; those of other versions are left out.
    pub wheels: &'a BTreeMap<PackageName, Vec<RemoteWheel>>,
    /// What was required, a requirement each with its extras and marker, as `uvicorn[standard]>=0.30`.
    pub requirements: &'a [String],
    /// The interpreters that the answer is for.
    pub requires_python: Option<&'a VersionSpecifiers>,
    /// Markers of the environments that it is for; empty means any.
    pub environments: &'a [String],
    /// The directory that the lock will be in, absolute: files below it get relative paths.
    pub base: &'a Path,
}

/// Writes a lock. The same answer gives the same text: packages are sorted by name, wheels by file name, and there is no
/// time in it.
///
/// # Errors
/// [`Error::NoHash`] for a wheel without SHA-256.
pub fn write(lock: &NewLock<'_>) -> Result<String, Error> {
    let mut text = String::from("lock-version = \"1.0\"\n");
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| string(item)).collect();
        items.join(", ")
    };
    if !lock.environments.is_empty() {
        put(
            &mut text,
            format_args!("environments = [{}]\n", list(lock.environments)),
        );
    }
    if let Some(required) = lock.requires_python {
        put(
            &mut text,
            format_args!("requires-python = {}\n", string(&required.to_string())),
        );
    }
    text.push_str("created-by = \"overcoat\"\n");
    let mut packages: Vec<&Pinned> = lock.resolution.packages.iter().collect();
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    if packages.is_empty() {
        text.push_str("packages = []\n");
    }
    for package in packages {
        put(
            &mut text,
            format_args!("\n[[packages]]\nname = {}\n", string(package.name.as_ref())),
        );
        put(
            &mut text,
            format_args!(
                "version = {}\nwheels = [\n",
                string(&package.version.to_string())
            ),
        );
        for wheel in wheels(package, lock.wheels.get(&package.name)).values() {
            put(
                &mut text,
                format_args!("    {},\n", inline(wheel, lock.base)?),
            );
        }
        text.push_str("]\n");
        if package.is_requested {
            text.push_str("\n[packages.tool.overcoat]\nrequested = true\n");
        }
    }
    text.push_str("\n[tool.overcoat]\nrequirements = [\n");
    for requirement in lock.requirements {
        put(&mut text, format_args!("    {},\n", string(requirement)));
    }
    text.push_str("]\n");
    Ok(text)
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = text.write_fmt(what);
}

/// The wheels of a package by file name, among them the chosen one as it was chosen.
fn wheels<'a>(
    package: &'a Pinned,
    more: Option<&'a Vec<RemoteWheel>>,
) -> BTreeMap<&'a str, &'a RemoteWheel> {
    let is_same = |wheel: &&RemoteWheel| {
        wheel.name.version == package.version && wheel.name.name == package.name
    };
    let more = more
        .into_iter()
        .flatten()
        .filter(is_same)
        .filter(|wheel| wheel.digest.is_some());
    more.chain([&package.wheel])
        .map(|wheel| (wheel.name.as_str(), wheel))
        .collect()
}

fn inline(wheel: &RemoteWheel, base: &Path) -> Result<String, Error> {
    let no_hash = || Error::NoHash {
        wheel: wheel.name.to_string(),
        url: shown(&wheel.url),
    };
    let digest = wheel.digest.as_ref().ok_or_else(no_hash)?;
    let local = Url::parse(&wheel.url)
        .ok()
        .filter(|url| url.scheme() == "file");
    let location = match local.and_then(|url| url.to_file_path().ok()) {
        Some(path) => {
            let path = path.strip_prefix(base).unwrap_or(&path);
            format!("path = {}", string(&path.to_string_lossy()))
        }
        None => format!("url = {}", string(&wheel.url)),
    };
    let size = wheel
        .size
        .map(|size| format!("size = {size}, "))
        .unwrap_or_default();
    Ok(format!(
        "{{ name = {}, {location}, {size}hashes = {{ {} = {} }} }}",
        string(wheel.name.as_str()),
        digest.algorithm().name(),
        string(digest.hex()),
    ))
}

/// A basic string of TOML.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => put(&mut quoted, format_args!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
