//! What a directory is to git, and what one run of it may know. Clones are tested with `fetch`.

use std::fs;
use std::path::Path;

use super::super::test_git::{commit, git, host, repository_with};
use super::command::{Git, Origin};
use super::*;
use crate::event::Silent;
use crate::source::location::Credentials;

/// Case 41.
#[test]
fn a_repository_is_empty_until_something_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    assert_eq!(repository(root), Repository::None);
    git(root, &["init", "-q"]);
    assert_eq!(repository(root), Repository::Empty);
    commit(root, &[("a", "1")], "first");
    assert_eq!(repository(root), Repository::Committed);
    // Packed away, refs are in a file of their own.
    git(root, &["pack-refs", "--all"]);
    git(root, &["gc", "-q"]);
    assert_eq!(repository(root), Repository::Committed);
    git(root, &["checkout", "-q", "--detach"]);
    assert_eq!(repository(root), Repository::Committed);
}

/// Case 42, and that a bare repository and a directory below are none.
#[test]
fn what_is_no_working_tree_is_no_repository() {
    let source = repository_with(&[("sub/a", "1")]);
    assert_eq!(repository(&source.path().join(".git")), Repository::None);
    assert_eq!(repository(&source.path().join("sub")), Repository::None);
    let bare = tempfile::tempdir().unwrap();
    git(bare.path(), &["init", "-q", "--bare", "."]);
    assert_eq!(repository(bare.path()), Repository::None);
    let fake = tempfile::tempdir().unwrap();
    fs::create_dir(fake.path().join(".git")).unwrap();
    assert_eq!(repository(fake.path()), Repository::None);
    fs::write(fake.path().join(".git/HEAD"), "ref: refs/heads/main").unwrap();
    assert_eq!(repository(fake.path()), Repository::None);
}

/// Case 43, and the same of `git worktree`.
#[test]
fn a_file_can_name_the_repository() {
    let inner = repository_with(&[("a", "1")]);
    let outer = repository_with(&[("b", "2")]);
    let url = inner.path().to_str().unwrap();
    git(
        outer.path(),
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            url,
            "sub",
        ],
    );
    assert!(outer.path().join("sub/.git").is_file());
    assert_eq!(repository(&outer.path().join("sub")), Repository::Committed);
    git(
        outer.path(),
        &["worktree", "add", "-q", "wt", "-b", "other"],
    );
    assert!(outer.path().join("wt/.git").is_file());
    assert_eq!(repository(&outer.path().join("wt")), Repository::Committed);
    fs::write(outer.path().join("wt/.git"), "gitdir: /no/such\n").unwrap();
    assert_eq!(repository(&outer.path().join("wt")), Repository::None);
}

/// What somebody hands over names no repository of this machine.
#[test]
fn a_repository_that_knows_nothing_of_a_directory_is_not_its_own() {
    let victim = repository_with(&[("secret", "x")]);
    let victims = victim.path().join(".git");
    let by_file = tempfile::tempdir().unwrap();
    let text = format!("gitdir: {}\n", victims.display());
    fs::write(by_file.path().join(".git"), text).unwrap();
    let by_link = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&victims, by_link.path().join(".git")).unwrap();
    let by_common = repository_with(&[("a", "1")]);
    let common = by_common.path().join(".git/commondir");
    fs::write(common, format!("{}\n", victims.display())).unwrap();
    for directory in [&by_file, &by_link, &by_common] {
        assert_eq!(repository(directory.path()), Repository::None);
    }
}

/// A program in the place of git, that says what it was told.
fn told(credentials: Option<&Credentials>, variables: &[(&str, &str)]) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("git");
    let script = "#!/bin/sh\necho \"$@\" >\"$0.arguments\"\nenv >\"$0.environment\"\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut host = host();
    for (name, value) in variables {
        host.variables.insert(name.into(), value.into());
    }
    let mut git = Git::new(
        &program,
        &host,
        Origin::Remote(None),
        "x".to_owned(),
        credentials,
        &Silent,
    );
    git.silence_ssh().unwrap();
    git.run("clone", None, &command::words(&["hello"])).unwrap();
    let read =
        |end: &str| fs::read_to_string(Path::new(&format!("{}.{end}", program.display()))).unwrap();
    (read("arguments"), read("environment"))
}

#[test]
fn git_is_told_what_concerns_it_and_asks_nobody() {
    let (arguments, environment) = told(
        None,
        &[
            ("HTTPS_PROXY", "http://proxy"),
            ("GIT_SSL_CAINFO", "/ca"),
            ("GIT_DIR", "/elsewhere"),
            ("GIT_WORK_TREE", "/elsewhere"),
            ("GIT_INDEX_FILE", "/elsewhere"),
            ("GIT_TRACE_CURL", "1"),
            ("GIT_ASKPASS", "/bin/ask"),
            ("SECRET_OF_THE_HOST", "x"),
        ],
    );
    let has = |line: &str| environment.lines().any(|found| found == line);
    assert!(has("HTTPS_PROXY=http://proxy") && has("GIT_SSL_CAINFO=/ca"));
    assert!(has("GIT_TERMINAL_PROMPT=0") && has("GIT_ASKPASS="));
    assert!(has("GIT_SSH_COMMAND=ssh -oBatchMode=yes"));
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_TRACE",
        "SECRET_OF",
        "elsewhere",
    ] {
        assert!(!environment.contains(name), "{environment}");
    }
    assert!(
        arguments.contains("core.hooksPath=/dev/null"),
        "{arguments}"
    );
    assert!(
        arguments.contains("protocol.ext.allow=never"),
        "{arguments}"
    );
    let (_, environment) = told(None, &[("GIT_SSH_COMMAND", "ssh -i key")]);
    assert!(environment.contains("GIT_SSH_COMMAND=ssh -i key\n"));
}

#[test]
fn arguments_hold_no_credentials() {
    let credentials = |user: &str, password: Option<&str>| Credentials {
        scope: "https://h".to_owned(),
        user: user.to_owned(),
        password: password.map(str::to_owned),
    };
    let given = credentials("user-of-mine", Some("t0ken"));
    let (arguments, environment) = told(Some(&given), &[]);
    assert!(
        arguments.contains("credential.https://h.helper="),
        "{arguments}"
    );
    assert!(!arguments.contains("t0ken") && !arguments.contains("user-of-mine"));
    assert!(environment.contains("=t0ken"));
    let (arguments, environment) = told(
        Some(&credentials("t0ken", None)),
        &[("GIT_CONFIG_COUNT", "2")],
    );
    assert!(!arguments.contains("t0ken"), "{arguments}");
    assert!(environment.contains("GIT_CONFIG_COUNT=3"), "{environment}");
    assert!(environment.contains("GIT_CONFIG_KEY_2=credential.https://h.username"));
    assert!(environment.contains("GIT_CONFIG_VALUE_2=t0ken"));
}
