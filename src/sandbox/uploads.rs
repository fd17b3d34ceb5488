//! Putting the source, and what else a step needs, into the root file system.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{self as rfs, Gid, Mode, OFlags, Timespec, Timestamps, Uid};

use super::identity::Identity;
use super::ladder::Rung;
use super::mounts::{Root, refused};
use super::{Bind, Secret, Status, StatusError, Upload, UploadContent};

/// Whom new files are given to. Where files cannot have other owners than ours, what we make is the step's anyway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner(Option<(Uid, Gid)>);

impl Owner {
    pub(super) fn new(identity: &Identity, rung: Rung) -> Self {
        Self(
            (!rung.keeps_ledger())
                .then(|| (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid))),
        )
    }

    pub(super) fn give(self, parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
        match self.0 {
            Some((uid, gid)) => {
                let flags = rfs::AtFlags::SYMLINK_NOFOLLOW;
                rfs::chownat(parent, name, Some(uid), Some(gid), flags)
            }
            None => Ok(()),
        }
    }

    pub(super) fn give_open(self, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        match self.0 {
            Some((uid, gid)) => rfs::fchown(file, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}

/// Puts one upload into the root file system. Names are resolved inside it; what is there is replaced, and a link that
/// has the upload's own name is replaced too, not followed.
pub(super) fn place(root: &Root, upload: &Upload, owner: Owner) -> Result<(), StatusError> {
    use std::os::unix::ffi::OsStrExt;
    let target = Path::new(std::ffi::OsStr::from_bytes(&upload.target));
    let failed = |errno| refused(format!("put `{}` into the image", target.display()), errno);
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(failed(rustix::io::Errno::INVAL));
    };
    let parent = root.directory_at(parent).map_err(failed)?;
    let time = Timespec {
        tv_sec: upload.mtime,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    if !matches!(upload.content, UploadContent::Directory) {
        // A builder that is itself a built application may still hold an older one.
        match rfs::unlinkat(&parent, name, rfs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    match &upload.content {
        UploadContent::Directory => {
            match rfs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            owner.give(parent.as_fd(), name).map_err(failed)
        }
        UploadContent::Symlink { target } => {
            rfs::symlinkat(&target[..], &parent, name).map_err(failed)?;
            owner.give(parent.as_fd(), name).map_err(failed)?;
            rfs::utimensat(&parent, name, &times, rfs::AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
        }
        UploadContent::File { source, mode } => {
            let source = Path::new(std::ffi::OsStr::from_bytes(source));
            copy_file(
                source,
                parent.as_fd(),
                Path::new(name),
                *mode,
                owner,
                &times,
            )
            .map_err(|error| StatusError::Setup {
                step: format!("copy `{}` into the image", source.display()),
                reason: crate::fs::reason(&error),
                hint: None,
            })
        }
    }
}

pub(super) fn copy_file(
    source: &Path,
    parent: BorrowedFd<'_>,
    name: &Path,
    mode: u32,
    owner: Owner,
    times: &Timestamps,
) -> io::Result<()> {
    let mut from = File::open(source)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut to = File::from(rfs::openat(
        parent,
        name,
        flags,
        Mode::from_raw_mode(0o600),
    )?);
    io::copy(&mut from, &mut to)?;
    owner.give_open(to.as_fd())?;
    rfs::fchmod(&to, Mode::from_raw_mode(mode))?;
    Ok(rfs::futimens(&to, times)?)
}

/// What a user of the image is shown of `wanted`: where each has a directory of its own, that one, made when needed.
pub(super) fn for_user(
    wanted: &Bind,
    identity: &Identity,
    owner: Owner,
) -> Result<Bind, StatusError> {
    if !wanted.is_per_user {
        return Ok(wanted.clone());
    }
    let source = wanted.source.join(identity.uid.to_string());
    let failed = |errno| refused(format!("make the directory `{}`", source.display()), errno);
    match rfs::mkdir(&source, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::open(&source, flags, Mode::empty())
        .and_then(|directory| owner.give_open(directory.as_fd()))
        .map_err(failed)?;
    Ok(Bind {
        source,
        is_per_user: false,
        ..wanted.clone()
    })
}

/// Copies what would be mounted where mounts are possible. `scaffolding` receives the paths, which are no part of what
/// the step changes.
pub(super) fn copy_binds(
    root: &Root,
    binds: &[Bind],
    owner: Owner,
    status: &mut Status,
) -> Result<(), StatusError> {
    let scaffolding = &mut status.scaffolding;
    for wanted in binds {
        let Bind { source, target, .. } = wanted;
        if wanted.is_per_user {
            // A cache: without it the step does more work and makes the same.
            let failed = |errno| refused(format!("make the directory `{target}`"), errno);
            let directory = root
                .directory_remembering(Path::new(target), scaffolding)
                .map_err(failed)?;
            // What opens a path only cannot change its owner.
            let path = root.path_within(directory.as_fd()).map_err(failed)?;
            let (parent, name) = (path.parent().unwrap_or(Path::new("")), path.file_name());
            let parent = root.directory_at(parent).map_err(failed)?;
            owner
                .give(parent.as_fd(), name.unwrap_or_default())
                .map_err(failed)?;
            status
                .caches
                .push(path.into_os_string().into_encoded_bytes());
            continue;
        }
        if source.is_dir() {
            return Err(StatusError::Setup {
                step: format!("show `{}` as `{target}`", source.display()),
                reason: "directories can be shown only where the step has mounts of its own"
                    .to_owned(),
                hint: Some(
                    "leave the volume out, or see `overcoat doctor` for what this machine lacks"
                        .to_owned(),
                ),
            });
        }
        let bytes =
            crate::fs::read_limited(source, 64 << 20).map_err(|error| StatusError::Setup {
                step: format!("show `{}` as `{target}`", source.display()),
                reason: error.to_string(),
                hint: None,
            })?;
        put(root, target, &bytes, 0o644, Owner(None), scaffolding)?;
    }
    Ok(())
}

/// Writes secrets into the root file system itself, where there is no tmpfs for them; whoever waits for the step removes
/// them.
pub(super) fn copy_secrets(
    root: &Root,
    secrets: &[Secret],
    owner: Owner,
    scaffolding: &mut Vec<Vec<u8>>,
) -> Result<(), StatusError> {
    for secret in secrets {
        put(
            root,
            &secret.target,
            &secret.content,
            0o400,
            owner,
            scaffolding,
        )?;
    }
    Ok(())
}

fn put(
    root: &Root,
    target: &str,
    bytes: &[u8],
    mode: u32,
    owner: Owner,
    scaffolding: &mut Vec<Vec<u8>>,
) -> Result<(), StatusError> {
    let failed = |errno| refused(format!("put `{target}` into the image"), errno);
    let path = Path::new(target);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(rustix::io::Errno::INVAL));
    };
    let directory = root
        .directory_remembering(directory, scaffolding)
        .map_err(failed)?;
    match rfs::unlinkat(&directory, name, rfs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rfs::openat(&directory, name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
    let mut file = File::from(file);
    io::Write::write_all(&mut file, bytes)
        .and_then(|()| Ok(rfs::fchmod(&file, Mode::from_raw_mode(mode))?))
        .and_then(|()| Ok(owner.give_open(file.as_fd())?))
        .map_err(|error| StatusError::Setup {
            step: format!("put `{target}` into the image"),
            reason: crate::fs::reason(&error),
            hint: None,
        })?;
    let real = root.path_within(directory.as_fd()).map_err(failed)?;
    scaffolding.push(real.join(name).into_os_string().into_encoded_bytes());
    Ok(())
}

/// Makes the devices that programs expect in `/dev`, which is no part of what a step changes. False when this user may
/// not: then they are ordinary files, so that `> /dev/null` works at least.
pub(super) fn make_devices(root: &Root) -> Result<bool, StatusError> {
    const DEVICES: [(&str, u32); 6] = [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
        ("tty", 0),
    ];
    let failed = |errno| refused("set up /dev", errno);
    let dev = root.directory_at(Path::new("/dev")).map_err(failed)?;
    let mut all_real = true;
    let mode = Mode::from_raw_mode(0o666);
    for (name, minor) in DEVICES {
        // `/dev/tty` has a major number of its own.
        let device = rfs::makedev(if name == "tty" { 5 } else { 1 }, minor);
        let _ = rfs::unlinkat(&dev, name, rfs::AtFlags::empty());
        let made = rfs::mknodat(&dev, name, rfs::FileType::CharacterDevice, mode, device);
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let works = match made.and_then(|()| rfs::openat(&dev, name, flags, Mode::empty())) {
            // Without a controlling terminal, that is the answer of a working `/dev/tty`.
            Ok(_) | Err(rustix::io::Errno::NXIO) => true,
            Err(_) => false,
        };
        if !works {
            all_real = false;
            let _ = rfs::unlinkat(&dev, name, rfs::AtFlags::empty());
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rfs::openat(&dev, name, flags, mode).map_err(failed)?;
        }
        rfs::chmodat(&dev, name, mode, rfs::AtFlags::empty()).map_err(failed)?;
    }
    match rfs::mkdirat(&dev, "shm", Mode::from_raw_mode(0o1777)) {
        Ok(()) => rfs::chmodat(
            &dev,
            "shm",
            Mode::from_raw_mode(0o1777),
            rfs::AtFlags::empty(),
        )
        .map_err(failed)?,
        Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    Ok(all_real)
}

/// Removes the file `target` of a root file system; nothing where there is none.
pub(super) fn remove_inside(root: &Path, target: &Path) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rfs::open(root, flags, Mode::empty())?;
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Ok(());
    };
    let resolve = rfs::ResolveFlags::IN_ROOT | rfs::ResolveFlags::NO_MAGICLINKS;
    let removed = rfs::openat2(&top, parent, flags, Mode::empty(), resolve)
        .and_then(|parent| rfs::unlinkat(&parent, name, rfs::AtFlags::empty()));
    match removed {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(()),
        other => other,
    }
}
