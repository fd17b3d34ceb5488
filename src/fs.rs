//! File work whose errors name the path, files that appear whole or not at all, and directories that clean up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file operation that failed: what was tried, on which path, and the system's reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {}", path.display(), reason(source))]
pub struct Error {
    /// A verb phrase: `read`, `create directory`.
    pub action: &'static str,
    /// The path as it was given.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

impl Error {
    /// An error of `action` on `path`.
    pub fn new(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self {
            action,
            path,
            source,
        }
    }

    /// True when the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }

    /// True when the path does not exist.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// True when `error` says that the disk or the quota is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The system's reason without Rust's `(os error N)`.
pub fn reason(error: &io::Error) -> String {
    plain(&error.to_string())
}

/// Takes Rust's `(os error N)` and a capital letter away from a system's reason, so that it fits into a sentence.
pub fn plain(text: &str) -> String {
    let text = text.split(" (os error ").next().unwrap_or(text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if letters.clone().next().is_some_and(|c| !c.is_uppercase()) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Adds action and path to an I/O error.
pub trait Context<T> {
    /// Turns an I/O error into one that names what was tried on which path.
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::new(action, path, source))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|errno| Error::new(action, path, errno.into()))
    }
}

/// Reads a whole file of at most `limit_bytes`; a longer one is an error, so that hostile input cannot fill memory.
pub fn read_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, Error> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .context("read", path)?;
    if bytes.len() as u64 > limit_bytes {
        let text = format!("it is larger than {limit_bytes} bytes");
        return Err(Error::new("read", path, io::Error::other(text)));
    }
    Ok(bytes)
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, Error> {
    File::open(path).context("open", path)
}

/// Makes a directory and its parents; an existing one is fine.
pub fn create_dir_all(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).context("create directory", path)
}

/// The names in a directory, sorted bytewise.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).context("read directory", path)? {
        names.push(PathBuf::from(
            entry.context("read directory", path)?.file_name(),
        ));
    }
    names.sort_by(|a, b| {
        a.as_os_str()
            .as_encoded_bytes()
            .cmp(b.as_os_str().as_encoded_bytes())
    });
    Ok(names)
}

/// Writes a file so that it appears whole or not at all: a temporary neighbour, synced, renamed into place.
///
/// # Errors
/// [`Error`] when the directory does not exist or cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = write_beside(path, bytes, 0o644, |file| file.sync_all())?;
    sync_directory(directory)
}

/// As [`write_atomic`], for secrets: nobody but the owner may ever read it.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let directory = write_beside(path, bytes, 0o600, |file| file.sync_all())?;
    sync_directory(directory)
}

/// As [`write_atomic`], but after a power failure the file may be the old one, or damaged: for what is checked when it
/// is read and can be had again. Waiting for the disk would cost more than what is saved.
///
/// # Errors
/// As [`write_atomic`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_beside(path, bytes, 0o644, |_| Ok(())).map(drop)
}

/// Writes a temporary neighbour and renames it once `settle` is content with it; the directory of both.
fn write_beside<'p>(
    path: &'p Path,
    bytes: &[u8],
    mode: u32,
    settle: impl FnOnce(&File) -> io::Result<()>,
) -> Result<&'p Path, Error> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(directory)
        .context("write to", directory)?;
    file.write_all(bytes).context("write", path)?;
    settle(file.as_file()).context("sync", path)?;
    file.persist(path)
        .map_err(|error| error.error)
        .context("write", path)?;
    Ok(directory)
}

/// Sets a file's or directory's time to that of the file system's clock: it was used. Best effort, for a cache that
/// cannot be written can still be read.
pub fn touch(path: &Path) {
    let now = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = rustix::fs::Timestamps {
        last_access: now,
        last_modification: now,
    };
    let not_through_links = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, not_through_links);
}

/// The sizes in bytes of all files at and below `path`, which links are not followed from. What cannot be read counts
/// nothing.
pub fn tree_bytes(path: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(path).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .context("sync", path)
}

/// A lock that other processes respect, held until dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl Lock {
    /// Waits until nobody else holds `path` exclusively or shared. The file is made if need be and is never removed.
    pub fn exclusive(path: &Path) -> Result<Self, Error> {
        let file = Self::open(path)?;
        file.lock().context("lock", path)?;
        Ok(Self(file))
    }

    /// The lock, or `None` when someone else holds it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>, Error> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(Error::new("lock", path, source)),
        }
    }

    /// A directory can be locked as well as a file: then nothing is added to it.
    fn open(path: &Path) -> Result<File, Error> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path),
            other => other,
        }
        .context("open to lock", path)
    }
}

/// Makes a directory, and its parents, that nobody else may enter: what is in it may be set-user-id, or a device.
pub fn create_private_dir(path: &Path) -> Result<(), Error> {
    create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).context("set the mode of", path)
}

/// A directory for one piece of work, removed with all it holds when dropped.
///
/// While it lives, `NAME.lock` beside it is locked; a directory whose lock is free was left by a process that was
/// killed, and [`Workspace::sweep`] removes it.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: Lock,
}

impl Workspace {
    /// Makes a new directory below `parent` (which is made if need be), for this user alone.
    pub fn create(parent: &Path) -> Result<Self, Error> {
        for _ in 0..1000 {
            create_private_dir(parent)?;
            let lock = tempfile::Builder::new()
                .prefix("work-")
                .suffix(".lock")
                .tempfile_in(parent);
            let lock = match lock {
                // Somebody removed the empty parent.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock.context("create a file in", parent)?,
            };
            let kept = lock.keep().map_err(|error| error.error);
            let (file, lock_path) = kept.context("create a file in", parent)?;
            file.lock().context("lock", &lock_path)?;
            // A sweep may have been quicker, and have removed the file that is locked now.
            let is_there = fs::metadata(&lock_path).is_ok_and(|named| {
                file.metadata()
                    .is_ok_and(|held| (named.dev(), named.ino()) == (held.dev(), held.ino()))
            });
            if !is_there {
                continue;
            }
            // The lock is there before the directory, so a sweep never sees one without the other.
            let path = lock_path.with_extension("");
            create_private_dir(&path)?;
            return Ok(Self {
                path,
                lock_path,
                _lock: Lock(file),
            });
        }
        let source = io::Error::other("others keep removing it");
        Err(Error::new("create a directory in", parent, source))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what killed processes left below `parent`. Best effort: what cannot be removed stays.
    pub fn sweep(parent: &Path) {
        for name in list(parent).unwrap_or_default() {
            let path = parent.join(&name);
            if name.extension().is_none_or(|extension| extension != "lock") {
                continue;
            }
            if let Ok(Some(_lock)) = Lock::try_exclusive(&path) {
                let gone = remove_tree(&path.with_extension("")).is_ok();
                if gone {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if remove_tree(&self.path).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Removes a directory tree, also one with directories that forbid it (overlay leaves some with mode 000), and one
/// that is deeper than files may be open. An absent one is fine.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    // Always before, not after a failure: where very many files may be open, what runs out is the stack.
    open_up(path);
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.context("remove", path),
    }
}

/// The standard library keeps a file open, and a stack frame, for each level that it is down.
const MAX_DEPTH: usize = 64;

/// Gives every directory below `path` its owner's permissions back, and moves what lies too deep up. Best effort.
fn open_up(path: &Path) {
    let mut moved = 0_u64;
    let mut pending = vec![(path.to_owned(), 0)];
    while let Some((directory, depth)) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&directory) else {
            continue;
        };
        if !metadata.is_dir() {
            continue;
        }
        let mode = metadata.permissions().mode();
        if mode & 0o700 != 0o700 {
            let _ = fs::set_permissions(&directory, fs::Permissions::from_mode(mode | 0o700));
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if depth < MAX_DEPTH {
                pending.push((entry.path(), depth + 1));
                continue;
            }
            let up = path.join(format!(".overcoat-moved-{moved}"));
            moved += 1;
            if fs::rename(entry.path(), &up).is_ok() {
                pending.push((up, 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_where_and_why() {
        let error = open(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot open `/no/such/file`: no such file or directory"
        );
        assert!(error.is_absent());
    }

    #[test]
    fn a_workspace_takes_everything_with_it_even_closed_directories() {
        let parent = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(parent.path()).unwrap();
        let closed = workspace.path().join("work/work");
        fs::create_dir_all(closed.join("deep")).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        drop(workspace);
        assert_eq!(list(parent.path()).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_tree_deeper_than_files_may_be_open_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("root");
        fs::create_dir(&root).unwrap();
        // Beyond the longest path, too: grown from below.
        for level in 0..5000 {
            let (inner, outer) = (root.join("d"), root.join("e"));
            fs::create_dir(&outer).unwrap();
            if level > 0 {
                fs::rename(&inner, outer.join("d")).unwrap();
            }
            fs::rename(&outer, &inner).unwrap();
        }
        remove_tree(&root).unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn sweeping_removes_what_the_dead_left_and_spares_the_living() {
        let parent = tempfile::tempdir().unwrap();
        let living = Workspace::create(parent.path()).unwrap();
        fs::create_dir(parent.path().join("work-dead")).unwrap();
        fs::write(parent.path().join("work-dead.lock"), "").unwrap();
        Workspace::sweep(parent.path());
        assert!(living.path().exists());
        assert!(!parent.path().join("work-dead").exists());
        assert!(!parent.path().join("work-dead.lock").exists());
    }

    #[test]
    fn a_limited_read_refuses_what_is_larger() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_atomic(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        assert!(
            read_limited(&path, 4)
                .unwrap_err()
                .to_string()
                .contains("larger than 4 bytes")
        );
    }
}
