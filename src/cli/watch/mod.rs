//! `overcoat watch`.

mod deployed;
pub(super) mod expand;
mod known;
mod outcome;
mod wishes;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::Args as ClapArgs;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::records::{self, rollouts};
use super::{args, cluster, observer, project};
use crate::event::Observer;
use crate::kubernetes::cluster::{Cluster, Within};
use crate::kubernetes::ready::{AUTO_TRIGGER, ReadyCheck};
use crate::kubernetes::rollout::{Cause, Grace};
use crate::kubernetes::watch::{self, Ended, Live, Wish};
use wishes::Place;

/// Wait until the new image runs, and say why if it does not
///
/// Watches Deployments, StatefulSets, DaemonSets, Jobs and Argo Rollouts: those of the project's applications, or the one that
/// `--workload` names. In a project, what came of it is recorded beside the deployment. The image is the one of `build_result.json` or
/// `--image`, or that of the environment's live deployment if that is on record as newer than the file, as after a rollback; it is
/// found by the container's name and compared by
/// digest. Ends with 0 only when it runs in all pods; with 92 when the rollout has failed, with the reason, the event and
/// the last lines of the container; with 93 when the time is over; with 94 when the pods run but did not say that they
/// are ready. Prints a line for each workload.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// Applications of the project [default: all of them]
    #[arg(value_name = "APP", conflicts_with = "workload")]
    apps: Vec<String>,

    /// The environment whose context, namespace and registry count
    #[arg(long, short, value_name = "ENV", env = "OVERCOAT_ENVIRONMENT")]
    environment: Option<String>,

    /// The namespace [default: the environment's, else that of the context]
    #[arg(long, short, value_name = "N")]
    namespace: Option<String>,

    /// The context of the kubeconfig [default: the environment's, else the current one]
    #[arg(long, value_name = "C")]
    context: Option<String>,

    /// The kubeconfig [default: KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// A workload, `KIND/NAME` or a name alone, in place of applications; may be repeated
    #[arg(long, visible_alias = "component", value_name = "WORKLOAD")]
    workload: Vec<String>,

    /// The container that runs the image [default: the application's, the only one, or that with an image of this repository]
    #[arg(long, value_name = "NAME")]
    container: Option<String>,

    /// The image that should run: a tag counts as a whole, a digest decides
    #[arg(long, value_name = "REF", conflicts_with_all = ["build_result", "image_name", "current"])]
    image: Option<String>,

    /// The file of results, or its directory, that says which image should run [default: `build_result.json`, or what was deployed since]
    #[arg(long, visible_alias = "build-result-dir", value_name = "PATH")]
    build_result: Option<PathBuf>,

    /// The image of the results by its `imageName` [default: the application's; for `--workload` the last, for several the one of the workload's name if there is one]
    #[arg(long, value_name = "N")]
    image_name: Option<String>,

    /// Watch the rollout of the image that the workload names now, whatever it is: no file of results is read
    #[arg(long, conflicts_with = "image_name")]
    current: bool,

    /// One more digest that is the wanted image: a platform's of an index that cannot be read from here
    #[arg(long, value_name = "DIGEST")]
    accept_digest: Vec<crate::digest::Digest>,

    /// Do not ask the registry what a tag stands for: the tag alone is compared
    #[arg(long)]
    no_verify: bool,

    /// How long everything together may take
    #[arg(long, value_name = "TIME", value_parser = args::time_limit, default_value = "30m")]
    timeout: Duration,

    /// How often to look where the cluster does not tell changes by itself, and into logs
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2s")]
    interval: Duration,

    /// Whom to ask in Flux to look at its sources now: `helmrelease/NAME`, `kustomization/NAME`, `auto`, `none`
    ///
    /// `auto` asks whoever the labels of the workload name, and goes on if that cannot be done.
    #[arg(long, value_name = "WHOM", default_value = "auto")]
    reconcile: String,

    /// Ask Flux for the source of that first
    #[arg(long)]
    with_source: bool,

    /// Wait for workloads that are not there yet
    #[arg(long)]
    wait_for_creation: bool,

    /// A line that each new pod has to print before it counts as ready; may be repeated
    #[arg(long, value_name = "REGEX")]
    ready_log: Vec<String>,

    /// Each new pod has to tell that all of its messages were sent, as the gateways of Hopr do
    #[arg(long)]
    auto_trigger: bool,

    /// How such a line looks: a regular expression with two groups, for the numbers that have to be equal
    #[arg(long, value_name = "REGEX", default_value = AUTO_TRIGGER, requires = "auto_trigger")]
    auto_trigger_pattern: String,

    /// How long a failed pull and the like may last before it is a failure
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "20s")]
    grace: Duration,

    /// How long a failing readiness probe, a pod without a node and a missing volume may last
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "2m")]
    probe_grace: Duration,

    /// How often a container may end
    #[arg(long, value_name = "N", default_value_t = 1)]
    restarts: u64,

    /// How long a rollout without a readiness probe has to stay complete
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "3s")]
    stable: Duration,

    /// How to print the result
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    format: Format,

    /// Say nothing but what failed
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<(), Diagnostic> {
    let start = Instant::now();
    if args.interval.is_zero() {
        return Err(Diagnostic::new(
            Code::Usage,
            "an `--interval` of nothing would never end",
        ));
    }
    let ready = ready(args)?;
    let project = project::load(shared)?;
    let place = Place::of(args, &project)?;
    let observer = observer(shared, args.quiet)?;
    let observer = observer.as_ref();
    let told = wishes::Told { shared, observer };
    let mut wishes = wishes::of(args, &project, &place, &ready, &told)?;
    let flags = cluster::Flags {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        cluster_timeout: args.timeout,
    };
    let access = flags.access(shared, place.environment, args.namespace.as_deref())?;
    let deadline = start + args.timeout;
    let cluster = Cluster::connect(&access, Within { observer, deadline })?;
    for wish in &mut wishes {
        cluster.namespace().clone_into(&mut wish.namespace);
    }
    known::complete(&mut wishes, &cluster, args, shared, &project, observer)?;
    let context = &cluster.target().context;
    let awaited = wishes::awaited(args, &project, &wishes, context.as_deref());
    let records = match project::is_there(shared, Path::new("."))? {
        true => Some(records::Place::of(project.clone(), shared)?),
        false => None,
    };
    let watched = rollouts::recorded(records.as_ref(), &awaited, observer, |observer| {
        let ended = look(args, &cluster, &wishes, start, observer);
        if let Some(watch::Error::Failed { reason, .. }) = &ended.error
            && reason.cause == Cause::OtherBytes
            && expand::expand(&mut wishes, shared, &project, observer)
        {
            // What runs may be one platform of the wanted index; now that is known.
            return look(args, &cluster, &wishes, start, observer);
        }
        ended
    });
    let watched = watched.into_result().map_err(|error| {
        let is_silent = matches!(error, watch::Error::NotReady { .. });
        let diagnostic = Diagnostic::from(error);
        match (is_silent, args.auto_trigger) {
            (false, _) => diagnostic,
            (true, true) => {
                diagnostic.hint("how its line looks is said by `--auto-trigger-pattern REGEX`")
            }
            (true, false) => {
                diagnostic.hint("the line that is awaited is that of `--ready-log REGEX`")
            }
        }
    })?;
    outcome::print(&watched, args.format)
}

fn look(
    args: &Args,
    cluster: &Cluster,
    wishes: &[Wish],
    start: Instant,
    observer: &dyn Observer,
) -> Ended {
    let requested_at = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    let live = Live {
        start,
        timeout: args.timeout,
        interval: args.interval,
        grace: Grace {
            restarts: args.restarts,
            brief: args.grace,
            slow: args.probe_grace,
            stable: args.stable,
        },
        requested_at: &requested_at,
        observer,
    };
    watch::live(cluster, wishes, &live)
}

/// What new pods have to say.
fn ready(args: &Args) -> Result<Vec<ReadyCheck>, Diagnostic> {
    let usage = |error| Diagnostic::new(Code::Usage, error);
    let lines = args
        .ready_log
        .iter()
        .map(|pattern| ReadyCheck::line(pattern));
    let count = args
        .auto_trigger
        .then(|| ReadyCheck::count(&args.auto_trigger_pattern));
    lines.chain(count).collect::<Result<_, _>>().map_err(usage)
}
