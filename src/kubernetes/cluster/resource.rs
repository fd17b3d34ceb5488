//! Resources: what a kind of object is called in paths.

use std::borrow::Cow;

/// A kind of object, and where a server keeps those of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `v1`, `apps/v1`.
    pub api_version: Cow<'static, str>,
    /// `Deployment`.
    pub kind: Cow<'static, str>,
    /// `deployments`.
    pub plural: Cow<'static, str>,
    /// False for what belongs to the whole cluster.
    pub is_namespaced: bool,
}

impl Resource {
    /// One that is known when this is compiled.
    pub const fn known(
        api_version: &'static str,
        kind: &'static str,
        plural: &'static str,
        is_namespaced: bool,
    ) -> Self {
        Self {
            api_version: Cow::Borrowed(api_version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            is_namespaced,
        }
    }

    /// As permissions name it: `deployments.apps`, `pods`.
    pub fn full_name(&self) -> String {
        match self.api_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.to_string(),
        }
    }

    /// The path of its objects.
    pub(super) fn path(&self, namespace: &str) -> String {
        let root = match self.api_version.contains('/') {
            true => "/apis",
            false => "/api",
        };
        match self.is_namespaced {
            true => format!(
                "{root}/{}/namespaces/{}/{}",
                self.api_version,
                encoded(namespace),
                self.plural
            ),
            false => format!("{root}/{}/{}", self.api_version, self.plural),
        }
    }
}

/// Text as part of a path or a query (RFC 3986, 2.1): all but unreserved characters by their bytes.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            // Two dots alone would lead elsewhere.
            b'.' if text.bytes().any(|byte| byte != b'.') => encoded.push('.'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// `deployments.apps`.
pub static DEPLOYMENT: Resource = Resource::known("apps/v1", "Deployment", "deployments", true);
/// `statefulsets.apps`.
pub static STATEFUL_SET: Resource = Resource::known("apps/v1", "StatefulSet", "statefulsets", true);
/// `daemonsets.apps`.
pub static DAEMON_SET: Resource = Resource::known("apps/v1", "DaemonSet", "daemonsets", true);
/// `replicasets.apps`.
pub static REPLICA_SET: Resource = Resource::known("apps/v1", "ReplicaSet", "replicasets", true);
/// `controllerrevisions.apps`: the templates of StatefulSets and DaemonSets.
pub static CONTROLLER_REVISION: Resource =
    Resource::known("apps/v1", "ControllerRevision", "controllerrevisions", true);
/// `jobs.batch`.
pub static JOB: Resource = Resource::known("batch/v1", "Job", "jobs", true);
/// `cronjobs.batch`; the second is for servers before Kubernetes 1.21.
pub static CRON_JOBS: [Resource; 2] = [
    Resource::known("batch/v1", "CronJob", "cronjobs", true),
    Resource::known("batch/v1beta1", "CronJob", "cronjobs", true),
];
/// `rollouts.argoproj.io`: those of Argo Rollouts, where it is installed.
pub static ROLLOUT: Resource = Resource::known("argoproj.io/v1alpha1", "Rollout", "rollouts", true);
/// `pods`.
pub static POD: Resource = Resource::known("v1", "Pod", "pods", true);
/// `events`.
pub static EVENT: Resource = Resource::known("v1", "Event", "events", true);
/// `configmaps`.
pub static CONFIG_MAP: Resource = Resource::known("v1", "ConfigMap", "configmaps", true);
/// `namespaces`.
pub static NAMESPACE: Resource = Resource::known("v1", "Namespace", "namespaces", false);
/// `nodes`.
pub static NODE: Resource = Resource::known("v1", "Node", "nodes", false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api_and_cannot_be_left() {
        assert_eq!(
            DEPLOYMENT.path("shop"),
            "/apis/apps/v1/namespaces/shop/deployments"
        );
        assert_eq!(
            POD.path("a/../b?c"),
            "/api/v1/namespaces/a%2F..%2Fb%3Fc/pods"
        );
        assert_eq!(POD.path(".."), "/api/v1/namespaces/%2E%2E/pods");
        assert_eq!(NAMESPACE.path("ignored"), "/api/v1/namespaces");
        assert_eq!(DEPLOYMENT.full_name(), "deployments.apps");
        assert_eq!(POD.full_name(), "pods");
    }
}
