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
        let Ok(stored) = store.stored(&named.manifest) else {
            continue;
        };
        let content = stored.content();
        // What several platforms share is there once.
        let layers = match content.images() {
            [image] => image.manifest.parsed.layers.iter().collect(),
            _ => content.layers(),
        };
        let bytes: u64 = layers.iter().map(|layer| layer.size).sum();
        let platforms = content.images().iter();
        let platforms = platforms.map(|image| image.config.parsed.platform().to_string());
        let platforms = platforms.collect::<Vec<_>>().join(",");
        rows.push((named, platforms, layers.len(), bytes));
    }
    if args.format == Format::Json {
        let list: Vec<_> = rows
            .iter()
            .map(|(named, platform, layers, bytes)| {
                json!({
                    "name": named.name,
                    "digest": named.manifest.digest,
                    "platform": platform,
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
    let platforms = rows.iter().map(|(_, platform, ..)| platform.len());
    let platforms = platforms.max().unwrap_or(0).max(14);
    let mut lines = vec![format!(
        "{:<width$}  {:<12}  {:<platforms$}  {:>6}  {:>8}",
        "NAME", "DIGEST", "PLATFORM", "LAYERS", "SIZE"
    )];
    lines.extend(rows.iter().map(|(named, platform, layers, bytes)| {
        let digest = named.manifest.digest.short();
        format!(
            "{:<width$}  {digest:<12}  {platform:<platforms$}  {layers:>6}  {:>8}",
            named.name,
            size(*bytes)
        )
    }));
    print(&lines.join("\n"))
}
