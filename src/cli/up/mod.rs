//! `overcoat up`: the pods of a blueprint, from edited files to running containers.
//!
//! ```text
//! discover ─▶ check ─▶ build ─▶ load or push, verify ─▶ edit manifests ─▶ deploy ─▶ wait, auto-trigger ─▶ results
//! ```
//!
//! Every step can be done again: builds are found in the cache, images are known by their content, manifests are edited all or
//! none and only where they differ, the cluster is told nothing that it has. Whoever was interrupted starts again.

mod back;
mod baseline;
mod checks;
mod child;
mod deliver;
mod deploy;
mod first;
mod lock;
mod make;
mod plan;
mod rollouts;
mod samples;
mod standing;
mod syntax;
mod tell;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use self::make::Made;
use super::args::{self, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::records::Place;
use super::{cluster, creds, local, observer};
use crate::build::Tag;
use crate::event::stage;
use crate::kubernetes::cluster::Access;
use crate::kubernetes::local::{Choice, Wanted};
use crate::project::Operation;
use crate::reference::Reference;
use crate::release::history::{Begin, Facts};
use crate::release::hopr::{self, Pod};
use crate::release::samples::Samples;
use syntax::Who;

/// Build the changed pods of a blueprint, and bring them into the cluster
///
/// Pods are directories with `app/app.py` and a manifest with a workload that has a container `web-app`. Before anything is
/// built, `app.py` is checked: only Section 1 may differ from what was delivered, the functions that Hopr calls must be there, and
/// no secrets may lie in the directory that becomes an image. Prints one line `POD IMAGE` for each pod. docs/up.md tells all of it.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The pods, by the names of their directories [default: all]
    #[arg(value_name = "POD")]
    pods: Vec<String>,

    /// The blueprint's directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,

    /// How the images get into the cluster: `auto` (what the context says), `k3d[:CLUSTER]`, `kind[:CLUSTER]`,
    /// `minikube[:PROFILE]`, `registry`, or `archive[:FILE]`, which writes files and deploys nothing
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    to: Wanted,

    /// Where images are pushed: each pod's is `REPO/POD` [default: the name that the manifest has]
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,

    /// The environment of the project whose context and registry count
    #[arg(long, value_name = "ENV", env = "OVERCOAT_ENVIRONMENT")]
    environment: Option<String>,

    #[command(flatten)]
    cluster: cluster::Flags,

    /// The builder image
    #[arg(long, value_name = "IMG", default_value = super::build::DEFAULT_BUILDER)]
    build_image: String,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the result, or the plan, for programs
    #[arg(long)]
    json: bool,

    /// Leave the manifests as they are
    #[arg(long)]
    no_edit: bool,

    /// Stop before the cluster is told anything
    #[arg(long)]
    no_deploy: bool,

    /// Check the auto-trigger of gateways also where nothing has changed
    #[arg(long, conflicts_with = "no_auto_trigger")]
    watch_log: bool,

    /// Do not check the auto-trigger
    #[arg(long)]
    no_auto_trigger: bool,

    /// When the rollout or the auto-trigger fails, put back what manifests and cluster named before
    #[arg(long, conflicts_with = "no_deploy")]
    rollback_on_failure: bool,

    /// Before anything is loaded or pushed, call the functions of Section 1 in the built images with the arguments of this file, in the sandbox
    #[arg(long, value_name = "FILE")]
    call_hooks: Option<PathBuf>,

    /// Build although something outside of Section 1 differs
    #[arg(long)]
    allow_section2: bool,

    /// Build although there are secrets among the files
    #[arg(long)]
    allow_secrets: bool,

    /// The commit that has the delivered files [default: the first that has them]
    #[arg(long, value_name = "REV")]
    baseline: Option<String>,

    /// Let the python3 of this machine say whether `app.py` compiles, without executing anything [default: if there is one; else the image's does]
    #[arg(long)]
    check_syntax: bool,

    /// Ask no Python whether `app.py` compiles
    #[arg(long, conflicts_with = "check_syntax")]
    no_check_syntax: bool,

    /// Write down what is outside of Section 1 now, as delivered, into `.overcoat-hopr.lock`; nothing is built
    #[arg(long)]
    lock: bool,

    /// A cluster that is not of this machine is meant
    #[arg(long, short)]
    yes: bool,

    /// How long loading, and the rollout, may each take
    #[arg(long, value_name = "TIME", value_parser = args::time_limit, default_value = "10m")]
    timeout: Duration,

    #[command(flatten)]
    creds: creds::Flags,
}

/// What is known before anything is done.
struct Plan {
    root: PathBuf,
    pods: Vec<Planned>,
    choice: Choice,
    access: Access,
    place: Place,
    /// True when the cluster is told.
    is_deployed: bool,
}

/// One pod, and what its image will be called.
struct Planned {
    pod: Pod,
    /// The application of the project that it is, else its own name: what records call it.
    application: String,
    /// Its name with the tag still to come.
    name: Tag,
    /// Whether its Section 1 defines the function whose call is checked.
    has_trigger: bool,
}

/// What became of a pod.
struct Done {
    /// What manifests call its image: with the digest where nodes pull it, else with the tag alone.
    deployed: Reference,
    made: Made,
    delivered: local::Delivered,
}

impl Plan {
    /// What is known of an operation of a pod when it begins.
    fn beginning(
        &self,
        args: &Args,
        planned: &Planned,
        operation: Operation,
        facts: Facts,
    ) -> Begin {
        let environment = args.environment.as_deref();
        self.place
            .beginning(operation, &planned.application, environment, facts)
    }
}

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let start = Instant::now();
    let observer = observer(shared, false)?;
    let observer = observer.as_ref();
    let root = std::path::absolute(&args.root)
        .map_err(|error| crate::fs::Error::new("find", args.root.clone(), error))?;
    let pods = hopr::discover(&root, &args.pods)?;
    if args.lock {
        return lock::run(args, &root, &pods, observer).map(|()| Code::Success as u8);
    }
    let samples = args.call_hooks.as_deref().map(Samples::read).transpose()?;
    let mut plan = plan::plan(args, shared, root, pods)?;
    stage(observer, "target", plan.choice.target.to_string()).finish(plan.choice.because.clone());
    checks::run(args, &mut plan, shared, observer)?;
    if args.dry_run {
        tell::plan(args, &plan)?;
        return Ok(Code::Success as u8);
    }
    // A loader that is not there, or a cluster that cannot be reached, is better known before minutes of work.
    local::ready(&plan.choice.target, args.timeout, shared, observer)?;
    let cluster = match plan.is_deployed {
        true => Some(standing::connect(args, &plan, observer)?),
        false => None,
    };
    let hosting = deliver::hosting(args, &plan, cluster.as_ref(), observer)?;
    let earlier = match args.rollback_on_failure {
        true => make::earlier_results(&plan)?,
        false => Vec::new(),
    };
    let made = match make::all(args, &plan, shared, observer)? {
        Ok(made) => made,
        // The build has told what was wrong.
        Err(status) => return Ok(status),
    };
    if syntax::who(args) == Who::Image {
        syntax::in_images(&plan, &made, shared, observer)?;
    }
    if let Some(samples) = &samples {
        samples::call(args, &plan, &made, samples, shared, observer)?;
    }
    let done = deliver::all(args, &plan, made, hosting.as_ref(), shared, observer)?;
    let standing = match &cluster {
        Some(cluster) => standing::look(args, &plan, &done, cluster, observer)?,
        None => Vec::new(),
    };
    let edits = match args.no_edit {
        true => Vec::new(),
        false => deliver::edit(&plan, &done, observer)?,
    };
    // The images are where they were to go, whatever becomes of the rollout.
    make::results(&plan, &done)?;
    let mut deployed = Vec::new();
    if let Some(cluster) = &cluster {
        let scene = deploy::Scene {
            args,
            plan: &plan,
            done: &done,
            edits: &edits,
            earlier: &earlier,
            cluster,
        };
        deployed = deploy::run(&scene, standing, observer)?;
    }
    let report = tell::Report {
        plan: &plan,
        done: &done,
        edits: &edits,
        deployed: &deployed,
    };
    report.tell(args, start.elapsed(), observer)?;
    Ok(Code::Success as u8)
}
