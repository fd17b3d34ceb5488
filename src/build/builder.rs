//! Getting the builder image, from wherever it is named.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::find::{find_image, look};
use super::request::{BuildRequest, Push};
use super::s2i::PullPolicy;
use super::work::PreviousImage;
use super::{Error, Tools, base};
use crate::builder_image::recipe;
use crate::event::{Event, Observer, stage};
use crate::image::{Image, Index, Manifest, Platform, media_type};
use crate::output::{archive, oci_layout};
use crate::reference::{self, Reference};
use crate::registry::{Access, Layers};
use crate::store::{BlobStore, Named, Stored};

/// Where an image is: the grammar of `--build-image`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// `[host/]repository[:tag][@digest]`: the store's, if it has it, else the registry's.
    Reference(Reference),
    /// `oci:DIR[:NAME]`: an OCI image layout.
    OciLayout {
        /// The layout's directory.
        directory: PathBuf,
        /// Which of its images; needed when there are several.
        name: Option<String>,
    },
    /// `archive:FILE[:NAME]`, `oci-archive:FILE[:NAME]` (a tar of an OCI image layout), `docker-archive:FILE[:NAME]` (what
    /// `docker save` writes).
    Archive {
        /// Which of the formats.
        format: archive::Format,
        /// The file.
        file: PathBuf,
        /// Which of its images, by name or as `@N`; needed when there are several.
        name: Option<String>,
    },
    /// `builder:NAME`: a recipe, shipped with overcoat or, when it has a slash, a directory of one's own.
    Recipe(String),
}

impl FromStr for ImageSource {
    type Err = reference::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason: &str| {
            Err(reference::ParseError {
                text: text.to_owned(),
                reason: reason.to_owned(),
            })
        };
        match text.split_once(':') {
            Some(("oci" | "builder", "")) => refuse("nothing follows the colon"),
            Some(("oci", rest)) => {
                let (directory, name) = oci_layout::split_name(rest);
                Ok(Self::OciLayout {
                    directory: directory.into(),
                    name: name.map(str::to_owned),
                })
            }
            Some(("builder", name)) => Ok(Self::Recipe(name.to_owned())),
            Some((scheme, rest)) if let Some(format) = archive::Format::from_scheme(scheme) => {
                let (file, name) = oci_layout::split_name(rest);
                if file.is_empty() {
                    return refuse("no file follows the colon");
                }
                Ok(Self::Archive {
                    format,
                    file: file.into(),
                    name: name.map(str::to_owned),
                })
            }
            _ => Ok(Self::Reference(text.parse()?)),
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::OciLayout {
                directory,
                name: None,
            } => write!(f, "oci:{}", directory.display()),
            Self::OciLayout {
                directory,
                name: Some(name),
            } => write!(f, "oci:{}:{name}", directory.display()),
            Self::Archive { format, file, name } => {
                write!(f, "{}:{}", format.scheme(), file.display())?;
                match name {
                    Some(name) => write!(f, ":{name}"),
                    None => Ok(()),
                }
            }
            Self::Recipe(name) => write!(f, "builder:{name}"),
        }
    }
}

impl ImageSource {
    /// The name that may go into an image. Paths of this machine must not: they would change the digest from one
    /// machine to the next, and tell where it was built.
    fn portable_name(&self, image: &Image) -> String {
        match self {
            Self::Reference(reference) => reference.to_string(),
            Self::Recipe(name) if !name.contains('/') => self.to_string(),
            Self::OciLayout {
                name: Some(name), ..
            } => name.clone(),
            _ => image.digest().to_string(),
        }
    }
}

/// How much of an image in a registry is brought here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// Everything: its files will be needed.
    All,
    /// Manifest and configuration: enough to put layers on top. The layers stay where they are until somebody needs
    /// them ([`fetch_layers`](crate::registry::RegistryClient::fetch_layers), or a push to another registry).
    DocumentsOnly,
}

/// Brings an image into the store, with all its layers unless `bytes` says otherwise and it is in a registry; also its
/// name as it may be recorded.
///
/// With [`Bytes::DocumentsOnly`] a reference by tag that the store has no name for costs one request (two when the
/// configuration is new), one by digest none when it was asked for before. It gets no name in the store: names are
/// for what is complete.
///
/// # Errors
/// What the place says: [`Error::Registry`], [`Error::Output`] for layouts and archives, [`Error::Recipe`].
pub fn obtain(
    source: &ImageSource,
    platform: &Platform,
    bytes: Bytes,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(Image, String), Error> {
    let store = tools.store;
    let image = match source {
        ImageSource::Reference(_) => {
            let policy = PullPolicy::IfNotPresent;
            return find_image(source, platform, policy, bytes, tools, observer);
        }
        ImageSource::OciLayout { directory, name } => {
            oci_layout::read(directory, name.as_deref(), platform, store)?
        }
        ImageSource::Archive { format, file, name } => {
            let name = name.as_deref();
            archive::read(file, *format, name, platform, store, observer)?
        }
        ImageSource::Recipe(name) => {
            let recipe = recipe::find(name)?;
            let supplies = recipe::Supplies {
                store,
                http: tools.http()?,
                mirrors: &tools.mirrors,
                now: tools.now,
                threads: tools.threads,
            };
            recipe::materialise(
                &recipe,
                platform,
                &supplies,
                recipe::Refresh::IfAbsent,
                observer,
            )?
        }
    };
    named(source, platform, image)
}

/// Brings those layers of an image here that are elsewhere.
///
/// # Errors
/// [`Error::Registry`].
pub(super) fn fetch(
    image: &Image,
    origins: &[Reference],
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(), Error> {
    if tools.store.lacks(&image.into()).is_empty() {
        return Ok(());
    }
    let fetching = stage(observer, "pull", "layers that are needed here");
    let registry = tools.registry()?;
    registry.fetch_layers(image, origins, tools.store, observer)?;
    fetching.finish("");
    Ok(())
}

/// The image that a reference names now, as a cache; `None` when there is none, or none for the platform. One request;
/// for an index two.
///
/// # Errors
/// [`Error::Registry`] when the registry cannot be asked.
pub(super) fn previous(
    reference: &Reference,
    platform: &Platform,
    tools: &Tools<'_>,
    access: Access,
    observer: &dyn Observer,
) -> Result<Option<PreviousImage>, Error> {
    let registry = tools.registry()?;
    let Some(fetched) = registry.manifest(reference, access, observer)? else {
        return Ok(None);
    };
    let mut found = fetched.clone();
    if media_type::is_index(&found.descriptor.media_type) {
        let chosen = Index::parse(&found.bytes).and_then(|index| index.choose(platform).cloned());
        let Ok(chosen) = chosen else {
            return Ok(None);
        };
        let by_digest = reference.with_digest(chosen.digest);
        match registry.manifest(&by_digest, access, observer)? {
            Some(manifest) => found = manifest,
            None => return Ok(None),
        }
    }
    // What is not understood is no cache.
    let manifest = Manifest::parse(&found.bytes).ok();
    Ok(manifest.map(|manifest| PreviousImage {
        reference: reference.clone(),
        manifest,
        fetched,
    }))
}

/// The images that the person named as caches, as far as they are there: `--cache-from`, and what is about to be
/// replaced. Where the push is an operation of its own, a registry that cannot be asked for the latter is a warning.
///
/// # Errors
/// As [`previous`].
pub(super) fn previous_images(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<PreviousImage>, Error> {
    let mut references = request.cache.from.clone();
    if request.push.is_wanted() {
        for tag in &request.tags {
            // A name of its content has no predecessor; what its repository calls the latest is the nearest to one.
            if !references.contains(&tag.reference) {
                references.push(tag.reference.clone());
            }
        }
    }
    let is_later = matches!(request.push, Push::Later { .. });
    let mut found = Vec::new();
    for reference in references {
        let looking = stage(observer, "look at", reference.to_string());
        let access = match request.cache.from.contains(&reference) {
            true => Access::Pull,
            false => Access::PullAndPush,
        };
        let image = match previous(&reference, &request.platform, tools, access, observer) {
            // The build goes without, and the push that comes later says that the registry fails.
            Err(error) if access == Access::PullAndPush && is_later && !observer.is_cancelled() => {
                looking.finish("nobody knows");
                observer.observe(Event::Warning {
                    text: format!("layers of `{reference}` are not re-used: {error}"),
                    hint: None,
                });
                break;
            }
            image => image?,
        };
        looking.finish(match &image {
            Some(image) => format!("{} layers", image.manifest.layers.len()),
            None => "there is none yet".to_owned(),
        });
        found.extend(image);
    }
    Ok(found)
}

/// A builder image, its name as it may be recorded, and the images that are caches if it was necessary to look at them.
pub(super) struct Obtained {
    pub(super) image: Image,
    pub(super) name: String,
    pub(super) previous: Option<Vec<PreviousImage>>,
}

/// Brings a build's builder image here, without its layers where they may be elsewhere. A recipe that was not made on this
/// machine is not made when an image that is a cache carries the result.
///
/// # Errors
/// As [`obtain`] and [`previous`].
pub(super) fn obtain_for(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Obtained, Error> {
    let BuildRequest {
        builder, platform, ..
    } = request;
    let mut previous = None;
    let may_be_carried =
        request.cache.is_used && (request.push.is_wanted() || !request.cache.from.is_empty());
    if let ImageSource::Recipe(name) = builder
        && may_be_carried
    {
        let recipe = recipe::find(name)?;
        if recipe::made(&recipe, platform, tools.store)?.is_none() {
            let images = previous_images(request, tools, observer)?;
            let mut carried = images.iter().filter_map(|image| base::of(&image.manifest));
            if let Some(image) = carried.find(|image| recipe::is_of(&recipe, platform, image)) {
                tools.store.put_documents(&image)?;
                let (image, name) = named(builder, platform, image)?;
                return Ok(Obtained {
                    image,
                    name,
                    previous: Some(images),
                });
            }
            previous = Some(images);
        }
    }
    let policy = request.s2i.pull;
    let (image, name) = find_image(
        builder,
        platform,
        policy,
        Bytes::DocumentsOnly,
        tools,
        observer,
    )?;
    Ok(Obtained {
        image,
        name,
        previous,
    })
}

/// Where the layers of a builder image are that are not here: in its own repository, and with the images that were taken as
/// caches.
pub(super) fn origins(request: &BuildRequest, previous: &[PreviousImage]) -> Vec<Reference> {
    let runtime = request.s2i.runtime.as_ref().map(|runtime| &runtime.image);
    let images = [Some(&request.builder), runtime].into_iter().flatten();
    let own = images.filter_map(|image| match image {
        ImageSource::Reference(reference) => Some(reference.clone()),
        _ => None,
    });
    let previous = previous.iter().map(|image| image.reference.clone());
    own.chain(previous).collect()
}

/// Finds out what a builder image says of itself, and leaves no trace of having asked: enough for a plan. What has to
/// be read goes into `scratch`, a store to throw away; a recipe that was not made yet is described by itself.
///
/// # Errors
/// As [`obtain`].
pub(super) fn describe(
    source: &ImageSource,
    platform: &Platform,
    policy: PullPolicy,
    tools: &Tools<'_>,
    scratch: &BlobStore,
    observer: &dyn Observer,
) -> Result<(Image, String), Error> {
    let image = match source {
        ImageSource::Reference(reference) => {
            match look(reference, platform, policy, tools, scratch, observer)? {
                Some(image) => image,
                None => {
                    let registry = tools.registry()?;
                    registry.pull(reference, platform, scratch, Layers::None, observer)?
                }
            }
        }
        ImageSource::OciLayout { directory, name } => {
            oci_layout::read(directory, name.as_deref(), platform, scratch)?
        }
        ImageSource::Archive { format, file, name } => {
            let name = name.as_deref();
            archive::read(file, *format, name, platform, scratch, observer)?
        }
        ImageSource::Recipe(name) => recipe::outline(&recipe::find(name)?, platform, tools.store)?,
    };
    named(source, platform, image)
}

/// Checks that an image is for the platform, and gives it the name that may be recorded.
pub(super) fn named(
    source: &ImageSource,
    platform: &Platform,
    image: Image,
) -> Result<(Image, String), Error> {
    let have = image.config.parsed.platform();
    if !have.satisfies(platform) {
        return Err(Error::WrongPlatform {
            image: source.to_string(),
            have,
            wanted: platform.clone(),
        });
    }
    let name = source.portable_name(&image);
    Ok((image, name))
}

/// The store's image of that name, when it is for the platform and complete.
pub(super) fn in_store(
    reference: &Reference,
    platform: &Platform,
    tools: &Tools<'_>,
) -> Result<Option<Image>, Error> {
    let Some(Named { manifest, .. }) = tools.store.resolve(reference)? else {
        return Ok(None);
    };
    let image = match tools.store.stored(&manifest)? {
        Stored::Image(image) => Some(*image),
        Stored::Index(index) => index
            .images()
            .iter()
            .find(|image| image.config.parsed.platform().satisfies(platform))
            .cloned(),
    };
    let is_usable = |image: &Image| {
        image.config.parsed.platform().satisfies(platform)
            && tools.store.lacks(&image.into()).is_empty()
    };
    Ok(image.filter(is_usable))
}

/// Pulls an image and gives it its name in the store.
///
/// # Errors
/// [`Error::Registry`].
pub fn pull(
    reference: &Reference,
    platform: &Platform,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let stage = stage(observer, "pull", reference.to_string());
    let image = tools
        .registry()?
        .pull(reference, platform, tools.store, Layers::All, observer)?;
    tools.store.tag(
        reference,
        &image.manifest.descriptor,
        &image.config.parsed.platform(),
    )?;
    if reference.digest().is_none() {
        observer.observe(Event::Note {
            text: format!("`{reference}` is {}", image.digest()),
        });
    }
    stage.finish(image.digest().to_string());
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_print_as_they_parse() {
        for text in [
            "quay.io/org/builder:1",
            "oci:/a/dir",
            "oci:dir:name:tag",
            "oci-archive:/a.tar",
            "docker-archive:a.tar",
            "builder:python-3.11",
            "builder:./mine",
        ] {
            assert_eq!(text.parse::<ImageSource>().unwrap().to_string(), text);
        }
        for text in ["", "oci:", "builder:", "quay.io/UPPER"] {
            assert!(text.parse::<ImageSource>().is_err(), "{text:?}");
        }
    }
}
