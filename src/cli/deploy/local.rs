//! `overcoat deploy --to`: an image of the store into a cluster of this machine, without a registry.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::{Target, cluster};
use crate::cli::args::{self, Format, Shared};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{creds, local, open_store, print, print_json, registry_client};
use crate::digest::Digest;
use crate::event::{Observer, stage};
use crate::image::{Image, Platform};
use crate::kubernetes::local::{self as loading, Choice, Confirmed, Wanted, choose};
use crate::reference::Reference;
use crate::registry::Layers;
use crate::store::BlobStore;

/// Flags of this way.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "To a cluster on this machine")]
#[group(skip)]
pub(super) struct Args {
    /// Bring the image to where nodes find it: `auto` (what the context says), `k3d[:CLUSTER]`, `kind[:CLUSTER]`,
    /// `minikube[:PROFILE]`, `registry`, or `archive[:FILE]`
    #[arg(long, value_name = "WHERE")]
    to: Option<Wanted>,

    /// How long each program that loads or is asked may take
    #[arg(long, value_name = "TIME", value_parser = args::time_limit, default_value = "10m", requires = "to")]
    load_timeout: Duration,

    #[command(flatten)]
    creds: creds::Flags,
}

impl Args {
    /// True when the image is to be brought somewhere.
    pub(super) fn is_asked(&self) -> bool {
        self.to.is_some()
    }
}

/// What was brought where: what manifests and clusters call the image from now on, and which context is meant.
pub(super) struct Brought {
    /// The image, by its tag alone where nodes were given it.
    pub(super) image: String,
    /// True when nodes were given it.
    pub(super) is_loaded: bool,
    /// Where it went.
    pub(super) place: loading::Target,
    /// What it is, once it was brought.
    pub(super) digest: Option<Digest>,
}

/// Brings the image, and looks whether it is there. It comes from the store, else from its registry. Prints its name.
///
/// # Errors
/// With [`Code::Loader`], [`Code::Refused`], [`Code::NoSuchImage`], and those of registries.
pub(super) fn run(
    args: &Args,
    target: &Target,
    image: &str,
    cluster: &cluster::Args,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Brought, Diagnostic> {
    let confirmed = if cluster.yes {
        Confirmed::Yes
    } else {
        Confirmed::No
    };
    let wanted = args.to.clone().unwrap_or_default();
    let access = cluster
        .flags
        .access(shared, None, target.namespace.as_deref())?;
    let context = match &access.context {
        Some(context) => Some(context.clone()),
        None => access.contexts()?.current,
    };
    let Choice {
        target: place,
        because,
    } = choose(&wanted, context.as_deref(), confirmed)?;
    same_cluster(&place, context.as_deref(), cluster.is_asked())?;
    stage(observer, "target", place.to_string()).finish(because);
    let name: Reference = image.parse()?;
    let is_loaded = place.is_loaded();
    if target.dry_run {
        print(&format!("{name} to {place}"))?;
        let image = if is_loaded {
            name.without_digest().to_string()
        } else {
            image.to_owned()
        };
        return Ok(Brought {
            image,
            is_loaded,
            place,
            digest: None,
        });
    }
    let store = open_store(shared)?;
    let found = found(&name, &store, shared, observer)?;
    let last = name.repository().rsplit('/').next().unwrap_or("image");
    let way = local::Way {
        target: &place,
        limit: args.load_timeout,
        creds: &args.creds,
        file: format!("{last}.tar").into(),
    };
    let delivered = local::deliver(&found, &name, &way, shared, observer)?;
    let archive = delivered
        .archive
        .as_ref()
        .map(|file| file.display().to_string());
    match target.format {
        Format::Table => print(&delivered.name.to_string())?,
        Format::Json => print_json(&serde_json::json!({
            "image": delivered.name.to_string(),
            "digest": found.digest(),
            "nodes": delivered.nodes,
            "archive": archive,
        }))?,
    }
    Ok(Brought {
        image: delivered.name.to_string(),
        is_loaded,
        digest: Some(found.digest().clone()),
        place,
    })
}

/// Refuses to load into one cluster and to tell another.
fn same_cluster(
    place: &loading::Target,
    context: Option<&str>,
    is_told: bool,
) -> Result<(), Diagnostic> {
    let expected = match place {
        loading::Target::K3d(name) => format!("k3d-{name}"),
        loading::Target::Kind(name) => format!("kind-{name}"),
        _ => return Ok(()),
    };
    if !is_told || context == Some(expected.as_str()) {
        return Ok(());
    }
    Err(Diagnostic::new(
        Code::Refused,
        format!(
            "the image would go to {place}, and the context `{}` would be told of it",
            context.unwrap_or_default()
        ),
    )
    .hint(format!(
        "say which cluster is meant: `--context {expected}`"
    )))
}

/// The image for this machine's platform, whole: of the store, else of its registry.
fn found(
    name: &Reference,
    store: &BlobStore,
    shared: &Shared,
    observer: &dyn Observer,
) -> Result<Image, Diagnostic> {
    let host = Platform::host();
    let known = match name.digest() {
        // A tag may have moved on since; the digest has not.
        Some(digest) => store
            .resolve(&name.without_digest())?
            .filter(|named| named.manifest.digest == *digest),
        None => store.resolve(name)?,
    };
    if let Some(named) = known {
        let stored = store.stored(&named.manifest)?;
        let content = stored.content();
        let fits = |image: &&Image| image.config.parsed.platform() == host;
        let images = content.images();
        let image = images
            .iter()
            .copied()
            .find(fits)
            .or(images.first().copied());
        if let Some(image) = image.filter(|image| store.lacks(&(*image).into()).is_empty()) {
            return Ok(image.clone());
        }
    }
    let pulling = stage(observer, "pull", name.to_string());
    let image = registry_client(shared)?.pull(name, &host, store, Layers::All, observer)?;
    pulling.finish("");
    Ok(image)
}
