//! Where an image goes when s2i would leave it in Docker's store.
//!
//! Callers' command lines are often fixed (Daeploy's has five arguments and no flag), so the place is chosen by what is
//! there, or by variables.

use std::os::unix::net::UnixStream;
use std::path::Path;

use super::messages;
use crate::build::{EngineAccess, Tag};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{creds, env, open_store, push};
use crate::event::Silent;
use crate::output::load::{Engine, Found, Places};

/// Where to load into: `none`, or engines with commas.
pub(super) const LOAD: &str = "OVERCOAT_S2I_LOAD";
/// Where to push to: `yes`, or what to put before the name.
pub(super) const PUSH: &str = "OVERCOAT_S2I_PUSH";

/// The places for an image.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// The engines that get it.
    pub(super) found: Vec<(Engine, Found)>,
    /// True when nobody said that no engine should have it, and none is there.
    is_told: bool,
    /// Where it is pushed to.
    target: Option<Tag>,
}

/// Chooses the places for the image called `tag`; without one, only whom to ask for images. `url` is `--url`.
///
/// # Errors
/// [`Code::Usage`] when what was named is not there, before work is done in vain.
pub(super) fn choose(url: Option<&str>, tag: Option<&Tag>) -> Result<Delivery, Diagnostic> {
    let (load, push) = env::s2i_destinations();
    let mut places = env::engines();
    if let Some(url) = url
        && places.docker_host.as_deref() != Some(url)
    {
        if !url.starts_with("unix://") {
            return Err(Diagnostic::new(
                Code::Usage,
                format!(
                    "`--url` can only name a socket here, `unix:///PATH`, and not `{}`",
                    shown(url)
                ),
            )
            .hint("name it by DOCKER_HOST, which the command `docker` reads, too"));
        }
        places.docker_host = Some(url.to_owned());
    }
    let mut delivery = Delivery {
        target: push
            .zip(tag)
            .map(|(push, tag)| target(&push, tag))
            .transpose()?,
        ..Delivery::default()
    };
    match load.as_deref() {
        Some("none") => {}
        Some(engines) if engines != "auto" => {
            for engine in engines.split(',') {
                let engine: Engine = engine.trim().parse().map_err(|error| {
                    Diagnostic::new(Code::Usage, error).attempting(format!("cannot use {LOAD}"))
                })?;
                let found = engine.find(&places)?;
                delivery.found.push((engine, found));
            }
        }
        _ => match automatic(places)? {
            Some(found) => delivery.found.push((Engine::Docker, found)),
            None => delivery.is_told = delivery.target.is_none(),
        },
    }
    Ok(delivery)
}

/// Docker, if it is there.
fn automatic(mut places: Places) -> Result<Option<Found>, Diagnostic> {
    let answers = |path: &Path| UnixStream::connect(path);
    if let Some(host) = &places.docker_host {
        if let Some(path) = host.strip_prefix("unix://")
            && let Err(error) = answers(Path::new(path))
        {
            let reason = crate::fs::reason(&error);
            let text = format!("the engine at `{path}` does not answer: {reason}");
            return Err(Diagnostic::new(Code::Usage, text).hint(format!(
                "DOCKER_HOST or `--url` names it; start it, or keep images in overcoat's own store with {LOAD}=none"
            )));
        }
        let found = Engine::Docker.find(&places).map_err(|error| Diagnostic {
            code: Code::Usage,
            ..Diagnostic::from(error).hint(format!(
                "or keep images in overcoat's own store with {LOAD}=none"
            ))
        })?;
        return Ok(Some(found));
    }
    if places.has_docker_context
        && let Ok(found) = Engine::Docker.find(&places)
    {
        return Ok(Some(found));
    }
    places.docker_sockets.retain(|path| answers(path).is_ok());
    places.has_docker_context = false;
    match places.docker_sockets.is_empty() {
        true => Ok(None),
        false => Ok(Some(Engine::Docker.find(&places)?)),
    }
}

/// The name that is pushed: that of the image, or the same behind `push`.
fn target(push: &str, tag: &Tag) -> Result<Tag, Diagnostic> {
    let name = match push {
        "1" | "true" | "yes" => return Ok(tag.clone()),
        before => format!("{}/{}", before.trim_end_matches('/'), tag.typed),
    };
    name.parse().map_err(|error: crate::reference::ParseError| {
        Diagnostic::from(error)
            .attempting(format!("cannot use {PUSH}"))
            .hint(format!(
                "it is `yes`, or what stands before the name: {PUSH}=registry.example.com/team"
            ))
    })
}

/// A URL may carry a password.
fn shown(url: &str) -> &str {
    url.split("://").next().unwrap_or_default()
}

impl Delivery {
    /// How Docker is asked for images, if it is one of them: in a user namespace it was asked before.
    pub(super) fn access(&self, shared: &Shared) -> Option<EngineAccess> {
        let docker = self
            .found
            .iter()
            .find(|(engine, _)| *engine == Engine::Docker);
        docker.map(|(_, found)| match shared.entered {
            None => EngineAccess::Asked(found.clone()),
            Some(_) => EngineAccess::Remembered,
        })
    }

    /// Checks that each engine answers, before work is done in vain.
    ///
    /// # Errors
    /// [`Code::Usage`] with what the engine, or its command, said.
    pub(super) fn check(&self, shared: &Shared) -> Result<(), Diagnostic> {
        if self.found.is_empty() {
            return Ok(());
        }
        let store = open_store(shared)?;
        for (engine, found) in &self.found {
            // Whether it has an image of this name does not matter.
            let asked = found.look("localhost/overcoat:none", &store, &Silent);
            asked.map_err(|error| Diagnostic {
                code: Code::Usage,
                ..Diagnostic::from(error)
                    .attempting(format!(
                        "the image cannot be loaded into {engine} afterwards"
                    ))
                    .hint(format!(
                        "or keep images in overcoat's own store with {LOAD}=none"
                    ))
            })?;
        }
        Ok(())
    }

    /// The engines that will want the whole image.
    pub(super) fn engines(&self) -> Vec<Engine> {
        self.found
            .iter()
            .map(|(engine, _)| engine.clone())
            .collect()
    }

    /// Pushes the image of the store that is called `name`, if that was asked for.
    ///
    /// # Errors
    /// What the registry says.
    pub(super) fn push(
        &self,
        name: &str,
        creds: &creds::Flags,
        shared: &Shared,
    ) -> Result<(), Diagnostic> {
        match &self.target {
            Some(target) => {
                let sent = push::send(name, target, creds, shared).map(|_| ());
                sent.map_err(|error| {
                    let typed = &target.typed;
                    error.attempting(format!(
                        "the image is built, but cannot be pushed as `{typed}`"
                    ))
                })
            }
            None => Ok(()),
        }
    }

    /// Says where the image is when no engine has it and nobody wanted it so.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn tell(&self, tag: &Tag, shared: &Shared) -> Result<(), Diagnostic> {
        if !self.is_told {
            return Ok(());
        }
        let store = open_store(shared)?;
        let named = store.resolve(&tag.reference)?;
        let name = named.map_or_else(|| tag.typed.clone(), |named| named.name);
        let (typed, root) = (&tag.typed, store.root().display());
        messages::say(&format!(
            "WARNING: no Docker socket answers: the image `{typed}` is in overcoat's own store. Start it with \
             `overcoat run {typed}`, send it with `overcoat push {typed}`, copy it with `skopeo copy oci:{root}:{name} …`"
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_the_image_or_stands_behind_a_prefix() {
        let tag: Tag = "app:1.0".parse().unwrap();
        let pushed = |push: &str| target(push, &tag).map(|tag| tag.typed).ok();
        assert_eq!(pushed("yes").as_deref(), Some("app:1.0"));
        let expected = Some("registry.example:5000/team/app:1.0");
        assert_eq!(pushed("registry.example:5000/team/").as_deref(), expected);
        assert_eq!(pushed("not a name"), None);
    }

    #[test]
    fn an_engine_that_was_named_must_answer_and_one_that_was_not_need_not() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("sock");
        let nowhere = Places {
            docker_sockets: vec![socket.clone()],
            ..Places::default()
        };
        assert!(automatic(nowhere.clone()).unwrap().is_none());
        let named = Places {
            docker_host: Some(format!("unix://{}", socket.display())),
            ..nowhere.clone()
        };
        let error = automatic(named.clone()).unwrap_err();
        assert!(error.what.contains("does not answer"), "{error}");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(automatic(named).unwrap().is_some());
        assert!(automatic(nowhere.clone()).unwrap().is_some());
        drop(listener);
        // A socket file that nobody listens at any more.
        assert!(automatic(nowhere).unwrap().is_none());
    }
}
