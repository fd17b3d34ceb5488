//! Overlays: kustomizations elsewhere in a repository that take a file, directly or through others, and say its image themselves.
//!
//! # Spec
//! Kustomize: `resources` and `bases` are files and directories with a kustomization, by their paths from the kustomization that names
//! them; `components` likewise, and what they say of images counts in whoever names them. An entry of `images` is found by the name that
//! the image has by then: an inner `newName` is what an outer `name` is compared with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Error, Kustomization, NAMES, Node};
use crate::fs;

/// How many directories are looked through.
const MOST_DIRECTORIES: usize = 5000;
/// How many kustomizations are read.
const MOST_FILES: usize = 1000;
/// How large one may be; a larger one is told as unread.
const MOST_BYTES: u64 = 1 << 20;
/// Directories that are not a person's own.
const FOREIGN: [&str; 4] = ["node_modules", "target", "__pycache__", "venv"];

/// An entry of `images` that counts more than what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The kustomization.
    pub path: PathBuf,
    /// The `name` of the entry: what the image is called below it.
    pub name: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlays {
    /// The entries, each once, in the order of their paths.
    pub pins: Vec<Pin>,
    /// Kustomizations that cannot be read, and why not.
    pub unread: Vec<(PathBuf, String)>,
    /// True when there are more directories or kustomizations than are looked through.
    pub is_cut: bool,
}

/// A kustomization and where it is.
struct Known {
    directory: PathBuf,
    kustomization: Kustomization,
    /// Files and directories, without links and `..`.
    takes: Vec<PathBuf>,
    components: Vec<PathBuf>,
}

/// The kustomizations below `root` that take `target`, a manifest or the directory of a kustomization, and have an entry for the image
/// that is called `name` there. Directories whose names begin with a dot, and links to directories, are not entered.
///
/// # Errors
/// When `target` cannot be found.
pub fn overlays(root: &Path, target: &Path, name: &str) -> Result<Overlays, fs::Error> {
    use fs::Context;
    let target = target.canonicalize().context("find", target)?;
    let mut found = Overlays::default();
    let known = look_through(root, &mut found);
    let mut pins = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut left = vec![(target, name.to_owned())];
    while let Some((place, name)) = left.pop() {
        for (number, one) in known.iter().enumerate() {
            if !one.takes.contains(&place) || !seen.insert((number, place.clone(), name.clone())) {
                continue;
            }
            let mut now = name.clone();
            for each in with_components(number, &known) {
                let kustomization = &known[each].kustomization;
                if let Some(entry) = kustomization.entry(&now) {
                    pins.insert((kustomization.path().to_owned(), now.clone()));
                    if let Some(new) = entry.get("newName").and_then(Node::text) {
                        new.clone_into(&mut now);
                    }
                }
            }
            left.push((one.directory.clone(), now));
        }
    }
    found.pins = pins
        .into_iter()
        .map(|(path, name)| Pin { path, name })
        .collect();
    Ok(found)
}

/// A kustomization behind its components, in the order in which they change images.
fn with_components(number: usize, known: &[Known]) -> Vec<usize> {
    let mut order = Vec::new();
    let mut open = vec![(number, false)];
    let mut seen = BTreeSet::from([number]);
    while let Some((number, is_through)) = open.pop() {
        if is_through {
            order.push(number);
            continue;
        }
        open.push((number, true));
        for component in known[number].components.iter().rev() {
            let place = known.iter().position(|one| one.directory == *component);
            if let Some(place) = place.filter(|place| seen.insert(*place)) {
                open.push((place, false));
            }
        }
    }
    order
}

/// All kustomizations below a directory.
fn look_through(root: &Path, found: &mut Overlays) -> Vec<Known> {
    let mut known = Vec::new();
    let mut directories = vec![root.to_owned()];
    let mut count = 0;
    while let Some(directory) = directories.pop() {
        count += 1;
        if count > MOST_DIRECTORIES || known.len() >= MOST_FILES {
            found.is_cut = true;
            break;
        }
        // What may not be read is not part of what this person deploys.
        let names = fs::list(&directory).unwrap_or_default();
        for name in names.iter().rev() {
            let shown = name.to_string_lossy();
            let path = directory.join(name);
            let is_directory = std::fs::symlink_metadata(&path).is_ok_and(|at| at.is_dir());
            if is_directory && !shown.starts_with('.') && !FOREIGN.contains(&&*shown) {
                directories.push(path);
            }
        }
        let mut files = NAMES
            .iter()
            .filter(|name| names.contains(&PathBuf::from(name)));
        let Some(file) = files.next().map(|name| directory.join(name)) else {
            continue;
        };
        let length = std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        if length > MOST_BYTES {
            let reason = format!("it has more than {} MiB", MOST_BYTES >> 20);
            found.unread.push((file, reason));
            continue;
        }
        match read(&directory, &file) {
            Ok(one) => known.push(one),
            // Flux has a kind of the same name, which is often called so too.
            Err(Error::NotKustomize { .. }) => {}
            Err(error) => found.unread.push((file, error.to_string())),
        }
    }
    known
}

fn read(directory: &Path, file: &Path) -> Result<Known, Error> {
    use fs::Context;
    let kustomization = Kustomization::read(file)?;
    let directory = directory.canonicalize().context("find", directory)?;
    let places = |texts: Vec<&str>| -> Vec<PathBuf> {
        // Addresses are no paths here, and what is not there is not this file.
        let paths = texts.into_iter().map(|text| directory.join(text));
        paths.filter_map(|path| path.canonicalize().ok()).collect()
    };
    let components = places(kustomization.components());
    let mut takes = places(kustomization.resources());
    takes.extend(components.iter().cloned());
    Ok(Known {
        directory,
        takes,
        components,
        kustomization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for (name, text) in files {
                let path = tree.0.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            tree
        }

        fn pins(&self, target: &str, name: &str) -> Vec<String> {
            let root = self.0.path();
            let found = overlays(root, &root.join(target), name).unwrap();
            assert!(!found.is_cut);
            let pins = found.pins.iter().map(|pin| {
                let directory = pin.path.parent().unwrap();
                format!(
                    "{} {}",
                    directory.strip_prefix(root).unwrap().display(),
                    pin.name
                )
            });
            pins.collect()
        }
    }

    #[test]
    fn overlays_are_found_through_bases_components_and_new_names() {
        let tree = Tree::new(&[
            ("base/d.yaml", ""),
            ("base/kustomization.yaml", "resources: [d.yaml]\n"),
            (
                "eu/kustomization.yml",
                "resources:\n- ../base\nimages:\n- name: web\n  newName: eu.example/web\n",
            ),
            (
                "eu/prod/Kustomization",
                "bases: [..]\nimages: [{name: eu.example/web, newTag: '1'}, {name: web, newTag: '2'}]\n",
            ),
            (
                "us/kustomization.yaml",
                "resources: [../base]\ncomponents: [../pin]\n",
            ),
            (
                "pin/kustomization.yaml",
                "kind: Component\nimages: [{name: web, digest: x}]\n",
            ),
            (
                "other/kustomization.yaml",
                "resources: [x.yaml]\nimages: [{name: web, newTag: a}]\n",
            ),
            (
                "api/kustomization.yaml",
                "resources: [../base]\nimages: [{name: api, newTag: a}]\n",
            ),
            (
                "away/kustomization.yaml",
                "resources: ['https://example.com/base?ref=1']\nimages: [{name: web, newTag: a}]\n",
            ),
            (
                ".git/kustomization.yaml",
                "resources: [../base]\nimages: [{name: web, newTag: a}]\n",
            ),
        ]);
        assert_eq!(
            tree.pins("base/d.yaml", "web"),
            ["eu web", "eu/prod eu.example/web", "pin web"]
        );
        assert_eq!(
            tree.pins("eu", "eu.example/web"),
            ["eu/prod eu.example/web"]
        );
        assert_eq!(tree.pins("base/d.yaml", "worker"), Vec::<String>::new());
    }

    #[test]
    fn kustomizations_that_take_each_other_come_to_an_end_and_broken_ones_are_told() {
        let tree = Tree::new(&[
            ("d.yaml", ""),
            (
                "a/kustomization.yaml",
                "resources: [../b, ../d.yaml]\nimages: [{name: w, newName: v}]\n",
            ),
            (
                "b/kustomization.yaml",
                "resources: [../a]\nimages: [{name: v, newName: w}]\n",
            ),
            ("c/kustomization.yaml", "resources: [\n"),
            (
                "flux/kustomization.yaml",
                "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n",
            ),
        ]);
        assert_eq!(tree.pins("d.yaml", "w"), ["a w", "b v"]);
        let found = overlays(tree.0.path(), &tree.0.path().join("d.yaml"), "w").unwrap();
        assert_eq!(found.unread.len(), 1, "{found:?}");
        assert!(found.unread[0].0.ends_with("c/kustomization.yaml"));
    }
}
