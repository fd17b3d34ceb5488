//! `/tmp/.s2i/image_metadata.json`: labels that `assemble` gives to the image.
//!
//! They are part of what the step made, so they travel with its layers: as an annotation of the uppermost one, sealed like
//! the others, for a later build that does not run the step again.
//!
//! # Spec
//! `s2i-compat.md` §2.12.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::image::edit::NewLayer;
use crate::layer::change::Change;
use crate::layer::{EntryPath, Kind};

/// Where the script writes it, below the root.
const FILE: &str = "tmp/.s2i/image_metadata.json";
/// On a layer: the labels, as a JSON object.
pub(in crate::build) const LABELS: &str = "io.overcoat.labels";
/// The largest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// So many bytes of names and values may the labels of an image have.
const MAX_LABELS: usize = 10_240;

/// Why the labels of a script cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The file is not what it should be.
    #[error("`/{FILE}`, which `assemble` wrote, cannot be used: {0}")]
    File(String),
    /// There are too many.
    #[error("the labels of the image would have {0} bytes, and {MAX_LABELS} are allowed")]
    TooLarge(usize),
}

impl MetadataError {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(_) => r#"it should read `{"labels": [{"name": "value"}]}`"#,
            Self::TooLarge(_) => "let `assemble` set fewer or shorter labels",
        };
        vec![hint.to_owned()]
    }
}

/// The labels that a step wrote down; empty when it wrote none.
///
/// # Errors
/// [`MetadataError::File`].
pub(super) fn written(changes: &[Change]) -> Result<BTreeMap<String, String>, MetadataError> {
    let refuse = |reason: &dyn ToString| MetadataError::File(reason.to_string());
    let file = EntryPath::parse(FILE.as_bytes()).map_err(|error| refuse(&error))?;
    let found = changes.iter().find_map(|change| match change {
        Change::Present { entry, content } if entry.path == file => Some((entry, content)),
        _ => None,
    });
    match found {
        None => Ok(BTreeMap::new()),
        Some((entry, Some(path))) if matches!(entry.kind, Kind::File { .. }) => {
            let bytes = crate::fs::read_limited(path, MAX_FILE);
            let bytes = bytes.map_err(|error| refuse(&crate::fs::reason(&error.source)))?;
            parse(&bytes)
        }
        Some(_) => Err(refuse(&"it is not a file")),
    }
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, MetadataError> {
    let refuse = |reason: &str| MetadataError::File(reason.to_owned());
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| refuse(&format!("it is no JSON ({error})")))?;
    let listed = value.get("labels").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| refuse("it has no list `labels`"))?;
    let mut labels = BTreeMap::new();
    for item in listed {
        let item = item.as_object();
        let item = item.ok_or_else(|| refuse("something in `labels` is no object"))?;
        for (name, value) in item {
            let text = value.as_str();
            let text = text.ok_or_else(|| refuse(&format!("the label `{name}` is no text")))?;
            if name.is_empty() {
                return Err(refuse("a label has no name"));
            }
            labels.insert(name.clone(), text.to_owned());
        }
    }
    Ok(labels)
}

/// Writes labels onto the uppermost of a step's layers.
pub(super) fn attach(labels: &BTreeMap<String, String>, layers: &mut [NewLayer]) {
    if let (false, Some(layer)) = (labels.is_empty(), layers.last_mut()) {
        let text = serde_json::to_string(labels).unwrap_or_default();
        layer.descriptor.annotations.insert(LABELS.to_owned(), text);
    }
}

/// The labels that were written onto layers, by whichever build.
pub(super) fn of(layers: &[NewLayer]) -> BTreeMap<String, String> {
    let texts = layers
        .iter()
        .filter_map(|layer| layer.descriptor.annotations.get(LABELS));
    let parsed =
        texts.filter_map(|text| serde_json::from_str::<BTreeMap<String, String>>(text).ok());
    parsed.flatten().collect()
}

/// Checks that an image does not get more labels than s2i gives it.
///
/// # Errors
/// [`MetadataError::TooLarge`].
pub(super) fn check(labels: &BTreeMap<String, String>) -> Result<(), MetadataError> {
    let size = labels
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    match size {
        0..=MAX_LABELS => Ok(()),
        _ => Err(MetadataError::TooLarge(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{DiffId, Digest};
    use crate::image::{Descriptor, media_type};

    /// Cases 206 and M30.
    #[test]
    fn labels_are_objects_in_a_list() {
        let labels = |text: &str| parse(text.as_bytes()).map(|labels| format!("{labels:?}"));
        let table = [
            (
                r#"{"labels":[{"testLabel":"testLabel_value"}]}"#,
                r#"{"testLabel": "testLabel_value"}"#,
            ),
            (
                r#"{"labels":[{"a":"1","b":"2"},{"a":"3"}],"more":1}"#,
                r#"{"a": "3", "b": "2"}"#,
            ),
            (r#"{"labels":[]}"#, "{}"),
        ];
        for (text, expected) in table {
            assert_eq!(labels(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"labels":{}}"#,
            r#"{"labels":["x"]}"#,
            r#"{"labels":[{"a":1}]}"#,
            r#"{"labels":[{"":"x"}]}"#,
        ] {
            assert!(labels(text).is_err(), "{text}");
        }
    }

    /// Case M31.
    #[test]
    fn labels_have_an_upper_limit() {
        let labels = |size: usize| BTreeMap::from([("x".to_owned(), "y".repeat(size - 1))]);
        assert_eq!(check(&labels(MAX_LABELS)), Ok(()));
        assert_eq!(
            check(&labels(MAX_LABELS + 1)),
            Err(MetadataError::TooLarge(MAX_LABELS + 1))
        );
    }

    #[test]
    fn labels_travel_with_the_uppermost_layer() {
        let digest = Digest::of(b"layer");
        let layer = NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), 7),
            diff_id: DiffId(digest),
            created_by: "test".to_owned(),
        };
        let mut layers = vec![layer.clone(), layer.clone()];
        attach(&BTreeMap::new(), &mut layers);
        assert_eq!(layers, [layer.clone(), layer.clone()]);
        let labels = BTreeMap::from([("a".to_owned(), "\"b\"".to_owned())]);
        attach(&labels, &mut layers);
        assert_eq!(layers[0], layer);
        assert_eq!(of(&layers), labels);
    }
}
