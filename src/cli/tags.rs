//! `overcoat tags`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{observer, print, print_json, registry_client};
use crate::reference::Reference;

/// List the tags of a repository in a registry
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// `[HOST[:PORT]/]NAME`
    repository: String,

    /// Stop after N tags
    #[arg(long, value_name = "N")]
    limit: Option<std::num::NonZeroUsize>,

    /// How to print them: one a line, or JSON
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let repository: Reference = args.repository.parse()?;
    let observer = observer(shared, false)?;
    let limit = args.limit.map(std::num::NonZeroUsize::get);
    let tags = registry_client(shared)?.tags(&repository, limit, observer.as_ref())?;
    match args.format {
        Format::Table if tags.is_empty() => Ok(()),
        Format::Table => print(&tags.join("\n")),
        Format::Json => print_json(&json!({ "repository": repository.name(), "tags": tags })),
    }
}
