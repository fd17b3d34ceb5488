//! k3d, kind and minikube, told to load an archive.

use std::path::Path;
use std::time::Duration;

use super::process::{Ended, Runner};
use super::verify::{self, Verified};
use super::{Error, Target};
use crate::digest::Digest;
use crate::event::Observer;
use crate::reference::Reference;

/// An image that is loaded: what the nodes must have afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its name with a tag.
    pub name: &'a Reference,
    /// The digest of its configuration, which is what nodes call its id.
    pub config: &'a Digest,
    /// The digest of its manifest.
    pub manifest: &'a Digest,
}

/// What loads an archive into a cluster.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    /// Where it goes.
    pub target: &'a Target,
    /// How long each run of a program may take.
    pub limit: Duration,
}

impl Loader<'_> {
    /// The command that loads `archive`, `program argument …`; `None` for a target that needs none.
    pub fn command(&self, archive: &Path) -> Option<Vec<String>> {
        let file = archive.display().to_string();
        let words: Vec<&str> = match self.target {
            // The mode that is the default only logs a failed import, and ends with success.
            Target::K3d(name) => vec![
                "k3d", "image", "import", &file, "--mode", "direct", "-c", name,
            ],
            Target::Kind(name) => vec!["kind", "load", "image-archive", &file, "--name", name],
            Target::Minikube(profile) => vec!["minikube", "image", "load", &file, "-p", profile],
            Target::Registry | Target::Archive(_) => return None,
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }

    /// That the program is there and knows the cluster; `place` is a directory for what programs print while they run.
    ///
    /// # Errors
    /// As [`verify::ready`].
    pub fn ready(&self, place: &Path, observer: &dyn Observer) -> Result<(), Error> {
        verify::ready(self.target, self.runner(place, observer))
    }

    /// The nodes, when every one of them has the image already under its name; `None` when one lacks it or has another, or nobody can be
    /// asked. Minikube tells names alone, so there the tag has to be one that is made of the content.
    ///
    /// # Errors
    /// [`Error::Interrupted`], [`Error::File`].
    pub fn has(
        &self,
        place: &Path,
        image: &Image<'_>,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<String>>, Error> {
        match verify::verify(self.target, image, &[], self.runner(place, observer)) {
            Ok(Verified::On(nodes)) => Ok(Some(nodes)),
            Ok(Verified::Unknown(_)) => Ok(None),
            Err(Error::NotOnNode { .. } | Error::OtherOnNode { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn runner<'a>(&self, place: &'a Path, observer: &'a dyn Observer) -> Runner<'a> {
        Runner {
            place,
            limit: self.limit,
            observer,
        }
    }

    /// Loads the archive, an absolute path, and asks the nodes whether they have `images` then. Loading again what is there does
    /// no harm.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Failed`] also for a program that says it failed and ends with success,
    /// [`Error::Timeout`], [`Error::NotOnNode`], [`Error::OtherOnNode`], [`Error::Interrupted`].
    pub fn load(
        &self,
        archive: &Path,
        images: &[Image<'_>],
        observer: &dyn Observer,
    ) -> Result<Verified, Error> {
        let Some(command) = self.command(archive) else {
            return Ok(Verified::Unknown("nothing was loaded".to_owned()));
        };
        let arguments: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        let runner = self.runner(archive.parent().unwrap_or(Path::new(".")), observer);
        let ended = runner.run(&command[0], &arguments)?;
        if !ended.status.success() {
            return Err(ended.failed());
        }
        if let Some(line) = complaint(&ended) {
            return Err(Error::Failed {
                how: format!("it ended with success, but said `{line}`"),
                command: ended.command.clone(),
                said: ended.said(),
            });
        }
        let mut verified = Verified::Unknown("there is no image in the archive".to_owned());
        for image in images {
            verified = verify::verify(self.target, image, &ended.said(), runner)?;
            if matches!(verified, Verified::Unknown(_)) {
                break;
            }
        }
        Ok(verified)
    }
}

/// The first line in which a program that ended well says that it failed: `ERRO[0003] …` or `level=error …` of k3d's log.
fn complaint(ended: &Ended) -> Option<String> {
    let is_complaint = |line: &&str| {
        let line = strip_colours(line);
        let line = line.trim_start();
        ["ERRO[", "ERROR", "FATA["]
            .iter()
            .any(|word| line.starts_with(word))
            || line.contains("level=error")
    };
    let lines = ended.stderr.lines().chain(ended.stdout.lines());
    let line = lines.into_iter().find(is_complaint)?;
    Some(crate::event::printable(strip_colours(line).trim()))
}

/// A line without the sequences that colour it.
fn strip_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_that_return_their_errors() {
        let command = |target: &Target| {
            let loader = Loader {
                target,
                limit: Duration::from_secs(1),
            };
            loader
                .command(Path::new("/a.tar"))
                .map(|words| words.join(" "))
        };
        assert_eq!(
            command(&Target::K3d("dev".to_owned())).unwrap(),
            "k3d image import /a.tar --mode direct -c dev"
        );
        assert_eq!(
            command(&Target::Kind("kind".to_owned())).unwrap(),
            "kind load image-archive /a.tar --name kind"
        );
        assert_eq!(command(&Target::Registry), None);
    }

    #[test]
    fn complaints_are_found_in_colour_too() {
        let complaint = |text: &str| {
            complaint(&Ended {
                command: "k3d".to_owned(),
                status: std::os::unix::process::ExitStatusExt::from_raw(0),
                stdout: String::new(),
                stderr: text.to_owned(),
            })
        };
        let said =
            complaint("INFO[0000] a\n\u{1b}[31mERRO\u{1b}[0m[0003] failed to import\n").unwrap();
        assert_eq!(said, "ERRO[0003] failed to import");
        assert!(complaint("time=x level=error msg=y\n").is_some());
        assert_eq!(
            complaint("INFO[0000] no ERRO[ here\nSuccessfully imported\n"),
            None
        );
    }
}
