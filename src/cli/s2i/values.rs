//! How the values of s2i's flags are read.

use std::str::FromStr;

use clap::{Arg, ArgAction, Command};

use crate::build::{ArtifactError, RuntimeArtifact, callback};
use crate::source::IgnoreFile;

/// The value of `--runtime-artifact`: one or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Artifacts(pub(in crate::cli) Vec<RuntimeArtifact>);

impl FromStr for Artifacts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let list = RuntimeArtifact::parse_list(text).map_err(|error| match error {
            ArtifactError::Unusable { reason, .. } => reason,
            error => error.to_string(),
        })?;
        Ok(Self(list))
    }
}

/// Reads a URL that can be called; an empty one is passed on and means none.
///
/// # Errors
/// A sentence for clap, which shows what was typed.
pub(super) fn callback_url(text: &str) -> Result<String, String> {
    match text.is_empty() || callback::is_url(text) {
        true => Ok(text.to_owned()),
        false => Err("expected an `http://` or `https://` URL".to_owned()),
    }
}

/// Reads a truth value as Go does.
///
/// # Spec
/// Go, `strconv.ParseBool`; s2i's flag library (pflag) takes a value only after `=`.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("expected `true` or `false`".to_owned()),
    }
}

/// Lets every switch take a value after `=`, also `false`: `--quiet=true`.
pub(in crate::cli) fn with_truth_values(command: Command) -> Command {
    let command = command.mut_args(|arg| match is_switch(&arg) {
        true => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .value_name("BOOL")
            .value_parser(truth),
        false => arg,
    });
    command.mut_subcommands(with_truth_values)
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Lets the value of an option begin with a dash, as pflag does: `--allowed-uids -1000`.
pub(super) fn with_dashes(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let takes_any = arg.get_action().takes_values() && !arg.is_require_equals_set();
        match takes_any && !arg.is_positional() {
            true => arg.allow_hyphen_values(true),
            false => arg,
        }
    });
    command.mut_subcommands(with_dashes)
}

/// A file of the source that says what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct IgnoreName(pub(in crate::cli) IgnoreFile);

impl std::str::FromStr for IgnoreName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('.').unwrap_or(text) {
            "dockerignore" => Ok(Self(IgnoreFile::Docker)),
            "gitignore" => Ok(Self(IgnoreFile::Git)),
            "s2iignore" => Ok(Self(IgnoreFile::S2i)),
            _ => Err("expected `.dockerignore` or `.gitignore`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_said_as_in_go() {
        for (text, expected) in [
            ("true", true),
            ("T", true),
            ("1", true),
            ("false", false),
            ("0", false),
        ] {
            assert_eq!(truth(text), Ok(expected));
        }
        for wrong in ["", "yes", "on", "tRUE"] {
            assert!(truth(wrong).is_err(), "{wrong:?}");
        }
    }
}
