//! The application's files, as far as reading requirements needs them.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::fs::{Context, Error};

/// The largest file that is read, in bytes. A requirements file of 1,000 packages with 100 hashes each has 8 MB.
pub const MAX_FILE_BYTES: u64 = 16 << 20;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// The files of a source tree. Paths are relative to its root, with `/`, without `.` and `..`; the root itself is the
/// empty path. Links are followed as long as they stay within the tree.
pub trait SourceFiles {
    /// The content of a file; `None` when there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read, has more than [`MAX_FILE_BYTES`], or is a link that leaves the tree.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error>;

    /// What is at a path; `None` when nothing is, or something that is neither.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn kind(&self, path: &str) -> Result<Option<FileKind>, Error>;
}

/// A source tree on disk.
#[derive(Debug)]
pub struct DirectoryFiles {
    root: PathBuf,
    handle: OwnedFd,
}

impl DirectoryFiles {
    /// Opens the directory.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(root, flags, Mode::empty()).context("open", root)?;
        Ok(Self {
            root: root.to_owned(),
            handle,
        })
    }

    fn find(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, Error> {
        let within = if path.is_empty() { "." } else { path };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.handle, within, flags, Mode::empty(), how) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL | Errno::NXIO) => {
                Ok(None)
            }
            Err(Errno::XDEV) => {
                let outside = std::io::Error::other("it leads out of the source tree");
                Err(Error::new("read", self.root.join(path), outside))
            }
            Err(errno) => Err(Error::new("read", self.root.join(path), errno.into())),
        }
    }
}

impl SourceFiles for DirectoryFiles {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        if self.kind(path)? != Some(FileKind::File) {
            return Ok(None);
        }
        // A pipe that took the file's place meanwhile does not block, and is empty.
        let Some(found) = self.find(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?
        else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::from(found);
        let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
        read.context("read", &self.root.join(path))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let text = format!("it is larger than {MAX_FILE_BYTES} bytes");
            return Err(Error::new(
                "read",
                self.root.join(path),
                std::io::Error::other(text),
            ));
        }
        Ok(Some(bytes))
    }

    fn kind(&self, path: &str) -> Result<Option<FileKind>, Error> {
        Ok(self.find(path, OFlags::PATH)?.as_ref().and_then(file_kind))
    }
}

fn file_kind(found: &OwnedFd) -> Option<FileKind> {
    let status = rustix::fs::fstat(found).ok()?;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => Some(FileKind::File),
        FileType::Directory => Some(FileKind::Directory),
        _ => None,
    }
}

/// Files of a map, for tests: a path that ends with `/` is a directory.
#[cfg(test)]
impl SourceFiles for std::collections::BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.get(path).cloned())
    }

    fn kind(&self, path: &str) -> Result<Option<FileKind>, Error> {
        let directory = format!("{path}/");
        let is_directory = path.is_empty() || self.keys().any(|name| name.starts_with(&directory));
        let file = self.contains_key(path).then_some(FileKind::File);
        Ok(file.or(is_directory.then_some(FileKind::Directory)))
    }
}

/// A path of a requirements file relative to the tree's root: `path`, seen from the directory `from`.
pub(super) fn within(from: &str, path: &str) -> Place {
    if path.starts_with('/') {
        return Place::Absolute;
    }
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Place::Outside,
            ".." => {}
            part => parts.push(part),
        }
    }
    Place::Within(parts.join("/"))
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into the tree: the normal path.
    Within(String),
    /// Out of the tree by `..`.
    Outside,
    /// Somewhere in the image.
    Absolute,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_normal_and_never_leave_the_tree() {
        let inside = |text: &str| Place::Within(text.to_owned());
        assert_eq!(within("a/b", "../c/./d.txt"), inside("a/c/d.txt"));
        assert_eq!(within("", "./"), inside(""));
        assert_eq!(within("a", "../../b"), Place::Outside);
        assert_eq!(within("a", "/b"), Place::Absolute);
    }

    #[test]
    fn a_directory_is_read_without_leaving_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/a"), "x").unwrap();
        std::fs::write(directory.path().join("secret"), "y").unwrap();
        std::os::unix::fs::symlink("sub/a", root.join("inside")).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("outside")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("absolute")).unwrap();
        let files = DirectoryFiles::open(&root).unwrap();
        assert_eq!(files.read("sub/a").unwrap(), Some(b"x".to_vec()));
        assert_eq!(files.read("inside").unwrap(), Some(b"x".to_vec()));
        assert_eq!(files.read("sub").unwrap(), None);
        assert_eq!(files.read("none/x").unwrap(), None);
        assert_eq!(files.kind("").unwrap(), Some(FileKind::Directory));
        assert_eq!(files.kind("inside").unwrap(), Some(FileKind::File));
        for name in ["outside", "absolute"] {
            let error = files.read(name).unwrap_err().to_string();
            assert!(error.contains("leads out of the source tree"), "{error}");
        }
    }
}
