//! One requirement: a name with versions, a URL, or a path.

use pep440_rs::{Operator, VersionSpecifier, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerTree, PackageName, Requirement, VersionOrUrl};
use reqwest::Url;

use super::files::{FileKind, Place, SourceFiles, within};
use super::{Location, NamedWheel, shown};
use crate::python::file_hash::FileHash;
use crate::python::{WheelName, pep508};

/// What a line without its options says.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Something that a wheel can express.
    Requirement(Box<Named>),
    /// Something that only pip can do; why.
    Inexpressible(String),
}

/// A requirement that a wheel can express.
#[derive(Debug)]
pub(super) struct Named {
    /// Without URL.
    pub(super) requirement: Requirement,
    pub(super) wheel: Option<NamedWheel>,
    /// The hash in the URL's fragment.
    pub(super) hash: Option<FileHash>,
}

/// Why a line is wrong.
pub(super) enum Failure {
    Wrong(String),
    File(crate::fs::Error),
}

impl From<crate::fs::Error> for Failure {
    fn from(error: crate::fs::Error) -> Self {
        Self::File(error)
    }
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Wrong(reason.into()))
}

/// Schemes of version control systems; also with `+` and a transport.
const VERSION_CONTROL: [&str; 4] = ["git", "hg", "svn", "bzr"];

/// Endings of source archives, as pip's `ARCHIVE_EXTENSIONS` without `.whl`.
const ARCHIVES: [&str; 11] = [
    ".zip",
    ".tar.bz2",
    ".tbz",
    ".tar.gz",
    ".tgz",
    ".tar",
    ".tar.xz",
    ".txz",
    ".tlz",
    ".tar.lz",
    ".tar.lzma",
];

/// Parses a requirement as pip's `constructors.parse_req_from_line` does.
pub(super) fn parse(text: &str, files: &dyn SourceFiles) -> Result<Parsed, Failure> {
    let separator = if is_url(text) { "; " } else { ";" };
    let (name, marker) = match text.split_once(separator) {
        Some((name, marker)) => (name.trim(), marker.trim()),
        None => (text.trim(), ""),
    };
    let mut doubts = Vec::new();
    let marker = match marker {
        "" => MarkerTree::TRUE,
        text => pep508::marker(text, &mut doubts)
            .map_err(|reason| Failure::Wrong(format!("its marker is none: {reason}")))?,
    };
    let parsed = if is_url(name) {
        from_url(name, None, marker, files)?
    } else {
        match from_path(name, marker.clone(), files)? {
            Some(parsed) => parsed,
            None => specifier(name, marker, files)?,
        }
    };
    // A marker that compares what has no order: pip compares it as text, this parser leaves it out.
    if let (Some(doubt), Parsed::Requirement(_)) = (doubts.pop(), &parsed) {
        return Ok(Parsed::Inexpressible(format!(
            "its marker cannot be evaluated exactly ({doubt})"
        )));
    }
    Ok(parsed)
}

fn scheme(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once(':')?;
    Some(scheme.to_ascii_lowercase())
}

fn is_version_control(scheme: &str) -> bool {
    let system = scheme.split_once('+').map_or(scheme, |(system, _)| system);
    VERSION_CONTROL.contains(&system)
}

fn is_url(text: &str) -> bool {
    scheme(text).is_some_and(|scheme| {
        ["http", "https", "file", "ftp"].contains(&&*scheme)
            || scheme.contains('+') && is_version_control(&scheme)
            || ["ssh", "git", "hg", "bzr", "sftp", "svn"].contains(&&*scheme)
    })
}

/// `Name[extra] >=1,<2`, or `name @ URL`.
fn specifier(text: &str, marker: MarkerTree, files: &dyn SourceFiles) -> Result<Parsed, Failure> {
    let parsed = pep508::requirement(text, &mut Vec::new()).map_err(|reason| {
        let hint = match text.split_once('=') {
            Some((_, rest)) if !rest.starts_with('=') && !text.contains(['<', '>', '~', '!']) => {
                "; `=` is no operator, did you mean `==`?"
            }
            _ if text.contains('/') => {
                "; it looks like a path, and no such file or directory is there"
            }
            _ => "",
        };
        Failure::Wrong(format!("{reason}{hint}"))
    })?;
    let Requirement {
        name,
        extras,
        version_or_url,
        ..
    } = parsed;
    match version_or_url {
        Some(VersionOrUrl::Url(url)) => from_url(url.as_str(), Some((name, extras)), marker, files),
        version => {
            let version_or_url = match version {
                Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
                    Some(VersionOrUrl::VersionSpecifier(specifiers))
                }
                _ => None,
            };
            let requirement = Requirement {
                name,
                extras,
                version_or_url,
                marker,
                origin: None,
            };
            Ok(Parsed::Requirement(Box::new(Named {
                requirement,
                wheel: None,
                hash: None,
            })))
        }
    }
}

/// A path to something local, if the text is one by pip's rules; paths are relative to the tree's root, where `assemble`
/// runs pip.
fn from_path(
    text: &str,
    marker: MarkerTree,
    files: &dyn SourceFiles,
) -> Result<Option<Parsed>, Failure> {
    let (path, extras) = split_extras(text);
    let looks_like_path = |text: &str| text.contains('/') || text.starts_with('.');
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_wheel = name.ends_with(".whl");
    let is_archive = is_wheel || is_source_archive(name);
    let place = within("", path);
    let kind = match &place {
        Place::Within(path) => files.kind(path)?,
        Place::Outside | Place::Absolute => None,
    };
    if looks_like_path(text) && kind == Some(FileKind::Directory) {
        return Ok(Some(Parsed::Inexpressible(
            "it is a local project".to_owned(),
        )));
    }
    // `name @ URL` has slashes, too.
    let is_named_url = text
        .split_once('@')
        .is_some_and(|(name, _)| !looks_like_path(name));
    if place == Place::Absolute || (place == Place::Outside && !is_named_url) {
        return Ok(Some(Parsed::Inexpressible(
            "it is a path outside of the source tree".to_owned(),
        )));
    }
    if !is_archive || kind != Some(FileKind::File) && is_named_url {
        return Ok(None);
    }
    let Place::Within(path) = place else {
        return Ok(None);
    };
    match kind {
        Some(FileKind::File) if is_wheel => {
            wheel(name, Location::Path(path), None, extras, marker, None).map(Some)
        }
        Some(FileKind::File) => Ok(Some(Parsed::Inexpressible(
            "it is a local source archive".to_owned(),
        ))),
        _ => wrong(format!("there is no file `{path}` in the source tree")),
    }
}

/// `path[extra,…]` as its two parts.
fn split_extras(text: &str) -> (&str, &str) {
    let parts = text
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['));
    match parts {
        Some((path, extras)) if !path.is_empty() && !extras.is_empty() && !extras.contains(']') => {
            (path, extras)
        }
        _ => (text, ""),
    }
}

fn is_source_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ARCHIVES.iter().any(|ending| name.ends_with(ending))
}

/// What a URL names. `named` is what stands before the `@`.
fn from_url(
    text: &str,
    named: Option<(PackageName, Vec<ExtraName>)>,
    marker: MarkerTree,
    files: &dyn SourceFiles,
) -> Result<Parsed, Failure> {
    let inexpressible = |reason: &str| Ok(Parsed::Inexpressible(reason.to_owned()));
    let scheme = scheme(text).unwrap_or_default();
    if !["http", "https", "file"].contains(&&*scheme) {
        return match is_version_control(&scheme) {
            true => inexpressible("it comes from a version control system"),
            false => inexpressible(&format!("it has a URL of the scheme `{scheme}`")),
        };
    }
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return wrong(format!("its URL is none: {error}")),
    };
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let name = percent_decoded(name);
    if !name.ends_with(".whl") {
        return inexpressible("its URL is not that of a wheel");
    }
    let hash = match fragment_hash(url.fragment().unwrap_or_default()) {
        Ok(hash) => hash,
        Err(reason) => return inexpressible(&reason),
    };
    url.set_fragment(None);
    let location = if scheme == "file" {
        // `file:wheels/x.whl` is relative; a parsed URL has forgotten that.
        let path = text.split_once(':').map_or("", |(_, path)| path);
        let path = path.split(['#', '?']).next().unwrap_or_default();
        match within("", &percent_decoded(path)) {
            Place::Within(path) if files.kind(&path)? == Some(FileKind::File) => {
                Location::Path(path)
            }
            Place::Within(path) => {
                return wrong(format!("there is no file `{path}` in the source tree"));
            }
            Place::Outside | Place::Absolute => {
                return inexpressible("it is a file outside of the source tree");
            }
        }
    } else {
        Location::Url(url.to_string())
    };
    wheel(&name, location, named, "", marker, hash)
}

fn wheel(
    name: &str,
    location: Location,
    named: Option<(PackageName, Vec<ExtraName>)>,
    extras: &str,
    marker: MarkerTree,
    hash: Option<FileHash>,
) -> Result<Parsed, Failure> {
    let wheel: WheelName = match name.parse() {
        Ok(wheel) => wheel,
        Err(error) => return wrong(error.to_string()),
    };
    let mut all_extras = Vec::new();
    if let Some((given, extras)) = named {
        if given != wheel.name {
            return wrong(format!(
                "it asks for `{given}` and names a wheel of `{}`",
                wheel.name
            ));
        }
        all_extras = extras;
    }
    for extra in extras
        .split(',')
        .map(str::trim)
        .filter(|extra| !extra.is_empty())
    {
        match ExtraName::new(extra.to_owned()) {
            Ok(extra) => all_extras.push(extra),
            Err(error) => return wrong(error.to_string()),
        }
    }
    let specifier = VersionSpecifier::from_version(Operator::Equal, wheel.version.clone());
    let Ok(specifier) = specifier else {
        return wrong(format!("`{}` is no version to ask for", wheel.version));
    };
    let requirement = Requirement {
        name: wheel.name.clone(),
        extras: all_extras,
        version_or_url: Some(VersionOrUrl::VersionSpecifier(VersionSpecifiers::from(
            specifier,
        ))),
        marker,
        origin: None,
    };
    Ok(Parsed::Requirement(Box::new(Named {
        requirement,
        wheel: Some(NamedWheel {
            name: wheel,
            location,
        }),
        hash,
    })))
}

/// The hash in a URL's fragment, as `sha256=…` among `egg=…&subdirectory=…`.
fn fragment_hash(fragment: &str) -> Result<Option<FileHash>, String> {
    for part in fragment.split('&') {
        match part.split_once('=') {
            Some((algorithm @ ("sha256" | "sha384" | "sha512"), hex)) => {
                return FileHash::new(algorithm, hex)
                    .map(Some)
                    .map_err(|error| error.to_string());
            }
            Some((algorithm @ ("md5" | "sha1" | "sha224"), _)) => {
                return Err(format!("its hash is of the weak kind {algorithm}"));
            }
            _ => {}
        }
    }
    Ok(None)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high)
                    .zip(digit(*low))
                    .map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Why an `--editable` cannot be expressed.
pub(super) fn editable(target: &str) -> String {
    format!("`{}` is editable", shown(target))
}
