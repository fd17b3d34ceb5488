//! `overcoat pull`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{creds, env, load, observer, open_store, print, print_json};
use crate::build::{self, Tools};
use crate::event::stage;
use crate::image::Platform;
use crate::reference::Reference;

/// Pull an image from a registry into the store
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    reference: String,

    /// The platform to pull, `OS/ARCHITECTURE` [default: this machine's]
    #[arg(long, value_name = "P")]
    platform: Option<Platform>,

    /// Pull every platform of an index, and the index
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,

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
    let reference: Reference = args.reference.parse()?;
    let engines = args.load.find()?;
    let store = open_store(shared)?;
    let mut host = env::host(shared)?;
    args.creds
        .apply(&mut host.registries, [reference.host()], shared, false)?;
    let tools = Tools::new(&store, host);
    let observer = observer(shared, false)?;
    let (descriptor, platform) = if args.all_platforms {
        let pulling = stage(observer.as_ref(), "pull", reference.to_string());
        let report = build::copy::pull_all(&reference, &tools, observer.as_ref())?;
        pulling.finish(report.descriptor.digest.to_string());
        (report.descriptor, None)
    } else {
        let platform = args.platform.clone().unwrap_or_else(Platform::host);
        let image = build::pull(&reference, &platform, &tools, observer.as_ref())?;
        let platform = image.config.parsed.platform().to_string();
        (image.manifest.descriptor, Some(platform))
    };
    let (name, digest) = (reference.without_digest(), &descriptor.digest);
    match args.format {
        Format::Table => print(&format!("{name}@{digest}"))?,
        Format::Json => print_json(&json!({
            "name": name.to_string(),
            "digest": digest,
            "media_type": descriptor.media_type,
            "platform": platform,
        }))?,
    }
    let name = name.to_string();
    load::load(&engines, &name, &[reference], shared, false)
}
