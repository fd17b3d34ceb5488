//! A record as it is read: what several lines say together.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::process::Process;
use super::time;
use crate::digest::Digest;
use crate::project::Operation;
use crate::source::redact;

/// How many letters an id has.
const ID_LETTERS: usize = 20;

/// The name of a record: 20 letters from `k` to `z`, so that it is never taken for a number. It is random, so a few of
/// its first letters name it too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// A new one.
    pub(super) fn random() -> Result<Self, crate::fs::Error> {
        let mut bytes = [0_u8; ID_LETTERS];
        let mut filled = 0;
        while filled < bytes.len() {
            let flags = rustix::rand::GetRandomFlags::empty();
            filled += rustix::rand::getrandom(&mut bytes[filled..], flags).map_err(|errno| {
                crate::fs::Error::new("read random bytes for", "a record", errno.into())
            })?;
        }
        Ok(Self(
            bytes.iter().map(|b| char::from(b'k' + b % 16)).collect(),
        ))
    }

    /// Its letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first letters, as lists show it.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    // It becomes a file name: nothing but our letters may be in it.
    fn try_from(text: String) -> Result<Self, String> {
        let is_id = text.len() == ID_LETTERS && text.bytes().all(|b| (b'k'..=b'z').contains(&b));
        match is_id {
            true => Ok(Self(text)),
            false => Err("the id is not 20 letters from k to z".to_owned()),
        }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is under way.
    Running,
    /// It was done.
    Success,
    /// It failed.
    Error,
    /// It was stopped, or its process is gone.
    Interrupted,
}

impl State {
    /// As filters and JSON name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Where a deployment was put: all that is needed to do the same with another digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Target {
    /// Into files.
    Manifests {
        /// The files of the project, relative to its root; in records of older versions all files, absolute.
        #[serde(default)]
        files: Vec<String>,
        /// The files outside of the project, absolute.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outside: Vec<String>,
        /// The container in them; none in a kustomization.
        container: Option<String>,
        /// The workload in them, `KIND/NAME` or `NAME`; none in a kustomization.
        workload: Option<String>,
        /// The workload's namespace, where the file names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Whether containers of the initialisation are meant too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        init_containers: bool,
        /// In a kustomization, what the manifests below it call the image: the `name` of the entry in `images`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_image: Option<String>,
    },
    /// To a cluster through its API.
    Cluster {
        /// The context of the kubeconfig; none for the one that is current, or inside a pod.
        context: Option<String>,
        /// The namespace.
        namespace: String,
        /// `KIND/NAME`.
        workload: String,
        /// The container.
        container: String,
    },
    /// To a local cluster by its loader.
    Loader {
        /// As for `--to`: `k3d`, `kind`, `archive:FILE`.
        destination: String,
    },
    /// A kind that only a newer overcoat knows.
    #[serde(other)]
    Unknown,
}

/// How the cluster of [`Target::Cluster`] was reached: a context of the same name may lead elsewhere on another day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The API server, `https://HOST:PORT`, without credentials.
    pub server: String,
    /// The kubeconfig that was named for it, relative to the project's root or absolute; none for the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
}

/// What becomes known of an operation, at its beginning or later. Later facts replace earlier ones; those that are not
/// said again stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The image as it is referred to, without digest: `ghcr.io/acme/web:v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What a puller of the image gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The image that a deployment replaced, with its digest if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Where a deployment was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Where else the same deployment was put: the manifests, when [`Self::target`] is the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Target>,
    /// How the cluster of [`Self::target`] was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The records that this one follows from, one of a kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<Operation, Id>,
    /// Whatever else a command has to say, in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub results: BTreeMap<String, String>,
}

impl Facts {
    /// Adds what is known later.
    pub fn add(&mut self, later: Self) {
        self.image = later.image.or(self.image.take());
        self.digest = later.digest.or(self.digest.take());
        self.previous = later.previous.or(self.previous.take());
        self.target = later.target.or(self.target.take());
        if !later.also.is_empty() {
            self.also = later.also;
        }
        self.endpoint = later.endpoint.or(self.endpoint.take());
        self.links.extend(later.links);
        self.results.extend(later.results);
    }

    /// Everywhere that a deployment was put: files first, as it was done.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.also.iter().chain(&self.target)
    }

    /// The same without what may not be written.
    pub(super) fn clean(mut self) -> Self {
        self.image = self.image.as_deref().map(redact);
        self.previous = self.previous.as_deref().map(redact);
        for value in self.results.values_mut() {
            *value = redact(value);
        }
        self
    }
}

/// An operation that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its name.
    pub id: Id,
    /// Its number among those of the same application and kind, from 1.
    pub sequence: u64,
    /// What was done.
    pub operation: Operation,
    /// To which application.
    pub application: String,
    /// In which environment.
    pub environment: String,
    /// How it stands.
    pub state: State,
    /// When it began.
    #[serde(with = "time")]
    pub started: SystemTime,
    /// When it ended; none while it runs, and for one whose process is gone.
    #[serde(with = "time::perhaps")]
    pub finished: Option<SystemTime>,
    /// Why it failed; with [`State::Success`], what failed afterwards.
    pub error: Option<String>,
    /// The name of the machine.
    pub host: String,
    /// Who did it.
    pub user: String,
    /// The process that did it.
    pub process: Process,
    /// The commit of the source.
    pub commit: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The image, and what else became known.
    #[serde(flatten)]
    pub facts: Facts,
}

impl Record {
    /// The record of that kind which this one follows from.
    pub fn link(&self, operation: Operation) -> Option<&Id> {
        self.facts.links.get(&operation)
    }

    /// The image with its digest: `ghcr.io/acme/web:v1@sha256:…`, or what is known of it.
    pub fn image(&self) -> Option<String> {
        match (&self.facts.image, &self.facts.digest) {
            (Some(image), Some(digest)) => Some(format!("{image}@{digest}")),
            (Some(image), None) => Some(image.clone()),
            (None, digest) => digest.as_ref().map(ToString::to_string),
        }
    }

    /// `web/deploy/7`: what names it for people.
    pub fn title(&self) -> String {
        let operation = name_of(self.operation);
        format!("{}/{operation}/{}", self.application, self.sequence)
    }
}

/// An operation as records, filters and variables name it.
pub fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Build => "build",
        Operation::Push => "push",
        Operation::Promote => "promote",
        Operation::Deploy => "deploy",
        Operation::Watch => "watch",
        Operation::Release => "release",
    }
}

/// The operation of that name.
pub fn operation_of(name: &str) -> Option<Operation> {
    let all = [
        Operation::Build,
        Operation::Push,
        Operation::Promote,
        Operation::Deploy,
        Operation::Watch,
        Operation::Release,
    ];
    all.into_iter()
        .find(|operation| name_of(*operation) == name)
}
