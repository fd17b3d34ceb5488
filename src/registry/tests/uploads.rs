//! Pushes, mounts and uploads.

use super::*;

#[test]
fn a_mount_answered_202_goes_on_as_an_upload() {
    let bench = bench();
    bench.keep_layers();
    let server = Hostile::start(taking);
    let report = bench.push(&server.host(), &["base", "app"]).unwrap();
    assert_eq!(
        (report.uploaded_blobs, report.mounted, report.skipped),
        (3, 0, 0)
    );
    assert_eq!(
        report.bytes,
        3_000_005 + bench.image.config.bytes.len() as u64
    );
    let seen = server.seen();
    assert_eq!(server.count("POST", ""), 3, "one for each blob");
    assert_eq!(server.count("POST", "from=base"), 2);
    let put = seen
        .iter()
        .find(|seen| seen.is("PUT", "/up/1") && seen.body.len() == 3_000_000)
        .unwrap();
    assert_eq!(put.body, bench.layers[0]);
    assert!(
        put.target
            .starts_with("/up/1?_state=strue&digest=sha256%3A"),
        "{}",
        put.target
    );
    let manifest = seen.last().unwrap();
    assert_eq!(
        (manifest.method.as_str(), manifest.target.as_str()),
        ("PUT", "/v2/app/manifests/1")
    );
    assert_eq!(manifest.body, bench.image.manifest.bytes);
    assert_eq!(
        manifest.header("content-type"),
        Some(media_type::OCI_MANIFEST)
    );
}

#[test]
fn what_is_there_is_not_sent_and_what_can_be_mounted_is() {
    let bench = bench();
    let big = bench.big();
    let server =
        Hostile::start(
            move |seen| match (seen.method.as_str(), seen.target.contains("mount=")) {
                ("HEAD", _) if seen.target.contains("/blobs/") && !seen.target.contains(&big) => {
                    Reply::new(200)
                }
                ("POST", true) => Reply::new(201),
                _ => taking(seen),
            },
        );
    let report = bench.push(&server.host(), &["base"]).unwrap();
    assert_eq!(
        (
            report.uploaded_blobs,
            report.mounted,
            report.skipped,
            report.bytes
        ),
        (0, 2, 1, 0)
    );
    let error = bench.push(&server.host(), &[]).unwrap_err();
    assert!(
        matches!(&error, Error::LayerAbsent { digest, .. } if digest.to_string() == bench.big()),
        "{error}"
    );

    let good = bench.good();
    let full = Hostile::start(good);
    assert_eq!(bench.push(&full.host(), &[]).unwrap().skipped, 3);
    assert_eq!(full.seen().len(), 1);
}

#[test]
fn an_upload_that_is_lost_or_refused_begins_again() {
    for status in [404, 500, 401] {
        let bench = bench();
        bench.keep_layers();
        let failures = AtomicU64::new(0);
        let server = Hostile::start(move |seen| {
            if seen.target.starts_with("/token") {
                return Reply::new(200).body(r#"{"token":"t"}"#);
            }
            if seen.is("PUT", "/up/")
                && seen.body.len() == 3_000_000
                && failures.fetch_add(1, Ordering::SeqCst) == 0
            {
                return Reply::new(status).header("www-authenticate", r#"Bearer realm="/token""#);
            }
            taking(seen)
        });
        assert_eq!(
            bench.push(&server.host(), &[]).unwrap().uploaded_blobs,
            3,
            "{status}"
        );
        let bodies: Vec<_> = server
            .seen()
            .into_iter()
            .filter(|seen| seen.body.len() == 3_000_000)
            .collect();
        assert_eq!(bodies.len(), 2);
        assert!(bodies.iter().all(|seen| seen.body == bench.layers[0]));
    }
}

#[test]
fn a_damaged_blob_is_never_sent_as_a_whole() {
    let bench = bench();
    bench.keep_layers();
    let path = bench
        .store
        .blob_path(&bench.image.manifest.parsed.layers[0].digest);
    std_fs::write(path, vec![7; 3_000_000]).unwrap();
    let server = Hostile::start(taking);
    let error = bench.push(&server.host(), &[]).unwrap_err();
    assert!(
        matches!(&error, Error::Store(error) if error.is_mismatch()),
        "{error}"
    );
    assert!(error.hints()[0].contains("damaged"), "{:?}", error.hints());
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.body.len() != 3_000_000 && !seen.is("PUT", "/manifests/"))
    );
}

#[test]
fn a_registry_that_understood_another_manifest_is_not_believed() {
    let bench = bench();
    bench.keep_layers();
    let server = Hostile::start(|seen| match seen.is("PUT", "/manifests/") {
        true => Reply::new(201).header("docker-content-digest", Digest::of(b"other").to_string()),
        false => taking(seen),
    });
    assert!(matches!(
        bench.push(&server.host(), &[]),
        Err(Error::Digest {
            noun: "manifest",
            ..
        })
    ));
}
