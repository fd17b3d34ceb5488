//! Changes as the members of a layer's tar.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::change::{self, Change};
use super::owners::Owners;
use super::{Entry, EntryPath, Error, Kind, whiteout};
use crate::fs::Context;

/// A member of a layer's tar, with the file that has its content.
pub type Member = (Entry, Option<PathBuf>);

/// The members of a layer's tar, sorted by the names they have there, with every directory above a change as it is in
/// `root`: an overlay's upper directory, or the tree itself.
///
/// `changes` are sorted, and may be a part of what [`change`] found: a hard link whose first name is in the other part
/// becomes a file here, and its further names links to it.
///
/// # Errors
/// [`Error::File`] for a directory that cannot be read, [`Error::Path`] for names that are too long for a whiteout.
pub fn members(
    changes: Vec<Change>,
    root: &Path,
    owners: &dyn Owners,
) -> Result<Vec<Member>, Error> {
    let mut members: BTreeMap<EntryPath, Member> = BTreeMap::new();
    let mut parents: BTreeMap<EntryPath, Entry> = BTreeMap::new();
    let here: Vec<EntryPath> = changes.iter().map(|change| change.path().clone()).collect();
    let mut moved = BTreeMap::new();
    for change in changes {
        let mut parent = change.path().parent();
        while let Some(path) = parent.filter(|path| !path.is_root() && !parents.contains_key(path))
        {
            let entry = change::directory_entry(root, &path, owners)?;
            parents.insert(path.clone(), entry);
            parent = path.parent();
        }
        let (entry, content) = match change {
            Change::Deleted(path) => {
                let mark = whiteout::deleted(&path)?;
                (Entry::new(mark, Kind::File { size: 0 }, 0), None)
            }
            Change::Present { entry, content } => (
                relink(entry, content.as_deref(), &here, &mut moved)?,
                content,
            ),
        };
        members.insert(entry.path.clone(), (entry, content));
    }
    for (path, entry) in parents {
        members.entry(path).or_insert((entry, None));
    }
    Ok(members.into_values().collect())
}

/// A hard link whose first name went into another layer becomes a file here, and its further names links to it.
fn relink(
    mut entry: Entry,
    content: Option<&Path>,
    here: &[EntryPath],
    moved: &mut BTreeMap<EntryPath, EntryPath>,
) -> Result<Entry, Error> {
    let (Kind::HardLink { target }, Some(content)) = (&entry.kind, content) else {
        return Ok(entry);
    };
    if here.binary_search(target).is_ok() {
        return Ok(entry);
    }
    entry.kind = match moved.get(target) {
        Some(first) => Kind::HardLink {
            target: first.clone(),
        },
        None => {
            moved.insert(target.clone(), entry.path.clone());
            let size = std::fs::symlink_metadata(content)
                .context("read", content)?
                .len();
            Kind::File { size }
        }
    };
    Ok(entry)
}
