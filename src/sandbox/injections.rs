//! Files of this machine that stand among the image's own while a step runs, and are in no layer afterwards.
//!
//! Where the step has mounts, the files are in memory (a tmpfs outside of the root file system), and what the image has
//! not is mounted from there: a directory as a whole where the image has nothing of that name, else file by file.
//! Elsewhere they are copied; a file of the image that is in the way is put aside, and comes back.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self as rfs, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps,
};
use rustix::io::Errno;
use rustix::mount::{self as rmount, MountFlags};
use serde::{Deserialize, Serialize};

use super::mounts::{Root, Want, refused};
use super::uploads::{Owner, copy_file};
use super::{Error, Spec, Status, StatusError};

/// Where the files are in memory, in the directory of a run.
pub(super) const DIRECTORY: &str = "injected";

/// Files to show at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// What the person called it, for messages.
    pub name: String,
    /// Where, absolute within the root file system. The directory that holds it must be there.
    pub target: String,
    /// True when one file was named, not a directory: it becomes `target`, or a file in it when that is a directory.
    pub is_single: bool,
    /// The files, sorted by path.
    pub files: Vec<InjectedFile>,
    /// The modification time that all of them show, seconds since 1970.
    pub mtime: i64,
}

/// A file of an [`Injection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFile {
    /// Where, relative to the target, as bytes: names with `/` between them.
    pub path: Vec<u8>,
    /// Path on this machine, as bytes.
    pub source: Vec<u8>,
    /// Whether it can be executed.
    pub is_executable: bool,
}

impl InjectedFile {
    fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// The same on every rung, so that what a script copies with its mode makes the same layer.
    fn mode(&self) -> u32 {
        if self.is_executable { 0o755 } else { 0o644 }
    }
}

/// A file that was put into the root file system itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    /// Where, relative to the root.
    path: Vec<u8>,
    /// What the image's own file is called meanwhile, in the same directory.
    kept: Option<Vec<u8>>,
}

/// Mounts all injections of a step.
pub(super) fn show(root: &mut Root, spec: &Spec, owner: Owner) -> Result<(), StatusError> {
    if spec.injections.is_empty() {
        return Ok(());
    }
    let memory = spec.directory.join(DIRECTORY);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    // Somewhat more than each may have: a file may grow, but not without an end.
    let size = format!("mode=755,size={}m", 288 * spec.injections.len());
    let size = CString::new(size).map_err(|_| refused("describe memory", Errno::INVAL))?;
    rmount::mount("tmpfs", &memory, "tmpfs", flags, size.as_c_str())
        .map_err(|errno| refused("mount memory for injected files", errno))?;
    for (index, injection) in spec.injections.iter().enumerate() {
        let own = memory.join(index.to_string());
        check_parent(root, injection)?;
        fill(&own, injection, owner)
            .map_err(|error| failed(injection, crate::fs::reason(&error)))?;
        show_one(root, injection, &own)?;
    }
    Ok(())
}

fn failed(injection: &Injection, reason: impl Into<String>) -> StatusError {
    StatusError::Injection {
        what: format!("`{}` as `{}`", injection.name, injection.target),
        reason: reason.into(),
        hint: None,
    }
}

fn failed_by(injection: &Injection, errno: Errno) -> StatusError {
    failed(injection, crate::fs::reason(&errno.into()))
}

/// The directory that holds the target must be the image's: a slip of the pen would else go unnoticed.
fn check_parent(root: &Root, injection: &Injection) -> Result<(), StatusError> {
    let Some(parent) = Path::new(&injection.target).parent() else {
        return Ok(());
    };
    let parent_kind = find(root, parent).map_err(|errno| failed_by(injection, errno))?;
    if parent_kind == Some(FileType::Directory) {
        return Ok(());
    }
    Err(StatusError::Injection {
        what: format!("`{}` as `{}`", injection.name, injection.target),
        reason: format!("the image has no directory `{}`", parent.display()),
        hint: Some("name a place in a directory that the image has".to_owned()),
    })
}

/// What is at a path of the root file system, links followed.
fn find(root: &Root, path: &Path) -> rustix::io::Result<Option<FileType>> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    match rfs::openat2(root.directory(), path, flags, Mode::empty(), resolve) {
        Ok(file) => Ok(Some(FileType::from_raw_mode(rfs::fstat(&file)?.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Copies the files of an injection into the new directory `own`.
fn fill(own: &Path, injection: &Injection, owner: Owner) -> std::io::Result<()> {
    make_directory(own, owner)?;
    for file in &injection.files {
        let path = own.join(file.path());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::INVAL.into());
        };
        let mut missing: Vec<&Path> = Vec::new();
        missing.extend(parent.ancestors().take_while(|above| !above.exists()));
        for directory in missing.into_iter().rev() {
            make_directory(directory, owner)?;
        }
        let parent = open_directory(parent)?;
        copy(file, parent.as_fd(), name, injection, owner)?;
    }
    Ok(())
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::open(path, flags, Mode::empty())
}

fn make_directory(path: &Path, owner: Owner) -> rustix::io::Result<()> {
    rfs::mkdir(path, Mode::from_raw_mode(0o755))?;
    owner.give_open(open_directory(path)?.as_fd())
}

fn copy(
    file: &InjectedFile,
    parent: std::os::fd::BorrowedFd<'_>,
    name: &OsStr,
    injection: &Injection,
    owner: Owner,
) -> std::io::Result<()> {
    let time = Timespec {
        tv_sec: injection.mtime,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let source = Path::new(OsStr::from_bytes(&file.source));
    copy_file(source, parent, Path::new(name), file.mode(), owner, &times)
}

/// Where a single file goes.
fn single_target(root: &Root, injection: &Injection) -> Result<PathBuf, StatusError> {
    let target = PathBuf::from(&injection.target);
    let there = find(root, &target).map_err(|errno| failed_by(injection, errno))?;
    match (there, injection.files.first()) {
        (Some(FileType::Directory), Some(file)) => Ok(target.join(file.path())),
        _ => Ok(target),
    }
}

fn show_one(root: &mut Root, injection: &Injection, own: &Path) -> Result<(), StatusError> {
    let refuse = |errno| failed_by(injection, errno);
    let bind = |root: &mut Root, from: &Path, target: &Path, want| {
        let place = root.mount_point_at(target, want)?;
        rmount::mount_bind(from, &place).map_err(refuse)
    };
    let target = Path::new(&injection.target);
    if injection.is_single {
        for file in &injection.files {
            let target = single_target(root, injection)?;
            bind(root, &own.join(file.path()), &target, Want::File)?;
        }
        return Ok(());
    }
    match find(root, target).map_err(refuse)? {
        None => return bind(root, own, target, Want::Directory),
        Some(FileType::Directory) => {}
        Some(_) => return Err(failed(injection, "the image has a file of that name")),
    }
    let mut whole: Vec<&Path> = Vec::new();
    for file in &injection.files {
        let path = file.path();
        if whole.iter().any(|directory| path.starts_with(directory)) {
            continue;
        }
        // Outermost first; the last of the ancestors is the target itself.
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.pop();
        let mut missing = None;
        for directory in above.into_iter().rev() {
            if find(root, &target.join(directory))
                .map_err(refuse)?
                .is_none()
            {
                missing = Some(directory);
                break;
            }
        }
        match missing {
            Some(directory) => {
                let from = own.join(directory);
                bind(root, &from, &target.join(directory), Want::Directory)?;
                whole.push(directory);
            }
            None => bind(root, &own.join(path), &target.join(path), Want::File)?,
        }
    }
    Ok(())
}

/// Copies all injections of a step into the root file system; `status` says what is to be taken back, also when this fails
/// half way.
pub(super) fn copy_all(
    root: &Root,
    spec: &Spec,
    owner: Owner,
    status: &mut Status,
) -> Result<(), StatusError> {
    for injection in &spec.injections {
        check_parent(root, injection)?;
        let single = match injection.is_single {
            true => Some(single_target(root, injection)?),
            false => None,
        };
        for file in &injection.files {
            let target = match &single {
                Some(target) => target.clone(),
                None => Path::new(&injection.target).join(file.path()),
            };
            copy_one(root, injection, file, &target, owner, status)
                .map_err(|error| failed(injection, crate::fs::reason(&error)))?;
        }
    }
    Ok(())
}

fn copy_one(
    root: &Root,
    injection: &Injection,
    file: &InjectedFile,
    target: &Path,
    owner: Owner,
    status: &mut Status,
) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let mut made = Vec::new();
    let parent = root.directory_remembering(parent, &mut made)?;
    for directory in &made {
        // What opens a path only cannot change its owner.
        let path = Path::new("/").join(OsStr::from_bytes(directory));
        let above = root.directory_at(path.parent().unwrap_or(Path::new("/")))?;
        owner.give(above.as_fd(), path.file_name().unwrap_or_default())?;
    }
    status.scaffolding.append(&mut made);
    let directory = root.path_within(parent.as_fd())?;
    let within = |name: &OsStr| directory.join(name).into_os_string().into_encoded_bytes();
    let kept = match rfs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(errno.into()),
        Ok(there) if FileType::from_raw_mode(there.st_mode) == FileType::Directory => {
            return Err(Errno::ISDIR.into());
        }
        Ok(_) => {
            let kept = format!(".overcoat-kept-{}", status.injected.len());
            rfs::renameat(&parent, name, &parent, kept.as_str())?;
            status.scaffolding.push(within(OsStr::new(&kept)));
            Some(kept.into_bytes())
        }
    };
    let path = within(name);
    status.scaffolding.push(path.clone());
    status.injected.push(Placed { path, kept });
    copy(file, parent.as_fd(), name, injection, owner)
}

/// Removes what [`copy_all`] has put there, and gives the image's own files their names back. Names are resolved inside
/// the root file system, whatever the step made of its directories.
pub(super) fn take_back(root: &Path, placed: &[Placed]) -> Result<(), Error> {
    // Whatever was put over another injected file goes first.
    let results: Vec<Result<(), Error>> = placed
        .iter()
        .rev()
        .map(|placed| {
            let path = Path::new(OsStr::from_bytes(&placed.path));
            take_one_back(root, path, placed.kept.as_deref()).map_err(|errno| {
                crate::fs::Error::new("remove the injected file", root.join(path), errno.into())
                    .into()
            })
        })
        .collect();
    results.into_iter().collect()
}

fn take_one_back(root: &Path, path: &Path, kept: Option<&[u8]>) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rfs::open(root, flags, Mode::empty())?;
    let Some(name) = path.file_name() else {
        return Err(Errno::INVAL);
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let parent = match rfs::openat2(&top, parent, flags, Mode::empty(), resolve) {
        // The step has removed the directory, and what was in it.
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        other => other?,
    };
    match rfs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    match kept {
        Some(kept) => rfs::renameat(&parent, kept, &parent, name),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn placed(path: &str, kept: Option<&str>) -> Placed {
        Placed {
            path: path.as_bytes().to_vec(),
            kept: kept.map(|name| name.as_bytes().to_vec()),
        }
    }

    #[test]
    fn what_was_put_there_goes_and_what_was_there_before_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("etc/sub")).unwrap();
        for (name, text) in [
            ("new", "secret"),
            ("old", "secret"),
            (".kept-1", "first"),
            (".kept-2", "other secret"),
        ] {
            fs::write(root.join("etc").join(name), text).unwrap();
        }
        let list = [
            placed("etc/new", None),
            placed("etc/old", Some(".kept-1")),
            // The same place once more.
            placed("etc/old", Some(".kept-2")),
            placed("gone/with/its/directory", None),
            placed("etc/removed-by-the-step", None),
        ];
        take_back(root, &list).unwrap();
        let mut names: Vec<_> = fs::read_dir(root.join("etc"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["old", "sub"]);
        assert_eq!(fs::read_to_string(root.join("etc/old")).unwrap(), "first");
    }

    #[test]
    fn what_cannot_be_taken_back_is_said_and_the_rest_goes_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::write(root.join("secret"), "x").unwrap();
        fs::create_dir(root.join("replaced")).unwrap();
        let error =
            take_back(root, &[placed("secret", None), placed("replaced", None)]).unwrap_err();
        assert!(error.to_string().contains("replaced"), "{error}");
        assert!(!root.join("secret").exists());
    }

    #[test]
    fn a_link_that_the_step_made_leads_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (
            directory.path().join("root"),
            directory.path().join("outside"),
        );
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("file"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("dir")).unwrap();
        take_back(&root, &[placed("dir/file", None)]).unwrap();
        assert!(outside.join("file").exists());
    }
}
