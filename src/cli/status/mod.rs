//! `overcoat status`.

mod cluster;
mod show;

use std::time::SystemTime;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env::person;
use crate::cli::exit::Code;
use crate::cli::records::{Flags, Place, table};
use crate::cli::{cluster as flags, observer, print, print_json};
use crate::event::{Event, printable};
use crate::release::history::{Record, name_of};
use crate::release::rollouts::Fate;
use crate::release::status::{self, Status};

/// Show how each application stands in each environment, as far as records tell
///
/// BUILD and PUSH are those that the last deployment comes from; ROLLOUT is how that ended when it was watched. STATE is that of
/// the newest record. Nobody is asked, unless `--cluster` is given: then each cluster tells what it runs now, and in what that
/// differs from the records.
#[derive(ClapArgs, Debug)]
pub(in crate::cli) struct Args {
    /// Of these applications only
    #[arg(value_name = "APP")]
    applications: Vec<String>,

    #[command(flatten)]
    environment: Flags,

    /// Ask the clusters what runs now: image, pods, health, and in what it differs from the records
    #[arg(long)]
    cluster: bool,

    #[command(flatten)]
    access: flags::Flags,

    /// Print JSON: an array, empty when there are no records
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(in crate::cli) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    if !args.cluster && (args.access.kubeconfig.is_some() || args.access.context.is_some()) {
        return Err(Diagnostic::new(
            Code::Usage,
            "no cluster is asked without `--cluster`, so `--context` and `--kubeconfig` mean nothing",
        ));
    }
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
    if args.cluster {
        let asked = cluster::Asked {
            place: &place,
            shared,
            flags: &args.access,
            observer: observer.as_ref(),
        };
        return cluster::run(&asked, &rows, &names, environment, args.json);
    }
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
    print(&table(&rows, person::now()))?;
    for row in &rows {
        if let Some(text) = bad_rollout(row) {
            observer.observe(Event::Warning { text, hint: None });
        }
    }
    Ok(())
}

/// Why the last deployment does not run, if that is known.
fn bad_rollout(row: &Status) -> Option<String> {
    let rollout = row.rollout.as_ref()?;
    let why = rollout.watch.error.as_deref().unwrap_or_default();
    (rollout.fate != Fate::Complete).then(|| {
        format!(
            "{} in {}: the rollout of deployment {} {}: {}",
            row.application,
            row.environment,
            row.deploy.as_ref().map_or(0, |deploy| deploy.sequence),
            rollout.fate.sentence(),
            printable(why)
        )
    })
}

fn table(rows: &[Status], now: SystemTime) -> String {
    let head = [
        "APPLICATION",
        "ENVIRONMENT",
        "BUILD",
        "PUSH",
        "DEPLOY",
        "ROLLOUT",
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
            row.rollout
                .as_ref()
                .map_or("-", |rollout| rollout.fate.name())
                .to_owned(),
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
        "rollout": status
            .rollout
            .as_ref()
            .map(|rollout| table::of_rollout(rollout.fate, &rollout.watch)),
        "live": status.live,
        "released": status.released,
        "last": status.last,
    })
}
