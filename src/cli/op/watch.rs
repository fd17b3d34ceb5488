//! `op watch-deployment`.

use super::args::Watch;
use super::promote::result_file;
use super::say;
use super::settings::Settings;
use super::step::Step;
use crate::cli::diagnostic::Diagnostic;
use crate::project::Project;

/// Runs the command.
pub(super) fn run(args: &Watch, settings: &Settings) -> Result<u8, Diagnostic> {
    if args.poll_timeout.is_some() {
        say("`--timeout` is the time for everything: `--poll-timeout` has no effect");
    }
    let project = settings.project()?;
    if project.declares_environments() && !project.has_environment(&args.environment) {
        say(&format!(
            "warning: nothing declares the environment `{}`: only the name is taken, as op does, and the current context is watched",
            args.environment
        ));
    }
    step(args, settings, &project)?.run()
}

/// The call that it stands for.
///
/// # Errors
/// When the results cannot be named.
pub(super) fn step(
    args: &Watch,
    settings: &Settings,
    project: &Project,
) -> Result<Step, Diagnostic> {
    let environment = project.environment(&args.environment);
    let namespace = match (&args.namespace, &environment) {
        (Some(namespace), _) => Some(namespace.as_str()),
        (None, Ok(environment)) if environment.namespace.is_some() => None,
        (None, _) => Some("default"),
    };
    let mut step = settings.step("watch");
    for component in &args.component {
        step.flag("--component", component);
    }
    if let Some(container) = &args.container {
        step.flag("--container", container);
    }
    // op wants the name and does nothing with it; here it may have a context and a namespace.
    if environment.is_ok() {
        step.flag("--environment", &args.environment);
    }
    if let Some(namespace) = namespace {
        step.flag("--namespace", namespace);
    }
    step.flag("--timeout", &args.timeout)
        .flag("--build-result", result_file(&args.result)?);
    if let Some(name) = &args.result.image_name {
        step.flag("--image-name", name);
    }
    Ok(step)
}
