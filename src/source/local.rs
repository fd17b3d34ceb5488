//! A directory of this machine.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::ignore::{self, DockerIgnore, Exclude, S2iIgnore};
use super::rules::{Hooks, IgnoreFile, Links, Rules};
use super::{Error, SourceEntry, SourceKind, SourceTree, environment};
use crate::event::{Event, Observer, printable};
use crate::fs::Context;

/// The file that pip installs from.
const REQUIREMENTS: &str = "requirements.txt";
/// The most that files which are read whole may have.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// More files than that are not listed where links are followed: few links can stand for very many files.
const MAX_FOLLOWED: usize = 1_000_000;
/// The scripts that s2i takes out of a source, and where they are looked for.
const HOOK_DIRECTORIES: [&str; 2] = [".s2i/bin", ".sti/bin"];
const HOOKS: [&str; 4] = ["assemble", "assemble-runtime", "run", "save-artifacts"];

/// Lists a directory: every file, directory and link below it that `rules` leave, sorted by path. Pipes, sockets and devices
/// are left out with a warning, and so is every line of an ignore file that says nothing.
///
/// # Errors
/// [`Error::Absent`], [`Error::NotADirectory`]; [`Error::Unreadable`] for the first file that this user may not read:
/// a build that leaves a file out is worse than none; [`Error::Requirements`] when `requirements.txt` is no text;
/// [`Error::TooMany`] when links that are followed stand for more files than anybody has.
///
/// # Spec
/// `s2i-compat.md` §2.3 to §2.7, except that what is ignored leaves no empty file behind.
pub fn read(directory: &Path, rules: &Rules, observer: &dyn Observer) -> Result<SourceTree, Error> {
    let shown = directory.display().to_string();
    match fs::metadata(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Absent { path: shown });
        }
        Err(error) => return Err(crate::fs::Error::new("read", directory, error).into()),
        Ok(metadata) if !metadata.is_dir() => return Err(Error::NotADirectory { path: shown }),
        Ok(_) => {}
    }
    let root = fs::canonicalize(directory).context("find", directory)?;
    let filter = Arc::new(Filter::read(&root, rules, observer)?);
    let mut entries = list(&root, rules, &filter, observer)?;
    if rules.hooks == Hooks::Kept {
        entries.extend(hooks(&root, rules, &entries)?);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    if filter.docker.rescues() {
        entries = without_ignored(entries, &filter.docker);
    }
    let mut tree = SourceTree {
        root: root.clone(),
        entries,
        environment: Vec::new(),
        links: rules.links,
    };
    check_requirements(&tree)?;
    if tree.file(".s2i/environment").is_some() {
        let found = environment::parse(&read_text(&root.join(".s2i/environment"))?);
        for note in found.notes {
            let text = format!("`.s2i/environment`: {note}");
            observer.observe(Event::Warning { text, hint: None });
        }
        tree.environment = found.list;
    }
    Ok(tree)
}

/// What decides of a path by itself.
struct Filter {
    exclude: Exclude,
    s2i: S2iIgnore,
    docker: DockerIgnore,
    left_out: Vec<Vec<u8>>,
}

impl Filter {
    fn read(root: &Path, rules: &Rules, observer: &dyn Observer) -> Result<Self, Error> {
        let mut filter = Self {
            exclude: rules.exclude.clone(),
            s2i: S2iIgnore::default(),
            docker: DockerIgnore::default(),
            left_out: rules.left_out.clone(),
        };
        let mut notes = Vec::new();
        if rules.ignore_files.contains(&IgnoreFile::S2i)
            && let Some(text) = ignore::text(root, ".s2iignore", MAX_TEXT_BYTES, observer)?
        {
            let (parsed, found) = S2iIgnore::parse(&text);
            filter.s2i = parsed;
            notes.extend(found);
        }
        if rules.ignore_files.contains(&IgnoreFile::Docker)
            && let Some(text) = ignore::text(root, ".dockerignore", MAX_TEXT_BYTES, observer)?
        {
            let (parsed, found) = DockerIgnore::parse(&text);
            filter.docker = parsed;
            notes.extend(found);
        }
        for note in notes {
            observer.observe(Event::Warning {
                text: format!("{}; the line is not heeded", printable(&note)),
                hint: None,
            });
        }
        Ok(filter)
    }

    /// True when `.git` and our own records go, and everything else stays.
    fn is_plain(&self) -> bool {
        matches!(self.exclude, Exclude::Git)
            && self.s2i.is_empty()
            && self.docker.is_empty()
            && self.left_out.is_empty()
    }

    /// Whether a path, and all below it, is left out. With patterns of Docker that take back, that is not known yet of its.
    fn covers(&self, path: &[u8]) -> bool {
        self.exclude.covers(path)
            || self.left_out.iter().any(|left_out| left_out == path)
            || self.s2i.covers(path)
            || (!self.docker.rescues() && self.docker.covers(path))
    }
}

fn list(
    root: &Path,
    rules: &Rules,
    filter: &Arc<Filter>,
    observer: &dyn Observer,
) -> Result<Vec<SourceEntry>, Error> {
    let filter_of_links = Arc::clone(filter);
    let (filter, filter_root) = (Arc::clone(filter), root.to_owned());
    // Most sources are without rules; then the name alone decides, and no path is taken apart.
    let is_plain = filter.is_plain();
    let follows = rules.links == Links::Follow;
    // What links lead out of the source to is not the source's: it may be anybody's.
    let leading_out = Arc::new(Mutex::new(Vec::new()));
    let found_out = Arc::clone(&leading_out);
    // The walker of `ignore`, with every rule of its own switched off but git's: which files are wanted is decided here.
    let walk = ::ignore::WalkBuilder::new(root)
        .standard_filters(false)
        .git_ignore(rules.ignore_files.contains(&IgnoreFile::Git))
        .require_git(false)
        .follow_links(rules.links == Links::Follow)
        .filter_entry(move |entry| {
            let leads_out = follows
                && entry.path_is_symlink()
                && fs::canonicalize(entry.path()).is_ok_and(|real| !real.starts_with(&filter_root));
            if leads_out {
                let mut found = found_out.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(entry.path().to_owned());
                return false;
            }
            if is_plain {
                let name = entry.file_name().as_bytes();
                let is_records = entry.depth() == 1 && name == ignore::RECORDS;
                return entry.depth() == 0 || (name != ignore::GIT && !is_records);
            }
            let relative = entry.path().strip_prefix(&filter_root);
            let relative = relative.unwrap_or(entry.path()).as_os_str().as_bytes();
            relative.is_empty() || !filter.covers(relative)
        })
        .build();
    let mut entries = Vec::new();
    for found in walk {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let (path, links) = match found {
            Ok(found) if found.depth() == 0 => continue,
            Ok(found) => (found.into_path(), rules.links),
            Err(error) => match link_of(&error) {
                Some((path, is_loop)) => {
                    if is_loop {
                        observer.observe(Event::Warning {
                            text: format!(
                                "`{}` leads back to a directory that it is in, and stays a link",
                                path.display()
                            ),
                            hint: None,
                        });
                    }
                    (path, Links::Keep)
                }
                None => {
                    return Err(Error::Unreadable {
                        path: root.display().to_string(),
                        reason: error.to_string(),
                    });
                }
            },
        };
        let metadata = match links {
            Links::Keep => fs::symlink_metadata(&path),
            Links::Follow => fs::metadata(&path),
        }
        .context("read", &path)?;
        match entry(root, &path, &metadata)? {
            Some(entry) => entries.push(entry),
            None => observer.observe(Event::Warning {
                text: format!(
                    "`{}` is no file, directory or link and is left out",
                    path.display()
                ),
                hint: None,
            }),
        }
        if rules.links == Links::Follow && entries.len() > MAX_FOLLOWED {
            return Err(Error::TooMany {
                limit: MAX_FOLLOWED,
            });
        }
    }
    let leading_out =
        std::mem::take(&mut *leading_out.lock().unwrap_or_else(PoisonError::into_inner));
    for path in leading_out {
        let relative = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .as_os_str()
            .as_bytes();
        if filter_of_links.covers(relative) {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).context("read", &path)?;
        entries.extend(entry(root, &path, &metadata)?);
        observer.observe(Event::Warning {
            text: format!(
                "`{}` is a link that leads out of the source, and stays a link",
                path.display()
            ),
            hint: Some("put what it leads to into the source".to_owned()),
        });
    }
    Ok(entries)
}

/// The link that the walker could not follow, and whether that is because it leads back.
fn link_of(error: &::ignore::Error) -> Option<(PathBuf, bool)> {
    let (path, is_loop) = match error {
        ::ignore::Error::WithDepth { err, .. } | ::ignore::Error::WithLineNumber { err, .. } => {
            return link_of(err);
        }
        ::ignore::Error::Loop { child, .. } => (child.clone(), true),
        ::ignore::Error::WithPath { path, err } => match &**err {
            ::ignore::Error::Loop { child, .. } => (child.clone(), true),
            _ => (path.clone(), false),
        },
        _ => return None,
    };
    let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
    // A link to what this user may not read is no broken one.
    let is_broken = || {
        fs::metadata(&path).is_err_and(|error| {
            error.kind() == std::io::ErrorKind::NotFound
                || error.kind() == std::io::ErrorKind::NotADirectory
                || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
        })
    };
    (is_link && (is_loop || is_broken())).then_some((path, is_loop))
}

/// The scripts of the source that were not listed.
fn hooks(root: &Path, rules: &Rules, entries: &[SourceEntry]) -> Result<Vec<SourceEntry>, Error> {
    let known: BTreeSet<&[u8]> = entries.iter().map(|entry| entry.path.as_slice()).collect();
    let mut found = Vec::new();
    for directory in HOOK_DIRECTORIES {
        // A link among the directories would lead to scripts that are not the source's.
        let is_within =
            fs::canonicalize(root.join(directory)).is_ok_and(|real| real == root.join(directory));
        if !is_within || rules.exclude.covers(directory.as_bytes()) {
            continue;
        }
        for name in HOOKS {
            let relative = format!("{directory}/{name}");
            let path = root.join(&relative);
            let Ok(metadata) = fs::symlink_metadata(&path) else {
                continue;
            };
            if metadata.is_file()
                && !known.contains(relative.as_bytes())
                && !rules.exclude.covers(relative.as_bytes())
            {
                found.extend(entry(root, &path, &metadata)?);
            }
        }
    }
    Ok(found)
}

/// Takes out what a `.dockerignore` names, except for directories that hold something that stays.
fn without_ignored(entries: Vec<SourceEntry>, docker: &DockerIgnore) -> Vec<SourceEntry> {
    let mut needed: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut is_kept = Vec::with_capacity(entries.len());
    for entry in &entries {
        let stays = !docker.covers(&entry.path);
        is_kept.push(stays);
        let mut path = entry.path.as_slice();
        while let Some(slash) = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .filter(|_| stays)
        {
            path = &path[..slash];
            if !needed.insert(path.to_vec()) {
                break;
            }
        }
    }
    let entries = entries.into_iter().zip(is_kept);
    let entries = entries.filter(|(entry, stays)| *stays || needed.contains(&entry.path));
    entries.map(|(entry, _)| entry).collect()
}

fn entry(root: &Path, file: &Path, metadata: &Metadata) -> Result<Option<SourceEntry>, Error> {
    let relative = file.strip_prefix(root).unwrap_or(file);
    let kind = if metadata.is_dir() {
        SourceKind::Directory
    } else if metadata.is_symlink() {
        let target = fs::read_link(file).context("read link", file)?;
        SourceKind::Symlink {
            target: target.as_os_str().as_bytes().to_vec(),
        }
    } else if metadata.is_file() {
        rustix::fs::access(file, rustix::fs::Access::READ_OK)
            .map_err(|errno| unreadable(relative, &errno.into()))?;
        SourceKind::File {
            is_executable: metadata.permissions().mode() & 0o111 != 0,
            size: metadata.len(),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(SourceEntry {
        path: relative.as_os_str().as_bytes().to_vec(),
        kind,
    }))
}

fn unreadable(relative: &Path, error: &std::io::Error) -> Error {
    let reason = crate::fs::reason(error);
    match relative.to_str() {
        Some(REQUIREMENTS) => Error::Requirements { reason },
        _ => Error::Unreadable {
            path: relative.display().to_string(),
            reason,
        },
    }
}

fn check_requirements(tree: &SourceTree) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(Error::Requirements {
            reason: reason.to_owned(),
        })
    };
    let Some(entry) = tree
        .entries
        .iter()
        .find(|entry| entry.path == REQUIREMENTS.as_bytes())
    else {
        return Ok(());
    };
    let path = tree.root.join(REQUIREMENTS);
    match &entry.kind {
        SourceKind::Directory => return refuse("it is a directory"),
        SourceKind::Symlink { target } if path.is_file() => {
            // Inside the image it would lead nowhere, and the packages would silently not be installed.
            let real = fs::canonicalize(&path).context("find", &path)?;
            if !real.starts_with(&tree.root) || target.starts_with(b"/") {
                let target = String::from_utf8_lossy(target);
                return refuse(&format!(
                    "it is a link to `{target}`, which is not in the source"
                ));
            }
        }
        SourceKind::Symlink { target } => {
            let target = String::from_utf8_lossy(target);
            return refuse(&format!("it is a link to `{target}`, which is not a file"));
        }
        _ => {}
    }
    let bytes =
        crate::fs::read_limited(&path, MAX_TEXT_BYTES).map_err(|error| Error::Requirements {
            reason: crate::fs::reason(&error.source),
        })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains('\0') => refuse("it holds NUL bytes; is it a text file?"),
        Ok(_) => Ok(()),
        // pip understands UTF-16 with a byte order mark; nothing else that is not UTF-8.
        Err(_) if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) => Ok(()),
        Err(error) => refuse(&format!("it is not UTF-8 (byte {})", error.valid_up_to())),
    }
}

fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = crate::fs::read_limited(path, MAX_TEXT_BYTES)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
