//! Any text as what a package says that it requires: a requirement, a set of versions, a whole `METADATA`.
//! `cargo +nightly fuzz run requirement -- -max_len=4096`

#![no_main]

use libfuzzer_sys::fuzz_target;
use overcoat::python::index::{Metadata, requirement, specifiers};

fuzz_target!(|text: &str| {
    let _ = requirement(text);
    let _ = specifiers(text);
    let _ = Metadata::parse(text.as_bytes());
});
