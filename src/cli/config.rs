//! `overcoat config`.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::{print, print_json, project};
use crate::project::{Note, Origin, Project, Row};

/// Show what the project says of itself, and where
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Explain(ExplainArgs),
}

/// Show each setting of the project, its value, and where it was said
///
/// Read are overcoat.toml (here or in a directory above), and beside it .registry, pipeline.properties,
/// .github/octopilot.yaml and skaffold.yaml; docs/project.md has the order. With -v, also what was overruled.
#[derive(ClapArgs, Debug)]
struct ExplainArgs {
    /// This setting only, or all below it: `default-registry`, `environments.dev`
    key: Option<String>,

    /// Print JSON, with what was overruled
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let Command::Explain(args) = &args.command;
    let project = project::load(shared)?;
    let rows = project.explain(args.key.as_deref())?;
    let notes = project.notes_on(args.key.as_deref());
    match args.json {
        true => print_json(&json_of(&project, &rows, &notes)),
        false => print(&table(&project, &rows, &notes, shared.verbose)),
    }
}

/// Three columns; what was overruled stands below its setting.
fn table(project: &Project, rows: &[Row], notes: &[&Note], is_verbose: bool) -> String {
    let mut lines: Vec<[String; 3]> = Vec::new();
    for row in rows {
        lines.push([
            row.key.clone(),
            row.value.clone(),
            shown(project, &row.origin),
        ]);
        for (value, origin) in row.overruled.iter().filter(|_| is_verbose) {
            let origin = format!("overruled: {}", shown(project, origin));
            lines.push([String::new(), value.clone(), origin]);
        }
    }
    for note in notes.iter().filter(|_| is_verbose) {
        lines.push([
            "note".to_owned(),
            note.text.clone(),
            shown(project, &note.origin),
        ]);
    }
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        // One long value does not push all origins off the screen.
        cells.filter(|width| *width <= 60).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let line = |[key, value, origin]: &[String; 3]| {
        let text = format!("{key:first$}  {value:second$}  {origin}");
        crate::event::printable(&text).trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// An origin in few words: files below the project without its directory.
fn shown(project: &Project, origin: &Origin) -> String {
    match origin {
        Origin::Flag(flag) => (*flag).to_owned(),
        Origin::Variable(name) => format!("${name}"),
        Origin::File { path, line } => {
            let path = path.strip_prefix(&project.root).unwrap_or(path).display();
            match line {
                0 => path.to_string(),
                line => format!("{path}:{line}"),
            }
        }
        Origin::Commit(commit) => format!("commit {commit}"),
        Origin::Default => "default".to_owned(),
    }
}

fn json_of(project: &Project, rows: &[Row], notes: &[&Note]) -> Value {
    let settings = rows.iter().map(|row| {
        let overruled = row.overruled.iter();
        let overruled = overruled
            .map(|(value, origin)| json!({ "value": value, "origin": json_of_origin(origin) }));
        json!({
            "key": row.key,
            "value": row.value,
            "origin": json_of_origin(&row.origin),
            "overruled": overruled.collect::<Vec<_>>(),
        })
    });
    let notes = notes.iter().map(|note| {
        json!({ "key": note.key, "text": note.text, "origin": json_of_origin(&note.origin) })
    });
    json!({
        "root": project.root,
        "file": project.file,
        "settings": settings.collect::<Vec<_>>(),
        "notes": notes.collect::<Vec<_>>(),
    })
}

fn json_of_origin(origin: &Origin) -> Value {
    match origin {
        Origin::Flag(flag) => json!({ "kind": "flag", "name": flag }),
        Origin::Variable(name) => json!({ "kind": "variable", "name": name }),
        Origin::File { path, line: 0 } => json!({ "kind": "file", "path": path }),
        Origin::File { path, line } => json!({ "kind": "file", "path": path, "line": line }),
        Origin::Commit(commit) => json!({ "kind": "commit", "name": commit }),
        Origin::Default => json!({ "kind": "default" }),
    }
}
