//! Reading what `docker save` writes, and what others write for `docker load`.
//!
//! All have a `manifest.json`; how they name configuration and layers differs from writer to writer, and in old ones layers
//! are links. So nothing is taken from names, but where a name claims a digest it must be right. Diff ids always are checked.
//!
//! # Spec
//! Docker Image Specification v1.2, *Combined Image JSON + Filesystem Changeset Format*.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde_json::{Value, json};

use super::super::Error;
use super::super::names::{Wanted, describe};
use super::members::{Members, Range};
use super::plan::{Failed, copy};
use crate::digest::{DiffId, Digest, DigestWriter, Mismatch};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::{Descriptor, Image, ImageConfiguration, media_type};
use crate::layer;
use crate::store::{self, BlobStore};

/// What a layer may hold. Finding its diff id takes time in proportion, and a small file can stand for very much.
const MAX_LAYER_BYTES: u64 = 64 << 30;

/// One image of the list in `manifest.json`.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    config: String,
    layers: Vec<String>,
}

pub(super) fn read(
    members: &Members,
    wanted: Wanted<'_>,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Image, Error> {
    let (images, names) = list(members)?;
    let is_same = |one: usize, other: usize| images[one] == images[other];
    let chosen = wanted.choose(&names, is_same);
    let Some(listed) = chosen.and_then(|at| images.get(at)) else {
        return Err(Error::NoSuchImage {
            path: members.shown(),
            wanted: wanted.describe(),
            available: describe(&names),
        });
    };
    let unusable = |source| Error::Image {
        path: members.shown(),
        source,
    };
    let config = members.document(&listed.config)?;
    check_name(members, &listed.config, &Digest::of(&config))?;
    let parsed = ImageConfiguration::parse(&config).map_err(unusable)?;
    let (layers, diff_ids) = (listed.layers.len(), parsed.diff_ids().len());
    if layers != diff_ids {
        return Err(unusable(crate::image::Error::Layers { layers, diff_ids }));
    }
    let mut known: BTreeMap<Range, (Descriptor, DiffId)> = BTreeMap::new();
    let mut layers = Vec::new();
    for (name, expected) in listed.layers.iter().zip(parsed.diff_ids()) {
        let range = members.find(name)?;
        let (layer, found) = match known.get(&range) {
            Some(layer) => layer.clone(),
            None => {
                let layer = store_layer(members, range, store, observer)?;
                known.insert(range, layer.clone());
                layer
            }
        };
        check_name(members, name, &layer.digest)?;
        if found != *expected {
            return Err(damaged(members, &expected.0, found.0));
        }
        layers.push(layer.to_value());
    }
    // An archive of this kind has no manifest of the image; this is one for what it has.
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, &config).to_value(),
        "layers": layers,
    });
    let manifest = manifest.to_string().into_bytes();
    let image = Image::parse(media_type::OCI_MANIFEST, manifest, config).map_err(unusable)?;
    store.put_documents(&image)?;
    Ok(image)
}

/// The images, and the names of each.
fn list(members: &Members) -> Result<(Vec<Listed>, Vec<Vec<String>>), Error> {
    if !members.has("manifest.json") {
        let hint = if members.has("index.json") {
            "it has an `index.json`: read it as `oci-archive:`"
        } else if members.has("repositories") {
            "it was written by a Docker before 1.10; load it into a newer one and save it again"
        } else {
            "`docker save` writes such archives"
        };
        let reason = "it has no `manifest.json`".to_owned();
        return Err(members.refuse_with(reason, Some(hint)));
    }
    let malformed = |reason: String| members.refuse(format!("its `manifest.json`: {reason}"));
    let manifest = members.document("manifest.json")?;
    let manifest: Value =
        serde_json::from_slice(&manifest).map_err(|error| malformed(error.to_string()))?;
    let entries = manifest.as_array();
    let entries = entries.ok_or_else(|| malformed("it is not a list".to_owned()))?;
    let mut images = Vec::new();
    let mut names = Vec::new();
    for entry in entries {
        let config = entry["Config"].as_str();
        let config = config.ok_or_else(|| malformed("an image has no `Config`".to_owned()))?;
        images.push(Listed {
            config: config.to_owned(),
            layers: texts(&entry["Layers"])
                .ok_or_else(|| malformed("`Layers` is not a list of names".to_owned()))?,
        });
        names.push(
            texts(&entry["RepoTags"])
                .ok_or_else(|| malformed("`RepoTags` is not a list of names".to_owned()))?,
        );
    }
    Ok((images, names))
}

/// A list of texts; where there is none it is empty, for Go writes `null` for that.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        value => {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            value.as_array()?.iter().map(text).collect()
        }
    }
}

/// The digest that a name claims for its content: `blobs/sha256/HEX` (Docker 25 and later), `sha256:HEX` (what is written
/// with go-containerregistry: kaniko, ko, crane), `HEX.json` (Docker before).
fn claimed(name: &str) -> Option<Digest> {
    let name = name.strip_prefix("./").unwrap_or(name);
    if let Some(blob) = name.strip_prefix("blobs/") {
        return blob.replacen('/', ":", 1).parse().ok();
    }
    match name.strip_suffix(".json") {
        Some(hex) => format!("sha256:{hex}").parse().ok(),
        None => name.parse().ok(),
    }
}

fn check_name(members: &Members, name: &str, found: &Digest) -> Result<(), Error> {
    match claimed(name) {
        // Names of SHA-512 are not checked here: nobody writes them, and the diff id will be.
        Some(claimed) if claimed.algorithm() == found.algorithm() && claimed != *found => {
            Err(damaged(members, &claimed, found.clone()))
        }
        _ => Ok(()),
    }
}

fn damaged(members: &Members, expected: &Digest, found: Digest) -> Error {
    Error::Damaged {
        path: members.shown(),
        source: store::Error::Mismatch(Mismatch::Digest {
            expected: expected.clone(),
            found,
        }),
    }
}

/// Stores a layer as it is, compressed or not, and finds its diff id.
fn store_layer(
    members: &Members,
    range: Range,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<(Descriptor, DiffId), Error> {
    let mut writer = store.begin_blob()?;
    members.copy(range, &mut writer, observer)?;
    let (digest, size) = writer.finish()?;
    let path = store.blob_path(&digest);
    let mut start = [0; 4];
    let count = crate::fs::open(&path)?
        .read(&mut start)
        .context("read", &path)?;
    let media_type = match &start[..count] {
        [0x1f, 0x8b, ..] => media_type::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media_type::OCI_LAYER_ZSTD,
        // The digest of a plain tar is its diff id.
        _ => {
            let layer = Descriptor::new(media_type::OCI_LAYER, digest.clone(), size);
            return Ok((layer, DiffId(digest)));
        }
    };
    let layer = Descriptor::new(media_type, digest, size);
    let diff_id = diff_id(members, &layer, store, observer)?;
    Ok((layer, diff_id))
}

fn diff_id(
    members: &Members,
    layer: &Descriptor,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<DiffId, Error> {
    let path = store.blob_path(&layer.digest);
    let compression = media_type::layer_compression(&layer.media_type);
    let compression = compression.unwrap_or(media_type::Compression::None);
    let reader = io::BufReader::with_capacity(128 << 10, store.open_blob(layer)?);
    let tar = layer::decompress(reader, compression).context("read", &path)?;
    let mut tar = tar.take(MAX_LAYER_BYTES + 1);
    let mut hash = DigestWriter::new(io::sink());
    let copied = copy(&mut tar, &mut hash as &mut dyn Write, &|_| {}, observer);
    let size = copied.map_err(|failed| match failed {
        Failed::Interrupted => Error::Interrupted,
        Failed::Reading(error) | Failed::Writing(error) => {
            let reason = crate::fs::reason(&error);
            members.refuse(format!(
                "the layer `{}` cannot be decompressed: {reason}",
                layer.digest
            ))
        }
    })?;
    if size > MAX_LAYER_BYTES {
        return Err(members.refuse(format!(
            "the layer `{}` has more than {MAX_LAYER_BYTES} bytes",
            layer.digest
        )));
    }
    Ok(DiffId(hash.finish().1))
}
