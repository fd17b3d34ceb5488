//! The image of an earlier deployment, put where that deployment had put it.

use std::path::{Path, PathBuf};

use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Event, Observer};
use crate::kubernetes::manifest::{self, Manifest, Wanted, WorkloadName};
use crate::release::history::{Record, Target};

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Mode {
    /// It is.
    Write,
    /// It is only said what would be.
    DryRun,
}

/// Deploys `image` as `deployment` was deployed; what changes, a text for each file or workload.
///
/// # Errors
/// Those of the way it was deployed by; with [`Code::History`] when the record does not say which that was.
pub(in crate::cli) fn redeploy(
    deployment: &Record,
    image: &str,
    mode: Mode,
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
        target => Err(unknown(deployment, target.as_ref(), image)),
    }
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
        (true, Mode::DryRun) => edited.diff().trim_end().to_owned(),
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

/// What a person can do where a deployment cannot be repeated from its record.
fn unknown(deployment: &Record, target: Option<&Target>, image: &str) -> Diagnostic {
    let (reason, flags) = match target {
        Some(Target::Cluster { workload, .. }) => (
            format!("it was given to a cluster, to {workload}"),
            "--cluster",
        ),
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
