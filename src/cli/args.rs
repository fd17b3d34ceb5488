//! Flags that several commands share, and how their values are read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::ui::{Detail, Progress, S2iOutput};

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Shared {
    /// Keep images, layers and caches in DIR [default: $XDG_DATA_HOME/overcoat]
    #[arg(long, value_name = "DIR", env = super::env::STORE, global = true)]
    pub store: Option<PathBuf>,

    /// The project's file [default: overcoat.toml here or in a directory above]
    #[arg(long, value_name = "FILE", env = "OVERCOAT_CONFIG", global = true)]
    pub config: Option<PathBuf>,

    /// Keep records of what is done in DIR [default: .overcoat/history beside overcoat.toml]
    #[arg(long, value_name = "DIR", env = "OVERCOAT_HISTORY", global = true)]
    pub history: Option<PathBuf>,

    /// Speak plain HTTP with this registry; loopback hosts need no flag
    ///
    /// HOST as it stands in references, with its port: `registry.local:5000`. May be given several times.
    #[arg(long, value_name = "HOST", global = true)]
    pub insecure_registry: Vec<String>,

    /// Settings of registries: mirrors, certificates, plain HTTP [default: overcoat.toml beside the application]
    #[arg(long, value_name = "FILE", global = true)]
    pub registry_config: Option<PathBuf>,

    /// Give up a pull or a push after this time, `90s`, `2h` [default: no limit as long as bytes move]
    #[arg(long, value_name = "TIME", value_parser = duration, global = true)]
    pub registry_timeout: Option<Duration>,

    /// How many connections to have to one registry at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), default_value_t = 4, global = true)]
    pub registry_connections: u8,

    /// How to show progress, on stderr
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        default_value = "auto",
        global = true
    )]
    pub progress: Progress,

    /// What was decided before this command started itself again in a user namespace
    #[arg(long, hide = true, global = true)]
    pub entered: Option<String>,

    /// How `build --check` builds for the second time: `ISOLATION:ROOTFS:NAME`
    #[arg(long, hide = true, global = true)]
    pub check_with: Option<String>,

    /// Where the password of `--creds` is for this command when it started itself again
    #[arg(long, hide = true, global = true)]
    pub creds_file: Option<PathBuf>,

    /// What this command brought here before it started itself again
    #[arg(long, hide = true, global = true)]
    pub brought_file: Option<PathBuf>,

    /// Where this command, started again, writes down that the previous image gave artifacts
    #[arg(long, hide = true, global = true)]
    pub artifacts_file: Option<PathBuf>,

    /// Where this command, started again, writes down what it built
    #[arg(long, hide = true, global = true)]
    pub report_file: Option<PathBuf>,

    /// True when this command is to end when the one that started it is gone
    #[arg(long, hide = true, global = true)]
    pub ends_with_parent: bool,

    /// The file with which a build that another command started says that there is something to be done; it waits until the file is gone
    #[arg(long, hide = true, global = true)]
    pub begin_file: Option<PathBuf>,

    /// The log of the record that this command, started again, is a part of
    #[arg(long, hide = true, global = true)]
    pub log_file: Option<PathBuf>,

    /// Which application of the project this command builds when it was started for one of several
    #[arg(long, hide = true, global = true)]
    pub only_application: Option<String>,

    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// What is shown when this program is called as `s2i`
    #[arg(skip)]
    pub s2i: Option<S2iOutput>,
}

impl Shared {
    /// How much to say; `quiet` is the `-q` of commands that have one.
    pub fn detail(&self, quiet: bool) -> Detail {
        match (quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (false, true) => Detail::Verbose,
            (false, false) => Detail::Normal,
        }
    }
}

/// How lists are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Reads `NAME=VALUE`.
///
/// # Errors
/// A sentence for clap when there is no `=` or no name.
pub fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the name before `=` is empty".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Reads `KEY=VALUE` of a label; the same keys are refused as in `overcoat.toml`.
///
/// # Errors
/// A sentence for clap when it is none, or one that overcoat writes itself.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = variable(text)?;
    crate::project::check_label(&key)?;
    Ok((key, value))
}

/// Reads `USER[:GROUP]`, names or numbers; which of them exist only the image knows. Empty text is passed on.
///
/// # Errors
/// A sentence for clap when no image configuration can mean this.
pub fn user(text: &str) -> Result<String, String> {
    let is_plain = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | '/' | '\0'))
    };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if text.is_empty() || (is_plain(user) && group.is_none_or(is_plain)) {
        return Ok(text.to_owned());
    }
    Err("expected USER or USER:GROUP, each a name or a number".to_owned())
}

/// Reads a number of layers that an image can have.
pub fn layers(text: &str) -> Result<usize, String> {
    let most = crate::build::MOST_LAYERS;
    let count = text.parse().ok().filter(|count| (2..=most).contains(count));
    count.ok_or_else(|| format!("expected a number from 2 to {most}"))
}

/// Reads a number of bytes, with or without a unit of 1024 (`k`, `m`, `g`, `t`, as people write them: `10GB`, `1.5g`).
///
/// # Errors
/// A sentence for clap when it is no number, or less than none.
pub fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        "t" | "tb" | "ti" | "tib" => 1 << 40,
        unit => return Err(format!("`{unit}` is no unit: use k, m, g or t")),
    };
    let number = digits.parse().ok().filter(|number: &f64| *number >= 0.0);
    let bytes = number.map(|number| number * factor as f64);
    let bytes = bytes.filter(|bytes| bytes.is_finite());
    // What is too large becomes the largest number: no limit at all.
    bytes
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("`{text}` is no size"))
}

/// Reads a time span: seconds, or `10m`, `1h 30m`, `30d`.
///
/// # Errors
/// A sentence for clap when it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// As [`duration`], for how long something may take: no time at all is a mistake.
///
/// # Errors
/// What is wrong with it.
pub fn time_limit(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing can be done in no time at all".to_owned()),
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_our_own_are_nobody_else_s() {
        let own = |key: &str| label(&format!("{key}=v"));
        assert_eq!(own("team").unwrap(), ("team".to_owned(), "v".to_owned()));
        for key in ["io.overcoat.z", "", "a b"] {
            assert!(own(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_user_is_one_name_or_number_and_perhaps_a_group() {
        for good in ["", "root", "0", "1001:0", "default:users", "a.b-c_d"] {
            assert_eq!(user(good).as_deref(), Ok(good));
        }
        for bad in [":", "root:", ":0", "1:2:3", "a b", "a\nb", "/etc"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
    }
}
