//! Records as people and programs read them.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::event::printable;
use crate::release::history::{Contents, Id, Record, State, name_of};
use crate::release::rollback;
use crate::release::rollouts::{self, Rollout};

/// Labels longer than this are cut.
const MAX_LABEL: usize = 30;

/// What a list shows beside what it always shows.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Detail {
    /// The long ids too.
    pub(in crate::cli) has_long_ids: bool,
    /// User, machine, labels and errors too.
    pub(in crate::cli) is_verbose: bool,
}

/// A list of records; times are told from `now`.
pub(in crate::cli) fn of(
    records: &[Record],
    contents: &Contents,
    now: SystemTime,
    detail: Detail,
) -> String {
    let mut head = vec![
        "",
        "ID",
        "APPLICATION",
        "OPERATION",
        "ENVIRONMENT",
        "DETAILS",
        "STARTED",
        "COMPLETED",
    ];
    if detail.is_verbose {
        head.extend(["BY", "LABELS", "ERROR"]);
    }
    let released = released(contents);
    let rollouts = rollouts::all(contents);
    let mut rows = vec![head.into_iter().map(str::to_owned).collect()];
    rows.extend(records.iter().map(|record| {
        let id = match detail.has_long_ids {
            true => format!("{} ({})", record.sequence, record.id),
            false => record.sequence.to_string(),
        };
        let finished = record.finished.map(|time| ago(time, now));
        let mut row = vec![
            mark(record, &released, rollouts.get(&record.id)).to_owned(),
            id,
            record.application.clone(),
            name_of(record.operation).to_owned(),
            record.environment.clone(),
            details(record),
            ago(record.started, now),
            finished.unwrap_or_else(|| match record.state {
                State::Interrupted => "interrupted".to_owned(),
                _ => "-".to_owned(),
            }),
        ];
        if detail.is_verbose {
            let labels = record
                .labels
                .iter()
                .map(|(key, value)| cut(&format!("{key}={value}")));
            row.push(format!("{}@{}", record.user, record.host));
            row.push(labels.collect::<Vec<_>>().join(","));
            let bad = rollouts.get(&record.id).filter(|rollout| rollout.is_bad());
            let of_rollout = bad.map(|rollout| {
                let why = rollout.watch.error.as_deref().unwrap_or_default();
                format!("its rollout {}: {why}", rollout.fate.sentence())
            });
            row.push(record.error.clone().or(of_rollout).unwrap_or_default());
        }
        row
    }));
    columns(&rows)
}

/// A list of records for programs.
pub(in crate::cli) fn json_of(records: &[Record], contents: &Contents) -> Value {
    let released = released(contents);
    let rollouts = rollouts::all(contents);
    let records = records.iter().map(|record| {
        let mut value = serde_json::to_value(record).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.insert("title".to_owned(), record.title().into());
            fields.insert("released".to_owned(), released.contains(&record.id).into());
            fields.insert("reference".to_owned(), record.image().into());
            if let Some(rollout) = rollouts.get(&record.id) {
                fields.insert(
                    "rollout".to_owned(),
                    of_rollout(rollout.fate, rollout.watch),
                );
            }
        }
        value
    });
    json!(records.collect::<Vec<_>>())
}

/// How a rollout ended, for programs.
pub(in crate::cli) fn of_rollout(fate: rollouts::Fate, watch: &Record) -> Value {
    json!({"state": fate.name(), "watch": watch.id, "reason": watch.error})
}

fn released(contents: &Contents) -> BTreeSet<&Id> {
    rollback::all_released(contents).into_values().collect()
}

/// Rows as columns of equal width; the first row is the head. What comes from outside cannot move the cursor.
pub(in crate::cli) fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|cell| printable(cell).replace('\t', " "))
                .collect()
        })
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(widest).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, wanted)| {
            let space = wanted.saturating_sub(width(cell));
            format!("{cell}{}", " ".repeat(space))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// How many cells of a terminal a text takes; the one wide character that we print ourselves counts twice.
fn width(text: &str) -> usize {
    text.chars().map(|c| 1 + usize::from(c == '🚀')).sum()
}

/// The mark of a state; the released deployment has its own, and one whose rollout failed that of an error.
fn mark(record: &Record, released: &BTreeSet<&Id>, rollout: Option<&Rollout<'_>>) -> &'static str {
    match record.state {
        State::Running => "●",
        State::Success if rollout.is_some_and(Rollout::is_bad) => "✖",
        State::Success if released.contains(&record.id) => "🚀",
        State::Success => "✔",
        State::Error => "✖",
        State::Interrupted => "?",
    }
}

/// The image with the beginning of its digest and of its commit.
fn details(record: &Record) -> String {
    let digest = record.facts.digest.as_ref().map(|digest| digest.short());
    let commit = record.commit.as_deref().map(|commit| {
        let end = commit
            .char_indices()
            .nth(7)
            .map_or(commit.len(), |(at, _)| at);
        format!("commit {}", &commit[..end])
    });
    let parts = [
        record.facts.image.clone(),
        digest.map(str::to_owned),
        commit,
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_LABEL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How long ago a time was; a date where that is long.
pub(in crate::cli) fn ago(time: SystemTime, now: SystemTime) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let Ok(passed) = now.duration_since(time) else {
        // Another machine's clock, or one that was set back.
        return date(time);
    };
    let (count, unit) = match passed.as_secs() {
        0 => return "just now".to_owned(),
        seconds if seconds < MINUTE => (seconds, "second"),
        seconds if seconds < HOUR => (seconds / MINUTE, "minute"),
        seconds if seconds < DAY => (seconds / HOUR, "hour"),
        seconds if seconds < 60 * DAY => (seconds / DAY, "day"),
        _ => return date(time),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

fn date(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = time.clamp(SystemTime::UNIX_EPOCH, last);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
