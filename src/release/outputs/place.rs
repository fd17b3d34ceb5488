//! Files that appear whole, also where a file cannot be replaced: pipes, devices, files that are mounted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::fs::{self, Context, Error};

/// How much of a file is looked at, in bytes.
const MOST_LOOKED_AT: u64 = 1 << 20;
/// How many links to links are followed.
const MAX_LINKS: usize = 40;

/// Removes what an earlier run left. What cannot be removed, because it is mounted or its directory is somebody else's,
/// is emptied; pipes and devices have nothing to remove.
pub(super) fn forget(path: &Path) -> Result<(), Error> {
    if is_stream(path) {
        return Ok(());
    }
    let path = &target(path);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if is_held(&error) => {
            let emptied = OpenOptions::new().write(true).truncate(true).open(path);
            emptied.map(drop).context("empty", path)
        }
        removed => removed.context("remove", path),
    }
}

/// Whether a file may be what an earlier run wrote: it is not there, empty, no file, or names a digest, as all of ours do.
pub(super) fn may_be_ours(path: &Path) -> Result<bool, Error> {
    if is_stream(path) {
        return Ok(true);
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened.context("open", path)?,
    };
    if file.metadata().context("read", path)?.is_dir() {
        return Ok(true);
    }
    let mut start = Vec::new();
    file.take(MOST_LOOKED_AT)
        .read_to_end(&mut start)
        .context("read", path)?;
    let digest = b"sha256:";
    let names_a_digest = start.windows(digest.len()).any(|window| window == digest);
    Ok(start.trim_ascii().is_empty() || names_a_digest)
}

/// Writes a file so that it appears whole or not at all; its directories are made. What cannot be replaced is written in
/// place.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if is_stream(path) {
        let file = OpenOptions::new().append(true).open(path);
        return file
            .and_then(|mut file| file.write_all(bytes))
            .context("write to", path);
    }
    make_parents(path)?;
    let path = &target(path);
    match fs::write_atomic(path, bytes) {
        Err(error) if is_held(&error.source) && path.is_file() => {
            let file = OpenOptions::new().write(true).truncate(true).open(path);
            file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
                .context("write", path)
        }
        written => written,
    }
}

/// Adds whole lines to a file that others add to as well.
pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    make_parents(path)?;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    let mut file = options.open(path).context("open", path)?;
    let mut text = Vec::with_capacity(bytes.len() + 1);
    if !ends_a_line(&mut file).context("read", path)? {
        text.push(b'\n');
    }
    text.extend_from_slice(bytes);
    // One write, so that lines of others do not come in between.
    file.write_all(&text).context("write", path)
}

/// Makes the directories that a file is in.
pub(super) fn make_parents(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            fs::create_dir_all(parent)
        }
        _ => Ok(()),
    }
}

/// True for an empty file, and for one whose last line has its end.
fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// True for what bytes go through, and for names of this process's own streams, whose files are not ours to replace.
fn is_stream(path: &Path) -> bool {
    let is_named = |directory: &str| path.starts_with(directory);
    let is_own = (is_named("/dev") && !is_named("/dev/shm")) || is_named("/proc");
    match std::fs::metadata(path) {
        Ok(metadata) => !metadata.is_dir() && (is_own || !metadata.is_file()),
        Err(_) => false,
    }
}

/// The file that links lead to, also when it is not there.
fn target(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = std::fs::read_link(&path) else {
            break;
        };
        path = match path.parent() {
            Some(parent) => parent.join(next),
            None => next,
        };
    }
    path
}

/// True when a name cannot be given to another file, although the file may be writable.
fn is_held(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_written_through_and_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (link, file) = (directory.path().join("link"), directory.path().join("file"));
        std::os::unix::fs::symlink("file", &link).unwrap();
        std::fs::write(&file, "old").unwrap();
        forget(&link).unwrap();
        assert!(!file.exists());
        write(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_pipe_gets_the_bytes_and_stays_a_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        forget(&pipe).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| std::fs::read(&pipe).unwrap());
            write(&pipe, b"sha256:00").unwrap();
            assert_eq!(reader.join().unwrap(), b"sha256:00");
        });
        assert!(!std::fs::metadata(&pipe).unwrap().is_file());
    }

    #[test]
    fn directories_are_made_and_what_is_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/digest");
        write(&deep, b"x").unwrap();
        assert_eq!(std::fs::read(&deep).unwrap(), b"x");
        let parent = deep.parent().unwrap();
        assert!(write(parent, b"x").is_err());
        assert!(forget(parent).is_err());
        assert!(deep.exists());
    }

    #[test]
    fn lines_are_added_behind_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("output");
        append(&file, b"a=1\n").unwrap();
        append(&file, b"b=2\n").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"a=1\nb=2\n");
        std::fs::write(&file, "c=3").unwrap();
        append(&file, b"d=4\n").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"c=3\nd=4\n");
    }

    /// A file that another one is mounted on, as Kubernetes mounts the termination log; unmounted when dropped.
    struct Mounted(PathBuf);

    impl Mounted {
        fn on(path: &Path, source: &Path) -> Option<Self> {
            let mount = std::process::Command::new("mount")
                .args(["--bind"])
                .args([source, path])
                .output();
            let is_done = mount.is_ok_and(|output| output.status.success());
            is_done.then(|| Self(path.to_owned()))
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(&self.0).output();
        }
    }

    #[test]
    fn a_file_that_is_mounted_is_emptied_and_written_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let [log, source] = ["log", "source"].map(|name| directory.path().join(name));
        std::fs::write(&log, "").unwrap();
        std::fs::write(&source, "of an earlier run").unwrap();
        let Some(mounted) = Mounted::on(&log, &source) else {
            crate::skip_tests::skip(
                "a_file_that_is_mounted_is_emptied_and_written_in_place",
                "nothing can be mounted here",
            );
            return;
        };
        forget(&log).unwrap();
        assert_eq!(std::fs::read(&source).unwrap(), b"");
        std::fs::write(&source, "longer than what comes").unwrap();
        write(&log, b"sha256:00").unwrap();
        drop(mounted);
        assert_eq!(std::fs::read(&source).unwrap(), b"sha256:00");
        assert_eq!(
            std::fs::read(&log).unwrap(),
            b"",
            "what lies below is not touched"
        );
        assert_eq!(fs::list(directory.path()).unwrap().len(), 2);
    }
}
