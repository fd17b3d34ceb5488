//! `overcoat referrers`.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::{observer, print, print_json, registry_client};
use crate::event::printable;
use crate::reference::Reference;

/// List what refers to an image in a registry: signatures, bills of materials, attestations
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    reference: String,

    /// Only those of this artifact type
    #[arg(long, value_name = "T")]
    artifact_type: Option<String>,

    /// How to print the list
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let reference: Reference = args.reference.parse()?;
    let observer = observer(shared, false)?;
    let registry = registry_client(shared)?;
    let subject = match reference.digest() {
        Some(digest) => digest.clone(),
        None => registry.resolve(&reference, observer.as_ref())?.digest,
    };
    let wanted = args.artifact_type.as_deref();
    let found = registry.referrers(&reference, &subject, wanted, observer.as_ref())?;
    if args.format == Format::Json {
        let list = found.iter().map(|referrer| {
            json!({
                "digest": referrer.descriptor.digest,
                "media_type": referrer.descriptor.media_type,
                "artifact_type": referrer.artifact_type,
                "size_bytes": referrer.descriptor.size,
                "annotations": referrer.descriptor.annotations,
            })
        });
        return print_json(&json!({
            "repository": reference.name(),
            "subject": subject,
            "referrers": list.collect::<Vec<Value>>(),
        }));
    }
    if found.is_empty() {
        return Ok(());
    }
    let lines = found.iter().map(|referrer| {
        let artifact_type = referrer.artifact_type.as_deref().unwrap_or("-");
        format!(
            "{}  {}",
            referrer.descriptor.digest,
            printable(artifact_type)
        )
    });
    print(&lines.collect::<Vec<String>>().join("\n"))
}
