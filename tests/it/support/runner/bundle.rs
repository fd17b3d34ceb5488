//! What each kind of runner hands to `runc`: the `config.json` of its bundle.
//!
//! The skeleton (mounts, masked paths, devices) and both seccomp lists are what Debian's dockerd and podman really gave
//! to runc; `testdata/README.md` has the commands. A list resolved for the default capabilities allows `chroot`; for a
//! runner without `CAP_SYS_CHROOT` Docker would leave that rule out, and so does [`config`].

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Docker's fourteen capabilities, containerd's too.
pub const DOCKER: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// podman's eleven: no `AUDIT_WRITE`, `MKNOD`, `NET_RAW`.
pub const PODMAN: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// CRI-O's nine since its pull request 3119: no `NET_RAW`, no `SYS_CHROOT`.
pub const CRIO: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
];

/// Every capability by its number (`linux/capability.h`).
const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const DOCKER_SECCOMP: &str = include_str!("../../../../testdata/runners/docker-seccomp.json");
const PODMAN_SECCOMP: &str = include_str!("../../../../testdata/runners/podman-seccomp.json");

/// Sets `user.max_user_namespaces` in the container's own user namespace, whose process id is in the state on stdin. The
/// sysctl is one per namespace, so this machine's stays as it is; inside, `/proc/sys` is read-only already.
const NO_USER_NAMESPACES: &str = r#"pid=$(sed 's/.*"pid":\([0-9]*\).*/\1/')
exec nsenter --target "$pid" --user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces'"#;

/// What the kind of runner allows.
#[derive(Clone, Copy)]
pub struct Profile {
    /// The bounding set; an ordinary user has none of it in effect.
    pub capabilities: Capabilities,
    pub seccomp: Seccomp,
    pub no_new_privileges: bool,
    pub user_namespace: UserNamespace,
}

#[derive(Clone, Copy)]
pub enum Capabilities {
    These(&'static [&'static str]),
    /// All that this process may have, with no path masked or read-only and every device allowed: `--privileged`.
    Privileged,
}

#[derive(Clone, Copy)]
pub enum Seccomp {
    Unconfined,
    /// What dockerd gave to runc.
    Docker,
    /// What podman gave to runc.
    Podman,
    /// Everything is allowed but making user namespaces, which ends in ENOSPC as where they are switched off.
    NoUserNamespaces,
}

#[derive(Clone, Copy, PartialEq)]
pub enum UserNamespace {
    /// The machine's.
    Host,
    /// The container's, with every id as it is, where `user.max_user_namespaces` is 0.
    OwnWithoutMore,
}

/// What is run in the container, and with what.
pub struct Process<'a> {
    pub id: &'a str,
    pub arguments: &'a [&'a str],
    pub environment: Vec<String>,
    pub working_directory: &'a Path,
    /// Numbers, as they are inside.
    pub user: (u32, u32),
    /// Directories and files of this machine that are in the container at the same place.
    pub binds: &'a [PathBuf],
}

/// The `config.json` of a bundle whose root file system is `rootfs`.
pub fn config(profile: &Profile, process: &Process<'_>) -> Value {
    let is_privileged = matches!(profile.capabilities, Capabilities::Privileged);
    let capabilities = match profile.capabilities {
        Capabilities::These(names) => names.to_vec(),
        Capabilities::Privileged => own_bounding_set(),
    };
    let effective = match process.user {
        (0, _) => capabilities.clone(),
        _ => Vec::new(),
    };
    let mut namespaces = vec![
        json!({"type": "mount"}),
        json!({"type": "uts"}),
        json!({"type": "pid"}),
        json!({"type": "ipc"}),
    ];
    let mut linux = json!({
        "cgroupsPath": format!("/{}", process.id),
        "resources": {"devices": devices(is_privileged)},
    });
    let mut hooks = json!({});
    if profile.user_namespace == UserNamespace::OwnWithoutMore {
        namespaces.push(json!({"type": "user"}));
        let every_id = json!([{"containerID": 0, "hostID": 0, "size": u32::MAX}]);
        linux["uidMappings"] = every_id.clone();
        linux["gidMappings"] = every_id;
        hooks = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", NO_USER_NAMESPACES]}]});
    }
    linux["namespaces"] = namespaces.into();
    if !is_privileged {
        linux["maskedPaths"] = json!([
            "/proc/asound",
            "/proc/acpi",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/sys/firmware"
        ]);
        linux["readonlyPaths"] = json!([
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger"
        ]);
    }
    if let Some(list) = seccomp(profile.seccomp, &capabilities) {
        linux["seccomp"] = list;
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": process.user.0, "gid": process.user.1},
            "args": process.arguments,
            "env": process.environment,
            "cwd": process.working_directory,
            "noNewPrivileges": profile.no_new_privileges,
            "capabilities": {"bounding": capabilities, "effective": effective, "permitted": effective},
        },
        "root": {"path": "rootfs"},
        "mounts": mounts(profile, is_privileged, process.binds),
        "hooks": hooks,
        "linux": linux,
    })
}

/// As Docker mounts them, with the host's network.
fn mounts(profile: &Profile, is_privileged: bool, binds: &[PathBuf]) -> Vec<Value> {
    let access = if is_privileged { "rw" } else { "ro" };
    // A new sysfs needs the network's user namespace.
    let sys = match profile.user_namespace {
        UserNamespace::Host => {
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", access]})
        }
        UserNamespace::OwnWithoutMore => {
            json!({"destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", access]})
        }
    };
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}),
        sys,
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]}),
    ];
    if profile.user_namespace == UserNamespace::Host {
        mounts.push(
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": [access, "nosuid", "noexec", "nodev"]}),
        );
    }
    let bind = |path: &PathBuf| {
        json!({"destination": path, "type": "bind", "source": path,
        "options": ["rbind", "rprivate"]})
    };
    mounts.extend(binds.iter().map(bind));
    mounts
}

/// Docker's list of devices: null, zero, random, urandom, tty, console; no fuse.
fn devices(is_privileged: bool) -> Value {
    if is_privileged {
        return json!([{"allow": true, "access": "rwm"}]);
    }
    let mut devices = vec![json!({"allow": false, "access": "rwm"})];
    for (major, minor) in [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)] {
        devices.push(
            json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"}),
        );
    }
    devices.push(json!({"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}));
    devices.into()
}

fn seccomp(list: Seccomp, capabilities: &[&str]) -> Option<Value> {
    /// `CLONE_NEWUSER`
    const NEW_USER: u32 = 0x1000_0000;
    const ENOSPC: u32 = 28;
    const ENOSYS: u32 = 38;
    let mut list: Value = match list {
        Seccomp::Unconfined => return None,
        Seccomp::Docker => serde_json::from_str(DOCKER_SECCOMP).unwrap(),
        Seccomp::Podman => serde_json::from_str(PODMAN_SECCOMP).unwrap(),
        Seccomp::NoUserNamespaces => json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["unshare", "clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSPC, "args": [
                    {"index": 0, "value": NEW_USER, "valueTwo": NEW_USER, "op": "SCMP_CMP_MASKED_EQ"}]},
                // Its flags are behind a pointer, where no filter can look; libc then takes `clone`.
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
            ],
        }),
    };
    if !capabilities.contains(&"CAP_SYS_CHROOT") {
        let rules = list["syscalls"].as_array_mut().unwrap();
        rules.retain(|rule| rule["names"] != json!(["chroot"]));
    }
    list["architectures"] = match std::env::consts::ARCH {
        "x86_64" => json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        "aarch64" => json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        other => panic!("no seccomp architectures for {other}"),
    };
    Some(list)
}

/// `runc` cannot give what this process lacks itself.
fn own_bounding_set() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .unwrap();
    let set = u64::from_str_radix(set.trim(), 16).unwrap();
    let has = |number: &usize| set & (1 << number) != 0;
    (0..ALL.len())
        .filter(has)
        .map(|number| ALL[number])
        .collect()
}
