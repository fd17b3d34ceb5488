//! The labels by which overcoat's own builders say what their Python is, so that nobody need look at their files.

use std::collections::BTreeMap;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::{Basics, Detected, Layout, Provenance, machine};
use crate::digest::{DiffId, chain_ids};
use crate::image::ImageConfiguration;
use crate::layer::EntryPath;
use crate::python::tags::Libc;

/// The chain id of the layers for which the other labels hold. An image that was built on top inherits the labels, and
/// may have other packages: there they are not believed.
pub const CHAIN_ID: &str = "io.overcoat.python.chain-id";
/// The full version of the interpreter, as `3.11.2`. It is CPython.
pub const VERSION: &str = "io.overcoat.python.version";
/// The interpreter as scripts name it, as `/opt/app-root/bin/python`.
pub const INTERPRETER: &str = "io.overcoat.python.interpreter";
/// The root of the virtual environment, as `/opt/app-root`.
pub const VENV: &str = "io.overcoat.python.venv";
/// Where packages go, as `/opt/app-root/lib/python3.11/site-packages`.
pub const SITE_PACKAGES: &str = "io.overcoat.python.site-packages";
/// The C library, as `glibc 2.36`.
pub const LIBC: &str = "io.overcoat.python.libc";
/// The distributions in the virtual environment, as `pip==23.0.1 setuptools==66.1.1`, sorted.
pub const INSTALLED: &str = "io.overcoat.python.installed";
/// Owner, group and umask of what is installed, as `1001:0 0002`.
pub const OWNER: &str = "io.overcoat.python.owner";

/// What the labels say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The interpreter's version.
    pub version: Version,
    /// The root of its virtual environment, absolute.
    pub venv: String,
    /// The C library.
    pub libc: Libc,
    /// The distributions in it.
    pub installed: BTreeMap<PackageName, Version>,
    /// Whose the environment is.
    pub owner: (u32, u32),
    /// Permission bits that are left out of what is installed.
    pub umask: u32,
}

impl Facts {
    /// The labels for an image with these layers, base first.
    pub fn labels(&self, layers: &[DiffId]) -> BTreeMap<String, String> {
        let chain_id = chain_ids(layers).pop();
        let [major, minor, ..] = *self.version.release() else {
            return BTreeMap::new();
        };
        let venv = &self.venv;
        let installed: Vec<String> = (self.installed.iter())
            .map(|(name, version)| format!("{name}=={version}"))
            .collect();
        let (uid, gid) = self.owner;
        let labels = [
            (
                CHAIN_ID,
                chain_id.map(|id| id.to_string()).unwrap_or_default(),
            ),
            (VERSION, self.version.to_string()),
            // What `python -m pip`, which is how `assemble` calls it, writes into scripts.
            (INTERPRETER, format!("{venv}/bin/python")),
            (VENV, venv.clone()),
            (
                SITE_PACKAGES,
                format!("{venv}/lib/python{major}.{minor}/site-packages"),
            ),
            (LIBC, self.libc.to_string()),
            (INSTALLED, installed.join(" ")),
            (OWNER, format!("{uid}:{gid} {:04o}", self.umask)),
        ];
        labels.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// Reads the labels; `None` when one is missing or makes no sense, or when they are not this image's own.
pub(super) fn detect(config: &ImageConfiguration) -> Option<Detected> {
    let labels = config.labels();
    let label = |name: &str| labels.get(name).map(String::as_str);
    let chain_id = chain_ids(config.diff_ids()).pop()?;
    if label(CHAIN_ID)? != chain_id.to_string() {
        return None;
    }
    let path = |name: &str| {
        let text = label(name)?;
        text.starts_with('/')
            .then(|| EntryPath::parse(text.as_bytes()).ok())?
    };
    let venv = path(VENV)?;
    let basics = Basics::new(
        label(VERSION)?.parse().ok()?,
        false,
        label(LIBC)?.parse().ok()?,
        machine(&config.platform())?,
    )?;
    let (owner, umask) = label(OWNER)?.split_once(' ')?;
    let (uid, gid) = owner.split_once(':')?;
    let layout = Layout {
        interpreter: path(INTERPRETER)?.to_string(),
        site_packages: path(SITE_PACKAGES)?,
        scripts: venv.join(b"bin").ok()?,
        headers: venv
            .join(format!("include/site/{}", basics.interpreter.program()).as_bytes())
            .ok()?,
        data: venv,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        umask: u32::from_str_radix(umask, 8)
            .ok()
            .filter(|umask| *umask <= 0o777)?,
    };
    let pair = |text: &str| {
        let (name, version) = text.split_once("==")?;
        Some((
            PackageName::new(name.to_owned()).ok()?,
            version.parse().ok()?,
        ))
    };
    let installed = label(INSTALLED)?
        .split_whitespace()
        .map(pair)
        .collect::<Option<_>>()?;
    basics.detected(layout, installed, Provenance::Labels, true)
}
