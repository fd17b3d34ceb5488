//! The cluster is told, and watched until the new images run.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::{Args, Done, Plan, Planned};
use crate::cli::cluster::{confirm, mark_first, stopped};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::event::{Event, Observer, stage};
use crate::fs;
use crate::kubernetes::cluster::set_image::{Origin, Outcome, SetImage};
use crate::kubernetes::cluster::workload::{Workload, WorkloadKind, WorkloadName};
use crate::kubernetes::cluster::{Cluster, objects};
use crate::kubernetes::ready::{AUTO_TRIGGER, ReadyCheck};
use crate::kubernetes::rollout::{Grace, Image, Kind, Wanted};
use crate::kubernetes::watch::{self, Asked, Clock, Reconcile, Terms, Watched, Wish};
use crate::project::Operation;
use crate::release::history::{Facts, Target};
use crate::release::hopr::CONTAINER;
use crate::release::operation::Done as Performed;
use crate::yaml;

/// The script that a blueprint is deployed with for the first time.
pub(super) const SCRIPT: &str = "deploy.sh";
/// After the deadline, questions that tell why it was not kept.
const EXPLANATION: Duration = Duration::from_secs(10);
const SLICE: Duration = Duration::from_millis(50);

/// What the cluster has of a pod now.
pub(super) struct Deployed {
    /// What was changed, if the workload was there or is there now.
    pub(super) outcome: Outcome,
    /// The rollout, where it can be watched.
    pub(super) watched: Option<Watched>,
}

/// A cluster that answers, and that is meant.
///
/// # Errors
/// [`Code::Cluster`], [`Code::Forbidden`], [`Code::Refused`].
pub(super) fn connect(
    args: &Args,
    plan: &Plan,
    observer: &dyn Observer,
) -> Result<Cluster, Diagnostic> {
    let cluster = Cluster::connect(&plan.access, args.cluster.within(observer))?;
    confirm(&plan.access, &cluster, args.yes)?;
    // One that does not answer, or does not let us look, is known before anything is built or written.
    absent(args, plan, &cluster, observer)?;
    Ok(cluster)
}

/// The pods whose workload the cluster does not have, or has of a first deployment that was not completed.
fn absent<'p>(
    args: &Args,
    plan: &'p Plan,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<&'p Planned>, Diagnostic> {
    let mut absent = Vec::new();
    for planned in &plan.pods {
        let name = workload_name(planned);
        let there = cluster.workloads(
            args.cluster.within(observer),
            namespace(planned, cluster),
            Some(&name),
        )?;
        let is_partial = there.iter().any(|found| found.incomplete().is_some());
        if there.is_empty() || is_partial {
            absent.push(planned);
        }
    }
    Ok(absent)
}

/// Deploys what is not there yet, gives the others their new image, and waits for all of them.
///
/// # Errors
/// What the cluster says; [`Code::Script`] with the status of a script that failed; [`Code::RolloutFailed`], [`Code::RolloutTimeout`], [`Code::NotReady`].
pub(super) fn run(
    args: &Args,
    plan: &Plan,
    done: &[Done],
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<Deployed>, Diagnostic> {
    let fresh = first_time(args, plan, cluster, observer)?;
    let pods: Vec<(&Planned, &Done)> = plan.pods.iter().zip(done).collect();
    let mut outcomes = Vec::new();
    for (planned, done) in &pods {
        let deploying = stage(observer, "deploy", planned.pod.name.clone());
        let outcome = set_image(args, plan, planned, done, cluster, observer)?;
        for text in outcome.warnings.clone() {
            observer.observe(Event::Warning { text, hint: None });
        }
        deploying.finish(match outcome.is_changed {
            true => format!("{} instead of {}", outcome.image, outcome.previous_image),
            false => "unchanged".to_owned(),
        });
        outcomes.push(outcome);
    }
    let watched = watch_all(args, &pods, &outcomes, &fresh, cluster, observer)?;
    let deployed = outcomes.into_iter().zip(watched);
    Ok(deployed
        .map(|(outcome, watched)| Deployed { outcome, watched })
        .collect())
}

fn namespace<'a>(planned: &'a Planned, cluster: &'a Cluster) -> &'a str {
    planned
        .pod
        .workload
        .namespace
        .as_deref()
        .unwrap_or(cluster.namespace())
}

fn workload_name(planned: &Planned) -> WorkloadName {
    WorkloadName {
        kind: WorkloadKind::named(&planned.pod.workload.kind),
        name: planned.pod.workload.name.clone(),
    }
}

/// Deploys workloads that the cluster does not have, and names their pods: by the blueprint's own script as it is, else by applying the manifests.
fn first_time(
    args: &Args,
    plan: &Plan,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<BTreeSet<String>, Diagnostic> {
    let absent = absent(args, plan, cluster, observer)?;
    let names: BTreeSet<String> = absent
        .iter()
        .map(|planned| planned.pod.name.clone())
        .collect();
    if absent.is_empty() {
        return Ok(names);
    }
    let script = plan.root.join(SCRIPT);
    if script.is_file() {
        let ended = run_script(args, plan, &script, observer);
        let how = ended
            .is_err()
            .then(|| format!("`{SCRIPT}` did not end well"));
        for planned in absent {
            let (namespace, name) = (namespace(planned, cluster), workload_name(planned));
            let place = (namespace, Some(&name));
            let is_meant = |there: Vec<Workload>| {
                let is_it = |found: &Workload| found.name() == name.name;
                there.into_iter().filter(is_it).collect()
            };
            mark_first(
                cluster,
                &args.cluster,
                place,
                how.as_deref(),
                observer,
                is_meant,
            );
        }
        ended?;
        return Ok(names);
    }
    for planned in absent {
        let applying = stage(observer, "apply", planned.pod.name.clone());
        let mut all = Vec::new();
        for path in &planned.pod.manifests {
            let bytes = fs::read_limited(path, yaml::MOST_BYTES as u64)?;
            let text = String::from_utf8_lossy(&bytes);
            let objects = objects(&text).map_err(|error| {
                Diagnostic::new(Code::Manifest, format!("{}: {error}", path.display()))
            })?;
            all.extend(objects);
        }
        let workload = &planned.pod.workload;
        let meant = all.iter().find(|object| {
            object["kind"] == workload.kind.as_str()
                && object["metadata"]["name"] == workload.name.as_str()
        });
        let within = || args.cluster.within(observer);
        let applied = cluster.apply_all(within, &all, meant, false);
        let applied = applied.map_err(stopped)?;
        applying.finish(format!("{} objects", applied.len()));
    }
    Ok(names)
}

/// Runs the script unchanged, where it can only reach the cluster that is meant.
///
/// # Errors
/// [`Code::Script`] with its status when it failed.
fn run_script(
    args: &Args,
    plan: &Plan,
    script: &std::path::Path,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    // Scripts call kubectl, which takes the current context.
    let current = plan.access.contexts()?.current;
    if plan.access.context.is_some() && plan.access.context != current {
        return Err(Diagnostic::new(
            Code::Refused,
            format!(
                "`{SCRIPT}` would deploy to the current context `{}`, and `{}` is meant",
                current.unwrap_or_default(),
                plan.access.context.clone().unwrap_or_default()
            ),
        )
        .hint(
            "make it the current one: `kubectl config use-context`, or run the script yourself",
        ));
    }
    let running = stage(observer, "run", SCRIPT);
    let mut command = Command::new("bash");
    command
        .arg(script)
        .current_dir(&plan.root)
        .stdin(Stdio::null());
    // Its output is for people; what programs read is ours.
    command.stdout(std::io::stderr());
    if let Some(file) = &args.cluster.kubeconfig {
        command.env("KUBECONFIG", file);
    }
    let status = command
        .status()
        .map_err(|error| fs::Error::new("execute", script, error))?;
    if status.success() {
        running.finish("");
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let failed = Diagnostic::new(Code::Script, format!("`{SCRIPT}` failed: {status}"))
        .hint("what it printed is above; its status is this command's");
    Err(Diagnostic {
        status: Some(code.unwrap_or(1)),
        ..failed
    })
}

/// Gives the container its image, with the project's hooks and a record around it.
fn set_image(
    args: &Args,
    plan: &Plan,
    planned: &Planned,
    done: &Done,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Outcome, Diagnostic> {
    let namespace = namespace(planned, cluster).to_owned();
    let request = SetImage {
        namespace: namespace.clone(),
        workload: Some(workload_name(planned)),
        container: Some(CONTAINER.to_owned()),
        image: done.deployed.clone(),
        origin: match plan.choice.target.is_loaded() {
            true => Origin::Loaded,
            false => Origin::Registry,
        },
        is_content_tag: true,
        fixes_pull_policy: false,
        cause: format!("overcoat up: {}", done.deployed),
        is_dry_run: false,
    };
    let workload = &planned.pod.workload;
    let facts = Facts {
        image: Some(done.deployed.without_digest().to_string()),
        digest: Some(done.made.image.digest().clone()),
        target: Some(Target::Cluster {
            context: plan.access.context.clone(),
            namespace,
            workload: format!("{}/{}", workload.kind, workload.name),
            container: CONTAINER.to_owned(),
        }),
        ..Facts::default()
    };
    let name = &planned.pod.name;
    let environment = args.environment.as_deref();
    let begin = plan
        .place
        .beginning(Operation::Deploy, name, environment, facts.clone());
    let performed = plan.place.perform(begin, observer, |observer, _| {
        let outcome = cluster.set_image(args.cluster.within(observer), &request)?;
        let facts = Facts {
            previous: Some(outcome.previous_image.clone()),
            ..facts
        };
        Ok(Performed {
            value: Some(outcome),
            facts,
            platforms: Vec::new(),
            result_file: None,
        })
    })?;
    performed
        .value
        .ok_or_else(|| Diagnostic::new(Code::Internal, "a deployment has no result"))
}

/// Waits for all rollouts, with one deadline. What cannot be watched is told.
fn watch_all(
    args: &Args,
    pods: &[(&Planned, &Done)],
    outcomes: &[Outcome],
    fresh: &BTreeSet<String>,
    cluster: &Cluster,
    observer: &dyn Observer,
) -> Result<Vec<Option<Watched>>, Diagnostic> {
    let mut wishes = Vec::new();
    let mut places = Vec::new();
    for (place, ((planned, done), outcome)) in pods.iter().zip(outcomes).enumerate() {
        let workload = &planned.pod.workload;
        let Ok(kind) = workload.kind.parse::<Kind>() else {
            observer.observe(Event::Warning {
                text: format!(
                    "the rollout of {}/{} cannot be watched",
                    workload.kind, workload.name
                ),
                hint: None,
            });
            continue;
        };
        let mut image = Image::new(done.deployed.clone());
        image.digests.insert(done.made.image.digest().clone());
        image
            .configs
            .insert(done.made.image.config.descriptor.digest.clone());
        let is_asked = planned.has_trigger
            && !args.no_auto_trigger
            && (outcome.is_changed || fresh.contains(&planned.pod.name) || args.watch_log);
        let ready = match is_asked {
            true => vec![
                ReadyCheck::count(AUTO_TRIGGER)
                    .map_err(|error| Diagnostic::new(Code::Internal, error))?,
            ],
            false => Vec::new(),
        };
        wishes.push(Wish {
            namespace: namespace(planned, cluster).to_owned(),
            kind: Some(kind),
            name: workload.name.clone(),
            wanted: Wanted {
                container: Some(CONTAINER.to_owned()),
                image: Some(image),
            },
            reconcile: Reconcile::Never,
            with_source: false,
            awaits_creation: false,
            ready,
        });
        places.push(place);
    }
    let start = Instant::now();
    let now = || start.elapsed();
    let pause = |time: Duration| {
        let end = Instant::now() + time;
        while !observer.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
    };
    let requested_at = humantime::format_rfc3339_nanos(SystemTime::now()).to_string();
    let terms = Terms {
        timeout: args.timeout,
        interval: Duration::from_secs(1),
        grace: Grace::default(),
        requested_at: &requested_at,
        clock: Clock {
            now: &now,
            pause: &pause,
        },
        observer,
    };
    let asked = Asked {
        cluster,
        observer,
        deadline: start + args.timeout + EXPLANATION,
    };
    let mut watched: Vec<Option<Watched>> = pods.iter().map(|_| None).collect();
    if wishes.is_empty() {
        return Ok(watched);
    }
    let done = watch::watch(&asked, &wishes, &terms)?;
    for (place, one) in places.into_iter().zip(done) {
        watched[place] = Some(one);
    }
    Ok(watched)
}
