//! Keeping and removing credentials: in Docker's `config.json` or containers' `auth.json`, or through the helper that
//! such a file names.
//!
//! What else is in the file stays, and the file appears whole or not at all, readable by its owner only.
//!
//! # Spec
//! Docker's `config.json`; `containers-auth.json(5)`; docker/docker-credential-helpers, *Development*: `store` and
//! `erase` with their input on stdin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Error;
use super::credentials::{Credential, DOCKER_HUB_KEY, helper_key, plain, read};
use super::error::shown;
use crate::fs;
use crate::reference::DEFAULT_REGISTRY;

/// Docker's name for a token where others have a user name.
///
/// # Spec
/// docker/docker-credential-helpers, `client`: `<token>`.
const TOKEN_USER: &str = "<token>";

/// Where credentials were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a file, not encrypted.
    File(PathBuf),
    /// By a helper: `docker-credential-NAME`.
    Helper(String),
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// The name as the file had it.
    pub host: String,
    /// Where it was.
    pub from: Kept,
}

/// Keeps the credential for `host` (or `HOST/PATH`) in the first of `files` that has an entry for it or names a helper
/// for it, else in `otherwise`, which is made if need be.
///
/// # Errors
/// [`Error::Credentials`] for a file that cannot be read or written, or a helper that fails.
pub fn keep(
    host: &str,
    credential: &Credential,
    files: &[PathBuf],
    otherwise: &Path,
) -> Result<Kept, Error> {
    let mut path = otherwise;
    for file in files {
        if let Some(document) = read(file)?
            && !keys(&document, Some(host)).is_empty()
        {
            path = file;
            break;
        }
    }
    let _lock = locked(path)?;
    let mut document = object(path)?;
    let helper = helper_for(&document, host);
    let auths = document.get("auths").and_then(Value::as_object);
    let mut known = auths.into_iter().flat_map(Map::keys);
    let known = known.find(|key| *key == host || plain_key(key) == host);
    let key = known.map_or_else(|| new_key(path, host).to_owned(), Clone::clone);
    let fields = match (&helper, credential) {
        // As Docker leaves it, so that others see that there is a login.
        (Some(_), _) => json!({}),
        (None, Credential::Password { username, password }) => {
            json!({ "auth": STANDARD.encode(format!("{username}:{}", password.expose())) })
        }
        (None, Credential::IdentityToken(token)) => {
            json!({ "auth": STANDARD.encode("00000000-0000-0000-0000-000000000000:"), "identitytoken": token.expose() })
        }
    };
    if let Some(helper) = &helper {
        let (username, secret) = match credential {
            Credential::Password { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => (TOKEN_USER, token),
        };
        let input = json!({
            "ServerURL": helper_key(host),
            "Username": username,
            "Secret": secret.expose(),
        });
        run_helper(path, helper, "store", &input.to_string())?;
    }
    let auths = document.entry("auths").or_insert_with(|| json!({}));
    let Some(auths) = auths.as_object_mut() else {
        return Err(refuse(path, "`auths` is not an object".to_owned()));
    };
    auths.insert(key, fields);
    write(path, &document)?;
    Ok(match helper {
        Some(helper) => Kept::Helper(helper),
        None => Kept::File(path.to_owned()),
    })
}

/// Removes the credentials for `host` (or `HOST/PATH`), or all when it is `None`, from all of `files` and the helpers
/// they name.
///
/// # Errors
/// As [`keep`].
pub fn erase(host: Option<&str>, files: &[PathBuf]) -> Result<Vec<Erased>, Error> {
    let mut erased = Vec::new();
    for path in files {
        let Some(document) = read(path)? else {
            continue;
        };
        if keys(&document, host).is_empty() {
            continue;
        }
        let _lock = locked(path)?;
        let mut document = object(path)?;
        let mut is_changed = false;
        for (key, is_in_auths) in keys(&Value::Object(document.clone()), host) {
            let helper = helper_for(&document, plain_key(&key));
            if let Some(helper) = helper {
                run_helper(path, &helper, "erase", &key)?;
                let from = Kept::Helper(helper);
                erased.push(Erased {
                    host: key.clone(),
                    from,
                });
            } else {
                let from = Kept::File(path.clone());
                erased.push(Erased {
                    host: key.clone(),
                    from,
                });
            }
            if is_in_auths
                && let Some(auths) = document.get_mut("auths").and_then(Value::as_object_mut)
            {
                auths.remove(&key);
                is_changed = true;
            }
        }
        if is_changed {
            write(path, &document)?;
        }
    }
    Ok(erased)
}

/// The keys of a file that mean `host`, or all; whether each is one of `auths`, or one that only a helper knows of.
fn keys(document: &Value, host: Option<&str>) -> Vec<(String, bool)> {
    let means = |key: &str| host.is_none_or(|host| key == host || plain_key(key) == host);
    let of = |section: &str| {
        let section = document.get(section).and_then(Value::as_object);
        section.into_iter().flat_map(Map::keys)
    };
    let mut keys: Vec<(String, bool)> = of("auths")
        .filter(|key| means(key))
        .map(|key| (key.clone(), true))
        .collect();
    for key in of("credHelpers").filter(|key| means(key)) {
        if !keys
            .iter()
            .any(|(known, _)| plain_key(known) == plain_key(key))
        {
            keys.push((key.clone(), false));
        }
    }
    keys
}

/// What a key means: as references name it.
fn plain_key(key: &str) -> &str {
    match plain(key) {
        "index.docker.io" => DEFAULT_REGISTRY,
        plain => plain,
    }
}

fn helper_for(document: &Map<String, Value>, host: &str) -> Option<String> {
    let registry = host.split('/').next().unwrap_or_default();
    let special = document.get("credHelpers").and_then(Value::as_object);
    let special = special.and_then(|helpers| {
        helpers.get(host).or_else(|| {
            let found = helpers.iter().find(|(key, _)| plain_key(key) == registry);
            found.map(|(_, helper)| helper)
        })
    });
    let general = document.get("credsStore");
    let name = special.or(general)?.as_str()?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Docker writes its hub as a URL; containers' files have the name.
fn new_key<'a>(path: &Path, host: &'a str) -> &'a str {
    let is_dockers = path.file_name().is_some_and(|name| name == "config.json");
    match host {
        DEFAULT_REGISTRY if is_dockers => DOCKER_HUB_KEY,
        host => host,
    }
}

fn run_helper(path: &Path, helper: &str, verb: &str, input: &str) -> Result<(), Error> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !helper.chars().all(is_name) {
        let reason = format!("`{}` is not the name of a credential helper", shown(helper));
        return Err(refuse(path, reason));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |reason: String| refuse(path, format!("the helper `{program}`: {reason}"));
    let spawned = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        spawned.map_err(|error| failed(format!("it cannot be run: {}", fs::reason(&error))))?;
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all(input.as_bytes()),
        None => Ok(()),
    };
    let output = child
        .wait_with_output()
        .map_err(|error| failed(fs::reason(&error)))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() && written.is_ok() {
        return Ok(());
    }
    // Somebody has removed it before.
    if verb == "erase" && said.contains("credentials not found") {
        return Ok(());
    }
    Err(failed(format!("`{verb}` failed: {}", shown(&said))))
}

fn refuse(path: &Path, reason: String) -> Error {
    Error::Credentials {
        path: path.to_owned(),
        reason,
    }
}

fn file_error(path: &Path, error: &fs::Error) -> Error {
    refuse(path, fs::reason(&error.source))
}

fn object(path: &Path) -> Result<Map<String, Value>, Error> {
    match read(path)? {
        None => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(refuse(path, "it is not a JSON object".to_owned())),
    }
}

/// The file itself, where `path` is a link to it: a link stays one.
fn target(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Two logins at the same time wait for each other. The directory is locked, for the file is replaced.
fn locked(path: &Path) -> Result<fs::Lock, Error> {
    let path = target(path);
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    if !directory.is_dir() {
        fs::create_private_dir(directory).map_err(|error| file_error(&path, &error))?;
    }
    fs::Lock::exclusive(directory).map_err(|error| file_error(&path, &error))
}

fn write(path: &Path, document: &Map<String, Value>) -> Result<(), Error> {
    let path = target(path);
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(document, &mut serializer)
        .map_err(|error| refuse(&path, error.to_string()))?;
    text.push(b'\n');
    fs::write_private(&path, &text).map_err(|error| file_error(&path, &error))
}

#[cfg(test)]
#[path = "auth_file_tests.rs"]
mod tests;
