//! Reading the OCI image layout in an archive.

use super::super::names::Wanted;
use super::super::{Error, oci_layout};
use super::members::Members;
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::{Descriptor, Image, Index, Platform};
use crate::store::{BlobStore, Stored};

pub(super) fn read(
    members: &Members,
    wanted: Wanted<'_>,
    platform: &Platform,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let index = index(members)?;
    let fetch = |blob: &Descriptor| fetch(members, blob, store, observer);
    let shown = members.shown();
    oci_layout::import(&shown, &index, wanted, platform, store, &fetch)
}

pub(super) fn read_all(
    members: &Members,
    wanted: Wanted<'_>,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Stored, Error> {
    let index = index(members)?;
    let fetch = |blob: &Descriptor| fetch(members, blob, store, observer);
    oci_layout::import_all(&members.shown(), &index, wanted, store, &fetch)
}

/// Copies every blob into the store; the index.
pub(super) fn unpack(
    members: &Members,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Index, Error> {
    let index = index(members)?;
    for name in members.names() {
        let digest = name.strip_prefix("blobs/").and_then(|name| {
            let digest: Digest = name.replacen('/', ":", 1).parse().ok()?;
            Some(digest)
        });
        let Some(digest) = digest else { continue };
        let size = members.find(&name)?.size;
        let blob = Descriptor::new("application/octet-stream", digest, size);
        fetch(members, &blob, store, observer)?;
    }
    Ok(index)
}

/// The digests that the layout's index lists.
pub(super) fn roots(members: &Members) -> Result<Vec<Digest>, Error> {
    let index = index(members)?;
    Ok(index
        .manifests
        .iter()
        .map(|listed| listed.digest.clone())
        .collect())
}

fn index(members: &Members) -> Result<Index, Error> {
    if !members.has("index.json") {
        let hint = members
            .has("manifest.json")
            .then_some("it has a `manifest.json`: read it as `docker-archive:`");
        return Err(members.refuse_with("it has no `index.json`".to_owned(), hint));
    }
    let index = members.document("index.json")?;
    Index::parse(&index).map_err(|error| members.refuse(error.to_string()))
}

/// Copies a blob into the store if it is the one that is meant.
fn fetch(
    members: &Members,
    blob: &Descriptor,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    if store.has(blob) {
        return Ok(());
    }
    let digest = &blob.digest;
    let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
    if !members.has(&name) {
        return Err(members.refuse(format!("the blob `{digest}` is missing from it")));
    }
    let mut writer = store.begin_blob()?;
    members.copy(members.find(&name)?, &mut writer, observer)?;
    let finished = writer.finish_as(blob);
    finished.map_err(|source| match source.is_mismatch() {
        true => Error::Damaged {
            path: members.shown(),
            source,
        },
        false => source.into(),
    })
}
