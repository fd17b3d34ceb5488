//! The new images, watched until they run.

use std::time::{Duration, Instant, SystemTime};

use super::{Args, Planned};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Event, Observer};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::ready::{AUTO_TRIGGER, ReadyCheck};
use crate::kubernetes::rollout::{Grace, Image, Kind, Wanted};
use crate::kubernetes::watch::{self, Asked, Clock, Reconcile, Terms, Watched, Wish};
use crate::release::hopr::CONTAINER;

/// After the deadline, questions that tell why it was not kept.
const EXPLANATION: Duration = Duration::from_secs(10);
const SLICE: Duration = Duration::from_millis(50);

/// A pod that is watched.
pub(super) struct Subject<'a> {
    pub(super) planned: &'a Planned,
    pub(super) namespace: String,
    /// What should run in it.
    pub(super) image: Image,
    /// Whether its new pods have to say that the auto-trigger has sent everything.
    pub(super) has_to_trigger: bool,
}

/// A watch that ended badly.
pub(super) struct Failed {
    pub(super) diagnostic: Diagnostic,
    /// The workload that is to blame, `deployment/web`, where one is.
    pub(super) workload: Option<String>,
}

impl<E: Into<Diagnostic>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            diagnostic: error.into(),
            workload: None,
        }
    }
}

/// Waits for all rollouts, with one deadline; in the order of the subjects. What cannot be watched is told.
///
/// # Errors
/// [`Code::RolloutFailed`], [`Code::RolloutTimeout`], [`Code::NotReady`], and what the cluster says.
pub(super) fn watch(
    args: &Args,
    subjects: Vec<Subject<'_>>,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<Option<Watched>>, Failed> {
    let mut watched: Vec<Option<Watched>> = subjects.iter().map(|_| None).collect();
    let mut wishes = Vec::new();
    let mut places = Vec::new();
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
    let start = Instant::now();
    let now = || start.elapsed();
    let pause = |time: Duration| {
        let end = Instant::now() + time;
        while !observer.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
    };
    let requested_at = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    let terms = Terms {
        timeout: args.timeout,
        interval: Duration::from_secs(1),
        grace: Grace::default(),
        requested_at: &requested_at,
        clock: Clock {
            now: &now,
            pause: &pause,
        },
        observer,
    };
    let asked = Asked {
        cluster,
        observer,
        deadline: start + args.timeout + EXPLANATION,
    };
    let done = watch::watch(&asked, &wishes, &terms).map_err(|error| Failed {
        workload: match &error {
            watch::Error::Failed { workload, .. }
            | watch::Error::Timeout { workload, .. }
            | watch::Error::NotReady { workload, .. } => Some(workload.clone()),
            _ => None,
        },
        diagnostic: error.into(),
    })?;
    for (place, one) in places.into_iter().zip(done) {
        watched[place] = Some(one);
    }
    Ok(watched)
}
