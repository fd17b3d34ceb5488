//! The one container that is meant.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::document::{Refusal, Splice, Tree, beside, in_place_of};
use super::marker::{self, Marker};
use super::text::{ImagePlace, Listed};
use super::workload::{Room, of_document};
use super::{Container, Error, Manifest, PullPolicy, Workload, WorkloadName};
use crate::yaml::Node;

/// Which container is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name; the only one of its workload when none is given.
    pub container: Option<String>,
    /// Its workload; the only one that has it when none is given.
    pub workload: Option<WorkloadName>,
    /// The namespace of its workload; one that names none is in every namespace.
    pub namespace: Option<String>,
    /// Whether containers of the initialisation are meant too.
    pub init_containers: bool,
}

/// A container that was found, and where its image is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which of the manifests it is in, from 0.
    pub manifest: usize,
    /// Its file.
    pub path: PathBuf,
    /// Which document of the file, from 0.
    pub document: usize,
    /// Its workload.
    pub workload: WorkloadName,
    /// The workload's namespace, if it is written.
    pub namespace: Option<String>,
    /// The container's name.
    pub container: String,
    /// The line of its image, else of the container, from 1.
    pub line: usize,
    /// Its image as it is written, if it is.
    pub image: Option<String>,
    /// When its image is pulled.
    pub pull_policy: PullPolicy,
    /// The mark of Flux beside the image: automation will write over an edit.
    pub marker: Option<Marker>,
    /// Which of the document's workloads, and which of its containers.
    place: (usize, usize),
}

/// Finds the one container that is meant, by content, in all documents of all files.
///
/// # Errors
/// [`Error::NoWorkload`], [`Error::NoSuchWorkload`], [`Error::NoSuchNamespace`], [`Error::NoContainer`], [`Error::Unnamed`] and [`Error::Ambiguous`].
pub fn find(manifests: &[Manifest], wanted: &Wanted) -> Result<Found, Error> {
    let all = candidates(manifests);
    if all.is_empty() {
        let files = manifests
            .iter()
            .map(|manifest| manifest.path.display().to_string());
        return Err(Error::NoWorkload {
            files: files.collect(),
        });
    }
    let is_meant = |candidate: &&Candidate<'_>| {
        let workload = &candidate.workload;
        let is_name = wanted
            .workload
            .as_ref()
            .is_none_or(|name| name.means(&workload.name));
        let is_namespace = match (&wanted.namespace, &workload.namespace) {
            (Some(wanted), Some(written)) => wanted == written,
            _ => true,
        };
        is_name && is_namespace
    };
    let meant: Vec<&Candidate<'_>> = all.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let Some(name) = &wanted.workload else {
            let written = all.iter().filter_map(|one| one.workload.namespace.clone());
            return Err(Error::NoSuchNamespace {
                wanted: wanted.namespace.clone().unwrap_or_default(),
                present: distinct(written),
            });
        };
        let namespace = wanted
            .namespace
            .as_ref()
            .map(|namespace| format!(" of namespace {namespace}"));
        return Err(Error::NoSuchWorkload {
            wanted: name.to_string() + &namespace.unwrap_or_default(),
            present: distinct(
                all.iter()
                    .map(|candidate| candidate.workload.name.to_string()),
            ),
        });
    }
    let has_name = |candidate: &&&Candidate<'_>| {
        let is_name = wanted
            .container
            .as_ref()
            .is_none_or(|name| *name == candidate.container.name);
        is_name && (wanted.init_containers || !candidate.container.is_init)
    };
    let named: Vec<&Candidate<'_>> = meant.iter().filter(has_name).copied().collect();
    match (named.as_slice(), &wanted.container) {
        ([one], _) => Ok(one.found()),
        ([], name) => {
            let name = name.clone().unwrap_or_default();
            let init = meant
                .iter()
                .find(|candidate| candidate.container.is_init && candidate.container.name == name);
            let init = init.map(|candidate| candidate.workload.name.to_string());
            let present = meant.iter().map(|candidate| candidate.called());
            Err(Error::NoContainer {
                wanted: name,
                present: distinct(present),
                init,
            })
        }
        (several, None) => {
            let present = several.iter().map(|candidate| candidate.called());
            let names = several.iter().map(|one| one.container.name.clone());
            Err(Error::Unnamed {
                present: distinct(present),
                is_one_name: distinct(names).len() == 1,
            })
        }
        (several, Some(name)) => {
            let places = several.iter().map(|candidate| {
                let file = manifests[candidate.manifest].path.display();
                format!(
                    "{} ({file}:{})",
                    candidate.workload.name, candidate.container.line
                )
            });
            Err(Error::Ambiguous {
                container: name.clone(),
                places: places.collect(),
            })
        }
    }
}

/// A container of the files.
struct Candidate<'m> {
    manifest: usize,
    file: &'m Manifest,
    workload: &'m Workload,
    container: &'m Container,
    image: Option<ImagePlace>,
    place: (usize, usize),
}

fn candidates(manifests: &[Manifest]) -> Vec<Candidate<'_>> {
    let mut found = Vec::new();
    for (manifest, file) in manifests.iter().enumerate() {
        for listed in &file.listed {
            let containers = listed.workload.containers.iter().zip(&listed.images);
            for (index, (container, image)) in containers.enumerate() {
                found.push(Candidate {
                    manifest,
                    file,
                    workload: &listed.workload,
                    container,
                    image: *image,
                    place: (listed.number, index),
                });
            }
        }
    }
    found
}

/// Each once, in their order.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

impl Candidate<'_> {
    /// What it is called in messages.
    fn called(&self) -> String {
        let init = if self.container.is_init {
            " (initialisation)"
        } else {
            ""
        };
        format!("{} in {}{init}", self.container.name, self.workload.name)
    }

    fn found(&self) -> Found {
        let image = self.image;
        Found {
            manifest: self.manifest,
            path: self.file.path.clone(),
            document: self.workload.document,
            workload: self.workload.name.clone(),
            namespace: self.workload.namespace.clone(),
            container: self.container.name.clone(),
            line: image.map_or(self.container.line, |image| image.line),
            image: self.container.image.clone(),
            pull_policy: self.container.pull_policy.clone(),
            marker: image.and_then(|image| marker::behind(&self.file.text, image.end)),
            place: self.place,
        }
    }
}

impl Found {
    /// The change that gives the container another image, and whether its entry comes with it; none where there is no
    /// such container. `root` is the document's value.
    ///
    /// # Errors
    /// [`Error::Shared`] and [`Error::Unfit`].
    pub(super) fn splice(
        &self,
        manifest: &Manifest,
        root: &Node,
        image: &str,
    ) -> Result<Option<(Splice, bool)>, Error> {
        let tree = Tree::new(root);
        let standing = of_document(&tree, root, self.document, &mut Room::default());
        let standing = standing.unwrap_or_default();
        let containers = standing.get(self.place.0).map(|one| &one.containers);
        let Some(container) = containers.and_then(|all| all.get(self.place.1).copied()) else {
            return Ok(None);
        };
        let unshared = |node: &Node, tree: &Tree<'_>| match tree.uses(node) {
            uses if uses.len() == 1 => Ok(()),
            uses => Err(Error::Shared {
                path: manifest.path.clone(),
                line: node.line,
                uses,
            }),
        };
        if let Some((key, value)) = tree.entry(container, "image") {
            unshared(value, &tree)?;
            let splice = in_place_of(&manifest.text, key, value, image);
            let splice =
                splice.map_err(|refusal| Error::unfit(&manifest.path, "image", refusal))?;
            return Ok(Some((splice, false)));
        }
        unshared(container, &tree)?;
        let own = container.entries().iter();
        let sibling = own
            .clone()
            .find(|(key, _)| key.text() == Some("name"))
            .or_else(|| own.clone().find(|(_, value)| value.text().is_some()));
        let sibling = sibling.ok_or_else(|| Refusal {
            line: container.line,
            reason: "has no value of its own beside which an image could stand".to_owned(),
        });
        let splice = sibling.and_then(|(key, value)| {
            beside(&manifest.text, container, (key, value), "image", image)
        });
        let splice =
            splice.map_err(|refusal| Error::unfit(&manifest.path, "container", refusal))?;
        Ok(Some((splice, true)))
    }
}

impl Manifest {
    /// The image, as it is written now, of the container that was found.
    pub(super) fn image_of(&self, found: &Found) -> Option<&str> {
        let is_meant = |listed: &&Listed| {
            (listed.workload.document, listed.number) == (found.document, found.place.0)
        };
        let listed = self.listed.iter().find(is_meant)?;
        let container = listed.workload.containers.get(found.place.1)?;
        container.image.as_deref()
    }
}
