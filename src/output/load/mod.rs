//! Giving an image to a container engine of this machine: `--load`.
//!
//! An engine gets the same bytes as the file of `-o archive:` would have, as a stream; nothing is written to disk here. It
//! is then asked what it has under each name, for an exit status alone proves nothing (docs/archives.md).

mod command;
mod docker;
mod error;
mod socket;
mod take;

pub use error::Error;
pub use take::Seen;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs as rfs;

use super::archive::{self, Format, Plan};
use super::names;
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::{Content, Image, Platform};
use crate::store::BlobStore;

/// The most names of search directories and sockets that a message lists.
const SHOWN: usize = 12;

/// A container engine: the value of `--load`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker, through its socket, or through the command `docker` where that alone knows the way.
    Docker,
    /// containerd, through the command `ctr`.
    Containerd {
        /// The namespace; `ctr`'s own when not given (`CONTAINERD_NAMESPACE`, else `default`). Clusters use `k8s.io`.
        namespace: Option<String>,
    },
    /// podman, through its command.
    Podman,
}

/// Why a text is not an engine.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{text}` is not a container engine: expected `docker`, `containerd`, `containerd:NAMESPACE` or `podman`"
)]
pub struct ParseError {
    /// What was given.
    pub text: String,
}

impl FromStr for Engine {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "docker" => Ok(Self::Docker),
            None if text == "podman" => Ok(Self::Podman),
            None if text == "containerd" => Ok(Self::Containerd { namespace: None }),
            Some(("containerd", namespace)) if is_identifier(namespace) => Ok(Self::Containerd {
                namespace: Some(namespace.to_owned()),
            }),
            _ => Err(ParseError {
                text: text.to_owned(),
            }),
        }
    }
}

/// containerd, `identifiers/validate.go`: words of letters and digits with one of `._-` between them, 76 characters.
fn is_identifier(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= 76 && text.split(['.', '_', '-']).all(word)
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docker => f.write_str("docker"),
            Self::Containerd { namespace: None } => f.write_str("containerd"),
            Self::Containerd {
                namespace: Some(namespace),
            } => write!(f, "containerd:{namespace}"),
            Self::Podman => f.write_str("podman"),
        }
    }
}

/// Where engines may be on this machine; the command line finds it out.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Where programs are, as in `PATH`.
    pub search_path: String,
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// True when one of Docker's contexts was chosen (`DOCKER_CONTEXT`, `docker context use`): only the command `docker`
    /// knows where that is.
    pub has_docker_context: bool,
    /// Docker's sockets where nothing was said, the likeliest first.
    pub docker_sockets: Vec<PathBuf>,
}

/// An engine that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    engine: Engine,
    access: Access,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Access {
    Socket(PathBuf),
    Command(PathBuf, Vec<String>),
}

/// What an engine has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The names, in full.
    pub names: Vec<String>,
    /// What the engine calls the image: Docker and podman its configuration's digest, containerd, and Docker where it uses
    /// containerd, that of the manifest or index.
    pub id: Digest,
}

impl Engine {
    /// Looks for the engine. That a socket or a command is there does not say that it answers.
    ///
    /// # Errors
    /// [`Error::Absent`] or [`Error::NotThere`], with what was looked for.
    pub fn find(&self, places: &Places) -> Result<Found, Error> {
        let found = |access| Found {
            engine: self.clone(),
            access,
        };
        match self {
            Self::Docker => docker::find(places).map(found),
            Self::Podman => {
                let program = self.program(&["podman"], places)?;
                Ok(found(Access::Command(program, Vec::new())))
            }
            Self::Containerd { namespace } => {
                let program = self.program(&["ctr", "k3s"], places)?;
                let mut arguments = Vec::new();
                if program.file_name().is_some_and(|name| name == "k3s") {
                    arguments.push("ctr".to_owned());
                }
                if let Some(namespace) = namespace {
                    arguments.extend(["--namespace".to_owned(), namespace.clone()]);
                }
                Ok(found(Access::Command(program, arguments)))
            }
        }
    }

    fn program(&self, names: &[&str], places: &Places) -> Result<PathBuf, Error> {
        let path = &places.search_path;
        let found = names.iter().find_map(|name| program(name, path));
        found.ok_or_else(|| match names {
            [only] => Error::NotThere {
                engine: self.to_string(),
                looked_for: format!("command `{only}` in PATH ({path})"),
            },
            names => {
                let names = names.iter().map(|name| format!("the command `{name}`"));
                let names: Vec<String> = names.collect();
                Error::Absent {
                    engine: self.to_string(),
                    looked_for: format!("{} in PATH ({path})", names.join(" nor ")),
                }
            }
        })
    }
}

/// Finds an executable file. Empty parts of `PATH` would mean the current directory: nothing of an application's.
fn program(name: &str, search_path: &str) -> Option<PathBuf> {
    let directories = search_path.split(':').map(Path::new);
    let mut candidates = directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name));
    candidates.find(|path| rfs::access(path, rfs::Access::EXEC_OK).is_ok() && path.is_file())
}

/// What it takes to speak with an engine.
#[derive(Clone, Copy)]
struct Talk<'a> {
    engine: &'a str,
    store: &'a BlobStore,
    observer: &'a dyn Observer,
}

/// What loading takes, for both ways.
struct Load<'a> {
    talk: Talk<'a>,
    plan: &'a Plan<'a>,
}

impl Found {
    /// Loads an image, or an index with its images, under all `names`, and asks the engine what it has then.
    ///
    /// An engine that keeps one platform (Docker without containerd, podman) gets the one of `host`, else the first.
    ///
    /// # Errors
    /// [`Error::Archive`] for a content or names that cannot be written, [`Error::Refused`] with what the engine said,
    /// [`Error::Different`] when it has something else in the end, [`Error::Stalled`], [`Error::Interrupted`].
    pub fn load(
        &self,
        content: &Content<'_>,
        names: &[String],
        host: &Platform,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<Loaded, Error> {
        let engine = self.engine.to_string();
        let (format, preferred) = (Format::Both, Some(host));
        let plan = archive::plan(&engine, format, content, names, preferred, store, observer)?;
        let names = names::all_full(names, &engine)?;
        let talk = Talk {
            engine: &engine,
            store,
            observer,
        };
        let load = Load { talk, plan: &plan };
        match &self.access {
            Access::Socket(socket) => docker::load(socket, &load)?,
            Access::Command(program, arguments) => {
                command::feed(program, arguments, self.load_arguments(), &load)?;
            }
        }
        let expected = self.expected(content);
        let mut id = content.descriptor().digest.clone();
        for name in &names {
            let said = match &self.access {
                Access::Socket(socket) => docker::id(socket, name, &talk)?,
                Access::Command(program, arguments) => {
                    let asked = self.id_arguments(name);
                    let said = command::ask(program, arguments, &asked, &talk)?;
                    self.id_in(&said)
                }
            };
            match digest(&said).filter(|found| expected.contains(found)) {
                Some(found) => id = found,
                None => {
                    let (name, engine) = (name.clone(), engine.clone());
                    let found =
                        crate::event::printable(&said.chars().take(200).collect::<String>());
                    return Err(Error::Different {
                        engine,
                        name,
                        expected,
                        found,
                    });
                }
            }
        }
        Ok(Loaded { names, id })
    }

    fn load_arguments(&self) -> &'static [&'static str] {
        match self.engine {
            Engine::Containerd { .. } => &["images", "import", "-"],
            Engine::Docker | Engine::Podman => &["load"],
        }
    }

    fn id_arguments(&self, name: &str) -> Vec<String> {
        let filter = format!("name=={name}");
        let arguments: &[&str] = match self.engine {
            Engine::Containerd { .. } => &["images", "list", &filter],
            Engine::Docker | Engine::Podman => &["image", "inspect", "--format", "{{.Id}}", name],
        };
        arguments.iter().map(|text| (*text).to_owned()).collect()
    }

    /// The id in the answer to [`Self::id_arguments`]. `ctr` prints a table: name, media type, digest, and more.
    fn id_in(&self, said: &str) -> String {
        let found = match self.engine {
            Engine::Containerd { .. } => {
                let row = said.lines().nth(1);
                row.and_then(|row| row.split_whitespace().nth(2))
            }
            Engine::Docker | Engine::Podman => said.lines().next(),
        };
        found.unwrap_or_default().trim().to_owned()
    }

    /// The ids that the engine may have for this content.
    fn expected(&self, content: &Content<'_>) -> Vec<Digest> {
        let own = content.descriptor().digest.clone();
        if matches!(self.engine, Engine::Containerd { .. }) {
            return vec![own];
        }
        let of_image = |image: &&Image| {
            let config = image.config.descriptor.digest.clone();
            [config, image.digest().clone()]
        };
        let mut all: Vec<Digest> = content.images().iter().flat_map(of_image).collect();
        all.push(own);
        all
    }
}

/// Docker writes the algorithm before an id, podman does not.
fn digest(id: &str) -> Option<Digest> {
    match id.contains(':') {
        true => id.parse().ok(),
        false => format!("sha256:{id}").parse().ok(),
    }
}

#[cfg(test)]
#[path = "../load_tests.rs"]
mod tests;
