//! A cluster through its API, over the `kube` crate: which cluster, as whom ([`Access`]), and what it is asked and told
//! ([`Cluster`]). Objects are JSON ([`serde_json::Value`]): servers are as old as Kubernetes 1.20 and as new as tomorrow's.
//!
//! Every call is blocking, is given an end and somebody who may ask it to stop ([`Within`]), and holds a bounded number of
//! bytes. What a server says is shown only in one line without control characters.
//!
//! ```ignore
//! let within = Within { observer, deadline: Instant::now() + Duration::from_secs(30) };
//! let cluster = Cluster::connect(&access, within)?;
//! let deployment = cluster.get(within, &resource::DEPLOYMENT, cluster.namespace(), "web")?;
//! let pods = cluster.list(within, &resource::POD, cluster.namespace(), &Selector::labels("app=web"))?;
//! ```

pub mod access;
mod apply;
mod apply_all;
mod ask;
mod call;
mod changes;
mod error;
mod find;
mod local_registry;
mod logs;
mod no_proxy;
mod patch;
pub mod resource;
pub mod set_image;
mod told;
mod value;
pub mod workload;
mod workloads;

use std::time::Instant;

use kube::Client;
use serde_json::Value;

pub use access::{Access, Contexts, InCluster, Target};
pub use apply::{Applied, Done};
pub use apply_all::Stopped;
pub use ask::Selector;
pub use changes::Changes;
pub use error::Error;
pub use local_registry::LocalRegistry;
pub use logs::Logs;
pub use resource::Resource;
pub use value::{ManifestError, objects};

use crate::event::Observer;

/// The name under which our changes are recorded in objects (`metadata.managedFields`).
pub const FIELD_MANAGER: &str = "overcoat";

/// How long something may take, and who may end it before.
#[derive(Clone, Copy)]
pub struct Within<'a> {
    /// Asked every 50 ms whether the person wants to stop.
    pub observer: &'a dyn Observer,
    /// When patience ends: [`Error::Timeout`].
    pub deadline: Instant,
}

impl std::fmt::Debug for Within<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let deadline = &self.deadline;
        f.debug_struct("Within")
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}

/// How a patch is to be read by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// RFC 7386: what is null is removed, lists are replaced. For every kind of object.
    Merge,
    /// As [`Self::Merge`], but lists are merged by their keys (containers by `name`). For built-in kinds only.
    Strategic,
    /// RFC 6902: a list of operations.
    Json,
}

/// A cluster whose API is spoken with. The first request goes out with the first question.
pub struct Cluster {
    client: Client,
    target: Target,
    /// Taken out when dropped: a credential plugin that hangs must not keep us.
    runtime: Option<tokio::runtime::Runtime>,
}

impl std::fmt::Debug for Cluster {
    /// The client has credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let target = &self.target;
        f.debug_struct("Cluster")
            .field("target", target)
            .finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Cluster {
    /// Reads who and where, and starts a client. Credential plugins (`users[].user.exec`) run now.
    ///
    /// # Errors
    /// What [`Access::target`] says; [`Error::Credentials`]; [`Error::Tls`]; [`Error::Timeout`]; [`Error::Interrupted`].
    pub fn connect(access: &Access, within: Within<'_>) -> Result<Self, Error> {
        call::connect(access, within)
    }

    /// Which cluster, and how it was chosen.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The namespace for whatever does not name one.
    pub fn namespace(&self) -> &str {
        &self.target.namespace
    }

    /// One object; `None` when there is none of this name (or no such resource on this server).
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Unauthorised`], [`Error::Unreachable`] …
    pub fn get(
        &self,
        within: Within<'_>,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let ask = ask::Ask::new("get", resource, namespace).name(name);
        match self.ask(within, &ask) {
            Err(Error::NotFound { .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// True when the server says that it has no such namespace. Who may not ask is told nothing.
    pub fn lacks_namespace(&self, within: Within<'_>, namespace: &str) -> bool {
        let answer = self.get(within, &resource::NAMESPACE, "", namespace);
        matches!(answer, Ok(None))
    }

    /// All objects of a resource in a namespace that the selector fits, in the order of the server, read in pages.
    ///
    /// # Errors
    /// As [`Self::get`]; [`Error::NotFound`] when the server has no such resource; [`Error::TooLarge`].
    pub fn list(
        &self,
        within: Within<'_>,
        resource: &Resource,
        namespace: &str,
        selector: &Selector,
    ) -> Result<Vec<Value>, Error> {
        self.list_pages(within, resource, namespace, selector)
    }

    /// Changes an object, or asks the server what the change would give (`is_dry_run`); the object as it is afterwards.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the patch has a `resourceVersion` that is no longer the newest;
    /// [`Error::Invalid`]; else as [`Self::get`].
    #[expect(
        clippy::too_many_arguments,
        reason = "what, which, how, and whether in earnest"
    )]
    pub fn patch(
        &self,
        within: Within<'_>,
        resource: &Resource,
        namespace: &str,
        name: &str,
        kind: PatchKind,
        patch: &Value,
        is_dry_run: bool,
    ) -> Result<Value, Error> {
        let kind = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Json => "application/json-patch+json",
        };
        let ask = ask::Ask::new("patch", resource, namespace)
            .name(name)
            .body(kind, patch);
        self.ask(
            within,
            &ask.query("fieldManager", FIELD_MANAGER).dry_run(is_dry_run),
        )
    }

    /// The events about an object, by its `metadata.uid`, oldest first.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn events_about(
        &self,
        within: Within<'_>,
        namespace: &str,
        uid: &str,
    ) -> Result<Vec<Value>, Error> {
        let selector = Selector::fields(format!("involvedObject.uid={uid}"));
        let mut events = self.list(within, &resource::EVENT, namespace, &selector)?;
        let time = |event: &Value| {
            let times = ["lastTimestamp", "eventTime", "firstTimestamp"];
            let mut times = times.iter().filter_map(|name| event[name].as_str());
            times.next().unwrap_or_default().to_owned()
        };
        events.sort_by_key(time);
        Ok(events)
    }
}
