//! `overcoat release`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::records::{Flags, Place, table};
use super::{observer, print, print_json};
use crate::event::{Event, Observer};
use crate::project::Operation;
use crate::release::history::{Facts, Record};
use crate::release::operation::Done;
use crate::release::rollback::Deployments;

/// Declare a deployment the one that counts
///
/// Runs the project's release hooks, which may open it to traffic, and keeps a record. The deployment must have succeeded
/// in the same environment; one whose rollout failed when it was watched is taken only by its number. Nothing is deployed. Prints the image.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The application [default: the one of this directory, or the only one]
    application: Option<String>,

    /// The deployment, by number or long id [default: the last that succeeded]
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<String>,

    #[command(flatten)]
    environment: Flags,

    /// Release it again although it is released
    #[arg(long)]
    repeat: bool,

    /// Print the record as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let place = Place::open(shared)?;
    let contents = place.read(observer.as_ref())?;
    let application = place.application(args.application.as_deref(), &contents)?;
    let environment = place.environment(&args.environment, &contents)?;
    let deployments = Deployments {
        contents: &contents,
        application: &application,
        environment: &environment,
    };
    let deployment = match &args.to {
        Some(name) => deployments.named(name)?,
        None => deployments.releasable()?,
    };
    let released = deployments.released();
    if !args.repeat && released.is_some_and(|released| released.id == deployment.id) {
        observer.observe(Event::Warning {
            text: format!("the {deployment} is released already; nothing was done"),
            hint: Some("`--repeat` runs the hooks again".to_owned()),
        });
        return tell(args.json, &place, &deployment, observer.as_ref());
    }
    let record = declare(&place, &deployment, observer.as_ref())?;
    tell(args.json, &place, &record, observer.as_ref())
}

/// Declares a deployment released: its record, and the release hooks.
///
/// # Errors
/// As [`Place::perform`].
pub(super) fn declare(
    place: &Place,
    deployment: &Record,
    observer: &dyn Observer,
) -> Result<Record, Diagnostic> {
    let mut facts = Facts {
        image: deployment.facts.image.clone(),
        digest: deployment.facts.digest.clone(),
        target: deployment.facts.target.clone(),
        links: deployment.facts.links.clone(),
        ..Facts::default()
    };
    facts.links.insert(Operation::Deploy, deployment.id.clone());
    let (application, environment) = (&deployment.application, &deployment.environment);
    let begin = place.beginning(Operation::Release, application, Some(environment), facts);
    let performed = place.perform(begin, observer, |_, _| Ok(Done::<()>::default()))?;
    Ok(performed.record.unwrap_or_else(|| deployment.clone()))
}

/// Prints the image of a record, or the record.
pub(super) fn tell(
    is_json: bool,
    place: &Place,
    record: &Record,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    if is_json {
        let contents = place.read(observer)?;
        let records = table::json_of(std::slice::from_ref(record), &contents);
        return print_json(records.get(0).unwrap_or(&json!(null)));
    }
    print(&record.image().unwrap_or_else(|| record.title()))
}
