//! Any bytes: an image archive is read or refused, and what is read is whole and right.
//! `cargo +nightly fuzz run archive -- -max_len=16384`

#![no_main]

use libfuzzer_sys::fuzz_target;
use overcoat::event::Silent;
use overcoat::image::Platform;
use overcoat::output::archive::{self, Format};
use overcoat::store::BlobStore;

fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("archive");
    std::fs::write(&file, bytes).expect("a file");
    let store = BlobStore::open(&directory.path().join("store")).expect("a store");
    for format in [Format::Both, Format::Oci, Format::Docker] {
        let read = archive::read(&file, format, None, &Platform::host(), &store, &Silent);
        let Ok(image) = read else { continue };
        for (layer, _) in image.layers() {
            let mut blob = store.open_blob(layer).expect("a layer that was read is here");
            std::io::copy(&mut blob, &mut std::io::sink()).expect("and is the right one");
        }
    }
});
