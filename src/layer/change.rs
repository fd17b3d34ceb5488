//! What a step changed, found in an overlay's upper directory or in a tree that it worked in.
//!
//! Both ways give the same list, for it depends on two things only: what was there before, and what is there at the
//! end. How the step got there (a directory removed and made again, a file written and written back) shows in an
//! upper directory, but is no part of the image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::disk::{self, is_nothing, is_opaque};
use super::entry::{Entry, EntryPath, Kind};
use super::owners::Owners;
use super::snapshot::{Contents, Snapshot};
use super::stack::Stack;
use super::{Error, whiteout};
use crate::digest::Digest;
use crate::event::Observer;
use crate::fs::Context;

/// One change to the layers below.
///
/// # Spec
/// OCI image-spec `layer.md`, *Change Types*; of its two ways to say that a directory's content is gone, the
/// explicit one, which it prefers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something is new, or is now this.
    Present {
        /// What it is now.
        entry: Entry,
        /// Where its content is, for files.
        content: Option<PathBuf>,
    },
    /// Something that lower layers have is gone, with all that was in it.
    Deleted(EntryPath),
}

impl Change {
    /// Where the change is.
    pub fn path(&self) -> &EntryPath {
        match self {
            Self::Present { entry, .. } => &entry.path,
            Self::Deleted(path) => path,
        }
    }
}

/// What was there before the step.
pub trait Before {
    /// What was at `path`.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read.
    fn find(&self, path: &EntryPath) -> Result<Option<Found>, Error>;

    /// The names that were in a directory; none when there was no directory.
    ///
    /// # Errors
    /// As [`Self::find`].
    fn names(&self, directory: &EntryPath) -> Result<Vec<Vec<u8>>, Error>;
}

/// Something that was there before.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it was.
    pub entry: Entry,
    /// Its content, for files.
    pub content: Content,
}

/// What is known of a file's content.
#[derive(Clone, Debug)]
pub enum Content {
    /// It is still to be read here.
    File(PathBuf),
    /// Its SHA-256.
    Digest(Digest),
    /// Nothing: this user may not read it.
    Unknown,
}

/// Layers as what was before: a stack, and who owns what is in it.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// The unpacked layers.
    pub stack: &'a Stack,
    /// Whose their files are.
    pub owners: &'a dyn Owners,
}

impl std::fmt::Debug for Layers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers")
            .field("stack", self.stack)
            .finish_non_exhaustive()
    }
}

impl Before for Layers<'_> {
    fn find(&self, path: &EntryPath) -> Result<Option<Found>, Error> {
        let Some(shown) = self.stack.find(path)? else {
            return Ok(None);
        };
        let owned = self.owners.before(path, &shown)?;
        Ok(Some(Found {
            entry: disk::entry(&shown.file, path.clone(), &shown.metadata, owned)?,
            content: Content::File(shown.file),
        }))
    }

    fn names(&self, directory: &EntryPath) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.stack.list(directory)?.into_keys().collect())
    }
}

/// Lists what an overlay's `upper` directory changes of the layers under it, sorted by path.
///
/// Overlay copies up more than changes: a file that was only opened for writing, a directory in which something
/// changed. What is like before (times aside: opening a file for writing changes them) is no change and is left out;
/// directories above a change are put back by whoever writes the layer ([`super::members()`]). Sockets are left out.
///
/// # Errors
/// [`Error::File`] with the path that could not be read, [`Error::Path`] for names that no layer can hold,
/// [`Error::Hostile`] for those that mean a deletion in a layer, [`Error::Interrupted`].
pub fn from_overlay_upper(
    upper: &Path,
    before: Layers<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Change>, Error> {
    let mut changes = Changes::new(&before, before.owners);
    // The walk goes into a directory right after it, so the last opaque one is the only one to remember.
    let mut opaque: Option<EntryPath> = None;
    let walk = walkdir::WalkDir::new(upper)
        .min_depth(1)
        .sort_by_file_name();
    for found in walk {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let found = found.map_err(|error| {
            let path = error.path().unwrap_or(upper).to_owned();
            crate::fs::Error::new("read directory", path, error.into())
        })?;
        let file = found.path();
        let relative = file.strip_prefix(upper).unwrap_or(file);
        let path = EntryPath::parse(relative.as_os_str().as_bytes())?;
        let metadata = fs::symlink_metadata(file).context("read", file)?;
        if is_nothing(&metadata) {
            changes.deleted(path)?;
            continue;
        }
        if metadata.is_dir() {
            let is_hidden = opaque.as_ref().is_some_and(|opaque| path.is_within(opaque));
            if !is_hidden && is_opaque(file)? {
                opaque = Some(path.clone());
            }
            if is_hidden || opaque.as_ref() == Some(&path) {
                changes.deleted_in(&path, file)?;
            }
        }
        changes.present(path, file, &metadata)?;
    }
    changes.finish()
}

/// Lists what a step changed of a tree that it worked in, sorted by path.
///
/// `snapshot` is of `root` before the step; what is not as it was is compared with `before`, so that the list is the
/// one that [`from_overlay_upper`] would give. `skip` is what the snapshot skipped.
///
/// # Errors
/// As [`from_overlay_upper`].
pub fn from_tree(
    root: &Path,
    snapshot: &Snapshot,
    before: &dyn Before,
    owners: &dyn Owners,
    skip: &[EntryPath],
    observer: &dyn Observer,
) -> Result<Vec<Change>, Error> {
    let now = Snapshot::look(root, skip, Contents::Listed, observer)?;
    let mut changes = Changes::new(before, owners);
    let mut gone: BTreeSet<&EntryPath> = BTreeSet::new();
    for (path, record) in now.records() {
        let is_same = |old| record.is_same(old);
        if path.is_root() || snapshot.get(path).is_some_and(is_same) || snapshot.is_covered(path) {
            continue;
        }
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let file = path.below(root);
        let metadata = fs::symlink_metadata(&file).context("read", &file)?;
        if is_nothing(&metadata) {
            gone.insert(path);
            continue;
        }
        changes.present(path.clone(), &file, &metadata)?;
    }
    for (path, _) in snapshot.records() {
        let is_gone = now.get(path).is_none() || gone.contains(path);
        if !is_gone || now.is_covered(path) {
            continue;
        }
        // What stood in a directory that is gone, or is none any more, needs no mention.
        let is_in_directory = path
            .parent()
            .is_some_and(|parent| now.get(&parent).is_some_and(|record| record.is_directory()));
        if is_in_directory {
            changes.deleted(path.clone())?;
        }
    }
    changes.finish()
}

/// Changes as they are found.
struct Changes<'a> {
    before: &'a dyn Before,
    owners: &'a dyn Owners,
    found: BTreeMap<EntryPath, Change>,
    /// Files with several names, by device and inode.
    linked: BTreeMap<(u64, u64), BTreeSet<EntryPath>>,
}

impl<'a> Changes<'a> {
    fn new(before: &'a dyn Before, owners: &'a dyn Owners) -> Self {
        Self {
            before,
            owners,
            found: BTreeMap::new(),
            linked: BTreeMap::new(),
        }
    }

    /// There is nothing at `path`; a change if there was something.
    fn deleted(&mut self, path: EntryPath) -> Result<(), Error> {
        if self.before.find(&path)?.is_some() {
            self.found.insert(path.clone(), Change::Deleted(path));
        }
        Ok(())
    }

    /// What was in a directory, and is not in the directory on disk.
    fn deleted_in(&mut self, directory: &EntryPath, on_disk: &Path) -> Result<(), Error> {
        for name in self.before.names(directory)? {
            let path = directory.join(&name)?;
            let file = on_disk.join(Path::new(std::ffi::OsStr::from_bytes(&name)));
            match fs::symlink_metadata(&file) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.deleted(path)?,
                Err(error) => return Err(crate::fs::Error::new("read", file, error).into()),
            }
        }
        Ok(())
    }

    /// There is `file` at `path`; a change unless it is as before.
    fn present(&mut self, path: EntryPath, file: &Path, metadata: &Metadata) -> Result<(), Error> {
        if whiteout::is_reserved(&path) {
            return Err(Error::Hostile(format!(
                "`{path}` has a name that layers reserve for deletions"
            )));
        }
        let owned = self.owners.now(&path, file, metadata)?;
        let entry = disk::entry(file, path.clone(), metadata, owned)?;
        let is_file = matches!(entry.kind, Kind::File { .. });
        // Of a file with several names, one may be as before while another is new, and the new one must be a link to
        // something: whether to leave it out is decided when all its names are known.
        let is_linked = is_file && metadata.nlink() > 1;
        if is_linked {
            let inode = (metadata.dev(), metadata.ino());
            self.linked.entry(inode).or_default().insert(path.clone());
        } else if self.is_as_before(&entry, file)? {
            return Ok(());
        }
        let content = is_file.then(|| file.to_owned());
        self.found.insert(path, Change::Present { entry, content });
        Ok(())
    }

    /// True when an entry is what was there already, times aside.
    fn is_as_before(&self, entry: &Entry, file: &Path) -> Result<bool, Error> {
        let Some(before) = self.before.find(&entry.path)? else {
            return Ok(false);
        };
        let is_alike = entry.kind == before.entry.kind
            && (entry.mode, entry.uid, entry.gid)
                == (before.entry.mode, before.entry.uid, before.entry.gid)
            && entry.xattrs == before.entry.xattrs;
        match (&entry.kind, &before.content) {
            _ if !is_alike => Ok(false),
            (Kind::File { .. }, Content::File(known)) => disk::is_same_content(file, known),
            (Kind::File { .. }, Content::Digest(known)) => {
                Ok(disk::content_digest(file)? == *known)
            }
            (Kind::File { .. }, Content::Unknown) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Turns all but the first name of a file into links to the first, which comes earlier in the layer.
    fn finish(mut self) -> Result<Vec<Change>, Error> {
        for names in std::mem::take(&mut self.linked).into_values() {
            let mut names = names.into_iter();
            let Some(first) = names.next() else {
                continue;
            };
            let mut is_single = true;
            for name in names {
                is_single = false;
                if let Some(Change::Present { entry, .. }) = self.found.get_mut(&name) {
                    entry.kind = Kind::HardLink {
                        target: first.clone(),
                    };
                }
            }
            // Its other names are elsewhere: overlay's bookkeeping, or what was skipped.
            if is_single
                && let Some(Change::Present {
                    entry,
                    content: Some(content),
                }) = self.found.get(&first)
                && self.is_as_before(entry, content)?
            {
                self.found.remove(&first);
            }
        }
        Ok(self.found.into_values().collect())
    }
}

/// The entry of a directory that stands above changes, as it is in `root`: a tree, or the upper directory, where
/// overlay has it whenever something below it changed.
///
/// # Errors
/// [`Error::File`] when it cannot be read.
pub fn directory_entry(root: &Path, path: &EntryPath, owners: &dyn Owners) -> Result<Entry, Error> {
    let file = path.below(root);
    let metadata = fs::symlink_metadata(&file).context("read", &file)?;
    let owned = owners.now(path, &file, &metadata)?;
    disk::entry(&file, path.clone(), &metadata, owned)
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
