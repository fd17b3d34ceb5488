//! Servers that send too much, too slowly, or to the wrong place.

use std::time::Duration;

use super::desk::Desk;
use super::ground::{Ground, bytes};
use super::hostile::{Hostile, Reply};
use super::{Error, Layers, Limits, RegistryClient, Settings};
use crate::digest::Digest;
use crate::event::Silent;
use crate::http::{self, Proxies};
use crate::image::{Image, Platform, media_type};

/// Limits that a test can wait for.
fn impatient() -> Limits {
    Limits {
        idle: Duration::from_millis(300),
        least_bytes: 10_000,
        answer: Duration::from_millis(300),
        ..Limits::default()
    }
}

fn pull(ground: &Ground, host: &str) -> Result<Image, Error> {
    let reference = format!("{host}/app:1").parse().unwrap();
    let (platform, store) = (Platform::host(), &ground.store);
    ground
        .client
        .pull(&reference, &platform, store, Layers::All, &Silent)
}

#[test]
fn headers_without_end_are_not_read_to_the_end() {
    let long = format!("x-padding: {}", "x".repeat(1000));
    let challenge = format!("www-authenticate: Bearer realm=\"{}", "x".repeat(1000));
    for (status, line) in [
        (200, "a: b"),
        (200, long.as_str()),
        (401, challenge.as_str()),
    ] {
        let line = line.to_owned();
        let server = Hostile::start(move |_| Reply::new(status).flooding(&line));
        let error = pull(&Ground::new(1), &server.host()).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
        // What the system's buffers take is more than what is read.
        let each = server.sent_bytes() / server.seen().len();
        assert!(each < 16 << 20, "{each}");
    }
}

#[test]
fn a_challenge_that_is_long_and_ends_is_read_in_good_time() {
    for challenge in [
        "a,".repeat(50_000),
        format!("Bearer realm=\"{}", "\\\"".repeat(40_000)),
        format!("Bearer {}", "x=\"y\", ".repeat(12_000)),
    ] {
        let server =
            Hostile::start(move |_| Reply::new(401).header("www-authenticate", challenge.clone()));
        let error = pull(&Ground::new(1), &server.host()).unwrap_err();
        assert!(error.to_string().len() < 1000, "{error}");
    }
}

#[test]
fn bodies_without_end_are_not_read_to_the_end() {
    for status in [200, 500] {
        let server = Hostile::start(move |_| Reply::new(status).body(vec![b' '; 4096]).endless());
        let error = pull(&Ground::new(1), &server.host()).unwrap_err();
        match status {
            200 => assert!(matches!(error, Error::Size { .. }), "{error}"),
            _ => assert!(matches!(error, Error::Answer(_)), "{error}"),
        }
        let each = server.sent_bytes() / server.seen().len();
        assert!(each < 32 << 20, "{each}");
    }
}

#[test]
fn what_trickles_is_broken_off() {
    let ground = Ground::limited(100_000, impatient());
    let layer = ground.layer.clone();
    let pause = Duration::from_millis(10);
    // 10 bytes in 10 ms: 300 where 10,000 must come.
    let server = Hostile::start(move |_| Reply::new(200).body(layer.clone()).trickling(10, pause));
    let error = ground.fetch(&server.host()).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("broke off: only "), "{told}");
    assert_eq!(server.seen().len(), 4);
    assert!(ground.files().is_empty());
}

#[test]
fn what_is_slow_and_comes_is_waited_for() {
    let limits = Limits {
        idle: Duration::from_millis(1500),
        ..impatient()
    };
    let ground = Ground::limited(100_000, limits);
    let layer = ground.layer.clone();
    // All together it takes longer than `idle`, and each part of it far less.
    let pause = Duration::from_millis(400);
    let server = Hostile::start(move |_| {
        let whole = Reply::new(200).body(layer.clone());
        whole.trickling(20_000, pause)
    });
    ground.fetch(&server.host()).unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn who_says_nothing_is_not_waited_for_forever() {
    let ground = Ground::limited(1, impatient());
    let server = Hostile::start(|_| Reply::silence());
    let error = pull(&ground, &server.host()).unwrap_err();
    assert!(error.to_string().contains("no answer came"), "{error}");
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_registry_that_takes_nothing_is_not_waited_for_forever() {
    let ground = Ground::limited(40_000_000, impatient());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let desk = Desk::default();
    // Everything but the body of the layer goes to a desk; the layer's upload to somebody who does not read.
    let server = Hostile::start(move |seen| match seen.method.as_str() {
        "POST" => Reply::new(202).header("location", format!("http://{address}/up")),
        _ => desk.answer(seen),
    });
    let error = ground.push(&server.host()).unwrap_err();
    assert!(matches!(&error, Error::Broken { .. }), "{error}");
    drop(listener);
}

#[test]
fn an_operation_ends_when_its_time_is_over() {
    let limits = Limits {
        overall: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    let ground = Ground::limited(100_000, limits);
    let silent = Hostile::start(|_| Reply::silence());
    for error in [
        pull(&ground, &silent.host()).unwrap_err(),
        ground.fetch(&silent.host()).unwrap_err(),
        ground.push(&silent.host()).unwrap_err(),
    ] {
        assert!(matches!(&error, Error::TooLong { .. }), "{error}");
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
        assert!(error.hints()[0].contains("--registry-timeout"));
    }
    assert_eq!(silent.seen().len(), 3, "none was tried again");
}

#[test]
fn a_configuration_of_four_gibibytes_is_not_read() {
    let ground = Ground::new(1);
    // In the manifest: it is not even asked for.
    let config = serde_json::json!({
        "mediaType": media_type::OCI_CONFIG, "digest": Digest::of(b"x"), "size": 4_u64 << 30,
    });
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [] });
    let server = Hostile::start(move |_| {
        Reply::new(200)
            .header("content-type", media_type::OCI_MANIFEST)
            .body(manifest.to_string())
    });
    let error = pull(&ground, &server.host()).unwrap_err();
    assert!(
        matches!(&error, Error::Size { noun, .. } if noun == "configuration"),
        "{error}"
    );
    assert_eq!(server.count("GET", "/blobs/"), 0);

    // In the answer: no byte of it is read.
    let manifest = ground.image.manifest.bytes.clone();
    let server = Hostile::start(move |seen| match seen.target.contains("/manifests/") {
        true => Reply::new(200)
            .header("content-type", media_type::OCI_MANIFEST)
            .body(manifest.clone()),
        false => Reply::new(200)
            .header("content-length", (4_u64 << 30).to_string())
            .body(bytes(100)),
    });
    let error = pull(&ground, &server.host()).unwrap_err();
    assert!(
        matches!(&error, Error::Size { noun, .. } if noun == "configuration"),
        "{error}"
    );
    assert_eq!(server.count("GET", "/blobs/"), 1);
    assert!(ground.files().is_empty());
}

#[test]
fn an_index_that_leads_to_itself_leads_nowhere() {
    for entry_type in [media_type::OCI_MANIFEST, media_type::OCI_INDEX] {
        let entry = serde_json::json!({
            "mediaType": entry_type, "digest": Digest::of(b"whatever"), "size": 100,
            "platform": Platform::host(),
        });
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [entry] });
        // Under every name and digest.
        let server = Hostile::start(move |_| {
            Reply::new(200)
                .header("content-type", media_type::OCI_INDEX)
                .body(index.to_string())
        });
        let ground = Ground::new(1);
        let error = pull(&ground, &server.host()).unwrap_err();
        match entry_type {
            media_type::OCI_MANIFEST => {
                assert!(matches!(error, Error::Digest { .. }), "{error}");
                assert_eq!(server.seen().len(), 2);
            }
            _ => {
                assert!(error.to_string().contains("no image for"), "{error}");
                assert_eq!(server.seen().len(), 1);
            }
        }
        assert!(ground.files().is_empty());
    }
}

fn behind(proxies: Proxies) -> Ground {
    let network = http::Settings {
        proxies,
        ..http::Settings::default()
    };
    let settings = Settings {
        hosts: super::hosts::Sources {
            plain_http: vec!["registry.test:5000".to_owned()],
            ..super::hosts::Sources::default()
        },
        ..Settings::default()
    };
    Ground::on(1000, settings, &network)
}

#[test]
fn a_proxy_is_used_with_its_credentials_and_not_for_hosts_that_are_excepted() {
    let layer = bytes(1000);
    let proxy = Hostile::start(move |seen| {
        let is_known = seen.header("proxy-authorization") == Some("Basic dXNlcjpwcm94eS1zZWNyZXQ=");
        let is_right = seen
            .target
            .starts_with("http://registry.test:5000/v2/app/blobs/");
        match is_known && is_right {
            true => Reply::new(200).body(layer.clone()),
            false => Reply::new(407),
        }
    });
    let url = format!("http://user:proxy-secret@{}", proxy.host());
    let proxies = |none: &str| Proxies {
        http: Some(url.clone()),
        https: Some(url.clone()),
        none: Some(none.to_owned()),
    };
    let ground = behind(proxies("other.test,127.0.0.1"));
    ground.fetch("registry.test:5000").unwrap();
    ground.assert_fetched();
    assert_eq!(proxy.seen().len(), 1);

    let ground = behind(proxies("other.test,127.0.0.1"));
    let layer = ground.layer.clone();
    let direct = Hostile::start(move |_| Reply::new(200).body(layer.clone()));
    ground.fetch(&direct.host()).unwrap();
    assert_eq!(direct.seen().len(), 1);
    assert!(direct.seen()[0].header("proxy-authorization").is_none());
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn a_proxy_that_refuses_is_told_without_its_password() {
    let proxy = Hostile::start(|_| Reply::new(407));
    let url = format!("http://user:proxy-secret@{}", proxy.host());
    let ground = behind(Proxies {
        https: Some(url),
        ..Proxies::default()
    });
    let error = ground.fetch("registry.test").unwrap_err();
    let seen = proxy.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.method == "CONNECT" && seen.target == "registry.test:443")
    );
    assert_eq!(
        seen[0].header("proxy-authorization"),
        Some("Basic dXNlcjpwcm94eS1zZWNyZXQ=")
    );
    let told = format!("{error} {error:?} {:?}", error.hints());
    assert!(matches!(error, Error::Connect { .. }), "{told}");
    assert!(!told.contains("proxy-secret"), "{told}");
    let client: &RegistryClient = &ground.client;
    assert!(!format!("{client:?}").contains("proxy-secret"));
}
