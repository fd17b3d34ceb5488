//! What is told of a build that has ended well: files for pipelines, lines on stdout.

use std::path::PathBuf;

use super::args::Args;
use super::facts;
use super::target::Target;
use crate::build::{BuildReport, Tag};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::{observer, sbom};
use crate::image::Platform;
use crate::reference::DEFAULT_TAG;
use crate::release::outputs::{Others, Outputs, ResultFile};
use crate::release::result;

/// The files that tell of one build.
pub(super) struct Told<'a> {
    args: &'a Args,
    shared: &'a Shared,
    outputs: Outputs,
    /// What the image's bill of materials is called, if one is wanted.
    bill: Option<String>,
    target: &'a Target,
    /// True when another command of ours has started this one, and has looked after what was there before.
    is_one_of_several: bool,
}

impl<'a> Told<'a> {
    /// Those that were asked for, and in a project the file of results.
    pub(super) fn new(
        args: &'a Args,
        target: &'a Target,
        tags: &[Tag],
        shared: &'a Shared,
    ) -> Self {
        let mut outputs = args.pipeline.outputs();
        let own = target
            .project
            .as_ref()
            .filter(|_| target.application.is_some());
        if let (None, Some(project)) = (&outputs.result, own) {
            outputs.result = Some(ResultFile {
                path: project.root.join(result::FILE),
                others: Others::Stay,
            });
        }
        let is_one_of_several = shared.only_application.is_some();
        if is_one_of_several || shared.report_file.is_some() {
            // Who has started this command writes what pipelines read. Hooks of this one application want to read its result
            // before that.
            let has_hooks = own.is_some_and(|project| !project.hooks.is_empty());
            let result = outputs.result.take();
            outputs = Outputs {
                result: result.filter(|_| is_one_of_several && has_hooks),
                ..Outputs::default()
            };
        }
        // Of a build that another command of ours has started, that one writes it.
        let is_part = is_one_of_several || shared.report_file.is_some();
        let bill = (!is_part && args.sbom.are_given()).then(|| match &target.application {
            Some(application) => application.name.clone(),
            None => sbom::last_part(&tags[0].reference).to_owned(),
        });
        Self {
            args,
            shared,
            outputs,
            bill,
            target,
            is_one_of_several,
        }
    }

    /// Looks whether these files can be had, and removes what earlier builds left in them.
    ///
    /// # Errors
    /// As [`Outputs::check`] and [`Outputs::forget_stale`].
    pub(super) fn begin(
        &self,
        tags: &[Tag],
        platforms: &[Platform],
        is_pushed: bool,
    ) -> Result<(), Diagnostic> {
        if self.is_one_of_several {
            return Ok(());
        }
        if let Some(name) = &self.bill {
            self.args.sbom.prepare(&[name], platforms, is_pushed)?;
        }
        self.outputs.check(1, platforms.len().max(1))?;
        let names = tags.iter().map(|tag| tag.reference.name());
        let names: Vec<String> = self
            .name()
            .map(str::to_owned)
            .into_iter()
            .chain(names)
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.outputs.forget_stale(&names)?)
    }

    /// Writes them; the bill of materials first, for what a pipeline reads says that all was done.
    ///
    /// # Errors
    /// As [`Outputs::write`], and those of the bill.
    pub(super) fn write(&self, report: &BuildReport) -> Result<(), Diagnostic> {
        if let Some(name) = &self.bill {
            let observer = observer(self.shared, self.args.s2i.common.quiet)?;
            let built = [sbom::Built { name, report }];
            let creds = &self.args.creds;
            let bills = &self.args.sbom;
            bills.deliver(&built, creds, self.shared, observer.as_ref())?;
        }
        Ok(self.outputs.write(&[facts::of(report, self.name())?])?)
    }

    /// The file of results that is written, absolute.
    pub(super) fn result_file(&self) -> Option<PathBuf> {
        self.outputs.result_file()
    }

    /// What the project calls the image.
    fn name(&self) -> Option<&'a str> {
        let application = self.target.application.as_ref();
        application.map(|application| application.image_name())
    }
}

/// What is printed: `NAME@DIGEST` for every name; a single line, of the name that tells most, if `is_quiet`.
///
/// # Spec
/// `path-to-production.md` §4.3: *stdout in `--quiet` mode is exactly one line, the ref with digest*.
pub(super) fn lines(report: &BuildReport, is_quiet: bool) -> Vec<&str> {
    let all = report.references.iter().map(String::as_str);
    if !is_quiet {
        return all.collect();
    }
    let is_latest = |name: &String| {
        name.rsplit('/')
            .next()
            .is_some_and(|last| last.ends_with(&format!(":{DEFAULT_TAG}")))
    };
    let telling = report.names.iter().position(|name| !is_latest(name));
    all.skip(telling.unwrap_or(0)).take(1).collect()
}

/// The platforms, as hooks are told of them.
pub(super) fn platforms(report: &BuildReport) -> Vec<String> {
    let images = report.images.iter();
    images.map(|image| image.platform.clone()).collect()
}
