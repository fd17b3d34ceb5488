//! Any text as an image reference: refused, or printed so that it parses to the same.
//! `cargo +nightly fuzz run reference -- -max_len=512`

#![no_main]

use libfuzzer_sys::fuzz_target;
use overcoat::reference::{Reference, registry_host};

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let printed = reference.to_string();
        let again: Reference = printed.parse().expect("what is printed can be read");
        assert_eq!(again, reference, "{printed}");
        assert!(reference.host().len() + 1 + reference.repository().len() <= 255);
    }
    let _ = registry_host(text);
});
