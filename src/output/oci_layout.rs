//! OCI image layouts: a directory with `oci-layout`, `index.json` and `blobs/`.
//!
//! # Spec
//! OCI image-spec `image-layout.md`.

use std::io::Read;
use std::path::Path;

use super::Error;
use crate::event::Observer;
use crate::image::graph::is_referrers_tag;
use crate::image::{Content, Descriptor, Image, Index, MAX_DOCUMENT_BYTES, Platform, media_type};
use crate::store::BlobStore;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Splits `DIR[:NAME]` at the first colon, as skopeo does: a name may hold more of them, a directory none.
pub fn split_name(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((directory, name)) if !name.is_empty() => (directory, Some(name)),
        Some((directory, _)) => (directory, None),
        None => (text, None),
    }
}

/// Writes an image, or an index with its images, into the layout at `directory`, which is made if need be, under every
/// name.
///
/// # Errors
/// [`Error::Store`] when the directory is something else than a layout, or bytes are damaged.
pub fn write(
    directory: &Path,
    content: &Content<'_>,
    names: &[String],
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let target = BlobStore::open(directory)?;
    for layer in content.layers() {
        copy_blob(layer, store, &target, observer)?;
    }
    target.put_content(content)?;
    for name in names {
        target.tag_content(name, content)?;
    }
    drop(target);
    // What a store has beside a layout. Not empty, it is somebody else's.
    let _ = std::fs::remove_dir(directory.join("tmp"));
    Ok(())
}

/// Reads an image from a layout into the store. Without a name, the layout must hold only one image, or one for the
/// platform.
///
/// # Errors
/// [`Error::Format`], [`Error::NoSuchImage`]; [`Error::Store`] for bytes that are not what their digest says.
pub fn read(
    directory: &Path,
    name: Option<&str>,
    platform: &Platform,
    store: &BlobStore,
) -> Result<Image, Error> {
    let shown = directory.display().to_string();
    let format = |reason: String| Error::Format {
        format: "OCI image layout",
        path: shown.clone(),
        reason,
    };
    if !directory.join("oci-layout").is_file() {
        crate::fs::list(directory)?;
        return Err(format("it has no file `oci-layout`".to_owned()));
    }
    let index = crate::fs::read_limited(&directory.join("index.json"), MAX_DOCUMENT_BYTES)?;
    let index = Index::parse(&index).map_err(|error| format(error.to_string()))?;
    let blob = |descriptor: &Descriptor| -> Result<(), Error> {
        if store.has(descriptor) {
            return Ok(());
        }
        let digest = &descriptor.digest;
        let path = directory
            .join("blobs")
            .join(digest.algorithm().name())
            .join(digest.hex());
        copy_file(&path, descriptor, store)
    };
    import(&shown, &index, name, platform, store, &blob)
}

/// Follows an index to one image and brings its blobs into the store by `fetch`.
pub(super) fn import(
    shown: &str,
    index: &Index,
    name: Option<&str>,
    platform: &Platform,
    store: &BlobStore,
    fetch: &dyn Fn(&Descriptor) -> Result<(), Error>,
) -> Result<Image, Error> {
    let document = |source| Error::Image {
        path: shown.to_owned(),
        source,
    };
    let mut descriptor = choose(shown, index, name, platform)?;
    // An entry may be an index of platforms, whose entries are manifests.
    for _ in 0..4 {
        if !media_type::is_index(&descriptor.media_type) {
            break;
        }
        fetch(&descriptor)?;
        let nested = Index::parse(&store.read_document(&descriptor)?).map_err(document)?;
        descriptor = nested.choose(platform).map_err(document)?.clone();
    }
    fetch(&descriptor)?;
    let manifest = store.read_document(&descriptor)?;
    let parsed = crate::image::Manifest::parse(&manifest).map_err(document)?;
    fetch(&parsed.config)?;
    let config = store.read_document(&parsed.config)?;
    let image = Image::parse(&descriptor.media_type, manifest, config).map_err(document)?;
    for layer in &image.manifest.parsed.layers {
        fetch(layer)?;
    }
    Ok(image)
}

/// The entry of a layout's index that `name` means. Without a name, it must have only one, or one for the platform.
///
/// # Errors
/// [`Error::NoSuchImage`] with what there is.
pub fn choose(
    shown: &str,
    index: &Index,
    name: Option<&str>,
    platform: &Platform,
) -> Result<Descriptor, Error> {
    let named = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
    let entries = &index.manifests;
    let found = match name {
        Some(name) => entries
            .iter()
            .find(|entry| named(entry).as_deref() == Some(name)),
        None => {
            // A list of referrers has a name that nobody gave it, and is never what is meant.
            let is_list =
                |entry: &Descriptor| named(entry).is_some_and(|name| is_referrers_tag(&name));
            let entries: Vec<&Descriptor> =
                entries.iter().filter(|entry| !is_list(entry)).collect();
            let mut digests: Vec<_> = entries.iter().map(|entry| &entry.digest).collect();
            digests.dedup();
            match digests.len() {
                1 => entries.first().copied(),
                _ if entries.iter().all(|entry| named(entry).is_none()) => {
                    index.choose(platform).ok()
                }
                _ => None,
            }
        }
    };
    let names: Vec<_> = entries
        .iter()
        .filter_map(named)
        .map(|name| format!("`{name}`"))
        .collect();
    found.cloned().ok_or_else(|| Error::NoSuchImage {
        path: shown.to_owned(),
        wanted: name.map_or_else(
            || "that is the only one".to_owned(),
            |name| format!("`{name}`"),
        ),
        available: if names.is_empty() {
            format!("{} without a name", entries.len())
        } else {
            names.join(", ")
        },
    })
}

fn copy_blob(
    blob: &Descriptor,
    from: &BlobStore,
    to: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    if to.has(blob) {
        return Ok(());
    }
    if observer.is_cancelled() {
        return Err(Error::Interrupted);
    }
    copy_file(&from.blob_path(&blob.digest), blob, to)
}

fn copy_file(path: &Path, blob: &Descriptor, to: &BlobStore) -> Result<(), Error> {
    let mut reader = crate::fs::open(path)?.take(blob.size + 1);
    let mut writer = to.begin_blob()?;
    std::io::copy(&mut reader, &mut writer)
        .map_err(|error| crate::fs::Error::new("copy", path, error))?;
    Ok(writer.finish_as(blob)?)
}
