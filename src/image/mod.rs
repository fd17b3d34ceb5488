//! The OCI documents, as data; no I/O.
//!
//! The bytes are the identity: a document is kept as the exact bytes it came in, beside its parsed view
//! ([`Raw`]). Only [`edit`] makes new bytes, and only for a new document.

mod config;
mod content;
mod descriptor;
pub mod edit;
pub mod graph;
mod manifest;
pub mod media_type;
mod platform;

pub use config::ImageConfiguration;
pub use content::{Content, ImageIndex};
pub use descriptor::Descriptor;
pub use manifest::{Index, MAX_DOCUMENT_BYTES, Manifest};
pub use platform::{ParseError as PlatformParseError, Platform};

use crate::digest::{self, Digest};

/// Why a document is not what it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not JSON, or not of the document's shape.
    #[error("the {document} cannot be read: {reason}")]
    Json {
        /// Which document.
        document: &'static str,
        /// What the reader said.
        reason: String,
    },
    /// A digest that is none.
    #[error("a descriptor is invalid: {0}")]
    Digest(digest::ParseError),
    /// The manifest and the configuration do not belong together.
    #[error("the manifest lists {layers} layers but the configuration {diff_ids} diff ids")]
    Layers {
        /// Layers in the manifest.
        layers: usize,
        /// Diff ids in the configuration.
        diff_ids: usize,
    },
    /// The configuration's bytes are not those that the manifest names.
    #[error("the configuration has the digest `{found}` but the manifest names `{expected}`")]
    Config {
        /// The digest in the manifest.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The media type is none that holds an image.
    #[error("`{media_type}` is not the media type of an image manifest")]
    MediaType {
        /// What was given.
        media_type: String,
    },
    /// A manifest of something else than an image: a chart, a signature, a bill of materials.
    #[error("it is no image but an artifact: its configuration is `{config}`")]
    Artifact {
        /// The configuration's media type.
        config: String,
    },
    /// An index and the images that are to belong to it do not agree.
    #[error(
        "the index lists {listed} images, and they are not the {given} that were given, in this order"
    )]
    Listed {
        /// Entries of the index.
        listed: usize,
        /// Images given.
        given: usize,
    },
    /// Two images of an index are for the same platform.
    #[error("two images of the index are for `{platform}`, and only one can be")]
    SamePlatform {
        /// The platform.
        platform: Platform,
    },
    /// A listed document is something else than the list says.
    #[error("`{digest}` is listed as {listed} but is {found}")]
    Entry {
        /// The document.
        digest: Digest,
        /// Media type and size in the list.
        listed: String,
        /// Media type and size found.
        found: String,
    },
    /// More than is read of one image.
    #[error("it has {limit}")]
    Extent {
        /// What there is too much of.
        limit: String,
    },
    /// No image for the wanted platform.
    #[error("there is no image for `{wanted}`{}", list(available))]
    NoPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<Platform>,
    },
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return String::new();
    }
    let names: Vec<_> = platforms
        .iter()
        .map(|platform| format!("`{platform}`"))
        .collect();
    format!(", only for {}", names.join(", "))
}

/// Seconds since 1970 as documents write times: `1980-01-01T00:00:00Z`.
///
/// # Spec
/// RFC 3339, section 5.6; the calendar is the proleptic Gregorian one.
pub fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's `civil_from_days`: years that begin in March, in cycles of 400.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

/// A document: its exact bytes, their descriptor, and what they say.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw<T> {
    /// The bytes as they came or were made.
    pub bytes: Vec<u8>,
    /// Media type, digest and size of the bytes.
    pub descriptor: Descriptor,
    /// The parsed view; never written.
    pub parsed: T,
}

/// One image: a manifest and its configuration, which agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The manifest.
    pub manifest: Raw<Manifest>,
    /// The configuration.
    pub config: Raw<ImageConfiguration>,
}

impl Image {
    /// Puts a manifest and its configuration together.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration is not the one the manifest names, [`Error::Layers`] when the
    /// numbers of layers differ.
    pub fn new(manifest: Raw<Manifest>, config: Raw<ImageConfiguration>) -> Result<Self, Error> {
        let expected = &manifest.parsed.config.digest;
        let mut digester = digest::Digester::new(expected.algorithm());
        digester.update(&config.bytes);
        let found = digester.finish();
        if *expected != found {
            return Err(Error::Config {
                expected: expected.clone(),
                found,
            });
        }
        let (layers, diff_ids) = (manifest.parsed.layers.len(), config.parsed.diff_ids().len());
        if layers != diff_ids {
            return Err(Error::Layers { layers, diff_ids });
        }
        Ok(Self { manifest, config })
    }

    /// Reads an image from the bytes of its two documents.
    ///
    /// # Errors
    /// What either document's reader says, and as [`Image::new`].
    pub fn parse(
        manifest_media_type: &str,
        manifest: Vec<u8>,
        config: Vec<u8>,
    ) -> Result<Self, Error> {
        if !media_type::is_manifest(manifest_media_type) {
            return Err(Error::MediaType {
                media_type: manifest_media_type.to_owned(),
            });
        }
        let parsed = Manifest::parse(&manifest)?;
        let config = Raw {
            descriptor: parsed.config.clone(),
            parsed: ImageConfiguration::parse(&config)?,
            bytes: config,
        };
        let manifest = Raw {
            descriptor: Descriptor::of(manifest_media_type, &manifest),
            parsed,
            bytes: manifest,
        };
        Self::new(manifest, config)
    }

    /// The digest that names the image: that of the manifest's bytes.
    pub fn digest(&self) -> &Digest {
        &self.manifest.descriptor.digest
    }

    /// The layers with their diff ids, base first.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = (&Descriptor, &digest::DiffId)> {
        self.manifest
            .parsed
            .layers
            .iter()
            .zip(self.config.parsed.diff_ids())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_documents_write_them() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (315_532_800, "1980-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ];
        for (seconds, text) in table {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
