//! `overcoat deploy`: an image that exists, into manifests, a cluster, or a cluster on this machine.
//!
//! Each way is a file: it has its flags (`Args`), says whether it was asked for (`is_asked`), and does it (`run`).

mod cluster;
mod diagnostic;
mod first;
mod image;
mod local;
mod manifest;
mod orders;
mod overlay;

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
use crate::project::Project;
use crate::release;
use crate::release::history::{self, Begin};
use crate::release::operation::Done;
use orders::{Order, beginning, facts_of, only_one};

/// Put an image into manifests, or give it to a cluster
///
/// Nothing is built. The image is the one of `--image`, else the last one of `build_result.json`. In manifests only the
/// bytes of one container's image change; `docs/deploy.md` tells what is refused.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// Applications of the project whose images they are: image, container and workload of each count where no flag says another; all
    /// are deployed or none
    #[arg(value_name = "APP")]
    applications: Vec<String>,

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

    /// Do not ask the registry whether it has the image; without its digest it is then deployed by its tag
    #[arg(long)]
    pub(super) no_verify: bool,

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
    only_one(args)?;
    args.manifest.check(&args.target, args.cluster.is_asked())?;
    let project = known_project(args, shared)?;
    let is_for_files = args.manifest.is_asked() || names_manifests(args, project.as_ref())?;
    if !is_for_files && !args.cluster.is_asked() && !args.local.is_asked() {
        return Err(Diagnostic::new(Code::Usage, "say where the image is to go")
            .hint("`--manifest FILE…` writes it into manifests, `--environment NAME` into those of an environment, `--kustomization DIR` into the images of a kustomization")
            .hint("`--cluster` gives it to a cluster, `--to` loads it into one of this machine"));
    }
    let observer = observer(shared, false)?;
    let orders: Vec<Order> = match args.applications.as_slice() {
        [] => vec![Order::of(args, None, project.as_ref())?],
        names => names
            .iter()
            .map(|name| Order::of(args, Some(name), project.as_ref()))
            .collect::<Result<_, _>>()?,
    };
    let root = project.as_ref().map(|project| project.root.clone());
    let root = root.as_deref().unwrap_or(Path::new(""));
    let mut work = |observer: &dyn Observer| {
        let known = carry_out(args, &orders, is_for_files, root, shared, observer)?;
        let said = known.into_iter().map(|facts| Done {
            facts,
            ..Done::default()
        });
        Ok(said.collect())
    };
    let is_earnest = !args.target.dry_run && !args.manifest.only_checks();
    match (project, is_earnest) {
        (Some(project), true) => {
            let records = records::Place::of(project, shared)?;
            let begins = orders.iter().map(|order| beginning(&records, order));
            let begins: Vec<Begin> = begins.collect::<Result<_, _>>()?;
            records.perform_all(begins, observer.as_ref(), &mut work)?;
        }
        _ => {
            work(observer.as_ref())?;
        }
    }
    Ok(Code::Success as u8)
}

/// True when an environment is named and nothing else says where the image goes.
fn names_manifests(args: &Args, project: Option<&Project>) -> Result<bool, Diagnostic> {
    let (Some(name), Some(project)) = (&args.target.environment, project) else {
        return Ok(false);
    };
    project.environment(name)?;
    Ok(!args.cluster.is_asked() && !args.local.is_asked())
}

/// Brings the images, writes the files, tells the cluster; what is known of each afterwards.
fn carry_out(
    args: &Args,
    orders: &[Order],
    is_for_files: bool,
    root: &Path,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Vec<history::Facts>, Diagnostic> {
    let is_for_cluster = args.cluster.is_asked();
    let mut images: Vec<String> = orders.iter().map(|order| order.image.clone()).collect();
    let mut targets: Vec<Target> = orders.iter().map(|order| order.target.clone()).collect();
    let facts = images.iter().map(|image| facts_of(image));
    let mut facts: Vec<history::Facts> = facts.collect::<Result<_, _>>()?;
    let asks = !is_for_cluster && !args.local.is_asked() && !args.manifest.only_checks();
    if is_for_files && asks && !args.target.no_pin && !args.target.no_verify {
        let environment = args.target.environment.as_deref();
        image::verify(&images, environment, shared, observer)?;
    }
    if args.local.is_asked() {
        for ((target, image), facts) in targets.iter_mut().zip(&mut images).zip(&mut facts) {
            // Nodes that were given an image know its tag alone, and files and clusters must call it so.
            let (local, cluster) = (&args.local, &args.cluster);
            let brought = local::run(local, target, image, cluster, shared, observer)?;
            facts.target = Some(history::Target::Loader {
                destination: brought.place.word(),
            });
            if brought.place.has_nodes() {
                let word = brought.place.word();
                let results = &mut facts.results;
                results.insert(release::rollback::LOADED_INTO.to_owned(), word);
            }
            facts.digest = facts.digest.take().or(brought.digest);
            *image = brought.image;
            target.no_pin |= brought.is_loaded;
        }
        if !is_for_files && !is_for_cluster {
            observer.observe(Event::Warning {
                text: "the image was brought there, and no workload was told".to_owned(),
                hint: Some(
                    "`--cluster` gives it to a container, `--manifest FILE…` writes it into files"
                        .to_owned(),
                ),
            });
        }
    }
    if is_for_cluster && (is_for_files || !args.target.dry_run && orders.len() > 1) {
        // What the cluster would refuse is known before a file is written, or another workload changed; and so is what its nodes
        // call the image.
        let trials: Vec<Target> = targets
            .iter()
            .map(|target| Target {
                dry_run: true,
                ..target.clone()
            })
            .collect();
        let each = trials.iter().zip(images.iter().map(String::as_str));
        let each: Vec<(&Target, &str)> = each.collect();
        match cluster::deploy(&args.cluster, &each, shared, observer, &mut |_, _| Ok(()))? {
            Ok(reports) if is_for_files => {
                let named = reports.iter().map(|report| report.image.to_string());
                images = named.collect();
            }
            Ok(_) => {}
            Err(status) => return Err(Diagnostic::told(status)),
        }
    }
    if is_for_files {
        let each = targets.iter().zip(&images).zip(orders);
        let each = each.map(|((target, image), order)| manifest::Order {
            target,
            place: &order.place,
            image,
            application: order.application.as_deref(),
        });
        let written = manifest::run(&args.manifest, &each.collect::<Vec<_>>(), observer)?;
        for (facts, written) in facts.iter_mut().zip(written) {
            facts.previous.clone_from(&written.before);
            facts.target = Some(written.target(root)?);
        }
    }
    if is_for_cluster {
        let each = targets.iter().zip(images.iter().map(String::as_str));
        let each: Vec<(&Target, &str)> = each.collect();
        let (status, told) = cluster::run(&args.cluster, &each, shared, observer)?;
        if status != 0 {
            return Err(Diagnostic::told(status));
        }
        for (told, facts) in told.into_iter().zip(&mut facts) {
            if let Some(given) = told {
                let written = facts.target.replace(given.target);
                let is_file =
                    |target: &history::Target| matches!(target, history::Target::Manifests { .. });
                facts.also = written.into_iter().filter(is_file).collect();
                facts.previous = given.previous;
                facts.digest = facts.digest.take().or(given.digest);
                let kubeconfig = args.cluster.flags.kubeconfig.as_deref();
                facts.endpoint = Some(records::reach::endpoint(given.server, kubeconfig, root)?);
            }
        }
    }
    Ok(facts)
}

/// The project, where there is one or something of it is named.
fn known_project(args: &Args, shared: &Shared) -> Result<Option<Project>, Diagnostic> {
    let is_named = !args.applications.is_empty() || args.target.environment.is_some();
    match is_named || project::is_there(shared, Path::new("."))? {
        true => project::load(shared).map(Some),
        false => Ok(None),
    }
}
