//! What is asked about the wanted images before the watch: by which names the nodes know them, and what their tags stand for.

use std::time::{Duration, Instant};

use super::Args;
use crate::cli::args::Shared;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::project;
use crate::cli::question::{self, Answer, PATIENCE};
use crate::event::{Event, Observer};
use crate::kubernetes::cluster::{Cluster, LocalRegistry, Within};
use crate::kubernetes::rollout::Image;
use crate::kubernetes::watch::Wish;
use crate::project::Project;
use crate::reference::Reference;
use crate::registry::RegistryClient;

/// What part of the whole time one such question may take.
const SHARE: u32 = 4;

/// Adds to the wanted images the names that the nodes of a local cluster have for them, and the digests that their tags stand for:
/// the same tag may have been something else when a pod pulled it (unless `--no-verify`). Where a registry does not say, the tag alone is compared, with a
/// warning.
///
/// # Errors
/// When the person asked to stop, or the registries' settings cannot be read.
pub(super) fn complete(
    wishes: &mut [Wish],
    cluster: &Cluster,
    args: &Args,
    shared: &Shared,
    project: &Project,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let patience = PATIENCE.min(args.timeout / SHARE);
    let mut images: Vec<&mut Image> = wishes
        .iter_mut()
        .filter_map(|wish| wish.wanted.image.as_mut())
        .collect();
    if images.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + patience;
    // Whoever may not look, or has no such registry, has one name for it. A cluster that fails is told by the watch itself.
    let hosting = cluster.local_registry(Within { observer, deadline });
    let hosting = hosting.ok().flatten().unwrap_or_default();
    for image in &mut images {
        with_names(image, &hosting);
    }
    if args.no_verify {
        return Ok(());
    }
    let mut client = None;
    let mut known: Vec<(Vec<Reference>, Image)> = Vec::new();
    for image in images.into_iter().filter(|image| is_by_tag(image)) {
        let names = image.references.clone();
        if let Some((_, same)) = known.iter().find(|(other, _)| *other == names) {
            image.clone_from(same);
            continue;
        }
        let client = match &mut client {
            Some(client) => client,
            none => none.insert(project::registry_client(shared, project)?.asking_once()),
        };
        resolve(image, &hosting, client, patience, observer)?;
        known.push((names, image.clone()));
    }
    Ok(())
}

/// The names that nodes have for an image, beside those that it has here.
fn with_names(image: &mut Image, hosting: &LocalRegistry) {
    let names = image.references.iter();
    let deployed: Vec<Reference> = names.filter_map(|name| hosting.deploy_name(name)).collect();
    for name in deployed {
        if !image.references.contains(&name) {
            image.references.push(name);
        }
    }
}

/// True when nothing but a tag says which image is wanted.
fn is_by_tag(image: &Image) -> bool {
    image.digests.is_empty()
        && image.configs.is_empty()
        && image.references.iter().any(|name| name.tag().is_some())
}

/// Asks the registries what the tag stands for: that of the environment first, which is the last name.
fn resolve(
    image: &mut Image,
    hosting: &LocalRegistry,
    client: &RegistryClient,
    patience: Duration,
    observer: &dyn Observer,
) -> Result<(), Diagnostic> {
    let mut reasons = Vec::new();
    let mut asked: Vec<Reference> = Vec::new();
    for name in image.references.clone().iter().rev() {
        let name = hosting.push_name(name).unwrap_or_else(|| name.clone());
        if asked.contains(&name) {
            continue;
        }
        match question::ask(client, &name, patience, observer)? {
            Answer::Has(digest) => {
                let text = format!("`{name}` is {digest} now: that is awaited");
                observer.observe(Event::Note { text });
                for name in &mut image.references {
                    if let Ok(pinned) = format!("{}@{digest}", name.without_digest()).parse() {
                        *name = pinned;
                    }
                }
                image.digests.insert(digest);
                return Ok(());
            }
            Answer::HasNot(why) => reasons.push(why.what),
            Answer::Unknown(why) => reasons.push(why),
        }
        asked.push(name);
    }
    observer.observe(Event::Warning {
        text: format!(
            "only the tag of `{}` is compared, not what runs under it: {}",
            image.shown(),
            reasons.join("; ")
        ),
        hint: Some("name the image by its digest, `NAME:TAG@sha256:…`, or say it: `--accept-digest DIGEST`".to_owned()),
    });
    Ok(())
}
