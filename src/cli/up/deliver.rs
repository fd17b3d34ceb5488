//! Images brought to where nodes find them, and manifests that name them.

use super::make::{self, Made};
use super::{Args, Done, Plan, checks};
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::local::{self, Way};
use crate::event::{Event, Observer, stage};
use crate::kubernetes::cluster::{Cluster, LocalRegistry};
use crate::kubernetes::local::Target;
use crate::kubernetes::manifest::{Edited, apply_all};
use crate::release::hopr::Pod;

/// A registry on this machine that has another name inside the cluster.
///
/// # Errors
/// What the cluster says.
pub(super) fn hosting(
    args: &Args,
    plan: &Plan,
    cluster: Option<&Cluster>,
    observer: &dyn Observer,
) -> Result<Option<LocalRegistry>, Diagnostic> {
    match (cluster, &plan.choice.target) {
        (Some(cluster), Target::Registry) => {
            Ok(cluster.local_registry(args.cluster.within(observer))?)
        }
        _ => Ok(None),
    }
}

/// Brings the images to where they are wanted and not yet, and knows by what names manifests call them then.
///
/// # Errors
/// Those of loaders and registries.
pub(super) fn all(
    args: &Args,
    plan: &Plan,
    made: Vec<Made>,
    hosting: Option<&LocalRegistry>,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Vec<Done>, Diagnostic> {
    let mut done = Vec::new();
    for (planned, made) in plan.pods.iter().zip(made) {
        let push_name = hosting.and_then(|hosting| hosting.push_name(&made.name));
        let name = push_name.unwrap_or_else(|| made.name.clone());
        let way = Way {
            target: &plan.choice.target,
            limit: args.timeout,
            creds: &args.creds,
            file: format!("{}.tar", planned.pod.name).into(),
        };
        let delivered = match local::is_there(&made.image, &name, &way, shared, observer)? {
            Some(there) => {
                let place = match there.nodes.as_slice() {
                    [] => "the registry has it".to_owned(),
                    nodes => format!("{} has it", nodes.join(", ")),
                };
                observer.observe(Event::Note {
                    text: format!("{name}: {place}, so it is not sent"),
                });
                there
            }
            None => {
                make::forget_results(plan)?;
                let work = |observer: &dyn Observer| {
                    local::deliver(&made.image, &name, &way, shared, observer)
                };
                make::recorded_push(plan, args, planned, &made, observer, work)?
            }
        };
        let deploy_name = hosting.and_then(|hosting| hosting.deploy_name(&delivered.name));
        done.push(Done {
            deployed: deploy_name.unwrap_or_else(|| delivered.name.clone()),
            made,
            delivered,
        });
    }
    Ok(done)
}

/// Edits the manifests of all pods, or none.
///
/// # Errors
/// Those of manifests.
pub(super) fn edit(
    plan: &Plan,
    done: &[Done],
    observer: &dyn Observer,
) -> Result<Vec<Edited>, Diagnostic> {
    let images: Vec<String> = done.iter().map(|done| done.deployed.to_string()).collect();
    let pods: Vec<&Pod> = plan.pods.iter().map(|planned| &planned.pod).collect();
    let edits = checks::edits(&pods, &images)?;
    write(&edits, observer)?;
    Ok(edits)
}

/// Writes all of these, or none.
///
/// # Errors
/// As [`apply_all`].
pub(super) fn write(edits: &[Edited], observer: &dyn Observer) -> Result<(), Diagnostic> {
    apply_all(edits)?;
    for edited in edits.iter().filter(|edited| edited.is_change()) {
        stage(observer, "edit", edited.path.display().to_string()).finish("");
    }
    Ok(())
}
