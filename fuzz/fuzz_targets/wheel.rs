//! Any bytes as a wheel: refused, or installed into a layer.
//! `cargo +nightly fuzz run wheel -- -max_len=8192`, with small wheels in `fuzz/corpus/wheel`.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use overcoat::layer::EntryPath;
use overcoat::layer::zip::Limits;
use overcoat::python::wheel::{Installation, Site, Wheel, write_layer};
use overcoat::python::{Layout, WheelName};

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).expect("a path")
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        unpacked_bytes: 16 << 20,
        small_bytes: 1 << 20,
        ..Limits::default()
    };
    let name: WheelName = "zork-1.0-py3-none-any.whl".parse().expect("a name");
    let Ok(wheel) = Wheel::open_limited(bytes, name, &limits) else {
        return;
    };
    let layout = Layout {
        interpreter: "/opt/app/bin/python3".to_owned(),
        site_packages: path("opt/app/lib/python3.11/site-packages"),
        scripts: path("opt/app/bin"),
        data: path("opt/app"),
        headers: path("opt/app/include/site/python3.11"),
        uid: 1001,
        gid: 0,
        umask: 0o002,
    };
    let site = Site {
        layout: &layout,
        existing: &BTreeSet::new(),
        epoch: 315_532_800,
    };
    let _ = write_layer(&[Installation::new(wheel, true)], &site, Vec::new(), 1);
});
