//! Answers, remembered by what they depend on.
//!
//! ```text
//! DIR/resolutions/KEY.json   one answer; KEY is the digest of everything that it depends on but the index's content
//! DIR/latest/SLOT            the key of the last answer for one application and builder
//! ```
//!
//! A record that is damaged, of another format or for another key is as good as none: it is asked for again and
//! written anew.

use std::path::{Path, PathBuf};

use pep508_rs::MarkerEnvironment;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, Digester};
use crate::fs;
use crate::python::{PackageName, Pinned, RemoteWheel, Resolution, Version, WheelName};

use super::Solution;
use super::direct::{shown, without_credentials};
use super::request::{Names, Preference, Request, Required};

/// What the records of this program say they are.
const FORMAT: &str = "overcoat resolution 1";

/// The size of the largest record that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// The name of an answer: the digest of all that it depends on but what the indexes have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnswerKey(Digest);

/// Hashes parts so that no two different lists of parts have the same bytes: each with its length in front.
struct Framed(Digester);

impl Framed {
    fn new(format: &str) -> Self {
        let mut framed = Self(Digester::new(Algorithm::Sha256));
        framed.part(format);
        framed
    }

    fn part(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.update(&count.to_be_bytes());
    }

    fn parts<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        let texts: Vec<T> = texts.into_iter().collect();
        self.count(texts.len());
        for text in &texts {
            self.part(text.as_ref());
        }
    }
}

impl AnswerKey {
    /// The key of a request to `indexes` (index URLs, extra ones, `--find-links`, in order; credentials in them do not
    /// count). Spelling, white space and origins of requirements do not count; their order does, because the resolver
    /// looks at it. The previous answer does not count: an answer that was remembered is as good as a new one.
    pub fn of(request: &Request<'_>, indexes: &[String]) -> Self {
        let mut framed = Framed::new(FORMAT);
        framed.parts(request.requirements.iter().map(normal));
        framed.parts(request.constraints.iter().map(normal));
        framed.parts(indexes.iter().map(|url| without_credentials(url)));
        framed.part(if request.pre { "pre" } else { "" });
        let formats = request.formats;
        for names in [&formats.no_binary, &formats.only_binary] {
            let Names { all, names } = names;
            framed.part(if *all { ":all:" } else { "" });
            framed.parts(names.iter().map(AsRef::<str>::as_ref));
        }
        framed.part(if formats.prefer_binary { "prefer" } else { "" });
        match request.hashes {
            None => framed.part("no hashes"),
            Some(hashes) => {
                framed.part("hashes");
                framed.count(hashes.len());
                for (name, digests) in hashes {
                    framed.part(name.as_ref());
                    framed.parts(digests.iter().map(ToString::to_string));
                }
            }
        }
        let target = request.target;
        framed.part(&target.version.to_string());
        framed.parts(markers(&target.markers));
        framed.parts(&target.tags);
        framed.count(target.installed.len());
        for (name, version) in &target.installed {
            framed.part(name.as_ref());
            framed.part(&version.to_string());
        }
        Self(framed.0.finish())
    }

    /// The digest itself.
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

/// A requirement with its marker, as it is after parsing.
fn normal(required: &Required) -> String {
    let requirement = &required.requirement;
    let mut extras = requirement.clone();
    extras.extras.sort();
    let marker = requirement.marker.try_to_string().unwrap_or_default();
    // The URL's fragment, where a hash may be, is part of what is shown.
    format!("{} ; {marker}", shown(&extras))
}

fn markers(markers: &MarkerEnvironment) -> [String; 11] {
    [
        markers.implementation_name().to_owned(),
        markers.implementation_version().to_string(),
        markers.os_name().to_owned(),
        markers.platform_machine().to_owned(),
        markers.platform_python_implementation().to_owned(),
        markers.platform_release().to_owned(),
        markers.platform_system().to_owned(),
        markers.platform_version().to_owned(),
        markers.python_full_version().to_string(),
        markers.python_version().to_string(),
        markers.sys_platform().to_owned(),
    ]
}

/// An answer with what it is the answer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was asked.
    pub key: AnswerKey,
    /// When, in seconds since 1970.
    pub made: u64,
    /// The indexes that were asked, without credentials, in order.
    pub indexes: Vec<String>,
    /// The answer.
    pub solution: Solution,
}

impl Record {
    /// A record of `solution`, found at `made` (seconds since 1970).
    pub fn new(key: AnswerKey, made: u64, indexes: &[String], solution: Solution) -> Self {
        let indexes = indexes.iter().map(|url| without_credentials(url)).collect();
        Self {
            key,
            made,
            indexes,
            solution,
        }
    }

    /// What a new resolution should keep where it still satisfies. The wheels themselves are kept only when the new
    /// resolution asks the same `indexes`.
    pub fn preferences(
        &self,
        indexes: &[String],
    ) -> std::collections::BTreeMap<PackageName, Preference> {
        let same = indexes.len() == self.indexes.len()
            && std::iter::zip(indexes, &self.indexes)
                .all(|(now, then)| without_credentials(now) == *then);
        let preference = |pinned: &Pinned| {
            let mut preference = Preference::from(pinned);
            preference.wheel = preference.wheel.filter(|_| same);
            (pinned.name.clone(), preference)
        };
        let packages = &self.solution.resolution.packages;
        packages.iter().map(preference).collect()
    }
}

/// The file: what it is, its own digest, and the record.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: String,
    digest: Digest,
    record: Body,
}

#[derive(Serialize, Deserialize)]
struct Body {
    key: Digest,
    made: u64,
    indexes: Vec<String>,
    packages: Vec<Package>,
    satisfied: Vec<(PackageName, Version)>,
    extras:
        std::collections::BTreeMap<PackageName, std::collections::BTreeSet<pep508_rs::ExtraName>>,
}

#[derive(Serialize, Deserialize)]
struct Package {
    name: PackageName,
    version: Version,
    wheel: String,
    url: String,
    digest: Option<Digest>,
    size: Option<u64>,
    requested: bool,
}

impl From<&Record> for Body {
    fn from(record: &Record) -> Self {
        let package = |pinned: &Pinned| Package {
            name: pinned.name.clone(),
            version: pinned.version.clone(),
            wheel: pinned.wheel.name.to_string(),
            url: pinned.wheel.url.clone(),
            digest: pinned.wheel.digest.clone(),
            size: pinned.wheel.size,
            requested: pinned.is_requested,
        };
        let solution = &record.solution;
        Self {
            key: record.key.0.clone(),
            made: record.made,
            indexes: record.indexes.clone(),
            packages: solution.resolution.packages.iter().map(package).collect(),
            satisfied: solution.satisfied.clone(),
            extras: solution.extras.clone(),
        }
    }
}

impl Body {
    /// The record, when it is a possible one.
    fn record(self) -> Option<Record> {
        let mut packages = Vec::with_capacity(self.packages.len());
        for package in self.packages {
            let name: WheelName = package.wheel.parse().ok()?;
            let is_right = name.name == package.name && name.version == package.version;
            let url = package.url;
            let scheme = ["https://", "http://", "file://"];
            let is_url = scheme.iter().any(|scheme| url.starts_with(scheme));
            if !is_right || !is_url || without_credentials(&url) != url {
                return None;
            }
            packages.push(Pinned {
                name: package.name,
                version: package.version,
                wheel: RemoteWheel {
                    name,
                    url,
                    digest: package.digest,
                    size: package.size,
                },
                is_requested: package.requested,
            });
        }
        let is_sorted = packages.is_sorted_by(|a, b| a.name < b.name);
        is_sorted.then_some(Record {
            key: AnswerKey(self.key),
            made: self.made,
            indexes: self.indexes,
            solution: Solution {
                resolution: Resolution { packages },
                satisfied: self.satisfied,
                extras: self.extras,
            },
        })
    }
}

fn record_path(directory: &Path, key: &Digest) -> PathBuf {
    let name = format!("{}.json", key.hex());
    directory.join("resolutions").join(name)
}

fn slot_path(directory: &Path, slot: &str) -> PathBuf {
    let mut framed = Framed::new("overcoat resolution slot 1");
    framed.part(slot);
    directory.join("latest").join(framed.0.finish().hex())
}

/// Writes a record below `directory`, and that it is the latest for `slot`: any text that stands for one application
/// and its builder.
///
/// # Errors
/// Those of the file system.
pub fn remember(directory: &Path, slot: &str, record: &Record) -> Result<(), fs::Error> {
    let body = Body::from(record);
    let path = record_path(directory, &body.key);
    let envelope = Envelope {
        format: FORMAT.to_owned(),
        digest: digest_of(&body),
        record: body,
    };
    let bytes = serde_json::to_vec(&envelope)
        .map_err(|error| fs::Error::new("write", &path, std::io::Error::other(error)))?;
    let latest = slot_path(directory, slot);
    for path in [&path, &latest] {
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
    }
    fs::write_atomic(&path, &bytes)?;
    fs::write_atomic(&latest, record.key.0.to_string().as_bytes())
}

/// The answer that is remembered for a key; `None` when there is none, or none that can be read.
pub fn find(directory: &Path, key: &AnswerKey) -> Option<Record> {
    let path = record_path(directory, &key.0);
    let bytes = fs::read_limited(&path, MOST_BYTES).ok()?;
    let envelope: Envelope = serde_json::from_slice(&bytes).ok()?;
    let is_right = envelope.format == FORMAT
        && envelope.record.key == key.0
        && digest_of(&envelope.record) == envelope.digest;
    if !is_right {
        return None;
    }
    fs::touch(&path);
    envelope.record.record()
}

/// The latest answer for `slot`, whatever it was asked; `None` when there is none, or none that can be read.
pub fn previous(directory: &Path, slot: &str) -> Option<Record> {
    let path = slot_path(directory, slot);
    let text = fs::read_limited(&path, 200).ok()?;
    fs::touch(&path);
    let key: Digest = std::str::from_utf8(&text).ok()?.parse().ok()?;
    find(directory, &AnswerKey(key))
}

/// The digest of a record's content: a file that was cut or changed does not match.
fn digest_of(body: &Body) -> Digest {
    Digest::of(&serde_json::to_vec(body).unwrap_or_default())
}

#[cfg(test)]
#[path = "tests/answer.rs"]
mod tests;
