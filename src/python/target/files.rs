//! A root file system, read without entering it.

#[cfg(test)]
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::layer::owners::OwnerList;
use crate::layer::stack::{Shown, Stack};
use crate::layer::{EntryPath, Error};

/// What sort of file is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, with its target.
    Link(Vec<u8>),
    /// Something else.
    Other,
}

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// What it is.
    pub sort: Sort,
    /// Its owner, as the image numbers them.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// The files of an image. Paths are taken as they are: no link in them is followed.
pub trait Files {
    /// The content of a regular file; `None` when there is none, or one of more than `limit_bytes`.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn read(&self, path: &EntryPath, limit_bytes: u64) -> Result<Option<Vec<u8>>, Error>;

    /// The names in a directory, sorted; empty when it is none.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn list(&self, path: &EntryPath) -> Result<Vec<Vec<u8>>, Error>;

    /// What is at a path; `None` when there is nothing.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn status(&self, path: &EntryPath) -> Result<Option<FileStatus>, Error>;
}

/// Unpacked layers as [`Files`].
#[derive(Debug)]
pub struct LayerFiles {
    stack: Stack,
    owners: Option<Vec<OwnerList>>,
}

impl LayerFiles {
    /// The layers' directories, topmost first. `owners` are the recorded owners of each, in the same order, where the disk
    /// cannot say them ([`crate::layer::Ownership::Recorded`]); otherwise `None`.
    pub fn new(directories: &[PathBuf], owners: Option<Vec<OwnerList>>) -> Self {
        Self {
            stack: Stack::new(directories),
            owners,
        }
    }

    fn owner(&self, path: &EntryPath, shown: &Shown) -> (u32, u32) {
        match &self.owners {
            None => (shown.metadata.uid(), shown.metadata.gid()),
            Some(lists) => {
                let owned = lists
                    .get(shown.layer)
                    .map(|list| list.get(path))
                    .unwrap_or_default();
                (owned.uid, owned.gid)
            }
        }
    }
}

impl Files for LayerFiles {
    fn read(&self, path: &EntryPath, limit_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(shown) = self.stack.find(path)? else {
            return Ok(None);
        };
        if !shown.metadata.is_file() || shown.metadata.len() > limit_bytes {
            return Ok(None);
        }
        Ok(Some(crate::fs::read_limited(&shown.file, limit_bytes)?))
    }

    fn list(&self, path: &EntryPath) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.stack.list(path)?.into_keys().collect())
    }

    fn status(&self, path: &EntryPath) -> Result<Option<FileStatus>, Error> {
        let Some(shown) = self.stack.find(path)? else {
            return Ok(None);
        };
        let sort = match shown.metadata.file_type() {
            kind if kind.is_file() => Sort::File,
            kind if kind.is_dir() => Sort::Directory,
            kind if kind.is_symlink() => {
                let target = std::fs::read_link(&shown.file);
                let target = target
                    .map_err(|error| crate::fs::Error::new("read link", &shown.file, error))?;
                Sort::Link(target.as_os_str().as_bytes().to_vec())
            }
            _ => Sort::Other,
        };
        let (uid, gid) = self.owner(path, &shown);
        let mode = shown.metadata.mode() & 0o7777;
        Ok(Some(FileStatus {
            sort,
            uid,
            gid,
            mode,
        }))
    }
}

/// How many links are followed on the way to one file, as in Linux.
const MAX_LINKS: usize = 40;

/// A path with every link in it resolved within the root; `None` when nothing is there, or links lead in circles.
pub(super) fn resolve(files: &dyn Files, path: &str) -> Result<Option<EntryPath>, Error> {
    let parts = |text: &[u8]| -> Vec<Vec<u8>> {
        let parts = text
            .split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".");
        parts.rev().map(<[u8]>::to_vec).collect()
    };
    let Ok(root) = EntryPath::parse(b"") else {
        return Ok(None);
    };
    // The part to be looked at next is the last.
    let mut left = parts(path.as_bytes());
    let mut found = root.clone();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == b".." {
            found = found.parent().unwrap_or(root.clone());
            continue;
        }
        let Ok(next) = found.join(&part) else {
            return Ok(None);
        };
        match files.status(&next)? {
            None => return Ok(None),
            Some(FileStatus {
                sort: Sort::Link(target),
                ..
            }) => {
                links += 1;
                if links > MAX_LINKS || target.len() > 4096 {
                    return Ok(None);
                }
                if target.starts_with(b"/") {
                    found = root.clone();
                }
                left.extend(parts(&target));
            }
            Some(_) => found = next,
        }
    }
    Ok(Some(found))
}

/// Reads a file, links followed within the root.
pub(super) fn read(
    files: &dyn Files,
    path: &str,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>, Error> {
    match resolve(files, path)? {
        Some(path) => files.read(&path, limit_bytes),
        None => Ok(None),
    }
}

/// The names in a directory, links followed within the root.
pub(super) fn list(files: &dyn Files, path: &str) -> Result<Vec<String>, Error> {
    let Some(path) = resolve(files, path)? else {
        return Ok(Vec::new());
    };
    let names = files.list(&path)?.into_iter();
    Ok(names
        .filter_map(|name| String::from_utf8(name).ok())
        .collect())
}

/// Files of a map, for tests: content and mode, or a link's target; what lies above is a directory.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct MapFiles {
    pub(super) files: BTreeMap<String, (Sort, Vec<u8>)>,
    /// Owners, groups and modes that are not `0:0 0755`.
    pub(super) status: BTreeMap<String, (u32, u32, u32)>,
}

#[cfg(test)]
impl MapFiles {
    fn below(&self, path: &EntryPath) -> impl Iterator<Item = &str> {
        let prefix = format!("{}/", path.to_string().trim_end_matches('/'));
        let names = self.files.keys();
        names.filter_map(move |name| {
            name.strip_prefix(&prefix)
                .map(|rest| rest.split('/').next().unwrap_or_default())
        })
    }
}

#[cfg(test)]
impl Files for MapFiles {
    fn read(&self, path: &EntryPath, limit_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let found = self
            .files
            .get(&path.to_string())
            .filter(|(sort, _)| *sort == Sort::File);
        Ok(found
            .map(|(_, bytes)| bytes.clone())
            .filter(|bytes| bytes.len() as u64 <= limit_bytes))
    }

    fn list(&self, path: &EntryPath) -> Result<Vec<Vec<u8>>, Error> {
        let names: std::collections::BTreeSet<&str> = self.below(path).collect();
        Ok(names
            .into_iter()
            .map(|name| name.as_bytes().to_vec())
            .collect())
    }

    fn status(&self, path: &EntryPath) -> Result<Option<FileStatus>, Error> {
        let (uid, gid, mode) = self
            .status
            .get(&path.to_string())
            .copied()
            .unwrap_or((0, 0, 0o755));
        let listed = self
            .files
            .get(&path.to_string())
            .map(|(sort, _)| sort.clone());
        let sort = listed.or_else(|| self.below(path).next().map(|_| Sort::Directory));
        Ok(sort.map(|sort| FileStatus {
            sort,
            uid,
            gid,
            mode,
        }))
    }
}
