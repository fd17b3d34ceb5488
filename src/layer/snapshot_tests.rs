use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::event::Silent;

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("a/deep")).unwrap();
    fs::create_dir(tree.path().join("a-b")).unwrap();
    fs::write(tree.path().join("a/deep/file"), "content").unwrap();
    fs::write(tree.path().join("a/file"), "content").unwrap();
    std::os::unix::fs::symlink("file", tree.path().join("a/link")).unwrap();
    std::os::unix::net::UnixListener::bind(tree.path().join("socket")).unwrap();
    tree
}

#[test]
fn a_snapshot_comes_back_from_its_bytes() {
    let tree = tree();
    for contents in [Contents::Listed, Contents::Hashed] {
        let snapshot = Snapshot::look(tree.path(), &[path("a-b")], contents, &Silent).unwrap();
        assert_eq!(snapshot.records().len(), 7, "{snapshot:?}");
        let bytes = snapshot.to_bytes();
        assert_eq!(Snapshot::parse(&bytes).unwrap(), snapshot);
        for place in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Snapshot::parse(&damaged), Err(Damaged), "byte {place}");
            assert_eq!(Snapshot::parse(&bytes[..place]), Err(Damaged));
        }
    }
}

#[test]
fn every_kind_of_change_shows_and_nothing_else() {
    let tree = tree();
    let file = tree.path().join("a/file");
    let take = || Snapshot::take(tree.path(), &[], Contents::Listed, &Silent).unwrap();
    let differing = |before: &Snapshot| -> Vec<String> {
        take()
            .records()
            .iter()
            .filter(|(path, record)| !before.get(path).is_some_and(|old| old.is_same(record)))
            .map(|(path, _)| path.to_string())
            .collect()
    };
    let before = take();
    assert_eq!(differing(&before), Vec::<String>::new());
    let times = fs::metadata(&file).unwrap().modified().unwrap();
    // A program may put size and time back, as if nothing had been.
    fs::write(&file, "CONTENT").unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(times)
        .unwrap();
    assert_eq!(differing(&before), ["/a/file"]);
    let before = take();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(differing(&before), ["/a/file"], "the same mode, set again");
    let before = take();
    fs::rename(tree.path().join("a/deep"), tree.path().join("a/other")).unwrap();
    assert_eq!(differing(&before), ["/a", "/a/other", "/a/other/file"]);
}

#[test]
fn a_snapshot_with_contents_answers_what_was_there() {
    let tree = tree();
    let listed = Snapshot::look(tree.path(), &[], Contents::Listed, &Silent).unwrap();
    assert!(listed.as_before().is_none());
    let hashed = Snapshot::look(tree.path(), &[], Contents::Hashed, &Silent).unwrap();
    let before = hashed.as_before().unwrap();
    let names = |of: &str| -> Vec<String> {
        let names = before.names(&path(of)).unwrap().into_iter();
        names.map(|name| String::from_utf8(name).unwrap()).collect()
    };
    assert_eq!(names("a"), ["deep", "file", "link"]);
    assert_eq!(names("."), ["a", "a-b", "socket"]);
    assert_eq!(names("a/file"), Vec::<String>::new());
    let found = before.find(&path("a/file")).unwrap().unwrap();
    assert_eq!(found.entry.kind, Kind::File { size: 7 });
    let Content::Digest(digest) = found.content else {
        panic!("{found:?}");
    };
    assert_eq!(digest, Digest::of(b"content"));
    assert!(before.find(&path("socket")).unwrap().is_none());
}

#[test]
fn what_is_mounted_or_skipped_is_covered() {
    let tree = tree();
    let snapshot = Snapshot::look(tree.path(), &[path("a")], Contents::Listed, &Silent).unwrap();
    assert!(snapshot.get(&path("a/file")).is_none());
    assert!(snapshot.is_covered(&path("a/file")) && snapshot.is_covered(&path("a")));
    assert!(!snapshot.is_covered(&path("a-b")));
    // `/proc` is a mount point on every machine that has it.
    let skip: Vec<EntryPath> = fs::read_dir("/")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "proc")
        .map(|name| path(name.to_str().unwrap()))
        .collect();
    let root = Snapshot::look(Path::new("/"), &skip, Contents::Listed, &Silent).unwrap();
    assert_eq!(root.records().len(), 1, "only the root itself");
    assert!(root.is_covered(&path("proc/1")));
}

/// A file that is made when another is removed may get its inode number.
#[test]
fn an_inode_number_that_is_used_again_is_another_file() {
    let tree = tree();
    let snapshot = Snapshot::look(tree.path(), &[], Contents::Listed, &Silent).unwrap();
    let mut record = snapshot.get(&path("a/file")).unwrap().clone();
    let metadata = fs::symlink_metadata(tree.path().join("a/file")).unwrap();
    assert!(record.is_same_inode(&metadata));
    let born = record
        .born
        .expect("this file system knows when files were made");
    record.born = Some(born - 1);
    assert!(!record.is_same_inode(&metadata));
    record.born = None;
    assert!(record.is_same_inode(&metadata), "the number has to do");
}
