//! A builder image that no registry has, carried by the images that were made on it: its two documents, as an annotation
//! of their manifests. Its layers are there anyway. So a runner with an empty disk knows the builder image of a recipe
//! without making it again, by the one manifest that it reads in any case (DESIGN §2.3).

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::builder_image::labels;
use crate::image::{Image, Manifest, media_type};

/// On a manifest: the documents of the image that it was made on.
///
/// Base64 (RFC 4648 §4) of a zlib stream (RFC 1950) of: the manifest's size in bytes as decimal digits, a newline, the
/// manifest, the configuration.
pub(super) const DOCUMENTS: &str = "io.overcoat.base.documents";
/// The largest annotation that is read, in bytes.
const MAX_TEXT: usize = 256 << 10;
/// The largest documents, in bytes.
const MAX_DOCUMENTS: u64 = 4 << 20;

/// The annotation's value for a builder image.
pub(super) fn carried(image: &Image) -> String {
    let manifest = &image.manifest.bytes;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let head = format!("{}\n", manifest.len());
    for part in [head.as_bytes(), manifest, &image.config.bytes] {
        encoder
            .write_all(part)
            .expect("writing to memory does not fail");
    }
    let bytes = encoder.finish().expect("writing to memory does not fail");
    STANDARD.encode(bytes)
}

/// The builder image that `manifest` carries; `None` unless it is the very one that it names as its base, and its layers
/// are the lowest ones.
pub(super) fn of(manifest: &Manifest) -> Option<Image> {
    let text = manifest.annotations.get(DOCUMENTS)?;
    let promised = manifest.annotations.get(labels::BASE_DIGEST)?;
    if text.len() > MAX_TEXT {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    let mut documents = Vec::new();
    let mut decoder = ZlibDecoder::new(bytes.as_slice()).take(MAX_DOCUMENTS);
    decoder.read_to_end(&mut documents).ok()?;
    let end = documents.iter().take(20).position(|byte| *byte == b'\n')?;
    let size: usize = std::str::from_utf8(&documents[..end]).ok()?.parse().ok()?;
    let documents = &documents[end + 1..];
    let (base, config) = (documents.get(..size)?, documents.get(size..)?);
    let (base, config) = (base.to_vec(), config.to_vec());
    let image = Image::parse(media_type::OCI_MANIFEST, base, config).ok()?;
    let layers = image.manifest.parsed.layers.iter();
    let is_below = layers.len() <= manifest.layers.len()
        && layers
            .zip(&manifest.layers)
            .all(|(ours, theirs)| ours.digest == theirs.digest && ours.size == theirs.size);
    (image.digest().to_string() == *promised && is_below).then_some(image)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::digest::{DiffId, Digest};
    use crate::image::edit::{self, Changes, NewLayer};
    use crate::image::{Descriptor, Platform};

    fn layer(text: &str) -> NewLayer {
        let digest = Digest::of(text.as_bytes());
        NewLayer {
            descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), 7),
            diff_id: DiffId(digest),
            created_by: "test".to_owned(),
        }
    }

    fn base(text: &str) -> Image {
        let platform = Platform::host();
        edit::from_scratch(&platform, &[layer(text)], &Changes::default()).unwrap()
    }

    fn on(base: &Image, carried: String, promised: &str) -> Manifest {
        let changes = Changes {
            annotations: BTreeMap::from([
                (DOCUMENTS.to_owned(), carried),
                (labels::BASE_DIGEST.to_owned(), promised.to_owned()),
            ]),
            ..Changes::default()
        };
        let image = edit::append(base, &[layer("app")], &changes).unwrap();
        image.manifest.parsed
    }

    #[test]
    fn what_is_carried_comes_back_and_is_small() {
        let base = base("base");
        let text = carried(&base);
        assert!(text.len() < 1000, "{}", text.len());
        assert_eq!(text, carried(&base));
        let manifest = on(&base, text, &base.digest().to_string());
        assert_eq!(of(&manifest), Some(base));
    }

    #[test]
    fn what_is_foreign_damaged_or_of_another_image_is_none() {
        let (one, other) = (base("one"), base("other"));
        let digest = one.digest().to_string();
        assert_eq!(of(&on(&one, carried(&other), &digest)), None);
        assert_eq!(
            of(&on(&one, carried(&one), &other.digest().to_string())),
            None
        );
        // The right documents on an image with other layers.
        assert_eq!(of(&on(&other, carried(&one), &digest)), None);
        let text = carried(&one);
        for damaged in [
            String::new(),
            text[..text.len() / 2].to_owned(),
            text.replace('e', "f"),
            "x".repeat(MAX_TEXT + 4),
            STANDARD.encode(b"7\nno zlib"),
        ] {
            assert_eq!(of(&on(&one, damaged, &digest)), None);
        }
    }

    #[test]
    fn what_would_not_end_is_cut() {
        let one = base("one");
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(b"5\n").unwrap();
        let zeros = vec![b' '; 1 << 20];
        (0..64).for_each(|_| encoder.write_all(&zeros).unwrap());
        let bomb = STANDARD.encode(encoder.finish().unwrap());
        assert!(bomb.len() < MAX_TEXT);
        assert_eq!(of(&on(&one, bomb, &one.digest().to_string())), None);
    }
}
