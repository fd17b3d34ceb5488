//! The clusters that are on record, reached again: by the context and the kubeconfig of then, and only while they lead to the server
//! of then.

use std::path::Path;

use super::files;
use crate::cli::args::Shared;
use crate::cli::cluster::{Flags, confirm};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Observer, printable};
use crate::kubernetes::cluster::{Access, Cluster, Selector, Within, resource};
use crate::release::history::Endpoint;
use crate::release::named::Named;

/// Where the project is, and what a person says of clusters beside the records.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Asked<'a> {
    /// The project's root.
    pub(in crate::cli) root: &'a Path,
    /// Kubeconfig and context, where they are others than those on record.
    pub(in crate::cli) flags: &'a Flags,
    /// True when the cluster is meant even if it is another one than that on record.
    pub(in crate::cli) is_confirmed: bool,
    /// The flags of all commands.
    pub(in crate::cli) shared: &'a Shared,
}

/// A place in a cluster, as records have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct At<'a> {
    /// The context; none for the current one, or inside a pod.
    pub(in crate::cli) context: Option<&'a str>,
    /// The namespace.
    pub(in crate::cli) namespace: &'a str,
    /// How it was reached.
    pub(in crate::cli) endpoint: Option<&'a Endpoint>,
}

/// A cluster, and how long it has for its answers.
pub(in crate::cli) struct Connected {
    /// Its API.
    pub(in crate::cli) api: Cluster,
    flags: Flags,
}

impl Connected {
    /// Until when it has time, from now.
    pub(in crate::cli) fn within<'a>(&self, observer: &'a dyn Observer) -> Within<'a> {
        self.flags.within(observer)
    }

    /// How it was reached, for records.
    ///
    /// # Errors
    /// As [`endpoint`].
    pub(in crate::cli) fn endpoint(&self, asked: &Asked<'_>) -> Result<Endpoint, Diagnostic> {
        let server = self.api.target().server.clone();
        endpoint(server, self.flags.kubeconfig.as_deref(), asked.root)
    }
}

/// How a cluster is reached, for records: its server, and the kubeconfig that was named.
///
/// # Errors
/// As [`files::Name::of`].
pub(in crate::cli) fn endpoint(
    server: String,
    kubeconfig: Option<&Path>,
    root: &Path,
) -> Result<Endpoint, Diagnostic> {
    let kubeconfig = kubeconfig.map(|file| files::Name::of(root, file));
    Ok(Endpoint {
        server,
        kubeconfig: kubeconfig.transpose()?.map(files::Name::into_text),
    })
}

/// How the cluster of then is reached now.
///
/// # Errors
/// Those of kubeconfigs; [`Code::Refused`] when what is known of it leads to another server now.
pub(in crate::cli) fn access(
    at: &At<'_>,
    asked: &Asked<'_>,
) -> Result<(Flags, Access), Diagnostic> {
    let recorded = at
        .endpoint
        .and_then(|endpoint| endpoint.kubeconfig.as_ref());
    let recorded = recorded.map(|file| files::inside(asked.root, Path::new(file)));
    let recorded = recorded.transpose()?.map(|at| at.path().to_owned());
    let context = at.context.map(str::to_owned);
    let flags = Flags {
        // One that is gone may have been merged into the usual ones; the server is compared.
        kubeconfig: match &asked.flags.kubeconfig {
            Some(named) => Some(named.clone()),
            None => recorded.clone().filter(|file| file.is_file()),
        },
        context: asked.flags.context.clone().or(context),
        ..asked.flags.clone()
    };
    let access = flags.access(asked.shared, None, Some(at.namespace))?;
    let target = access.target().map_err(|error| match recorded {
        Some(file) if flags.kubeconfig.is_none() => Diagnostic::from(error).also(format!(
            "the kubeconfig of the deployment is gone: `{}`",
            file.display()
        )),
        _ => error.into(),
    })?;
    if let Some(endpoint) = at.endpoint.filter(|known| known.server != target.server)
        && !asked.is_confirmed
    {
        let place = match &target.context {
            Some(context) => format!("the context `{context}` leads"),
            None => "what this pod knows leads".to_owned(),
        };
        let what = format!(
            "{place} to {}, and the deployment was made at {}",
            target.server,
            printable(&endpoint.server)
        );
        return Err(Diagnostic::new(Code::Refused, what)
            .hint("`--context NAME` and `--kubeconfig FILE` say which cluster is meant"));
    }
    Ok((flags, access))
}

/// The cluster of a context that is on record; of the current one where none is, if that is a local one.
///
/// # Errors
/// As [`access`], and those of the cluster.
pub(in crate::cli) fn connect(
    at: &At<'_>,
    asked: &Asked<'_>,
    observer: &dyn Observer,
) -> Result<Connected, Diagnostic> {
    let (flags, access) = access(at, asked).map_err(|error| match error.code {
        Code::Refused => error.hint("if it is the same cluster by a new address: `--yes`"),
        _ => error,
    })?;
    let api = Cluster::connect(&access, flags.within(observer))?;
    confirm(&access, &api, asked.is_confirmed)?;
    Ok(Connected { api, flags })
}

/// Looks through the workloads and the pods of a namespace for the images that they name.
///
/// # Errors
/// Those of the cluster; [`Code::Refused`] when the context leads to another one.
pub(in crate::cli) fn read_namespace(
    at: &At<'_>,
    named: &mut Named,
    asked: &Asked<'_>,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let cluster = connect(at, asked, observer)?;
    let within = cluster.within(observer);
    let namespace = at.namespace;
    // Scaled to nothing, a workload has no pods, and still needs its image.
    let workloads = cluster.api.workloads(within, namespace, None)?;
    let pods = cluster
        .api
        .list(within, &resource::POD, namespace, &Selector::all())?;
    let objects = workloads.into_iter().map(|workload| workload.object);
    let place = format!("the namespace `{namespace}`");
    for object in objects.chain(pods) {
        named.read(&object.to_string(), &place);
    }
    Ok(())
}
