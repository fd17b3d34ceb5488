//! What this program is when it is called as `s2i`: the same builds, said in s2i's way.
//!
//! # Spec
//! `s2i-compat.md` §1; where we differ, docs/s2i.md says so.

pub(super) mod afterwards;
mod args;
mod build;
mod deliver;
pub(super) mod dockerfile;
mod file;
pub(super) mod flags;
pub(super) mod generate;
mod labels;
mod messages;
pub(super) mod order;
pub(super) mod previous;
pub(super) mod rebuild;
mod redact;
mod request;
pub(super) mod source;
pub(super) mod usage;
pub(super) mod values;
mod wish;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};

use self::args::{Cli, Command};
use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{completion, print};
use crate::ui::S2iOutput;

/// The first argument of this program when it starts itself again: the name that it was called by is lost then.
const AGAIN: &str = "__s2i";

/// A call as `s2i`.
#[derive(Debug)]
pub(super) struct Call {
    /// The command line, with `s2i` as the name of the program.
    arguments: Vec<OsString>,
    /// True for `sti`.
    is_deprecated: bool,
}

impl Call {
    /// The call that a command line is, if it is one: by the name of the program (`s2i`, or `sti` as it was called
    /// before), or by the argument that stands for it.
    pub(super) fn of(arguments: &[OsString]) -> Option<Self> {
        let (program, rest) = arguments.split_first()?;
        let name = Path::new(program).file_name();
        let is_called = |known: &str| name == Some(OsStr::new(known));
        let (is_again, rest) = match rest.split_first() {
            Some((first, rest)) if first == AGAIN => (true, rest),
            _ => (false, rest),
        };
        (is_again || is_called("s2i") || is_called("sti")).then(|| Self {
            arguments: [OsString::from("s2i")]
                .into_iter()
                .chain(rest.iter().cloned())
                .collect(),
            is_deprecated: is_called("sti"),
        })
    }
}

/// The arguments with which this program starts itself again as what it was called: `first`, then what was typed.
pub(super) fn again(first: Vec<OsString>) -> Vec<OsString> {
    let typed: Vec<OsString> = std::env::args_os().collect();
    again_of(&typed, first)
}

fn again_of(typed: &[OsString], first: Vec<OsString>) -> Vec<OsString> {
    match Call::of(typed) {
        Some(call) => [OsString::from(AGAIN)]
            .into_iter()
            .chain(first)
            .chain(call.arguments.into_iter().skip(1))
            .collect(),
        None => first
            .into_iter()
            .chain(typed.iter().skip(1).cloned())
            .collect(),
    }
}

/// Runs the command line; the exit status, which is s2i's.
pub(super) fn main(call: &Call) -> u8 {
    if call.is_deprecated {
        messages::say("WARNING: the name `sti` is deprecated, call this program `s2i`");
    }
    let parsed = args::command().try_get_matches_from(&call.arguments);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error),
    };
    match dispatch(cli, &matches) {
        Ok(status) => status,
        Err(diagnostic) => {
            let is_build = matches!(matches.subcommand_name(), Some("build" | "rebuild"));
            if is_build && diagnostic.code != Code::Interrupted {
                messages::say("Build failed");
            }
            messages::say(messages::of_diagnostic(&diagnostic).trim_end());
            messages::status(&diagnostic)
        }
    }
}

/// Shows help that was asked for, or says what is wrong with the command line; the exit status.
fn refuse(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            0
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            messages::say(messages::errors([text]).trim_end());
            1
        }
    }
}

fn dispatch(cli: Cli, matches: &ArgMatches) -> Result<u8, Diagnostic> {
    let Cli {
        command,
        engine,
        mut shared,
    } = cli;
    let Some(command) = command else {
        print(args::command().render_help().to_string().trim_end())?;
        return Ok(0);
    };
    let is_quiet = command.is_quiet();
    shared.s2i = Some(S2iOutput {
        level: engine.loglevel,
        is_quiet,
    });
    if engine.loglevel > 0 && shared.entered.is_none() && engine.has_tls() {
        messages::say("no engine takes part in builds: the flags about TLS are ignored");
    }
    let engine = engine.url();
    match command {
        Command::Build(args) => {
            let typed = matches.subcommand_matches("build").unwrap_or(matches);
            build::run(*args, typed, engine, &shared)
        }
        Command::Rebuild(args) => rebuild::run(&args, order::Called::S2i, engine, &shared),
        Command::Usage(args) => usage::run(&args, engine, &shared),
        Command::Generate(args) => generate::run(&args, &shared).map(|()| 0),
        Command::Create(args) => create(&args.positionals),
        Command::Version => print(&format!("s2i {}", args::VERSION)).map(|()| 0),
        Command::Completion(args) => {
            completion::script(args.shell, &args::command(), "s2i").map(|()| 0)
        }
    }
}

fn create(positionals: &[String]) -> Result<u8, Diagnostic> {
    match positionals {
        [image, directory, ..] => {
            // As s2i's, it says nothing when all is well.
            crate::cli::create::scaffold(image, Path::new(directory), |_| Ok(())).map(|()| 0)
        }
        _ => Err(too_few("create IMAGE DIRECTORY", positionals.len())),
    }
}

/// Too few arguments before or after flags.
fn too_few(usage: &str, count: usize) -> Diagnostic {
    let count = match count {
        0 => "none".to_owned(),
        count => count.to_string(),
    };
    Diagnostic::new(Code::Usage, format!("too few arguments: {count} given")).hint(format!(
        "the command is `s2i {usage}`; `s2i help` tells more"
    ))
}

/// What the outermost process shows at a level.
fn is_shown(shared: &Shared, level: u8) -> bool {
    shared.entered.is_none() && shared.s2i.is_some_and(|output| output.level >= level)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
