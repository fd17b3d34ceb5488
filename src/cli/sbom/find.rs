//! The image that a person means, wherever it is.

use crate::build::Tools;
use crate::build::copy::End;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::Observer;
use crate::image::graph::Platforms;
use crate::image::{self, Content, Image, Manifest, Platform, media_type};
use crate::output::archive::{self, Format};
use crate::output::oci_layout;
use crate::reference::{DEFAULT_REGISTRY, Reference};
use crate::registry;
use crate::store::{BlobStore, Named, Stored};

/// The annotation that names the image that another was made from: registries that have its layers.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Where an image is.
pub(super) enum Place {
    /// In the store.
    Store(Box<Named>),
    /// Elsewhere.
    End(End),
}

/// An image, and who has its layers.
pub(super) struct Found {
    pub(super) image: Image,
    /// A store of its own, for what came out of a file.
    scratch: Option<BlobStore>,
    /// Repositories that have layers.
    pub(super) origins: Vec<Reference>,
}

impl Found {
    /// The store that has the layers, if any has.
    pub(super) fn store<'a>(&'a self, usual: &'a BlobStore) -> &'a BlobStore {
        self.scratch.as_ref().unwrap_or(usual)
    }
}

impl Place {
    /// A name is the store's if the store has it, else that of a registry, if it names its host.
    ///
    /// # Errors
    /// [`Code::NoSuchImage`] for a name that neither can be.
    pub(super) fn of(text: &str, store: &BlobStore) -> Result<Self, Diagnostic> {
        let end: End = match text.parse() {
            Ok(end) => end,
            // Other tools write names that are no references; they can be named as they stand.
            Err(_) => return Ok(Self::Store(Box::new(crate::cli::find(store, text)?))),
        };
        match &end {
            End::Store(name) => Ok(Self::Store(Box::new(crate::cli::find(store, name)?))),
            End::Registry(reference) if !text.starts_with("docker://") => {
                let names = store.names()?;
                let as_it_stands = names.into_iter().find(|named| named.name == text);
                let found = match as_it_stands {
                    Some(named) => Some(named),
                    None => store.resolve(reference)?,
                };
                match found {
                    Some(named) => Ok(Self::Store(Box::new(named))),
                    None if names_its_host(text, reference) => Ok(Self::End(end)),
                    None => Err(crate::cli::find(store, text).err().unwrap_or_else(|| {
                        Diagnostic::new(Code::NoSuchImage, format!("there is no image `{text}`"))
                    })),
                }
            }
            _ => Ok(Self::End(end)),
        }
    }

    /// The registry's name for it, if it is in one.
    pub(super) fn registry(&self) -> Option<&Reference> {
        match self {
            Self::End(End::Registry(reference)) => Some(reference),
            _ => None,
        }
    }

    /// The repository that something can be attached in.
    ///
    /// # Errors
    /// [`Code::Usage`] when it names none.
    pub(super) fn repository(&self, text: &str) -> Result<Reference, Diagnostic> {
        let none = || {
            Diagnostic::new(
                Code::Usage,
                format!("`--attach` is for images in a registry, and `{text}` names none"),
            )
            .hint(
                "push the image, and name it with its registry: `overcoat sbom --attach HOST/NAME`",
            )
        };
        match self {
            Self::End(End::Registry(reference)) => Ok(reference.clone()),
            Self::Store(named) => {
                let name = named.name.as_str();
                let reference: Reference = name.parse().map_err(|_| none())?;
                match names_its_host(name, &reference) || names_its_host(text, &reference) {
                    true => Ok(reference),
                    false => Err(none()),
                }
            }
            Self::End(_) => Err(none()),
        }
    }

    /// Reads the image's documents.
    ///
    /// # Errors
    /// What the place says, and [`image::Error::NoPlatform`].
    pub(super) fn find(
        &self,
        platform: Option<&Platform>,
        tools: &Tools<'_>,
        observer: &dyn Observer,
    ) -> Result<Found, Diagnostic> {
        let wanted = platform.cloned().unwrap_or_else(Platform::host);
        let scratch = || -> Result<BlobStore, Diagnostic> {
            Ok(BlobStore::open(&tools.store.workspace()?.join("sbom"))?)
        };
        let found = match self {
            Self::Store(named) => {
                let image = match tools.store.stored(&named.manifest)? {
                    Stored::Image(image) => *image,
                    Stored::Index(index) => {
                        let chosen = index.index().parsed.choose(&wanted)?.clone();
                        tools.store.image(&chosen)?
                    }
                };
                let mut origins = bases(&(&image).into());
                let own = named.name.parse::<Reference>().ok();
                origins.extend(own.filter(|own| names_its_host(&named.name, own)));
                Found {
                    image,
                    scratch: None,
                    origins,
                }
            }
            Self::End(End::Registry(reference)) => Found {
                image: remote(reference, wanted, tools, observer)?,
                scratch: None,
                origins: vec![reference.clone()],
            },
            Self::End(End::OciLayout { directory, name }) => {
                let scratch = scratch()?;
                let name = name.as_deref();
                Found {
                    image: oci_layout::read(directory, name, &wanted, &scratch)?,
                    scratch: Some(scratch),
                    origins: Vec::new(),
                }
            }
            Self::End(End::Archive(file)) => {
                from_file(file, Format::Both, &wanted, scratch()?, observer)?
            }
            Self::End(End::OciArchive(file)) => {
                from_file(file, Format::Oci, &wanted, scratch()?, observer)?
            }
            Self::End(End::DockerArchive(file)) => {
                from_file(file, Format::Docker, &wanted, scratch()?, observer)?
            }
            // `of` looks for it in the store.
            Self::End(End::Store(name)) => Found {
                image: tools
                    .store
                    .image(&crate::cli::find(tools.store, name)?.manifest)?,
                scratch: None,
                origins: Vec::new(),
            },
        };
        let is = found.image.config.parsed.platform();
        match platform {
            Some(wanted) if !is.satisfies(wanted) => Err(image::Error::NoPlatform {
                wanted: wanted.clone(),
                available: vec![is],
            }
            .into()),
            _ => Ok(found),
        }
    }
}

fn from_file(
    file: &std::path::Path,
    format: Format,
    wanted: &Platform,
    scratch: BlobStore,
    observer: &dyn Observer,
) -> Result<Found, Diagnostic> {
    Ok(Found {
        image: archive::read(file, format, None, wanted, &scratch, observer)?,
        scratch: Some(scratch),
        origins: Vec::new(),
    })
}

fn remote(
    reference: &Reference,
    wanted: Platform,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Image, Diagnostic> {
    let registry = tools.registry().map_err(crate::build::Error::from)?;
    let graph = registry.graph(reference, &Platforms::One(wanted), false, observer)?;
    let root = graph.tree.root();
    let unusable = |source| registry::Error::Document {
        subject: reference.to_string(),
        source: Box::new(source),
    };
    let config = Manifest::parse(&root.bytes).map_err(unusable)?.config;
    if !media_type::is_config(&config.media_type) {
        let config = config.media_type;
        return Err(unusable(image::Error::Artifact { config }).into());
    }
    let config = registry.blob(reference, &config, observer)?;
    let media_type = &root.descriptor.media_type;
    let image = Image::parse(media_type, root.bytes.clone(), config).map_err(unusable)?;
    Ok(image)
}

/// The base images that the manifests name.
pub(super) fn bases(content: &Content<'_>) -> Vec<Reference> {
    let annotations = content.images().iter();
    let annotations = annotations.map(|image| &image.manifest.parsed.annotations);
    annotations
        .filter_map(|annotations| annotations.get(BASE_NAME)?.parse().ok())
        .collect()
}

/// True when the registry is not the one that is meant where none is named.
fn names_its_host(text: &str, reference: &Reference) -> bool {
    let prefixes = ["docker://", "docker.io/", "index.docker.io/"];
    reference.host() != DEFAULT_REGISTRY || prefixes.iter().any(|it| text.starts_with(it))
}
