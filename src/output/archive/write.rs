//! Writing archives: what they hold, and putting them in place.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::super::names::{CONTAINERD_NAME, all_full, full};
use super::super::{Error, oci_layout};
use super::{Format, Plan};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::{Content, Descriptor, Image, Platform, media_type};
use crate::store::BlobStore;

/// Writes an archive as the file `file`, which appears whole or not at all.
///
/// # Errors
/// As [`plan`] and [`Plan::write`].
pub fn write(
    file: &Path,
    format: Format,
    content: &Content<'_>,
    names: &[String],
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let place = file.display().to_string();
    let plan = plan(&place, format, content, names, None, store, observer)?;
    put_in_place(&plan, file, store, observer)
}

/// Writes an OCI archive of documents and blobs as they are: `entries` become its index, the blobs come from `store`.
///
/// # Errors
/// As [`Plan::write`].
pub fn write_graph(
    file: &Path,
    entries: &[Descriptor],
    documents: &[(&Descriptor, &[u8])],
    blobs: &[&Descriptor],
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let entries: Vec<Value> = entries.iter().map(Descriptor::to_value).collect();
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
    let mut plan = Plan::default();
    plan.document(
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice(),
    );
    plan.document("index.json", index.to_string().into_bytes());
    let mut written = BTreeSet::new();
    for (descriptor, bytes) in documents {
        if written.insert(&descriptor.digest) {
            plan.document(&blob_member(descriptor), bytes.to_vec());
        }
    }
    for blob in blobs {
        if written.insert(&blob.digest) {
            plan.blob(&blob_member(blob), blob);
        }
    }
    put_in_place(&plan, file, store, observer)
}

/// Writes an archive to a file, which appears whole or not at all.
fn put_in_place(
    plan: &Plan<'_>,
    file: &Path,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".overcoat-")
        .permissions(PermissionsExt::from_mode(0o644))
        .tempfile_in(directory)
        .context("write to", directory)?;
    let mut sink = io::BufWriter::with_capacity(128 << 10, temporary);
    plan.write(&mut sink, file, store, observer)?;
    let temporary = sink
        .into_inner()
        .map_err(|error| crate::fs::Error::new("write", file, error.into_error()))?;
    temporary.as_file().sync_all().context("sync", file)?;
    temporary
        .persist(file)
        .map_err(|error| error.error)
        .context("write", file)?;
    Ok(crate::fs::sync_directory(directory)?)
}

/// What an archive of `content` under `names` holds, without writing it. `place` is where it will go, for messages.
///
/// [`Format::Both`] of an index has all its images in the layout, and in Docker's part the one for `preferred`, else the
/// index's first: the file is the same on every machine when nobody prefers any.
///
/// # Errors
/// [`Error::Nameless`] for [`Format::Both`] without a name, [`Error::Name`] for a name that is no reference,
/// [`Error::Platforms`] for an index as [`Format::Docker`], [`Error::Layer`] for layers that it cannot carry.
///
/// # Spec
/// OCI image-spec `image-layout.md`; Docker Image Specification v1.2, *Combined Image JSON + Filesystem Changeset Format*.
pub fn plan<'a>(
    place: &str,
    format: Format,
    content: &Content<'a>,
    names: &[String],
    preferred: Option<&Platform>,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Plan<'a>, Error> {
    let mut plan = Plan::default();
    match format {
        Format::Oci => {
            let given = names.iter().map(|name| (name.clone(), full(name)));
            layout(&mut plan, content, &given.collect::<Vec<_>>(), None);
        }
        Format::Both => {
            let names = all_full(names, place)?;
            if names.is_empty() {
                let path = place.to_owned();
                return Err(Error::Nameless { path });
            }
            let given = names.iter().map(|name| (name.clone(), Some(name.clone())));
            let image = for_docker(content, preferred);
            let manifest = image.map(|image| docker_manifest(image, &names));
            layout(&mut plan, content, &given.collect::<Vec<_>>(), manifest);
        }
        Format::Docker => {
            let names = all_full(names, place)?;
            let [image] = content.images() else {
                let path = place.to_owned();
                return Err(Error::Platforms { path });
            };
            if content.is_index() {
                let path = place.to_owned();
                return Err(Error::Platforms { path });
            }
            docker(&mut plan, image, &names, store, observer)?;
        }
    }
    Ok(plan)
}

/// A layout with an entry for each name: as skopeo and podman look for it, and as containerd does where that is known.
/// Documents first, so that a reader of the stream knows what follows; then the layers, base first.
fn layout<'a>(
    plan: &mut Plan<'a>,
    content: &Content<'a>,
    names: &[(String, Option<String>)],
    docker_manifest: Option<Value>,
) {
    let entry = |annotations: &[(&str, &str)]| {
        let annotations = annotations.iter();
        let annotations = annotations.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let entry = Descriptor {
            platform: content.platform(),
            annotations: annotations.collect(),
            ..content.descriptor().clone()
        };
        entry.to_value()
    };
    let named = |(name, containerd): &(String, Option<String>)| match containerd {
        Some(full) => entry(&[(oci_layout::REF_NAME, name), (CONTAINERD_NAME, full)]),
        None => entry(&[(oci_layout::REF_NAME, name)]),
    };
    let mut entries: Vec<Value> = names.iter().map(named).collect();
    if entries.is_empty() {
        entries.push(entry(&[]));
    }
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
    plan.document("oci-layout", &br#"{"imageLayoutVersion":"1.0.0"}"#[..]);
    plan.document("index.json", index.to_string().into_bytes());
    if let Some(manifest) = docker_manifest {
        plan.document("manifest.json", manifest.to_string().into_bytes());
    }
    for (descriptor, bytes) in content.documents() {
        plan.document(&blob_member(descriptor), bytes);
    }
    for layer in content.layers() {
        plan.blob(&blob_member(layer), layer);
    }
}

fn blob_member(blob: &Descriptor) -> String {
    let digest = &blob.digest;
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The image that readers get who know one platform only.
fn for_docker<'a>(content: &Content<'a>, preferred: Option<&Platform>) -> Option<&'a Image> {
    let is_preferred = |image: &&&Image| {
        preferred.is_some_and(|wanted| image.config.parsed.platform().satisfies(wanted))
    };
    let images = content.images();
    let chosen = images.iter().find(is_preferred).or(images.first());
    chosen.copied()
}

/// Docker's list of the images in an archive, over the blobs of a layout.
fn docker_manifest(image: &Image, names: &[String]) -> Value {
    let layers = image.manifest.parsed.layers.iter().map(blob_member);
    json!([{
        "Config": blob_member(&image.config.descriptor),
        "RepoTags": names,
        "Layers": layers.collect::<Vec<_>>(),
    }])
}

/// Plain tars, which every version of Docker loads, named by their diff ids.
fn docker<'a>(
    plan: &mut Plan<'a>,
    image: &'a Image,
    names: &[String],
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let mut written = BTreeSet::new();
    let mut members = Vec::new();
    for (layer, diff_id) in image.layers() {
        let member = format!("{}.tar", diff_id.0.hex());
        if written.insert(member.clone()) {
            plan.tar(&member, layer, store, observer)?;
        }
        members.push(member);
    }
    let config = crate::digest::Digest::of(&image.config.bytes);
    let config = format!("{}.json", config.hex());
    plan.document(&config, image.config.bytes.as_slice());
    let manifest = json!([{ "Config": config, "RepoTags": names, "Layers": members }]);
    plan.document("manifest.json", manifest.to_string().into_bytes());
    Ok(())
}
