//! `-o TYPE:PATH`: places to write an image to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::archive::{self, Format};
use super::{Error, oci_layout};
use crate::event::Observer;
use crate::image::Content;
use crate::store::BlobStore;

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
    /// `archive:FILE[:NAME]`, `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:NAME]`: one file.
    Archive {
        /// Which of the formats.
        format: Format,
        /// The file.
        file: PathBuf,
        /// The image's name in it; the build's names when not given.
        name: Option<String>,
    },
}

/// Why a text is not a destination.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` is not an output: expected `archive:FILE`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`"
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
        let (kind, rest) = text.split_once(':').ok_or_else(refuse)?;
        let (path, name) = oci_layout::split_name(rest);
        if path.is_empty() {
            return Err(refuse());
        }
        let name = name.map(str::to_owned);
        match (kind, Format::from_scheme(kind)) {
            ("oci", _) => Ok(Self::OciLayout {
                directory: path.into(),
                name,
            }),
            (_, Some(format)) => Ok(Self::Archive {
                format,
                file: path.into(),
                name,
            }),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, name) = match self {
            Self::OciLayout { directory, name } => ("oci", directory, name),
            Self::Archive { format, file, name } => (format.scheme(), file, name),
        };
        write!(f, "{scheme}:{}", path.display())?;
        match name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

impl Destination {
    /// Writes an image, or an index with its images, from the store. Files appear whole or not at all.
    ///
    /// # Errors
    /// [`Error`]; [`crate::store::Error::Mismatch`] within it when the store's bytes are damaged, [`Error::Platforms`]
    /// for an index into a Docker archive, [`Error::Nameless`] and [`Error::Name`] for names that nobody could use.
    pub fn write<'a>(
        &self,
        content: impl Into<Content<'a>>,
        names: &[String],
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let content = &content.into();
        let (Self::OciLayout { name, .. } | Self::Archive { name, .. }) = self;
        let names = name.as_ref().map_or(names, std::slice::from_ref);
        match self {
            Self::OciLayout { directory, .. } => {
                oci_layout::write(directory, content, names, store, observer)
            }
            Self::Archive { format, file, .. } => {
                archive::write(file, *format, content, names, store, observer)
            }
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
            "archive:a.tar",
            "archive:/x/a.tar:host.example:5000/app:1",
            "oci-archive:a.tar",
            "docker-archive:/a b.tar",
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["", "oci", "oci:", "archive::name", "tar:x", "docker://x"] {
            assert!(text.parse::<Destination>().is_err(), "{text:?}");
        }
    }
}
