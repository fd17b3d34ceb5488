//! `overcoat inspect --remote`: what a registry says of an image, without its layers.

use serde_json::{Value, json};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::inspect::{describe, print_raw};
use super::{observer, print_json, registry_client};
use crate::event::Observer;
use crate::image::graph::{Links, Platforms};
use crate::image::{Descriptor, Image, Platform, media_type};
use crate::reference::Reference;
use crate::registry::Error;

/// The media types of configurations that say what an image is made of.
const IMAGE_CONFIGURATIONS: [&str; 2] = [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG];

/// Shows an image, an index or an artifact.
pub(super) fn inspect(
    text: &str,
    platform: Option<&Platform>,
    is_raw: bool,
    shared: &Shared,
) -> Result<(), Diagnostic> {
    let reference: Reference = text.parse()?;
    let observer: Box<dyn Observer> = observer(shared, false)?;
    let registry = registry_client(shared)?;
    let document = match platform {
        None => registry.document(&reference, observer.as_ref())?,
        Some(platform) => {
            let platforms = Platforms::One(platform.clone());
            let graph = registry.graph(&reference, &platforms, false, observer.as_ref())?;
            graph.tree.root().clone()
        }
    };
    if is_raw {
        return print_raw(&document.bytes);
    }
    let unusable = |source| Error::Document {
        subject: reference.to_string(),
        source: Box::new(source),
    };
    let descriptor = &document.descriptor;
    let links = Links::parse(&descriptor.media_type, &document.bytes).map_err(unusable)?;
    let name = reference.to_string();
    if media_type::is_manifest(&descriptor.media_type)
        && let [config, ..] = links.blobs.as_slice()
        && IMAGE_CONFIGURATIONS.contains(&config.media_type.as_str())
    {
        let config = registry.blob(&reference, config, observer.as_ref())?;
        let image = Image::parse(&descriptor.media_type, document.bytes.clone(), config);
        return print_json(&describe(&name, &image.map_err(unusable)?));
    }
    print_json(&json!({
        "name": name,
        "digest": descriptor.digest,
        "media_type": descriptor.media_type,
        "artifact_type": links.artifact_type,
        "subject": links.subject.map(|subject| subject.digest),
        "manifests": entries(&links.manifests),
        "blobs": entries(&links.blobs),
        "annotations": links.annotations,
    }))
}

fn entries(descriptors: &[Descriptor]) -> Vec<Value> {
    let entries = descriptors.iter().map(|entry| {
        json!({
            "digest": entry.digest,
            "media_type": entry.media_type,
            "size_bytes": entry.size,
            "platform": entry.platform.as_ref().map(ToString::to_string),
            "annotations": entry.annotations,
        })
    });
    entries.collect()
}
