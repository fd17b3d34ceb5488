//! `overcoat rollback`.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::args::{self, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::records::loaded::Loaded;
use super::records::reach::Asked;
use super::records::{Failed, Flags, Place, redeploy};
use super::{cluster, observer, print, project, release};
use crate::event::{Event, Observer, Silent, stage};
use crate::kubernetes::rollout::Image;
use crate::project::Operation;
use crate::reference::Reference;
use crate::registry;
use crate::release::history::{Afterwards, Facts, Record};
use crate::release::operation::Done;
use crate::release::rollback::{Deployments, LOADED_INTO, ROLLBACK_OF, is_same_image};

/// Deploy an earlier image again
///
/// The image of an earlier deployment of the same environment goes where that deployment had put it, by its digest, after
/// its registry has said that it still has it: into manifests, a kustomization, a workload of a cluster, or both. One that was loaded into the nodes of a local cluster is loaded again from the
/// store, and goes by its tag. Where a deployment was declared released before, the new one is too. Prints the image.
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

    /// Wait until it runs
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,

    /// How long the rollout may take
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "10m", requires = "watch")]
    timeout: Duration,

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
    let loaded = Loaded::of(&earlier, shared)?;
    let image = match &loaded {
        // Nodes know no digest.
        Some(loaded) => loaded.name.to_string(),
        None => image_of(&earlier)?,
    };
    if loaded.is_none() {
        check(&place, &earlier, &image, shared, observer)?;
    }
    let asked = Asked {
        root: &place.project.root,
        flags: &args.cluster,
        is_confirmed: args.yes,
        shared,
    };
    let redeploy = |mode, observer: &dyn Observer| {
        redeploy::redeploy(&earlier, &image, loaded.as_ref(), mode, &asked, observer)
    };
    if args.dry_run || loaded.is_some() {
        // What would be refused is better known before nodes are given anything.
        let told: &dyn Observer = if args.dry_run { observer } else { &Silent };
        let repeated = redeploy(redeploy::Mode::DryRun, told)?;
        if args.dry_run {
            return print(&repeated.changes.join("\n"));
        }
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
    if let Some(loaded) = &loaded {
        let word = loaded.target.word();
        facts.results.insert(LOADED_INTO.to_owned(), word);
    }
    facts
        .results
        .insert(ROLLBACK_OF.to_owned(), earlier.id.to_string());
    let begin = place.beginning(Operation::Deploy, &application, Some(&environment), facts);
    let performed = place.perform(begin, observer, |observer, _| {
        if let Some(loaded) = &loaded {
            loaded.load(shared, observer)?;
        }
        let repeated = redeploy(redeploy::Mode::Write, observer)?;
        Ok(Done::<()> {
            facts: repeated.facts,
            ..Done::default()
        })
    })?;
    let written = performed.record.as_ref().map(|record| record.id.clone());
    let record = performed.record.unwrap_or_else(|| earlier.clone());
    if args.watch {
        let mut wanted = Image::new(image.parse()?);
        wanted.digests.extend(record.facts.digest.clone());
        if let Some(loaded) = &loaded {
            let config = loaded.image.config.descriptor.digest.clone();
            wanted.configs.insert(config);
        }
        if let Err(error) = redeploy::watch(&place, &record, wanted, args.timeout, &asked, observer)
        {
            let later = Afterwards {
                error: Some(Failed(error.clone()).to_string()),
                ..Afterwards::default()
            };
            if let Some(id) = &written {
                place.history.afterwards(id, later)?;
            }
            return Err(error);
        }
    }
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
