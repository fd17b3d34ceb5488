//! `overcoat release`.

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::records::{Flags, Place, table};
use super::{observer, print, print_json};
use crate::event::{Event, Observer, printable};
use crate::project::{Operation, When};
use crate::release::history::{Facts, Record};
use crate::release::hooks::{self, Context};
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

    /// Say what would be declared and which hooks would run, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the record as JSON
    #[arg(long, conflicts_with = "dry_run")]
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
    if args.dry_run {
        return tell_trial(&place, &deployment);
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
        also: deployment.facts.also.clone(),
        endpoint: deployment.facts.endpoint.clone(),
        links: deployment.facts.links.clone(),
        ..Facts::default()
    };
    facts.links.insert(Operation::Deploy, deployment.id.clone());
    let (application, environment) = (&deployment.application, &deployment.environment);
    let begin = place.beginning(Operation::Release, application, Some(environment), facts);
    let performed = place.perform(begin, observer, |_, _| Ok(Done::<()>::default()))?;
    Ok(performed.record.unwrap_or_else(|| deployment.clone()))
}

/// Prints what would be declared, and the hooks that would run, in their order.
fn tell_trial(place: &Place, deployment: &Record) -> Result<(), Diagnostic> {
    let image = deployment.image().unwrap_or_else(|| deployment.title());
    let mut lines = vec![format!("the {deployment} would be released: {image}")];
    let context = Context {
        application: deployment.application.clone(),
        environment: deployment.environment.clone(),
        ..place.context(&deployment.application)
    };
    for (when, said) in [(When::Before, "before"), (When::After, "after")] {
        for hook in hooks::of(&place.project.hooks, Operation::Release, when, &context) {
            // Arguments may be secret.
            let program = hook.command.first().map(String::as_str).unwrap_or_default();
            lines.push(format!(
                "{said} it, the hook `{}` would run ({})",
                printable(program),
                hook.origin
            ));
        }
    }
    print(&lines.join("\n"))
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
