//! From bytes to a [`Lock`].

use std::collections::BTreeMap;

use pep508_rs::ExtraName;
use serde::Deserialize;

use super::{
    Error, Lock, LockMarker, LockedLocation, LockedPackage, LockedSource, LockedWheel, MAX_BYTES,
};
use crate::python::WheelName;
use crate::python::file_hash::FileHash;
use crate::python::requirements::shown;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    lock_version: String,
    #[serde(default)]
    environments: Vec<String>,
    requires_python: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
    #[serde(default)]
    dependency_groups: Vec<String>,
    #[serde(default)]
    default_groups: Vec<String>,
    created_by: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    vcs: Option<toml::Table>,
    directory: Option<toml::Table>,
    archive: Option<toml::Table>,
    sdist: Option<toml::Table>,
    wheels: Option<Vec<Wheel>>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Deserialize)]
struct Wheel {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    hashes: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Tool {
    overcoat: Option<Ours>,
}

#[derive(Deserialize)]
struct Ours {
    requirements: Option<Vec<String>>,
    #[serde(default)]
    requested: bool,
}

/// Reads a lock; `file` is its name in errors.
///
/// # Errors
/// [`Error::Malformed`] for what is no lock file, has more than [`MAX_BYTES`], or a marker, version, hash or file name
/// that is none; [`Error::Version`].
pub fn read(bytes: &[u8], file: &str) -> Result<Lock, Error> {
    let malformed = |reason: String| Error::Malformed {
        file: file.to_owned(),
        reason,
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(malformed(format!("it has more than {MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
    let document: Document = toml::from_str(text).map_err(|error| {
        let at = error
            .span()
            .map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let line = at.map(|line| format!("line {line}: ")).unwrap_or_default();
        malformed(format!("{line}{}", shown(error.message())))
    })?;
    if document.lock_version.split('.').next() != Some("1") {
        return Err(Error::Version {
            file: file.to_owned(),
            version: shown(&document.lock_version),
        });
    }
    let is_ours = document.tool.overcoat.is_some();
    let package = |package: Package| {
        let name = shown(&package.name);
        read_package(package, is_ours)
            .map_err(|reason| malformed(format!("package `{name}`: {}", shown(&reason))))
    };
    Ok(Lock {
        requires_python: specifiers(document.requires_python).map_err(malformed)?,
        environments: (document.environments.iter())
            .map(|text| marker(text))
            .collect::<Result<_, _>>()
            .map_err(malformed)?,
        extras: names(document.extras).map_err(malformed)?,
        dependency_groups: names(document.dependency_groups).map_err(malformed)?,
        default_groups: names(document.default_groups).map_err(malformed)?,
        created_by: shown(&document.created_by),
        requirements: document.tool.overcoat.and_then(|ours| ours.requirements),
        packages: document
            .packages
            .into_iter()
            .map(package)
            .collect::<Result<_, _>>()?,
    })
}

fn names(texts: Vec<String>) -> Result<Vec<ExtraName>, String> {
    texts
        .into_iter()
        .map(|text| ExtraName::new(text).map_err(|error| error.to_string()))
        .collect()
}

fn specifiers(text: Option<String>) -> Result<Option<pep440_rs::VersionSpecifiers>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let parsed = text.parse();
    parsed
        .map(Some)
        .map_err(|_| format!("`requires-python = \"{text}\"` is not a version specifier"))
}

fn marker(text: &str) -> Result<LockMarker, String> {
    LockMarker::parse(text)
        .map_err(|reason| format!("the marker `{}` is wrong: {reason}", shown(text)))
}

fn read_package(package: Package, is_ours: bool) -> Result<LockedPackage, String> {
    let name = pep508_rs::PackageName::new(package.name).map_err(|error| error.to_string())?;
    let version = match package.version {
        Some(text) => Some(
            text.parse()
                .map_err(|_| format!("its version `{text}` is none"))?,
        ),
        None => None,
    };
    let has_files = package.sdist.is_some() || package.wheels.is_some();
    let source = match (
        &package.vcs,
        &package.directory,
        &package.archive,
        has_files,
    ) {
        (Some(_), None, None, false) => LockedSource::Vcs,
        (None, Some(_), None, false) => LockedSource::Directory,
        (None, None, Some(_), false) => LockedSource::Archive,
        (None, None, None, true) => {
            let wheels = package.wheels.unwrap_or_default().into_iter();
            LockedSource::Files {
                wheels: wheels.map(read_wheel).collect::<Result<_, _>>()?,
                has_sdist: package.sdist.is_some(),
            }
        }
        _ => {
            return Err(
                "it has not exactly one of `vcs`, `directory`, `archive` and files".to_owned(),
            );
        }
    };
    if let LockedSource::Files { wheels, .. } = &source {
        let is_other = |wheel: &&LockedWheel| {
            wheel.name.name != name
                || version
                    .as_ref()
                    .is_some_and(|version| *version != wheel.name.version)
        };
        if let Some(other) = wheels.iter().find(is_other) {
            return Err(format!(
                "`{}` is a wheel of another package or version",
                other.name
            ));
        }
    }
    Ok(LockedPackage {
        name,
        version,
        marker: package.marker.map(|text| marker(&text)).transpose()?,
        requires_python: specifiers(package.requires_python)?,
        source,
        is_requested: !is_ours || package.tool.overcoat.is_some_and(|ours| ours.requested),
    })
}

fn read_wheel(wheel: Wheel) -> Result<LockedWheel, String> {
    let location = match (wheel.url, wheel.path) {
        (Some(url), _) if url.starts_with("https://") || url.starts_with("http://") => {
            LockedLocation::Url(url)
        }
        (Some(url), None) => return Err(format!("`{url}` is no URL of a file on the web")),
        (_, Some(path)) => LockedLocation::Path(path),
        (None, None) => return Err("a wheel has neither `url` nor `path`".to_owned()),
    };
    let name = match (wheel.name, &location) {
        (Some(name), _) => name,
        (None, LockedLocation::Url(text)) => {
            let path = text.split(['?', '#']).next().unwrap_or_default();
            path.rsplit('/')
                .next()
                .unwrap_or_default()
                .replace("%2B", "+")
                .replace("%2b", "+")
        }
        (None, LockedLocation::Path(path)) => {
            path.rsplit('/').next().unwrap_or_default().to_owned()
        }
    };
    let name: WheelName = name
        .parse()
        .map_err(|error: crate::python::wheel_name::NotAWheel| error.to_string())?;
    let mut hashes = Vec::new();
    for (algorithm, hex) in wheel.hashes {
        if matches!(algorithm.as_str(), "sha256" | "sha384" | "sha512") {
            hashes.push(FileHash::new(&algorithm, &hex).map_err(|error| error.to_string())?);
        }
    }
    match hashes.is_empty() {
        true => Err(format!(
            "`{name}` has no hash of SHA-256, SHA-384 or SHA-512"
        )),
        false => Ok(LockedWheel {
            name,
            location,
            size: wheel.size,
            hashes,
        }),
    }
}
