//! Package indexes: which files there are, what they say of themselves, and fetching them.
//!
//! ```text
//! name ─project─▶ files ─metadata─▶ what they require
//!                   └────fetch────▶ wheels on this machine
//! ```
//!
//! All indexes are equal, as for pip: the best version wins, wherever it is, and of files with the same name the one
//! of the first place counts (`find_links` before indexes, then in the order given). So whoever can publish in **any**
//! of the indexes can publish a higher version of a name that another index has for itself: that is what is called
//! dependency confusion. Who has private names uses one index that serves both (`index_url` alone), registers the
//! names in the public one, or pins digests.
//!
//! Requests go through one client. Pages are kept on disk for as long as their server says, and after that asked for
//! with their `ETag`; within a run everything is asked for once. Of passwords and tokens each host gets its own only
//! (see [`Credentials`]).
//!
//! # Spec
//! packaging.python.org, *Simple repository API* (PEPs 503, 592, 629, 658, 691, 700, 714).

mod cache;
mod credentials;
mod error;
mod html;
mod lenient;
mod metadata;
mod page;
mod places;
mod pool;
mod remote;
mod transport;
mod wheels;
mod zip_member;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use pep508_rs::PackageName;
use reqwest::Url;

pub use credentials::Credentials;
pub use error::Error;
pub use lenient::{requirement, specifiers};
pub use metadata::{Metadata, Unreadable};
pub use page::{CoreMetadata, File, FileKind};
pub use wheels::LocalWheel;

use crate::event::Observer;
use crate::http::Http;
use credentials::Keys;
use places::Place;
use pool::work_through;
use remote::Slot;
use transport::Transport;

/// The index that is asked when none is named.
pub const DEFAULT_INDEX: &str = "https://pypi.org/simple";

/// How many questions are asked side by side.
const PARALLEL: usize = 16;

/// Where packages come from.
#[derive(Clone, Default)]
pub struct IndexSettings {
    /// The index; [`DEFAULT_INDEX`] when there is none. May have a user name and a password in it, which go no further.
    pub index_url: Option<String>,
    /// Further indexes, each as good as the first.
    pub extra_index_urls: Vec<String>,
    /// Directories, `file:` URLs of directories or HTML files, or URLs of HTML pages with links to files. A path is
    /// absolute, or relative to the working directory.
    pub find_links: Vec<String>,
    /// True to ask no index: only `find_links`.
    pub no_index: bool,
    /// Hosts (`HOST` or `HOST:PORT`) that need no encryption, and whose certificates are not checked. They are believed
    /// whatever somebody on the way makes of their answers.
    pub trusted_hosts: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
}

impl std::fmt::Debug for IndexSettings {
    /// URLs carry passwords: they are shown without.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |urls: &[String]| -> Vec<String> {
            urls.iter().map(|url| error::shown_text(url)).collect()
        };
        f.debug_struct("IndexSettings")
            .field(
                "index_url",
                &self.index_url.as_deref().map(error::shown_text),
            )
            .field("extra_index_urls", &shown(&self.extra_index_urls))
            .field("find_links", &shown(&self.find_links))
            .field("no_index", &self.no_index)
            .field("trusted_hosts", &self.trusted_hosts)
            .field("credentials", &self.credentials)
            .finish()
    }
}

/// Directories in which answers and wheels are kept. They are made when they are first needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caches {
    /// For pages and metadata.
    pub pypi: PathBuf,
    /// For wheels, by digest.
    pub wheels: PathBuf,
}

/// When kept pages are asked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// When their time is over.
    #[default]
    WhenStale,
    /// Always; what has not changed is not sent again.
    Always,
}

/// What all places together have of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The name.
    pub name: PackageName,
    /// Its files, those of the first place first; each name once.
    pub files: Vec<Arc<File>>,
    /// The places that know the name, without credentials. Empty: nobody has heard of it.
    pub found_in: Vec<String>,
}

/// Package indexes, and all that they said in this run.
#[derive(Debug)]
pub struct Index<'h> {
    transport: Transport<'h>,
    places: Vec<Place>,
    caches: Caches,
    now: SystemTime,
    refresh: Refresh,
    projects: Mutex<BTreeMap<PackageName, Slot<Project>>>,
    metadata: Mutex<BTreeMap<String, Slot<Metadata>>>,
    /// Sizes of wheels that an answer told by the way, by URL.
    sizes: Mutex<BTreeMap<String, u64>>,
}

impl<'h> Index<'h> {
    /// Indexes as `settings` name them. `now` is the time by which kept pages are fresh or stale. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Address`] for what is neither URL nor path; [`Error::Insecure`] for a plain `http:` index that is
    /// neither on this machine nor trusted.
    pub fn new(
        http: &'h Http,
        settings: &IndexSettings,
        caches: Caches,
        now: SystemTime,
        refresh: Refresh,
    ) -> Result<Self, Error> {
        let mut keys = Keys::new(&settings.credentials);
        let places = places::read(settings, &mut keys)?;
        let transport = Transport::new(http, keys, settings.trusted_hosts.clone());
        for place in &places {
            place.check(&transport)?;
        }
        Ok(Self {
            transport,
            places,
            caches,
            now,
            refresh,
            projects: Mutex::default(),
            metadata: Mutex::default(),
            sizes: Mutex::default(),
        })
    }

    /// All that there is of a name. A name that no place knows is a project without files.
    ///
    /// # Errors
    /// [`Error::Page`] for an answer that is no page, [`Error::Unauthorised`] and [`Error::Status`] for an index that
    /// answers with anything but a page or "not found", and what a request can fail with. An index that fails is never
    /// passed over: another one could then answer for its names.
    pub fn project(
        &self,
        name: &PackageName,
        observer: &dyn Observer,
    ) -> Result<Arc<Project>, Error> {
        let slot = {
            let mut slots = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(name.clone()).or_default())
        };
        // Held while it is asked for: others who want the same wait for the one answer.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*slot {
            return Ok(Arc::clone(known));
        }
        let project = Arc::new(self.ask(name, observer)?);
        *slot = Some(Arc::clone(&project));
        Ok(project)
    }

    /// Loads several projects side by side, so that [`Index::project`] has them at once.
    ///
    /// # Errors
    /// As [`Index::project`]; the first failure ends the others.
    pub fn prefetch(&self, names: &[PackageName], observer: &dyn Observer) -> Result<(), Error> {
        let threads = PARALLEL.min(names.len());
        let names: Vec<&PackageName> = names.iter().collect();
        work_through(threads, names, observer, |name, observer| {
            self.project(name, observer).map(drop)
        })
    }

    /// Loads the metadata of several wheels side by side, so that [`Index::metadata`] has them at once.
    ///
    /// # Errors
    /// As [`Index::metadata`]; the first failure ends the others.
    pub fn prefetch_metadata(
        &self,
        files: &[Arc<File>],
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let threads = PARALLEL.min(files.len());
        let files: Vec<&Arc<File>> = files.iter().collect();
        work_through(threads, files, observer, |file, observer| {
            self.metadata(file, observer).map(drop)
        })
    }

    fn ask(&self, name: &PackageName, observer: &dyn Observer) -> Result<Project, Error> {
        let mut project = Project {
            name: name.clone(),
            files: Vec::new(),
            found_in: Vec::new(),
        };
        let mut reader = page::Reader::new(name);
        let mut names = std::collections::BTreeSet::new();
        for place in &self.places {
            let Some(links) = self.links(place, name, observer)? else {
                continue;
            };
            let before = project.files.len();
            for file in links.iter().filter_map(|link| reader.file(link)) {
                if names.insert(file.filename.clone()) {
                    project.files.push(Arc::new(file));
                }
            }
            if place.is_index() || project.files.len() > before {
                project.found_in.push(place.shown());
            }
        }
        Ok(project)
    }
}

/// Takes a URL apart that must be one we can read from.
fn address(noun: &'static str, text: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Address {
        noun,
        url: error::shown_text(text),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    match url.scheme() {
        "http" | "https" | "file" => Ok(url),
        _ => Err(refuse("only `https:`, `http:` and `file:` are known")),
    }
}

#[cfg(test)]
mod tests;
