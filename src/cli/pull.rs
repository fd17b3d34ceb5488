//! `overcoat pull`.

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::{creds, env, load, observer, open_store, print};
use crate::build::{self, Tools};
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
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let observer = observer(shared, false)?;
    let image = build::pull(&reference, &platform, &tools, observer.as_ref())?;
    print(&format!(
        "{}@{}",
        reference.without_digest(),
        image.digest()
    ))?;
    let name = reference.without_digest().to_string();
    load::load(&engines, &name, &[reference], shared, false)
}
