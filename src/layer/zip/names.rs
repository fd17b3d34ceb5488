//! Which names members may have.

use std::collections::BTreeSet;

use super::Error;
use super::directory::Record;
use crate::layer::EntryPath;

/// Refuses names that are no plain relative paths, and names that meet on disk.
pub(super) fn check(records: &[Record]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for Record { name, .. } in records {
        let refuse = |reason: &str| Error::member(name, reason);
        check_one(name).map_err(|reason| refuse(&reason))?;
        if !seen.insert(name.strip_suffix('/').unwrap_or(name)) {
            return Err(refuse("is there twice"));
        }
    }
    let files: BTreeSet<&str> = records
        .iter()
        .map(|record| record.name.as_str())
        .filter(|name| !name.ends_with('/'))
        .collect();
    for Record { name, .. } in records {
        let path = name.strip_suffix('/').unwrap_or(name);
        let mut above = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        if let Some(file) = above.find(|above| files.contains(above)) {
            let reason = format!("is in `{}`, which is a file", file.escape_debug());
            return Err(Error::member(name, reason));
        }
    }
    Ok(())
}

fn check_one(name: &str) -> Result<(), String> {
    let path = name.strip_suffix('/').unwrap_or(name);
    let drive = path.as_bytes();
    let reason = if path.is_empty() {
        "has no name"
    } else if name.starts_with('/') {
        "has an absolute name"
    } else if name.contains('\\') {
        "has a backslash in its name"
    } else if drive.len() > 1 && drive[0].is_ascii_alphabetic() && drive[1] == b':' {
        "has a name that begins with a drive"
    } else if name.chars().any(char::is_control) {
        "has a control character in its name"
    } else {
        let parsed = EntryPath::parse(path.as_bytes());
        let parsed = parsed.map_err(|error| format!("has a name that {}", error.reason))?;
        if parsed.as_bytes() == path.as_bytes() {
            return Ok(());
        }
        "has a name with empty or `.` components"
    };
    Err(reason.to_owned())
}
