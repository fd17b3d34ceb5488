//! What a name can stand for: one image, or an index with an image for each of several platforms.

use std::collections::BTreeSet;

use super::{Descriptor, Error, Image, Index, Platform, Raw, media_type};

/// An index and the images that it lists, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageIndex {
    index: Raw<Index>,
    images: Vec<Image>,
}

impl ImageIndex {
    /// Puts an index and its images together.
    ///
    /// # Errors
    /// [`Error::MediaType`] when the index lists something else than image manifests, [`Error::Listed`] when
    /// `images` are not exactly those that it lists, in its order.
    pub fn new(index: Raw<Index>, images: Vec<Image>) -> Result<Self, Error> {
        let entries = &index.parsed.manifests;
        if let Some(entry) = entries
            .iter()
            .find(|entry| !media_type::is_manifest(&entry.media_type))
        {
            let media_type = entry.media_type.clone();
            return Err(Error::MediaType { media_type });
        }
        let listed = entries.iter().map(|entry| &entry.digest);
        if !listed.eq(images.iter().map(Image::digest)) {
            return Err(Error::Listed {
                listed: entries.len(),
                given: images.len(),
            });
        }
        Ok(Self { index, images })
    }

    /// The index.
    pub fn index(&self) -> &Raw<Index> {
        &self.index
    }

    /// The images, in the index's order.
    pub fn images(&self) -> &[Image] {
        &self.images
    }
}

/// An image or an index, as something to store, write or push: the documents, and the images whose layers belong to
/// it.
#[derive(Clone, Debug)]
pub struct Content<'a> {
    descriptor: &'a Descriptor,
    bytes: &'a [u8],
    is_index: bool,
    images: Vec<&'a Image>,
}

impl<'a> From<&'a Image> for Content<'a> {
    fn from(image: &'a Image) -> Self {
        Self {
            descriptor: &image.manifest.descriptor,
            bytes: &image.manifest.bytes,
            is_index: false,
            images: vec![image],
        }
    }
}

impl<'a> From<&'a ImageIndex> for Content<'a> {
    fn from(index: &'a ImageIndex) -> Self {
        Self {
            descriptor: &index.index.descriptor,
            bytes: &index.index.bytes,
            is_index: true,
            images: index.images.iter().collect(),
        }
    }
}

impl<'a> Content<'a> {
    /// The document that the name stands for: the manifest, or the index.
    pub fn descriptor(&self) -> &'a Descriptor {
        self.descriptor
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// True for an index.
    pub fn is_index(&self) -> bool {
        self.is_index
    }

    /// The image, or those of the index in its order.
    pub fn images(&self) -> &[&'a Image] {
        &self.images
    }

    /// The platform of an image; `None` for an index, which has several.
    pub fn platform(&self) -> Option<Platform> {
        match self.images.as_slice() {
            [only] if !self.is_index => Some(only.config.parsed.platform()),
            _ => None,
        }
    }

    /// Every document once, with its bytes: the index, if it is one, then manifest and configuration of each image.
    pub fn documents(&self) -> Vec<(&'a Descriptor, &'a [u8])> {
        let own = self.is_index.then_some((self.descriptor, self.bytes));
        let images = self.images.iter().flat_map(|image| {
            let Image { manifest, config } = image;
            [
                (&manifest.descriptor, manifest.bytes.as_slice()),
                (&config.descriptor, config.bytes.as_slice()),
            ]
        });
        let mut seen = BTreeSet::new();
        own.into_iter()
            .chain(images)
            .filter(|(descriptor, _)| seen.insert(&descriptor.digest))
            .collect()
    }

    /// Every layer once, the base of the first image first; without those that are carried by no registry, store or
    /// archive ([`media_type::is_foreign`]).
    pub fn layers(&self) -> Vec<&'a Descriptor> {
        let mut seen = BTreeSet::new();
        self.images
            .iter()
            .flat_map(|image| &image.manifest.parsed.layers)
            .filter(|layer| !media_type::is_foreign(&layer.media_type))
            .filter(|layer| seen.insert(&layer.digest))
            .collect()
    }
}
