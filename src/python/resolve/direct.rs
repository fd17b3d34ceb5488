//! Requirements that say where their one file is: `name @ https://…/name-1.0-py3-none-any.whl`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pep508_rs::VersionOrUrl;

use crate::python::{PackageName, RemoteWheel, WheelName};

use super::candidate::{Candidate, File};
use super::error::Error;
use super::request::{Request, Required};

/// The one file that a package may come from.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub(super) candidate: Candidate,
}

/// The direct references of requirements and constraints.
///
/// # Errors
/// [`Error::Inexpressible`] for one that is no wheel for this package, [`Error::Conflict`] for two different ones.
pub(super) fn directs(request: &Request<'_>) -> Result<BTreeMap<PackageName, Direct>, Error> {
    let mut found: BTreeMap<PackageName, (Direct, String)> = BTreeMap::new();
    let all = request.requirements.iter().chain(request.constraints);
    for required in super::active_of(all, request.target) {
        let requirement = &required.requirement;
        let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url else {
            continue;
        };
        let wanted_by = wanted_by(required);
        let candidate = candidate(&requirement.name, url).map_err(|reason| {
            let wanted_by = wanted_by.clone();
            Error::Inexpressible { wanted_by, reason }
        })?;
        let before = found.get(&requirement.name);
        if let Some((before, by)) = before
            && before.candidate != candidate
        {
            let facts = format!("  {by}\n  {wanted_by}");
            return Err(Error::Conflict { facts });
        }
        found.insert(requirement.name.clone(), (Direct { candidate }, wanted_by));
    }
    let without_origin = found.into_iter().map(|(name, (direct, _))| (name, direct));
    Ok(without_origin.collect())
}

/// `requirements.txt:3 wants `flask<2``.
pub(super) fn wanted_by(required: &Required) -> String {
    format!(
        "{} wants `{}`",
        required.origin,
        shown(&required.requirement)
    )
}

/// A requirement without its marker, its origin, and credentials in its URL.
pub(super) fn shown(requirement: &pep508_rs::Requirement) -> String {
    let extras: Vec<String> = requirement.extras.iter().map(ToString::to_string).collect();
    let mut text = requirement.name.to_string();
    if !extras.is_empty() {
        text.push_str(&format!("[{}]", extras.join(",")));
    }
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            let specifiers: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
            text.push_str(&specifiers.join(","));
        }
        Some(VersionOrUrl::Url(url)) => {
            text.push_str(&format!(" @ {}", without_credentials(url.raw().as_str())));
        }
        None => {}
    }
    text
}

/// A URL without the part before `@` in its authority.
pub(super) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// The wheel at a URL, or why it is none.
fn candidate(name: &PackageName, url: &pep508_rs::VerbatimUrl) -> Result<Candidate, String> {
    let url = url.raw();
    if !["https", "http", "file"].contains(&url.scheme()) {
        return Err(format!("`{}` is not a place for wheels", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL has credentials in it".to_owned());
    }
    let file = url.path().rsplit('/').next().unwrap_or_default();
    // The one character of a wheel's name that may be encoded in a URL.
    let file = file.replace("%2B", "+").replace("%2b", "+");
    let wheel: WheelName = file.parse().map_err(|error| format!("{error}"))?;
    if wheel.name != *name {
        return Err(format!("the wheel is of `{}`", wheel.name));
    }
    let mut digest = None;
    for (key, value) in url.fragment().into_iter().flat_map(pairs) {
        match key {
            "sha256" => {
                let text = format!("sha256:{}", value.to_ascii_lowercase());
                digest = Some(text.parse().map_err(|error| format!("{error}"))?);
            }
            "sha384" | "sha512" | "md5" | "sha1" | "sha224" => {
                return Err(format!("its hash is {key}, not sha256"));
            }
            _ => {}
        }
    }
    let mut plain = url.clone();
    plain.set_fragment(None);
    let wheel = RemoteWheel {
        name: wheel,
        url: plain.into(),
        digest,
        size: None,
    };
    Ok(Candidate {
        version: wheel.name.version.clone(),
        file: File::Wheel(Arc::new(wheel)),
    })
}

fn pairs(fragment: &str) -> impl Iterator<Item = (&str, &str)> {
    fragment.split('&').filter_map(|pair| pair.split_once('='))
}
