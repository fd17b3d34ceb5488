//! Documents of all kinds, there and back: foreign layers, SHA-512, and bytes that nobody edits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::ground::{Ground, bytes};
use super::hostile::{Hostile, Reply};
use super::pull::digest_of;
use super::{Access, Error, Layers, PushRequest};
use crate::digest::{Algorithm, Digest};
use crate::event::Silent;
use crate::image::{Content, Image, Manifest, Platform, media_type};
use crate::reference::Reference;

/// A registry that keeps whatever comes under the name it comes by, and knows nothing of images.
#[derive(Clone, Default)]
struct Attic(Arc<Mutex<Kept>>);

/// Media type and bytes by name.
type Kept = BTreeMap<String, (String, Vec<u8>)>;

impl Attic {
    fn put(&self, name: &str, kind: &str, bytes: &[u8]) {
        let value = (kind.to_owned(), bytes.to_vec());
        self.0.lock().unwrap().insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let kept = self.0.lock().unwrap();
        kept.get(name).map(|(_, bytes)| bytes.clone())
    }

    fn serve(&self) -> Hostile {
        let attic = self.clone();
        Hostile::start(move |seen| {
            let target = seen.target.replace("%3A", ":");
            let name = target.rsplit(['/', '=']).next().unwrap_or_default();
            match seen.method.as_str() {
                "POST" => Reply::new(202).header("location", "/up/1"),
                "PUT" => {
                    attic.put(name, seen.header("content-type").unwrap(), &seen.body);
                    Reply::new(201)
                }
                _ => match attic.0.lock().unwrap().get(name) {
                    Some((kind, bytes)) => Reply::new(200)
                        .header("content-type", kind.clone())
                        // As docker-registry does, also for what was asked for by another algorithm.
                        .header("docker-content-digest", Digest::of(bytes).to_string())
                        .body(bytes.clone()),
                    None => Reply::new(404),
                },
            }
        })
    }
}

fn sha512(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha512, bytes)
}

fn pull(ground: &Ground, reference: &str) -> Result<Image, Error> {
    let reference = reference.parse().unwrap();
    let (platform, store) = (Platform::host(), &ground.store);
    ground
        .client
        .pull(&reference, &platform, store, Layers::All, &Silent)
}

/// An image's two documents with layers as given, written in a way that no writer of ours has.
fn documents(layers: &[Value], config_digest: fn(&[u8]) -> Digest) -> (Vec<u8>, Vec<u8>) {
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|_| Digest::of(b"not looked at"))
        .collect();
    let host = Platform::host();
    let config = json!({
        "os": host.os, "architecture": host.architecture, "x-unknown": [1, 2.50],
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = serde_json::to_string_pretty(&config).unwrap().into_bytes();
    let manifest = json!({
        "x-unknown": { "b": 1, "a": null },
        "annotations": { "z": "1", "org.example": "kept" },
        "layers": layers,
        "config": { "mediaType": media_type::OCI_CONFIG, "size": config.len(), "digest": config_digest(&config) },
        "mediaType": media_type::OCI_MANIFEST,
        "schemaVersion": 2,
    });
    let manifest = format!("\n{}\n\n", serde_json::to_string_pretty(&manifest).unwrap());
    (manifest.into_bytes(), config)
}

#[test]
fn foreign_layers_stay_in_the_manifest_and_go_nowhere() {
    let (ground, attic) = (Ground::new(1), Attic::default());
    let own = bytes(50);
    let layer = |kind: &str, bytes: &[u8]| {
        json!({
            "mediaType": kind, "size": bytes.len(), "digest": Digest::of(bytes),
            "urls": ["http://127.0.0.1:9/never-asked"],
        })
    };
    let layers = [
        layer(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            b"one",
        ),
        layer(
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            b"two",
        ),
        // Another place to have it from is no reason not to carry it.
        layer(media_type::OCI_LAYER_GZIP, &own),
    ];
    let (manifest, config) = documents(&layers, Digest::of);
    attic.put("1", media_type::OCI_MANIFEST, &manifest);
    attic.put(&Digest::of(&config).to_string(), "x", &config);
    attic.put(&Digest::of(&own).to_string(), "x", &own);
    let server = attic.serve();
    let image = pull(&ground, &format!("{}/app:1", server.host())).unwrap();
    assert_eq!(image.manifest.parsed.layers.len(), 3);
    assert_eq!(image.manifest.bytes, manifest);
    assert_eq!(ground.store.lacks(&Content::from(&image)), Vec::<&_>::new());
    assert_eq!(
        server.count("GET", "/blobs/"),
        2,
        "configuration and one layer"
    );

    let there = Attic::default();
    let other = there.serve();
    let to: Reference = format!("{}/app:2", other.host()).parse().unwrap();
    let request = PushRequest::new(&image, &to, &ground.store);
    let report = ground.client.push(&request, &Silent).unwrap();
    assert_eq!(report.uploaded_blobs, 2);
    assert_eq!(there.get("2").as_ref(), Some(&manifest), "byte for byte");
    assert_eq!(there.get(&Digest::of(&config).to_string()), Some(config));
    let all: Vec<_> = other.seen().into_iter().chain(server.seen()).collect();
    for foreign in [&b"one"[..], b"two"] {
        let hex = Digest::of(foreign).hex().to_owned();
        assert!(all.iter().all(|seen| !seen.target.contains(&hex)));
    }
}

#[test]
fn sha512_names_everything_as_well() {
    let (ground, attic) = (Ground::new(1), Attic::default());
    let own = bytes(200_000);
    let layer = json!({ "mediaType": media_type::OCI_LAYER_ZSTD, "size": own.len(), "digest": sha512(&own) });
    let (manifest, config) = documents(&[layer], sha512);
    let entry = json!({
        "mediaType": media_type::OCI_MANIFEST, "size": manifest.len(), "digest": sha512(&manifest),
        "platform": Platform::host(),
    });
    let index =
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [entry] });
    let index = index.to_string().into_bytes();
    for (bytes, kind) in [
        (&manifest, media_type::OCI_MANIFEST),
        (&index, media_type::OCI_INDEX),
        (&config, "x"),
        (&own, "x"),
    ] {
        attic.put(&sha512(bytes).to_string(), kind, bytes);
    }
    let server = attic.serve();
    for named in [&index, &manifest] {
        let ground = Ground::new(1);
        let name = format!("{}/app@{}", server.host(), sha512(named));
        let image = pull(&ground, &name).unwrap();
        assert_eq!(*image.digest(), sha512(&manifest));
        for bytes in [&manifest, &config, &own] {
            let path = ground.store.blob_path(&sha512(bytes));
            assert!(path.parent().unwrap().ends_with("blobs/sha512"));
            assert!(std::fs::read(path).unwrap() == *bytes);
        }
        let stored = ground.store.image(&image.manifest.descriptor).unwrap();
        assert_eq!(stored, image);
        let reference: Reference = name.parse().unwrap();
        let resolved = ground.client.resolve(&reference, &Silent).unwrap();
        assert_eq!(resolved.digest, sha512(named));
    }

    // There and back again.
    let image = pull(
        &ground,
        &format!("{}/app@{}", server.host(), sha512(&manifest)),
    )
    .unwrap();
    let there = Attic::default();
    let other = there.serve();
    let to: Reference = format!("{}/app@{}", other.host(), sha512(&manifest))
        .parse()
        .unwrap();
    let request = PushRequest::new(&image, &to, &ground.store);
    let report = ground.client.push(&request, &Silent).unwrap();
    assert_eq!(report.digest, sha512(&manifest));
    for bytes in [&manifest, &config, &own] {
        assert!(there.get(&sha512(bytes).to_string()).as_ref() == Some(bytes));
    }

    // And checked: one byte is enough.
    let mut wrong = own.clone();
    wrong[100_000] ^= 1;
    attic.put(&sha512(&own).to_string(), "x", &wrong);
    let ground = Ground::new(1);
    let error = pull(
        &ground,
        &format!("{}/app@{}", server.host(), sha512(&manifest)),
    )
    .unwrap_err();
    assert!(
        matches!(&error, Error::Digest { noun: "layer", expected, .. } if *expected == sha512(&own)),
        "{error}"
    );
    attic.put(
        &sha512(&manifest).to_string(),
        media_type::OCI_MANIFEST,
        b"{\"layers\":[]}",
    );
    let error = pull(
        &ground,
        &format!("{}/app@{}", server.host(), sha512(&manifest)),
    )
    .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Digest {
                noun: "manifest",
                ..
            }
        ),
        "{error}"
    );
    assert!(ground.files().is_empty());
}

#[test]
fn an_artifact_is_no_image_and_its_manifest_is_had_as_it_is() {
    let (ground, attic) = (Ground::new(1), Attic::default());
    let kind = "application/vnd.oci.empty.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/x-test",
        "config": { "mediaType": kind, "digest": Digest::of(b"{}"), "size": 2, "data": "e30=" },
        "layers": [{ "mediaType": kind, "digest": Digest::of(b"{}"), "size": 2, "data": "e30=" }],
    });
    let manifest = manifest.to_string().into_bytes();
    attic.put("1", media_type::OCI_MANIFEST, &manifest);
    attic.put(&Digest::of(b"{}").to_string(), "x", b"{}");
    let server = attic.serve();
    let name = format!("{}/app:1", server.host());
    let error = pull(&ground, &name).unwrap_err().to_string();
    assert!(error.contains("no image but an artifact"), "{error}");
    assert!(error.contains(kind), "{error}");
    assert!(ground.files().is_empty());
    let reference: Reference = name.parse().unwrap();
    let found = ground.client.manifest(&reference, Access::Pull, &Silent);
    let found = found.unwrap().unwrap();
    assert_eq!(found.bytes, manifest);
    let config = Manifest::parse(&found.bytes).unwrap().config;
    let config = ground.client.blob(&reference, &config, &Silent).unwrap();
    assert_eq!(config, b"{}");
}
