//! Garbage: which of what a store keeps nobody is likely to need again, and removing it.
//!
//! | what | garbage |
//! |---|---|
//! | images that have a name, and their unpacked layers | never |
//! | other blobs | unless the record of a step that is kept names them |
//! | other unpacked layers | always |
//! | records of steps | when their layers are gone, when they are damaged, and as below |
//! | all else in `cache/` and `wheels/` | not used since a given time; the longest unused, where there is more than a given size |
//! | temporary files of killed processes | always |
//!
//! The time of a file in the caches is that of its last use: who reads one touches it. Anything removed here can be had
//! or made again. Nothing is removed while another process uses the store.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::{DirEntry, WalkDir};

use super::cache::record::STEPS;
use super::cache::{Record, Records};
use super::engine::{self, ENGINE};
use crate::image::Descriptor;
use crate::store::{self, BlobStore, Unreached};

/// What of the caches is worth keeping. Images that have a name always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing of them.
    Nothing,
    /// What was used lately.
    Recent {
        /// What was not used since then goes.
        since: SystemTime,
        /// Of what is left, the longest unused goes until the rest has at most so many bytes: files of the caches, and
        /// layers that only records of steps name.
        max_bytes: Option<u64>,
    },
}

/// Kinds of garbage, for people who want to know what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Layers and documents of images.
    Blobs,
    /// Layers as directories.
    Unpacked,
    /// What steps made and were made of, and what was found out for them: `cache/steps`, `cache/last`,
    /// `cache/engine`, `cache/sources`, `cache/resolutions`, `cache/targets`, `cache/sbom`.
    Records,
    /// Wheels.
    Wheels,
    /// Pages and metadata of package indexes: `cache/pypi`.
    Indexes,
    /// Packages and lists of packages of Debian: `cache/debian`.
    Debian,
    /// Directories of `--cache-mount`, and pip's cache: `cache/mounts`.
    Mounts,
    /// What no part of this version of overcoat knows.
    Other,
}

impl Kind {
    /// A word for lists and for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Unpacked => "unpacked",
            Self::Records => "records",
            Self::Wheels => "wheels",
            Self::Indexes => "indexes",
            Self::Debian => "debian",
            Self::Mounts => "mounts",
            Self::Other => "other",
        }
    }

    /// The kind of what is at `relative`, a path below the store.
    fn of(relative: &Path) -> Self {
        let mut names = relative.iter().filter_map(|name| name.to_str());
        match (names.next(), names.next()) {
            (Some("wheels"), _) => Self::Wheels,
            (_, Some(STEPS | ENGINE | "last" | "sources" | "resolutions" | "targets" | "sbom")) => {
                Self::Records
            }
            (_, Some("pypi")) => Self::Indexes,
            (_, Some("debian")) => Self::Debian,
            (_, Some("mounts")) => Self::Mounts,
            _ => Self::Other,
        }
    }
}

/// How much of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files, or directories that are removed whole.
    pub count: u64,
    /// The sizes of the files, in bytes.
    pub bytes: u64,
}

/// What can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    paths: Vec<PathBuf>,
    amounts: BTreeMap<Kind, Amount>,
}

impl Garbage {
    /// How much there is of each kind; kinds of which there is none are missing.
    pub fn amounts(&self) -> &BTreeMap<Kind, Amount> {
        &self.amounts
    }

    /// How much there is together.
    pub fn total(&self) -> Amount {
        let add = |sum: Amount, next: &Amount| Amount {
            count: sum.count + next.count,
            bytes: sum.bytes + next.bytes,
        };
        self.amounts.values().fold(Amount::default(), add)
    }

    /// The files and directories.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    fn add(&mut self, kind: Kind, path: PathBuf, bytes: u64) {
        let amount = self.amounts.entry(kind).or_default();
        amount.count += 1;
        amount.bytes += bytes;
        self.paths.push(path);
    }

    fn add_all(&mut self, kind: Kind, unreached: Vec<Unreached>) {
        for Unreached { path, bytes } in unreached {
            self.add(kind, path, bytes);
        }
    }
}

/// Something that a cache holds.
struct Entry {
    path: PathBuf,
    kind: Kind,
    bytes: u64,
    used: SystemTime,
    /// What the record of a step speaks of.
    layers: Vec<Descriptor>,
    /// Of no use to anybody, however new.
    is_waste: bool,
}

/// Finds what can go, and removes nothing. While others use the store, some of it may be what they are making.
///
/// # Errors
/// [`store::Error`] when a named image or a directory cannot be read, for then nobody knows what is needed.
pub fn find(store: &BlobStore, keep: Keep) -> Result<Garbage, store::Error> {
    let mut reached = store.reached()?;
    let mut garbage = Garbage::default();
    let mut kept = Vec::new();
    for entry in entries(store)? {
        let is_old = match keep {
            Keep::Nothing => true,
            Keep::Recent { since, .. } => entry.used < since,
        };
        match is_old || entry.is_waste {
            true => garbage.add(entry.kind, entry.path, entry.bytes),
            false => kept.push(entry),
        }
    }
    // The last used first; by path where the clock does not tell.
    kept.sort_by(|a, b| (b.used, &a.path).cmp(&(a.used, &b.path)));
    let max_bytes = match keep {
        Keep::Nothing => None,
        Keep::Recent { max_bytes, .. } => max_bytes,
    };
    let (mut bytes, mut is_full) = (0_u64, false);
    for entry in kept {
        let layers = entry.layers.iter();
        let new: BTreeMap<_, _> = layers
            .filter(|layer| !reached.blobs.contains(&layer.digest))
            .map(|layer| (layer.digest.clone(), layer.size))
            .collect();
        bytes = new
            .values()
            .fold(bytes.saturating_add(entry.bytes), |sum, size| {
                sum.saturating_add(*size)
            });
        is_full |= max_bytes.is_some_and(|most| bytes > most);
        match is_full {
            true => garbage.add(entry.kind, entry.path, entry.bytes),
            false => reached.blobs.extend(new.into_keys()),
        }
    }
    garbage.add_all(Kind::Blobs, store.unreached_blobs(&reached.blobs)?);
    garbage.add_all(Kind::Unpacked, store.unreached_unpacked(&reached.unpacked)?);
    Ok(garbage)
}

/// Removes what can go, and says what it was; `None`, and nothing is removed, when another process uses the store.
///
/// # Errors
/// As [`find`], and with the first path that could not be removed.
pub fn collect(store: &BlobStore, keep: Keep) -> Result<Option<Garbage>, store::Error> {
    let Some(alone) = store.alone()? else {
        return Ok(None);
    };
    let garbage = find(store, keep)?;
    alone.remove(garbage.paths())?;
    Ok(Some(garbage))
}

/// Takes the name of an image away and removes what no other name reaches: the image's blobs, though a step remembers
/// them, and unnamed ones that no step remembers. What caches hold of other builds stays. `None` when another process uses the store:
/// then only the name is gone.
///
/// # Errors
/// As [`collect`]; an image that is damaged can be removed.
pub fn remove_image(
    store: &BlobStore,
    name: &str,
    manifest: &Descriptor,
) -> Result<Option<Garbage>, store::Error> {
    // A damaged image reaches what can be read of it, which may be nothing.
    let gone = store.reached_by(manifest).unwrap_or_default();
    store.untag(name)?;
    let Some(alone) = store.alone()? else {
        return Ok(None);
    };
    let mut reached = store.reached()?;
    for entry in entries(store)? {
        let digests = entry.layers.into_iter().map(|layer| layer.digest);
        let others = digests.filter(|digest| !gone.blobs.contains(digest));
        reached.blobs.extend(others);
    }
    let mut garbage = Garbage::default();
    garbage.add_all(Kind::Blobs, store.unreached_blobs(&reached.blobs)?);
    garbage.add_all(Kind::Unpacked, store.unreached_unpacked(&reached.unpacked)?);
    alone.remove(garbage.paths())?;
    Ok(Some(garbage))
}

/// All that the caches of a store hold.
fn entries(store: &BlobStore) -> Result<Vec<Entry>, store::Error> {
    let root = store.root();
    let (steps, mounts) = (store.cache(STEPS), store.cache("mounts"));
    let engine = store.cache(ENGINE);
    let leftovers = root.join("wheels/tmp");
    let records = Records::new(store);
    let mut found = Vec::new();
    for top in ["cache", "wheels"].map(|name| root.join(name)) {
        // A directory of `cache/mounts/IDS/` is one thing; its files belong to whoever used it.
        let is_mount = |path: &Path| path.parent().and_then(Path::parent) == Some(&mounts);
        let is_whole = |entry: &DirEntry| is_mount(entry.path()) || entry.path() == leftovers;
        let mut walk = WalkDir::new(&top).into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                // There is no such cache, or another process has just removed a file of it.
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failure(&top, error).into()),
            };
            let path = entry.path().to_owned();
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failure(&path, error).into()),
            };
            let kind = Kind::of(path.strip_prefix(root).unwrap_or(&path));
            if metadata.is_dir() {
                if is_whole(&entry) {
                    walk.skip_current_dir();
                    found.push(tree(path, kind, &metadata, &leftovers));
                }
                continue;
            }
            let is_temporary = entry.file_name().to_string_lossy().starts_with(".tmp-");
            let of_step = |record: Record| {
                let layers = record.layers.into_iter();
                layers.map(|layer| layer.descriptor).collect()
            };
            let layers: Option<Option<Vec<Descriptor>>> = if path.parent() == Some(&steps) {
                Some(records.read(&path).map(of_step))
            } else if path.starts_with(&engine) {
                Some(engine::reached(store, &path))
            } else {
                None
            };
            let is_useless = matches!(layers, Some(None));
            found.push(Entry {
                kind,
                bytes: metadata.len(),
                used: used(&metadata),
                layers: layers.flatten().unwrap_or_default(),
                is_waste: is_temporary || is_useless,
                path,
            });
        }
    }
    let is_something = |entry: &Entry| entry.path != leftovers || entry.bytes > 0;
    found.retain(is_something);
    Ok(found)
}

/// A directory that is kept or removed whole; it was used when anything in it was written.
fn tree(path: PathBuf, kind: Kind, metadata: &Metadata, leftovers: &Path) -> Entry {
    let inside = WalkDir::new(&path).into_iter().flatten();
    let times = inside.filter_map(|entry| entry.metadata().ok().map(|metadata| used(&metadata)));
    Entry {
        bytes: crate::fs::tree_bytes(&path),
        used: times.max().unwrap_or_else(|| used(metadata)),
        kind,
        layers: Vec::new(),
        is_waste: path == leftovers,
        path,
    }
}

/// When a file was last used. One without a time is as old as can be.
fn used(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn is_absent(error: &walkdir::Error) -> bool {
    let error = error.io_error();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn failure(path: &Path, error: walkdir::Error) -> crate::fs::Error {
    let at = error.path().unwrap_or(path).to_owned();
    crate::fs::Error::new("look at", at, error.into())
}

#[cfg(test)]
#[path = "gc_tests.rs"]
mod tests;
