//! The names of images: entries of the layout's `index.json`.

use std::path::Path;

use serde_json::{Value, json};

use super::{BlobStore, Error};
use crate::fs::{self, Lock};
use crate::image::{Content, Descriptor, Index, MAX_DOCUMENT_BYTES, Platform, media_type};
use crate::reference::Reference;

/// The annotation of a layout's entry that holds its name.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A name in the store and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name, as [`Reference`] prints it: `flask-hello:latest`.
    pub name: String,
    /// The manifest, or the index when it stands for images of several platforms.
    pub manifest: Descriptor,
}

pub(super) fn check_layout(root: &Path, layout: &Path) -> Result<(), Error> {
    let refuse = |reason: &str| Error::NotAStore {
        path: root.to_owned(),
        reason: reason.to_owned(),
    };
    let bytes = match fs::read_limited(layout, MAX_DOCUMENT_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => {
            return Err(refuse("it holds other files and no `oci-layout`"));
        }
        Err(error) => return Err(error.into()),
    };
    let version = serde_json::from_slice::<Value>(&bytes).ok();
    let version = version
        .as_ref()
        .and_then(|value| value["imageLayoutVersion"].as_str());
    match version {
        Some(version) if version.starts_with("1.") => Ok(()),
        _ => Err(refuse("its `oci-layout` file is not of version 1")),
    }
}

pub(super) fn create_layout(root: &Path) -> Result<(), Error> {
    let layout = root.join("oci-layout");
    if layout.exists() {
        return Ok(());
    }
    let _lock = Lock::exclusive(&root.join("blobs"))?;
    if !layout.exists() {
        let index =
            json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] });
        fs::write_atomic(&root.join("index.json"), index.to_string().as_bytes())?;
        fs::write_atomic(&layout, LAYOUT.as_bytes())?;
    }
    Ok(())
}

impl BlobStore {
    /// Every name, sorted.
    ///
    /// # Errors
    /// [`Error::NotAStore`] when `index.json` is damaged.
    pub fn names(&self) -> Result<Vec<Named>, Error> {
        let mut names: Vec<Named> = self
            .entries()?
            .into_iter()
            .filter_map(|manifest| {
                let name = manifest.annotations.get(REF_NAME)?.clone();
                Some(Named { name, manifest })
            })
            .collect();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    /// Everything that the index lists, named or not.
    pub(super) fn entries(&self) -> Result<Vec<Descriptor>, Error> {
        let bytes = fs::read_limited(&self.index_path(), MAX_DOCUMENT_BYTES)?;
        let index = Index::parse(&bytes).map_err(|error| self.damaged(&error.to_string()))?;
        Ok(index.manifests)
    }

    /// What a reference means here: the image of that name, which must have the digest if one is given; or, by
    /// digest alone, any image that has it.
    ///
    /// # Errors
    /// As [`Self::names`]. An unknown reference is `None`, not an error.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<Named>, Error> {
        let wanted = reference.without_digest().to_string();
        let is_wanted = |named: &Named| match (reference.digest(), reference.tag()) {
            (None, _) => named.name == wanted,
            (Some(digest), Some(_)) => named.name == wanted && named.manifest.digest == *digest,
            (Some(digest), None) => {
                let same_repository = named
                    .name
                    .parse()
                    .is_ok_and(|named: Reference| named.name() == reference.name());
                same_repository && named.manifest.digest == *digest
            }
        };
        Ok(self.names()?.into_iter().find(is_wanted))
    }

    /// Gives an image a name, taking it from whatever had it.
    ///
    /// # Errors
    /// [`Error::File`] when `index.json` cannot be replaced; the old one is whole then.
    pub fn tag(
        &self,
        reference: &Reference,
        manifest: &Descriptor,
        platform: &Platform,
    ) -> Result<(), Error> {
        self.tag_as(&reference.without_digest().to_string(), manifest, platform)
    }

    /// Gives an image a name that is used as it stands.
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub fn tag_as(
        &self,
        name: &str,
        manifest: &Descriptor,
        platform: &Platform,
    ) -> Result<(), Error> {
        self.enter(name, manifest, Some(platform.clone()))
    }

    /// Gives an image, or an index of images for several platforms, a name that is used as it stands. All that it
    /// needs must be here: see [`BlobStore::put_content`] and [`BlobStore::lacks`].
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub fn tag_content(&self, name: &str, content: &Content<'_>) -> Result<(), Error> {
        self.enter(name, content.descriptor(), content.platform())
    }

    /// Gives whatever a manifest or an index stands for a name that is used as it stands; `platform` when it is an
    /// image.
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub fn tag_document(
        &self,
        name: &str,
        document: &Descriptor,
        platform: Option<Platform>,
    ) -> Result<(), Error> {
        self.enter(name, document, platform)
    }

    fn enter(
        &self,
        name: &str,
        document: &Descriptor,
        platform: Option<Platform>,
    ) -> Result<(), Error> {
        let mut entry = Descriptor {
            platform,
            ..Descriptor::new(&document.media_type, document.digest.clone(), document.size)
        };
        entry
            .annotations
            .insert(REF_NAME.to_owned(), name.to_owned());
        self.change_index(|manifests| {
            manifests.retain(|value| value["annotations"][REF_NAME] != json!(name));
            manifests.push(entry.to_value());
        })
    }

    /// Takes a name away; the blobs stay until somebody removes what [`BlobStore::reached`] does not have.
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub fn untag(&self, name: &str) -> Result<(), Error> {
        self.change_index(|manifests| {
            manifests.retain(|value| value["annotations"][REF_NAME] != json!(name))
        })
    }

    /// Edits the list of `index.json` as JSON, so that what others wrote into it stays.
    fn change_index(&self, change: impl FnOnce(&mut Vec<Value>)) -> Result<(), Error> {
        let _lock = Lock::exclusive(&self.root().join("blobs"))?;
        let path = self.index_path();
        let bytes = fs::read_limited(&path, MAX_DOCUMENT_BYTES)?;
        let mut index: Value =
            serde_json::from_slice(&bytes).map_err(|error| self.damaged(&error.to_string()))?;
        let manifests = index.get_mut("manifests").and_then(Value::as_array_mut);
        change(manifests.ok_or_else(|| self.damaged("it has no list `manifests`"))?);
        Ok(fs::write_atomic(&path, index.to_string().as_bytes())?)
    }

    fn index_path(&self) -> std::path::PathBuf {
        self.root().join("index.json")
    }

    fn damaged(&self, reason: &str) -> Error {
        Error::NotAStore {
            path: self.root().to_owned(),
            reason: format!("its `index.json` is damaged ({reason})"),
        }
    }
}
