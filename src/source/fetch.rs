//! Bringing a source here: a directory stays where it is, a repository is cloned, an archive is unpacked.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::Error;
use super::archive::{self, Limits};
use super::git::clone::{self, Order};
use super::git::command::{Git, Host, Origin};
use super::git::{Repository, repository};
use super::location::Location;
use super::provenance::{GitFacts, Provenance};
use super::rules::{Hooks, Links};
use super::url_text::file_url_of;
use super::wanted::{Fetched, How, Wanted};
use crate::event::{Event, Observer, stage};
use crate::fs::Context;

/// How many files with uncommitted changes are named.
const NAMED_CHANGES: usize = 3;
/// What messages and provenance call the standard input.
const STDIN: &str = "-";

/// Brings a source here.
///
/// `directory` must be there and be empty; what has to be written is written into it, and it belongs to the caller, who
/// removes it after the build. `stdin` is read to its end if the location is `-`. Relative paths are relative to the working
/// directory of the process.
///
/// A local working tree of git is cloned when [`Wanted::is_committed_only`] says so and [`Wanted::copies`] does not, with a
/// warning if that leaves changes out; without a `git` program it is read where it is, with a warning. A file is read as an
/// archive.
///
/// # Errors
/// [`Error::Absent`] and [`Error::NotADirectory`] for local paths, [`Error::NoGit`], [`Error::EmptyRepository`],
/// [`Error::NoSuchRef`], [`Error::InvalidRef`] and [`Error::Git`] for repositories, [`Error::Archive`] and
/// [`Error::NoInput`] for archives, [`Error::ContextDir`], [`Error::File`] and [`Error::Interrupted`].
///
/// # Spec
/// `s2i-compat.md` §2.3.
pub fn fetch(
    wanted: &Wanted,
    host: &Host,
    directory: &Path,
    stdin: Option<&mut dyn Read>,
    observer: &dyn Observer,
) -> Result<Fetched, Error> {
    let mut fetching = Fetching {
        wanted,
        host,
        directory,
        observer,
    };
    let Some(location) = &wanted.location else {
        return fetching.nothing();
    };
    if location.is_stdin() {
        let stdin = stdin.ok_or(Error::NoInput)?;
        return fetching.archive(stdin, STDIN);
    }
    let Some(path) = location.local_path() else {
        return fetching.remote(location);
    };
    let metadata = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Absent {
                path: location.shown(),
            });
        }
        found => found.context("read", &path)?,
    };
    if metadata.is_dir() {
        return fetching.directory(location, &path);
    }
    if !metadata.is_file() || !archive::is_archive(&path)? {
        return Err(Error::NotADirectory {
            path: location.shown(),
        });
    }
    let mut file = crate::fs::open(&path)?;
    fetching.archive(&mut file, &location.shown())
}

struct Fetching<'a> {
    wanted: &'a Wanted,
    host: &'a Host,
    directory: &'a Path,
    observer: &'a dyn Observer,
}

impl Fetching<'_> {
    fn nothing(&self) -> Result<Fetched, Error> {
        let root = self.directory.join("source");
        crate::fs::create_dir_all(&root)?;
        self.fetched(root, How::Nothing, Provenance::default())
    }

    fn archive(&mut self, archive: &mut dyn Read, shown: &str) -> Result<Fetched, Error> {
        let fetching = stage(self.observer, "unpack source", shown);
        let root = self.directory.join("source");
        crate::fs::create_dir_all(&root)?;
        archive::unpack(archive, shown, &root, Limits::default(), self.observer)?;
        fetching.finish("");
        self.no_ref("an archive");
        if self.wanted.context_dir.is_none() {
            self.mention_single_directory(&root)?;
        }
        let provenance = Provenance {
            location_shown: Some(shown.to_owned()).filter(|shown| shown != STDIN),
            ..Provenance::default()
        };
        self.fetched(root, How::Unpacked, provenance)
    }

    fn directory(&mut self, location: &Location, path: &Path) -> Result<Fetched, Error> {
        let shown = location.shown();
        let kind = repository(path);
        let is_cloned =
            kind != Repository::None && self.wanted.is_committed_only && !self.wanted.copies;
        if is_cloned && kind == Repository::Empty {
            return Err(Error::EmptyRepository { location: shown });
        }
        if is_cloned && let Some(program) = &self.host.git {
            return self.local_clone(location, path, program);
        }
        if is_cloned {
            self.observer.observe(Event::Warning {
                text: format!(
                    "there is no `git` on this machine: `{shown}` is built as it is, with everything that was not committed"
                ),
                hint: Some("install git, or say so with `--copy`".to_owned()),
            });
        }
        self.no_ref(match kind {
            Repository::None => "a directory that is no git repository",
            _ => "a directory that is built as it is",
        });
        let provenance = Provenance {
            location_shown: Some(shown),
            ..Provenance::default()
        };
        self.fetched(path.to_owned(), How::InPlace, provenance)
    }

    fn local_clone(
        &mut self,
        location: &Location,
        path: &Path,
        program: &Path,
    ) -> Result<Fetched, Error> {
        let real = std::fs::canonicalize(path).context("find", path)?;
        let shown = location.shown();
        let mut git = Git::new(
            program,
            self.host,
            Origin::Local,
            shown.clone(),
            None,
            self.observer,
        );
        if is_foreign(&real) {
            let file = self.directory.join("gitconfig");
            git.trust(&real, &file)?;
        }
        let facts = self.clone(&mut git, location, &file_url_of(&real))?;
        self.mention_changes(&git, &shown, &real, &facts)?;
        let absolute = cleaned(&std::path::absolute(path).context("find", path)?);
        let named = match location.is_file_url() {
            true => format!("file://{}", absolute.display()),
            false => absolute.display().to_string(),
        };
        let provenance = Provenance {
            location_shown: Some(named),
            context_dir: None,
            git: Some(facts),
        };
        self.fetched(self.clone_directory(), How::Cloned, provenance)
    }

    fn remote(&mut self, location: &Location) -> Result<Fetched, Error> {
        let shown = location.shown();
        let Some(program) = &self.host.git else {
            return Err(Error::NoGit { location: shown });
        };
        if self.wanted.copies {
            self.observer.observe(Event::Note {
                text: format!("`--copy` is for directories of this machine: `{shown}` is cloned"),
            });
        }
        let (address, credentials) = location.for_git();
        let mut git = Git::new(
            program,
            self.host,
            Origin::Remote(location.helper()),
            shown.clone(),
            credentials.as_ref(),
            self.observer,
        );
        let mut facts = self.clone(&mut git, location, &address)?;
        facts.origin = Some(shown.clone());
        let provenance = Provenance {
            location_shown: Some(shown),
            context_dir: None,
            git: Some(facts),
        };
        self.fetched(self.clone_directory(), How::Cloned, provenance)
    }

    fn clone_directory(&self) -> PathBuf {
        self.directory.join("source")
    }

    fn clone(
        &self,
        git: &mut Git<'_>,
        location: &Location,
        address: &str,
    ) -> Result<GitFacts, Error> {
        let cloning = stage(self.observer, "clone source", location.shown());
        git.silence_ssh()?;
        let given = self.wanted.reference.as_deref();
        let order = Order {
            address,
            reference: given
                .filter(|text| !text.is_empty())
                .or(location.fragment()),
            ignores_submodules: self.wanted.ignores_submodules,
        };
        let facts = clone::clone(git, &order, &self.clone_directory())?;
        cloning.finish(format!("commit {}", short(&facts.commit)));
        Ok(facts)
    }

    /// Says that what is not committed is not built: loudly when there is something.
    fn mention_changes(
        &self,
        git: &Git<'_>,
        shown: &str,
        path: &Path,
        facts: &GitFacts,
    ) -> Result<(), Error> {
        let commit = short(&facts.commit);
        let location = self.wanted.location.as_ref();
        if self.wanted.reference.is_some()
            || location.is_some_and(|location| location.fragment().is_some())
        {
            // The person knows that it is something else than what is there.
            return Ok(());
        }
        let changes = clone::uncommitted(git, &self.clone_directory(), path)?;
        let changes = changes.unwrap_or_default();
        self.observer.observe(match changes.as_slice() {
            [] => Event::Note {
                text: format!(
                    "`{shown}` is a git repository: its commit {commit} is built; `--copy` builds the directory as it is"
                ),
            },
            changes => Event::Warning {
                text: format!(
                    "`{shown}` has changes that are not committed ({}); its commit {commit} is built without them",
                    list(changes)
                ),
                hint: Some("`--copy` builds the directory as it is".to_owned()),
            },
        });
        Ok(())
    }

    fn no_ref(&self, what: &str) {
        let location = self.wanted.location.as_ref();
        let fragment = location.and_then(Location::fragment);
        if let Some(reference) = self.wanted.reference.as_deref().or(fragment) {
            self.observer.observe(Event::Note {
                text: format!("the source is {what}: the ref `{reference}` says nothing"),
            });
        }
    }

    /// Archives of other people often have everything in one directory, and then nothing is found at the top.
    fn mention_single_directory(&self, root: &Path) -> Result<(), Error> {
        if let [only] = crate::fs::list(root)?.as_slice()
            && root.join(only).is_dir()
        {
            let name = only.display();
            self.observer.observe(Event::Note {
                text: format!(
                    "all that the archive holds is in its directory `{name}`; `--context-dir {name}` builds that"
                ),
            });
        }
        Ok(())
    }

    /// Goes down to the context directory.
    fn fetched(
        &self,
        top: PathBuf,
        how: How,
        mut provenance: Provenance,
    ) -> Result<Fetched, Error> {
        let given = self.wanted.context_dir.as_deref().unwrap_or_default();
        let location = self.wanted.location.as_ref().map(Location::shown);
        let refuse = |reason| Error::ContextDir {
            context_dir: given.to_owned(),
            location: location.clone().unwrap_or_default(),
            reason,
        };
        let below = below(given).ok_or_else(|| refuse("leads out of it"))?;
        let mut root = top.clone();
        if !below.as_os_str().is_empty() {
            root.push(&below);
            let real_top = std::fs::canonicalize(&top).context("find", &top)?;
            let real = std::fs::canonicalize(&root).map_err(|_| refuse("does not exist"))?;
            if !real.starts_with(&real_top) {
                return Err(refuse("is a link that leads out of it"));
            }
            if !real.is_dir() {
                return Err(refuse("is not a directory"));
            }
            provenance.context_dir = Some(given.to_owned());
        }
        let (links, hooks) = match how {
            How::InPlace => (self.wanted.links, Hooks::AsOthers),
            How::Cloned => (Links::Keep, Hooks::Kept),
            How::Nothing | How::Unpacked => (Links::Keep, Hooks::AsOthers),
        };
        Ok(Fetched {
            root,
            how,
            links,
            hooks,
            provenance,
        })
    }
}

/// Whether a directory's repository, which lies in it, belongs to somebody else. That of a `.git` file may be anywhere: git
/// is left to its own judgement of that.
fn is_foreign(directory: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let dot_git = directory.join(".git");
    let Ok(metadata) = std::fs::symlink_metadata(&dot_git) else {
        return false;
    };
    let top = std::fs::metadata(directory).map_or(me, |metadata| metadata.uid());
    metadata.is_dir() && (metadata.uid() != me || top != me)
}

/// A context directory without `.`, `..` and slashes at its ends; `None` when it leads out. Empty for the top.
fn below(given: &str) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    for component in given.split('/') {
        match component {
            "" | "." => {}
            ".." if below.pop() => {}
            ".." => return None,
            name => below.push(name),
        }
    }
    Some(below)
}

/// A path without `.` and `..`, by its text.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

fn list(changes: &[String]) -> String {
    let named: Vec<String> = changes
        .iter()
        .take(NAMED_CHANGES)
        .map(|path| format!("`{path}`"))
        .collect();
    match changes.len().saturating_sub(NAMED_CHANGES) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
