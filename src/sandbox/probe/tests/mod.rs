//! What is said for every code: facts and attempts are made up, verdicts are compared.

mod parts;
mod userns;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::attempt::{Attempt, Failure, Step, Tried};
use super::facts::{Cgroups, Facts, Helper};
use super::place::Place;
use super::{State, diagnosis, ingredients, maps};
use crate::sandbox::identity::SubordinateIds;
use crate::sandbox::ladder::{IsoCode, Refusal, Rung, Verdict};

/// An ordinary user of a machine on which everything works.
fn alice() -> Facts {
    let helper = |name: &'static str| Helper {
        name,
        path: Some(format!("/usr/bin/{name}").into()),
        is_setuid_root: true,
        has_file_capabilities: false,
        is_on_nosuid: false,
    };
    let range = SubordinateIds {
        start: 100_000,
        count: 65_536,
    };
    Facts {
        kernel: "6.18.0".to_owned(),
        uid: 1000,
        gid: 1000,
        user: Some("alice".to_owned()),
        capabilities: CapabilitySet::empty(),
        has_no_new_privileges: false,
        has_seccomp_filter: false,
        has_user_notification: true,
        mapped_ids: 4_294_967_295,
        uid_ranges: vec![(0, 4_294_967_295)],
        gid_ranges: vec![(0, 4_294_967_295)],
        max_user_namespaces: Some(15_000),
        unprivileged_userns_clone: None,
        apparmor_restrict_unprivileged_userns: None,
        security_modules: Some("capability,yama".to_owned()),
        confinement: None,
        helpers: [helper("newuidmap"), helper("newgidmap")],
        subordinate: [Some(range), Some(range)],
        free_subordinate_id: Some(165_536),
        is_chrooted: false,
        container: None,
        has_fuse: true,
        cgroups: Cgroups {
            version: 2,
            path: Some("/sys/fs/cgroup/a".into()),
            is_writable: true,
            missing: vec![],
        },
        store: Place {
            path: "/home/alice/store".into(),
            existing: "/home/alice".into(),
            file_system: "ext4".to_owned(),
            mount_point: "/home".into(),
            is_read_only: false,
            is_noexec: false,
            is_nodev: false,
            free_bytes: 10_000_000_000,
            total_bytes: 20_000_000_000,
        },
    }
}

/// Root of a container with Docker's capabilities.
fn container_root() -> Facts {
    Facts {
        uid: 0,
        gid: 0,
        user: Some("root".to_owned()),
        capabilities: CapabilitySet::CHOWN
            | CapabilitySet::SETUID
            | CapabilitySet::SETGID
            | CapabilitySet::SETFCAP
            | CapabilitySet::SYS_CHROOT
            | CapabilitySet::MKNOD,
        has_seccomp_filter: true,
        ..alice()
    }
}

/// Every step of a rung, all of which work.
fn steps(rung: Rung) -> Vec<Step> {
    let userns = [Step::UserNamespace, Step::Maps, Step::BecomeRoot];
    let inside = [
        Step::Namespaces,
        Step::PrivateMounts,
        Step::Overlay,
        Step::Execute,
        Step::Owners,
        Step::FreshProc,
        Step::NetworkNamespace,
        Step::CgroupNamespace,
    ];
    let chroot = [
        Step::Execute,
        Step::Owners,
        Step::Devices,
        Step::Chroot,
        Step::ChangeUser,
    ];
    let mut all = vec![Step::Filter];
    match rung {
        Rung::UsernsHelper | Rung::UsernsDirect | Rung::SingleId => {
            all.extend([&userns[..], &inside].concat())
        }
        Rung::Root => all.extend(inside),
        Rung::Chroot => all.extend(chroot),
        Rung::InPlace => {}
    }
    all
}

/// An attempt in which `failed` fail, each with an error number and what was said.
fn attempt(rung: Rung, failed: &[(Step, Errno, &str)]) -> Attempt {
    let mut tried: Vec<Tried> = steps(rung)
        .into_iter()
        .map(|step| Tried {
            step,
            failure: None,
        })
        .collect();
    for (step, errno, said) in failed {
        let failure = Some(Failure {
            errno: errno.raw_os_error(),
            said: (*said).to_owned(),
        });
        // What comes after these is not reached.
        let ends = [
            Step::UserNamespace,
            Step::Maps,
            Step::BecomeRoot,
            Step::Namespaces,
            Step::PrivateMounts,
        ];
        match tried.iter().position(|tried| tried.step == *step) {
            Some(position) => {
                tried[position].failure = failure;
                if ends.contains(step) {
                    tried.truncate(position + 1);
                }
            }
            None => tried.push(Tried {
                step: *step,
                failure,
            }),
        }
    }
    Attempt { tried }
}

fn judge(facts: &Facts, rung: Rung, failed: &[(Step, Errno, &str)]) -> Verdict {
    diagnosis::judge(facts, rung, &attempt(rung, failed))
}

/// Compares a refusal: its code, parts of its sentences and the call; and that it reads like one sentence each.
#[track_caller]
fn expect(refusal: &Refusal, code: IsoCode, cause: &str, remedy: &str, call: &str) {
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert!(
        refusal.cause.contains(cause),
        "{cause:?} is not in {refusal:?}"
    );
    assert!(
        refusal.remedy.contains(remedy),
        "{remedy:?} is not in {refusal:?}"
    );
    assert_eq!(refusal.call, call, "{refusal:?}");
    for text in [&refusal.cause, &refusal.remedy] {
        assert!(
            !text.is_empty()
                && !text.ends_with('.')
                && !text.contains("  ")
                && !text.contains('\n'),
            "{text:?}"
        );
        assert_eq!(text.matches('`').count() % 2, 0, "{text:?}");
    }
    let advice = [&refusal.cause, &refusal.remedy];
    assert!(
        !advice.iter().any(|text| text.contains("--privileged")),
        "{refusal:?}"
    );
}

#[track_caller]
fn refused(facts: &Facts, rung: Rung, failed: &[(Step, Errno, &str)]) -> Refusal {
    judge(facts, rung, failed)
        .outcome
        .expect_err("the rung should not work")
}

const NO_NAMESPACE: &str = "unshare(CLONE_NEWUSER): EPERM";

#[test]
fn everything_works_where_nothing_fails() {
    for rung in Rung::ALL {
        let root = Facts {
            capabilities: CapabilitySet::all(),
            ..container_root()
        };
        let facts = if rung == Rung::UsernsHelper {
            alice()
        } else {
            root
        };
        let details = judge(&facts, rung, &[])
            .outcome
            .unwrap_or_else(|refusal| panic!("{rung}: {refusal}"));
        assert_eq!(details.ledger, Ok(()), "{rung}");
        let has_mounts = !matches!(rung, Rung::Chroot | Rung::InPlace);
        assert_eq!(details.overlay.is_ok(), has_mounts, "{rung}");
        assert_eq!(details.fresh_proc.is_ok(), has_mounts, "{rung}");
        assert_eq!(details.network_namespace.is_ok(), has_mounts, "{rung}");
    }
}

#[test]
fn maps_are_those_that_a_build_would_write() {
    let range = |start| {
        Some(SubordinateIds {
            start,
            count: 65_536,
        })
    };
    let facts = Facts {
        gid: 100,
        subordinate: [range(100_000), range(200_000)],
        ..alice()
    };
    assert_eq!(
        maps(&facts, Rung::UsernsHelper),
        ["0 1000 1 1 100000 65536", "0 100 1 1 200000 65536"]
    );
    assert_eq!(maps(&facts, Rung::SingleId), ["0 1000 1", "0 100 1"]);
    let inner = Facts {
        uid_ranges: vec![(0, 1), (1, 65_536)],
        gid_ranges: vec![(0, 65_537)],
        ..container_root()
    };
    assert_eq!(
        maps(&inner, Rung::UsernsDirect),
        ["0 0 1 1 1 65536", "0 0 65537"]
    );
    let half = Facts {
        subordinate: [range(100_000), None],
        ..alice()
    };
    assert_eq!(maps(&half, Rung::UsernsHelper), ["", ""]);
    assert_eq!(maps(&facts, Rung::Chroot), ["", ""]);
}

#[test]
fn ingredients_say_what_is_there() {
    let state = |facts: &Facts, verdicts: &[Verdict], name: &str| {
        let list = ingredients(facts, verdicts);
        let found = list
            .iter()
            .find(|found| found.name == name)
            .unwrap_or_else(|| panic!("no {name}"));
        (found.state, found.text.clone())
    };
    let works = [judge(&alice(), Rung::UsernsHelper, &[])];
    let blocked = [judge(
        &alice(),
        Rung::SingleId,
        &[(Step::UserNamespace, Errno::PERM, "")],
    )];
    assert_eq!(state(&alice(), &works, "user-namespaces").0, State::Yes);
    assert_eq!(
        state(&alice(), &works, "overlay"),
        (State::Yes, "works on rung `userns-helper`".to_owned())
    );
    assert_eq!(
        state(&alice(), &blocked, "user-namespaces"),
        (State::No, format!("ISO01 {NO_NAMESPACE}"))
    );
    assert_eq!(state(&alice(), &blocked, "overlay").0, State::Info);
    // A range is missing, but a namespace can be made.
    let unmapped = [judge(
        &alice(),
        Rung::UsernsHelper,
        &[(Step::Maps, Errno::PERM, "")],
    )];
    assert_eq!(state(&alice(), &unmapped, "user-namespaces").0, State::Yes);
    let mut facts = alice();
    facts.subordinate[1] = None;
    facts.helpers[0].path = None;
    facts.has_no_new_privileges = true;
    facts.max_user_namespaces = Some(0);
    facts.apparmor_restrict_unprivileged_userns = Some(1);
    facts.cgroups.is_writable = false;
    facts.store.free_bytes = 1_000_000;
    for name in [
        "subgid",
        "newuidmap",
        "no-new-privileges",
        "user.max_user_namespaces",
        "kernel.apparmor_restrict_unprivileged_userns",
        "cgroups",
        "free-disk",
    ] {
        assert_eq!(state(&facts, &works, name).0, State::No, "{name}");
    }
    assert_eq!(state(&facts, &works, "subuid").0, State::Yes);
    assert_eq!(state(&facts, &works, "newgidmap").0, State::Yes);
    assert_eq!(
        state(&facts, &works, "kernel.unprivileged_userns_clone").0,
        State::Info
    );
}
