//! Sending documents to a registry that has the referrers API, to one that has not, and to one that lies.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::hostile::{Hostile, Reply, Seen};
use super::shelf::Shelf;
use super::{Error, RegistryClient, SendReport, SendRequest, Settings};
use crate::digest::Digest;
use crate::event::Silent;
use crate::http::Http;
use crate::image::graph::{Document, Platforms, Referrer, referrers_tag};
use crate::image::{Descriptor, media_type};
use crate::reference::Reference;
use crate::store::BlobStore;

/// A registry with shelves; with the referrers API where `has_api`.
fn serve(shelf: &Shelf, has_api: bool) -> Hostile {
    let shelf = shelf.clone();
    let listed: Mutex<Vec<(String, Value)>> = Mutex::default();
    Hostile::start(move |seen| {
        if seen.method == "HEAD" && seen.target.contains("/manifests/") {
            let get = Seen {
                method: "GET".to_owned(),
                ..seen.clone()
            };
            return shelf.answer(&get);
        }
        if let Some((_, subject)) = seen.target.split_once("/referrers/").filter(|_| has_api) {
            let listed = listed.lock().unwrap();
            let entries = listed.iter().filter(|(about, _)| about == subject);
            let entries: Vec<&Value> = entries.map(|(_, entry)| entry).collect();
            let body = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
            return Reply::new(200)
                .header("content-type", media_type::OCI_INDEX)
                .body(body.to_string());
        }
        let reply = shelf.answer(seen);
        let subject = serde_json::from_slice::<Value>(&seen.body).ok();
        let subject =
            subject.and_then(|document| Some(document["subject"]["digest"].as_str()?.to_owned()));
        match subject.filter(|_| has_api && seen.is("PUT", "/manifests/")) {
            Some(subject) => {
                let document = Document {
                    descriptor: Descriptor::of(media_type::OCI_MANIFEST, &seen.body),
                    bytes: seen.body.clone(),
                };
                let entry = Referrer::of(&document).unwrap().to_value();
                listed.lock().unwrap().push((subject.clone(), entry));
                reply.header("oci-subject", subject)
            }
            None => reply,
        }
    })
}

struct Bench {
    _directory: tempfile::TempDir,
    client: RegistryClient,
    passing: BlobStore,
    source: Shelf,
    from: Hostile,
    image: Document,
}

fn manifest(layer: &[u8], subject: Option<&Descriptor>) -> Document {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": Descriptor::of(media_type::OCI_CONFIG, b"{}").to_value(),
        "layers": [Descriptor::of(media_type::OCI_LAYER, layer).to_value()],
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

/// An image at the source, `team/app:1`, without anything that refers to it.
fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let source = Shelf::default();
    let image = manifest(b"layer", None);
    for blob in [&b"{}"[..], b"layer", b"signature"] {
        source.put("team/app", blob);
    }
    source.put_manifest("team/app", "1", media_type::OCI_MANIFEST, &image.bytes);
    let settings = Settings {
        first_retry_delay: std::time::Duration::from_millis(1),
        ..Settings::default()
    };
    Bench {
        client: RegistryClient::new(Arc::new(Http::new(&Default::default()).unwrap()), settings),
        passing: BlobStore::open(&directory.path().join("passing")).unwrap(),
        from: serve(&source, true),
        source,
        image,
        _directory: directory,
    }
}

impl Bench {
    fn source(&self) -> Reference {
        format!("{}/team/app:1", self.from.host()).parse().unwrap()
    }

    fn copy(&self, to: &Reference) -> Result<SendReport, Error> {
        let from = self.source();
        let graph = self.client.graph(&from, &Platforms::All, true, &Silent)?;
        let request = SendRequest {
            graph: &graph,
            reference: to,
            store: &self.passing,
            origin: Some(&from),
        };
        self.client.send(&request, &Silent)
    }

    /// A signature of the image, put into the source.
    fn sign(&self) -> Document {
        let signature = manifest(b"signature", Some(&self.image.descriptor));
        let put = self
            .client
            .put_document(&self.source(), &signature, &Silent);
        put.unwrap();
        signature
    }
}

#[test]
fn the_api_is_used_where_there_is_one_and_the_tag_where_there_is_none() {
    let bench = bench();
    let signature = bench.sign();
    let subject = &bench.image.descriptor.digest;
    let tag = referrers_tag(subject);
    assert_eq!(bench.source.manifest("team/app", &tag), None);
    for has_api in [true, false] {
        let shelf = Shelf::default();
        let server = serve(&shelf, has_api);
        let to: Reference = format!("{}/far/app:1", server.host()).parse().unwrap();
        let report = bench.copy(&to).unwrap();
        assert_eq!((report.referrers, report.uploaded_blobs), (1, 3));
        assert_eq!(shelf.manifest("far/app", "1").unwrap(), bench.image.bytes);
        let found = bench.client.referrers(&to, subject, None, &Silent).unwrap();
        assert_eq!(found, [Referrer::of(&signature).unwrap()]);
        assert_eq!(shelf.manifest("far/app", &tag).is_some(), !has_api);
        // The name comes last.
        let mut puts = server
            .seen()
            .into_iter()
            .filter(|seen| seen.is("PUT", "/manifests/"));
        let last = puts.next_back().unwrap();
        assert!(last.target.ends_with("/manifests/1"), "{}", last.target);
        let again = bench.copy(&to).unwrap();
        let nothing = SendReport {
            already_there: true,
            ..SendReport::default()
        };
        assert_eq!(again, nothing);
        // What passes through does not stay.
        for blob in [&b"{}"[..], b"layer", b"signature"] {
            assert!(!bench.passing.blob_path(&Digest::of(blob)).exists());
        }
    }
}

#[test]
fn two_that_write_the_list_at_once_lose_nothing() {
    let bench = bench();
    let subject = &bench.image.descriptor;
    let tag = referrers_tag(&subject.digest);
    let ours = manifest(b"layer", Some(subject));
    let theirs = manifest(b"signature", Some(subject));
    let entry = Referrer::of(&theirs).unwrap();
    // Somebody else's list replaces ours right after the first time we write it.
    let (shelf, path) = (bench.source.clone(), format!("/manifests/{tag}"));
    let list = Referrer::add_to(None, &[entry]).unwrap().unwrap();
    let name = tag.clone();
    let server = Hostile::start(move |seen| {
        let reply = shelf.answer(seen);
        if seen.is("PUT", &path) && seen.earlier == 0 {
            shelf.put_manifest("team/app", &name, media_type::OCI_INDEX, &list);
        }
        reply
    });
    // Lists name manifests that must be there.
    for document in [&ours, &theirs] {
        let digest = document.descriptor.digest.to_string();
        let kind = media_type::OCI_MANIFEST;
        bench
            .source
            .put_manifest("team/app", &digest, kind, &document.bytes);
    }
    let to: Reference = format!("{}/team/app:1", server.host()).parse().unwrap();
    bench.client.put_document(&to, &ours, &Silent).unwrap();
    let found = bench.client.referrers(&to, &subject.digest, None, &Silent);
    let found: Vec<Digest> = found
        .unwrap()
        .into_iter()
        .map(|entry| entry.descriptor.digest)
        .collect();
    assert_eq!(found, [theirs.descriptor.digest, ours.descriptor.digest]);
}

#[test]
fn a_blob_that_the_destination_only_claims_to_have_is_sent() {
    let bench = bench();
    let shelf = Shelf::default();
    shelf.lose(&Digest::of(b"layer"), true);
    let server = serve(&shelf, false);
    let to: Reference = format!("{}/far/app:1", server.host()).parse().unwrap();
    bench.copy(&to).unwrap();
    assert!(shelf.has("far/app", &Digest::of(b"layer")));
    assert_eq!(shelf.manifest("far/app", "1").unwrap(), bench.image.bytes);
}

#[test]
fn a_layer_that_lives_elsewhere_is_left_there() {
    let bench = bench();
    let mut foreign = Descriptor::of(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        b"foreign",
    );
    foreign.urls = vec!["https://layers.example/foreign".to_owned()];
    let mut document: Value = serde_json::from_slice(&bench.image.bytes).unwrap();
    let layers = document["layers"].as_array_mut().unwrap();
    layers.push(foreign.to_value());
    let bytes = document.to_string().into_bytes();
    bench
        .source
        .put_manifest("team/app", "1", media_type::OCI_MANIFEST, &bytes);
    // Real registries let foreign layers be absent.
    let puts: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (shelf, seen_put) = (Shelf::default(), Arc::clone(&puts));
    let server = Hostile::start(move |seen| match seen.is("PUT", "/manifests/") {
        true => {
            *seen_put.lock().unwrap() = seen.body.clone();
            Reply::new(201)
        }
        false if seen.target.contains("/manifests/") => Reply::new(404),
        false => shelf.answer(seen),
    });
    let to: Reference = format!("{}/far/app:1", server.host()).parse().unwrap();
    let report = bench.copy(&to).unwrap();
    assert_eq!(report.uploaded_blobs, 2);
    assert_eq!(*puts.lock().unwrap(), bytes);
    let digest = foreign.digest.to_string();
    assert_eq!(
        bench.from.count("GET", &digest) + server.count("HEAD", &digest),
        0
    );
}

#[test]
fn an_index_that_names_itself_and_documents_with_other_bytes_are_refused() {
    let bench = bench();
    let claimed = Digest::of(b"whatever");
    let entry = Descriptor::new(media_type::OCI_INDEX, claimed.clone(), 300);
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [entry.to_value()] });
    let body = index.to_string();
    let server = Hostile::start(move |_| {
        Reply::new(200)
            .header("content-type", media_type::OCI_INDEX)
            .body(body.clone())
    });
    let name: Reference = format!("{}/team/app:1", server.host()).parse().unwrap();
    let error = bench
        .client
        .graph(&name, &Platforms::All, false, &Silent)
        .unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    let wrong = bench.source().with_digest(claimed);
    let error = bench.copy(&wrong).unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
}
