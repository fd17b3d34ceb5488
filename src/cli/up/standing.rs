//! The cluster before it is told anything: that it answers, and how the pods' workloads stand in it.

use super::deploy::{Scene, namespace, workload_name};
use super::{Args, Done, Plan, Planned, first};
use crate::cli::cluster::confirm;
use crate::cli::diagnostic::Diagnostic;
use crate::event::Observer;
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::cluster::set_image::Outcome;
use crate::release::operation::Performed;

/// How a pod's workload stands before the cluster is told anything.
pub(super) enum Standing {
    /// It is not there, or of a first deployment that was not completed.
    Absent,
    /// It has the image.
    AsWanted(Outcome),
    /// It is there with another image, and may be changed: what would come of it.
    Other(Outcome),
}

/// A cluster that answers, and that is meant.
///
/// # Errors
/// For one that does not answer, forbids it, or was not meant.
pub(super) fn connect(
    args: &Args,
    plan: &Plan,
    observer: &dyn Observer,
) -> Result<Cluster, Diagnostic> {
    let cluster = Cluster::connect(&plan.access, args.cluster.within(observer))?;
    confirm(&plan.access, &cluster, args.yes)?;
    // One that does not answer, or does not let us look, is known before anything is built or written.
    let mut is_first = false;
    for planned in &plan.pods {
        is_first |= is_absent(args, planned, &cluster, observer)?;
    }
    if is_first {
        first::check(plan)?;
    }
    Ok(cluster)
}

fn is_absent(
    args: &Args,
    planned: &Planned,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<bool, Diagnostic> {
    let there = cluster.workloads(
        args.cluster.within(observer),
        namespace(planned, cluster),
        Some(&workload_name(planned)),
    )?;
    // One of a first deployment that was not completed is completed as if it were not there.
    let is_partial = there.iter().any(|found| found.incomplete().is_some());
    Ok(there.is_empty() || is_partial)
}

/// How all workloads stand, and that the cluster would take the change: known before a file is written.
///
/// # Errors
/// What the cluster says; it is on record as a deployment that failed.
pub(super) fn look(
    args: &Args,
    plan: &Plan,
    done: &[Done],
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<Standing>, Diagnostic> {
    let scene = Scene {
        args,
        plan,
        done,
        edits: &[],
        earlier: &[],
        cluster,
    };
    let mut standing = Vec::new();
    for (planned, done) in plan.pods.iter().zip(done) {
        let look = || -> Result<Standing, Diagnostic> {
            if is_absent(args, planned, cluster, observer)? {
                return Ok(Standing::Absent);
            }
            let request = scene.request(planned, done, true);
            let outcome = cluster.set_image(args.cluster.within(observer), &request)?;
            Ok(match outcome.is_changed {
                true => Standing::Other(outcome),
                false => Standing::AsWanted(outcome),
            })
        };
        standing.push(match look() {
            Ok(found) => found,
            Err(error) => {
                let begin = scene.beginning(planned, done)?;
                let refused: Result<Performed<()>, Diagnostic> =
                    plan.place.perform(begin, observer, |_, _| Err(error));
                refused?;
                Standing::Absent
            }
        });
    }
    Ok(standing)
}
