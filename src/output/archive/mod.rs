//! Images in one file: tars of an OCI layout, the archives of `docker save`, and one that is both.
//!
//! Members of an archive are looked up, never unpacked: nothing in it becomes a path on this machine. Bytes are found by
//! what the documents say of them and are checked against it. What is written has fixed headers in a fixed order.
//! docs/archives.md says which reader takes what, and why the files are as they are.

mod docker;
mod members;
mod oci;
mod plain;
mod plan;
mod write;

pub use plan::Plan;
pub use write::{plan, write, write_graph};

use std::path::Path;

use super::Error;
use super::names::Wanted;
use crate::digest::{Digest, Mismatch};
use crate::event::Observer;
use crate::image::{Image, Index, Platform};
use crate::store::{BlobStore, Stored};
use members::Members;

/// The kinds of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `archive:`. Written: an OCI image layout and Docker's `manifest.json` over the same blobs, which containerd, k3d,
    /// kind, Docker, podman and skopeo all load under the right name. Read: whichever of the two it is, the layout first.
    Both,
    /// `oci-archive:`, a tar of an OCI image layout.
    Oci,
    /// `docker-archive:`, what `docker save` wrote before Docker 25. Written with uncompressed layers.
    Docker,
}

impl Format {
    /// The text before the colon that names it.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Both => "archive",
            Self::Oci => "oci-archive",
            Self::Docker => "docker-archive",
        }
    }

    /// The inverse of [`Self::scheme`].
    pub fn from_scheme(scheme: &str) -> Option<Self> {
        let all = [Self::Both, Self::Oci, Self::Docker];
        all.into_iter().find(|format| format.scheme() == scheme)
    }

    /// What it is called in messages, behind `an`.
    fn describe(self) -> &'static str {
        match self {
            Self::Both => "image archive",
            Self::Oci => "OCI archive",
            Self::Docker => "image archive of Docker's",
        }
    }
}

/// Brings the image for a platform from an archive into the store. `name` chooses among several: a name as it stands in
/// the archive, one that means the same, or `@N` for the one at a place. What `format` is not given is found out.
///
/// The archive may be compressed as a whole (gzip, zstd, xz), and need not be a regular file; a temporary copy in the
/// store is made then.
///
/// # Errors
/// [`Error::Format`] for files that are no such archive or hold what none may hold, [`Error::NoSuchImage`] with the names
/// that there are, [`Error::Damaged`] for bytes that are not what the documents say.
pub fn read(
    file: &Path,
    format: Format,
    name: Option<&str>,
    platform: &Platform,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let members = Members::open(file, format, store, observer)?;
    let wanted = Wanted::parse(name);
    match members.format()? {
        Format::Docker => docker::read(&members, wanted, store, observer),
        _ => oci::read(&members, wanted, platform, store, observer),
    }
}

/// Brings the one image of an archive that a container engine wrote into the store, if it is the one that the engine calls
/// `id`: by the digest of its configuration, of its manifest, or of the index that lists it. Podman writes another
/// configuration than it has: then the layers must be those of `diff_ids`, if the engine has said any.
///
/// # Errors
/// As [`read`]; [`Error::Damaged`] for another image.
pub fn read_identified(
    file: &Path,
    id: &Digest,
    diff_ids: &[Digest],
    platform: &Platform,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let members = Members::open(file, Format::Both, store, observer)?;
    let wanted = Wanted::parse(None);
    let (image, roots) = match members.format()? {
        Format::Docker => (docker::read(&members, wanted, store, observer)?, Vec::new()),
        _ => (
            oci::read(&members, wanted, platform, store, observer)?,
            oci::roots(&members)?,
        ),
    };
    let config = &image.config.descriptor.digest;
    let mut layers = image.layers().map(|(_, diff_id)| &diff_id.0);
    let has_those_layers = !diff_ids.is_empty() && layers.by_ref().eq(diff_ids);
    drop(layers);
    if config == id || image.digest() == id || roots.contains(id) || has_those_layers {
        return Ok(image);
    }
    Err(Error::Damaged {
        path: members.shown(),
        source: crate::store::Error::Mismatch(Mismatch::Digest {
            expected: id.clone(),
            found: config.clone(),
        }),
    })
}

/// As [`read`], with the images for all platforms where the name stands for several.
///
/// # Errors
/// As [`read`]; [`Error::Format`] also when an image that an index lists is not in the archive.
pub fn read_all(
    file: &Path,
    format: Format,
    name: Option<&str>,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Stored, Error> {
    let members = Members::open(file, format, store, observer)?;
    let wanted = Wanted::parse(name);
    match members.format()? {
        Format::Docker => {
            let image = docker::read(&members, wanted, store, observer)?;
            Ok(Stored::Image(Box::new(image)))
        }
        _ => oci::read_all(&members, wanted, store, observer),
    }
}

/// Copies every blob of an OCI archive into the store, whatever it belongs to; the archive's index.
///
/// # Errors
/// As [`read`].
pub fn unpack_oci(file: &Path, store: &BlobStore, observer: &dyn Observer) -> Result<Index, Error> {
    oci::unpack(
        &Members::open(file, Format::Oci, store, observer)?,
        store,
        observer,
    )
}

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;
#[cfg(test)]
#[path = "read_tests.rs"]
mod read_tests;
#[cfg(test)]
#[path = "write_tests.rs"]
mod write_tests;
