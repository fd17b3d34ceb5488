//! ISO01 to ISO08: user namespaces and their ids.

use super::*;

#[test]
fn iso01_seccomp_or_chroot() {
    let failed = [(Step::UserNamespace, Errno::PERM, "")];
    for rung in [Rung::UsernsDirect, Rung::SingleId] {
        let refusal = refused(&container_root(), rung, &failed);
        expect(
            &refusal,
            IsoCode::Iso01,
            "seccomp profile",
            "--isolation=in-place",
            NO_NAMESPACE,
        );
    }
    let chrooted = Facts {
        is_chrooted: true,
        ..container_root()
    };
    expect(
        &refused(&chrooted, Rung::SingleId, &failed),
        IsoCode::Iso01,
        "in a chroot",
        "outside of the chroot",
        NO_NAMESPACE,
    );
    let refusal = refused(
        &chrooted,
        Rung::Root,
        &[(Step::PrivateMounts, Errno::INVAL, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso01,
        "mounts cannot be kept apart",
        "outside of the chroot",
        "mount(/, MS_REC|MS_PRIVATE): EINVAL",
    );
    let unexplained = refused(&alice(), Rung::UsernsHelper, &failed);
    expect(
        &unexplained,
        IsoCode::Iso01,
        "capability,yama",
        "allow them",
        NO_NAMESPACE,
    );
    // A profile that allows the namespace and forbids mounts.
    let no_mounts = refused(
        &container_root(),
        Rung::UsernsDirect,
        &[(Step::PrivateMounts, Errno::PERM, "")],
    );
    expect(
        &no_mounts,
        IsoCode::Iso01,
        "seccomp profile",
        "seccompProfile",
        "mount(/, MS_REC|MS_PRIVATE): EPERM",
    );
}

#[test]
fn iso02_apparmor_and_other_modules() {
    let ubuntu = Facts {
        apparmor_restrict_unprivileged_userns: Some(1),
        ..alice()
    };
    let profile = "overcoat doctor --apparmor | sudo tee /etc/apparmor.d/overcoat";
    for (rung, step, errno, call) in [
        (
            Rung::SingleId,
            Step::Maps,
            Errno::PERM,
            "write(/proc/PID/uid_map): EPERM",
        ),
        (
            Rung::SingleId,
            Step::PrivateMounts,
            Errno::ACCESS,
            "mount(/, MS_REC|MS_PRIVATE): EACCES",
        ),
        (
            Rung::UsernsHelper,
            Step::PrivateMounts,
            Errno::ACCESS,
            "mount(/, MS_REC|MS_PRIVATE): EACCES",
        ),
        (
            Rung::UsernsHelper,
            Step::UserNamespace,
            Errno::ACCESS,
            "unshare(CLONE_NEWUSER): EACCES",
        ),
    ] {
        let refusal = refused(&ubuntu, rung, &[(step, errno, "")]);
        expect(
            &refusal,
            IsoCode::Iso02,
            "kernel.apparmor_restrict_unprivileged_userns",
            profile,
            call,
        );
    }
    let said = "newuidmap: write to uid_map failed: Operation not permitted";
    let refusal = refused(
        &ubuntu,
        Rung::UsernsHelper,
        &[(Step::Maps, Errno::PERM, said)],
    );
    let call = "newuidmap: \"write to uid_map failed: Operation not permitted\"";
    expect(&refusal, IsoCode::Iso02, "AppArmor", profile, call);
    let confined = Facts {
        confinement: Some("docker-default (enforce)".to_owned()),
        has_seccomp_filter: false,
        ..container_root()
    };
    let refusal = refused(
        &confined,
        Rung::UsernsDirect,
        &[(Step::PrivateMounts, Errno::ACCESS, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso02,
        "`docker-default (enforce)`",
        "appArmorProfile",
        "mount(/, MS_REC|MS_PRIVATE): EACCES",
    );
    // The restriction is off, and so is what else could explain it.
    let free = Facts {
        apparmor_restrict_unprivileged_userns: Some(0),
        confinement: Some("unconfined".to_owned()),
        ..alice()
    };
    let refusal = refused(
        &free,
        Rung::SingleId,
        &[(Step::Namespaces, Errno::PERM, "")],
    );
    let call = "unshare(CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS): EPERM";
    expect(&refusal, IsoCode::Iso02, "does not say why", "dmesg", call);
}

#[test]
fn iso03_to_iso05_namespaces_are_switched_off_or_used_up() {
    let full = [(Step::UserNamespace, Errno::NOSPC, "")];
    let call = "unshare(CLONE_NEWUSER): ENOSPC";
    let none = Facts {
        max_user_namespaces: Some(0),
        ..alice()
    };
    let refusal = refused(&none, Rung::UsernsHelper, &full);
    expect(
        &refusal,
        IsoCode::Iso03,
        "`user.max_user_namespaces` is 0",
        "sysctl -w user.max_user_namespaces=15000",
        call,
    );
    assert!(refusal.cause.contains("no disk is full"));

    let off = Facts {
        unprivileged_userns_clone: Some(0),
        has_seccomp_filter: true,
        ..alice()
    };
    let refusal = refused(
        &off,
        Rung::SingleId,
        &[(Step::UserNamespace, Errno::PERM, "")],
    );
    expect(
        &refusal,
        IsoCode::Iso04,
        "is 0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
        NO_NAMESPACE,
    );
    let absent = refused(
        &alice(),
        Rung::SingleId,
        &[(Step::UserNamespace, Errno::INVAL, "")],
    );
    expect(
        &absent,
        IsoCode::Iso04,
        "(6.18.0) was built without",
        "CONFIG_USER_NS",
        "unshare(CLONE_NEWUSER): EINVAL",
    );

    expect(
        &refused(&alice(), Rung::SingleId, &full),
        IsoCode::Iso05,
        "all 15000",
        "one level further out",
        call,
    );
    let nested = Facts {
        max_user_namespaces: Some(2_147_483_647),
        ..container_root()
    };
    let refusal = refused(&nested, Rung::UsernsDirect, &full);
    expect(
        &refusal,
        IsoCode::Iso05,
        "nested too deep",
        "one level further out",
        call,
    );
    assert!(!refusal.cause.contains("2147483647"));
    let refusal = refused(
        &alice(),
        Rung::SingleId,
        &[(Step::Namespaces, Errno::NOSPC, "")],
    );
    let call = "unshare(CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS): ENOSPC";
    expect(
        &refusal,
        IsoCode::Iso05,
        "user.max_mnt_namespaces",
        "sysctl -w user.max_mnt_namespaces",
        call,
    );
    let refusal = refused(&alice(), Rung::InPlace, &[(Step::Start, Errno::AGAIN, "")]);
    expect(
        &refusal,
        IsoCode::Iso05,
        "could not be started",
        "ulimit -u",
        "execve: EAGAIN",
    );
}

#[test]
fn iso06_to_iso08_helpers_and_ranges() {
    let failed = [(
        Step::Maps,
        Errno::PERM,
        "write to uid_map failed: Operation not permitted",
    )];
    let said = "newuidmap: \"write to uid_map failed: Operation not permitted\"";
    let refusal = |facts: &Facts| refused(facts, Rung::UsernsHelper, &failed);

    let mut bare = alice();
    bare.helpers[0].path = None;
    bare.helpers[1].path = None;
    let absent = refusal(&bare);
    expect(
        &absent,
        IsoCode::Iso06,
        "`newuidmap` and `newgidmap` cannot be found",
        "`uidmap`",
        said,
    );

    let restricted = Facts {
        has_no_new_privileges: true,
        ..alice()
    };
    expect(
        &refusal(&restricted),
        IsoCode::Iso07,
        "`NoNewPrivs` is 1",
        "allowPrivilegeEscalation: true",
        said,
    );
    let mut stripped = alice();
    stripped.helpers[1].is_setuid_root = false;
    expect(
        &refusal(&stripped),
        IsoCode::Iso07,
        "`/usr/bin/newgidmap` has lost",
        "chmod u+s /usr/bin/newgidmap",
        said,
    );
    stripped.helpers[1].has_file_capabilities = true;
    let unexplained = refusal(&stripped);
    expect(
        &unexplained,
        IsoCode::Iso07,
        "could not write",
        "ranges of `alice`",
        said,
    );
    let mut nosuid = alice();
    nosuid.helpers[0].is_on_nosuid = true;
    expect(
        &refusal(&nosuid),
        IsoCode::Iso07,
        "`nosuid`",
        "remount",
        said,
    );

    // Without ranges nothing is mapped: the attempt ends before.
    let unmapped = |facts: &Facts| {
        let mut attempt = attempt(Rung::UsernsHelper, &[]);
        attempt.tried.truncate(2);
        diagnosis::judge(facts, Rung::UsernsHelper, &attempt)
            .outcome
            .unwrap_err()
    };
    let none = Facts {
        subordinate: [None, None],
        ..alice()
    };
    let usermod = "usermod --add-subuids 165536-231071 --add-subgids 165536-231071 alice`";
    expect(
        &unmapped(&none),
        IsoCode::Iso08,
        "`alice` has no ids in `/etc/subuid` and no ids",
        usermod,
        "read(/etc/subuid, /etc/subgid)",
    );
    let small = SubordinateIds {
        start: 1,
        count: 1000,
    };
    let half = Facts {
        subordinate: [alice().subordinate[0], Some(small)],
        ..alice()
    };
    let refusal = unmapped(&half);
    let usermod = "`usermod --add-subgids 165536-231071 alice`";
    expect(
        &refusal,
        IsoCode::Iso08,
        "`alice` has 1000 ids in `/etc/subgid`; 65535",
        usermod,
        "read(/etc/subuid, /etc/subgid)",
    );
    let nameless = Facts {
        user: None,
        uid: 1_000_680_000,
        subordinate: [None, None],
        ..alice()
    };
    let echo = "`echo 1000680000:165536:65536 | tee --append /etc/subuid /etc/subgid`";
    expect(
        &unmapped(&nameless),
        IsoCode::Iso08,
        "`1000680000` has",
        echo,
        "read(/etc/subuid, /etc/subgid)",
    );
    // An administrator is asked once for all of it.
    let everything = Facts {
        has_no_new_privileges: true,
        subordinate: [None, None],
        ..bare
    };
    let refusal = unmapped(&everything);
    expect(
        &refusal,
        IsoCode::Iso06,
        "NoNewPrivs",
        "usermod",
        "execve(newuidmap): ENOENT",
    );

    let nested = Facts {
        mapped_ids: 1,
        ..container_root()
    };
    let refusal = refused(&nested, Rung::UsernsDirect, &[]);
    expect(
        &refusal,
        IsoCode::Iso08,
        "has only id 0",
        "range of 65536 ids",
        "read(/proc/self/uid_map)",
    );
}
