//! Any bytes as a document of a registry: a manifest, an index, a configuration, and as something whose links are followed.
//! `cargo +nightly fuzz run document`

#![no_main]

use libfuzzer_sys::fuzz_target;
use overcoat::image::graph::{Links, Referrer};
use overcoat::image::{ImageConfiguration, Index, Manifest, Platform, media_type};

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(bytes);
    let _ = ImageConfiguration::parse(bytes).map(|config| config.platform());
    if let Ok(index) = Index::parse(bytes) {
        let _ = index.choose(&Platform::host());
    }
    let _ = Referrer::list(bytes);
    for media_type in [media_type::OCI_MANIFEST, media_type::OCI_INDEX] {
        let _ = Links::parse(media_type, bytes);
    }
});
