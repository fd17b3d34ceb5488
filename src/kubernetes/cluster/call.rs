//! One request and its answer: time, size, cancellation, and what statuses mean.

use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::AuthError;
use serde_json::Value;

use super::access::{one_line, program_name};
use super::ask::Ask;
use super::{Access, Cluster, Error, Resource, Selector, Target, Within};

/// How often waiting work looks whether the person asked to stop.
const CANCEL_POLL: Duration = Duration::from_millis(50);
/// How many objects a page has.
const PAGE: usize = 250;
/// How many objects a list may have in all.
const MOST_OBJECTS: usize = 50_000;

/// Starts a client; see [`Cluster::connect`].
pub(super) fn connect(access: &Access, within: Within<'_>) -> Result<Cluster, Error> {
    let (config, target) = access.config()?;
    let plugin = config
        .auth_info
        .exec
        .as_ref()
        .and_then(|exec| exec.command.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Error::Start {
        reason: error.to_string(),
    })?;
    let slow = match &plugin {
        Some(command) => format!(
            "the credential plugin `{}` still runs",
            program_name(command)
        ),
        None => "the client did not start".to_owned(),
    };
    // A plugin may take as long as it likes, so it has a thread of its own: by that it is found if it must be ended.
    let (tell, thread) = std::sync::mpsc::channel();
    let started = run(&runtime, within, &target, &slow, async {
        let start = move || {
            // Nobody may be there to be told any more.
            let _ = tell.send(rustix::thread::gettid());
            Client::try_from(config)
        };
        tokio::task::spawn_blocking(start).await
    });
    let client = match started {
        Ok(Ok(Ok(client))) => client,
        Ok(Ok(Err(error))) => {
            runtime.shutdown_background();
            return Err(not_started(&error, &target, plugin.as_deref()));
        }
        Ok(Err(error)) => {
            return Err(Error::Start {
                reason: error.to_string(),
            });
        }
        Err(error) => {
            if let Ok(thread) = thread.try_recv() {
                end_children_of(thread);
            }
            runtime.shutdown_background();
            return Err(error);
        }
    };
    Ok(Cluster {
        client,
        target,
        runtime: Some(runtime),
    })
}

/// Ends the processes that a thread of ours has started: a credential plugin that nobody waits for any more. Kernels that do not
/// tell (`CONFIG_PROC_CHILDREN`) leave it running.
fn end_children_of(thread: rustix::process::Pid) {
    let path = format!("/proc/self/task/{}/children", thread.as_raw_nonzero());
    let children = crate::fs::read_limited(std::path::Path::new(&path), 4096).unwrap_or_default();
    let children = String::from_utf8_lossy(&children).into_owned();
    let pids = children
        .split_whitespace()
        .filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?));
    for pid in pids {
        // It may have ended by itself; either way nothing is left to do.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Waits for `work`, the deadline, or the person.
fn run<T>(
    runtime: &tokio::runtime::Runtime,
    within: Within<'_>,
    target: &Target,
    what: &str,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    let cancelled = async {
        while !within.observer.is_cancelled() {
            tokio::time::sleep(CANCEL_POLL).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            biased;
            () = cancelled => Err(Error::Interrupted),
            done = work => Ok(done),
            () = tokio::time::sleep_until(within.deadline.into()) => Err(Error::Timeout {
                server: target.server.clone(),
                what: what.to_owned(),
            }),
        }
    })
}

impl Cluster {
    /// A request whose answer is JSON.
    pub(super) fn ask(&self, within: Within<'_>, ask: &Ask) -> Result<Value, Error> {
        let bytes = self.ask_bytes(within, ask)?;
        let unreadable = |reason: &str| Error::Answer {
            what: ask.what(),
            reason: reason.to_owned(),
        };
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|_| unreadable("it is not JSON"))?;
        match value.is_object() {
            true => Ok(value),
            false => Err(unreadable("it is not an object")),
        }
    }

    /// A request whose answer may be anything.
    pub(super) fn ask_bytes(&self, within: Within<'_>, ask: &Ask) -> Result<Vec<u8>, Error> {
        let request = ask.request()?;
        let work = async {
            let response = self
                .client
                .send(request)
                .await
                .map_err(|error| self.not_sent(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ask.most_bytes).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => Error::TooLarge {
                    what: ask.what(),
                    limit: format!("{} bytes", ask.most_bytes),
                },
                false => Error::Unreachable {
                    server: self.target.server.clone(),
                    reason: innermost(error.as_ref()),
                },
            })?;
            Ok((head.status.as_u16(), body.to_bytes().to_vec()))
        };
        let Some(runtime) = &self.runtime else {
            return Err(Error::Start {
                reason: "it has ended".to_owned(),
            });
        };
        let what = format!("{} {}", ask.verb, ask.what());
        let (status, body) = run(runtime, within, &self.target, &what, work)??;
        match status {
            200..300 => Ok(body),
            status => Err(self.refusal(ask, status, &body)),
        }
    }

    /// All pages of a list.
    pub(super) fn list_pages(
        &self,
        within: Within<'_>,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Vec<Value>, Error> {
        let mut objects = Vec::new();
        let mut next = String::new();
        let mut has_restarted = false;
        loop {
            let mut ask = Ask::new("list", resource, namespace).query("limit", PAGE.to_string());
            for (name, value) in [
                ("labelSelector", &selector.labels),
                ("fieldSelector", &selector.fields),
                ("continue", &next),
            ] {
                if !value.is_empty() {
                    ask = ask.query(name, value.as_str());
                }
            }
            let mut page = match self.ask(within, &ask) {
                // The place in the list has expired: from the beginning.
                Err(Error::Api { status: 410, .. }) if !has_restarted => {
                    (has_restarted, next) = (true, String::new());
                    objects.clear();
                    continue;
                }
                page => page?,
            };
            let Value::Array(items) = page["items"].take() else {
                return Err(Error::Answer {
                    what: ask.what(),
                    reason: "it has no `items`".to_owned(),
                });
            };
            objects.extend(items);
            if objects.len() > MOST_OBJECTS {
                return Err(Error::TooLarge {
                    what: ask.what(),
                    limit: format!("{MOST_OBJECTS} objects"),
                });
            }
            match page["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => return Ok(objects),
            }
        }
    }

    /// What a status other than success means.
    fn refusal(&self, ask: &Ask, status: u16, body: &[u8]) -> Error {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let reason = match answer["message"].as_str() {
            Some(message) => one_line(message),
            None => one_line(&String::from_utf8_lossy(&body[..body.len().min(4096)])),
        };
        let what = ask.what();
        match status {
            401 => Error::Unauthorised {
                server: self.target.server.clone(),
                context: self.target.context.clone(),
            },
            403 => Error::Forbidden {
                verb: ask.verb,
                resource: ask.resource.clone(),
                namespace: ask.namespace.clone(),
                reason,
            },
            404 => Error::NotFound { what, reason },
            409 => Error::Conflict { what, reason },
            400 | 413 | 415 | 422 => Error::Invalid { what, reason },
            status => Error::Api {
                what: format!("{} {what}", ask.verb),
                status,
                reason,
            },
        }
    }

    fn not_sent(&self, error: &kube::Error) -> Error {
        not_started(error, &self.target, None)
    }
}

/// Why a request has not gone out, or no client came to be.
fn not_started(error: &kube::Error, target: &Target, plugin: Option<&str>) -> Error {
    let server = target.server.clone();
    match error {
        kube::Error::Auth(error) => Error::Credentials {
            server,
            reason: of_credentials(error, plugin),
        },
        kube::Error::RustlsTls(error) => Error::Tls {
            server,
            reason: innermost(error),
        },
        // kube's words for these may quote a key.
        kube::Error::InferKubeconfig(_) => Error::Credentials {
            server,
            reason: "its client certificate or key cannot be read".to_owned(),
        },
        kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::ProxyProtocolDisabled { .. } => Error::Unreachable {
            server,
            reason: "its proxy is neither an `http` nor an `https` URL".to_owned(),
        },
        error => {
            let mut source: Option<&dyn std::error::Error> = Some(error);
            while let Some(inner) = source {
                if let Some(reason) = of_tls(inner) {
                    return Error::Tls { server, reason };
                }
                source = inner.source();
            }
            Error::Unreachable {
                server,
                reason: innermost(error),
            }
        }
    }
}

/// What the TLS library says, if this is its error.
fn of_tls(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(one_line(&error.to_string()));
    }
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    of_tls(inner)
}

fn of_credentials(error: &AuthError, plugin: Option<&str>) -> String {
    let plugin = plugin.map_or_else(
        || "the credential plugin".to_owned(),
        |command| format!("the credential plugin `{}`", program_name(command)),
    );
    match error {
        AuthError::AuthExecStart(error) => {
            format!("{plugin} cannot be started: {}", crate::fs::reason(error))
        }
        // What it printed may be credentials.
        AuthError::AuthExecRun { out, .. } => format!("{plugin} failed ({})", out.status),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            format!("{plugin} printed no credentials")
        }
        AuthError::ReadTokenFile(error, path) => {
            format!(
                "the token file `{}` cannot be read: {}",
                path.display(),
                crate::fs::reason(error)
            )
        }
        AuthError::InvalidBearerToken(_) | AuthError::InvalidBasicAuth(_) => {
            "they have characters that no header may have".to_owned()
        }
        AuthError::MissingCommand => "the credential plugin has no `command`".to_owned(),
        _ => "they are of a form that is not understood".to_owned(),
    }
}

/// The innermost cause, in one line.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut source = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    match source.downcast_ref::<std::io::Error>() {
        Some(error) => one_line(&crate::fs::reason(error)),
        None => one_line(&source.to_string()),
    }
}
