//! Who we are to a registry: what the person has just said, then files that `overcoat login`, `docker login` and
//! `podman login` write, then what a CI puts into the environment, then `.netrc`.
//!
//! The files have two formats that are almost one: Docker's `config.json` and containers' `auth.json`. The most specific
//! key wins: for `quay.io/org/team/app` that is `quay.io/org/team/app`, then `quay.io/org/team`, `quay.io/org`, `quay.io`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde_json::{Map, Value, json};

use super::Error;
use super::error::shown;
use crate::fs;
use crate::http::netrc;
use crate::reference::DEFAULT_REGISTRY;

/// No list of credentials is larger.
pub(super) const MAX_FILE_BYTES: u64 = 4 << 20;
/// The key and the name towards helpers under which `docker login` keeps Docker Hub's credentials.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for sending.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// What proves who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A name and its password, or a token in the password's place.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that buys access tokens.
    ///
    /// # Spec
    /// Docker's token authentication, *OAuth2* (`grant_type=refresh_token`).
    IdentityToken(Secret),
}

/// A credential and, for messages, where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) credential: Credential,
    pub(super) origin: String,
}

/// A credential for one host that is in nobody's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromEnvironment {
    /// The host as references name it.
    pub host: String,
    /// The credential.
    pub credential: Credential,
    /// Where it was found, for messages: the variables' names.
    pub origin: String,
}

/// Where credentials are looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// Given for one host, such as by `--creds`; asked first.
    pub(super) explicit: BTreeMap<String, Credential>,
    /// Files of either format; the first with an entry wins, absent ones are fine.
    pub(super) files: Vec<PathBuf>,
    /// What a CI has put into the environment.
    pub(super) environment: Vec<FromEnvironment>,
    /// A `.netrc`, which may be absent.
    pub(super) netrc: Option<PathBuf>,
}

impl Sources {
    /// The credential for a repository. May run a credential helper, which may take its time.
    pub(super) fn find(&self, host: &str, repository: &str) -> Result<Option<Found>, Error> {
        if let Some(credential) = self.explicit.get(host) {
            let (credential, origin) = (credential.clone(), "the command line".to_owned());
            return Ok(Some(Found { credential, origin }));
        }
        for path in &self.files {
            let Some(file) = read(path)? else { continue };
            let origin = format!("`{}`", path.display());
            if let Some(credential) = find_in(&file, path, host, repository)? {
                return Ok(Some(Found { credential, origin }));
            }
        }
        if let Some(found) = self.environment.iter().find(|found| found.host == host) {
            let (credential, origin) = (found.credential.clone(), found.origin.clone());
            return Ok(Some(Found { credential, origin }));
        }
        match &self.netrc {
            Some(path) => in_netrc(path, host),
            None => Ok(None),
        }
    }
}

/// The entry of a `.netrc` for `host`, with its port or without. `default` would send a password to whoever asks.
fn in_netrc(path: &Path, host: &str) -> Result<Option<Found>, Error> {
    let bytes = match fs::read_limited(path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => {
            return Err(Error::Credentials {
                path: path.to_owned(),
                reason: fs::reason(&error.source),
            });
        }
    };
    let machines = netrc::machines(&String::from_utf8_lossy(&bytes));
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
        _ => host,
    };
    let named = |name: &str| {
        let is = |machine: &&netrc::Machine| machine.host.as_deref() == Some(name);
        machines.iter().find(is)
    };
    let machine = named(host).or_else(|| named(bare));
    Ok(machine.map(|machine| Found {
        credential: Credential::Password {
            username: machine.login.clone(),
            password: Secret::new(machine.password.clone()),
        },
        origin: format!("`{}`", path.display()),
    }))
}

pub(super) fn read(path: &Path) -> Result<Option<Value>, Error> {
    let refuse = |reason: String| Error::Credentials {
        path: path.to_owned(),
        reason,
    };
    let bytes = match fs::read_limited(path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(refuse(fs::reason(&error.source))),
    };
    // An empty file is what `> auth.json` leaves; it holds nothing.
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // serde's message could quote a secret; its position cannot.
    let parsed = serde_json::from_slice(&bytes).map_err(|error| {
        refuse(format!(
            "it is not JSON (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    Ok(Some(parsed))
}

fn find_in(
    file: &Value,
    path: &Path,
    host: &str,
    repository: &str,
) -> Result<Option<Credential>, Error> {
    for wanted in names(host, repository) {
        if let Some((key, helper)) = entry(file, "credHelpers", &wanted) {
            let helper = helper.as_str().unwrap_or_default();
            if !helper.is_empty() {
                return ask_helper(path, helper, key);
            }
        }
        if let Some((key, fields)) = entry(file, "auths", &wanted) {
            let fields = filled_in(fields);
            if !fields.is_empty() {
                let document = json!({ "auths": { key: fields } });
                return credential(path, &document, key);
            }
        }
    }
    match file.get("credsStore").and_then(Value::as_str) {
        Some(helper) if !helper.is_empty() => ask_helper(path, helper, helper_key(host)),
        _ => Ok(None),
    }
}

pub(super) fn helper_key(host: &str) -> &str {
    if host == DEFAULT_REGISTRY {
        DOCKER_HUB_KEY
    } else {
        host
    }
}

/// The names to look for, the most specific first.
fn names(host: &str, repository: &str) -> Vec<String> {
    let mut name = format!("{host}/{repository}");
    let mut names = Vec::new();
    loop {
        names.push(name.clone());
        match name.rfind('/') {
            Some(end) => name.truncate(end),
            None => break,
        }
    }
    if host == DEFAULT_REGISTRY {
        names.push("index.docker.io".to_owned());
    }
    names
}

/// The entry of `section` whose key means `wanted`: exactly, or as old tools wrote it (`https://HOST/v1/`).
fn entry<'a>(file: &'a Value, section: &str, wanted: &str) -> Option<(&'a str, &'a Value)> {
    let section = file.get(section)?.as_object()?;
    let exact = section.get_key_value(wanted);
    let found = exact.or_else(|| section.iter().find(|(key, _)| plain(key) == wanted));
    found.map(|(key, value)| (key.as_str(), value))
}

pub(super) fn plain(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key)
}

/// The fields that hold something: `docker login` leaves empty entries beside `credsStore`, and empty tokens.
fn filled_in(entry: &Value) -> Map<String, Value> {
    let known = ["auth", "identitytoken", "password", "username"];
    let text = |key: &str| {
        entry
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let field = |key: &str| text(key).map(|text| (key.to_owned(), json!(text)));
    known.into_iter().filter_map(field).collect()
}

fn ask_helper(path: &Path, helper: &str, key: &str) -> Result<Option<Credential>, Error> {
    if helper.contains('/') {
        return Err(Error::Credentials {
            path: path.to_owned(),
            reason: format!("`{}` is not the name of a credential helper", shown(helper)),
        });
    }
    let document = json!({ "credHelpers": { key: helper } });
    credential(path, &document, key).map_err(|error| match error {
        Error::Credentials { path, reason } => Error::Credentials {
            path,
            reason: format!("the helper `docker-credential-{}`: {reason}", shown(helper)),
        },
        other => other,
    })
}

/// Reads the one entry of `document`.
fn credential(path: &Path, document: &Value, key: &str) -> Result<Option<Credential>, Error> {
    let bytes = document.to_string().into_bytes();
    let refuse = |reason: String| Error::Credentials {
        path: path.to_owned(),
        reason,
    };
    match docker_credential::get_credential_from_reader(bytes.as_slice(), key) {
        // A helper for a host that needs no login gives an empty name and password.
        Ok(DockerCredential::UsernamePassword(username, password))
            if username.is_empty() && password.is_empty() =>
        {
            Ok(None)
        }
        Ok(DockerCredential::UsernamePassword(username, password)) => {
            Ok(Some(Credential::Password {
                username,
                password: Secret::new(password),
            }))
        }
        Ok(DockerCredential::IdentityToken(token)) => {
            Ok(Some(Credential::IdentityToken(Secret::new(token))))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        // What every helper says when it knows no login: docker/docker-credential-helpers `credentials/error.go`.
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if stdout.contains("credentials not found")
                || stderr.contains("credentials not found") =>
        {
            Ok(None)
        }
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. }) => {
            let said = if stderr.trim().is_empty() {
                stdout
            } else {
                stderr
            };
            Err(refuse(format!("it failed: {}", shown(&said))))
        }
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err(refuse("it cannot be run".to_owned()))
        }
        Err(CredentialRetrievalError::MalformedHelperResponse) => {
            Err(refuse("its answer is no JSON".to_owned()))
        }
        Err(CredentialRetrievalError::CredentialMismatchError) => Err(refuse(format!(
            "in the entry `{}`, `auth` and `username` contradict each other",
            shown(key)
        ))),
        Err(_) => Err(refuse(format!(
            "the entry `{}` is not base64 of `user:password`",
            shown(key)
        ))),
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
