//! Everything that is read from the environment of this machine: variables, files in well-known places, the clock.
//! Nothing below the command line reads any of it.

pub(super) mod ci;
pub(super) mod kubernetes;
pub(super) mod person;
pub(super) mod project;
pub(super) mod registries;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use crate::build::assemble::Loan;
use crate::build::{DEFAULT_EPOCH, Host};
use crate::debian::mirror::Mirrors;
use crate::http::{Proxies, Settings};
use crate::output::load::Places;
use crate::python::index::Credentials;

/// The variable that names the store; `--store` has it as its default.
pub const STORE: &str = "OVERCOAT_STORE";

/// Where op's pipelines name a registry's own certificate authority, in PEM (`path-to-production.md` §1.2.1).
const OP_AUTHORITY: &str = "OP_REGISTRY_CA_PATH";
/// Where distributions keep the bundle of trusted certificates.
const CERTIFICATE_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// pip settings that make sense in another file system: URLs and numbers, no paths.
const PIP_SETTINGS: [&str; 6] = [
    "index-url",
    "extra-index-url",
    "trusted-host",
    "default-timeout",
    "timeout",
    "retries",
];

/// A variable; one that is empty is none.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable in either case; the lower-case one wins, as in curl.
fn either_case(name: &str) -> Option<String> {
    variable(&name.to_ascii_lowercase()).or_else(|| variable(name))
}

/// The store's directory: `--store`, `OVERCOAT_STORE`, `$XDG_DATA_HOME/overcoat`, `~/.local/share/overcoat`.
///
/// # Errors
/// When there is no home directory to fall back to.
pub fn store(shared: &Shared) -> Result<PathBuf, Diagnostic> {
    if let Some(store) = &shared.store {
        return std::path::absolute(store)
            .map_err(|error| crate::fs::Error::new("find", store.clone(), error).into());
    }
    let data = variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || variable("HOME").map(|home| Path::new(&home).join(".local/share"));
    data.or_else(home)
        .map(|data| data.join("overcoat"))
        .ok_or_else(|| {
            Diagnostic::new(
                Code::Usage,
                "there is no place for the store: neither XDG_DATA_HOME nor HOME is set",
            )
            .hint(format!("name a directory: `--store DIR` or {STORE}=DIR"))
        })
}

/// The latest time that an image shows: `SOURCE_DATE_EPOCH`, else 1980-01-01.
///
/// # Errors
/// When the variable is no number.
pub fn epoch() -> Result<i64, Diagnostic> {
    match variable("SOURCE_DATE_EPOCH") {
        None => Ok(DEFAULT_EPOCH),
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds >= 0)
            .ok_or_else(|| {
                Diagnostic::new(
                    Code::Usage,
                    format!("SOURCE_DATE_EPOCH is `{text}`, not a number of seconds since 1970"),
                )
                .hint("unset it, or set it to `git log -1 --format=%ct`")
            }),
    }
}

/// Where programs are looked up: `PATH`, else what shells have as its default.
pub fn search_path() -> String {
    variable("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned())
}

/// What there is to know of this machine.
///
/// # Errors
/// When this program cannot be found, which the sandbox re-executes.
pub fn host(shared: &Shared) -> Result<Host, Diagnostic> {
    host_for(shared, Path::new(""))
}

/// As [`host`], for work on the application in `project`, which may have an `overcoat.toml`.
///
/// # Errors
/// As [`host`].
pub fn host_for(shared: &Shared, project: &Path) -> Result<Host, Diagnostic> {
    let certificates = certificates()?;
    let proxies = Proxies {
        http: either_case("HTTP_PROXY").or_else(|| either_case("ALL_PROXY")),
        https: either_case("HTTPS_PROXY").or_else(|| either_case("ALL_PROXY")),
        none: either_case("NO_PROXY"),
    };
    let mut environment = proxy_variables();
    environment.extend(pip_variables());
    let resolution = [
        ("/etc/resolv.conf", "/etc/resolv.conf"),
        ("/etc/hosts", "/etc/hosts"),
    ];
    let program = std::env::current_exe().map_err(|error| {
        Diagnostic::new(Code::Internal, format!("cannot find this program: {error}"))
    })?;
    Ok(Host {
        network: Settings {
            certificates: certificates.clone(),
            proxies,
        },
        registries: registries::settings(shared, project),
        mirrors: mirrors(),
        program,
        loan: Loan {
            environment,
            certificates,
            apt: crate::debian::apt_proxies(&apt_configuration()),
            resolution: resolution
                .into_iter()
                .map(|(source, target)| (PathBuf::from(source), target))
                .filter(|(source, _)| source.is_file())
                .collect(),
        },
        now: SystemTime::now(),
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        python_credentials: python_credentials(),
    })
}

/// The bundle that `SSL_CERT_FILE` names (also when that is none: then nothing is trusted, as OpenSSL has it), else
/// the distribution's, which may be none; and with it the authority that op's pipelines name.
///
/// # Errors
/// When the authority cannot be read: a registry would be refused for another reason than the true one.
fn certificates() -> Result<Vec<u8>, Diagnostic> {
    const LIMIT: u64 = 64 << 20;
    let read = |path: &&str| crate::fs::read_limited(Path::new(path), LIMIT).ok();
    let mut bundle = match variable("SSL_CERT_FILE") {
        Some(path) => read(&path.as_str()),
        None => CERTIFICATE_BUNDLES.iter().find_map(read),
    }
    .unwrap_or_default();
    if let Some(path) = variable(OP_AUTHORITY) {
        let authority = crate::fs::read_limited(Path::new(&path), LIMIT).map_err(|error| {
            Diagnostic::new(
                Code::Usage,
                format!("{OP_AUTHORITY} names no file with certificates: {error}"),
            )
            .hint("unset it, or let it name the PEM file of the registry's certificate authority")
        })?;
        bundle.push(b'\n');
        bundle.extend(authority);
    }
    Ok(bundle)
}

/// Where `.netrc` is, if it is anywhere.
fn netrc() -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| Path::new(&home).join(".netrc"));
    variable("NETRC").map(PathBuf::from).or_else(home)
}

/// How this person authenticates at package indexes: `.netrc`, and the `keyring` program if there is one.
fn python_credentials() -> Credentials {
    let text = netrc().and_then(|path| crate::fs::read_limited(&path, 1 << 20).ok());
    let search = search_path();
    let programs = search
        .split(':')
        .map(|directory| Path::new(directory).join("keyring"));
    Credentials {
        netrc: text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        urls: Vec::new(),
        keyring: programs
            .into_iter()
            .find(|path| path.is_absolute() && path.is_file()),
    }
}

/// Proxy variables for a step, in both cases: programs differ in which they read.
fn proxy_variables() -> Vec<(String, String)> {
    let names = [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "FTP_PROXY",
    ];
    let both = |name: &str| {
        let value = either_case(name)?;
        Some([
            (name.to_owned(), value.clone()),
            (name.to_ascii_lowercase(), value),
        ])
    };
    names.into_iter().filter_map(both).flatten().collect()
}

/// The host's package index for a step: pip's configuration files, then its variables.
fn pip_variables() -> Vec<(String, String)> {
    let home = variable("HOME").map(PathBuf::from);
    let config = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(home.as_ref()?.join(".config")));
    let files = [
        Some(PathBuf::from("/etc/xdg/pip/pip.conf")),
        Some(PathBuf::from("/etc/pip.conf")),
        home.map(|home| home.join(".pip/pip.conf")),
        config.map(|config| config.join("pip/pip.conf")),
        variable("PIP_CONFIG_FILE").map(PathBuf::from),
    ];
    let mut found = std::collections::BTreeMap::new();
    for file in files.into_iter().flatten() {
        if let Ok(bytes) = crate::fs::read_limited(&file, 1 << 20) {
            found.extend(pip_settings(&String::from_utf8_lossy(&bytes)));
        }
    }
    for setting in PIP_SETTINGS {
        let name = pip_variable(setting);
        if let Some(value) = variable(&name) {
            found.insert(name, value);
        }
    }
    found.into_iter().collect()
}

fn pip_variable(setting: &str) -> String {
    // pip calls the option `--timeout` and accepts `default-timeout` in configuration.
    let setting = if setting == "timeout" {
        "default-timeout"
    } else {
        setting
    };
    format!("PIP_{}", setting.to_ascii_uppercase().replace('-', "_"))
}

/// Reads the settings of a `pip.conf` that a step may use, as the variables that mean the same.
fn pip_settings(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut settings: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        let is_continuation = line.starts_with([' ', '\t']) && !trimmed.is_empty();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.to_owned();
        } else if is_continuation && let Some((_, value)) = settings.last_mut() {
            value.push(' ');
            value.push_str(trimmed);
        } else if let Some((key, value)) = trimmed.split_once(['=', ':']) {
            let key = key.trim().replace('_', "-").to_ascii_lowercase();
            let name = if section == "global" || section == "install" {
                pip_variable(&key)
            } else {
                String::new()
            };
            let is_known = PIP_SETTINGS.contains(&key.as_str());
            settings.push((
                if is_known { name } else { String::new() },
                value.trim().to_owned(),
            ));
        }
    }
    settings.retain(|(name, value)| !name.is_empty() && !value.is_empty());
    settings
        .into_iter()
        .map(|(name, value)| (name, value.trim().to_owned()))
        .collect()
}

/// True when a caller whose arguments are fixed wants every step to be done again.
pub fn s2i_builds_anew() -> bool {
    variable("OVERCOAT_S2I_NO_CACHE")
        .is_some_and(|value| !matches!(value.as_str(), "" | "0" | "no" | "false"))
}

/// What git is on this machine, and what it may know of the person's environment.
pub fn git() -> crate::source::Host {
    let path = search_path();
    let mut directories = path.split(':').filter(|directory| !directory.is_empty());
    crate::source::Host {
        git: directories.find_map(|directory| {
            let program = Path::new(directory).join("git");
            program.is_file().then_some(program)
        }),
        variables: std::env::vars_os().collect(),
    }
}

/// Where container engines may be.
pub fn engines() -> Places {
    let below = |name: &str, rest: &str| Some(Path::new(&variable(name)?).join(rest));
    let sockets = [
        Some(PathBuf::from("/var/run/docker.sock")),
        below("XDG_RUNTIME_DIR", "docker.sock"),
        below("HOME", ".docker/run/docker.sock"),
        below("HOME", ".docker/desktop/docker.sock"),
    ];
    let config =
        below("DOCKER_CONFIG", "config.json").or_else(|| below("HOME", ".docker/config.json"));
    let config = config.and_then(|path| crate::fs::read_limited(&path, 1 << 20).ok());
    let config = config.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let chosen = config.and_then(|config| Some(config["currentContext"].as_str()?.to_owned()));
    let context = variable("DOCKER_CONTEXT").or(chosen);
    Places {
        search_path: search_path(),
        docker_host: variable("DOCKER_HOST"),
        has_docker_context: context.is_some_and(|name| !name.is_empty() && name != "default"),
        docker_sockets: sockets.into_iter().flatten().collect(),
    }
}

/// Where `s2i` brings images, as variables say: engines to load into, and what to push to.
pub(super) fn s2i_destinations() -> (Option<String>, Option<String>) {
    (variable("OVERCOAT_S2I_LOAD"), variable("OVERCOAT_S2I_PUSH"))
}

/// The text of the host's apt configuration, in the order in which apt reads it.
fn apt_configuration() -> String {
    let parts = Path::new("/etc/apt/apt.conf.d");
    let mut files: Vec<PathBuf> = crate::fs::list(parts).unwrap_or_default();
    files = files.into_iter().map(|name| parts.join(name)).collect();
    files.push(PathBuf::from("/etc/apt/apt.conf"));
    files
        .iter()
        .filter_map(|path| crate::fs::read_limited(path, 1 << 20).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned() + "\n")
        .collect()
}

/// The Debian mirrors that this host uses, if it is a Debian.
fn mirrors() -> Mirrors {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = Path::new("/etc/apt/sources.list.d");
    let names = crate::fs::list(parts).unwrap_or_default();
    files.extend(names.into_iter().map(|name| parts.join(name)));
    let is_sources = |path: &PathBuf| {
        path.extension()
            .is_some_and(|kind| kind == "list" || kind == "sources")
    };
    let texts: Vec<String> = files
        .iter()
        .filter(|path| is_sources(path))
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Mirrors::from_sources(&texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_mean_something_elsewhere_are_lent() {
        let text = "# mine\n[global]\nindex-url = https://index.example/simple\nextra-index-url =\n    https://a.example\n    \
                    https://b.example\nfind-links = /opt/wheels\ncert = /etc/ssl/x\ntimeout = 30\n[list]\nformat = json\n";
        let expected = [
            ("PIP_INDEX_URL", "https://index.example/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://a.example https://b.example"),
            ("PIP_DEFAULT_TIMEOUT", "30"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert_eq!(pip_settings(text), expected);
    }
}
