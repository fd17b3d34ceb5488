//! Where images go, and the files they come from: layouts and archives, each format's two directions side by side.

pub mod archive;
pub mod oci_layout;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::event::Observer;
use crate::image::{self, Content};
use crate::store::{self, BlobStore};

/// A place to write an image to: `-o TYPE:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `oci:DIR[:NAME]`: an OCI image layout, added to if it exists.
    OciLayout {
        /// The layout's directory.
        directory: PathBuf,
        /// The image's name in it; the build's names when not given.
        name: Option<String>,
    },
    /// `oci-archive:FILE`: a tar of an OCI image layout.
    OciArchive(PathBuf),
    /// `docker-archive:FILE`: what `docker load` reads.
    DockerArchive(PathBuf),
}

/// Why a layout or an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The file is no such archive or layout.
    #[error("`{path}` is not an {format}: {reason}")]
    Format {
        /// What was expected: `OCI image layout`, `OCI archive`, `image archive of Docker's`.
        format: &'static str,
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A document in it cannot be used.
    #[error("the image in `{path}` cannot be used: {source}")]
    Image {
        /// The file.
        path: String,
        /// What is wrong.
        source: image::Error,
    },
    /// It holds several images, or none of that name.
    #[error("`{path}` has no image {wanted}; it has {available}")]
    NoSuchImage {
        /// The file.
        path: String,
        /// What was looked for.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// A layer cannot be carried by the format.
    #[error("cannot write the layer `{digest}` to a Docker archive: {reason}")]
    Layer {
        /// The layer.
        digest: crate::digest::Digest,
        /// Why.
        reason: String,
    },
    /// An index for a format that holds one platform.
    #[error("cannot write `{path}`: an archive of Docker's holds an image for one platform only")]
    Platforms {
        /// The file.
        path: String,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// True when the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::File(error) => error.is_full(),
            Self::Store(error) => error.is_full(),
            _ => false,
        }
    }

    /// True when what was named does not exist.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::File(error) => error.is_absent(),
            Self::NoSuchImage { .. } => true,
            _ => false,
        }
    }

    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(store::Error::NotAStore { .. }) => {
                vec!["write to a new directory or an existing OCI image layout".to_owned()]
            }
            Self::NoSuchImage { .. } => vec!["name one of them: `oci:DIR:NAME`".to_owned()],
            Self::File(error) if error.is_absent() => vec!["check the path".to_owned()],
            Self::Platforms { .. } => vec![
                "write an `oci-archive:` or `oci:` instead, or build for one platform".to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}

/// Why a text is not a destination.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` is not an output: expected `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`"
)]
pub struct ParseError {
    /// What was given.
    pub text: String,
}

impl FromStr for Destination {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            text: text.to_owned(),
        };
        let (kind, path) = text
            .split_once(':')
            .filter(|(_, path)| !path.is_empty())
            .ok_or_else(refuse)?;
        match kind {
            "oci" => {
                let (directory, name) = oci_layout::split_name(path);
                Ok(Self::OciLayout {
                    directory: directory.into(),
                    name: name.map(str::to_owned),
                })
            }
            "oci-archive" => Ok(Self::OciArchive(path.into())),
            "docker-archive" => Ok(Self::DockerArchive(path.into())),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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

impl Destination {
    /// Writes an image, or an index with its images, from the store. Files appear whole or not at all.
    ///
    /// # Errors
    /// [`Error`]; [`store::Error::Mismatch`] within it when the store's bytes are damaged, [`Error::Platforms`] for an
    /// index into a Docker archive.
    pub fn write<'a>(
        &self,
        content: impl Into<Content<'a>>,
        names: &[String],
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let content = &content.into();
        match self {
            Self::OciLayout { directory, name } => {
                let named = name.as_ref().map(std::slice::from_ref);
                oci_layout::write(directory, content, named.unwrap_or(names), store, observer)
            }
            Self::OciArchive(file) => archive::write_oci(file, content, names, store, observer),
            Self::DockerArchive(file) => match content.images() {
                [image] if !content.is_index() => {
                    archive::write_docker(file, image, names, store, observer)
                }
                _ => Err(Error::Platforms {
                    path: file.display().to_string(),
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_print_as_they_parse_and_nothing_else_parses() {
        for text in [
            "oci:dir",
            "oci:/a/dir:name:tag",
            "oci-archive:a.tar",
            "docker-archive:/a b.tar",
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["", "oci", "oci:", "tar:x", "docker://x"] {
            assert!(text.parse::<Destination>().is_err(), "{text:?}");
        }
    }
}
