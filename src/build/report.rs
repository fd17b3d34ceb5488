//! What a build has done.

use serde::Serialize;

use super::request::Tag;
use crate::digest::Digest;
use crate::image::Content;
use crate::image::edit::NewLayer;

/// The result of a build.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// The image's digest: that of its manifest, or of the index for several platforms.
    pub digest: Digest,
    /// `NAME@DIGEST` for every name, as the names were typed.
    pub references: Vec<String>,
    /// The layers on top of the builder's, lowest first.
    pub layers: Vec<ReportedLayer>,
    /// The size of all layers in bytes, compressed.
    pub size_bytes: u64,
    /// True when `--incremental` took artifacts from the previous image.
    pub took_artifacts: bool,
}

/// A layer that the build made.
#[derive(Clone, Debug, Serialize)]
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
        let digest = content.descriptor().digest.clone();
        Self {
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
