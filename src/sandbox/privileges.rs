//! Giving up what a step must not have.

use rustix::fs::{Gid, Uid};
use rustix::process::{self as rprocess, Resource, Rlimit};
use rustix::thread::{self as rthread, CapabilitySet, CapabilitySets, UnshareFlags};

use super::StatusError;
use super::identity::Identity;
use super::ladder::Rung;
use super::mounts::refused;

/// Docker's default set: what a process that is root inside may do.
pub(super) const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// What of it stays where no mount forbids device nodes and the root directory is a `chroot`, out of which
/// `CAP_SYS_CHROOT` leads.
const CAPABILITIES_WITHOUT_MOUNTS: CapabilitySet = CAPABILITIES
    .difference(CapabilitySet::MKNOD)
    .difference(CapabilitySet::SYS_CHROOT);

/// How many files a process may have open: what Docker and most distributions give, and not what overcoat happened to
/// have.
const OPEN_FILES: (u64, u64) = (1024, 1_048_576);

/// Makes this process the image's user, for good, without the capabilities in `dropped`.
pub(super) fn drop(
    identity: &Identity,
    rung: Rung,
    dropped: CapabilitySet,
) -> Result<(), StatusError> {
    let failed = |step: &'static str| move |errno| refused(step, errno);
    limit().map_err(failed("set the resource limits"))?;
    rthread::set_no_new_privs(true).map_err(failed("set no_new_privs"))?;
    let keeps = if rung.has_mounts() {
        CAPABILITIES
    } else {
        CAPABILITIES_WITHOUT_MOUNTS
    }
    .difference(dropped);
    let has = rthread::capabilities(None).map_err(failed("read the capabilities"))?;
    // Before the user changes (T16 of `rust-crates.md`). Who has none cannot cut the set and gains nothing from it.
    if has.effective.contains(CapabilitySet::SETPCAP) {
        cut_bounding_set(keeps).map_err(failed("cut the bounding set"))?;
    }
    if !rung.keeps_ledger() {
        become_user(identity).map_err(failed("become the image's user"))?;
    }
    let keeps = if identity.uid == 0 {
        keeps.intersection(has.permitted)
    } else {
        CapabilitySet::empty()
    };
    let sets = CapabilitySets {
        effective: keeps,
        permitted: keeps,
        inheritable: CapabilitySet::empty(),
    };
    rthread::set_capabilities(None, sets).map_err(failed("drop capabilities"))?;
    Ok(())
}

fn limit() -> rustix::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rprocess::setrlimit(Resource::Core, none)?;
    let has = rprocess::getrlimit(Resource::Nofile);
    let maximum = has.maximum.unwrap_or(u64::MAX).min(OPEN_FILES.1);
    let files = Rlimit {
        current: Some(OPEN_FILES.0.min(maximum)),
        maximum: Some(maximum),
    };
    rprocess::setrlimit(Resource::Nofile, files)
}

fn cut_bounding_set(keeps: CapabilitySet) -> rustix::io::Result<()> {
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !keeps.contains(capability) {
            match rthread::remove_capability_from_bounding_set(capability) {
                // The kernel knows no more of them.
                Err(rustix::io::Errno::INVAL) => break,
                other => other?,
            }
        }
    }
    Ok(())
}

fn become_user(identity: &Identity) -> rustix::io::Result<()> {
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rthread::set_thread_groups(&groups)?;
    rthread::set_thread_res_gid(gid, gid, gid)?;
    rthread::set_thread_res_uid(uid, uid, uid)
}

/// Enters one more user namespace, in which this process's only id is the image's user. For [`Rung::SingleId`]: the
/// namespace around it knows root alone.
pub(super) fn be_called(identity: &Identity) -> Result<(), StatusError> {
    if (identity.uid, identity.gid) == (0, 0) {
        return Ok(());
    }
    let failed = |step: &'static str| move |errno| refused(step, errno);
    super::namespaces::unshare(UnshareFlags::NEWUSER)
        .map_err(failed("make a user namespace for the image's user"))?;
    let write = |file: &str, id: u32| {
        std::fs::write(format!("/proc/self/{file}"), format!("{id} 0 1")).map_err(|error| {
            StatusError::Setup {
                step: format!("give the step the id {id}"),
                reason: crate::fs::reason(&error),
                hint: None,
            }
        })
    };
    write("uid_map", identity.uid)?;
    write("gid_map", identity.gid)
}
