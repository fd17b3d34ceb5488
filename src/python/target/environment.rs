//! What an image's configuration alone tells: the official `python` images say nearly everything by their environment and
//! their history, so that none of their layers is needed.

use std::collections::BTreeMap;

use pep508_rs::PackageName;
use serde_json::Value;

use super::{Basics, Detected, Error, Layout, Provenance, machine, unsupported};
use crate::image::ImageConfiguration;
use crate::layer::EntryPath;
use crate::python::tags::Libc;

/// glibc's version by Debian's release. An image of that release has it, or a later one of the same number.
const DEBIAN: [(&str, u32); 7] = [
    ("stretch", 24),
    ("buster", 28),
    ("bullseye", 31),
    ("bookworm", 36),
    ("trixie", 41),
    ("jammy", 35),
    ("noble", 39),
];

/// Refuses environments in which pip installs somewhere else than into the interpreter's own directory.
///
/// # Errors
/// [`Error::Unsupported`] with the variable.
pub(super) fn check(config: &ImageConfiguration) -> Result<(), Error> {
    for name in [
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_USER",
        "PYTHONHOME",
    ] {
        let value = config.environment_variable(name).unwrap_or_default();
        if !["", "0", "false", "no", "off"].contains(&&*value.to_ascii_lowercase()) {
            return unsupported(format!("its variable `{name}` has pip install elsewhere"));
        }
    }
    Ok(())
}

/// Knows an official `python` image that nothing was added to: by `PYTHON_VERSION`, and by its history, which ends with
/// `CMD ["python3"]` and begins with Debian's or Alpine's root file system.
///
/// # Spec
/// The Dockerfiles of <https://github.com/docker-library/python>.
pub(super) fn detect(config: &ImageConfiguration) -> Option<Detected> {
    let version = config.environment_variable("PYTHON_VERSION")?;
    let path = config.environment_variable("PATH")?;
    let has_digest = ["PYTHON_SHA256", "GPG_KEY"]
        .iter()
        .any(|name| config.environment_variable(name).is_some());
    if !path.starts_with("/usr/local/bin:")
        || version.split('.').count() != 3
        || !has_digest
        || !config.user().is_empty()
    {
        return None;
    }
    let steps = history(config)?;
    let last = steps.iter().rev().find(|step| !step.is_empty())?;
    let is_command = last.contains("CMD [\"python3\"]") || last.contains("CMD [\"python2\"]");
    let libc = steps
        .iter()
        .find_map(|step| libc(step))
        .filter(|_| is_command)?;
    let basics = Basics::new(
        version.parse().ok()?,
        false,
        libc,
        machine(&config.platform())?,
    )?;
    let program = basics.interpreter.program();
    let path = |text: String| EntryPath::parse(text.as_bytes()).ok();
    let layout = Layout {
        interpreter: "/usr/local/bin/python".to_owned(),
        site_packages: path(format!("/usr/local/lib/{program}/site-packages"))?,
        scripts: path("/usr/local/bin".to_owned())?,
        data: path("/usr/local".to_owned())?,
        headers: path(format!("/usr/local/include/{program}"))?,
        uid: 0,
        gid: 0,
        umask: 0o022,
    };
    let mut installed = BTreeMap::new();
    for (name, variable) in [
        ("pip", "PYTHON_PIP_VERSION"),
        ("setuptools", "PYTHON_SETUPTOOLS_VERSION"),
    ] {
        if let Some(version) = config
            .environment_variable(variable)
            .and_then(|text| text.parse().ok())
        {
            installed.insert(PackageName::new(name.to_owned()).ok()?, version);
        }
    }
    basics.detected(layout, installed, Provenance::Environment, false)
}

/// The steps of the image's history, base first; `None` when it does not tell of every layer.
fn history(config: &ImageConfiguration) -> Option<Vec<String>> {
    let entries = config.value().get("history")?.as_array()?;
    let is_empty = |entry: &&Value| {
        entry
            .get("empty_layer")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    };
    let layers = entries.iter().filter(|entry| !is_empty(entry)).count();
    let text = |entry: &Value| {
        entry
            .get("created_by")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    (layers == config.diff_ids().len()).then(|| entries.iter().map(text).collect())
}

/// The C library of the root file system that a step adds.
fn libc(step: &str) -> Option<Libc> {
    if let Some((_, rest)) = step.split_once("alpine-minirootfs-") {
        let (major, minor) = crate::python::tags::version_pair(rest)?;
        // musl 1.2 since Alpine 3.13 (January 2021).
        return if (major, minor) >= (3, 13) {
            Libc::musl(1, 2)
        } else {
            Libc::musl(1, 1)
        };
    }
    // `# debian.sh --arch 'amd64' out/ 'bookworm' '@1740355200'`
    let is_rootfs = step.contains("debian.sh");
    let known = DEBIAN
        .iter()
        .find(|(name, _)| is_rootfs && step.contains(&format!("'{name}'")));
    known.and_then(|(_, minor)| Libc::glibc(2, *minor))
}
