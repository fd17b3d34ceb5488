//! The `usage` script of a builder image, run as `assemble` is, with nothing to build.

use super::assemble::{self, Step};
use super::plan::{self, PlanError};
use super::request::BuildRequest;
use super::rootfs::{RootFs, Wanted};
use super::scripts::Search;
use super::{Bytes, Error, Tools, about_builder, commit, find_image};
use crate::builder_image::{BuilderImage, Script};
use crate::event::Observer;
use crate::layer::EntryPath;
use crate::source::{Links, SourceTree};

/// Runs it; what it prints are [`crate::event::Event::Output`] lines. Nothing of this machine changes.
///
/// # Errors
/// [`PlanError::Builder`] when there is no such script, [`Error::Script`] when it fails, [`Error::NothingMayRun`] without a
/// sandbox.
///
/// # Spec
/// `s2i-compat.md` §3.2.
pub fn usage(
    request: &BuildRequest,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let confinement = tools.confinement.ok_or(Error::NothingMayRun)?;
    let policy = request.s2i.pull;
    let found = find_image(
        &request.builder,
        &request.platform,
        policy,
        Bytes::All,
        tools,
        observer,
    );
    let (image, name) = found.map_err(|error| about_builder(request, error))?;
    let builder = BuilderImage::from_image(image, &name);
    let workspace = tools.store.workspace()?;
    let source = SourceTree {
        root: workspace.to_owned(),
        entries: Vec::new(),
        environment: Vec::new(),
        links: Links::Keep,
    };
    let search = Search {
        url: request.s2i.scripts_url.as_deref(),
        source: &source,
        builder: &builder,
        wanted: &[Script::Usage],
        needs_one: true,
        scratch: workspace.join("scripts"),
        http: &|| tools.http().map(std::sync::Arc::clone),
    };
    let scripts = search.run(observer)?;
    let destination = plan::destination(request, &builder);
    let path = scripts.path(Script::Usage, destination);
    let path = path.ok_or_else(|| PlanError::from(builder.lacks(Script::Usage)))?;
    let variables = plan::script_environment(request, &source, &builder);
    let mut process = plan::process(request, &builder, &path, variables);
    process.user = builder.image().config.parsed.user().to_owned();
    let step = Step {
        script: Script::Usage.name(),
        process: &process,
        destination,
        scripts: &scripts,
        application_directory: &EntryPath::root(),
        form: commit::Form {
            epoch: request.epoch,
            compression: request.compression,
        },
        inputs: &request.inputs,
        builder: &name,
        name: "usage",
        capture: None,
    };
    let wanted = Wanted {
        image: builder.image(),
        name: &name,
        confinement,
        threads: tools.threads,
        ours: &[],
    };
    let root = RootFs::prepare(&wanted, tools.store, workspace.join("usage"), observer)?;
    let sandbox = root.sandbox(&tools.program)?;
    let uploads = assemble::uploads(&step, &source);
    let ended = assemble::run(&step, uploads, &sandbox, tools, observer);
    root.finish(observer)?;
    ended.map(|_| ())
}
