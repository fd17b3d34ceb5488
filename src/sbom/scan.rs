//! One layer, read once: what it brings, and what of the layers below it takes away.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read};

use serde::{Deserialize, Serialize};

use super::licence::Licence;
use super::origin::{self, Origin};
use super::place::{self, Kind as Place};
use super::state::State;
use super::{Error, apk, dpkg, interpreter, metadata, os_release};
use crate::digest::{Algorithm, DiffId, Digester};
use crate::event::Observer;
use crate::image::{Descriptor, media_type};
use crate::layer::{self, Entry, Kind, whiteout};
use crate::store::BlobStore;

/// How many files of one layer are looked into.
const MAX_FINDINGS: usize = 100_000;
/// How much is kept of what one layer says, in bytes.
const MAX_KEPT: usize = 32 << 20;
/// The largest `RECORD` that is digested, in bytes.
const MAX_RECORD: u64 = 256 << 20;

/// A package of a distribution's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: Option<String>,
    /// What it was built from where that has another name, `NAME` or `NAME@VERSION`.
    pub(super) upstream: Option<String>,
    pub(super) licences: Vec<Licence>,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Finding {
    /// A Python distribution.
    Python(metadata::Distribution),
    /// What installed it.
    Installer(String),
    /// It was asked for by name.
    Requested,
    /// The SHA-256 of its `RECORD`, in hexadecimal.
    Record(String),
    /// Where it was installed from.
    Origin(Origin),
    /// dpkg's packages.
    Debian(Vec<Package>),
    /// apk's packages.
    Alpine(Vec<Package>),
    /// The licences of a Debian package.
    Copyright(Vec<Licence>),
    /// The distribution: identifier, version, name.
    Release(String, Option<String>, Option<String>),
    /// An interpreter, `3.N` and its version if that lies in it.
    Interpreter(String, Option<String>),
    /// The version that an interpreter's library or header says, with its `3.N`.
    Version(String, String),
    /// Something that cannot be listed, and why.
    Unlisted(String),
}

impl Finding {
    /// How many bytes it takes, about.
    pub(super) fn weight(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |bytes| bytes.len())
    }
}

/// What a layer changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delta {
    /// Findings of lower layers that are not in the image any more, by path.
    pub(super) removed: BTreeSet<String>,
    /// What this layer brings, by path.
    pub(super) added: BTreeMap<String, Finding>,
}

/// Reads a layer whose blob `store` has.
///
/// # Errors
/// As [`super::of`].
pub(super) fn scan(
    (descriptor, diff_id): (&Descriptor, &DiffId),
    store: &BlobStore,
    below: &State,
    observer: &dyn Observer,
) -> Result<Delta, Error> {
    let Some(compression) = media_type::layer_compression(&descriptor.media_type) else {
        return Err(Error::MediaType {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.clone(),
        });
    };
    let blob = BufReader::with_capacity(128 << 10, store.open_blob(descriptor)?);
    let mut scan = Scan {
        alive: below.files.keys().cloned().collect(),
        delta: Delta::default(),
        kept: 0,
    };
    layer::visit(blob, compression, diff_id, observer, |entry, content| {
        scan.see(&entry, content)
    })
    .map_err(|error| match error {
        layer::Error::Interrupted => Error::Store(crate::store::Error::Interrupted),
        source => Error::Layer {
            digest: descriptor.digest.clone(),
            source: Box::new(source),
        },
    })?;
    Ok(scan.delta)
}

struct Scan {
    /// The files of lower layers that are still there. Each leaves once, however often a layer says so.
    alive: BTreeSet<String>,
    delta: Delta,
    /// The bytes that `delta` takes, about.
    kept: usize,
}

impl Scan {
    fn see(&mut self, entry: &Entry, content: &mut dyn Read) -> Result<(), layer::Error> {
        match whiteout::parse(&entry.path)? {
            Some(whiteout::Whiteout::Deleted(path)) => {
                let path = place::text(&path);
                self.remove_below(&path, true);
                return Ok(());
            }
            Some(whiteout::Whiteout::Opaque(path)) => {
                self.remove_below(&place::text(&path), false);
                return Ok(());
            }
            None => {}
        }
        let path = place::text(&entry.path);
        if entry.kind == Kind::Directory {
            // What was a file until now is none any more; what is in a directory stays.
            self.remove_one(&path);
            return Ok(());
        }
        // A file takes the place of whatever was there, be it a directory with all that is in it.
        self.remove_below(&path, true);
        self.forget_own(&path);
        let Some(place) = place::kind(&path) else {
            return Ok(());
        };
        let found = match &entry.kind {
            Kind::File { .. } => {
                let read = |source| layer::Error::Io {
                    action: "read",
                    path: format!("/{path}"),
                    source,
                };
                find(&place, entry.mode, content).map_err(read)?
            }
            // A second name of a file of this layer: it says the same, if it is known what that is.
            Kind::HardLink { target } => {
                let known = self.delta.added.get(&place::text(target)).cloned();
                known.or_else(|| unlisted(&place, "it is a further name of another file"))
            }
            Kind::Symlink { .. } => unlisted(&place, "it is a link"),
            _ => None,
        };
        let Some(found) = found else {
            return Ok(());
        };
        self.kept += path.len() + found.weight();
        self.delta.added.insert(path, found);
        match self.delta.added.len() > MAX_FINDINGS || self.kept > MAX_KEPT {
            true => Err(layer::Error::Hostile(format!(
                "it has metadata of more than {MAX_FINDINGS} packages, or {MAX_KEPT} bytes of it"
            ))),
            false => Ok(()),
        }
    }

    /// Removes what lower layers have below a path, and at it if that is wanted.
    fn remove_below(&mut self, path: &str, with_it: bool) {
        if with_it {
            self.remove_one(path);
        }
        let prefix = match path {
            "" => String::new(),
            directory => format!("{directory}/"),
        };
        let from = self.alive.range(prefix.clone()..);
        let gone = from.take_while(|known| known.starts_with(&prefix));
        let gone: Vec<String> = gone.cloned().collect();
        for known in gone {
            self.alive.remove(&known);
            self.delta.removed.insert(known);
        }
    }

    fn remove_one(&mut self, path: &str) {
        if let Some(known) = self.alive.take(path) {
            self.delta.removed.insert(known);
        }
    }

    /// A layer that has a path twice means the last.
    fn forget_own(&mut self, path: &str) {
        self.delta.added.remove(path);
        let prefix = format!("{path}/");
        let own = self.delta.added.range(prefix.clone()..);
        let own = own.take_while(|(known, _)| known.starts_with(&prefix));
        let own: Vec<String> = own.map(|(known, _)| known.clone()).collect();
        for known in own {
            self.delta.added.remove(&known);
        }
    }
}

/// What has to be said of a file that should say something and cannot be read in passing.
fn unlisted(place: &Place, reason: &str) -> Option<Finding> {
    let matters = matches!(
        place,
        Place::Metadata | Place::Dpkg | Place::Apk | Place::Rpm
    );
    matters.then(|| Finding::Unlisted(reason.to_owned()))
}

/// What a file says.
fn find(place: &Place, mode: u32, content: &mut dyn Read) -> io::Result<Option<Finding>> {
    let packages = |found: Result<Vec<Package>, String>, finding: fn(Vec<Package>) -> Finding| {
        Some(found.map_or_else(Finding::Unlisted, finding))
    };
    Ok(match place {
        Place::Metadata => Some(match metadata::read(content)? {
            Ok(distribution) => Finding::Python(distribution),
            Err(reason) => Finding::Unlisted(reason),
        }),
        Place::Installer => metadata::installer(content)?.map(Finding::Installer),
        Place::Requested => Some(Finding::Requested),
        Place::Record => Some(Finding::Record(sha256(content)?)),
        Place::DirectUrl => Some(origin::read(content)?)
            .filter(|origin| *origin != Origin::default())
            .map(Finding::Origin),
        Place::Dpkg => packages(dpkg::status(content)?, Finding::Debian),
        Place::Apk => packages(apk::installed(content)?, Finding::Alpine),
        Place::Rpm => Some(Finding::Unlisted(
            "packages of RPM are not read by this version of overcoat".to_owned(),
        )),
        Place::Copyright => Some(dpkg::copyright(content)?)
            .filter(|licences| !licences.is_empty())
            .map(Finding::Copyright),
        Place::OsRelease => os_release::read(content)?
            .map(|release| Finding::Release(release.id, release.version, release.name)),
        Place::Interpreter(minor) if mode & 0o111 != 0 => Some(Finding::Interpreter(
            minor.clone(),
            interpreter::embedded(content, minor)?,
        )),
        Place::Interpreter(_) => None,
        Place::Library(minor) => interpreter::embedded(content, minor)?
            .map(|version| Finding::Version(minor.clone(), version)),
        Place::Header(minor) => interpreter::patchlevel(content, minor)?
            .map(|version| Finding::Version(minor.clone(), version)),
    })
}

fn sha256(content: &mut dyn Read) -> io::Result<String> {
    let mut digester = Digester::new(Algorithm::Sha256);
    let mut content = content.take(MAX_RECORD);
    let mut buffer = vec![0; 32 << 10];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(digester.finish().hex().to_owned()),
            count => digester.update(&buffer[..count]),
        }
    }
}
