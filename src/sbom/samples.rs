//! Images for tests, of a few files each.

use crate::image::edit::{self, Changes, NewLayer};
use crate::image::{Descriptor, Image, media_type};
use crate::layer::{Entry, EntryPath, Kind, LayerWriter};
use crate::store::BlobStore;

/// A member of a layer: a path and what is there. A path that ends in `/` is a directory, one that begins with `@` a link
/// to the content.
pub(super) type Member<'a> = (&'a str, &'a str);

/// An empty store that is removed with the directory.
pub(super) fn store(directory: &std::path::Path) -> BlobStore {
    BlobStore::open(&directory.join("store")).unwrap()
}

/// Puts a layer into the store.
pub(super) fn layer(store: &BlobStore, members: &[Member<'_>]) -> NewLayer {
    let mut writer = LayerWriter::new(Vec::new(), 0, 1);
    for (path, content) in members {
        let link = path.strip_prefix('@');
        let name = EntryPath::parse(link.unwrap_or(path).as_bytes()).unwrap();
        let (kind, content) = match (link, path.ends_with('/')) {
            (Some(_), _) => {
                let target = content.as_bytes().to_vec();
                (Kind::Symlink { target }, "")
            }
            (None, true) => (Kind::Directory, ""),
            (None, false) => {
                let size = content.len() as u64;
                (Kind::File { size }, *content)
            }
        };
        let entry = Entry::new(name, kind, 0o755);
        writer.append(&entry, content.as_bytes()).unwrap();
    }
    let (blob, layer) = writer.finish().unwrap();
    let descriptor = Descriptor::of(media_type::OCI_LAYER_GZIP, &blob);
    store.put(&descriptor, &blob).unwrap();
    NewLayer {
        descriptor,
        diff_id: layer.diff_id,
        created_by: "test".to_owned(),
    }
}

/// An image of these layers, the lowest first.
pub(super) fn image(store: &BlobStore, layers: &[&[Member<'_>]]) -> Image {
    let layers: Vec<NewLayer> = layers.iter().map(|members| layer(store, members)).collect();
    let changes = Changes {
        created: "2024-02-03T04:05:06.789+01:00".to_owned(),
        ..Changes::default()
    };
    edit::from_scratch(&"linux/amd64".parse().unwrap(), &layers, &changes).unwrap()
}
