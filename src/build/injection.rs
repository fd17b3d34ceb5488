//! `--inject SRC[:DST]`: files of this machine for a step alone.

use std::path::PathBuf;

/// Files of this machine that a step sees among the image's, and that are in no layer.
///
/// # Spec
/// `s2i-compat.md` §2.13.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// A file or directory of this machine.
    pub source: PathBuf,
    /// Where in the image: absolute, or relative to the image's working directory; empty for that directory itself.
    pub destination: String,
}
