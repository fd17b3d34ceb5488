//! Rollouts waited for by commands that have told a cluster something.

use std::time::{Duration, Instant, SystemTime};

use crate::event::Observer;
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::rollout::Grace;
use crate::kubernetes::watch::{self, Ended, Live, Wish};

/// How often is asked where the cluster does not tell of changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Waits until every wish has come true, with one deadline; in the order of the wishes.
pub(super) fn wait(
    wishes: &[Wish],
    timeout: Duration,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Ended {
    let requested_at = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    let live = Live {
        start: Instant::now(),
        timeout,
        interval: INTERVAL,
        grace: Grace::default(),
        requested_at: &requested_at,
        observer,
    };
    watch::live(cluster, wishes, &live)
}
