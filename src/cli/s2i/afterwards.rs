//! What happens once a build has ended: telling a URL, starting the image.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::flags::{S2iFlags, given};
use super::messages;
use crate::build::Tag;
use crate::build::callback::{self, Outcome};
use crate::cli::args::Shared;
use crate::cli::confine;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::{env, observer, open_store};
use crate::http::Http;

/// Tells `--callback-url` how the build of the image called `tag` ended; gives that end back.
///
/// # Errors
/// Those of `ended`.
///
/// # Spec
/// `s2i-compat.md` §2.19, §2.20.
pub(in crate::cli) fn call_back(
    flags: &S2iFlags,
    tag: &Tag,
    ended: Result<u8, Diagnostic>,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let Some(url) = given(&flags.common.callback_url) else {
        return ended;
    };
    let outcome = match &ended {
        Ok(0) => Outcome::success(labels(tag, shared).unwrap_or_default()),
        _ => Outcome::failure(),
    };
    // Best effort: what happened to the build counts.
    if let (Ok(host), Ok(observer)) = (env::host(shared), observer(shared, flags.common.quiet))
        && let Ok(http) = Http::new(&host.network)
    {
        callback::post(url, &outcome, &http, observer.as_ref());
    }
    ended
}

/// The labels of an image of the store; an index of several has none.
fn labels(tag: &Tag, shared: &Shared) -> Option<BTreeMap<String, String>> {
    let store = open_store(shared).ok()?;
    let named = store.resolve(&tag.reference).ok()??;
    let image = store.image(&named.manifest).ok()?;
    Some(image.config.parsed.labels())
}

/// Becomes `overcoat run` of the image called `tag`: its output goes to stderr, signals are its own, and its status is
/// ours.
///
/// # Errors
/// Only when it cannot be started.
pub(in crate::cli) fn run_image(
    tag: &Tag,
    flags: &confine::Flags,
    shared: &Shared,
) -> Result<u8, Diagnostic> {
    let host = env::host(shared)?;
    let name = tag.reference.without_digest().to_string();
    let ports = ports(tag, shared).unwrap_or_default();
    let ports = match ports.is_empty() {
        true => String::new(),
        false => format!("; it listens at this machine's {}", ports.join(", ")),
    };
    messages::say(&format!(
        "Running image `{}` as a result of the --run=true option{ports}",
        tag.typed
    ));
    let stdout = rustix::io::dup(io::stderr())
        .map_err(|error| crate::fs::Error::new("use", "stderr", io::Error::from(error)))?;
    let mut command = Command::new(&host.program);
    command.arg("run").arg("--store").arg(env::store(shared)?);
    let isolation = flags.isolation.isolation.to_string();
    command.args(["--isolation", &isolation, &name]);
    let error = command.stdout(stdout).exec();
    Err(crate::fs::Error::new("execute", &host.program, error).into())
}

fn ports(tag: &Tag, shared: &Shared) -> Option<Vec<String>> {
    let store = open_store(shared).ok()?;
    let named = store.resolve(&tag.reference).ok()??;
    let image = store.image(&named.manifest).ok()?;
    let config = image.config.parsed;
    let ports = config
        .value()
        .pointer("/config/ExposedPorts")?
        .as_object()?;
    Some(ports.keys().cloned().collect())
}
