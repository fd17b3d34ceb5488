//! Rollouts that are watched, each with a record that follows from that of its deployment.

use super::{Failed, Place};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::env::person;
use crate::event::{Event, Observer, Silent};
use crate::kubernetes::cluster::workload::WorkloadName;
use crate::kubernetes::watch::{self, Ended};
use crate::project::Operation;
use crate::reference::Reference;
use crate::release::history::{
    Contents, DEFAULT_ENVIRONMENT, Ending, Facts, Outcome, Record, Recording, Running, State,
    Target,
};
use crate::release::rollouts::{Fate, OUTCOME};

/// One rollout that is awaited; in the order of the wishes.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Awaited {
    /// Whose, where that is known.
    pub(in crate::cli) application: Option<String>,
    /// Where, if an environment was named.
    pub(in crate::cli) environment: Option<String>,
    /// The image that should run, unless it is whatever runs now.
    pub(in crate::cli) image: Option<Reference>,
    /// The context of the kubeconfig, if one is used.
    pub(in crate::cli) context: Option<String>,
    /// The namespace.
    pub(in crate::cli) namespace: String,
    /// `KIND/NAME`, or a name alone.
    pub(in crate::cli) workload: String,
    /// The container, if it was named.
    pub(in crate::cli) container: Option<String>,
}

/// Watches, with a record for each rollout that is to have one. A record that cannot be kept is a warning: nothing is changed here.
pub(in crate::cli) fn recorded(
    place: Option<&Place>,
    awaited: &[Option<Awaited>],
    observer: &dyn Observer,
    work: impl FnOnce(&dyn Observer) -> Ended,
) -> Ended {
    let Some(place) = place else {
        return work(observer);
    };
    let running = match begin(place, awaited) {
        Ok(running) => running,
        Err(diagnostic) => {
            warn(observer, &diagnostic.what);
            Vec::new()
        }
    };
    let told = Told {
        logs: running
            .iter()
            .flatten()
            .map(|one| one.recording(&Silent))
            .collect(),
        outer: observer,
    };
    let ended = work(&told);
    drop(told);
    let diagnostic = ended.error.clone().map(Diagnostic::from);
    let text = diagnostic.map(Failed).map(|failed| failed.to_string());
    for (one, outcome) in running.into_iter().zip(&ended.outcomes) {
        let Some(one) = one else { continue };
        let outcome = match outcome {
            watch::Outcome::Failed(own) => {
                let text = Failed(Diagnostic::from(own.as_ref().clone())).to_string();
                outcome_of(outcome, ended.error.as_ref(), Some(&text))
            }
            _ => outcome_of(outcome, ended.error.as_ref(), text.as_deref()),
        };
        if let Some(error) = &outcome.error {
            one.note(&format!("error: {error}"));
        }
        if let Err(error) = one.finish(outcome, person::now()) {
            warn(observer, &error.to_string());
        }
    }
    ended
}

fn warn(observer: &dyn Observer, why: &str) {
    observer.observe(Event::Warning {
        text: format!("the record of this watch is not complete: {why}"),
        hint: None,
    });
}

fn begin(place: &Place, awaited: &[Option<Awaited>]) -> Result<Vec<Option<Running>>, Diagnostic> {
    let contents = place.history.read()?;
    let mut running = Vec::new();
    for one in awaited {
        let Some(one) = one else {
            running.push(None);
            continue;
        };
        let deployment = deployment_of(&contents, one);
        let mut facts = Facts {
            image: one
                .image
                .as_ref()
                .map(|image| image.without_digest().to_string()),
            digest: one.image.as_ref().and_then(|image| image.digest().cloned()),
            target: Some(Target::Cluster {
                context: one.context.clone(),
                namespace: one.namespace.clone(),
                workload: one.workload.clone(),
                container: one.container.clone().unwrap_or_default(),
            }),
            ..Facts::default()
        };
        if let Some(deployment) = deployment {
            facts.links.insert(Operation::Deploy, deployment.id.clone());
        }
        let of_image = || {
            one.image
                .as_ref()
                .map(|image| place.application_of_image(image))
        };
        let application = match (deployment, &one.application) {
            (Some(deployment), _) => deployment.application.clone(),
            (None, Some(application)) => application.clone(),
            (None, None) => of_image().unwrap_or_else(|| name_of(&one.workload).to_owned()),
        };
        let environment = match deployment {
            Some(deployment) => Some(deployment.environment.as_str()),
            None => one.environment.as_deref(),
        };
        let begin = place.beginning(Operation::Watch, &application, environment, facts);
        running.push(Some(place.history.begin(begin, person::now())?));
    }
    Ok(running)
}

/// The deployment whose rollout is awaited: the newest of the application in the environment, or to the workload, unless another
/// image is awaited than it brought.
fn deployment_of<'a>(contents: &'a Contents, awaited: &Awaited) -> Option<&'a Record> {
    let environment = awaited
        .environment
        .as_deref()
        .unwrap_or(DEFAULT_ENVIRONMENT);
    let is_meant = |record: &&Record| {
        record.operation == Operation::Deploy
            && record.state == State::Success
            && (awaited.application.as_deref() == Some(&record.application)
                && record.environment == environment
                || is_to(record, awaited))
    };
    let newest = contents.records.iter().rev().find(is_meant)?;
    brought(newest, awaited.image.as_ref()).then_some(newest)
}

/// True when a deployment went to the workload that is watched.
fn is_to(record: &Record, awaited: &Awaited) -> bool {
    let Some(Target::Cluster {
        context,
        namespace,
        workload,
        ..
    }) = &record.facts.target
    else {
        return false;
    };
    let parsed = |text: &str| text.parse::<WorkloadName>().ok();
    let is_same = match (parsed(workload), parsed(&awaited.workload)) {
        (Some(one), Some(other)) => {
            one.name == other.name
                && (one.kind.is_none() || other.kind.is_none() || one.kind == other.kind)
        }
        _ => false,
    };
    let is_there = |one: &Option<String>, other: &Option<String>| {
        one.is_none() || other.is_none() || one == other
    };
    is_same && *namespace == awaited.namespace && is_there(context, &awaited.context)
}

/// True when a deployment may have brought this image: by its digest where both have one, else by its name and tag.
fn brought(record: &Record, image: Option<&Reference>) -> bool {
    let Some(image) = image else { return true };
    match (&record.facts.digest, image.digest()) {
        (Some(brought), Some(awaited)) => brought == awaited,
        _ => record
            .facts
            .image
            .as_ref()
            .is_none_or(|brought| *brought == image.without_digest().to_string()),
    }
}

/// The name in `KIND/NAME`.
fn name_of(workload: &str) -> &str {
    workload.rsplit('/').next().unwrap_or(workload)
}

/// How a record ends.
fn outcome_of(
    outcome: &watch::Outcome,
    error: Option<&watch::Error>,
    text: Option<&str>,
) -> Outcome {
    let mut facts = Facts::default();
    let mut result = |fate: Fate| {
        facts
            .results
            .insert(OUTCOME.to_owned(), fate.name().to_owned());
    };
    let (ending, error) = match (outcome, error) {
        (watch::Outcome::Complete(_), _) => {
            result(Fate::Complete);
            (Ending::Success, None)
        }
        (_, Some(watch::Error::Interrupted)) => (Ending::Interrupted, text.map(str::to_owned)),
        (watch::Outcome::Failed(own), _) => {
            match own.as_ref() {
                watch::Error::Failed { .. } => result(Fate::Failed),
                watch::Error::Timeout { .. } => result(Fate::Late),
                watch::Error::NotReady { .. } => result(Fate::NotReady),
                // That the cluster cannot be asked says nothing of what runs there.
                _ => {}
            }
            (Ending::Error, text.map(str::to_owned))
        }
        (watch::Outcome::Open, _) => {
            let text = text.map(|text| format!("the watch ended before: {text}"));
            (Ending::Interrupted, text)
        }
    };
    if let watch::Outcome::Complete(watched) = outcome {
        let image: Option<Reference> = watched.done.image.parse().ok();
        facts.image = image
            .as_ref()
            .map(|image| image.without_digest().to_string());
        facts.digest = image.and_then(|image| image.digest().cloned());
    }
    Outcome {
        ending,
        error,
        facts,
    }
}

/// Tells several logs and whoever is told besides.
struct Told<'a> {
    logs: Vec<Recording<'a>>,
    outer: &'a dyn Observer,
}

impl Observer for Told<'_> {
    fn observe(&self, event: Event) {
        for log in &self.logs {
            log.observe(event.clone());
        }
        self.outer.observe(event);
    }

    fn is_cancelled(&self) -> bool {
        self.outer.is_cancelled()
    }
}
