//! Files written all or none, on a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use super::*;

fn edit_of(path: &Path, after: &str) -> Edited {
    Edited {
        path: path.to_owned(),
        before: fs::read_to_string(path).unwrap(),
        after: after.to_owned(),
    }
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let names = crate::fs::list(directory).unwrap().into_iter();
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn permissions_owner_and_links_stay_and_files_that_do_not_change_are_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("real")).unwrap();
    for (name, mode) in [
        ("real/a.yaml", 0o604),
        ("b.yaml", 0o440),
        ("same.yaml", 0o644),
    ] {
        fs::write(at(name), name).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let is_root = fs::metadata(at("b.yaml")).unwrap().uid() == 0;
    if is_root {
        chown(at("b.yaml"), Some(4242), Some(4343)).unwrap();
    }
    let owner = |name: &str| {
        let metadata = fs::metadata(at(name)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    let before = (owner("real/a.yaml"), owner("b.yaml"));
    symlink("real/a.yaml", at("link.yaml")).unwrap();
    symlink(at("link.yaml"), at("link of a link.yaml")).unwrap();
    let same = fs::metadata(at("same.yaml")).unwrap();
    let edits = [
        edit_of(&at("link of a link.yaml"), "A"),
        edit_of(&at("b.yaml"), "B"),
        edit_of(&at("same.yaml"), "same.yaml"),
    ];
    apply_all(&edits).unwrap();
    assert_eq!(fs::read_to_string(at("real/a.yaml")).unwrap(), "A");
    assert_eq!(fs::read_to_string(at("b.yaml")).unwrap(), "B");
    assert!(at("link.yaml").is_symlink() && at("link of a link.yaml").is_symlink());
    assert_eq!((owner("real/a.yaml"), owner("b.yaml")), before);
    let now = fs::metadata(at("same.yaml")).unwrap();
    assert_eq!(
        (now.ino(), now.mtime(), now.mtime_nsec()),
        (same.ino(), same.mtime(), same.mtime_nsec())
    );
    assert_eq!(
        names(directory.path()),
        [
            "b.yaml",
            "link of a link.yaml",
            "link.yaml",
            "real",
            "same.yaml"
        ]
    );
    assert_eq!(names(&at("real")), ["a.yaml"]);
}

#[test]
fn nothing_changes_when_one_file_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["a.yaml", "b.yaml"] {
        fs::write(at(name), name).unwrap();
    }
    let edits = [edit_of(&at("a.yaml"), "A"), edit_of(&at("b.yaml"), "B")];
    // Somebody else was faster.
    fs::write(at("b.yaml"), "other").unwrap();
    let error = apply_all(&edits).unwrap_err();
    assert!(
        matches!(&error, Error::Changed { path } if *path == at("b.yaml")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(at("a.yaml")).unwrap(), "a.yaml");
    assert_eq!(names(directory.path()), ["a.yaml", "b.yaml"]);
    // One is gone.
    fs::remove_file(at("b.yaml")).unwrap();
    assert!(matches!(apply_all(&edits), Err(Error::File(_))));
    assert_eq!(fs::read_to_string(at("a.yaml")).unwrap(), "a.yaml");
    // The neighbour cannot be written, for its name is taken by a directory.
    fs::write(at("b.yaml"), "b.yaml").unwrap();
    fs::create_dir(at(".b.yaml.overcoat-new")).unwrap();
    assert!(matches!(apply_all(&edits), Err(Error::File(_))));
    assert_eq!(fs::read_to_string(at("a.yaml")).unwrap(), "a.yaml");
    assert_eq!(
        names(directory.path()),
        [".b.yaml.overcoat-new", "a.yaml", "b.yaml"]
    );
    // One file under two names cannot have two new texts.
    fs::remove_dir(at(".b.yaml.overcoat-new")).unwrap();
    symlink("a.yaml", at("c.yaml")).unwrap();
    let twice = [edit_of(&at("a.yaml"), "A"), edit_of(&at("c.yaml"), "C")];
    assert!(matches!(apply_all(&twice), Err(Error::Changed { .. })));
    assert_eq!(fs::read_to_string(at("a.yaml")).unwrap(), "a.yaml");
}

#[test]
fn what_a_killed_process_left_is_cleared_and_the_same_edits_complete() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["a.yaml", "b.yaml"] {
        fs::write(at(name), name).unwrap();
    }
    // As if killed between the two: the first is new already, the neighbour of the second is half written.
    fs::write(at("a.yaml"), "A").unwrap();
    fs::write(at(".b.yaml.overcoat-new"), "h").unwrap();
    apply_all(&[edit_of(&at("a.yaml"), "A"), edit_of(&at("b.yaml"), "B")]).unwrap();
    assert_eq!(fs::read_to_string(at("b.yaml")).unwrap(), "B");
    assert_eq!(names(directory.path()), ["a.yaml", "b.yaml"]);
}

#[test]
fn two_at_once_never_lose_an_edit_silently() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("x")).unwrap();
    fs::create_dir_all(at("y")).unwrap();
    for name in ["x/a.yaml", "y/b.yaml"] {
        fs::write(at(name), "0").unwrap();
    }
    let (a, b) = (at("x/a.yaml"), at("y/b.yaml"));
    let threads: Vec<_> = (1..=8)
        .map(|number: u32| {
            let edits = [
                edit_of(&a, &number.to_string()),
                edit_of(&b, &number.to_string()),
            ];
            // In both orders, so that they would wait for each other if they could.
            let edits = if number.is_multiple_of(2) {
                edits
            } else {
                let [a, b] = edits;
                [b, a]
            };
            std::thread::spawn(move || apply_all(&edits).is_ok())
        })
        .collect();
    let done = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .filter(|ok| *ok)
        .count();
    assert_eq!(done, 1, "all began from the same text");
    assert_eq!(
        fs::read_to_string(&a).unwrap(),
        fs::read_to_string(&b).unwrap()
    );
}
