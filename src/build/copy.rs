//! Copying images as they are, between any two places: registries, the store, layouts, archives.
//!
//! Documents keep their bytes and blobs are not compressed again, so digests stay what they are; Docker's archives, which
//! have no manifests, are the exception. Blobs go one by one: those that move from one registry to another are in the
//! store's scratch directory while they are on their way, and nothing of them stays.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Tools;
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::image::graph::{Graph, Platforms, Referrer, referrers_tag};
use crate::image::{Descriptor, Index, MAX_DOCUMENT_BYTES, Platform, media_type};
use crate::output::{self, Destination, archive, oci_layout};
use crate::reference::{self, Reference};
use crate::registry::{self, RegistryClient, SendReport, SendRequest};
use crate::store::{self, BlobStore};
use crate::{http, image};

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The store, or another layout.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A layout or an archive.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// A document.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The HTTP client cannot be started.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// The store has no image of that name.
    #[error("the store has no image `{name}`")]
    NotInStore {
        /// What was looked for.
        name: String,
    },
    /// A name in the store that is no reference.
    #[error(transparent)]
    Name(#[from] reference::ParseError),
    /// Nobody could find the image again.
    #[error("the image would have no name in `{target}`: `{source_end}` does not give it one")]
    Nameless {
        /// Where it is.
        source_end: String,
        /// Where it was to be.
        target: String,
    },
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Output(error) => error.hints(),
            Self::NotInStore { .. } => vec!["`overcoat images` lists what it has".to_owned()],
            Self::Nameless { .. } => vec![
                "copy it to `oci:DIR:NAME` or `store:NAME` first: a name is part of these"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// `[host/]repository[:tag][@digest]` or `docker://…`: a registry.
    Registry(Reference),
    /// `store:NAME`: the store.
    Store(String),
    /// `oci:DIR[:NAME]`: an OCI image layout.
    OciLayout {
        /// The layout's directory.
        directory: PathBuf,
        /// The image's name in it.
        name: Option<String>,
    },
    /// `oci-archive:FILE`: a tar of an OCI image layout.
    OciArchive(PathBuf),
    /// `docker-archive:FILE`: what `docker save` writes and `docker load` reads.
    DockerArchive(PathBuf),
}

impl FromStr for End {
    type Err = reference::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').unwrap_or(("", text));
        let is_prefix = ["store", "oci", "oci-archive", "docker-archive"].contains(&kind);
        if is_prefix && rest.is_empty() {
            return Err(reference::ParseError {
                text: text.to_owned(),
                reason: "nothing follows the colon".to_owned(),
            });
        }
        Ok(match kind {
            "store" => Self::Store(rest.to_owned()),
            "oci" => {
                let (directory, name) = oci_layout::split_name(rest);
                Self::OciLayout {
                    directory: directory.into(),
                    name: name.map(str::to_owned),
                }
            }
            "oci-archive" => Self::OciArchive(rest.into()),
            "docker-archive" => Self::DockerArchive(rest.into()),
            _ => Self::Registry(text.strip_prefix("docker://").unwrap_or(text).parse()?),
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Store(name) => write!(f, "store:{name}"),
            Self::OciLayout {
                directory,
                name: None,
            } => write!(f, "oci:{}", directory.display()),
            Self::OciLayout {
                directory,
                name: Some(name),
            } => write!(f, "oci:{}:{name}", directory.display()),
            Self::OciArchive(file) => write!(f, "oci-archive:{}", file.display()),
            Self::DockerArchive(file) => write!(f, "docker-archive:{}", file.display()),
        }
    }
}

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

/// Where the blobs of a source are.
enum Bytes<'a> {
    Registry(&'a Reference),
    Layout(&'a BlobStore),
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
        End::OciArchive(file) => {
            scratch = BlobStore::open(&workspace.join("source"))?;
            let index = archive::unpack_oci(file, &scratch, observer)?;
            let shown = file.display().to_string();
            let root = oci_layout::choose(&shown, &index, None, &wanted(platforms))?;
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
            let image = archive::read_docker(file, &scratch, observer)?;
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
        End::Registry(reference) => copying.into_registry(reference, tools.registry()?)?,
        End::Store(name) => {
            let name = name.parse::<Reference>()?.without_digest().to_string();
            copying.into_layout(tools.store, &name, tools)?
        }
        End::OciLayout { directory, name } => {
            let name = name.clone().or_else(|| copying.name.clone());
            let name = name.ok_or_else(|| copying.nameless())?;
            let layout = BlobStore::open(directory)?;
            let done = copying.into_layout(&layout, &name, tools)?;
            drop(layout);
            // What a store has beside a layout. Not empty, it is somebody else's.
            let _ = std::fs::remove_dir(directory.join("tmp"));
            done
        }
        End::OciArchive(file) => copying.into_archive(file, tools)?,
        End::DockerArchive(file) => copying.into_docker(file, tools)?,
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
    };
    if !directory.join("oci-layout").is_file() {
        crate::fs::list(directory)?;
        return Err(format("it has no file `oci-layout`".to_owned()).into());
    }
    let index = crate::fs::read_limited(&directory.join("index.json"), MAX_DOCUMENT_BYTES)?;
    let index = Index::parse(&index).map_err(|error| format(error.to_string()))?;
    Ok(oci_layout::choose(
        &shown,
        &index,
        name,
        &wanted(platforms),
    )?)
}

struct Copying<'a> {
    request: &'a CopyRequest<'a>,
    graph: &'a Graph,
    bytes: Bytes<'a>,
    /// The name that the image brings along.
    name: Option<String>,
    /// Where blobs are that are on their way.
    scratch: PathBuf,
    observer: &'a dyn Observer,
}

impl Copying<'_> {
    fn nameless(&self) -> Error {
        Error::Nameless {
            source_end: self.request.source.to_string(),
            target: self.request.target.to_string(),
        }
    }

    /// The blobs that are to be copied; some live elsewhere for good.
    fn blobs(&self) -> Vec<&Descriptor> {
        let blobs = self.graph.blobs().into_iter();
        blobs
            .filter(|blob| !media_type::is_elsewhere(blob))
            .collect()
    }

    fn into_registry(
        &self,
        reference: &Reference,
        registry: &RegistryClient,
    ) -> Result<SendReport, Error> {
        let passing;
        let (store, origin) = match self.bytes {
            Bytes::Layout(store) => (store, None),
            Bytes::Registry(origin) => {
                passing = BlobStore::open(&self.scratch)?;
                (&passing, Some(origin))
            }
        };
        let request = SendRequest {
            graph: self.graph,
            reference,
            store,
            origin,
        };
        Ok(registry.send(&request, self.observer)?)
    }

    fn into_layout(
        &self,
        layout: &BlobStore,
        name: &str,
        tools: &Tools<'_>,
    ) -> Result<SendReport, Error> {
        let blobs = self.blobs();
        let (there, missing): (Vec<&Descriptor>, Vec<&Descriptor>) =
            blobs.into_iter().partition(|blob| layout.has(blob));
        let report = SendReport {
            uploaded_blobs: missing.len(),
            skipped: there.len(),
            bytes: missing.iter().map(|blob| blob.size).sum(),
            ..SendReport::default()
        };
        match self.bytes {
            Bytes::Registry(origin) => {
                let registry = tools.registry()?;
                registry.fetch_blobs(missing, origin, layout, self.observer)?;
            }
            Bytes::Layout(from) => {
                for blob in missing {
                    layout.copy_blob(from, blob, self.observer)?;
                }
            }
        }
        layout.put_graph(self.graph)?;
        let root = self.graph.tree.root();
        layout.tag_document(name, &root.descriptor, layout.platform_of(root))?;
        Ok(report)
    }

    fn into_archive(&self, file: &Path, tools: &Tools<'_>) -> Result<SendReport, Error> {
        let name = self.name.clone().ok_or_else(|| self.nameless())?;
        let root = self.graph.tree.root();
        let entry = |name: String, descriptor: &Descriptor| {
            let mut entry = descriptor.clone();
            entry.annotations.insert(store::REF_NAME.to_owned(), name);
            entry
        };
        let mut lists: Vec<(Descriptor, Vec<u8>)> = Vec::new();
        let mut entries = vec![entry(name, &root.descriptor)];
        for (subject, referrers) in store::attached(&self.graph.referrers)? {
            if let Some(bytes) = Referrer::add_to(None, &referrers)? {
                let descriptor = Descriptor::of(media_type::OCI_INDEX, &bytes);
                entries.push(entry(referrers_tag(&subject), &descriptor));
                lists.push((descriptor, bytes));
            }
        }
        let own = self.graph.trees().flat_map(|tree| tree.documents().iter());
        let own = own.map(|document| (&document.descriptor, document.bytes.as_slice()));
        let lists = lists.iter();
        let lists = lists.map(|(descriptor, bytes)| (descriptor, bytes.as_slice()));
        let documents: Vec<(&Descriptor, &[u8])> = own.chain(lists).collect();
        let blobs = self.blobs();
        let passing = match self.bytes {
            Bytes::Registry(_) => Some(BlobStore::open(&self.scratch)?),
            Bytes::Layout(_) => None,
        };
        archive::write_graph(
            file,
            &entries,
            &documents,
            &blobs,
            self.observer,
            |blob| -> Result<Box<dyn Read>, Error> {
                let (Bytes::Registry(origin), Some(passing)) = (&self.bytes, &passing) else {
                    return self.open(blob);
                };
                let registry = tools.registry()?;
                registry.fetch_blobs(vec![blob], origin, passing, self.observer)?;
                let reader = passing.open_blob(blob)?;
                // The open file is all that is needed of it.
                let path = passing.blob_path(&blob.digest);
                std::fs::remove_file(&path)
                    .map_err(|error| crate::fs::Error::new("remove", &path, error))?;
                Ok(Box::new(reader))
            },
        )?;
        Ok(SendReport {
            uploaded_blobs: blobs.len(),
            bytes: blobs.iter().map(|blob| blob.size).sum(),
            ..SendReport::default()
        })
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read>, Error> {
        match self.bytes {
            Bytes::Layout(store) => Ok(Box::new(store.open_blob(blob)?)),
            Bytes::Registry(_) => Err(store::Error::Absent {
                digest: blob.digest.clone(),
            }
            .into()),
        }
    }

    fn into_docker(&self, file: &Path, tools: &Tools<'_>) -> Result<SendReport, Error> {
        let root = self.graph.tree.root();
        if !media_type::is_manifest(&root.descriptor.media_type) {
            return Err(output::Error::Platforms {
                path: file.display().to_string(),
            }
            .into());
        }
        let name = self.name.clone().ok_or_else(|| self.nameless())?;
        let blobs = self.blobs();
        let bytes = blobs.iter().map(|blob| blob.size).sum();
        let count = blobs.len();
        let passing;
        let store = match self.bytes {
            Bytes::Layout(store) => store,
            Bytes::Registry(origin) => {
                passing = BlobStore::open(&self.scratch)?;
                let registry = tools.registry()?;
                registry.fetch_blobs(blobs, origin, &passing, self.observer)?;
                passing.put(&root.descriptor, &root.bytes)?;
                &passing
            }
        };
        let image = store.image(&root.descriptor)?;
        let destination = Destination::DockerArchive(file.to_owned());
        destination.write(&image, &[name], store, self.observer)?;
        self.observer.observe(Event::Warning {
            text: format!(
                "an archive of Docker's has no manifest and plain layers: what is loaded from it has another digest \
                 than `{}`",
                root.descriptor.digest
            ),
            hint: None,
        });
        Ok(SendReport {
            uploaded_blobs: count,
            bytes,
            ..SendReport::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_print_as_they_parse() {
        for text in [
            "quay.io/org/app:1",
            "store:hello",
            "oci:/a/dir",
            "oci:dir:name:tag",
            "oci-archive:/a.tar",
            "docker-archive:a.tar",
        ] {
            assert_eq!(text.parse::<End>().unwrap().to_string(), text);
        }
        assert_eq!(
            "docker://localhost:5000/a:1".parse::<End>().unwrap(),
            End::Registry("localhost:5000/a:1".parse().unwrap())
        );
        for text in ["", "oci:", "store:", "UPPER/case", "docker://"] {
            assert!(text.parse::<End>().is_err(), "{text:?}");
        }
    }
}
