//! `overcoat workspaces`.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::person;
use super::records::{Flags, Place, table};
use super::{observer, print, print_json};
use crate::event::Event;
use crate::release::history::{DEFAULT_ENVIRONMENT, Record};

/// List the workspaces: the environments of the project, and those that have records
///
/// `*` marks the one that is meant when no flag says otherwise: OVERCOAT_ENVIRONMENT, else `default`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    environment: Flags,

    /// Print JSON: an array, empty when there are none
    #[arg(long)]
    json: bool,
}

/// One workspace.
struct Row<'a> {
    name: String,
    is_in_project: bool,
    records: Vec<&'a Record>,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let place = Place::open(shared)?;
    let contents = place.read(observer.as_ref())?;
    let current = args.environment.asked().unwrap_or(DEFAULT_ENVIRONMENT);
    let mut on_record: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in &contents.records {
        let records = on_record.entry(&record.environment).or_default();
        records.push(record);
    }
    // Those of the project in its order, which is that of promotion; then the others.
    let mut rows: Vec<Row<'_>> = Vec::new();
    for environment in &place.project.environments {
        let records = on_record.remove(environment.name.as_str());
        rows.push(Row {
            name: environment.name.clone(),
            is_in_project: true,
            records: records.unwrap_or_default(),
        });
    }
    rows.extend(on_record.into_iter().map(|(name, records)| Row {
        name: name.to_owned(),
        is_in_project: false,
        records,
    }));
    if args.json {
        let rows = rows.iter().map(|row| json_of(row, current));
        return print_json(&Value::Array(rows.collect()));
    }
    if rows.is_empty() {
        observer.observe(Event::Warning {
            text: "there are no environments in the project, and no records".to_owned(),
            hint: None,
        });
        return Ok(());
    }
    let head = ["", "NAME", "RECORDS", "APPLICATIONS", "LAST"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    let now = person::now();
    lines.extend(rows.iter().map(|row| {
        let last = row.records.last();
        vec![
            if row.name == current { "*" } else { "" }.to_owned(),
            row.name.clone(),
            row.records.len().to_string(),
            applications(row).join(","),
            last.map_or("-".to_owned(), |record| table::ago(record.started, now)),
        ]
    }));
    print(&table::columns(&lines))
}

fn applications<'a>(row: &Row<'a>) -> Vec<&'a str> {
    let names = row.records.iter();
    let mut names: Vec<&str> = names.map(|record| record.application.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn json_of(row: &Row<'_>, current: &str) -> Value {
    json!({
        "name": row.name,
        "current": row.name == current,
        "in_project": row.is_in_project,
        "records": row.records.len(),
        "applications": applications(row),
        "last": row.records.last(),
    })
}
