//! Builder images with ONBUILD triggers: what Docker would do first in a build on them is what makes the application.
//!
//! s2i writes a Dockerfile of `FROM`, the application's variables, `RUN sh assemble` and an `ENTRYPOINT`, and lets Docker
//! build it. Here the triggers are read, and each becomes a layer: what is copied is written, what is run runs in the
//! sandbox on all that was made before it.
//!
//! # Spec
//! `s2i-compat.md` §2.17; the instructions are those of the Dockerfile reference.

mod copy;
mod instruction;
mod plan;

pub use instruction::Refusal;

use super::assemble::{self, Step};
use super::commit::Form;
use super::request::BuildRequest;
use super::scripts::Scripts;
use super::{Error, Tools};
use crate::builder_image::BuilderImage;
use crate::event::Observer;
use crate::image::edit::{self, Changes, NewLayer};
use crate::image::{Image, rfc3339};
use crate::layer::EntryPath;
use crate::sandbox::Process;
use crate::source::SourceTree;

/// What a step that a trigger asks for is called.
pub(super) const SCRIPT: &str = "ONBUILD";

/// What the triggers of a builder image and the application's own scripts do, in order.
#[derive(Clone, Debug)]
pub struct OnBuild {
    /// What is done.
    pub actions: Vec<Action>,
    /// The scripts that lie beside the source for it.
    pub scripts: Scripts,
    /// The working directory afterwards.
    pub directory: String,
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Files of the application are put into the image.
    Copy(Copy),
    /// Something runs.
    Run(Process),
}

/// `COPY`, and `ADD` of what is no archive and no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Paths of the application; `.` is all of it.
    pub sources: Vec<String>,
    /// Absolute; with a slash at its end when it must be a directory.
    pub target: String,
    /// `--chown`; root's otherwise.
    pub owner: Option<String>,
    /// `--chmod`.
    pub mode: Option<u32>,
}

/// Where an application goes, and what it is called in messages.
pub(super) struct Doing<'a> {
    pub request: &'a BuildRequest,
    pub builder: &'a BuilderImage,
    pub source: &'a SourceTree,
    pub form: Form,
    /// What the log is called.
    pub name: &'a str,
}

/// Does all of it: the layers, lowest first.
///
/// # Errors
/// [`Error::Script`] for what fails, [`Error::Sandbox`], [`Error::Store`].
pub(super) fn layers(
    on_build: &OnBuild,
    doing: &Doing<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let mut made: Vec<NewLayer> = Vec::new();
    let directory = EntryPath::parse(on_build.directory.as_bytes())?;
    for action in &on_build.actions {
        let image = on_top(doing, &made)?;
        tools.store.put_documents(&image)?;
        match action {
            Action::Copy(copy) => {
                made.push(copy::layer(copy, on_build, &image, doing, tools, observer)?);
            }
            Action::Run(process) => {
                let step = Step {
                    script: SCRIPT,
                    process,
                    destination: "/tmp",
                    scripts: &Scripts::default(),
                    application_directory: &directory,
                    form: doing.form,
                    inputs: &doing.request.inputs,
                    builder: doing.builder.name(),
                    name: doing.name,
                    capture: None,
                };
                let ours = std::slice::from_ref(&doing.source.root);
                let layers = assemble::layers(&step, Vec::new(), ours, &image, tools, observer)?;
                made.extend(layers);
            }
        }
    }
    Ok(made)
}

/// The builder image with what was made so far.
fn on_top(doing: &Doing<'_>, made: &[NewLayer]) -> Result<Image, Error> {
    let changes = Changes {
        created: rfc3339(doing.request.epoch),
        ..Changes::default()
    };
    Ok(edit::append(doing.builder.image(), made, &changes)?)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
