//! Several objects that belong together: asked about before any of them is made, and applied in an order in which each finds what
//! it needs. The workload that is meant comes last, so that it is there only when everything else is.
//!
//! # Spec
//! The order is that in which Helm installs kinds (`InstallOrder`). Defaults are those of the API reference of `v1`: the
//! `protocol` of a port is `TCP`.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Applied, Cluster, Done, Error, Resource, Within, resource};

/// How often is looked whether a definition that was just applied is known.
const POLL: Duration = Duration::from_millis(100);

/// Kinds that others need, first things first.
const BEFORE: [&str; 24] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    DEFINITION,
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
];
/// Kinds that start pods; they come after whatever else there is.
const WORKLOADS: [&str; 8] = [
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "StatefulSet",
    "Job",
    "CronJob",
];
const DEFINITION: &str = "CustomResourceDefinition";

/// Where applying several objects stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Stopped {
    /// Why.
    pub error: Error,
    /// What had been applied until then, in earnest.
    pub applied: Vec<Applied>,
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self {
            error,
            applied: Vec::new(),
        }
    }
}

impl Cluster {
    /// Applies objects that belong together, as [`Cluster::apply`] does each.
    ///
    /// The server is first asked to go through all of them without keeping any, so that what it would refuse stops everything. What
    /// lies in a namespace, or is of a kind, that these very objects make cannot be asked about before that is there: it is asked
    /// about as soon as it is. Workloads come after everything else, and `last` after them.
    ///
    /// `within` gives the time of one question each time it is called.
    ///
    /// # Errors
    /// [`Stopped`], with what there is in the cluster already: nothing, where the server refused one of them.
    pub fn apply_all<'w, 'l>(
        &self,
        within: impl Fn() -> Within<'w>,
        objects: &[Value],
        last: impl IntoIterator<Item = &'l Value>,
        is_dry_run: bool,
    ) -> Result<Vec<Applied>, Stopped> {
        let last: Vec<&Value> = last.into_iter().collect();
        let mut ordered: Vec<(usize, Value)> = objects
            .iter()
            .map(|object| (rank(object, &last), with_defaults(object)))
            .collect();
        // Those of one rank stay in the order of the files.
        ordered.sort_by_key(|(rank, _)| *rank);
        let ordered: Vec<Value> = ordered.into_iter().map(|(_, object)| object).collect();
        let mut awaited = Vec::new();
        let mut planned = Vec::new();
        for object in &ordered {
            if self.has_to_wait(&within, object, &ordered)? {
                awaited.push(object);
                planned.push(self.to_be_created(object));
            } else {
                planned.extend(self.rehearse(within(), object)?);
            }
        }
        if is_dry_run {
            return Ok(planned);
        }
        let mut applied = Vec::new();
        // What others wait for, and then what these would be.
        let (grounds, others): (Vec<&Value>, Vec<&Value>) =
            ordered.iter().partition(|object| is_ground(object));
        let work = || -> Result<(), Error> {
            for object in grounds {
                applied.push(self.apply(within(), object, false)?);
            }
            for object in awaited.iter().filter(|object| !is_ground(object)) {
                self.await_kind(within(), object)?;
                self.rehearse(within(), object)?;
            }
            for object in others {
                applied.push(self.apply(within(), object, false)?);
            }
            Ok(())
        };
        match work() {
            Ok(()) => Ok(applied),
            Err(error) => Err(Stopped { error, applied }),
        }
    }

    /// What applying would do; nothing where a webhook of the cluster does not let itself be asked.
    fn rehearse(&self, within: Within<'_>, object: &Value) -> Result<Option<Applied>, Error> {
        match self.apply(within, object, true) {
            Ok(applied) => Ok(Some(applied)),
            Err(Error::Invalid { reason, .. }) if reason.contains("does not support dry run") => {
                Ok(Some(self.to_be_created(object)))
            }
            Err(error) => Err(error),
        }
    }

    /// True for what lies in a namespace, or is of a kind, that is among `all` and not in the cluster.
    fn has_to_wait<'w>(
        &self,
        within: &impl Fn() -> Within<'w>,
        object: &Value,
        all: &[Value],
    ) -> Result<bool, Error> {
        if all.iter().any(|other| defines(other, object)) {
            let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
            match self.resource_of(within(), version, kind) {
                Ok(_) => {}
                Err(Error::NotFound { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        let namespace = self.namespace_for(object);
        let is_made = |other: &Value| {
            text(&other["kind"]) == "Namespace" && text(&other["metadata"]["name"]) == namespace
        };
        if is_ground(object) || !all.iter().any(is_made) {
            return Ok(false);
        }
        Ok(self
            .get(within(), &resource::NAMESPACE, "", namespace)?
            .is_none())
    }

    /// Waits until the server knows the kind of an object whose definition was just applied.
    fn await_kind(&self, within: Within<'_>, object: &Value) -> Result<Resource, Error> {
        loop {
            let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
            match self.resource_of(within, version, kind) {
                Err(Error::NotFound { .. }) if Instant::now() + POLL < within.deadline => {
                    std::thread::sleep(POLL);
                }
                found => return found,
            }
        }
    }

    fn namespace_for<'o>(&'o self, object: &'o Value) -> &'o str {
        match text(&object["metadata"]["namespace"]) {
            "" => self.namespace(),
            own => own,
        }
    }

    fn to_be_created(&self, object: &Value) -> Applied {
        Applied {
            kind: text(&object["kind"]).to_owned(),
            name: text(&object["metadata"]["name"]).to_owned(),
            namespace: self.namespace_for(object).to_owned(),
            done: Done::Created,
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What other objects cannot even be asked about without.
fn is_ground(object: &Value) -> bool {
    matches!(text(&object["kind"]), "Namespace" | DEFINITION)
}

/// True when `definition` defines the kind of `object`.
fn defines(definition: &Value, object: &Value) -> bool {
    let spec = &definition["spec"];
    let group = text(&object["apiVersion"]).split('/').next();
    text(&definition["kind"]) == DEFINITION
        && group == spec["group"].as_str()
        && object["kind"] == spec["names"]["kind"]
}

fn rank(object: &Value, last: &[&Value]) -> usize {
    let kind = text(&object["kind"]);
    let place = |kinds: &[&str]| kinds.iter().position(|known| *known == kind);
    match (place(&BEFORE), place(&WORKLOADS)) {
        _ if last.contains(&object) => usize::MAX,
        (Some(place), _) => place,
        (None, Some(place)) => BEFORE.len() + 1 + place,
        (None, None) => BEFORE.len(),
    }
}

/// With the `protocol` of ports, which is a part of their identity: server-side apply of Kubernetes 1.20 fails without it, and
/// `kubectl apply` takes the same file.
fn with_defaults(object: &Value) -> Value {
    let mut object = object.clone();
    let spec = match text(&object["kind"]) {
        "Service" => {
            if let Some(ports) = object.pointer_mut("/spec/ports") {
                set_protocol(ports);
            }
            return object;
        }
        "Pod" => object.pointer_mut("/spec"),
        "CronJob" => object.pointer_mut("/spec/jobTemplate/spec/template/spec"),
        _ => object.pointer_mut("/spec/template/spec"),
    };
    let Some(spec) = spec.filter(|spec| spec.is_object()) else {
        return object;
    };
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(ports) = container.get_mut("ports") {
                set_protocol(ports);
            }
        }
    }
    object
}

fn set_protocol(ports: &mut Value) {
    for port in ports.as_array_mut().into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.entry("protocol").or_insert_with(|| "TCP".into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_need_comes_first_and_what_is_meant_last() {
        let of = |kind: &str| json!({"kind": kind, "metadata": {"name": "x"}});
        let meant = json!({"kind": "Deployment", "metadata": {"name": "meant"}});
        let mut objects = [
            meant.clone(),
            of("Job"),
            of("Ingress"),
            of("Deployment"),
            of("Service"),
            of("ConfigMap"),
            of("Namespace"),
        ];
        objects.sort_by_key(|object| rank(object, &[&meant]));
        let kinds: Vec<&str> = objects.iter().map(|object| text(&object["kind"])).collect();
        assert_eq!(
            kinds,
            [
                "Namespace",
                "ConfigMap",
                "Service",
                "Ingress",
                "Deployment",
                "Job",
                "Deployment"
            ]
        );
        assert_eq!(objects[6], meant);
    }

    #[test]
    fn ports_get_the_protocol_that_they_have_by_default_and_nothing_else_changes() {
        let ports = json!([{"port": 80}, {"port": 53, "protocol": "UDP"}]);
        let done = with_defaults(&json!({"kind": "Service", "spec": {"ports": ports}}));
        assert_eq!(
            done["spec"]["ports"],
            json!([{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}])
        );
        let pod =
            json!({"containers": [{"name": "a", "ports": [{"containerPort": 1}]}, {"name": "b"}]});
        let with = json!({"containers": [
            {"name": "a", "ports": [{"containerPort": 1, "protocol": "TCP"}]}, {"name": "b"},
        ]});
        for (kind, path) in [
            ("Pod", "/spec"),
            ("Deployment", "/spec/template/spec"),
            ("CronJob", "/spec/jobTemplate/spec/template/spec"),
        ] {
            let object = path.rsplit('/').filter(|part| !part.is_empty());
            let object = object.fold(pod.clone(), |inner, part| json!({part: inner}));
            let mut object = object;
            object["kind"] = kind.into();
            assert_eq!(with_defaults(&object).pointer(path), Some(&with), "{kind}");
        }
        for same in [
            json!({"kind": "ConfigMap", "data": {"a": "b"}}),
            json!({"kind": "Service", "spec": {"ports": null}}),
            json!({"kind": "Deployment", "spec": {"template": 1}}),
        ] {
            assert_eq!(with_defaults(&same), same);
        }
    }

    #[test]
    fn a_definition_is_known_by_group_and_kind() {
        let definition = json!({
            "kind": DEFINITION, "spec": {"group": "example.com", "names": {"kind": "Web"}},
        });
        let of = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind});
        assert!(defines(&definition, &of("example.com/v1", "Web")));
        assert!(!defines(&definition, &of("example.org/v1", "Web")));
        assert!(!defines(&definition, &of("example.com/v1", "Wep")));
    }
}
