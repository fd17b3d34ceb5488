//! Taking back what was copied.

use super::*;
use std::fs;

fn placed(path: &str, kept: Option<&str>) -> Placed {
    Placed {
        path: path.as_bytes().to_vec(),
        kept: kept.map(|name| name.as_bytes().to_vec()),
    }
}

#[test]
fn what_was_put_there_goes_and_what_was_there_before_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("etc/sub")).unwrap();
    for (name, text) in [
        ("new", "secret"),
        ("old", "secret"),
        (".kept-1", "first"),
        (".kept-2", "other secret"),
    ] {
        fs::write(root.join("etc").join(name), text).unwrap();
    }
    let list = [
        placed("etc/new", None),
        placed("etc/old", Some(".kept-1")),
        // The same place once more.
        placed("etc/old", Some(".kept-2")),
        placed("gone/with/its/directory", None),
        placed("etc/removed-by-the-step", None),
    ];
    take_back(root, &list).unwrap();
    let mut names: Vec<_> = fs::read_dir(root.join("etc"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["old", "sub"]);
    assert_eq!(fs::read_to_string(root.join("etc/old")).unwrap(), "first");
}

#[test]
fn what_cannot_be_taken_back_is_said_and_the_rest_goes_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("secret"), "x").unwrap();
    fs::create_dir(root.join("replaced")).unwrap();
    let error = take_back(root, &[placed("secret", None), placed("replaced", None)]).unwrap_err();
    assert!(error.to_string().contains("replaced"), "{error}");
    assert!(!root.join("secret").exists());
}

#[test]
fn a_link_that_the_step_made_leads_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let (root, outside) = (
        directory.path().join("root"),
        directory.path().join("outside"),
    );
    fs::create_dir_all(&root).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("file"), "mine").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("dir")).unwrap();
    take_back(&root, &[placed("dir/file", None)]).unwrap();
    assert!(outside.join("file").exists());
}
