//! `overcoat deploy`: an image that exists, into manifests, a cluster, or a cluster on this machine.
//!
//! Each way is a file: it has its flags (`Args`), says whether it was asked for (`is_asked`), and does it (`run`).

mod cluster;
mod diagnostic;
mod first;
mod image;
mod local;
mod manifest;

pub(super) use manifest::base_name;

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::env::person;
use super::exit::Code;
use super::{observer, project, records};
use crate::event::{Event, Observer};
use crate::kubernetes::manifest::{Wanted, WorkloadName};
use crate::project::{Operation, Project};
use crate::reference::Reference;
use crate::release::operation::Done;
use crate::release::{self, history, result};

/// Put an image into manifests, or give it to a cluster
///
/// Nothing is built. The image is the one of `--image`, else the last one of `build_result.json`. In manifests only the
/// bytes of one container's image change; `docs/deploy.md` tells what is refused.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// The application of the project whose image it is: its image, container and workload count where no flag says another
    #[arg(value_name = "APP")]
    application: Option<String>,

    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    manifest: manifest::Args,

    #[command(flatten)]
    local: local::Args,

    #[command(flatten)]
    cluster: cluster::Args,
}

/// What every way of deploying has: the image, and the container that gets it.
#[derive(ClapArgs, Clone, Debug)]
pub(super) struct Target {
    /// The image, `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    #[arg(long, value_name = "REF", conflicts_with_all = ["build_result", "image_name"])]
    pub(super) image: Option<String>,

    /// Take the image from this file of results
    #[arg(long, value_name = "FILE", default_value = "build_result.json")]
    pub(super) build_result: PathBuf,

    /// Which image of the file of results [default: the last]
    #[arg(long, value_name = "NAME")]
    pub(super) image_name: Option<String>,

    /// Write the tag alone, without the digest: for images that are loaded into nodes, which know no digest
    #[arg(long)]
    pub(super) no_pin: bool,

    /// The container that gets the image [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(super) container: Option<String>,

    /// The workload that has the container, `deployment/web` or `web` [default: the only one that has it]
    #[arg(long, visible_alias = "deployment", value_name = "KIND/NAME")]
    pub(super) workload: Option<WorkloadName>,

    /// The namespace of the workload
    #[arg(long, short, value_name = "NAME")]
    pub(super) namespace: Option<String>,

    /// The environment of the project: its context and namespace with `--cluster`; alone, its manifests
    #[arg(long, visible_alias = "workspace", value_name = "NAME", env = person::ENVIRONMENT)]
    pub(super) environment: Option<String>,

    /// Look for the container among those of the initialisation too
    #[arg(long)]
    pub(super) init_containers: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// How to print what was done
    #[arg(long, value_enum, value_name = "HOW", default_value = "table")]
    pub(super) format: Format,
}

impl Target {
    /// The container that is meant.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            container: self.container.clone(),
            workload: self.workload.clone(),
            namespace: self.namespace.clone(),
            init_containers: self.init_containers,
        }
    }
}

/// The manifests of the environment that is named, where neither files nor a cluster are, and its namespace.
fn place(
    args: &Args,
    target: &Target,
    project: Option<&Project>,
) -> Result<manifest::Place, Diagnostic> {
    let mut place = manifest::Place {
        manifests: args.manifest.files().to_vec(),
        wanted: target.wanted(),
    };
    let (Some(name), Some(project)) = (&target.environment, project) else {
        return Ok(place);
    };
    if args.manifest.is_asked() || args.cluster.is_asked() || args.local.is_asked() {
        return Ok(place);
    }
    let environment = project.environment(name)?;
    if let Some(manifests) = &environment.manifests {
        // Shown, and in diffs, as a person would name them here.
        let here = super::env::project::directory()?;
        let relative = |path: &PathBuf| path.strip_prefix(&here).unwrap_or(path).to_owned();
        place.manifests = manifests.value.iter().map(relative).collect();
    }
    if place.manifests.is_empty() {
        let what = format!("environment `{name}` names no manifests");
        return Err(Diagnostic::new(Code::Project, what)
            .hint("add `manifests = [\"k8s/*.yaml\"]` to it in overcoat.toml, or say `--manifest FILE…` or `--cluster`"));
    }
    let namespace = environment
        .namespace
        .as_ref()
        .map(|namespace| namespace.value.clone());
    place.wanted.namespace = place.wanted.namespace.or(namespace);
    Ok(place)
}

/// Runs the command. Files are edited before a cluster is told: what a file does not say is undone by whoever applies it.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    args.manifest.check(&args.target, args.cluster.is_asked())?;
    let project = known_project(args, shared)?;
    let target = filled(args, project.as_ref())?;
    let place = place(args, &target, project.as_ref())?;
    let is_for_files = args.manifest.is_asked() || !place.manifests.is_empty();
    if !is_for_files && !args.cluster.is_asked() && !args.local.is_asked() {
        return Err(Diagnostic::new(Code::Usage, "say where the image is to go")
            .hint("`--manifest FILE…` writes it into manifests, `--environment NAME` into those of an environment, `--kustomization DIR` into the images of a kustomization")
            .hint("`--cluster` gives it to a cluster, `--to` loads it into one of this machine"));
    }
    let observer = observer(shared, false)?;
    let image = match (&project, args.local.is_asked()) {
        (Some(project), false) => image::in_environment(&target, project)?,
        _ => image::of(&target)?,
    };
    let root = project.as_ref().map(|project| project.root.clone());
    let root = root.unwrap_or_default();
    let work = |observer: &dyn Observer| -> Result<Done<u8>, Diagnostic> {
        let mut image = image.clone();
        let mut target = target.clone();
        let mut facts = facts_of(&image)?;
        if args.local.is_asked() {
            // Nodes that were given an image know its tag alone, and files and clusters must call it so.
            let brought = local::run(
                &args.local,
                &target,
                &image,
                &args.cluster,
                shared,
                observer,
            )?;
            facts.target = Some(history::Target::Loader {
                destination: brought.place.word(),
            });
            if brought.place.has_nodes() {
                let word = brought.place.word();
                facts
                    .results
                    .insert(release::rollback::LOADED_INTO.to_owned(), word);
            }
            facts.digest = facts.digest.or(brought.digest);
            image = brought.image;
            target.no_pin |= brought.is_loaded;
            if !is_for_files && !args.cluster.is_asked() {
                observer.observe(Event::Warning {
                    text: "the image was brought there, and no workload was told".to_owned(),
                    hint: Some("`--cluster` gives it to a container, `--manifest FILE…` writes it into files".to_owned()),
                });
            }
        }
        if is_for_files && args.cluster.is_asked() {
            // What the cluster would refuse is known before a file is written, and so is what its nodes call the image.
            let trial = Target {
                dry_run: true,
                ..target.clone()
            };
            match cluster::deploy(&args.cluster, &trial, &image, shared, observer)? {
                Ok(report) => image = report.image.to_string(),
                Err(status) => return Err(Diagnostic::told(status)),
            }
        }
        if is_for_files {
            let written = manifest::run(&args.manifest, &target, &place, &image, observer)?;
            facts.previous.clone_from(&written.before);
            facts.target = Some(written.target(&root)?);
        }
        let mut status = Code::Success as u8;
        if args.cluster.is_asked() {
            let (ended, told) = cluster::run(&args.cluster, &target, &image, shared, observer)?;
            status = ended;
            if let Some(given) = told {
                let written = facts.target.replace(given.target);
                let is_file =
                    |target: &history::Target| matches!(target, history::Target::Manifests { .. });
                facts.also = written.into_iter().filter(is_file).collect();
                facts.previous = given.previous;
                facts.digest = facts.digest.or(given.digest);
                let kubeconfig = args.cluster.flags.kubeconfig.as_deref();
                facts.endpoint = Some(records::reach::endpoint(given.server, kubeconfig, &root)?);
            }
        }
        match status {
            0 => Ok(Done {
                value: status,
                facts,
                ..Done::default()
            }),
            status => Err(Diagnostic::told(status)),
        }
    };
    let is_earnest = !target.dry_run && !args.manifest.only_checks();
    let (Some(project), true) = (project, is_earnest) else {
        return Ok(work(observer.as_ref())?.value);
    };
    let records = records::Place::of(project, shared)?;
    let reference: Reference = image.parse()?;
    let application = match &args.application {
        Some(name) => records.project.application(name)?.name.clone(),
        None => records.application_of_image(&reference),
    };
    let environment = target.environment.as_deref();
    let facts = history::Facts {
        links: records.links_of(&application, reference.digest())?,
        ..facts_of(&image)?
    };
    let begin = records.beginning(Operation::Deploy, &application, environment, facts);
    Ok(records
        .perform(begin, observer.as_ref(), |observer, _| work(observer))?
        .value)
}

/// The project, where there is one or something of it is named.
fn known_project(args: &Args, shared: &Shared) -> Result<Option<Project>, Diagnostic> {
    let is_named = args.application.is_some() || args.target.environment.is_some();
    match is_named || project::is_there(shared, Path::new("."))? {
        true => project::load(shared).map(Some),
        false => Ok(None),
    }
}

/// What the flags leave open and the project says.
fn filled(args: &Args, project: Option<&Project>) -> Result<Target, Diagnostic> {
    let mut target = args.target.clone();
    let Some(project) = project else {
        return Ok(target);
    };
    if target.build_result == Path::new(result::FILE) && !target.build_result.exists() {
        target.build_result = project.root.join(result::FILE);
    }
    let Some(name) = &args.application else {
        return Ok(target);
    };
    let application = project.application(name)?;
    if target.image.is_none() && target.image_name.is_none() {
        target.image_name = Some(application.image_name().to_owned());
    }
    if let (None, Some(said)) = (&target.container, &application.container) {
        target.container = Some(said.value.clone());
    }
    if let (None, Some(said)) = (&target.workload, &application.workload) {
        let workload = said
            .value
            .parse()
            .map_err(|error| Diagnostic::new(Code::Project, format!("{}: {error}", said.origin)))?;
        target.workload = Some(workload);
    }
    Ok(target)
}

fn facts_of(image: &str) -> Result<history::Facts, Diagnostic> {
    let reference: Reference = image.parse()?;
    Ok(history::Facts {
        image: Some(reference.without_digest().to_string()),
        digest: reference.digest().cloned(),
        ..history::Facts::default()
    })
}
