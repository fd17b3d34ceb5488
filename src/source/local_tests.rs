//! What is listed of a directory, by which rules.

use std::os::unix::fs::symlink;

use super::*;
use crate::event::Silent;

fn tree(fill: impl Fn(&Path)) -> (tempfile::TempDir, Result<SourceTree, Error>) {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let tree = read(directory.path(), &Rules::default(), &Silent);
    (directory, tree)
}

#[test]
fn everything_but_git_is_listed_in_order() {
    let (_directory, tree) = tree(|root| {
        for name in [
            ".git/HEAD",
            "app.py",
            "pkg/.git/x",
            "pkg/a.py",
            ".s2i/environment",
            ".hidden",
            ".gitignore",
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "A=1").unwrap();
        }
        symlink("/etc/passwd", root.join("link")).unwrap();
    });
    let tree = tree.unwrap();
    let names: Vec<_> = tree
        .entries
        .iter()
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned())
        .collect();
    assert_eq!(
        names,
        [
            ".gitignore",
            ".hidden",
            ".s2i",
            ".s2i/environment",
            "app.py",
            "link",
            "pkg",
            "pkg/a.py"
        ]
    );
    assert_eq!(tree.environment, [("A".to_owned(), "1".to_owned())]);
}

#[test]
fn what_is_no_source_is_refused_with_the_reason() {
    assert!(matches!(
        read(Path::new("/no/such/source"), &Rules::default(), &Silent),
        Err(Error::Absent { .. })
    ));
    assert!(matches!(
        read(Path::new("/etc/passwd"), &Rules::default(), &Silent),
        Err(Error::NotADirectory { .. })
    ));
    type Make = fn(&Path);
    let requirements: [(&str, Make); 4] = [
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("UTF-8", |path| fs::write(path, b"flask\xe9").unwrap()),
        ("NUL", |path| fs::write(path, b"flask\0").unwrap()),
        ("link", |path| symlink("nowhere", path).unwrap()),
    ];
    for (expected, make) in requirements {
        let (_directory, tree) = tree(|root| make(&root.join(REQUIREMENTS)));
        let error = tree.unwrap_err();
        assert!(
            matches!(error, Error::Requirements { .. }) && error.to_string().contains(expected),
            "{error}"
        );
    }
}

/// The files of a source as the rules leave them, and what was said.
fn listed(root: &Path, rules: &Rules) -> (Vec<String>, Vec<String>) {
    let heard = Heard::default();
    let tree = read(root, rules, &heard).unwrap();
    let names = tree
        .entries
        .iter()
        .filter(|entry| entry.kind != SourceKind::Directory)
        .map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
    (names.collect(), heard.0.into_inner().unwrap())
}

fn fill(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Keeps warnings and notes.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, event: Event) {
        if let Event::Warning { text, .. } | Event::Note { text } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

/// Case 64, and that no empty file takes an ignored one's place (§2.4).
#[test]
fn what_is_ignored_is_not_in_the_list_and_the_rest_is() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fill(
        root,
        &[
            (".s2iignore", "no/such\n# comment\nd/one.txt\ne/sub\n"),
            ("app.py", ""),
            ("d/one.txt", ""),
            ("d/two.txt", ""),
            ("e/sub/x", ""),
            ("e/y", ""),
        ],
    );
    let (names, heard) = listed(root, &Rules::s2i());
    assert_eq!(names, [".s2iignore", "app.py", "d/two.txt", "e/y"]);
    assert!(heard.is_empty(), "{heard:?}");
    // Without being asked for it is a file like others.
    assert_eq!(listed(root, &Rules::default()).0.len(), 6);
}

/// Case M17: nothing outside is touched, and it is said.
#[test]
fn patterns_that_lead_out_are_mentioned() {
    let directory = tempfile::tempdir().unwrap();
    fill(
        directory.path(),
        &[
            ("victim", ""),
            ("src/.s2iignore", "../victim\n"),
            ("src/a", ""),
        ],
    );
    let (names, heard) = listed(&directory.path().join("src"), &Rules::s2i());
    assert_eq!(names, [".s2iignore", "a"]);
    assert!(
        heard[0].contains("`../victim`") && heard[0].contains("leads out"),
        "{heard:?}"
    );
    assert!(directory.path().join("victim").exists());
}

/// Cases M16, M19 and M20: of a clone the scripts stay, of a directory that is copied nothing.
#[test]
fn scripts_of_a_clone_outlive_the_ignore_file_and_its_environment_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fill(
        root,
        &[
            (".s2iignore", ".s2i\n"),
            (".s2i/environment", "A=1"),
            (".s2i/bin/assemble", ""),
            (".s2i/bin/usage", ""),
            (".sti/bin/run", ""),
            ("app.py", ""),
        ],
    );
    let copied = read(root, &Rules::s2i(), &Silent).unwrap();
    assert!(copied.environment.is_empty());
    assert_eq!(
        listed(root, &Rules::s2i()).0,
        [".s2iignore", ".sti/bin/run", "app.py"]
    );
    let cloned = Rules {
        hooks: Hooks::Kept,
        ..Rules::s2i()
    };
    assert!(read(root, &cloned, &Silent).unwrap().environment.is_empty());
    assert_eq!(
        listed(root, &cloned).0,
        [".s2i/bin/assemble", ".s2iignore", ".sti/bin/run", "app.py"]
    );
    fs::write(root.join(".s2iignore"), "*").unwrap();
    assert!(listed(root, &Rules::s2i()).0.is_empty());
    assert_eq!(
        listed(root, &cloned).0,
        [".s2i/bin/assemble", ".sti/bin/run"]
    );
}

/// Cases 123, 126, 127 and M21.
#[test]
fn exclusion_is_by_pattern_below_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("tmp");
    fill(
        &root,
        &[
            (".git/HEAD", ""),
            ("test2.git", ""),
            ("test3.txt", ""),
            ("build/a", ""),
            ("ë.txt", ""),
        ],
    );
    let with = |pattern: &str| {
        let rules = Rules {
            exclude: Exclude::parse(pattern).unwrap(),
            ..Rules::default()
        };
        listed(&root, &rules).0
    };
    assert_eq!(
        listed(&root, &Rules::default()).0,
        ["build/a", "test2.git", "test3.txt", "ë.txt"]
    );
    assert_eq!(
        with("test3.txt"),
        [".git/HEAD", "build/a", "test2.git", "ë.txt"]
    );
    assert_eq!(with("").len(), 5);
    assert_eq!(with("tmp").len(), 5);
    assert_eq!(with("^build$|git"), ["test3.txt", "ë.txt"]);
}

#[test]
fn docker_and_git_have_their_say_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fill(
        root,
        &[
            (".dockerignore", "docs\n!docs/keep/*.md\n**/*.log\n"),
            (".gitignore", "*.pyc\n/out/\n"),
            ("a.log", ""),
            ("a.pyc", ""),
            ("docs/a.txt", ""),
            ("docs/keep/b.md", ""),
            ("docs-2/c", ""),
            ("out/x", ""),
            ("pkg/.gitignore", "!y.pyc\nlocal.py\n"),
            ("pkg/local.py", ""),
            ("pkg/y.pyc", ""),
        ],
    );
    let rules = |files: &[IgnoreFile]| Rules {
        ignore_files: files.to_vec(),
        ..Rules::default()
    };
    let expected = [
        ".dockerignore",
        ".gitignore",
        "a.pyc",
        "docs-2/c",
        "docs/keep/b.md",
        "out/x",
        "pkg/.gitignore",
        "pkg/local.py",
        "pkg/y.pyc",
    ];
    assert_eq!(listed(root, &rules(&[IgnoreFile::Docker])).0, expected);
    let tree = read(root, &rules(&[IgnoreFile::Docker]), &Silent).unwrap();
    let directories: Vec<_> = tree
        .entries
        .iter()
        .filter(|entry| entry.kind == SourceKind::Directory)
        .map(|entry| String::from_utf8_lossy(&entry.path))
        .collect();
    assert_eq!(directories, ["docs", "docs-2", "docs/keep", "out", "pkg"]);
    let (names, _) = listed(root, &rules(&[IgnoreFile::Git]));
    assert!(
        !names
            .iter()
            .any(|name| name == "a.pyc" || name == "out/x" || name == "pkg/local.py")
    );
    assert!(names.iter().any(|name| name == "pkg/y.pyc"), "{names:?}");
    let (names, _) = listed(root, &rules(&[IgnoreFile::Git, IgnoreFile::Docker]));
    assert!(!names.iter().any(|name| name == "a.pyc" || name == "a.log"));
}

/// Cases 52 to 55 and 124.
#[test]
fn links_are_kept_or_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("src");
    fill(
        directory.path(),
        &[("outside/lib.py", "l"), ("outside/deep/m.py", "m")],
    );
    fill(&root, &[("app.py", "abc"), ("d/x", "")]);
    let mode = fs::Permissions::from_mode(0o700);
    fs::set_permissions(root.join("app.py"), mode).unwrap();
    symlink("app.py", root.join("good")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    symlink("self", root.join("self")).unwrap();
    fill(&root, &[("shared/deep/m.py", "m")]);
    symlink("shared", root.join("lib")).unwrap();
    symlink("../outside", root.join("out")).unwrap();
    fs::create_dir(root.join(".s2i")).unwrap();
    symlink("../../outside/lib.py", root.join(".s2i/environment")).unwrap();
    symlink("..", root.join("d/up")).unwrap();

    let kept = read(&root, &Rules::default(), &Silent).unwrap();
    let link = |target: &str| SourceKind::Symlink {
        target: target.as_bytes().to_vec(),
    };
    let kind = |tree: &SourceTree, path: &str| {
        let mut entries = tree.entries.iter();
        entries
            .find(|entry| entry.path == path.as_bytes())
            .unwrap()
            .kind
            .clone()
    };
    for (path, target) in [
        ("good", "app.py"),
        ("broken", "nowhere"),
        ("lib", "shared"),
        ("out", "../outside"),
        ("d/up", ".."),
    ] {
        assert_eq!(kind(&kept, path), link(target));
    }

    let rules = Rules {
        links: Links::Follow,
        ..Rules::default()
    };
    let heard = Heard::default();
    let followed = read(&root, &rules, &heard).unwrap();
    let file = SourceKind::File {
        is_executable: true,
        size: 3,
    };
    assert_eq!(kind(&followed, "good"), file);
    assert_eq!(kind(&followed, "broken"), link("nowhere"));
    assert_eq!(kind(&followed, "self"), link("self"));
    // What is not in the source is not its own to give.
    assert_eq!(kind(&followed, "out"), link("../outside"));
    let environment = link("../../outside/lib.py");
    assert_eq!(kind(&followed, ".s2i/environment"), environment);
    assert_eq!(followed.environment, []);
    assert_eq!(kind(&followed, "lib"), SourceKind::Directory);
    assert!(matches!(
        kind(&followed, "lib/deep/m.py"),
        SourceKind::File { .. }
    ));
    assert_eq!(kind(&followed, "d/up"), link(".."));
    let heard = heard.0.into_inner().unwrap();
    assert!(heard.len() == 3 && heard[0].contains("d/up"), "{heard:?}");

    // Digests are those of what is there, and edits behind a link are seen.
    let contents = |tree: &SourceTree| {
        crate::source::content::Contents::read(
            tree,
            None,
            std::time::SystemTime::UNIX_EPOCH,
            1,
            &Silent,
        )
        .unwrap()
    };
    let before = contents(&followed);
    assert_eq!(
        before.entries()[&b"good"[..]],
        before.entries()[&b"app.py"[..]]
    );
    before.still_holds(&followed).unwrap();
    fs::write(root.join("shared/deep/m.py"), "changed").unwrap();
    before.still_holds(&followed).unwrap_err();
    let again = read(&root, &rules, &Silent).unwrap();
    assert_ne!(before.tree(), contents(&again).tree());
}

#[test]
fn an_ignore_file_of_somebody_else_is_not_heeded() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("src");
    fill(directory.path(), &[("theirs", "app.py\n")]);
    fill(&root, &[("app.py", "")]);
    symlink("../theirs", root.join(".s2iignore")).unwrap();
    let (names, heard) = listed(&root, &Rules::s2i());
    assert_eq!(names, [".s2iignore", "app.py"]);
    assert!(heard[0].contains("`.s2iignore`"), "{heard:?}");
}

#[test]
fn quotes_in_the_environment_file_are_mentioned() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), &[(".s2i/environment", "A=\"x\"\n")]);
    let (_, heard) = listed(directory.path(), &Rules::default());
    assert!(
        heard[0].contains("`.s2i/environment`") && heard[0].contains("`A`"),
        "{heard:?}"
    );
}
