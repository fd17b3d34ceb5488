//! A clone of one commit.

use std::ffi::OsString;
use std::path::Path;

use super::super::Error;
use super::super::provenance::GitFacts;
use super::command::{Git, words};
use crate::event::printable;
use crate::fs::Context;

/// Where a fetched commit is kept that is no branch.
const WANTED: &str = "refs/overcoat/wanted";
/// The most that a repository's own list of ignored files may have; longer ones are not heeded.
const MAX_EXCLUDE_BYTES: u64 = 1 << 20;

/// What is cloned.
pub(in super::super) struct Order<'a> {
    /// As git understands it, without a password.
    pub address: &'a str,
    /// A branch, a tag, a commit or another ref; `None` for what `HEAD` is there.
    pub reference: Option<&'a str>,
    /// Whether submodules are left empty.
    pub ignores_submodules: bool,
}

/// What there is at the address, of what is wanted.
#[derive(Debug, Default)]
struct Advertised {
    /// The branch that `HEAD` is, in full.
    head_branch: Option<String>,
    has_head: bool,
    /// Full names.
    refs: Vec<String>,
    is_sha256: bool,
}

/// What is fetched.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A branch, by its short name.
    Branch(String),
    /// Something that the server has under this name, or a commit id in full.
    Named(String),
    /// Something that only git can find, when it has everything.
    Expression(String),
}

/// Clones one commit into `target`, which must not exist or be empty, and says what is known of it. Only that commit is
/// fetched where the server and the reference allow it.
///
/// # Errors
/// [`Error::EmptyRepository`] without any commit, [`Error::NoSuchRef`], [`Error::InvalidRef`], [`Error::Git`], and
/// [`Error::Interrupted`].
///
/// # Spec
/// `s2i-compat.md` §2.3, *Clone*, except that only what is built is fetched, and that refs beside branches and tags
/// (`refs/pull/1/head`) can be named.
pub(in super::super) fn clone(
    git: &Git<'_>,
    order: &Order<'_>,
    target: &Path,
) -> Result<GitFacts, Error> {
    if let Some(reference) = order.reference
        && (reference.starts_with('-') || reference.chars().any(char::is_control))
    {
        return Err(Error::InvalidRef {
            reference: printable(reference),
        });
    }
    let advertised = advertised(git, order)?;
    let wanted = choose(&advertised, order.reference, git.location())?;
    crate::fs::create_dir_all(target)?;
    let mut init = words(&["init", "--quiet"]);
    if advertised.is_sha256 {
        init.push("--object-format=sha256".into());
    }
    git.run("clone", Some(target), &init)?;
    let add = words(&["remote", "add", "--", "origin", order.address]);
    git.run("clone", Some(target), &add)?;
    let reference = fetch(git, &advertised, wanted, target)?;
    let has_submodules = std::fs::symlink_metadata(target.join(".gitmodules"))
        .is_ok_and(|metadata| metadata.is_file());
    if has_submodules && !order.ignores_submodules {
        let update = words(&["submodule", "--quiet", "update", "--init", "--recursive"]);
        git.run("fetch the submodules of", Some(target), &update)?;
    }
    facts(git, target, reference)
}

/// Asks the server for `HEAD` and for what the reference can be.
fn advertised(git: &Git<'_>, order: &Order<'_>) -> Result<Advertised, Error> {
    let mut arguments = words(&["ls-remote", "--symref", "--", order.address, "HEAD"]);
    if let Some(reference) = order.reference.filter(|text| is_ref_name(text)) {
        arguments.extend(names(reference).map(OsString::from));
    }
    let answer = git.run("clone", None, &arguments)?;
    let mut advertised = Advertised::default();
    for line in String::from_utf8_lossy(&answer).lines() {
        let Some((what, name)) = line.split_once('\t') else {
            continue;
        };
        match what.strip_prefix("ref: ") {
            Some(branch) if name == "HEAD" => advertised.head_branch = Some(branch.to_owned()),
            Some(_) => {}
            None => {
                advertised.is_sha256 |= what.len() == 64;
                advertised.has_head |= name == "HEAD";
                advertised.refs.push(name.to_owned());
            }
        }
    }
    Ok(advertised)
}

/// The full names that a short one can stand for, in git's order.
fn names(reference: &str) -> impl Iterator<Item = String> {
    let prefixes = ["", "refs/", "refs/tags/", "refs/heads/"];
    let names: Vec<String> = prefixes.map(|prefix| format!("{prefix}{reference}")).into();
    names.into_iter().filter(|name| name.starts_with("refs/"))
}

/// Whether a text can be a ref's name; others can still be expressions (`main~2`).
fn is_ref_name(text: &str) -> bool {
    let is_forbidden = |c: char| " ~^:?*[\\".contains(c);
    !text.is_empty()
        && !text.contains(is_forbidden)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.starts_with('/')
        && !text.ends_with(['/', '.'])
}

fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn choose(
    advertised: &Advertised,
    reference: Option<&str>,
    location: &str,
) -> Result<Target, Error> {
    let branch = |full: &str| full.strip_prefix("refs/heads/").map(str::to_owned);
    let Some(reference) = reference.filter(|text| *text != "HEAD") else {
        if !advertised.has_head {
            return Err(Error::EmptyRepository {
                location: location.to_owned(),
            });
        }
        let head = advertised.head_branch.as_deref().and_then(branch);
        return Ok(head.map_or_else(|| Target::Named("HEAD".to_owned()), Target::Branch));
    };
    // What is checked out in a fresh clone goes before a tag of the same name, as for `git checkout`.
    let head = advertised.head_branch.as_deref().and_then(branch);
    if head.as_deref() == Some(reference) && advertised.has_head {
        return Ok(Target::Branch(reference.to_owned()));
    }
    let found = names(reference).find(|name| advertised.refs.contains(name));
    Ok(match found {
        Some(full) => match branch(&full) {
            Some(name) => Target::Branch(name),
            None => Target::Named(full),
        },
        None if is_full_id(reference) => Target::Named(reference.to_ascii_lowercase()),
        None => Target::Expression(reference.to_owned()),
    })
}

/// Fetches and checks out; the name of what `HEAD` is then.
fn fetch(
    git: &Git<'_>,
    advertised: &Advertised,
    wanted: Target,
    target: &Path,
) -> Result<String, Error> {
    let checkout = |arguments: &[&str]| {
        let mut words = words(&["checkout", "--quiet"]);
        words.extend(arguments.iter().map(OsString::from));
        git.run("check out", Some(target), &words)
    };
    match wanted {
        Target::Branch(name) => {
            let tracking = format!("refs/remotes/origin/{name}");
            fetch_one(git, &format!("+refs/heads/{name}:{tracking}"), target)?;
            checkout(&["--no-track", "-B", &name, &tracking])?;
            Ok(name)
        }
        Target::Named(name) => {
            let fetched = fetch_one(git, &format!("+{name}:{WANTED}"), target);
            match fetched {
                Ok(()) => checkout(&["--detach", WANTED])?,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                // Not every server gives a commit away by its id: then everything is needed.
                Err(_) if is_full_id(&name) => {
                    let id = find(git, advertised, &name, target)?;
                    checkout(&["--detach", &id])?
                }
                Err(error) => return Err(error),
            };
            Ok("HEAD".to_owned())
        }
        Target::Expression(text) => {
            let id = find(git, advertised, &text, target)?;
            checkout(&["--detach", &id])?;
            Ok("HEAD".to_owned())
        }
    }
}

/// Fetches one ref without its history; with it where the server cannot leave it out (plain files over HTTP).
fn fetch_one(git: &Git<'_>, refspec: &str, target: &Path) -> Result<(), Error> {
    let shallow = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--depth=1",
        "origin",
        refspec,
    ];
    if git.attempt(Some(target), &words(&shallow))?.is_success {
        return Ok(());
    }
    let whole = ["fetch", "--quiet", "--no-tags", "origin", refspec];
    git.run("clone", Some(target), &words(&whole)).map(drop)
}

/// Fetches everything that an ordinary clone has, makes the refs that it would have, and finds a commit in it.
fn find(
    git: &Git<'_>,
    advertised: &Advertised,
    text: &str,
    target: &Path,
) -> Result<String, Error> {
    let branches = "+refs/heads/*:refs/remotes/origin/*";
    let tags = "+refs/tags/*:refs/tags/*";
    let all = words(&["fetch", "--quiet", "origin", branches, tags]);
    git.run("clone", Some(target), &all)?;
    let head = advertised.head_branch.as_deref();
    if let Some(name) = head.and_then(|full| full.strip_prefix("refs/heads/")) {
        let tracking = format!("refs/remotes/origin/{name}");
        let local = format!("refs/heads/{name}");
        for arguments in [
            [
                "symbolic-ref",
                "refs/remotes/origin/HEAD",
                tracking.as_str(),
            ],
            ["update-ref", local.as_str(), tracking.as_str()],
            ["symbolic-ref", "HEAD", local.as_str()],
        ] {
            git.run("clone", Some(target), &words(&arguments))?;
        }
    }
    let candidates = [
        format!("{text}^{{commit}}"),
        format!("refs/remotes/origin/{text}^{{commit}}"),
    ];
    for candidate in candidates {
        let verify = words(&["rev-parse", "--verify", "--quiet", &candidate]);
        let found = git.attempt(Some(target), &verify)?;
        if found.is_success {
            return Ok(String::from_utf8_lossy(found.stdout.trim_ascii()).into_owned());
        }
    }
    Err(Error::NoSuchRef {
        reference: text.to_owned(),
        location: git.location().to_owned(),
    })
}

fn facts(git: &Git<'_>, target: &Path, reference: String) -> Result<GitFacts, Error> {
    let format = "--format=%H%x00%an%x00%ae%x00%cn%x00%ce%x00%ad%x00%ct%x00%s";
    let log = [
        "log",
        "-1",
        "--no-color",
        "--encoding=UTF-8",
        "--date=default",
        format,
        "HEAD",
        "--",
    ];
    let answer = git.run("read the commit of", Some(target), &words(&log))?;
    let text = String::from_utf8_lossy(&answer);
    let mut fields = text.trim_end_matches('\n').splitn(8, '\0').map(printable);
    let mut next = || fields.next().unwrap_or_default();
    Ok(GitFacts {
        origin: None,
        commit: next(),
        reference,
        author_name: next(),
        author_email: next(),
        committer_name: next(),
        committer_email: next(),
        date: next(),
        committed_at_seconds: next().parse().unwrap_or_default(),
        subject: GitFacts::cut_subject(&next()),
    })
}

/// The files of a working tree that differ from what was cloned of it, by their paths; `None` when git cannot tell.
///
/// It is the clone's configuration that git goes by, not the working tree's: that one could name programs to run.
///
/// # Errors
/// [`Error::Interrupted`].
pub(in super::super) fn uncommitted(
    git: &Git<'_>,
    clone: &Path,
    working_tree: &Path,
) -> Result<Option<Vec<String>>, Error> {
    lend_excludes(clone, working_tree)?;
    let option = |name: &str, path: &Path| {
        let mut option = OsString::from(name);
        option.push(path);
        option
    };
    let mut arguments = vec![
        option("--git-dir=", &clone.join(".git")),
        option("--work-tree=", working_tree),
    ];
    // Submodules have configurations of their own, which nobody has looked at.
    arguments.extend(words(&[
        "status",
        "--porcelain",
        "-z",
        "--no-renames",
        "--ignore-submodules=all",
        "--untracked-files=normal",
    ]));
    let finished = git.attempt(Some(working_tree), &arguments)?;
    if !finished.is_success {
        return Ok(None);
    }
    let lines = finished.stdout.split(|byte| *byte == 0);
    let paths = lines.filter_map(|line| line.get(3..));
    let paths = paths.map(|path| printable(&String::from_utf8_lossy(path)));
    Ok(Some(paths.collect()))
}

/// Gives the clone the patterns that this repository alone ignores: they are data, and nothing that is executed.
fn lend_excludes(clone: &Path, working_tree: &Path) -> Result<(), Error> {
    let theirs = working_tree.join(".git/info/exclude");
    let is_file = std::fs::symlink_metadata(&theirs).is_ok_and(|metadata| metadata.is_file());
    let Some(patterns) = is_file
        .then(|| crate::fs::read_limited(&theirs, MAX_EXCLUDE_BYTES).ok())
        .flatten()
    else {
        return Ok(());
    };
    let directory = clone.join(".git/info");
    crate::fs::create_dir_all(&directory)?;
    let ours = directory.join("exclude");
    Ok(std::fs::write(&ours, patterns).context("write", &ours)?)
}
