//! What was deployed after the results were written. After a rollback the results name an image that is not meant to run.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::{project, records};
use crate::event::{Event, Observer};
use crate::kubernetes::rollout::Image;
use crate::project::Project;
use crate::reference::Reference;
use crate::release::history::{DEFAULT_ENVIRONMENT, Record};
use crate::release::rollback::Deployments;

/// The live deployments of an environment that began after `results` was written last, by application.
///
/// # Errors
/// With [`crate::cli::exit::Code::History`] when the records cannot be read.
pub(super) fn since(
    results: &Path,
    environment: Option<&str>,
    project: &Project,
    shared: &Shared,
) -> Result<BTreeMap<String, Record>, Diagnostic> {
    let mut since = BTreeMap::new();
    if !project::is_there(shared, Path::new("."))? {
        return Ok(since);
    }
    let Ok(written) = std::fs::metadata(results).and_then(|file| file.modified()) else {
        return Ok(since);
    };
    let place = records::Place::of(project.clone(), shared)?;
    let contents = place.history.read()?;
    for application in &project.applications {
        let deployments = Deployments {
            contents: &contents,
            application: &application.name,
            environment: environment
                .filter(|name| !name.is_empty())
                .unwrap_or(DEFAULT_ENVIRONMENT),
        };
        if let Ok(live) = deployments.live()
            && live.started > written
        {
            since.insert(application.name.clone(), live);
        }
    }
    Ok(since)
}

/// The image of a deployment, where it is another one than that of the results; which of the two counts is told.
pub(super) fn instead_of(
    found: &Image,
    deployment: &Record,
    results: &Path,
    observer: &dyn Observer,
) -> Option<Image> {
    let deployed: Reference = deployment.image()?.parse().ok()?;
    let is_same = match deployed.digest() {
        Some(digest) if !found.digests.is_empty() => found.digests.contains(digest),
        _ => found
            .references
            .iter()
            .any(|known| known.tag() == deployed.tag()),
    };
    if is_same {
        return None;
    }
    observer.observe(Event::Warning {
        text: format!(
            "the {deployment} is newer than `{}`: its image is awaited, {deployed}, and not {}",
            results.display(),
            found.shown()
        ),
        hint: Some(format!(
            "`--build-result {}` takes the image of the file",
            results.display()
        )),
    });
    Some(Image::new(deployed))
}
