//! `overcoat digest`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{observer, print, print_json, registry_client};
use crate::reference::Reference;

/// Say which digest a name has in its registry
///
/// Costs one request (HEAD); registries that do not answer it fully cost a second one.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    reference: String,

    /// How to print it
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let reference: Reference = args.reference.parse()?;
    let observer = observer(shared, false)?;
    let found = registry_client(shared)?.resolve(&reference, observer.as_ref())?;
    match args.format {
        Format::Table => print(&found.digest.to_string()),
        Format::Json => print_json(&json!({
            "reference": reference.to_string(),
            "digest": found.digest,
            "media_type": found.media_type,
            "size_bytes": found.size,
        })),
    }
}
