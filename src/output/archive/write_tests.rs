//! What is in the archives that are written.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};

use super::super::samples::{Impatient, image, index, store};
use super::*;
use crate::digest::{Algorithm, Digester};
use crate::event::Silent;
use crate::image::{Content, Descriptor, Image};

const NAMES: [&str; 2] = ["app:1", "localhost:5000/team/app:v2"];
const FULL: [&str; 2] = ["docker.io/library/app:1", "localhost:5000/team/app:v2"];

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn bytes(
    format: Format,
    content: &Content<'_>,
    given: &[&str],
    preferred: Option<&str>,
    store: &BlobStore,
) -> Vec<u8> {
    let preferred = preferred.map(|platform| platform.parse().unwrap());
    let given = names(given);
    let plan = plan(
        "x.tar",
        format,
        content,
        &given,
        preferred.as_ref(),
        store,
        &Silent,
    )
    .unwrap();
    let mut bytes = Vec::new();
    plan.write(&mut bytes, Path::new("x.tar"), store, &Silent)
        .unwrap();
    assert_eq!(bytes.len() as u64, plan.size(), "{format:?}");
    bytes
}

/// The members in order, each with its header and content.
fn members(archive: &[u8]) -> Vec<(String, tar::Header, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, entry.header().clone(), content)
    });
    entries.collect()
}

fn json_of(archive: &[u8], name: &str) -> Value {
    let found = members(archive).into_iter().find(|member| member.0 == name);
    serde_json::from_slice(&found.unwrap().2).unwrap()
}

fn blob(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest.hex())
}

fn blobs_of(image: &Image) -> Vec<String> {
    image.manifest.parsed.layers.iter().map(blob).collect()
}

#[test]
fn the_hybrid_archive_has_the_layout_and_dockers_list_over_the_same_blobs() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = image(&store, "linux/amd64");
    let archive = bytes(Format::Both, &(&image).into(), &NAMES, None, &store);
    let found = members(&archive);
    let (manifest, config) = (&image.manifest.descriptor, &image.config.descriptor);
    let mut expected = names(&["oci-layout", "index.json", "manifest.json"]);
    expected.extend([blob(manifest), blob(config)]);
    expected.extend(blobs_of(&image));
    let found_names: Vec<&String> = found.iter().map(|member| &member.0).collect();
    assert_eq!(found_names, expected.iter().collect::<Vec<_>>());
    for (name, header, content) in &found {
        let numbers = (header.mtime(), header.uid(), header.gid(), header.mode());
        let numbers = (
            numbers.0.unwrap(),
            numbers.1.unwrap(),
            numbers.2.unwrap(),
            numbers.3.unwrap(),
        );
        assert_eq!(numbers, (0, 0, 0, 0o644), "{name}");
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(crate::digest::Digest::of(content).hex(), hex);
        }
    }
    let entries = json_of(&archive, "index.json")["manifests"].clone();
    for (entry, name) in entries.as_array().unwrap().iter().zip(FULL) {
        let annotations = json!({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name,
        });
        assert_eq!(entry["annotations"], annotations);
        assert_eq!(entry["digest"], json!(manifest.digest));
    }
    assert_eq!(entries.as_array().unwrap().len(), 2);
    let docker = json!([{ "Config": blob(config), "RepoTags": FULL, "Layers": blobs_of(&image) }]);
    assert_eq!(json_of(&archive, "manifest.json"), docker);
}

#[test]
fn of_an_index_dockers_list_has_the_preferred_image_else_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let index = index(&store);
    let content = Content::from(&index);
    for (preferred, at) in [
        (None, 0),
        (Some("linux/arm64"), 1),
        (Some("linux/s390x"), 0),
    ] {
        let archive = bytes(Format::Both, &content, &["app"], preferred, &store);
        let docker = json_of(&archive, "manifest.json");
        let config = blob(&index.images()[at].config.descriptor);
        assert_eq!(docker[0]["Config"], json!(config), "{preferred:?}");
        let entry = &json_of(&archive, "index.json")["manifests"][0];
        assert_eq!(entry["digest"], json!(index.index().descriptor.digest));
        let all: Vec<String> = members(&archive)
            .into_iter()
            .map(|member| member.0)
            .collect();
        for image in index.images() {
            assert!(blobs_of(image).iter().all(|blob| all.contains(blob)));
        }
    }
    let refused = plan(
        "x",
        Format::Docker,
        &content,
        &names(&["app"]),
        None,
        &store,
        &Silent,
    );
    assert!(
        matches!(refused, Err(Error::Platforms { .. })),
        "{refused:?}"
    );
}

#[test]
fn the_other_formats_are_what_their_readers_know() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let image = image(&store, "linux/amd64");
    let oci = bytes(
        Format::Oci,
        &(&image).into(),
        &["app:1", "NO REFERENCE"],
        None,
        &store,
    );
    let entries = json_of(&oci, "index.json")["manifests"].clone();
    let annotations = |at: usize| entries[at]["annotations"].clone();
    let first = json!({
        "io.containerd.image.name": FULL[0],
        "org.opencontainers.image.ref.name": "app:1",
    });
    assert_eq!(annotations(0), first);
    let second = json!({ "org.opencontainers.image.ref.name": "NO REFERENCE" });
    assert_eq!(annotations(1), second);
    let unnamed = bytes(Format::Oci, &(&image).into(), &[], None, &store);
    let entries = json_of(&unnamed, "index.json")["manifests"].clone();
    assert_eq!(entries[0]["digest"], json!(image.digest()));

    let docker = bytes(Format::Docker, &(&image).into(), &["app:1"], None, &store);
    let contents: BTreeMap<String, Vec<u8>> = members(&docker)
        .into_iter()
        .map(|(name, _, content)| (name, content))
        .collect();
    let list = json_of(&docker, "manifest.json");
    assert_eq!(list[0]["RepoTags"], json!([FULL[0]]));
    assert_eq!(
        contents[list[0]["Config"].as_str().unwrap()],
        image.config.bytes
    );
    for (layer, (_, diff_id)) in list[0]["Layers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(image.layers())
    {
        let tar = &contents[layer.as_str().unwrap()];
        assert_eq!(crate::digest::Digest::of(tar), diff_id.0);
    }
}

#[test]
fn names_of_blobs_that_no_header_holds_are_counted_and_written_right() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut image = image(&store, "linux/amd64");
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(b"layer");
    let layer = Descriptor::new("application/x", digester.finish(), 5);
    store.put(&layer, b"layer").unwrap();
    image.manifest.parsed.layers[1] = layer.clone();
    let archive = bytes(Format::Both, &(&image).into(), &["app"], None, &store);
    let long = format!("blobs/sha512/{}", layer.digest.hex());
    let last = members(&archive).pop().unwrap();
    assert_eq!((last.0, last.2), (long, b"layer".to_vec()));
}

#[test]
fn an_archive_that_nobody_could_name_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory.path().join("store"));
    let image = image(&store, "linux/amd64");
    let file = directory.path().join("a.tar");
    for (given, expected) in [
        (&[][..], "no name"),
        (&["UPPER"][..], "`UPPER`: repository"),
    ] {
        let content = (&image).into();
        let refused = write(
            &file,
            Format::Both,
            &content,
            &names(given),
            &store,
            &Silent,
        );
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(!refused.hints().is_empty());
    }
    let archive = bytes(
        Format::Both,
        &(&image).into(),
        &["app", "app:latest"],
        None,
        &store,
    );
    let list = json_of(&archive, "manifest.json");
    assert_eq!(list[0]["RepoTags"], json!(["docker.io/library/app:latest"]));
}

#[test]
fn a_file_appears_whole_or_the_old_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory.path().join("store"));
    let out = directory.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let image = image(&store, "linux/amd64");
    let file = out.join("a.tar");
    let given = names(&["app"]);
    let attempt = |observer: &dyn Observer| {
        write(
            &file,
            Format::Both,
            &(&image).into(),
            &given,
            &store,
            observer,
        )
    };
    attempt(&Silent).unwrap();
    let whole = std::fs::read(&file).unwrap();
    assert_eq!(
        whole,
        bytes(Format::Both, &(&image).into(), &["app"], None, &store)
    );
    assert!(matches!(attempt(&Impatient), Err(Error::Interrupted)));
    let layer = store.blob_path(&image.manifest.parsed.layers[1].digest);
    let mut damaged = std::fs::read(&layer).unwrap();
    damaged[10] ^= 1;
    std::fs::write(&layer, damaged).unwrap();
    let error = attempt(&Silent).unwrap_err();
    assert!(
        matches!(&error, Error::Store(error) if error.is_mismatch()),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
}
