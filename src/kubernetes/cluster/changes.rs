//! Changes as a server tells them, so that nobody has to ask again and again: watches of the API.
//!
//! [`Changes`] does not say what has changed, only that something has: whoever waits reads anew what it wants to know, and
//! nothing depends on an order of events. A watch that is cut off goes on from the version that it had come to; one whose
//! version has expired begins anew and counts as a change, for nobody knows what was missed.
//!
//! # Spec
//! Kubernetes, *API concepts*, "Efficient detection of changes": `watch`, `resourceVersion`, bookmarks, 410 Gone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::ask::Ask;
use super::told::{Lines, MOST_BYTES, Object, Told};
use super::{Cluster, Resource, Selector};
use crate::event::Observer;

/// How often who waits looks whether the person asked to stop.
const CANCEL_POLL: Duration = Duration::from_millis(50);
/// Changes come in swarms (a pod, its set, its Deployment): so long is waited for the others.
const SETTLE: Duration = Duration::from_millis(100);
/// For how long the server is asked to tell.
const TERM: Duration = Duration::from_secs(240);
/// How much longer than that nothing may come before the connection is taken for dead.
const LATENESS: Duration = Duration::from_secs(30);
/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pauses before a watch that was cut off goes on.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A watch that was cut off sooner is one that does not work.
const SHORT: Duration = Duration::from_secs(5);
/// How many watches there are at most. A connection each.
const MOST_WATCHES: usize = 32;
/// What nobody has asked for in so many looks is no longer watched.
const FORGOTTEN_AFTER: u64 = 3;

/// What is watched: the path with its query.
type Topic = String;

/// What is known to have changed since it was last looked at.
pub struct Changes<'c> {
    cluster: &'c Cluster,
    shared: Arc<Shared>,
    watches: RefCell<BTreeMap<Topic, Watch>>,
    look: RefCell<u64>,
}

impl std::fmt::Debug for Changes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topics: Vec<Topic> = self.watches.borrow().keys().cloned().collect();
        f.debug_struct("Changes")
            .field("topics", &topics)
            .finish_non_exhaustive()
    }
}

/// What the watches tell.
#[derive(Default)]
struct Shared {
    change: Notify,
    /// The objects about which events count, by uid.
    subjects: Mutex<BTreeSet<String>>,
    /// What may not be watched, until it was told.
    refused: Mutex<Vec<String>>,
}

struct Watch {
    task: tokio::task::JoinHandle<()>,
    is_live: Arc<AtomicBool>,
    asked: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// Nothing is watched at first; see [`Changes::follow`].
    pub fn changes(&self) -> Changes<'_> {
        Changes {
            cluster: self,
            shared: Arc::default(),
            watches: RefCell::default(),
            look: RefCell::default(),
        }
    }
}

impl Changes<'_> {
    /// Watches what somebody looks at: the objects of a resource in a namespace that the selector fits. What is watched
    /// already stays so; what was not asked for in the last looks (one for each [`Self::wait`]) is given up.
    ///
    /// Of events, all warnings of the namespace are watched at once, and those count that are about an object that was ever
    /// asked for by `involvedObject.uid`.
    pub fn follow(&self, resource: &Resource, namespace: &str, selector: &Selector) {
        let mut selector = selector.clone();
        if let Some(about) = selector.fields.strip_prefix("involvedObject.uid=") {
            let uid = about.split(',').next().unwrap_or_default().to_owned();
            lock(&self.shared.subjects).insert(uid);
            selector = Selector::fields("type=Warning");
        }
        let ask = asked(resource, namespace, &selector);
        let mut watches = self.watches.borrow_mut();
        let look = *self.look.borrow();
        if let Some(watch) = watches.get_mut(&ask.target()) {
            watch.asked = look;
            return;
        }
        let Some(runtime) = &self.cluster.runtime else {
            return;
        };
        if watches.len() >= MOST_WATCHES {
            return;
        }
        let is_live = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            client: self.cluster.client.clone(),
            shared: Arc::clone(&self.shared),
            is_live: Arc::clone(&is_live),
            resource: resource.clone(),
            namespace: namespace.to_owned(),
            selector,
        };
        let watch = Watch {
            task: runtime.spawn(follower.run()),
            is_live,
            asked: look,
        };
        watches.insert(ask.target(), watch);
    }

    /// Waits until something has changed, and then a moment for whatever changes with it. Ends without a change when the
    /// person wants to stop; after `most`; and, as long as not everything can be watched, after `poll`.
    pub fn wait(&self, poll: Duration, most: Duration, observer: &dyn Observer) {
        let Some(runtime) = &self.cluster.runtime else {
            return;
        };
        self.give_up_forgotten();
        let begin = Instant::now();
        runtime.block_on(async {
            loop {
                let limit = match self.is_complete() {
                    true => most,
                    false => poll.min(most),
                };
                let left = limit.saturating_sub(begin.elapsed());
                if left.is_zero() || observer.is_cancelled() {
                    return;
                }
                let change = self.shared.change.notified();
                if timeout(left.min(CANCEL_POLL), change).await.is_ok() {
                    tokio::time::sleep(left.min(SETTLE)).await;
                    // Whoever looks now sees all of it.
                    let _ = timeout(Duration::ZERO, self.shared.change.notified()).await;
                    return;
                }
            }
        });
    }

    /// What may not be watched, each named once: `pods in the namespace shop`.
    pub fn refused(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.refused))
    }

    /// True while the server tells everything that was asked for.
    fn is_complete(&self) -> bool {
        let watches = self.watches.borrow();
        let is_live = |watch: &Watch| watch.is_live.load(Ordering::Relaxed);
        !watches.is_empty() && watches.len() < MOST_WATCHES && watches.values().all(is_live)
    }

    fn give_up_forgotten(&self) {
        let mut look = self.look.borrow_mut();
        let mut watches = self.watches.borrow_mut();
        watches.retain(|_, watch| watch.asked + FORGOTTEN_AFTER > *look);
        *look += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn asked(resource: &Resource, namespace: &str, selector: &Selector) -> Ask {
    let mut ask = Ask::new("watch", resource, namespace);
    for (name, value) in [
        ("labelSelector", &selector.labels),
        ("fieldSelector", &selector.fields),
    ] {
        if !value.is_empty() {
            ask = ask.query(name, value.as_str());
        }
    }
    ask
}

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is not allowed.
    Refused,
    /// The version from which it should go on is too old.
    Expired,
    /// The server or something on the way has cut it off.
    Cut,
}

/// One watch, in the background.
struct Follower {
    client: Client,
    shared: Arc<Shared>,
    is_live: Arc<AtomicBool>,
    resource: Resource,
    namespace: String,
    selector: Selector,
}

impl Follower {
    async fn run(self) {
        let mut version = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let begin = Instant::now();
            let end = self.watch(&mut version).await;
            let was_live = self.is_live.swap(false, Ordering::Relaxed);
            match end {
                End::Refused => {
                    let what = asked(&self.resource, &self.namespace, &Selector::all()).what();
                    lock(&self.shared.refused).push(what);
                    return;
                }
                End::Expired => version = None,
                End::Cut => {}
            }
            pause = match was_live && begin.elapsed() > SHORT {
                true => FIRST_PAUSE,
                false => (pause * 2).min(LONGEST_PAUSE),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Watches until that ends; `version` is where it has come to.
    async fn watch(&self, version: &mut Option<String>) -> End {
        if version.is_none() {
            match timeout(PATIENCE, self.version()).await {
                Ok(Ok(now)) => *version = Some(now),
                Ok(Err(end)) => return end,
                Err(_) => return End::Cut,
            }
        }
        let ask = asked(&self.resource, &self.namespace, &self.selector)
            .query("watch", "true")
            .query("allowWatchBookmarks", "true")
            .query("timeoutSeconds", TERM.as_secs().to_string())
            .query("resourceVersion", version.clone().unwrap_or_default());
        let mut body = match timeout(PATIENCE, self.send(&ask)).await {
            Ok(Ok(body)) => body,
            Ok(Err(end)) => return end,
            Err(_) => return End::Cut,
        };
        self.is_live.store(true, Ordering::Relaxed);
        // Between the last look and the version lies a time of which nobody knows.
        self.shared.change.notify_one();
        let mut lines = Lines::default();
        while let Ok(Some(Ok(frame))) = timeout(TERM + LATENESS, body.frame()).await {
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            if !lines.add(&bytes) {
                return End::Cut;
            }
            while let Some(line) = lines.next() {
                match self.told(&line, version) {
                    Ok(true) => self.shared.change.notify_one(),
                    Ok(false) => {}
                    Err(end) => return end,
                }
            }
        }
        End::Cut
    }

    /// The version of the whole list now. One object of it comes along.
    async fn version(&self) -> Result<String, End> {
        let ask = asked(&self.resource, &self.namespace, &self.selector).query("limit", "1");
        let body = Limited::new(self.send(&ask).await?, MOST_BYTES);
        let bytes = body.collect().await.map_err(|_| End::Cut)?.to_bytes();
        let list: Object = serde_json::from_slice(&bytes).map_err(|_| End::Cut)?;
        let version = list.metadata.resource_version;
        (!version.is_empty()).then_some(version).ok_or(End::Cut)
    }

    async fn send(&self, ask: &Ask) -> Result<Body, End> {
        let request = ask.request().map_err(|_| End::Cut)?;
        let answer = self.client.send(request).await.map_err(|_| End::Cut)?;
        match answer.status().as_u16() {
            200..300 => Ok(answer.into_body()),
            401 | 403 | 405 => Err(End::Refused),
            410 => Err(End::Expired),
            _ => Err(End::Cut),
        }
    }

    /// Reads one line of a watch; true for a change that counts.
    fn told(&self, line: &[u8], version: &mut Option<String>) -> Result<bool, End> {
        let told: Told = serde_json::from_slice(line).map_err(|_| End::Cut)?;
        let object = told.object;
        if told.kind == "ERROR" {
            return Err(match object.code {
                410 => End::Expired,
                _ => End::Cut,
            });
        }
        if !object.metadata.resource_version.is_empty() {
            *version = Some(object.metadata.resource_version);
        }
        let is_about_us = object
            .involved
            .is_none_or(|about| lock(&self.shared.subjects).contains(&about.uid));
        Ok(told.kind != "BOOKMARK" && is_about_us)
    }
}
