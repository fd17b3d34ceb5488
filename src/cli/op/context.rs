//! `op run`: artifacts on this machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::args::Run;
use super::say;
use super::settings::{Settings, absolute, no_skaffold, registry_of, result_in};
use super::step::Step;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{env, find, open_store, print};
use crate::project::{Application, Project, RunContext, ports};
use crate::release::result::BuildResult;
use crate::sandbox::publish::Publication;

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
            .application_of(&env::project::directory()?.join(name))
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
    step(settings, &image, &context, port, &is_free)?.become_it()
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

/// How the application is started: its port, those that lead to it, its variables.
#[derive(Debug, PartialEq, Eq)]
struct Ports {
    /// What it is told by `PORT`.
    told: u16,
    /// Ports of this machine, and those they lead to.
    publications: Vec<Publication>,
}

/// The call that starts it. `inferred` is the port that its files name, `is_free` says whether nobody listens on a port.
///
/// # Errors
/// For ports that are none, and when none is free.
///
/// # Spec
/// `path-to-production.md` §1.7: ports that are given count as they are; else a free one from 8080 up leads to the inferred
/// one; `PORT` is the application's own, and the context's variables win.
pub(super) fn step(
    settings: &Settings,
    image: &str,
    context: &RunContext,
    inferred: u16,
    is_free: &dyn Fn(u16) -> bool,
) -> Result<Step, Diagnostic> {
    let ports = ports_of(context, inferred, is_free)?;
    let mut step = settings.step("run");
    step.push(image);
    for publication in &ports.publications {
        let Publication {
            address,
            host,
            container,
        } = publication;
        let place = SocketAddr::new(*address, *host);
        say(&match publication.is_direct() {
            true => format!("{image} listens on {place}"),
            false => format!("{place} leads to port {container} of {image}"),
        });
        step.flag("--publish", publication.to_string());
    }
    for volume in &context.volumes {
        step.flag("--volume", volume);
    }
    let mut environment = context.environment.clone();
    environment
        .entry("PORT".to_owned())
        .or_insert_with(|| ports.told.to_string());
    let text = serde_json::to_string(&environment).unwrap_or_default();
    step.variable(env::project::RUN_ENVIRONMENT, text.as_ref());
    Ok(step)
}

fn ports_of(
    context: &RunContext,
    inferred: u16,
    is_free: &dyn Fn(u16) -> bool,
) -> Result<Ports, Diagnostic> {
    let given = context.ports.iter().map(|text| text.parse());
    let given: Result<Vec<Publication>, String> = given.collect();
    let given = given.map_err(|reason| {
        Diagnostic::new(Code::Project, format!("{}: {reason}", context.origin))
            .hint("ports are written `HOST:CONTAINER`, as for `docker run -p`")
    })?;
    if let Some(first) = given.first() {
        return Ok(Ports {
            told: first.container,
            publications: given,
        });
    }
    let host = (FIRST_PORT..FIRST_PORT + TRIED_PORTS).find(|port| is_free(*port));
    let host = host.ok_or_else(|| {
        let last = FIRST_PORT + TRIED_PORTS - 1;
        Diagnostic::new(
            Code::Sandbox,
            format!("no port from {FIRST_PORT} to {last} is free on this machine"),
        )
        .hint("give the context ports of its own: `contexts.NAME.ports: [\"HOST:CONTAINER\"]` in octopilot.yaml")
    })?;
    let said = context.environment.get("PORT");
    let said: Option<u16> = said.and_then(|text| text.parse().ok());
    let container = said.unwrap_or(inferred);
    if container == host || is_free(container) {
        return Ok(Ports {
            told: container,
            publications: vec![Publication::local(host, container)],
        });
    }
    if said.is_some() {
        return Err(Diagnostic::new(
            Code::Sandbox,
            format!("the context's PORT is {container}, and something on this machine listens there already"),
        )
        .hint("take another PORT: the application has this machine's network"));
    }
    say(&format!(
        "port {container} is taken on this machine, whose network the application has: it is told PORT={host}"
    ));
    Ok(Ports {
        told: host,
        publications: vec![Publication::local(host, host)],
    })
}

/// Whether nobody listens on a port of this machine.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
