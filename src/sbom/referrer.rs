//! A bill of materials as something that refers to an image in a registry.

use serde_json::json;

use super::{Error, Format};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::graph::{Platforms, Referrer};
use crate::image::{Descriptor, media_type};
use crate::reference::Reference;
use crate::registry::{RegistryClient, SendRequest};
use crate::store::BlobStore;

/// The configuration of artifacts that have none.
///
/// # Spec
/// OCI image-spec `manifest.md`, *Guidance for an Empty Descriptor*.
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// A file's name, on the layer that it is.
const TITLE: &str = "org.opencontainers.image.title";

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The digest of the referrer's manifest.
    pub digest: Digest,
    /// True when the registry had it, and listed it, before.
    pub was_there: bool,
}

/// The manifest that refers to `subject`: the same document gives the same bytes.
///
/// # Spec
/// OCI image-spec `manifest.md`, *Guidelines for Artifact Usage*.
fn manifest(subject: &Descriptor, format: Format, document: &Descriptor) -> Vec<u8> {
    let mut config = Descriptor::of(EMPTY_TYPE, EMPTY).to_value();
    config["data"] = json!("e30=");
    let mut layer = document.to_value();
    layer["annotations"] = json!({TITLE: format!("sbom.{}", format.extension())});
    let subject = Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": format.media_type(),
        "config": config,
        "layers": [layer],
        "subject": subject.to_value(),
    });
    manifest.to_string().into_bytes()
}

/// Puts a document beside the image that it is about, in the image's repository, and looks whether it is listed. `scratch`
/// is a store that is removed afterwards.
///
/// # Errors
/// [`Error::Registry`]: also when the image is not there, for nothing is attached to what is missing;
/// [`Error::Unlisted`].
///
/// # Spec
/// OCI distribution-spec, *Pushing Manifests with Subject*; where there is no such API, *Referrers Tag Schema*.
pub fn attach(
    subject: &Descriptor,
    (format, document): (Format, &[u8]),
    repository: &Reference,
    registry: &RegistryClient,
    scratch: &BlobStore,
    observer: &dyn Observer,
) -> Result<Attached, Error> {
    let at = |digest: &Digest| -> Reference { repository.with_digest(digest.clone()) };
    registry.resolve(&at(&subject.digest), observer)?;
    let blob = Descriptor::of(format.media_type(), document);
    let bytes = manifest(subject, format, &blob);
    let root = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
    let is_listed = || -> Result<bool, Error> {
        let listed = registry.referrers(repository, &subject.digest, None, observer)?;
        let is_it = |referrer: &Referrer| referrer.descriptor.digest == root.digest;
        Ok(listed.iter().any(is_it))
    };
    if is_listed()? {
        return Ok(Attached {
            digest: root.digest.clone(),
            was_there: true,
        });
    }
    scratch.put(&Descriptor::of(EMPTY_TYPE, EMPTY), EMPTY)?;
    scratch.put(&blob, document)?;
    scratch.put(&root, &bytes)?;
    let graph = scratch.graph(&root, &Platforms::All, false)?;
    let reference = at(&root.digest);
    let request = SendRequest {
        graph: &graph,
        reference: &reference,
        store: scratch,
        origin: None,
    };
    registry.send(&request, observer)?;
    if !is_listed()? {
        // It was there before, and nobody had put it into the list.
        registry.put_document(repository, graph.tree.root(), observer)?;
    }
    match is_listed()? {
        true => Ok(Attached {
            digest: root.digest.clone(),
            was_there: false,
        }),
        false => Err(Error::Unlisted {
            registry: repository.name(),
            referrer: root.digest.clone(),
            subject: subject.digest.clone(),
        }),
    }
}
