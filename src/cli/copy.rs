//! `overcoat copy`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{env, observer, open_store, print, print_json};
use crate::build::Tools;
use crate::build::copy::{self, CopyRequest, End};
use crate::event::stage;
use crate::image::Platform;
use crate::image::graph::Platforms;
use crate::reference::{DEFAULT_REGISTRY, Reference};
use crate::store::BlobStore;
use crate::ui::size;

/// Copy an image between registries, the store, layouts and archives
///
/// SRC and DST are each a registry's `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`, `store:NAME`, `oci:DIR[:NAME]`,
/// `archive:FILE`, `oci-archive:FILE` or `docker-archive:FILE`. A SRC without a host is the store's, if it has it. Nothing is compressed
/// again and documents keep their bytes, so the digest stays the same. Prints `DST@sha256:…`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// Where the image is
    #[arg(value_name = "SRC")]
    source: String,

    /// Where it is to be
    #[arg(value_name = "DST")]
    target: String,

    /// Copy every platform of an index, and the index
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

    /// Which image of an index to copy, `OS/ARCHITECTURE` [default: this machine's]
    #[arg(long, value_name = "P")]
    platform: Option<Platform>,

    /// Copy what refers to the image, too: signatures, bills of materials, attestations
    #[arg(long)]
    referrers: bool,

    /// How to print the result
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let target: End = args.target.parse()?;
    let store = open_store(shared)?;
    let source = source(&args.source, &store)?;
    let tools = Tools::new(&store, env::host(shared)?);
    let observer = observer(shared, false)?;
    let request = CopyRequest {
        source: &source,
        target: &target,
        platforms: match args.all_platforms {
            true => Platforms::All,
            false => Platforms::One(args.platform.clone().unwrap_or_else(Platform::host)),
        },
        referrers: args.referrers,
    };
    let copying = stage(observer.as_ref(), "copy", format!("{source} to {target}"));
    let report = copy::copy(&request, &tools, observer.as_ref())?;
    copying.finish(format!(
        "{} blobs copied ({}), {} mounted, {} there already",
        report.copied_blobs,
        size(report.bytes),
        report.mounted,
        report.skipped
    ));
    match args.format {
        Format::Json => print_json(&json!({
            "source": source.to_string(),
            "target": target.to_string(),
            "media_type": report.descriptor.media_type,
            "source_digest": report.descriptor.digest,
            "digest": report.digest,
            "chosen_from": report.chosen_from,
            "documents": report.documents,
            "referrers": report.referrers,
            "copied_blobs": report.copied_blobs,
            "mounted_blobs": report.mounted,
            "skipped_blobs": report.skipped,
            "copied_bytes": report.bytes,
        })),
        Format::Table => match (&report.digest, &target) {
            (None, _) => print(&target.to_string()),
            (Some(digest), End::Registry(reference)) if reference.tag().is_some() => {
                print(&format!("{}@{digest}", reference.without_digest()))
            }
            (Some(digest), End::Registry(reference)) => {
                print(&format!("{}@{digest}", reference.name()))
            }
            (Some(digest), _) => print(&format!("{target}@{digest}")),
        },
    }
}

/// A name without a host is the store's, if the store has it: `copy hello registry.example/hello`.
fn source(text: &str, store: &BlobStore) -> Result<End, Diagnostic> {
    let end: End = text.parse()?;
    let End::Registry(reference) = &end else {
        return Ok(end);
    };
    let names_its_host = ["docker://", "docker.io/", "index.docker.io/"];
    let has_host = reference.host() != DEFAULT_REGISTRY
        || names_its_host.iter().any(|prefix| text.starts_with(prefix));
    if has_host {
        return Ok(end);
    }
    let found: Option<_> = store.resolve(&text.parse::<Reference>()?)?;
    Ok(found.map_or(end, |named| End::Store(named.name)))
}
