//! What a directory is to git, read from its files.

use std::path::{Path, PathBuf};

/// The most that a small file of a repository may have.
const MAX_SMALL_BYTES: u64 = 64 << 10;
/// The most that a list of refs may have.
const MAX_REFS_BYTES: u64 = 64 << 20;

/// What a directory is to git.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repository {
    /// No working tree: without `.git`, or a bare repository.
    None,
    /// A working tree in which nothing was committed.
    Empty,
    /// A working tree with commits.
    Committed,
}

/// Looks whether a directory is a working tree: whether its `.git` is a repository, or a file that names one (that of a
/// submodule, or of `git worktree`). Directories above it are not looked at. Nothing is executed.
///
/// A repository that lies elsewhere must know of this working tree: a directory from somebody else could name any
/// repository of this machine.
///
/// # Spec
/// `s2i-compat.md` §2.3; git's `gitrepository-layout(5)`.
pub fn repository(directory: &Path) -> Repository {
    let Some(git) = git_directory(&directory.join(".git")) else {
        return Repository::None;
    };
    if !belongs(directory, &git) {
        return Repository::None;
    }
    // A `git worktree` has a HEAD of its own, and everything else in common with others.
    let common = match small_text(&git.join("commondir")) {
        Some(text) => git.join(text.trim()),
        None => git.clone(),
    };
    let Some(head) = small_text(&git.join("HEAD")) else {
        return Repository::None;
    };
    if !common.join("objects").is_dir() || !common.join("refs").is_dir() {
        return Repository::None;
    }
    let is_detached = !head.starts_with("ref:");
    let has_packed = crate::fs::read_limited(&common.join("packed-refs"), MAX_REFS_BYTES)
        .is_ok_and(|bytes| {
            let mut lines = bytes.split(|byte| *byte == b'\n');
            lines.any(|line| !line.is_empty() && !line.starts_with(b"#"))
        });
    // Refs in a table can only be read by git.
    let has_table = common.join("reftable").is_dir();
    let has_loose = || {
        let files = walkdir::WalkDir::new(common.join("refs")).into_iter();
        files.flatten().any(|entry| entry.file_type().is_file())
    };
    match is_detached || has_packed || has_table || has_loose() {
        true => Repository::Committed,
        false => Repository::Empty,
    }
}

/// The repository that `.git` is or names.
fn git_directory(dot_git: &Path) -> Option<PathBuf> {
    let metadata = std::fs::metadata(dot_git).ok()?;
    if metadata.is_dir() {
        return Some(dot_git.to_owned());
    }
    let text = small_text(dot_git)?;
    let named = text.strip_prefix("gitdir:")?.trim();
    Some(dot_git.parent()?.join(named))
}

/// Whether a repository is in its working tree, or knows of it.
fn belongs(directory: &Path, git: &Path) -> bool {
    let Ok(tree) = std::fs::canonicalize(directory) else {
        return false;
    };
    let is =
        |path: PathBuf, other: &Path| std::fs::canonicalize(path).is_ok_and(|real| real == other);
    let is_inside = std::fs::canonicalize(git).is_ok_and(|real| real.starts_with(&tree));
    if is_inside {
        // Only a `git worktree` shares what another repository has.
        return !git.join("commondir").exists();
    }
    let of_worktree = small_text(&git.join("gitdir"));
    if of_worktree.is_some_and(|text| is(git.join(text.trim()), &tree.join(".git"))) {
        return true;
    }
    let config = small_text(&git.join("config")).unwrap_or_default();
    let mut settings = config
        .lines()
        .filter_map(|line| line.trim().split_once('='));
    let of_submodule = settings.find(|(name, _)| name.trim().eq_ignore_ascii_case("worktree"));
    of_submodule.is_some_and(|(_, path)| is(git.join(path.trim().trim_matches('"')), &tree))
}

fn small_text(path: &Path) -> Option<String> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let bytes = crate::fs::read_limited(path, MAX_SMALL_BYTES).ok()?;
    String::from_utf8(bytes).ok()
}
