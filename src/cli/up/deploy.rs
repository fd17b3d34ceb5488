//! The cluster is told, and watched until the new images run.

use super::rollouts::{self, Failed, Subject};
use super::standing::Standing;
use super::{Args, Done, Plan, Planned, back, first};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::records::files::Name;
use crate::cli::records::reach;
use crate::event::{Event, Observer, stage};
use crate::kubernetes::cluster::Cluster;
use crate::kubernetes::cluster::set_image::{Origin, Outcome, SetImage};
use crate::kubernetes::cluster::workload::{WorkloadKind, WorkloadName};
use crate::kubernetes::manifest::Edited;
use crate::kubernetes::rollout::{Image, Kind};
use crate::kubernetes::watch::Watched;
use crate::project::Operation;
use crate::release::history::{Begin, DEFAULT_ENVIRONMENT, Facts, Id, Target};
use crate::release::hopr::CONTAINER;
use crate::release::operation::Done as Performed;
use crate::release::result::Entry;
use crate::release::rollback::LOADED_INTO;
use crate::release::rollouts::settled;

/// What is deployed where.
pub(super) struct Scene<'a> {
    pub(super) args: &'a Args,
    pub(super) plan: &'a Plan,
    pub(super) done: &'a [Done],
    /// What was changed in manifests.
    pub(super) edits: &'a [Edited],
    /// What the file of results had of each pod before, where it may be put back.
    pub(super) earlier: &'a [Vec<Entry>],
    pub(super) cluster: &'a Cluster,
}

/// What the cluster has of a pod now, or would have had when the run ended before.
pub(super) struct Deployed {
    /// What was changed; what would be, while it is not told.
    pub(super) outcome: Outcome,
    /// True once the cluster was asked for it, with whichever answer.
    pub(super) is_told: bool,
    /// The rollout, where it can be watched.
    pub(super) watched: Option<Watched>,
    /// Its record; none where nothing was done.
    pub(super) record: Option<Id>,
    /// True when it was not there before.
    pub(super) is_fresh: bool,
}

/// Deploys what is not there yet, gives the others their new image, and waits for all of them.
///
/// # Errors
/// What the cluster says; [`crate::cli::exit::Code::Script`] with the status of a script that failed; [`crate::cli::exit::Code::RolloutFailed`], [`crate::cli::exit::Code::RolloutTimeout`], [`crate::cli::exit::Code::NotReady`].
/// What was there before was put back then if that was wanted.
pub(super) fn run(
    scene: &Scene<'_>,
    standing: Vec<Standing>,
    observer: &dyn Observer,
) -> Result<Vec<Deployed>, Diagnostic> {
    let mut deployed: Vec<Option<Deployed>> = scene.done.iter().map(|_| None).collect();
    let result = scene
        .tell(standing, &mut deployed, observer)
        .map_err(Failed::from)
        .and_then(|()| scene.watch(&mut deployed, observer));
    match result {
        Ok(()) => Ok(deployed.into_iter().flatten().collect()),
        Err(failed) => Err(back::after(scene, &deployed, failed, observer)),
    }
}

/// The namespace that a pod's workload is in.
pub(super) fn namespace<'a>(planned: &'a Planned, cluster: &'a Cluster) -> &'a str {
    planned
        .pod
        .workload
        .namespace
        .as_deref()
        .unwrap_or(cluster.namespace())
}

/// What a pod's workload is called.
pub(super) fn workload_name(planned: &Planned) -> WorkloadName {
    WorkloadName {
        kind: WorkloadKind::named(&planned.pod.workload.kind),
        name: planned.pod.workload.name.clone(),
    }
}

impl Deployed {
    fn untold(outcome: Outcome) -> Self {
        Self {
            outcome,
            is_told: false,
            watched: None,
            record: None,
            is_fresh: false,
        }
    }
}

impl Scene<'_> {
    fn tell(
        &self,
        standing: Vec<Standing>,
        deployed: &mut [Option<Deployed>],
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        // Their manifests name the new image already: whatever fails from here on, they are known to have another one.
        for (place, standing) in standing.iter().enumerate() {
            if let Standing::Other(outcome) = standing {
                deployed[place] = Some(Deployed::untold(outcome.clone()));
            }
        }
        self.first_time(&standing, deployed, observer)?;
        for (place, standing) in standing.into_iter().enumerate() {
            let (planned, done) = (&self.plan.pods[place], &self.done[place]);
            match standing {
                // Deployed just now.
                Standing::Absent => {}
                Standing::AsWanted(outcome) => {
                    let one = deployed[place].insert(Deployed::untold(outcome));
                    if !self.is_settled(planned, done)? {
                        self.set_image(planned, done, one, observer)?;
                    }
                }
                Standing::Other(outcome) => {
                    let one = deployed[place].insert(Deployed::untold(outcome));
                    self.set_image(planned, done, one, observer)?;
                }
            }
        }
        for text in deployed
            .iter()
            .flatten()
            .flat_map(|one| &one.outcome.warnings)
        {
            observer.observe(Event::Warning {
                text: text.clone(),
                hint: None,
            });
        }
        Ok(())
    }

    /// Deploys the pods that the cluster does not have, each with its hooks and its record around all of it.
    fn first_time(
        &self,
        standing: &[Standing],
        deployed: &mut [Option<Deployed>],
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let is_absent = |place: &usize| matches!(standing.get(*place), Some(Standing::Absent));
        let absent: Vec<usize> = (0..self.done.len()).filter(is_absent).collect();
        if absent.is_empty() {
            return Ok(());
        }
        let pods: Vec<&Planned> = absent.iter().map(|place| &self.plan.pods[*place]).collect();
        let begins = absent
            .iter()
            .map(|place| self.beginning(&self.plan.pods[*place], &self.done[*place]));
        let begins: Vec<Begin> = begins.collect::<Result<_, _>>()?;
        let mut outcomes = Vec::new();
        let mut work = |observer: &dyn Observer| {
            first::deploy(self, &pods, observer)?;
            for place in &absent {
                // A script may have brought what its files said when it was written.
                let request = self.request(&self.plan.pods[*place], &self.done[*place], false);
                let outcome = self
                    .cluster
                    .set_image(self.args.cluster.within(observer), &request)?;
                outcomes.push(Outcome {
                    is_changed: true,
                    previous_image: String::new(),
                    ..outcome
                });
            }
            Ok(vec![Performed::default(); absent.len()])
        };
        let ids = self.plan.place.perform_all(begins, observer, &mut work)?;
        for (number, (place, outcome)) in absent.iter().zip(outcomes).enumerate() {
            deployed[*place] = Some(Deployed {
                outcome,
                is_told: true,
                watched: None,
                record: ids.get(number).cloned().flatten(),
                is_fresh: true,
            });
        }
        Ok(())
    }

    /// What is asked of the cluster for a pod.
    pub(super) fn request(&self, planned: &Planned, done: &Done, is_dry_run: bool) -> SetImage {
        SetImage {
            namespace: namespace(planned, self.cluster).to_owned(),
            workload: Some(workload_name(planned)),
            container: Some(CONTAINER.to_owned()),
            image: done.deployed.clone(),
            origin: match self.plan.choice.target.is_loaded() {
                true => Origin::Loaded,
                false => Origin::Registry,
            },
            is_content_tag: true,
            fixes_pull_policy: false,
            cause: format!("overcoat up: {}", done.deployed),
            is_dry_run,
        }
    }

    /// What is known of a pod's deployment when it begins.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub(super) fn beginning(&self, planned: &Planned, done: &Done) -> Result<Begin, Diagnostic> {
        let links = self
            .plan
            .place
            .links_of(&planned.application, Some(done.made.image.digest()));
        let facts = Facts {
            // As the registry calls it; inside the cluster it may have another name.
            image: Some(done.delivered.name.without_digest().to_string()),
            digest: Some(done.made.image.digest().clone()),
            links: links.unwrap_or_default(),
            ..self.place(planned)?
        };
        Ok(self
            .plan
            .beginning(self.args, planned, Operation::Deploy, facts))
    }

    /// Where a pod's image is put, for records: in the cluster, in the manifest that names it, in the nodes it was loaded into.
    ///
    /// # Errors
    /// When the manifest's directory cannot be found.
    pub(super) fn place(&self, planned: &Planned) -> Result<Facts, Diagnostic> {
        let pod = &planned.pod;
        let workload = format!("{}/{}", pod.workload.kind, pod.workload.name);
        let root = &self.plan.place.project.root;
        let cluster = self.cluster.target();
        let mut also = Vec::new();
        if !self.args.no_edit {
            let (mut files, mut outside) = (Vec::new(), Vec::new());
            match Name::of(root, &pod.manifest)? {
                Name::Inside(name) => files.push(name),
                Name::Outside(name) => outside.push(name),
            }
            also.push(Target::Manifests {
                files,
                outside,
                container: Some(CONTAINER.to_owned()),
                workload: Some(workload.clone()),
                namespace: pod.workload.namespace.clone(),
                init_containers: false,
                base_image: None,
            });
        }
        let target = &self.plan.choice.target;
        let loaded = target
            .has_nodes()
            .then(|| (LOADED_INTO.to_owned(), target.word()));
        Ok(Facts {
            target: Some(Target::Cluster {
                context: cluster.context.clone(),
                namespace: namespace(planned, self.cluster).to_owned(),
                workload,
                container: CONTAINER.to_owned(),
            }),
            also,
            endpoint: Some(reach::endpoint(
                cluster.server.clone(),
                self.args.cluster.kubeconfig.as_deref(),
                root,
            )?),
            results: loaded.into_iter().collect(),
            ..Facts::default()
        })
    }

    /// True when the records say that a pod's image was deployed and came to run: then there is nothing to write down of it.
    ///
    /// # Errors
    /// When the records cannot be read.
    fn is_settled(&self, planned: &Planned, done: &Done) -> Result<bool, Diagnostic> {
        let contents = self.plan.place.history.read()?;
        let environment = self.args.environment.as_deref();
        let environment = environment.unwrap_or(DEFAULT_ENVIRONMENT);
        let digest = done.made.image.digest();
        let can_be_watched = planned.pod.workload.kind.parse::<Kind>().is_ok();
        Ok(settled(
            &contents,
            &planned.application,
            environment,
            digest,
            can_be_watched,
        ))
    }

    /// Gives the container its image, with the project's hooks and a record around it. What came of it is in `one`, also when a hook fails.
    fn set_image(
        &self,
        planned: &Planned,
        done: &Done,
        one: &mut Deployed,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let request = self.request(planned, done, false);
        let begin = self.beginning(planned, done)?;
        let deploying = stage(observer, "deploy", planned.pod.name.clone());
        self.plan
            .place
            .perform(begin, observer, |observer, running| {
                one.record = running.map(|running| running.id().clone());
                // An answer that was lost says nothing of what was done.
                one.is_told = true;
                one.outcome = self
                    .cluster
                    .set_image(self.args.cluster.within(observer), &request)?;
                let outcome = &one.outcome;
                let facts = Facts {
                    previous: outcome.is_changed.then(|| outcome.previous_image.clone()),
                    ..Facts::default()
                };
                Ok(Performed {
                    value: (),
                    facts,
                    platforms: Vec::new(),
                    result_file: None,
                })
            })?;
        let outcome = &one.outcome;
        deploying.finish(match outcome.is_changed {
            true => format!("{} instead of {}", outcome.image, outcome.previous_image),
            false => format!("{} is there already", outcome.image),
        });
        Ok(())
    }

    /// Waits for all rollouts.
    fn watch(
        &self,
        deployed: &mut [Option<Deployed>],
        observer: &dyn Observer,
    ) -> Result<(), Failed> {
        let mut subjects = Vec::new();
        let mut places = Vec::new();
        for (place, one) in deployed.iter().enumerate() {
            let Some(one) = one else { continue };
            let (planned, done) = (&self.plan.pods[place], &self.done[place]);
            let mut image = Image::new(done.deployed.clone());
            image.digests.insert(done.made.image.digest().clone());
            image
                .configs
                .insert(done.made.image.config.descriptor.digest.clone());
            subjects.push(Subject {
                planned,
                namespace: namespace(planned, self.cluster).to_owned(),
                image,
                is_told: one.record.is_some(),
                has_to_trigger: planned.has_trigger
                    && !self.args.no_auto_trigger
                    && (one.outcome.is_changed || one.record.is_some() || self.args.watch_log),
            });
            places.push(place);
        }
        let watched = rollouts::watch(self.args, self.plan, subjects, self.cluster, observer)?;
        for (place, watched) in places.into_iter().zip(watched) {
            if let Some(one) = &mut deployed[place] {
                one.watched = watched;
            }
        }
        Ok(())
    }
}
