//! `overcoat.toml`: `[registry."HOST"]` tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::names::{checked_location, checked_prefix};
use super::{AskedFor, Error, Mirror, Rule, malformed};

/// The file; other tables are other people's business.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    registry: BTreeMap<String, Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    mirrors: Option<Vec<String>>,
    location: Option<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    plain_http: Option<bool>,
    insecure: Option<bool>,
    blocked: Option<bool>,
}

/// Reads the rules of a file. Paths in it are relative to its directory.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Rule>, Error> {
    let document: Document = toml::from_str(text).map_err(|error| malformed(path, text, &error))?;
    let rule = |(prefix, table)| rule(prefix, table, path);
    document.registry.into_iter().map(rule).collect()
}

fn rule(prefix: String, table: Table, path: &Path) -> Result<Rule, Error> {
    let refuse = |reason: String| Error {
        path: path.to_owned(),
        reason: format!("[registry.\"{prefix}\"]: {reason}"),
    };
    let beside = |file: PathBuf| path.parent().unwrap_or(Path::new("")).join(file);
    let identity = match (table.cert, table.key) {
        (Some(certificate), Some(key)) => Some((beside(certificate), beside(key))),
        (None, None) => None,
        (Some(_), None) => return Err(refuse("`cert` needs its `key`".to_owned())),
        (None, Some(_)) => return Err(refuse("`key` needs its `cert`".to_owned())),
    };
    let mirror = |text: String| {
        Ok(Mirror {
            location: checked_location(&text)?,
            insecure: false,
            asked_for: AskedFor::All,
        })
    };
    let mirrors = table
        .mirrors
        .map(|mirrors| mirrors.into_iter().map(mirror).collect());
    let location = table.location.map(|text| checked_location(&text));
    Ok(Rule {
        mirrors: mirrors.transpose().map_err(refuse)?,
        location: location.transpose().map_err(refuse)?,
        plain_http: table.plain_http,
        insecure: table.insecure,
        is_blocked: table.blocked,
        authorities: table.ca.map(beside),
        identity,
        file: path.to_owned(),
        prefix: checked_prefix(&prefix).map_err(refuse)?,
    })
}
