use crate::event::Event;
use std::path::Path;

use super::hostile::{Hostile, Reply};
use super::tests::{Bench, bench, bench_with};
use super::*;
use crate::event::Silent;
use crate::image::Descriptor;

/// A client for which `host` has these mirrors.
fn mirrored(directory: &Path, host: &str, mirrors: &[&str], more: Settings) -> Bench {
    let path = directory.join("overcoat.toml");
    let text = format!("[registry.'{host}']\nmirrors = {mirrors:?}\n");
    std::fs::write(&path, text).unwrap();
    bench_with(Settings {
        hosts: hosts::Sources {
            given: Some(path),
            ..hosts::Sources::default()
        },
        ..more
    })
}

fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// What an observer was told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observer for Told {
    fn observe(&self, event: Event) {
        if let Event::Note { text } = event {
            self.0.lock().unwrap().push(text);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

#[test]
fn a_mirror_is_asked_first_and_gives_all_of_an_image() {
    let directory = tempfile::tempdir().unwrap();
    let (origin, mirror) = (
        Hostile::start(bench().good()),
        Hostile::start(bench().good()),
    );
    let deep = format!("{}/deep", mirror.host());
    let bench = mirrored(
        directory.path(),
        &origin.host(),
        &[&deep],
        Settings::default(),
    );
    assert_eq!(bench.pull(&origin.host()).unwrap(), bench.image);
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(mirror.count("GET", "/v2/deep/app/manifests/1"), 1);
    assert_eq!(mirror.count("GET", "/v2/deep/app/blobs/"), 3);
    let reference = format!("{}/app:1", origin.host()).parse().unwrap();
    let found = bench.client.resolve(&reference, &Silent).unwrap();
    assert_eq!(found, bench.image.manifest.descriptor);
    assert_eq!(origin.seen().len(), 0);
}

#[test]
fn a_mirror_that_is_down_or_lacks_the_image_or_lies_is_passed_over() {
    let lacking = Hostile::start(|_| Reply::new(404));
    let failing = Hostile::start(|_| Reply::new(403).body("no"));
    let lying = Hostile::start(|_| {
        Reply::new(200)
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(r#"{"schemaVersion":2,"config":{},"layers":[]}"#)
    });
    let down = nobody();
    let table = [
        (lacking.host(), 0, 1),
        (failing.host(), 1, 1),
        (lying.host(), 1, 1),
        (down, 1, 0),
    ];
    for (mirror, notes, _) in table {
        let directory = tempfile::tempdir().unwrap();
        let origin = Hostile::start(bench().good());
        let bench = mirrored(
            directory.path(),
            &origin.host(),
            &[&mirror],
            Settings::default(),
        );
        let (told, digest) = (Told::default(), bench.image.digest().clone());
        let reference = format!("{}/app@{digest}", origin.host()).parse().unwrap();
        let pulled = bench.client.pull(
            &reference,
            &Platform::host(),
            &bench.store,
            Layers::All,
            &told,
        );
        assert_eq!(pulled.unwrap(), bench.image);
        let told = told.0.into_inner().unwrap();
        assert_eq!(told.len(), notes, "{told:?}");
        assert!(told.iter().all(|text| text.contains(&mirror)), "{told:?}");
        // No layer is asked of who had not even the manifest.
        assert_eq!(origin.count("GET", "/blobs/"), 3);
    }
    assert_eq!(lacking.seen().len(), 1);
}

#[test]
fn a_layer_that_the_mirror_lacks_or_has_wrong_comes_from_the_registry() {
    for is_wrong in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let origin = Hostile::start(bench().good());
        let (good, big) = (bench().good(), bench().big());
        let mirror = Hostile::start(move |seen| match seen.is("GET", &big) {
            true if is_wrong => Reply::new(200).body(vec![0; 3_000_000]),
            true => Reply::new(404),
            false => good(seen),
        });
        let bench = mirrored(
            directory.path(),
            &origin.host(),
            &[&mirror.host()],
            Settings::default(),
        );
        assert_eq!(bench.pull(&origin.host()).unwrap(), bench.image);
        let layers = &bench.image.manifest.parsed.layers;
        for (layer, bytes) in layers.iter().zip(&bench.layers) {
            let kept = std::fs::read(bench.store.blob_path(&layer.digest)).unwrap();
            assert_eq!(&kept, bytes);
        }
        assert_eq!(origin.seen().len(), 1);
    }
}

#[test]
fn when_nobody_has_it_the_registrys_answer_counts_and_all_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let origin = Hostile::start(|_| Reply::new(404));
    let mirror = Hostile::start(|_| Reply::new(401));
    let down = nobody();
    let bench = mirrored(
        directory.path(),
        &origin.host(),
        &[&mirror.host(), &down],
        Settings::default(),
    );
    let error = bench.pull(&origin.host()).unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let text = error.to_string();
    for part in [&origin.host(), &mirror.host(), &down] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(error.hints(), ["check the repository and the tag"]);
    let reference = format!("{}/app:1", origin.host()).parse().unwrap();
    let found = bench.client.manifest(&reference, Access::Pull, &Silent);
    assert_eq!(found.unwrap(), None);
    // One that cannot be reached is not tried again.
    assert_eq!(mirror.seen().len(), 2);
}

#[test]
fn credentials_of_a_registry_and_of_its_mirror_stay_apart() {
    let directory = tempfile::tempdir().unwrap();
    let guarded = |password: &'static str| {
        let good = bench().good();
        move |seen: &super::hostile::Seen| match seen.header("authorization") {
            Some(shown) if shown == password => good(seen),
            _ => Reply::new(401).header("www-authenticate", "Basic realm=x"),
        }
    };
    let mirror = Hostile::start(|_| Reply::new(401).header("www-authenticate", "Basic realm=x"));
    let origin = Hostile::start(guarded("Basic dTpvcmlnaW4="));
    let login = |password: &str| Credential::Password {
        username: "u".to_owned(),
        password: Secret::new(password),
    };
    let credentials = [
        (origin.host(), login("origin")),
        (mirror.host(), login("mirror")),
    ];
    let settings = Settings {
        credentials: credentials.into(),
        ..Settings::default()
    };
    let bench = mirrored(
        directory.path(),
        &origin.host(),
        &[&mirror.host()],
        settings,
    );
    bench.pull(&origin.host()).unwrap();
    let shown: Vec<_> = mirror
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").map(str::to_owned))
        .collect();
    assert_eq!(shown, [None, Some("Basic dTptaXJyb3I=".to_owned())]);
}

#[test]
fn a_push_goes_to_the_registry_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mirror = Hostile::start(bench().good());
    let origin = Hostile::start(super::tests::taking);
    let bench = mirrored(
        directory.path(),
        &origin.host(),
        &[&mirror.host()],
        Settings::default(),
    );
    bench.keep_layers();
    assert_eq!(bench.push(&origin.host(), &[]).unwrap().uploaded_blobs, 3);
    assert_eq!(mirror.seen().len(), 0);
    let reference = format!("{}/app:1", origin.host()).parse().unwrap();
    let found = bench
        .client
        .manifest(&reference, Access::PullAndPush, &Silent);
    assert_eq!(found.unwrap(), None);
    assert_eq!(mirror.seen().len(), 0);
    let layer: &Descriptor = &bench.image.manifest.parsed.layers[1];
    bench.client.blob(&reference, layer, &Silent).unwrap();
    assert_eq!(mirror.seen().len(), 1, "reading goes to it");
}

#[test]
fn a_blocked_registry_is_not_spoken_to() {
    let directory = tempfile::tempdir().unwrap();
    let server = Hostile::start(bench().good());
    let path = directory.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = '{}'\nblocked = true\n",
        server.host()
    );
    std::fs::write(&path, text).unwrap();
    let bench = bench_with(Settings {
        hosts: hosts::Sources {
            registries_conf: vec![path],
            ..hosts::Sources::default()
        },
        ..Settings::default()
    });
    let told = [
        bench.pull(&server.host()).unwrap_err(),
        bench.push(&server.host(), &[]).unwrap_err(),
        bench.client.ping(&server.host(), &Silent).unwrap_err(),
    ];
    for error in told {
        assert!(matches!(error, Error::Blocked { .. }), "{error}");
        assert!(error.to_string().contains("registries.conf"), "{error}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn who_may_be_spoken_to_in_either_way_is_spoken_to_plainly_when_there_is_no_tls() {
    let directory = tempfile::tempdir().unwrap();
    let server = Hostile::start(bench().good());
    let path = directory.path().join("overcoat.toml");
    let text = format!(
        "[registry.'{}']\nplain-http = false\ninsecure = true\n",
        server.host()
    );
    std::fs::write(&path, text).unwrap();
    let given = Settings {
        hosts: hosts::Sources {
            given: Some(path),
            ..hosts::Sources::default()
        },
        ..Settings::default()
    };
    let bench = bench_with(given);
    bench.pull(&server.host()).unwrap();
}

#[test]
fn docker_hub_is_spoken_to_at_its_api_host() {
    use hosts::Preference;
    let client = bench().client;
    let table = [
        (
            "docker.io",
            Preference::Tls,
            ("https", "registry-1.docker.io"),
        ),
        ("r.example", Preference::Tls, ("https", "r.example")),
        (
            "localhost:5000",
            Preference::Plain,
            ("http", "localhost:5000"),
        ),
        ("lan:5000", Preference::TlsThenPlain, ("https", "lan:5000")),
    ];
    for (host, preference, expected) in table {
        assert_eq!(client.endpoint(host, preference), expected, "{host}");
    }
    client.remember_scheme("localhost:5000", "https");
    client.remember_scheme("r.example", "http");
    assert_eq!(
        client.endpoint("localhost:5000", Preference::Plain).0,
        "https"
    );
    assert_eq!(client.endpoint("r.example", Preference::Tls).0, "https");
}
