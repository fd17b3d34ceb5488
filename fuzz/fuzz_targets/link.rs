//! Any text as a `Link` header: where the next page of a list is, and never anything that is not in the header.
//! `cargo +nightly fuzz run link -- -max_len=4096`

#![no_main]

use libfuzzer_sys::fuzz_target;
use overcoat::registry::pages::next_target;

fuzz_target!(|header: &str| {
    if let Some(target) = next_target(header) {
        assert!(header.contains(&target));
        assert!(!target.contains('>'));
    }
});
