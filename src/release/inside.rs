//! One file of an image, read from its layers without unpacking any: the newest layer first, until it is found or known to be
//! deleted. Links are followed, whiteouts honoured, and nothing that a layer says becomes a path on this machine.
//!
//! # Spec
//! OCI image-spec `layer.md`, *Whiteouts*.

use std::io::{BufReader, Read};

use crate::image::{Descriptor, Image, media_type};
use crate::layer::whiteout::{self, Whiteout};
use crate::layer::{self, EntryPath, Kind, read};
use crate::store::{self, BlobStore};

/// How many links are followed.
const MOST_LINKS: usize = 16;
/// The most that a layer may have uncompressed; beyond it, it is not read to its end.
const MOST_LAYER_BYTES: u64 = 64 << 30;

/// Why a file cannot be read from an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer is of a kind that is not known.
    #[error("the layer `{digest}` has the media type `{media_type}`, which cannot be read")]
    MediaType {
        /// The layer.
        digest: crate::digest::Digest,
        /// What it says it is.
        media_type: String,
    },
    /// A layer cannot be read.
    #[error("cannot read the layer `{digest}`: {source}")]
    Layer {
        /// The layer.
        digest: crate::digest::Digest,
        /// What is wrong with it.
        source: layer::Error,
    },
    /// A layer cannot be had.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A layer cannot be fetched.
    #[error(transparent)]
    Registry(#[from] crate::registry::Error),
    /// A path that was asked for is none.
    #[error(transparent)]
    Path(#[from] layer::entry::PathError),
}

/// What one layer says about a path.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// It is a file, with this content.
    File(Vec<u8>),
    /// It, or a directory above it, is a link: this is where the path leads.
    Link(EntryPath),
    /// It is another name of this file, as this layer and those below it have it.
    HardLink(EntryPath),
    /// It is not there, whatever lower layers say.
    Gone,
    /// Lower layers decide.
    Nothing,
}

/// The content of a regular file of an image, at most `limit` bytes of it; `None` when the image has no such file. `fetch` brings a
/// layer into the store before it is read; it is called for as many layers as are needed, newest first.
///
/// # Errors
/// [`Error`].
pub fn file(
    image: &Image,
    path: &str,
    limit: u64,
    store: &BlobStore,
    fetch: &mut dyn FnMut(&Descriptor) -> Result<(), Error>,
) -> Result<Option<Vec<u8>>, Error> {
    let mut wanted = EntryPath::parse(path.trim_start_matches('/').as_bytes())?;
    let mut links = 0;
    let layers: Vec<&Descriptor> = image.layers().rev().map(|(layer, _)| layer).collect();
    let mut at = 0;
    while let Some(layer) = layers.get(at) {
        fetch(layer)?;
        match look(layer, &wanted, limit, store)? {
            Said::File(bytes) => return Ok(Some(bytes)),
            Said::Gone => return Ok(None),
            Said::Nothing => at += 1,
            Said::HardLink(target) => (wanted, links) = (target, links + 1),
            // A link leads to what is there now: all layers are asked again.
            Said::Link(target) => (wanted, links, at) = (target, links + 1, 0),
        }
        if links > MOST_LINKS {
            return Ok(None);
        }
    }
    Ok(None)
}

fn look(
    layer: &Descriptor,
    wanted: &EntryPath,
    limit: u64,
    store: &BlobStore,
) -> Result<Said, Error> {
    let Some(compression) = media_type::layer_compression(&layer.media_type) else {
        return Err(Error::MediaType {
            digest: layer.digest.clone(),
            media_type: crate::event::printable(&layer.media_type),
        });
    };
    let blob = BufReader::new(store.open_blob(layer)?);
    let path = store.blob_path(&layer.digest);
    let tar = layer::decompress(blob, compression)
        .map_err(|error| Error::Store(store::Error::reading(&path, error)))?;
    in_tar(&mut tar.take(MOST_LAYER_BYTES), wanted, limit).map_err(|source| Error::Layer {
        digest: layer.digest.clone(),
        source,
    })
}

fn in_tar(tar: &mut dyn Read, wanted: &EntryPath, limit: u64) -> Result<Said, layer::Error> {
    let (mut said, mut is_gone_below) = (Said::Nothing, false);
    read::for_each(tar, |entry, content| {
        if let Some(mark) = whiteout::parse(&entry.path)? {
            let covers = match &mark {
                Whiteout::Deleted(path) => wanted.is_within(path),
                Whiteout::Opaque(directory) => wanted.is_within(directory) && wanted != directory,
            };
            is_gone_below |= covers;
            return Ok(());
        }
        let is_it = entry.path == *wanted;
        if !is_it && !wanted.is_within(&entry.path) {
            return Ok(());
        }
        match &entry.kind {
            Kind::File { .. } if is_it => {
                let mut bytes = Vec::new();
                let read = content.take(limit + 1).read_to_end(&mut bytes);
                read.map_err(|source| layer::Error::Io {
                    action: "read",
                    path: entry.path.as_bytes().escape_ascii().to_string(),
                    source,
                })?;
                let is_small = bytes.len() as u64 <= limit;
                said = if is_small {
                    Said::File(bytes)
                } else {
                    Said::Gone
                };
            }
            Kind::Symlink { target } => {
                said = resolved(&entry.path, target, wanted).map_or(Said::Gone, Said::Link);
            }
            Kind::HardLink { target } if is_it && target != wanted => {
                said = Said::HardLink(target.clone());
            }
            Kind::Directory if !is_it => {}
            _ => said = Said::Gone,
        }
        Ok(())
    })?;
    Ok(match said {
        Said::Nothing if is_gone_below => Said::Gone,
        said => said,
    })
}

/// Where `wanted` leads when `link`, which is it or above it, points to `target`.
fn resolved(link: &EntryPath, target: &[u8], wanted: &EntryPath) -> Option<EntryPath> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let parent = link.parent();
    if !target.starts_with(b"/")
        && let Some(parent) = &parent
    {
        parts.extend(parent.as_bytes().split(|byte| *byte == b'/'));
    }
    let rest = &wanted.as_bytes()[link.as_bytes().len()..];
    for part in target
        .split(|byte| *byte == b'/')
        .chain(rest.split(|byte| *byte == b'/'))
    {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.retain(|part| !part.is_empty());
    EntryPath::parse(&parts.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Platform;
    use crate::image::edit::{Changes, NewLayer, from_scratch};
    use crate::layer::{Entry, LayerWriter};

    /// What a test puts into a layer: a path, and a file's text, `-> target`, `=> target` of a hard link, or `/` for a directory.
    fn layer(store: &BlobStore, members: &[(&str, &str)]) -> NewLayer {
        let mut writer = LayerWriter::new(store.begin_blob().unwrap(), 0, 1);
        for (path, what) in members {
            let path = EntryPath::parse(path.as_bytes()).unwrap();
            let kind = match *what {
                "/" => Kind::Directory,
                text if text.starts_with("-> ") => Kind::Symlink {
                    target: text.as_bytes()[3..].to_vec(),
                },
                text if text.starts_with("=> ") => Kind::HardLink {
                    target: EntryPath::parse(&text.as_bytes()[3..]).unwrap(),
                },
                text => Kind::File {
                    size: text.len() as u64,
                },
            };
            let is_file = matches!(kind, Kind::File { .. });
            let content = if is_file { what.as_bytes() } else { b"" };
            writer
                .append(&Entry::new(path, kind, 0o644), content)
                .unwrap();
        }
        let (blob, layer) = writer.finish().unwrap();
        let (digest, size) = blob.finish().unwrap();
        NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
            diff_id: layer.diff_id,
            created_by: "test".to_owned(),
        }
    }

    /// The file as the image of these layers has it, lowest first, and how many layers were needed.
    fn read(path: &str, layers: &[&[(&str, &str)]]) -> (Option<String>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&directory.path().join("store")).unwrap();
        let layers: Vec<NewLayer> = layers
            .iter()
            .map(|members| layer(&store, members))
            .collect();
        let changes = Changes {
            created: "1980-01-01T00:00:00Z".to_owned(),
            ..Changes::default()
        };
        let image = from_scratch(&Platform::host(), &layers, &changes).unwrap();
        let mut fetched = std::collections::BTreeSet::new();
        let found = file(&image, path, 100, &store, &mut |layer| {
            fetched.insert(layer.digest.clone());
            Ok(())
        });
        let text = found
            .unwrap()
            .map(|bytes| String::from_utf8(bytes).unwrap());
        (text, fetched.len())
    }

    #[test]
    fn the_newest_layer_that_has_the_file_decides() {
        let base: &[(&str, &str)] = &[("app", "/"), ("app/app.py", "old")];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("/app/app.py", &[base, &[("app/app.py", "new")]]),
            (some("new"), 1)
        );
        assert_eq!(
            read("/app/app.py", &[base, &[("app/b.py", "b")]]),
            (some("old"), 2)
        );
        assert_eq!(read("/app/b.py", &[base]).0, None);
    }

    #[test]
    fn whiteouts_end_the_search() {
        let base: &[(&str, &str)] = &[("app", "/"), ("app/app.py", "old")];
        for gone in [
            &[("app/.wh.app.py", "")][..],
            &[(".wh.app", "")],
            &[("app", "/"), ("app/.wh..wh..opq", "")],
            &[("app", "a file")],
            &[("app/app.py", "/")],
        ] {
            assert_eq!(read("app/app.py", &[base, gone]), (None, 1), "{gone:?}");
        }
        let opaque: &[(&str, &str)] = &[
            ("app", "/"),
            ("app/.wh..wh..opq", ""),
            ("app/app.py", "new"),
        ];
        assert_eq!(
            read("app/app.py", &[base, opaque]).0.as_deref(),
            Some("new")
        );
    }

    #[test]
    fn links_are_followed_within_the_image() {
        for (layers, expected) in [
            (
                &[&[("opt/src/app.py", "x"), ("app", "-> /opt/src")][..]][..],
                Some("x"),
            ),
            (
                &[&[("opt/src/app.py", "x"), ("app", "-> opt/./src/")]],
                Some("x"),
            ),
            (
                &[&[
                    ("opt/app.py", "x"),
                    ("app", "/"),
                    ("app/app.py", "-> ../../../opt/app.py"),
                ]],
                Some("x"),
            ),
            (
                &[&[("real.py", "x"), ("app", "/"), ("app/app.py", "=> real.py")]],
                Some("x"),
            ),
            (
                &[
                    &[("real.py", "x"), ("app", "/"), ("app/app.py", "=> real.py")],
                    &[("real.py", "y")],
                ],
                Some("x"),
            ),
            (&[&[("app", "-> app")]], None),
            (&[&[("app", "-> nowhere")]], None),
            (
                &[
                    &[("a/app.py", "old"), ("app", "-> a")],
                    &[("a/app.py", "new")],
                ],
                Some("new"),
            ),
        ] {
            assert_eq!(
                read("app/app.py", layers).0.as_deref(),
                expected,
                "{layers:?}"
            );
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_none() {
        let long = "x".repeat(101);
        assert_eq!(read("a", &[&[("a", long.as_str())]]).0, None);
    }
}
