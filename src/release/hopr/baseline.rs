//! Where the delivered text of an `app.py` can be had from: git, an image, another pod.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use super::MOST_MODULE_BYTES;

/// The `git` program and what of the environment it may have.
#[derive(Clone, Debug)]
pub struct Git<'a> {
    /// The program.
    pub program: &'a Path,
    /// The variables that it gets; nothing else. Those that would point it to another repository are left out.
    pub variables: &'a BTreeMap<OsString, OsString>,
}

/// What git knows of a file as it was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The text, and the commit that has it.
    Text {
        /// The text of the file.
        text: String,
        /// The commit's id, in hexadecimal digits.
        commit: String,
    },
    /// The repository is a shallow clone: the first of its commits is not the first of its history.
    Shallow,
    /// No repository, no commit that has the file, or no git.
    Nothing,
}

/// The text of `file` as the commit `revision` has it; `None` when there is no such commit, no repository, no git, or the
/// commit lacks the file. A repository is not trusted: nothing that its configuration names is executed.
pub fn at_revision(git: &Git<'_>, file: &Path, revision: &str) -> Option<(String, String)> {
    // An option in its place would be one.
    if revision.starts_with('-') {
        return None;
    }
    let wanted = format!("{revision}^{{commit}}");
    let arguments = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &wanted,
    ];
    let commit = run(git, file.parent()?, &arguments)?;
    text_of(git, file, &commit)
}

/// The text of `file` as the first commit has it that has the file. A repository is not trusted, as with [`at_revision`].
pub fn at_first_commit(git: &Git<'_>, file: &Path) -> Known {
    let Some(directory) = file.parent() else {
        return Known::Nothing;
    };
    let is_shallow = run(git, directory, &["rev-parse", "--is-shallow-repository"]);
    if is_shallow.is_some_and(|said| said.trim() == "true") {
        return Known::Shallow;
    }
    let found = || {
        let name = file.file_name()?.to_str()?;
        let arguments = ["log", "--format=%H", "--diff-filter=A", "--", name];
        let log = run(git, directory, &arguments)?;
        text_of(git, file, log.lines().last()?)
    };
    match found() {
        Some((text, commit)) => Known::Text { text, commit },
        None => Known::Nothing,
    }
}

fn text_of(git: &Git<'_>, file: &Path, commit: &str) -> Option<(String, String)> {
    let commit = commit.trim();
    let is_commit = commit.len() >= 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    if !is_commit {
        return None;
    }
    let name = format!("{commit}:./{}", file.file_name()?.to_str()?);
    let text = run(git, file.parent()?, &["cat-file", "blob", &name])?;
    Some((text, commit.to_owned()))
}

fn run(git: &Git<'_>, directory: &Path, arguments: &[&str]) -> Option<String> {
    let is_pointer = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("GIT_") && !name.starts_with("GIT_CONFIG")
    };
    let variables = git.variables.iter().filter(|(name, _)| !is_pointer(name));
    let mut child = Command::new(git.program)
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args(["-c", "protocol.allow=never", "--no-pager", "-C"])
        .arg(directory)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        // A partial clone would fetch what it lacks.
        .env("GIT_NO_LAZY_FETCH", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut bytes = Vec::new();
    let read = child
        .stdout
        .take()?
        .take(MOST_MODULE_BYTES + 1)
        .read_to_end(&mut bytes);
    // The pipe is closed by now: git cannot wait for a reader.
    let status = child.wait().ok()?;
    let is_whole = read.is_ok() && bytes.len() as u64 <= MOST_MODULE_BYTES;
    String::from_utf8(bytes)
        .ok()
        .filter(|_| is_whole && status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(directory: &Path, arguments: &[&str]) {
        let status = Command::new("git")
            .arg("-C")
            .arg(directory)
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args([
                "-c",
                "init.defaultBranch=main",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[test]
    fn the_first_commit_of_a_file_or_a_named_one_has_the_baseline() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let file = root.join("pod/app/app.py");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let variables: BTreeMap<OsString, OsString> = std::env::vars_os()
            .chain([("GIT_DIR".into(), "/nowhere".into())])
            .collect();
        let host = Git {
            program: Path::new("git"),
            variables: &variables,
        };
        let first = |file: &Path| match at_first_commit(&host, file) {
            Known::Text { text, .. } => text,
            known => format!("{known:?}"),
        };
        std::fs::write(&file, "first\n").unwrap();
        assert_eq!(first(&file), "Nothing", "no repository");
        git(root, &["init", "--quiet"]);
        assert_eq!(first(&file), "Nothing", "no commit");
        git(root, &["add", "."]);
        git(root, &["commit", "--quiet", "-m", "delivered"]);
        std::fs::write(&file, "second\n").unwrap();
        git(root, &["commit", "--quiet", "-am", "changed"]);
        git(root, &["tag", "v2"]);
        std::fs::write(&file, "third\n").unwrap();
        assert_eq!(first(&file), "first\n");
        assert_eq!(at_revision(&host, &file, "v2").unwrap().0, "second\n");
        assert_eq!(at_revision(&host, &file, "v3"), None);
        assert_eq!(at_revision(&host, &file, "--all"), None);
        let none = Git {
            program: Path::new("/no/such/git"),
            variables: &variables,
        };
        assert_eq!(at_first_commit(&none, &file), Known::Nothing);
        // The commit at which a shallow clone ends adds every file, and is not the first.
        let clone = tempfile::tempdir().unwrap();
        let url = format!("file://{}", root.display());
        git(
            clone.path(),
            &["clone", "--quiet", "--depth=1", &url, "shallow"],
        );
        let file = clone.path().join("shallow/pod/app/app.py");
        assert_eq!(first(&file), "Shallow");
        assert_eq!(at_revision(&host, &file, "HEAD").unwrap().0, "second\n");
    }
}
