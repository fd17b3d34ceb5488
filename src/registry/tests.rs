mod uploads;

use crate::event::Event;
use std::fs as std_fs;
use std::io::Write;
use std::sync::atomic::AtomicU64;

use super::hostile::{Hostile, Reply, Seen};
use super::*;
use crate::digest::{DiffId, Digest};
use crate::event::Silent;
use crate::image::edit::{Changes, NewLayer, from_scratch};
use crate::image::media_type;

/// One client, one store, one image with two layers.
pub(super) struct Bench {
    _directory: tempfile::TempDir,
    pub(super) client: RegistryClient,
    pub(super) store: BlobStore,
    pub(super) image: Image,
    pub(super) layers: Vec<Vec<u8>>,
}

pub(super) fn bench() -> Bench {
    bench_with(Settings::default())
}

pub(super) fn bench_with(settings: Settings) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        first_retry_delay: Duration::from_millis(1),
        ..settings
    };
    let layers: Vec<Vec<u8>> = [3_000_000_usize, 5]
        .map(|size| (0..size).map(|position| (position % 251) as u8).collect())
        .into();
    let new = layers.iter().map(|bytes| NewLayer {
        descriptor: Descriptor::of(media_type::OCI_LAYER_GZIP, bytes),
        diff_id: DiffId(Digest::of(b"not looked at")),
        created_by: "test".to_owned(),
    });
    let changes = Changes {
        created: "1980-01-01T00:00:00Z".to_owned(),
        ..Changes::default()
    };
    Bench {
        client: RegistryClient::new(Arc::new(Http::new(&Default::default()).unwrap()), settings),
        store: BlobStore::open(&directory.path().join("store")).unwrap(),
        image: from_scratch(&Platform::host(), &new.collect::<Vec<_>>(), &changes).unwrap(),
        layers,
        _directory: directory,
    }
}

impl Bench {
    /// A handler that serves the image well, for tests to change in one place.
    pub(super) fn good(&self) -> impl Fn(&Seen) -> Reply + Send + Sync + use<> {
        let (image, layers) = (self.image.clone(), self.layers.clone());
        move |seen| {
            let documents = [&image.config.bytes].into_iter().chain(&layers);
            let blob = documents
                .into_iter()
                .find(|bytes| seen.target.ends_with(&Digest::of(bytes).to_string()));
            if seen.target.contains("/manifests/") {
                return Reply::new(200)
                    .header("content-type", media_type::OCI_MANIFEST)
                    .header("docker-content-digest", image.digest().to_string())
                    .body(image.manifest.bytes.clone());
            }
            match blob {
                Some(bytes) => Reply::new(200).body(bytes.clone()),
                None => {
                    Reply::new(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"?"}]}"#)
                }
            }
        }
    }

    pub(super) fn pull(&self, host: &str) -> Result<Image, Error> {
        self.pull_reference(&format!("{host}/app:1"))
    }

    pub(super) fn pull_reference(&self, reference: &str) -> Result<Image, Error> {
        let reference = reference.parse().unwrap();
        self.client.pull(
            &reference,
            &Platform::host(),
            &self.store,
            Layers::All,
            &Silent,
        )
    }

    pub(super) fn push(&self, host: &str, mount_from: &[&str]) -> Result<PushReport, Error> {
        let reference = format!("{host}/app:1").parse().unwrap();
        let mounts: Vec<Reference> = mount_from
            .iter()
            .map(|name| format!("{host}/{name}").parse().unwrap())
            .collect();
        let request = PushRequest {
            mount_from: &mounts,
            ..PushRequest::new(&self.image, &reference, &self.store)
        };
        self.client.push(&request, &Silent)
    }

    pub(super) fn keep_layers(&self) {
        for (layer, bytes) in self.image.manifest.parsed.layers.iter().zip(&self.layers) {
            self.store.put(layer, bytes).unwrap();
        }
    }

    pub(super) fn big(&self) -> String {
        self.image.manifest.parsed.layers[0].digest.to_string()
    }

    pub(super) fn is_empty(&self) -> bool {
        let is_empty = |name: &str| {
            std_fs::read_dir(self.store.root().join(name))
                .unwrap()
                .next()
                .is_none()
        };
        let work = std_fs::read_dir(self.store.root().join("tmp"))
            .into_iter()
            .flatten()
            .flatten();
        let files = work
            .filter(|entry| entry.path().is_dir())
            .flat_map(|entry| std_fs::read_dir(entry.path()).unwrap());
        is_empty("blobs/sha256") && files.count() == 0
    }
}

#[test]
fn an_image_is_pulled_and_nothing_is_fetched_twice() {
    let bench = bench();
    let server = Hostile::start(bench.good());
    assert_eq!(bench.pull(&server.host()).unwrap(), bench.image);
    for (layer, bytes) in bench.image.manifest.parsed.layers.iter().zip(&bench.layers) {
        assert_eq!(
            &std_fs::read(bench.store.blob_path(&layer.digest)).unwrap(),
            bytes
        );
    }
    assert_eq!(
        bench.store.image(&bench.image.manifest.descriptor).unwrap(),
        bench.image
    );
    bench.pull(&server.host()).unwrap();
    assert_eq!(
        (
            server.count("GET", "/blobs/"),
            server.count("GET", "/manifests/")
        ),
        (3, 2)
    );
}

#[test]
fn a_layer_with_other_bytes_is_named_and_not_kept() {
    let bench = bench();
    let (good, big) = (bench.good(), bench.big());
    let server = Hostile::start(move |seen| match seen.is("GET", &big) {
        true => Reply::new(200).body(vec![0; 3_000_000]),
        false => good(seen),
    });
    let error = bench.pull(&server.host()).unwrap_err();
    assert!(
        matches!(&error, Error::Digest { noun: "layer", expected, .. } if expected.to_string() == bench.big())
    );
    assert!(!bench.store.has(&bench.image.manifest.parsed.layers[0]));
    assert!(!bench.store.has(&bench.image.manifest.descriptor));
}

#[test]
fn a_cut_layer_goes_on_where_it_ended() {
    let bench = bench();
    let (good, big) = (bench.good(), bench.big());
    let bytes = bench.layers[0].clone();
    let server = Hostile::start(
        move |seen| match (seen.is("GET", &big), seen.header("range")) {
            (true, None) => good(seen).cut_after(1_000_000),
            (true, Some(range)) => {
                let start: usize = range
                    .strip_prefix("bytes=")
                    .unwrap()
                    .strip_suffix('-')
                    .unwrap()
                    .parse()
                    .unwrap();
                let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                Reply::new(206)
                    .header("content-range", range)
                    .body(&bytes[start..])
            }
            _ => good(seen),
        },
    );
    bench.pull(&server.host()).unwrap();
    let seen = server.seen();
    let ranges: Vec<_> = seen
        .iter()
        .filter(|seen| seen.is("GET", &bench.big()))
        .map(|seen| seen.header("range"))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=1000000-")]);
    assert_eq!(
        std_fs::read(
            bench
                .store
                .blob_path(&bench.image.manifest.parsed.layers[0].digest)
        )
        .unwrap(),
        bench.layers[0]
    );
}

#[test]
fn a_cut_layer_starts_again_where_ranges_are_ignored_or_refused_or_wrong() {
    for kind in 0..3 {
        let bench = bench();
        let (good, big) = (bench.good(), bench.big());
        let server =
            Hostile::start(
                move |seen| match (seen.is("GET", &big), seen.header("range"), kind) {
                    (true, None, _) if seen.earlier == 0 => good(seen).cut_after(1_000_000),
                    (true, Some(_), 1) => Reply::new(416),
                    // Some other part than was asked for.
                    (true, Some(_), 2) if seen.earlier < 2 => Reply::new(206)
                        .header("content-range", "bytes 5-9/3000000")
                        .body("abcde"),
                    _ => good(seen),
                },
            );
        bench.pull(&server.host()).unwrap();
    }
}

#[test]
fn never_more_bytes_than_promised_are_taken() {
    let bench = bench();
    let (good, big) = (bench.good(), bench.big());
    let server = Hostile::start(move |seen| match seen.is("GET", &big) {
        true => Reply::new(200).body(vec![0; 4_000_000]),
        false => good(seen),
    });
    assert!(matches!(
        bench.pull(&server.host()),
        Err(Error::Size {
            expected: 3_000_000,
            ..
        })
    ));
    assert_eq!(server.count("GET", &bench.big()), 1);

    let endless = Hostile::start(|_| Reply::new(200).body(vec![b' '; 6 << 20]));
    assert!(matches!(
        bench.pull(&endless.host()),
        Err(Error::Size { .. })
    ));
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let table = [
        (429, 1, true),
        (500, 2, true),
        (503, 3, true),
        (408, 3, true),
        (502, 4, false),
    ];
    for (status, times, succeeds) in table {
        let bench = bench();
        let good = bench.good();
        let server = Hostile::start(move |seen| {
            match seen.is("GET", "/manifests/") && seen.earlier < times {
                true => Reply::new(status).header("retry-after", "0"),
                false => good(seen),
            }
        });
        assert_eq!(bench.pull(&server.host()).is_ok(), succeeds, "{status}");
        assert_eq!(
            server.count("GET", "/manifests/"),
            if succeeds { times + 1 } else { 4 },
            "{status}"
        );
    }
    for status in [400, 403, 404, 405, 501] {
        let bench = bench();
        let server = Hostile::start(move |_| Reply::new(status).body("<html>no</html>"));
        let error = bench.pull(&server.host()).unwrap_err();
        assert_eq!(error.is_not_found(), status == 404, "{error}");
        assert!(
            error
                .to_string()
                .contains(&format!("answered {status} (<html>no</html>)")),
            "{error}"
        );
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[test]
fn a_wait_longer_than_anyone_has_patience_for_is_an_error_that_tells_it() {
    let bench = bench();
    let server = Hostile::start(|_| Reply::new(429).header("retry-after", "3600"));
    let error = bench.pull(&server.host()).unwrap_err();
    assert!(matches!(error, Error::RateLimited { .. }), "{error}");
    assert!(error.hints().contains(&"try again in 3600 s".to_owned()));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn redirects_end() {
    let bench = bench();
    let server =
        Hostile::start(|seen| Reply::new(302).header("location", format!("{}x", seen.target)));
    assert!(matches!(
        bench.pull(&server.host()),
        Err(Error::Redirect { .. })
    ));
    assert_eq!(server.seen().len(), 6);
}

#[test]
fn a_digest_header_that_lies_is_noticed_and_so_is_another_manifest_than_asked_for() {
    let bench = bench();
    let good = bench.good();
    let server = Hostile::start(move |seen| match seen.target.contains("/manifests/1") {
        true => Reply::new(200)
            .header("docker-content-digest", Digest::of(b"lie").to_string())
            .body(r#"{"schemaVersion":2}"#),
        false => good(seen),
    });
    assert!(matches!(
        bench.pull(&server.host()),
        Err(Error::Digest {
            noun: "manifest",
            ..
        })
    ));
    let pinned = format!("{}/app@{}", server.host(), Digest::of(b"other"));
    assert!(matches!(
        bench.pull_reference(&pinned),
        Err(Error::Digest {
            noun: "manifest",
            ..
        })
    ));
    assert!(bench.is_empty());
}

#[test]
fn documents_that_are_no_image_are_refused_with_the_reason() {
    let table = [
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            r#"{"schemaVersion":1}"#,
            "schema 1",
        ),
        ("text/html", "<html>", "no JSON"),
        (
            media_type::OCI_MANIFEST,
            r#"{"layers":[],"manifests":[]}"#,
            "as an image and as an index",
        ),
        (
            media_type::OCI_MANIFEST,
            r#"{"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
            "calls itself",
        ),
        (
            "application/json",
            r#"{"mediaType":"a\u001b[2J"}"#,
            "`a\u{fffd}[2J` is not the media type",
        ),
        (
            media_type::OCI_INDEX,
            r#"{"schemaVersion":2,"manifests":[]}"#,
            "no image for",
        ),
    ];
    for (media_type, body, part) in table {
        let bench = bench();
        let server = Hostile::start(move |_| {
            Reply::new(200)
                .header("content-type", media_type)
                .body(body)
        });
        let error = bench.pull(&server.host()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(bench.is_empty());
    }
}

#[test]
fn an_index_leads_to_the_image_for_the_platform() {
    let bench = bench();
    let good = bench.good();
    let mut entry = bench.image.manifest.descriptor.clone();
    entry.platform = Some(Platform::host());
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type::DOCKER_INDEX, "manifests": [entry.to_value()] });
    let server = Hostile::start(move |seen| match seen.target.contains("/manifests/1") {
        true => Reply::new(200)
            .header("content-type", media_type::DOCKER_INDEX)
            .body(index.to_string()),
        false => good(seen),
    });
    assert_eq!(bench.pull(&server.host()).unwrap(), bench.image);
}

#[test]
fn resolving_asks_for_the_body_only_when_the_head_does_not_tell() {
    let bench = bench();
    let good = bench.good();
    let server = Hostile::start(move |seen| {
        match seen.target.contains("/manifests/bare") && seen.method == "HEAD" {
            true => Reply::new(405),
            false => good(seen),
        }
    });
    for (tag, gets) in [("1", 0), ("bare", 1)] {
        let reference = format!("{}/app:{tag}", server.host()).parse().unwrap();
        assert_eq!(
            bench.client.resolve(&reference, &Silent).unwrap(),
            bench.image.manifest.descriptor
        );
        assert_eq!(server.count("GET", "/manifests/"), gets, "{tag}");
    }
}

/// A registry that has nothing and takes everything; mounts are answered 202.
pub(super) fn taking(seen: &Seen) -> Reply {
    match seen.method.as_str() {
        "HEAD" | "GET" => Reply::new(404),
        "POST" => Reply::new(202).header(
            "location",
            format!("/up/1?_state=s{}", seen.target.contains("mount=")),
        ),
        "PUT" => Reply::new(201),
        _ => Reply::new(500),
    }
}

/// An observer that has had enough.
struct Impatient;

impl Observer for Impatient {
    fn observe(&self, _event: Event) {}

    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn stopping_leaves_nothing() {
    let bench = bench();
    let server = Hostile::start(bench.good());
    let reference = format!("{}/app:1", server.host()).parse().unwrap();
    let pulled = bench.client.pull(
        &reference,
        &Platform::host(),
        &bench.store,
        Layers::All,
        &Impatient,
    );
    assert!(matches!(pulled, Err(Error::Interrupted)));
    assert!(bench.is_empty());
}

#[test]
fn nobody_listening_is_told_with_the_host() {
    let bench = bench();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = bench.pull(&host).unwrap_err();
    assert!(
        matches!(&error, Error::Connect { host: told, obstacle: Obstacle::Network, .. } if *told == host),
        "{error}"
    );
}

#[test]
fn plain_http_where_tls_is_expected_is_recognised() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .unwrap();
        // Until the client has read it.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let bench = bench();
    bench.client.remember_scheme(&host, "https");
    let error = bench.pull(&host).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Connect {
                obstacle: Obstacle::PlainHttp,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.hints()[0].contains("--insecure-registry"));
    thread.join().unwrap();
}
