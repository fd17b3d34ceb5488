use std::fs as std_fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::super::BlobStore;
use super::*;
use crate::event::Silent;

struct Fixture {
    _place: tempfile::TempDir,
    store: BlobStore,
    lowers: Vec<PathBuf>,
    chain_id: Digest,
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std_fs::create_dir_all(path.parent().unwrap()).unwrap();
    std_fs::write(path, text).unwrap();
}

/// Two layers, topmost first; the upper one hides part of the lower one.
fn fixture() -> Fixture {
    let place = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&place.path().join("store")).unwrap();
    let [top, bottom] = ["top", "bottom"].map(|name| place.path().join(name));
    for name in ["etc/passwd", "etc/hidden", "usr/a/b/c", "usr/a/d", "gone/x"] {
        write(&bottom, name, "below");
    }
    std_fs::hard_link(bottom.join("etc/passwd"), bottom.join("etc/linked")).unwrap();
    std_fs::set_permissions(bottom.join("usr/a"), std_fs::Permissions::from_mode(0o2750)).unwrap();
    std::os::unix::fs::symlink("passwd", bottom.join("etc/link")).unwrap();
    write(&top, "usr/new", "above");
    write(&top, "etc/opaque/new", "above");
    write(&bottom, "etc/opaque/old", "below");
    let flags = rfs::XattrFlags::empty();
    rfs::setxattr(
        top.join("etc/opaque"),
        crate::layer::whiteout::OPAQUE_XATTR,
        b"y",
        flags,
    )
    .unwrap();
    for name in ["gone", "etc/hidden"] {
        let device = rfs::FileType::CharacterDevice;
        rfs::mknodat(rfs::CWD, top.join(name), device, rfs::Mode::empty(), 0).unwrap();
    }
    Fixture {
        _place: place,
        store,
        lowers: vec![top, bottom],
        chain_id: Digest::of(b"an image"),
    }
}

impl Fixture {
    fn lease(&self) -> Lease {
        Lease::take(
            &self.store,
            &self.lowers,
            &self.chain_id,
            "test",
            Ownership::Real,
            &Silent,
        )
        .unwrap()
    }
}

/// Every path with mode, time, names on disk and content.
fn listing(tree: &Path) -> Vec<String> {
    let walk = walkdir::WalkDir::new(tree).sort_by_file_name();
    walk.into_iter()
        .map(|file| {
            let file = file.unwrap();
            let metadata = file.path().symlink_metadata().unwrap();
            let names = if metadata.is_dir() {
                0
            } else {
                metadata.nlink()
            };
            let content = match metadata.is_file() {
                true => std_fs::read_to_string(file.path()).unwrap(),
                false => String::new(),
            };
            let path = file.path().strip_prefix(tree).unwrap().display();
            let (mode, time) = (metadata.mode(), metadata.modified().unwrap());
            format!("{path} {mode:o} {time:?} {names} {content}")
        })
        .collect()
}

fn names(tree: &Path) -> Vec<String> {
    let first = |line: &String| line.split(' ').next().unwrap().to_owned();
    listing(tree).iter().map(first).collect()
}

/// What a hostile or hasty step does: new files, changed ones, links where directories were.
fn ravage(tree: &Path) {
    write(tree, "new/deep/file", "step");
    // Sorts between `new` and what is in it.
    write(tree, "new-too/file", "step");
    write(tree, "etc/passwd", "step");
    std_fs::remove_dir_all(tree.join("usr/a")).unwrap();
    std::os::unix::fs::symlink("/etc", tree.join("usr/a")).unwrap();
    std_fs::remove_file(tree.join("etc/link")).unwrap();
    std_fs::create_dir(tree.join("etc/link")).unwrap();
    std_fs::hard_link(tree.join("usr/new"), tree.join("usr/again")).unwrap();
    std_fs::set_permissions(
        tree.join("etc/opaque"),
        std_fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    // Not by binding: a socket's path is short.
    let mode = rfs::Mode::from_raw_mode(0o600);
    rfs::mknodat(
        rfs::CWD,
        tree.join("etc/socket"),
        rfs::FileType::Socket,
        mode,
        0,
    )
    .unwrap();
    std_fs::set_permissions(tree, std_fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_tree_shows_what_overlay_would_and_breaks_hard_links() {
    let fixture = fixture();
    let lease = fixture.lease();
    let expected = [
        "",
        "etc",
        "etc/link",
        "etc/linked",
        "etc/opaque",
        "etc/opaque/new",
        "etc/passwd",
        "usr",
        "usr/a",
        "usr/a/b",
        "usr/a/b/c",
        "usr/a/d",
        "usr/new",
    ];
    assert_eq!(names(lease.tree()), expected);
    assert!(!lease.is_private());
    // T12 of rust-crates.md: over an overlay, too, a step that writes to one name changes one file.
    std_fs::write(lease.tree().join("etc/passwd"), "step").unwrap();
    let linked = std_fs::read_to_string(lease.tree().join("etc/linked")).unwrap();
    assert_eq!(linked, "below");
    let below = std_fs::read_to_string(fixture.lowers[1].join("etc/passwd")).unwrap();
    assert_eq!(below, "below", "the layer itself is never written to");
    let mode = std_fs::metadata(lease.tree().join("usr/a")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o2750);
}

#[test]
fn a_tree_is_made_once_and_put_right_after_each_step() {
    let fixture = fixture();
    let lease = fixture.lease();
    let whole = listing(lease.tree());
    let untouched = std_fs::metadata(lease.tree().join("usr/a/d"))
        .unwrap()
        .ino();
    write(lease.tree(), "etc/passwd", "step");
    lease.restore(&Silent).unwrap();
    let lease = fixture.lease();
    assert_eq!(listing(lease.tree()), whole);
    let now = std_fs::metadata(lease.tree().join("usr/a/d"))
        .unwrap()
        .ino();
    assert_eq!(
        now, untouched,
        "nothing is copied again but what was changed"
    );
    ravage(lease.tree());
    lease.restore(&Silent).unwrap();
    let lease = fixture.lease();
    assert_eq!(listing(lease.tree()), whole);
    let taken = Snapshot::look(lease.tree(), &[], Contents::Listed, &Silent).unwrap();
    assert_eq!(&taken, lease.snapshot(), "the snapshot is of this tree");
}

#[test]
fn what_a_killed_build_left_is_put_right_by_the_next() {
    let fixture = fixture();
    let lease = fixture.lease();
    let (whole, tree) = (listing(lease.tree()), lease.tree().to_owned());
    ravage(&tree);
    // The lock goes with the process; nothing else does.
    drop(lease);
    let lease = fixture.lease();
    assert_eq!(listing(lease.tree()), whole);
    drop(lease);
    // Whatever became of the snapshot, the tree can be made again.
    for damage in [&b""[..], b"overcoat snapshot 1\nnonsense"] {
        std_fs::write(tree.with_file_name("snapshot"), damage).unwrap();
        write(&tree, "etc/passwd", "step");
        assert_eq!(listing(fixture.lease().tree()).len(), whole.len());
        let passwd = std_fs::read_to_string(tree.join("etc/passwd")).unwrap();
        assert_eq!(passwd, "below");
    }
    std_fs::remove_dir_all(&tree).unwrap();
    assert_eq!(names(fixture.lease().tree()).len(), whole.len());
}

#[test]
fn builds_side_by_side_do_not_share_a_tree() {
    let fixture = fixture();
    let first = fixture.lease();
    let second = fixture.lease();
    assert_ne!(first.tree(), second.tree());
    assert!(second.is_private() && !first.is_private());
    assert_eq!(names(first.tree()), names(second.tree()));
    write(second.tree(), "etc/passwd", "second");
    write(first.tree(), "etc/passwd", "first");
    let private = second.tree().to_owned();
    second.restore(&Silent).unwrap();
    assert!(!private.exists());
    let kept = std_fs::read_to_string(first.tree().join("etc/passwd")).unwrap();
    assert_eq!(kept, "first");
    first.restore(&Silent).unwrap();
    assert!(!fixture.lease().is_private());
}

#[test]
fn nothing_is_removed_through_a_mount_in_the_tree() {
    if !rustix::process::geteuid().is_root() {
        return crate::skip_tests::skip(
            "nothing_is_removed_through_a_mount_in_the_tree",
            "needs root",
        );
    }
    let fixture = fixture();
    let lease = fixture.lease();
    let tree = lease.tree().to_owned();
    drop(lease);
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "precious", "untouched");
    std_fs::create_dir(tree.join("mnt")).unwrap();
    let mut command = super::super::test_steps::unshared();
    command.args([
        "sh",
        "-c",
        "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"",
    ]);
    command.args([outside.path(), &tree.join("mnt")]);
    let mut command =
        super::super::test_steps::child(command, "store::merged::tests::child_repairs_a_tree");
    let output = command.env("OVERCOAT_TEST_TREE", &tree).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("was refused"),
        "{text}"
    );
    assert!(outside.path().join("precious").exists());
}

#[test]
#[ignore = "the half of another test that runs with mounts of its own"]
#[expect(clippy::print_stdout, reason = "the other half reads it")]
fn child_repairs_a_tree() {
    let Some(tree) = std::env::var_os("OVERCOAT_TEST_TREE") else {
        return;
    };
    let tree = PathBuf::from(tree);
    let saved = saved(tree.parent().unwrap()).unwrap();
    let error = repair(&tree, saved, &[], &Silent).unwrap_err();
    assert!(
        error.to_string().contains("something is mounted at"),
        "{error}"
    );
    println!("it was refused");
}
