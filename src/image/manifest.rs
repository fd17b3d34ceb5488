//! Manifests and indexes, read by oci-spec and checked.

use std::collections::BTreeMap;

use super::{Descriptor, Error, Platform, media_type};

/// The largest manifest, index or configuration that is read; registries refuse larger ones at 4 MiB.
pub const MAX_DOCUMENT_BYTES: u64 = 4 << 20;

/// An image manifest: one configuration and the layers, base first.
///
/// # Spec
/// OCI image-spec `manifest.md`; Docker's schema 2 has the same shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// Annotations, in the order of their keys.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest of either family.
    ///
    /// # Errors
    /// [`Error::Json`] for what is no manifest, [`Error::Digest`] for a digest that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let parsed: oci_spec::image::ImageManifest =
            serde_json::from_slice(bytes).map_err(|error| Error::Json {
                document: "manifest",
                reason: error.to_string(),
            })?;
        Ok(Self {
            config: Descriptor::from_oci(parsed.config())?,
            layers: parsed
                .layers()
                .iter()
                .map(Descriptor::from_oci)
                .collect::<Result<_, _>>()?,
            annotations: parsed
                .annotations()
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        })
    }
}

/// An image index: manifests for several platforms, or the entries of a layout.
///
/// # Spec
/// OCI image-spec `image-index.md`; Docker's manifest list has the same shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The entries, in the order written.
    pub manifests: Vec<Descriptor>,
    /// Annotations, in the order of their keys.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Reads an index of either family.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let parsed: oci_spec::image::ImageIndex =
            serde_json::from_slice(bytes).map_err(|error| Error::Json {
                document: "index",
                reason: error.to_string(),
            })?;
        let manifests = parsed
            .manifests()
            .iter()
            .map(Descriptor::from_oci)
            .collect::<Result<_, _>>()?;
        let annotations = parsed.annotations().clone().unwrap_or_default();
        Ok(Self {
            manifests,
            annotations: annotations.into_iter().collect(),
        })
    }

    /// The entry to use for `wanted`: of those whose platform satisfies it the nearest, of those the first; else, when no entry names a platform
    /// and there is only one, that one.
    ///
    /// # Errors
    /// [`Error::NoPlatform`] with what there is.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, Error> {
        let images: Vec<&Descriptor> = self
            .manifests
            .iter()
            .filter(|entry| media_type::is_manifest(&entry.media_type))
            .collect();
        let distance = |entry: &Descriptor| entry.platform.as_ref()?.distance(wanted);
        let fitting = images
            .iter()
            .filter_map(|entry| Some((distance(entry)?, *entry)));
        // The first of those that are equally near.
        if let Some((_, entry)) = fitting.min_by_key(|(distance, _)| *distance) {
            return Ok(entry);
        }
        match images.as_slice() {
            [only] if only.platform.is_none() => Ok(only),
            _ => Err(Error::NoPlatform {
                wanted: wanted.clone(),
                available: images
                    .iter()
                    .filter_map(|entry| entry.platform.clone())
                    .collect(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digest::Digest;

    fn index(platforms: &[Option<&str>]) -> Index {
        let entries = platforms.iter().enumerate().map(|(position, platform)| {
            let mut entry = Descriptor::new(
                media_type::OCI_MANIFEST,
                Digest::of(position.to_string().as_bytes()),
                1,
            );
            entry.platform = platform.map(|platform| platform.parse().unwrap());
            entry.to_value()
        });
        let entries: Vec<_> = entries.collect();
        let text = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        Index::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_nearest_variant_that_runs_is_chosen_and_the_first_of_equals() {
        let arm = [
            Some("linux/arm/v5"),
            Some("linux/arm/v7"),
            Some("linux/arm/v6"),
        ];
        let amd = [
            Some("linux/amd64/v3"),
            Some("linux/amd64"),
            Some("linux/amd64/v2"),
            Some("linux/amd64"),
        ];
        type Row<'a> = (&'a [Option<&'a str>], &'a str, Option<usize>);
        let table: [Row<'_>; 9] = [
            (&arm, "linux/arm", Some(1)),
            (&arm, "linux/arm/v8", Some(1)),
            (&arm, "linux/arm/v6", Some(2)),
            (&arm, "linux/arm64", None),
            (&amd, "linux/amd64", Some(1)),
            (&amd, "linux/amd64/v2", Some(2)),
            (&amd, "linux/amd64/v4", Some(0)),
            (&[None], "linux/amd64", Some(0)),
            (&[None, None], "linux/amd64", None),
        ];
        for (platforms, wanted, expected) in table {
            let index = index(platforms);
            let chosen = index.choose(&wanted.parse().unwrap()).ok();
            let expected = expected.map(|position| &index.manifests[position]);
            assert_eq!(chosen, expected, "{wanted} of {platforms:?}");
        }
    }
}
