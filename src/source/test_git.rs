//! Git repositories for tests.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Host;

/// This machine, with a person who has no configuration.
pub(super) fn host() -> Host {
    let variable = |name: &str| std::env::var_os(name).map(|value| (OsString::from(name), value));
    let mut variables: std::collections::BTreeMap<OsString, OsString> = ["PATH", "LD_LIBRARY_PATH"]
        .into_iter()
        .filter_map(variable)
        .collect();
    variables.insert("HOME".into(), "/nonexistent".into());
    variables.insert("GIT_CONFIG_NOSYSTEM".into(), "1".into());
    Host {
        git: Some("git".into()),
        variables,
    }
}

/// Runs git as somebody with a name, at a fixed time.
pub(super) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "commit.gpgSign=false",
        ])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(host().variables)
        .envs([
            ("GIT_AUTHOR_NAME", "Ada Lovelace"),
            ("GIT_AUTHOR_EMAIL", "ada@example.com"),
            ("GIT_AUTHOR_DATE", "1700000000 +0100"),
            ("GIT_COMMITTER_NAME", "Charles"),
            ("GIT_COMMITTER_EMAIL", "charles@example.com"),
            ("GIT_COMMITTER_DATE", "1700000060 +0100"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {text}");
    String::from_utf8_lossy(output.stdout.trim_ascii()).into_owned()
}

/// Writes files and commits everything; the commit's id.
pub(super) fn commit(directory: &Path, files: &[(&str, &str)], message: &str) -> String {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-q", "--allow-empty", "-m", message]);
    git(directory, &["rev-parse", "HEAD"])
}

/// A repository with one commit of these files, on the branch `main`.
pub(super) fn repository_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    git(directory.path(), &["init", "-q"]);
    commit(directory.path(), files, "first");
    directory
}
