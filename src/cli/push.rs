//! `overcoat push`.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{
    creds, env, find, load, observer, open_store, outputs, print, print_json, project, propagation,
    records,
};
use crate::build::{Tag, Tools};
use crate::event::stage;
use crate::image::Content;
use crate::project::Operation;
use crate::reference::Reference;
use crate::registry::{PushReport, PushRequest};
use crate::release::history;
use crate::release::operation::Done;
use crate::release::outputs::{Base, Facts, Outputs, PlatformImage};
use crate::release::propagation::Pushed;

/// The annotation that names the image that another was made from.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Push an image of the store to a registry
///
/// Layers that the registry has are not sent. A name that stands for several platforms is pushed with all of them.
/// Prints `REF@sha256:…`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store
    image: String,

    /// Where to push it, `HOST[:PORT]/NAME[:TAG]` [default: the image's own name]
    reference: Option<String>,

    /// How to print the result
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,

    #[command(flatten)]
    load: load::Flags,

    #[command(flatten)]
    creds: creds::Flags,

    #[command(flatten)]
    propagation: propagation::Flag,

    #[command(flatten)]
    records: records::Flags,

    #[command(flatten)]
    pipeline: outputs::Flags,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let target: Tag = args.reference.as_ref().unwrap_or(&args.image).parse()?;
    let engines = args.load.find()?;
    let outputs = args.pipeline.outputs();
    outputs.check(1, 1)?;
    let facts = facts(&args.image, &target, shared)?;
    outputs.forget_stale(&[&facts.name])?;
    let report = match project::is_there(shared, Path::new("."))? {
        false => {
            let report = args.send(&target, shared)?;
            outputs.write(&[facts])?;
            report
        }
        true => recorded(args, &target, &facts, &outputs, shared)?,
    };
    match args.format {
        Format::Table => print(&format!("{}@{}", target.typed, report.digest))?,
        Format::Json => print_json(&json!({
            "reference": target.reference.to_string(),
            "digest": report.digest,
            "uploaded_blobs": report.uploaded_blobs,
            "mounted_blobs": report.mounted,
            "skipped_blobs": report.skipped,
            "uploaded_bytes": report.bytes,
            "already_there": report.already_there,
        }))?,
    }
    load::load(&engines, &args.image, &[target.reference], shared, false)
}

impl Args {
    /// Pushes, and waits until that is seen if it should.
    fn send(&self, target: &Tag, shared: &Shared) -> Result<PushReport, Diagnostic> {
        send_shown(&self.image, target, &self.creds, self.propagation, shared)
    }
}

/// Pushes with the project's hooks and a record around it.
fn recorded(
    args: &Args,
    target: &Tag,
    facts: &Facts,
    outputs: &Outputs,
    shared: &Shared,
) -> Result<PushReport, Diagnostic> {
    let project = project::load(shared)?;
    let place = records::Place::of(project, shared)?;
    let application = place.application_of_image(&target.reference);
    let observer = observer(shared, false)?;
    let known = history::Facts {
        links: place.links_of(&application, Some(&facts.digest))?,
        image: Some(target.reference.to_string()),
        digest: Some(facts.digest.clone()),
        ..history::Facts::default()
    };
    let begin = place.beginning(Operation::Push, &application, args.records.asked(), known);
    // A file that cannot be written takes back nothing of what was done.
    let mut written = Ok(());
    let done = place.perform(begin, observer.as_ref(), |_, _| {
        let platforms = facts.platforms.iter();
        let value = args.send(target, shared)?;
        written = outputs.write(std::slice::from_ref(facts));
        Ok(Done {
            value,
            facts: history::Facts::default(),
            platforms: platforms.map(|image| image.platform.to_string()).collect(),
            result_file: outputs.result_file().filter(|_| written.is_ok()),
        })
    })?;
    written?;
    Ok(done.value)
}

/// What is known of the image of the store that is called `image` once it is at `target`.
fn facts(image: &str, target: &Tag, shared: &Shared) -> Result<Facts, Diagnostic> {
    let store = open_store(shared)?;
    let stored = store.stored(&find(&store, image)?.manifest)?;
    let content = stored.content();
    let images = content.images();
    let annotation = |key: &str| {
        let first = images.first()?;
        first.manifest.parsed.annotations.get(key).cloned()
    };
    let descriptor = content.descriptor();
    Ok(Facts {
        name: target.reference.name(),
        references: vec![target.reference.clone()],
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size_bytes: descriptor.size,
        config_digest: match (content.is_index(), images) {
            (false, [image]) => Some(image.config.descriptor.digest.clone()),
            _ => None,
        },
        platforms: images
            .iter()
            .map(|image| PlatformImage {
                platform: image.config.parsed.platform(),
                digest: image.digest().clone(),
            })
            .collect(),
        base: annotation(BASE_NAME).map(|name| Base {
            name,
            digest: annotation(BASE_DIGEST).and_then(|digest| digest.parse().ok()),
        }),
        is_pushed: true,
    })
}

/// Pushes the image of the store that is called `image` to `target`.
///
/// # Errors
/// [`super::exit::Code::NoSuchImage`], and what the registry says.
pub(super) fn send(
    image: &str,
    target: &Tag,
    creds: &creds::Flags,
    shared: &Shared,
) -> Result<PushReport, Diagnostic> {
    send_shown(image, target, creds, propagation::Flag::default(), shared)
}

fn send_shown(
    image: &str,
    target: &Tag,
    creds: &creds::Flags,
    propagation: propagation::Flag,
    shared: &Shared,
) -> Result<PushReport, Diagnostic> {
    let store = open_store(shared)?;
    let stored = store.stored(&find(&store, image)?.manifest)?;
    let content = stored.content();
    let bases = bases(&content);
    let mut host = env::host(shared)?;
    let registry = target.reference.host();
    creds.apply(&mut host.registries, [registry], shared, false)?;
    let tools = Tools::new(&store, host);
    let observer = observer(shared, false)?;
    let registry = tools.registry().map_err(crate::build::Error::from)?;
    let pushing = stage(observer.as_ref(), "push", target.reference.to_string());
    let request = PushRequest {
        mount_from: &bases,
        origins: &bases,
        ..PushRequest::new(content, &target.reference, &store)
    };
    let report = registry.push(&request, observer.as_ref())?;
    pushing.finish(format!(
        "{} blobs sent, {} bytes",
        report.uploaded_blobs, report.bytes
    ));
    let pushed = Pushed {
        reference: target.reference.clone(),
        digest: report.digest.clone(),
    };
    propagation.wait(&[pushed], registry, observer.as_ref())?;
    Ok(report)
}

/// The base images that the manifests name: a layer that is not here is there. Layers are taken by their digests, so
/// a name that means something else by now does no harm.
fn bases(content: &Content<'_>) -> Vec<Reference> {
    let annotations = content
        .images()
        .iter()
        .map(|image| &image.manifest.parsed.annotations);
    let mut bases: Vec<Reference> = annotations
        .filter_map(|annotations| annotations.get(BASE_NAME)?.parse().ok())
        .collect();
    bases.dedup();
    bases
}
