//! What a build has done.

use serde::{Deserialize, Serialize};

use super::request::Tag;
use crate::digest::Digest;
use crate::image::Content;
use crate::image::edit::NewLayer;

/// The annotations that tell what an image was made from.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// The result of a build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildReport {
    /// The image's digest: that of its manifest, or of the index for several platforms.
    pub digest: Digest,
    /// The media type of that manifest or index.
    pub media_type: String,
    /// Its size in bytes.
    pub manifest_bytes: u64,
    /// The image of each platform.
    pub images: Vec<ReportedImage>,
    /// What the image was made from, as its annotations say: name and digest.
    pub base: Option<(String, String)>,
    /// `NAME@DIGEST` for every name, as the names were typed.
    pub references: Vec<String>,
    /// The names, with their tags.
    pub names: Vec<String>,
    /// The images in whose registries layers may be that are not in the store.
    #[serde(default)]
    pub origins: Vec<String>,
    /// True when the names were pushed.
    pub is_pushed: bool,
    /// True when no step had to be done.
    pub is_unchanged: bool,
    /// The layers on top of the builder's, lowest first.
    pub layers: Vec<ReportedLayer>,
    /// The size of all layers in bytes, compressed.
    pub size_bytes: u64,
    /// True when `--incremental` took artifacts from the previous image.
    pub took_artifacts: bool,
}

/// The image of one platform.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportedImage {
    /// `OS/ARCHITECTURE`.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The digest of its configuration: what container engines call the image's id.
    pub configuration: Digest,
}

/// A layer that the build made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportedLayer {
    /// What made it.
    pub created_by: String,
    /// The digest of the blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl BuildReport {
    pub(super) fn new(content: &Content<'_>, layers: &[NewLayer], tags: &[Tag]) -> Self {
        let descriptor = content.descriptor();
        let digest = descriptor.digest.clone();
        let images = content.images();
        let annotations = images
            .first()
            .map(|image| &image.manifest.parsed.annotations);
        let annotation = |key: &str| annotations.and_then(|it| it.get(key).cloned());
        Self {
            media_type: descriptor.media_type.clone(),
            manifest_bytes: descriptor.size,
            images: images
                .iter()
                .map(|image| ReportedImage {
                    platform: image.config.parsed.platform().to_string(),
                    digest: image.digest().clone(),
                    configuration: image.config.descriptor.digest.clone(),
                })
                .collect(),
            base: annotation(BASE_NAME).zip(annotation(BASE_DIGEST)),
            names: tags.iter().map(|tag| tag.reference.to_string()).collect(),
            origins: Vec::new(),
            is_pushed: false,
            is_unchanged: false,
            references: tags
                .iter()
                .map(|tag| format!("{}@{digest}", tag.typed))
                .collect(),
            layers: layers
                .iter()
                .map(|layer| ReportedLayer {
                    created_by: layer.created_by.clone(),
                    digest: layer.descriptor.digest.clone(),
                    size_bytes: layer.descriptor.size,
                })
                .collect(),
            size_bytes: content.layers().iter().map(|layer| layer.size).sum(),
            took_artifacts: false,
            digest,
        }
    }
}
