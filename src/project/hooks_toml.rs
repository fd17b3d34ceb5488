//! `[[hooks]]` of `overcoat.toml`.

use std::time::Duration;

use super::error::listed;
use super::nearest::nearest;
use super::table::{Entry, Table};
use super::text::Text;
use super::{Error, Hook, OnFailure, Operation, When};

const KEYS: [&str; 7] = [
    "operation",
    "when",
    "command",
    "on-failure",
    "timeout",
    "applications",
    "environments",
];
const OPERATIONS: [(&str, Operation); 5] = [
    ("build", Operation::Build),
    ("push", Operation::Push),
    ("promote", Operation::Promote),
    ("deploy", Operation::Deploy),
    ("release", Operation::Release),
];
const WHENS: [(&str, When); 3] = [
    ("before", When::Before),
    ("after", When::After),
    ("failure", When::Failure),
];
const ON_FAILURES: [(&str, OnFailure); 2] =
    [("fail", OnFailure::Fail), ("continue", OnFailure::Continue)];

/// Reads all hooks in their order. Whether their applications and environments exist is for later: other files have some.
pub(super) fn read(file: &Text, entry: &Entry<'_>) -> Result<Vec<Hook>, Error> {
    let tables = entry.tables()?;
    tables.iter().map(|table| hook(file, table)).collect()
}

fn hook(file: &Text, table: &Table<'_>) -> Result<Hook, Error> {
    table.only(&KEYS)?;
    let lacks = |key: &str| {
        let reason = format!("this hook has no `{key}`");
        file.refuse(table.line, reason)
    };
    let command = table.get("command").ok_or_else(|| lacks("command"))?;
    if let Ok(text) = command.any_text() {
        return Err(file.refuse_with(
            command.line,
            "`command` is a list, the program and its arguments: no shell takes it apart",
            [format!(
                "write `command = [\"sh\", \"-c\", {:?}]` if it needs a shell",
                text.value
            )],
        ));
    }
    let words = command.texts()?.value;
    if words.is_empty() {
        return Err(command.refuse("it is empty: it names no program"));
    }
    Ok(Hook {
        operation: one_of(table, "operation", &OPERATIONS)?.ok_or_else(|| lacks("operation"))?,
        when: one_of(table, "when", &WHENS)?.ok_or_else(|| lacks("when"))?,
        command: words,
        on_failure: one_of(table, "on-failure", &ON_FAILURES)?.unwrap_or_default(),
        timeout: table.get("timeout").map(timeout).transpose()?,
        applications: names(table, "applications")?,
        environments: names(table, "environments")?,
        origin: file.origin(table.line),
    })
}

fn names(table: &Table<'_>, key: &str) -> Result<Vec<String>, Error> {
    let names = table.texts(key)?;
    Ok(names.map(|names| names.value).unwrap_or_default())
}

fn timeout(entry: &Entry<'_>) -> Result<Duration, Error> {
    let text = entry.text()?.value;
    match humantime::parse_duration(&text) {
        Ok(time) if time.is_zero() => Err(entry.refuse("no time at all is too short")),
        Ok(time) => Ok(time),
        Err(error) => Err(entry.refuse(format!(
            "`{text}` is no time span ({error}): write `30s`, or `5m`"
        ))),
    }
}

/// The value of a key that may have one of a few.
fn one_of<T: Copy>(table: &Table<'_>, key: &str, values: &[(&str, T)]) -> Result<Option<T>, Error> {
    let Some(entry) = table.get(key) else {
        return Ok(None);
    };
    let text = entry.text()?.value;
    if let Some((_, value)) = values.iter().find(|(name, _)| *name == text) {
        return Ok(Some(*value));
    }
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let meant = match nearest(&text, &names) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let reason = format!("`{text}` is none of {}{meant}", listed(&names));
    Err(entry.refuse(reason))
}
