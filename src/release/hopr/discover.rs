//! Finding pods: by what directories and manifests hold, for their names differ between versions of Hopr.

use std::path::{Path, PathBuf};

use super::manifest::{Workload, kinds, workloads};
use super::{APPLICATION, CONTAINER, Error, MODULE};
use crate::fs;
use crate::yaml;

/// How deep pods may be below the root.
const MOST_DEPTH: usize = 5;
/// How many directories are looked at.
const MOST_DIRECTORIES: usize = 20_000;

/// A pod of a blueprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name: that of its directory.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// What is built: the directory of `app.py`.
    pub application: PathBuf,
    /// The manifest with the workload.
    pub manifest: PathBuf,
    /// The workload.
    pub workload: Workload,
    /// All manifests in the pod's directory, in the order of their names, which is that in which they are applied.
    pub manifests: Vec<PathBuf>,
}

impl Pod {
    /// Its `app.py`.
    pub fn module(&self) -> PathBuf {
        self.application.join(MODULE)
    }
}

/// The pods below `root`, or `root` itself, sorted by name; those that `names` has, or all when it is empty.
///
/// # Errors
/// [`Error::NoPods`], [`Error::NoSuchPod`], [`Error::SameName`]; [`Error::NoWorkload`] and [`Error::SeveralWorkloads`] for
/// pods among the wanted ones; [`Error::TooMany`], [`Error::File`].
pub fn discover(root: &Path, names: &[String]) -> Result<Vec<Pod>, Error> {
    let root = std::path::absolute(root).map_err(|error| fs::Error::new("find", root, error))?;
    let mut directories = Vec::new();
    let mut seen = 0;
    walk(&root, 0, &mut directories, &mut seen, &root)?;
    if directories.is_empty() {
        return Err(Error::NoPods { root });
    }
    directories.sort_by_key(|directory| name_of(directory));
    if let Some(pair) = directories
        .windows(2)
        .find(|pair| name_of(&pair[0]) == name_of(&pair[1]))
    {
        return Err(Error::SameName {
            name: name_of(&pair[0]),
            first: pair[0].clone(),
            second: pair[1].clone(),
        });
    }
    let known: Vec<String> = directories
        .iter()
        .map(|directory| name_of(directory))
        .collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Error::NoSuchPod {
            name: name.clone(),
            root,
            known,
        });
    }
    let wanted = directories
        .iter()
        .filter(|directory| names.is_empty() || names.contains(&name_of(directory)));
    wanted
        .map(|directory| pod(directory, &root, &directories))
        .collect()
}

fn name_of(directory: &Path) -> String {
    directory.file_name().map_or_else(
        || "pod".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Directories with `app/app.py`. Links are not followed: they may lead anywhere, and round.
fn walk(
    directory: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
    seen: &mut usize,
    root: &Path,
) -> Result<(), Error> {
    *seen += 1;
    if *seen > MOST_DIRECTORIES {
        return Err(Error::TooMany {
            root: root.to_owned(),
            limit: MOST_DIRECTORIES,
        });
    }
    let is_pod = directory.join(APPLICATION).join(MODULE).is_file();
    if is_pod {
        found.push(directory.to_owned());
    }
    if depth == MOST_DEPTH {
        return Ok(());
    }
    for name in fs::list(directory)? {
        let path = directory.join(&name);
        let is_hidden = name.to_string_lossy().starts_with('.');
        let is_directory = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let is_application = is_pod && name == Path::new(APPLICATION);
        // A virtual environment has thousands of directories and no pod.
        let is_environment = path.join("pyvenv.cfg").exists() || name == Path::new("node_modules");
        if is_directory && !is_hidden && !is_application && !is_environment {
            walk(&path, depth + 1, found, seen, root)?;
        }
    }
    Ok(())
}

/// What the manifests of a directory say.
#[derive(Default)]
struct Manifests {
    files: Vec<PathBuf>,
    found: Vec<(PathBuf, Workload)>,
    unread: Vec<(PathBuf, String)>,
}

impl Manifests {
    /// Reads those in `directory` and below it, except in `but`.
    fn read(&mut self, directory: &Path, but: &[&Path], depth: usize) -> Result<(), Error> {
        for name in fs::list(directory)? {
            let path = directory.join(&name);
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            let is_hidden = name.to_string_lossy().starts_with('.');
            if metadata.is_dir() {
                if depth > 0 && !is_hidden && !but.contains(&path.as_path()) {
                    self.read(&path, but, depth - 1)?;
                }
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !path.is_file() || !matches!(extension, Some("yaml" | "yml" | "json")) {
                continue;
            }
            let limit = yaml::MOST_BYTES as u64;
            let text = match fs::read_limited(&path, limit).map(String::from_utf8) {
                Ok(Ok(text)) => text,
                Ok(Err(_)) => {
                    self.unread.push((path, "it is no text".to_owned()));
                    continue;
                }
                Err(error) => {
                    self.unread.push((path, error.to_string()));
                    continue;
                }
            };
            match workloads(&text, CONTAINER) {
                Ok(workloads) => {
                    let found = workloads
                        .into_iter()
                        .map(|workload| (path.clone(), workload));
                    self.found.extend(found);
                    // `kustomization.yaml` and values of Helm are no objects of a cluster.
                    let kinds = kinds(&text).unwrap_or_default();
                    if kinds.iter().any(|kind| kind != "Kustomization") {
                        self.files.push(path);
                    }
                }
                Err(error) => self.unread.push((path, error.to_string())),
            }
        }
        Ok(())
    }
}

fn pod(directory: &Path, root: &Path, all: &[PathBuf]) -> Result<Pod, Error> {
    let name = name_of(directory);
    let application = directory.join(APPLICATION);
    let mut but: Vec<&Path> = all.iter().map(PathBuf::as_path).collect();
    but.retain(|other| *other != directory);
    but.push(&application);
    let mut manifests = Manifests::default();
    manifests.read(directory, &but, 2)?;
    if manifests.found.is_empty() && directory != root {
        // Older blueprints have the manifests of all pods in the root, and the pod's name in the workload's.
        let mut beside = Manifests::default();
        but.push(directory);
        beside.read(root, &but, 1)?;
        let is_of_this = |workload: &Workload| {
            let namespace = workload.namespace.as_deref().unwrap_or_default();
            has_part(&workload.name, &name) || has_part(namespace, &name)
        };
        beside.found.retain(|(_, workload)| is_of_this(workload));
        beside.files = beside.found.iter().map(|(path, _)| path.clone()).collect();
        manifests.unread.extend(beside.unread);
        manifests.found = beside.found;
        manifests.files.extend(beside.files);
    }
    let container = CONTAINER.to_owned();
    if manifests.found.len() > 1 {
        let shown = |(path, workload): &(PathBuf, Workload)| {
            let path = path.strip_prefix(root).unwrap_or(path).display();
            format!(
                "{path}, line {}: {}/{}",
                workload.line, workload.kind, workload.name
            )
        };
        return Err(Error::SeveralWorkloads {
            pod: name,
            container,
            found: manifests.found.iter().map(shown).collect(),
        });
    }
    let Some((manifest, workload)) = manifests.found.pop() else {
        return Err(Error::NoWorkload {
            pod: name,
            container,
            unread: manifests.unread,
        });
    };
    Ok(Pod {
        name,
        directory: directory.to_owned(),
        application,
        manifest,
        workload,
        manifests: manifests.files,
    })
}

/// True when one name has the other as a whole between dashes: `convoy-relay-1-ns` has `relay-1`, not `relay`-like parts of
/// `relays`.
fn has_part(name: &str, part: &str) -> bool {
    let (name, part) = (
        format!("-{}-", name.to_ascii_lowercase()),
        part.to_ascii_lowercase(),
    );
    let part = part.replace('_', "-");
    name.contains(&format!("-{part}-"))
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
