//! How each application stands in each environment, as far as records tell.

use std::collections::BTreeSet;

use super::history::{Contents, Record, State};
use super::{rollback, rollouts};
use crate::project::Operation;

/// One application in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The build that the last deployment comes from, else the last build.
    pub build: Option<Record>,
    /// The push or promotion that the last deployment comes from, else the last one of either kind.
    pub push: Option<Record>,
    /// The last deployment, however it ended.
    pub deploy: Option<Record>,
    /// The last deployment that succeeded: what is live, as far as records tell.
    pub live: Option<Record>,
    /// How the rollout of the last deployment ended, if it was watched to an end.
    pub rollout: Option<Rollout>,
    /// The deployment that was declared released last.
    pub released: Option<Record>,
    /// The record that began last.
    pub last: Record,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// How.
    pub fate: rollouts::Fate,
    /// The watch that saw it.
    pub watch: Record,
}

/// All applications in all environments that have records, in order of their names.
pub fn of(contents: &Contents) -> Vec<Status> {
    let pairs: BTreeSet<(&str, &str)> = contents
        .records
        .iter()
        .map(|record| (record.application.as_str(), record.environment.as_str()))
        .collect();
    let released = rollback::all_released(contents);
    let rollouts = rollouts::all(contents);
    let status = |(application, environment): (&str, &str)| {
        let here = || {
            let is_here = move |record: &&Record| {
                record.application == application && record.environment == environment
            };
            contents.records.iter().rev().filter(is_here)
        };
        let newest = |operations: &[Operation]| {
            here()
                .find(|record| operations.contains(&record.operation))
                .cloned()
        };
        let deploy = newest(&[Operation::Deploy]);
        let origin = |operations: &[Operation]| {
            let deploy = deploy.as_ref()?;
            let links = operations.iter().filter_map(|kind| deploy.link(*kind));
            links.filter_map(|id| contents.by_id(id)).next().cloned()
        };
        let (build, sent) = (&[Operation::Build], &[Operation::Promote, Operation::Push]);
        let is_live = |record: &&Record| {
            record.operation == Operation::Deploy && record.state == State::Success
        };
        Some(Status {
            application: application.to_owned(),
            environment: environment.to_owned(),
            build: origin(build).or_else(|| newest(build)),
            push: origin(sent).or_else(|| newest(sent)),
            rollout: deploy.as_ref().and_then(|deploy| {
                let rollout = rollouts.get(&deploy.id)?;
                Some(Rollout {
                    fate: rollout.fate,
                    watch: rollout.watch.clone(),
                })
            }),
            live: here().find(is_live).cloned(),
            released: released
                .get(&(application, environment))
                .and_then(|id| contents.by_id(id))
                .cloned(),
            last: here().next()?.clone(),
            deploy,
        })
    };
    pairs.into_iter().filter_map(status).collect()
}
