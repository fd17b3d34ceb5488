//! The judgement of one moment.

use serde_json::Value;

use super::image::{Named, Running};
use super::pods::{Pod, new_pods, not_created, troubles};
use super::progress::{Progress, expected, is_observed, progress};
use super::{Cause, Done, Kind, Reason, State, Verdict, Wanted, jobs, title};
use crate::kubernetes::object::{count, is_true, items, shown, text};

/// Says how far the rollout of the wanted image has come.
///
/// In this order: the container is found by name; the pod template names the wanted image; the controller has seen that
/// template; its counters and the new pods agree that enough of them are ready; and these run the wanted bytes.
/// Troubles are told with [`Verdict::Waiting`]; which of them last too long, [`super::Patience`] decides.
pub fn judge(state: &State, wanted: &Wanted) -> Verdict {
    let container = match choose(state, wanted) {
        Ok(container) => container,
        Err(reason) => return Verdict::Failed(Box::new(reason)),
    };
    let name = text(container, "/name");
    let image = text(container, "/image");
    let named = match &wanted.image {
        Some(image_wanted) => image_wanted.named_by(image),
        None => Named::ByDigest,
    };
    if named == Named::Other {
        let shown_wanted = wanted.image.as_ref().map(super::Image::shown);
        let why = format!(
            "container `{}` of {} is to run `{}`, not yet `{}`",
            shown(name),
            title(state),
            shown(image),
            shown_wanted.unwrap_or_default(),
        );
        return waiting(why, Vec::new());
    }
    if !is_observed(state) {
        let seen = &state.workload["status"]["observedGeneration"];
        let seen = seen
            .as_str()
            .map_or_else(|| seen.as_u64().unwrap_or(0).to_string(), shown);
        let why = format!(
            "the controller has seen generation {seen} of {}, which is at {}",
            title(state),
            count(&state.workload, "/metadata/generation"),
        );
        // The controllers of StatefulSets and DaemonSets that may not create a pod say so by an event, and nothing in
        // the status: not even that they have seen the template (Kubernetes 1.20).
        return waiting(why, not_created(state).into_iter().collect());
    }
    let mut troubles = troubles(state);
    match progress(state) {
        Progress::Under(why) if state.kind == Kind::Job => {
            troubles.retain(|reason| !jobs::is_its_own_matter(reason.cause));
            waiting(format!("{}: {why}", title(state)), troubles)
        }
        Progress::Under(why) => waiting(format!("{}: {why}", title(state)), troubles),
        Progress::Stopped(reason) => Verdict::Failed(Box::new(explained(reason, troubles))),
        Progress::Complete(pods) => complete(state, wanted, (name, image, named), pods, troubles),
    }
}

/// Says what should be in the pods when the counters are right.
fn complete(
    state: &State,
    wanted: &Wanted,
    (container, image, named): (&str, &str, Named),
    pods: u64,
    troubles: Vec<Reason>,
) -> Verdict {
    let mut ready = new_pods(state);
    // Those of a Job have ended, and are as they should be.
    ready.retain(|pod| state.kind == Kind::Job || pod.is_ready(container));
    if (ready.len() as u64) < pods {
        let why = format!(
            "{}: in {} of {pods} new pods, container `{}` is ready",
            title(state),
            ready.len(),
            shown(container)
        );
        return waiting(why, troubles);
    }
    let mut notes = of_times(state, wanted, named, ready.is_empty());
    for pod in &ready {
        match running(wanted, *pod, container) {
            Some((Running::Other(digest), _)) if named == Named::ByTag => {
                return Verdict::Failed(Box::new(Reason {
                    pod: Some(pod.name().to_owned()),
                    container: Some(container.to_owned()),
                    ..Reason::of(
                        title(state),
                        Cause::OtherBytes,
                        format!("`{}` was pulled as {digest}", shown(image)),
                    )
                }));
            }
            Some((Running::Other(digest), _)) if named == Named::Perhaps => {
                let why = format!("{} runs {digest}, not yet what is wanted", title(state));
                return waiting(why, troubles);
            }
            Some((Running::Unknown, id)) if named != Named::ByDigest && notes.is_empty() => {
                notes.push(format!(
                    "whether pod `{}` runs the wanted bytes cannot be told by its image id `{}`",
                    pod.name(),
                    shown(id)
                ));
            }
            _ => {}
        }
    }
    if expected(state) == 0 && state.kind != Kind::CronJob {
        notes.push(format!("{} has no pod to run the image in", title(state)));
    }
    Verdict::Done(Done {
        pods: ready.iter().map(|pod| shown(pod.name())).collect(),
        container: shown(container),
        image: shown(image),
        notes,
        is_certain: is_certain(state, container),
    })
}

/// What is to be said of workloads that do not run all the time.
fn of_times(state: &State, wanted: &Wanted, named: Named, is_empty: bool) -> Vec<String> {
    let workload = &state.workload;
    let has_digest = wanted
        .image
        .as_ref()
        .is_some_and(|image| !image.digests.is_empty());
    match state.kind {
        Kind::CronJob if is_true(workload, "/spec/suspend") => vec![format!(
            "nothing of {} rolls out: its next run uses the image, and it is suspended",
            title(state)
        )],
        Kind::CronJob => vec![format!(
            "nothing of {} rolls out: its next run uses the image (schedule `{}`)",
            title(state),
            shown(text(workload, "/spec/schedule"))
        )],
        Kind::Job if is_empty && has_digest && named != Named::ByDigest => vec![format!(
            "the pods of {} are gone: whether they ran the wanted bytes cannot be told",
            title(state)
        )],
        _ => Vec::new(),
    }
}

/// What a pod's container runs; none when no digest is wanted.
pub(super) fn running<'s>(
    wanted: &Wanted,
    pod: Pod<'s>,
    container: &str,
) -> Option<(Running, &'s str)> {
    let image = wanted.image.as_ref()?;
    if image.digests.is_empty() && image.configs.is_empty() {
        return None;
    }
    let id = pod
        .container(container)
        .map_or("", |status| text(status, "/imageID"));
    Some((image.run_as(id), id))
}

fn is_certain(state: &State, container: &str) -> bool {
    if matches!(state.kind, Kind::Job | Kind::CronJob) {
        return true;
    }
    let probed =
        find(state, container).is_some_and(|container| container.get("readinessProbe").is_some());
    probed || count(&state.workload, "/spec/minReadySeconds") > 0 || expected(state) == 0
}

fn waiting(why: String, troubles: Vec<Reason>) -> Verdict {
    Verdict::Waiting { why, troubles }
}

/// A controller that gave up says little; what is the matter with its pods says why.
fn explained(reason: Reason, troubles: Vec<Reason>) -> Reason {
    let Some(trouble) = troubles.into_iter().next() else {
        return reason;
    };
    let message = match reason.message.is_empty() {
        true => trouble.to_string(),
        false => format!("{}; {trouble}", reason.message),
    };
    Reason {
        cause: reason.cause,
        object: reason.object,
        message,
        ..trouble
    }
}

fn containers(state: &State) -> impl Iterator<Item = &Value> {
    let list = |key: &str| items(&state.workload, &format!("{}/{key}", state.kind.pod_spec()));
    list("containers").iter().chain(list("initContainers"))
}

fn find<'s>(state: &'s State, name: &str) -> Option<&'s Value> {
    containers(state).find(|one| text(one, "/name") == name)
}

/// The container that is meant: by its name; else the only one; else the only one with an image of the wanted
/// repository. Its place in the list says nothing.
pub(super) fn choose<'s>(state: &'s State, wanted: &Wanted) -> Result<&'s Value, Reason> {
    let present = || -> String {
        let names = containers(state).map(|one| format!("`{}`", shown(text(one, "/name"))));
        names.collect::<Vec<_>>().join(", ")
    };
    let refuse = |message: String| Reason::of(title(state), Cause::NoContainer, message);
    if let Some(elsewhere) = state.workload.pointer("/spec/workloadRef") {
        return Err(refuse(format!(
            "its pods are those of {} `{}`, which it names as `workloadRef`",
            shown(text(elsewhere, "/kind")),
            shown(text(elsewhere, "/name"))
        )));
    }
    if let Some(name) = &wanted.container {
        let message = || format!("`{name}` is not among {}", present());
        return find(state, name).ok_or_else(|| refuse(message()));
    }
    let pods = format!("{}/containers", state.kind.pod_spec());
    let main = items(&state.workload, &pods);
    if let [only] = main {
        return Ok(only);
    }
    let is_meant = |one: &&Value| {
        let image = wanted.image.as_ref();
        image.is_some_and(|image| image.is_of_repository(text(one, "/image")))
    };
    let meant: Vec<&Value> = main.iter().filter(is_meant).collect();
    match meant[..] {
        [one] => Ok(one),
        [] => Err(refuse(format!(
            "none of {} is known to be the one that is meant",
            present()
        ))),
        _ => Err(refuse(format!(
            "several of {} may be the one that is meant",
            present()
        ))),
    }
}
