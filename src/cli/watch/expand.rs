//! The digests that an image of several platforms has: of its index, and of each platform's manifest and configuration.

use crate::cli::args::Shared;
use crate::cli::project;
use crate::event::{Event, Observer};
use crate::image::graph::{Links, Platforms};
use crate::image::media_type;
use crate::kubernetes::rollout::Image;
use crate::kubernetes::watch::Wish;
use crate::project::Project;
use crate::registry::RegistryClient;

/// Asks the registries for what the wanted digests consist of; true when more is known afterwards. A registry that cannot
/// be asked from here is told, and nothing more.
pub(in crate::cli) fn expand(
    wishes: &mut [Wish],
    shared: &Shared,
    project: &Project,
    observer: &dyn Observer,
) -> bool {
    let client = match project::registry_client(shared, project) {
        Ok(client) => client,
        Err(diagnostic) => {
            tell(observer, diagnostic.what);
            return false;
        }
    };
    let mut has_grown = false;
    for image in wishes
        .iter_mut()
        .filter_map(|wish| wish.wanted.image.as_mut())
    {
        let before = image.digests.len() + image.configs.len();
        if let Err(why) = expand_one(image, &client, observer) {
            tell(observer, why);
        }
        has_grown |= image.digests.len() + image.configs.len() > before;
    }
    has_grown
}

fn tell(observer: &dyn Observer, why: String) {
    observer.observe(Event::Warning {
        text: format!("the digests of the image's platforms are not known: {why}"),
        hint: None,
    });
}

fn expand_one(
    image: &mut Image,
    client: &RegistryClient,
    observer: &dyn Observer,
) -> Result<(), String> {
    let pinned = image.references.iter().find(|one| one.digest().is_some());
    let Some(reference) = pinned.cloned() else {
        return Ok(());
    };
    let graph = client
        .graph(&reference, &Platforms::All, false, observer)
        .map_err(|error| error.to_string())?;
    for document in graph.tree.documents() {
        image.digests.insert(document.descriptor.digest.clone());
        let kind = &document.descriptor.media_type;
        let links = media_type::is_manifest(kind).then(|| Links::parse(kind, &document.bytes));
        let links = links.and_then(Result::ok);
        // The first blob of a manifest is its configuration.
        if let Some(config) = links.and_then(|links| links.blobs.into_iter().next()) {
            image.configs.insert(config.digest);
        }
    }
    Ok(())
}
