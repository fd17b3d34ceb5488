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

/// Runs the command for each image; the exit status, which is the script's where one failed, and what records say of each.
///
/// # Errors
/// With [`Code::Cluster`], [`Code::Forbidden`], [`Code::NoContainer`], [`Code::Usage`], [`Code::Refused`], [`Code::NoEnvironment`],
/// [`Code::NoSuchImage`] and those of registries.
pub(super) fn run(
    args: &Args,
    orders: &[(&Target, &str)],
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<(u8, Vec<Option<Given>>), Diagnostic> {
    let mut tell = |target: &Target, report: &Report| {
        for warning in report.outcome.iter().flat_map(|outcome| &outcome.warnings) {
            observer.observe(Event::Warning {
                text: warning.clone(),
                hint: None,
            });
        }
        match target.format {
            Format::Table => print(&table(report)),
            Format::Json => print_json(&serde_json::json!(report)),
        }
    };
    match deploy(args, orders, shared, observer, &mut tell)? {
        Ok(reports) => Ok((
            Code::Success as u8,
            reports.iter().map(Report::given).collect(),
        )),
        Err(status) => Ok((status, Vec::new())),
    }
}

impl Report {
    fn given(&self) -> Option<Given> {
        let outcome = self.outcome.as_ref()?;
        let target = history::Target::Cluster {
            context: self.target.context.clone(),
            namespace: outcome.namespace.clone(),
            workload: outcome.workload.clone(),
            container: outcome.container.clone(),
        };
        Some(Given {
            target,
            server: self.target.server.clone(),
            previous: Some(outcome.previous_image.clone())
                .filter(|image| outcome.is_changed && !image.is_empty()),
            digest: self.image.digest().cloned(),
        })
    }
}

/// What is known of one image before anything is done.
struct Prepared {
    access: Access,
    cluster: Cluster,
    request: SetImage,
}

/// Does it: a report for each, in their order, or the exit status of a script that failed. `tell` hears of each as soon as it is done.
///
/// Manifests of a first deployment are applied once, all images in them: what one of them brings is not to be changed again for the
/// next.
///
/// # Errors
/// As [`run`].
pub(super) fn deploy(
    args: &Args,
    orders: &[(&Target, &str)],
    shared: &Shared,
    observer: &dyn Observer,
    tell: &mut dyn FnMut(&Target, &Report) -> Result<(), Diagnostic>,
) -> Result<Result<Vec<Report>, u8>, Diagnostic> {
    let mut all = Vec::new();
    for (target, image) in orders {
        all.push(prepare(args, target, image, shared, observer)?);
    }
    let mut due = vec![false; all.len()];
    if !args.apply.is_empty() {
        for (one, is_due) in all.iter().zip(&mut due) {
            *is_due = first::is_due(&one.cluster, args, &one.request, observer)?;
        }
    }
    let mut reports: Vec<Option<Report>> = all.iter().map(|_| None).collect();
    // What runs already comes first: what the files bring is then no change to it, and what it had is known.
    let (first, later): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|place| !due[*place]);
    let mut is_brought = false;
    for place in first.into_iter().chain(later) {
        let one = &all[place];
        let within = || args.flags.within(observer);
        let is_script = args.first_deployment.is_some()
            && first::is_due(&one.cluster, args, &one.request, observer)?;
        let done = if is_script {
            match with_script(args, one, observer)? {
                Ok(first) => first,
                Err(status) => return Ok(Err(status)),
            }
        } else if due[place] {
            let applied = match is_brought {
                true => Vec::new(),
                false => apply(args, one, &all, &due, &reports, observer)?,
            };
            is_brought = true;
            let mut first = First {
                applied,
                ..First::default()
            };
            complete(args, one, &mut first, observer)?;
            first
        } else {
            First {
                outcome: Some(one.cluster.set_image(within(), &one.request)?),
                ..First::default()
            }
        };
        let report = Report {
            target: one.cluster.target().clone(),
            outcome: done.outcome,
            applied: done.applied,
            script: done.script,
            is_dry_run: one.request.is_dry_run,
            image: one.request.image.clone(),
        };
        tell(orders[place].0, &report)?;
        reports[place] = Some(report);
    }
    Ok(Ok(reports.into_iter().flatten().collect()))
}

/// Connects, and asks the registry; nothing is changed.
fn prepare(
    args: &Args,
    target: &Target,
    image: &str,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Prepared, Diagnostic> {
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
    Ok(Prepared {
        access,
        cluster,
        request,
    })
}

/// What there is after a first deployment.
#[derive(Default)]
struct First {
    outcome: Option<Outcome>,
    applied: Vec<Applied>,
    script: Option<PathBuf>,
}

/// Something is not there yet: the manifests are applied, with all the images in them.
fn apply(
    args: &Args,
    one: &Prepared,
    all: &[Prepared],
    due: &[bool],
    reports: &[Option<Report>],
    observer: &dyn Observer,
) -> Result<Vec<Applied>, Diagnostic> {
    let mut requests = Vec::new();
    for (other, report) in all.iter().zip(reports) {
        let mut request = other.request.clone();
        // What is there is known by its name now: no other of the files is to be taken for it.
        if let Some(outcome) = report.as_ref().and_then(|report| report.outcome.as_ref()) {
            let name = outcome.workload.parse();
            request.workload =
                Some(name.map_err(|reason: String| Diagnostic::new(Code::Internal, reason))?);
            request.container = Some(outcome.container.clone());
        }
        requests.push(request);
    }
    let meant: Vec<first::Meant<'_>> = requests
        .iter()
        .zip(due)
        .map(|(request, is_due)| first::Meant {
            request,
            is_due: *is_due,
        })
        .collect();
    let (objects, last) = first::with_images(&args.apply, &meant)?;
    let within = || args.flags.within(observer);
    let is_dry_run = one.request.is_dry_run;
    let applied = one.cluster.apply_all(within, &objects, &last, is_dry_run);
    applied.map_err(stopped)
}

/// Nothing is there yet: a script is run. Its exit status where it failed.
fn with_script(
    args: &Args,
    one: &Prepared,
    observer: &dyn Observer,
) -> Result<Result<First, u8>, Diagnostic> {
    let (cluster, request) = (&one.cluster, &one.request);
    let mut first = First {
        script: args.first_deployment.clone(),
        ..First::default()
    };
    if let Some(script) = &args.first_deployment {
        first::check_script(script, &one.access, cluster)?;
        if !request.is_dry_run {
            let stage = stage(
                observer,
                "run the script of the first deployment",
                script.display().to_string(),
            );
            let status = first::run_script(script, &one.access, observer);
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
                let hint =
                    "what it has done until then is left as it is; the same command runs it again"
                        .to_owned();
                observer.observe(Event::Warning {
                    text,
                    hint: Some(hint),
                });
                return Ok(Err(status));
            }
            stage.finish("");
        }
    }
    complete(args, one, &mut first, observer)?;
    Ok(Ok(first))
}

/// Ends a first deployment: it is marked no more, and has the image.
fn complete(
    args: &Args,
    one: &Prepared,
    first: &mut First,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    if !one.request.is_dry_run {
        first::mark(&one.cluster, args, &one.request, None, observer);
        first.outcome = Some(again(&one.cluster, args, &one.request, observer)?);
    }
    Ok(())
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
