//! What a rung that works gives, part by part.

use rustix::io::Errno;

use super::attempt::{Attempt, Step};
use super::errno::{self, answered};
use super::facts::Facts;
use crate::sandbox::ladder::{Details, IsoCode, Refusal, Rung};

/// Where to put the store.
pub(super) const OTHER_STORE: &str =
    "keep the store on a local disk (ext4, xfs, btrfs) or tmpfs without `noexec`: `--store DIR`";

/// The store's file system as a person knows it.
pub(super) fn file_system(facts: &Facts) -> &str {
    match facts.store.file_system.as_str() {
        "" => "an unknown file system",
        known => known,
    }
}

/// The parts of a rung that was tried with success.
pub(super) fn details(facts: &Facts, rung: Rung, attempt: &Attempt) -> Details {
    let mut notes = Vec::new();
    if let Some(failure) = attempt.failure(Step::Devices) {
        notes.push(match facts.store.is_nodev {
            true => format!(
                "device nodes do not work: `{}` is mounted with `nodev`; `/dev/null` is an ordinary file in a step",
                facts.store.mount_point.display()
            ),
            false => format!(
                "device nodes cannot be made ({}); `/dev/null` is an ordinary file in a step",
                answered("mknod", failure.errno)
            ),
        });
    }
    let has_namespaces = !matches!(rung, Rung::Chroot | Rung::InPlace);
    let without = |code, cause: &str| Refusal {
        code,
        cause: cause.to_owned(),
        remedy: "allow a stronger rung: `overcoat doctor` says how".to_owned(),
        call: "not tried".to_owned(),
    };
    let (fresh_proc, overlay, network, cgroup) = if has_namespaces {
        (
            fresh_proc(attempt),
            overlay(facts, attempt),
            network(attempt),
            cgroup(attempt),
        )
    } else {
        let proc = match rung {
            Rung::InPlace => without(
                IsoCode::Iso11,
                "a step in place sees the `/proc` of this container",
            ),
            _ => without(
                IsoCode::Iso12,
                "a step in a chroot has no `/proc`: process substitution in bash and `multiprocessing` may fail",
            ),
        };
        (
            Err(proc),
            Err(without(
                IsoCode::Iso10,
                "nothing can be mounted on this rung, so overlay is not used",
            )),
            Err(without(
                IsoCode::Iso15,
                "this rung has the container's network",
            )),
            Err(without(
                IsoCode::Iso14,
                "this rung has the container's cgroups",
            )),
        )
    };
    Details {
        fresh_proc,
        overlay,
        network_namespace: network,
        cgroup_namespace: cgroup,
        ledger: ledger(facts, attempt),
        notes,
    }
}

/// Changes of owner can be answered by a supervisor.
pub(super) fn ledger(facts: &Facts, attempt: &Attempt) -> Result<(), Refusal> {
    let refusal = |cause: &str, remedy: &str, call: String| Refusal {
        code: IsoCode::Iso09,
        cause: cause.to_owned(),
        remedy: remedy.to_owned(),
        call,
    };
    if let Some(failure) = attempt.failure(Step::Filter) {
        return Err(refusal(
            "no seccomp filter may be installed, so changes of owner cannot be recorded and would fail",
            "let the container run with a seccomp profile that allows `seccomp` and `prctl`",
            answered("prctl(PR_SET_SECCOMP)", failure.errno),
        ));
    }
    if !facts.has_user_notification {
        return Err(refusal(
            "the kernel has no seccomp user notification, so changes of owner cannot be recorded and would fail",
            "use Linux 5.0 or later with CONFIG_SECCOMP_FILTER",
            "read(/proc/sys/kernel/seccomp/actions_avail): no user_notif".to_owned(),
        ));
    }
    Ok(())
}

fn fresh_proc(attempt: &Attempt) -> Result<(), Refusal> {
    let Some(failure) = attempt.failure(Step::FreshProc) else {
        return Ok(());
    };
    let remedy = "let the container have all of `/proc` (Kubernetes: `procMount: Unmasked`, Docker and Podman: \
                  `--security-opt systempaths=unconfined`)"
        .to_owned();
    Err(match attempt.failure(Step::OuterProc) {
        None => Refusal {
            code: IsoCode::Iso11,
            cause: "the container around us masks parts of `/proc`, so a step cannot have its own: it is shown the outer \
                    one, with the processes of this container"
                .to_owned(),
            remedy,
            call: answered("mount(proc)", failure.errno),
        },
        Some(outer) => Refusal {
            code: IsoCode::Iso12,
            cause: "a step has no `/proc`: neither a fresh nor the outer one can be mounted".to_owned(),
            remedy,
            call: answered("mount(/proc, MS_BIND|MS_REC)", outer.errno),
        },
    })
}

fn overlay(facts: &Facts, attempt: &Attempt) -> Result<(), Refusal> {
    let Some(failure) = attempt.failure(Step::Overlay) else {
        return Ok(());
    };
    let (store, kind) = (facts.store.path.display(), file_system(facts));
    let extracted = "layers are extracted instead, which takes longer and more room";
    let refusal = |cause: String, remedy: &str, call: &str| {
        Err(Refusal {
            code: IsoCode::Iso10,
            cause: format!("{cause}; {extracted}"),
            remedy: remedy.to_owned(),
            call: answered(call, failure.errno),
        })
    };
    if failure.said == "replace a directory" {
        return refusal(
            format!(
                "overlay mounts in `{store}` but cannot replace a directory there: {kind} keeps no `user.*` attributes"
            ),
            OTHER_STORE,
            "mkdir on overlay",
        );
    }
    match errno::known(failure.errno) {
        Some(Errno::NODEV) => refusal(
            format!("this kernel ({}) has no overlay", facts.kernel),
            "load it, as root: `modprobe overlay`",
            "fsopen(overlay)",
        ),
        Some(Errno::PERM | Errno::ACCESS) => refusal(
            format!(
                "this kernel ({}) refuses overlay in a user namespace",
                facts.kernel
            ),
            "use Linux 5.11 or later, and a security module that allows it",
            "mount(overlay)",
        ),
        _ => refusal(
            format!("`{store}` is on {kind}, which cannot hold the changes of an overlay"),
            OTHER_STORE,
            "mount(overlay)",
        ),
    }
}

fn network(attempt: &Attempt) -> Result<(), Refusal> {
    let Some(failure) = attempt.failure(Step::NetworkNamespace) else {
        return Ok(());
    };
    let is_used_up = failure.errno == Errno::NOSPC.raw_os_error();
    Err(Refusal {
        code: IsoCode::Iso15,
        cause: "no network namespace can be made: steps have the host's network, and `--network none` cannot be had".to_owned(),
        remedy: match is_used_up {
            true => "allow more, as root: `sysctl -w user.max_net_namespaces=15000`",
            false => "let the container's seccomp profile and security module allow it",
        }
        .to_owned(),
        call: answered("unshare(CLONE_NEWNET)", failure.errno),
    })
}

fn cgroup(attempt: &Attempt) -> Result<(), Refusal> {
    let Some(failure) = attempt.failure(Step::CgroupNamespace) else {
        return Ok(());
    };
    let is_used_up = failure.errno == Errno::NOSPC.raw_os_error();
    let (code, remedy) = match is_used_up {
        true => (
            IsoCode::Iso05,
            "allow more, as root: `sysctl -w user.max_cgroup_namespaces=15000`",
        ),
        false => (
            IsoCode::Iso14,
            "let the container's seccomp profile and security module allow it",
        ),
    };
    Err(Refusal {
        code,
        cause:
            "no cgroup namespace can be made: a step can see the names of this machine's cgroups"
                .to_owned(),
        remedy: remedy.to_owned(),
        call: answered("unshare(CLONE_NEWCGROUP)", failure.errno),
    })
}
