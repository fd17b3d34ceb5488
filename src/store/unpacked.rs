//! Layers as directories, unpacked once and stacked by overlay.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs as rfs;

use super::{BlobStore, Error, read_error};
use crate::digest::{DiffId, Digest, Mismatch, chain_ids};
use crate::event::{Event, Observer};
use crate::fs::{self, Context};
use crate::image::{Descriptor, Image, media_type};
use crate::layer::owners::OwnerList;
use crate::layer::stack::{Shown, Stack};
use crate::layer::{self, Ownership, Report};

/// Makes sure that every layer of `image` is unpacked, and gives their directories, base first.
///
/// `owners` names the mapping of user ids under which the caller runs: the same layer looks different on disk for
/// another user. With [`Ownership::Recorded`], [`recorded_owners`] says whose the files of each directory are. A
/// directory is there whole or not at all: it is made under a temporary name, synced and renamed.
///
/// # Errors
/// [`Error::Absent`] for a layer whose blob is not in the store, [`Error::Unpack`] for one that is damaged or unsafe,
/// [`Error::Interrupted`].
pub fn unpack_layers(
    store: &BlobStore,
    image: &Image,
    owners: &str,
    ownership: Ownership,
    threads: usize,
    observer: &dyn Observer,
) -> Result<Vec<PathBuf>, Error> {
    let directory = shelf(store, owners, ownership)?;
    let diff_ids = image.config.parsed.diff_ids();
    let shelf = Shelf {
        directory: &directory,
        ownership,
        chain_ids: chain_ids(diff_ids),
        diff_ids,
    };
    let mut missing: Vec<(&Descriptor, &DiffId)> = Vec::new();
    for (index, (blob, diff_id)) in image.layers().enumerate() {
        let is_listed = missing.iter().any(|(_, listed)| *listed == diff_id);
        if !is_listed && shelf.find(index).is_none() {
            missing.push((blob, diff_id));
        }
    }
    if !missing.is_empty() {
        let scratch = tempfile::tempdir_in(store.workspace()?)
            .context("create a directory in", store.root())?;
        let work = Work {
            store,
            scratch: scratch.path(),
            ownership,
            observer,
        };
        let mut reports = work.unpack(&missing, threads)?;
        let flags = rfs::OFlags::RDONLY | rfs::OFlags::CLOEXEC;
        let handle = rfs::open(&directory, flags, rfs::Mode::empty());
        handle.and_then(rfs::syncfs).context("sync", &directory)?;
        // Base first: what a layer leaves out is taken from those below it.
        for (index, diff_id) in diff_ids.iter().enumerate() {
            let unpacked = scratch.path().join(diff_id.0.hex());
            if unpacked.exists() {
                shelf.put(
                    index,
                    &unpacked,
                    reports.remove(diff_id).unwrap_or_default(),
                )?;
            }
        }
    }
    let found = (0..diff_ids.len()).map(|index| shelf.find(index).ok_or(index));
    found.collect::<Result<_, _>>().map_err(|index| {
        let path = directory.join(diff_ids[index].0.hex());
        fs::Error::new("find", path, std::io::ErrorKind::NotFound.into()).into()
    })
}

/// The directory for what is unpacked under one mapping of ids, made if need be.
pub(super) fn shelf(
    store: &BlobStore,
    owners: &str,
    ownership: Ownership,
) -> Result<PathBuf, Error> {
    let all = store.root().join("unpacked");
    fs::create_private_dir(&all)?;
    let directory = match ownership {
        Ownership::Real => all.join(owners),
        Ownership::Recorded => all.join(format!("{owners}-recorded")),
    };
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Whose the files are of a directory that [`unpack_layers`] gave, with [`Ownership::Recorded`].
///
/// # Errors
/// [`Error::File`] when the list is not there or damaged; the text says what to remove.
pub fn recorded_owners(directory: &Path) -> Result<OwnerList, Error> {
    let path = directory.with_extension("owners");
    let bytes = fs::read_limited(&path, MAX_OWNERS_BYTES)?;
    OwnerList::parse(&bytes).map_err(|damaged| {
        let text = format!(
            "{damaged}; remove `{}`, and the layer is unpacked again",
            directory.display()
        );
        fs::Error::new("read", path, std::io::Error::other(text)).into()
    })
}

/// The list of a layer with two million files, each by another owner than root.
const MAX_OWNERS_BYTES: u64 = 256 << 20;

/// Where unpacked layers are kept. A layer that describes all its directories looks the same wherever it is used, and
/// is kept by its diff id. One that leaves directories out (`ID.implied` says so) gets them from the layers below, and
/// is kept by its chain id. `ID.owners` lists the owners where the disk does not have them.
struct Shelf<'a> {
    directory: &'a Path,
    ownership: Ownership,
    diff_ids: &'a [DiffId],
    chain_ids: Vec<Digest>,
}

impl Shelf<'_> {
    fn find(&self, index: usize) -> Option<PathBuf> {
        let hex = self.diff_ids[index].0.hex();
        let name = match self.directory.join(format!("{hex}.implied")).exists() {
            true => self.directory.join(self.chain_ids[index].hex()),
            false => self.directory.join(hex),
        };
        let is_whole = match self.ownership {
            Ownership::Real => name.exists(),
            Ownership::Recorded => name.exists() && name.with_extension("owners").exists(),
        };
        is_whole.then_some(name)
    }

    fn put(&self, index: usize, unpacked: &Path, mut report: Report) -> Result<(), Error> {
        let hex = self.diff_ids[index].0.hex();
        if report.implied.is_empty() {
            return self.keep(unpacked, hex, &report.owners);
        }
        let below: Vec<PathBuf> = (0..index)
            .rev()
            .filter_map(|lower| self.find(lower))
            .collect();
        let stack = Stack::new(&below);
        for path in &report.implied {
            let described = stack.find(path).map_err(looking)?;
            let Some(described) = described.filter(|described| described.metadata.is_dir()) else {
                continue;
            };
            copy_attributes(&described, &path.below(unpacked), self.ownership)?;
            if self.ownership == Ownership::Recorded {
                let owners = recorded_owners(&below[described.layer])?;
                report.owners.set(path.clone(), owners.get(path));
            }
        }
        self.keep(unpacked, self.chain_ids[index].hex(), &report.owners)?;
        Ok(fs::write_atomic(
            &self.directory.join(format!("{hex}.implied")),
            b"",
        )?)
    }

    fn keep(&self, unpacked: &Path, id: &str, owners: &OwnerList) -> Result<(), Error> {
        let place = self.directory.join(id);
        if self.ownership == Ownership::Recorded {
            // First: where there is a directory, there is a list. Another process writes the same one.
            fs::write_atomic(&place.with_extension("owners"), &owners.to_bytes())?;
        }
        match std::fs::rename(unpacked, &place) {
            Ok(()) => Ok(()),
            // Another process was quicker; its directory is as good.
            Err(_) if place.exists() => Ok(fs::remove_tree(unpacked)?),
            Err(error) => Err(fs::Error::new("rename", unpacked, error).into()),
        }
    }
}

/// An error of looking at layers on disk.
pub(super) fn looking(error: layer::Error) -> Error {
    match error {
        layer::Error::File(error) => Error::File(error),
        layer::Error::Interrupted => Error::Interrupted,
        error => Error::Merge {
            source: Box::new(error),
        },
    }
}

/// Gives a directory the owner, mode and time of another.
fn copy_attributes(from: &Shown, to: &Path, ownership: Ownership) -> Result<(), Error> {
    let metadata = &from.metadata;
    if ownership == Ownership::Real {
        std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))
            .context("set the owner of", to)?;
    }
    let modified = metadata.modified().context("read", &from.file)?;
    let directory = fs::open(to)?;
    std::fs::set_permissions(to, metadata.permissions()).context("set the mode of", to)?;
    Ok(directory
        .set_modified(modified)
        .context("set the time of", to)?)
}

/// Unpacking into a scratch directory.
struct Work<'a> {
    store: &'a BlobStore,
    scratch: &'a Path,
    ownership: Ownership,
    observer: &'a dyn Observer,
}

impl Work<'_> {
    /// Unpacks several layers side by side, the largest first; what there is to say of each.
    fn unpack(
        &self,
        missing: &[(&Descriptor, &DiffId)],
        threads: usize,
    ) -> Result<BTreeMap<DiffId, Report>, Error> {
        let mut queue = missing.to_vec();
        queue.sort_by_key(|(blob, _)| std::cmp::Reverse(blob.size));
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let reports = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some((blob, diff_id)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.unpack_one(blob, diff_id) {
                    Ok(report) => {
                        if let Ok(mut reports) = reports.lock() {
                            reports.insert((*diff_id).clone(), report);
                        }
                    }
                    Err(error) => {
                        // One error is told; the queue is emptied so that the others stop.
                        next.store(queue.len(), Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            failed.get_or_insert(error);
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(queue.len()) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(reports.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn unpack_one(&self, blob: &Descriptor, diff_id: &DiffId) -> Result<Report, Error> {
        let unpack = |source| Error::Unpack {
            digest: blob.digest.clone(),
            source: Box::new(source),
        };
        let compression = media_type::layer_compression(&blob.media_type).ok_or_else(|| {
            let text = match media_type::is_foreign(&blob.media_type) {
                true => format!("no registry carries it (`{}`)", blob.media_type),
                false => format!("its media type `{}` is not a layer's", blob.media_type),
            };
            unpack(layer::Error::Hostile(text))
        })?;
        let directory = self.scratch.join(diff_id.0.hex());
        std::fs::create_dir(&directory).context("create directory", &directory)?;
        let reader = self.store.open_blob(blob)?;
        let reader = BufReader::with_capacity(256 << 10, reader);
        let applied = layer::apply(
            reader,
            compression,
            diff_id,
            &directory,
            self.ownership,
            self.observer,
        );
        let report = applied.map_err(|error| match error {
            layer::Error::Interrupted => Error::Interrupted,
            layer::Error::Io { source, .. }
                if source.get_ref().is_some_and(|inner| inner.is::<Mismatch>()) =>
            {
                read_error(&self.store.blob_path(&blob.digest), source)
            }
            error => unpack(error),
        })?;
        if report.skipped_devices > 0 {
            self.observer.observe(Event::Note {
                text: format!(
                    "{} device files of the layer `{}` were left out: only root may make them",
                    report.skipped_devices,
                    blob.digest.short()
                ),
            });
        }
        Ok(report)
    }
}
