//! Unit tests that need what this machine lacks say so by name, as those in `tests/it` do (`tests/compare-skips`).

use std::path::PathBuf;

/// Reports that the test `name` was not run, because of `why`.
pub(crate) fn skip(name: &str, why: &str) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target =
        target.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")));
    let directory = target.join("tmp/skipped");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), format!("{why}\n")).unwrap();
}
