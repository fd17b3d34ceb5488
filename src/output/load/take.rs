//! Taking an image from an engine: what it has under a name, and the archive of it.
//!
//! # Spec
//! Docker Engine API, *Inspect an image* (`GET /images/{name}/json`) and *Export an image* (`GET /images/{name}/get`).

use std::fs::File;
use std::io::{Seek, SeekFrom};

use super::{Access, Engine, Error, Found, Talk, command, digest, docker, socket};
use crate::digest::Digest;
use crate::event::{Observer, printable};
use crate::fs::Context;
use crate::image::{Image, Platform};
use crate::output::archive;
use crate::store::BlobStore;

/// The largest archive that is taken.
const MAX_ARCHIVE_BYTES: u64 = 64 << 30;

impl Found {
    /// Which engine it is.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the engine calls the image that it has under a name, written in full (`docker.io/library/app:1`); `None` when
    /// it has none. Docker and podman answer with the digest of its configuration, containerd, and Docker where it uses
    /// containerd, with that of the manifest or index.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Refused`], [`Error::Protocol`] when the engine cannot be asked or its answer is none.
    pub fn look(
        &self,
        name: &str,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<Option<Digest>, Error> {
        let engine = self.engine.to_string();
        let talk = Talk {
            engine: &engine,
            store,
            observer,
        };
        let said = match &self.access {
            Access::Socket(socket) => match docker::find_id(socket, name, &talk)? {
                Some(id) => id,
                None => return Ok(None),
            },
            Access::Command(program, arguments) => {
                let asked = self.id_arguments(name);
                match command::ask(program, arguments, &asked, &talk) {
                    Ok(said) => self.id_in(&said),
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
        digest(&said).map(Some).ok_or_else(|| Error::Protocol {
            engine,
            reason: format!(
                "`{}` is not the id of an image",
                printable(&said.chars().take(80).collect::<String>())
            ),
        })
    }

    /// Brings the image that the engine calls `id`, and has as `name`, into the store. Its archive is a temporary file in
    /// the store meanwhile.
    ///
    /// # Errors
    /// As [`Self::look`]; [`Error::Archive`] when what the engine writes is no image or is not the one with this id.
    pub fn take(
        &self,
        name: &str,
        id: &Digest,
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
        self.export(name, id, file.as_file_mut(), &talk)?;
        let image = archive::read_identified(file.path(), id, platform, store, observer)?;
        Ok(image)
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
