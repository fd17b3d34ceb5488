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
use crate::project::version::{Tag, TagFrom};
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
    let head = match from.needs_git(variables) {
        true => git::head(&env::git(), directory, &OWN_FILES, &Silent)?,
        false => None,
    };
    Ok(from.choose(variables, head.as_ref()))
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
