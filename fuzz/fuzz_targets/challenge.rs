//! Any text as a `WWW-Authenticate` header: as many challenges as can be understood, and never more than the limits.
//! `cargo +nightly fuzz run challenge -- -max_len=4096`

#![no_main]

use libfuzzer_sys::fuzz_target;
use overcoat::registry::challenge::parse;

fuzz_target!(|header: &str| {
    let challenges = parse(header);
    assert!(challenges.len() <= 32);
    for challenge in challenges {
        assert!(challenge.parameters.len() <= 32);
        assert!(!challenge.scheme.is_empty());
    }
});
