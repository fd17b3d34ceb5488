//! What an image is made of: a bill of materials from the databases that its layers carry. Nothing is executed, and no file
//! is guessed at.
//!
//! ```text
//!            the layers, lowest first
//!   layer ─scan─▶ Delta ─┐
//!   layer ─scan─▶ Delta ─┼─merge─▶ State ─collect─▶ Bom ─▶ CycloneDX 1.6 | SPDX 2.3
//!   layer ─scan─▶ Delta ─┘   (whiteouts)
//! ```
//!
//! | what | is read |
//! |---|---|
//! | Python distributions | `*.dist-info/METADATA` with `INSTALLER`, `REQUESTED`, `RECORD` and `direct_url.json` beside it; `*.egg-info`, `EGG-INFO/PKG-INFO` |
//! | Debian packages | `/var/lib/dpkg/status`, `/var/lib/dpkg/status.d/*`; licences of `/usr/share/doc/*/copyright` |
//! | Alpine packages | `/lib/apk/db/installed`, `/usr/lib/apk/db/installed` |
//! | interpreters | `*/bin/python3.N` with the version in it, in its library or in `patchlevel.h` |
//! | the distribution | `/etc/os-release`, `/usr/lib/os-release` |
//!
//! What is there and cannot be listed (packages of RPM, metadata that makes no sense) is said in the document. A layer is
//! read as a stream, once; what was found in it is kept ([`Cache`]) under the digests of it and of all below it.
//!
//! Invariants: the document depends only on the image's bytes and on the version of overcoat; memory is bounded whatever
//! the layers hold.

mod apk;
mod cache;
mod collect;
mod cyclonedx;
mod dpkg;
mod interpreter;
mod layers;
mod licence;
mod metadata;
mod origin;
mod os_release;
mod place;
mod purl;
mod referrer;
mod scan;
mod spdx;
mod state;
mod text;
mod time;

pub use cache::{CACHE, Cache};
pub use layers::{Layers, Local, Remote};
pub use licence::Licence;
pub use origin::{Hash, Origin};
pub use referrer::{Attached, attach};

use crate::digest::Digest;
use crate::event::Observer;
use crate::image::Image;
use crate::{image, layer, registry, store};

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CycloneDX 1.6, as JSON.
    CycloneDx,
    /// SPDX 2.3, as JSON.
    Spdx,
}

impl Format {
    /// Its media type, which is also the artifact type of a referrer.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::CycloneDx => "application/vnd.cyclonedx+json",
            Self::Spdx => "application/spdx+json",
        }
    }

    /// What files of it end in, as both projects recommend.
    pub fn extension(self) -> &'static str {
        match self {
            Self::CycloneDx => "cdx.json",
            Self::Spdx => "spdx.json",
        }
    }
}

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer cannot be read.
    #[error("cannot read the layer `{digest}`: {source}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What went wrong.
        source: Box<layer::Error>,
    },
    /// A layer is of a kind that overcoat does not read.
    #[error("the layer `{digest}` is a `{media_type}`, which cannot be read")]
    MediaType {
        /// The layer.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A layer is neither here, nor does anybody say where it is.
    #[error("the layer `{digest}` is not in the store, and no registry is known that has it")]
    Nowhere {
        /// The layer.
        digest: Digest,
    },
    /// More than any image has.
    #[error("the image has {limit}: that is no image, or a hostile one")]
    Extent {
        /// What there is too much of.
        limit: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A document that makes no sense.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A file of the cache cannot be written.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// A registry took a referrer and does not list it.
    #[error(
        "`{registry}` took the bill of materials `{referrer}` and does not list it for `{subject}`"
    )]
    Unlisted {
        /// The repository.
        registry: String,
        /// What was attached.
        referrer: Digest,
        /// What it was attached to.
        subject: Digest,
    },
}

/// All that is known of what is in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bom {
    /// The digest of the image's manifest.
    pub image: Digest,
    /// What the image calls itself: `org.opencontainers.image.title`, as annotation or label.
    pub title: Option<String>,
    /// When the image was made, RFC 3339 in UTC and whole seconds, if it says so.
    pub created: Option<String>,
    /// The distribution: `ID` and `VERSION_ID` of `os-release`.
    pub distribution: Option<Distribution>,
    /// What is in it, by package URL and place.
    pub components: Vec<Component>,
    /// What is there and could not be listed, a sentence each.
    pub unlisted: Vec<String>,
}

/// A Linux distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// `debian`.
    pub id: String,
    /// `12`; rolling ones have none.
    pub version: Option<String>,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub name: Option<String>,
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// A Python distribution.
    Python,
    /// A Debian package.
    Debian,
    /// An Alpine package.
    Alpine,
    /// A Python interpreter.
    Interpreter,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Where it comes from.
    pub ecosystem: Ecosystem,
    /// Its name as it says it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The package URL.
    ///
    /// # Spec
    /// package-url/purl-spec.
    pub purl: String,
    /// Its licences as declared.
    pub licences: Vec<Licence>,
    /// Hashes of the archive that it was installed from, when something says them.
    pub hashes: Vec<Hash>,
    /// Where it was installed from when that was no index: an `https` or `git+https` URL without credentials.
    pub url: Option<String>,
    /// The file of the image that says so.
    pub location: String,
    /// The layer that brought it.
    pub layer: Digest,
    /// More that is known, by the names that properties have: `installer`, `requested`, `record`, `architecture`,
    /// `provided-by`.
    pub facts: Vec<(&'static str, String)>,
}

/// The bill of materials of an image.
///
/// # Errors
/// [`Error::Layer`] for a layer that is damaged or hostile, [`Error::Extent`]; what `layers` says.
pub fn of(
    image: &Image,
    layers: &mut dyn Layers,
    cache: &Cache,
    observer: &dyn Observer,
) -> Result<Bom, Error> {
    let state = state::State::of(image, layers, cache, observer)?;
    collect::collect(image, &state)
}

/// The document for an image; that of an image that is known already is not made again.
///
/// # Errors
/// As [`of`].
pub fn document(
    image: &Image,
    format: Format,
    layers: &mut dyn Layers,
    cache: &Cache,
    observer: &dyn Observer,
) -> Result<Vec<u8>, Error> {
    if let Some(known) = cache.document(image.digest(), format) {
        return Ok(known);
    }
    let bom = of(image, layers, cache, observer)?;
    let document = write(&bom, format);
    cache.keep_document(image.digest(), format, &document)?;
    Ok(document)
}

/// The document for a bill of materials.
pub fn write(bom: &Bom, format: Format) -> Vec<u8> {
    let value = match format {
        Format::CycloneDx => cyclonedx::document(bom),
        Format::Spdx => spdx::document(bom),
    };
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text.into_bytes()
}

/// A UUID that stands for this image in this format, and for no other.
///
/// # Spec
/// RFC 9562, section 5.8 (version 8), with the bits of a SHA-256 as in its appendix B.2.
fn uuid(image: &Digest, format: Format) -> String {
    let name = format!("overcoat {} {} {image}", version(), format.media_type());
    let digest = Digest::of(name.as_bytes());
    let hex = digest.hex();
    let variant = match hex.as_bytes()[16] {
        b'0' | b'4' | b'8' | b'c' => '8',
        b'1' | b'5' | b'9' | b'd' => '9',
        b'2' | b'6' | b'a' | b'e' => 'a',
        _ => 'b',
    };
    format!(
        "{}-{}-8{}-{variant}{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

/// The version of overcoat, which a document tells: another one may find more.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(test)]
#[path = "samples.rs"]
mod samples;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
