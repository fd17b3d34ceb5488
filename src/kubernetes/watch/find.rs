//! Which workload is meant, and what to say when there is none.

use serde_json::Value;

use super::Reconcile;
use super::error::Error;
use super::objects::{Objects, name, resource_of};
use super::track::Track;
use crate::event::printable;
use crate::kubernetes::cluster::{Resource, Selector, resource};
use crate::kubernetes::rollout::{Kind, UnsupportedKind};

/// Kinds that look like workloads, and that we cannot watch.
const FOREIGN: [Resource; 2] = [
    Resource::known("batch/v1", "Job", "jobs", true),
    Resource::known("argoproj.io/v1alpha1", "Rollout", "rollouts", true),
];
/// How many workloads are told when the wanted one is not among them.
const PRESENT: usize = 10;

impl Track<'_> {
    /// The workload; `None` when it may still come into being.
    pub(super) fn find(&self, objects: &dyn Objects) -> Result<Option<(Kind, Value)>, Error> {
        let (namespace, name) = (&self.wish.namespace, &self.wish.name);
        let kinds = self
            .kind
            .map_or_else(|| Kind::ALL.to_vec(), |kind| vec![kind]);
        let mut found = Vec::new();
        let mut refused = None;
        for kind in kinds {
            match objects.get(resource_of(kind), namespace, name) {
                Ok(None) => {}
                Ok(Some(workload)) => found.push((kind, workload)),
                // Who may read Deployments alone has a Deployment, most likely.
                Err(error) if error.is_refusal() => refused = refused.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        if found.len() > 1 {
            return Err(Error::Ambiguous {
                name: name.clone(),
                found: found
                    .iter()
                    .map(|(kind, _)| format!("{kind}/{name}"))
                    .collect(),
            });
        }
        if let Some(one) = found.pop() {
            return Ok(Some(one));
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        let is_by_flux =
            matches!(self.wish.reconcile, Reconcile::Of(_)) && self.requests.is_pending();
        if self.wish.awaits_creation || is_by_flux {
            return Ok(None);
        }
        for foreign in FOREIGN {
            if self.kind.is_none()
                && objects
                    .get(&foreign, namespace, name)
                    .is_ok_and(|one| one.is_some())
            {
                let kind = foreign.kind.into_owned();
                return Err(UnsupportedKind { kind }.into());
            }
        }
        let what = match self.kind {
            Some(_) => self.workload(),
            None => format!("Deployment, StatefulSet or DaemonSet called `{name}`"),
        };
        let present = present(objects, namespace);
        let is_there = || objects.get(&resource::NAMESPACE, "", namespace);
        if present.is_empty() && matches!(is_there(), Ok(None)) {
            return Err(Error::NoNamespace {
                namespace: namespace.clone(),
            });
        }
        Err(Error::NoWorkload {
            what,
            namespace: namespace.clone(),
            present,
        })
    }
}

/// The workloads that are there, for whoever misspelt one. Who may not list them is told nothing.
fn present(objects: &dyn Objects, namespace: &str) -> Vec<String> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let there = objects.list(resource_of(kind), namespace, &Selector::all());
        let there = there.unwrap_or_default();
        found.extend(
            there
                .iter()
                .map(|one| format!("{kind}/{}", printable(name(one)))),
        );
    }
    found.truncate(PRESENT);
    found
}
