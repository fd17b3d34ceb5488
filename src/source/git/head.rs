//! What is checked out: the commit, its tags, and whether the tree has other changes.

use std::path::Path;

use super::super::Error;
use super::command::{Git, Host, Origin, words};
use crate::event::{Observer, printable};

/// What is checked out in a working tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The full commit id.
    pub commit: String,
    /// The tags of exactly this commit, the highest version first.
    pub tags: Vec<String>,
    /// True when files differ from the commit, or are not in it and not ignored.
    pub is_dirty: bool,
}

/// True when a directory, or one above it, has a `.git`. Nothing is executed to find out.
pub fn is_inside(directory: &Path) -> bool {
    let mut above = directory.ancestors();
    above.any(|above| above.join(".git").symlink_metadata().is_ok())
}

/// Asks git what is checked out in the working tree that `directory` is in; nothing when it is in none, or nothing was
/// committed. Files named `unless` (by their last part) are no changes: this program writes them itself.
///
/// Unlike a clone, this reads the person's own repository with its own configuration, as git itself would; git refuses one that
/// belongs to somebody else.
///
/// # Errors
/// [`Error::Git`] when there is no git, or it fails for another reason; [`Error::Interrupted`].
pub fn head(
    host: &Host,
    directory: &Path,
    unless: &[&str],
    observer: &dyn Observer,
) -> Result<Option<Head>, Error> {
    let location = directory.display().to_string();
    let action = "ask git about";
    let Some(program) = &host.git else {
        return Err(Error::Git {
            action,
            location,
            reason: "there is no `git` on this machine".to_owned(),
        });
    };
    let git = Git::new(program, host, Origin::Local, location, None, observer);
    let run = |arguments: &[&str]| git.attempt(Some(directory), &words(arguments));
    let inside = run(&["rev-parse", "--is-inside-work-tree"])?;
    if !inside.is_success && inside.reason.contains("not a git repository") {
        return Ok(None);
    }
    if !inside.is_success {
        return Err(git.failed(action, inside.reason));
    }
    if inside.stdout.trim_ascii() != b"true" {
        return Ok(None);
    }
    let commit = run(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
    if !commit.is_success {
        return Ok(None);
    }
    let text = |bytes: &[u8]| printable(String::from_utf8_lossy(bytes).trim());
    let tags = ["tag", "--points-at", "HEAD", "--sort=-version:refname"];
    let tags = git.run(action, Some(directory), &words(&tags))?;
    let tags = String::from_utf8_lossy(&tags);
    let tags = tags.lines().map(printable);
    let mut status: Vec<String> = [
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=normal",
        "--",
        ":/",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in unless {
        status.push(format!(":(top,exclude,glob)**/{name}"));
        status.push(format!(":(top,exclude,glob)**/{name}/**"));
    }
    let status: Vec<&str> = status.iter().map(String::as_str).collect();
    let status = git.run(action, Some(directory), &words(&status))?;
    Ok(Some(Head {
        commit: text(&commit.stdout),
        tags: tags.collect(),
        is_dirty: !status.is_empty(),
    }))
}

/// The full id of the commit that is checked out in the working tree that `directory` is in; nothing where git cannot say it.
pub fn commit(host: &Host, directory: &Path, observer: &dyn Observer) -> Option<String> {
    let program = host.git.as_ref().filter(|_| is_inside(directory))?;
    let location = directory.display().to_string();
    let git = Git::new(program, host, Origin::Local, location, None, observer);
    let arguments = words(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]);
    let said = git.attempt(Some(directory), &arguments).ok()?;
    let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let is_id = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (said.is_success && is_id).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::super::test_git::{commit, git, host, repository_with};
    use super::*;
    use crate::event::Silent;

    fn found(directory: &Path) -> Option<Head> {
        let unless = ["build_result.json", ".overcoat"];
        head(&host(), directory, &unless, &Silent).unwrap()
    }

    #[test]
    fn the_commit_its_tags_and_changes_are_told() {
        let source = repository_with(&[("sub/a", "1"), (".gitignore", "*.log\n")]);
        let root = source.path();
        let first = git(root, &["rev-parse", "HEAD"]);
        assert_eq!(
            super::commit(&host(), &root.join("sub"), &Silent),
            Some(first.clone())
        );
        let nowhere = tempfile::tempdir().unwrap();
        assert_eq!(super::commit(&host(), nowhere.path(), &Silent), None);
        let clean = Head {
            commit: first.clone(),
            tags: Vec::new(),
            is_dirty: false,
        };
        assert_eq!(found(root), Some(clean.clone()));
        assert_eq!(found(&root.join("sub")), Some(clean.clone()));
        for tag in ["v1.9.0", "v1.10.0", "nightly"] {
            git(root, &["tag", tag]);
        }
        let tags = found(root).unwrap().tags;
        let place = |name: &str| tags.iter().position(|tag| tag == name).unwrap();
        assert!(place("v1.10.0") < place("v1.9.0"), "{tags:?}");
        // What is ignored, and what this program writes, is no change.
        for name in [
            "x.log",
            "build_result.json",
            "sub/build_result.json",
            ".overcoat/history",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert!(!found(root).unwrap().is_dirty);
        std::fs::write(root.join("new"), "").unwrap();
        assert!(found(&root.join("sub")).unwrap().is_dirty);
        std::fs::remove_file(root.join("new")).unwrap();
        std::fs::write(root.join("sub/a"), "2").unwrap();
        assert!(found(root).unwrap().is_dirty);
        let second = commit(root, &[("sub/a", "2")], "second");
        let head = found(root).unwrap();
        assert_eq!((head.commit, head.tags.len()), (second, 0));
    }

    #[test]
    fn without_a_commit_there_is_nothing_to_tell() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(found(directory.path()), None);
        git(directory.path(), &["init", "-q"]);
        assert_eq!(found(directory.path()), None);
        let none = Host::default();
        let error = head(&none, directory.path(), &[], &Silent).unwrap_err();
        assert!(error.to_string().contains("no `git`"), "{error}");
    }
}
