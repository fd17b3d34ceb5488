//! The interpreter that packages are for, and where in the image they go.
//!
//! [`detect`] finds it out without executing anything: from the labels of overcoat's own builders, from the environment and
//! the history of the official `python` images, else from the files of the image.

mod elf;
mod environment;
mod files;
mod inspect;
mod installed;
pub mod labels;
mod libc;
mod markers;
mod owner;
pub mod probe;

pub use files::{FileStatus, Files, LayerFiles, Sort};
pub use installed::parse as parse_metadata_name;
pub use labels::Facts;
pub use markers::{machine, marker_environment};

use std::collections::BTreeMap;

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, PackageName};

use super::tags::{Interpreter, Libc, tags};
use crate::image::ImageConfiguration;
use crate::layer::EntryPath;

/// What is known of a builder image's Python without executing it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The interpreter's version, as `3.11.2`.
    pub version: Version,
    /// The values of environment markers.
    pub markers: MarkerEnvironment,
    /// The tags of the wheels that it can use, best first, as `cp311-cp311-manylinux_2_36_x86_64`.
    pub tags: Vec<String>,
    /// Where things go.
    pub layout: Layout,
    /// Packages that the builder image has installed in the same place.
    pub installed: BTreeMap<PackageName, Version>,
}

/// Where the parts of a wheel go, and whose they are.
///
/// # Spec
/// packaging.python.org, *Binary distribution format*, "Installing a wheel"; Python's `sysconfig` paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The interpreter as scripts name it in their first line, as `/opt/app-root/bin/python3`: absolute.
    pub interpreter: String,
    /// `purelib`, which is also `platlib` wherever overcoat installs.
    pub site_packages: EntryPath,
    /// `scripts`.
    pub scripts: EntryPath,
    /// `data`: the environment's root.
    pub data: EntryPath,
    /// `headers`, to which the distribution's name is added.
    pub headers: EntryPath,
    /// The owner of what is installed.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Permission bits that are left out, as `0o002`.
    pub umask: u32,
}

impl Layout {
    /// The interpreter's version as `3.11`, by the directory that holds `site_packages`; `None` where that has none, as
    /// in Debian's `/usr/lib/python3/dist-packages`.
    pub fn python_minor(&self) -> Option<String> {
        let parent = self.site_packages.parent()?;
        let name = std::str::from_utf8(parent.file_name()).ok()?;
        let version = name.strip_prefix("python")?;
        let (major, minor) = version.split_once('.')?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(major) && is_number(minor)).then(|| version.to_owned())
    }
}

/// Where the knowledge of a target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// The labels that overcoat writes to its own builders.
    Labels,
    /// The environment and the history of an official `python` image.
    Environment,
    /// The files of the image.
    Files,
    /// The interpreter itself.
    Probe,
}

/// A target, and how it was found out.
#[derive(Clone, Debug)]
pub struct Detected {
    /// The target.
    pub target: Target,
    /// Where the knowledge comes from.
    pub provenance: Provenance,
    /// The C library.
    pub libc: Libc,
    /// The architecture as the kernel calls it, as `x86_64`.
    pub architecture: String,
    /// False when [`Target::installed`] may lack packages: the official images say only some of theirs. Then a package
    /// that is not in it may nevertheless be there, and only the files know.
    pub is_installed_complete: bool,
}

/// Why a target cannot be found out without executing something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something was not found. Running the interpreter may still tell.
    #[error("{what} cannot be found out from the builder image: {reason}")]
    Missing {
        /// What is missing, as `the version of the interpreter`.
        what: &'static str,
        /// Where it was looked for.
        reason: String,
    },
    /// Packages cannot be put where pip would put them; running something will not change that.
    #[error("packages for the builder image cannot be written as layers: {reason}")]
    Unsupported {
        /// Why not.
        reason: String,
    },
    /// The files of the image cannot be read.
    #[error(transparent)]
    Layer(#[from] crate::layer::Error),
}

impl Error {
    /// True when one probe in the sandbox may tell what could not be found.
    pub fn is_for_probe(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

fn missing<T>(what: &'static str, reason: impl Into<String>) -> Result<T, Error> {
    let reason = reason.into();
    Err(Error::Missing { what, reason })
}

fn unsupported<T>(reason: impl Into<String>) -> Result<T, Error> {
    let reason = reason.into();
    Err(Error::Unsupported { reason })
}

/// Finds out the target of a builder image: from labels, from the environment, else from the files. `files` is called only
/// when it comes to that, for it may have to fetch and unpack every layer.
///
/// # Errors
/// [`Error::Missing`] for what could not be found, [`Error::Unsupported`] when packages cannot be written as pip would
/// install them, [`Error::Layer`], and what `files` gives.
pub fn detect<'a, E: From<Error>>(
    config: &ImageConfiguration,
    files: impl FnOnce() -> Result<Box<dyn Files + 'a>, E>,
) -> Result<Detected, E> {
    environment::check(config)?;
    if let Some(detected) = labels::detect(config).or_else(|| environment::detect(config)) {
        return Ok(detected);
    }
    let files = files()?;
    Ok(inspect::detect(config, &*files)?)
}

/// As [`detect`], from the files alone: what they say is complete.
///
/// # Errors
/// As [`detect`].
pub fn detect_in_files(config: &ImageConfiguration, files: &dyn Files) -> Result<Detected, Error> {
    environment::check(config)?;
    inspect::detect(config, files)
}

/// What tags and markers are made of.
#[derive(Clone, Debug)]
struct Basics {
    version: Version,
    interpreter: Interpreter,
    libc: Libc,
    architecture: String,
}

impl Basics {
    /// `None` for a version without two numbers, with ones that no CPython has, and for a pre-release: `pep508_rs` takes
    /// `python_version == '3.14'` for a range of final releases, so that it does not hold for 3.14.0rc1.
    fn new(
        version: Version,
        is_free_threaded: bool,
        libc: Libc,
        architecture: &str,
    ) -> Option<Self> {
        let number = |index: usize| u32::try_from(*version.release().get(index)?).ok();
        let (major, minor) = (number(0)?, number(1)?);
        if major != 3 || minor > 99 || version.any_prerelease() {
            return None;
        }
        Some(Self {
            version,
            interpreter: Interpreter {
                major,
                minor,
                is_free_threaded,
            },
            libc,
            architecture: architecture.to_owned(),
        })
    }

    fn detected(
        self,
        layout: Layout,
        installed: BTreeMap<PackageName, Version>,
        provenance: Provenance,
        is_installed_complete: bool,
    ) -> Option<Detected> {
        Some(Detected {
            target: Target {
                markers: marker_environment(&self.version, &self.architecture)?,
                tags: tags(&self.interpreter, self.libc, &self.architecture),
                version: self.version,
                layout,
                installed,
            },
            provenance,
            libc: self.libc,
            architecture: self.architecture,
            is_installed_complete,
        })
    }
}

#[cfg(test)]
mod tests;
