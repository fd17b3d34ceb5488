//! Rollouts waited for by commands that have told a cluster something.

use std::time::{Duration, Instant, SystemTime};

use crate::event::Observer;
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::rollout::Grace;
use crate::kubernetes::watch::{self, Asked, Clock, Error, Terms, Watched, Wish};

/// After the deadline, questions that tell why it was not kept.
const EXPLANATION: Duration = Duration::from_secs(10);
const SLICE: Duration = Duration::from_millis(50);

/// Waits until every wish has come true, with one deadline; in the order of the wishes.
///
/// # Errors
/// As [`watch::watch`].
pub(super) fn wait(
    wishes: &[Wish],
    timeout: Duration,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<Watched>, Error> {
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
        timeout,
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
        deadline: start + timeout + EXPLANATION,
    };
    watch::watch(&asked, wishes, &terms)
}
