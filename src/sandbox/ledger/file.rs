//! Which file it is: what a record is kept under.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, CWD, Statx, StatxFlags};
use serde::{Deserialize, Serialize};

/// What is asked of `statx` wherever this module asks.
pub(super) const WANTED: StatxFlags = StatxFlags::BASIC_STATS
    .union(StatxFlags::BTIME)
    .union(StatxFlags::MNT_ID);

/// A file of a file system, as long as that is mounted. Inode numbers are given to new files as soon as they are free;
/// the time of birth tells the new from the old. (File systems without times of birth, such as NFS, have all files
/// born at 0.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileIdentity {
    /// The device that the file system is on, `makedev(major, minor)`.
    device: u64,
    /// The inode's number.
    inode: u64,
    /// When the inode was made: seconds since 1970 and nanoseconds.
    birth: (i64, u32),
}

impl FileIdentity {
    /// The identity of the file at `path`; of a symbolic link, not of what it points to.
    ///
    /// For files of an overlay, this must be the file in the upper directory: seen through the overlay, its numbers
    /// change when it is copied up.
    ///
    /// # Errors
    /// What the kernel says of the path.
    pub fn of(path: &Path) -> io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Ok(Self::from_statx(&rfs::statx(CWD, path, flags, WANTED)?))
    }

    pub(super) fn from_statx(stat: &Statx) -> Self {
        Self {
            device: rfs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            birth: birth(stat),
        }
    }
}

/// The time of birth, 0 when the file system has none.
pub(super) fn birth(stat: &Statx) -> (i64, u32) {
    if stat.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return (0, 0);
    }
    (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
}

/// All of [`WANTED`] about an open file.
pub(super) fn statx(file: BorrowedFd<'_>) -> rustix::io::Result<Statx> {
    rfs::statx(file, "", AtFlags::EMPTY_PATH, WANTED)
}
