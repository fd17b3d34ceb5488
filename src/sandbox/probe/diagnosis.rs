//! What an attempt means: pure, from facts and what was tried to a verdict with a cause and a remedy.

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::attempt::{Attempt, Failure, Step};
use super::errno::{self, answered};
use super::facts::Facts;
use super::{parts, userns};
use crate::sandbox::ladder::{Details, IN_PLACE, IsoCode, Refusal, Rung, Verdict};

/// What the chroot rung needs.
const CHROOT: [(&str, CapabilitySet); 4] = [
    ("CAP_SYS_CHROOT", CapabilitySet::SYS_CHROOT),
    ("CAP_CHOWN", CapabilitySet::CHOWN),
    ("CAP_SETUID", CapabilitySet::SETUID),
    ("CAP_SETGID", CapabilitySet::SETGID),
];

/// True when the rung is meant for this user at all: root writes id maps itself, and only root can change the root
/// directory without a user namespace.
pub(super) fn is_meant_for(facts: &Facts, rung: Rung) -> bool {
    match rung {
        Rung::UsernsHelper => !facts.is_root(),
        Rung::UsernsDirect | Rung::Root | Rung::Chroot => facts.is_root(),
        Rung::SingleId | Rung::InPlace => true,
    }
}

/// The verdict on a rung that is for others.
pub(super) fn not_meant(facts: &Facts, rung: Rung) -> Verdict {
    let (cause, remedy) = match rung {
        Rung::UsernsHelper => (
            "root needs no `newuidmap`: `userns-direct` is its rung",
            "build as an ordinary user",
        ),
        Rung::UsernsDirect => (
            "only root can write id maps itself",
            "build as root: `sudo overcoat …`",
        ),
        _ => ("this rung is for root", "build as root: `sudo overcoat …`"),
    };
    let refusal = Refusal {
        code: IsoCode::Iso16,
        cause: cause.to_owned(),
        remedy: remedy.to_owned(),
        call: format!("geteuid(): {}", facts.uid),
    };
    Verdict {
        rung,
        outcome: Err(refusal),
    }
}

/// The verdict on a rung that was tried.
pub(super) fn judge(facts: &Facts, rung: Rung, attempt: &Attempt) -> Verdict {
    Verdict {
        rung,
        outcome: outcome(facts, rung, attempt),
    }
}

fn outcome(facts: &Facts, rung: Rung, attempt: &Attempt) -> Result<Details, Refusal> {
    started(attempt)?;
    match rung {
        Rung::UsernsHelper | Rung::UsernsDirect => {
            userns::check(facts, rung, attempt)?;
            namespaces(facts, rung, attempt)?;
            owners(facts, attempt)?;
        }
        Rung::SingleId => {
            userns::check(facts, rung, attempt)?;
            namespaces(facts, rung, attempt)?;
            parts::ledger(facts, attempt)?;
        }
        Rung::Root => {
            namespaces(facts, rung, attempt)?;
            owners(facts, attempt)?;
        }
        Rung::Chroot => {
            capabilities_of_chroot(facts, attempt)?;
            owners(facts, attempt)?;
            chroot(facts, attempt)?;
        }
        Rung::InPlace => return in_place(facts, attempt),
    }
    // What is in the store must be executable; in place nothing of it is executed.
    if let Some(failure) = attempt.failure(Step::Execute) {
        return Err(not_executable(facts, failure));
    }
    Ok(parts::details(facts, rung, attempt))
}

fn started(attempt: &Attempt) -> Result<(), Refusal> {
    let Some(failure) = attempt.failure(Step::Start) else {
        return Ok(());
    };
    let call = match failure.errno {
        0 => format!("execve: {}", failure.said),
        errno => answered("execve", errno),
    };
    Err(Refusal {
        code: IsoCode::Iso05,
        cause: "a process for trying it could not be started".to_owned(),
        remedy: "raise the limit of processes (`ulimit -u`, or `pids.max` of the container), and see that this program \
                 can be read and executed"
            .to_owned(),
        call,
    })
}

/// Mount, pid, ipc and uts namespaces, and a first mount.
fn namespaces(facts: &Facts, rung: Rung, attempt: &Attempt) -> Result<(), Refusal> {
    let failed = [
        (
            Step::Namespaces,
            "unshare(CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS)",
        ),
        (Step::PrivateMounts, "mount(/, MS_REC|MS_PRIVATE)"),
    ];
    let found = failed
        .into_iter()
        .find_map(|(step, call)| Some((attempt.failure(step)?, call)));
    let Some((failure, call)) = found else {
        return Ok(());
    };
    let call = answered(call, failure.errno);
    match errno::known(failure.errno) {
        Some(Errno::NOSPC | Errno::USERS) => Err(Refusal {
            code: IsoCode::Iso05,
            cause: "one of `user.max_mnt_namespaces`, `max_pid_namespaces`, `max_ipc_namespaces` and \
                    `max_uts_namespaces` is used up or 0 (no disk is full)"
                .to_owned(),
            remedy: "raise them, as root: `sysctl -w user.max_mnt_namespaces=15000`, and the others likewise"
                .to_owned(),
            call,
        }),
        // In a chroot, `/` need not be a mount point.
        Some(Errno::INVAL) if facts.is_chrooted => Err(Refusal {
            code: IsoCode::Iso01,
            cause: "this process is in a chroot, where mounts cannot be kept apart".to_owned(),
            remedy: userns::LEAVE_CHROOT.to_owned(),
            call,
        }),
        _ if rung == Rung::Root && !facts.capabilities.contains(CapabilitySet::SYS_ADMIN) => Err(Refusal {
            code: IsoCode::Iso14,
            cause: "root here lacks CAP_SYS_ADMIN: this is a container's root".to_owned(),
            remedy: "better allow user namespaces, which need no capability; this rung is for root outside of containers"
                .to_owned(),
            call,
        }),
        _ => Err(userns::forbidden_inside(facts, call)),
    }
}

/// Every id of an image must be able to own a file.
fn owners(facts: &Facts, attempt: &Attempt) -> Result<(), Refusal> {
    let Some(failure) = attempt.failure(Step::Owners) else {
        return Ok(());
    };
    let call = answered("chown(65534, 65534)", failure.errno);
    if failure.errno == Errno::INVAL.raw_os_error() {
        return Err(Refusal {
            code: IsoCode::Iso09,
            cause: format!(
                "files cannot be given to all ids: {}",
                userns::mapped(facts)
            ),
            remedy: userns::MAP_MORE.to_owned(),
            call,
        });
    }
    let missing = facts.lacks(&[("CAP_CHOWN", CapabilitySet::CHOWN)]);
    if facts.is_root() && !missing.is_empty() {
        return Err(lacking(&missing, call));
    }
    let squash = if facts.store.is_remote() {
        " (a server with root_squash?)"
    } else {
        ""
    };
    Err(Refusal {
        code: IsoCode::Iso13,
        cause: format!(
            "files in `{}` cannot be given other owners: it is on {}{squash}",
            facts.store.path.display(),
            parts::file_system(facts),
        ),
        remedy: parts::OTHER_STORE.to_owned(),
        call,
    })
}

fn lacking(missing: &[&str], call: String) -> Refusal {
    let names = missing.join(", ");
    Refusal {
        code: IsoCode::Iso14,
        cause: format!("root here lacks {names}"),
        remedy: format!(
            "give the container {names} (Docker's defaults have them; CRI-O and OpenShift take CAP_SYS_CHROOT away), or run \
             the job in the builder image with `--isolation=in-place`"
        ),
        call,
    }
}

/// All capabilities that are missing, so that whoever grants them is asked once.
fn capabilities_of_chroot(facts: &Facts, attempt: &Attempt) -> Result<(), Refusal> {
    let tried = [
        (Step::Chroot, "chroot"),
        (Step::Owners, "chown"),
        (Step::ChangeUser, "setresuid(65534)"),
    ];
    let missing = facts.lacks(&CHROOT);
    match tried
        .into_iter()
        .find_map(|(step, call)| Some((attempt.failure(step)?, call)))
    {
        Some((failure, call)) if !missing.is_empty() => {
            Err(lacking(&missing, answered(call, failure.errno)))
        }
        _ => Ok(()),
    }
}

fn chroot(facts: &Facts, attempt: &Attempt) -> Result<(), Refusal> {
    let tried = [
        (Step::Chroot, "chroot"),
        (Step::ChangeUser, "setresuid(65534)"),
    ];
    match tried
        .into_iter()
        .find_map(|(step, call)| Some((attempt.failure(step)?, call)))
    {
        Some((failure, call)) => Err(userns::forbidden_inside(
            facts,
            answered(call, failure.errno),
        )),
        None => Ok(()),
    }
}

fn in_place(facts: &Facts, attempt: &Attempt) -> Result<Details, Refusal> {
    let can_chown = facts.is_root() && facts.lacks(&CHROOT[1..]).is_empty();
    if !can_chown {
        parts::ledger(facts, attempt)?;
    }
    let mut details = parts::details(facts, Rung::InPlace, attempt);
    details
        .notes
        .insert(0, format!("taken only when nothing else works: {IN_PLACE}"));
    Ok(details)
}

fn not_executable(facts: &Facts, failure: &Failure) -> Refusal {
    let place = &facts.store;
    let call = answered("faccessat(X_OK)", failure.errno);
    let cause = match (failure.errno, place.is_noexec) {
        (errno, _)
            if errno == Errno::NOSPC.raw_os_error() || errno == Errno::DQUOT.raw_os_error() =>
        {
            return full(facts, answered("open(O_CREAT)", errno));
        }
        (_, true) => format!(
            "`{}` is mounted with `noexec`, so nothing that is unpacked in `{}` can be executed",
            place.mount_point.display(),
            place.path.display()
        ),
        (_, false) => format!("a program in `{}` cannot be executed", place.path.display()),
    };
    let remedy = match place.is_noexec {
        true => format!(
            "{}, or as root `mount -o remount,exec {}`",
            parts::OTHER_STORE,
            place.mount_point.display()
        ),
        false => parts::OTHER_STORE.to_owned(),
    };
    Refusal {
        code: IsoCode::Iso13,
        cause,
        remedy,
        call,
    }
}

fn full(facts: &Facts, call: String) -> Refusal {
    let place = &facts.store;
    Refusal {
        code: IsoCode::Iso13,
        cause: format!(
            "the file system of `{}` is full: {} kB of {} kB are free",
            place.path.display(),
            place.free_bytes / 1000,
            place.total_bytes / 1000
        ),
        remedy: "free some space there, or name a directory on another disk: `--store DIR`"
            .to_owned(),
        call,
    }
}

/// Why no file can be made where the store is.
pub(super) fn unusable_store(facts: &Facts, call: &str, errno: Errno) -> Refusal {
    let place = &facts.store;
    let (path, existing) = (place.path.display(), place.existing.display());
    let call = answered(call, errno.raw_os_error());
    let cause = match errno {
        Errno::NOSPC | Errno::DQUOT => return full(facts, call),
        Errno::ROFS => format!(
            "the store `{path}` is on a read-only mount (`{}`)",
            place.mount_point.display()
        ),
        Errno::ACCESS | Errno::PERM => {
            let squash = match facts.is_root() && place.is_remote() {
                true => " (the server squashes root)",
                false => "",
            };
            format!(
                "`{}` may not write to `{existing}`, where the store `{path}` is or would be{squash}",
                facts.user_shown()
            )
        }
        _ => format!(
            "nothing can be written to `{existing}` for the store `{path}`: {}",
            crate::fs::reason(&errno.into())
        ),
    };
    Refusal {
        code: IsoCode::Iso13,
        cause,
        remedy: "name a directory of your own on a local disk: `--store DIR`".to_owned(),
        call,
    }
}
