//! Workloads and the containers in them: finding the one that is meant. No cluster is asked here.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

pub use super::find::{FindError, find};
use super::{Resource, resource};
use crate::event::printable;

/// A kind of workload that has a template for pods.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `argoproj.io/v1alpha1` Rollout, of Argo Rollouts.
    Rollout,
    /// `batch` CronJob: its next run uses what is changed.
    CronJob,
    /// `batch/v1` Job: its template can never be changed.
    Job,
}

/// What runs all the time and every cluster has, in the order in which they are looked through.
pub const COMMON_KINDS: [WorkloadKind; 3] = [
    WorkloadKind::Deployment,
    WorkloadKind::StatefulSet,
    WorkloadKind::DaemonSet,
];
/// What is looked through when none of these is meant.
pub const OTHER_KINDS: [WorkloadKind; 3] = [
    WorkloadKind::Rollout,
    WorkloadKind::CronJob,
    WorkloadKind::Job,
];

impl WorkloadKind {
    /// Where servers keep them. A server knows the first of these, or only one of the others.
    pub fn resources(self) -> &'static [Resource] {
        match self {
            Self::Deployment => std::slice::from_ref(&resource::DEPLOYMENT),
            Self::StatefulSet => std::slice::from_ref(&resource::STATEFUL_SET),
            Self::DaemonSet => std::slice::from_ref(&resource::DAEMON_SET),
            Self::Rollout => std::slice::from_ref(&resource::ROLLOUT),
            Self::CronJob => &resource::CRON_JOBS,
            Self::Job => std::slice::from_ref(&resource::JOB),
        }
    }

    /// The kind by any name that kubectl knows it by: `deploy`, `Deployment`, `deployments.apps`, `sts`, `ds` …
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let groups = [".apps", ".batch", ".argoproj.io"];
        let mut short = groups.iter().filter_map(|group| name.strip_suffix(group));
        match short.next().unwrap_or(&name) {
            "deployment" | "deployments" | "deploy" => Some(Self::Deployment),
            "statefulset" | "statefulsets" | "sts" => Some(Self::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Some(Self::DaemonSet),
            "rollout" | "rollouts" | "ro" => Some(Self::Rollout),
            "cronjob" | "cronjobs" | "cj" => Some(Self::CronJob),
            "job" | "jobs" => Some(Self::Job),
            _ => None,
        }
    }

    /// The group of its `apiVersion`.
    pub fn group(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps",
            Self::Rollout => "argoproj.io",
            Self::CronJob | Self::Job => "batch",
        }
    }

    /// Where the specification of its pods is: the keys on the way.
    pub fn pod_spec(self) -> &'static [&'static str] {
        match self {
            Self::CronJob => &["spec", "jobTemplate", "spec", "template", "spec"],
            _ => &["spec", "template", "spec"],
        }
    }
}

impl fmt::Display for WorkloadKind {
    /// In small letters, as kubectl shows it: `deployment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
            Self::Rollout => "rollout",
            Self::CronJob => "cronjob",
            Self::Job => "job",
        })
    }
}

/// A workload as a person names it: `KIND/NAME` or `NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// The kind, if it was named.
    pub kind: Option<WorkloadKind>,
    /// The name.
    pub name: String,
}

impl FromStr for WorkloadName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => {
                let known = WorkloadKind::named(kind);
                let kind = known.ok_or_else(|| {
                    format!(
                        "`{}` is no kind of workload: use deployment, statefulset, daemonset, rollout or cronjob",
                        printable(kind)
                    )
                })?;
                (Some(kind), name)
            }
        };
        // DNS-1123 subdomain: what the API server allows.
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            });
        match is_name {
            true => Ok(Self {
                kind,
                name: name.to_owned(),
            }),
            false => Err(format!(
                "`{}` is no name of a workload: expected NAME or KIND/NAME",
                printable(name)
            )),
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{kind}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A workload as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// The whole object.
    pub object: Value,
}

/// One container of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// True for one that runs before the others (`initContainers`).
    pub is_init: bool,
    /// Its image as it stands there; empty when it has none.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`; nothing where the server has not filled it in.
    pub pull_policy: Option<String>,
}

impl Workload {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// As a person would name it, kind included.
    pub fn full_name(&self) -> WorkloadName {
        WorkloadName {
            kind: Some(self.kind),
            name: self.name().to_owned(),
        }
    }

    /// The containers of its template, those that run before the others last.
    pub fn containers(&self) -> Vec<Container> {
        let spec = self.kind.pod_spec().iter();
        let spec = spec.fold(&self.object, |value, key| &value[*key]);
        let of = |key: &str, is_init: bool| -> Vec<Container> {
            let containers = spec[key].as_array().into_iter().flatten();
            let container = |container: &Value| Container {
                name: container["name"].as_str().unwrap_or_default().to_owned(),
                is_init,
                image: container["image"].as_str().unwrap_or_default().to_owned(),
                pull_policy: container["imagePullPolicy"].as_str().map(str::to_owned),
            };
            containers.map(container).collect()
        };
        [of("containers", false), of("initContainers", true)].concat()
    }

    /// Where the server has it.
    pub fn resource(&self) -> &'static Resource {
        let version = self.object["apiVersion"].as_str().unwrap_or_default();
        let resources = self.kind.resources();
        let is_it = |resource: &&Resource| resource.api_version == version;
        resources.iter().find(is_it).unwrap_or(&resources[0])
    }

    /// The workload from which it takes its pods, where it has no template of its own (`workloadRef` of a Rollout).
    pub fn template_elsewhere(&self) -> Option<String> {
        let elsewhere = self.object["spec"]["workloadRef"].as_object()?;
        let text = |key: &str| elsewhere.get(key).and_then(Value::as_str).map(printable);
        let kind = text("kind").unwrap_or_default().to_lowercase();
        Some(format!("{kind}/{}", text("name").unwrap_or_default()))
    }

    /// True when it is a CronJob that starts nothing.
    pub fn is_suspended(&self) -> bool {
        self.object["spec"]["suspend"].as_bool() == Some(true)
    }

    /// True when something else made it, such as a CronJob its Jobs.
    pub fn is_made(&self) -> bool {
        let owners = self.object["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
    }

    /// True when its rollout has been stopped by hand (`kubectl rollout pause`).
    pub fn is_paused(&self) -> bool {
        self.object["spec"]["paused"].as_bool() == Some(true)
    }

    /// How its first deployment ended before it was complete, if that is so ([`super::set_image::INCOMPLETE`]).
    pub fn incomplete(&self) -> Option<String> {
        let annotations = &self.object["metadata"]["annotations"];
        annotations[super::set_image::INCOMPLETE]
            .as_str()
            .map(printable)
    }

    /// What keeps it as something else says, and would undo a change: `the HelmRelease shop/web of Flux`.
    pub fn manager(&self) -> Option<String> {
        let labels = &self.object["metadata"]["labels"];
        let label = |name: &str| labels[name].as_str().map(printable);
        let of_flux = |kind: &str, group: &str| {
            let name = label(&format!("{group}/name"))?;
            let namespace = label(&format!("{group}/namespace")).unwrap_or_default();
            Some(format!("the {kind} `{namespace}/{name}` of Flux"))
        };
        let argo =
            self.object["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"].as_str();
        of_flux("HelmRelease", "helm.toolkit.fluxcd.io")
            .or_else(|| of_flux("Kustomization", "kustomize.toolkit.fluxcd.io"))
            .or_else(|| {
                Some(format!(
                    "the application `{}` of Argo CD",
                    printable(argo?.split(':').next()?)
                ))
            })
    }
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
