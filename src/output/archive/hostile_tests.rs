//! Archives that nobody should write: all are refused, by name.

use std::io::Write;

use proptest::prelude::*;
use serde_json::json;

use super::super::samples::{self, gzip};
use super::read_tests::{Parts, Place, Tar, list, manifest, ours, simple};
use super::*;
use crate::digest::Digest;
use crate::image::media_type;

#[test]
fn an_archive_that_swells_out_of_proportion_is_refused() {
    // A thousandth of itself when it is compressed, and more than tests allow for free.
    let (_, archive) = simple();
    let bomb = [archive, vec![0; 4 << 20]].concat();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&bomb).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 10_000);
    let place = Place::new();
    place.refuses(&bomb, Format::Docker, "out of all proportion");
    let error = place.read(&bomb, Format::Docker, None).unwrap_err();
    assert!(error.hints()[0].contains("decompress it yourself"));
}

#[test]
fn what_is_cut_off_is_refused() {
    let (_, archive) = simple();
    let place = Place::new();
    place.refuses(&archive[..700], Format::Docker, "cut off within `l.tar`");
    place.refuses(
        &archive[..archive.len() - 1024 - 512],
        Format::Docker,
        "`manifest.json`",
    );
    place.refuses(&archive[..100], Format::Docker, "is not an image archive");
    place.refuses(
        b"",
        Format::Both,
        "neither `index.json` nor `manifest.json`",
    );
    place.refuses(&[b'x'; 4096], Format::Both, "is not an image archive");
}

#[test]
fn names_and_links_that_lead_outside_are_refused() {
    let parts = Parts::new(&["one"]);
    let image = list(&[manifest(&parts.config_name(), &[], &["l"])]);
    let start = || {
        Tar::new()
            .file("manifest.json", &image)
            .file(&parts.config_name(), &parts.config)
    };
    let place = Place::new();
    let refuses = |tar: Tar, reason: &str| place.refuses(&tar.bytes(), Format::Docker, reason);
    refuses(start().file("../l", &parts.layers[0]), "`..`");
    refuses(start().link("l", "../../etc/passwd"), "outside");
    refuses(start().link("l", "/etc/passwd"), "outside");
    refuses(start().link("l", "l"), "too many links");
    refuses(start().link("l", "m").link("m", "l"), "too many links");
    refuses(start().link("l", "m"), "`l` is missing");
    refuses(
        start().raw(tar::EntryType::Link, "l", "../../etc/passwd", b""),
        "`..`",
    );
    let asks = list(&[manifest(&parts.config_name(), &[], &["../../etc/passwd"])]);
    let asks = Tar::new()
        .file("manifest.json", &asks)
        .file(&parts.config_name(), &parts.config);
    refuses(asks, "`..`");
    // An absolute name is one within the archive.
    let absolute = start().file("/l", &parts.layers[0]);
    Place::new().docker(&absolute.bytes(), &parts);
}

#[test]
fn a_name_must_not_have_two_contents() {
    let (parts, archive) = simple();
    let members = archive.len() - 1024;
    let again = |content: &[u8]| {
        let more = Tar::new().file("./l.tar", content).bytes();
        [&archive[..members], &more].concat()
    };
    Place::new().docker(&again(&parts.layers[0]), &parts);
    let mut other = parts.layers[0].clone();
    other[0] ^= 1;
    let place = Place::new();
    place.refuses(&again(&other), Format::Docker, "more than one `l.tar`, and");
    place.refuses(&again(b"x"), Format::Docker, "more than one `l.tar`, and");
    let link = Tar::new().link("l.tar", "m").bytes();
    let both = [&archive[..members], &link].concat();
    place.refuses(&both, Format::Docker, "more than one `l.tar`");
}

#[test]
fn bytes_that_are_not_what_names_and_documents_say_are_refused() {
    let parts = Parts::new(&["one"]);
    let other = Parts::new(&["two"]);
    let (config, layer) = (parts.config_name(), &parts.layers[0]);
    let place = Place::new();
    let with = |config_name: &str, config: &[u8], layer_name: &str, layer: &[u8]| {
        let image = list(&[manifest(config_name, &[], &[layer_name])]);
        Tar::new()
            .file("manifest.json", &image)
            .file(config_name, config)
            .file(layer_name, layer)
            .bytes()
    };
    let refuses = |archive: &[u8], reason: &str| place.refuses(archive, Format::Docker, reason);
    refuses(&with(&config, &other.config, "l", layer), "is damaged");
    refuses(
        &with(&config, &parts.config, "l", &other.layers[0]),
        "is damaged",
    );
    refuses(
        &with(&config, &parts.config, "l", &gzip(&other.layers[0])),
        "is damaged",
    );
    let blob = format!("blobs/sha256/{}", Digest::of(b"else").hex());
    refuses(&with(&config, &parts.config, &blob, layer), "is damaged");
    let cut = gzip(layer);
    refuses(
        &with(&config, &parts.config, "l", &cut[..cut.len() - 9]),
        "cannot be decompressed",
    );
    refuses(&with("c.json", b"{}", "l", layer), "cannot be used");
    let error = place.read(
        &with(&config, &other.config, "l", layer),
        Format::Docker,
        None,
    );
    assert!(matches!(error, Err(Error::Damaged { source, .. }) if source.is_mismatch()));
    let two = list(&[manifest(&config, &[], &["l", "l"])]);
    let two = Tar::new()
        .file("manifest.json", &two)
        .file(&config, &parts.config)
        .file("l", layer);
    refuses(&two.bytes(), "lists 2 layers but the configuration 1");
    for (list, reason) in [
        (&b"{}"[..], "not a list"),
        (b"[]", "no image that is the only one; it has none"),
        (b"[{}]", "no `Config`"),
        (b"[{\"Config\":\"c\",\"Layers\":[1]}]", "`Layers`"),
        (b"[", "EOF"),
    ] {
        refuses(&Tar::new().file("manifest.json", list).bytes(), reason);
    }
    let large = vec![b' '; 5 << 20];
    refuses(
        &Tar::new().file("manifest.json", &large).bytes(),
        "no document may have more",
    );
}

#[test]
fn too_many_members_are_refused() {
    let mut tar = Tar::new();
    for number in 0..=65_536 {
        tar = tar.file(&format!("{number}"), b"");
    }
    Place::new().refuses(&tar.bytes(), Format::Both, "more than 65536 members");
}

#[test]
fn a_layout_in_a_tar_lacks_no_blob_and_has_none_that_is_another() {
    let (from, place) = (Place::new(), Place::new());
    let image = samples::image(&from.store, "linux/amd64");
    let archive = ours(Format::Oci, &(&image).into(), &["app:1"], &from.store);
    let layer = &image.manifest.parsed.layers[1].digest;
    // The last member: its header, its content, the end.
    let size = from
        .store
        .open_blob(&image.manifest.parsed.layers[1])
        .map(|_| image.manifest.parsed.layers[1].size.next_multiple_of(512));
    let at = archive.len() - 1024 - usize::try_from(size.unwrap()).unwrap();
    let without = &archive[..at - 512];
    place.refuses(
        without,
        Format::Oci,
        &format!("the blob `{layer}` is missing from it"),
    );
    let mut other = archive.clone();
    other[at] ^= 1;
    place.refuses(&other, Format::Oci, "is damaged: the bytes named");
    assert!(!place.store.blob_path(layer).exists());
    // Two images without a name for one platform: nobody can tell which is meant.
    let blobs = format!("{:?}", image.digest());
    let entry = json!({ "mediaType": media_type::OCI_MANIFEST, "digest": blobs, "size": 1 });
    let second =
        json!({ "mediaType": media_type::OCI_MANIFEST, "digest": Digest::of(b""), "size": 1 });
    let index = json!({ "schemaVersion": 2, "manifests": [entry, second] });
    let unnamed = Tar::new().file("index.json", index.to_string().as_bytes());
    place.refuses(&unnamed.bytes(), Format::Oci, "it has 2 without a name");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_changed_byte_is_refused_or_changes_nothing(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (parts, mut archive) = simple();
        let at = at.index(archive.len());
        archive[at] = to;
        let place = Place::new();
        if let Ok(image) = place.read(&archive, Format::Both, None) {
            prop_assert_eq!(image.config.bytes, parts.config);
            for layer in &image.manifest.parsed.layers {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut place.store.open_blob(layer).unwrap(), &mut bytes).unwrap();
                prop_assert_eq!(&bytes, &parts.layers[0]);
            }
        }
    }
}
