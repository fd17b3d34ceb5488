//! `overcoat login` and `overcoat logout`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::registries::{auth_files, login_file};
use super::exit::Code;
use super::{env, observer, print, secret};
use crate::event::Event;
use crate::http::Http;
use crate::reference::{DEFAULT_REGISTRY, Reference, registry_host};
use crate::registry::{self, Checked, Credential, Kept, RegistryClient, Secret};

/// Log in to a registry
///
/// The password is read from stdin, or asked for on a terminal, and checked. It is kept where Docker, podman and skopeo
/// find it too: by the credential helper that is configured, else in a file.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The registry, `HOST[:PORT]`, perhaps with a path [default: docker.io]
    registry: Option<String>,

    /// The user name
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,

    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,

    /// Keep it in FILE, in the format of Docker's config.json
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
}

/// Remove what `overcoat login`, `docker login` or `podman login` kept
#[derive(ClapArgs, Debug)]
pub(super) struct OutArgs {
    /// The registry, `HOST[:PORT]`, perhaps with a path [default: docker.io]
    registry: Option<String>,

    /// Log out of all registries
    #[arg(long, conflicts_with = "registry")]
    all: bool,

    /// Remove it from FILE alone
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
}

/// Runs `overcoat login`.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let (name, host) = registry_named(args.registry.as_deref())?;
    let (files, file) = match &args.auth_file {
        Some(file) => (vec![file.clone()], file.clone()),
        None => (auth_files(), login_file().ok_or_else(no_place)?),
    };
    let username = match &args.username {
        Some(username) => username.clone(),
        None if secret::is_terminal() && !args.password_stdin => {
            secret::ask(&format!("Username for {name}: "))?
        }
        None => {
            let error = Diagnostic::new(Code::Usage, "there is no user name");
            return Err(error.hint("give it: `overcoat login -u USER --password-stdin HOST`"));
        }
    };
    if username.is_empty() || username.contains(':') {
        let text = "a user name has at least one character, and no `:`";
        return Err(Diagnostic::new(Code::Usage, text));
    }
    let credential = Credential::Password {
        username,
        password: Secret::new(secret::password("Password: ")?),
    };
    let observer = observer(shared, false)?;
    let settings = env::host(shared)?;
    let http = Http::new(&settings.network).map_err(crate::build::Error::Http)?;
    let client = RegistryClient::new(Arc::new(http), settings.registries);
    let checked = client.log_in(&host, &credential, observer.as_ref());
    let credential = match checked.map_err(|error| refused(&name, error))? {
        Checked::Accepted(credential) => credential,
        Checked::NotAsked => {
            observer.observe(Event::Warning {
                text: format!("`{host}` lets everybody in: the password was not checked"),
                hint: None,
            });
            credential
        }
    };
    match registry::keep(&name, &credential, &files, &file)? {
        Kept::Helper(_) => {}
        Kept::File(path) => observer.observe(Event::Warning {
            text: format!("the login is kept unencrypted in `{}`", path.display()),
            hint: Some("a credential helper keeps it better: docs/registries.md".to_owned()),
        }),
    }
    print("Login Succeeded")
}

/// Runs `overcoat logout`.
pub(super) fn out(args: &OutArgs) -> Result<(), Diagnostic> {
    let name = match args.all {
        true => None,
        false => Some(registry_named(args.registry.as_deref())?.0),
    };
    let files = match &args.auth_file {
        Some(file) => vec![file.clone()],
        None => auth_files(),
    };
    let erased = registry::erase(name.as_deref(), &files)?;
    for erased in &erased {
        let from = match &erased.from {
            Kept::File(path) => format!("`{}`", path.display()),
            Kept::Helper(helper) => format!("`docker-credential-{helper}`"),
        };
        print(&format!(
            "Removing login credentials for {} from {from}",
            erased.host
        ))?;
    }
    match (erased.is_empty(), name) {
        (true, Some(name)) => print(&format!("Not logged in to {name}")),
        (true, None) => print("Not logged in to any registry"),
        (false, _) => Ok(()),
    }
}

/// What was named, in the form in which logins are kept, and its host.
fn registry_named(text: Option<&str>) -> Result<(String, String), Diagnostic> {
    let text = text.unwrap_or(DEFAULT_REGISTRY);
    let hint =
        "write it as in image names, without `https://`: `registry.example.com`, `localhost:5000`";
    let Some((host, path)) = text.split_once('/').filter(|_| !text.contains("://")) else {
        let host = registry_host(text).map_err(|error| {
            let text = format!("`{}` is not a registry: {}", error.text, error.reason);
            Diagnostic::new(Code::Usage, text).hint(hint)
        })?;
        return Ok((host.clone(), host));
    };
    let is_path = format!("{host}/{path}").parse::<Reference>();
    let is_path = is_path.is_ok_and(|reference| {
        !path.contains([':', '@']) && (reference.host() == host || registry_host(host).is_ok())
    });
    let host = registry_host(host).ok().filter(|_| is_path);
    let Some(host) = host else {
        let text = "that is not the name of a registry, nor of a part of one";
        return Err(Diagnostic::new(Code::Usage, text).hint(hint));
    };
    Ok((format!("{host}/{path}"), host))
}

fn refused(name: &str, error: registry::Error) -> Diagnostic {
    let is_refused = matches!(error, registry::Error::Unauthorised { .. });
    let diagnostic = Diagnostic::from(error).attempting(format!("cannot log in to `{name}`"));
    match is_refused {
        // The usual advice is to log in again.
        true => Diagnostic {
            hints: vec!["check the user name and the password; where accounts have a second factor, a token takes its place".to_owned()],
            ..diagnostic
        },
        false => diagnostic,
    }
}

fn no_place() -> Diagnostic {
    Diagnostic::new(
        Code::Usage,
        "there is no place for the login: none of REGISTRY_AUTH_FILE, DOCKER_CONFIG and HOME is set",
    )
    .hint("name a file: `--auth-file FILE`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_named_as_in_references() {
        let table = [
            (None, "docker.io", "docker.io"),
            (Some("index.docker.io"), "docker.io", "docker.io"),
            (Some("localhost:5000"), "localhost:5000", "localhost:5000"),
            (Some("quay.io/org/team"), "quay.io/org/team", "quay.io"),
            (Some("docker.io/org"), "docker.io/org", "docker.io"),
        ];
        for (text, name, host) in table {
            let found = registry_named(text).unwrap();
            assert_eq!(found, (name.to_owned(), host.to_owned()), "{text:?}");
        }
        for text in [
            "",
            "https://quay.io",
            "https://quay.io/org",
            "quay",
            "org/app",
            "quay.io/app:1",
            "quay.io/",
            "quay.io/UPPER",
        ] {
            assert_eq!(
                registry_named(Some(text)).unwrap_err().code,
                Code::Usage,
                "{text}"
            );
        }
    }
}
