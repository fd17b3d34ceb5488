//! Why there is no user namespace, or none with enough ids.

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::attempt::{Attempt, Failure, Step};
use super::errno::{self, answered};
use super::facts::{Facts, Helper, WANTED_IDS};
use crate::sandbox::ladder::{IsoCode, Refusal, Rung};

/// How to allow user namespaces in a container. `--privileged` is never advised: it gives the machine away.
const ALLOW_IN_CONTAINER: &str = "let the container run without a seccomp profile (Kubernetes: `seccompProfile: {type: Unconfined}`, Docker and \
     Podman: `--security-opt seccomp=unconfined`), or run the job in the builder image with `--isolation=in-place`";

/// How to let a container mount.
const ALLOW_BY_MODULE: &str = "let the container run without the module's profile (Kubernetes: `appArmorProfile: {type: Unconfined}`, Docker and \
     Podman: `--security-opt apparmor=unconfined` or `--security-opt label=disable`), or run the job in the builder image \
     with `--isolation=in-place`";

/// How to install the profile.
const INSTALL_PROFILE: &str = "install AppArmor's profile for this program: \
     `overcoat doctor --apparmor | sudo tee /etc/apparmor.d/overcoat && sudo apparmor_parser --replace /etc/apparmor.d/overcoat`";

/// What to do about a chroot.
pub(super) const LEAVE_CHROOT: &str = "run overcoat outside of the chroot";

/// How to get more ids from outside.
pub(super) const MAP_MORE: &str = "give the container (or whatever made that namespace) a range of 65536 ids: the user who starts it needs one in \
     `/etc/subuid` and `/etc/subgid`";

/// The capabilities that write a map.
const MAPPING: [(&str, CapabilitySet); 3] = [
    ("CAP_SETUID", CapabilitySet::SETUID),
    ("CAP_SETGID", CapabilitySet::SETGID),
    ("CAP_SETFCAP", CapabilitySet::SETFCAP),
];

/// Checks that there is a user namespace in which we are root, with the ids that the rung promises.
pub(super) fn check(facts: &Facts, rung: Rung, attempt: &Attempt) -> Result<(), Refusal> {
    if let Some(failure) = attempt.failure(Step::UserNamespace) {
        return Err(not_made(facts, failure.errno));
    }
    if rung == Rung::UsernsDirect && facts.mapped_ids < u64::from(WANTED_IDS) {
        return Err(few_ids(facts));
    }
    if attempt.worked(Step::BecomeRoot) {
        return Ok(());
    }
    let failure = [Step::Maps, Step::BecomeRoot]
        .into_iter()
        .find_map(|step| attempt.failure(step));
    match rung {
        Rung::UsernsHelper => Err(not_mapped_by_helper(facts, failure)),
        _ => Err(not_mapped_by_us(facts, failure)),
    }
}

fn not_made(facts: &Facts, errno: i32) -> Refusal {
    let refusal = |code, cause: String, remedy: &str| Refusal {
        code,
        cause,
        remedy: remedy.to_owned(),
        call: answered("unshare(CLONE_NEWUSER)", errno),
    };
    match errno::known(errno) {
        Some(Errno::NOSPC | Errno::USERS) if facts.max_user_namespaces == Some(0) => refusal(
            IsoCode::Iso03,
            "`user.max_user_namespaces` is 0 here (the kernel says \"no space left\", but no disk is full)".to_owned(),
            "allow some, as root: `sysctl -w user.max_user_namespaces=15000`; to keep that, put \
             `user.max_user_namespaces=15000` into `/etc/sysctl.d/90-user-namespaces.conf`",
        ),
        Some(Errno::NOSPC | Errno::USERS) => refusal(
            IsoCode::Iso05,
            match facts.max_user_namespaces {
                // Inside of user namespaces the limit is as good as none.
                Some(limit) if limit < 1_000_000 => format!(
                    "user namespaces are nested too deep (the kernel allows 32 levels), or all {limit} that \
                     `user.max_user_namespaces` allows are in use"
                ),
                _ => "user namespaces are nested too deep: the kernel allows 32 levels".to_owned(),
            },
            "build one level further out, or end other sandboxes of this user",
        ),
        Some(Errno::PERM | Errno::ACCESS) => not_permitted(facts, &refusal),
        Some(Errno::NOSYS | Errno::INVAL) => refusal(
            IsoCode::Iso04,
            format!("this kernel ({}) was built without user namespaces", facts.kernel),
            "use a kernel with CONFIG_USER_NS",
        ),
        _ => refusal(
            IsoCode::Iso05,
            "the kernel has no room for another user namespace".to_owned(),
            "end other sandboxes, or raise this user's limits of memory and processes",
        ),
    }
}

/// What forbids it, the certain reasons first: a filter may be there for something else.
fn not_permitted(facts: &Facts, refusal: &dyn Fn(IsoCode, String, &str) -> Refusal) -> Refusal {
    if facts.unprivileged_userns_clone == Some(0) {
        return refusal(
            IsoCode::Iso04,
            "`kernel.unprivileged_userns_clone` is 0: this kernel lets only root make user namespaces".to_owned(),
            "allow them, as root: `sysctl -w kernel.unprivileged_userns_clone=1`; to keep that, put \
             `kernel.unprivileged_userns_clone=1` into `/etc/sysctl.d/90-user-namespaces.conf`",
        );
    }
    if facts.is_chrooted {
        return refusal(
            IsoCode::Iso01,
            "this process is in a chroot, where the kernel refuses user namespaces".to_owned(),
            LEAVE_CHROOT,
        );
    }
    if let Some(refused) = by_apparmor(facts, &refusal(IsoCode::Iso02, String::new(), "").call) {
        return refused;
    }
    if facts.has_seccomp_filter {
        return refusal(
            IsoCode::Iso01,
            "the seccomp profile of this container (or service) blocks user namespaces".to_owned(),
            ALLOW_IN_CONTAINER,
        );
    }
    match facts.confined_by() {
        Some(confinement) => refusal(
            IsoCode::Iso02,
            format!(
                "the security module that confines this process as `{confinement}` forbids user namespaces"
            ),
            ALLOW_BY_MODULE,
        ),
        None => refusal(
            IsoCode::Iso01,
            format!(
                "the kernel refuses user namespaces and does not say why: a security module may (those here: {}), or a \
                 chroot around us",
                facts.security_modules.as_deref().unwrap_or("unknown")
            ),
            "ask whoever runs this machine to allow them",
        ),
    }
}

/// Ubuntu's restriction applies to programs without privileges and without a profile.
fn by_apparmor(facts: &Facts, call: &str) -> Option<Refusal> {
    let is_restricted = facts.apparmor_restrict_unprivileged_userns == Some(1)
        && !facts.capabilities.contains(CapabilitySet::SYS_ADMIN);
    is_restricted.then(|| Refusal {
        code: IsoCode::Iso02,
        cause: "AppArmor lets this program make a user namespace but not use it \
                (`kernel.apparmor_restrict_unprivileged_userns` is 1, as on Ubuntu since 24.04)"
            .to_owned(),
        remedy: INSTALL_PROFILE.to_owned(),
        call: call.to_owned(),
    })
}

/// How many ids there are, as a clause.
pub(super) fn mapped(facts: &Facts) -> String {
    match facts.mapped_ids {
        0 => format!("the user namespace around us has no id 0, and images use {WANTED_IDS} ids"),
        1 => format!("the user namespace around us has only id 0, and images use {WANTED_IDS}"),
        ids => format!(
            "the user namespace around us has {ids} ids from 0 on, and images use {WANTED_IDS}"
        ),
    }
}

fn few_ids(facts: &Facts) -> Refusal {
    Refusal {
        code: IsoCode::Iso08,
        cause: mapped(facts),
        remedy: MAP_MORE.to_owned(),
        call: "read(/proc/self/uid_map)".to_owned(),
    }
}

fn not_mapped_by_us(facts: &Facts, failure: Option<&Failure>) -> Refusal {
    let call = answered(
        "write(/proc/PID/uid_map)",
        failure.map_or(0, |failure| failure.errno),
    );
    if facts.is_root() {
        let missing = facts.lacks(&MAPPING);
        if !missing.is_empty() {
            return Refusal {
                code: IsoCode::Iso14,
                cause: format!(
                    "root here lacks {}, without which its ids cannot be mapped",
                    missing.join(", ")
                ),
                remedy: format!(
                    "give the container {} (they are among Docker's defaults), or build as an ordinary user",
                    missing.join(", ")
                ),
                call,
            };
        }
    }
    forbidden_inside(facts, call)
}

/// A namespace was made, and something in it is refused that no ordinary check refuses.
pub(super) fn forbidden_inside(facts: &Facts, call: String) -> Refusal {
    if let Some(refusal) = by_apparmor(facts, &call) {
        return refusal;
    }
    if let Some(confinement) = facts.confined_by() {
        return Refusal {
            code: IsoCode::Iso02,
            cause: format!(
                "the security module that confines this process as `{confinement}` forbids what a step needs"
            ),
            remedy: ALLOW_BY_MODULE.to_owned(),
            call,
        };
    }
    if facts.has_seccomp_filter {
        return Refusal {
            code: IsoCode::Iso01,
            cause: "the seccomp profile of this container (or service) blocks what a step needs"
                .to_owned(),
            remedy: ALLOW_IN_CONTAINER.to_owned(),
            call,
        };
    }
    Refusal {
        code: IsoCode::Iso02,
        cause: format!(
            "the kernel lets a namespace be made but not used, and does not say why (security modules: {})",
            facts.security_modules.as_deref().unwrap_or("unknown")
        ),
        remedy: "look into the kernel's log for what was denied: `dmesg`".to_owned(),
        call,
    }
}

/// Everything that keeps `newuidmap` and `newgidmap` from working, so that an administrator is asked once.
fn not_mapped_by_helper(facts: &Facts, failure: Option<&Failure>) -> Refusal {
    let obstacles: Vec<Refusal> = [absent(facts), powerless(facts), no_range(facts)]
        .into_iter()
        .flatten()
        .collect();
    let said = failure
        .map(|failure| failure.said.as_str())
        .filter(|said| !said.is_empty());
    let call = match said {
        Some(said) => format!("newuidmap: \"{}\"", said.trim_start_matches("newuidmap: ")),
        None => "newuidmap: not tried".to_owned(),
    };
    let Some(first) = obstacles.first() else {
        return by_apparmor(facts, &call).unwrap_or(Refusal {
            code: IsoCode::Iso07,
            cause: "`newuidmap` could not write the id map".to_owned(),
            remedy: format!(
                "check the ranges of `{}` in `/etc/subuid` and `/etc/subgid`, and that `newuidmap` and `newgidmap` \
                 belong to root and have their set-user-id bit",
                facts.user_shown()
            ),
            call,
        });
    };
    let joined = |text: fn(&Refusal) -> &str, by: &str| {
        let texts: Vec<_> = obstacles.iter().map(text).collect();
        texts.join(by)
    };
    Refusal {
        code: first.code,
        cause: joined(|refusal| &refusal.cause, "; also, "),
        remedy: joined(|refusal| &refusal.remedy, "; and "),
        call: if said.is_some() {
            call
        } else {
            first.call.clone()
        },
    }
}

fn absent(facts: &Facts) -> Option<Refusal> {
    let missing: Vec<_> = facts
        .helpers
        .iter()
        .filter(|helper| helper.path.is_none())
        .map(|helper| format!("`{}`", helper.name))
        .collect();
    (!missing.is_empty()).then(|| Refusal {
        code: IsoCode::Iso06,
        cause: format!("{} cannot be found", missing.join(" and ")),
        remedy: "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora, RHEL)"
            .to_owned(),
        call: "execve(newuidmap): ENOENT".to_owned(),
    })
}

fn powerless(facts: &Facts) -> Option<Refusal> {
    let refusal = |cause: String, remedy: String, call: String| {
        Some(Refusal {
            code: IsoCode::Iso07,
            cause,
            remedy,
            call,
        })
    };
    if facts.has_no_new_privileges {
        return refusal(
            "`newuidmap` has no power here: this process must not get new privileges (`NoNewPrivs` is 1)".to_owned(),
            "start overcoat without that restriction (Kubernetes: `allowPrivilegeEscalation: true`, Docker: without \
             `--security-opt no-new-privileges`, systemd: `NoNewPrivileges=no`)"
                .to_owned(),
            "prctl(PR_GET_NO_NEW_PRIVS): 1".to_owned(),
        );
    }
    let is_bare = |helper: &&Helper| !helper.is_setuid_root && !helper.has_file_capabilities;
    if let Some((helper, path)) = facts
        .helpers
        .iter()
        .filter(is_bare)
        .find_map(|found| Some((found, found.path.as_ref()?)))
    {
        let path = path.display();
        return refusal(
            format!("`{path}` has lost its set-user-id bit and has no file capabilities"),
            format!(
                "as root, run `chown root {path} && chmod u+s {path}`, or install the package again"
            ),
            format!("stat({}): no S_ISUID", helper.name),
        );
    }
    let on_nosuid = facts
        .helpers
        .iter()
        .filter(|helper| helper.is_on_nosuid)
        .find_map(|helper| helper.path.as_ref());
    on_nosuid.and_then(|path| {
        let path = path.display();
        refusal(
            format!(
                "`{path}` is on a file system mounted with `nosuid`, which takes its power away"
            ),
            format!("remount the file system of `{path}` without `nosuid`"),
            format!("statvfs({path}): ST_NOSUID"),
        )
    })
}

fn no_range(facts: &Facts) -> Option<Refusal> {
    let wanted = WANTED_IDS - 1;
    let files = ["/etc/subuid", "/etc/subgid"];
    let counts = facts
        .subordinate
        .map(|range| range.map_or(0, |range| range.count));
    let short: Vec<_> = files
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count < wanted)
        .collect();
    if short.is_empty() {
        return None;
    }
    let shown = facts.user_shown();
    let has = |(file, count): &(&&str, u32)| match count {
        0 => format!("no ids in `{file}`"),
        count => format!("{count} ids in `{file}`"),
    };
    let cause = format!(
        "`{shown}` has {}; {wanted} are needed",
        short.iter().map(has).collect::<Vec<_>>().join(" and ")
    );
    let is_short = |file: &str| short.iter().any(|(listed, _)| **listed == file);
    let remedy = match (facts.free_subordinate_id, &facts.user) {
        (Some(first), Some(user)) => {
            let range = format!("{first}-{}", first + (WANTED_IDS - 1));
            let option = |file: &str, name: &str| match is_short(file) {
                true => format!(" --add-{name} {range}"),
                false => String::new(),
            };
            let (uids, gids) = (
                option("/etc/subuid", "subuids"),
                option("/etc/subgid", "subgids"),
            );
            format!("as root, run `usermod{uids}{gids} {user}` (nobody has these ids yet)")
        }
        // usermod knows only users with names.
        (Some(first), None) => {
            let files: Vec<_> = short.iter().map(|(file, _)| **file).collect();
            let files = files.join(" ");
            format!(
                "as root, run `echo {}:{first}:{WANTED_IDS} | tee --append {files}`",
                facts.uid
            )
        }
        (None, _) => format!(
            "free a range of {WANTED_IDS} ids in `/etc/subuid` and `/etc/subgid` for `{shown}`: all are taken"
        ),
    };
    Some(Refusal {
        code: IsoCode::Iso08,
        cause,
        remedy,
        call: "read(/etc/subuid, /etc/subgid)".to_owned(),
    })
}
