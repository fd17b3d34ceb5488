//! `overcoat delete`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{observer, print, print_json, registry_client};
use crate::event::{Event, Observer};
use crate::reference::Reference;

/// Delete an image from its registry
///
/// Registries delete by digest: a tag is looked up first, and every other tag of the same image goes with it; those are
/// named. Layers stay until the registry collects its garbage. Prints `NAME@DIGEST`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    reference: String,

    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,

    /// How to print it
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let reference: Reference = args.reference.parse()?;
    let observer: Box<dyn Observer> = observer(shared, false)?;
    let registry = registry_client(shared)?;
    let doomed = registry.doomed(&reference, observer.as_ref())?;
    if !doomed.other_tags.is_empty() {
        let verb = if args.dry_run { "would go" } else { "go" };
        observer.observe(Event::Warning {
            text: format!(
                "the same image is also called {}: these tags {verb} with it",
                doomed.other_tags.join(", ")
            ),
            hint: None,
        });
    }
    if !args.dry_run {
        registry.delete(&reference, &doomed.digest, observer.as_ref())?;
    }
    match args.format {
        Format::Table => print(&format!("{}@{}", reference.name(), doomed.digest)),
        Format::Json => print_json(&json!({
            "repository": reference.name(),
            "digest": doomed.digest,
            "tag": reference.tag(),
            "other_tags": doomed.other_tags,
            "all_tags_known": doomed.are_all_known,
            "deleted": !args.dry_run,
        })),
    }
}
