//! A build as s2i's commands mean it, from the words to the image in its places.

use super::flags::{S2iFlags, given};
use super::order::{self, Called, Warnings};
use super::previous::Replaced;
use super::source::{self, Brought};
use super::{afterwards, deliver, dockerfile, is_shown, messages, redact, request};
use crate::build::{BuildRequest, Tag};
use crate::cli::args::Shared;
use crate::cli::build::perform::{self, Built, Job};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::step_args::StepArgs;
use crate::cli::{confine, creds, load, print};

/// Where images are kept whose build names none: a name that no registry and hardly a person uses.
const NAMELESS: &str = "localhost/s2i";

/// What was asked for.
pub(super) struct Wish<'a> {
    pub(super) source: &'a str,
    pub(super) builder: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) flags: &'a S2iFlags,
    pub(super) step: &'a StepArgs,
    pub(super) confine: &'a confine::Flags,
    pub(super) creds: &'a creds::Flags,
    /// `--url`: the engine to load into.
    pub(super) engine: Option<&'a str>,
    /// By which name this program was called: `overcoat` loads into no engine unasked, and prints the result.
    pub(super) called: Called,
}

impl Wish<'_> {
    /// The request that this means, and what has to be said about it.
    ///
    /// # Errors
    /// [`Code::Usage`] and [`Code::InvalidReference`] for what no build can mean.
    pub(super) fn request(&self) -> Result<(BuildRequest, Warnings), Diagnostic> {
        let tag = match self.tag {
            Some(tag) => order::tag(tag)?,
            None if self.flags.common.incremental
                && given(&self.flags.build.as_dockerfile).is_some() =>
            {
                return Err(Diagnostic::new(
                    Code::Usage,
                    "`--incremental` with `--as-dockerfile` needs a TAG",
                )
                .hint("its artifacts come from the image of that name"));
            }
            None => name_for(self.source),
        };
        let builder = order::image_source(self.builder, "the builder")?;
        let mut request = request::bare(vec![tag], builder)?;
        request.inputs = self.step.read()?;
        // One application's scripts must not choose what another installs.
        let name = request.tags[0].reference.repository();
        request.inputs.cache_scope = Some(format!("{} {name}", self.builder));
        let warnings = order::apply(self.flags, self.step, self.called, &mut request)?;
        if self.tag.is_none() && given(&self.flags.build.application_name).is_none() {
            // The name is ours, not theirs.
            request.s2i.generated_labels.remove(order::DISPLAY_NAME);
        }
        Ok((request, warnings))
    }

    /// Builds, and brings the image to where it is wanted; the exit status.
    ///
    /// # Errors
    /// Whatever a build can fail of.
    pub(super) fn build(
        &self,
        request: (BuildRequest, Warnings),
        shared: &Shared,
    ) -> Result<u8, Diagnostic> {
        let (mut request, warnings) = request;
        let is_outermost = shared.entered.is_none();
        if is_outermost {
            warnings.tell(shared, self.flags.common.quiet)?;
        }
        let is_dockerfile = given(&self.flags.build.as_dockerfile).is_some();
        let delivery = match self.called {
            Called::S2i if !is_dockerfile => {
                let delivery = deliver::choose(self.engine, Some(&request.tags[0]))?;
                if is_outermost {
                    delivery.check(shared)?;
                }
                delivery
            }
            _ => deliver::Delivery::default(),
        };
        let brought = source::bring(self.source, self.flags, self.called, &mut request, shared);
        let brought = match brought {
            Ok(brought) => brought,
            Err(error) if is_outermost && !is_dockerfile => {
                let tag = &request.tags[0];
                return afterwards::call_back(self.flags, tag, Err(error), shared);
            }
            Err(error) => return Err(error),
        };
        if is_shown(shared, 2) {
            redact::request(&request)
                .iter()
                .for_each(|line| messages::say(line));
        }
        if let Some(out) = given(&self.flags.build.as_dockerfile) {
            let builder = self.builder;
            let written = dockerfile::write(&request, builder, self.flags, out.as_ref(), shared)?;
            let written = written.display();
            messages::say(&format!("Application dockerfile generated in {written}"));
            return Ok(Code::Success as u8);
        }
        request.loads = delivery.engines();
        let status = self.deliver(&request, &delivery, &brought, shared);
        if !is_outermost {
            return status;
        }
        let tag = &request.tags[0];
        let status = afterwards::call_back(self.flags, tag, status, shared)?;
        if status != Code::Success as u8 {
            return Ok(status);
        }
        if self.tag.is_none() {
            messages::say(&format!(
                "no TAG was given: the image is called `{}`",
                tag.typed
            ));
        }
        if self.called == Called::S2i {
            messages::say("Build completed successfully");
        }
        if self.flags.build.run {
            // What becomes another program drops nothing.
            drop(brought);
            return afterwards::run_image(tag, self.confine, shared);
        }
        Ok(status)
    }

    fn deliver(
        &self,
        request: &BuildRequest,
        delivery: &deliver::Delivery,
        brought: &Brought,
        shared: &Shared,
    ) -> Result<u8, Diagnostic> {
        let is_quiet = self.flags.common.quiet;
        let replaced = match shared.entered {
            None => Replaced::look(request, &delivery.found, shared, is_quiet)?,
            Some(_) => None,
        };
        let marker = replaced.as_ref().map(Replaced::marker);
        let job = Job {
            artifacts: marker.as_deref(),
            request,
            platforms: &[],
            flags: self.confine,
            creds: self.creds,
            auth_file: self.flags.common.dockercfg(),
            engine: delivery.access(shared),
            brought: brought.handed(),
            observer: None,
            log: None,
            explains: false,
            is_quiet,
        };
        let status = match perform::perform(&job, shared)? {
            Built::Here(report) => {
                if self.called == Called::Overcoat {
                    print(&report.references.join("\n"))?;
                }
                Code::Success as u8
            }
            Built::Inside { status, .. } => status,
        };
        if shared.entered.is_some() || status != Code::Success as u8 {
            return Ok(status);
        }
        let tag = &request.tags[0];
        let references = [tag.reference.clone()];
        let name = tag.reference.without_digest().to_string();
        load::load(&delivery.found, &name, &references, shared, is_quiet)?;
        if let Some(replaced) = replaced {
            replaced.remove(shared, is_quiet)?;
        }
        delivery.push(&name, self.creds, shared)?;
        delivery.tell(tag, shared)?;
        Ok(status)
    }
}

/// The name for an image whose build names none: after the last part of its source.
fn name_for(source: &str) -> Tag {
    let name = Tag::from_directory_name(&source::last_part(source)).map(|tag| tag.typed);
    let name = format!("{NAMELESS}/{}", name.as_deref().unwrap_or("application"));
    let reference = name.parse();
    // Made of letters, digits and dashes: always a reference.
    reference.unwrap_or_else(|_| unreachable!("`{name}` is a reference"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_name_is_called_after_its_source() {
        for (source, expected) in [
            (
                "https://git.example/team/My_App.git#main",
                "localhost/s2i/my-app",
            ),
            ("git@git.example:app.git", "localhost/s2i/app"),
            ("/srv/app/", "localhost/s2i/app"),
            ("file:///srv/app#v1.2/x", "localhost/s2i/app"),
            ("/", "localhost/s2i/application"),
            ("__", "localhost/s2i/application"),
        ] {
            assert_eq!(name_for(source).typed, expected, "{source}");
        }
        assert!(name_for(".").typed.starts_with("localhost/s2i/"));
    }
}
