//! `overcoat deploy --cluster`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::Target;
use super::first;
use crate::cli::args::{Format, Shared};
use crate::cli::cluster::{Flags, confirm, stopped};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::project;
use crate::cli::{print, print_json, registry_client};
use crate::digest::Digest;
use crate::event::{Event, Observer, printable, stage};
use crate::kubernetes::cluster::set_image::{Origin, Outcome, SetImage};
use crate::kubernetes::cluster::{self, Access, Applied, Cluster};
use crate::project::Environment;
use crate::reference::Reference;
use crate::release::history;

/// Flags of this way.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "To a cluster")]
#[group(skip)]
pub(super) struct Args {
    /// Give the image to the cluster, through its API
    #[arg(long, conflicts_with = "check")]
    cluster: bool,

    #[command(flatten)]
    pub(super) flags: Flags,

    /// When the workload is not there yet, or its first deployment was not completed, apply these manifests, with the image in them
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "cluster", conflicts_with = "first_deployment")]
    apply: Vec<PathBuf>,

    /// When the workload is not there yet, or its first deployment was not completed, run this script (bash) as it is
    #[arg(long, value_name = "SCRIPT", requires = "cluster")]
    first_deployment: Option<PathBuf>,

    /// Use the current context even if its cluster is not a local one
    #[arg(long)]
    pub(super) yes: bool,

    /// Set `imagePullPolicy: IfNotPresent` where the policy would make the image useless
    #[arg(long, requires = "cluster")]
    fix_pull_policy: bool,
}

impl Args {
    /// True when a cluster is to be told.
    pub(super) fn is_asked(&self) -> bool {
        self.cluster
    }
}

/// What was done, for records and for programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The cluster.
    #[serde(flatten)]
    pub(super) target: cluster::Target,
    /// The container and its images; nothing where a dry run would make the workload first.
    pub(super) outcome: Option<Outcome>,
    /// What a first deployment applied.
    pub(super) applied: Vec<Applied>,
    /// The script that a first deployment ran.
    pub(super) script: Option<PathBuf>,
    /// True when nothing was done in earnest.
    pub(super) is_dry_run: bool,
    /// The image by the name that nodes know, with its digest if it is known.
    #[serde(skip)]
    pub(super) image: Reference,
}

/// Where an image was given to, for records.
pub(super) struct Given {
    /// The container.
    pub(super) target: history::Target,
    /// The cluster's API server.
    pub(super) server: String,
    /// What it replaced there.
    pub(super) previous: Option<String>,
    /// The image's digest, where the registry said it or the image had it.
    pub(super) digest: Option<Digest>,
}

/// Runs the command; the exit status, which is the script's where one failed, and what records say.
///
/// # Errors
/// With [`Code::Cluster`], [`Code::Forbidden`], [`Code::NoContainer`], [`Code::Usage`], [`Code::Refused`], [`Code::NoEnvironment`],
/// [`Code::NoSuchImage`] and those of registries.
pub(super) fn run(
    args: &Args,
    target: &Target,
    image: &str,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(u8, Option<Given>), Diagnostic> {
    match deploy(args, target, image, shared, observer)? {
        Ok(report) => {
            for warning in report.outcome.iter().flat_map(|outcome| &outcome.warnings) {
                observer.observe(Event::Warning {
                    text: warning.clone(),
                    hint: None,
                });
            }
            match target.format {
                Format::Table => print(&table(&report))?,
                Format::Json => print_json(&serde_json::json!(report))?,
            }
            let given = report.outcome.as_ref().map(|outcome| {
                let target = history::Target::Cluster {
                    context: report.target.context.clone(),
                    namespace: outcome.namespace.clone(),
                    workload: outcome.workload.clone(),
                    container: outcome.container.clone(),
                };
                Given {
                    target,
                    server: report.target.server.clone(),
                    previous: Some(outcome.previous_image.clone())
                        .filter(|image| outcome.is_changed && !image.is_empty()),
                    digest: report.image.digest().cloned(),
                }
            });
            Ok((Code::Success as u8, given))
        }
        Err(status) => Ok((status, None)),
    }
}

/// Does it: a report, or the exit status of a script that failed.
///
/// # Errors
/// As [`run`].
pub(super) fn deploy(
    args: &Args,
    target: &Target,
    image: &str,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Result<Report, u8>, Diagnostic> {
    let project = target
        .environment
        .as_ref()
        .map(|_| project::load(shared))
        .transpose()?;
    let environment: Option<&Environment> = match (&project, &target.environment) {
        (Some(project), Some(name)) => Some(project.environment(name)?),
        _ => None,
    };
    let access = args
        .flags
        .access(shared, environment, target.namespace.as_deref())?;
    let cluster = Cluster::connect(&access, args.flags.within(observer))?;
    if !target.dry_run {
        confirm(&access, &cluster, args.yes)?;
    }
    let reference: Reference = image.parse()?;
    let image = match target.no_pin {
        true => reference,
        false => pinned(args, target, &reference, &cluster, shared, observer)?,
    };
    let workload = target
        .workload
        .as_ref()
        .map(|name| name.to_string().parse());
    let workload = workload
        .transpose()
        .map_err(|reason: String| Diagnostic::new(Code::Usage, reason))?;
    let request = SetImage {
        namespace: cluster.namespace().to_owned(),
        workload,
        container: target.container.clone(),
        origin: if target.no_pin {
            Origin::Loaded
        } else {
            Origin::Registry
        },
        is_content_tag: false,
        fixes_pull_policy: args.fix_pull_policy,
        cause: format!("overcoat deploy --cluster --image {image}"),
        image,
        is_dry_run: target.dry_run,
    };
    let is_first = has_first(args) && first::is_due(&cluster, args, &request, observer)?;
    let done = match is_first {
        true => first_deployment(args, &request, &access, &cluster, observer)?,
        false => Ok(First {
            outcome: Some(cluster.set_image(args.flags.within(observer), &request)?),
            ..First::default()
        }),
    };
    Ok(done.map(|first| Report {
        target: cluster.target().clone(),
        outcome: first.outcome,
        applied: first.applied,
        script: first.script,
        is_dry_run: target.dry_run,
        image: request.image,
    }))
}

fn has_first(args: &Args) -> bool {
    !args.apply.is_empty() || args.first_deployment.is_some()
}

/// What there is after a first deployment.
#[derive(Default)]
struct First {
    outcome: Option<Outcome>,
    applied: Vec<Applied>,
    script: Option<PathBuf>,
}

/// Nothing is there yet: manifests are applied, or a script is run.
fn first_deployment(
    args: &Args,
    request: &SetImage,
    access: &Access,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Result<First, u8>, Diagnostic> {
    let mut first = First {
        script: args.first_deployment.clone(),
        ..First::default()
    };
    match &args.first_deployment {
        None => {
            let (objects, meant) = first::with_image(&args.apply, request)?;
            let within = || args.flags.within(observer);
            let applied = cluster.apply_all(within, &objects, Some(&meant), request.is_dry_run);
            first.applied = applied.map_err(stopped)?;
        }
        Some(script) => {
            first::check_script(script, access, cluster)?;
            if !request.is_dry_run {
                let stage = stage(
                    observer,
                    "run the script of the first deployment",
                    script.display().to_string(),
                );
                let status = first::run_script(script, access, observer);
                let ended = match &status {
                    Ok(0) => None,
                    Ok(status) => Some(format!("its script ended with {status}")),
                    Err(_) => Some("its script was interrupted".to_owned()),
                };
                if let Some(how) = ended {
                    first::mark(cluster, args, request, Some(&how), observer);
                }
                let status = status?;
                if status != Code::Success as u8 {
                    let text = format!("`{}` ended with {status}", script.display());
                    let hint = "what it has done until then is left as it is; the same command runs it again".to_owned();
                    observer.observe(Event::Warning {
                        text,
                        hint: Some(hint),
                    });
                    return Ok(Err(status));
                }
                stage.finish("");
            }
        }
    }
    if !request.is_dry_run {
        first::mark(cluster, args, request, None, observer);
        first.outcome = Some(again(cluster, args, request, observer)?);
    }
    Ok(Ok(first))
}

/// That the container has the image now; a script may have brought an older one. By its tag alone it cannot be told apart.
fn again(
    cluster: &Cluster,
    args: &Args,
    request: &SetImage,
    observer: &dyn Observer,
) -> Result<Outcome, Diagnostic> {
    let request = SetImage {
        is_content_tag: true,
        ..request.clone()
    };
    let outcome = cluster.set_image(args.flags.within(observer), &request)?;
    // What the files or the script brought was never live: a rollback has nothing to go back to.
    Ok(Outcome {
        is_changed: true,
        previous_image: String::new(),
        ..outcome
    })
}

/// The image by the name that nodes know, with its digest, once the registry has said that it is there.
fn pinned(
    args: &Args,
    target: &Target,
    image: &Reference,
    cluster: &Cluster,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Reference, Diagnostic> {
    let hosting = cluster
        .local_registry(args.flags.within(observer))?
        .unwrap_or_default();
    let pushed = hosting.push_name(image).unwrap_or_else(|| image.clone());
    let deployed = hosting.deploy_name(image).unwrap_or_else(|| image.clone());
    if deployed != pushed {
        let text = format!(
            "the cluster knows the registry of `{pushed}` by another name: `{}`",
            deployed.host()
        );
        observer.observe(Event::Note { text });
    }
    if target.no_verify {
        return Ok(deployed);
    }
    let found = registry_client(shared)?.resolve(&pushed, observer).map_err(|error| {
        Diagnostic::from(error).attempting(format!("`{pushed}` is not deployed: its registry does not say that it has it")).hint(
            "push it first, or leave the question out: `--no-verify`; images that were loaded into the nodes are deployed with `--no-pin`",
        )
    })?;
    if deployed.digest().is_some() {
        return Ok(deployed);
    }
    Ok(format!("{deployed}@{}", found.digest).parse()?)
}

/// For people: a line each.
fn table(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(script) = &report.script {
        let done = if report.is_dry_run {
            "would be run"
        } else {
            "was run"
        };
        lines.push(format!(
            "{} {done}",
            printable(&script.display().to_string())
        ));
    }
    for object in &report.applied {
        let done = serde_json::json!(object.done);
        let name = printable(&format!("{}/{}", object.kind.to_lowercase(), object.name));
        lines.push(format!("{name} {}", done.as_str().unwrap_or_default()));
    }
    if let Some(outcome) = &report.outcome {
        let place = format!(
            "{} of {} in {}",
            outcome.container, outcome.workload, outcome.namespace
        );
        let (image, previous) = (
            printable(&outcome.image),
            printable(&outcome.previous_image),
        );
        lines.push(match outcome.is_changed {
            false => format!("{place} has {image} already: nothing was changed"),
            true if previous.is_empty() => format!("{place} has {image}"),
            true => format!("{place} has {image}, had {previous}"),
        });
    }
    if report.is_dry_run {
        lines.push("nothing was done: --dry-run".to_owned());
    }
    lines.join("\n")
}
