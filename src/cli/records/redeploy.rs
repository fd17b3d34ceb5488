//! The image of an earlier deployment, put where that deployment had put it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::loaded::Loaded;
use crate::cli::args::Shared;
use crate::cli::cluster::{Flags, confirm};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::rollouts;
use crate::event::{Event, Observer};
use crate::kubernetes::cluster::set_image::{Origin, SetImage};
use crate::kubernetes::cluster::{Cluster, Selector, Within, resource};
use crate::kubernetes::manifest::{self, Manifest, Wanted, WorkloadName};
use crate::kubernetes::rollout;
use crate::kubernetes::watch::{Reconcile, Wish};
use crate::reference::Reference;
use crate::release::history::{Record, Target};
use crate::release::prune;
use crate::release::rollback::MANIFEST;

/// How long a cluster has for its answers, all together.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Mode {
    /// It is.
    Write,
    /// It is only said what would be.
    DryRun,
}

/// Deploys `image` as `deployment` was deployed; what changes, a text for each file or workload. What is `loaded` has to be on its nodes already,
/// and `image` is its tag alone.
///
/// # Errors
/// Those of the way it was deployed by; with [`Code::History`] when the record does not say which that was.
pub(in crate::cli) fn redeploy(
    deployment: &Record,
    image: &str,
    loaded: Option<&Loaded>,
    mode: Mode,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Vec<String>, Diagnostic> {
    match &deployment.facts.target {
        Some(Target::Manifests {
            files,
            container,
            workload,
        }) => {
            let workload = workload.as_deref().map(str::parse::<WorkloadName>);
            let wanted = Wanted {
                container: container.clone(),
                workload: workload.transpose().map_err(|error| {
                    Diagnostic::new(Code::History, error)
                        .attempting(format!("cannot repeat the {deployment}"))
                })?,
                ..Wanted::default()
            };
            into_manifests(files, &wanted, image, mode, observer)
        }
        Some(Target::Cluster {
            context,
            namespace,
            workload,
            container,
        }) => {
            let cluster = connect(context.as_deref(), namespace, shared, observer)?;
            let within = cluster.within(observer);
            let image: Reference = image.parse()?;
            let hosting = cluster.api.local_registry(within)?.unwrap_or_default();
            let request = SetImage {
                namespace: namespace.clone(),
                workload: Some(workload.parse().map_err(|reason: String| {
                    Diagnostic::new(Code::History, reason)
                        .attempting(format!("cannot repeat the {deployment}"))
                })?),
                container: Some(container.clone()),
                image: hosting.deploy_name(&image).unwrap_or(image),
                origin: match loaded {
                    Some(_) => Origin::Loaded,
                    None => Origin::Registry,
                },
                is_content_tag: loaded.is_some_and(Loaded::has_content_tag),
                fixes_pull_policy: false,
                cause: format!("overcoat rollback to the {deployment}"),
                is_dry_run: mode == Mode::DryRun,
            };
            let Some(file) = manifest_of(deployment, observer) else {
                return into_cluster(&cluster, &request, observer);
            };
            // What the cluster would refuse is known before a file is written.
            let trial = SetImage {
                is_dry_run: true,
                ..request.clone()
            };
            cluster.api.set_image(cluster.within(observer), &trial)?;
            let wanted = Wanted {
                container: Some(container.clone()),
                workload: workload.parse().ok(),
                ..Wanted::default()
            };
            let named = request.image.to_string();
            let mut told = into_manifests(&[file], &wanted, &named, mode, observer)?;
            told.extend(into_cluster(&cluster, &request, observer)?);
            Ok(told)
        }
        // Nobody was told of it then either.
        Some(Target::Loader { .. }) if let Some(loaded) = loaded => {
            Ok(vec![format!("{image} in {}", loaded.target)])
        }
        target => Err(unknown(deployment, target.as_ref(), image)),
    }
}

/// Waits until the workload that a deployment was given to runs the image. Of a deployment that told no cluster there is nothing to wait for.
///
/// # Errors
/// [`Code::RolloutFailed`], [`Code::RolloutTimeout`], and what the cluster says.
pub(in crate::cli) fn watch(
    deployment: &Record,
    image: rollout::Image,
    timeout: Duration,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let Some(Target::Cluster {
        context,
        namespace,
        workload,
        container,
    }) = &deployment.facts.target
    else {
        observer.observe(Event::Warning {
            text: format!("the {deployment} told no cluster, so there is no rollout to wait for"),
            hint: None,
        });
        return Ok(());
    };
    let (kind, name) = workload.split_once('/').unwrap_or(("", workload));
    let wish = Wish {
        namespace: namespace.clone(),
        kind: kind.parse().ok(),
        name: name.to_owned(),
        wanted: rollout::Wanted {
            container: Some(container.clone()),
            image: Some(image),
        },
        reconcile: Reconcile::Never,
        with_source: false,
        awaits_creation: false,
        ready: Vec::new(),
    };
    let cluster = connect(context.as_deref(), namespace, shared, observer)?;
    rollouts::wait(&[wish], timeout, &cluster.api, observer).into_result()?;
    Ok(())
}

fn into_manifests(
    files: &[String],
    wanted: &Wanted,
    image: &str,
    mode: Mode,
    observer: &dyn Observer,
) -> Result<Vec<String>, Diagnostic> {
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    let manifests: Vec<Manifest> = files
        .iter()
        .map(|file| Manifest::read(file))
        .collect::<Result<_, _>>()?;
    let found = manifest::find(&manifests, wanted)?;
    let edited = manifest::edit(&manifests[found.manifest], &found, image)?;
    let place = format!("{}:{}", found.path.display(), found.line);
    if let Some(marker) = found.marker.filter(|_| edited.is_change()) {
        observer.observe(Event::Warning {
            text: format!(
                "{place}: Flux's image policy `{}` writes this value, and will write over this edit",
                marker.policy
            ),
            hint: Some("suspend the image automation, or make the policy choose the earlier tag".to_owned()),
        });
    }
    let told = match (edited.is_change(), mode) {
        (false, _) => format!("{place}: unchanged, {image}"),
        (true, Mode::DryRun) => edited
            .diff(&crate::cli::env::project::directory()?)
            .trim_end()
            .to_owned(),
        (true, Mode::Write) => {
            let before = found.image.unwrap_or_else(|| "no image".to_owned());
            let text = format!("{place}: {before} -> {image}");
            manifest::apply_all(std::slice::from_ref(&edited))?;
            observer.observe(Event::Note { text: text.clone() });
            text
        }
    };
    Ok(vec![told])
}

/// The manifest that a deployment to a cluster gave the image to as well, while it is there: who applies it would bring the other image back.
fn manifest_of(deployment: &Record, observer: &dyn Observer) -> Option<String> {
    let file = deployment.facts.results.get(MANIFEST)?;
    if Path::new(file).is_file() {
        return Some(file.clone());
    }
    observer.observe(Event::Warning {
        text: format!(
            "the manifest `{file}` of the {deployment} is not there any more, and is left out"
        ),
        hint: None,
    });
    None
}

/// A cluster, and how long it has for its answers.
struct Connected {
    api: Cluster,
    flags: Flags,
}

impl Connected {
    fn within<'a>(&self, observer: &'a dyn Observer) -> Within<'a> {
        self.flags.within(observer)
    }
}

/// The cluster of a context that is on record; of the current one where none is, if that is a local one.
fn connect(
    context: Option<&str>,
    namespace: &str,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Connected, Diagnostic> {
    let flags = Flags {
        kubeconfig: None,
        context: context.map(str::to_owned),
        cluster_timeout: CLUSTER_TIMEOUT,
    };
    let access = flags.access(shared, None, Some(namespace))?;
    let api = Cluster::connect(&access, flags.within(observer))?;
    confirm(&access, &api, false)?;
    Ok(Connected { api, flags })
}

fn into_cluster(
    cluster: &Connected,
    request: &SetImage,
    observer: &dyn Observer,
) -> Result<Vec<String>, Diagnostic> {
    let outcome = cluster.api.set_image(cluster.within(observer), request)?;
    for text in &outcome.warnings {
        observer.observe(Event::Warning {
            text: text.clone(),
            hint: None,
        });
    }
    let text = format!(
        "{} of {} in {}: {} -> {}",
        outcome.container,
        outcome.workload,
        outcome.namespace,
        outcome.previous_image,
        outcome.image
    );
    observer.observe(Event::Note { text: text.clone() });
    Ok(vec![text])
}

/// The digests that the pods and workloads of a namespace name.
///
/// # Errors
/// Those of the cluster.
pub(in crate::cli) fn running_in(
    context: Option<&str>,
    namespace: &str,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<BTreeSet<String>, Diagnostic> {
    let cluster = connect(context, namespace, shared, observer)?;
    let within = cluster.within(observer);
    let workloads = cluster.api.workloads(within, namespace, None)?;
    let pods = cluster
        .api
        .list(within, &resource::POD, namespace, &Selector::all())?;
    // Scaled to nothing, a workload has no pods, and still needs its image.
    let objects = workloads.into_iter().map(|workload| workload.object);
    let texts = objects.chain(pods).map(|object| object.to_string());
    Ok(texts
        .flat_map(|text| prune::named_in(&text).collect::<Vec<_>>())
        .collect())
}

/// What a person can do where a deployment cannot be repeated from its record.
fn unknown(deployment: &Record, target: Option<&Target>, image: &str) -> Diagnostic {
    let (reason, flags) = match target {
        Some(Target::Loader { destination }) => {
            (format!("it was loaded into {destination}"), "--to")
        }
        Some(Target::Unknown) => ("a newer overcoat has done it".to_owned(), "…"),
        _ => ("its record does not say where it was put".to_owned(), "…"),
    };
    Diagnostic::new(Code::History, format!("cannot repeat the {deployment}"))
        .also(reason)
        .hint(format!("`overcoat deploy {flags} --image {image}`"))
}

/// The files that a deployment was written into.
pub(in crate::cli) fn files(target: Option<&Target>) -> impl Iterator<Item = &Path> {
    let files = match target {
        Some(Target::Manifests { files, .. }) => files.as_slice(),
        _ => &[],
    };
    files.iter().map(Path::new)
}
