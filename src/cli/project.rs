//! The project that a command is about.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env;
use super::exit::Code;
use crate::event::Silent;
use crate::http::Http;
use crate::project::version::{LongTag, Tag, TagFrom};
use crate::project::{self, Project, Wanted};
use crate::registry::RegistryClient;
use crate::release::result;
use crate::source::git;

/// What this program writes into a project itself, which is no change to it.
const OWN_FILES: [&str; 2] = [result::FILE, ".overcoat"];

/// What is loaded when nothing else is said: the project of the working directory, or the one that `--config` names, and
/// the variables of the environment.
///
/// # Errors
/// When the working directory is gone.
pub(super) fn wanted(shared: &Shared) -> Result<Wanted, Diagnostic> {
    Ok(Wanted {
        directory: env::project::directory()?,
        file: shared.config.as_deref().map(absolute).transpose()?,
        properties: env::project::properties(),
        octopilot: env::project::octopilot(),
        skaffold: env::project::skaffold(),
        variables: env::project::variables(),
        ..Wanted::default()
    })
}

/// The project of the working directory, or the one that `--config` names.
///
/// # Errors
/// With [`Code::Project`] when a file cannot be read or makes no sense.
pub(super) fn load(shared: &Shared) -> Result<Project, Diagnostic> {
    Ok(project::load(&wanted(shared)?)?)
}

/// As [`load`], for a directory instead of the working directory.
///
/// # Errors
/// As [`load`].
pub(super) fn load_from(shared: &Shared, directory: &Path) -> Result<Project, Diagnostic> {
    let wanted = Wanted {
        directory: absolute(directory)?,
        ..wanted(shared)?
    };
    Ok(project::load(&wanted)?)
}

/// Chooses the tag of what is in a directory. Git is asked only where the choice depends on it.
///
/// # Errors
/// When git is needed and fails.
pub(super) fn tag(from: TagFrom, directory: &Path) -> Result<Tag, Diagnostic> {
    tag_with(from, directory, &env::project::variables())
}

/// As [`tag`], with these variables.
///
/// # Errors
/// As [`tag`].
pub(super) fn tag_with(
    from: TagFrom,
    directory: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<Tag, Diagnostic> {
    let host = env::git();
    // Where there is no repository git has nothing to say, whether it is there or not.
    let is_asked = from.needs_git(variables) && (host.git.is_some() || git::is_inside(directory));
    let head = match is_asked {
        true => git::head(&host, directory, &OWN_FILES, &Silent).map_err(no_git)?,
        false => None,
    };
    Ok(from.choose(variables, head.as_ref())?)
}

/// Git cannot say what is checked out. The source is there, whatever git thinks of it.
fn no_git(error: crate::source::Error) -> Diagnostic {
    if matches!(error, crate::source::Error::Interrupted) {
        return error.into();
    }
    Diagnostic::new(Code::Usage, error)
        .attempting("cannot ask git which tag the image gets")
        .hint(
            "install git, or have it trust the directory (`git config --global --add safe.directory DIR`)",
        )
        .hint("`--tag-from content` asks nobody; in a CI `--tag-from ci` takes its variables")
}

impl From<LongTag> for Diagnostic {
    fn from(error: LongTag) -> Self {
        Self::new(Code::InvalidReference, error)
            .hint("give the image a shorter name: `--tag NAME:TAG`, or `--tag-from content`")
    }
}

/// Whether there is a project to be heeded: `overcoat.toml` in a directory or above it, or the one that is named.
pub(super) fn is_there(shared: &Shared, directory: &Path) -> Result<bool, Diagnostic> {
    Ok(shared.config.is_some()
        || shared.history.is_some()
        || project::find(&absolute(directory)?)?.is_some())
}

/// A client for registries that knows what the project's `overcoat.toml` says of them.
///
/// # Errors
/// As [`env::host`].
pub(super) fn registry_client(
    shared: &Shared,
    project: &Project,
) -> Result<RegistryClient, Diagnostic> {
    let shared = with_registries(shared, project);
    let host = env::host_for(&shared, &project.root)?;
    let http = Http::new(&host.network).map_err(crate::build::Error::from)?;
    Ok(RegistryClient::new(Arc::new(http), host.registries))
}

/// The flags with the project's file for settings of registries, unless another one is named.
pub(super) fn with_registries(shared: &Shared, project: &Project) -> Shared {
    let mut shared = shared.clone();
    if shared.registry_config.is_none() {
        shared.registry_config.clone_from(&project.file);
    }
    shared
}

/// Where a path is, whatever the working directory.
fn absolute(path: &Path) -> Result<std::path::PathBuf, Diagnostic> {
    std::path::absolute(path)
        .map_err(|error| crate::fs::Error::new("find", path.to_owned(), error).into())
}

impl From<project::Error> for Diagnostic {
    fn from(error: project::Error) -> Self {
        let code = match error.is_unknown_name() {
            true => Code::NoEnvironment,
            false => Code::Project,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}
