//! Docker: through its socket, or through its command.
//!
//! # Spec
//! Docker Engine API, *Import images* (`POST /images/load`) and *Inspect an image* (`GET /images/{name}/json`). Podman's
//! service and other engines answer to the same.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::socket::{self, Response};
use super::{Access, Engine, Error, Load, Places, Talk, program};
use crate::digest::Digest;
use crate::event::printable;

/// How Docker refuses when it has no image of a name.
pub(super) const NOT_FOUND: &str = "it answered with the status 404";

/// Where Docker is, in the order in which its own command looks: `DOCKER_HOST`, a context, the default socket.
pub(super) fn find(places: &Places) -> Result<Access, Error> {
    let command = || {
        let found = program("docker", &places.search_path)?;
        Some(Access::Command(found, Vec::new()))
    };
    let in_path = format!("the command `docker` in PATH ({})", places.search_path);
    let not_there = |looked_for: String| Error::NotThere {
        engine: Engine::Docker.to_string(),
        looked_for,
    };
    if let Some(host) = &places.docker_host {
        if let Some(path) = host.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            return match is_socket(&path) {
                true => Ok(Access::Socket(path)),
                false => Err(not_there(format!(
                    "socket `{}`, which DOCKER_HOST names",
                    path.display()
                ))),
            };
        }
        let scheme = host.split("://").next().unwrap_or_default();
        let scheme = printable(&scheme.chars().take(20).collect::<String>());
        return command().ok_or_else(|| {
            not_there(format!(
                "command `docker` in PATH ({}), which a DOCKER_HOST of `{scheme}` needs",
                places.search_path
            ))
        });
    }
    if places.has_docker_context
        && let Some(command) = command()
    {
        return Ok(command);
    }
    if let Some(socket) = places.docker_sockets.iter().find(|path| is_socket(path)) {
        return Ok(Access::Socket(socket.clone()));
    }
    let sockets = places.docker_sockets.iter().take(super::SHOWN);
    let sockets: Vec<String> = sockets
        .map(|path| format!("the socket `{}`", path.display()))
        .collect();
    command().ok_or_else(|| match sockets.is_empty() {
        true => not_there(in_path.replacen("the ", "", 1)),
        false => Error::Absent {
            engine: Engine::Docker.to_string(),
            looked_for: format!("{} nor {in_path}", sockets.join(" nor ")),
        },
    })
}

fn is_socket(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Sends the archive; Docker must say that it took it.
pub(super) fn load(socket: &Path, load: &Load<'_>) -> Result<(), Error> {
    // Without `quiet` it answers with progress bars.
    let response = socket::send(socket, "/images/load?quiet=1", load)?;
    expect_success(&response, &load.talk)?;
    // What goes wrong once it has begun is said behind the status of success.
    let messages = response.body.split(|byte| *byte == b'\n');
    let messages: Vec<Value> = messages
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let errors: Vec<String> = messages
        .iter()
        .filter_map(|message| Some(printable(message["error"].as_str()?.trim())))
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Error::Refused {
        engine: load.talk.engine.to_owned(),
        how: "it failed on the way".to_owned(),
        said: errors,
    })
}

/// The id of the image that Docker has under a name.
pub(super) fn id(socket: &Path, name: &str, talk: &Talk<'_>) -> Result<String, Error> {
    let image = inspect(socket, name, talk)?;
    Ok(image["Id"].as_str().unwrap_or_default().to_owned())
}

/// All that Docker says of the image that it has under a name.
pub(super) fn inspect(socket: &Path, name: &str, talk: &Talk<'_>) -> Result<Value, Error> {
    let path = format!("/images/{}/json", in_path(name));
    let response = socket::get(socket, &path, talk)?;
    expect_success(&response, talk)?;
    serde_json::from_slice(&response.body).map_err(|error| Error::Protocol {
        engine: talk.engine.to_owned(),
        reason: error.to_string(),
    })
}

/// Removes an image by its id, unless it has another name or something runs on it. One that is not there is no error.
pub(super) fn remove(socket: &Path, id: &Digest, talk: &Talk<'_>) -> Result<(), Error> {
    let response = socket::ask(socket, "DELETE", &format!("/images/{id}"), talk)?;
    match response.status {
        404 => Ok(()),
        _ => expect_success(&response, talk),
    }
}

/// A name as a part of a path: brackets, of IPv6 hosts, are all in it that a path cannot hold.
pub(super) fn in_path(name: &str) -> String {
    name.replace('[', "%5B").replace(']', "%5D")
}

pub(super) fn expect_success(response: &Response, talk: &Talk<'_>) -> Result<(), Error> {
    if (200..300).contains(&response.status) {
        return Ok(());
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let message = body.and_then(|body| Some(body["message"].as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned());
    let lines = message.lines().filter(|line| !line.trim().is_empty());
    Err(Error::Refused {
        engine: talk.engine.to_owned(),
        how: format!("it answered with the status {}", response.status),
        said: lines
            .take(super::SHOWN)
            .map(|line| printable(&line.chars().take(500).collect::<String>()))
            .collect(),
    })
}
