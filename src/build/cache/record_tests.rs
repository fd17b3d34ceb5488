use std::io::Write;

use super::*;
use crate::image::media_type;

fn store() -> (tempfile::TempDir, BlobStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = BlobStore::open(&directory.path().join("store")).unwrap();
    (directory, store)
}

fn made(store: &BlobStore, content: &[u8]) -> NewLayer {
    let mut blob = store.begin_blob().unwrap();
    blob.write_all(content).unwrap();
    let (digest, size) = blob.finish().unwrap();
    let mut descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, digest.clone(), size);
    descriptor.annotations.insert("a".into(), "b".into());
    NewLayer {
        descriptor,
        diff_id: DiffId(digest),
        created_by: "a test".into(),
    }
}

fn key(name: &str) -> Key {
    Inputs::new(name).key()
}

#[test]
fn what_was_kept_is_found_as_long_as_its_blobs_are_here() {
    let (_directory, store) = store();
    let records = Records::new(&store);
    let record = Record {
        layers: vec![made(&store, b"one"), made(&store, b"two")],
        made: 17,
    };
    assert_eq!(records.find(&key("x")), None);
    records.keep("x", &key("x"), &record).unwrap();
    assert_eq!(records.find(&key("x")), Some(record.clone()));
    assert_eq!(records.find(&key("y")), None);
    std::fs::remove_file(store.blob_path(&record.layers[1].descriptor.digest)).unwrap();
    assert_eq!(records.find(&key("x")), None);
}

#[test]
fn records_that_are_damaged_foreign_or_of_another_version_are_none() {
    let (_directory, store) = store();
    let records = Records::new(&store);
    let record = Record {
        layers: vec![made(&store, b"one")],
        made: 17,
    };
    records.keep("x", &key("x"), &record).unwrap();
    let path = records.step_path(&key("x"));
    let good = std::fs::read_to_string(&path).unwrap();
    // A record under the name of another key.
    std::fs::write(records.step_path(&key("y")), &good).unwrap();
    assert_eq!(records.find(&key("y")), None);
    let rows = [
        good.replace("\"version\":1", "\"version\":2"),
        good.replace("sha256:", "sha255:"),
        good.replace("\"size\":3", "\"size\":4"),
        good[..good.len() / 2].to_owned(),
        String::new(),
        "[]".to_owned(),
    ];
    for damaged in rows {
        assert_ne!(damaged, good);
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(records.find(&key("x")), None, "{damaged}");
    }
}

#[test]
fn the_last_inputs_of_a_slot_come_back() {
    let (_directory, store) = store();
    let records = Records::new(&store);
    let slot = slot(&["/src", "name"]);
    assert_ne!(slot, super::slot(&["/sr", "cname"]));
    let mut inputs = Inputs::new("x");
    inputs.add("file `a`", "1");
    assert!(records.last(&slot).is_empty());
    records
        .keep_last(&slot, std::slice::from_ref(&inputs))
        .unwrap();
    assert_eq!(records.last(&slot), [inputs]);
    assert!(records.last("other").is_empty());
}
