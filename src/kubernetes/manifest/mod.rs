//! Manifests: which workloads and containers they have, and the image of one container changed, byte by byte.
//!
//! [`workloads`] lists what a text has. To change an image: [`Manifest::read`] the files, [`find`] the one container,
//! [`edit`] it, and [`apply_all`] the edits, all or none. Only the bytes of the image go; comments, quotes, line ends,
//! the mark at the beginning, permissions and links stay. What cannot be changed so is refused with its line.
//!
//! # Spec
//! `reference/path-to-production.md` 3.3.

mod apply;
mod change;
mod error;
mod files;
mod find;
mod marker;
mod text;
mod workload;

#[cfg(test)]
mod apply_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod large_tests;
#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;

pub use apply::apply_all;
pub use change::{Edited, edit, edit_all};
pub use error::Error;
pub use files::files;
pub use find::{Found, Wanted, find};
pub(super) use marker::behind as marker_behind;
pub use marker::{Field, Marker};
pub use text::Manifest;
pub use workload::{Container, PullPolicy, Workload, WorkloadName};

/// The workloads of a text of manifests (YAML of any number of documents, or JSON), in its order, also those in lists.
///
/// What is no workload (services, secrets) is left out.
///
/// # Errors
/// [`Error`] for what is no YAML, for templates of Helm, and for keys that are there twice; `path` is named in it.
pub fn workloads(path: &std::path::Path, text: &str) -> Result<Vec<Workload>, Error> {
    let manifest = Manifest::new(path, text.to_owned())?;
    Ok(manifest.workloads())
}
