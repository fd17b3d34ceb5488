//! `op promote-image`.

use std::path::PathBuf;

use super::args::{Promote, ResultFlags};
use super::say;
use super::settings::{Settings, absolute, result_in};
use super::step::Step;
use crate::cli::diagnostic::Diagnostic;
use crate::project::{Project, Role};

/// Runs the command.
pub(super) fn run(args: &Promote, settings: &Settings) -> Result<u8, Diagnostic> {
    let project = settings.project()?;
    for (name, role) in [
        (&args.source, Role::Source),
        (&args.destination, Role::Destination),
    ] {
        let registry = project.registry_of_any(name, role)?;
        if let Some(doubt) = project.doubt(name, &registry) {
            say(&format!("warning: {doubt}"));
        }
    }
    step(args, settings, &project)?.run()
}

/// The call that it stands for.
///
/// # Errors
/// When nothing says the registry of one of the environments.
pub(super) fn step(
    args: &Promote,
    settings: &Settings,
    project: &Project,
) -> Result<Step, Diagnostic> {
    let source = project.registry_of_any(&args.source, Role::Source)?;
    let destination = project.registry_of_any(&args.destination, Role::Destination)?;
    let mut step = settings.step("promote");
    step.flag("--source", &args.source)
        .flag("--destination", &args.destination)
        .flag("--source-registry", source.value)
        .flag("--destination-registry", destination.value)
        .flag("--build-result", result_file(&args.result)?);
    if let Some(name) = &args.result.image_name {
        step.flag("--image-name", name);
    }
    Ok(step)
}

/// The file of results. Of `--build-result` op takes the directory alone; a file that is there is meant as it is named.
pub(super) fn result_file(flags: &ResultFlags) -> Result<PathBuf, Diagnostic> {
    let file = match &flags.build_result {
        Some(file) if file.is_dir() => result_in(file),
        Some(file) if file.exists() => file.clone(),
        Some(file) => file.parent().map_or_else(|| file.clone(), result_in),
        None => result_in(&flags.build_result_dir),
    };
    absolute(&file)
}
