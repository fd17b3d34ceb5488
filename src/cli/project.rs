//! The project that a command is about.

use std::path::Path;
use std::sync::Arc;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env;
use super::exit::Code;
use crate::http::Http;
use crate::project::{self, Project, Wanted};
use crate::registry::RegistryClient;

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
