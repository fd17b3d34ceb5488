//! What a build made, as outputs for pipelines and records have it.

use crate::build::BuildReport;
use crate::cli::diagnostic::Diagnostic;
use crate::digest::Digest;
use crate::image::Platform;
use crate::reference::Reference;
use crate::release::history;
use crate::release::outputs::{Base, Facts, PlatformImage};

/// What outputs say of it. `name` is what the file of results calls the image; without one it is the first name's
/// repository.
///
/// # Errors
/// When a name or a platform that the build told is none.
pub(super) fn of(report: &BuildReport, name: Option<&str>) -> Result<Facts, Diagnostic> {
    let references: Vec<Reference> = report
        .names
        .iter()
        .map(|name| name.parse::<Reference>())
        .collect::<Result<_, _>>()?;
    let mut platforms = Vec::new();
    for image in &report.images {
        let platform: Platform = image.platform.parse().map_err(|error| {
            Diagnostic::new(
                crate::cli::exit::Code::Internal,
                format!("`{}`: {error}", image.platform),
            )
        })?;
        platforms.push(PlatformImage {
            platform,
            digest: image.digest.clone(),
        });
    }
    let config_digest = match report.images.as_slice() {
        [image] if image.digest == report.digest => Some(image.configuration.clone()),
        _ => None,
    };
    let base = report.base.as_ref().map(|(name, digest)| Base {
        name: name.clone(),
        digest: digest.parse::<Digest>().ok(),
    });
    let name = match (name, references.first()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(reference)) => reference.name(),
        (None, None) => String::new(),
    };
    Ok(Facts {
        name,
        references,
        digest: report.digest.clone(),
        media_type: report.media_type.clone(),
        size_bytes: report.manifest_bytes,
        config_digest,
        platforms,
        base,
        is_pushed: report.is_pushed,
    })
}

/// What a record says of it.
pub(super) fn recorded(facts: &Facts) -> history::Facts {
    history::Facts {
        image: Some(facts.reference().to_string()),
        digest: Some(facts.digest.clone()),
        ..history::Facts::default()
    }
}
