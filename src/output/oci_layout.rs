//! OCI image layouts: a directory with `oci-layout`, `index.json` and `blobs/`.
//!
//! # Spec
//! OCI image-spec `image-layout.md`.

use std::io::Read;
use std::path::Path;

use super::Error;
use super::names::{CONTAINERD_NAME, Wanted, describe};
use crate::event::Observer;
use crate::image::graph::is_referrers_tag;
use crate::image::{
    Content, Descriptor, Image, Index, MAX_DOCUMENT_BYTES, Manifest, Platform, media_type,
};
use crate::store::{BlobStore, Stored};

/// The annotation of a layout's entry that holds its name.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

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
        hint: None,
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
    let wanted = Wanted::parse(name);
    import(&shown, &index, wanted, platform, store, &blob)
}

/// Indexes in indexes, at most.
const MAX_NESTING: usize = 4;

/// Follows an index to one image and brings its blobs into the store by `fetch`.
pub(super) fn import(
    shown: &str,
    index: &Index,
    wanted: Wanted<'_>,
    platform: &Platform,
    store: &BlobStore,
    fetch: &dyn Fn(&Descriptor) -> Result<(), Error>,
) -> Result<Image, Error> {
    let document = |source| Error::Image {
        path: shown.to_owned(),
        source,
    };
    let mut descriptor = choose(shown, index, wanted, Some(platform))?;
    // An entry may be an index of platforms, whose entries are manifests.
    for _ in 0..MAX_NESTING {
        if !media_type::is_index(&descriptor.media_type) {
            break;
        }
        fetch(&descriptor)?;
        let nested = Index::parse(&store.read_document(&descriptor)?).map_err(document)?;
        descriptor = nested.choose(platform).map_err(document)?.clone();
    }
    import_image(shown, &descriptor, store, fetch)?;
    Ok(store.image(&bare(&descriptor))?)
}

/// As [`import`], with the images for all platforms where the name stands for several.
pub(super) fn import_all(
    shown: &str,
    index: &Index,
    wanted: Wanted<'_>,
    store: &BlobStore,
    fetch: &dyn Fn(&Descriptor) -> Result<(), Error>,
) -> Result<Stored, Error> {
    let descriptor = choose(shown, index, wanted, None)?;
    if media_type::is_index(&descriptor.media_type) {
        fetch(&descriptor)?;
        let nested = Index::parse(&store.read_document(&descriptor)?);
        let nested = nested.map_err(|source| Error::Image {
            path: shown.to_owned(),
            source,
        })?;
        for entry in &nested.manifests {
            import_image(shown, entry, store, fetch)?;
        }
    } else {
        import_image(shown, &descriptor, store, fetch)?;
    }
    Ok(store.stored(&bare(&descriptor))?)
}

/// What the document itself is, without what an index says of it.
fn bare(entry: &Descriptor) -> Descriptor {
    Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size)
}

fn import_image(
    shown: &str,
    descriptor: &Descriptor,
    store: &BlobStore,
    fetch: &dyn Fn(&Descriptor) -> Result<(), Error>,
) -> Result<(), Error> {
    let document = |source| Error::Image {
        path: shown.to_owned(),
        source,
    };
    let media_type = &descriptor.media_type;
    if !media_type::is_manifest(media_type) {
        let media_type = media_type.clone();
        return Err(document(crate::image::Error::MediaType { media_type }));
    }
    fetch(descriptor)?;
    let manifest = store.read_document(descriptor)?;
    let parsed = Manifest::parse(&manifest).map_err(document)?;
    fetch(&parsed.config)?;
    let config = store.read_document(&parsed.config)?;
    let image = Image::parse(media_type, manifest, config).map_err(document)?;
    image.manifest.parsed.layers.iter().try_for_each(fetch)
}

/// The entry of a layout's index that `name` means (`@N`: the one at that place). Without a name it must be the only
/// image, or the only one for the platform.
///
/// # Errors
/// [`Error::NoSuchImage`] with what there is.
pub fn entry(
    shown: &str,
    index: &Index,
    name: Option<&str>,
    platform: &Platform,
) -> Result<Descriptor, Error> {
    choose(shown, index, Wanted::parse(name), Some(platform))
}

/// The entry that is meant. Without a name it must be the only image, or the only one for the platform.
fn choose(
    shown: &str,
    index: &Index,
    wanted: Wanted<'_>,
    platform: Option<&Platform>,
) -> Result<Descriptor, Error> {
    // A list of referrers has a name that nobody gave it, and is never what is meant without one.
    let is_list = |entry: &Descriptor| {
        let name = entry.annotations.get(REF_NAME);
        matches!(wanted, Wanted::Only) && name.is_some_and(|name| is_referrers_tag(name))
    };
    let entries: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|entry| !is_list(entry))
        .collect();
    let names = |entry: &Descriptor| -> Vec<String> {
        let annotations = [CONTAINERD_NAME, REF_NAME].map(|key| entry.annotations.get(key));
        let mut names: Vec<String> = annotations.into_iter().flatten().cloned().collect();
        names.dedup();
        names
    };
    let names: Vec<Vec<String>> = entries.iter().map(|entry| names(entry)).collect();
    let is_same = |one: usize, other: usize| entries[one].digest == entries[other].digest;
    let chosen = wanted.choose(&names, is_same).map(|at| entries[at]);
    let are_platforms = matches!(wanted, Wanted::Only) && names.iter().all(Vec::is_empty);
    let by_platform = || index.choose(platform.filter(|_| are_platforms)?).ok();
    let chosen = chosen.or_else(by_platform).cloned();
    chosen.ok_or_else(|| Error::NoSuchImage {
        path: shown.to_owned(),
        wanted: wanted.describe(),
        available: describe(&names),
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
