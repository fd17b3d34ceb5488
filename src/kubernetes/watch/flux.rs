//! Flux is asked, and its answers are read.

use serde_json::Value;

use super::error::{Error, FluxProblem};
use super::objects::Objects;
use super::{Reconcile, Terms};
use crate::event::Event;
use crate::kubernetes::cluster::{self, Resource, Selector};
use crate::kubernetes::flux::{
    Answer, Kind, Target, answer, handled, is_suspended, owner, request, source,
};

/// What is still to be reconciled, in order: a source before what uses it.
#[derive(Debug)]
pub(super) struct Requests {
    left: Vec<Request>,
    /// True when nobody asked for it by name: then nothing that goes wrong is an error.
    is_optional: bool,
    with_source: bool,
    /// The workload's labels have not been read yet.
    awaits_owner: bool,
}

#[derive(Debug)]
enum Request {
    To(Target),
    Sent {
        target: Target,
        resource: Resource,
        before: String,
    },
}

impl Requests {
    pub(super) fn new(reconcile: &Reconcile, with_source: bool, namespace: &str) -> Self {
        let left = match reconcile {
            Reconcile::Of(target) => vec![Request::To(within(target.clone(), namespace))],
            Reconcile::Auto | Reconcile::Never => Vec::new(),
        };
        Self {
            left,
            is_optional: *reconcile == Reconcile::Auto,
            with_source,
            awaits_owner: *reconcile == Reconcile::Auto,
        }
    }

    /// Reads, once, who keeps the workload as it is; true when that is to be asked now.
    pub(super) fn know(&mut self, workload: &Value, namespace: &str) -> bool {
        if !std::mem::take(&mut self.awaits_owner) {
            return false;
        }
        let owner = owner(workload).map(|target| Request::To(within(target, namespace)));
        self.left.extend(owner);
        self.is_pending()
    }

    /// True while Flux may still change or create something.
    pub(super) fn is_pending(&self) -> bool {
        !self.left.is_empty()
    }

    /// Sends what can be sent, and reads what was answered; `None` when nothing is left.
    pub(super) fn step(
        &mut self,
        objects: &dyn Objects,
        terms: &Terms<'_>,
    ) -> Result<Option<(Target, Answer)>, Error> {
        while let Some(first) = self.left.first() {
            let outcome = match first {
                Request::To(target) => self.send(objects, terms, &target.clone()),
                Request::Sent {
                    target,
                    resource,
                    before,
                } => match read(objects, terms, (target, resource, before)) {
                    Ok(Answer::Ready) => {
                        self.left.remove(0);
                        Ok(())
                    }
                    Ok(undecided) => return Ok(Some((target.clone(), undecided))),
                    Err(error) => Err(error),
                },
            };
            match outcome {
                Ok(()) => {}
                Err(error) if self.is_optional && is_about_flux(&error) => {
                    terms.observer.observe(Event::Warning {
                        text: error.to_string(),
                        hint: Some("it is watched all the same".to_owned()),
                    });
                    self.left.clear();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Asks for the first one; or puts its source before it.
    fn send(
        &mut self,
        objects: &dyn Objects,
        terms: &Terms<'_>,
        target: &Target,
    ) -> Result<(), Error> {
        let (resource, object) = find(objects, target)?;
        if is_suspended(&object) {
            return Err(Error::Flux {
                target: target.clone(),
                problem: FluxProblem::Suspended,
            });
        }
        if std::mem::take(&mut self.with_source)
            && let Some(source) = source(target.kind, &object, &target.namespace)
        {
            self.left.insert(0, Request::To(source));
            return Ok(());
        }
        let patch = request(terms.requested_at);
        objects.merge(&resource, &target.namespace, &target.name, &patch)?;
        terms.observer.observe(Event::StageStarted {
            name: "ask Flux to reconcile",
            detail: target.to_string(),
        });
        self.left[0] = Request::Sent {
            target: target.clone(),
            resource,
            before: handled(&object).to_owned(),
        };
        Ok(())
    }
}

/// What is answered to a request that was sent.
fn read(
    objects: &dyn Objects,
    terms: &Terms<'_>,
    (target, resource, before): (&Target, &Resource, &str),
) -> Result<Answer, Error> {
    let object = objects.get(resource, &target.namespace, &target.name)?;
    let object = object.ok_or_else(|| absent(target))?;
    Ok(answer(&object, terms.requested_at, before))
}

fn within(target: Target, namespace: &str) -> Target {
    match target.namespace.is_empty() {
        true => Target {
            namespace: namespace.to_owned(),
            ..target
        },
        false => target,
    }
}

fn absent(target: &Target) -> Error {
    Error::Flux {
        target: target.clone(),
        problem: FluxProblem::Absent {
            namespace: target.namespace.clone(),
        },
    }
}

fn is_about_flux(error: &Error) -> bool {
    match error {
        Error::Flux { .. } => true,
        Error::Cluster(error) => error.is_refusal(),
        _ => false,
    }
}

fn resource(kind: Kind, version: &'static str) -> Resource {
    Resource::known(version, kind.name(), kind.plural(), true)
}

/// The object, in the newest version that this cluster has. A list tells an unknown kind from an absent object; getting
/// one of them does not.
fn find(objects: &dyn Objects, target: &Target) -> Result<(Resource, Value), Error> {
    for version in target.kind.versions() {
        let resource = resource(target.kind, version);
        let called = Selector::fields(format!("metadata.name={}", target.name));
        match objects.list(&resource, &target.namespace, &called) {
            Ok(found) => {
                let object = found.into_iter().next().ok_or_else(|| absent(target))?;
                return Ok((resource, object));
            }
            Err(cluster::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Flux {
        target: target.clone(),
        problem: FluxProblem::NotInstalled,
    })
}
