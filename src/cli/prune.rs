//! `overcoat prune`.

use std::collections::BTreeSet;

use clap::Args as ClapArgs;
use serde_json::json;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::person;
use super::records::{Flags, Place, redeploy, table};
use super::{observer, print, print_json, project};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::kubernetes::manifest;
use crate::reference::Reference;
use crate::release::history::{Contents, Id, Record, Target};
use crate::release::prune::{self, Plan, Scope};

/// The most bytes of a manifest that is looked through.
const MAX_MANIFEST: u64 = 64 << 20;

/// Forget old deployments
///
/// Of each application in each environment the newest N successful deployments stay, and what is live or released; of
/// the others the records go, with the releases, builds, pushes and promotions that only they belong to. Images stay in
/// their registries unless `--delete-tags` is given; one that a record, a manifest or a cluster still names stays even then.
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
    match args.delete_tags {
        true => spare(&place, &contents, &mut plan, shared, observer)?,
        false => plan.images.clear(),
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

/// Takes out of the plan the images that something outside of the records may run.
fn spare(
    place: &Place,
    contents: &Contents,
    plan: &mut Plan,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let mut named = named_in_manifests(place, contents)?;
    // Every place is asked for every image: one may run where another deployment had put it.
    let clusters: BTreeSet<(Option<&str>, &str)> =
        contents.records.iter().filter_map(cluster_of).collect();
    if !plan.images.is_empty() {
        for (context, namespace) in clusters {
            named.extend(redeploy::running_in(context, namespace, shared, observer).map_err(
                |diagnostic| {
                    diagnostic
                        .attempting(format!(
                            "nothing was removed: it is not known what runs in the namespace `{namespace}`"
                        ))
                        .hint("without `--delete-tags` no cluster is asked")
                },
            )?);
        }
    }
    plan.images
        .retain(|digest, _| !named.contains(&digest.to_string()));
    let unseen: BTreeSet<&Digest> = plan
        .records
        .iter()
        .filter(|record| may_run_unseen(record))
        .filter_map(|record| record.facts.digest.as_ref())
        .collect();
    plan.images.retain(|digest, names| {
        let is_unseen = unseen.contains(digest);
        if is_unseen {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            observer.observe(Event::Warning {
                text: format!(
                    "{} stays in its registry: what it was loaded into may still run it",
                    names.join(", ")
                ),
                hint: Some("`overcoat delete` removes an image for sure".to_owned()),
            });
        }
        !is_unseen
    });
    Ok(())
}

/// The context and namespace that a deployment was given to.
fn cluster_of(record: &Record) -> Option<(Option<&str>, &str)> {
    match record.facts.target.as_ref()? {
        Target::Cluster {
            context, namespace, ..
        } => Some((context.as_deref(), namespace)),
        _ => None,
    }
}

/// True for a deployment into something that cannot be asked what it runs.
fn may_run_unseen(record: &Record) -> bool {
    let target = record.facts.target.as_ref();
    matches!(target, Some(Target::Loader { .. } | Target::Unknown))
}

/// The digests in all manifests that a deployment was written into, or that the project names.
fn named_in_manifests(place: &Place, contents: &Contents) -> Result<BTreeSet<String>, Diagnostic> {
    let of_records = contents.records.iter();
    let of_records = of_records.flat_map(|record| redeploy::files(record.facts.target.as_ref()));
    let mut files: BTreeSet<std::path::PathBuf> = of_records.map(Into::into).collect();
    let environments = place.project.environments.iter();
    let patterns = environments.filter_map(|environment| environment.manifests.as_ref());
    for pattern in patterns.flat_map(|patterns| &patterns.value) {
        // What is not there is read as such below.
        let meant = manifest::files(std::slice::from_ref(pattern));
        files.extend(meant.unwrap_or_else(|_| vec![pattern.clone()]));
    }
    let mut named = BTreeSet::new();
    for file in files {
        match crate::fs::read_limited(&file, MAX_MANIFEST) {
            Ok(bytes) => named.extend(prune::named_in(&String::from_utf8_lossy(&bytes))),
            // It was deleted, and runs nothing.
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(named)
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
