//! The image of an earlier deployment, put where that deployment had put it.

use std::path::Path;
use std::time::Duration;

use super::Place;
use super::files;
use super::loaded::Loaded;
use super::reach::{Asked, At, Connected, connect};
use super::rollouts::{Awaited, recorded};
use crate::cli::deploy;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::rollouts;
use crate::event::{Event, Observer};
use crate::kubernetes::cluster::set_image::{Origin, SetImage};
use crate::kubernetes::kustomization::Kustomization;
use crate::kubernetes::manifest::{self, Manifest, Wanted, WorkloadName};
use crate::kubernetes::rollout;
use crate::kubernetes::watch::{Reconcile, Wish};
use crate::reference::Reference;
use crate::release::history::{Facts, Record, Target};

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Mode {
    /// It is.
    Write,
    /// It is only said what would be.
    DryRun,
}

/// What a repetition did, or would do.
pub(in crate::cli) struct Repeated {
    /// A text for each file and workload.
    pub(in crate::cli) changes: Vec<String>,
    /// Where it was put this time.
    pub(in crate::cli) facts: Facts,
}

/// Deploys `image` as `deployment` was deployed, to all places that it was put to: files first, as [`crate::cli::deploy`] does. What is
/// `loaded` has to be on its nodes already, and `image` is its tag alone.
///
/// # Errors
/// Those of the way it was deployed by; with [`Code::History`] when the record does not say which that was;
/// [`Code::Refused`] when the context leads to another cluster than then.
pub(in crate::cli) fn redeploy(
    deployment: &Record,
    image: &str,
    loaded: Option<&Loaded>,
    mode: Mode,
    asked: &Asked<'_>,
    observer: &dyn Observer,
) -> Result<Repeated, Diagnostic> {
    let targets: Vec<&Target> = deployment.facts.targets().collect();
    let is_repeatable = |target: &Target| match target {
        Target::Manifests { .. } | Target::Cluster { .. } => true,
        Target::Loader { .. } => loaded.is_some(),
        Target::Unknown => false,
    };
    if targets.is_empty() || !targets.iter().all(|target| is_repeatable(target)) {
        let target = targets.into_iter().find(|target| !is_repeatable(target));
        return Err(unknown(deployment, target, image));
    }
    let mut image = image.to_owned();
    let mut clusters = Vec::new();
    let mut facts = Facts::default();
    for target in &targets {
        let Target::Cluster {
            context,
            namespace,
            workload,
            container,
        } = target
        else {
            continue;
        };
        let place = At {
            context: context.as_deref(),
            namespace,
            endpoint: deployment.facts.endpoint.as_ref(),
        };
        let cluster = connect(&place, asked, observer)?;
        let within = cluster.within(observer);
        let named: Reference = image.parse()?;
        let hosting = cluster.api.local_registry(within)?.unwrap_or_default();
        let named = match hosting.deploy_name(&named) {
            // Nodes know the registry by this name, and files are for the same nodes.
            Some(name) => {
                image = name.to_string();
                name
            }
            None => named,
        };
        let request = SetImage {
            namespace: (*namespace).clone(),
            workload: Some(workload.parse().map_err(|reason: String| {
                Diagnostic::new(Code::History, reason)
                    .attempting(format!("cannot repeat the {deployment}"))
            })?),
            container: Some(container.clone()),
            image: named,
            origin: match loaded {
                Some(_) => Origin::Loaded,
                None => Origin::Registry,
            },
            is_content_tag: loaded.is_some_and(Loaded::has_content_tag),
            fixes_pull_policy: false,
            cause: format!("overcoat rollback to the {deployment}"),
            is_dry_run: mode == Mode::DryRun,
        };
        if targets.len() > 1 && mode == Mode::Write {
            // What the cluster would refuse is known before a file is written.
            let trial = SetImage {
                is_dry_run: true,
                ..request.clone()
            };
            cluster.api.set_image(within, &trial)?;
        }
        facts.target = Some(Target::Cluster {
            context: cluster.api.target().context.clone(),
            namespace: (*namespace).clone(),
            workload: workload.clone(),
            container: container.clone(),
        });
        facts.endpoint = Some(cluster.endpoint(asked)?);
        clusters.push((cluster, request));
    }
    let mut changes = Vec::new();
    for target in targets {
        match (target, loaded) {
            (Target::Manifests { .. }, _) => {
                let change = into_manifests(deployment, target, &image, mode, asked, observer)?;
                changes.extend(change);
            }
            // Nobody was told of it then either.
            (Target::Loader { .. }, Some(loaded)) => {
                changes.push(format!("{image} in {}", loaded.target));
            }
            _ => {}
        }
    }
    for (cluster, request) in &clusters {
        changes.extend(into_cluster(cluster, request, observer)?);
    }
    Ok(Repeated { changes, facts })
}

/// Waits until the workload that a deployment was given to runs the image. Of a deployment that told no cluster there is nothing to wait for.
///
/// # Errors
/// [`Code::RolloutFailed`], [`Code::RolloutTimeout`], and what the cluster says.
pub(in crate::cli) fn watch(
    place: &Place,
    deployment: &Record,
    image: rollout::Image,
    timeout: Duration,
    asked: &Asked<'_>,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let is_told = |target: &&Target| matches!(target, Target::Cluster { .. });
    let Some(Target::Cluster {
        context,
        namespace,
        workload,
        container,
    }) = deployment.facts.targets().find(is_told)
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
    let at = At {
        context: context.as_deref(),
        namespace,
        endpoint: deployment.facts.endpoint.as_ref(),
    };
    let cluster = connect(&at, asked, observer)?;
    let awaited = Awaited {
        application: Some(deployment.application.clone()),
        environment: Some(deployment.environment.clone()),
        image: wish
            .wanted
            .image
            .as_ref()
            .and_then(|image| image.references.first().cloned()),
        context: context.clone(),
        namespace: namespace.clone(),
        workload: workload.clone(),
        container: Some(container.clone()),
    };
    let ended = recorded(Some(place), &[Some(awaited)], observer, |observer| {
        rollouts::wait(&[wish], timeout, &cluster.api, observer)
    });
    ended.into_result()?;
    Ok(())
}

/// Writes the image into the files of a deployment.
fn into_manifests(
    deployment: &Record,
    target: &Target,
    image: &str,
    mode: Mode,
    asked: &Asked<'_>,
    observer: &dyn Observer,
) -> Result<Vec<String>, Diagnostic> {
    let Target::Manifests {
        container,
        workload,
        namespace,
        init_containers,
        base_image,
        ..
    } = target
    else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for at in files::of(asked.root, target)? {
        match at {
            files::At::Known(path) => files.push(path),
            files::At::Doubtful(path) => return Err(elsewhere(deployment, &path, image)),
        }
    }
    let (edited, line, before, markers) = if container.is_none() && workload.is_none() {
        let [file] = files.as_slice() else {
            return Err(unknown(deployment, None, image));
        };
        let kustomization = Kustomization::read(file)?;
        let name = match base_image {
            Some(name) => name.clone(),
            None => deploy::base_name(&kustomization, image)?,
        };
        let set = kustomization.set(&name, image)?;
        (set.edited, set.line, set.before, set.markers)
    } else {
        let workload = workload.as_deref().map(str::parse::<WorkloadName>);
        let wanted = Wanted {
            container: container.clone(),
            workload: workload.transpose().map_err(|error| {
                Diagnostic::new(Code::History, error)
                    .attempting(format!("cannot repeat the {deployment}"))
            })?,
            namespace: namespace.clone(),
            init_containers: *init_containers,
        };
        let manifests: Vec<Manifest> = files
            .iter()
            .map(|file| Manifest::read(file))
            .collect::<Result<_, _>>()?;
        let found = manifest::find(&manifests, &wanted)?;
        let edited = manifest::edit(&manifests[found.manifest], &found, image)?;
        (
            edited,
            found.line,
            found.image,
            found.marker.into_iter().collect(),
        )
    };
    let place = format!("{}:{line}", edited.path.display());
    for marker in markers.iter().filter(|_| edited.is_change()) {
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
            let before = before.unwrap_or_else(|| "no image".to_owned());
            let text = format!("{place}: {before} -> {image}");
            manifest::apply_all(std::slice::from_ref(&edited))?;
            observer.observe(Event::Note { text: text.clone() });
            text
        }
    };
    Ok(vec![told])
}

/// A file of an older record that is not of this checkout.
fn elsewhere(deployment: &Record, path: &Path, image: &str) -> Diagnostic {
    let path = path.display();
    Diagnostic::new(Code::History, format!("cannot repeat the {deployment}"))
        .also(format!(
            "its record names `{path}`, which is not below this project: it may be of another checkout"
        ))
        .also("nothing was changed")
        .hint(format!(
            "say which file is meant: `overcoat deploy --manifest {path} --image {image}`"
        ))
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
