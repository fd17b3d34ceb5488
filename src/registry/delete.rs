//! Removing images from a registry.

use reqwest::Method;

use super::pull;
use super::referrers;
use super::transport::{Request, Session};
use super::{Access, Error, RegistryClient};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::graph::Links;
use crate::reference::Reference;

/// Of how many tags it is asked whether they mean the same image, one request each.
const ASKED_TAGS: usize = 50;

/// What was removed, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The manifest or index.
    pub digest: Digest,
    /// Other tags that stand for it, which go with it; sorted.
    pub other_tags: Vec<String>,
    /// False when the repository has more tags than were asked about, or does not list them: there may be others.
    pub are_all_known: bool,
}

impl RegistryClient {
    /// Finds out what [`Self::delete`] would remove: the digest of a tag, and what else it is called.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn doomed(&self, reference: &Reference, observer: &dyn Observer) -> Result<Deleted, Error> {
        let digest = self.resolve(reference, observer)?.digest;
        let tags = match self.tags(reference, Some(ASKED_TAGS + 1), observer) {
            Ok(tags) => tags,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // It only would have been good to know.
            Err(_) => {
                return Ok(Deleted {
                    digest,
                    other_tags: Vec::new(),
                    are_all_known: false,
                });
            }
        };
        let candidates: Vec<&String> = tags
            .iter()
            .take(ASKED_TAGS)
            .filter(|tag| reference.tag() != Some(tag.as_str()))
            .collect();
        let session = self.session(reference, Access::Pull, observer)?;
        let same = super::in_parallel(
            &candidates,
            self.limits.connections,
            observer,
            |tag, observer| {
                let named = reference.with_tag(tag);
                let found = session.run(observer, pull::resolve(&session, &named));
                if let Err(Error::Interrupted) = found {
                    return Err(Error::Interrupted);
                }
                // A tag that was removed meanwhile, or that nobody can read, is not this image.
                Ok(found.is_ok_and(|found| found.digest == digest))
            },
        )?;
        let mut other_tags: Vec<String> = candidates
            .iter()
            .zip(same)
            .filter(|(_, is_same)| *is_same)
            .map(|(tag, _)| (*tag).clone())
            .collect();
        other_tags.sort();
        Ok(Deleted {
            digest,
            other_tags,
            are_all_known: tags.len() <= ASKED_TAGS,
        })
    }

    /// Removes a manifest or an index by its digest, with every tag that stands for it. Blobs stay until the registry
    /// collects its garbage. A referrer is also taken out of the list of its subject where the registry has no API for
    /// that.
    ///
    /// # Errors
    /// [`Error::NoDeletion`] from a registry that does not allow it; otherwise as [`Self::resolve`].
    ///
    /// # Spec
    /// OCI distribution-spec, *Deleting Manifests*.
    pub fn delete(
        &self,
        repository: &Reference,
        digest: &Digest,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let mut session = self.session(repository, Access::Pull, observer)?;
        session.scopes = vec![format!(
            "repository:{}:pull,delete",
            repository.repository()
        )];
        let name = digest.to_string();
        let subject = match session.run(observer, pull::manifest(&session, &name, Some(digest))) {
            Ok(found) => Links::parse(&found.descriptor.media_type, &found.bytes)
                .ok()
                .and_then(|links| links.subject),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // What nobody can read may be deleted nevertheless.
            Err(_) => None,
        };
        session.run(observer, remove(&session, digest))?;
        let Some(subject) = subject else {
            return Ok(());
        };
        let session = self.session(repository, Access::PullAndPush, observer)?;
        session.run(
            observer,
            referrers::forget(&session, &subject.digest, digest),
        )
    }
}

async fn remove(session: &Session<'_>, digest: &Digest) -> Result<(), Error> {
    let request = Request::new(Method::DELETE, session.url(&format!("manifests/{digest}"))?);
    let done = session
        .retry(async || session.exchange(&request).await)
        .await;
    match done {
        Ok(_) => Ok(()),
        Err(Error::Answer(answer)) if answer.status == 405 || answer.has_code("UNSUPPORTED") => {
            Err(Error::NoDeletion {
                host: session.host.clone(),
                answer,
            })
        }
        Err(error) => Err(error),
    }
}
