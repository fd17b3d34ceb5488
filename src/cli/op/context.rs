//! `op run`: artifacts on this machine.

use std::net::{Ipv4Addr, TcpListener};

use super::args::Run;
use super::say;
use super::settings::{Settings, absolute, no_skaffold, registry_of, result_in};
use super::step::Step;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{find, open_store, print};
use crate::project::{Application, Project, RunContext, ports};
use crate::release::result::BuildResult;

/// Where the search for a free port begins, and how many are tried.
const FIRST_PORT: u16 = 8080;
const TRIED_PORTS: u16 = 100;

/// Runs the command.
pub(super) fn run(args: &Run, settings: Settings) -> Result<u8, Diagnostic> {
    let settings = settings
        .with_skaffold(args.skaffold_file.as_deref())?
        .with_registry("--repo", args.repo.as_ref());
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["context", "list"] => list(&settings.project()?),
        [name] => start(name, &settings),
        _ => Err(Diagnostic::new(
            Code::Usage,
            format!("`run {}` is no command", words.join(" ")),
        )
        .hint("`op run context list` lists what there is, `op run CONTEXT` runs it")),
    }
}

fn list(project: &Project) -> Result<u8, Diagnostic> {
    if project.applications.is_empty() {
        return Err(no_skaffold(&project.root.join("skaffold.yaml")));
    }
    print(&listed(project)?).map(|()| 0)
}

/// The contexts as op prints them, with the port of each.
pub(super) fn listed(project: &Project) -> Result<String, Diagnostic> {
    let mut lines = vec!["Contexts (use: op run <context>):".to_owned()];
    for application in &project.applications {
        let port = ports::port_of(application.source(project))?;
        lines.push(format!(
            "  {} ({}, port {port})",
            context_name(project, application),
            application.image_name()
        ));
    }
    Ok(lines.join("\n"))
}

/// What a context is called: its entry in octopilot.yaml, else the application.
fn context_name<'a>(project: &'a Project, application: &'a Application) -> &'a str {
    let known = project.contexts.iter();
    let named = known
        .filter(|(_, context)| application.context.as_ref() == Some(context))
        .map(|(name, _)| name.as_str())
        .find(|name| {
            project
                .application(name)
                .is_ok_and(|found| found.name == application.name)
        });
    named.unwrap_or(&application.name)
}

fn start(name: &str, settings: &Settings) -> Result<u8, Diagnostic> {
    let project = settings.project()?;
    let application = match project.application(name) {
        Ok(application) => application,
        // A context may be called after the directory.
        Err(error) => project
            .application_of(&crate::cli::env::project::directory()?.join(name))
            .ok_or(error)?,
    };
    let image = image(&project, application)?;
    let shared = settings.shared();
    let store = open_store(&shared)?;
    if find(&store, &image).is_err() {
        let mut pull = settings.step("pull");
        pull.push(&image);
        let status = pull.run()?;
        if status != 0 {
            return Ok(status);
        }
    }
    drop(store);
    let port = ports::port_of(application.source(&project))?;
    let context = application.context.clone().unwrap_or_default();
    step(settings, &image, &context, port)?.become_it()
}

/// The image to run: the one in the file of results, else the project's in its registry.
fn image(project: &Project, application: &Application) -> Result<String, Diagnostic> {
    let file = absolute(&result_in(&project.root))?;
    if file.exists() {
        let results = BuildResult::read(&file)?;
        let entry = results.select(Some(application.image_name()), &file)?;
        return Ok(entry.text());
    }
    let registry = registry_of(project).unwrap_or_default();
    let tag = project
        .tag
        .as_ref()
        .map_or("latest", |tag| tag.value.as_str());
    Ok(format!("{registry}/{}:{tag}", application.image_name()))
}

/// The call that starts it.
///
/// # Errors
/// For what a context wants and is not done here.
pub(super) fn step(
    settings: &Settings,
    image: &str,
    context: &RunContext,
    inferred: u16,
) -> Result<Step, Diagnostic> {
    if let Some(volume) = context.volumes.first() {
        return Err(Diagnostic::new(
            Code::Project,
            format!("the context wants the volume `{volume}`, and `run` mounts nothing of this machine here"),
        )
        .hint("take it out of octopilot.yaml, or run the image with podman or Docker: `overcoat build --load docker`"));
    }
    let port = match context.ports.as_slice() {
        [] => free_port(inferred),
        [first, others @ ..] => {
            let host = first.rsplit(':').nth(1).unwrap_or(first);
            let host: u16 = host.parse().map_err(|_| {
                Diagnostic::new(
                    Code::Project,
                    format!("`{first}` is no port: `HOST:CONTAINER`"),
                )
            })?;
            if !others.is_empty() || first.rsplit(':').next() != Some(&host.to_string()) {
                say(&format!(
                    "ports are not mapped here: the application has this machine's network, and is told PORT={host}"
                ));
            }
            host
        }
    };
    let mut step = settings.step("run");
    step.push(image);
    let mut environment = context.environment.clone();
    environment
        .entry("PORT".to_owned())
        .or_insert_with(|| port.to_string());
    for (name, value) in environment {
        step.flag("--env", format!("{name}={value}"));
    }
    Ok(step)
}

/// The port itself if nobody listens on it, else the first free one from 8080 up; the port itself again if none is.
fn free_port(inferred: u16) -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let others = FIRST_PORT..FIRST_PORT + TRIED_PORTS;
    let mut all = [inferred].into_iter().chain(others);
    all.find(is_free).unwrap_or(inferred)
}
