//! The interpreter that packages are for, and where in the image they go.

use std::collections::BTreeMap;

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, PackageName};

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
