//! Taking an image from an engine: what it has under a name, and the archive of it.
//!
//! # Spec
//! Docker Engine API, *Inspect an image* (`GET /images/{name}/json`) and *Export an image* (`GET /images/{name}/get`).

use std::fs::File;
use std::io::{Seek, SeekFrom};

use serde_json::Value;

use super::{Access, Engine, Error, Found, Talk, command, digest, docker, socket};
use crate::digest::Digest;
use crate::event::{Observer, printable};
use crate::fs::Context;
use crate::image::{Image, Platform};
use crate::output::archive;
use crate::store::BlobStore;

/// The largest archive that is taken.
const MAX_ARCHIVE_BYTES: u64 = 64 << 30;

/// An image that an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What the engine calls it: Docker and podman the digest of its configuration, containerd, and Docker where it uses
    /// containerd, that of the manifest or index.
    pub id: Digest,
    /// The diff ids of its layers, lowest first; empty where the engine does not say.
    pub diff_ids: Vec<Digest>,
}

impl Found {
    /// Which engine it is.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The image that the engine has under a name, written in full (`docker.io/library/app:1`); `None` when it has none.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Refused`], [`Error::Protocol`] when the engine cannot be asked or its answer is none.
    pub fn look(
        &self,
        name: &str,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<Option<Seen>, Error> {
        let engine = self.engine.to_string();
        let talk = Talk {
            engine: &engine,
            store,
            observer,
        };
        let (said, layers) = match &self.access {
            Access::Socket(socket) => match docker::inspect(socket, name, &talk) {
                Ok(image) => (
                    image["Id"].as_str().unwrap_or_default().to_owned(),
                    image["RootFS"]["Layers"].clone(),
                ),
                Err(Error::Refused { how, .. }) if how == docker::NOT_FOUND => return Ok(None),
                Err(error) => return Err(error),
            },
            Access::Command(program, arguments) => {
                let asked = self.look_arguments(name);
                match command::ask(program, arguments, &asked, &talk) {
                    Ok(said) => (self.id_in(&said), self.layers_in(&said)),
                    Err(Error::Refused { said, .. }) if says_that_there_is_none(&said) => {
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        // A table of no images has no row.
        if said.is_empty() && matches!(self.engine, Engine::Containerd { .. }) {
            return Ok(None);
        }
        let id = digest(&said).ok_or_else(|| Error::Protocol {
            engine,
            reason: format!(
                "`{}` is not the id of an image",
                printable(&said.chars().take(80).collect::<String>())
            ),
        })?;
        // What cannot be understood is as good as not said: the id must do then.
        let layer = |layer: &Value| layer.as_str()?.parse().ok();
        let diff_ids: Option<Vec<Digest>> = layers
            .as_array()
            .and_then(|layers| layers.iter().map(layer).collect());
        Ok(Some(Seen {
            id,
            diff_ids: diff_ids.unwrap_or_default(),
        }))
    }

    /// Removes an image that the engine had under a name before, by what it was called then; nothing of one that has
    /// another name, or that something runs on. Of containerd nothing has to be removed: what has no name goes by itself.
    ///
    /// # Errors
    /// As [`Self::look`]; [`Error::Kept`] when the image is in use.
    ///
    /// # Spec
    /// Docker Engine API, *Remove an image* (`DELETE /images/{name}`).
    pub fn remove(
        &self,
        seen: &Seen,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let engine = self.engine.to_string();
        let talk = Talk {
            engine: &engine,
            store,
            observer,
        };
        let removed = match (&self.engine, &self.access) {
            (Engine::Containerd { .. }, _) => Ok(()),
            (_, Access::Socket(socket)) => docker::remove(socket, &seen.id, &talk),
            (_, Access::Command(program, before)) => {
                let words = ["image", "rm", seen.id.hex()].map(str::to_owned);
                match command::ask(program, before, &words, &talk) {
                    Err(Error::Refused { said, .. }) if says_that_there_is_none(&said) => Ok(()),
                    other => other.map(drop),
                }
            }
        };
        removed.map_err(|error| match error {
            Error::Refused { engine, how, said } => Error::Kept { engine, how, said },
            error => error,
        })
    }

    /// As for the id alone, with a second line for the layers where the engine can tell.
    fn look_arguments(&self, name: &str) -> Vec<String> {
        let mut words = self.id_arguments(name);
        for word in &mut words {
            if word == "{{.Id}}" {
                *word = "{{.Id}}\n{{json .RootFS.Layers}}".to_owned();
            }
        }
        words
    }

    fn layers_in(&self, said: &str) -> Value {
        let line = match self.engine {
            Engine::Containerd { .. } => None,
            Engine::Docker | Engine::Podman => said.lines().nth(1),
        };
        line.and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_default()
    }

    /// Brings an image that the engine has, and has shown as `name`, into the store. Its archive is a temporary file in
    /// the store meanwhile.
    ///
    /// # Errors
    /// As [`Self::look`]; [`Error::Archive`] when what the engine writes is no image or is not the one with this id.
    pub fn take(
        &self,
        name: &str,
        seen: &Seen,
        platform: &Platform,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<Image, Error> {
        let engine = self.engine.to_string();
        let talk = Talk {
            engine: &engine,
            store,
            observer,
        };
        let place = store.workspace().map_err(super::super::Error::from)?;
        let mut file = tempfile::NamedTempFile::new_in(place).context("create a file in", place)?;
        let exported = self.export(name, &seen.id, file.as_file_mut(), &talk);
        exported.map_err(|error| match error {
            Error::Refused { engine, how, said } => Error::NotGiven {
                engine,
                name: name.to_owned(),
                how,
                said,
            },
            error => error,
        })?;
        let Seen { id, diff_ids } = seen;
        let file = file.path();
        Ok(archive::read_identified(
            file, id, diff_ids, platform, store, observer,
        )?)
    }

    fn export(
        &self,
        name: &str,
        id: &Digest,
        file: &mut File,
        talk: &Talk<'_>,
    ) -> Result<(), Error> {
        match &self.access {
            Access::Socket(socket) => {
                // By its id: the name may mean another one by now.
                let path = format!("/images/{id}/get");
                let response = socket::download(socket, &path, MAX_ARCHIVE_BYTES, file, talk)?;
                docker::expect_success(&response, talk)?;
            }
            Access::Command(program, before) => {
                let words: [String; 3] = match self.engine {
                    Engine::Containerd { .. } => ["images", "export", "-"].map(str::to_owned),
                    Engine::Docker => ["image", "save", &id.to_string()].map(str::to_owned),
                    Engine::Podman => ["image", "save", id.hex()].map(str::to_owned),
                };
                let mut words = words.to_vec();
                if matches!(self.engine, Engine::Containerd { .. }) {
                    words.push(name.to_owned());
                }
                command::write_to(program, before, &words, file, MAX_ARCHIVE_BYTES, talk)?;
            }
        }
        let path = std::path::Path::new("the image's archive");
        file.seek(SeekFrom::Start(0)).context("read", path)?;
        Ok(())
    }
}

/// What Docker and podman say of a name that they do not know.
fn says_that_there_is_none(lines: &[String]) -> bool {
    let all = lines.join("\n").to_lowercase();
    ["no such image", "image not known", "no such object"]
        .iter()
        .any(|text| all.contains(text))
}

#[cfg(test)]
#[path = "../take_tests.rs"]
mod tests;
