//! All layers of an image as one directory, for steps where overlay is refused.
//!
//! ```text
//! unpacked/OWNERS/CHAIN-ID.lock       held by the build that works in the tree
//! unpacked/OWNERS/CHAIN-ID.merged/
//!   tree/                             the root file system
//!   snapshot                          what every file in it was when it was right
//! ```
//!
//! The tree is made once, and a step changes it in place. What it changed is found with the snapshot, and then put back
//! from the layers: the cost of a build is what it changes, not what the image holds. Every lease compares tree and
//! snapshot first, so a tree that a killed build left is put right by the next one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs as rfs;

use super::copy::{self, Copier};
use super::unpacked::{looking, shelf};
use super::{BlobStore, Error};
use crate::digest::Digest;
use crate::event::Observer;
use crate::fs::{self, Context, Lock};
use crate::layer::snapshot::{Contents, Snapshot};
use crate::layer::stack::Stack;
use crate::layer::{self, EntryPath, Ownership};

/// A snapshot of two million files.
const MAX_SNAPSHOT_BYTES: u64 = 512 << 20;

/// The right to change a tree that holds what the layers of an image show.
///
/// Dropped without [`Self::restore`], it leaves the tree as it is, and the next lease restores it.
#[derive(Debug)]
pub struct Lease {
    tree: PathBuf,
    lowers: Vec<PathBuf>,
    snapshot: Snapshot,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// The tree of the store, kept for the next build.
    Kept { directory: PathBuf, _lock: Lock },
    /// A tree of this build's own, because another build works in the store's.
    Private(tempfile::TempDir),
}

impl Lease {
    /// Leases the tree of the layers in `lowers` (topmost first), making or repairing it if need be. `chain_id` is the
    /// topmost layer's; `owners` and `ownership` are those that [`super::unpack_layers`] was given.
    ///
    /// While another build holds the tree, this one gets a tree of its own in the workspace.
    ///
    /// # Errors
    /// [`Error::File`] with the path that could not be copied, [`Error::Merge`] when something is mounted in the tree,
    /// [`Error::Interrupted`].
    ///
    /// # Spec
    /// Chain ids: OCI image-spec `config.md`, *Layer ChainID*.
    pub fn take(
        store: &BlobStore,
        lowers: &[PathBuf],
        chain_id: &Digest,
        owners: &str,
        ownership: Ownership,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let shelf = shelf(store, owners, ownership)?;
        let lock = Lock::try_exclusive(&shelf.join(format!("{}.lock", chain_id.hex())))?;
        let Some(lock) = lock else {
            return Self::private(store, lowers, observer);
        };
        let directory = shelf.join(format!("{}.merged", chain_id.hex()));
        let tree = directory.join("tree");
        let known = match saved(&directory) {
            Some(saved) => repair(&tree, saved, lowers, observer)?,
            None => None,
        };
        let snapshot = match known {
            Some(snapshot) => snapshot,
            None => {
                fs::remove_tree(&directory)?;
                make(store, &directory, lowers, observer)?
            }
        };
        Ok(Self {
            tree,
            lowers: lowers.to_vec(),
            snapshot,
            held: Held::Kept {
                directory,
                _lock: lock,
            },
        })
    }

    fn private(
        store: &BlobStore,
        lowers: &[PathBuf],
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let workspace = store.workspace()?;
        let directory = tempfile::Builder::new()
            .prefix("merged-")
            .tempdir_in(workspace)
            .context("create a directory in", workspace)?;
        let tree = directory.path().join("tree");
        std::fs::create_dir(&tree).context("create directory", &tree)?;
        copy::fill(&tree, &Stack::new(lowers), observer)?;
        Ok(Self {
            snapshot: look(&tree, observer)?,
            tree,
            lowers: lowers.to_vec(),
            held: Held::Private(directory),
        })
    }

    /// The root file system.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// The tree as it was when the lease began.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// True for a tree of this build's own.
    pub fn is_private(&self) -> bool {
        matches!(self.held, Held::Private(_))
    }

    /// Ends the lease: what was changed is put back, so that the next build finds the tree right. A private tree is
    /// removed. Nothing of the step may run any more.
    ///
    /// # Errors
    /// As [`Self::take`]; the next lease tries again.
    pub fn restore(self, observer: &dyn Observer) -> Result<(), Error> {
        match self.held {
            Held::Private(directory) => Ok(fs::remove_tree(directory.path())?),
            Held::Kept { ref directory, .. } => {
                let repaired = repair(&self.tree, self.snapshot, &self.lowers, observer)?;
                match repaired {
                    Some(_) => Ok(()),
                    // The layers are not those that it was made of: make it again next time.
                    None => Ok(fs::remove_tree(directory)?),
                }
            }
        }
    }
}

fn look(tree: &Path, observer: &dyn Observer) -> Result<Snapshot, Error> {
    Snapshot::take(tree, &[], Contents::Listed, observer).map_err(looking)
}

/// The snapshot beside a tree; without one that can be read, the tree is worth nothing.
fn saved(directory: &Path) -> Option<Snapshot> {
    let bytes = fs::read_limited(&directory.join("snapshot"), MAX_SNAPSHOT_BYTES).ok()?;
    Snapshot::parse(&bytes).ok()
}

/// Makes the tree, whole or not at all.
fn make(
    store: &BlobStore,
    directory: &Path,
    lowers: &[PathBuf],
    observer: &dyn Observer,
) -> Result<Snapshot, Error> {
    let workspace = store.workspace()?;
    let scratch = tempfile::tempdir_in(workspace).context("create a directory in", workspace)?;
    let new = scratch.path().join("merged");
    let tree = new.join("tree");
    fs::create_dir_all(&tree)?;
    copy::fill(&tree, &Stack::new(lowers), observer)?;
    let flags = rfs::OFlags::RDONLY | rfs::OFlags::CLOEXEC;
    let handle = rfs::open(&new, flags, rfs::Mode::empty());
    handle.and_then(rfs::syncfs).context("sync", &new)?;
    let snapshot = look(&tree, observer)?;
    fs::write_atomic(&new.join("snapshot"), &snapshot.to_bytes())?;
    std::fs::rename(&new, directory).context("rename", &new)?;
    Ok(snapshot)
}

/// Makes the tree what it was at the time of `saved`: what is new is removed, what was changed or is missing is copied
/// from the layers again. Gives, and keeps beside the tree, the snapshot of the result; `None` when the layers do not
/// hold what the snapshot has.
fn repair(
    tree: &Path,
    saved: Snapshot,
    lowers: &[PathBuf],
    observer: &dyn Observer,
) -> Result<Option<Snapshot>, Error> {
    let now = match Snapshot::look(tree, &[], Contents::Listed, observer) {
        Ok(now) => now,
        Err(layer::Error::File(error)) if error.is_absent() => return Ok(None),
        // A step left names that no snapshot can hold.
        Err(layer::Error::Path(_)) => return Ok(None),
        Err(error) => return Err(looking(error)),
    };
    // What is mounted there is not ours: removing things below it would destroy them.
    if let Some(path) = now.covered().next() {
        let text = format!(
            "something is mounted at `{}`; unmount it",
            path.below(tree).display()
        );
        return Err(looking(layer::Error::Hostile(text)));
    }
    let device = now.records().first().map_or(0, |(_, root)| root.device);
    let saved = saved.on_device(device);
    let stack = Stack::new(lowers);
    let mut copier = Copier::new(tree)?;
    let mut is_changed = false;
    // The parents of what changes get their times back.
    let mut reset: Vec<EntryPath> = Vec::new();
    // Not only the last one: `a-b` comes between `a` and `a/c`.
    let mut removed: BTreeSet<&EntryPath> = BTreeSet::new();
    for (path, record) in now.records() {
        if path
            .parent()
            .is_some_and(|parent| removed.contains(&parent))
        {
            // Went with its directory; so does what is below it.
            removed.insert(path);
            continue;
        }
        let is_kept = saved.get(path).is_some_and(|old| {
            old.is_same(record) || (old.is_directory() && record.is_directory())
        });
        if !is_kept {
            copy::remove(&path.below(tree))?;
            removed.insert(path);
            reset.extend(path.parent());
            is_changed = true;
        }
    }
    for (path, old) in saved.records() {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let here = now.get(path);
        if here.is_some_and(|here| here.is_same(old)) {
            continue;
        }
        is_changed = true;
        if here.is_some_and(|here| here.is_directory() && old.is_directory()) {
            reset.push(path.clone());
            continue;
        }
        let Some(shown) = stack.find(path).map_err(looking)? else {
            return Ok(None);
        };
        copier.copy(path, &shown)?;
        reset.extend(path.parent());
    }
    if !is_changed {
        return Ok(Some(now));
    }
    reset.sort();
    reset.dedup();
    for path in reset {
        match stack.find(&path).map_err(looking)? {
            Some(shown) => copier.describe(path, &shown),
            // A stack of no layers shows not even a root.
            None if path.is_root() => {}
            None => return Ok(None),
        }
    }
    copier.finish()?;
    let repaired = look(tree, observer)?;
    if let Some(directory) = tree.parent() {
        fs::write_atomic(&directory.join("snapshot"), &repaired.to_bytes())?;
    }
    Ok(Some(repaired))
}

#[cfg(test)]
#[path = "merged_tests.rs"]
mod tests;
