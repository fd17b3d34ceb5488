//! Flags of commands that speak with a cluster, and what people read when that fails.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use super::args::{self, Shared};
use super::diagnostic::Diagnostic;
use super::env;
use super::exit::Code;
use crate::event::{Event, Observer, printable};
use crate::kubernetes::cluster::set_image::{INCOMPLETE, SetImageError};
use crate::kubernetes::cluster::workload::{FindError, Workload, WorkloadName};
use crate::kubernetes::cluster::{Access, Cluster, Error, PatchKind, Stopped, Within};
use crate::project::Environment;

/// Which cluster.
#[derive(ClapArgs, Clone, Debug, Default)]
#[group(skip)]
pub(super) struct Flags {
    /// The kubeconfig file [default: those of KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig [default: the environment's, else the current one]
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,

    /// How long to wait for the cluster's answers, all together
    #[arg(long, value_name = "TIME", value_parser = args::time_limit, default_value = "60s")]
    pub(super) cluster_timeout: Duration,
}

impl Flags {
    /// Which cluster, as whom: flags before the environment of the project before the kubeconfig.
    ///
    /// # Errors
    /// As [`env::host`].
    pub(super) fn access(
        &self,
        shared: &Shared,
        environment: Option<&Environment>,
        namespace: Option<&str>,
    ) -> Result<Access, Diagnostic> {
        let network = env::host(shared)?.network;
        let of_context = environment.and_then(|environment| environment.context.as_ref());
        let of_namespace = environment.and_then(|environment| environment.namespace.as_ref());
        let chosen = |flag: Option<String>, setting: Option<&crate::project::Setting<String>>| {
            flag.or_else(|| setting.map(|setting| setting.value.clone()))
        };
        Ok(Access {
            kubeconfigs: match &self.kubeconfig {
                Some(path) => vec![path.clone()],
                None => env::kubernetes::kubeconfigs(),
            },
            must_exist: self.kubeconfig.is_some(),
            in_cluster: env::kubernetes::in_cluster(),
            context: chosen(self.context.clone(), of_context),
            namespace: chosen(namespace.map(str::to_owned), of_namespace),
            certificates: network.certificates,
            proxies: network.proxies,
        })
    }

    /// Until when the cluster has time, from now.
    pub(super) fn within<'a>(&self, observer: &'a dyn Observer) -> Within<'a> {
        let deadline = Instant::now() + self.cluster_timeout;
        Within { observer, deadline }
    }
}

/// Refuses a cluster that nobody named, unless it is on somebody's own machine: the current context of a kubeconfig may be anybody's
/// production.
///
/// # Errors
/// With [`Code::Refused`].
pub(super) fn confirm(
    access: &Access,
    cluster: &Cluster,
    is_confirmed: bool,
) -> Result<(), Diagnostic> {
    let target = cluster.target();
    let Some(context) = &target.context else {
        return Ok(());
    };
    if is_confirmed || access.context.is_some() || target.is_local() {
        return Ok(());
    }
    Err(Diagnostic::new(
        Code::Refused,
        format!("the current context `{context}` ({}) is not of a local cluster, and nobody asked for it", target.server),
    )
    .hint(format!("if it is meant: `--context {context}`, or `--yes`")))
}

/// Writes down at workloads how their first deployment ended before it was complete, or (`None`) takes that away again. `choose` says
/// which of those of this namespace and name are meant; one that is not there needs no mark. That it cannot be written is a warning: the
/// deployment has ended already.
pub(super) fn mark_first(
    cluster: &Cluster,
    flags: &Flags,
    (namespace, name): (&str, Option<&WorkloadName>),
    how: Option<&str>,
    observer: &dyn Observer,
    choose: impl FnOnce(Vec<Workload>) -> Vec<Workload>,
) {
    // The person may have asked to stop, and this is how what is left is found again.
    let patient = Patient(observer);
    let within = || flags.within(&patient);
    let work = || -> Result<(), Error> {
        for workload in choose(cluster.workloads(within(), namespace, name)?) {
            if workload.incomplete().as_deref() != how {
                let patch = serde_json::json!({"metadata": {"annotations": {INCOMPLETE: how}}});
                let (resource, name) = (workload.resource(), workload.name());
                let kind = PatchKind::Merge;
                cluster.patch(within(), resource, namespace, name, kind, &patch, false)?;
            }
        }
        Ok(())
    };
    if let Err(error) = work() {
        let state = if how.is_some() { "is not" } else { "is" };
        observer.observe(Event::Warning {
            text: format!(
                "that the first deployment {state} complete could not be written down at the workload: {error}"
            ),
            hint: None,
        });
    }
}

/// Tells what it is told, and never asks to stop.
struct Patient<'a>(&'a dyn Observer);

impl Observer for Patient<'_> {
    fn observe(&self, event: Event) {
        self.0.observe(event);
    }
}

/// What a first deployment stopped at, and what there is already.
pub(super) fn stopped(stopped: Stopped) -> Diagnostic {
    let Stopped { error, applied } = stopped;
    let names = applied
        .iter()
        .map(|object| format!("{}/{}", object.kind.to_lowercase(), object.name));
    let names: Vec<String> = names.map(|name| printable(&name)).collect();
    let diagnostic = Diagnostic::from(error);
    match names.is_empty() {
        true => diagnostic.also("nothing was applied"),
        false => diagnostic
            .also(format!("applied before that: {}", names.join(", ")))
            .hint("the same command completes it"),
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Interrupted => {
                return Self::new(
                    Code::Interrupted,
                    "interrupted; the cluster was told nothing more",
                );
            }
            error if error.is_refusal() => Code::Forbidden,
            _ => Code::Cluster,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<FindError> for Diagnostic {
    fn from(error: FindError) -> Self {
        let code = match error.is_ambiguous() {
            true => Code::Ambiguous,
            false => Code::NoContainer,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<SetImageError> for Diagnostic {
    fn from(error: SetImageError) -> Self {
        let code = match error {
            SetImageError::Cluster(error) => return error.into(),
            SetImageError::Find(error) => return error.into(),
            SetImageError::Form { .. } => Code::Usage,
            SetImageError::Mutated { .. } => Code::Cluster,
            SetImageError::Elsewhere { .. } => Code::NoContainer,
            SetImageError::Fixed { .. }
            | SetImageError::SameTag { .. }
            | SetImageError::WouldPull { .. }
            | SetImageError::WouldNotPull { .. } => Code::Refused,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}
