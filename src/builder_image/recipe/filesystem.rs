//! The root file system as it comes into being: what is where, and the layers it is written to.
//!
//! [`Tree`] knows every path and whose it is; [`OpenLayer`] writes entries. The rules:
//!
//! - A path below a merged directory (`/bin/sh`) is one below `/usr` (`/usr/bin/sh`). The link `/bin -> usr/bin` is
//!   written when the first package uses it, or when a package brings the same link itself.
//! - Of a directory that several packages have, the first one's owner, mode and time count, as with dpkg.
//! - Any other path belongs to one package; two that want it are an error that names both.
//! - Every layer has the directories above each of its entries before the entry, even when a layer below has them
//!   too: unpacked by itself it must not give them other owners and modes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::{EPOCH, Error};
use crate::image::edit::NewLayer;
use crate::image::{Descriptor, media_type};
use crate::layer::{Entry, EntryPath, Kind, LayerWriter};
use crate::store::{BlobStore, BlobWriter};

/// How many threads compress at most. There is one that decompresses, and three keep up with it.
const MAX_COMPRESSORS: usize = 3;

/// Everything that has been written so far.
#[derive(Debug)]
pub(super) struct Tree {
    merged: BTreeSet<Vec<u8>>,
    nodes: BTreeMap<EntryPath, Node>,
}

#[derive(Clone, Debug)]
struct Node {
    /// The package, or what else has made it.
    owner: Arc<str>,
    /// For a directory, so that it can be written again.
    directory: Option<Box<Entry>>,
}

impl Tree {
    /// An empty root whose directories `merged` lie in `/usr`.
    pub(super) fn new(merged: &[String]) -> Self {
        Self {
            merged: merged
                .iter()
                .map(|name| name.clone().into_bytes())
                .collect(),
            nodes: BTreeMap::new(),
        }
    }

    /// Where a path really is.
    pub(super) fn map(&self, path: &EntryPath) -> Result<EntryPath, Error> {
        match self.merged_top(path) {
            Some(_) => Ok(EntryPath::parse(&[b"usr/", path.as_bytes()].concat())?),
            None => Ok(path.clone()),
        }
    }

    /// The merged directory that a path is in or is.
    fn merged_top<'a>(&self, path: &'a EntryPath) -> Option<&'a [u8]> {
        let top = path.as_bytes().split(|byte| *byte == b'/').next()?;
        self.merged.contains(top).then_some(top)
    }

    /// Who made the path; `None` when it is not there.
    pub(super) fn owner(&self, path: &EntryPath) -> Option<&Arc<str>> {
        self.nodes.get(path).map(|node| &node.owner)
    }

    /// True for a directory, false for anything else that is there.
    pub(super) fn is_directory(&self, path: &EntryPath) -> Option<bool> {
        self.nodes.get(path).map(|node| node.directory.is_some())
    }

    /// Every path, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &EntryPath> {
        self.nodes.keys()
    }

    /// True when something is below the path, which is there itself.
    pub(super) fn has_children(&self, path: &EntryPath) -> bool {
        let mut below = self
            .nodes
            .range(path.clone()..)
            .skip(1)
            .map(|(other, _)| other);
        // `a-b` sorts between `a` and `a/b`.
        below
            .by_ref()
            .take_while(|other| other.as_bytes().starts_with(path.as_bytes()))
            .any(|other| other.is_within(path))
    }

    fn insert(&mut self, entry: &Entry, owner: &Arc<str>) {
        let directory = (entry.kind == Kind::Directory).then(|| Box::new(entry.clone()));
        let owner = Arc::clone(owner);
        self.nodes
            .insert(entry.path.clone(), Node { owner, directory });
    }
}

/// A layer being written.
pub(super) struct OpenLayer<'s> {
    writer: LayerWriter<BlobWriter<'s>>,
    directories: BTreeSet<EntryPath>,
}

impl<'s> OpenLayer<'s> {
    /// Begins a layer.
    pub(super) fn begin(store: &'s BlobStore, threads: usize) -> Result<Self, Error> {
        Ok(Self {
            // Packages keep their times, also those that are newer than other packages.
            writer: LayerWriter::new(store.begin_blob()?, i64::MAX, threads.min(MAX_COMPRESSORS)),
            directories: BTreeSet::new(),
        })
    }

    /// Adds what a package has at `entry.path`, which may be in a merged directory.
    ///
    /// # Errors
    /// [`Error::Twice`] when another package has it too, [`Error::Misplaced`] when something above it is no
    /// directory.
    pub(super) fn add_packaged(
        &mut self,
        tree: &mut Tree,
        mut entry: Entry,
        package: &Arc<str>,
        content: impl Read,
    ) -> Result<(), Error> {
        if let Some(top) = tree.merged_top(&entry.path) {
            let target = [b"usr/", top].concat();
            let link = EntryPath::parse(top)?;
            let is_link = entry.path == link
                && entry.kind
                    == Kind::Symlink {
                        target: target.clone(),
                    };
            if !tree.nodes.contains_key(&link) {
                let mut merged = Entry::new(link, Kind::Symlink { target }, 0o777);
                merged.mtime = if is_link { entry.mtime } else { EPOCH };
                self.write(tree, &merged, package, io::empty())?;
            }
            if is_link {
                return Ok(());
            }
            entry.path = tree.map(&entry.path)?;
            if let Kind::HardLink { target } = &mut entry.kind {
                *target = tree.map(target)?;
            }
        } else if let Kind::HardLink { target } = &mut entry.kind {
            *target = tree.map(target)?;
        }
        if let Some(node) = tree.nodes.get(&entry.path) {
            if node.directory.is_some() && entry.kind == Kind::Directory {
                return Ok(());
            }
            return Err(Error::Twice {
                path: entry.path.to_string(),
                package: package.to_string(),
                other: node.owner.to_string(),
            });
        }
        self.write(tree, &entry, package, content)
    }

    /// Writes an entry, after the directories above it.
    pub(super) fn write(
        &mut self,
        tree: &mut Tree,
        entry: &Entry,
        owner: &Arc<str>,
        content: impl Read,
    ) -> Result<(), Error> {
        self.write_parents(tree, &entry.path, owner)?;
        if let Kind::HardLink { target } = &entry.kind
            && tree.is_directory(target) != Some(false)
        {
            return Err(Error::Missing {
                path: target.to_string(),
                needed_by: entry.path.to_string(),
            });
        }
        if entry.kind == Kind::Directory {
            self.directories.insert(entry.path.clone());
        }
        tree.insert(entry, owner);
        Ok(self.writer.append(entry, content)?)
    }

    fn write_parents(
        &mut self,
        tree: &mut Tree,
        path: &EntryPath,
        owner: &Arc<str>,
    ) -> Result<(), Error> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else {
            return Ok(());
        };
        if self.directories.contains(&parent) {
            return Ok(());
        }
        self.write_parents(tree, &parent, owner)?;
        let entry = match tree.nodes.get(&parent) {
            None => {
                let mut entry = Entry::new(parent.clone(), Kind::Directory, 0o755);
                entry.mtime = EPOCH;
                tree.insert(&entry, owner);
                entry
            }
            Some(Node {
                directory: Some(entry),
                ..
            }) => Entry::clone(entry),
            Some(node) => {
                return Err(Error::Misplaced {
                    path: path.to_string(),
                    above: parent.to_string(),
                    owner: node.owner.to_string(),
                });
            }
        };
        self.directories.insert(parent);
        Ok(self.writer.append(&entry, io::empty())?)
    }

    /// Ends the layer and makes it a blob of the store.
    pub(super) fn finish(self, created_by: String) -> Result<NewLayer, Error> {
        let (blob, layer) = self.writer.finish()?;
        let (digest, size) = blob.finish()?;
        Ok(NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
            diff_id: layer.diff_id,
            created_by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_in_a_merged_directory_is_below_usr() {
        let tree = Tree::new(&["bin".to_owned(), "lib64".to_owned()]);
        let rows = [
            ("bin", "/usr/bin"),
            ("bin/sh", "/usr/bin/sh"),
            ("lib64/a/b", "/usr/lib64/a/b"),
            ("lib/x", "/lib/x"),
            ("binary", "/binary"),
            ("usr/bin/sh", "/usr/bin/sh"),
            ("opt/bin/sh", "/opt/bin/sh"),
        ];
        for (from, to) in rows {
            assert_eq!(tree.map(&path(from)).unwrap().to_string(), to);
        }
    }

    #[test]
    fn only_what_is_below_counts_as_a_child() {
        let mut tree = Tree::new(&[]);
        let owner = Arc::from("test");
        for name in ["a", "a-b", "a-b/c", "b", "b-c", "b/d"] {
            tree.insert(&Entry::new(path(name), Kind::Directory, 0o755), &owner);
        }
        let parents: Vec<_> = ["a", "a-b", "b", "b-c", "b/d"]
            .into_iter()
            .filter(|name| tree.has_children(&path(name)))
            .collect();
        assert_eq!(parents, ["a-b", "b"]);
    }
}
