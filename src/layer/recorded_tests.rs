use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::tests::Tar;
use super::*;
use crate::digest::Digest;
use crate::event::Silent;
use crate::layer::owners::Device;

/// Applies with recorded owners; gives the list and the directory.
fn apply_recorded(tar: Tar) -> (tempfile::TempDir, OwnerList) {
    let bytes = tar.bytes();
    let root = tempfile::tempdir().unwrap();
    let report = apply(
        &bytes[..],
        Compression::None,
        &DiffId(Digest::of(&bytes)),
        root.path(),
        Ownership::Recorded,
        &Silent,
    )
    .unwrap();
    (root, report.owners)
}

/// Sets owner, mode and device numbers of the member that was added last.
fn as_owned(tar: Tar, at: usize, uid: u64, gid: u64, mode: u32, minor: u32) -> Tar {
    let mut bytes = tar.0;
    let header: &mut [u8; 512] = (&mut bytes[at..at + 512]).try_into().unwrap();
    let mut changed = tar::Header::from_byte_slice(header).clone();
    changed.set_uid(uid);
    changed.set_gid(gid);
    changed.set_mode(mode);
    changed.as_ustar_mut().unwrap().set_device_major(1);
    changed.as_ustar_mut().unwrap().set_device_minor(minor);
    changed.set_cksum();
    header.copy_from_slice(changed.as_bytes());
    Tar(bytes)
}

fn owned(tar: Tar, add: impl Fn(Tar) -> Tar, uid: u64, gid: u64, mode: u32) -> Tar {
    let at = tar.0.len();
    as_owned(add(tar), at, uid, gid, mode, 3)
}

fn path(name: &str) -> EntryPath {
    EntryPath::parse(name.as_bytes()).unwrap()
}

#[test]
fn owners_are_recorded_by_the_paths_that_files_have_on_disk() {
    let tar = owned(Tar::default(), |tar| tar.directory("./"), 4, 5, 0o755);
    let tar = owned(tar, |tar| tar.directory("run/"), 0, 7, 0o755);
    let tar = owned(tar, |tar| tar.directory("var/"), 0, 0, 0o755);
    let tar = owned(tar, |tar| tar.symlink("var/run", "/run"), 8, 8, 0o777);
    let tar = owned(tar, |tar| tar.symlink("a", "var/../var/run/."), 0, 0, 0o777);
    let tar = owned(tar, |tar| tar.file("a/pid", "1"), 9, 9, 0o600);
    let tar = owned(tar, |tar| tar.hard_link("linked", "a/pid"), 1, 1, 0o600);
    let tar = owned(tar, |tar| tar.file("twice", "1"), 9, 9, 0o600);
    let tar = owned(tar, |tar| tar.file("twice", "2"), 0, 0, 0o600);
    let tar = owned(tar, |tar| tar.file("bin/su", "2"), 3_000, 0, 0o6755);
    let (root, owners) = apply_recorded(tar);
    let ids = |name: &str| {
        let owned = owners.get(&path(name));
        (owned.uid, owned.gid)
    };
    assert_eq!(ids("."), (4, 5));
    assert_eq!(ids("run"), (0, 7));
    assert_eq!(ids("var/run"), (8, 8));
    assert_eq!(
        ids("run/pid"),
        (9, 9),
        "by its place, not by its name in the tar"
    );
    assert_eq!(ids("a/pid"), (0, 0));
    assert_eq!(ids("linked"), (9, 9), "one file has one owner");
    assert_eq!(ids("twice"), (0, 0), "the last member wins");
    assert_eq!(ids("bin/su"), (3_000, 0));
    assert_eq!(owners.len(), 6);
    let su = fs::metadata(root.path().join("bin/su")).unwrap();
    assert_eq!(su.permissions().mode() & 0o7777, 0o6755);
    assert_eq!(su.uid(), rustix::process::geteuid().as_raw());
}

fn capability() -> Vec<u8> {
    let mut value = vec![1, 0, 0, 2, 0, 0x20];
    value.resize(20, 0);
    value
}

/// A layer with all that an ordinary user cannot make.
fn privileged() -> Tar {
    let tar = owned(
        Tar::default(),
        |tar| tar.directory("closed/"),
        33,
        33,
        0o000,
    );
    let tar = owned(
        tar,
        |tar| tar.add(tar::EntryType::Char, "closed/null", "", b""),
        0,
        5,
        0o666,
    );
    let tar = owned(
        tar,
        |tar| tar.add(tar::EntryType::Block, "disk", "", b""),
        0,
        6,
        0o660,
    );
    let tar = tar.pax(&[
        (b"SCHILY.xattr.security.capability", &capability()),
        (b"SCHILY.xattr.user.note", b"1"),
    ]);
    owned(tar, |tar| tar.file("ping", "ping"), 0, 0, 0o444)
}

/// As a user who may do nothing, in no namespace.
#[test]
fn an_ordinary_user_records_owners_devices_and_capabilities() {
    if !rustix::process::geteuid().is_root() {
        child_applies_a_privileged_layer();
        return;
    }
    // Nobody, who needs no account; from a place where nobody may read the program.
    let place = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let test = "layer::apply::recorded_tests::child_applies_a_privileged_layer";
    for wrapper in [
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ][..],
        // Root of a namespace with one user; and with one user who is not called root.
        &["unshare", "--user", "--map-root-user"],
        &["unshare", "--user", "--map-user=1001"],
    ] {
        let output = Command::new(wrapper[0])
            .args(&wrapper[1..])
            .arg(&program)
            .args(["--ignored", "--exact", test])
            .env("TMPDIR", "/tmp")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{wrapper:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
#[ignore = "the half of another test that runs as an ordinary user"]
fn child_applies_a_privileged_layer() {
    let (root, owners) = apply_recorded(privileged());
    let null = owners.get(&path("closed/null"));
    assert_eq!(
        (null.gid, null.device),
        (5, Some(Device::Character { major: 1, minor: 3 }))
    );
    let disk = owners.get(&path("disk"));
    assert_eq!(disk.device, Some(Device::Block { major: 1, minor: 3 }));
    let placeholder = fs::symlink_metadata(root.path().join("disk")).unwrap();
    assert!(placeholder.is_file() && placeholder.len() == 0);
    assert_eq!(placeholder.permissions().mode() & 0o7777, 0o660);
    assert_eq!(owners.get(&path("closed")).uid, 33);
    // Set where the kernel lets root of a namespace do it, else recorded: never lost.
    let mut value = [0; 64];
    let name = root.path().join("ping");
    let is_set = rfs::lgetxattr(&name, "security.capability", &mut value).is_ok();
    let recorded = owners.get(&path("ping")).capability;
    assert_eq!(recorded, (!is_set).then(capability));
    let length = rfs::lgetxattr(&name, "user.note", &mut value).unwrap();
    assert_eq!(
        &value[..length],
        b"1",
        "a file that nobody may write has it too"
    );
    crate::fs::remove_tree(root.path()).unwrap();
}
