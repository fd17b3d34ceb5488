//! Sources of every kind are brought here, by the real git.

use std::fs;
use std::sync::Mutex;

use super::super::test_git::{commit, git, host, repository_with};
use super::super::{Rules, local};
use super::*;
use crate::event::Silent;

#[path = "remote_tests.rs"]
mod remote;
#[path = "fetch_strangers_tests.rs"]
mod strangers;

/// Keeps warnings and notes, each with its hint.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, event: Event) {
        let text = match event {
            Event::Warning { text, hint } => {
                format!("warning: {text}; {}", hint.unwrap_or_default())
            }
            Event::Note { text } => format!("note: {text}"),
            _ => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What the `s2i` personality wants of a location.
fn wanted(location: &str) -> Wanted {
    Wanted {
        location: Some(Location::parse(location).unwrap()),
        is_committed_only: true,
        links: Links::Follow,
        ..Wanted::default()
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

struct Got {
    /// Kept for what is in it.
    directory: tempfile::TempDir,
    heard: Vec<String>,
    result: Result<Fetched, Error>,
}

fn got(wanted: &Wanted) -> Got {
    let (directory, heard) = (tempfile::tempdir().unwrap(), Heard::default());
    let result = fetch(wanted, &host(), directory.path(), None, &heard);
    Got {
        directory,
        heard: heard.all(),
        result,
    }
}

impl Got {
    fn fetched(&self) -> &Fetched {
        self.result
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(&self) -> &Error {
        self.result.as_ref().unwrap_err()
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.fetched().root.join(name)).ok()
    }

    fn facts(&self) -> &GitFacts {
        self.fetched().provenance.git.as_ref().unwrap()
    }
}

/// Cases 37, 49 and 50: a directory stays where it is, and is called what it was called.
#[test]
fn a_plain_directory_is_read_where_it_is() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("bar")).unwrap();
    let path = text(source.path());
    for typed in [
        path.clone(),
        format!("file://{path}"),
        format!("{path}/bar/.."),
    ] {
        let got = got(&wanted(&typed));
        let fetched = got.fetched();
        assert_eq!((fetched.how, fetched.links), (How::InPlace, Links::Follow));
        assert_eq!(
            fetched.root.canonicalize().unwrap(),
            source.path().canonicalize().unwrap()
        );
        let labels = fetched.provenance.labels();
        assert_eq!(labels["io.openshift.s2i.build.source-location"], typed);
        assert_eq!(labels.len(), 2);
        assert!(got.heard.is_empty(), "{:?}", got.heard);
    }
    let below = got(&Wanted {
        context_dir: Some("./bar/".to_owned()),
        reference: Some("main".to_owned()),
        ..wanted(&path)
    });
    assert_eq!(below.fetched().root, source.path().join("bar"));
    let labels = below.fetched().provenance.labels();
    assert_eq!(labels["io.openshift.s2i.build.source-location"], path);
    assert_eq!(labels["io.openshift.build.source-context-dir"], "./bar/");
    assert!(below.heard[0].contains("`main`"), "{:?}", below.heard);
}

/// Cases 36, 39 and M11: what is committed is built, and it is said when that is not all.
#[test]
fn a_local_repository_is_cloned_from_its_commit() {
    let source = repository_with(&[("app.py", "committed"), ("a/b/c", "x")]);
    let path = text(source.path());
    for typed in [path.clone(), format!("file://{path}"), format!("{path}/.")] {
        let got = got(&wanted(&typed));
        assert_eq!(got.fetched().how, How::Cloned);
        assert_eq!(got.fetched().links, Links::Keep);
        assert_eq!(got.read("app.py").as_deref(), Some("committed"));
        let [note] = got.heard.as_slice() else {
            panic!("{:?}", got.heard);
        };
        assert!(
            note.starts_with("note:") && note.contains("--copy"),
            "{note}"
        );
        let shown = typed.trim_end_matches("/.");
        assert_eq!(
            got.fetched().provenance.location_shown.as_deref(),
            Some(shown)
        );
    }
    fs::write(source.path().join("app.py"), "edited").unwrap();
    for name in ["new1", "new2", "new3"] {
        fs::write(source.path().join(name), "").unwrap();
    }
    let got = got(&wanted(&path));
    assert_eq!(got.read("app.py").as_deref(), Some("committed"));
    assert_eq!(got.read("new1"), None);
    let [warning] = got.heard.as_slice() else {
        panic!("{:?}", got.heard);
    };
    assert!(
        warning.starts_with("warning:")
            && warning.contains("`app.py`, `new1`, `new2` and 1 more")
            && warning.contains("--copy"),
        "{warning}"
    );
}

/// What this repository or this person ignores is no change; neither is what git tracks in another form of its own.
#[test]
fn ignored_files_are_no_changes() {
    let source = repository_with(&[("app.py", ""), (".gitignore", "*.pyc\n"), ("empty/x", "")]);
    fs::create_dir_all(source.path().join(".git/info")).unwrap();
    fs::write(source.path().join(".git/info/exclude"), "local\n").unwrap();
    fs::write(source.path().join("a.pyc"), "").unwrap();
    fs::write(source.path().join("local"), "").unwrap();
    let quiet = got(&wanted(&text(source.path())));
    assert!(quiet.heard[0].starts_with("note:"), "{:?}", quiet.heard);
    fs::remove_file(source.path().join("empty/x")).unwrap();
    let loud = got(&wanted(&text(source.path())));
    assert!(loud.heard[0].contains("(`empty/x`)"), "{:?}", loud.heard);
}

/// Case 43, and the same of `git worktree`; of a detached `HEAD` the commit is built.
#[test]
fn a_working_tree_whose_repository_is_elsewhere_is_cloned() {
    let inner = repository_with(&[("a", "inner")]);
    let outer = repository_with(&[("b", "outer")]);
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
    ];
    git(
        outer.path(),
        &[&add[..], &[&text(inner.path()), "sub"]].concat(),
    );
    let sub = outer.path().join("sub");
    commit(&sub, &[("a", "changed")], "in the submodule");
    git(&sub, &["checkout", "-q", "--detach"]);
    let cloned = got(&wanted(&text(&sub)));
    assert_eq!(cloned.read("a").as_deref(), Some("changed"));
    assert_eq!(cloned.facts().reference, "HEAD");
    let worktree = inner.path().join("wt");
    git(
        inner.path(),
        &["worktree", "add", "-q", "wt", "-b", "other"],
    );
    commit(&worktree, &[("a", "worktree")], "in the worktree");
    let cloned = got(&wanted(&text(&worktree)));
    assert_eq!(cloned.read("a").as_deref(), Some("worktree"));
    assert_eq!(cloned.facts().reference, "other");
    assert!(cloned.heard[0].starts_with("note:"), "{:?}", cloned.heard);
}

/// Cases 40 and M12; and without being asked, nothing is cloned.
#[test]
fn a_local_repository_can_be_taken_as_it_is() {
    let source = repository_with(&[("app.py", "committed")]);
    fs::write(source.path().join("app.py"), "edited").unwrap();
    let copies = Wanted {
        copies: true,
        ..wanted(&text(source.path()))
    };
    let ordinary = Wanted {
        is_committed_only: false,
        ..wanted(&text(source.path()))
    };
    for wanted in [copies, ordinary] {
        let got = got(&wanted);
        assert_eq!(got.fetched().how, How::InPlace);
        assert_eq!(got.read("app.py").as_deref(), Some("edited"));
        assert_eq!(got.fetched().provenance.git, None);
    }
}

/// Case 41, M13 and M14.
#[test]
fn what_is_not_there_is_said() {
    let source = tempfile::tempdir().unwrap();
    git(source.path(), &["init", "-q"]);
    let empty = got(&wanted(&text(source.path())));
    assert!(matches!(empty.error(), Error::EmptyRepository { .. }));
    assert!(empty.error().hints()[0].contains("--copy"));
    let absent = got(&wanted("/no/such/source"));
    assert!(matches!(absent.error(), Error::Absent { .. }));
    let file = source.path().join("app.py");
    fs::write(&file, "import flask").unwrap();
    let file = got(&wanted(&text(&file)));
    assert!(matches!(file.error(), Error::NotADirectory { .. }));
    // An empty one elsewhere is found out by git.
    let clone = source.path().join("bare.git");
    git(source.path(), &["init", "-q", "--bare", "bare.git"]);
    let mut one = Git::new(
        Path::new("git"),
        &host(),
        Origin::Local,
        "x".to_owned(),
        None,
        &Silent,
    );
    one.silence_ssh().unwrap();
    let order = Order {
        address: &file_url_of(&clone),
        reference: None,
        ignores_submodules: false,
    };
    let error = clone::clone(&one, &order, &source.path().join("target")).unwrap_err();
    assert!(matches!(error, Error::EmptyRepository { .. }), "{error}");
}

/// What git knows becomes labels; `s2i-compat.md` §2.3 and §2.12.
#[test]
fn facts_of_the_commit_are_read() {
    let source = repository_with(&[("app.py", "")]);
    let subject = "x".repeat(81);
    let id = commit(source.path(), &[("a", "1")], &format!("{subject}\n\nbody"));
    let got = got(&wanted(&text(source.path())));
    let expected = GitFacts {
        origin: None,
        commit: id,
        reference: "main".to_owned(),
        author_name: "Ada Lovelace".to_owned(),
        author_email: "ada@example.com".to_owned(),
        committer_name: "Charles".to_owned(),
        committer_email: "charles@example.com".to_owned(),
        date: "Tue Nov 14 23:13:20 2023 +0100".to_owned(),
        committed_at_seconds: 1_700_000_060,
        subject: format!("{}..", "x".repeat(78)),
    };
    assert_eq!(*got.facts(), expected);
    let labels = got.fetched().provenance.labels();
    assert_eq!(
        labels["io.openshift.s2i.build.commit.author"],
        "Ada Lovelace <ada@example.com>"
    );
    // Others can do nothing with a path of this machine.
    assert!(!labels.contains_key("org.opencontainers.image.source"));
    // Only what is built was fetched.
    let root = &got.fetched().root;
    assert_eq!(git(root, &["rev-list", "--count", "HEAD"]), "1");
}

/// Cases 46, 48, M9 and M10; refs beside branches and tags are better than s2i's.
#[test]
fn any_ref_is_checked_out() {
    let source = repository_with(&[("v", "1")]);
    let at = source.path();
    let first = git(at, &["rev-parse", "HEAD"]);
    git(at, &["tag", "-a", "v1.0", "-m", "tag"]);
    git(at, &["checkout", "-q", "-b", "a-branch/x"]);
    commit(at, &[("v", "branch")], "branch");
    git(at, &["checkout", "-q", "-b", "pull", "main"]);
    commit(at, &[("v", "pull")], "pull");
    git(at, &["update-ref", "refs/pull/1/head", "HEAD"]);
    let pulled = git(at, &["rev-parse", "HEAD"]);
    git(at, &["checkout", "-q", "main"]);
    git(at, &["branch", "-D", "pull"]);
    commit(at, &[("v", "2")], "second");
    let path = text(at);
    let table = [
        ("a-branch/x", "branch", "a-branch/x"),
        ("refs/heads/a-branch/x", "branch", "a-branch/x"),
        ("origin/a-branch/x", "branch", "HEAD"),
        ("main", "2", "main"),
        ("HEAD", "2", "main"),
        ("v1.0", "1", "HEAD"),
        ("refs/tags/v1.0", "1", "HEAD"),
        ("tags/v1.0", "1", "HEAD"),
        (&first, "1", "HEAD"),
        (&first[..9], "1", "HEAD"),
        ("main~1", "1", "HEAD"),
        ("HEAD^", "1", "HEAD"),
        ("refs/pull/1/head", "pull", "HEAD"),
        ("pull/1/head", "pull", "HEAD"),
        (&pulled, "pull", "HEAD"),
    ];
    for (reference, expected, name) in table {
        let got = got(&Wanted {
            reference: Some(reference.to_owned()),
            ..wanted(&path)
        });
        assert_eq!(got.read("v").as_deref(), Some(expected), "{reference}");
        assert_eq!(got.facts().reference, name, "{reference}");
        assert!(got.heard.is_empty(), "{:?}", got.heard);
    }
    let fragment = got(&wanted(&format!("{path}#a-branch/x")));
    assert_eq!(fragment.read("v").as_deref(), Some("branch"));
    let both = Wanted {
        reference: Some("v1.0".to_owned()),
        ..wanted(&format!("{path}#a-branch/x"))
    };
    assert_eq!(got(&both).read("v").as_deref(), Some("1"));
    for (wrong, is_name) in [
        ("nowhere", true),
        ("0123456", true),
        ("--upload-pack=x", false),
        ("a\nb", false),
    ] {
        let got = got(&Wanted {
            reference: Some(wrong.to_owned()),
            ..wanted(&path)
        });
        match got.error() {
            Error::NoSuchRef { reference, .. } if is_name => assert_eq!(reference, wrong),
            Error::InvalidRef { .. } if !is_name => {}
            other => panic!("{wrong}: {other}"),
        }
    }
}

/// Case 47.
#[test]
fn a_clone_with_a_context_directory_gives_that_directory() {
    let source = repository_with(&[("subdir/app.py", "main"), ("other", "")]);
    git(source.path(), &["checkout", "-q", "-b", "ref1"]);
    commit(source.path(), &[("subdir/app.py", "ref1")], "ref1");
    git(source.path(), &["checkout", "-q", "main"]);
    let got = got(&Wanted {
        context_dir: Some("subdir".to_owned()),
        ignores_submodules: true,
        ..wanted(&format!("{}#ref1", text(source.path())))
    });
    assert_eq!(got.read("app.py").as_deref(), Some("ref1"));
    let tree = local::read(&got.fetched().root, &Rules::s2i(), &Silent).unwrap();
    assert_eq!(tree.entries.len(), 1);
}

#[test]
fn context_directories_that_are_none_are_refused() {
    let source = repository_with(&[("d/x", ""), ("file", "")]);
    std::os::unix::fs::symlink("..", source.path().join("out")).unwrap();
    std::os::unix::fs::symlink("d", source.path().join("in")).unwrap();
    commit(source.path(), &[], "links");
    for is_committed_only in [false, true] {
        let with = |context_dir: &str| {
            got(&Wanted {
                context_dir: Some(context_dir.to_owned()),
                is_committed_only,
                ..wanted(&text(source.path()))
            })
        };
        for (wrong, expected) in [
            ("../other", "leads out"),
            ("d/../..", "leads out"),
            ("missing", "does not exist"),
            ("file", "is not a directory"),
            ("out", "link that leads out"),
        ] {
            let got = with(wrong);
            let text = got.error().to_string();
            assert!(text.contains(wrong) && text.contains(expected), "{text}");
        }
        for right in ["d", "/d/", "in", "in/../d"] {
            assert!(with(right).fetched().root.join("x").exists(), "{right}");
        }
        assert_eq!(with(".").fetched().provenance.context_dir, None);
    }
}

#[test]
fn submodules_come_along_unless_they_are_not_wanted() {
    let inmost = repository_with(&[("c", "inmost")]);
    let inner = repository_with(&[("b", "inner")]);
    let outer = repository_with(&[("a", "outer")]);
    for (parent, child) in [(&inner, &inmost), (&outer, &inner)] {
        let url = text(child.path());
        let add = [
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            &url,
            "sub",
        ];
        git(parent.path(), &add);
        commit(parent.path(), &[], "submodule");
    }
    let with = got(&wanted(&text(outer.path())));
    assert_eq!(with.read("sub/b").as_deref(), Some("inner"));
    assert_eq!(with.read("sub/sub/c").as_deref(), Some("inmost"));
    let without = got(&Wanted {
        ignores_submodules: true,
        ..wanted(&text(outer.path()))
    });
    assert_eq!(without.read("a").as_deref(), Some("outer"));
    assert_eq!(without.read("sub/b"), None);
    // `.git` files of submodules are no part of a source.
    let tree = local::read(&with.fetched().root, &Rules::s2i(), &Silent).unwrap();
    let has_git = |path: &[u8]| path.split(|byte| *byte == b'/').any(|name| name == b".git");
    assert!(tree.entries.iter().all(|entry| !has_git(&entry.path)));
}

#[test]
fn without_git_a_directory_is_taken_as_it_is_and_an_address_is_not() {
    let source = repository_with(&[("a", "1")]);
    fs::write(source.path().join("a"), "edited").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let host = Host {
        git: None,
        ..host()
    };
    let heard = Heard::default();
    let fetched = fetch(
        &wanted(&text(source.path())),
        &host,
        directory.path(),
        None,
        &heard,
    )
    .unwrap();
    assert_eq!(fetched.how, How::InPlace);
    assert!(
        heard.all()[0].starts_with("warning: there is no `git`"),
        "{:?}",
        heard.all()
    );
    let error = fetch(
        &wanted("https://u:p@h/x"),
        &host,
        directory.path(),
        None,
        &heard,
    )
    .unwrap_err();
    assert!(matches!(&error, Error::NoGit { location } if location == "https://h/x"));
}

/// Case 38.
#[test]
fn no_source_is_an_empty_one() {
    let got = got(&Wanted::default());
    assert_eq!(got.fetched().how, How::Nothing);
    let tree = local::read(&got.fetched().root, &Rules::s2i(), &Silent).unwrap();
    assert!(tree.entries.is_empty() && got.fetched().provenance.labels().is_empty());
}
