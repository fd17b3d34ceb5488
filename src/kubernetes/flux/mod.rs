//! Flux is asked to look at its sources now, without its program: an annotation asks, the status answers.
//!
//! Everything here is about JSON objects; `kubernetes::watch` sends and reads them.
//!
//! # Spec
//! `reference/path-to-production.md` §1.6, *Reconciling without the `flux` binary*; `fluxcd/pkg/apis/meta`,
//! `reconcile_requests.go`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::object::{condition, count, is_true, items, label, shown, text};

/// The annotation that asks. Its value only has to be another one than before; it is a time by convention.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The kinds of object that Flux is asked to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A release of a Helm chart.
    HelmRelease,
    /// A directory of manifests.
    Kustomization,
    /// A chart that was fetched for a HelmRelease.
    HelmChart,
    /// A source: an image with manifests or a chart in it.
    OciRepository,
    /// A source.
    GitRepository,
    /// A source.
    Bucket,
    /// A source of charts.
    HelmRepository,
}

impl Kind {
    /// As manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HelmRelease => "HelmRelease",
            Self::Kustomization => "Kustomization",
            Self::HelmChart => "HelmChart",
            Self::OciRepository => "OCIRepository",
            Self::GitRepository => "GitRepository",
            Self::Bucket => "Bucket",
            Self::HelmRepository => "HelmRepository",
        }
    }

    /// As paths of the API have it.
    pub fn plural(self) -> &'static str {
        match self {
            Self::HelmRelease => "helmreleases",
            Self::Kustomization => "kustomizations",
            Self::HelmChart => "helmcharts",
            Self::OciRepository => "ocirepositories",
            Self::GitRepository => "gitrepositories",
            Self::Bucket => "buckets",
            Self::HelmRepository => "helmrepositories",
        }
    }

    /// The versions in which a cluster may have it, newest first.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::HelmRelease => &[
                "helm.toolkit.fluxcd.io/v2",
                "helm.toolkit.fluxcd.io/v2beta2",
                "helm.toolkit.fluxcd.io/v2beta1",
            ],
            Self::Kustomization => &[
                "kustomize.toolkit.fluxcd.io/v1",
                "kustomize.toolkit.fluxcd.io/v1beta2",
            ],
            _ => &[
                "source.toolkit.fluxcd.io/v1",
                "source.toolkit.fluxcd.io/v1beta2",
            ],
        }
    }

    fn of_manifest(name: &str) -> Option<Self> {
        let all = [
            Self::HelmRelease,
            Self::Kustomization,
            Self::HelmChart,
            Self::OciRepository,
            Self::GitRepository,
            Self::Bucket,
            Self::HelmRepository,
        ];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// An object of Flux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Where it is; that of the workload when empty.
    pub namespace: String,
    /// What it is called.
    pub name: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name().to_ascii_lowercase(), self.name)
    }
}

/// Why a text names nothing that Flux can be asked to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an object of Flux: expected `helmrelease/NAME` or `kustomization/NAME`")]
pub struct TargetError {
    /// As it was given.
    pub text: String,
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `helmrelease/NAME` or `kustomization/NAME`, also with Flux's short names `hr` and `ks`, and with the
    /// namespace in the middle: `helmrelease/NAMESPACE/NAME`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refuse = || TargetError {
            text: text.chars().take(200).collect(),
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, "", name),
            [kind, namespace, name] if !namespace.is_empty() => (kind, namespace, name),
            _ => return Err(refuse()),
        };
        let kind = match kind.to_ascii_lowercase().as_str() {
            "helmrelease" | "helmreleases" | "hr" => Kind::HelmRelease,
            "kustomization" | "kustomizations" | "ks" => Kind::Kustomization,
            _ => return Err(refuse()),
        };
        if name.is_empty() {
            return Err(refuse());
        }
        Ok(Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Who keeps a workload as it is, by the labels that Flux puts on whatever it applies. A chart's HelmRelease comes
/// before the Kustomization that may have applied the HelmRelease itself.
pub fn owner(workload: &Value) -> Option<Target> {
    let of = |kind: Kind, group: &str| {
        let name = label(workload, &format!("{group}/name"));
        let namespace = label(workload, &format!("{group}/namespace"));
        (!name.is_empty()).then(|| Target {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    };
    of(Kind::HelmRelease, "helm.toolkit.fluxcd.io")
        .or_else(|| of(Kind::Kustomization, "kustomize.toolkit.fluxcd.io"))
}

/// Where an object has its chart or its manifests from: `--with-source`. `namespace` is the object's own.
///
/// # Spec
/// HelmRelease `v2`: `spec.chartRef`, else the HelmChart `NAMESPACE-NAME` in the namespace of its repository;
/// Kustomization `v1`: `spec.sourceRef`.
pub fn source(kind: Kind, object: &Value, namespace: &str) -> Option<Target> {
    let or_own = |given: &str| match given {
        "" => namespace.to_owned(),
        given => given.to_owned(),
    };
    let reference = |place: &str| {
        let at = |key: &str| text(object, &format!("{place}/{key}"));
        let kind = Kind::of_manifest(at("kind"))?;
        (!at("name").is_empty()).then(|| Target {
            kind,
            namespace: or_own(at("namespace")),
            name: at("name").to_owned(),
        })
    };
    match kind {
        Kind::HelmRelease => reference("/spec/chartRef").or_else(|| {
            object.pointer("/spec/chart")?;
            let name = text(object, "/metadata/name");
            Some(Target {
                kind: Kind::HelmChart,
                namespace: or_own(text(object, "/spec/chart/spec/sourceRef/namespace")),
                name: format!("{namespace}-{name}"),
            })
        }),
        Kind::Kustomization => reference("/spec/sourceRef"),
        _ => None,
    }
}

/// True for an object that Flux was told to leave alone.
pub fn is_suspended(object: &Value) -> bool {
    is_true(object, "/spec/suspend")
}

/// The patch (RFC 7386) that asks. `at` is a time, RFC 3339 with nanoseconds.
pub fn request(at: &str) -> Value {
    json!({"metadata": {"annotations": {REQUESTED_AT: at}}})
}

/// What was handled last, before we asked.
pub fn handled(object: &Value) -> &str {
    text(object, "/status/lastHandledReconcileAt")
}

/// What an object says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not decided yet; why.
    Pending(String),
    /// It is applied.
    Ready,
    /// It could not be applied; what Flux says.
    Failed(String),
}

/// Reads the answer to the request made at `asked`, when `before` was the one handled last.
///
/// Somebody else may have asked after us: then theirs is handled, and ours never; any later one than `before` will do.
pub fn answer(object: &Value, asked: &str, before: &str) -> Answer {
    let handled = handled(object);
    if handled != asked && (handled.is_empty() || handled == before) {
        return Answer::Pending("Flux has not taken the request yet".to_owned());
    }
    let generation = count(object, "/metadata/generation");
    if count(object, "/status/observedGeneration") < generation {
        return Answer::Pending(format!("Flux has not seen generation {generation} yet"));
    }
    let Some(ready) = condition(object, "Ready") else {
        return Answer::Pending("Flux has not decided yet".to_owned());
    };
    let told = [text(ready, "/reason"), text(ready, "/message")];
    let told: Vec<String> = told
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(shown)
        .collect();
    let told = told.join(": ");
    match text(ready, "/status") {
        "True" => Answer::Ready,
        "False" if !is_under_way(object) => Answer::Failed(told),
        _ => Answer::Pending(format!("Flux is at work: {told}")),
    }
}

/// True while Flux says that it is still trying.
fn is_under_way(object: &Value) -> bool {
    let conditions = items(object, "/status/conditions");
    conditions
        .iter()
        .any(|one| text(one, "/type") == "Reconciling" && text(one, "/status") == "True")
}

#[cfg(test)]
mod tests;
