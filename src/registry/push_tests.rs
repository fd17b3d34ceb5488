use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::hostile::{Hostile, Reply};
use super::shelf::{Shelf, requests};
use super::*;
use crate::digest::{DiffId, Digest};
use crate::event::Silent;
use crate::image::edit::{self, Changes, NewLayer};
use crate::image::{ImageIndex, media_type};

const BASE: &[u8] = &[1; 200_000];

struct Bench {
    _directory: tempfile::TempDir,
    client: RegistryClient,
    store: BlobStore,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        first_retry_delay: Duration::from_millis(1),
        ..Settings::default()
    };
    Bench {
        client: RegistryClient::new(Arc::new(Http::new(&Default::default()).unwrap()), settings),
        store: BlobStore::open(&directory.path().join("store")).unwrap(),
        _directory: directory,
    }
}

fn reference(host: &str, name: &str) -> Reference {
    format!("{host}/{name}").parse().unwrap()
}

/// An image of layers with these bytes.
fn image_for(platform: &str, layers: &[&[u8]]) -> Image {
    let layers: Vec<_> = layers
        .iter()
        .map(|bytes| NewLayer {
            descriptor: Descriptor::of(media_type::OCI_LAYER_GZIP, bytes),
            diff_id: DiffId(Digest::of(bytes)),
            created_by: "test".to_owned(),
        })
        .collect();
    let changes = Changes {
        created: "1980-01-01T00:00:00Z".to_owned(),
        ..Changes::default()
    };
    edit::from_scratch(&platform.parse().unwrap(), &layers, &changes).unwrap()
}

fn image(layers: &[&[u8]]) -> Image {
    image_for("linux/amd64", layers)
}

impl Bench {
    fn keep(&self, layers: &[&[u8]]) {
        for bytes in layers {
            let blob = Descriptor::of(media_type::OCI_LAYER_GZIP, bytes);
            self.store.put(&blob, bytes).unwrap();
        }
    }

    fn push<'a>(
        &'a self,
        content: impl Into<Content<'a>>,
        to: &'a Reference,
    ) -> Result<PushReport, Error> {
        let request = PushRequest::new(content, to, &self.store);
        self.client.push(&request, &Silent)
    }
}

fn kinds(server: &Hostile, from: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in requests(server).split_off(from) {
        *counts.entry(request).or_default() += 1;
    }
    counts
}

fn expected(table: &[(&str, usize)]) -> BTreeMap<String, usize> {
    table
        .iter()
        .map(|(request, count)| ((*request).to_owned(), *count))
        .collect()
}

#[test]
fn an_unchanged_push_costs_one_request_and_a_changed_layer_six() {
    let (bench, shelf) = (bench(), Shelf::default());
    let server = shelf.serve();
    let to = reference(&server.host(), "app:1");
    bench.keep(&[BASE, b"app 1", b"app 2"]);
    let first = image(&[BASE, b"app 1"]);
    let report = bench.push(&first, &to).unwrap();
    assert_eq!((report.uploaded_blobs, report.already_there), (3, false));

    let before = server.seen().len();
    let report = bench.push(&first, &to).unwrap();
    assert!(report.already_there);
    assert_eq!((report.skipped, report.bytes), (3, 0));
    assert_eq!(requests(&server)[before..], ["GET /v2/app/manifests/1"]);

    let before = server.seen().len();
    let second = image(&[BASE, b"app 2"]);
    let report = bench.push(&second, &to).unwrap();
    assert_eq!((report.uploaded_blobs, report.skipped), (2, 1));
    assert_eq!(
        report.bytes,
        5 + second.config.descriptor.size,
        "the layer and the configuration"
    );
    assert_eq!(
        kinds(&server, before),
        expected(&[
            ("GET /v2/app/manifests/1", 1),
            ("POST /v2/app/blobs/uploads/", 2),
            ("PUT /v2/app/blobs/uploads/1", 2),
            ("PUT /v2/app/manifests/1", 1),
        ])
    );
    assert_eq!(shelf.manifest("app", "1"), Some(second.manifest.bytes));
}

#[test]
fn who_has_just_read_the_manifest_need_not_have_it_read_again() {
    let (bench, shelf) = (bench(), Shelf::default());
    let server = shelf.serve();
    let to = reference(&server.host(), "app:1");
    bench.keep(&[BASE, b"app 1", b"app 2"]);
    let (first, second) = (image(&[BASE, b"app 1"]), image(&[BASE, b"app 2"]));
    let read = || {
        let client = &bench.client;
        client.manifest(&to, Access::PullAndPush, &Silent).unwrap()
    };
    let push = |image: &Image, previous: Previous<'_>| {
        let request = PushRequest {
            previous,
            ..PushRequest::new(image, &to, &bench.store)
        };
        bench.client.push(&request, &Silent).unwrap()
    };
    assert_eq!(read(), None);
    push(&first, Previous::Absent);
    let fetched = read().unwrap();
    assert_eq!(fetched.descriptor, first.manifest.descriptor);
    assert_eq!(fetched.bytes, first.manifest.bytes);

    let before = server.seen().len();
    let unchanged = push(&first, Previous::Manifest(&fetched));
    assert!(unchanged.already_there);
    assert_eq!(server.seen().len(), before);
    push(&second, Previous::Manifest(&fetched));
    assert_eq!(server.seen().len(), before + 5);
}

#[test]
fn blobs_that_are_gone_although_a_manifest_names_them_are_sent_again() {
    // With `claimed`, HEAD lies as well.
    for claimed in [false, true] {
        let (bench, shelf) = (bench(), Shelf::default());
        let server = shelf.serve();
        let to = reference(&server.host(), "app:1");
        bench.keep(&[BASE, b"app 1", b"app 2"]);
        bench.push(&image(&[BASE, b"app 1"]), &to).unwrap();
        shelf.lose(&Digest::of(BASE), claimed);
        let second = image(&[BASE, b"app 2"]);
        let report = bench.push(&second, &to).unwrap();
        assert_eq!((report.uploaded_blobs, report.skipped), (3, 0), "{claimed}");
        assert!(shelf.has("app", &Digest::of(BASE)));
        assert_eq!(shelf.manifest("app", "1"), Some(second.manifest.bytes));
        let refused = if claimed { 2 } else { 1 };
        // One for the first push.
        assert_eq!(server.count("PUT", "/manifests/"), 2 + refused);
        let small = Digest::of(b"app 2");
        let sent = server
            .seen()
            .into_iter()
            .filter(|seen| seen.method == "PUT");
        assert_eq!(
            sent.filter(|seen| Digest::of(&seen.body) == small).count(),
            1
        );
    }
}

#[test]
fn a_registry_that_goes_on_refusing_is_believed_in_the_end() {
    let (bench, shelf) = (bench(), Shelf::default());
    let answer = shelf.clone();
    let server = Hostile::start(move |seen| match seen.is("PUT", "/manifests/") {
        true => Reply::new(404).body(r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#),
        false => answer.answer(seen),
    });
    bench.keep(&[BASE]);
    let to = reference(&server.host(), "app:1");
    let error = bench.push(&image(&[BASE]), &to).unwrap_err();
    assert!(
        error.to_string().contains("MANIFEST_BLOB_UNKNOWN") && error.hints()[0].contains("misses"),
        "{error} {:?}",
        error.hints()
    );
    assert_eq!(server.count("PUT", "/manifests/"), 3);
    assert_eq!(server.count("PUT", "/uploads/"), 2, "no blob is sent twice");
}

#[test]
fn layers_that_are_not_here_are_mounted_or_fetched_from_where_they_come_from() {
    let (bench, shelf, elsewhere) = (bench(), Shelf::default(), Shelf::default());
    let (server, origin) = (shelf.serve(), elsewhere.serve());
    let image = image(&[BASE, b"app"]);
    bench.keep(&[b"app"]);
    let to = reference(&server.host(), "app:1");
    let bases = [
        reference(&server.host(), "team/base:1"),
        reference(&origin.host(), "base:1"),
    ];
    let request = PushRequest {
        mount_from: &bases,
        origins: &bases,
        ..PushRequest::new(&image, &to, &bench.store)
    };
    let layer = &image.manifest.parsed.layers[0];

    // Nobody has it.
    let error = bench.client.push(&request, &Silent).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(&error, Error::LayerAbsent { digest, .. } if *digest == layer.digest)
            && bases.iter().all(|base| text.contains(&base.to_string()))
            && error.hints()[0].contains("pull"),
        "{error}"
    );
    assert_eq!(shelf.manifest("app", "1"), None);

    // Another repository of the registry has it.
    shelf.put("team/base", BASE);
    let before = server.seen().len();
    let report = bench.client.push(&request, &Silent).unwrap();
    assert_eq!(report.mounted, 1);
    assert!(!bench.store.has(layer));
    assert!(shelf.has("app", &layer.digest));
    let layer_requests: Vec<_> = server
        .seen()
        .split_off(before)
        .into_iter()
        .filter(|seen| seen.target.contains(layer.digest.hex()))
        .collect();
    assert_eq!(
        layer_requests.len(),
        1,
        "mounting tells whether it is there"
    );

    // Only its own registry has it.
    let (bench, shelf) = (self::bench(), Shelf::default());
    bench.keep(&[b"app"]);
    elsewhere.put("base", BASE);
    let server = shelf.serve();
    let to = reference(&server.host(), "app:1");
    let request = PushRequest {
        origins: &bases[1..],
        ..PushRequest::new(&image, &to, &bench.store)
    };
    let report = bench.client.push(&request, &Silent).unwrap();
    assert_eq!((report.uploaded_blobs, report.mounted), (3, 0));
    assert!(bench.store.has(layer) && shelf.has("app", &layer.digest));
}

#[test]
fn layers_are_fetched_from_the_first_origin_that_gives_them() {
    let (bench, shelf) = (bench(), Shelf::default());
    let lying = Hostile::start(|_| Reply::new(200).body(vec![0; BASE.len()]));
    shelf.put("base", BASE);
    let server = shelf.serve();
    let image = image(&[BASE]);
    let layer = &image.manifest.parsed.layers[0];
    let origins = [
        reference(&lying.host(), "x"),
        reference(&server.host(), "base"),
    ];
    let fetch = |origins: &[Reference]| {
        let client = &bench.client;
        client.fetch_layers(&image, origins, &bench.store, &Silent)
    };
    assert!(matches!(fetch(&origins[..1]), Err(Error::Digest { .. })));
    assert!(matches!(fetch(&[]), Err(Error::LayerAbsent { .. })));
    assert!(!bench.store.has(layer));
    fetch(&origins).unwrap();
    assert!(bench.store.has(layer));
    // What is here is not asked for, not even by whom.
    fetch(&[]).unwrap();
}

#[test]
fn tokens_for_mounting_are_apart_so_that_a_refusal_stops_nothing() {
    for is_granted in [true, false] {
        let (bench, shelf) = (bench(), Shelf::default());
        shelf.put("team/base", BASE);
        let answer = shelf.clone();
        let server = Hostile::start(move |seen| {
            let wants_both = seen.target.contains("team%2Fbase");
            if seen.target.starts_with("/token") {
                return match wants_both && !is_granted {
                    true => Reply::new(403).body(r#"{"details":"no"}"#),
                    false => Reply::new(200).body(match wants_both {
                        true => r#"{"token":"both"}"#,
                        false => r#"{"token":"own"}"#,
                    }),
                };
            }
            let token = match seen.target.contains("from=") {
                true => "Bearer both",
                false => "Bearer own",
            };
            match seen.header("authorization") == Some(token) {
                true => answer.answer(seen),
                false => Reply::new(401)
                    .header("www-authenticate", r#"Bearer realm="/token",service="s""#),
            }
        });
        bench.keep(&[BASE, b"app"]);
        let to = reference(&server.host(), "app:1");
        let bases = [reference(&server.host(), "team/base:1")];
        let image = image(&[BASE, b"app"]);
        let request = PushRequest {
            mount_from: &bases,
            ..PushRequest::new(&image, &to, &bench.store)
        };
        let report = bench.client.push(&request, &Silent).unwrap();
        let counts = (report.mounted, report.uploaded_blobs);
        assert_eq!(counts, if is_granted { (1, 2) } else { (0, 3) });
        let tokens = server.seen().into_iter().map(|seen| seen.target);
        let tokens: Vec<_> = tokens
            .filter(|target| target.starts_with("/token"))
            .collect();
        assert_eq!(
            tokens[0],
            "/token?service=s&scope=repository%3Aapp%3Apull%2Cpush"
        );
        assert_eq!(
            tokens[1],
            "/token?service=s&scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Ateam%2Fbase%3Apull"
        );
    }
}

#[test]
fn whatever_a_tag_stands_for_can_be_replaced() {
    let (bench, shelf) = (bench(), Shelf::default());
    let other = "application/vnd.example.thing+json";
    let table: [(u16, &str, &[u8]); 5] = [
        (200, "text/html", b"<html>"),
        (200, media_type::OCI_MANIFEST, br#"{"schemaVersion":1}"#),
        (
            200,
            other,
            br#"{"mediaType":"application/vnd.example.thing+json"}"#,
        ),
        (200, media_type::OCI_MANIFEST, br#"{"layers":7}"#),
        (403, "application/json", b"{}"),
    ];
    bench.keep(&[BASE]);
    for (number, (status, kind, body)) in table.into_iter().enumerate() {
        let answer = shelf.clone();
        let server = Hostile::start(move |seen| match seen.is("GET", "/manifests/") {
            true => Reply::new(status).header("content-type", kind).body(body),
            false => answer.answer(seen),
        });
        let to = reference(&server.host(), &format!("app{number}:1"));
        let image = image(&[BASE]);
        let report = bench.push(&image, &to).unwrap();
        assert_eq!(report.uploaded_blobs, 2, "{kind}");
        let pushed = shelf.manifest(&format!("app{number}"), "1");
        assert_eq!(pushed, Some(image.manifest.bytes));
    }
}

#[test]
fn a_damaged_small_blob_is_not_sent_at_all() {
    let (bench, shelf) = (bench(), Shelf::default());
    let server = shelf.serve();
    bench.keep(&[b"app"]);
    let image = image(&[b"app"]);
    let path = bench.store.blob_path(&Digest::of(b"app"));
    std::fs::write(path, b"APP").unwrap();
    let error = bench.push(&image, &reference(&server.host(), "app:1"));
    let error = error.unwrap_err();
    assert!(
        matches!(&error, Error::Store(error) if error.is_mismatch()),
        "{error}"
    );
    assert!(server.seen().iter().all(|seen| seen.body != b"APP"));
}

fn index(amd64: &[&[u8]], arm64: &[&[u8]]) -> ImageIndex {
    let images = vec![
        image_for("linux/arm64", arm64),
        image_for("linux/amd64", amd64),
    ];
    edit::index(images, &BTreeMap::new()).unwrap()
}

#[test]
fn an_index_goes_after_its_manifests_and_they_after_their_blobs() {
    let (bench, shelf) = (bench(), Shelf::default());
    let server = shelf.serve();
    let to = reference(&server.host(), "app:1");
    bench.keep(&[BASE, b"amd", b"arm", b"app 1", b"app 2"]);
    let first = index(&[BASE, b"amd", b"app 1"], &[BASE, b"arm", b"app 1"]);
    let report = bench.push(&first, &to).unwrap();
    assert_eq!(report.digest, first.index().descriptor.digest);
    assert_eq!(report.uploaded_blobs, 6, "what is shared is sent once");
    let puts = requests(&server);
    let puts: Vec<_> = puts
        .iter()
        .filter(|request| request.starts_with("PUT /v2/app/manifests/"))
        .collect();
    assert_eq!(
        puts,
        [
            "PUT /v2/app/manifests/",
            "PUT /v2/app/manifests/",
            "PUT /v2/app/manifests/1"
        ]
    );
    assert_eq!(
        shelf.manifest("app", "1").as_ref(),
        Some(&first.index().bytes)
    );
    for image in first.images() {
        let name = image.digest().to_string();
        assert_eq!(
            shelf.manifest("app", &name).as_ref(),
            Some(&image.manifest.bytes)
        );
    }

    let before = server.seen().len();
    assert!(bench.push(&first, &to).unwrap().already_there);
    assert_eq!(server.seen().len(), before + 1);

    // One platform changes: the other's manifest is neither read nor written.
    let second = index(&[BASE, b"amd", b"app 1"], &[BASE, b"arm", b"app 2"]);
    let before = server.seen().len();
    let report = bench.push(&second, &to).unwrap();
    assert_eq!((report.uploaded_blobs, report.skipped), (2, 5));
    assert_eq!(
        kinds(&server, before),
        expected(&[
            ("GET /v2/app/manifests/1", 1),
            ("GET /v2/app/manifests/", 1),
            ("POST /v2/app/blobs/uploads/", 2),
            ("PUT /v2/app/blobs/uploads/1", 2),
            ("PUT /v2/app/manifests/", 1),
            ("PUT /v2/app/manifests/1", 1),
        ])
    );

    // A single image over it: its platform's manifest tells what is there.
    let single = image(&[BASE, b"amd", b"app 2"]);
    let report = bench.push(&single, &to).unwrap();
    assert_eq!((report.uploaded_blobs, report.skipped), (2, 2));
}

#[test]
fn documents_alone_cost_one_request_and_by_digest_none() {
    let (bench, shelf) = (bench(), Shelf::default());
    let server = shelf.serve();
    let index = index(&[BASE], &[BASE, b"arm"]);
    let wanted = &index.images()[0];
    for image in index.images() {
        shelf.put("base", &image.config.bytes);
        let name = image.digest().to_string();
        shelf.put_manifest(
            "base",
            &name,
            media_type::OCI_MANIFEST,
            &image.manifest.bytes,
        );
    }
    let bytes = &index.index().bytes;
    shelf.put_manifest("base", "1", media_type::OCI_INDEX, bytes);
    let pull = |name: &str| {
        let (from, platform) = (
            reference(&server.host(), name),
            "linux/amd64".parse().unwrap(),
        );
        let (client, store) = (&bench.client, &bench.store);
        let before = server.seen().len();
        let image = client.pull(&from, &platform, store, Layers::None, &Silent);
        assert_eq!(&image.unwrap(), wanted);
        server.seen().len() - before
    };
    assert_eq!(pull("base:1"), 3, "index, manifest, configuration");
    assert_eq!(pull("base:1"), 1, "the tag may have moved");
    assert_eq!(
        pull(&format!("base@{}", index.index().descriptor.digest)),
        0
    );
    assert_eq!(pull(&format!("base@{}", wanted.digest())), 0);
    assert!(!bench.store.has(&wanted.manifest.parsed.layers[0]));

    // A damaged copy is not believed.
    let path = bench.store.blob_path(wanted.digest());
    let mut damaged = wanted.manifest.bytes.clone();
    damaged[3] ^= 1;
    std::fs::write(path, damaged).unwrap();
    assert_eq!(pull(&format!("base@{}", wanted.digest())), 1);
}

#[test]
fn a_manifest_is_what_it_is_called_or_none_or_an_error() {
    let (bench, shelf) = (bench(), Shelf::default());
    let server = shelf.serve();
    let read = |name: &str| {
        let from = reference(&server.host(), name);
        bench.client.manifest(&from, Access::Pull, &Silent)
    };
    assert_eq!(read("nobody/knows:1").unwrap(), None);
    let image = image(&[BASE]);
    let manifest = &image.manifest;
    shelf.put_manifest("app", "1", media_type::OCI_MANIFEST, &manifest.bytes);
    let fetched = read("app:1").unwrap().unwrap();
    assert_eq!(fetched.descriptor, manifest.descriptor);
    shelf.put_manifest(
        "app",
        &Digest::of(b"x").to_string(),
        media_type::OCI_MANIFEST,
        b"{}",
    );
    let other = read(&format!("app@{}", Digest::of(b"x")));
    assert!(matches!(other, Err(Error::Digest { .. })), "{other:?}");

    let from = reference(&server.host(), "app");
    let blob = |blob: &Descriptor| bench.client.blob(&from, blob, &Silent);
    shelf.put("app", &image.config.bytes);
    assert_eq!(blob(&image.config.descriptor).unwrap(), image.config.bytes);
    let mut shorter = image.config.descriptor.clone();
    shorter.size -= 1;
    assert!(matches!(blob(&shorter), Err(Error::Size { .. })));
    shorter.size = 5 << 20;
    assert!(matches!(blob(&shorter), Err(Error::Size { .. })));
    assert!(blob(&manifest.descriptor).unwrap_err().is_not_found());
}
