//! Doing what was decided: layers, image, names, outputs, pushes.

use super::bytecode::{self, Bytecode};
use super::cache::inputs::{
    APPLICATION, ASSEMBLE, ASSEMBLE_RUNTIME, BYTECODE, DEPENDENCIES, bytecode_inputs,
};
use super::cache::{Inputs, Records, record};
use super::packages::{self, Solver};
use super::plan::{Direct, Steps};
use super::prepare::{Prepared, slot};
use super::report::BuildReport;
use super::request::{BuildRequest, Push, Tag};
use super::runtime;
use super::send::Sending;
use super::work::{Found, Origin, PreviousImage, Step, age};
use super::{Error, Tools, assemble, builder, commit, direct, incremental, metadata, onbuild};
use crate::event::{Event, Observer, stage};
use crate::image::edit::{self, NewLayer};
use crate::image::{Content, Image};
use crate::reference::Reference;
use crate::store;

/// A build that was prepared.
#[derive(Debug)]
pub struct Decided {
    /// What was asked for.
    pub request: BuildRequest,
    /// What was decided.
    pub prepared: Prepared,
}

/// Does what was decided: layers, image, names, outputs, pushes. Several builds are one for each of several platforms,
/// alike in all else; their images become an index.
///
/// # Errors
/// [`Error`]. No name is given to an image that is not complete; outputs and pushes come after the names.
pub fn execute(
    builds: &[Decided],
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<BuildReport, Error> {
    let mut images = Vec::new();
    let mut layers = Vec::new();
    let mut took_artifacts = false;
    for Decided { request, prepared } in builds {
        if builds.len() > 1 {
            stage(observer, "platform", request.platform.to_string()).finish("");
        }
        let mut made = image(request, prepared, tools, observer)?;
        images.push(made.image);
        layers.append(&mut made.layers);
        took_artifacts |= made.took_artifacts;
    }
    let index = match images.len() {
        1 => None,
        _ => Some(edit::index(images.clone(), &builds[0].request.labels)?),
    };
    let content = match &index {
        None => Content::from(&images[0]),
        Some(index) => Content::from(index),
    };
    tools.store.put_content(&content)?;
    let request = &builds[0].request;
    let digest = &content.descriptor().digest;
    let tags: Vec<Tag> = request.tags.iter().map(|tag| tag.of(digest)).collect();
    name(builds, &tags, &content, tools, observer)?;
    deliver(builds, &tags, &content, tools, observer)?;
    let mut steps = builds.iter().flat_map(|build| &build.prepared.steps);
    let origins = origins(builds);
    Ok(BuildReport {
        origins: origins.iter().map(ToString::to_string).collect(),
        took_artifacts,
        is_pushed: request.push == Push::Yes,
        is_unchanged: steps.all(|step| step.found.is_some()),
        ..BuildReport::new(&content, &layers, &tags)
    })
}

/// One image, whose documents are in the store.
struct Made {
    image: Image,
    /// The layers on top of the builder's, or of the runtime image's.
    layers: Vec<NewLayer>,
    took_artifacts: bool,
}

/// What making a step's layers came to.
struct MadeLayers {
    layers: Vec<NewLayer>,
    /// True when the previous image gave artifacts to it.
    took_artifacts: bool,
}

/// Makes one image: its layers and its documents, which are in the store afterwards.
fn image(
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Made, Error> {
    let records = Records::new(tools.store);
    let mut layers = Vec::new();
    let mut took_artifacts = false;
    let is_bytecode = |step: &&Step| step.portable.step() == BYTECODE;
    let is_on_top = |step: &Step| [BYTECODE, ASSEMBLE_RUNTIME].contains(&step.portable.step());
    for step in prepared.steps.iter().filter(|step| !is_on_top(step)) {
        layers.extend(match &step.found {
            Some(found) => {
                reuse(step, found, tools, observer);
                found.layers.clone()
            }
            None => {
                let made = make(step, request, prepared, tools, observer)?;
                took_artifacts |= made.took_artifacts;
                made.layers
            }
        });
    }
    let mut inputs: Vec<Inputs> = prepared
        .steps
        .iter()
        .map(|step| step.local.clone())
        .collect();
    if let Some(bytecode) = &prepared.plan.bytecode {
        let known = prepared.steps.iter().find(is_bytecode);
        let (step, mut made) = match known {
            Some(step) if let Some(found) = &step.found => {
                reuse(step, found, tools, observer);
                (step.clone(), found.layers.clone())
            }
            _ => compile(bytecode, request, prepared, &layers, tools, observer)?,
        };
        if known.is_none() {
            inputs.push(step.local);
        }
        layers.append(&mut made);
    }
    let mut changes = prepared.plan.changes.clone();
    // What a script writes down is stronger than anything else.
    changes.labels.extend(metadata::of(&layers));
    let mut base = prepared.builder.image();
    if let Some(runtime) = &prepared.runtime {
        let mut is_known = prepared.steps.iter();
        let known = is_known.find(|step| step.portable.step() == ASSEMBLE_RUNTIME);
        let (step, made) = match known {
            Some(step) if let Some(found) = &step.found => {
                reuse(step, found, tools, observer);
                (step.clone(), found.layers.clone())
            }
            _ => runtime::finish(runtime, request, prepared, &layers, tools, observer)?,
        };
        if known.is_none() {
            inputs.push(step.local);
        }
        layers = made;
        base = runtime.image.image();
        let labels = changes.labels;
        changes = runtime.changes.clone();
        changes.labels = labels;
        changes.labels.extend(metadata::of(&layers));
    }
    records.keep_last(&slot(request, &prepared.source), &inputs)?;
    let image = edit::append(base, &layers, &changes)?;
    if !matches!(prepared.plan.steps, Steps::Direct(_)) {
        metadata::check(&image.config.parsed.labels())?;
    }
    tools.store.put_documents(&image)?;
    Ok(Made {
        image,
        layers,
        took_artifacts,
    })
}

pub(super) fn form(request: &BuildRequest) -> commit::Form {
    commit::Form {
        epoch: request.epoch,
        compression: request.compression,
    }
}

/// What the logs of this build's steps are called.
pub(super) fn log_name(request: &BuildRequest) -> &str {
    let first = request.tags.first();
    first.map_or("build", |tag| tag.typed.as_str())
}

/// Compiles bytecode on top of `layers`: the step, and what it made.
fn compile(
    bytecode: &Bytecode,
    request: &BuildRequest,
    prepared: &Prepared,
    layers: &[NewLayer],
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(Step, Vec<NewLayer>), Error> {
    let builder = &prepared.builder;
    let base = edit::append(builder.image(), layers, &prepared.plan.changes)?;
    let origins = builder::origins(request, &prepared.previous);
    builder::fetch(&base, &origins, tools, observer)?;
    let doing = bytecode::Step {
        bytecode,
        form: form(request),
        name: log_name(request),
    };
    let made = bytecode::layer(&base, &doing, tools, observer)?;
    let mut made: Vec<NewLayer> = made.into_iter().collect();
    let inputs = bytecode_inputs(bytecode, builder, layers, request);
    let step = Step::new(inputs.clone(), inputs, true);
    step.keep(
        &mut made,
        record::seconds(tools.now),
        Records::new(tools.store),
    )?;
    Ok((step, made))
}

/// Says that a step need not be done.
fn reuse(step: &Step, found: &Found, tools: &Tools<'_>, observer: &dyn Observer) {
    let from = match &found.origin {
        Origin::Here { made } => {
            let age = age(record::seconds(tools.now), *made);
            format!("unchanged, made {age} ago")
        }
        Origin::Image(reference) => format!("unchanged, from `{reference}`"),
    };
    stage(observer, name_of(step), from).finish(commit::describe(&found.layers));
}

fn name_of(step: &Step) -> &'static str {
    match step.portable.step() {
        ASSEMBLE => "assemble",
        DEPENDENCIES => "package layers",
        APPLICATION => "application",
        ASSEMBLE_RUNTIME => "assemble-runtime",
        BYTECODE => "bytecode",
        _ => "step",
    }
}

/// Makes the layers of a step, marks them with its key, and remembers them.
fn make(
    step: &Step,
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<MadeLayers, Error> {
    let plan = &prepared.plan;
    let mut took_artifacts = false;
    let mut layers = match (&plan.steps, step.portable.step()) {
        (Steps::Direct(_), DEPENDENCIES) => dependencies(request, prepared, tools, observer)?,
        (Steps::Direct(decided), _) => {
            let Direct {
                uid, gid, umask, ..
            } = *decided;
            let placement = direct::Placement {
                directory: &plan.application_directory,
                uid,
                gid,
                umask,
                form: form(request),
            };
            direct::layers(&placement, &prepared.source, tools, observer)?
        }
        (Steps::OnBuild(on_build), _) => {
            let doing = onbuild::Doing {
                request,
                builder: &prepared.builder,
                source: &prepared.source,
                form: form(request),
                name: log_name(request),
            };
            onbuild::layers(on_build, &doing, tools, observer)?
        }
        (
            Steps::Assemble {
                process,
                destination,
                scripts,
            },
            _,
        ) => {
            let assembling = assemble::Step {
                script: ASSEMBLE,
                process,
                destination,
                scripts,
                application_directory: &plan.application_directory,
                form: form(request),
                inputs: &request.inputs,
                builder: prepared.builder.name(),
                name: log_name(request),
                capture: None,
            };
            let builder = prepared.builder.image();
            let source = &prepared.source;
            let mut uploads = assemble::uploads(&assembling, source);
            if let Some(incremental) = &request.s2i.incremental {
                let artifacts = incremental::artifacts(
                    incremental,
                    request,
                    scripts,
                    destination,
                    source,
                    tools,
                    observer,
                )?;
                took_artifacts = artifacts.is_some();
                uploads.extend(artifacts.into_iter().flatten());
            }
            let ours = std::slice::from_ref(&source.root);
            assemble::layers(&assembling, uploads, ours, builder, tools, observer)?
        }
    };
    match prepared.contents.still_holds(&prepared.source) {
        Ok(()) => {
            let made = record::seconds(tools.now);
            step.keep(&mut layers, made, Records::new(tools.store))?;
        }
        // The script has its own copy; which one nobody knows.
        Err(error) if plan.needs_sandbox() => observer.observe(Event::Warning {
            text: format!("the result is not remembered: {error}"),
            hint: None,
        }),
        Err(error) => return Err(error.into()),
    }
    Ok(MadeLayers {
        layers,
        took_artifacts,
    })
}

fn dependencies(
    request: &BuildRequest,
    prepared: &Prepared,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let Some(packages) = &prepared.packages else {
        return Ok(Vec::new());
    };
    let slot = slot(request, &prepared.source);
    let solver = Solver {
        request,
        source: &prepared.source,
        wanted: &packages.wanted,
        target: &packages.target,
        settings: &packages.settings,
        slot: &slot,
        tools,
        workshop: None,
    };
    packages::make(
        &solver,
        &packages.resolution.packages,
        &prepared.plan.application_directory,
        packages.budget,
        &prepared.previous,
        observer,
    )
}

/// Gives the image its names in the store, with all that they promise.
fn name(
    builds: &[Decided],
    tags: &[Tag],
    content: &Content<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let request = &builds[0].request;
    if !tools.store.lacks(content).is_empty() {
        let is_wanted_here = !request.outputs.is_empty() || !request.loads.is_empty();
        let is_sent_only = match request.push {
            Push::Yes | Push::Later { is_whole: false } => !is_wanted_here,
            Push::Later { is_whole: true } | Push::No => false,
        };
        if is_sent_only {
            // Its layers are where it is pushed, or where the builder image is.
            return Ok(());
        }
        let pulling = stage(observer, "pull", "layers that are needed here");
        let origins = origins(builds);
        let registry = tools.registry()?;
        registry.fetch_layers(content.clone(), &origins, tools.store, observer)?;
        pulling.finish("");
    }
    // A name is a promise that everything below it is here.
    if let Some(layer) = tools.store.lacks(content).first() {
        let digest = layer.digest.clone();
        return Err(store::Error::Absent { digest }.into());
    }
    for tag in tags {
        let name = tag.reference.without_digest().to_string();
        tools.store.tag_content(&name, content)?;
    }
    Ok(())
}

/// Where layers are that are not here: with the builder images, and with the images that were taken as caches.
fn origins(builds: &[Decided]) -> Vec<Reference> {
    let mut found: Vec<Reference> = Vec::new();
    for Decided { request, prepared } in builds {
        for origin in builder::origins(request, &prepared.previous) {
            if !found.contains(&origin) {
                found.push(origin);
            }
        }
    }
    found
}

fn deliver(
    builds: &[Decided],
    tags: &[Tag],
    content: &Content<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let request = &builds[0].request;
    let names: Vec<String> = tags.iter().map(|tag| tag.reference.to_string()).collect();
    for destination in &request.outputs {
        let writing = stage(observer, "write", destination.to_string());
        destination.write(content.clone(), &names, tools.store, observer)?;
        writing.finish("");
    }
    if request.push != Push::Yes {
        return Ok(());
    }
    let previous: Vec<PreviousImage> = previous_of(builds).cloned().collect();
    let sending = Sending {
        content: content.clone(),
        origins: &origins(builds),
        previous: &previous,
    };
    for tag in tags {
        sending.send(&tag.reference, tools.registry()?, tools.store, observer)?;
    }
    Ok(())
}

/// The images that were looked at, of all platforms.
fn previous_of(builds: &[Decided]) -> impl Iterator<Item = &PreviousImage> {
    builds.iter().flat_map(|build| &build.prepared.previous)
}
