//! `overcoat doctor`.

mod json;
mod registry;
mod text;

use clap::{Args as ClapArgs, ValueEnum};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, isolation, print};
use crate::sandbox::ladder::{self, Chosen, LadderError, Verdict};
use crate::sandbox::probe::{self, Ingredient, Prober};

/// Say whether builds can run on this machine, how well scripts are kept apart, and what would improve it
///
/// Tries every kind of isolation and changes nothing. Ends with 0 when a build that executes scripts can run, with 40
/// when not. docs/doctor.md explains the codes (ISO01 …) and the JSON.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// How to print what was found
    #[arg(long, value_enum, value_name = "HOW", default_value = "text")]
    format: Format,

    /// Also ask this registry whether it can be reached: HOST[:PORT] as in image names
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,

    /// Print a profile for AppArmor that lets this program use user namespaces, and do nothing else
    #[arg(long, conflicts_with_all = ["format", "registry", "isolation", "require_isolation"])]
    apparmor: bool,

    #[command(flatten)]
    isolation: isolation::Flags,
}

/// How the findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// All that was found out.
struct Findings {
    prober: Prober,
    verdicts: Vec<Verdict>,
    ingredients: Vec<Ingredient>,
    chosen: Result<Chosen, LadderError>,
    registry: Option<registry::Answer>,
}

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let host = env::host(shared)?;
    if args.apparmor {
        print(&probe::apparmor_profile(&host.program))?;
        return Ok(Code::Success as u8);
    }
    let prober = isolation::prober(&host.program, &env::store(shared)?);
    let verdicts = prober.survey();
    let flags = args.isolation;
    let findings = Findings {
        ingredients: probe::ingredients(prober.facts(), &verdicts),
        chosen: ladder::choose(&verdicts, flags.isolation, flags.require_isolation),
        registry: args
            .registry
            .as_deref()
            .map(|name| registry::ask(name, &host, shared))
            .transpose()?,
        prober,
        verdicts,
    };
    match args.format {
        Format::Text => print(&text::text(&findings, text::width()))?,
        Format::Json => {
            print(&serde_json::to_string_pretty(&json::json(&findings)).unwrap_or_default())?
        }
    }
    Ok(match findings.chosen {
        Ok(_) => Code::Success as u8,
        Err(_) => Code::Sandbox as u8,
    })
}
