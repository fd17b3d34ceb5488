//! What can be read of this machine without trying anything. Facts explain a refusal; they never decide.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::StatxFlags;
use rustix::process as rprocess;
use rustix::thread::CapabilitySet;

use super::place::{self, Mount, Place};
use crate::sandbox::identity::SubordinateIds;

/// How many ids an image may use: what nearly every image stays below.
pub(super) const WANTED_IDS: u32 = 65_536;

/// Where useradd's ranges begin (`SUB_UID_MIN` of login.defs).
const FIRST_SUBORDINATE_ID: u32 = 100_000;

/// What is known of this machine, this user and the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's release: `6.18.44`.
    pub kernel: String,
    /// The effective user id, in this process's user namespace.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The user's name by `/etc/passwd`.
    pub user: Option<String>,
    /// The effective capabilities.
    pub capabilities: CapabilitySet,
    /// `NoNewPrivs` of `/proc/self/status`: setuid programs give no privileges.
    pub has_no_new_privileges: bool,
    /// `Seccomp` of `/proc/self/status` is 2: a filter applies to this process.
    pub has_seccomp_filter: bool,
    /// `kernel.seccomp.actions_avail` lists `user_notif`.
    pub has_user_notification: bool,
    /// How many ids from 0 on this process's user namespace has without a gap.
    pub mapped_ids: u64,
    /// `/proc/self/uid_map` as ranges of this namespace: first id and count.
    pub uid_ranges: Vec<(u32, u32)>,
    /// The same of `/proc/self/gid_map`.
    pub gid_ranges: Vec<(u32, u32)>,
    /// `user.max_user_namespaces`; `None` where the kernel has no user namespaces.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, which only Debian's and Arch's kernels have.
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which only Ubuntu's kernels have.
    pub apparmor_restrict_unprivileged_userns: Option<u64>,
    /// The kernel's security modules, comma-separated, where that can be read.
    pub security_modules: Option<String>,
    /// What a security module calls this process's confinement: `unconfined`, `docker-default (enforce)`, an SELinux
    /// context.
    pub confinement: Option<String>,
    /// `newuidmap` and `newgidmap`, in this order.
    pub helpers: [Helper; 2],
    /// The user's ranges in `/etc/subuid` and `/etc/subgid`, in this order.
    pub subordinate: [Option<SubordinateIds>; 2],
    /// The first of 65,536 ids that are in neither file.
    pub free_subordinate_id: Option<u32>,
    /// This process's root directory is not that of its mount namespace.
    pub is_chrooted: bool,
    /// What says that this is a container. For information: markers lie in both directions.
    pub container: Option<&'static str>,
    /// `/dev/fuse` can be opened.
    pub has_fuse: bool,
    /// Control groups.
    pub cgroups: Cgroups,
    /// Where the store is, or would be.
    pub store: Place,
}

/// A program that writes id maps for ordinary users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// `newuidmap` or `newgidmap`.
    pub name: &'static str,
    /// Where it is; `None` when it is not in the search path.
    pub path: Option<PathBuf>,
    /// It belongs to root and has its set-user-id bit.
    pub is_setuid_root: bool,
    /// It has file capabilities.
    pub has_file_capabilities: bool,
    /// Its mount has the option `nosuid`, which takes both away.
    pub is_on_nosuid: bool,
}

/// Control groups: whether limits can be set for a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// 2 for the unified hierarchy, 1 for the old ones (also beside an empty unified one), 0 for none.
    pub version: u8,
    /// Our own group's directory; for version 1 that of the memory controller.
    pub path: Option<PathBuf>,
    /// The directory can be written: groups can be made below it.
    pub is_writable: bool,
    /// Of `memory` and `cpu`, those that are missing.
    pub missing: Vec<&'static str>,
}

impl Facts {
    /// Reads what there is. `store` need not exist; `search_path` is `PATH`, for `newuidmap`.
    pub fn gather(store: &Path, search_path: &str) -> Self {
        let (uid, gid) = (rprocess::geteuid().as_raw(), rprocess::getegid().as_raw());
        let status = read("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches(':').trim().to_owned())
        };
        let user = user_name(&read("/etc/passwd").unwrap_or_default(), uid);
        let subordinate_files =
            ["/etc/subuid", "/etc/subgid"].map(|path| read(path).unwrap_or_default());
        let find = |text: &String| SubordinateIds::find(text, user.as_deref(), uid);
        let mounts = place::mounts(&read("/proc/self/mountinfo").unwrap_or_default());
        let uid_ranges = ranges(&read("/proc/self/uid_map").unwrap_or_default());
        let actions = read("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
        let capabilities = rustix::thread::capabilities(None).map(|sets| sets.effective);
        Self {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            uid,
            gid,
            capabilities: capabilities.unwrap_or(CapabilitySet::empty()),
            has_no_new_privileges: field("NoNewPrivs").as_deref() == Some("1"),
            has_seccomp_filter: field("Seccomp").as_deref() == Some("2"),
            has_user_notification: actions
                .split_whitespace()
                .any(|action| action == "user_notif"),
            mapped_ids: contiguous(&uid_ranges),
            gid_ranges: ranges(&read("/proc/self/gid_map").unwrap_or_default()),
            uid_ranges,
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict_unprivileged_userns: number(
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            ),
            security_modules: line("/sys/kernel/security/lsm"),
            confinement: line("/proc/self/attr/current"),
            helpers: ["newuidmap", "newgidmap"].map(|name| Helper::find(name, search_path)),
            subordinate: [find(&subordinate_files[0]), find(&subordinate_files[1])],
            free_subordinate_id: free_range(&subordinate_files, WANTED_IDS),
            is_chrooted: is_chrooted(&mounts),
            container: container(),
            has_fuse: std::fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/fuse")
                .is_ok(),
            cgroups: Cgroups::gather(&read("/proc/self/cgroup").unwrap_or_default()),
            store: Place::of(store, &mounts),
            user,
        }
    }

    /// True for user 0 of this process's user namespace.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The user as a person knows it: a name, else a number.
    pub fn user_shown(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// The names of those of `wanted` that this process lacks: `CAP_SETUID`.
    pub(super) fn lacks(&self, wanted: &[(&'static str, CapabilitySet)]) -> Vec<&'static str> {
        let is_missing =
            |(_, capability): &&(&str, CapabilitySet)| !self.capabilities.contains(*capability);
        wanted
            .iter()
            .filter(is_missing)
            .map(|(name, _)| *name)
            .collect()
    }

    /// A security module confines this process: its name for it.
    pub(super) fn confined_by(&self) -> Option<&str> {
        // SELinux has a context for every process; `unconfined_t` and `spc_t` are the free ones.
        let is_free = |context: &&str| {
            ["unconfined", "spc_t", "kernel"]
                .iter()
                .any(|free| context.contains(free))
        };
        self.confinement
            .as_deref()
            .filter(|context| !is_free(context))
    }
}

impl Helper {
    fn find(name: &'static str, search_path: &str) -> Self {
        let candidates = search_path
            .split(':')
            .filter(|directory| directory.starts_with('/'));
        let path = candidates
            .map(|directory| Path::new(directory).join(name))
            .find(|path| {
                path.metadata()
                    .is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
            });
        let metadata = path.as_ref().and_then(|path| path.metadata().ok());
        let capability = |path: &PathBuf| {
            let mut value = [0_u8; 64];
            rustix::fs::getxattr(path, "security.capability", &mut value[..])
                .is_ok_and(|size| size > 0)
        };
        let nosuid = |path: &PathBuf| {
            let flags = rustix::fs::statvfs(path).map(|found| found.f_flag);
            flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::NOSUID))
        };
        Self {
            name,
            is_setuid_root: metadata
                .is_some_and(|found| found.uid() == 0 && found.permissions().mode() & 0o4000 != 0),
            has_file_capabilities: path.as_ref().is_some_and(capability),
            is_on_nosuid: path.as_ref().is_some_and(nosuid),
            path,
        }
    }
}

impl Cgroups {
    /// Finds our group. `own` is the text of `/proc/self/cgroup`.
    fn gather(own: &str) -> Self {
        let top = Path::new("/sys/fs/cgroup");
        let group = |controller: &str| -> Option<&str> {
            own.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                controllers
                    .split(',')
                    .any(|listed| listed == controller)
                    .then_some(path)
            })
        };
        let below = |directory: &Path, path: &str| directory.join(path.trim_start_matches('/'));
        let writable = |path: &Path| {
            use rustix::fs::{Access, AtFlags, CWD};
            rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
        };
        if top.join("cgroup.controllers").exists() {
            let path = below(top, group("").unwrap_or("/"));
            let controllers = read(path.join("cgroup.controllers")).unwrap_or_default();
            let has = |name: &&str| controllers.split_whitespace().any(|listed| listed == *name);
            return Self {
                version: 2,
                is_writable: writable(&path) && writable(&path.join("cgroup.procs")),
                missing: ["memory", "cpu"]
                    .into_iter()
                    .filter(|name| !has(name))
                    .collect(),
                path: Some(path),
            };
        }
        let of = |controller: &'static str| {
            Some(below(&top.join(controller), group(controller)?)).filter(|path| path.is_dir())
        };
        let paths = ["memory", "cpu"].map(|name| (name, of(name)));
        let has_any = paths.iter().any(|(_, path)| path.is_some());
        Self {
            version: u8::from(has_any),
            is_writable: has_any
                && paths
                    .iter()
                    .flat_map(|(_, path)| path)
                    .all(|path| writable(path)),
            missing: paths
                .iter()
                .filter(|(_, path)| path.is_none())
                .map(|(name, _)| *name)
                .collect(),
            path: paths.into_iter().find_map(|(_, path)| path),
        }
    }
}

/// Reads a file of the kernel or a small one of the system.
fn read(path: impl AsRef<Path>) -> Option<String> {
    let bytes = crate::fs::read_limited(path.as_ref(), 4 << 20).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn line(path: &str) -> Option<String> {
    let text = read(path)?;
    let text = text.trim_matches(['\0', '\n', ' ']);
    Some(crate::event::printable(text)).filter(|text| !text.is_empty())
}

fn number(path: &str) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, listed) = (fields.next()?, fields.nth(1)?);
        (listed.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The ranges of an id map, as ids of the namespace that it is the map of.
fn ranges(map: &str) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.split_whitespace();
        let first = fields.next()?.parse().ok()?;
        Some((first, fields.nth(1)?.parse().ok()?))
    };
    map.lines().filter_map(range).collect()
}

/// How many ids from 0 on are there without a gap.
fn contiguous(ranges: &[(u32, u32)]) -> u64 {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    sorted.into_iter().fold(0, |end, (first, count)| {
        let is_next = u64::from(first) <= end;
        if is_next {
            end.max(u64::from(first) + u64::from(count))
        } else {
            end
        }
    })
}

/// The first of `count` ids that nobody has in any of these texts, from where useradd begins.
fn free_range(texts: &[String], count: u32) -> Option<u32> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':').skip(1);
        Some((
            fields.next()?.parse::<u32>().ok()?,
            fields.next()?.parse::<u32>().ok()?,
        ))
    };
    let mut taken: Vec<_> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(range)
        .collect();
    taken.sort_unstable();
    let mut free = FIRST_SUBORDINATE_ID;
    for (first, length) in taken {
        if first >= free && first - free >= count {
            break;
        }
        free = free.max(first.checked_add(length)?);
    }
    // The last id of all is no id: it means "none".
    free.checked_add(count)
        .filter(|end| *end < u32::MAX)
        .map(|_| free)
}

/// The kernel refuses user namespaces to a process in a chroot. Such a process sees no mount at `/` when its root is
/// an ordinary directory; otherwise its root differs from that of the first process in the same mount namespace.
fn is_chrooted(mounts: &[Mount]) -> bool {
    if !mounts.is_empty() && !mounts.iter().any(|mount| mount.point == Path::new("/")) {
        return true;
    }
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    // The mount counts too: a directory may be bound onto another place.
    let root = |path: &str| {
        let flags = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let found =
            rustix::fs::statx(rustix::fs::CWD, path, rustix::fs::AtFlags::empty(), flags).ok()?;
        Some((
            found.stx_dev_major,
            found.stx_dev_minor,
            found.stx_ino,
            found.stx_mnt_id,
        ))
    };
    match (namespace("1"), root("/proc/1/root/")) {
        (Some(first), Some(its_root)) => {
            Some(first) == namespace("self") && Some(its_root) != root("/")
        }
        // An ordinary user may not look at the first process.
        _ => false,
    }
}

fn container() -> Option<&'static str> {
    let markers = [
        (
            "/run/.containerenv",
            "Podman or Buildah (`/run/.containerenv`)",
        ),
        ("/.dockerenv", "Docker (`/.dockerenv`)"),
        (
            "/run/secrets/kubernetes.io",
            "Kubernetes (`/run/secrets/kubernetes.io`)",
        ),
        (
            "/var/run/secrets/kubernetes.io",
            "Kubernetes (`/var/run/secrets/kubernetes.io`)",
        ),
    ];
    markers
        .into_iter()
        .find(|(path, _)| Path::new(path).exists())
        .map(|(_, name)| name)
}

/// Undoes the kernel's octal escapes of blanks and backslashes.
pub(super) fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail
            .get(..3)
            .filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match digits {
            Some(digits) if *first == b'\\' => {
                bytes.push(digits.iter().fold(0_u8, |value, digit| {
                    value.wrapping_mul(8).wrapping_add(digit - b'0')
                }));
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ids_are_nobodys() {
        let texts = |text: &str| [text.to_owned(), "x:1000000:65536\n".to_owned()];
        let table = [
            ("", Some(100_000)),
            (
                "t1:100000:65536\novercoat-test:165536:65536\n",
                Some(231_072),
            ),
            ("late:165536:65536\n", Some(100_000)),
            ("late:165535:65536\n", Some(231_071)),
            ("low:1000:5\nbroken\nalso:broken:3\n", Some(100_000)),
            ("all:100000:4294867295\n", None),
        ];
        for (text, expected) in table {
            assert_eq!(free_range(&texts(text), WANTED_IDS), expected, "{text}");
        }
    }

    #[test]
    fn ids_are_counted_without_gaps() {
        let table = [
            ("         0          0 4294967295\n", 4_294_967_295),
            ("0 1000 1\n1 100000 65536\n", 65_537),
            ("1 100000 65536\n0 1000 1\n", 65_537),
            ("0 1000 1\n", 1),
            ("0 1000 1\n5 100000 65536\n", 1),
            ("1001 1000 1\n", 0),
            ("", 0),
        ];
        for (map, expected) in table {
            assert_eq!(contiguous(&ranges(map)), expected, "{map:?}");
        }
    }

    #[test]
    fn blanks_in_mount_points_are_read() {
        assert_eq!(unescaped(r"/a\040b\134c"), Path::new("/a b\\c"));
        assert_eq!(unescaped(r"/a\04"), Path::new(r"/a\04"));
    }

    #[test]
    fn what_can_be_read_here_is_read() {
        let facts = Facts::gather(Path::new("/proc/no/store"), "/usr/bin:/bin");
        assert_eq!(facts.uid, rustix::process::geteuid().as_raw());
        assert!(facts.kernel.contains('.'));
        assert!(facts.mapped_ids > 0);
        assert_eq!(facts.store.file_system, "proc");
    }
}
