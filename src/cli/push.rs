//! `overcoat push`.

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::{env, find, observer, open_store, print};
use crate::build::{Tag, Tools};
use crate::event::stage;

/// Push an image of the store to a registry
///
/// Layers that the registry has are not sent. Prints `REF@sha256:…`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store
    image: String,

    /// Where to push it, `HOST[:PORT]/NAME[:TAG]` [default: the image's own name]
    reference: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let target: Tag = args.reference.as_ref().unwrap_or(&args.image).parse()?;
    let store = open_store(shared)?;
    let image = store.image(&find(&store, &args.image)?.manifest)?;
    let tools = Tools::new(&store, env::host(shared)?);
    let observer = observer(shared, false)?;
    let registry = tools.registry().map_err(crate::build::Error::from)?;
    let pushing = stage(observer.as_ref(), "push", target.reference.to_string());
    let report = registry.push(&image, &target.reference, &store, &[], observer.as_ref())?;
    pushing.finish(format!(
        "{} blobs sent, {} bytes",
        report.uploaded_blobs, report.bytes
    ));
    print(&format!("{}@{}", target.typed, image.digest()))
}
