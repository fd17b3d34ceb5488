//! A deployment that did not come to run: written down, and taken back if that was wanted.
//!
//! All that this run has changed goes back or nothing does: the cluster is asked first whether it would take all of it, then the manifests
//! are written, all or none, and then the cluster is told.

use super::deploy::{Deployed, Scene, namespace, workload_name};
use super::rollouts::{self, Failed, Subject};
use super::{Planned, checks, deliver, make};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::records::Failed as Shown;
use crate::cli::records::diagnostic::NOTHING_TAKEN_BACK;
use crate::event::{Event, Observer, stage};
use crate::kubernetes::cluster::set_image::{Origin, SetImage};
use crate::kubernetes::manifest::Edited;
use crate::kubernetes::rollout::Image;
use crate::project::Operation;
use crate::reference::Reference;
use crate::release::history::{Afterwards, Facts, Record, State};
use crate::release::hopr::{CONTAINER, Pod};
use crate::release::operation::{Done as Performed, Performed as Recorded};
use crate::release::rollback::{ROLLBACK_OF, ROLLED_BACK_TO};

/// A pod that goes back.
struct Return<'a> {
    planned: &'a Planned,
    deployed: &'a Deployed,
    /// The image that it had.
    image: Reference,
    /// The deployment that had put it there, if it is on record.
    record: Option<Record>,
}

/// What a person reads of a deployment that failed, after what it had replaced was put back where that was wanted. The exit code is that of the
/// failure in any case.
pub(super) fn after(
    scene: &Scene<'_>,
    deployed: &[Option<Deployed>],
    failed: Failed,
    observer: &dyn Observer,
) -> Diagnostic {
    let Failed { diagnostic, blamed } = failed;
    let reason = Shown(diagnostic.clone()).to_string();
    let pods = scene.plan.pods.iter().zip(deployed);
    let known = pods.filter_map(|(planned, one)| Some((planned, one.as_ref()?)));
    for (planned, one) in known.clone() {
        if blamed.contains(&planned.pod.name) {
            write_down(scene, one, later(false, &reason, None), observer);
        }
    }
    if !scene.args.rollback_on_failure || diagnostic.code == Code::Interrupted {
        return diagnostic;
    }
    let returns = match returns(scene, deployed) {
        Ok(returns) => returns,
        Err(error) => return both(diagnostic, error),
    };
    for (planned, one) in known.filter(|(_, one)| one.is_fresh) {
        observer.observe(Event::Warning {
            text: format!(
                "{} of the pod `{}` was deployed for the first time: there is nothing to put back",
                one.outcome.workload, planned.pod.name
            ),
            hint: None,
        });
    }
    if returns.is_empty() {
        return diagnostic
            .also("nothing was put back: no workload had another image before this run")
            .hint("`overcoat rollback APP` goes back to an earlier deployment that is on record");
    }
    match put_back(scene, &returns, &reason, observer) {
        Ok(told) => {
            let images = |is_told: bool| -> String {
                let those = returns
                    .iter()
                    .zip(&told)
                    .filter(|(_, told)| **told == is_told);
                let those =
                    those.map(|(one, _)| format!("{} has {}", one.planned.pod.name, one.image));
                those.collect::<Vec<_>>().join(", ")
            };
            let mut diagnostic = diagnostic;
            // It was true of the operation whose hook failed, and is not of the run.
            diagnostic
                .hints
                .retain(|hint| !hint.starts_with(NOTHING_TAKEN_BACK));
            let (back, kept) = (images(true), images(false));
            if !back.is_empty() {
                diagnostic = diagnostic.also(format!(
                    "what was there before was put back, and runs: {back}"
                ));
            }
            match (kept.is_empty(), scene.args.no_edit) {
                (true, _) => diagnostic,
                (false, true) => diagnostic.also(format!("the cluster was not changed: {kept}")),
                (false, false) => diagnostic.also(format!(
                    "the manifests were put back, and the cluster was not changed: {kept}"
                )),
            }
        }
        Err(error) => both(diagnostic, error),
    }
}

/// The failure, and why it could not be taken back.
fn both(diagnostic: Diagnostic, error: Diagnostic) -> Diagnostic {
    let mut both = diagnostic.also(format!(
        "what was there before could not be put back: {}",
        error.what
    ));
    both.because.extend(error.because);
    both.hints.extend(error.hints);
    both
}

fn later(has_failed: bool, reason: &str, back_to: Option<&Reference>) -> Afterwards {
    let results = back_to.map(|image| (ROLLED_BACK_TO.to_owned(), image.to_string()));
    Afterwards {
        has_failed,
        error: Some(reason.to_owned()),
        facts: Facts {
            results: results.into_iter().collect(),
            ..Facts::default()
        },
    }
}

/// Adds to a pod's record. That it cannot be written changes nothing of what happened.
fn write_down(scene: &Scene<'_>, one: &Deployed, later: Afterwards, observer: &dyn Observer) {
    let Some(id) = &one.record else { return };
    if let Err(error) = scene.plan.place.history.afterwards(id, later) {
        observer.observe(Event::Warning {
            text: format!("the record of this deployment is not complete: {error}"),
            hint: None,
        });
    }
}

/// The pods whose image this run has changed, in the cluster or only in the manifest, with what they had.
fn returns<'a>(
    scene: &Scene<'a>,
    deployed: &'a [Option<Deployed>],
) -> Result<Vec<Return<'a>>, Diagnostic> {
    let records = scene.plan.place.history.read()?.records;
    let environment = scene.plan.beginning(
        scene.args,
        &scene.plan.pods[0],
        Operation::Deploy,
        Facts::default(),
    );
    let mut returns = Vec::new();
    for (planned, deployed) in scene.plan.pods.iter().zip(deployed) {
        let Some(deployed) = deployed else { continue };
        if deployed.is_fresh || !deployed.outcome.is_changed {
            continue;
        }
        let previous = &deployed.outcome.previous_image;
        let image: Reference = previous.parse().map_err(|error| {
            Diagnostic::new(Code::NoContainer, error).attempting(format!(
                "`{}` cannot be put back into {}",
                crate::event::printable(previous),
                deployed.outcome.workload
            ))
        })?;
        let is_it = |record: &&Record| {
            let digest = record.facts.digest.as_ref();
            record.operation == Operation::Deploy
                && record.state == State::Success
                && record.application == planned.application
                && record.environment == environment.environment
                && Some(&record.id) != deployed.record.as_ref()
                && match image.digest() {
                    Some(wanted) => digest == Some(wanted),
                    None => record.facts.image.as_deref() == Some(previous),
                }
        };
        returns.push(Return {
            planned,
            deployed,
            record: records.iter().rev().find(is_it).cloned(),
            image,
        });
    }
    Ok(returns)
}

/// Of each pod, whether the cluster had to be told.
fn put_back(
    scene: &Scene<'_>,
    returns: &[Return<'_>],
    reason: &str,
    observer: &dyn Observer,
) -> Result<Vec<bool>, Diagnostic> {
    observer.observe(Event::Warning {
        text: format!("{reason}; what was there before is put back"),
        hint: None,
    });
    let mut is_told = Vec::new();
    for one in returns {
        is_told.push(match one.deployed.is_told {
            false => false,
            true => {
                let request = request(scene, one, true);
                let within = scene.args.cluster.within(observer);
                scene.cluster.set_image(within, &request)?.is_changed
            }
        });
    }
    deliver::write(&edits(scene, returns)?, observer)?;
    // Who deploys from the file of results must not get what has failed.
    let goes_back = |planned: &Planned| {
        let names = returns.iter().map(|one| &one.planned.pod.name);
        names.into_iter().any(|name| *name == planned.pod.name)
    };
    make::put_results_back(scene.plan, scene.earlier, goes_back)?;
    let told = || {
        returns
            .iter()
            .zip(&is_told)
            .filter_map(|(one, is_told)| is_told.then_some(one))
    };
    let mut done: Vec<&str> = Vec::new();
    let mut first_error = None;
    // One that cannot go back does not keep the others.
    for one in told() {
        match tell(scene, one, reason, observer) {
            Ok(()) => done.push(&one.planned.pod.name),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first_error {
        let back = match done.as_slice() {
            [] => "no workload".to_owned(),
            done => done.join(", "),
        };
        return Err(error.also(format!(
            "the manifests name what was there before; of the cluster, {back} was put back"
        )));
    }
    let subjects = told().map(|one| {
        let mut image = Image::new(one.image.clone());
        let known = one.record.as_ref().and_then(|it| it.facts.digest.clone());
        image.digests.extend(known);
        Subject {
            planned: one.planned,
            namespace: namespace(one.planned, scene.cluster).to_owned(),
            image,
            is_told: true,
            // It is not asked whether what ran before is good.
            has_to_trigger: false,
        }
    });
    let watched = rollouts::watch(
        scene.args,
        scene.plan,
        subjects.collect(),
        scene.cluster,
        observer,
    );
    watched.map_err(|failed| {
        failed
            .diagnostic
            .attempting("it was put back, and does not run either")
    })?;
    Ok(is_told)
}

/// The manifests as they were before this run. Those of pods that stay as they are keep their new image.
fn edits(scene: &Scene<'_>, returns: &[Return<'_>]) -> Result<Vec<Edited>, Diagnostic> {
    if returns.len() == scene.plan.pods.len() {
        let reversed = scene.edits.iter().map(|edited| Edited {
            path: edited.path.clone(),
            before: edited.after.clone(),
            after: edited.before.clone(),
        });
        return Ok(reversed.collect());
    }
    if scene.args.no_edit {
        return Ok(Vec::new());
    }
    let pairs = returns.iter().filter_map(|one| {
        let pod = &one.planned.pod;
        Some((pod, pod.workload.image.clone()?))
    });
    let (pods, images): (Vec<&Pod>, Vec<String>) = pairs.unzip();
    checks::edits(&pods, &images)
}

fn request(scene: &Scene<'_>, one: &Return<'_>, is_dry_run: bool) -> SetImage {
    let was_loaded = one.image.digest().is_none() && scene.plan.choice.target.is_loaded();
    SetImage {
        namespace: namespace(one.planned, scene.cluster).to_owned(),
        workload: Some(workload_name(one.planned)),
        container: Some(CONTAINER.to_owned()),
        image: one.image.clone(),
        origin: match was_loaded {
            true => Origin::Loaded,
            false => Origin::Registry,
        },
        is_content_tag: true,
        fixes_pull_policy: false,
        cause: format!("overcoat up --rollback-on-failure: {}", one.image),
        is_dry_run,
    }
}

/// Gives one container its earlier image: a deployment of its own, with its record; and the record of the one that failed says so.
fn tell(
    scene: &Scene<'_>,
    one: &Return<'_>,
    reason: &str,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let known = one.record.as_ref();
    let of_record = known.map(|record| (ROLLBACK_OF.to_owned(), record.id.to_string()));
    let digest = one.image.digest().cloned();
    let mut place = scene.place(one.planned)?;
    place.results.extend(of_record);
    place
        .results
        .insert("because".to_owned(), reason.to_owned());
    let facts = Facts {
        image: match known.and_then(|record| record.facts.image.clone()) {
            Some(image) => Some(image),
            None => Some(one.image.without_digest().to_string()),
        },
        digest: digest.or_else(|| known.and_then(|record| record.facts.digest.clone())),
        previous: Some(one.deployed.outcome.image.clone()),
        ..place
    };
    let begin = scene
        .plan
        .beginning(scene.args, one.planned, Operation::Deploy, facts);
    let telling = stage(observer, "put back", one.planned.pod.name.clone());
    let mut is_back = false;
    let told: Result<Recorded<()>, Diagnostic> =
        scene.plan.place.perform(begin, observer, |observer, _| {
            let request = request(scene, one, false);
            scene
                .cluster
                .set_image(scene.args.cluster.within(observer), &request)?;
            is_back = true;
            Ok(Performed::default())
        });
    match told {
        Ok(_) => {}
        // The same hook may have failed before: what counts is that the image is back.
        Err(error) if is_back => observer.observe(Event::Warning {
            text: Shown(error).to_string(),
            hint: None,
        }),
        Err(error) => return Err(error),
    }
    telling.finish(one.image.to_string());
    write_down(
        scene,
        one.deployed,
        later(true, reason, Some(&one.image)),
        observer,
    );
    Ok(())
}
