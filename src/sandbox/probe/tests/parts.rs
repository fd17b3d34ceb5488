//! ISO09 to ISO16: what a rung needs beside a user namespace.

use super::*;

#[test]
fn iso09_owners() {
    let unmapped = Facts {
        mapped_ids: 1000,
        ..container_root()
    };
    for rung in [Rung::Root, Rung::Chroot] {
        let refusal = refused(&unmapped, rung, &[(Step::Owners, Errno::INVAL, "")]);
        expect(
            &refusal,
            IsoCode::Iso09,
            "has 1000 ids from 0 on",
            "range of 65536 ids",
            "chown(65534, 65534): EINVAL",
        );
    }
    // With one id, owners are recorded, and cannot be given.
    let single = judge(
        &alice(),
        Rung::SingleId,
        &[(Step::Owners, Errno::INVAL, "")],
    );
    assert!(single.outcome.is_ok(), "{single:?}");
    let old = Facts {
        has_user_notification: false,
        ..alice()
    };
    let call = "read(/proc/sys/kernel/seccomp/actions_avail): no user_notif";
    for rung in [Rung::SingleId, Rung::InPlace] {
        expect(
            &refused(&old, rung, &[]),
            IsoCode::Iso09,
            "no seccomp user notification",
            "Linux 5.0",
            call,
        );
    }
    let refusal = refused(
        &alice(),
        Rung::SingleId,
        &[(Step::Filter, Errno::INVAL, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso09,
        "no seccomp filter",
        "`seccomp` and `prctl`",
        "prctl(PR_SET_SECCOMP): EINVAL",
    );
    // Root in place gives owners itself.
    let root = Facts {
        has_user_notification: false,
        ..container_root()
    };
    assert!(judge(&root, Rung::InPlace, &[]).outcome.is_ok());
    // A rung with a range does without the ledger, and says so.
    let details = judge(&old, Rung::UsernsHelper, &[]).outcome.unwrap();
    assert_eq!(details.ledger.unwrap_err().code, IsoCode::Iso09);
}

#[test]
fn iso10_to_iso12_and_iso15_are_about_parts_of_a_rung_that_works() {
    let on = |kind: &str| {
        let mut facts = alice();
        facts.store.file_system = kind.to_owned();
        facts
    };
    let part = |facts: &Facts, failed: &[(Step, Errno, &str)]| {
        judge(facts, Rung::UsernsHelper, failed).outcome.unwrap()
    };
    for kind in ["overlay", "nfs4", "ecryptfs"] {
        let refusal = part(&on(kind), &[(Step::Overlay, Errno::INVAL, "mount")])
            .overlay
            .unwrap_err();
        expect(
            &refusal,
            IsoCode::Iso10,
            &format!("`/home/alice/store` is on {kind}"),
            "--store DIR",
            "mount(overlay): EINVAL",
        );
    }
    let table = [
        (
            Errno::NODEV,
            "mount",
            "has no overlay",
            "modprobe overlay",
            "fsopen(overlay): ENODEV",
        ),
        (
            Errno::PERM,
            "mount",
            "(6.18.0) refuses overlay",
            "Linux 5.11",
            "mount(overlay): EPERM",
        ),
        (
            Errno::IO,
            "replace a directory",
            "keeps no `user.*`",
            "--store DIR",
            "mkdir on overlay: EIO",
        ),
    ];
    for (errno, said, cause, remedy, call) in table {
        let refusal = part(&on("tmpfs"), &[(Step::Overlay, errno, said)])
            .overlay
            .unwrap_err();
        expect(&refusal, IsoCode::Iso10, cause, remedy, call);
    }
    let masked = [(Step::FreshProc, Errno::PERM, "")];
    let refusal = part(&alice(), &masked).fresh_proc.unwrap_err();
    expect(
        &refusal,
        IsoCode::Iso11,
        "masks parts of `/proc`",
        "procMount: Unmasked",
        "mount(proc): EPERM",
    );
    let absent = [masked[0], (Step::OuterProc, Errno::NOENT, "")];
    let refusal = part(&alice(), &absent).fresh_proc.unwrap_err();
    expect(
        &refusal,
        IsoCode::Iso12,
        "no `/proc`",
        "procMount: Unmasked",
        "mount(/proc, MS_BIND|MS_REC): ENOENT",
    );
    let refusal = judge(&container_root(), Rung::Chroot, &[])
        .outcome
        .unwrap()
        .fresh_proc
        .unwrap_err();
    expect(
        &refusal,
        IsoCode::Iso12,
        "a step in a chroot has no `/proc`",
        "overcoat doctor",
        "not tried",
    );
    let refusal = part(&alice(), &[(Step::NetworkNamespace, Errno::PERM, "")])
        .network_namespace
        .unwrap_err();
    expect(
        &refusal,
        IsoCode::Iso15,
        "`--network none` cannot be had",
        "seccomp profile",
        "unshare(CLONE_NEWNET): EPERM",
    );
    let refusal = part(&alice(), &[(Step::NetworkNamespace, Errno::NOSPC, "")])
        .network_namespace
        .unwrap_err();
    expect(
        &refusal,
        IsoCode::Iso15,
        "network namespace",
        "user.max_net_namespaces",
        "unshare(CLONE_NEWNET): ENOSPC",
    );
    let refusal = part(&alice(), &[(Step::CgroupNamespace, Errno::NOSPC, "")])
        .cgroup_namespace
        .unwrap_err();
    expect(
        &refusal,
        IsoCode::Iso05,
        "cgroup namespace",
        "user.max_cgroup_namespaces",
        "unshare(CLONE_NEWCGROUP): ENOSPC",
    );
}

#[test]
fn iso13_the_store() {
    let mut facts = alice();
    facts.store.is_noexec = true;
    let refusal = refused(
        &facts,
        Rung::UsernsHelper,
        &[(Step::Execute, Errno::ACCESS, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso13,
        "`/home` is mounted with `noexec`",
        "mount -o remount,exec /home",
        "faccessat(X_OK): EACCES",
    );
    // In place, nothing of the store is executed.
    assert!(judge(&facts, Rung::InPlace, &[]).outcome.is_ok());
    let unusable = |facts: &Facts, errno| diagnosis::unusable_store(facts, "mkdir", errno);
    facts.store.free_bytes = 4096;
    expect(
        &unusable(&facts, Errno::NOSPC),
        IsoCode::Iso13,
        "4 kB of 20000000 kB",
        "--store DIR",
        "mkdir: ENOSPC",
    );
    expect(
        &unusable(&facts, Errno::ROFS),
        IsoCode::Iso13,
        "read-only mount (`/home`)",
        "--store DIR",
        "mkdir: EROFS",
    );
    expect(
        &unusable(&facts, Errno::ACCESS),
        IsoCode::Iso13,
        "`alice` may not write to `/home/alice`",
        "--store DIR",
        "mkdir: EACCES",
    );
    expect(
        &unusable(&facts, Errno::STALE),
        IsoCode::Iso13,
        "nothing can be written",
        "--store DIR",
        "mkdir: ESTALE",
    );
    let mut squashed = container_root();
    squashed.store.file_system = "nfs4".to_owned();
    expect(
        &unusable(&squashed, Errno::ACCESS),
        IsoCode::Iso13,
        "squashes root",
        "--store DIR",
        "mkdir: EACCES",
    );
    let refusal = refused(
        &squashed,
        Rung::UsernsDirect,
        &[(Step::Owners, Errno::PERM, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso13,
        "nfs4 (a server with root_squash?)",
        "--store DIR",
        "chown(65534, 65534): EPERM",
    );
    let mut nodev = container_root();
    nodev.store.is_nodev = true;
    let details = judge(&nodev, Rung::Chroot, &[(Step::Devices, Errno::ACCESS, "")])
        .outcome
        .unwrap();
    assert!(
        details.notes[0].contains("`/home` is mounted with `nodev`"),
        "{details:?}"
    );
}

#[test]
fn iso14_capabilities() {
    let lacking = |capability: CapabilitySet| {
        let facts = container_root();
        Facts {
            capabilities: facts.capabilities.difference(capability),
            ..facts
        }
    };
    let maps = [(Step::Maps, Errno::PERM, "")];
    let refusal = refused(&lacking(CapabilitySet::SETUID), Rung::UsernsDirect, &maps);
    expect(
        &refusal,
        IsoCode::Iso14,
        "root here lacks CAP_SETUID, without",
        "CAP_SETUID",
        "write(/proc/PID/uid_map): EPERM",
    );
    // Mapping user 0 takes one, whoever writes the map.
    let refusal = refused(&lacking(CapabilitySet::SETFCAP), Rung::SingleId, &maps);
    expect(
        &refusal,
        IsoCode::Iso14,
        "CAP_SETFCAP",
        "CAP_SETFCAP",
        "write(/proc/PID/uid_map): EPERM",
    );
    let refusal = refused(
        &container_root(),
        Rung::Root,
        &[(Step::Namespaces, Errno::PERM, "")],
    );
    let call = "unshare(CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS): EPERM";
    expect(
        &refusal,
        IsoCode::Iso14,
        "CAP_SYS_ADMIN",
        "user namespaces",
        call,
    );
    // CRI-O's root.
    let refusal = refused(
        &lacking(CapabilitySet::SYS_CHROOT),
        Rung::Chroot,
        &[(Step::Chroot, Errno::PERM, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso14,
        "root here lacks CAP_SYS_CHROOT",
        "--isolation=in-place",
        "chroot: EPERM",
    );
    let both = lacking(CapabilitySet::SYS_CHROOT | CapabilitySet::CHOWN);
    let refusal = refused(
        &both,
        Rung::Chroot,
        &[
            (Step::Owners, Errno::PERM, ""),
            (Step::Chroot, Errno::PERM, ""),
        ],
    );
    expect(
        &refusal,
        IsoCode::Iso14,
        "CAP_SYS_CHROOT, CAP_CHOWN",
        "CAP_CHOWN",
        "chroot: EPERM",
    );
    let refusal = refused(
        &lacking(CapabilitySet::CHOWN),
        Rung::UsernsDirect,
        &[(Step::Owners, Errno::PERM, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso14,
        "CAP_CHOWN",
        "CAP_CHOWN",
        "chown(65534, 65534): EPERM",
    );
}

#[test]
fn iso16_rungs_for_others() {
    let table = [
        (
            container_root(),
            [Rung::UsernsHelper].as_slice(),
            "geteuid(): 0",
        ),
        (
            alice(),
            [Rung::UsernsDirect, Rung::Root, Rung::Chroot].as_slice(),
            "geteuid(): 1000",
        ),
    ];
    for (facts, others, call) in table {
        for rung in Rung::ALL {
            assert_eq!(
                diagnosis::is_meant_for(&facts, rung),
                !others.contains(&rung),
                "{rung}"
            );
        }
        for rung in others {
            let refusal = diagnosis::not_meant(&facts, *rung).outcome.unwrap_err();
            expect(&refusal, IsoCode::Iso16, "root", "build as", call);
        }
    }
}
