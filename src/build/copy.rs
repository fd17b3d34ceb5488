//! Copying images as they are, between any two places: registries, the store, layouts, archives.
//!
//! Documents keep their bytes and blobs are not compressed again, so digests stay what they are; Docker's archives, which
//! have no manifests, are the exception. Blobs go one by one: those that move from one registry to another are in the
//! store's scratch directory while they are on their way, and nothing of them stays.

mod end;
mod error;
mod write;

pub use end::End;
pub use error::Error;
use write::{Bytes, Copying};

use std::path::Path;

use super::Tools;
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::image::graph::Platforms;
use crate::image::{Descriptor, Index, MAX_DOCUMENT_BYTES, Platform};
use crate::output::archive::{self, Format};
use crate::output::{self, oci_layout};
use crate::reference::Reference;
use crate::store::{self, BlobStore};

/// What to copy where.
#[derive(Clone, Debug)]
pub struct CopyRequest<'a> {
    /// Where it is.
    pub source: &'a End,
    /// Where it is to be.
    pub target: &'a End,
    /// Which images of an index.
    pub platforms: Platforms,
    /// Whether to copy what refers to the image, too, and what refers to that.
    pub referrers: bool,
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// Media type, digest and size of the manifest or index at the source.
    pub descriptor: Descriptor,
    /// The digest at the destination; `None` in an archive of Docker's, which has no manifest.
    pub digest: Option<Digest>,
    /// The index that the image was chosen from, if it was.
    pub chosen_from: Option<Digest>,
    /// How many manifests and indexes belong to it, referrers included.
    pub documents: usize,
    /// How many referrers belong to it.
    pub referrers: usize,
    /// How many blobs were sent to a registry or written to a file.
    pub copied_blobs: usize,
    /// How many blobs a registry mounted from another repository.
    pub mounted: usize,
    /// How many blobs were there already.
    pub skipped: usize,
    /// How many bytes the copied blobs have.
    pub bytes: u64,
}

/// Copies an image, an index with its images, or an artifact. Names come last.
///
/// # Errors
/// What either place says: [`Error::Registry`], [`Error::Store`], [`Error::Output`]; [`Error::Nameless`] for a layout
/// or an archive in which it would have no name.
pub fn copy(
    request: &CopyRequest<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<CopyReport, Error> {
    let opened;
    let scratch;
    let workspace = tools.store.workspace()?;
    let (platforms, referrers) = (&request.platforms, request.referrers);
    let (graph, bytes, name) = match request.source {
        End::Registry(reference) => {
            let registry = tools.registry()?;
            let graph = registry.graph(reference, platforms, referrers, observer)?;
            let name = match reference.tag() {
                Some(_) => reference.without_digest().to_string(),
                None => reference.to_string(),
            };
            (graph, Bytes::Registry(reference), Some(name))
        }
        End::Store(name) => {
            let names = tools.store.names()?;
            let root = named(&names, name)?;
            let graph = tools.store.graph(&root, platforms, referrers)?;
            (graph, Bytes::Layout(tools.store), name_of(&root))
        }
        End::OciLayout { directory, name } => {
            let root = entry_of(directory, name.as_deref(), platforms)?;
            opened = BlobStore::open(directory)?;
            let graph = opened.graph(&root, platforms, referrers)?;
            (graph, Bytes::Layout(&opened), name_of(&root))
        }
        End::OciArchive(file) | End::Archive(file) => {
            scratch = BlobStore::open(&workspace.join("source"))?;
            let index = archive::unpack_oci(file, &scratch, observer)?;
            let shown = file.display().to_string();
            let root = oci_layout::entry(&shown, &index, None, &wanted(platforms))?;
            for entry in &index.manifests {
                if let Some(name) = entry.annotations.get(store::REF_NAME) {
                    scratch.tag_document(name, entry, entry.platform.clone())?;
                }
            }
            (
                scratch.graph(&root, platforms, referrers)?,
                Bytes::Layout(&scratch),
                name_of(&root),
            )
        }
        End::DockerArchive(file) => {
            scratch = BlobStore::open(&workspace.join("source"))?;
            let image = archive::read(
                file,
                Format::Docker,
                None,
                &wanted(platforms),
                &scratch,
                observer,
            )?;
            observer.observe(Event::Note {
                text: format!(
                    "`{}` has no manifest: one was made, {}",
                    request.source,
                    image.digest()
                ),
            });
            let root = &image.manifest.descriptor;
            (
                scratch.graph(root, platforms, false)?,
                Bytes::Layout(&scratch),
                None,
            )
        }
    };
    if let (Some(index), Platforms::One(platform)) = (&graph.chosen_from, platforms) {
        observer.observe(Event::Warning {
            text: format!(
                "`{}` stands for several platforms ({}): only `{platform}` is copied",
                request.source, index.digest
            ),
            hint: Some("`--all-platforms` copies the index with all its images".to_owned()),
        });
    }
    let copying = Copying {
        request,
        graph: &graph,
        bytes,
        name,
        scratch: workspace.join("passing"),
        observer,
    };
    let done = match request.target {
        End::Registry(reference) => copying.to_registry(reference, tools.registry()?)?,
        End::Store(name) => {
            let name = name.parse::<Reference>()?.without_digest().to_string();
            copying.to_layout(tools.store, &name, tools)?
        }
        End::OciLayout { directory, name } => {
            let name = name.clone().or_else(|| copying.name.clone());
            let name = name.ok_or_else(|| copying.nameless())?;
            let layout = BlobStore::open(directory)?;
            let done = copying.to_layout(&layout, &name, tools)?;
            drop(layout);
            // What a store has beside a layout. Not empty, it is somebody else's.
            let _ = std::fs::remove_dir(directory.join("tmp"));
            done
        }
        End::OciArchive(file) => copying.to_archive(file, tools)?,
        End::Archive(file) => copying.to_engines(file, Format::Both, tools)?,
        End::DockerArchive(file) => {
            let done = copying.to_engines(file, Format::Docker, tools)?;
            observer.observe(Event::Warning {
                text: format!(
                    "an archive of Docker's has no manifest and plain layers: what is loaded from it has another digest \
                     than `{}`",
                    graph.tree.root().descriptor.digest
                ),
                hint: None,
            });
            done
        }
    };
    let root = graph.tree.root();
    let is_docker = matches!(request.target, End::DockerArchive(_));
    Ok(CopyReport {
        descriptor: root.descriptor.clone(),
        digest: (!is_docker).then(|| root.descriptor.digest.clone()),
        chosen_from: graph.chosen_from.as_ref().map(|index| index.digest.clone()),
        documents: graph.trees().map(|tree| tree.documents().len()).sum(),
        referrers: graph.referrers.len(),
        copied_blobs: done.uploaded_blobs,
        mounted: done.mounted,
        skipped: done.skipped,
        bytes: done.bytes,
    })
}

/// Pulls every image of an index into the store, with the index, and gives it its name.
///
/// # Errors
/// As [`copy`].
pub fn pull_all(
    reference: &Reference,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<CopyReport, Error> {
    let request = CopyRequest {
        source: &End::Registry(reference.clone()),
        target: &End::Store(reference.without_digest().to_string()),
        platforms: Platforms::All,
        referrers: false,
    };
    copy(&request, tools, observer)
}

fn named(names: &[store::Named], wanted: &str) -> Result<Descriptor, Error> {
    let canonical = wanted.parse::<Reference>().map(|name| name.to_string());
    let is_wanted = |name: &str| name == wanted || canonical.as_deref() == Ok(name);
    let found = names.iter().find(|named| is_wanted(&named.name));
    let found = found.map(|named| named.manifest.clone());
    found.ok_or_else(|| Error::NotInStore {
        name: wanted.to_owned(),
    })
}

/// The name that an entry of a layout's index has.
fn name_of(entry: &Descriptor) -> Option<String> {
    entry.annotations.get(store::REF_NAME).cloned()
}

fn wanted(platforms: &Platforms) -> Platform {
    match platforms {
        Platforms::All => Platform::host(),
        Platforms::One(platform) => platform.clone(),
    }
}

/// What a name means in a layout that is not opened yet: one that is none must not become one.
fn entry_of(
    directory: &Path,
    name: Option<&str>,
    platforms: &Platforms,
) -> Result<Descriptor, Error> {
    let shown = directory.display().to_string();
    let format = |reason: String| output::Error::Format {
        format: "OCI image layout",
        path: shown.clone(),
        reason,
        hint: None,
    };
    if !directory.join("oci-layout").is_file() {
        crate::fs::list(directory)?;
        return Err(format("it has no file `oci-layout`".to_owned()).into());
    }
    let index = crate::fs::read_limited(&directory.join("index.json"), MAX_DOCUMENT_BYTES)?;
    let index = Index::parse(&index).map_err(|error| format(error.to_string()))?;
    Ok(oci_layout::entry(&shown, &index, name, &wanted(platforms))?)
}
