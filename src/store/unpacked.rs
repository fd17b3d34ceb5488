//! Layers as directories, unpacked once and stacked by overlay.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs as rfs;

use super::{BlobStore, Error, read_error};
use crate::digest::{DiffId, Mismatch};
use crate::event::{Event, Observer};
use crate::fs::{self, Context};
use crate::image::{Descriptor, Image, media_type};
use crate::layer;

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
    let directory = store.root().join("unpacked").join(owners);
    fs::create_dir_all(&directory)?;
    let place = |diff_id: &DiffId| directory.join(diff_id.0.hex());
    let mut missing: Vec<(&Descriptor, &DiffId)> = Vec::new();
    for (blob, diff_id) in image.layers() {
        let is_listed = missing.iter().any(|(_, listed)| *listed == diff_id);
        if !is_listed && !place(diff_id).exists() {
            missing.push((blob, diff_id));
        }
    }
    if !missing.is_empty() {
        let scratch = tempfile::tempdir_in(store.workspace()?)
            .context("create a directory in", store.root())?;
        unpack_missing(store, &missing, scratch.path(), threads, observer)?;
        let handle = rfs::open(
            &directory,
            rfs::OFlags::RDONLY | rfs::OFlags::CLOEXEC,
            rfs::Mode::empty(),
        );
        handle.and_then(rfs::syncfs).context("sync", &directory)?;
        for (_, diff_id) in &missing {
            keep(&scratch.path().join(diff_id.0.hex()), &place(diff_id))?;
        }
    }
    Ok(image.config.parsed.diff_ids().iter().map(place).collect())
}

fn keep(unpacked: &Path, place: &Path) -> Result<(), Error> {
    match std::fs::rename(unpacked, place) {
        Ok(()) => Ok(()),
        // Another process was quicker; its directory is as good.
        Err(_) if place.exists() => Ok(fs::remove_tree(unpacked)?),
        Err(error) => Err(fs::Error::new("rename", unpacked, error).into()),
    }
}

/// Unpacks several layers side by side, the largest first.
fn unpack_missing(
    store: &BlobStore,
    missing: &[(&Descriptor, &DiffId)],
    scratch: &Path,
    threads: usize,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let mut queue = missing.to_vec();
    queue.sort_by_key(|(blob, _)| std::cmp::Reverse(blob.size));
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let work = || {
        while let Some((blob, diff_id)) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = unpack_one(
                store,
                blob,
                diff_id,
                &scratch.join(diff_id.0.hex()),
                observer,
            ) {
                // One error is told; the queue is emptied so that the others stop.
                next.store(queue.len(), Ordering::Relaxed);
                if let Ok(mut failed) = failed.lock() {
                    failed.get_or_insert(error);
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
    match failed.into_inner() {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error),
        Err(poisoned) => poisoned.into_inner().map_or(Ok(()), Err),
    }
}

fn unpack_one(
    store: &BlobStore,
    blob: &Descriptor,
    diff_id: &DiffId,
    directory: &Path,
    observer: &dyn Observer,
) -> Result<(), Error> {
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
    Ok(())
}
