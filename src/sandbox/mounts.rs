//! The root file system as the process sees it: overlay, `/proc`, `/dev`, a few files, and nothing of the host.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, Mode, OFlags, ResolveFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{self as rmount, MountFlags, UnmountFlags};

use super::{Access, Bind, RootFilesystem, Secret, Spec, StatusError};

/// Devices that programs expect, bound from the host: making them needs privileges that a user namespace lacks.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What a container must not change (sysctls check for user 0, not for capabilities: T9 of `rust-crates.md`).
const READ_ONLY_PROC: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// What a container must not read: runc's list.
const MASKED_PROC: [&str; 9] = [
    "acpi",
    "asound",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
];

/// Makes a mount's or call's failure a sentence.
pub(super) fn refused(step: impl Into<String>, errno: Errno) -> StatusError {
    StatusError::Setup {
        step: step.into(),
        reason: crate::fs::reason(&errno.into()),
        hint: None,
    }
}

/// What an overlay is made of.
pub(super) struct Overlay<'a> {
    /// The layers, topmost first.
    pub(super) lowers: &'a [PathBuf],
    /// Receives the changes.
    pub(super) upper: PathBuf,
    /// Overlay's own; an empty directory on the same file system as `upper`.
    pub(super) work: PathBuf,
    /// An empty directory to mount it on.
    pub(super) mountpoint: PathBuf,
}

/// Mounts the root file system; where it is. The stage before has made all mounts private.
pub(super) fn mount_rootfs(spec: &Spec) -> Result<PathBuf, StatusError> {
    let mountpoint = spec.directory.join("root");
    match &spec.root {
        RootFilesystem::Overlay { lowers } => {
            let overlay = Overlay {
                lowers,
                upper: spec.directory.join("upper"),
                work: spec.directory.join("work"),
                mountpoint: mountpoint.clone(),
            };
            stack(&overlay).map_err(|errno| StatusError::Setup {
                step: format!("stack the layers with overlay in `{}`", overlay.upper.display()),
                reason: crate::fs::reason(&errno.into()),
                hint: Some(
                    "overlay needs a store on a local file system (ext4, xfs, btrfs, tmpfs), not on another overlay or \
                     NFS: choose one with `--store DIR`, or use `--rootfs extracted`"
                        .to_owned(),
                ),
            })?;
        }
        RootFilesystem::Tree(tree) => {
            bind(tree, &mountpoint, MountFlags::NODEV)
                .map_err(|errno| refused(format!("mount the root `{}`", tree.display()), errno))?;
        }
        RootFilesystem::Host => return Ok(PathBuf::from("/")),
    }
    Ok(mountpoint)
}

/// Mounts overlay; without advice on what may be in the way.
pub(super) fn stack(overlay: &Overlay<'_>) -> rustix::io::Result<()> {
    match mount_overlay(overlay) {
        // Before Linux 6.5, layers are given in one string.
        Err(Errno::INVAL) => mount_overlay_by_string(overlay),
        other => other,
    }
}

fn mount_overlay(rootfs: &Overlay<'_>) -> rustix::io::Result<()> {
    let overlay = rmount::fsopen("overlay", rmount::FsOpenFlags::FSOPEN_CLOEXEC)?;
    let overlay = overlay.as_fd();
    for lower in rootfs.lowers {
        rmount::fsconfig_set_string(overlay, "lowerdir+", lower.as_path())?;
    }
    rmount::fsconfig_set_string(overlay, "upperdir", rootfs.upper.as_path())?;
    rmount::fsconfig_set_string(overlay, "workdir", rootfs.work.as_path())?;
    // Always: without it, overlay in a user namespace mounts and then fails (T10), and as root whiteouts and opaque
    // marks would be spelled differently.
    rmount::fsconfig_set_flag(overlay, "userxattr")?;
    rmount::fsconfig_create(overlay)?;
    // A step that is root may make device nodes; with `nodev` it cannot use them to reach the host's disks.
    let flags = rmount::MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = rmount::fsmount(overlay, rmount::FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    let place = rmount::MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rmount::move_mount(
        mount.as_fd(),
        "",
        rfs::CWD,
        rootfs.mountpoint.as_path(),
        place,
    )
}

fn mount_overlay_by_string(rootfs: &Overlay<'_>) -> rustix::io::Result<()> {
    // The string must fit into a page: names relative to the directory that holds the layers are short.
    let parent = rootfs
        .lowers
        .first()
        .and_then(|lower| lower.parent())
        .unwrap_or(Path::new("/"));
    rustix::process::chdir(parent)?;
    let mut options = b"userxattr,lowerdir=".to_vec();
    for (index, lower) in rootfs.lowers.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        let name = lower.strip_prefix(parent).unwrap_or(lower);
        options.extend(escaped(name));
    }
    options.extend_from_slice(b",upperdir=");
    options.extend(escaped(&rootfs.upper));
    options.extend_from_slice(b",workdir=");
    options.extend(escaped(&rootfs.work));
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    rmount::mount(
        "overlay",
        rootfs.mountpoint.as_path(),
        "overlay",
        MountFlags::NODEV,
        options.as_c_str(),
    )
}

/// Overlay's own escapes, for paths with the characters that separate its options.
fn escaped(path: &Path) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b':' | b',' | b'\\' => vec![b'\\', *byte],
        byte => vec![*byte],
    };
    path.as_os_str()
        .as_bytes()
        .iter()
        .flat_map(escape)
        .collect()
}

/// The mounted root file system, before it becomes the root: every path is resolved inside it by the kernel.
pub(super) struct Root {
    directory: OwnedFd,
    /// What was made only to have something to mount on.
    pub(super) stubs: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Directory,
    File,
}

impl Root {
    pub(super) fn open(mountpoint: &Path) -> Result<Self, StatusError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rfs::open(mountpoint, flags, Mode::empty())
            .map_err(|errno| refused("open the root", errno))?;
        Ok(Self {
            directory,
            stubs: Vec::new(),
        })
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// A directory within the root, made with its parents (mode 0755) where it is not there.
    pub(super) fn directory_at(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        open_or_create(self.directory(), path, Want::Directory, &mut Vec::new())
    }

    /// As [`Self::directory_at`]; the paths of what was made, relative to the root, are added to `made`.
    pub(super) fn directory_remembering(
        &self,
        path: &Path,
        made: &mut Vec<Vec<u8>>,
    ) -> rustix::io::Result<OwnedFd> {
        let mut paths = Vec::new();
        let directory = open_or_create(self.directory(), path, Want::Directory, &mut paths)?;
        let top = real_path(&self.directory)?;
        let below = |path: &PathBuf| {
            Some(
                path.strip_prefix(&top)
                    .ok()?
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
            )
        };
        made.extend(paths.iter().filter_map(below));
        Ok(directory)
    }

    /// Where an open directory of the root file system is, relative to the root.
    pub(super) fn path_within(&self, directory: BorrowedFd<'_>) -> rustix::io::Result<PathBuf> {
        let (top, path) = (real_path(&self.directory)?, real_path(directory)?);
        path.strip_prefix(&top)
            .map(Path::to_owned)
            .map_err(|_| Errno::XDEV)
    }

    /// `/proc` of the new pid namespace, with what is the host's masked or read-only. Where the kernel refuses a fresh
    /// one (a container whose `/proc` is partly masked), the outer one is shown; false then.
    pub(super) fn mount_proc(&mut self) -> Result<bool, StatusError> {
        let place = self.mount_point("proc", Want::Directory)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let is_fresh = match rmount::mount("proc", &place, "proc", flags, None) {
            Ok(()) => true,
            // "Mount too revealing": its masks come along, for they are mounts below it.
            Err(Errno::PERM) => {
                rmount::mount_bind_recursive("/proc", &place)
                    .map_err(|errno| refused("show the outer /proc", errno))?;
                false
            }
            Err(errno) => return Err(refused("mount /proc", errno)),
        };
        protect_proc(&place)?;
        for name in MASKED_PROC {
            let path = place.join(name);
            let masked = match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    rmount::mount("tmpfs", &path, "tmpfs", MountFlags::RDONLY | flags, None)
                }
                Ok(_) => rmount::mount_bind("/dev/null", &path),
                Err(_) => Ok(()),
            };
            masked.map_err(|errno| refused(format!("mask /proc/{name}"), errno))?;
        }
        Ok(is_fresh)
    }

    /// A small `/dev` of its own.
    pub(super) fn mount_dev(&mut self) -> Result<(), StatusError> {
        let place = self.mount_point("dev", Want::Directory)?;
        let failed = |what: &str, errno| refused(format!("set up /dev{what}"), errno);
        // The devices bound below are mounts of their own; nodes that somebody makes here are of no use.
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        rmount::mount("tmpfs", &place, "tmpfs", flags, c"mode=755,size=65536k")
            .map_err(|errno| failed("", errno))?;
        for name in DEVICES {
            let (host, here) = (Path::new("/dev").join(name), place.join(name));
            rfs::open(
                &here,
                OFlags::CREATE | OFlags::CLOEXEC,
                Mode::from_raw_mode(0o666),
            )
            .and_then(|_| rmount::mount_bind(&host, &here))
            .map_err(|errno| failed(&format!("/{name}"), errno))?;
        }
        let directory = |name: &str| {
            let path = place.join(name);
            rfs::mkdir(&path, Mode::from_raw_mode(0o755)).map(|()| path)
        };
        directory("pts")
            .and_then(|pts| {
                let options = c"newinstance,ptmxmode=0666,mode=0620";
                rmount::mount(
                    "devpts",
                    &pts,
                    "devpts",
                    MountFlags::NOSUID | MountFlags::NOEXEC,
                    options,
                )
            })
            .map_err(|errno| failed("/pts", errno))?;
        directory("shm")
            .and_then(|shm| rmount::mount("tmpfs", &shm, "tmpfs", flags, c"mode=1777,size=65536k"))
            .map_err(|errno| failed("/shm", errno))?;
        let links = [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ];
        for (name, target) in links {
            rfs::symlink(target, place.join(name))
                .map_err(|errno| failed(&format!("/{name}"), errno))?;
        }
        Ok(())
    }

    /// Shows something of this machine.
    pub(super) fn bind(&mut self, wanted: &Bind) -> Result<(), StatusError> {
        let Bind {
            source,
            target,
            access,
            ..
        } = wanted;
        let want = if source.is_dir() {
            Want::Directory
        } else {
            Want::File
        };
        let place = self.mount_point(target, want)?;
        match access {
            Access::ReadOnly => bind_read_only(source, &place),
            Access::ReadWrite => bind(source, &place, MountFlags::NODEV | MountFlags::NOSUID),
        }
        .map_err(|errno| refused(format!("show `{}` as `{target}`", source.display()), errno))
    }

    /// Puts secrets into memory: a small tmpfs on each directory that holds some. `own` gives a file to the process.
    pub(super) fn mount_secrets(
        &mut self,
        secrets: &[Secret],
        own: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
    ) -> Result<(), StatusError> {
        let mut mounted: Vec<PathBuf> = Vec::new();
        for secret in secrets {
            let failed = |errno| refused(format!("show the secret `{}`", secret.target), errno);
            let target = Path::new(&secret.target);
            let directory = target.parent().unwrap_or(Path::new("/"));
            let Some(name) = target.file_name() else {
                return Err(failed(Errno::INVAL));
            };
            let place = self.mount_point(&directory.to_string_lossy(), Want::Directory)?;
            if !mounted.contains(&place) {
                let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                rmount::mount("tmpfs", &place, "tmpfs", flags, c"mode=755,size=16m")
                    .map_err(failed)?;
                mounted.push(place.clone());
            }
            write_secret(&place.join(name), &secret.content, &own).map_err(failed)?;
        }
        Ok(())
    }

    /// A path to mount on: resolved inside the root, made if need be, and remembered as a stub then.
    fn mount_point(&mut self, target: &str, want: Want) -> Result<PathBuf, StatusError> {
        self.mount_point_at(Path::new(target), want)
    }

    /// As [`Self::mount_point`], for names that need not be text.
    pub(super) fn mount_point_at(
        &mut self,
        target: &Path,
        want: Want,
    ) -> Result<PathBuf, StatusError> {
        let mut made = Vec::new();
        let place = open_or_create(self.directory(), target, want, &mut made);
        let target = target.display();
        let top = real_path(&self.directory).map_err(|errno| refused("find the root", errno))?;
        let place =
            place.map_err(|errno| refused(format!("make the mount point `{target}`"), errno))?;
        let below = |path: &PathBuf| {
            path.strip_prefix(&top)
                .ok()
                .map(|path| path.as_os_str().as_bytes().to_vec())
        };
        self.stubs.extend(made.iter().filter_map(below));
        real_path(&place)
            .map_err(|errno| refused(format!("find the mount point `{target}`"), errno))
    }
}

/// The path by which an open file is known to this mount namespace.
fn real_path(file: impl AsFd) -> rustix::io::Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let path = rfs::readlink(link, Vec::new())?;
    Ok(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
}

/// Opens `path` inside `root`, following links as if `root` were the root; what is not there is made, also behind
/// a link that leads nowhere (`/etc/resolv.conf` often is one). `made` receives the real paths of what was made.
fn open_or_create(
    root: BorrowedFd<'_>,
    path: &Path,
    want: Want,
    made: &mut Vec<PathBuf>,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut path = path.strip_prefix("/").unwrap_or(path).to_owned();
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    // As often as the kernel follows links.
    for _ in 0..40 {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let flags = if want == Want::Directory {
            flags | OFlags::DIRECTORY
        } else {
            flags
        };
        match rfs::openat2(root, &path, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let (parent_path, name) = (
            path.parent().map(Path::to_owned),
            path.file_name().map(OsStr::to_owned),
        );
        let (Some(parent_path), Some(name)) = (parent_path, name) else {
            return Err(Errno::NOENT);
        };
        let parent = open_or_create(root, &parent_path, Want::Directory, made)?;
        match rfs::readlinkat(&parent, &name, Vec::new()) {
            Ok(target) => {
                path = parent_path.join(OsStr::from_bytes(target.as_bytes()));
                path = path.strip_prefix("/").map(Path::to_owned).unwrap_or(path);
                continue;
            }
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        match want {
            Want::Directory => {
                rfs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755))?;
            }
            Want::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                rfs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644))?;
            }
        }
        // umask does not apply to what the image shows.
        let mode = if want == Want::Directory {
            0o755
        } else {
            0o644
        };
        rfs::chmodat(&parent, &name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        made.push(real_path(&rfs::openat(
            &parent,
            &name,
            flags,
            Mode::empty(),
        )?)?);
    }
    Err(Errno::LOOP)
}

/// Makes read-only what a container must not change below a mounted `/proc`.
fn protect_proc(place: &Path) -> Result<(), StatusError> {
    for name in READ_ONLY_PROC {
        let path = place.join(name);
        if path.exists() {
            bind_read_only(&path, &path)
                .map_err(|errno| refused(format!("protect /proc/{name}"), errno))?;
        }
    }
    Ok(())
}

/// For a step that keeps this machine's mounts: root must not be able to write sysctls, which ask for user 0 only (T9
/// of `rust-crates.md`). Containers have them read-only; elsewhere they become so for this process, or it stops.
pub(super) fn protect_proc_in_place() -> Result<(), StatusError> {
    let place = Path::new("/proc");
    let is_open = |name: &&str| {
        let path = place.join(name);
        rfs::access(&path, rfs::Access::WRITE_OK).is_ok()
            && rfs::statvfs(&path).is_ok_and(|has| !has.f_flag.contains(StatVfsMountFlags::RDONLY))
    };
    if !rustix::process::geteuid().is_root() || !READ_ONLY_PROC.iter().any(is_open) {
        return Ok(());
    }
    let failed = |errno| StatusError::Setup {
        step: "protect this machine's /proc".to_owned(),
        reason: crate::fs::reason(&errno),
        hint: Some(
            "run the job as an ordinary user, or in a container whose /proc/sys is read-only"
                .to_owned(),
        ),
    };
    super::namespaces::unshare(rustix::thread::UnshareFlags::NEWNS)
        .and_then(|()| {
            let private =
                rmount::MountPropagationFlags::PRIVATE | rmount::MountPropagationFlags::REC;
            rmount::mount_change("/", private)
        })
        .map_err(|errno| failed(errno.into()))?;
    protect_proc(place)
}

/// Writes a new file that only its owner may read.
pub(super) fn write_secret(
    path: &Path,
    content: &[u8],
    own: &impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rfs::open(path, flags, Mode::from_raw_mode(0o400))?;
    let mut rest = content;
    while !rest.is_empty() {
        let count = rustix::io::write(&file, rest)?;
        rest = &rest[count..];
    }
    own(file.as_fd())
}

/// Binds `source` on `target` and makes that mount read-only.
pub(super) fn bind_read_only(source: &Path, target: &Path) -> rustix::io::Result<()> {
    bind(source, target, MountFlags::RDONLY)
}

/// Binds `source` on `target` with more flags. Those that the source's mount has must be kept: inside a user namespace
/// they are locked.
pub(super) fn bind(source: &Path, target: &Path, more: MountFlags) -> rustix::io::Result<()> {
    rmount::mount_bind_recursive(source, target)?;
    for mount in mounts_below(target)? {
        remount(&mount, more)?;
    }
    Ok(())
}

/// The mount at `target` and those in it, which came along: each has flags of its own.
fn mounts_below(target: &Path) -> rustix::io::Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").map_err(|error| {
        error
            .raw_os_error()
            .map_or(Errno::IO, Errno::from_raw_os_error)
    })?;
    let mut points: Vec<PathBuf> = super::probe::mount_points(&text)
        .filter(|point| point.starts_with(target))
        .collect();
    if !points.iter().any(|point| point == target) {
        points.push(target.to_owned());
    }
    Ok(points)
}

fn remount(target: &Path, more: MountFlags) -> rustix::io::Result<()> {
    let has = rfs::statvfs(target)?.f_flag;
    let mut flags = MountFlags::BIND | more;
    for (have, keep) in [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ] {
        if has.contains(have) {
            flags |= keep;
        }
    }
    rmount::mount_remount(target, flags, "")
}

/// Makes the mounted root the root of this process and lets go of the old one.
///
/// `pivot_root(".", ".")` puts the old root over the new one, where it is detached at once; no directory for it is
/// needed inside the image (pivot_root(2), NOTES).
pub(super) fn pivot(root: &Root) -> Result<(), StatusError> {
    let pivot = || -> rustix::io::Result<()> {
        rustix::process::fchdir(root.directory())?;
        rustix::process::pivot_root(".", ".")?;
        rmount::unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    pivot().map_err(|errno| refused("change the root directory", errno))
}
