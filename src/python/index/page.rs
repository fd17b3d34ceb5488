//! Pages of a package index: what files it says that there are.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use reqwest::Url;
use serde::Deserialize;

use super::error::{Error, shown};
use super::html;
use super::lenient;
use crate::digest::Digest;
use crate::python::{RemoteWheel, WheelName};

/// The media type of pages as JSON, PEP 691.
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";
/// The media type of pages as HTML, PEP 691.
const HTML: &str = "application/vnd.pypi.simple.v1+html";
/// What is asked for: JSON rather than HTML, and HTML under either of its names.
pub(super) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// The only major version of the protocol that there is.
const MAJOR_VERSION: &str = "1";
/// Endings of source distributions' names, as pip knows them.
const SDIST_ENDINGS: [&str; 6] = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz", ".tar"];

/// A file of a project, as an index offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub filename: String,
    /// Where it is: `https:`, `http:` or `file:`, without credentials and without a fragment.
    pub url: String,
    /// What its name says.
    pub kind: FileKind,
    /// The SHA-256 that the index promises (its SHA-512 when it promises only that); `None` for indexes that promise
    /// nothing, or only digests that are broken, as MD5.
    pub digest: Option<Digest>,
    /// Its size in bytes (PEP 700).
    pub size: Option<u64>,
    /// For which Pythons it is. A text that is no specifier counts as absent, as for pip.
    pub requires_python: Option<Arc<VersionSpecifiers>>,
    /// Why it should not be used any more (PEP 592); the reason may be empty.
    pub yanked: Option<String>,
    /// Whether the index has a wheel's metadata beside it.
    pub metadata: CoreMetadata,
}

/// What a file is by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A wheel.
    Wheel(WheelName),
    /// A source distribution of this version.
    Sdist(Version),
}

/// Whether an index has a wheel's `METADATA` as a file of its own, at the wheel's URL with `.metadata` added.
///
/// # Spec
/// PEP 658, PEP 714.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreMetadata {
    /// It does not say so.
    #[default]
    NotOffered,
    /// It has, and promises nothing about it.
    Offered,
    /// It has, with this digest.
    Promised(Digest),
}

impl File {
    /// The version in its name.
    pub fn version(&self) -> &Version {
        match &self.kind {
            FileKind::Wheel(name) => &name.version,
            FileKind::Sdist(version) => version,
        }
    }

    /// The wheel that it is; `None` for a source distribution.
    pub fn wheel(&self) -> Option<RemoteWheel> {
        match &self.kind {
            FileKind::Wheel(name) => Some(RemoteWheel {
                name: name.clone(),
                url: self.url.clone(),
                digest: self.digest.clone(),
                size: self.size,
            }),
            FileKind::Sdist(_) => None,
        }
    }
}

/// A link of a page before anybody asked which project it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) filename: String,
    pub(super) url: String,
    pub(super) digest: Option<Digest>,
    pub(super) size: Option<u64>,
    pub(super) requires_python: Option<String>,
    pub(super) yanked: Option<String>,
    pub(super) metadata: CoreMetadata,
}

/// Reads a page. `url` is where it finally came from, `media_type` what the server calls it.
///
/// Links that lead nowhere are left out, as are `file:` links of pages that are not files themselves.
pub(super) fn links(url: &Url, media_type: &str, body: &[u8]) -> Result<Vec<Link>, Error> {
    let refuse = |reason: String| Error::Page {
        url: shown(url),
        reason,
    };
    match media_type {
        JSON => from_json(url, body).map_err(refuse),
        HTML | "text/html" | "application/xhtml+xml" => {
            from_html(url, &String::from_utf8_lossy(body)).map_err(refuse)
        }
        other => Err(refuse(format!(
            "its type is `{}`",
            crate::event::printable(&other.chars().take(100).collect::<String>())
        ))),
    }
}

#[derive(Deserialize)]
struct JsonPage {
    #[serde(default)]
    meta: JsonMeta,
    files: Vec<JsonFile>,
}

#[derive(Default, Deserialize)]
struct JsonMeta {
    #[serde(rename = "api-version")]
    api_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    requires_python: Option<String>,
    core_metadata: Option<Offer>,
    dist_info_metadata: Option<Offer>,
    #[serde(default)]
    yanked: Yanked,
    size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Offer {
    Plain(bool),
    Hashes(BTreeMap<String, String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Plain(Option<bool>),
    Reason(String),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Plain(None)
    }
}

/// PEP 691.
fn from_json(base: &Url, body: &[u8]) -> Result<Vec<Link>, String> {
    let page: JsonPage = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    check_version(page.meta.api_version.as_deref())?;
    let link = |file: JsonFile| {
        let (url, _) = target(base, &file.url)?;
        Some(Link {
            filename: file.filename,
            url: url.into(),
            digest: strongest(&file.hashes),
            size: file.size,
            requires_python: file.requires_python,
            yanked: match file.yanked {
                Yanked::Plain(Some(true)) => Some(String::new()),
                Yanked::Plain(_) => None,
                Yanked::Reason(reason) => Some(reason),
            },
            // PEP 714: the new name goes before the old one, which PyPI once filled wrongly.
            metadata: match file.core_metadata.or(file.dist_info_metadata) {
                None | Some(Offer::Plain(false)) => CoreMetadata::NotOffered,
                Some(Offer::Plain(true)) => CoreMetadata::Offered,
                Some(Offer::Hashes(hashes)) => offered(strongest(&hashes)),
            },
        })
    };
    Ok(page.files.into_iter().filter_map(link).collect())
}

/// PEP 503.
fn from_html(page_url: &Url, page: &str) -> Result<Vec<Link>, String> {
    let mut base = page_url.clone();
    let mut has_base = false;
    let mut links = Vec::new();
    for tag in html::tags(page) {
        match tag.name {
            "meta" if tag.get("name") == Some("pypi:repository-version") => {
                check_version(tag.get("content"))?;
            }
            "base" if !has_base => {
                if let Some(url) = tag.get("href").and_then(|href| page_url.join(href).ok()) {
                    base = url;
                    has_base = true;
                }
            }
            "a" => links.extend(from_anchor(&base, &tag)),
            _ => {}
        }
    }
    Ok(links)
}

fn from_anchor(base: &Url, tag: &html::Tag<'_>) -> Option<Link> {
    let (url, fragment) = target(base, tag.get("href")?.trim())?;
    let hash = fragment.as_deref().and_then(|fragment| {
        let mut parts = fragment.split('&');
        parts.find_map(digest_of)
    });
    let metadata = tag
        .get("data-core-metadata")
        .or(tag.get("data-dist-info-metadata"));
    Some(Link {
        filename: file_name(&url)?,
        url: url.into(),
        digest: hash,
        size: None,
        requires_python: tag.get("data-requires-python").map(str::to_owned),
        yanked: tag.get("data-yanked").map(str::to_owned),
        metadata: match metadata {
            None | Some("false") => CoreMetadata::NotOffered,
            Some(value) => offered(digest_of(value)),
        },
    })
}

fn offered(digest: Option<Digest>) -> CoreMetadata {
    digest.map_or(CoreMetadata::Offered, CoreMetadata::Promised)
}

/// PEP 629: a new major version may mean anything; a new minor one only adds.
fn check_version(version: Option<&str>) -> Result<(), String> {
    match version.map(|version| version.split('.').next().unwrap_or_default().trim()) {
        None | Some(MAJOR_VERSION) => Ok(()),
        Some(_) => Err(format!(
            "it is of version {} of the index protocol, and only version 1 is known",
            crate::event::printable(
                &version
                    .unwrap_or_default()
                    .chars()
                    .take(20)
                    .collect::<String>()
            )
        )),
    }
}

/// Where a link leads, and its fragment. User names and passwords in links of pages are nothing that we would send.
fn target(base: &Url, link: &str) -> Option<(Url, Option<String>)> {
    let mut url = base.join(link).ok()?;
    let is_fit = match url.scheme() {
        "https" | "http" => url.has_host(),
        "file" => base.scheme() == "file",
        _ => false,
    };
    if !is_fit {
        return None;
    }
    let fragment = url.fragment().map(str::to_owned);
    url.set_fragment(None);
    // These fail only for URLs that can have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some((url, fragment))
}

/// `sha256=HEX`.
fn digest_of(text: &str) -> Option<Digest> {
    let (algorithm, hex) = text.split_once('=')?;
    let text = format!("{}:{}", algorithm.trim(), hex.trim().to_ascii_lowercase());
    text.parse().ok()
}

fn strongest(hashes: &BTreeMap<String, String>) -> Option<Digest> {
    ["sha256", "sha512"].into_iter().find_map(|algorithm| {
        let hex = hashes.get(algorithm)?;
        format!("{algorithm}:{}", hex.to_ascii_lowercase())
            .parse()
            .ok()
    })
}

/// The last part of a URL's path, its percent signs resolved; `None` for what can be no file's name.
pub(super) fn file_name(url: &Url) -> Option<String> {
    let name = percent_decoded(url.path_segments()?.next_back()?)?;
    let is_fit = !name.is_empty() && !name.contains(['/', '\\', '\0']);
    is_fit.then_some(name)
}

/// Resolves `%2B` and the like; `None` when the result is no UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let digit = |byte: &u8| (*byte as char).to_digit(16);
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (*first, after)
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            bytes.push((high * 16 + low) as u8);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Makes files of links: those whose names are of the project.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    project: &'a PackageName,
    /// Hundreds of files have the same few texts.
    specifiers: BTreeMap<String, Option<Arc<VersionSpecifiers>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(project: &'a PackageName) -> Self {
        Self {
            project,
            specifiers: BTreeMap::new(),
        }
    }

    /// The file behind a link, or `None` when it belongs to another project or is of no use to anybody.
    pub(super) fn file(&mut self, link: &Link) -> Option<File> {
        let kind = kind(&link.filename, self.project)?;
        let requires_python = link.requires_python.as_deref().and_then(|text| {
            if let Some(known) = self.specifiers.get(text) {
                return known.clone();
            }
            let read = lenient::specifiers(text).ok().map(Arc::new);
            self.specifiers.insert(text.to_owned(), read.clone());
            read
        });
        Some(File {
            filename: link.filename.clone(),
            url: link.url.clone(),
            kind,
            digest: link.digest.clone(),
            size: link.size,
            requires_python,
            yanked: link.yanked.clone(),
            metadata: link.metadata.clone(),
        })
    }
}

/// What the name of a file says, if it is one of the project's.
fn kind(filename: &str, project: &PackageName) -> Option<FileKind> {
    if Path::new(filename)
        .extension()
        .is_some_and(|ending| ending == "whl")
    {
        let name = WheelName::from_str(filename).ok()?;
        return (name.name == *project).then_some(FileKind::Wheel(name));
    }
    let stem = SDIST_ENDINGS
        .iter()
        .find_map(|ending| filename.strip_suffix(ending))?;
    // Old names have hyphens in the project's name, so every one may be the one before the version.
    for (position, _) in stem.match_indices('-') {
        let (name, version) = stem.split_at(position);
        if name.len() <= 2 * project.as_ref().len()
            && PackageName::from_str(name).is_ok_and(|name| name == *project)
            && let Ok(version) = Version::from_str(&version[1..])
        {
            return Some(FileKind::Sdist(version));
        }
    }
    None
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
