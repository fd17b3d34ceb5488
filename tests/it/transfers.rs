//! Blobs to and from Debian's docker-registry over lines that break, through proxies, over HTTP/2, and by SHA-512.

use std::sync::Arc;
use std::time::Duration;

use overcoat::digest::{Algorithm, DiffId, Digest, Digester};
use overcoat::event::Silent;
use overcoat::http::Http;
use overcoat::image::edit::{Changes, NewLayer, from_scratch};
use overcoat::image::{Descriptor, Image, Platform, media_type};
use overcoat::reference::Reference;
use overcoat::registry::{Layers, Limits, PushRequest, RegistryClient, Settings};
use overcoat::store::BlobStore;

use super::registry::private_registry;
use super::support::registry::Registry;
use super::support::relay::Relay;
use super::support::tiny::Tiny;
use super::support::{Overcoat, copy_of_app};

const SIZE: usize = 12 << 20;

fn bytes(size: usize) -> Vec<u8> {
    let mut state: u32 = 7;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(next).collect()
}

struct Ground {
    _directory: tempfile::TempDir,
    client: RegistryClient,
    store: BlobStore,
}

fn ground(limits: Limits) -> Ground {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        first_retry_delay: Duration::from_millis(1),
        limits,
        ..Settings::default()
    };
    let http = Arc::new(Http::new(&Default::default()).unwrap());
    Ground {
        client: RegistryClient::new(http, settings),
        store: BlobStore::open(&directory.path().join("store")).unwrap(),
        _directory: directory,
    }
}

/// An image with one layer of these bytes, named by this algorithm.
fn image(bytes: &[u8], algorithm: Algorithm) -> Image {
    let mut digester = Digester::new(algorithm);
    digester.update(bytes);
    let digest = digester.finish();
    let layer = NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, bytes.len() as u64),
        diff_id: DiffId(Digest::of(b"not looked at")),
        created_by: "test".to_owned(),
    };
    from_scratch(&Platform::host(), &[layer], &Changes::default()).unwrap()
}

impl Ground {
    fn push(&self, image: &Image, layer: &[u8], to: &str) {
        let descriptor = &image.manifest.parsed.layers[0];
        self.store.put(descriptor, layer).unwrap();
        let to: Reference = to.parse().unwrap();
        let request = PushRequest::new(image, &to, &self.store);
        let report = self.client.push(&request, &Silent).unwrap();
        assert_eq!(report.uploaded_blobs, 2);
    }

    fn pull(&self, from: &str) -> Image {
        let from: Reference = from.parse().unwrap();
        let platform = Platform::host();
        let pulled = self
            .client
            .pull(&from, &platform, &self.store, Layers::All, &Silent);
        pulled.unwrap()
    }
}

fn count(registry: &Registry, start: &str) -> usize {
    let requests = registry.requests();
    requests
        .iter()
        .filter(|line| line.starts_with(start))
        .count()
}

#[test]
fn chunks_are_taken_where_the_whole_never_arrives() {
    let registry = Registry::start();
    // The first two connections with much in them break after 3 MiB.
    let line = Relay::breaking(
        registry.host(),
        |before| (before < 2).then_some(3 << 20),
        |_| None,
    );
    let ground = ground(Limits {
        chunk_bytes: 5 << 20,
        ..Limits::default()
    });
    let layer = bytes(SIZE);
    let image = image(&layer, Algorithm::Sha256);
    ground.push(&image, &layer, &format!("{}/app:1", line.host()));
    let digest = image.manifest.parsed.layers[0].digest.to_string();
    assert!(std::fs::read(registry.blob(&digest)).unwrap() == layer);
    assert_eq!(
        count(&registry, "PATCH /v2/app/blobs/uploads/"),
        3,
        "{:?}",
        registry.requests()
    );
}

#[test]
fn a_download_goes_on_however_often_the_line_breaks() {
    let registry = Registry::start();
    let layer = bytes(SIZE);
    let image = image(&layer, Algorithm::Sha256);
    let here = ground(Limits::default());
    here.push(&image, &layer, &format!("{}/app:1", registry.host()));
    let line = Relay::breaking(registry.host(), |_| None, |_| Some(3 << 20));
    let there = ground(Limits::default());
    assert_eq!(there.pull(&format!("{}/app:1", line.host())), image);
    let kept = there
        .store
        .blob_path(&image.manifest.parsed.layers[0].digest);
    assert!(std::fs::read(kept).unwrap() == layer);
    let digest = &image.manifest.parsed.layers[0].digest;
    let requests = registry.requests();
    let asked = |status: &str| {
        let wanted = format!("GET /v2/app/blobs/{digest} {status}");
        requests.iter().filter(|line| **line == wanted).count()
    };
    assert_eq!(asked("200"), 1, "{requests:?}");
    assert!((3..=5).contains(&asked("206")), "{requests:?}");
}

#[test]
fn a_layer_named_by_sha512_goes_there_and_back() {
    let registry = Registry::start();
    let layer = bytes(100_000);
    let image = image(&layer, Algorithm::Sha512);
    let name = format!("{}/app:1", registry.host());
    ground(Limits::default()).push(&image, &layer, &name);
    let there = ground(Limits::default());
    assert_eq!(there.pull(&name), image);
    let kept = there
        .store
        .blob_path(&image.manifest.parsed.layers[0].digest);
    assert!(kept.parent().unwrap().ends_with("blobs/sha512"));
    assert!(std::fs::read(kept).unwrap() == layer);
}

#[test]
fn registries_behind_tls_are_spoken_to_by_http_2_and_through_proxies() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Tiny::default().write(directory.path());
    let source = copy_of_app("no-requirements", directory.path());
    let (registry, authority) = private_registry(directory.path());
    let name = format!("{}/team/app:1", registry.host());
    let (proxy, asked) = Relay::proxy("Basic dXNlcjpwcm94eS1zZWNyZXQ=");
    let url = |password: &str| format!("http://user:{password}@{}", proxy.host());
    let overcoat = || Overcoat::new().with("SSL_CERT_FILE", &authority);
    let arguments = [
        "build",
        source.to_str().unwrap(),
        "-t",
        &name,
        "--build-image",
        &builder,
        "--push",
    ];

    overcoat()
        .with("HTTPS_PROXY", &url("proxy-secret"))
        .with("NO_PROXY", "other.test")
        .run(&arguments)
        .ok();
    let line = format!("CONNECT {} HTTP/1.1", registry.host());
    let connections = asked.lock().unwrap().clone();
    assert!(
        !connections.is_empty() && connections.iter().all(|asked| *asked == line),
        "{connections:?}"
    );
    assert!(registry.spoke("HTTP/2.0") && !registry.spoke("HTTP/1.1"));

    let pull = ["pull", &name];
    let direct = overcoat()
        .with("HTTPS_PROXY", &url("proxy-secret"))
        .with("NO_PROXY", "127.0.0.1");
    direct.run(&pull).ok();
    assert_eq!(asked.lock().unwrap().len(), connections.len());

    let refused = overcoat()
        .with("HTTPS_PROXY", &url("wrong-secret"))
        .run(&pull);
    assert_eq!(refused.code, Some(30), "{}", refused.stderr);
    assert!(
        !refused.stderr.contains("wrong-secret"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("proxy"), "{}", refused.stderr);
}

#[test]
fn a_pull_takes_no_longer_than_the_person_allows() {
    // The system accepts for it, and nobody ever answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/app:1", listener.local_addr().unwrap());
    let overcoat = Overcoat::new();
    let done = overcoat.run(&["pull", &name, "--registry-timeout", "1s"]);
    assert_eq!(done.code, Some(30), "{}", done.stderr);
    let told = format!("`{name}` took longer than 1 s");
    assert!(done.stderr.contains(&told), "{}", done.stderr);
    assert!(
        done.stderr
            .contains("hint: allow more time with `--registry-timeout`")
    );
    let none = overcoat.run(&["pull", &name, "--registry-connections", "0"]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
}
