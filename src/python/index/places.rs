//! The places that the settings name, and what each has of a project.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::MultiGzDecoder;
use pep508_rs::PackageName;
use reqwest::Url;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};

use super::cache::{self, Kept, Note};
use super::credentials::Keys;
use super::error::{Error, shown};
use super::page::{self, Link};
use super::transport::{Memory, Transport};
use super::wheels::file_path;
use super::{DEFAULT_INDEX, Index, IndexSettings, Refresh, address};
use crate::digest::Digest;
use crate::event::Observer;
use crate::fs;

/// The largest page that is read, packed or not. boto3's, one of the largest, has 10 MB.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// Somewhere to look for files.
pub(super) struct Place {
    kind: Kind,
    /// What a place that is no index has; it is looked at once.
    links: Mutex<Option<Arc<Vec<Link>>>>,
}

enum Kind {
    /// An index; its URL ends with `/`.
    Index(Url),
    /// A page with links, on a server or on this machine.
    Page(Url),
    /// A directory with files.
    Directory(PathBuf),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.shown()).finish()
    }
}

impl Place {
    /// The place for messages, without credentials.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            Kind::Index(url) | Kind::Page(url) => shown(url),
            Kind::Directory(path) => path.display().to_string(),
        }
    }

    pub(super) fn is_index(&self) -> bool {
        matches!(self.kind, Kind::Index(_))
    }

    /// Refuses what could be changed on the way.
    pub(super) fn check(&self, transport: &Transport<'_>) -> Result<(), Error> {
        match &self.kind {
            Kind::Index(url) | Kind::Page(url) if !transport.is_secure(url) => {
                Err(Error::Insecure {
                    url: shown(url),
                    host: url.host_str().unwrap_or_default().to_owned(),
                })
            }
            _ => Ok(()),
        }
    }
}

/// The places of `settings`, the ones that win over others first. `keys` takes what their URLs say of who we are.
pub(super) fn read(settings: &IndexSettings, keys: &mut Keys) -> Result<Vec<Place>, Error> {
    let mut kinds = Vec::new();
    for text in &settings.find_links {
        kinds.push(find_links(text, keys)?);
    }
    // Directories before pages: as pip, what is here wins over what is elsewhere.
    kinds.sort_by_key(|kind| !matches!(kind, Kind::Directory(_)));
    if !settings.no_index {
        let first = settings.index_url.as_deref().unwrap_or(DEFAULT_INDEX);
        let further = settings.extra_index_urls.iter().map(String::as_str);
        for text in std::iter::once(first).chain(further) {
            let mut url = keys.take(address("index URL", text)?);
            url.set_fragment(None);
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            kinds.push(Kind::Index(url));
        }
    }
    let place = |kind| Place {
        kind,
        links: Mutex::default(),
    };
    Ok(kinds.into_iter().map(place).collect())
}

fn find_links(text: &str, keys: &mut Keys) -> Result<Kind, Error> {
    let refuse = |reason: &str| Error::Address {
        noun: "find-links location",
        url: crate::event::printable(text),
        reason: reason.to_owned(),
    };
    let is_url = ["http://", "https://", "file:"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    if is_url {
        let url = keys.take(address("find-links location", text)?);
        if url.scheme() != "file" {
            return Ok(Kind::Page(url));
        }
        return Ok(local(file_path(&url)?, url));
    }
    if text.is_empty() {
        return Err(refuse("it is empty"));
    }
    let path = std::path::absolute(text).map_err(|error| refuse(&fs::reason(&error)))?;
    let url = Url::from_file_path(&path).map_err(|()| refuse("it is no path"))?;
    Ok(local(path, url))
}

fn local(path: PathBuf, url: Url) -> Kind {
    let is_page = path
        .extension()
        .is_some_and(|ending| ending == "html" || ending == "htm");
    match is_page {
        true => Kind::Page(url),
        false => Kind::Directory(path),
    }
}

impl Index<'_> {
    /// The links that `place` has for `name`, among others; `None` when it does not know the name.
    pub(super) fn links(
        &self,
        place: &Place,
        name: &PackageName,
        observer: &dyn Observer,
    ) -> Result<Option<Arc<Vec<Link>>>, Error> {
        let read = |url: &Url| -> Result<Option<Vec<Link>>, Error> {
            let Some(kept) = self.page(url, observer)? else {
                return Ok(None);
            };
            let base = address("address of the page", &kept.note.url)?;
            page::links(&base, &kept.note.media_type, &kept.body).map(Some)
        };
        if let Kind::Index(index) = &place.kind {
            let url = index.join(&format!("{name}/"));
            let url = url.map_err(|error| Error::Address {
                noun: "index URL",
                url: shown(index),
                reason: error.to_string(),
            })?;
            return Ok(read(&url)?.map(Arc::new));
        }
        let mut links = place.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*links {
            return Ok(Some(Arc::clone(known)));
        }
        let found = match &place.kind {
            Kind::Directory(path) => directory(path)?,
            Kind::Index(url) | Kind::Page(url) => read(url)?.ok_or_else(|| Error::Status {
                url: shown(url),
                status: 404,
            })?,
        };
        let found = Arc::new(found);
        *links = Some(Arc::clone(&found));
        Ok(Some(found))
    }

    /// A page, kept or new; `None` when there is none.
    fn page(&self, url: &Url, observer: &dyn Observer) -> Result<Option<Kept>, Error> {
        if url.scheme() == "file" {
            return page_of_file(url);
        }
        let key = Digest::of(url.as_str().as_bytes());
        let path = self.caches.pypi.join("pages-v1").join(key.hex());
        let kept = cache::read(&path);
        if let Some(kept) = &kept
            && self.refresh == Refresh::WhenStale
            && kept.note.is_fresh(self.now)
        {
            return Ok(Some(kept.clone()));
        }
        let mut headers = vec![
            (ACCEPT, page::ACCEPT.to_owned()),
            (ACCEPT_ENCODING, "gzip".to_owned()),
        ];
        headers.extend(kept.iter().flat_map(|kept| kept.note.conditions()));
        let mut memory = Memory::new(url, MAX_PAGE_BYTES);
        let head = self.transport.get(url, &headers, &mut memory, observer)?;
        match (head.status.as_u16(), kept) {
            (404 | 410, _) => return Ok(None),
            (304, Some(mut kept)) => {
                kept.note = kept.note.renewed(&head, self.now);
                cache::write(&path, &kept)?;
                return Ok(Some(kept));
            }
            (200, _) => {}
            _ => return Err(head.error(self.transport.credentials(&head.url))),
        }
        let body = match head.get(&CONTENT_ENCODING).map(str::to_ascii_lowercase) {
            None => memory.bytes,
            Some(encoding) if encoding == "identity" => memory.bytes,
            Some(encoding) if encoding == "gzip" || encoding == "x-gzip" => {
                gunzip(url, &memory.bytes)?
            }
            Some(_) => {
                return Err(Error::Page {
                    url: shown(url),
                    reason: "it is packed in a way that was not asked for".to_owned(),
                });
            }
        };
        let is_kept = Note::of(&head, self.now);
        let may_keep = is_kept.as_ref().is_some_and(Note::is_worth_keeping);
        // An answer that may not be kept is one of this moment: as stale as can be.
        let note = is_kept.unwrap_or_else(|| Note::passing(&head));
        let kept = Kept { note, body };
        if may_keep {
            cache::write(&path, &kept)?;
        }
        Ok(Some(kept))
    }
}

fn gunzip(url: &Url, packed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let mut limited = MultiGzDecoder::new(packed).take(MAX_PAGE_BYTES + 1);
    limited
        .read_to_end(&mut body)
        .map_err(|error| Error::Page {
            url: shown(url),
            reason: format!("it cannot be unpacked: {}", fs::reason(&error)),
        })?;
    if body.len() as u64 > MAX_PAGE_BYTES {
        return Err(Error::TooLarge {
            url: shown(url),
            limit_bytes: MAX_PAGE_BYTES,
        });
    }
    Ok(body)
}

/// A page on this machine: an HTML file, or that of a directory.
fn page_of_file(url: &Url) -> Result<Option<Kept>, Error> {
    let mut path = file_path(url)?;
    if url.path().ends_with('/') {
        path.push("index.html");
    }
    match fs::read_limited(&path, MAX_PAGE_BYTES) {
        Ok(body) => Ok(Some(Kept {
            note: Note::of_file(url),
            body,
        })),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The files of a directory, by name.
fn directory(path: &Path) -> Result<Vec<Link>, Error> {
    let mut links = Vec::new();
    for name in fs::list(path)? {
        let url = Url::from_file_path(path.join(&name));
        if let (Some(filename), Ok(url)) = (name.to_str(), url) {
            links.push(Link {
                filename: filename.to_owned(),
                url: url.into(),
                ..Link::default()
            });
        }
    }
    Ok(links)
}
