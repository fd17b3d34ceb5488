//! What the person has set for single registries: mirrors, certificates, plain HTTP.
//!
//! Three places say so, the first that has a setting wins:
//!
//! 1. overcoat's own file (`--registry-config FILE`, else `overcoat.toml`): `hosts::overcoat_toml`;
//! 2. `registries.conf` of podman, skopeo and buildah, with its drop-ins: `hosts::registries_conf`;
//! 3. directories of certificates, Docker's and podman's `certs.d/HOST`: `hosts::certs_d`, for certificates only.
//!
//! A rule holds for all names below its prefix; of several the longest counts. Reading asks the mirrors first and then
//! the registry; writing goes to the registry alone, under the name as it stands. Files are read when a registry is
//! first needed.

mod certs_d;
mod names;
mod overcoat_toml;
mod registries_conf;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use self::names::{matched, relocated};
use crate::fs;
use crate::http::{Identity, Tls};
use crate::reference::{Reference, is_loopback};

/// No settings are larger.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where settings for registries are looked for. Absent files and directories are passed over, but not `given`.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that `--registry-config` names, in the format of `overcoat.toml`; it must exist.
    pub given: Option<PathBuf>,
    /// The application's `overcoat.toml`; not read when there is a `given` one.
    pub project: Option<PathBuf>,
    /// containers' `registries.conf` and its drop-ins, in the order of reading: a later one's entry for a prefix
    /// replaces an earlier one's.
    pub registries_conf: Vec<PathBuf>,
    /// Directories with one directory of certificates per host; the first that has one for a host counts.
    pub certs_d: Vec<PathBuf>,
    /// Hosts, as references name them, that are spoken to over plain HTTP (`--insecure-registry`).
    pub plain_http: Vec<String>,
}

/// Settings that cannot be read or make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry settings in `{}` cannot be used: {reason}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// One entry of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rule {
    /// `HOST[:PORT][/PATH]`, or `*.DOMAIN`.
    prefix: String,
    /// What stands in the prefix's place when images are read.
    location: Option<String>,
    mirrors: Option<Vec<Mirror>>,
    plain_http: Option<bool>,
    insecure: Option<bool>,
    is_blocked: Option<bool>,
    authorities: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    /// The file that says so.
    file: PathBuf,
}

/// Another place that has the same images.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    /// What stands in the rule's prefix's place.
    location: String,
    insecure: bool,
    asked_for: AskedFor,
}

/// For which references a mirror is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedFor {
    All,
    Digests,
    Tags,
}

impl AskedFor {
    fn covers(self, reference: &Reference) -> bool {
        match self {
            Self::All => true,
            Self::Digests => reference.digest().is_some(),
            Self::Tags => reference.digest().is_none(),
        }
    }
}

/// Which way of speaking is tried first, and which is allowed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preference {
    /// TLS only.
    Tls,
    /// Plain HTTP; TLS when the server wants it.
    Plain,
    /// TLS; plain HTTP when the server has none.
    TlsThenPlain,
}

/// Where an image is asked for, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The host as references name it.
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) preference: Preference,
    pub(super) tls: Tls,
    pub(super) is_mirror: bool,
}

/// All settings, read when first needed.
#[derive(Debug)]
pub(super) struct Hosts {
    sources: Sources,
    rules: OnceLock<Result<Rules, Error>>,
}

#[derive(Clone, Debug, Default)]
struct Rules {
    own: Vec<Rule>,
    containers: Vec<Rule>,
}

/// Why there is no place.
#[derive(Debug)]
pub(super) enum Refusal {
    Settings(Error),
    /// The file that blocks the registry.
    Blocked(PathBuf),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Settings(error)
    }
}

impl Hosts {
    pub(super) fn new(sources: Sources) -> Self {
        Self {
            sources,
            rules: OnceLock::new(),
        }
    }

    /// Where to read an image, the best place first: mirrors, then its registry.
    pub(super) fn for_reading(&self, reference: &Reference) -> Result<Vec<Place>, Refusal> {
        let (host, repository) = (reference.host(), reference.repository());
        let name = format!("{host}/{repository}");
        let matching = self.matching(&name)?;
        matching.check_blocked()?;
        let mut places = Vec::new();
        if let Some((rule, mirrors)) = matching.first(|rule| rule.mirrors.as_ref()) {
            for mirror in mirrors {
                if mirror.asked_for.covers(reference) {
                    let (host, repository) = relocated(&name, rule, &mirror.location)?;
                    let mut place = self.place(&host, &repository, mirror.insecure)?;
                    place.is_mirror = true;
                    places.push(place);
                }
            }
        }
        places.push(match matching.first(|rule| rule.location.as_ref()) {
            Some((rule, location)) if *location != rule.prefix => {
                let (host, repository) = relocated(&name, rule, location)?;
                let insecure = matching.first(|rule| rule.insecure.as_ref());
                self.place(&host, &repository, insecure.is_some_and(|found| *found.1))?
            }
            _ => self.place(host, repository, false)?,
        });
        Ok(places)
    }

    /// Where to write: the registry that the name says.
    pub(super) fn for_writing(&self, host: &str, repository: &str) -> Result<Place, Refusal> {
        let name = format!("{host}/{repository}");
        self.matching(&name)?.check_blocked()?;
        Ok(self.place(host, repository, false)?)
    }

    /// How TLS is spoken with a host that a registry sends us to: by its own settings, else by the registry's
    /// authorities, but neither with its client certificate nor without verification.
    pub(super) fn tls_elsewhere(&self, host: &str, registry: &Tls) -> Result<Tls, Error> {
        let matching = self.matching(host)?;
        let mut tls = self.tls(host, &matching)?;
        tls.is_unverified = matching.is_insecure();
        if tls.authorities.is_empty() {
            tls.authorities.clone_from(&registry.authorities);
        }
        Ok(tls)
    }

    fn place(&self, host: &str, repository: &str, insecure: bool) -> Result<Place, Error> {
        let matching = self.matching(&format!("{host}/{repository}"))?;
        let is_listed = self.sources.plain_http.iter().any(|listed| listed == host);
        let plain = matching.first(|rule| rule.plain_http.as_ref());
        let insecure = insecure || matching.is_insecure();
        let preference = match plain.map(|(_, plain)| *plain) {
            _ if is_listed => Preference::Plain,
            Some(true) => Preference::Plain,
            None if is_loopback(host) => Preference::Plain,
            _ if insecure => Preference::TlsThenPlain,
            _ => Preference::Tls,
        };
        let mut tls = self.tls(host, &matching)?;
        tls.is_unverified = insecure;
        Ok(Place {
            host: host.to_owned(),
            repository: repository.to_owned(),
            preference,
            tls,
            is_mirror: false,
        })
    }

    fn tls(&self, host: &str, matching: &Matching<'_>) -> Result<Tls, Error> {
        let mut tls = certs_d::find(&self.sources.certs_d, host)?;
        if let Some((_, path)) = matching.first(|rule| rule.authorities.as_ref()) {
            tls.authorities = read(path)?;
        }
        if let Some((_, (certificate, key))) = matching.first(|rule| rule.identity.as_ref()) {
            tls.identity = Some(Identity {
                certificates: read(certificate)?,
                key: read(key)?,
            });
        }
        Ok(tls)
    }

    fn matching(&self, name: &str) -> Result<Matching<'_>, Error> {
        let rules = self.rules.get_or_init(|| self.sources.read());
        let rules = rules.as_ref().map_err(Clone::clone)?;
        let best = |rules: &'_ [Rule]| -> Option<usize> {
            let matching = rules.iter().enumerate().filter_map(|(position, rule)| {
                matched(name, &rule.prefix).map(|length| (rule.prefix.len(), length, position))
            });
            matching.max().map(|(_, _, position)| position)
        };
        Ok(Matching {
            own: best(&rules.own).map(|position| &rules.own[position]),
            containers: best(&rules.containers).map(|position| &rules.containers[position]),
        })
    }
}

/// The rules that hold for a name.
struct Matching<'a> {
    own: Option<&'a Rule>,
    containers: Option<&'a Rule>,
}

impl<'a> Matching<'a> {
    fn first<T>(&self, setting: impl Fn(&'a Rule) -> Option<T>) -> Option<(&'a Rule, T)> {
        let mut rules = [self.own, self.containers].into_iter().flatten();
        rules.find_map(|rule| setting(rule).map(|value| (rule, value)))
    }

    fn is_insecure(&self) -> bool {
        self.first(|rule| rule.insecure)
            .is_some_and(|found| found.1)
    }

    fn check_blocked(&self) -> Result<(), Refusal> {
        match self.first(|rule| rule.is_blocked) {
            Some((rule, true)) => Err(Refusal::Blocked(rule.file.clone())),
            _ => Ok(()),
        }
    }
}

impl Sources {
    fn read(&self) -> Result<Rules, Error> {
        let mut rules = Rules::default();
        if let Some(path) = &self.given {
            rules.own = overcoat_toml::parse(&text(path)?, path)?;
        } else if let Some(path) = &self.project
            && let Some(text) = text_if_present(path)?
        {
            rules.own = overcoat_toml::parse(&text, path)?;
        }
        for path in &self.registries_conf {
            let Some(text) = text_if_present(path)? else {
                continue;
            };
            for rule in registries_conf::parse(&text, path)? {
                rules
                    .containers
                    .retain(|earlier| earlier.prefix != rule.prefix);
                rules.containers.push(rule);
            }
        }
        Ok(rules)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read_limited(path, MAX_FILE_BYTES).map_err(|error| Error {
        path: path.to_owned(),
        reason: fs::reason(&error.source),
    })
}

fn text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read(path)?).map_err(|_| Error {
        path: path.to_owned(),
        reason: "it is not UTF-8".to_owned(),
    })
}

fn text_if_present(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_limited(path, MAX_FILE_BYTES) {
        Err(error) if error.is_absent() => Ok(None),
        _ => text(path).map(Some),
    }
}

/// What is wrong with a file that is not TOML, or not what we expect of one.
fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map(|span| {
        let before = text.get(..span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    });
    let line = line
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    Error {
        path: path.to_owned(),
        reason: format!("{line}{}", error.message().replace('\n', " ")),
    }
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
