//! What is to be done for each application that was named, and the records around it.

use std::path::Path;

use super::{Args, Target, image, manifest, place};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records;
use crate::project::{Operation, Project};
use crate::reference::Reference;
use crate::release::history::{self, Begin};
use crate::release::result;

/// What is to be done for one application, or for none.
pub(super) struct Order {
    pub(super) application: Option<String>,
    pub(super) target: Target,
    pub(super) place: manifest::Place,
    pub(super) image: String,
}

impl Order {
    /// # Errors
    /// For applications, environments and images that are not there.
    pub(super) fn of(
        args: &Args,
        application: Option<&String>,
        project: Option<&Project>,
    ) -> Result<Self, Diagnostic> {
        let target = filled(args, application, project)?;
        let place = place(args, &target, project)?;
        let image = match (project, args.local.is_asked()) {
            (Some(project), false) => image::in_environment(&target, project)?,
            _ => image::of(&target)?,
        };
        Ok(Self {
            application: application.cloned(),
            target,
            place,
            image,
        })
    }
}

/// Refuses flags that are about one application where several are named.
///
/// # Errors
/// With [`Code::Usage`].
pub(super) fn only_one(args: &Args) -> Result<(), Diagnostic> {
    if args.applications.len() < 2 {
        return Ok(());
    }
    let target = &args.target;
    let about_one = [
        ("--image", target.image.is_some()),
        ("--image-name", target.image_name.is_some()),
        ("--container", target.container.is_some()),
        ("--workload", target.workload.is_some()),
        ("--base-image", args.manifest.names_base_image()),
    ];
    match about_one.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((flag, _)) => Err(Diagnostic::new(
            Code::Usage,
            format!("`{flag}` is of one application, and {} are named", args.applications.len()),
        )
        .hint("leave it to the project: `image`, `container` and `workload` of each application in overcoat.toml")),
    }
}

/// What is known of the deployment when it begins.
///
/// # Errors
/// With [`Code::History`].
pub(super) fn beginning(records: &records::Place, order: &Order) -> Result<Begin, Diagnostic> {
    let reference: Reference = order.image.parse()?;
    let application = match &order.application {
        Some(name) => records.project.application(name)?.name.clone(),
        None => records.application_of_image(&reference),
    };
    let environment = order.target.environment.as_deref();
    let facts = history::Facts {
        links: records.links_of(&application, reference.digest())?,
        ..facts_of(&order.image)?
    };
    Ok(records.beginning(Operation::Deploy, &application, environment, facts))
}

/// What the flags leave open and the project says.
fn filled(
    args: &Args,
    application: Option<&String>,
    project: Option<&Project>,
) -> Result<Target, Diagnostic> {
    let mut target = args.target.clone();
    let Some(project) = project else {
        return Ok(target);
    };
    if target.build_result == Path::new(result::FILE) && !target.build_result.exists() {
        target.build_result = project.root.join(result::FILE);
    }
    let Some(name) = application else {
        return Ok(target);
    };
    let application = project.application(name)?;
    if target.image.is_none() && target.image_name.is_none() {
        target.image_name = Some(application.image_name().to_owned());
    }
    if let (None, Some(said)) = (&target.container, &application.container) {
        target.container = Some(said.value.clone());
    }
    if let (None, Some(said)) = (&target.workload, &application.workload) {
        let workload = said
            .value
            .parse()
            .map_err(|error| Diagnostic::new(Code::Project, format!("{}: {error}", said.origin)))?;
        target.workload = Some(workload);
    }
    Ok(target)
}

/// What is known of an image by its name.
///
/// # Errors
/// With [`Code::InvalidReference`].
pub(super) fn facts_of(image: &str) -> Result<history::Facts, Diagnostic> {
    let reference: Reference = image.parse()?;
    Ok(history::Facts {
        image: Some(reference.without_digest().to_string()),
        digest: reference.digest().cloned(),
        ..history::Facts::default()
    })
}
