//! One workload on its way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::Error;
use super::flux::Requests;
use super::lines::{explain, last_lines, whole};
use super::objects::{Objects, state};
use super::{Terms, Watched, Wish};
use crate::event::{Event, printable};
use crate::kubernetes::cluster;
use crate::kubernetes::flux::Answer;
use crate::kubernetes::ready::Said;
use crate::kubernetes::rollout::{
    Cause, Done, Grace, Kind, Patience, Reason, State, Verdict, judge, new_pods,
};

/// One wish, and how far it has come.
#[derive(Debug)]
pub(super) struct Track<'w> {
    pub(super) wish: &'w Wish,
    pub(super) kind: Option<Kind>,
    patience: Patience,
    grace: Grace,
    pub(super) requests: Requests,
    /// What is awaited, as it was told last.
    why: String,
    troubles: Vec<Reason>,
    /// When the cluster last answered.
    answered: Option<Duration>,
    /// How often each pod's container had ended when the rollout was complete.
    ends: BTreeMap<String, u64>,
    said: BTreeMap<(String, usize), String>,
    is_ready_awaited: bool,
    done: Option<Done>,
    /// When to look again although nothing changes.
    due: Option<Duration>,
}

impl<'w> Track<'w> {
    pub(super) fn new(wish: &'w Wish, grace: Grace) -> Self {
        Self {
            wish,
            kind: wish.kind,
            patience: Patience::new(grace),
            grace,
            requests: Requests::new(&wish.reconcile, wish.with_source, &wish.namespace),
            why: String::new(),
            troubles: Vec::new(),
            answered: None,
            ends: BTreeMap::new(),
            said: BTreeMap::new(),
            is_ready_awaited: false,
            done: None,
            due: None,
        }
    }

    /// When to look again although nothing tells of a change: what is awaited is a matter of time, or not watched.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    pub(super) fn is_over(&self) -> bool {
        self.done.is_some()
    }

    /// What was watched, once it is over.
    pub(super) fn finish(self) -> Option<Watched> {
        let workload = self.workload();
        Some(Watched {
            workload,
            namespace: self.wish.namespace.clone(),
            done: self.done?,
            said: self.said.into_values().collect(),
        })
    }

    pub(super) fn workload(&self) -> String {
        let name = printable(&self.wish.name);
        match self.kind {
            Some(kind) => format!("{kind}/{name}"),
            None => name,
        }
    }

    /// Looks once. An answer that fails to come is awaited for a while, unless none ever came.
    pub(super) fn look(
        &mut self,
        objects: &dyn Objects,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Result<(), Error> {
        self.due = Some(now + terms.interval);
        match self.look_once(objects, terms, now) {
            // A question that our own deadline cut off says nothing; what was awaited before does.
            Err(Error::Cluster(cluster::Error::Timeout { .. }))
                if self.answered.is_some() && (terms.clock.now)() >= terms.timeout =>
            {
                Ok(())
            }
            Err(Error::Cluster(error)) if is_passing(&error) => {
                let is_patient = self
                    .answered
                    .is_some_and(|last| now.saturating_sub(last) < self.grace.slow);
                if !is_patient {
                    return Err(error.into());
                }
                self.say(terms, error.to_string(), self.troubles.clone());
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.answered = Some(now);
                // Nobody tells of a new line in a log.
                if !self.is_ready_awaited {
                    self.due = self.patience.due();
                }
                Ok(())
            }
        }
    }

    fn look_once(
        &mut self,
        objects: &dyn Objects,
        terms: &Terms<'_>,
        now: Duration,
    ) -> Result<(), Error> {
        let mut flux = self.requests.step(objects, terms)?;
        let Some((kind, workload)) = self.find(objects)? else {
            let why = match &flux {
                Some((target, Answer::Pending(why) | Answer::Failed(why))) => {
                    format!("{target}: {why}")
                }
                _ => format!("{} is not created yet", self.workload()),
            };
            let troubles = flux
                .map(|answer| self.of_flux(answer))
                .into_iter()
                .flatten()
                .collect();
            let verdict = self
                .patience
                .decide(Verdict::Waiting { why, troubles }, now);
            return self.follow(objects, terms, verdict, None);
        };
        self.kind = Some(kind);
        if self.requests.know(&workload, &self.wish.namespace) {
            flux = self.requests.step(objects, terms)?;
        }
        let state = state(objects, kind, &self.wish.namespace, workload)?;
        let verdict = self.with_flux(judge(&state, &self.wish.wanted), flux);
        let verdict = self.patience.decide(verdict, now);
        self.follow(objects, terms, verdict, Some(&state))
    }

    /// While Flux is at work, an old rollout is neither a success nor a failure of the new one.
    fn with_flux(
        &self,
        verdict: Verdict,
        flux: Option<(crate::kubernetes::flux::Target, Answer)>,
    ) -> Verdict {
        let Some((target, answer)) = flux else {
            return verdict;
        };
        let told = match &answer {
            Answer::Pending(why) | Answer::Failed(why) => format!("{target}: {why}"),
            Answer::Ready => String::new(),
        };
        let of_flux = self.of_flux((target, answer));
        match verdict {
            Verdict::Failed(reason)
                if self.wish.wanted.image.is_some() && reason.cause != Cause::NoContainer =>
            {
                Verdict::Failed(reason)
            }
            Verdict::Waiting { why, mut troubles } if self.wish.wanted.image.is_some() => {
                troubles.extend(of_flux);
                Verdict::Waiting { why, troubles }
            }
            _ => Verdict::Waiting {
                why: told,
                troubles: of_flux.into_iter().collect(),
            },
        }
    }

    fn of_flux(
        &self,
        (target, answer): (crate::kubernetes::flux::Target, Answer),
    ) -> Option<Reason> {
        match answer {
            Answer::Failed(message) => Some(Reason::of(target.to_string(), Cause::Flux, message)),
            _ => None,
        }
    }

    fn follow(
        &mut self,
        objects: &dyn Objects,
        terms: &Terms<'_>,
        verdict: Verdict,
        state: Option<&State>,
    ) -> Result<(), Error> {
        match verdict {
            Verdict::Waiting { why, troubles } => {
                self.say(terms, why, troubles);
                Ok(())
            }
            Verdict::Failed(mut reason) => {
                explain(objects, &self.wish.namespace, &mut reason);
                Err(Error::of_reason(self.workload(), reason))
            }
            Verdict::Done(done) => match state {
                Some(state) if !self.wish.ready.is_empty() => self.ask(objects, terms, state, done),
                _ => {
                    self.done = Some(done);
                    Ok(())
                }
            },
        }
    }

    /// Looks for what the new pods have to say.
    fn ask(
        &mut self,
        objects: &dyn Objects,
        terms: &Terms<'_>,
        state: &State,
        done: Done,
    ) -> Result<(), Error> {
        self.is_ready_awaited = true;
        let workload = self.workload();
        let not_ready = |why: String, lines: Vec<String>| Error::NotReady {
            workload: workload.clone(),
            why,
            lines,
        };
        if done.pods.is_empty() {
            return Err(not_ready(
                "in no pod, so nothing can say that it is ready".to_owned(),
                Vec::new(),
            ));
        }
        let namespace = &self.wish.namespace;
        let mut silent = None;
        for pod in new_pods(state) {
            let (ends, how) = pod.ends(&done.container);
            let before = *self.ends.entry(pod.name().to_owned()).or_insert(ends);
            if ends > before {
                let lines = last_lines(
                    objects,
                    namespace,
                    pod.name(),
                    &done.container,
                    Cause::Crash(ends),
                );
                let why = format!(
                    "its container in pod `{}` has ended: {how}",
                    printable(pod.name())
                );
                return Err(not_ready(why, lines));
            }
            let missing = |check: &usize| !self.said.contains_key(&(pod.name().to_owned(), *check));
            let missing: Vec<usize> = (0..self.wish.ready.len()).filter(missing).collect();
            if missing.is_empty() {
                continue;
            }
            let log = whole(objects, namespace, pod.name(), &done.container)?;
            for check in missing {
                match self.wish.ready[check].read(&log) {
                    Said::Yes { line } => {
                        self.said.insert((pod.name().to_owned(), check), line);
                    }
                    Said::Nothing => {
                        let pattern = self.wish.ready[check].pattern();
                        silent = Some(format!(
                            "pod `{}` has printed no line that fits `{}`",
                            printable(pod.name()),
                            printable(pattern)
                        ));
                    }
                    Said::No { why, lines } => {
                        let why = format!(
                            "pod `{}` says that it is not ready: {why}",
                            printable(pod.name())
                        );
                        return Err(not_ready(why, lines));
                    }
                }
            }
        }
        match silent {
            Some(why) => self.say(terms, why, Vec::new()),
            None => self.done = Some(done),
        }
        Ok(())
    }

    /// Tells what is awaited when that has changed, and troubles when they are new.
    fn say(&mut self, terms: &Terms<'_>, why: String, troubles: Vec<Reason>) {
        if why != self.why {
            terms.observer.observe(Event::StageStarted {
                name: "wait",
                detail: why.clone(),
            });
        }
        let known: Vec<String> = self.troubles.iter().map(Reason::to_string).collect();
        for trouble in &troubles {
            let text = trouble.to_string();
            if !known.contains(&text) {
                terms.observer.observe(Event::Warning { text, hint: None });
            }
        }
        self.why = why;
        self.troubles = troubles;
    }

    /// What is to be said at the deadline.
    pub(super) fn timed_out(&mut self, objects: &dyn Objects, terms: &Terms<'_>) -> Error {
        let namespace = &self.wish.namespace;
        if self.is_ready_awaited && self.troubles.is_empty() {
            let why = self.why.clone();
            let pod = self.ends.keys().next().cloned().unwrap_or_default();
            let container = self.wish.wanted.container.clone().unwrap_or_default();
            let lines = last_lines(objects, namespace, &pod, &container, Cause::Probe);
            let why = format!("{why} within {}", humantime::format_duration(terms.timeout));
            let workload = self.workload();
            return Error::NotReady {
                workload,
                why,
                lines,
            };
        }
        let reason = self.troubles.first().cloned().map(|mut reason| {
            explain(objects, namespace, &mut reason);
            Box::new(reason)
        });
        let awaited = (!self.why.is_empty()).then(|| self.why.clone());
        let told = awaited
            .into_iter()
            .chain(self.troubles.iter().map(Reason::to_string));
        Error::Timeout {
            workload: self.workload(),
            timeout: terms.timeout,
            why: told.collect(),
            reason,
        }
    }
}

/// True for what may be otherwise a moment later.
fn is_passing(error: &cluster::Error) -> bool {
    match error {
        cluster::Error::Unreachable { .. } | cluster::Error::Timeout { .. } => true,
        cluster::Error::Api { status, .. } => *status == 429 || *status >= 500,
        _ => false,
    }
}
