//! `.s2ifile`: what was asked for, kept beside the work for the next time.
//!
//! # Spec
//! `s2i-compat.md` §1.7. Lists are lists in our files; those that s2i wrote are read, with their brackets.

use std::collections::BTreeMap;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use serde::{Deserialize, Serialize};

use super::args::{BuildArgs, Cli, Command, command};
use super::messages;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;

const FILE: &str = ".s2ifile";
const OLD_FILE: &str = ".stifile";
/// No such file is larger.
const LARGEST: u64 = 1 << 20;
/// What s2i writes there and means nothing here: flags of engines, and what every call says anew.
const IGNORED: [&str; 8] = [
    "url",
    "ca",
    "cert",
    "key",
    "tls",
    "tlsverify",
    "loglevel",
    "use-config",
];

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    builder_image: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tag: String,
    flags: BTreeMap<String, Value>,
}

/// The value of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    One(String),
    List(Vec<String>),
}

/// Completes what was typed with what the file in the working directory has. Without a file nothing changes.
///
/// # Errors
/// [`Code::Usage`] for a file that cannot be read, and for flags in it that there are not.
pub(super) fn complete(
    args: BuildArgs,
    typed: &ArgMatches,
    shared: &Shared,
) -> Result<BuildArgs, Diagnostic> {
    let current = Path::new(FILE);
    let old = Path::new(OLD_FILE);
    let path = match (current.exists(), old.exists()) {
        (true, _) => current,
        (false, true) => {
            if shared.entered.is_none() {
                messages::say(&format!(
                    "WARNING: `{OLD_FILE}` is deprecated, call it `{FILE}`"
                ));
            }
            old
        }
        (false, false) => return Ok(args),
    };
    let bytes = crate::fs::read_limited(path, LARGEST)?;
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| {
        Diagnostic::new(
            Code::Usage,
            format!("`{}` cannot be used: {error}", path.display()),
        )
        .hint("remove it, and say everything by flags once; it is then written anew")
    })?;
    let arguments = arguments(&stored, typed, &args.positionals, path)?;
    let parsed = command().try_get_matches_from(arguments);
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed.map(|cli| cli.command) {
        Ok(Some(Command::Build(args))) => Ok(*args),
        Ok(_) => Err(Diagnostic::new(
            Code::Internal,
            "a build became another command",
        )),
        Err(error) => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            let text = text.lines().next().unwrap_or_default();
            Err(Diagnostic::new(
                Code::Usage,
                format!("`{}` cannot be used: {text}", path.display()),
            )
            .hint("correct or remove it"))
        }
    }
}

/// The command line that means both: flags that were typed win over those of the file, whole lists over whole lists.
fn arguments(
    stored: &Stored,
    typed: &ArgMatches,
    positionals: &[String],
    path: &Path,
) -> Result<Vec<String>, Diagnostic> {
    let kinds = kinds();
    let mut flags = explicit(typed)?;
    for (name, value) in &stored.flags {
        let number = name
            .strip_prefix("env-")
            .filter(|n| n.parse::<u32>().is_ok());
        let name = number.map_or(name.as_str(), |_| "env");
        if IGNORED.contains(&name) {
            continue;
        }
        let Some(is_list) = kinds.get(name) else {
            let text = format!("`{}` has a flag `{name}` that there is not", path.display());
            return Err(Diagnostic::new(Code::Usage, text).hint("remove it there"));
        };
        if explicit_has(typed, name) {
            continue;
        }
        let values = match value {
            Value::List(list) => list.clone(),
            Value::One(text) if *is_list && number.is_none() => unbracketed(text),
            Value::One(text) => vec![text.clone()],
        };
        flags.entry(name.to_owned()).or_default().extend(values);
    }
    let mut arguments = vec![
        "s2i".to_owned(),
        "build".to_owned(),
        "--use-config=true".to_owned(),
    ];
    for (name, values) in flags {
        arguments.extend(values.iter().map(|value| format!("--{name}={value}")));
    }
    arguments.push("--".to_owned());
    match positionals.len() {
        0 | 1 => {
            let all = [&stored.source, &stored.builder_image, &stored.tag];
            arguments.extend(all.into_iter().take_while(|text| !text.is_empty()).cloned());
        }
        _ => arguments.extend_from_slice(positionals),
    }
    Ok(arguments)
}

/// Writes down what was asked for.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn save(args: &BuildArgs, typed: &ArgMatches) -> Result<(), Diagnostic> {
    let bytes = match std::fs::metadata(FILE) {
        Ok(_) => crate::fs::read_limited(Path::new(FILE), LARGEST)?,
        Err(_) => Vec::new(),
    };
    let old: Stored = serde_json::from_slice(&bytes).unwrap_or_default();
    let stored = merged(old, args, typed)?;
    let text = serde_json::to_string(&stored).unwrap_or_default() + "\n";
    // Sources and scripts may be named with a password.
    crate::fs::write_private(Path::new(FILE), text.as_bytes())?;
    Ok(())
}

fn merged(old: Stored, args: &BuildArgs, typed: &ArgMatches) -> Result<Stored, Diagnostic> {
    let kinds = kinds();
    let positional = |at: usize| args.positionals.get(at).cloned().unwrap_or_default();
    let mut flags = BTreeMap::new();
    for (name, value) in old.flags {
        let name = match name.strip_prefix("env-") {
            Some(number) if number.parse::<u32>().is_ok() => "env",
            _ => &name,
        };
        if explicit_has(typed, name) || IGNORED.contains(&name) {
            continue;
        }
        let value = match (value, kinds.get(name)) {
            (Value::One(text), Some(true)) => match flags.remove(name) {
                Some(Value::List(list)) => Value::List([list, vec![text]].concat()),
                _ if name == "env" => Value::List(vec![text]),
                _ => Value::List(unbracketed(&text)),
            },
            (value, _) => value,
        };
        flags.insert(name.to_owned(), value);
    }
    for (name, mut values) in explicit(typed)? {
        let value = match kinds.get(name.as_str()) {
            Some(true) => Value::List(values),
            _ => Value::One(values.pop().unwrap_or_default()),
        };
        flags.insert(name, value);
    }
    Ok(Stored {
        source: positional(0),
        builder_image: positional(1),
        tag: positional(2),
        flags,
    })
}

/// The flags of `build` that the file may have, and which of them are lists.
fn kinds() -> BTreeMap<String, bool> {
    let mut all = command();
    all.build();
    let build = all.find_subcommand("build").cloned().unwrap_or_default();
    let own = build.get_arguments().filter(|arg| !arg.is_global_set());
    let kind = |arg: &clap::Arg| {
        let is_list = matches!(arg.get_action(), clap::ArgAction::Append);
        Some((arg.get_long()?.to_owned(), is_list))
    };
    own.filter_map(kind)
        .filter(|(name, _)| {
            !IGNORED.contains(&name.as_str()) && !["help", "creds"].contains(&name.as_str())
        })
        .collect()
}

/// The flags that were typed, by their names, with their values.
fn explicit(typed: &ArgMatches) -> Result<BTreeMap<String, Vec<String>>, Diagnostic> {
    let mut all = command();
    all.build();
    let build = all.find_subcommand("build").cloned().unwrap_or_default();
    let kinds = kinds();
    let mut found = BTreeMap::new();
    for arg in build.get_arguments() {
        let id = arg.get_id().as_str();
        let Some(long) = arg.get_long().filter(|long| kinds.contains_key(*long)) else {
            continue;
        };
        if typed.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = typed.get_raw(id).into_iter().flatten();
        let text = |value: &std::ffi::OsStr| value.to_str().map(str::to_owned);
        let values: Option<Vec<String>> = values.map(text).collect();
        let values = values.ok_or_else(|| {
            Diagnostic::new(Code::Usage, format!("the value of `--{long}` is not UTF-8"))
                .hint(format!("`{FILE}` cannot hold it"))
        })?;
        found.insert(long.to_owned(), values);
    }
    Ok(found)
}

fn explicit_has(typed: &ArgMatches, name: &str) -> bool {
    explicit(typed).is_ok_and(|flags| flags.contains_key(name))
}

/// The entries of a list as s2i writes it: `[a,b]`, in more brackets after each build.
fn unbracketed(text: &str) -> Vec<String> {
    let mut inner = text;
    while let Some(rest) = inner
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        inner = rest;
    }
    let parts = inner.split(',').filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
