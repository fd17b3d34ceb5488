//! Copies as they are, between Debian's docker-registries, layouts and archives; what skopeo makes of them, and we of
//! what skopeo pushed. Tags, digests, deletion, referrers.

mod artifacts;
mod desk;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use overcoat::digest::Digest;
use overcoat::event::Silent;
use overcoat::http::Http;
use overcoat::image::graph::{Document, referrers_tag};
use overcoat::image::{Descriptor, media_type};
use overcoat::reference::Reference;
use overcoat::registry::{RegistryClient, Settings};
use overcoat::store::BlobStore;
use serde_json::{Value, json};

use super::push::index_in;
use super::support::registry::Registry;
use super::support::tiny::Tiny;
use super::support::{Overcoat, tool};

/// The tiny builder, pushed to a registry by skopeo as `team/app:1`, and the registry's name for it.
struct Bench {
    directory: tempfile::TempDir,
    layout: String,
    overcoat: Overcoat,
    registry: Registry,
    name: String,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let layout = Tiny::default().write(directory.path());
    let registry = Registry::start();
    let name = format!("{}/team/app:1", registry.host());
    skopeo_copy(&layout, &format!("docker://{name}"), &[]);
    Bench {
        directory,
        layout,
        overcoat: Overcoat::new(),
        registry,
        name,
    }
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// What `overcoat copy … --format json` says.
    #[track_caller]
    fn copy(&self, source: &str, target: &str, more: &[&str]) -> Value {
        copy(&self.overcoat, source, target, more)
    }
}

#[track_caller]
fn copy(overcoat: &Overcoat, source: &str, target: &str, more: &[&str]) -> Value {
    let usual = ["copy", source, target, "--format", "json"];
    let done = overcoat.run(&[&usual[..], more].concat()).ok();
    serde_json::from_str(&done.stdout).unwrap()
}

pub fn skopeo_copy(from: &str, to: &str, more: &[&str]) {
    let usual = [
        "copy",
        "--insecure-policy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        from,
        to,
    ];
    tool("skopeo", &[&usual[..], more].concat());
}

pub fn skopeo_raw(image: &str) -> String {
    tool("skopeo", &["inspect", "--raw", "--tls-verify=false", image])
}

fn digest_of(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// The store's blobs, and what is left of work.
fn kept(overcoat: &Overcoat) -> Vec<String> {
    let blobs = fs::read_dir(overcoat.store().join("blobs/sha256")).unwrap();
    let blobs = blobs.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    blobs.chain(overcoat.left_behind()).collect()
}

/// A request by hand; status, headers as they came, body.
fn http(host: &str, request: &str, kind: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "{request} HTTP/1.0\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// Uploads a blob by hand.
fn put_blob(host: &str, repository: &str, bytes: &[u8]) {
    let start = format!("POST /v2/{repository}/blobs/uploads/");
    let (status, head, _) = http(host, &start, "application/octet-stream", b"");
    assert_eq!(status, 202, "{head}");
    let location = head
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .unwrap();
    let place = location.split_once(host).map_or(location, |(_, path)| path);
    let put = format!("PUT {place}&digest={}", Digest::of(bytes));
    let (status, head, _) = http(host, &put, "application/octet-stream", bytes);
    assert_eq!(status, 201, "{head}");
}

/// An artifact with an empty configuration, as oras and cosign make them; its blobs are in the repository.
pub fn artifact(
    host: &str,
    repository: &str,
    kind: &str,
    text: &str,
    subject: Option<&Descriptor>,
) -> Document {
    put_blob(host, repository, b"{}");
    put_blob(host, repository, text.as_bytes());
    let empty = Descriptor::of("application/vnd.oci.empty.v1+json", b"{}");
    let layer = Descriptor::of("text/plain", text.as_bytes());
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": kind,
        "config": empty.to_value(),
        "layers": [layer.to_value()],
        "annotations": { "test.text": text },
    });
    if let Some(subject) = subject {
        manifest["subject"] = subject.to_value();
    }
    let bytes = manifest.to_string().into_bytes();
    Document {
        descriptor: Descriptor::of(media_type::OCI_MANIFEST, &bytes),
        bytes,
    }
}

pub fn client() -> RegistryClient {
    RegistryClient::new(
        Arc::new(Http::new(&Default::default()).unwrap()),
        Settings::default(),
    )
}

#[test]
fn an_index_goes_from_registry_to_registry_with_its_digest_and_without_the_store() {
    let bench = bench();
    let store = BlobStore::open(&bench.directory.path().join("builder")).unwrap();
    let index = index_in(&store);
    let digest = index.index().descriptor.digest.to_string();
    let (first, second) = (&bench.registry, Registry::start());
    let from = format!("{}/team/multi:1", first.host());
    let layout = format!("oci:{}:multi:1", bench.path("builder"));
    skopeo_copy(&layout, &format!("docker://{from}"), &["--all"]);

    let to = format!("{}/far/multi:2", second.host());
    let done = bench.copy(&from, &to, &["--all-platforms"]);
    assert_eq!(done["digest"], digest.as_str());
    assert_eq!(done["media_type"], media_type::OCI_INDEX);
    assert_eq!(done["documents"], 3);
    assert_eq!(done["chosen_from"], Value::Null);
    assert_eq!(
        skopeo_raw(&format!("docker://{to}")).as_bytes(),
        index.index().bytes
    );
    assert_eq!(kept(&bench.overcoat), [""; 0]);
    // skopeo reads every blob of every platform.
    let read = format!("oci:{}:read", bench.path("read"));
    skopeo_copy(&format!("docker://{to}"), &read, &["--all"]);

    // What is there is found by one request to each side.
    let before = second.requests().len();
    let again = bench.copy(&from, &to, &["--all-platforms"]);
    assert_eq!(again["digest"], digest.as_str());
    assert_eq!(again["copied_blobs"], 0);
    assert_eq!(second.requests().len() - before, 1);

    // By digest, under a new repository; blobs come from their neighbour.
    let pinned = format!("{}/far/multi@{digest}", second.host());
    let other = format!("{}/near/multi@{digest}", second.host());
    let done = bench.copy(&pinned, &other, &["--all-platforms"]);
    assert_eq!(done["digest"], digest.as_str());
    assert_eq!(done["copied_blobs"], 0);
    assert!(done["mounted_blobs"].as_u64() >= Some(4), "{done}");

    // One platform of it is the image that the index lists, and that is said.
    let one = format!("{}/far/one:1", second.host());
    let usual = ["copy", &from, &one, "--platform", "linux/arm64"];
    let done = bench.overcoat.run(&usual).ok();
    let image = index.images().iter().find(|image| {
        let platform = image.config.parsed.platform();
        platform.architecture == "arm64"
    });
    assert_eq!(done.digest(&one), image.unwrap().digest().to_string());
    assert!(
        done.stderr.contains("only `linux/arm64` is copied"),
        "{}",
        done.stderr
    );
    let missing = ["copy", &from, &one, "--platform", "linux/s390x"];
    let missing = bench.overcoat.run(&missing);
    assert_eq!(missing.code, Some(33), "{}", missing.stderr);
    // A digest that the image will not have is refused before anything is sent.
    let wrong = format!("{}/far/wrong@{digest}", second.host());
    let refused = bench.overcoat.run(&["copy", &bench.name, &wrong]);
    assert_eq!(refused.code, Some(32), "{}", refused.stderr);
}

#[test]
fn every_kind_of_image_keeps_its_bytes_from_place_to_place() {
    let bench = bench();
    let far = Registry::start();
    // skopeo compresses only what is not compressed.
    let plain = format!("dir:{}", bench.path("plain"));
    skopeo_copy(&bench.layout, &plain, &["--dest-decompress"]);
    let zstd = ["--format", "oci", "--dest-compress-format", "zstd"];
    let formats: [(&str, &str, &[&str]); 3] = [
        ("oci", &bench.layout, &["--format", "oci"]),
        ("docker", &bench.layout, &["--format", "v2s2"]),
        ("zstd", &plain, &zstd),
    ];
    for (kind, made_of, options) in formats {
        // One registry each: skopeo remembers which it gave the same layer in another compression.
        let near = Registry::start();
        let from = format!("{}/team/{kind}:1", near.host());
        skopeo_copy(made_of, &format!("docker://{from}"), options);
        let raw = skopeo_raw(&format!("docker://{from}"));
        let digest = digest_of(&raw);
        let layout = format!("oci:{}:team/{kind}:1", bench.path(kind));
        let archive = format!("oci-archive:{}", bench.path(&format!("{kind}.tar")));
        let stored = format!("store:team/{kind}:1");
        let there = format!("{}/far/{kind}:1", far.host());
        let route = [&from, &layout, &archive, &stored, &there];
        for hop in route.windows(2) {
            let done = bench.copy(hop[0], hop[1], &[]);
            assert_eq!(done["digest"], digest.as_str(), "{} to {}", hop[0], hop[1]);
        }
        assert_eq!(skopeo_raw(&format!("docker://{there}")), raw, "{kind}");
        // skopeo does not find Docker's documents in layouts, although they may be there.
        let is_oci = kind != "docker";
        if is_oci {
            assert_eq!(skopeo_raw(&layout), raw, "{kind}");
            assert_eq!(skopeo_raw(&archive), raw, "{kind}");
        }
        let read = format!("dir:{}", bench.path(&format!("{kind}-read")));
        skopeo_copy(&format!("docker://{there}"), &read, &[]);
        // Straight out of a registry, blob by blob.
        let straight = format!(
            "oci-archive:{}",
            bench.path(&format!("{kind}-straight.tar"))
        );
        bench.copy(&there, &straight, &[]);
        if is_oci {
            assert_eq!(skopeo_raw(&straight), raw, "{kind}");
        }
        let docker = format!(
            "docker-archive:{}",
            bench.path(&format!("{kind}-docker.tar"))
        );
        let done = bench.overcoat.run(&["copy", &there, &docker]).ok();
        assert!(
            done.stderr.contains("has no manifest and plain layers"),
            "{}",
            done.stderr
        );
        assert_eq!(done.stdout, format!("{docker}\n"));
        let config = |image: &str| {
            tool(
                "skopeo",
                &["inspect", "--config", "--tls-verify=false", image],
            )
        };
        assert_eq!(
            config(&docker),
            config(&format!("docker://{there}")),
            "{kind}"
        );
        bench.copy(&docker, &format!("{}/far/{kind}:docker", far.host()), &[]);
        // The archive that everybody reads keeps the digest.
        let tar = bench.path(&format!("{kind}-both.tar"));
        let both = format!("archive:{tar}");
        let back = format!("{}/far/{kind}:back", far.host());
        for (from, to) in [(&there, &both), (&both, &back)] {
            let done = bench.copy(from, to, &[]);
            assert_eq!(done["digest"], digest.as_str(), "{from} to {to}");
        }
        assert_eq!(
            config(&format!("docker-archive:{tar}")),
            config(&format!("docker://{there}")),
            "{kind}"
        );
    }
    let docker = bench.overcoat.run(&[
        "digest",
        &format!("{}/far/docker:1", far.host()),
        "--format",
        "json",
    ]);
    let docker: Value = serde_json::from_str(&docker.ok().stdout).unwrap();
    assert_eq!(docker["media_type"], media_type::DOCKER_MANIFEST);
    let zstd = skopeo_raw(&format!("docker://{}/far/zstd:1", far.host()));
    assert!(zstd.contains(media_type::OCI_LAYER_ZSTD), "{zstd}");
    // The layers of Docker's archives are not compressed, and stay so.
    let unpacked = skopeo_raw(&format!("docker://{}/far/oci:docker", far.host()));
    assert!(
        unpacked.contains(&format!("\"{}\"", media_type::OCI_LAYER)),
        "{unpacked}"
    );
    // What was never named cannot be found again in an archive.
    let nameless = format!("docker-archive:{}", bench.path("oci-docker.tar"));
    let target = format!("oci-archive:{}", bench.path("nameless.tar"));
    let refused = bench.overcoat.run(&["copy", &nameless, &target]);
    assert_eq!(refused.code, Some(60), "{}", refused.stderr);
    assert!(!Path::new(&bench.path("nameless.tar")).exists());
}

#[test]
fn every_platform_is_pulled_into_the_store() {
    let bench = bench();
    let store = BlobStore::open(&bench.directory.path().join("builder")).unwrap();
    let index = index_in(&store);
    let digest = index.index().descriptor.digest.to_string();
    let name = format!("{}/team/multi:1", bench.registry.host());
    let layout = format!("oci:{}:multi:1", bench.path("builder"));
    bench.copy(&layout, &name, &["--all-platforms"]);
    let pulled = bench.overcoat.run(&["pull", &name, "--all-platforms"]).ok();
    assert_eq!(pulled.digest(&name), digest);
    let inspected = bench.overcoat.inspect(&name);
    assert_eq!(inspected["images"].as_array().unwrap().len(), 2);
    let stored = BlobStore::open(&bench.overcoat.store()).unwrap();
    assert_eq!(stored.lacks(&(&index).into()), Vec::<&Descriptor>::new());
    drop(stored);
    let pushed = format!("{}/other/multi:1", bench.registry.host());
    bench.overcoat.run(&["push", &name, &pushed]).ok();
    assert_eq!(
        skopeo_raw(&format!("docker://{pushed}")).as_bytes(),
        index.index().bytes
    );
    let both = [
        "pull",
        &name,
        "--all-platforms",
        "--platform",
        "linux/amd64",
    ];
    assert_eq!(bench.overcoat.run(&both).code, Some(2));
    let json = ["pull", &bench.name, "--format", "json"];
    let json: Value = serde_json::from_str(&bench.overcoat.run(&json).ok().stdout).unwrap();
    assert_eq!(
        json["digest"],
        digest_of(&skopeo_raw(&format!("docker://{}", bench.name))).as_str()
    );
}

#[test]
fn a_blob_that_is_damaged_in_the_registry_gets_no_further() {
    let bench = bench();
    let raw: Value =
        serde_json::from_str(&skopeo_raw(&format!("docker://{}", bench.name))).unwrap();
    let layer = raw["layers"][0]["digest"].as_str().unwrap().to_owned();
    let file = bench.registry.blob(&layer);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let far = Registry::start();
    let archive = bench.path("a.tar");
    let targets: BTreeMap<&str, String> = [
        ("registry", format!("{}/far/app:1", far.host())),
        ("archive", format!("oci-archive:{archive}")),
        ("layout", format!("oci:{}:app", bench.path("layout"))),
        ("store", "store:app".to_owned()),
    ]
    .into();
    for (kind, target) in &targets {
        let failed = bench.overcoat.run(&["copy", &bench.name, target]);
        assert_ne!(failed.code, Some(0), "{kind}");
        assert!(failed.stderr.contains(&layer), "{kind}: {}", failed.stderr);
        if *kind != "registry" {
            assert_eq!(failed.code, Some(32), "{kind}: {}", failed.stderr);
        }
    }
    assert_eq!(
        bench.overcoat.run(&["digest", &targets["registry"]]).code,
        Some(4)
    );
    assert!(!Path::new(&archive).exists());
    assert_eq!(
        bench
            .overcoat
            .run(&["images", "--format", "json"])
            .ok()
            .stdout,
        "[]\n"
    );
    assert_eq!(bench.overcoat.left_behind(), [""; 0]);
}

#[test]
fn a_source_without_a_host_is_the_stores() {
    let bench = bench();
    bench.copy(&bench.layout, "store:hello", &[]);
    let to = format!("{}/team/hello:1", bench.registry.host());
    let done = bench.overcoat.run(&["copy", "hello", &to]).ok();
    assert_eq!(
        done.digest(&to),
        bench.overcoat.inspect("hello")["digest"].as_str().unwrap()
    );
    let unknown = bench.overcoat.run(&["copy", "store:unknown", &to]);
    assert_eq!(unknown.code, Some(4), "{}", unknown.stderr);
    let nowhere = bench
        .overcoat
        .run(&["copy", &format!("oci:{}", bench.path("nowhere")), &to]);
    assert_eq!(nowhere.code, Some(63), "{}", nowhere.stderr);
    assert!(!Path::new(&bench.path("nowhere")).exists());
}
