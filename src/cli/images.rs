//! `overcoat images`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{open_store, print};
use crate::ui::size;

/// List the images of the store
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// How to print the list
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let store = open_store(shared)?;
    let mut rows = Vec::new();
    for named in store.names()? {
        // Other tools write into layouts what is no image for one platform; it is not ours to fail over.
        let Ok(image) = store.image(&named.manifest) else {
            continue;
        };
        let bytes: u64 = image
            .manifest
            .parsed
            .layers
            .iter()
            .map(|layer| layer.size)
            .sum();
        let layers = image.manifest.parsed.layers.len();
        rows.push((named, image.config.parsed.platform(), layers, bytes));
    }
    if args.format == Format::Json {
        let list: Vec<_> = rows
            .iter()
            .map(|(named, platform, layers, bytes)| {
                json!({
                    "name": named.name,
                    "digest": named.manifest.digest,
                    "platform": platform.to_string(),
                    "layers": layers,
                    "size_bytes": bytes,
                })
            })
            .collect();
        return print(&serde_json::to_string_pretty(&list).unwrap_or_default());
    }
    let width = rows
        .iter()
        .map(|(named, ..)| named.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut lines = vec![format!(
        "{:<width$}  {:<12}  {:<14}  {:>6}  {:>8}",
        "NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE"
    )];
    lines.extend(rows.iter().map(|(named, platform, layers, bytes)| {
        let digest = named.manifest.digest.short();
        format!(
            "{:<width$}  {digest:<12}  {:<14}  {layers:>6}  {:>8}",
            named.name,
            platform.to_string(),
            size(*bytes)
        )
    }));
    print(&lines.join("\n"))
}
