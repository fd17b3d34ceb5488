//! One container of one workload given another image, and nothing else changed.

use std::time::Duration;

use serde_json::Value;

pub use super::patch::patch;
use super::workload::{Container, FindError, Workload, WorkloadKind, WorkloadName};
use super::{Cluster, Error, Within};
use crate::event::printable;
use crate::reference::Reference;

/// How often a change is tried, because the object was changed meanwhile. Controllers write its status all the time while it rolls out,
/// and each of these is a change.
const ATTEMPTS: u32 = 12;
/// The longest pause between two attempts; the first is of 10 ms, each next one twice as long.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The annotation of a workload whose first deployment ended before it was complete; it says how. Taken away by the deployment that
/// completes it.
pub const INCOMPLETE: &str = "io.overcoat.first-deployment";

/// How the nodes come by the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They pull it from a registry.
    Registry,
    /// It has been loaded into them (k3d, kind, an archive). They know it by its tag only, and must not pull it.
    Loaded,
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub struct SetImage {
    /// The namespace.
    pub namespace: String,
    /// The workload; found by its container where none is named.
    pub workload: Option<WorkloadName>,
    /// The container; that of a workload with only one where none is named.
    pub container: Option<String>,
    /// The new image: for [`Origin::Registry`] with its digest, for [`Origin::Loaded`] without.
    pub image: Reference,
    /// How the nodes come by it.
    pub origin: Origin,
    /// True when the tag was made from the content: then the same tag is the same image.
    pub is_content_tag: bool,
    /// True to set a pull policy with which the image can be used.
    pub fixes_pull_policy: bool,
    /// Why it is changed, for `kubectl rollout history`.
    pub cause: String,
    /// True to ask the server what would be, without changing anything.
    pub is_dry_run: bool,
}

/// What was changed, or would be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// `deployment/web`.
    pub workload: String,
    /// The namespace.
    pub namespace: String,
    /// The container.
    pub container: String,
    /// The image that was there before: what a rollback goes back to.
    pub previous_image: String,
    /// The image that is there now.
    pub image: String,
    /// False when the image was there already: nothing was sent.
    pub is_changed: bool,
    /// `metadata.generation` afterwards: the rollout to wait for.
    pub generation: i64,
    /// What a person should know although it worked.
    pub warnings: Vec<String>,
}

/// Why the image was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetImageError {
    /// Talking to the cluster failed.
    #[error(transparent)]
    Cluster(#[from] Error),
    /// No single container is meant.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The workload names the same tag already: Kubernetes would do nothing, whatever the tag stands for by now.
    #[error(
        "{workload} has the image `{image}` already, by its tag: nothing would be rolled out, even if the tag stands for something else now"
    )]
    SameTag {
        /// The workload.
        workload: WorkloadName,
        /// The image.
        image: String,
    },
    /// The image was loaded into the nodes, and they would pull it all the same.
    #[error(
        "the container `{container}` of {workload} has the pull policy `{policy}`: its nodes would not use the image that was loaded into them"
    )]
    WouldPull {
        /// The workload.
        workload: WorkloadName,
        /// The container.
        container: String,
        /// `Always`.
        policy: String,
    },
    /// The image is in a registry, and nodes must not pull.
    #[error(
        "the container `{container}` of {workload} has the pull policy `Never`: its nodes would not pull the image"
    )]
    WouldNotPull {
        /// The workload.
        workload: WorkloadName,
        /// The container.
        container: String,
    },
    /// An image in a registry without its digest, or a loaded one with it.
    #[error("`{image}` cannot be deployed like that: {reason}")]
    Form {
        /// The image.
        image: String,
        /// Why not.
        reason: &'static str,
    },
    /// It is a Job: the server would not take another template.
    #[error(
        "the image of {workload} cannot be changed: the template of a Job is fixed once it is made"
    )]
    Fixed {
        /// The Job.
        workload: WorkloadName,
    },
    /// The workload has no template of its own.
    #[error("{workload} takes its pods from {elsewhere} (`workloadRef`)")]
    Elsewhere {
        /// The workload.
        workload: WorkloadName,
        /// `deployment/web`.
        elsewhere: String,
    },
    /// The server took the change and made something else of it.
    #[error("{workload} has the image `{image}` after the change, not `{wanted}`")]
    Mutated {
        /// The workload.
        workload: WorkloadName,
        /// What it has.
        image: String,
        /// What it should have.
        wanted: String,
    },
}

impl SetImageError {
    /// What a person can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Cluster(error) => error.hints(),
            Self::Find(error) => error.hints(),
            Self::SameTag { .. } => vec![
                "deploy it by its digest (`NAME:TAG@sha256:…`), or under a tag of its own: overcoat's own tags are made from the content"
                    .to_owned(),
            ],
            Self::WouldPull { .. } | Self::WouldNotPull { .. } => vec![
                "`--fix-pull-policy` sets `imagePullPolicy: IfNotPresent` too; change it in the manifest as well, or the next deployment of that brings \
                 it back"
                    .to_owned(),
            ],
            Self::Form { .. } => Vec::new(),
            Self::Fixed { workload } => vec![
                format!(
                    "write the image into its manifest (`overcoat deploy --manifest FILE`) and make it anew: `kubectl replace --force -f FILE`, or \
                     `kubectl delete {workload}` and `overcoat deploy --cluster --apply FILE`"
                ),
                "a Job that a CronJob makes has the image of the CronJob: name that one, `--workload cronjob/NAME`".to_owned(),
            ],
            Self::Elsewhere { elsewhere, .. } => {
                vec![format!("the image is changed there: `--workload {elsewhere}`")]
            }
            Self::Mutated { .. } => vec!["an admission webhook of the cluster changes images: ask its administrators".to_owned()],
        }
    }
}

/// What has to be done with a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has the image already.
    Unchanged,
    /// The image is to be changed, and the pull policy with it where one is named.
    Change {
        /// `IfNotPresent`, where it must be set.
        pull_policy: Option<&'static str>,
    },
}

/// Decides what has to be done; asks nobody.
///
/// # Errors
/// [`SetImageError::SameTag`], [`SetImageError::WouldPull`], [`SetImageError::WouldNotPull`].
pub fn judge(
    workload: &Workload,
    container: &Container,
    request: &SetImage,
) -> Result<Verdict, SetImageError> {
    let policy = container.pull_policy.clone().unwrap_or_else(|| {
        // What the server fills in, by the tag of the day the workload was made (the new image's where it is not made yet).
        let is_latest = request.image.digest().is_none()
            && request.image.tag().is_none_or(|tag| tag == "latest");
        if is_latest { "Always" } else { "IfNotPresent" }.to_owned()
    });
    let refused = match (request.origin, policy.as_str()) {
        (Origin::Loaded, "Always") => Some(SetImageError::WouldPull {
            workload: workload.full_name(),
            container: container.name.clone(),
            policy: policy.clone(),
        }),
        (Origin::Registry, "Never") => Some(SetImageError::WouldNotPull {
            workload: workload.full_name(),
            container: container.name.clone(),
        }),
        _ => None,
    };
    let pull_policy = match refused {
        None => None,
        Some(_) if request.fixes_pull_policy => Some("IfNotPresent"),
        Some(error) => return Err(error),
    };
    let present: Option<Reference> = container.image.parse().ok();
    let is_same = present.is_some_and(|present| match (present.digest(), request.image.digest()) {
        // The same bytes under another tag would only restart everything.
        (Some(present_digest), Some(digest)) => {
            present_digest == digest && present.name() == request.image.name()
        }
        _ => present == request.image,
    });
    if !is_same {
        return Ok(Verdict::Change { pull_policy });
    }
    if request.image.digest().is_none() && !request.is_content_tag {
        return Err(SetImageError::SameTag {
            workload: workload.full_name(),
            image: printable(&container.image),
        });
    }
    match pull_policy {
        None => Ok(Verdict::Unchanged),
        fixed => Ok(Verdict::Change { pull_policy: fixed }),
    }
}

impl Cluster {
    /// Why nothing was found: there may be no such namespace.
    fn explained(&self, within: Within<'_>, error: FindError) -> FindError {
        match error.empty_namespace() {
            Some(namespace) if self.lacks_namespace(within, namespace) => FindError::NoNamespace {
                namespace: namespace.to_owned(),
            },
            _ => error,
        }
    }

    /// Gives one container another image. Tried again when somebody else changes the object meanwhile.
    ///
    /// # Errors
    /// [`SetImageError`]; nothing was changed then, but for [`SetImageError::Mutated`].
    pub fn set_image(
        &self,
        within: Within<'_>,
        request: &SetImage,
    ) -> Result<Outcome, SetImageError> {
        let wrong = match (request.origin, request.image.digest()) {
            (Origin::Loaded, Some(_)) => {
                Some("nodes know a loaded image by its tag only, so the digest must be left out")
            }
            _ => None,
        };
        if let Some(reason) = wrong {
            return Err(SetImageError::Form {
                image: request.image.to_string(),
                reason,
            });
        }
        let image = request.image.to_string();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (workload, container) =
                self.find(within, request).map_err(|error| match error {
                    SetImageError::Find(error) => self.explained(within, error).into(),
                    error => error,
                })?;
            let mut outcome = Outcome {
                workload: workload.full_name().to_string(),
                namespace: request.namespace.clone(),
                container: container.name.clone(),
                previous_image: container.image.clone(),
                image: container.image.clone(),
                is_changed: false,
                generation: generation(&workload.object),
                warnings: warnings(&workload),
            };
            let Verdict::Change { pull_policy } = judge(&workload, &container, request)? else {
                return Ok(outcome);
            };
            if workload.kind == WorkloadKind::Job {
                return Err(SetImageError::Fixed {
                    workload: workload.full_name(),
                });
            }
            let (kind, patch) = patch(&workload, &container, &image, pull_policy, &request.cause);
            let object = match self.patch(
                within,
                workload.resource(),
                &request.namespace,
                workload.name(),
                kind,
                &patch,
                request.is_dry_run,
            ) {
                Err(Error::Conflict { .. }) if attempt < ATTEMPTS => {
                    std::thread::sleep(
                        Duration::from_millis(5 << attempt.min(6)).min(LONGEST_PAUSE),
                    );
                    continue;
                }
                object => object?,
            };
            let after = Workload {
                kind: workload.kind,
                object,
            };
            let is_it = |other: &Container| {
                other.name == container.name && other.is_init == container.is_init
            };
            let now = after
                .containers()
                .into_iter()
                .find(is_it)
                .map(|container| container.image)
                .unwrap_or_default();
            if now != image {
                return Err(SetImageError::Mutated {
                    workload: workload.full_name(),
                    image: printable(&now),
                    wanted: image,
                });
            }
            outcome.generation = generation(&after.object);
            (outcome.image, outcome.is_changed) = (now, true);
            return Ok(outcome);
        }
    }
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default()
}

fn warnings(workload: &Workload) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(how) = workload.incomplete() {
        warnings.push(format!(
            "the first deployment of {} was not completed ({how}): repeat it with `--first-deployment` or `--apply`, or take the annotation \
             `{INCOMPLETE}` away",
            workload.full_name()
        ));
    }
    if let Some(manager) = workload.manager() {
        warnings.push(format!(
            "{} is kept as {manager} says: it will put the old image back",
            workload.full_name()
        ));
    }
    if workload.kind == WorkloadKind::CronJob {
        let when = match workload.is_suspended() {
            true => "it is suspended, so nothing uses the image until that ends",
            false => "nothing is rolled out, its next run uses the image",
        };
        warnings.push(format!("{}: {when}", workload.full_name()));
        return warnings;
    }
    if workload.is_paused() {
        warnings.push(format!(
            "the rollout of {} is paused: nothing starts before it is resumed",
            workload.full_name()
        ));
    }
    warnings
}

#[cfg(test)]
#[path = "set_image_tests.rs"]
mod tests;
