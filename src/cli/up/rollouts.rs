//! The new images, watched until they run.

use super::{Args, Plan, Planned};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::rollouts::{Awaited, recorded};
use crate::cli::rollouts::wait;
use crate::event::{Event, Observer};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::ready::{AUTO_TRIGGER, ReadyCheck};
use crate::kubernetes::rollout::{Image, Kind, Wanted};
use crate::kubernetes::watch::{Outcome, Reconcile, Watched, Wish};
use crate::release::hopr::CONTAINER;

/// A pod that is watched.
pub(super) struct Subject<'a> {
    pub(super) planned: &'a Planned,
    pub(super) namespace: String,
    /// What should run in it.
    pub(super) image: Image,
    /// Whether the cluster was told something of it: what only stays as it is has no record.
    pub(super) is_told: bool,
    /// Whether its new pods have to say that the auto-trigger has sent everything.
    pub(super) has_to_trigger: bool,
}

/// A watch that ended badly.
pub(super) struct Failed {
    pub(super) diagnostic: Diagnostic,
    /// The names of the pods that are to blame: their records tell of it. None where something else has failed.
    pub(super) blamed: Vec<String>,
}

impl<E: Into<Diagnostic>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            diagnostic: error.into(),
            blamed: Vec::new(),
        }
    }
}

/// Waits for all rollouts, with one deadline; in the order of the subjects. What cannot be watched is told.
///
/// # Errors
/// [`Code::RolloutFailed`], [`Code::RolloutTimeout`], [`Code::NotReady`], and what the cluster says.
pub(super) fn watch(
    args: &Args,
    plan: &Plan,
    subjects: Vec<Subject<'_>>,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<Option<Watched>>, Failed> {
    let mut watched: Vec<Option<Watched>> = subjects.iter().map(|_| None).collect();
    let mut wishes = Vec::new();
    let mut awaited = Vec::new();
    let mut places = Vec::new();
    // Workloads of one name may be in several namespaces.
    let mut names = Vec::new();
    for (place, subject) in subjects.into_iter().enumerate() {
        let workload = &subject.planned.pod.workload;
        let Ok(kind) = workload.kind.parse::<Kind>() else {
            observer.observe(Event::Warning {
                text: format!(
                    "the rollout of {}/{} cannot be watched",
                    workload.kind, workload.name
                ),
                hint: None,
            });
            continue;
        };
        let trigger = subject.has_to_trigger.then(|| {
            ReadyCheck::count(AUTO_TRIGGER).map_err(|error| Diagnostic::new(Code::Internal, error))
        });
        awaited.push(subject.is_told.then(|| Awaited {
            application: Some(subject.planned.application.clone()),
            environment: args.environment.clone(),
            image: subject.image.references.first().cloned(),
            context: plan.access.context.clone(),
            namespace: subject.namespace.clone(),
            workload: format!("{}/{}", workload.kind, workload.name),
            container: Some(CONTAINER.to_owned()),
        }));
        names.push((subject.planned.pod.name.clone(), subject.namespace.clone()));
        wishes.push(Wish {
            namespace: subject.namespace,
            kind: Some(kind),
            name: workload.name.clone(),
            wanted: Wanted {
                container: Some(CONTAINER.to_owned()),
                image: Some(subject.image),
            },
            reconcile: Reconcile::Never,
            with_source: false,
            awaits_creation: false,
            ready: trigger.transpose()?.into_iter().collect(),
        });
        places.push(place);
    }
    if wishes.is_empty() {
        return Ok(watched);
    }
    let ended = recorded(Some(&plan.place), &awaited, observer, |observer| {
        wait(&wishes, args.timeout, cluster, observer)
    });
    let has_failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    let failed = names
        .into_iter()
        .zip(ended.outcomes.iter().map(has_failed))
        .filter_map(|(name, has_failed)| has_failed.then_some(name));
    let failed: Vec<(String, String)> = failed.collect();
    let done = ended.into_result().map_err(|error| {
        let mut diagnostic = Diagnostic::from(error);
        for (pod, namespace) in &failed {
            diagnostic = diagnostic.also(format!(
                "it is the pod `{pod}`, in the namespace `{namespace}`"
            ));
        }
        Failed {
            diagnostic,
            blamed: failed.into_iter().map(|(pod, _)| pod).collect(),
        }
    })?;
    for (place, one) in places.into_iter().zip(done) {
        watched[place] = Some(one);
    }
    Ok(watched)
}
