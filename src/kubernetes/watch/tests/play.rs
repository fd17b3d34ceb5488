//! The cluster of these tests: objects by their path, changed by a script when the clock reaches a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::event::{Event, Observer};
use crate::kubernetes::cluster::{Error, Logs, Resource, Selector};
use crate::kubernetes::rollout::{Grace, State};
use crate::kubernetes::watch::{Clock, Ended, Objects, Pause, Terms, Watched, Wish, watch};

pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_secs(2);
pub(super) const REQUESTED_AT: &str = "2026-01-01T00:00:00.123456789Z";

type Change = Box<dyn Fn(&mut World)>;

/// What the cluster has now.
#[derive(Default)]
pub(super) struct World {
    /// By `API-VERSION/PLURAL/NAMESPACE/NAME`.
    objects: BTreeMap<String, Value>,
    /// `API-VERSION/PLURAL` that this server does not know.
    unknown: BTreeSet<String>,
    /// `API-VERSION/PLURAL` that may not be asked for.
    forbidden: BTreeSet<String>,
    /// By `POD/CONTAINER`, with `previous ` before it perhaps.
    pub(super) logs: BTreeMap<String, String>,
    /// Nothing is answered until the deadline.
    pub(super) hangs: bool,
    /// What every question is answered with.
    pub(super) failure: Option<Error>,
    asked: Vec<String>,
    now: Duration,
}

impl World {
    /// Everything of a state, in place of all revisions and pods that there were.
    pub(super) fn put(&mut self, state: &State) {
        let name = state.workload["metadata"]["name"].as_str().unwrap();
        let plural = state.kind.plural();
        self.objects.insert(
            format!("apps/v1/{plural}/shop/{name}"),
            state.workload.clone(),
        );
        for (place, objects) in [
            ("apps/v1/replicasets", &state.revisions),
            ("v1/pods", &state.pods),
        ] {
            self.objects.retain(|path, _| !path.starts_with(place));
            for object in objects {
                let name = object["metadata"]["name"].as_str().unwrap();
                self.objects
                    .insert(format!("{place}/shop/{name}"), object.clone());
            }
        }
    }

    pub(super) fn set(&mut self, version: &str, plural: &str, name: &str, object: Value) {
        self.objects
            .insert(format!("{version}/{plural}/shop/{name}"), object);
    }

    pub(super) fn get(&self, version: &str, plural: &str, name: &str) -> Value {
        self.objects[&format!("{version}/{plural}/shop/{name}")].clone()
    }
}

#[derive(Default)]
pub(super) struct Play {
    world: RefCell<World>,
    script: RefCell<Vec<(Duration, Change)>>,
    tells: RefCell<bool>,
    observer: Recorder,
}

#[derive(Default)]
struct Recorder {
    told: Mutex<Vec<String>>,
    now: Mutex<Duration>,
    cancels: Mutex<Option<Duration>>,
}

impl Observer for Recorder {
    fn observe(&self, event: Event) {
        let text = match event {
            Event::Note { text } | Event::Warning { text, .. } => text,
            Event::StageStarted { detail, .. } | Event::StageFinished { detail, .. } => detail,
            _ => return,
        };
        self.told.lock().unwrap().push(text);
    }

    fn is_cancelled(&self) -> bool {
        let now = *self.now.lock().unwrap();
        self.cancels.lock().unwrap().is_some_and(|at| now >= at)
    }
}

/// An error of the client.
pub(super) fn error_of(kind: &str) -> Error {
    let text = "as the test wants it".to_owned();
    match kind {
        "unreachable" => Error::Unreachable {
            server: "https://c".to_owned(),
            reason: text,
        },
        "forbidden" => Error::Forbidden {
            verb: "list",
            resource: "things".to_owned(),
            namespace: "shop".to_owned(),
            reason: text,
        },
        "timeout" => Error::Timeout {
            server: "https://c".to_owned(),
            what: text,
        },
        "not found" => Error::NotFound {
            what: "it".to_owned(),
            reason: text,
        },
        other => panic!("{other}"),
    }
}

impl Play {
    pub(super) fn of(state: &State) -> Self {
        let play = Self::default();
        play.put(state);
        play
    }

    pub(super) fn put(&self, state: &State) {
        self.world.borrow_mut().put(state);
    }

    pub(super) fn put_object(
        &self,
        version: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        object: Value,
    ) {
        let path = format!("{version}/{plural}/{namespace}/{name}");
        self.world.borrow_mut().objects.insert(path, object);
    }

    pub(super) fn put_event(&self, event: Value) {
        self.put_object("v1", "events", "shop", "event", event);
    }

    pub(super) fn get(&self, version: &str, plural: &str, name: &str) -> Value {
        self.world.borrow().get(version, plural, name)
    }

    pub(super) fn log(&self, place: &str, text: &str) {
        self.world
            .borrow_mut()
            .logs
            .insert(place.to_owned(), text.to_owned());
    }

    pub(super) fn forget(&self, resource: &str) {
        self.world.borrow_mut().unknown.insert(resource.to_owned());
    }

    pub(super) fn forbid(&self, resource: &str) {
        self.world
            .borrow_mut()
            .forbidden
            .insert(resource.to_owned());
    }

    pub(super) fn hang(&self) {
        self.world.borrow_mut().hangs = true;
    }

    pub(super) fn fail(&self, error: Error) {
        self.world.borrow_mut().failure = Some(error);
    }

    /// Changes the world once the clock shows so many seconds.
    pub(super) fn at(&self, seconds: u64, change: impl Fn(&mut World) + 'static) {
        let at = Duration::from_secs(seconds);
        self.script.borrow_mut().push((at, Box::new(change)));
    }

    pub(super) fn cancel_at(&self, seconds: u64) {
        *self.observer.cancels.lock().unwrap() = Some(Duration::from_secs(seconds));
    }

    pub(super) fn now(&self) -> Duration {
        self.world.borrow().now
    }

    pub(super) fn told(&self) -> String {
        self.observer.told.lock().unwrap().join("\n")
    }

    /// Every question so far: `get apps/v1/deployments/web`, `merge …`, `log POD/CONTAINER`.
    pub(super) fn asked(&self) -> Vec<String> {
        self.world.borrow().asked.clone()
    }

    pub(super) fn watch(&self, wishes: &[Wish]) -> Result<Vec<Watched>, super::Error> {
        self.watch_all(wishes).into_result()
    }

    pub(super) fn watch_all(&self, wishes: &[Wish]) -> Ended {
        let now = || self.now();
        let pause = |pause: Pause| self.pause(pause);
        let terms = Terms {
            timeout: TIMEOUT,
            interval: INTERVAL,
            grace: Grace::default(),
            requested_at: REQUESTED_AT,
            clock: Clock {
                now: &now,
                pause: &pause,
            },
            observer: &self.observer,
        };
        watch(self, wishes, &terms)
    }

    /// From now on each change of the script is told, as a server does that can be watched.
    pub(super) fn tells(&self) {
        *self.tells.borrow_mut() = true;
    }

    fn pause(&self, pause: Pause) {
        let time = match *self.tells.borrow() {
            false => pause.poll.min(pause.most),
            true => {
                let now = self.now();
                let script = self.script.borrow();
                let next = script.iter().filter(|(at, _)| *at > now);
                let next = next.map(|(at, _)| *at - now).min();
                next.map_or(pause.most, |next| next.min(pause.most))
            }
        };
        assert!(
            time > Duration::ZERO,
            "a pause of no time is an endless loop"
        );
        let mut world = self.world.borrow_mut();
        let before = world.now;
        world.now += time;
        let now = world.now;
        *self.observer.now.lock().unwrap() = now;
        for (at, change) in self.script.borrow().iter() {
            if before < *at && *at <= now {
                change(&mut world);
            }
        }
    }

    fn ask(&self, verb: &str, resource: &Resource, name: &str) -> Result<String, Error> {
        let mut world = self.world.borrow_mut();
        let place = format!("{}/{}", resource.api_version, resource.plural);
        world.asked.push(format!("{verb} {place}/{name}"));
        if world.hangs {
            world.now = TIMEOUT;
            return Err(error_of("timeout"));
        }
        if let Some(failure) = &world.failure {
            return Err(failure.clone());
        }
        if world.forbidden.contains(&place) {
            return Err(error_of("forbidden"));
        }
        if world.unknown.contains(&place) {
            return Err(error_of("not found"));
        }
        Ok(place)
    }
}

impl Objects for Play {
    fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        match self.ask("get", resource, name) {
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(place) => {
                let path = format!("{place}/{namespace}/{name}");
                Ok(self.world.borrow().objects.get(&path).cloned())
            }
        }
    }

    fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Vec<Value>, Error> {
        let place = self.ask("list", resource, "")?;
        let world = self.world.borrow();
        let prefix = format!("{place}/{namespace}/");
        let named = selector.fields.strip_prefix("metadata.name=");
        let about = selector.fields.strip_prefix("involvedObject.uid=");
        let about = about.map(|rest| rest.split(',').next().unwrap());
        let fits = |(path, object): &(&String, &Value)| {
            let rest = path.strip_prefix(&prefix);
            rest.is_some()
                && named.is_none_or(|name| rest == Some(name))
                && about.is_none_or(|uid| object["involvedObject"]["uid"] == uid)
        };
        let found = world.objects.iter().filter(fits);
        Ok(found.map(|(_, object)| object.clone()).collect())
    }

    fn merge(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        let place = self.ask("merge", resource, name)?;
        let mut world = self.world.borrow_mut();
        let object = world
            .objects
            .get_mut(&format!("{place}/{namespace}/{name}"));
        let object = object.ok_or_else(|| error_of("not found"))?;
        for (key, value) in patch["metadata"]["annotations"].as_object().unwrap() {
            object["metadata"]["annotations"][key] = value.clone();
        }
        Ok(object.clone())
    }

    fn log(&self, _namespace: &str, pod: &str, logs: &Logs) -> Result<String, Error> {
        let place = format!("{pod}/{}", logs.container);
        let mut world = self.world.borrow_mut();
        world.asked.push(format!("log {place}"));
        let key = match logs.is_previous {
            true => format!("previous {place}"),
            false => place,
        };
        let text = world.logs.get(&key).ok_or_else(|| error_of("not found"))?;
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if let Some(tail) = logs.tail_lines {
            lines.drain(..lines.len().saturating_sub(tail as usize));
        }
        let mut text = lines.concat();
        text.truncate(logs.most_bytes.unwrap_or(usize::MAX));
        Ok(text)
    }
}
