//! Names as they stand in files of settings: what a prefix covers, and what takes its place.

use super::{Error, Rule};
use crate::reference::{Reference, registry_host};

/// How much of `name` a prefix covers, in bytes; `None` when it does not cover it.
///
/// # Spec
/// `containers-registries.conf(5)`, *Choosing a [[registry]] TOML table*.
pub(super) fn matched(name: &str, prefix: &str) -> Option<usize> {
    let is_end = |length: usize| matches!(name.as_bytes().get(length), None | Some(b'/'));
    match prefix.strip_prefix('*') {
        Some(domain) => {
            let host = name.split('/').next().unwrap_or_default();
            // `*.example.com` is for the hosts below, whatever their port.
            let bare = match host.rsplit_once(':') {
                Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
                _ => host,
            };
            let fits = |host: &str| host.len() > domain.len() && host.ends_with(domain);
            match (fits(host), fits(bare)) {
                (true, _) => Some(host.len()),
                (false, true) => Some(bare.len()),
                (false, false) => None,
            }
        }
        None => (name.starts_with(prefix) && is_end(prefix.len())).then_some(prefix.len()),
    }
}

/// Host and repository of `name` with `location` in the place of what the rule's prefix covers.
pub(super) fn relocated(
    name: &str,
    rule: &Rule,
    location: &str,
) -> Result<(String, String), Error> {
    let covered = matched(name, &rule.prefix).unwrap_or_default();
    let moved = format!("{location}{}", &name[covered..]);
    let refuse = |reason: String| Error {
        path: rule.file.clone(),
        reason: format!("`{}` would be read from `{moved}`: {reason}", rule.prefix),
    };
    let Some((host, repository)) = moved.split_once('/') else {
        return Err(refuse("that names no repository".to_owned()));
    };
    if repository.contains([':', '@']) {
        return Err(refuse("that has a tag or a digest".to_owned()));
    }
    // A host without a dot is one here, and `docker.io/x` needs no `library/`: only the parts are checked.
    let reference: Reference = format!("overcoat.invalid/{repository}")
        .parse()
        .map_err(|error: crate::reference::ParseError| refuse(error.reason))?;
    let host = checked_host(host).map_err(refuse)?;
    Ok((host, reference.repository().to_owned()))
}

/// A host in a file of settings, where names without a dot are hosts as well.
fn checked_host(host: &str) -> Result<String, String> {
    if let Ok(host) = registry_host(host) {
        return Ok(host);
    }
    // A port makes it one for certain.
    match registry_host(&format!("{host}:1")) {
        Ok(_) => Ok(host.to_owned()),
        Err(_) => Err(format!("`{}` is not a registry host", host.escape_debug())),
    }
}

/// Checks `HOST[:PORT][/PATH]` as it stands in files of settings.
pub(super) fn checked_location(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("leave out `{scheme}://`"));
    }
    let (host, path) = match text.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (text, None),
    };
    let host = checked_host(host)?;
    match path {
        None => Ok(host),
        Some(path) => Ok(format!("{host}/{path}")),
    }
}

/// As [`checked_location`], or `*.DOMAIN`.
pub(super) fn checked_prefix(text: &str) -> Result<String, String> {
    match text.strip_prefix("*.") {
        Some(domain) => checked_host(domain).map(|_| text.to_owned()),
        None => checked_location(text),
    }
}
