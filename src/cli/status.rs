//! `overcoat status`.

use std::time::SystemTime;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::person;
use super::records::{Flags, Place, table};
use super::{observer, print, print_json};
use crate::event::Event;
use crate::release::history::{Record, name_of};
use crate::release::status::{self, Status};

/// Show how each application stands in each environment, as far as records tell
///
/// BUILD and PUSH are those that the last deployment comes from. STATE is that of the newest record. Nobody is asked: what
/// a cluster really runs is told by `overcoat watch`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// Of these applications only
    #[arg(value_name = "APP")]
    applications: Vec<String>,

    #[command(flatten)]
    environment: Flags,

    /// Print JSON: an array, empty when there are no records
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let place = Place::open(shared)?;
    let contents = place.read(observer.as_ref())?;
    let names = args.applications.iter();
    let names: Vec<String> = names
        .map(|name| place.application(Some(name), &contents))
        .collect::<Result<_, _>>()?;
    let environment = args.environment.asked();
    if let Some(name) = environment {
        place.check_environment(name, &contents)?;
    }
    let mut rows = status::of(&contents);
    rows.retain(|row| {
        (names.is_empty() || names.contains(&row.application))
            && environment.is_none_or(|wanted| wanted == row.environment)
    });
    if args.json {
        return print_json(&Value::Array(rows.iter().map(json_of).collect()));
    }
    if rows.is_empty() {
        observer.observe(Event::Warning {
            text: format!(
                "there are no records in `{}`",
                place.history.directory().display()
            ),
            hint: None,
        });
        return Ok(());
    }
    print(&table(&rows, person::now()))
}

fn table(rows: &[Status], now: SystemTime) -> String {
    let head = [
        "APPLICATION",
        "ENVIRONMENT",
        "BUILD",
        "PUSH",
        "DEPLOY",
        "RELEASE",
        "LIVE",
        "STATE",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let number = |record: &Option<Record>| {
        let number = record.as_ref().map(|record| record.sequence.to_string());
        number.unwrap_or_else(|| "-".to_owned())
    };
    lines.extend(rows.iter().map(|row| {
        let live = row.live.as_ref().map(|live| {
            let digest = live.facts.digest.as_ref().map(|digest| digest.short());
            let parts = [live.facts.image.as_deref(), digest];
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            parts.join(" ")
        });
        let time = row.last.finished.unwrap_or(row.last.started);
        vec![
            row.application.clone(),
            row.environment.clone(),
            number(&row.build),
            number(&row.push),
            number(&row.deploy),
            number(&row.released),
            live.unwrap_or_else(|| "-".to_owned()),
            format!(
                "{} {}, {}",
                name_of(row.last.operation),
                row.last.state.name(),
                table::ago(time, now)
            ),
        ]
    }));
    table::columns(&lines)
}

fn json_of(status: &Status) -> Value {
    json!({
        "application": status.application,
        "environment": status.environment,
        "build": status.build,
        "push": status.push,
        "deploy": status.deploy,
        "live": status.live,
        "released": status.released,
        "last": status.last,
    })
}
