//! Whether a registry can be reached.

use std::sync::Arc;

use serde::Serialize;

use crate::build::Host;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::observer;
use crate::http::Http;
use crate::reference::Reference;
use crate::registry::{Error, Obstacle, RegistryClient};

/// What a registry said.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// As it was named.
    pub(super) host: String,
    /// One word; docs/doctor.md lists them.
    pub(super) state: &'static str,
    /// One sentence.
    pub(super) message: String,
    /// Things a person can do now.
    pub(super) hints: Vec<String>,
}

/// Asks a registry, once.
///
/// # Errors
/// When the name is none, when there is no HTTP client, and when the person has interrupted. That a registry cannot be
/// reached is an answer.
pub(super) fn ask(name: &str, host: &Host, shared: &Shared) -> Result<Answer, Diagnostic> {
    // Any repository will do: what counts is that the first part of the reference is a host.
    let is_host = format!("{name}/overcoat")
        .parse::<Reference>()
        .is_ok_and(|reference| reference.host() == name);
    if !is_host {
        return Err(Diagnostic::new(Code::Usage, format!("`{name}` is not the name of a registry"))
            .hint("write it as in image names, without `https://`: `registry.example.com`, `localhost:5000`"));
    }
    let http = Http::new(&host.network).map_err(crate::build::Error::Http)?;
    let client = RegistryClient::new(Arc::new(http), host.registries.clone());
    let asked = client.ping(name, observer(shared, true)?.as_ref());
    if let Err(Error::Interrupted) = asked {
        return Err(Error::Interrupted.into());
    }
    Ok(answer(name, asked))
}

fn answer(name: &str, asked: Result<(), Error>) -> Answer {
    let host = name.to_owned();
    let Err(error) = asked else {
        return Answer {
            host,
            state: "reachable",
            message: format!("`{name}` answers"),
            hints: Vec::new(),
        };
    };
    let state = match &error {
        Error::Connect {
            obstacle: Obstacle::Network,
            ..
        } => "unreachable",
        Error::Connect {
            obstacle: Obstacle::PlainHttp,
            ..
        } => "plain-http",
        Error::Connect {
            obstacle: Obstacle::Certificate,
            ..
        } => "untrusted-certificate",
        Error::Connect {
            obstacle: Obstacle::NoAuthorities,
            ..
        } => "no-certificates",
        Error::Unauthorised {
            credentials: None, ..
        } => "needs-login",
        Error::Unauthorised { .. } | Error::Denied { .. } | Error::Credentials { .. } => {
            "login-refused"
        }
        Error::NotFound { .. } => "no-registry",
        _ => "failed",
    };
    let (message, hints) = match state {
        // The advice for a missing repository does not fit the registry's own front door.
        "no-registry" => (
            format!("`{name}` is a web server, but no registry: it has no `/v2/`"),
            vec!["check the host name and the port".to_owned()],
        ),
        "needs-login" => (
            format!("`{name}` answers, and wants a login"),
            error.hints().into_iter().take(1).collect(),
        ),
        _ => (error.to_string(), error.hints()),
    };
    Answer {
        host,
        state,
        message,
        hints,
    }
}
