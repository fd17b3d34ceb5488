//! `overcoat deploy`: an image that exists, into manifests, a cluster, or a cluster on this machine.
//!
//! Each way is a file: it has its flags (`Args`), says whether it was asked for (`is_asked`), and does it (`run`).

mod cluster;
mod diagnostic;
mod first;
mod image;
mod manifest;

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::args::{Format, Shared};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{observer, project};
use crate::kubernetes::manifest::{Wanted, WorkloadName};

/// Put an image into manifests, or give it to a cluster
///
/// Nothing is built. The image is the one of `--image`, else the last one of `build_result.json`. In manifests only the
/// bytes of one container's image change; `docs/deploy.md` tells what is refused.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    manifest: manifest::Args,

    #[command(flatten)]
    cluster: cluster::Args,
}

/// What every way of deploying has: the image, and the container that gets it.
#[derive(ClapArgs, Debug)]
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
    #[arg(long, value_name = "NAME")]
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
fn place(args: &Args, shared: &Shared) -> Result<manifest::Place, Diagnostic> {
    let mut place = manifest::Place {
        manifests: args.manifest.files().to_vec(),
        wanted: args.target.wanted(),
    };
    let Some(name) = &args.target.environment else {
        return Ok(place);
    };
    if args.manifest.is_asked() || args.cluster.is_asked() {
        return Ok(place);
    }
    let project = project::load(shared)?;
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
    let place = place(args, shared)?;
    let is_for_files = args.manifest.is_asked() || !place.manifests.is_empty();
    if !is_for_files && !args.cluster.is_asked() {
        return Err(Diagnostic::new(Code::Usage, "say where the image is to go")
            .hint("`--manifest FILE…` writes it into manifests, `--environment NAME` into those of an environment, `--kustomization DIR` into the images of a kustomization")
            .hint("`--cluster` gives it to a cluster"));
    }
    let observer = observer(shared, false)?;
    let image = image::of(&args.target)?;
    if is_for_files {
        manifest::run(
            &args.manifest,
            &args.target,
            &place,
            &image,
            observer.as_ref(),
        )?;
    }
    if args.cluster.is_asked() {
        return cluster::run(
            &args.cluster,
            &args.target,
            &image,
            shared,
            observer.as_ref(),
        );
    }
    Ok(Code::Success as u8)
}
