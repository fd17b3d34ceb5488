//! `overcoat prune`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::person;
use super::records::reach::Asked;
use super::records::running::Running;
use super::records::{Failed, Flags, Place, table};
use super::{cluster, observer, print, print_json, project};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::project::Operation;
use crate::reference::Reference;
use crate::release::history::{Contents, Id, Record, Target};
use crate::release::prune::{self, Plan, Scope};

/// Forget old deployments
///
/// Of each application in each environment the newest N successful deployments stay, and what is live or released; of
/// the others the records go, with the releases, builds, pushes and promotions that only they belong to. What a manifest or a
/// workload of a cluster names, by digest or by tag, stays with its newest record. Images stay in their registries unless
/// `--delete-tags` is given; one that a record, a manifest or a cluster still names stays even then.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// How many deployments stay; the live one stays in any case
    #[arg(long, value_name = "N")]
    retain: usize,

    /// Of this application only
    application: Option<String>,

    #[command(flatten)]
    environment: Flags,

    /// Also delete the images that nothing names any more from their registries
    #[arg(long)]
    delete_tags: bool,

    /// Do not ask clusters what they run: records and manifests alone say it
    #[arg(long, conflicts_with = "delete_tags")]
    no_cluster: bool,

    #[command(flatten)]
    cluster: cluster::Flags,

    /// Believe a cluster even if it is another one than that on record
    #[arg(long)]
    yes: bool,

    /// Say what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let observer = observer(shared, false)?;
    let observer = observer.as_ref();
    let place = Place::open(shared)?;
    let contents = place.read(observer)?;
    let application = args.application.as_deref();
    let scope = Scope {
        application: application
            .map(|name| place.application(Some(name), &contents))
            .transpose()?,
        environment: args.environment.asked().map(str::to_owned),
    };
    if let Some(name) = &scope.environment {
        place.check_environment(name, &contents)?;
    }
    let mut plan = prune::plan(&contents, &scope, args.retain);
    if !plan.records.is_empty() {
        let running = running(args, &plan, &place, &contents, shared, observer)?;
        let known_by = |record: &Record| running.known_by(record);
        let before = std::mem::take(&mut plan.records);
        plan = prune::plan_beside(&contents, &scope, args.retain, &known_by);
        tell_spared(&before, &plan, &running, observer);
        match args.delete_tags {
            true => spare(&running, &place, &mut plan, shared, observer)?,
            false => plan.images.clear(),
        }
    }
    let deleted = delete(&place, &plan, args.dry_run, shared, observer)?;
    if !args.dry_run {
        // After the images: killed in between, the next run finds the records and goes on.
        let ids: Vec<Id> = plan
            .records
            .iter()
            .map(|record| record.id.clone())
            .collect();
        place.history.forget(&ids)?;
    }
    tell(args, &plan, &contents, &deleted)
}

/// What still runs of what would go.
fn running(
    args: &Args,
    plan: &Plan,
    place: &Place,
    contents: &Contents,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Running, Diagnostic> {
    let mut running = Running::of(&plan.records, place, contents)?;
    if !args.no_cluster {
        let asked = Asked {
            root: &place.project.root,
            flags: &args.cluster,
            is_confirmed: args.yes,
            shared,
        };
        running.ask_clusters(contents, &asked, observer);
    }
    hear(args, &running, observer)?;
    Ok(running)
}

/// Says which deployments stay because their images run; of several of one image, only one does.
fn tell_spared(before: &[Record], plan: &Plan, running: &Running, observer: &dyn Observer) {
    let goes: BTreeSet<&Id> = plan.records.iter().map(|record| &record.id).collect();
    for record in before.iter().filter(|record| !goes.contains(&record.id)) {
        let at = running.place_of(record);
        if let Some(at) = at.filter(|_| record.operation == Operation::Deploy) {
            observer.observe(Event::Warning {
                text: format!("the {record} has an image that runs: {at} names it"),
                hint: None,
            });
        }
    }
}

fn tell(
    args: &Args,
    plan: &Plan,
    contents: &Contents,
    deleted: &[String],
) -> Result<(), Diagnostic> {
    if args.json {
        return print_json(&json!({
            "dry_run": args.dry_run,
            "records": table::json_of(&plan.records, contents),
            "images": deleted,
        }));
    }
    let verb = if args.dry_run { "would go" } else { "are gone" };
    let mut lines = vec![format!(
        "{} records and {} images {verb}",
        plan.records.len(),
        deleted.len()
    )];
    if !plan.records.is_empty() {
        let detail = table::Detail::default();
        lines.push(table::of(&plan.records, contents, person::now(), detail));
    }
    lines.extend(deleted.iter().cloned());
    print(&lines.join("\n"))
}

/// Tells which clusters and manifests do not say what runs; with `--delete-tags`, a cluster that does not ends the command.
fn hear(args: &Args, running: &Running, observer: &dyn Observer) -> Result<(), Diagnostic> {
    for (_, namespace, diagnostic) in &running.silent {
        let unknown = format!("it is not known what runs in the namespace `{namespace}`");
        if args.delete_tags {
            return Err(diagnostic
                .clone()
                .attempting(format!("nothing was removed: {unknown}"))
                .hint("without `--delete-tags` the records of what was deployed there stay, and the others go"));
        }
        observer.observe(Event::Warning {
            text: format!(
                "the records of what was deployed to the namespace `{namespace}` stay: it is not known what runs there: {}",
                Failed(diagnostic.clone())
            ),
            hint: Some("`--no-cluster` goes by records and manifests alone".to_owned()),
        });
    }
    Ok(())
}

/// Takes out of the plan the images that something outside of the records may run.
fn spare(
    running: &Running,
    place: &Place,
    plan: &mut Plan,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let mut unsure: BTreeMap<Digest, String> = BTreeMap::new();
    for record in &plan.records {
        let Some(digest) = &record.facts.digest else {
            continue;
        };
        if record.facts.targets().any(may_run_unseen) {
            let why = "what it was loaded into may still run it".to_owned();
            unsure.insert(digest.clone(), why);
        }
        let mut absent = running.absent.iter();
        let is_into = |applications: &BTreeSet<String>| applications.contains(&record.application);
        if let Some((path, _)) = absent.find(|(_, applications)| is_into(applications)) {
            let why = format!(
                "`{}`, which it may have been written into, cannot be looked at",
                path.display()
            );
            unsure.insert(digest.clone(), why);
        }
    }
    let mut named = named_by_tag(running, place, plan, shared, observer)?;
    plan.images.retain(|digest, names| {
        let runs = running.place_of_digest(digest);
        let runs = runs.map(|at| format!("{at} names it"));
        let named = runs.or_else(|| named.remove(digest));
        let Some(why) = named.or_else(|| unsure.remove(digest)) else {
            return true;
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        observer.observe(Event::Warning {
            text: format!("{} stays in its registry: {why}", names.join(", ")),
            hint: Some("`overcoat delete` removes an image for sure".to_owned()),
        });
        false
    });
    Ok(())
}

/// The digests that tags stand for now which manifests or workloads name, and where.
fn named_by_tag(
    running: &Running,
    place: &Place,
    plan: &Plan,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<BTreeMap<Digest, String>, Diagnostic> {
    let mut named = BTreeMap::new();
    let names: BTreeSet<&String> = plan.images.values().flatten().collect();
    let mut client = None;
    for name in names {
        let reference: Reference = name.parse()?;
        let Some(at) = running.place_of_name(&reference) else {
            continue;
        };
        let client = match &client {
            Some(client) => client,
            None => client.insert(project::registry_client(shared, &place.project)?),
        };
        match client.resolve(&reference, observer) {
            Ok(found) => {
                let why = format!("{at} names `{name}`, which is this image");
                named.insert(found.digest, why);
            }
            // Nobody can pull it by that name.
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                return Err(Diagnostic::from(error).attempting(format!(
                    "nothing was removed: {at} names `{name}`, and its registry does not say which image that is"
                )));
            }
        }
    }
    Ok(named)
}

/// True for a deployment into something that cannot be asked what it runs.
fn may_run_unseen(target: &Target) -> bool {
    matches!(target, Target::Loader { .. } | Target::Unknown)
}

/// Deletes the images of the plan, or finds out which would go; `NAME@DIGEST` of each.
fn delete(
    place: &Place,
    plan: &Plan,
    is_dry_run: bool,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Vec<String>, Diagnostic> {
    let mut deleted = Vec::new();
    if plan.images.is_empty() {
        return Ok(deleted);
    }
    let client = project::registry_client(shared, &place.project)?;
    for (digest, names) in &plan.images {
        // An image may have been pushed to several repositories.
        let references: Vec<Reference> = names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()?;
        let mut repositories: Vec<Reference> = references
            .iter()
            .map(|reference| reference.with_digest(digest.clone()))
            .collect();
        repositories.sort_by_key(ToString::to_string);
        repositories.dedup();
        for repository in repositories {
            let doomed = match client.doomed(&repository, observer) {
                Ok(doomed) => doomed,
                // Somebody was quicker.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let own: BTreeSet<&str> = references
                .iter()
                .filter(|reference| reference.name() == repository.name())
                .filter_map(Reference::tag)
                .collect();
            let tags = doomed.other_tags.iter();
            let foreign: Vec<&str> = tags
                .map(String::as_str)
                .filter(|tag| !own.contains(tag))
                .collect();
            if !foreign.is_empty() || !doomed.are_all_known {
                let reason = match foreign.is_empty() {
                    true => "its other tags are not known".to_owned(),
                    false => format!("it is also called {}", foreign.join(", ")),
                };
                observer.observe(Event::Warning {
                    text: format!("{repository} stays: {reason}"),
                    hint: Some(format!(
                        "`overcoat delete {repository}` removes it with all its tags"
                    )),
                });
                continue;
            }
            if !is_dry_run {
                client.delete(&repository, digest, observer)?;
            }
            deleted.push(repository.to_string());
        }
    }
    Ok(deleted)
}
