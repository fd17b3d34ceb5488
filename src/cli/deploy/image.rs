//! The image that is deployed.

use std::path::Path;

use super::Target;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::question::{self, Answer};
use crate::cli::{project, registry_client};
use crate::event::{Event, Observer};
use crate::project::{Project, Setting};
use crate::reference::{DEFAULT_TAG, Reference};
use crate::release::promote::{Root, path_of};
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

/// As [`of`], by the name that promotion gives the image in the environment's registry: the file of results may be of the
/// environment where it was built.
///
/// # Errors
/// As [`of`]; with [`Code::NoEnvironment`], and for registries that make no sense.
pub(super) fn in_environment(target: &Target, project: &Project) -> Result<String, Diagnostic> {
    let image = of(target)?;
    let (None, Some(name)) = (&target.image, &target.environment) else {
        return Ok(image);
    };
    let environment = project.environment(name)?;
    let Some(registry) = &environment.registry else {
        return Ok(image);
    };
    let root = |registry: &Setting<String>| -> Result<Root, Diagnostic> {
        registry.value.parse().map_err(|error| {
            Diagnostic::new(Code::Project, error).also(format!("from {}", registry.origin))
        })
    };
    let known = project.environments.iter();
    let known = known.filter_map(|known| known.registry.as_ref()).map(root);
    let known: Vec<Root> = known.collect::<Result<_, _>>()?;
    let reference: Reference = image.parse()?;
    let below = path_of(&image, &reference, &known);
    let tag = reference.tag().unwrap_or(DEFAULT_TAG);
    let there = root(registry)?.image(&below, tag)?;
    Ok(match (reference.digest(), reference.tag()) {
        (Some(digest), None) => format!("{}@{digest}", there.name()),
        (Some(digest), Some(_)) => format!("{there}@{digest}"),
        (None, _) => there.to_string(),
    })
}

/// Refuses images that their registries do not have. A registry that does not say is a warning: it may be within reach of the cluster
/// alone, and files are edited without a network too.
///
/// # Errors
/// With [`Code::NoSuchImage`] and [`Code::DigestMismatch`]; nothing was written then.
pub(super) fn verify(
    images: &[String],
    environment: Option<&str>,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let client = match project::is_there(shared, Path::new("."))? {
        true => project::registry_client(shared, &project::load(shared)?)?,
        false => registry_client(shared)?,
    };
    let client = client.asking_once();
    for image in images {
        match question::ask(&client, &image.parse()?, question::PATIENCE, observer)? {
            Answer::Has(_) => {}
            Answer::HasNot(why) => {
                let first = match environment {
                    Some(name) => format!(
                        "push it first (`overcoat build --push --environment {name}`), or give it to that environment: `overcoat promote \
                         --source ENV --destination {name}`"
                    ),
                    None => "push it first".to_owned(),
                };
                return Err(why
                    .attempting(format!("`{image}` is not deployed: its registry does not have it"))
                    .hint(first)
                    .hint("to leave the question out: `--no-verify`; images that were loaded into nodes are deployed with `--no-pin`"));
            }
            Answer::Unknown(reason) => observer.observe(Event::Warning {
                text: format!("whether its registry has `{image}` is not known: {reason}"),
                hint: Some("`--no-verify` leaves the question out".to_owned()),
            }),
        }
    }
    Ok(())
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
