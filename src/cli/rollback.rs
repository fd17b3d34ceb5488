//! `overcoat rollback`.

use clap::Args as ClapArgs;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::records::reach::Asked;
use super::records::{Flags, Place, redeploy};
use super::{cluster, observer, print, project, release};
use crate::event::{Event, Observer, stage};
use crate::project::Operation;
use crate::reference::Reference;
use crate::registry;
use crate::release::history::{Facts, Record};
use crate::release::operation::Done;
use crate::release::rollback::{Deployments, ROLLBACK_OF, is_same_image};

/// Deploy an earlier image again
///
/// The image of an earlier deployment of the same environment goes where that deployment had put it, by its digest, after
/// its registry has said that it still has it: into manifests, a kustomization, a workload of a cluster, or both. Where a deployment was declared released before, the new one is too.
/// Prints the image.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The application [default: the one of this directory, or the only one]
    application: Option<String>,

    /// The deployment to go back to, by number or long id [default: the last one that had another image]
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<String>,

    #[command(flatten)]
    environment: Flags,

    /// Deploy it although it is live
    #[arg(long)]
    repeat: bool,

    #[command(flatten)]
    cluster: cluster::Flags,

    /// Tell the cluster even if it is another one than that on record
    #[arg(long)]
    yes: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the record as JSON
    #[arg(long, conflicts_with = "dry_run")]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let observer = observer.as_ref();
    let place = Place::open(shared)?;
    let contents = place.read(observer)?;
    let application = place.application(args.application.as_deref(), &contents)?;
    let environment = place.environment(&args.environment, &contents)?;
    let deployments = Deployments {
        contents: &contents,
        application: &application,
        environment: &environment,
    };
    let live = deployments.live()?;
    let earlier = deployments.earlier(args.to.as_deref())?;
    if !args.repeat && is_same_image(&earlier, &live) {
        observer.observe(Event::Warning {
            text: format!("the image of the {earlier} is live already; nothing was done"),
            hint: Some("`--repeat` deploys it again".to_owned()),
        });
        return release::tell(args.json, &place, &live, observer);
    }
    let image = image_of(&earlier)?;
    check(&place, &earlier, &image, shared, observer)?;
    let asked = Asked {
        root: &place.project.root,
        flags: &args.cluster,
        is_confirmed: args.yes,
        shared,
    };
    if args.dry_run {
        let repeated =
            redeploy::redeploy(&earlier, &image, redeploy::Mode::DryRun, &asked, observer)?;
        return print(&repeated.changes.join("\n"));
    }
    let mut facts = Facts {
        image: earlier.facts.image.clone(),
        digest: earlier.facts.digest.clone(),
        target: earlier.facts.target.clone(),
        also: earlier.facts.also.clone(),
        endpoint: earlier.facts.endpoint.clone(),
        links: earlier.facts.links.clone(),
        previous: live.image(),
        ..Facts::default()
    };
    facts
        .results
        .insert(ROLLBACK_OF.to_owned(), earlier.id.to_string());
    let begin = place.beginning(Operation::Deploy, &application, Some(&environment), facts);
    let performed = place.perform(begin, observer, |observer, _| {
        let repeated =
            redeploy::redeploy(&earlier, &image, redeploy::Mode::Write, &asked, observer)?;
        Ok(Done::<()> {
            facts: repeated.facts,
            ..Done::default()
        })
    })?;
    let record = performed.record.unwrap_or(earlier);
    if deployments.released().is_some() {
        release::declare(&place, &record, observer)?;
    }
    release::tell(args.json, &place, &record, observer)
}

/// The image as it is written down, with its digest.
fn image_of(deployment: &Record) -> Result<String, Diagnostic> {
    match (&deployment.facts.image, &deployment.facts.digest) {
        (Some(image), Some(digest)) => Ok(format!("{image}@{digest}")),
        _ => Err(Diagnostic::new(
            Code::History,
            format!("the {deployment} has no image on record"),
        )),
    }
}

/// Asks the registry whether it still has the image: nothing is changed for one that no node could pull.
fn check(
    place: &Place,
    deployment: &Record,
    image: &str,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let reference: Reference = image.parse()?;
    let client = project::registry_client(shared, &place.project)?;
    let checking = stage(observer, "check that the registry has", image);
    match client.resolve(&reference, observer) {
        Ok(_) => {
            checking.finish("");
            Ok(())
        }
        Err(error) if error.is_not_found() => Err(gone(deployment, image, &error)),
        Err(error) => Err(Diagnostic::from(error)
            .attempting(format!("cannot find out whether `{image}` still exists"))),
    }
}

fn gone(deployment: &Record, image: &str, error: &registry::Error) -> Diagnostic {
    Diagnostic::new(
        Code::NoSuchImage,
        format!("the image of the {deployment} is gone from its registry: `{image}`"),
    )
    .also(error)
    .also("nothing was changed")
    .hint("`overcoat history --operation deploy --state success` lists the others; `--to NUMBER` takes one")
}
