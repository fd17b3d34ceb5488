//! `--runtime-image`: what the builder made goes into another image, where `assemble-runtime` finishes it.
//!
//! The builder's own result is an image that nobody sees: its layers are remembered like any others, so that only
//! `assemble-runtime` runs again when only the runtime image has changed.
//!
//! # Spec
//! `s2i-compat.md` §2.18.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use super::cache::inputs::ASSEMBLE_RUNTIME;
use super::cache::step_inputs::{local_of_step, runtime_inputs};
use super::cache::{Records, record};
use super::execute::{form, log_name};
use super::plan::{self, BuildPlan, PlanError};
use super::prepare::Prepared;
use super::request::BuildRequest;
use super::s2i::{ArtifactError, RuntimeArtifact};
use super::scripts::{Found, Scripts};
use super::work::Step;
use super::{Error, Tools, assemble, builder, look};
use crate::builder_image::{BuilderImage, Script, labels};
use crate::event::{Observer, stage};
use crate::image::Image;
use crate::image::edit::{self, Changes, NewLayer};
use crate::layer::EntryPath;
use crate::layer::stack::Stack;
use crate::sandbox::{Process, Upload, UploadContent};
use crate::source::SourceTree;

/// What is done in the runtime image.
#[derive(Clone, Debug)]
pub struct RuntimePlan {
    /// The runtime image; its layers may be elsewhere.
    pub image: BuilderImage,
    /// `assemble-runtime`, as a process.
    pub process: Process,
    /// `assemble-runtime` and `run`, where they are put into the image.
    pub scripts: Scripts,
    /// The runtime image's working directory: absolute, no trailing slash, empty for `/`.
    pub directory: String,
    /// What comes from the builder.
    pub artifacts: Vec<RuntimeArtifact>,
    /// What changes in the runtime image's configuration.
    pub changes: Changes,
}

impl RuntimePlan {
    /// Decides; `scripts` are those for the builder, `found` is `assemble-runtime` and `run` as the runtime image has them.
    ///
    /// # Errors
    /// [`PlanError::Artifacts`] when nothing says what to take over, [`PlanError::Builder`] when there is no
    /// `assemble-runtime`, [`PlanError::Forbidden`].
    pub(super) fn new(
        request: &BuildRequest,
        source: &SourceTree,
        plan: &BuildPlan,
        image: BuilderImage,
        found: &Scripts,
    ) -> Result<Self, PlanError> {
        let wanted = request.s2i.runtime.clone();
        let (asked_for, user) = wanted.map_or_else(Default::default, |it| (it.artifacts, it.user));
        let label = image.assemble_input_files();
        let artifacts = RuntimeArtifact::choose(&asked_for, Some(&label), image.name())?;
        let config = &image.image().config.parsed;
        let directory = config.working_directory().trim_end_matches('/').to_owned();
        let script = found.path(Script::AssembleRuntime, &directory);
        let script = script.ok_or_else(|| image.lacks(Script::AssembleRuntime))?;
        let user = user.unwrap_or_else(|| image.assemble_runtime_user());
        if let Some(allowed) = &request.s2i.allowed_uids {
            allowed.check(&[], "the runtime image's user", &user)?;
        }
        // Of the runtime image if it has one; else where it is in the builder, as s2i has it.
        let run = found.path(Script::Run, &directory);
        let run = run
            .map(|path| vec![path])
            .or_else(|| plan.changes.command.clone());
        let variables = plan::script_environment(request, source, &image);
        let mut process = plan::process(request, &image, &script, variables);
        process.user = user;
        let mut changes = plan.changes.clone();
        changes.command = run;
        changes.working_directory = None;
        let digest = image.image().digest().to_string();
        let base = [
            (labels::BASE_NAME, image.name().to_owned()),
            (labels::BASE_DIGEST, digest),
        ];
        changes.annotations.clone_from(&request.labels);
        let base = base.map(|(name, value)| (name.to_owned(), value));
        changes.annotations.extend(base);
        Ok(Self {
            process,
            scripts: found.clone(),
            directory,
            artifacts,
            changes,
            image,
        })
    }
}

/// The artifacts, as what is put into the runtime image: files with the mode 0644, or 0755 if they can be executed.
///
/// # Errors
/// [`Error::Plan`] for an artifact that the builder's result does not have.
fn artifacts(
    plan: &RuntimePlan,
    result: &Image,
    epoch: i64,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Upload>, Error> {
    let result = BuilderImage::from_image(result.clone(), "what the builder made");
    let stack = Stack::new(&look::directories(&result, tools, observer)?);
    let mut uploads = Vec::new();
    for artifact in &plan.artifacts {
        let path = EntryPath::parse(artifact.source.as_bytes())?;
        let found = stack.resolve(&path)?;
        let found = found.ok_or_else(|| {
            PlanError::from(ArtifactError::Unusable {
                text: artifact.source.clone(),
                reason: "it is not in what the builder made".to_owned(),
            })
        })?;
        let below = match artifact.destination.as_str() {
            "" => String::new(),
            directory => format!("/{directory}"),
        };
        // A directory goes as itself, as s2i has it, which cleans the path: `/dir/.` is `/dir`.
        let mut target = format!("{}{below}/", plan.directory).into_bytes();
        target.extend_from_slice(path.file_name());
        add(&stack, &found, target, epoch, &mut uploads)?;
    }
    Ok(uploads)
}

fn add(
    stack: &Stack,
    path: &EntryPath,
    target: Vec<u8>,
    mtime: i64,
    uploads: &mut Vec<Upload>,
) -> Result<(), Error> {
    let Some(shown) = stack.find(path)? else {
        return Ok(());
    };
    let kind = shown.metadata.file_type();
    let content = if kind.is_dir() {
        UploadContent::Directory
    } else if kind.is_symlink() {
        let link = std::fs::read_link(&shown.file);
        let link = link.map_err(|error| crate::fs::Error::new("read link", &shown.file, error))?;
        UploadContent::Symlink {
            target: link.as_os_str().as_bytes().to_vec(),
        }
    } else if kind.is_file() {
        let is_executable = shown.metadata.permissions().mode() & 0o111 != 0;
        UploadContent::File {
            source: shown.file.as_os_str().as_bytes().to_vec(),
            mode: if is_executable { 0o755 } else { 0o644 },
        }
    } else {
        return Ok(());
    };
    if !target.is_empty() {
        uploads.push(Upload {
            target: target.clone(),
            content,
            mtime,
        });
    }
    if kind.is_dir() {
        for name in stack.list(path)?.into_keys() {
            let below = [target.as_slice(), b"/", &name].concat();
            add(stack, &path.join(&name)?, below, mtime, uploads)?;
        }
    }
    Ok(())
}

/// The scripts that go into the runtime image.
fn scripts(plan: &RuntimePlan, source: &SourceTree, epoch: i64) -> Vec<Upload> {
    let place = |name: &str, content| Upload {
        target: format!("{}/scripts{name}", plan.directory).into_bytes(),
        content,
        mtime: epoch,
    };
    let mut uploads = Vec::new();
    for (script, found) in plan.scripts.uploaded() {
        let host = match found {
            Found::Source(path) => source.root.join(path),
            Found::File { path, .. } => path.clone(),
            Found::Image(_) => continue,
        };
        if uploads.is_empty() {
            uploads.push(place("", UploadContent::Directory));
        }
        let content = UploadContent::File {
            source: host.as_os_str().as_bytes().to_vec(),
            mode: 0o755,
        };
        uploads.push(place(&format!("/{script}"), content));
    }
    uploads
}

/// Takes what the builder made (`layers` on its image) over into the runtime image and finishes it there: the step, and
/// the layers that it made.
///
/// # Errors
/// [`Error::Script`] for `assemble-runtime`, and as [`artifacts`].
pub(super) fn finish(
    runtime: &RuntimePlan,
    request: &BuildRequest,
    prepared: &Prepared,
    layers: &[NewLayer],
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(Step, Vec<NewLayer>), Error> {
    let result = edit::append(prepared.builder.image(), layers, &prepared.plan.changes)?;
    let origins = builder::origins(request, &prepared.previous);
    builder::fetch(&result, &origins, tools, observer)?;
    builder::fetch(runtime.image.image(), &origins, tools, observer)?;
    let taking = stage(
        observer,
        "take over",
        format!("{} artifacts", runtime.artifacts.len()),
    );
    let mut uploads = artifacts(runtime, &result, request.epoch, tools, observer)?;
    taking.finish(format!("{} files", uploads.len()));
    uploads.extend(scripts(runtime, &prepared.source, request.epoch));
    let directory = EntryPath::parse(runtime.directory.as_bytes())?;
    let doing = assemble::Step {
        script: ASSEMBLE_RUNTIME,
        process: &runtime.process,
        destination: &runtime.directory,
        scripts: &runtime.scripts,
        application_directory: &directory,
        form: form(request),
        inputs: &request.inputs,
        builder: runtime.image.name(),
        name: log_name(request),
        capture: None,
    };
    let ours = std::slice::from_ref(&prepared.source.root);
    let image = runtime.image.image();
    let mut made = assemble::layers(&doing, uploads, ours, image, tools, observer)?;
    let (source, builder) = (&prepared.contents, &prepared.builder);
    let inputs = runtime_inputs(runtime, builder, layers, source, request);
    let local = local_of_step(&inputs, &request.inputs, &tools.loan);
    let step = Step::new(inputs, local, request.inputs.can_be_kept());
    let now = record::seconds(tools.now);
    step.keep(&mut made, now, Records::new(tools.store))?;
    Ok((step, made))
}
