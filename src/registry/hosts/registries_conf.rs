//! `registries.conf` of podman, skopeo and buildah.
//!
//! What is for short names (`unqualified-search-registries`, `[aliases]`) is not looked at: ours are Docker Hub's.
//!
//! # Spec
//! `containers-registries.conf(5)`, version 2; of version 1 the lists of insecure and blocked hosts.

use std::path::Path;

use serde::Deserialize;

use super::names::{checked_location, checked_prefix};
use super::{AskedFor, Error, Mirror, Rule, malformed};

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    registry: Vec<Registry>,
    registries: Option<VersionOne>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Endpoint {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<String>,
}

#[derive(Deserialize)]
struct VersionOne {
    #[serde(default)]
    insecure: HostList,
    #[serde(default)]
    block: HostList,
}

#[derive(Default, Deserialize)]
struct HostList {
    #[serde(default)]
    registries: Vec<String>,
}

/// Reads the rules of a file, in its order.
pub(super) fn parse(text: &str, path: &Path) -> Result<Vec<Rule>, Error> {
    let document: Document = toml::from_str(text).map_err(|error| malformed(path, text, &error))?;
    let mut rules = Vec::new();
    for registry in document.registry {
        rules.push(rule(registry, path)?);
    }
    if let Some(VersionOne { insecure, block }) = document.registries {
        if !rules.is_empty() {
            return Err(Error {
                path: path.to_owned(),
                reason:
                    "it mixes the formats of version 1 (`[registries.…]`) and 2 (`[[registry]]`)"
                        .to_owned(),
            });
        }
        rules = version_one(&insecure.registries, &block.registries, path)?;
    }
    Ok(rules)
}

fn rule(registry: Registry, path: &Path) -> Result<Rule, Error> {
    let named = match registry.prefix.as_str() {
        "" => registry.location.clone(),
        prefix => prefix.to_owned(),
    };
    let refuse = |reason: String| Error {
        path: path.to_owned(),
        reason: format!("the registry `{named}`: {reason}"),
    };
    let prefix = checked_prefix(&named).map_err(refuse)?;
    let is_wildcard = prefix.starts_with('*');
    let location = match registry.location.as_str() {
        "" if is_wildcard => None,
        "" => Some(prefix.clone()),
        location => Some(checked_location(location).map_err(refuse)?),
    };
    let by_digest_only = registry.mirror_by_digest_only;
    let mirror = |endpoint: Endpoint| {
        let asked_for = match endpoint.pull_from_mirror.as_deref() {
            None | Some("") if by_digest_only => AskedFor::Digests,
            None | Some("" | "all") => AskedFor::All,
            Some("digest-only") => AskedFor::Digests,
            Some("tag-only") => AskedFor::Tags,
            Some(other) => return Err(format!("`pull-from-mirror` cannot be `{other}`")),
        };
        Ok(Mirror {
            location: checked_location(&endpoint.location)?,
            insecure: endpoint.insecure,
            asked_for,
        })
    };
    let mirrors: Result<Vec<Mirror>, String> = registry.mirror.into_iter().map(mirror).collect();
    let mirrors = mirrors.map_err(refuse)?;
    Ok(Rule {
        mirrors: Some(mirrors),
        location,
        insecure: Some(registry.insecure),
        is_blocked: Some(registry.blocked),
        file: path.to_owned(),
        prefix,
        ..Rule::default()
    })
}

fn version_one(insecure: &[String], block: &[String], path: &Path) -> Result<Vec<Rule>, Error> {
    let mut rules: Vec<Rule> = Vec::new();
    for (hosts, is_blocked) in [(insecure, false), (block, true)] {
        for host in hosts {
            let prefix = checked_location(host).map_err(|reason| Error {
                path: path.to_owned(),
                reason: format!("the registry `{host}`: {reason}"),
            })?;
            let known = rules.iter_mut().find(|rule| rule.prefix == prefix);
            let rule = match known {
                Some(rule) => rule,
                None => {
                    rules.push(Rule {
                        prefix,
                        file: path.to_owned(),
                        ..Rule::default()
                    });
                    rules.last_mut().expect("one was just added")
                }
            };
            match is_blocked {
                true => rule.is_blocked = Some(true),
                false => rule.insecure = Some(true),
            }
        }
    }
    Ok(rules)
}
