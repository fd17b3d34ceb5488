//! Content descriptors: media type, digest and size of a blob.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Error, Platform};
use crate::digest::Digest;

/// What a document says of a blob it points to.
///
/// # Spec
/// OCI image-spec `descriptor.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The blob's media type, as written.
    pub media_type: String,
    /// The blob's digest.
    pub digest: Digest,
    /// The blob's size in bytes.
    pub size: u64,
    /// Where else the blob may be fetched; used by foreign layers.
    pub urls: Vec<String>,
    /// Annotations, in the order of their keys.
    pub annotations: BTreeMap<String, String>,
    /// The platform, in entries of an index.
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor without annotations.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// A descriptor of `bytes` themselves.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Takes over what oci-spec read, with a digest that is known to be one.
    ///
    /// # Errors
    /// [`Error::Digest`] when the digest has an algorithm or a length that the specification does not register.
    pub fn from_oci(parsed: &oci_spec::image::Descriptor) -> Result<Self, Error> {
        let digest = parsed.digest().to_string().parse().map_err(Error::Digest)?;
        let platform = parsed.platform().as_ref().map(|platform| Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone(),
        });
        Ok(Self {
            media_type: parsed.media_type().to_string(),
            digest,
            size: parsed.size(),
            urls: parsed.urls().clone().unwrap_or_default(),
            annotations: parsed
                .annotations()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            platform,
        })
    }

    /// The JSON form.
    pub fn to_value(&self) -> Value {
        let mut value = Map::new();
        value.insert("mediaType".into(), json!(self.media_type));
        value.insert("digest".into(), json!(self.digest));
        value.insert("size".into(), json!(self.size));
        if !self.urls.is_empty() {
            value.insert("urls".into(), json!(self.urls));
        }
        if !self.annotations.is_empty() {
            value.insert("annotations".into(), json!(self.annotations));
        }
        if let Some(platform) = &self.platform {
            value.insert("platform".into(), json!(platform));
        }
        Value::Object(value)
    }
}
