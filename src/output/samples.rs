//! Images for the tests of this module.

use std::io::Write;

use crate::digest::{DiffId, Digest};
use crate::event::{Event, Observer};
use crate::image::edit::{self, Changes, NewLayer};
use crate::image::{Descriptor, Image, ImageIndex, media_type};
use crate::store::BlobStore;

/// A tar with one file.
pub(super) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

/// gzip in two members, as spliced layers are.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for part in [first, second] {
        let mut writer = flate2::write::GzEncoder::new(&mut out, flate2::Compression::fast());
        writer.write_all(part).unwrap();
        writer.finish().unwrap();
    }
    out
}

/// An image of two gzip layers for a platform, with everything in the store.
pub(super) fn image(store: &BlobStore, platform: &str) -> Image {
    let layers = ["base", "app"].map(|name| {
        let tar = tar(
            &format!("{name}-{}", platform.replace('/', "-")),
            &[7; 3000],
        );
        let blob = gzip(&tar);
        let descriptor = Descriptor::of(media_type::OCI_LAYER_GZIP, &blob);
        store.put(&descriptor, &blob).unwrap();
        NewLayer {
            descriptor,
            diff_id: DiffId(Digest::of(&tar)),
            created_by: name.to_owned(),
        }
    });
    let image = edit::from_scratch(&platform.parse().unwrap(), &layers, &Changes::default());
    let image = image.unwrap();
    store.put_documents(&image).unwrap();
    image
}

/// An index of an image for amd64 and one for arm64, in this order.
pub(super) fn index(store: &BlobStore) -> ImageIndex {
    let images = ["linux/amd64", "linux/arm64"].map(|platform| image(store, platform));
    edit::index(images.to_vec(), &std::collections::BTreeMap::new()).unwrap()
}

pub(super) fn store(directory: &std::path::Path) -> BlobStore {
    BlobStore::open(directory).unwrap()
}

/// Somebody who has had enough from the start.
pub(super) struct Impatient;

impl Observer for Impatient {
    fn observe(&self, _event: Event) {}

    fn is_cancelled(&self) -> bool {
        true
    }
}
