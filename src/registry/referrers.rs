//! What refers to an image: signatures, bills of materials, attestations.
//!
//! A registry with the referrers API keeps the list itself. One without it has the list under a tag that is made of the
//! subject's digest, and whoever pushes a referrer must add to it.

use std::collections::BTreeSet;

use reqwest::Url;
use reqwest::header::HeaderName;

use super::pages::{MAX_PAGES, page};
use super::pull::manifest;
use super::transport::{Session, header};
use super::upload::put_document;
use super::{Access, Error, RegistryClient};
use crate::digest::Digest;
use crate::event::Observer;
use crate::image::graph::{Document, Links, Referrer, referrers_tag};
use crate::image::{self, media_type};
use crate::reference::Reference;

/// Says that a registry with the API has understood whom a manifest refers to.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// After how many referrers a list is taken for endless.
const MAX_REFERRERS: usize = 4096;
/// How often the list under a tag is written when others write it, too.
const MAX_WRITES: usize = 4;

impl RegistryClient {
    /// Lists what refers to the manifest with this digest in `repository`, of one artifact type if that is given: by the
    /// registry's API, else by the tag that stands in for it.
    ///
    /// # Errors
    /// [`Error::Endless`] for a list that repeats itself or has more than 4096 entries; otherwise as [`Self::resolve`].
    /// Nothing that refers to it, and no such subject, is an empty list.
    ///
    /// # Spec
    /// OCI distribution-spec, *Listing Referrers*, *Referrers Tag Schema*.
    pub fn referrers(
        &self,
        repository: &Reference,
        subject: &Digest,
        artifact_type: Option<&str>,
        observer: &dyn Observer,
    ) -> Result<Vec<Referrer>, Error> {
        let session = self.session(repository, Access::Pull, observer)?;
        self.http
            .run(observer, list(&session, subject, artifact_type))?
    }

    /// Puts a manifest or an index into `repository` by its digest; all that it names must be there. When it has a
    /// `subject` and the registry has no referrers API, it is added to the list under the subject's tag.
    ///
    /// # Errors
    /// As [`Self::push`].
    ///
    /// # Spec
    /// OCI distribution-spec, *Pushing Manifests with Subject*.
    pub fn put_document(
        &self,
        repository: &Reference,
        document: &Document,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let session = self.session(repository, Access::PullAndPush, observer)?;
        let name = document.descriptor.digest.to_string();
        session.run(observer, put(&session, &name, document))
    }
}

/// As [`RegistryClient::referrers`].
pub(super) async fn list(
    session: &Session<'_>,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Referrer>, Error> {
    let found = match by_api(session, subject, artifact_type).await {
        Ok(found) => found,
        Err(error) if has_no_api(&error) => {
            let fallback = by_tag(session, subject).await?;
            fallback.map(|(_, list)| list).unwrap_or_default()
        }
        Err(error) => return Err(error),
    };
    // The registry may have left this to us; where it has not, nothing changes.
    let is_wanted = |referrer: &Referrer| {
        artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted))
    };
    Ok(found.into_iter().filter(is_wanted).collect())
}

/// The specification asks for 404; older registries do not know the path and say so in other ways.
fn has_no_api(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } => true,
        Error::Answer(answer) => matches!(answer.status, 400 | 405 | 501),
        _ => false,
    }
}

async fn by_api(
    session: &Session<'_>,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Referrer>, Error> {
    let mut url: Url = session.url(&format!("referrers/{subject}"))?;
    if let Some(wanted) = artifact_type {
        url.query_pairs_mut().append_pair("artifactType", wanted);
    }
    let endless = |reason: String| Error::Endless {
        noun: "referrers",
        subject: session.subject.clone(),
        reason,
    };
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for _ in 0..MAX_PAGES {
        let answer = page(session, url, media_type::OCI_INDEX, "referrers").await?;
        let entries = Referrer::list(&answer.bytes).map_err(|error| unusable(session, error))?;
        let known = found.len();
        let new = entries
            .into_iter()
            .filter(|entry| seen.insert(entry.descriptor.digest.clone()));
        found.extend(new);
        if found.len() > MAX_REFERRERS {
            return Err(endless(format!("it has more than {MAX_REFERRERS} entries")));
        }
        match answer.next {
            None => return Ok(found),
            // A page that a filter has left empty may well be followed by others; one that repeats entries may not.
            Some(_) if found.len() == known && artifact_type.is_none() => {
                return Err(endless("a page says nothing new, and goes on".to_owned()));
            }
            Some(next) => url = next,
        }
    }
    Err(endless(format!("it has more than {MAX_PAGES} pages")))
}

/// The list under the subject's tag, with its bytes; `None` when there is none.
async fn by_tag(
    session: &Session<'_>,
    subject: &Digest,
) -> Result<Option<(Document, Vec<Referrer>)>, Error> {
    let fetched = match manifest(session, &referrers_tag(subject), None).await {
        Ok(fetched) => fetched,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    if !media_type::is_index(&fetched.descriptor.media_type) {
        let media_type = fetched.descriptor.media_type;
        return Err(unusable(session, image::Error::MediaType { media_type }));
    }
    let list = Referrer::list(&fetched.bytes).map_err(|error| unusable(session, error))?;
    let document = Document {
        descriptor: fetched.descriptor,
        bytes: fetched.bytes,
    };
    Ok(Some((document, list)))
}

/// Puts a manifest or an index under `name`, and into the list of its subject where the registry does not do that.
pub(super) async fn put(
    session: &Session<'_>,
    name: &str,
    document: &Document,
) -> Result<(), Error> {
    let media_type = &document.descriptor.media_type;
    let headers = put_document(session, name, media_type, &document.bytes).await?;
    let links =
        Links::parse(media_type, &document.bytes).map_err(|error| unusable(session, error))?;
    let Some(subject) = links.subject else {
        return Ok(());
    };
    if header(&headers, &OCI_SUBJECT).is_some() {
        return Ok(());
    }
    let entry = Referrer::of(document).map_err(|error| unusable(session, error))?;
    note(session, &subject.digest, entry).await
}

/// Adds an entry to the list under the subject's tag. Others may do the same at the same time, and nothing keeps the
/// later from undoing the earlier: the list is read again, and written again when the entry is not in it.
async fn note(session: &Session<'_>, subject: &Digest, entry: Referrer) -> Result<(), Error> {
    let tag = referrers_tag(subject);
    for _ in 0..MAX_WRITES {
        let existing = by_tag(session, subject).await?;
        let bytes = existing
            .as_ref()
            .map(|(document, _)| document.bytes.as_slice());
        let updated = Referrer::add_to(bytes, std::slice::from_ref(&entry))
            .map_err(|error| unusable(session, error))?;
        let Some(updated) = updated else {
            return Ok(());
        };
        let media_type = existing.map(|(document, _)| document.descriptor.media_type);
        let media_type = media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        put_document(session, &tag, media_type, &updated).await?;
    }
    Err(Error::Endless {
        noun: "referrers",
        subject: session.subject.clone(),
        reason: format!("others write the tag `{tag}` all the time"),
    })
}

/// Takes a manifest that was deleted out of the list under its subject's tag, where there is such a list.
///
/// # Spec
/// OCI distribution-spec, *Deleting Manifests*: what clients should do where the API is missing.
pub(super) async fn forget(
    session: &Session<'_>,
    subject: &Digest,
    gone: &Digest,
) -> Result<(), Error> {
    let Some((document, list)) = by_tag(session, subject).await? else {
        return Ok(());
    };
    if list.iter().all(|entry| entry.descriptor.digest != *gone) {
        return Ok(());
    }
    let shorter = Referrer::remove_from(&document.bytes, gone);
    let shorter = shorter.map_err(|error| unusable(session, error))?;
    let media_type = &document.descriptor.media_type;
    put_document(session, &referrers_tag(subject), media_type, &shorter).await?;
    Ok(())
}

fn unusable(session: &Session<'_>, source: image::Error) -> Error {
    Error::Document {
        subject: session.subject.clone(),
        source: Box::new(source),
    }
}
