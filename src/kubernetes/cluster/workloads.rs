//! The workloads that a server has, and the container that is meant among them.

use super::set_image::{SetImage, SetImageError};
use super::workload::{
    COMMON_KINDS, Container, OTHER_KINDS, Workload, WorkloadKind, WorkloadName, find,
};
use super::{Cluster, Error, Selector, Within};

impl Cluster {
    /// The workloads of a namespace, of all kinds that the server knows; only those of one kind or name, where these are known.
    ///
    /// # Errors
    /// As [`Cluster::list`].
    pub fn workloads(
        &self,
        within: Within<'_>,
        namespace: &str,
        name: Option<&WorkloadName>,
    ) -> Result<Vec<Workload>, Error> {
        let kinds = COMMON_KINDS.into_iter().chain(OTHER_KINDS);
        let mut workloads = Vec::new();
        for kind in kinds {
            if name.is_some_and(|name| name.kind.is_some_and(|wanted| wanted != kind)) {
                continue;
            }
            workloads.extend(self.workloads_of(within, namespace, kind, name)?);
        }
        Ok(workloads)
    }

    /// Those of one kind; one alone where kind and name are known. None for a kind that the server does not know.
    fn workloads_of(
        &self,
        within: Within<'_>,
        namespace: &str,
        kind: WorkloadKind,
        name: Option<&WorkloadName>,
    ) -> Result<Vec<Workload>, Error> {
        for resource in kind.resources() {
            let objects = match name {
                Some(name) if name.kind.is_some() => self
                    .get(within, resource, namespace, &name.name)
                    .map(|found| found.into_iter().collect()),
                _ => self.list(within, resource, namespace, &Selector::all()),
            };
            let objects = match objects {
                Ok(objects) => objects,
                // Another version may be known, or the definition of a custom kind is not there.
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let workload = |mut object: serde_json::Value| {
                // Lists leave it out.
                object["apiVersion"] = resource.api_version.as_ref().into();
                Workload { kind, object }
            };
            let workloads: Vec<Workload> = objects.into_iter().map(workload).collect();
            if !workloads.is_empty() {
                return Ok(workloads);
            }
        }
        Ok(Vec::new())
    }

    /// The one workload and container that a request means. Without a kind, what runs all the time is meant first; only when none of
    /// that is it, Rollouts, CronJobs and Jobs are looked through, as far as we may list them. Jobs are found by their names only:
    /// those of a CronJob have its containers.
    ///
    /// # Errors
    /// [`SetImageError::Cluster`], [`SetImageError::Find`], [`SetImageError::Elsewhere`].
    pub(super) fn find(
        &self,
        within: Within<'_>,
        request: &SetImage,
    ) -> Result<(Workload, Container), SetImageError> {
        let (name, namespace) = (request.workload.as_ref(), &request.namespace);
        let choose = |workloads| find(workloads, name, request.container.as_deref(), namespace);
        let wanted = name.and_then(|name| name.kind);
        if let Some(kind) = wanted {
            let workloads = self.workloads_of(within, namespace, kind, name)?;
            has_template(&workloads)?;
            return Ok(choose(workloads)?);
        }
        let mut workloads = Vec::new();
        for kind in COMMON_KINDS {
            workloads.extend(self.workloads_of(within, namespace, kind, name)?);
        }
        let absence = match choose(workloads.clone()) {
            Err(error) if error.is_absence() => error,
            found => return Ok(found?),
        };
        let mut others = Vec::new();
        for kind in OTHER_KINDS {
            match self.workloads_of(within, namespace, kind, name) {
                Ok(found) => others.extend(found),
                // Nobody said that it is one of these.
                Err(error) if error.is_refusal() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let named = |workload: &Workload| name.is_some_and(|name| name.name == workload.name());
        others.retain(|one| named(one) || one.kind != WorkloadKind::Job && !one.is_made());
        if others.is_empty() {
            return Err(absence.into());
        }
        if name.is_some() {
            let meant: Vec<Workload> = others.iter().filter(|one| named(one)).cloned().collect();
            has_template(&meant)?;
        }
        workloads.extend(others);
        Ok(choose(workloads)?)
    }
}

fn has_template(workloads: &[Workload]) -> Result<(), SetImageError> {
    for workload in workloads {
        if let Some(elsewhere) = workload.template_elsewhere() {
            return Err(SetImageError::Elsewhere {
                workload: workload.full_name(),
                elsewhere,
            });
        }
    }
    Ok(())
}
