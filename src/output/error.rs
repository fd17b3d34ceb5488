//! Why a layout or an archive cannot be read or written.

use crate::image;
use crate::store;

/// Why a layout or an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The file is no such archive or layout, or holds what none may hold.
    #[error("`{path}` is not an {format}: {reason}")]
    Format {
        /// What was expected: `OCI image layout`, `OCI archive`, `image archive of Docker's`, `image archive`.
        format: &'static str,
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Bytes in it are not those that its documents name.
    #[error("`{path}` is damaged: {source}")]
    Damaged {
        /// The file.
        path: String,
        /// Which bytes, and how.
        source: store::Error,
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
    /// An archive is to be written for engines that find images by their names, and there is none.
    #[error("cannot write `{path}`: the image has no name, and whoever loads it could not find it")]
    Nameless {
        /// The file.
        path: String,
    },
    /// A name that engines cannot give to an image.
    #[error("cannot give an image in `{path}` the name `{name}`: {reason}")]
    Name {
        /// The file, or the engine.
        path: String,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
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
            Self::Store(error) | Self::Damaged { source: error, .. } => error.is_full(),
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
            Self::NoSuchImage { path, .. } => vec![format!(
                "name one of them behind a colon, as in `oci-archive:{path}:NAME`, or the first by its number: `@0`"
            )],
            Self::File(error) if error.is_absent() => vec![
                "check the path; in `oci-archive:FILE:NAME`, what follows the second colon is a name"
                    .to_owned(),
            ],
            Self::Format {
                hint: Some(hint), ..
            } => vec![(*hint).to_owned()],
            Self::Damaged { .. } => vec!["have it written, or copied, once more".to_owned()],
            Self::Platforms { .. } => vec![
                "write an `archive:`, `oci-archive:` or `oci:` instead, or build for one platform"
                    .to_owned(),
            ],
            Self::Nameless { .. } => {
                vec!["give it a name: `-t NAME`, or `archive:FILE:NAME`".to_owned()]
            }
            Self::Name { .. } => vec![
                "a name is written `[HOST[:PORT]/]NAME[:TAG]`, for instance `registry.example.com/team/app:1.0`"
                    .to_owned(),
            ],
            _ => Vec::new(),
        }
    }
}
