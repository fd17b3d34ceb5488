//! What this program is when it is called as `op` or `octopipeline`, or by `overcoat op`: op's flags, overcoat's work.
//!
//! A call of op's becomes one call of overcoat, or several one after the other; each is this program, started again. So op's
//! calls have the hooks, records and files of overcoat's own, and `-v` shows what stands behind them.
//!
//! # Spec
//! `path-to-production.md` §1.2, §1.10.

mod args;
mod build;
mod context;
mod environment;
mod promote;
mod settings;
mod step;
mod watch;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use self::args::{BuildSub, Cli, Command};
use self::settings::Settings;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, outputs, print};

/// The status of everything that fails, but for a wrong command line and an interruption.
const FAILED: u8 = 1;

/// Take the command line of OctoPilot's `op`
///
/// Builds, pushes, promotes and watches with op's own flags, as when this program is called as `op`; docs/op.md has them.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// op's command line: `overcoat op --help` shows it
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(super) words: Vec<OsString>,
}

/// A call as `op`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The command line behind the name of the program.
    words: Vec<OsString>,
}

impl Call {
    /// The call that a command line is, if it is one: by the name of the program, or by its first argument.
    pub(super) fn of(arguments: &[OsString]) -> Option<Self> {
        let (program, rest) = arguments.split_first()?;
        let name = Path::new(program).file_name();
        let is_op = ["op", "octopipeline", "op-python"]
            .iter()
            .any(|known| name == Some(OsStr::new(known)));
        let words = match rest.split_first() {
            _ if is_op => rest,
            Some((first, rest)) if first == "op" => rest,
            _ => return None,
        };
        Some(Self {
            words: words.to_vec(),
        })
    }
}

/// Runs op's command line; the exit status, which is op's: 0, 2 for a wrong command line, 130 when interrupted, else 1. A
/// container that `run` starts ends it with its own.
pub(super) fn main(call: &Call) -> u8 {
    run(&call.words, &[])
}

/// As [`main`], with flags of overcoat's own that stood before `op`.
pub(super) fn run(words: &[OsString], before: &[OsString]) -> u8 {
    let words = [OsString::from("op")]
        .into_iter()
        .chain(words.iter().cloned());
    let words: Vec<OsString> = words.collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => {
            let error = super::as_typed(error, Cli::command(), &words);
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
                // Without any command both generations show what there is; it is no mistake.
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => 0,
                _ => Code::Usage as u8,
            };
        }
    };
    match dispatch(&cli, before) {
        Ok(status) => status,
        Err(diagnostic) => {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "{diagnostic}");
            if env::ci::ci().is_github {
                let _ = writeln!(stderr, "{}", outputs::annotation(&diagnostic));
            }
            match diagnostic.code {
                Code::Usage => Code::Usage as u8,
                Code::Interrupted => Code::Interrupted as u8,
                _ => FAILED,
            }
        }
    }
}

fn dispatch(cli: &Cli, before: &[OsString]) -> Result<u8, Diagnostic> {
    let settings = Settings::new(cli, before)?;
    match &cli.command {
        Command::Build(args) => match &args.status {
            Some(BuildSub::Status(args)) => build::status(args, settings),
            None => build::build(args, settings),
        },
        Command::BuildStatus(args) => build::status(args, settings),
        Command::BuildPush(args) => build::build_push(args, settings),
        Command::Push(args) => build::push(args, settings),
        Command::PromoteImage(args) => promote::run(args, &settings),
        Command::WatchDeployment(args) => watch::run(args, &settings),
        Command::Run(args) => context::run(args, settings),
        Command::Version => print(&format!("op version {}", env!("CARGO_PKG_VERSION"))).map(|()| 0),
        Command::StartRegistry(_) => Err(Diagnostic::new(
            Code::Usage,
            "`start-registry` is not done here: it starts a container with Docker, and overcoat has neither",
        )
        .hint("a build needs no registry: `op build` keeps images in overcoat's store, `overcoat run IMAGE` starts them")
        .hint("for a cluster on this machine: `overcoat deploy --to k3d` or `--to kind`, or the registry that it made (`k3d registry create`)")
        .hint("for `localhost:5001` take any registry, as Debian's docker-registry: `REGISTRY_HTTP_ADDR=localhost:5001 docker-registry serve FILE`")),
    }
}

/// Says something to people.
fn say(text: &str) {
    let text = crate::event::printable(text);
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "table_tests.rs"]
mod table_tests;
