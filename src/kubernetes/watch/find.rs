//! Which workload is meant, and what to say when there is none.

use serde_json::Value;

use super::Reconcile;
use super::error::Error;
use super::objects::{Objects, name, resources_of};
use super::track::Track;
use crate::event::printable;
use crate::kubernetes::cluster::{Error as ClusterError, Selector, resource};
use crate::kubernetes::rollout::Kind;

/// How many workloads are told when the wanted one is not among them.
const PRESENT: usize = 10;

impl Track<'_> {
    /// The workload; `None` when it may still come into being.
    pub(super) fn find(&self, objects: &dyn Objects) -> Result<Option<(Kind, Value)>, Error> {
        let (namespace, name) = (&self.wish.namespace, &self.wish.name);
        let mut refused = None;
        let kinds = match self.kind {
            Some(kind) => vec![vec![kind]],
            // What runs all the time is meant before what runs at times, and every cluster has these kinds.
            None => vec![Kind::COMMON.to_vec(), Kind::OTHERS.to_vec()],
        };
        for (rank, kinds) in kinds.into_iter().enumerate() {
            let mut found = Vec::new();
            for kind in kinds {
                match get(objects, kind, namespace, name) {
                    Ok(None) => {}
                    Ok(Some(workload)) => found.push((kind, workload)),
                    // Who may read Deployments alone has a Deployment, most likely.
                    Err(error) if error.is_refusal() && rank == 0 => {
                        refused = refused.or(Some(error));
                    }
                    // Nobody said that it is one of these.
                    Err(error) if error.is_refusal() => {}
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
        }
        if let Some(error) = refused {
            return Err(error.into());
        }
        let is_by_flux =
            matches!(self.wish.reconcile, Reconcile::Of(_)) && self.requests.is_pending();
        if self.wish.awaits_creation || is_by_flux {
            return Ok(None);
        }
        let what = match self.kind {
            Some(_) => self.workload(),
            None => format!("workload called `{name}`"),
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

/// A workload, in whichever version the server has its kind.
fn get(
    objects: &dyn Objects,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, ClusterError> {
    for resource in resources_of(kind) {
        if let Some(workload) = objects.get(resource, namespace, name)? {
            return Ok(Some(workload));
        }
    }
    Ok(None)
}

/// The workloads that are there, for whoever misspelt one. Who may not list them is told nothing.
fn present(objects: &dyn Objects, namespace: &str) -> Vec<String> {
    let mut found = Vec::new();
    for kind in Kind::COMMON.into_iter().chain(Kind::OTHERS) {
        let lists = resources_of(kind)
            .iter()
            .map(|resource| objects.list(resource, namespace, &Selector::all()));
        let there: Vec<Value> = lists.flat_map(Result::unwrap_or_default).collect();
        found.extend(
            there
                .iter()
                .map(|one| format!("{kind}/{}", printable(name(one)))),
        );
    }
    found.truncate(PRESENT);
    found
}
