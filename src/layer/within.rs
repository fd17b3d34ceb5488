//! Files below a directory whose content is not trusted, without ever leaving it.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    self as rfs, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps,
};
use rustix::io::Errno;

use super::entry::{EntryPath, is_portable_xattr};

/// Opens a directory by a path that the kernel resolves with `root` as the root directory: as a place only.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &EntryPath) -> rustix::io::Result<OwnedFd> {
    open_in_root_with(root, path, OFlags::PATH)
}

/// As [`open_in_root`], for reading and for changing its attributes.
pub(crate) fn open_in_root_to_change(
    root: BorrowedFd<'_>,
    path: &EntryPath,
) -> rustix::io::Result<OwnedFd> {
    open_in_root_with(root, path, OFlags::RDONLY)
}

fn open_in_root_with(
    root: BorrowedFd<'_>,
    path: &EntryPath,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_root() {
        Path::new(".")
    } else {
        path.as_path()
    };
    rfs::openat2(
        root,
        path,
        flags | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens a directory by a path in which there must be no link.
pub(crate) fn open_without_links(
    root: BorrowedFd<'_>,
    path: &EntryPath,
) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_root() {
        Path::new(".")
    } else {
        path.as_path()
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rfs::openat2(root, path, flags, Mode::empty(), how)
}

/// Opens a directory for reading; a link is refused.
pub(crate) fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::openat(parent, name, flags, Mode::empty())
}

/// Makes a new file, for this user alone.
pub(crate) fn create_file(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    create_file_with(parent, name, 0o600)
}

/// Makes a new file with those permission bits of `mode` that the system leaves it ([`Fresh`] says which).
pub(crate) fn create_file_with(
    parent: BorrowedFd<'_>,
    name: &[u8],
    mode: u32,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::openat(parent, name, flags, Mode::from_raw_mode(mode))
}

/// What a file looks like that was just made below a directory: who runs, the mask of modes, the directory's default ACL
/// and its setgid bit decide, and a directory made below inherits the latter two. To know it saves setting the owner and
/// the mode of most files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    owner: (u32, u32),
    /// The permission bits that are not taken away.
    kept: u32,
}

impl Fresh {
    /// Makes a file in `directory`, which is empty, looks at it, and takes it away.
    pub(crate) fn find(directory: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let name = b"probe";
        let file = create_file_with(directory, name, 0o777)?;
        let status = rfs::fstat(&file)?;
        rfs::unlinkat(directory, &name[..], AtFlags::empty())?;
        Ok(Self {
            owner: (status.st_uid, status.st_gid),
            kept: status.st_mode & 0o777,
        })
    }

    /// True when a file belongs to these from the beginning.
    pub(crate) fn belongs_to(self, uid: u32, gid: u32) -> bool {
        self.owner == (uid, gid)
    }

    /// True when a file that is made with `mode` has it.
    pub(crate) fn keeps(self, mode: u32) -> bool {
        mode & !self.kept == 0
    }
}

/// Takes away the attributes that layers may set.
pub(crate) fn clear_xattrs(file: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match rfs::flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(errno),
    };
    let names = names[..length].split(|byte| *byte == 0);
    for name in names.filter(|name| is_portable_xattr(name)) {
        rfs::fremovexattr(file, OsStr::from_bytes(name))?;
    }
    Ok(())
}

/// The path of a directory within `root` without links: what [`open_in_root`] opens, by name.
pub(crate) fn resolve(root: BorrowedFd<'_>, path: &EntryPath) -> rustix::io::Result<EntryPath> {
    if open_without_links(root, path).is_ok() {
        return Ok(path.clone());
    }
    let mut pending: Vec<Vec<u8>> = components(path.as_bytes());
    let mut resolved: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(component) = pending.pop() {
        match &component[..] {
            b"" | b"." => continue,
            // At the root it stays there, as in a root directory.
            b".." => {
                resolved.pop();
                continue;
            }
            _ => resolved.push(component),
        }
        let file = resolved.join(&b'/');
        let status = rfs::statat(root, &file[..], AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
            continue;
        }
        links += 1;
        // The kernel's limit.
        if links > 40 {
            return Err(Errno::LOOP);
        }
        let target = rfs::readlinkat(root, &file[..], Vec::new())?.into_bytes();
        resolved.pop();
        if target.first() == Some(&b'/') {
            resolved.clear();
        }
        pending.extend(components(&target));
    }
    EntryPath::parse(&resolved.join(&b'/')).map_err(|_| Errno::NAMETOOLONG)
}

/// The components of a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

/// Both times of a file, in whole seconds.
pub(crate) fn times(seconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
