//! Where the store is: its file system, mount options and room.

use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::facts::unescaped;

/// A directory that exists or will be made, and the file system that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub path: PathBuf,
    /// It, or the nearest directory above it that exists.
    pub existing: PathBuf,
    /// The type of the file system: `ext4`, `overlay`, `nfs4`; empty where that cannot be found out.
    pub file_system: String,
    /// Where that is mounted.
    pub mount_point: PathBuf,
    /// The mount has the option `ro`.
    pub is_read_only: bool,
    /// The mount has the option `noexec`.
    pub is_noexec: bool,
    /// The mount has the option `nodev`.
    pub is_nodev: bool,
    /// Room for this user, in bytes.
    pub free_bytes: u64,
    /// The file system's size, in bytes.
    pub total_bytes: u64,
}

/// A line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    pub(super) file_system: String,
}

/// Reads `/proc/self/mountinfo`.
///
/// # Spec
/// proc_pid_mountinfo(5): `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        Some(Mount {
            point: unescaped(before.split(' ').nth(4)?),
            file_system: after.split(' ').next()?.to_owned(),
        })
    };
    text.lines().filter_map(mount).collect()
}

impl Place {
    /// Finds where `path` is or would be.
    pub(super) fn of(path: &Path, mounts: &[Mount]) -> Self {
        let existing = path
            .ancestors()
            .find(|path| path.is_dir())
            .unwrap_or(Path::new("/"));
        let real = std::fs::canonicalize(existing).unwrap_or_else(|_| existing.to_owned());
        // Of two mounts on one directory the later lies on top.
        let mount = mounts
            .iter()
            .filter(|mount| real.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count());
        let found = rustix::fs::statvfs(existing).ok();
        let has = |flag| {
            found
                .as_ref()
                .is_some_and(|found| found.f_flag.contains(flag))
        };
        let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| {
            found
                .as_ref()
                .map_or(0, |found| blocks(found).saturating_mul(found.f_frsize))
        };
        Self {
            path: path.to_owned(),
            existing: existing.to_owned(),
            file_system: mount
                .map(|mount| mount.file_system.clone())
                .unwrap_or_default(),
            mount_point: mount.map(|mount| mount.point.clone()).unwrap_or_default(),
            is_read_only: has(StatVfsMountFlags::RDONLY),
            is_noexec: has(StatVfsMountFlags::NOEXEC),
            is_nodev: has(StatVfsMountFlags::NODEV),
            free_bytes: bytes(|found| found.f_bavail),
            total_bytes: bytes(|found| found.f_blocks),
        }
    }

    /// Another machine's disk.
    pub(super) fn is_remote(&self) -> bool {
        ["nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph"].contains(&self.file_system.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
        21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        22 21 0:21 / /tmp rw,nosuid shared:3 master:1 - tmpfs tmpfs rw\n\
        23 22 0:22 / /tmp rw - overlay overlay rw,lowerdir=/a - b\n\
        24 21 0:23 / /mnt/two\\040words rw - nfs4 server:/x rw\n\
        broken\n";

    #[test]
    fn the_topmost_mount_around_a_directory_is_its_file_system() {
        let mounts = mounts(MOUNTINFO);
        assert_eq!(mounts.len(), 4);
        assert_eq!(mounts[3].point, Path::new("/mnt/two words"));
        let place = Place::of(Path::new("/tmp/not/there"), &mounts);
        assert_eq!(
            (place.file_system.as_str(), place.existing.as_path()),
            ("overlay", Path::new("/tmp"))
        );
        assert_eq!(
            Place::of(Path::new("/tmpfile/store"), &mounts).file_system,
            "ext4"
        );
        assert!(place.total_bytes > 0);
    }
}
