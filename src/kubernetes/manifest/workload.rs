//! What runs containers, by content.

use std::fmt;
use std::str::FromStr;

use super::super::document::Tree;
use crate::reference::{DEFAULT_TAG, Reference};
use crate::yaml::{MOST_NODES, Node};

/// A workload of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind and name.
    pub name: WorkloadName,
    /// Its namespace, if it is written.
    pub namespace: Option<String>,
    /// Which document of the text it is in, from 0.
    pub document: usize,
    /// The line at which it begins, from 1.
    pub line: usize,
    /// Its containers in the order of the text; those of the initialisation have `is_init`.
    pub containers: Vec<Container>,
}

/// A container of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its image as it is written, if it is.
    pub image: Option<String>,
    /// When its image is pulled.
    pub pull_policy: PullPolicy,
    /// True for one of `initContainers`.
    pub is_init: bool,
    /// The line at which it begins, from 1.
    pub line: usize,
}

/// `imagePullPolicy` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullPolicy(pub Option<String>);

impl PullPolicy {
    /// True when a node asks the registry for this image each time: the policy is `Always`, or there is none and the tag
    /// is `latest`. An image that was loaded into a node cannot be used then.
    ///
    /// # Spec
    /// Kubernetes, *Images*, *Default image pull policy*.
    pub fn always_pulls(&self, image: &Reference) -> bool {
        match self.0.as_deref() {
            Some(policy) => policy == "Always",
            None => image.digest().is_none() && image.tag().is_none_or(|tag| tag == DEFAULT_TAG),
        }
    }
}

/// A kind and a name: `Deployment/web`. Compared without regard to the case of the kind, and with its short forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// The kind as it is written: `Deployment`; empty in a wish for any kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl WorkloadName {
    /// True when this, as a person wrote it (`deployment/web`, `deploy/web`, `web`), means the workload.
    pub fn means(&self, workload: &Self) -> bool {
        let is_kind =
            self.kind.is_empty() || kind_of(&self.kind).eq_ignore_ascii_case(&workload.kind);
        is_kind && self.name == workload.name
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.is_empty() {
            true => f.write_str(&self.name),
            false => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// Why a text names no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` names no workload: expected `KIND/NAME`, such as `deployment/web`, or `NAME`", crate::event::printable(.0))]
pub struct NameError(String);

impl FromStr for WorkloadName {
    type Err = NameError;

    /// `KIND/NAME` or `NAME`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (kind, name) = text.split_once('/').unwrap_or(("", text));
        let is_kind = !text.contains('/')
            || KINDS
                .iter()
                .any(|(known, ..)| kind_of(kind).eq_ignore_ascii_case(known));
        match name.is_empty() || name.contains('/') || !is_kind {
            true => Err(NameError(text.to_owned())),
            false => Ok(Self {
                kind: kind.to_owned(),
                name: name.to_owned(),
            }),
        }
    }
}

/// A kind, the short forms that `kubectl` takes for it, its group without version, and where its pods are described.
type Kind = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const IN_TEMPLATE: &[&str] = &["spec", "template", "spec"];
const KINDS: [Kind; 9] = [
    (
        "Deployment",
        &["deploy", "deployments"],
        &["apps", "extensions"],
        IN_TEMPLATE,
    ),
    (
        "StatefulSet",
        &["sts", "statefulsets"],
        &["apps"],
        IN_TEMPLATE,
    ),
    (
        "DaemonSet",
        &["ds", "daemonsets"],
        &["apps", "extensions"],
        IN_TEMPLATE,
    ),
    (
        "ReplicaSet",
        &["rs", "replicasets"],
        &["apps", "extensions"],
        IN_TEMPLATE,
    ),
    (
        "ReplicationController",
        &["rc", "replicationcontrollers"],
        &[""],
        IN_TEMPLATE,
    ),
    ("Job", &["jobs"], &["batch"], IN_TEMPLATE),
    (
        "CronJob",
        &["cj", "cronjobs"],
        &["batch"],
        &["spec", "jobTemplate", "spec", "template", "spec"],
    ),
    ("Pod", &["po", "pods"], &[""], &["spec"]),
    ("Rollout", &["rollouts"], &["argoproj.io"], IN_TEMPLATE),
];

/// A kind without its short forms; as it is if it is none of ours.
fn kind_of(text: &str) -> &str {
    let is_short = |short: &&str| short.eq_ignore_ascii_case(text);
    let known = KINDS
        .iter()
        .find(|(_, shorts, ..)| shorts.iter().any(is_short));
    known.map_or(text, |(kind, ..)| kind)
}

/// A workload where it stands.
pub(super) struct Standing<'d> {
    pub(super) workload: Workload,
    /// The mappings of its containers, in the same order.
    pub(super) containers: Vec<&'d Node>,
    /// What must be plain text for it to be what it seems: its kind, names, images.
    pub(super) relied_on: Vec<&'d Node>,
}

/// How deep lists may lie in lists.
const MOST_LISTS: usize = 4;

/// A text has more objects and containers than there can be without aliases of aliases.
pub(super) struct TooMany;

/// How many more objects and containers of a text are looked at: no more than a text can have values, for aliases make
/// any number of them from a few.
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MOST_NODES)
    }
}

impl Room {
    fn take(&mut self) -> Result<(), TooMany> {
        self.0 = self.0.checked_sub(1).ok_or(TooMany)?;
        Ok(())
    }
}

/// The workloads of one document.
pub(super) fn of_document<'d>(
    tree: &Tree<'d>,
    root: &'d Node,
    document: usize,
    room: &mut Room,
) -> Result<Vec<Standing<'d>>, TooMany> {
    let mut found = Vec::new();
    add(tree, root, document, MOST_LISTS, room, &mut found)?;
    Ok(found)
}

fn add<'d>(
    tree: &Tree<'d>,
    object: &'d Node,
    document: usize,
    depth: usize,
    room: &mut Room,
    found: &mut Vec<Standing<'d>>,
) -> Result<(), TooMany> {
    room.take()?;
    let text = |key: &str| tree.entry(object, key).and_then(|(_, value)| value.text());
    let kind = text("kind").unwrap_or_default();
    if kind.ends_with("List") && depth > 0 {
        if let Some(items) = tree.at(object, &["items"]) {
            for item in tree.items(items) {
                add(tree, item, document, depth - 1, room, found)?;
            }
        }
        return Ok(());
    }
    let group =
        text("apiVersion").map(|version| version.rsplit_once('/').map_or("", |(group, _)| group));
    let known = KINDS.iter().find(|(known, _, groups, _)| {
        *known == kind && group.is_none_or(|group| groups.contains(&group))
    });
    let Some(pod) = known.and_then(|(.., path)| tree.at(object, path)) else {
        return Ok(());
    };
    let metadata = |key: &str| tree.at(object, &["metadata", key]);
    let name = metadata("name").or_else(|| metadata("generateName"));
    let namespace = metadata("namespace");
    let mut standing = Standing {
        workload: Workload {
            name: WorkloadName {
                kind: kind.to_owned(),
                name: name.and_then(Node::text).unwrap_or_default().to_owned(),
            },
            namespace: namespace
                .filter(|node| !node.is_null())
                .and_then(Node::text)
                .map(str::to_owned),
            document,
            line: object.line,
            containers: Vec::new(),
        },
        containers: Vec::new(),
        relied_on: name.into_iter().chain(namespace).collect(),
    };
    for (key, is_init) in [("containers", false), ("initContainers", true)] {
        let Some(list) = tree.at(pod, &[key]) else {
            continue;
        };
        for container in tree.items(list) {
            room.take()?;
            let value = |key: &str| tree.entry(container, key).map(|(_, value)| value);
            let text = |key: &str| {
                value(key)
                    .filter(|node| !node.is_null())
                    .and_then(Node::text)
            };
            standing.workload.containers.push(Container {
                name: text("name").unwrap_or_default().to_owned(),
                image: text("image")
                    .filter(|image| !image.is_empty())
                    .map(str::to_owned),
                pull_policy: PullPolicy(text("imagePullPolicy").map(str::to_owned)),
                is_init,
                line: container.line,
            });
            standing.containers.push(container);
            standing
                .relied_on
                .extend(["name", "image"].into_iter().filter_map(value));
        }
    }
    if !standing.containers.is_empty() {
        standing.workload.containers.shrink_to_fit();
        found.push(standing);
    }
    Ok(())
}
