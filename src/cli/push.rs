//! `overcoat push`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{creds, env, find, load, observer, open_store, print, print_json};
use crate::build::{Tag, Tools};
use crate::event::stage;
use crate::image::Content;
use crate::reference::Reference;
use crate::registry::{PushReport, PushRequest};

/// The annotation that names the image that another was made from.
///
/// # Spec
/// OCI image-spec `annotations.md`, *Pre-Defined Annotation Keys*.
const BASE_NAME: &str = "org.opencontainers.image.base.name";

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
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let target: Tag = args.reference.as_ref().unwrap_or(&args.image).parse()?;
    let engines = args.load.find()?;
    let report = send(&args.image, &target, &args.creds, shared)?;
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
