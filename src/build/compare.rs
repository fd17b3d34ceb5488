//! What differs between two images, in words: for `build --check`, where two hashes would help nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read};

use serde_json::Value;

use super::Error;
use crate::digest::Digester;
use crate::image::{Descriptor, Image, media_type};
use crate::layer::{self, Entry, Kind};
use crate::store::BlobStore;

/// Compares two images layer by layer and member by member, then their configurations. A line for each difference, as
/// `LAYER PATH: this / that`; none when they are the same.
///
/// # Errors
/// [`Error::Store`] and [`Error::Layer`] when a layer cannot be read.
pub fn compare(store: &BlobStore, this: &Image, that: &Image) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    let (these, those): (Vec<_>, Vec<_>) = (this.layers().collect(), that.layers().collect());
    if these.len() != those.len() {
        lines.push(format!("layers: {} / {}", these.len(), those.len()));
    }
    for (index, ((one, _), (other, _))) in these.iter().zip(&those).enumerate() {
        if one.digest == other.digest {
            continue;
        }
        let (one, other) = (members(store, one)?, members(store, other)?);
        let before = lines.len();
        let paths: BTreeSet<_> = one.keys().chain(other.keys()).collect();
        for path in paths {
            let absent = || "absent".to_owned();
            let left = one.get(path).cloned().unwrap_or_else(absent);
            let right = other.get(path).cloned().unwrap_or_else(absent);
            if left != right {
                lines.push(format!("layer {}, {path}: {left} / {right}", index + 1));
            }
        }
        if lines.len() == before {
            lines.push(format!(
                "layer {}: the same members in another order",
                index + 1
            ));
        }
    }
    documents(
        "configuration",
        this.config.parsed.value(),
        that.config.parsed.value(),
        &mut lines,
    );
    Ok(lines)
}

/// The tar of a layer in the store; reading it to the end checks size and digest of the blob.
pub(super) fn open_layer<'s>(
    store: &'s BlobStore,
    blob: &Descriptor,
) -> Result<Box<dyn Read + 's>, Error> {
    let compression = media_type::layer_compression(&blob.media_type).ok_or_else(|| {
        layer::Error::Hostile(format!("`{}` is no layer's media type", blob.media_type))
    })?;
    let reader = BufReader::with_capacity(256 << 10, store.open_blob(blob)?);
    Ok(layer::decompress(reader, compression).map_err(unreadable)?)
}

/// What [`open_layer`]'s tar says when it cannot be read.
pub(super) fn unreadable(source: io::Error) -> layer::Error {
    layer::Error::Io {
        action: "read",
        path: "the layer".to_owned(),
        source,
    }
}

/// Every member of a layer's tar, by its name, with all that a tar says of it.
fn members(store: &BlobStore, blob: &Descriptor) -> Result<BTreeMap<String, String>, Error> {
    let mut tar = open_layer(store, blob)?;
    let mut members = BTreeMap::new();
    layer::read::for_each(&mut tar, |entry, content| {
        let path = entry.path.to_string();
        let mut digester = Digester::new(crate::digest::Algorithm::Sha256);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = content.read(&mut buffer).map_err(unreadable)?;
            if count == 0 {
                break;
            }
            digester.update(&buffer[..count]);
        }
        members.insert(path, describe(&entry, digester.finish().short()));
        Ok(())
    })?;
    Ok(members)
}

fn describe(entry: &Entry, digest: &str) -> String {
    let kind = match &entry.kind {
        Kind::Directory => "directory".to_owned(),
        Kind::File { size } => format!("file of {size} bytes ({digest})"),
        Kind::Symlink { target } => format!("link to `{}`", target.escape_ascii()),
        Kind::HardLink { target } => format!("hard link to `{target}`"),
        Kind::CharacterDevice { major, minor } => format!("character device {major}:{minor}"),
        Kind::BlockDevice { major, minor } => format!("block device {major}:{minor}"),
        Kind::Fifo => "fifo".to_owned(),
    };
    let names: Vec<String> = entry
        .xattrs
        .iter()
        .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    let xattrs = match names.is_empty() {
        true => String::new(),
        false => format!(" [{}]", names.join(" ")),
    };
    format!(
        "{kind} {:04o} {}:{} @{}{xattrs}",
        entry.mode, entry.uid, entry.gid, entry.mtime
    )
}

/// Adds a line for each value that differs in two JSON documents.
fn documents(path: &str, this: &Value, that: &Value, lines: &mut Vec<String>) {
    match (this, that) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let (left, right) = (&this[key], &that[key]);
                documents(&format!("{path}.{key}"), left, right, lines);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (left, right)) in one.iter().zip(other).enumerate() {
                documents(&format!("{path}[{index}]"), left, right, lines);
            }
        }
        _ if this != that => lines.push(format!("{path}: {this} / {that}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_differ_by_path() {
        let mut lines = Vec::new();
        let this = json!({"a": 1, "b": [1, {"c": 2}], "d": "x"});
        let that = json!({"a": 1, "b": [1, {"c": 3}], "e": null});
        documents("config", &this, &that, &mut lines);
        assert_eq!(lines, ["config.b[1].c: 2 / 3", "config.d: \"x\" / null"]);
    }
}
