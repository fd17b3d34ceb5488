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

/// The text of `file` as a commit has it, and the commit: `revision`, or the first one that has the file. `None` when there
/// is no such commit, no repository, no git, or the text is none. A repository is not trusted: nothing that its
/// configuration names is executed.
pub fn from_git(git: &Git<'_>, file: &Path, revision: Option<&str>) -> Option<(String, String)> {
    let directory = file.parent()?;
    let name = file.file_name()?.to_str()?;
    let commit = match revision {
        Some(revision) => {
            // An option in its place would be one.
            if revision.starts_with('-') {
                return None;
            }
            let wanted = format!("{revision}^{{commit}}");
            run(
                git,
                directory,
                &[
                    "rev-parse",
                    "--verify",
                    "--quiet",
                    "--end-of-options",
                    &wanted,
                ],
            )?
        }
        None => {
            let log = run(
                git,
                directory,
                &["log", "--format=%H", "--diff-filter=A", "--", name],
            )?;
            log.lines().last()?.to_owned()
        }
    };
    let commit = commit.trim().to_owned();
    let is_commit = commit.len() >= 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
    if !is_commit {
        return None;
    }
    let text = run(
        git,
        directory,
        &["cat-file", "blob", &format!("{commit}:./{name}")],
    )?;
    Some((text, commit))
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
        std::fs::write(&file, "first\n").unwrap();
        assert_eq!(from_git(&host, &file, None), None, "no repository");
        git(root, &["init", "--quiet"]);
        assert_eq!(from_git(&host, &file, None), None, "no commit");
        git(root, &["add", "."]);
        git(root, &["commit", "--quiet", "-m", "delivered"]);
        std::fs::write(&file, "second\n").unwrap();
        git(root, &["commit", "--quiet", "-am", "changed"]);
        git(root, &["tag", "v2"]);
        std::fs::write(&file, "third\n").unwrap();
        assert_eq!(from_git(&host, &file, None).unwrap().0, "first\n");
        assert_eq!(from_git(&host, &file, Some("v2")).unwrap().0, "second\n");
        assert_eq!(from_git(&host, &file, Some("v3")), None);
        assert_eq!(from_git(&host, &file, Some("--all")), None);
        let none = Git {
            program: Path::new("/no/such/git"),
            variables: &variables,
        };
        assert_eq!(from_git(&none, &file, None), None);
    }
}
