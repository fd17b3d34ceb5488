//! The same in a user namespace with a single id and on an overlay, as on the rung that the ledger is for.
//!
//! The test starts itself again inside: `unshare` makes the namespaces, the second run mounts and supervises.

use super::*;

const INSIDE: &str = "sandbox::ledger::tests::overlay::inside";

const UNSHARE: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--pid",
    "--fork",
];

/// A command in namespaces of its own, as their root.
fn unshared(program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new(UNSHARE[0]);
    command.args(&UNSHARE[1..]).arg(program);
    command
}

fn make_builder(lower: &Path, busybox: &str) {
    for directory in ["bin", "etc", "srv/tree", "tmp", "dev"] {
        fs::create_dir_all(lower.join(directory)).unwrap();
    }
    fs::copy(busybox, lower.join("bin/busybox")).unwrap();
    for name in [
        "sh", "chown", "mv", "ln", "cp", "rm", "mkdir", "id", "stat", "mknod", "cat", "chroot",
    ] {
        symlink("busybox", lower.join("bin").join(name)).unwrap();
    }
    for name in [
        "passwd", "moved", "linked", "kept", "suid", "replaced", "appended",
    ] {
        fs::write(lower.join("etc").join(name), name).unwrap();
    }
    // What a started program gets as its input.
    fs::write(lower.join("dev/null"), "").unwrap();
    fs::set_permissions(lower.join("etc/suid"), PermissionsExt::from_mode(0o4755)).unwrap();
    symlink("passwd", lower.join("etc/link")).unwrap();
    fs::write(lower.join("srv/tree/a"), "a").unwrap();
}

#[test]
fn a_single_id_and_an_overlay_give_the_owners_that_were_meant() {
    let busybox = ["/bin/busybox", "/bin/busybox.static"];
    let Some(busybox) = busybox.into_iter().find(|path| Path::new(path).exists()) else {
        return skipped("needs busybox");
    };
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    for name in ["upper", "work", "merged"] {
        fs::create_dir(at(name)).unwrap();
    }
    make_builder(&at("lower"), busybox);
    let probe = unshared("chroot".as_ref())
        .arg(at("lower"))
        .args(["/bin/busybox", "id"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skipped("needs user namespaces and a busybox without libraries");
    }
    let program = std::env::current_exe().unwrap();
    let output = unshared(program.as_os_str())
        .args([INSIDE, "--exact", "--ignored", "--nocapture"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    let ledger: Ledger = serde_json::from_slice(&fs::read(at("ledger.json")).unwrap()).unwrap();
    let base = Some((21, 22));
    let expected = [
        ("etc/passwd", Some((1, 2))),
        ("srv", Some((33, 44))),
        ("srv/tree", Some((33, 44))),
        ("srv/tree/a", Some((33, 44))),
        ("srv/new", Some((33, 44))),
        ("etc/moved2", base),
        ("etc/linked2", base),
        ("etc/kept", Some((21, 5))),
        ("etc/suid2", base),
        ("etc/link2", base),
        ("etc/appended2", base),
        ("etc/replaced2", None),
        ("tmp/null", Some((0, 0))),
    ];
    assert_owners(&ledger, &at("upper"), &expected);
    let mode = fs::metadata(at("upper/etc/suid2")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o4755);
    let device = ledger.device(&FileIdentity::of(&at("upper/tmp/null")).unwrap());
    let null = Device {
        is_block: false,
        major: 1,
        minor: 3,
    };
    assert_eq!(device, Some(null));
}

#[test]
#[ignore = "the second half of the test above, started by it"]
fn inside() {
    let options = "lowerdir=lower,upperdir=upper,workdir=work,userxattr";
    run(
        "mount",
        &["-t", "overlay", "-o", options, "none", "merged"],
        Path::new("."),
    );
    let here = std::env::current_dir().unwrap();
    let step = Supervision {
        // Of the new pid namespace: `unshare` was not asked to mount one at /proc.
        proc: {
            run("mount", &["-t", "proc", "proc", "/proc"], &here);
            open("/proc")
        },
        upper: Some(open("upper")),
        base: Box::new(|path| {
            let known =
                path.starts_with(b"etc/") || path == b"srv" || path.starts_with(b"srv/tree");
            known.then_some(Owner { uid: 21, gid: 22 })
        }),
        ..supervision(0, 0)
    };
    let report = fs::File::create("ledger.json").unwrap();
    rustix::process::chroot("merged").unwrap();
    rustix::process::chdir("/").unwrap();
    let script = "set -e; export PATH=/bin; cd /srv; echo 1 > new; chown -R 33:44 /srv; cd /etc; chown 1:2 link
        mv moved moved2; ln linked linked2; mv suid suid2; mv link link2
        echo more >> appended; mv appended appended2
        rm replaced; echo 1 > replaced; mv replaced replaced2; mknod /tmp/null c 1 3
        chown 9 passwd; chown 1:2 passwd; test $(id -u) = 0";
    let ((), ledger) = supervised(step, || {
        run("/bin/sh", &["-c", script], Path::new("/"));
        // Not by busybox, which gives the user that `stat` says where none is asked for.
        std::os::unix::fs::chown("/etc/kept", None, Some(5)).unwrap();
    });
    serde_json::to_writer(report, &ledger).unwrap();
}
