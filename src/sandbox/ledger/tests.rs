//! The ledger at work: a thread of the test is filtered and starts programs, another one supervises them.
//!
//! Needs no privileges: the files belong to whoever runs the tests, and the step believes to be root.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::sys::{self, call};
use super::*;

mod ids;
mod overlay;

fn open(path: &str) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// A supervision that believes the step to be `uid:gid`, without a builder.
fn supervision(uid: u32, gid: u32) -> Supervision {
    Supervision {
        proc: open("/proc"),
        upper: None,
        identity: Credentials {
            uid,
            gid,
            groups: Vec::new(),
        },
        lacks: CapabilitySet::empty(),
        real: Owner {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        },
        base: Box::new(|_| None),
    }
}

/// Does some work on a filtered thread, while another one supervises.
fn supervised<T: Send>(supervision: Supervision, work: impl FnOnce() -> T + Send) -> (T, Ledger) {
    let (sender, receiver) = mpsc::channel();
    let numbers = numbers(true);
    std::thread::scope(|scope| {
        let step = scope.spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            sender
                .send(sys::install_listener(&numbers).unwrap())
                .unwrap();
            work()
        });
        let ledger = supervise(receiver.recv().unwrap(), supervision);
        (step.join().unwrap(), ledger)
    })
}

/// The output of a program, which must succeed.
fn run(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn sh(directory: &Path, script: &str) -> String {
    run("sh", &["-ec", script], directory)
}

/// A directory on the file system of the root, as a step's files are; temporary files may be elsewhere.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    assert_eq!(
        device(directory.path()),
        device(Path::new("/")),
        "this test needs /var/tmp on the root file system"
    );
    directory
}

/// Says by name that a test could not be made on this machine.
fn skipped(reason: &str) {
    let thread = std::thread::current();
    let name = thread
        .name()
        .unwrap_or_default()
        .rsplit("::")
        .next()
        .unwrap_or_default()
        .to_owned();
    crate::skip_tests::skip(&name, reason);
}

/// Runs a script as emulated root in a new directory, and returns both.
fn as_root(script: &str) -> (tempfile::TempDir, Ledger) {
    let directory = directory();
    let ((), ledger) = supervised(supervision(0, 0), || {
        sh(directory.path(), script);
    });
    (directory, ledger)
}

fn owner(ledger: &Ledger, path: &Path) -> Option<(u32, u32)> {
    let identity = FileIdentity::of(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    ledger.owner(&identity).map(|owner| (owner.uid, owner.gid))
}

#[track_caller]
fn assert_owners(ledger: &Ledger, directory: &Path, expected: &[(&str, Option<(u32, u32)>)]) {
    let real = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    for (name, expected) in expected {
        let path = directory.join(name);
        assert_eq!(owner(ledger, &path), *expected, "{name}");
        let metadata = path.symlink_metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), real, "{name} on disk");
    }
}

#[test]
fn recursive_changes_are_recorded_and_the_disk_keeps_its_owner() {
    let (directory, ledger) = as_root(
        "mkdir -p a/b; echo 1 > a/b/c; ln -s c a/b/link; ln -s nowhere a/dangling; echo 1 > other
         chown -R 33:44 a; chown -h 5 a/dangling; chown 6 a/b/link; chgrp 7 a",
    );
    let expected = [
        ("a", Some((33, 7))),
        ("a/b", Some((33, 44))),
        // `chown -R` changes links themselves, plain `chown` what they point to.
        ("a/b/c", Some((6, 44))),
        ("a/b/link", Some((33, 44))),
        ("a/dangling", Some((5, 44))),
        ("other", None),
    ];
    assert_owners(&ledger, directory.path(), &expected);
    assert_eq!(ledger.owners().count(), 5);
}

#[test]
fn install_and_tar_give_files_away() {
    let (directory, ledger) = as_root(
        "echo 1 > source; install -o 12 -g 13 -m 4755 source installed; install -d -o 14 -g 15 made
         mkdir packed; echo 2 > packed/x; ln -s x packed/l; tar --owner=:101 --group=:102 -cf t.tar packed
         rm -r packed; tar --same-owner --numeric-owner -xpf t.tar",
    );
    let expected = [
        ("source", None),
        ("installed", Some((12, 13))),
        ("made", Some((14, 15))),
        ("packed", Some((101, 102))),
        ("packed/x", Some((101, 102))),
        ("packed/l", Some((101, 102))),
        ("t.tar", None),
    ];
    assert_owners(&ledger, directory.path(), &expected);
    let mode = fs::metadata(directory.path().join("installed"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o7777, 0o4755);
}

#[test]
fn a_change_of_owner_takes_the_set_id_bits_as_the_kernel_does() {
    let (directory, ledger) = as_root("echo 1 > a; chmod 6755 a; chown 1 a");
    let mode = fs::metadata(directory.path().join("a")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_owners(&ledger, directory.path(), &[("a", Some((1, 0)))]);
}

#[test]
fn a_new_file_in_the_place_of_an_old_one_has_no_owner_yet() {
    let directory = directory();
    // In one process, and thus within one tick of a file system's clock. Most give a number away again as soon as it is
    // free; until then even the time of birth may be the same, so the number must not become free so soon.
    let path = directory.path().join("f");
    let make = |content: &str| {
        fs::write(&path, content).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        (inode, FileIdentity::of(&path).unwrap())
    };
    let (rounds, ledger) = supervised(supervision(0, 0), || {
        let round = |_| {
            let old = make("old");
            std::os::unix::fs::chown(&path, Some(77), Some(77)).unwrap();
            fs::remove_file(&path).unwrap();
            let new = make("new");
            fs::remove_file(&path).unwrap();
            (old, new)
        };
        (0..100).map(round).collect::<Vec<_>>()
    });
    for ((old_inode, old), (new_inode, new)) in rounds {
        assert_eq!(ledger.owner(&old), Some(Owner { uid: 77, gid: 77 }));
        assert_eq!(ledger.owner(&new), None, "{old:?} {new:?}");
        assert_ne!(old_inode, new_inode);
    }
}

#[test]
fn names_do_not_matter_to_a_record() {
    let (directory, ledger) = as_root(
        "echo 1 > a; chown 3:4 a; mv a b; ln b c; mkdir d; mv c d/c; touch stale; chown 9 stale; rm stale",
    );
    let expected = [("b", Some((3, 4))), ("d/c", Some((3, 4))), ("d", None)];
    assert_owners(&ledger, directory.path(), &expected);
}

#[test]
fn the_builders_files_keep_their_owner_under_a_new_name() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    for name in ["moved", "linked", "kept", "swapped", "recorded"] {
        fs::write(at(name), name).unwrap();
    }
    fs::set_permissions(at("moved"), PermissionsExt::from_mode(0o4755)).unwrap();
    symlink("nowhere", at("link")).unwrap();
    let prefix = directory.path().to_str().unwrap().as_bytes()[1..].to_owned();
    let names = ["moved", "linked", "kept", "swapped", "recorded", "link"];
    let supervision = Supervision {
        base: Box::new(move |path| {
            let name = path.strip_prefix(prefix.as_slice())?.strip_prefix(b"/")?;
            let known = names.iter().any(|known| known.as_bytes() == name);
            known.then_some(Owner { uid: 21, gid: 22 })
        }),
        ..supervision(0, 0)
    };
    let script = "mv moved new; ln linked second; mv link link2; echo 1 > fresh; chown 8 recorded
        mv recorded third; chgrp 23 kept
        python3 -c 'import ctypes; c = ctypes.CDLL(None); assert c.renameat2(-100, b\"fresh\", -100, b\"swapped\", 2) == 0'";
    let ((), ledger) = supervised(supervision, || {
        sh(directory.path(), script);
    });
    let expected = [
        ("new", Some((21, 22))),
        ("linked", Some((21, 22))),
        ("second", Some((21, 22))),
        ("link2", Some((21, 22))),
        ("third", Some((8, 22))),
        ("kept", Some((21, 23))),
        // They changed places.
        ("fresh", Some((21, 22))),
        ("swapped", None),
    ];
    assert_owners(&ledger, directory.path(), &expected);
    let mode = fs::metadata(at("new")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o4755, "a new name takes no set-id bits");
}

#[test]
fn devices_become_records_of_empty_files() {
    let (directory, ledger) = as_root(
        "umask 027; mknod null c 1 3; mknod -m 660 disk b 8 4097; mknod pipe p; mkdir dev; cd dev; mknod zero c 1 5
         mv zero one; ! mknod one c 1 5 2> /dev/null; chown 0:6 one",
    );
    let device = |name: &str| {
        let path = directory.path().join(name);
        let metadata = path.symlink_metadata().unwrap();
        assert!(metadata.is_file() && metadata.len() == 0, "{name}");
        let device = ledger.device(&FileIdentity::of(&path).unwrap()).unwrap();
        (
            device.is_block,
            device.major,
            device.minor,
            metadata.mode() & 0o7777,
        )
    };
    assert_eq!(device("null"), (false, 1, 3, 0o640));
    assert_eq!(device("disk"), (true, 8, 4097, 0o660));
    assert_eq!(device("dev/one"), (false, 1, 5, 0o640));
    let expected = [
        ("null", Some((0, 0))),
        ("dev/one", Some((0, 6))),
        ("pipe", None),
    ];
    assert_owners(&ledger, directory.path(), &expected);
    assert_eq!(ledger.devices().count(), 3);
}

#[test]
fn another_user_than_root_gives_nothing_away() {
    let directory = directory();
    let path = directory.path();
    let step = Supervision {
        identity: Credentials {
            uid: 1001,
            gid: 100,
            groups: vec![200],
        },
        ..supervision(0, 0)
    };
    let (results, ledger) = supervised(step, || {
        let file = path.join("f");
        fs::write(&file, "").unwrap();
        let chown =
            |uid, gid| std::os::unix::fs::chown(&file, uid, gid).map_err(|e| e.raw_os_error());
        [
            chown(Some(0), None),
            chown(None, Some(300)),
            chown(Some(1001), Some(200)),
            chown(Some(1001), Some(100)),
            chown(None, None),
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path.join("null"),
                rustix::fs::FileType::CharacterDevice,
                Mode::from_raw_mode(0o666),
                rustix::fs::makedev(1, 3),
            )
            .map_err(|errno| Some(errno.raw_os_error())),
        ]
    });
    let denied = Err(Some(libc::EPERM));
    assert_eq!(results, [denied, denied, Ok(()), Ok(()), Ok(()), denied]);
    assert_owners(&ledger, path, &[("f", Some((1001, 100)))]);
    assert!(!path.join("null").exists());
}

#[test]
fn what_is_not_of_the_layer_is_changed_for_show() {
    let (_directory, ledger) = as_root(
        "ln -s /dev/stdout log; chown 1 /dev/stdout; chown 1 log; chown 1 /dev/null; chown 1 /proc/version
         exec 3> opened; chown 2 /proc/self/fd/3; exec 3>&-; ! chown 1 missing 2> /dev/null
         ln -s log log2; chown 1 log2; ln -s loop loop; ! chown 1 loop 2> /dev/null",
    );
    // The descriptor's file alone.
    let owners: Vec<Owner> = ledger.owners().map(|(_, owner)| owner).collect();
    assert_eq!(owners, [Owner { uid: 2, gid: 0 }]);
}

#[test]
fn every_way_to_name_a_file_is_understood() {
    let directory = directory();
    let script = r#"
import os, ctypes
c = ctypes.CDLL(None, use_errno=True)
def fails(errno, result): assert result == -1 and ctypes.get_errno() == errno, (errno, result, ctypes.get_errno())
for name in 'abcdefg': open(name, 'w').close()
os.mkdir('sub'); open('sub/x', 'w').close()
at, EMPTY, NOFOLLOW, CWD = c.fchownat, 0x1000, 0x100, -100
d = os.open('sub', os.O_RDONLY)
os.chown('a', 1, 1)
os.chown(os.path.abspath('b'), 2, 2)
os.chown('sub/../sub/../c', 3, 3)
os.fchown(os.open('d', os.O_RDONLY), 4, 4)
os.chown('x', 5, 5, dir_fd=d)
assert at(os.open('e', os.O_PATH), b'', 6, 6, EMPTY) == 0
os.chdir('sub'); os.chown('../f', 7, 7); os.chown('.', 8, 8); os.chdir('..')
os.symlink('g', 'l'); os.lchown('l', 9, 9); os.chown('l', 10, 10)
fails(2, at(CWD, b'', 1, 1, 0))
fails(9, at(77, b'x', 1, 1, 0))
fails(9, c.fchown(-1, 1, 1))
fails(22, at(CWD, b'a', 1, 1, 0x8000))
fails(20, at(CWD, b'a/b', 1, 1, 0))
fails(20, at(os.open('a', os.O_RDONLY), b'b', 1, 1, 0))
fails(36, at(CWD, b'x' * 5000, 1, 1, 0))
fails(36, at(CWD, b'x' * 300, 1, 1, 0))
for address in (0, 8, -1, -4096, 1 << 62, 0x7fffffffffff):
    fails(14, at(CWD, ctypes.c_void_p(address), 1, 1, 0))
fails(14, c.chown(ctypes.c_void_p(1), 1, 1))
fails(1, c.setgroups(2, ctypes.c_void_p(0))) if False else fails(14, c.setgroups(2, ctypes.c_void_p(8)))
"#;
    let ((), ledger) = supervised(supervision(0, 0), || {
        run("python3", &["-c", script], directory.path());
    });
    let names = ["a", "b", "c", "d", "sub/x", "e", "f", "sub", "l", "g"];
    let expected: Vec<_> = (1..)
        .zip(names)
        .map(|(id, name)| (name, Some((id, id))))
        .collect();
    assert_owners(&ledger, directory.path(), &expected);
}

#[test]
fn a_path_may_end_with_its_page() {
    let directory = directory();
    fs::write(directory.path().join("end"), "").unwrap();
    // The page behind the text is not there.
    let script = "import mmap, ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n\
        m = mmap.mmap(-1, 8192); base = ctypes.addressof(ctypes.c_char.from_buffer(m))\n\
        assert libc.munmap(ctypes.c_void_p(base + 4096), 4096) == 0\n\
        m[4092:4096] = b'end\\0'\n\
        assert libc.chown(ctypes.c_void_p(base + 4092), 5, 5) == 0\n\
        m[4092:4096] = b'endx'\n\
        assert libc.chown(ctypes.c_void_p(base + 4092), 6, 6) == -1 and ctypes.get_errno() == 14\n\
        import os; os._exit(0)";
    let ((), ledger) = supervised(supervision(0, 0), || {
        run("python3", &["-c", script], directory.path());
    });
    assert_owners(&ledger, directory.path(), &[("end", Some((5, 5)))]);
}

#[test]
fn a_task_that_dies_in_its_call_disturbs_nobody() {
    let (directory, ledger) = as_root(
        "echo 1 > a; echo 1 > b
         for i in 1 2 3 4 5 6 7 8 9 10; do
             sh -c 'while :; do chown 1 a; done' & victim=$!
             sleep 0.02; kill -9 $victim
         done 2> /dev/null
         wait || true; timeout -s KILL 0.3 python3 -c 'import os
while True: os.chown(\"a\", 1, 1)' || true
         chown 2:2 b",
    );
    assert_owners(&ledger, directory.path(), &[("b", Some((2, 2)))]);
}

#[test]
fn a_child_that_changed_its_root_is_followed_there() {
    if !rustix::process::geteuid().is_root() {
        return skipped("chroot is for root");
    }
    let directory = directory();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("d")).unwrap();
    fs::create_dir_all(directory.path().join("outside")).unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    fs::write(root.join("file"), "").unwrap();
    fs::write(root.join("d/inner"), "").unwrap();
    // Each would lead out, but for the changed root.
    symlink("/file", root.join("d/absolute")).unwrap();
    symlink("../../../../file", root.join("d/up")).unwrap();
    let script = "import os; os.chroot('root'); os.chdir('/d'); os.chown('/d/inner', 1, 1); os.chown('absolute', 2, -1)\n\
        os.chown('up', -1, 3); os.chown('../../..', 4, 4); os.chown('/../d/../d', 5, 5)";
    let ((), ledger) = supervised(supervision(0, 0), || {
        run("python3", &["-c", script], directory.path());
    });
    let expected = [
        ("root/d/inner", Some((1, 1))),
        ("root/file", Some((2, 3))),
        ("root", Some((4, 4))),
        ("root/d", Some((5, 5))),
        ("file", None),
        ("outside", None),
    ];
    assert_owners(&ledger, directory.path(), &expected);
}

#[test]
fn a_ledger_survives_being_written_down() {
    let (_directory, ledger) = as_root("echo 1 > a; chown 3:4 a; mknod b c 1 3");
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    assert_eq!(ledger.owners().count(), 2, "{text}");
    assert!(text.starts_with("{\"owners\":[[{\"device\":"), "{text}");
}

#[test]
fn a_second_listener_is_refused() {
    let (error, _) = supervised(supervision(0, 0), || {
        let numbers = numbers(false);
        sys::install_listener(&numbers)
            .map(drop)
            .unwrap_err()
            .raw_os_error()
    });
    assert_eq!(error, Some(libc::EBUSY));
    // Without one, the same calls are the kernel's own.
    assert_eq!(
        call(libc::SYS_fchown, [u64::MAX, 0, 0, 0, 0, 0]),
        Err(Errno::BADF)
    );
}
