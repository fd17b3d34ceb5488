//! Which script comes from where.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{DockerfileRequest, Error};
use crate::builder_image::labels;
use crate::source::SourceTree;

/// The scripts that a context may bring.
pub const NAMES: [&str; 3] = ["assemble", "run", "save-artifacts"];
/// Where builder images keep their scripts when nobody says.
pub const DEFAULT_DIRECTORY: &str = "/usr/libexec/s2i";
/// Where applications keep theirs, best first; the second one is deprecated.
const DIRECTORIES_OF_APPLICATIONS: [&str; 2] = [".s2i/bin", ".sti/bin"];

/// The decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The scripts that are uploaded, with their files on this machine.
    pub uploaded: BTreeMap<&'static str, PathBuf>,
    /// Paths below the source's root of those that move out of it.
    pub moved: Vec<String>,
    /// Where the image has the others.
    pub image_directory: String,
    /// Whether the application brings scripts that an `image://` URL puts aside.
    pub ignores_the_applications: bool,
}

impl Chosen {
    /// The command of a script, with uploads below `destination`.
    pub fn path(&self, script: &str, destination: &str) -> String {
        match self.uploaded.contains_key(script) {
            true => format!("{destination}/scripts/{script}"),
            false => format!("{}/{script}", self.image_directory),
        }
    }
}

/// Decides for each script: `--scripts-url`, then the application's, then `--image-scripts-url`, then the image's own.
/// An `image://` URL of `--scripts-url` counts for all of them, and the application's are put aside.
///
/// # Errors
/// [`Error::NoScripts`] when `--scripts-url` is no `image://` URL and nothing was found there.
///
/// # Spec
/// `s2i-compat.md` §2.8, §2.21.
pub fn choose(request: &DockerfileRequest<'_>) -> Result<Chosen, Error> {
    let sources = &request.scripts;
    let url = sources.scripts_url.as_deref().unwrap_or_default();
    let brought = request.source.map(brought_by).unwrap_or_default();
    let image_directory = image_directory(request);
    if in_image(url).is_some() {
        return Ok(Chosen {
            image_directory,
            ignores_the_applications: !brought.is_empty(),
            ..Chosen::default()
        });
    }
    let is_known =
        |found: &BTreeMap<String, PathBuf>| NAMES.iter().any(|name| found.contains_key(*name));
    if !url.is_empty() && !is_known(&sources.from_scripts_url) {
        return Err(Error::NoScripts {
            url: without_credentials(url),
        });
    }
    let mut chosen = Chosen {
        image_directory,
        ..Chosen::default()
    };
    // A builder that says where its scripts are needs no other place for them.
    let last = match declared(&request.builder_labels) {
        None => sources.from_image_scripts_url.clone(),
        Some(_) => BTreeMap::new(),
    };
    for name in NAMES {
        let of_source = brought.get(name);
        if let Some(path) = sources.from_scripts_url.get(name) {
            chosen.uploaded.insert(name, path.clone());
        } else if let (Some(path), Some(source)) = (of_source, request.source) {
            chosen.uploaded.insert(name, source.root.join(path));
            chosen.moved.push(path.clone());
        } else if let Some(path) = last.get(name) {
            chosen.uploaded.insert(name, path.clone());
        }
    }
    Ok(chosen)
}

/// The scripts of an application, by name: their paths below its root.
fn brought_by(source: &SourceTree) -> BTreeMap<&'static str, String> {
    let find = |name: &'static str| {
        let paths = DIRECTORIES_OF_APPLICATIONS.map(|directory| format!("{directory}/{name}"));
        let path = paths.into_iter().find(|path| source.file(path).is_some())?;
        Some((name, path))
    };
    NAMES.into_iter().filter_map(find).collect()
}

/// Where the image has its scripts: `--scripts-url`, the builder's labels, `--image-scripts-url`, [`DEFAULT_DIRECTORY`]; of
/// both URLs only an `image://` one can say it.
fn image_directory(request: &DockerfileRequest<'_>) -> String {
    let sources = &request.scripts;
    let given = sources.scripts_url.as_deref().and_then(in_image);
    let last = sources.image_scripts_url.as_deref().and_then(in_image);
    let directory = given
        .or_else(|| declared(&request.builder_labels).and_then(in_image))
        .or(last)
        .unwrap_or(DEFAULT_DIRECTORY);
    let directory = directory.trim_end_matches('/');
    // Two slashes at the beginning are one.
    match directory.strip_prefix('/') {
        Some(rest) => format!("/{}", rest.trim_start_matches('/')),
        None => directory.to_owned(),
    }
}

/// What the builder's labels say of its scripts; the new spelling before the deprecated one.
fn declared(labels: &BTreeMap<String, String>) -> Option<&str> {
    [labels::SCRIPTS_URL, labels::SCRIPTS_URL_DEPRECATED]
        .into_iter()
        .filter_map(|name| labels.get(name))
        .find(|url| !url.is_empty())
        .map(String::as_str)
}

fn in_image(url: &str) -> Option<&str> {
    url.strip_prefix("image://").filter(|path| !path.is_empty())
}

/// A URL without user, password and query, for messages and labels.
pub(super) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    }
}
