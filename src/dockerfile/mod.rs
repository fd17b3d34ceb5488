//! `--as-dockerfile` and `generate`: a Dockerfile, and the directory it is built in, instead of an image.
//!
//! ```text
//! DockerfileRequest ─▶ scripts::choose ─▶ text::render ──▶ Dockerfile
//!                                     └─▶ context::write ─▶ upload/src, upload/scripts, upload/injections
//! ```
//!
//! `text` is pure. Nothing is written before all of it is known to be sayable in a Dockerfile; what is written appears
//! whole or not at all. No engine, registry or builder image is needed.
//!
//! # Spec
//! `s2i-compat.md` §2.21; what differs is told in `docs/dockerfile.md`.

mod context;
pub mod scripts;
#[cfg(test)]
mod strict_parser;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::source::SourceTree;

/// Who runs `assemble` when nobody says: the convention of S2I builder images.
pub const DEFAULT_USER: &str = "1001";
/// Where the upload goes in the image when nobody says.
pub const DEFAULT_DESTINATION: &str = "/tmp";
/// What relative injections are below when the builder's working directory is not known.
pub const DEFAULT_WORKING_DIRECTORY: &str = "/opt/app-root/src";
/// The name of the file when only a directory is given.
const FILE_NAME: &str = "Dockerfile";

/// What a Dockerfile is to say.
#[derive(Clone, Debug, Default)]
pub struct DockerfileRequest<'a> {
    /// The builder image, as `FROM` names it; a leading `docker://` is left out there.
    pub builder: String,
    /// The builder image's labels, as far as they are known: they may say where its scripts are.
    pub builder_labels: BTreeMap<String, String>,
    /// The builder image's user, if it is known: the application runs as it again after `assemble` ran as another.
    pub builder_user: Option<String>,
    /// The builder image's working directory, if it is known: what relative injections are below.
    pub working_directory: Option<String>,
    /// The application; `None` for `generate`, which leaves `upload/src` empty to be filled.
    pub source: Option<&'a SourceTree>,
    /// Which scripts there are beside the image's and the application's.
    pub scripts: ScriptSources,
    /// `--destination`: an absolute directory.
    pub destination: Option<String>,
    /// `--assemble-user`; [`DEFAULT_USER`] when it is not given.
    pub assemble_user: Option<String>,
    /// Variables, weakest first: of `.s2i/environment`, `-e` and `-E`.
    pub environment: Vec<(String, String)>,
    /// Labels beside those of the scripts' URL and the destination, which they are stronger than.
    pub labels: BTreeMap<String, String>,
    /// `--inject`.
    pub injections: Vec<Injection>,
    /// `--incremental`: the image whose `save-artifacts` runs first.
    pub incremental: Option<String>,
}

/// Scripts from URLs. Whoever asks has fetched them: by the name of the script, the file on this machine.
#[derive(Clone, Debug, Default)]
pub struct ScriptSources {
    /// `--scripts-url`.
    pub scripts_url: Option<String>,
    /// What was found there, unless it is an `image://` URL.
    pub from_scripts_url: BTreeMap<String, PathBuf>,
    /// `--image-scripts-url`.
    pub image_scripts_url: Option<String>,
    /// What was found there, unless it is an `image://` URL.
    pub from_image_scripts_url: BTreeMap<String, PathBuf>,
}

/// Files that `assemble` sees and the image's own file system does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// A file or directory of this machine, absolute.
    pub source: PathBuf,
    /// Where it goes; relative to the working directory unless it begins with `/`, and that directory when it is empty.
    pub destination: String,
    /// Whether the files stay after `assemble`.
    pub is_kept: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// The directory to build in: the one that holds it.
    pub context: PathBuf,
    /// What a person should know before building.
    pub warnings: Vec<String>,
}

/// Why there is no Dockerfile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that no Dockerfile can hold.
    #[error("{what} `{name}` cannot be written in a Dockerfile: {reason}")]
    Unsayable {
        /// `the variable`, `the label`, `the builder image` …
        what: &'static str,
        /// Which one. Never a variable's value, which may be a secret.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The scripts URL has no script.
    #[error("none of the scripts {names} was found at `{url}`", names = scripts::NAMES.map(|name| format!("`{name}`")).join(", "))]
    NoScripts {
        /// The URL, without credentials.
        url: String,
    },
    /// The source has an entry that would be written elsewhere.
    #[error("`{path}` of the source would not be written below the build context")]
    Unsafe {
        /// The entry.
        path: String,
    },
    /// The place of the upload is taken.
    #[error("`{}` is there and was not written by overcoat, which would have to replace it", path.display())]
    Occupied {
        /// The directory `upload`.
        path: PathBuf,
    },
    /// An injection that cannot be copied.
    #[error("cannot inject `{}`: {reason}", source_path.display())]
    Injection {
        /// Its path on this machine.
        source_path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unsayable { .. } => {
                "change or leave out this value, or build the image with `overcoat build`, which has no such limit"
            }
            Self::NoScripts { .. } => {
                "give the directory that holds `assemble` and `run`, without a script's name at its end"
            }
            Self::Occupied { .. } => {
                "give a file in another directory, such as `--as-dockerfile context/`, or remove that directory"
            }
            Self::Injection { .. } => {
                "injections are `SOURCE:DESTINATION` with a file or directory of this machine"
            }
            Self::Unsafe { .. } | Self::File(_) => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// Writes the Dockerfile `out` and beside it the directory `upload` with everything that it copies.
///
/// A path that ends in `/`, or is a directory, gets the file name `Dockerfile`. Directories that do not exist are made. An
/// `upload` of an earlier run is replaced; another one is never touched, and neither is any other file.
///
/// # Errors
/// [`Error`]; nothing is left of a new upload then, and an earlier one is still there, unless it is the Dockerfile itself
/// that cannot be written.
pub fn write(request: &DockerfileRequest<'_>, out: &Path) -> Result<Written, Error> {
    let chosen = scripts::choose(request)?;
    let injected = context::injected(&request.injections)?;
    let text = text::render(request, &chosen, &injected)?;
    let is_directory = out.as_os_str().as_encoded_bytes().ends_with(b"/") || out.is_dir();
    let dockerfile = match is_directory {
        true => out.join(FILE_NAME),
        false => out.to_owned(),
    };
    let parent = dockerfile.parent().unwrap_or(Path::new(""));
    let context = match parent.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => parent.to_owned(),
    };
    crate::fs::create_dir_all(&context)?;
    context::write(request, &chosen, &injected, &context, &dockerfile)?;
    crate::fs::replace(&dockerfile, text.as_bytes())?;
    let warnings = warnings(request, &chosen, &context);
    Ok(Written {
        dockerfile,
        context,
        warnings,
    })
}

fn warnings(
    request: &DockerfileRequest<'_>,
    chosen: &scripts::Chosen,
    context: &Path,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if request
        .injections
        .iter()
        .any(|injection| !injection.is_kept)
    {
        warnings.push(
            "injected files are removed after `assemble`, but an engine that makes a layer of each instruction keeps \
             them in a lower one: build with `buildah bud`, or squash"
                .to_owned(),
        );
    }
    if context.join(".dockerignore").exists() {
        warnings.push(format!(
            "`{}` applies to this context, too: what it matches is not copied into the image",
            context.join(".dockerignore").display()
        ));
    }
    if chosen.ignores_the_applications {
        warnings.push(
            "the application's own scripts in `.s2i/bin` are not used, because `--scripts-url` names a directory of the \
             builder image"
                .to_owned(),
        );
    }
    warnings
}
