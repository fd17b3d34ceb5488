//! Where a named image is looked for: this store, a container engine of this machine, its registry.

use super::builder::{self, Bytes, ImageSource};
use super::engine::{self, Answer};
use super::s2i::PullPolicy;
use super::{Error, Tools};
use crate::event::{Event, Observer};
use crate::image::{Image, Platform};
use crate::reference::Reference;
use crate::registry::Layers;
use crate::store::BlobStore;

/// Brings an image into the store, wherever its policy lets it be looked for; also its name as it may be recorded. As
/// [`obtain`](builder::obtain), which looks as [`PullPolicy::IfNotPresent`] says.
///
/// | policy | looks in |
/// |---|---|
/// | `Never` | the store, the engine |
/// | `IfNotPresent` | the store, the engine, the registry |
/// | `Always` | the registry |
///
/// Policies are about references: layouts, archives and recipes are where they are. A reference without a tag means
/// `latest`. An engine that cannot be asked is a note, unless nothing else may be.
///
/// # Errors
/// As [`obtain`](builder::obtain); [`Error::NotHere`] when the policy is `Never` and the image is not on this machine,
/// [`Error::Engine`] when an engine has it and it cannot be taken.
///
/// # Spec
/// `s2i-compat.md` §1.5, §1.8.
pub fn find_image(
    source: &ImageSource,
    platform: &Platform,
    policy: PullPolicy,
    bytes: Bytes,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<(Image, String), Error> {
    let ImageSource::Reference(reference) = source else {
        return builder::obtain(source, platform, bytes, tools, observer);
    };
    let looked = look(reference, platform, policy, tools, tools.store, observer)?;
    let image = match (looked, bytes) {
        (Some(image), _) => image,
        (None, Bytes::All) => builder::pull(reference, platform, tools, observer)?,
        (None, Bytes::DocumentsOnly) => {
            let registry = tools.registry()?;
            registry.pull(reference, platform, tools.store, Layers::None, observer)?
        }
    };
    builder::named(source, platform, image)
}

/// The image of a reference, if this machine has it; `None` when its registry is to be asked. What has to be exported goes
/// into `store`.
pub(super) fn look(
    reference: &Reference,
    platform: &Platform,
    policy: PullPolicy,
    tools: &Tools<'_>,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<Option<Image>, Error> {
    if policy == PullPolicy::Always {
        return Ok(None);
    }
    if let Some(image) = builder::in_store(reference, platform, tools)? {
        return Ok(Some(image));
    }
    let silence = match engine::find(reference, platform, tools, store, observer)? {
        Answer::Has(image) => return Ok(Some(*image)),
        Answer::HasNone => None,
        Answer::Silent(reason) => Some(reason),
    };
    match (policy, silence) {
        (PullPolicy::Never, silence) => Err(Error::NotHere {
            image: reference.to_string(),
            asked: match (&tools.engine, silence) {
                (None, _) => "this store".to_owned(),
                (Some(_), None) => "this store and the container engine".to_owned(),
                (Some(_), Some(reason)) => format!("this store ({reason})"),
            },
        }),
        (_, Some(text)) => {
            observer.observe(Event::Note { text });
            Ok(None)
        }
        (_, None) => Ok(None),
    }
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;
