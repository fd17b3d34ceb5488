//! The image that is deployed.

use super::Target;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::reference::Reference;
use crate::release::result::BuildResult;

/// The image as it is written into manifests and clusters: as the flag or the file of results has it, without its digest
/// where that is not wanted.
///
/// # Errors
/// With [`Code::InvalidReference`] and [`Code::NoResult`]; with [`Code::Usage`] when nothing is left without the digest.
pub(super) fn of(target: &Target) -> Result<String, Diagnostic> {
    let image = match &target.image {
        Some(image) => image.clone(),
        None => from_result(target)?,
    };
    let reference: Reference = image.parse()?;
    if target.no_pin {
        return without_digest(&image, &reference);
    }
    Ok(image)
}

fn from_result(target: &Target) -> Result<String, Diagnostic> {
    let path = &target.build_result;
    let result = BuildResult::read(path)?;
    let entry = result.select(target.image_name.as_deref(), path)?;
    entry.reference(None)?;
    Ok(entry.text())
}

fn without_digest(image: &str, reference: &Reference) -> Result<String, Diagnostic> {
    let name = image.split('@').next().unwrap_or_default();
    match reference.tag() {
        Some(_) => Ok(name.to_owned()),
        None => Err(Diagnostic::new(
            Code::Usage,
            format!("`{image}` has no tag that could be written without its digest"),
        )
        .hint("leave out `--no-pin`, or name a tag")),
    }
}
