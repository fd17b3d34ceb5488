//! Which scripts a build runs, and from where: the S2I order of places, one script at a time.
//!
//! | place | what is there |
//! |---|---|
//! | `--scripts-url` | `image://`: taken for granted. `file://`, `http://`, `https://`: fetched |
//! | the source | `.s2i/bin/NAME`, then `.sti/bin/NAME` |
//! | the builder image | its label or variable; the same URLs, but no file of this machine |
//!
//! # Spec
//! `s2i-compat.md` §2.8.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::packages::without_credentials;
use crate::builder_image::{BuilderImage, Script, ScriptsPlace};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::http::{self, GetError, Http};
use crate::source::SourceTree;

/// Where in a source the application's own scripts are; the second name is the older one.
const SOURCE_DIRECTORIES: [&str; 2] = [".s2i/bin", ".sti/bin"];
/// The largest script, in bytes.
const MAX_SCRIPT: u64 = 16 << 20;

/// The scripts that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts(BTreeMap<Script, Found>);

/// Where a script is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the image, at this absolute path.
    Image(String),
    /// A file of the source, at this path below its root. It leaves the source and goes to the scripts.
    Source(String),
    /// A file of this machine, or one that was fetched.
    File {
        /// Where it is now.
        path: PathBuf,
        /// What it says.
        digest: Digest,
        /// Where it comes from, for people.
        from: String,
    },
}

impl Found {
    /// True for a script that is put into the image.
    pub fn is_uploaded(&self) -> bool {
        !matches!(self, Self::Image(_))
    }
}

/// Where to look.
pub(super) struct Search<'a> {
    /// `--scripts-url`.
    pub url: Option<&'a str>,
    /// The application.
    pub source: &'a SourceTree,
    /// The builder image.
    pub builder: &'a BuilderImage,
    /// Which scripts are wanted.
    pub wanted: &'a [Script],
    /// True when it is an error that `url` has none of them.
    pub needs_one: bool,
    /// For what has to be fetched: a directory of this build alone.
    pub scratch: PathBuf,
    /// A client, for those who need one.
    pub http: &'a dyn Fn() -> Result<Arc<Http>, http::Error>,
}

/// `--scripts-url` names a place that has none of the scripts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`--scripts-url {url}` has none of the scripts: {}", reasons.join("; "))]
pub struct NoScripts {
    /// The URL, without credentials.
    pub url: String,
    /// What was tried.
    pub reasons: Vec<String>,
}

impl Search<'_> {
    /// Looks for each script where it may be.
    ///
    /// # Errors
    /// [`Error::Scripts`] when `--scripts-url` has none of them and should have one. One that is nowhere is not an error here.
    pub(super) fn run(&self, observer: &dyn Observer) -> Result<Scripts, Error> {
        let working_directory = self.builder.image().config.parsed.working_directory();
        let mut found = BTreeMap::new();
        let mut reasons = Vec::new();
        if let Some(url) = self.url {
            let place = ScriptsPlace::from_url(url, working_directory);
            for script in self.wanted {
                match self.look(&place, *script, true, observer)? {
                    Ok(script_found) => drop(found.insert(*script, script_found)),
                    Err(reason) => reasons.push(format!("`{script}`: {reason}")),
                }
            }
            if found.is_empty() && self.needs_one {
                return Err(NoScripts {
                    url: without_credentials(url),
                    reasons,
                }
                .into());
            }
        }
        for script in self.wanted {
            if found.contains_key(script) {
                continue;
            }
            let elsewhere = match self.in_source(*script, observer) {
                Some(path) => Some(Found::Source(path)),
                None => self.in_image(*script, observer)?,
            };
            if let Some(place) = elsewhere {
                found.insert(*script, place);
            }
        }
        Ok(Scripts(found))
    }

    fn in_source(&self, script: Script, observer: &dyn Observer) -> Option<String> {
        let mut paths = SOURCE_DIRECTORIES.iter().enumerate();
        let (age, path) = paths.find_map(|(age, directory)| {
            let path = format!("{directory}/{script}");
            self.source.file(&path).map(|_| (age, path))
        })?;
        if age > 0 {
            observer.observe(Event::Warning {
                text: format!("`{path}` is in a directory that s2i gave up long ago"),
                hint: Some("move it to `.s2i/bin`".to_owned()),
            });
        }
        Some(path)
    }

    fn in_image(&self, script: Script, observer: &dyn Observer) -> Result<Option<Found>, Error> {
        let Some(directory) = self.builder.scripts() else {
            return Ok(None);
        };
        let found = self.look(&directory.place, script, false, observer)?;
        if let Err(reason) = &found {
            let url = without_credentials(&directory.place.url(script));
            observer.observe(Event::Note {
                text: format!(
                    "`{url}`, named by the builder image's `{}`, cannot be used: {reason}",
                    directory.declared_by
                ),
            });
        }
        Ok(found.ok())
    }

    fn look(
        &self,
        place: &ScriptsPlace,
        script: Script,
        is_trusted: bool,
        observer: &dyn Observer,
    ) -> Result<Result<Found, String>, Error> {
        let fetching = Fetching {
            scratch: &self.scratch,
            http: self.http,
        };
        fetching.look(place, script, is_trusted, observer)
    }
}

/// How scripts are fetched.
struct Fetching<'a> {
    scratch: &'a Path,
    http: &'a dyn Fn() -> Result<Arc<Http>, http::Error>,
}

impl Fetching<'_> {
    /// One script at one place; why it is not there, otherwise.
    fn look(
        &self,
        place: &ScriptsPlace,
        script: Script,
        is_trusted: bool,
        observer: &dyn Observer,
    ) -> Result<Result<Found, String>, Error> {
        if let Some(path) = place.path_in_image(script) {
            return Ok(Ok(Found::Image(path)));
        }
        let url = place.url(script);
        let bytes = match url.split_once("://") {
            Some(("http" | "https", _)) => match (self.http)()?.get(&url, MAX_SCRIPT, observer) {
                Ok(bytes) => bytes,
                Err(GetError::Interrupted) => return Err(Error::Interrupted),
                Err(error) => return Ok(Err(error.to_string())),
            },
            Some(("file", path)) if is_trusted => {
                match crate::fs::read_limited(Path::new(path), MAX_SCRIPT) {
                    Ok(bytes) => bytes,
                    Err(error) => return Ok(Err(crate::fs::reason(&error.source))),
                }
            }
            // An image says what is run; which files of this machine are read is not for it to say.
            Some(("file", _)) => {
                let reason = "an image must not name files of this machine; `--scripts-url` may";
                return Ok(Err(reason.to_owned()));
            }
            Some((scheme, _)) => return Ok(Err(format!("`{scheme}://` is not understood"))),
            None => {
                let reason = "it is no URL; write `file://` before a path";
                return Ok(Err(reason.to_owned()));
            }
        };
        let path = self.scratch.join(script.name());
        crate::fs::create_dir_all(self.scratch)?;
        crate::fs::write_atomic(&path, &bytes)?;
        Ok(Ok(Found::File {
            path,
            digest: Digest::of(&bytes),
            from: without_credentials(&url),
        }))
    }
}

impl Scripts {
    /// Where a script is.
    pub fn get(&self, script: Script) -> Option<&Found> {
        self.0.get(&script)
    }

    /// Of these, one alone.
    pub(super) fn only(&self, script: Script) -> Self {
        let found = self.get(script).cloned();
        Self(found.map(|found| (script, found)).into_iter().collect())
    }

    /// The scripts that are put into the image.
    pub fn uploaded(&self) -> impl Iterator<Item = (Script, &Found)> {
        let all = self.0.iter().map(|(script, found)| (*script, found));
        all.filter(|(_, found)| found.is_uploaded())
    }

    /// The path at which a script is run, when what is uploaded goes to `DESTINATION/scripts`.
    pub fn path(&self, script: Script, destination: &str) -> Option<String> {
        Some(match self.get(script)? {
            Found::Image(path) => path.clone(),
            _ => format!("{destination}/scripts/{script}"),
        })
    }

    /// True for a file of the source that is a script and nothing else.
    pub fn takes(&self, path: &[u8]) -> bool {
        let is_it =
            |found: &Found| matches!(found, Found::Source(taken) if taken.as_bytes() == path);
        self.0.values().any(is_it)
    }

    /// The scripts of a source whose application brings these; for tests of what depends on them.
    #[cfg(test)]
    pub(super) fn of_source(source: &SourceTree, builder: &BuilderImage) -> Self {
        let of = |script: Script| {
            let path = format!(".s2i/bin/{script}");
            let in_image = || builder.scripts()?.place.path_in_image(script);
            let found = match source.file(&path) {
                Some(_) => Some(Found::Source(path)),
                None => in_image().map(Found::Image),
            };
            found.map(|found| (script, found))
        };
        let wanted = [Script::Assemble, Script::Run, Script::SaveArtifacts];
        Self(wanted.into_iter().filter_map(of).collect())
    }
}

/// The scripts at a URL, by name, as files below `scratch`; none of an `image://` URL, and none that is not there.
///
/// # Errors
/// [`Error::Interrupted`], and when `scratch` cannot be written.
pub fn fetch_scripts(
    url: &str,
    scratch: &Path,
    http: &dyn Fn() -> Result<Arc<Http>, http::Error>,
    observer: &dyn Observer,
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let place = ScriptsPlace::from_url(url, "/");
    let mut found = BTreeMap::new();
    for script in [Script::Assemble, Script::Run, Script::SaveArtifacts] {
        let fetching = Fetching { scratch, http };
        match fetching.look(&place, script, true, observer)? {
            Ok(Found::File { path, .. }) => drop(found.insert(script.to_string(), path)),
            Ok(_) => {}
            Err(reason) => observer.observe(Event::Note {
                text: format!("`{}`: {reason}", without_credentials(&place.url(script))),
            }),
        }
    }
    Ok(found)
}

#[cfg(test)]
#[path = "scripts_tests.rs"]
mod tests;
