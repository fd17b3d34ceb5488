use std::fs;
use std::time::Duration;

use super::*;
use crate::event::Silent;
use crate::source::{Rules, local};

/// Long after anything in these tests was written, so that every file has rested.
fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(20_000_000_000)
}

fn contents(root: &Path, cache: Option<&Path>, now: SystemTime) -> Contents {
    let tree = local::read(root, &Rules::default(), &Silent).unwrap();
    Contents::read(&tree, cache, now, 3, &Silent).unwrap()
}

#[test]
fn every_kind_of_change_is_another_digest() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("a"), "x").unwrap();
    fs::create_dir(root.join("d")).unwrap();
    let mut seen = vec![contents(root, None, later()).tree().clone()];
    let mut step = |what: &str, change: &dyn Fn()| {
        change();
        let digest = contents(root, None, later()).tree().clone();
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    step("content", &|| fs::write(root.join("a"), "y").unwrap());
    step("a file more", &|| fs::write(root.join("b"), "").unwrap());
    step("a name", &|| {
        fs::rename(root.join("b"), root.join("d/b")).unwrap()
    });
    step("executable", &|| {
        fs::set_permissions(root.join("a"), fs::Permissions::clone(&executable)).unwrap()
    });
    step("a link", &|| {
        std::os::unix::fs::symlink("a", root.join("l")).unwrap()
    });
    step("its target", &|| {
        fs::remove_file(root.join("l")).unwrap();
        std::os::unix::fs::symlink("b", root.join("l")).unwrap();
    });
    step("a file where the link was", &|| {
        fs::remove_file(root.join("l")).unwrap();
        fs::write(root.join("l"), "b").unwrap();
    });
}

#[test]
fn what_is_remembered_gives_the_same_digests_and_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("source");
    fs::create_dir(&root).unwrap();
    for number in 0..700 {
        fs::write(root.join(format!("f{number}")), number.to_string()).unwrap();
    }
    let cache = directory.path().join("cache/digests");
    let first = contents(&root, Some(&cache), later());
    // Proof that a remembered digest is used: one that is wrong comes back.
    let mut known = load(&cache);
    assert_eq!(known.len(), 700);
    known.get_mut(&b"f7"[..]).unwrap().digest = [7; 32];
    store(&cache, &known).unwrap();
    let second = contents(&root, Some(&cache), later());
    assert_ne!(first.tree(), second.tree());
    assert_eq!(first.entries()[&b"f8"[..]], second.entries()[&b"f8"[..]]);
    fs::remove_file(&cache).unwrap();
    assert_eq!(contents(&root, Some(&cache), later()).tree(), first.tree());
}

/// Two edits within one tick of the clock leave size and times as they were; a file that was young when it was read is
/// therefore read again.
#[test]
fn a_file_that_had_not_rested_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("source");
    fs::create_dir(&root).unwrap();
    let file = root.join("app.py");
    let cache = directory.path().join("digests");
    fs::write(&file, "a = 1").unwrap();
    let metadata = fs::metadata(&file).unwrap();
    let written = SystemTime::UNIX_EPOCH
        + Duration::new(metadata.ctime() as u64, metadata.ctime_nsec() as u32);
    let first = contents(&root, Some(&cache), written);
    // The same length and, made so by hand, the same times: what an edit within the same tick looks like.
    fs::write(&file, "a = 2").unwrap();
    let mut known = load(&cache);
    known.get_mut(&b"app.py"[..]).unwrap().signature = Signature::of(&fs::metadata(&file).unwrap());
    store(&cache, &known).unwrap();
    let second = contents(&root, Some(&cache), written);
    assert_ne!(first.tree(), second.tree());
}

#[test]
fn a_damaged_memory_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("source");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), "x").unwrap();
    let cache = directory.path().join("digests");
    let expected = contents(&root, Some(&cache), later()).tree().clone();
    let bytes = fs::read(&cache).unwrap();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1;
        fs::write(&cache, &damaged).unwrap();
        assert_eq!(load(&cache), BTreeMap::new(), "byte {position}");
        fs::write(&cache, &bytes[..position]).unwrap();
        assert_eq!(load(&cache), BTreeMap::new(), "cut at {position}");
    }
    assert_eq!(*contents(&root, Some(&cache), later()).tree(), expected);
}

#[test]
fn an_edit_after_reading_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "x").unwrap();
    let tree = local::read(directory.path(), &Rules::default(), &Silent).unwrap();
    let contents = Contents::read(&tree, None, later(), 1, &Silent).unwrap();
    contents.still_holds(&tree).unwrap();
    fs::write(directory.path().join("a"), "yy").unwrap();
    let error = contents.still_holds(&tree).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error}");
}
