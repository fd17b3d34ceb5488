//! The tags of a repository.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::pages::{MAX_PAGES, page};
use super::transport::Session;
use super::{Access, Error, RegistryClient};
use crate::event::Observer;
use crate::reference::Reference;

/// How many tags are asked for at once; registries may give fewer.
const PAGE_TAGS: usize = 1000;
/// After how many tags a list is taken for endless.
const MAX_TAGS: usize = 250_000;

#[derive(Deserialize)]
struct Answer {
    /// `null` in a repository whose tags were all deleted.
    tags: Option<Vec<String>>,
}

impl RegistryClient {
    /// Lists the tags of `repository`, whose own tag and digest do not matter, in lexical order (which the specification asks
    /// registries for, and docker-registry 2.8 does not keep): at most `limit` when one is given.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a repository that is not there, [`Error::Endless`] for a list that repeats itself or has
    /// more than 250 000 tags, [`Error::Protocol`] for an answer that is no list or sends us to another host; otherwise
    /// as [`Self::resolve`].
    ///
    /// # Spec
    /// OCI distribution-spec, *Listing Tags*.
    pub fn tags(
        &self,
        repository: &Reference,
        limit: Option<usize>,
        observer: &dyn Observer,
    ) -> Result<Vec<String>, Error> {
        let session = self.session(repository, Access::Pull, observer)?;
        session.run(observer, list(&session, limit))
    }
}

async fn list(session: &Session<'_>, limit: Option<usize>) -> Result<Vec<String>, Error> {
    let wanted = limit.unwrap_or(usize::MAX);
    let asked = PAGE_TAGS.min(wanted.max(1));
    let mut tags = BTreeSet::new();
    let mut url = session.url("tags/list")?;
    url.query_pairs_mut().append_pair("n", &asked.to_string());
    let endless = |reason: String| Error::Endless {
        noun: "tags",
        subject: format!("{}/{}", session.host, session.repository),
        reason,
    };
    for _ in 0..MAX_PAGES {
        let answer = page(session, url, "application/json", "tags").await?;
        let known = tags.len();
        let page = read(session, &answer.bytes)?;
        let (count, last) = (page.len(), page.last().cloned().unwrap_or_default());
        tags.extend(page);
        if tags.len() >= wanted {
            return Ok(tags.into_iter().take(wanted).collect());
        }
        if tags.len() > MAX_TAGS {
            return Err(endless(format!("it has more than {MAX_TAGS} entries")));
        }
        let is_new = tags.len() > known;
        url = match answer.next {
            Some(_) if !is_new => {
                return Err(endless("a page says nothing new, and goes on".to_owned()));
            }
            Some(next) => next,
            // A full page without `Link`: some registries know only `last`. Those that know neither repeat themselves.
            None if is_new && count == asked => {
                let mut next = session.url("tags/list")?;
                next.query_pairs_mut()
                    .append_pair("n", &asked.to_string())
                    .append_pair("last", &last);
                next
            }
            None => return Ok(tags.into_iter().collect()),
        };
    }
    Err(endless(format!("it has more than {MAX_PAGES} pages")))
}

fn read(session: &Session<'_>, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let url = session.url("tags/list")?;
    let request = super::transport::Request::new(reqwest::Method::GET, url);
    let answer: Answer =
        serde_json::from_slice(bytes).map_err(|_| request.protocol("it is not a list of tags"))?;
    let tags = answer.tags.unwrap_or_default();
    // They will be shown, and used as names.
    if let Some(odd) = tags.iter().find(|tag| !is_tag(tag)) {
        let shown = super::error::shown(odd);
        return Err(request.protocol(format!("it lists `{shown}`, which is not a tag")));
    }
    Ok(tags)
}

/// True for what the grammar of references takes for a tag.
fn is_tag(text: &str) -> bool {
    let reference = format!("a.example/a:{text}").parse::<Reference>();
    reference.is_ok_and(|reference| reference.tag() == Some(text) && reference.digest().is_none())
}
