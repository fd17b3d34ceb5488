//! What Python a recipe makes, for the image's labels.

use super::definition::Definition;
use crate::debian::closure::Selected;
use crate::debian::packages::Package;
use crate::python::tags::Libc;
use crate::python::target::{Facts, parse_metadata_name};

/// What is known of the Python of an image: `python` is the interpreter's full version, `installed` are the names of the
/// `.dist-info` directories in the virtual environment. `None` when the recipe has no C library that we know, or when the
/// versions are of a form that we do not: an image without these labels is looked at like any other.
pub(super) fn of(
    definition: &Definition,
    python: &str,
    selection: &[Selected],
    installed: Vec<String>,
) -> Option<Facts> {
    // Debian calls glibc `libc6` on every architecture that recipes are for.
    let mut packages = selection.iter().map(|selected| &selected.package);
    let version = packages
        .find(|package| package.name() == "libc6")
        .map(Package::version)?;
    let upstream = version.as_str().rsplit(':').next().unwrap_or_default();
    let libc = format!("glibc {upstream}").parse::<Libc>().ok()?;
    let installed = installed.iter().map(|name| parse_metadata_name(name));
    Some(Facts {
        version: python.parse().ok()?,
        venv: definition.venv.path.text.clone(),
        libc,
        installed: installed.collect::<Option<_>>()?,
        owner: definition.venv.owner,
        // The environment's files are writable for its group, and so are those that `assemble` adds.
        umask: 0o002,
    })
}
