//! `overcoat up`: the pods of a blueprint, from edited files to running containers.
//!
//! ```text
//! discover ─▶ check ─▶ build ─▶ load or push, verify ─▶ edit manifests ─▶ deploy ─▶ wait, auto-trigger ─▶ results
//! ```
//!
//! Every step can be done again: builds are found in the cache, images are known by their content, manifests are edited all or
//! none and only where they differ, the cluster is told nothing that it has. Whoever was interrupted starts again.

mod baseline;
mod checks;
mod deploy;
mod make;
mod tell;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;

use self::make::Made;
use super::args::{self, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::records::Place;
use super::{cluster, creds, local, observer, project};
use crate::build::Tag;
use crate::event::{Observer, stage};
use crate::kubernetes::cluster::Access;
use crate::kubernetes::local::{Choice, Confirmed, Target, Wanted, choose};
use crate::kubernetes::manifest::Edited;
use crate::project::{Environment, Project};
use crate::reference::Reference;
use crate::release::hopr::{self, Pod};

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

    /// Build although something outside of Section 1 differs
    #[arg(long)]
    allow_section2: bool,

    /// Build although there are secrets among the files
    #[arg(long)]
    allow_secrets: bool,

    /// The commit that has the delivered files [default: the first that has them]
    #[arg(long, value_name = "REV")]
    baseline: Option<String>,

    /// Let the python3 of this machine check the syntax too, without executing anything
    #[arg(long)]
    check_syntax: bool,

    /// Write down what is outside of Section 1 now, as delivered, into `.overcoat-hopr.lock`; nothing is built
    #[arg(long)]
    lock: bool,

    /// A cluster that is not of this machine is meant
    #[arg(long, short)]
    yes: bool,

    /// How long loading, and the rollout, may each take
    #[arg(long, value_name = "TIME", value_parser = args::duration, default_value = "10m")]
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

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let start = Instant::now();
    let observer = observer(shared, false)?;
    let observer = observer.as_ref();
    let root = std::path::absolute(&args.root)
        .map_err(|error| crate::fs::Error::new("find", args.root.clone(), error))?;
    let pods = hopr::discover(&root, &args.pods)?;
    if args.lock {
        return checks::lock(&root, &pods, args.dry_run).map(|()| Code::Success as u8);
    }
    let mut plan = plan(args, shared, root, pods)?;
    stage(observer, "target", plan.choice.target.to_string()).finish(plan.choice.because.clone());
    checks::run(args, &mut plan, shared, observer)?;
    if args.dry_run {
        tell::plan(args, &plan)?;
        return Ok(Code::Success as u8);
    }
    // A cluster that cannot be reached is better known before minutes of work.
    let cluster = match plan.is_deployed {
        true => Some(deploy::connect(args, &plan, observer)?),
        false => None,
    };
    let made = match make::all(args, &plan, shared, observer)? {
        Ok(made) => made,
        // The build has told what was wrong.
        Err(status) => return Ok(status),
    };
    let done = deliver(args, &plan, made, cluster.as_ref(), shared, observer)?;
    let edits = match args.no_edit {
        true => Vec::new(),
        false => edit(&plan, &done, observer)?,
    };
    // The images are where they were to go, whatever becomes of the rollout.
    make::results(&plan, &done)?;
    let mut rollouts = Vec::new();
    if let Some(cluster) = &cluster {
        rollouts = deploy::run(args, &plan, &done, cluster, observer)?;
    }
    tell::done(args, &plan, &done, &edits, &rollouts, start.elapsed())?;
    Ok(Code::Success as u8)
}

fn plan(args: &Args, shared: &Shared, root: PathBuf, pods: Vec<Pod>) -> Result<Plan, Diagnostic> {
    let project = project::load_from(shared, &root)?;
    let environment = args
        .environment
        .as_deref()
        .map(|name| project.environment(name))
        .transpose()?;
    let mut access = args.cluster.access(shared, environment, None)?;
    let context = match &access.context {
        Some(context) => Some(context.clone()),
        None => access.contexts()?.current,
    };
    let confirmed = if args.yes {
        Confirmed::Yes
    } else {
        Confirmed::No
    };
    let choice = choose(&args.to, context.as_deref(), confirmed)?;
    // Who loads into one cluster does not want another one to be told.
    if access.context.is_none() {
        access.context = match &choice.target {
            Target::K3d(name) => Some(format!("k3d-{name}")),
            Target::Kind(name) => Some(format!("kind-{name}")),
            Target::Minikube(name) => Some(name.clone()),
            Target::Registry => context,
            Target::Archive(_) => None,
        };
    }
    if let (Target::Archive(Some(file)), [_, _, ..]) = (&choice.target, pods.as_slice()) {
        return Err(Diagnostic::new(
            Code::Usage,
            format!(
                "`{}` is one file, and there are {} pods",
                file.display(),
                pods.len()
            ),
        )
        .hint("`--to archive` writes one for each pod, `POD.tar`"));
    }
    let names = pods.into_iter().map(|pod| {
        let name = name_of(args, &project, environment, &pod, &choice.target)?;
        Ok(Planned {
            pod,
            name,
            has_trigger: false,
        })
    });
    let pods = names.collect::<Result<_, Diagnostic>>()?;
    let is_archive = matches!(choice.target, Target::Archive(_));
    Ok(Plan {
        root,
        pods,
        is_deployed: !is_archive && !args.no_deploy,
        choice,
        access,
        place: Place::of(project, shared)?,
    })
}

/// What a pod's image is called: below what is said on the command line or by the environment, else as in the manifest, for
/// that is where its nodes look.
fn name_of(
    args: &Args,
    project: &Project,
    environment: Option<&Environment>,
    pod: &Pod,
    target: &Target,
) -> Result<Tag, Diagnostic> {
    let registry = environment.and_then(|environment| environment.registry.as_ref());
    let root = args
        .repo
        .clone()
        .or_else(|| registry.map(|registry| registry.value.clone()));
    let plain =
        Tag::from_directory_name(&pod.name).map_or_else(|| "pod".to_owned(), |tag| tag.typed);
    let written = pod
        .workload
        .image
        .as_deref()
        .and_then(|image| image.parse::<Reference>().ok());
    let of_project = project
        .registry
        .as_ref()
        .filter(|registry| registry.origin != crate::project::Origin::Default);
    let name = match (root, written, of_project) {
        (Some(root), _, _) => format!("{}/{plain}", root.trim_end_matches('/')),
        (None, Some(written), _) => written.name(),
        (None, None, Some(registry)) => format!("{}/{plain}", registry.value),
        (None, None, None) if target.is_loaded() => plain,
        (None, None, None) => {
            return Err(Diagnostic::new(
                Code::Usage,
                format!(
                    "nothing says where the image of the pod `{}` is to be pushed",
                    pod.name
                ),
            )
            .hint("say it: `--repo HOST/NAME`"));
        }
    };
    let tag = format!("{name}{}", crate::build::CONTENT).parse();
    tag.map_err(|error| {
        Diagnostic::from(error)
            .attempting(format!("cannot name the image of the pod `{}`", pod.name))
    })
}

/// Brings the images to where they are wanted, and knows by what names manifests call them then.
fn deliver(
    args: &Args,
    plan: &Plan,
    made: Vec<Made>,
    cluster: Option<&crate::kubernetes::cluster::Cluster>,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Vec<Done>, Diagnostic> {
    // A registry on this machine may have another name inside the cluster.
    let hosting = match (cluster, &plan.choice.target) {
        (Some(cluster), Target::Registry) => {
            cluster.local_registry(args.cluster.within(observer))?
        }
        _ => None,
    };
    let mut done = Vec::new();
    for (planned, made) in plan.pods.iter().zip(made) {
        let push_name = hosting
            .as_ref()
            .and_then(|hosting| hosting.push_name(&made.name));
        let name = push_name.unwrap_or_else(|| made.name.clone());
        let way = local::Way {
            target: &plan.choice.target,
            limit: args.timeout,
            creds: &args.creds,
            file: format!("{}.tar", planned.pod.name).into(),
        };
        let work =
            |observer: &dyn Observer| local::deliver(&made.image, &name, &way, shared, observer);
        let delivered = make::recorded(plan, args, planned, &made, observer, work)?;
        let deploy_name = hosting
            .as_ref()
            .and_then(|hosting| hosting.deploy_name(&delivered.name));
        done.push(Done {
            deployed: deploy_name.unwrap_or_else(|| delivered.name.clone()),
            made,
            delivered,
        });
    }
    Ok(done)
}

/// Edits the manifests of all pods, or none.
fn edit(plan: &Plan, done: &[Done], observer: &dyn Observer) -> Result<Vec<Edited>, Diagnostic> {
    let images: Vec<String> = done.iter().map(|done| done.deployed.to_string()).collect();
    let pods: Vec<&Pod> = plan.pods.iter().map(|planned| &planned.pod).collect();
    let edits = checks::edits(&pods, &images)?;
    crate::kubernetes::manifest::apply_all(&edits)?;
    for edited in edits.iter().filter(|edited| edited.is_change()) {
        stage(observer, "edit", edited.path.display().to_string()).finish("");
    }
    Ok(edits)
}

impl From<hopr::Error> for Diagnostic {
    fn from(error: hopr::Error) -> Self {
        use hopr::Error;
        let hints = error.hints();
        let code = match error {
            Error::File(error) => return error.into(),
            Error::NoPods { .. } | Error::NotText { .. } | Error::TooMany { .. } => Code::NoSource,
            Error::NoSuchPod { .. } => Code::NoEnvironment,
            Error::SameName { .. } => Code::Usage,
            Error::NoWorkload { .. } => Code::NoContainer,
            Error::SeveralWorkloads { .. } => Code::Ambiguous,
            Error::Lock { .. } => Code::Project,
        };
        Self {
            hints,
            ..Self::new(code, &error)
        }
    }
}
