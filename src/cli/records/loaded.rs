//! Deployments whose image was loaded into the nodes of a cluster on this machine. No registry has it: it comes from the store again, and nodes know it
//! by its tag alone.

use std::time::Duration;

use crate::cli::args::Shared;
use crate::cli::creds;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::local::{self, Way};
use crate::cli::open_store;
use crate::event::Observer;
use crate::image::{Image, Platform};
use crate::kubernetes::local::{Confirmed, Target, Wanted, choose};
use crate::reference::Reference;
use crate::release::history::{self, Record};
use crate::release::rollback::LOADED_INTO;

/// How long each program that loads or is asked may take.
const LIMIT: Duration = Duration::from_secs(600);

/// An image of the store that was loaded before.
pub(in crate::cli) struct Loaded {
    /// The nodes it was loaded into.
    pub(in crate::cli) target: Target,
    /// Its name with the tag that nodes know.
    pub(in crate::cli) name: Reference,
    /// The image, which is whole in the store.
    pub(in crate::cli) image: Image,
}

impl Loaded {
    /// The image of a deployment; `None` when it was not loaded into nodes.
    ///
    /// # Errors
    /// [`Code::NoSuchImage`] when the store does not have it any more; [`Code::History`] when the record does not say which nodes.
    pub(in crate::cli) fn of(
        deployment: &Record,
        shared: &Shared,
    ) -> Result<Option<Self>, Diagnostic> {
        let Some(target) = target(deployment)? else {
            return Ok(None);
        };
        let facts = &deployment.facts;
        let (Some(name), Some(digest)) = (&facts.image, &facts.digest) else {
            return Err(Diagnostic::new(
                Code::History,
                format!("the {deployment} has no image on record"),
            ));
        };
        let name: Reference = name.parse()?;
        let store = open_store(shared)?;
        // The tag may stand for something else by now: the digest does not.
        let mut names = store.names()?.into_iter();
        let found = names.find(|named| named.manifest.digest == *digest);
        let mut image = None;
        if let Some(named) = found {
            let stored = store.stored(&named.manifest)?;
            let content = stored.content();
            let images = content.images();
            let host = Platform::host();
            let fits = |image: &&Image| image.config.parsed.platform() == host;
            let fitting = images.iter().copied().find(fits);
            image = fitting
                .or(images.first().copied())
                .filter(|image| store.lacks(&(*image).into()).is_empty())
                .cloned();
        }
        let gone = || {
            Diagnostic::new(
                Code::NoSuchImage,
                format!("the image of the {deployment} is not in the store any more: `{name}@{digest}`"),
            )
            .also(format!("it was loaded into {target}, so no registry has it"))
            .also("nothing was changed")
            .hint("`overcoat history --operation deploy --state success` lists the others, `--to NUMBER` takes one; or build it again from its commit")
        };
        let image = image.ok_or_else(gone)?;
        Ok(Some(Self {
            target,
            name,
            image,
        }))
    }

    /// True when the tag is the beginning of the digest: then the same tag is the same image.
    pub(in crate::cli) fn has_content_tag(&self) -> bool {
        let tag = self.name.tag().unwrap_or_default();
        tag.len() >= 12 && self.image.digest().hex().starts_with(tag)
    }

    /// Loads it, unless all nodes have it.
    ///
    /// # Errors
    /// [`Code::Loader`].
    pub(in crate::cli) fn load(
        &self,
        shared: &Shared,
        observer: &dyn Observer,
    ) -> Result<(), Diagnostic> {
        let nobody = creds::Flags::default();
        let way = Way {
            target: &self.target,
            limit: LIMIT,
            creds: &nobody,
            file: "image.tar".into(),
        };
        local::ready(&self.target, LIMIT, shared, observer)?;
        // Minikube tells names alone.
        let can_tell = self.has_content_tag() || !matches!(self.target, Target::Minikube(_));
        if can_tell && local::is_there(&self.image, &self.name, &way, shared, observer)?.is_some() {
            return Ok(());
        }
        local::deliver(&self.image, &self.name, &way, shared, observer)?;
        Ok(())
    }
}

/// The nodes that a deployment's image was loaded into, if it was.
fn target(deployment: &Record) -> Result<Option<Target>, Diagnostic> {
    let facts = &deployment.facts;
    let word = match (facts.results.get(LOADED_INTO), &facts.target) {
        (Some(word), _) => word,
        (None, Some(history::Target::Loader { destination })) => destination,
        _ => return Ok(None),
    };
    let unknown = |reason: String| {
        Diagnostic::new(Code::History, format!("cannot repeat the {deployment}"))
            .also(reason)
            .hint("`overcoat deploy --to k3d:CLUSTER --image NAME:TAG` loads an image of the store")
    };
    let wanted: Wanted = word
        .parse()
        .map_err(|error: crate::kubernetes::local::Error| unknown(error.to_string()))?;
    if !matches!(
        wanted,
        Wanted::K3d(_) | Wanted::Kind(_) | Wanted::Minikube(_)
    ) {
        return Ok(None);
    }
    let choice = choose(&wanted, None, Confirmed::Yes).map_err(|_| {
        unknown(format!(
            "it was loaded into `{word}`, and its record does not say which cluster that was"
        ))
    })?;
    Ok(Some(choice.target))
}
