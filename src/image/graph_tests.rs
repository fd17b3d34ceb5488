use serde_json::{Value, json};

use super::*;

/// Documents in memory.
#[derive(Default)]
struct Shelf {
    documents: BTreeMap<Digest, Document>,
    referrers: BTreeMap<Digest, Vec<Referrer>>,
    reads: usize,
}

impl Documents for Shelf {
    type Error = Error;

    fn read(&mut self, descriptor: &Descriptor) -> Result<Document, Error> {
        self.reads += 1;
        Ok(self.documents[&descriptor.digest].clone())
    }

    fn referrers(&mut self, subject: &Digest) -> Result<Vec<Referrer>, Error> {
        Ok(self.referrers.get(subject).cloned().unwrap_or_default())
    }

    fn refuse(&self, error: Error) -> Error {
        error
    }
}

impl Shelf {
    fn put(&mut self, media_type: &str, value: &Value) -> Document {
        let bytes = value.to_string().into_bytes();
        let document = Document {
            descriptor: Descriptor::of(media_type, &bytes),
            bytes,
        };
        let digest = document.descriptor.digest.clone();
        self.documents.insert(digest, document.clone());
        document
    }

    fn image(&mut self, text: &str, subject: Option<&Document>) -> Document {
        let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
        let layer = Descriptor::of(media_type::OCI_LAYER, text.as_bytes());
        let mut value = json!({
            "schemaVersion": 2, "config": config.to_value(), "layers": [layer.to_value()],
        });
        if let Some(subject) = subject {
            value["subject"] = subject.descriptor.to_value();
        }
        self.put(media_type::OCI_MANIFEST, &value)
    }

    fn index(&mut self, of: &[&Descriptor]) -> Document {
        let entries: Vec<Value> = of.iter().map(|entry| entry.to_value()).collect();
        let value = json!({ "schemaVersion": 2, "manifests": entries });
        self.put(media_type::OCI_INDEX, &value)
    }

    fn refer(&mut self, subject: &Document, referrer: &Document) {
        let digest = subject.descriptor.digest.clone();
        let entry = Referrer::of(referrer).unwrap();
        self.referrers.entry(digest).or_default().push(entry);
    }
}

#[test]
fn what_is_listed_comes_before_what_lists_it_and_everything_once() {
    let mut shelf = Shelf::default();
    let (a, b) = (shelf.image("a", None), shelf.image("b", None));
    let inner = shelf.index(&[&a.descriptor, &b.descriptor]);
    let blob = Descriptor::of("application/x.blob", b"listed blob");
    let outer = shelf.index(&[&inner.descriptor, &a.descriptor, &blob]);
    let graph = Graph::collect(outer.clone(), &Platforms::All, false, &mut shelf).unwrap();
    assert_eq!(graph.tree.documents(), [a, b, inner, outer.clone()]);
    assert_eq!(*graph.tree.root(), outer);
    // One configuration, two layers, and what the index lists.
    assert_eq!(graph.tree.blobs().len(), 4);
    assert_eq!(shelf.reads, 3);
}

#[test]
fn one_platform_is_found_through_indexes_and_none_is_an_error() {
    let mut shelf = Shelf::default();
    let (a, b) = (shelf.image("a", None), shelf.image("b", None));
    let on = |document: &Document, platform: &str| Descriptor {
        platform: Some(platform.parse().unwrap()),
        ..document.descriptor.clone()
    };
    let index = shelf.index(&[&on(&a, "linux/amd64"), &on(&b, "linux/arm64")]);
    let mut collect = |platform: &str| {
        let platforms = Platforms::One(platform.parse().unwrap());
        Graph::collect(index.clone(), &platforms, false, &mut shelf)
    };
    let graph = collect("linux/arm64").unwrap();
    assert_eq!(graph.tree.documents(), [b]);
    assert_eq!(graph.chosen_from, Some(index.descriptor.clone()));
    let error = collect("linux/s390x").unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
}

#[test]
fn referrers_are_followed_to_referrers_and_circles_end() {
    let mut shelf = Shelf::default();
    let image = shelf.image("image", None);
    let bill = shelf.image("bill", Some(&image));
    let signature = shelf.image("signature", Some(&bill));
    shelf.refer(&image, &bill);
    shelf.refer(&bill, &signature);
    // Lists are only what somebody says: these lie.
    shelf.refer(&signature, &image);
    shelf.refer(&bill, &bill);
    let graph = Graph::collect(image.clone(), &Platforms::All, true, &mut shelf).unwrap();
    let found = graph.referrers.iter();
    let found: Vec<_> = found
        .map(|attached| (&attached.subject, attached.tree.root()))
        .collect();
    let (image, bill_digest) = (&image.descriptor.digest, &bill.descriptor.digest);
    assert_eq!(found, [(image, &bill), (bill_digest, &signature)]);
}

#[test]
fn entries_that_lie_depth_without_end_and_too_much_are_refused() {
    let mut shelf = Shelf::default();
    let a = shelf.image("a", None);
    let liars = [
        Descriptor {
            size: 7,
            ..a.descriptor.clone()
        },
        Descriptor {
            media_type: media_type::DOCKER_MANIFEST.to_owned(),
            ..a.descriptor.clone()
        },
    ];
    for liar in liars {
        let index = shelf.index(&[&liar]);
        let error = Graph::collect(index, &Platforms::All, false, &mut shelf).unwrap_err();
        assert!(matches!(error, Error::Entry { .. }), "{error}");
    }
    let mut index = shelf.index(&[&a.descriptor]);
    for _ in 0..MAX_NESTING {
        index = shelf.index(&[&index.descriptor]);
    }
    let error = Graph::collect(index.clone(), &Platforms::All, false, &mut shelf).unwrap_err();
    assert!(matches!(error, Error::Extent { .. }), "{error}");
    let one = Platforms::One(Platform::host());
    let error = Graph::collect(index, &one, false, &mut shelf).unwrap_err();
    assert!(
        matches!(error, Error::NoPlatform { .. } | Error::Extent { .. }),
        "{error}"
    );

    let images: Vec<Document> = (0..=MAX_DOCUMENTS)
        .map(|number| shelf.image(&number.to_string(), None))
        .collect();
    let entries: Vec<&Descriptor> = images.iter().map(|image| &image.descriptor).collect();
    let index = shelf.index(&entries);
    let error = Graph::collect(index, &Platforms::All, false, &mut shelf).unwrap_err();
    assert!(error.to_string().contains("more than 4096"), "{error}");
    let padded = json!({
        "schemaVersion": 2, "manifests": [], "annotations": { "pad": "x".repeat(MAX_BYTES) },
    });
    let index = shelf.put(media_type::OCI_INDEX, &padded);
    let error = Graph::collect(index, &Platforms::All, false, &mut shelf).unwrap_err();
    assert!(error.to_string().contains("24 MiB"), "{error}");
    let other = shelf.put("application/json", &json!({}));
    let error = Graph::collect(other, &Platforms::All, false, &mut shelf).unwrap_err();
    assert!(matches!(error, Error::MediaType { .. }), "{error}");
}

#[test]
fn a_list_of_referrers_keeps_what_it_has_and_gets_nothing_twice() {
    let mut shelf = Shelf::default();
    let image = shelf.image("image", None);
    let entry = |document: &Document| Referrer::of(document).unwrap();
    let first = entry(&shelf.image("first", Some(&image)));
    let second = entry(&shelf.image("second", Some(&image)));
    assert_eq!(first.artifact_type.as_deref(), Some(media_type::OCI_CONFIG));
    let new = Referrer::add_to(None, std::slice::from_ref(&first)).unwrap();
    let mut value: Value = serde_json::from_slice(&new.unwrap()).unwrap();
    value["x-kept"] = json!(1);
    value["manifests"][0]["x-kept"] = json!(2);
    let existing = value.to_string();
    let both = [first.clone(), second.clone(), second.clone()];
    let updated = Referrer::add_to(Some(existing.as_bytes()), &both).unwrap();
    let updated = updated.unwrap();
    let list = Referrer::list(&updated).unwrap();
    assert_eq!(list, both[..2]);
    let value: Value = serde_json::from_slice(&updated).unwrap();
    assert_eq!(
        (&value["x-kept"], &value["manifests"][0]["x-kept"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(Referrer::add_to(Some(&updated), &both).unwrap(), None);
    assert!(Referrer::add_to(Some(b"{}"), &both).is_err());
    let shorter = Referrer::remove_from(&updated, &both[0].descriptor.digest).unwrap();
    assert_eq!(Referrer::list(&shorter).unwrap(), both[1..2]);
    assert!(String::from_utf8(shorter).unwrap().contains("x-kept"));
}

#[test]
fn the_tag_of_a_subject_is_the_specifications() {
    let sha256 = Digest::of(b"");
    assert_eq!(
        referrers_tag(&sha256),
        "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let sha512: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
    assert_eq!(
        referrers_tag(&sha512),
        format!("sha512-{}", "ab".repeat(32))
    );
    for (name, expected) in [
        (referrers_tag(&sha512), true),
        (referrers_tag(&sha256), true),
        (format!("{}.sig", referrers_tag(&sha256)), false),
        ("sha256-abc".to_owned(), false),
        ("1.0-alpine".to_owned(), false),
    ] {
        assert_eq!(is_referrers_tag(&name), expected, "{name}");
    }
}
