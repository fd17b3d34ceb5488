//! Images and indexes of images, as what a name stands for.

use super::{BlobStore, Error};
use crate::digest::Digest;
use crate::image::{
    Content, Descriptor, Image, ImageIndex, Index, MAX_DOCUMENT_BYTES, Raw, media_type,
};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// One image.
    Image(Box<Image>),
    /// Images for several platforms.
    Index(Box<ImageIndex>),
}

impl Stored {
    /// The same as something to write or push.
    pub fn content(&self) -> Content<'_> {
        match self {
            Self::Image(image) => image.as_ref().into(),
            Self::Index(index) => index.as_ref().into(),
        }
    }
}

impl BlobStore {
    /// Reads what a manifest's or an index's descriptor stands for, with all its documents.
    ///
    /// # Errors
    /// As [`BlobStore::image`]; [`Error::Absent`] also when an image that an index lists is not here.
    pub fn stored(&self, document: &Descriptor) -> Result<Stored, Error> {
        if !media_type::is_index(&document.media_type) {
            return Ok(Stored::Image(Box::new(self.image(document)?)));
        }
        let unusable = |source| Error::Document {
            digest: document.digest.clone(),
            source,
        };
        let bytes = self.read_document(document)?;
        let parsed = Index::parse(&bytes).map_err(unusable)?;
        let images = parsed.manifests.iter().map(|entry| self.image(entry));
        let images = images.collect::<Result<_, _>>()?;
        // The entry of `index.json` has annotations and a platform of its own.
        let descriptor =
            Descriptor::new(&document.media_type, document.digest.clone(), document.size);
        let index = Raw {
            bytes,
            descriptor,
            parsed,
        };
        let index = ImageIndex::new(index, images).map_err(unusable)?;
        Ok(Stored::Index(Box::new(index)))
    }

    /// Stores the documents of an image or an index, what is listed before what lists it; the layers must be here
    /// already, or be known to be elsewhere.
    ///
    /// # Errors
    /// As [`BlobStore::put`].
    pub fn put_content(&self, content: &Content<'_>) -> Result<(), Error> {
        for image in content.images() {
            self.put_documents(image)?;
        }
        self.put(content.descriptor(), content.bytes())
    }

    /// The layers that are not here, each once. Only a content that lacks none may get a name.
    pub fn lacks<'a>(&self, content: &Content<'a>) -> Vec<&'a Descriptor> {
        let layers = content.layers().into_iter();
        layers.filter(|layer| !self.has(layer)).collect()
    }

    /// Reads a document of which only the digest is known; `None` when it is not here or larger than any document.
    ///
    /// # Errors
    /// As [`BlobStore::read_document`].
    pub fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let size = match std::fs::metadata(self.blob_path(digest)) {
            Ok(metadata) if metadata.len() <= MAX_DOCUMENT_BYTES => metadata.len(),
            _ => return Ok(None),
        };
        let document = Descriptor::new("", digest.clone(), size);
        self.read_document(&document).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::digest::DiffId;
    use crate::image::edit::{self, Changes, NewLayer};

    fn image(platform: &str, layer: &[u8]) -> Image {
        let layer = NewLayer {
            descriptor: Descriptor::of(media_type::OCI_LAYER_GZIP, layer),
            diff_id: DiffId(Digest::of(layer)),
            created_by: "test".to_owned(),
        };
        edit::from_scratch(&platform.parse().unwrap(), &[layer], &Changes::default()).unwrap()
    }

    #[test]
    fn a_name_can_stand_for_several_platforms() {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&directory.path().join("store")).unwrap();
        let images = vec![image("linux/amd64", b"x"), image("linux/arm64", b"y")];
        let index = edit::index(images, &BTreeMap::new()).unwrap();
        let content = Content::from(&index);
        let lacking = store.lacks(&content);
        assert_eq!(lacking, content.layers());
        for (layer, bytes) in lacking.into_iter().zip([b"x", b"y"]) {
            store.put(layer, bytes).unwrap();
        }
        assert!(store.lacks(&content).is_empty());
        store.put_content(&content).unwrap();
        store.tag_content("app:1", &content).unwrap();
        let named = store.names().unwrap().remove(0);
        assert_eq!(
            (named.name.as_str(), &named.manifest.platform),
            ("app:1", &None)
        );
        let stored = Stored::Index(Box::new(index.clone()));
        assert_eq!(store.stored(&named.manifest).unwrap(), stored);
        let reached = store.reached().unwrap();
        assert_eq!(store.unreached_blobs(&reached.blobs).unwrap(), []);

        let one = &index.images()[1];
        store.tag_content("app:2", &one.into()).unwrap();
        let named = store.names().unwrap().remove(1);
        assert_eq!(
            named.manifest.platform,
            Some("linux/arm64".parse().unwrap())
        );
        let stored = Stored::Image(Box::new(one.clone()));
        assert_eq!(store.stored(&named.manifest).unwrap(), stored);

        // Without one of its images an index is no content.
        let manifest = one.digest();
        assert_eq!(
            store.document(manifest).unwrap().as_ref(),
            Some(&one.manifest.bytes)
        );
        std::fs::remove_file(store.blob_path(manifest)).unwrap();
        assert_eq!(store.document(manifest).unwrap(), None);
        let broken = store.stored(&index.index().descriptor);
        assert!(
            matches!(&broken, Err(Error::Absent { digest }) if digest == manifest),
            "{broken:?}"
        );
    }
}
