//! People: the command line. One file for each command; arguments, environment, messages and exit codes beside them.

pub mod args;
mod as_dockerfile;
mod build;
mod builder;
mod check;
mod cluster;
mod completion;
mod config;
mod confine;
mod copy;
mod create;
mod creds;
mod delete;
mod deploy;
pub mod diagnostic;
mod diagnostic_release;
mod digest;
mod doctor;
pub mod env;
pub mod exit;
mod gc;
mod history;
mod images;
mod inputs;
mod inspect;
pub mod isolation;
mod load;
mod local;
mod lock;
mod login;
mod logs;
mod op;
mod outputs;
mod project;
mod promote;
mod propagation;
mod prune;
mod pull;
mod push;
mod question;
mod records;
mod referrers;
mod release;
mod remote;
mod rm;
mod rollback;
mod rollouts;
mod run;
mod s2i;
mod sbom;
mod secret;
mod signals;
mod status;
mod step_args;
mod tags;
mod up;
mod watch;
mod workspaces;

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use args::Shared;
use diagnostic::Diagnostic;
use exit::Code;

use crate::event::Observer;
use crate::http::Http;
use crate::reference::Reference;
use crate::registry::RegistryClient;
use crate::store::{BlobStore, Named};
use crate::ui;

/// Turn a Python application and a builder image into an OCI image
///
/// No Docker daemon, no root, no Dockerfile. `overcoat build` puts the application in the current directory onto the
/// default builder image; `overcoat run` tries it; `overcoat push` sends it to a registry.
#[derive(Parser, Debug)]
#[command(name = "overcoat", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    shared: Shared,
}

const AFTER_HELP: &str = "\
Examples:
  overcoat build -t hello                      build . on the default builder
  overcoat build src -t registry.example.com/team/hello:1.0 --push
  overcoat run hello                           start it here, with the host's network
  overcoat build --plan                        say what would be done
  overcoat doctor                              say whether builds can run here, and why not

Results go to stdout, everything for people to stderr. Exit codes: docs/exit-codes.md";

#[derive(Subcommand, Debug)]
enum Command {
    Build(Box<build::args::Args>),
    Rebuild(Box<s2i::rebuild::Args>),
    Usage(s2i::usage::Args),
    Generate(s2i::generate::Args),
    Lock(Box<lock::Args>),
    Builder(builder::Args),
    Run(run::Args),
    Pull(pull::Args),
    Push(Box<push::Args>),
    Login(login::Args),
    Logout(login::OutArgs),
    Copy(copy::Args),
    Tags(tags::Args),
    Digest(digest::Args),
    Referrers(referrers::Args),
    Sbom(sbom::Args),
    Delete(delete::Args),
    Promote(Box<promote::Args>),
    Deploy(Box<deploy::Args>),
    #[command(visible_alias = "watch-deployment")]
    Watch(Box<watch::Args>),
    Up(Box<up::Args>),
    Release(release::Args),
    Rollback(rollback::Args),
    Prune(prune::Args),
    History(Box<history::Args>),
    Logs(logs::Args),
    Status(status::Args),
    Workspaces(workspaces::Args),
    Config(config::Args),
    Inputs(inputs::Args),
    Op(op::Args),
    Images(images::Args),
    Inspect(inspect::Args),
    Rm(rm::Args),
    Gc(gc::Args),
    Doctor(doctor::Args),
    Create(create::Args),
    Init(create::InitArgs),
    Completion(completion::Args),
}

/// Runs the command line; the exit status. Called as `s2i`, it is that.
pub fn main(arguments: Vec<OsString>) -> u8 {
    if let Some(call) = s2i::Call::of(&arguments) {
        return s2i::main(&call);
    }
    if let Some(call) = op::Call::of(&arguments) {
        return op::main(&call);
    }
    let parsed = command().try_get_matches_from(&arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let error = as_typed(error, command(), &arguments);
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(Code::Usage as u8);
        }
    };
    let progress = cli.shared.progress;
    if let Command::Op(op) = &cli.command {
        let before = arguments.len().saturating_sub(op.words.len() + 1).max(1);
        return op::run(&op.words, &arguments[1..before]);
    }
    match dispatch(cli) {
        Ok(status) => status,
        Err(Diagnostic {
            told: Some(status), ..
        }) => status,
        Err(diagnostic) => {
            let mut stderr = io::stderr().lock();
            let _ = match progress {
                ui::Progress::Json => writeln!(stderr, "{}", diagnostic.to_json()),
                _ => write!(stderr, "{diagnostic}"),
            };
            if progress != ui::Progress::Json && env::ci::ci().is_github {
                let _ = writeln!(stderr, "{}", outputs::annotation(&diagnostic));
            }
            diagnostic.exit_status()
        }
    }
}

/// The error of what was typed: the usage that it shows has no flags in it that nobody typed, because variables of the
/// environment have their values.
fn as_typed(error: clap::Error, command: clap::Command, arguments: &[OsString]) -> clap::Error {
    fn without_variables(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| arg.env(None::<&'static str>));
        command.mut_subcommands(without_variables)
    }
    // Help says which variables there are.
    if !error.use_stderr() {
        return error;
    }
    let again = without_variables(command).try_get_matches_from(arguments);
    // What a variable says may be what is wrong.
    again.err().unwrap_or(error)
}

/// The command line as it is read.
fn command() -> clap::Command {
    s2i::values::with_truth_values(Cli::command())
}

fn dispatch(cli: Cli) -> Result<u8, Diagnostic> {
    let shared = cli.shared;
    if shared.ends_with_parent && shared.entered.is_none() {
        // Who started it is killed, perhaps, and cannot tell: then nobody wants the rest.
        let parent = rustix::process::Signal::TERM;
        let _ = rustix::process::set_parent_process_death_signal(Some(parent));
    }
    let done = |()| Code::Success as u8;
    match cli.command {
        Command::Build(args) => build::run(&args, &shared),
        Command::Rebuild(args) => {
            s2i::rebuild::run(&args, s2i::order::Called::Overcoat, None, &shared)
        }
        Command::Usage(args) => s2i::usage::run(&args, None, &shared),
        Command::Generate(args) => s2i::generate::run(&args, &shared).map(done),
        Command::Lock(args) => lock::run(&args, &shared).map(done),
        Command::Builder(args) => builder::run(&args, &shared).map(done),
        Command::Run(args) => run::run(&args, &shared),
        Command::Pull(args) => pull::run(&args, &shared).map(done),
        Command::Push(args) => push::run(&args, &shared).map(done),
        Command::Login(args) => login::run(&args, &shared).map(done),
        Command::Logout(args) => login::out(&args).map(done),
        Command::Copy(args) => copy::run(&args, &shared).map(done),
        Command::Promote(args) => promote::run(&args, &shared).map(done),
        Command::Watch(args) => watch::run(&args, &shared).map(done),
        Command::Tags(args) => tags::run(&args, &shared).map(done),
        Command::Digest(args) => digest::run(&args, &shared).map(done),
        Command::Referrers(args) => referrers::run(&args, &shared).map(done),
        Command::Sbom(args) => sbom::run(&args, &shared).map(done),
        Command::Deploy(args) => deploy::run(&args, &shared),
        Command::Up(args) => up::run(&args, &shared),
        Command::Delete(args) => delete::run(&args, &shared).map(done),
        Command::Images(args) => images::run(&args, &shared).map(done),
        Command::Inputs(args) => inputs::run(&args, &shared).map(done),
        Command::Inspect(args) => inspect::run(&args, &shared).map(done),
        Command::Rm(args) => rm::run(&args, &shared),
        Command::Gc(args) => gc::run(&args, &shared),
        Command::Doctor(args) => doctor::run(&args, &shared),
        Command::Completion(args) => completion::run(&args, &command(), "overcoat").map(done),
        Command::Config(args) => config::run(&args, &shared).map(done),
        Command::Op(args) => Ok(op::run(&args.words, &[])),
        Command::History(args) => history::run(&args, &shared).map(done),
        Command::Logs(args) => logs::run(&args, &shared).map(done),
        Command::Status(args) => status::run(&args, &shared).map(done),
        Command::Workspaces(args) => workspaces::run(&args, &shared).map(done),
        Command::Release(args) => release::run(&args, &shared).map(done),
        Command::Rollback(args) => rollback::run(&args, &shared).map(done),
        Command::Prune(args) => prune::run(&args, &shared).map(done),
        Command::Create(args) => create::run(&args).map(done),
        Command::Init(args) => create::init(&args).map(done),
    }
}

/// Prints a result. A reader that has gone (`| head`) is no error.
fn print(text: &str) -> Result<(), Diagnostic> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Diagnostic::new(
            Code::Output,
            format!("cannot write to stdout: {error}"),
        )),
        _ => Ok(()),
    }
}

fn open_store(shared: &Shared) -> Result<BlobStore, Diagnostic> {
    Ok(BlobStore::open(&env::store(shared)?)?)
}

/// A client for registries, for commands that need no store.
fn registry_client(shared: &Shared) -> Result<RegistryClient, Diagnostic> {
    let host = env::host(shared)?;
    let http = Http::new(&host.network).map_err(crate::build::Error::from)?;
    Ok(RegistryClient::new(Arc::new(http), host.registries))
}

/// Prints a result for programs.
fn print_json(value: &serde_json::Value) -> Result<(), Diagnostic> {
    print(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// The observer that was asked for, stopping at Ctrl-C.
fn observer(shared: &Shared, quiet: bool) -> Result<Box<dyn Observer>, Diagnostic> {
    let interrupted = Arc::new(AtomicBool::new(false));
    signals::interrupt(&interrupted)?;
    Ok(observer_of(shared, quiet, interrupted))
}

/// The observer that was asked for, which asks to stop when the flag is raised.
fn observer_of(shared: &Shared, quiet: bool, interrupted: Arc<AtomicBool>) -> Box<dyn Observer> {
    match shared.s2i {
        Some(output) if shared.progress == ui::Progress::Auto => ui::s2i(output, interrupted),
        _ => ui::observer(shared.progress, shared.detail(quiet), interrupted),
    }
}

/// Finds an image that a person named in the store.
fn find(store: &BlobStore, text: &str) -> Result<Named, Diagnostic> {
    // Other tools write names that are no references; they can be named as they stand.
    if let Some(named) = store.names()?.into_iter().find(|named| named.name == text) {
        return Ok(named);
    }
    let reference: Reference = text.parse()?;
    let found = store.resolve(&reference)?;
    found.ok_or_else(|| {
        let diagnostic = Diagnostic::new(
            Code::NoSuchImage,
            format!("the store has no image `{reference}`"),
        );
        let names: Vec<String> = store
            .names()
            .unwrap_or_default()
            .into_iter()
            .map(|named| named.name)
            .collect();
        match names.is_empty() {
            true => diagnostic
                .hint("it is empty; `overcoat build` or `overcoat pull` puts images into it"),
            false => diagnostic.hint(format!("it has {}", names.join(", "))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
