//! Finding the file that a task means, as the kernel would for that task.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self as rfs, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;

use super::file::statx;
use super::target::Target;

/// Symbolic links that one path may lead through, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// `..` in a changed root is refused with `EAGAIN` while something is renamed; a step may rename without end.
const MAX_RETRIES: usize = 64;

/// A file, held open without access to its contents.
pub(super) struct Object {
    pub file: OwnedFd,
    pub stat: Statx,
}

impl Object {
    pub(super) fn new(file: OwnedFd) -> Result<Self, Errno> {
        let stat = statx(file.as_fd())?;
        Ok(Self { file, stat })
    }

    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.stx_mode.into())
    }
}

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    Itself,
}

/// What makes a mount and a directory on it the same as another: its number, and the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub mount: u64,
    inode: u64,
}

impl Spot {
    pub(super) fn of(stat: &Statx) -> Self {
        Self {
            mount: mount(stat),
            inode: stat.stx_ino,
        }
    }
}

/// The number of the mount that a file was reached through. Linux before 5.8 does not tell, and then all files count
/// as on one.
pub(super) fn mount(stat: &Statx) -> u64 {
    if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return 0;
    }
    stat.stx_mnt_id
}

/// A path to resolve: `path` from `start`.
struct Route {
    start: OwnedFd,
    path: Vec<u8>,
    resolve: ResolveFlags,
}

/// Resolves paths of one task.
pub(super) struct Resolver<'a> {
    pub target: Target<'a>,
    /// The supervisor's own root directory.
    pub own_root: Spot,
}

impl Resolver<'_> {
    /// Opens the file at a path of the task. Links of `/proc` that lead somewhere by other means than their text are
    /// not followed, except those to the task's descriptors.
    pub(super) fn open(&self, directory: i32, path: &[u8], last: Last) -> Result<Object, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut path = path.to_vec();
        let mut first_error = None;
        for _ in 0..MAX_LINKS {
            if let (Last::Followed, Some(descriptor)) = (last, own_descriptor(&path)) {
                return Object::new(self.target.descriptor(descriptor)?);
            }
            let error = match self.open_once(directory, &path, last) {
                Err(error @ (Errno::LOOP | Errno::NOENT)) if last == Last::Followed => error,
                other => return Object::new(other?),
            };
            // `/dev/stdout` leads to `/proc/self/fd/1`, and that is the supervisor's, if anybody's. So the links at
            // the end are followed here, to see whether they arrive at such a name.
            let error = *first_error.get_or_insert(error);
            path = self.next_path(directory, &path).ok_or(error)?;
        }
        Err(Errno::LOOP)
    }

    fn open_once(&self, directory: i32, path: &[u8], last: Last) -> Result<OwnedFd, Errno> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if last == Last::Itself {
            flags |= OFlags::NOFOLLOW;
        }
        let Route {
            start,
            path,
            resolve,
        } = self.route(directory, path)?;
        for _ in 0..MAX_RETRIES {
            match rfs::openat2(&start, path.as_slice(), flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Where the resolution starts. Without a root of its own, the task shares that of the supervisor, and the kernel
    /// does the same for both. A task that called `chroot` has another: absolute links and `..` must stay in it, which
    /// `RESOLVE_IN_ROOT` does when the path starts there; so a relative one gets the path of its directory in front.
    fn route(&self, directory: i32, path: &[u8]) -> Result<Route, Errno> {
        let resolve = ResolveFlags::NO_MAGICLINKS;
        let start = |directory| match directory {
            libc::AT_FDCWD => self.target.open("cwd"),
            descriptor => self.target.descriptor(descriptor),
        };
        let root = self.target.open("root")?;
        let is_absolute = path.starts_with(b"/");
        if Spot::of(&statx(root.as_fd())?) == self.own_root {
            return Ok(Route {
                start: if is_absolute { root } else { start(directory)? },
                path: path.to_vec(),
                resolve,
            });
        }
        let path = if is_absolute {
            path.to_vec()
        } else {
            let below = self.below(&root, &start(directory)?)?;
            [&below, b"/".as_slice(), path].concat()
        };
        Ok(Route {
            start: root,
            path,
            resolve: resolve | ResolveFlags::IN_ROOT,
        })
    }

    /// The path of a directory below a changed root. `EXDEV` for one outside, which a task can only have opened before
    /// it called `chroot`.
    fn below(&self, root: &OwnedFd, directory: &OwnedFd) -> Result<Vec<u8>, Errno> {
        let root = path_of(self.target.proc, root.as_fd())?;
        let directory = path_of(self.target.proc, directory.as_fd())?;
        let rest = match root.as_slice() {
            b"/" => directory.strip_prefix(b"/"),
            _ => directory.strip_prefix(root.as_slice()),
        };
        match rest {
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") || root == b"/" => {
                Ok(rest.to_vec())
            }
            _ => Err(Errno::XDEV),
        }
    }

    /// The path that a link at the end of `path` stands for; `None` when it is no link.
    fn next_path(&self, directory: i32, path: &[u8]) -> Option<Vec<u8>> {
        let link = self.open_once(directory, path, Last::Itself).ok()?;
        let text = rfs::readlinkat(&link, "", Vec::new()).ok()?.into_bytes();
        if text.is_empty() || text.starts_with(b"/") {
            return Some(text).filter(|text| !text.is_empty());
        }
        let parent = path.iter().rposition(|byte| *byte == b'/');
        let parent = parent.map_or(&b""[..], |end| &path[..=end]);
        Some([parent, text.as_slice()].concat())
    }

    /// Opens the directory of a path's last name, and returns that name. `EEXIST` when the path cannot name a new file.
    pub(super) fn parent(&self, directory: i32, path: &[u8]) -> Result<(Object, Vec<u8>), Errno> {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(end) => path.split_at(end + 1),
            None => (&b"."[..], path),
        };
        match name {
            b"" => return Err(Errno::NOENT),
            b"." | b".." => return Err(Errno::EXIST),
            _ => {}
        }
        let parent = self.open(directory, parent, Last::Followed)?;
        if parent.kind() != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        Ok((parent, name.to_vec()))
    }
}

/// The descriptor that a well-known path stands for: `/proc/self/fd/3`, `/dev/fd/3`, `/dev/stdout`.
fn own_descriptor(path: &[u8]) -> Option<i32> {
    let path = std::str::from_utf8(path).ok()?;
    match path {
        "/dev/stdin" => return Some(0),
        "/dev/stdout" => return Some(1),
        "/dev/stderr" => return Some(2),
        _ => {}
    }
    let directories = ["/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/"];
    let number = directories
        .iter()
        .find_map(|directory| path.strip_prefix(directory))?;
    // "+3" is a number too for `parse`.
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_number)
}

/// The path of an open file from the supervisor's root; `ENAMETOOLONG` beyond `PATH_MAX`. It is where the file is at
/// this moment, or was when it was last linked there.
pub(super) fn path_of(proc: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    use std::os::fd::AsRawFd;
    let link = format!("self/fd/{}", file.as_raw_fd());
    Ok(rfs::readlinkat(proc, link, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_own_descriptors_are_known() {
        for (path, descriptor) in [
            ("/dev/stdout", Some(1)),
            ("/proc/self/fd/12", Some(12)),
            ("/dev/fd/0", Some(0)),
            ("/proc/self/fd/", None),
            ("/proc/self/fd/+1", None),
            ("/proc/self/fd/1/x", None),
            ("/proc/self/fd/99999999999", None),
            ("dev/stdout", None),
        ] {
            assert_eq!(own_descriptor(path.as_bytes()), descriptor, "{path}");
        }
    }
}
