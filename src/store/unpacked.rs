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
use crate::layer::{self, EntryPath};

/// Makes sure that every layer of `image` is unpacked, and gives their directories, base first.
///
/// `owners` names the mapping of user ids under which the caller runs: the same layer looks different on disk for
/// another user. A directory is there whole or not at all: it is made under a temporary name, synced and renamed.
///
/// # Errors
/// [`Error::Absent`] for a layer whose blob is not in the store, [`Error::Unpack`] for one that is damaged or unsafe,
/// [`Error::Interrupted`].
pub fn unpack_layers(
    store: &BlobStore,
    image: &Image,
    owners: &str,
    threads: usize,
    observer: &dyn Observer,
) -> Result<Vec<PathBuf>, Error> {
    fs::create_private_dir(&store.root().join("unpacked"))?;
    let directory = store.root().join("unpacked").join(owners);
    fs::create_dir_all(&directory)?;
    let diff_ids = image.config.parsed.diff_ids();
    let shelf = Shelf {
        directory: &directory,
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
        let implied = unpack_missing(store, &missing, scratch.path(), threads, observer)?;
        let flags = rfs::OFlags::RDONLY | rfs::OFlags::CLOEXEC;
        let handle = rfs::open(&directory, flags, rfs::Mode::empty());
        handle.and_then(rfs::syncfs).context("sync", &directory)?;
        // Base first: what a layer leaves out is taken from those below it.
        for (index, diff_id) in diff_ids.iter().enumerate() {
            let unpacked = scratch.path().join(diff_id.0.hex());
            if unpacked.exists() {
                let left_out = implied.get(diff_id).map(Vec::as_slice);
                shelf.put(index, &unpacked, left_out.unwrap_or_default())?;
            }
        }
    }
    let found = (0..diff_ids.len()).map(|index| shelf.find(index).ok_or(index));
    found.collect::<Result<_, _>>().map_err(|index| {
        let path = directory.join(diff_ids[index].0.hex());
        fs::Error::new("find", path, std::io::ErrorKind::NotFound.into()).into()
    })
}

/// Where unpacked layers are kept. A layer that describes all its directories looks the same wherever it is used, and
/// is kept by its diff id. One that leaves directories out (`ID.implied` says so) gets them from the layers below, and
/// is kept by its chain id.
struct Shelf<'a> {
    directory: &'a Path,
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
        name.exists().then_some(name)
    }

    fn put(&self, index: usize, unpacked: &Path, implied: &[EntryPath]) -> Result<(), Error> {
        let hex = self.diff_ids[index].0.hex();
        if implied.is_empty() {
            return keep(unpacked, &self.directory.join(hex));
        }
        for path in implied {
            let below = (0..index).rev().filter_map(|lower| self.find(lower));
            let described = below
                .map(|lower| path.below(&lower))
                .find(|directory| directory.is_dir());
            if let Some(described) = described {
                copy_attributes(&described, &path.below(unpacked))?;
            }
        }
        keep(unpacked, &self.directory.join(self.chain_ids[index].hex()))?;
        Ok(fs::write_atomic(
            &self.directory.join(format!("{hex}.implied")),
            b"",
        )?)
    }
}

/// Gives a directory the owner, mode and time of another.
fn copy_attributes(from: &Path, to: &Path) -> Result<(), Error> {
    let metadata = std::fs::symlink_metadata(from).context("read", from)?;
    std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))
        .context("set the owner of", to)?;
    std::fs::set_permissions(to, metadata.permissions()).context("set the mode of", to)?;
    let modified = metadata.modified().context("read", from)?;
    let directory = fs::open(to)?;
    Ok(directory
        .set_modified(modified)
        .context("set the time of", to)?)
}

fn keep(unpacked: &Path, place: &Path) -> Result<(), Error> {
    match std::fs::rename(unpacked, place) {
        Ok(()) => Ok(()),
        // Another process was quicker; its directory is as good.
        Err(_) if place.exists() => Ok(fs::remove_tree(unpacked)?),
        Err(error) => Err(fs::Error::new("rename", unpacked, error).into()),
    }
}

/// Unpacks several layers side by side, the largest first; the directories that each leaves out.
fn unpack_missing(
    store: &BlobStore,
    missing: &[(&Descriptor, &DiffId)],
    scratch: &Path,
    threads: usize,
    observer: &dyn Observer,
) -> Result<BTreeMap<DiffId, Vec<EntryPath>>, Error> {
    let mut queue = missing.to_vec();
    queue.sort_by_key(|(blob, _)| std::cmp::Reverse(blob.size));
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let implied = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some((blob, diff_id)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            let directory = scratch.join(diff_id.0.hex());
            match unpack_one(store, blob, diff_id, &directory, observer) {
                Ok(left_out) => {
                    if let Ok(mut implied) = implied.lock() {
                        implied.insert((*diff_id).clone(), left_out);
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
        None => Ok(implied.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn unpack_one(
    store: &BlobStore,
    blob: &Descriptor,
    diff_id: &DiffId,
    directory: &Path,
    observer: &dyn Observer,
) -> Result<Vec<EntryPath>, Error> {
    let unpack = |source| Error::Unpack {
        digest: blob.digest.clone(),
        source: Box::new(source),
    };
    let compression = media_type::layer_compression(&blob.media_type).ok_or_else(|| {
        let text = format!("its media type `{}` is not a layer's", blob.media_type);
        unpack(layer::Error::Hostile(text))
    })?;
    std::fs::create_dir(directory).context("create directory", directory)?;
    let reader = store.open_blob(blob)?;
    let reader = BufReader::with_capacity(256 << 10, reader);
    let report = layer::apply(reader, compression, diff_id, directory, observer).map_err(
        |error| match error {
            layer::Error::Interrupted => Error::Interrupted,
            layer::Error::Io { source, .. }
                if source.get_ref().is_some_and(|inner| inner.is::<Mismatch>()) =>
            {
                read_error(&store.blob_path(&blob.digest), source)
            }
            error => unpack(error),
        },
    )?;
    if report.skipped_devices > 0 {
        observer.observe(Event::Note {
            text: format!(
                "{} device files of the layer `{}` were left out: only root may make them",
                report.skipped_devices,
                blob.digest.short()
            ),
        });
    }
    Ok(report.implied)
}
