//! Lists of what refers to a manifest.
//!
//! # Spec
//! OCI distribution-spec, *Listing Referrers* and *Referrers Tag Schema*.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Document, Links};
use crate::digest::Digest;
use crate::image::{Descriptor, Error, Index, media_type};

/// An entry of a list of referrers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The referrer's manifest, with its annotations.
    pub descriptor: Descriptor,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
}

impl Referrer {
    /// The entry for a manifest.
    ///
    /// # Spec
    /// OCI distribution-spec, *Listing Referrers* and *Referrers Tag Schema*: `artifactType`, else the configuration's
    /// media type, and the manifest's annotations.
    pub fn of(document: &Document) -> Result<Self, Error> {
        let links = Links::parse(&document.descriptor.media_type, &document.bytes)?;
        let Descriptor {
            media_type,
            digest,
            size,
            ..
        } = document.descriptor.clone();
        let mut descriptor = Descriptor::new(media_type, digest, size);
        descriptor.annotations = links.annotations;
        Ok(Self {
            descriptor,
            artifact_type: links.artifact_type,
        })
    }

    /// Reads the entries of a list of referrers.
    ///
    /// # Errors
    /// As [`Index::parse`].
    pub fn list(index: &[u8]) -> Result<Vec<Self>, Error> {
        let parsed = Index::parse(index)?;
        // oci-spec's reading was successful, so this is an object with a list.
        let value: Value = serde_json::from_slice(index).unwrap_or_default();
        let artifact_type = |position: usize| {
            let text = value["manifests"][position]["artifactType"].as_str();
            text.map(str::to_owned)
        };
        let entries = parsed.manifests.into_iter().enumerate();
        Ok(entries
            .map(|(position, descriptor)| Self {
                descriptor,
                artifact_type: artifact_type(position),
            })
            .collect())
    }

    /// The JSON form: a descriptor with `artifactType`.
    pub fn to_value(&self) -> Value {
        let mut value = self.descriptor.to_value();
        if let (Some(artifact_type), Some(object)) = (&self.artifact_type, value.as_object_mut()) {
            object.insert("artifactType".to_owned(), json!(artifact_type));
        }
        value
    }

    /// A list of referrers with `new` added to what `existing` has, which keeps its entries and fields as they are;
    /// `None` when all of `new` is in it.
    ///
    /// # Errors
    /// As [`Index::parse`] for an `existing` that is no index.
    ///
    /// # Spec
    /// OCI distribution-spec, *Referrers Tag Schema*.
    pub fn add_to(existing: Option<&[u8]>, new: &[Self]) -> Result<Option<Vec<u8>>, Error> {
        let mut have: BTreeSet<Digest> = BTreeSet::new();
        let mut list: Value = match existing {
            Some(bytes) => {
                let entries = Index::parse(bytes)?.manifests;
                have.extend(entries.into_iter().map(|entry| entry.digest));
                serde_json::from_slice(bytes).unwrap_or_default()
            }
            None => json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [],
            }),
        };
        let missing: Vec<Value> = new
            .iter()
            .filter(|referrer| have.insert(referrer.descriptor.digest.clone()))
            .map(Self::to_value)
            .collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let fields: Option<&mut Map<String, Value>> = list.as_object_mut();
        if let Some(entries) = fields
            .and_then(|fields| fields.get_mut("manifests"))
            .and_then(Value::as_array_mut)
        {
            entries.extend(missing);
        }
        Ok(Some(list.to_string().into_bytes()))
    }

    /// The list without the entries for `gone`; the others, and all fields, stay as they are.
    ///
    /// # Errors
    /// As [`Index::parse`].
    pub fn remove_from(existing: &[u8], gone: &Digest) -> Result<Vec<u8>, Error> {
        Index::parse(existing)?;
        let mut list: Value = serde_json::from_slice(existing).unwrap_or_default();
        if let Some(entries) = list.get_mut("manifests").and_then(Value::as_array_mut) {
            let gone = gone.to_string();
            entries.retain(|entry| entry["digest"] != gone.as_str());
        }
        Ok(list.to_string().into_bytes())
    }
}

/// The tag under which a registry without the referrers API, or a layout, keeps the list of what refers to `subject`.
///
/// # Spec
/// OCI distribution-spec, *Referrers Tag Schema*: algorithm and digits, cut to 32 and 64 characters.
pub fn referrers_tag(subject: &Digest) -> String {
    let digits = subject.hex().get(..64).unwrap_or(subject.hex());
    format!("{}-{digits}", subject.algorithm().name())
}

/// True for what [`referrers_tag`] gives.
pub fn is_referrers_tag(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    matches!(
        name.split_once('-'),
        Some(("sha256" | "sha512", digits)) if digits.len() == 64 && digits.bytes().all(is_digit)
    )
}
