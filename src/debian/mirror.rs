//! Where packages come from: the mirrors' addresses, and files fetched from them by digest.
//!
//! The download cache is a directory shared by every overcoat process of a user:
//!
//! ```text
//! cache/
//! ├── 3f5a…(64 digits)        a complete file whose SHA-256 is its name
//! └── 3f5a…(64 digits).part   the beginning of one, locked by whoever writes it
//! ```
//!
//! A file appears under its final name only by rename, after its size and digest were checked; it is checked again
//! before each use, because a disk is not to be trusted with what runs in production. A `.part` that a killed process
//! left is continued with a range request. Whoever finds it locked makes a private copy: waiting for a process that
//! may be stopped is worse than fetching a file twice.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_RANGE, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};

use super::Error;
use super::partial::{Partial, is_right};
use crate::digest::Digest;
use crate::event::{Direction, Observer, Transfer};
use crate::fs;
use crate::http::{self, Http};

pub use super::sources::{DEFAULT_MIRROR, DEFAULT_SECURITY_MIRROR, Mirrors};

/// How many files are fetched side by side. More does not help against one mirror.
const PARALLEL: usize = 8;
/// How often a request is made before its failure is believed.
const MAX_ATTEMPTS: u32 = 3;
/// How long to wait before the second attempt; doubled for each further one.
const BACKOFF: Duration = Duration::from_millis(300);
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// A file to be fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where it is; the second and further URLs are asked when those before answer 404.
    pub urls: Vec<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub digest: Digest,
}

/// Fetches files into a cache.
#[derive(Clone, Copy)]
pub struct Fetcher<'a> {
    http: &'a Http,
    cache: &'a Path,
    observer: &'a dyn Observer,
}

impl std::fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl<'a> Fetcher<'a> {
    /// A fetcher with its cache in the directory `cache`, which is made when it is first needed.
    pub fn new(http: &'a Http, cache: &'a Path, observer: &'a dyn Observer) -> Self {
        Self {
            http,
            cache,
            observer,
        }
    }

    /// Fetches a small document that nothing vouches for yet. It is not cached.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past `limit_bytes`, and what [`Fetcher::fetch`] returns.
    pub fn document(&self, url: &str, limit_bytes: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.attempt(|| {
            bytes.clear();
            let sink = |chunk: &[u8]| {
                if (bytes.len() + chunk.len()) as u64 > limit_bytes {
                    let url = shown(url);
                    return Err(Failure::Final(Error::TooLarge { url, limit_bytes }));
                }
                bytes.extend_from_slice(chunk);
                Ok(())
            };
            self.run(get(self.http, url, 0, |_| Ok(()), sink))
        })?;
        Ok(bytes)
    }

    /// Fetches files side by side and returns their paths in the cache, in the order of `wanted`. `name` is what the
    /// progress of all of them together is shown as.
    ///
    /// # Errors
    /// The first failure ends everything: [`Error::Unreachable`], [`Error::Status`], [`Error::Redirect`],
    /// [`Error::TooLarge`], [`Error::Mismatch`], [`Error::File`], [`Error::Interrupted`]. What has arrived stays in
    /// the cache.
    pub fn fetch(&self, name: &str, wanted: &[Wanted]) -> Result<Vec<PathBuf>, Error> {
        fs::create_dir_all(self.cache)?;
        let total = wanted.iter().map(|file| file.size_bytes).sum();
        let transfer = Transfer::start(self.observer, Direction::Download, name, Some(total));
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..PARALLEL.min(wanted.len()) {
                scope.spawn(|| {
                    while let Some(file) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if has_failed.load(Ordering::Relaxed) {
                            return;
                        }
                        if let Err(error) = self.one(file, &transfer) {
                            has_failed.store(true, Ordering::Relaxed);
                            // Only the first failure tells the cause.
                            failure
                                .lock()
                                .unwrap_or_else(|poisoned| poisoned.into_inner())
                                .get_or_insert(error);
                        }
                    }
                });
            }
        });
        match failure
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
        {
            Some(error) => Err(error),
            None => Ok(wanted.iter().map(|file| self.path(file)).collect()),
        }
    }

    fn path(&self, file: &Wanted) -> PathBuf {
        self.cache.join(file.digest.hex())
    }

    /// Makes sure that one file is in the cache and is right.
    fn one(&self, file: &Wanted, transfer: &Transfer<'_>) -> Result<(), Error> {
        let path = self.path(file);
        if is_right(&path, file)? {
            transfer.advance(file.size_bytes);
            return Ok(());
        }
        let mut partial = Partial::open(&path, file)?;
        transfer.advance(partial.size.min(file.size_bytes));
        let mut result = self.complete(file, &mut partial, transfer);
        if matches!(result, Err(Error::Mismatch { .. })) {
            // Perhaps only the part that an earlier process left was wrong.
            partial.restart()?;
            result = self.complete(file, &mut partial, transfer);
        }
        match result {
            Ok(()) => partial.persist(&path),
            Err(error @ (Error::Mismatch { .. } | Error::TooLarge { .. })) => {
                partial.discard();
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Fetches what is missing of a file and checks the whole.
    fn complete(
        &self,
        file: &Wanted,
        partial: &mut Partial,
        transfer: &Transfer<'_>,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        for url in &file.urls {
            result = self.attempt(|| self.resume(url, file, partial, transfer));
            if !matches!(result, Err(Error::Status { status: 404, .. })) {
                break;
            }
        }
        result?;
        let found = partial.digester.clone().finish();
        if found == file.digest {
            return Ok(());
        }
        Err(Error::Mismatch {
            url: file.urls.first().map(|url| shown(url)).unwrap_or_default(),
            expected: file.digest.clone(),
            found,
        })
    }

    /// One request for what is missing.
    fn resume(
        &self,
        url: &str,
        file: &Wanted,
        partial: &mut Partial,
        transfer: &Transfer<'_>,
    ) -> Result<(), Failure> {
        if partial.size == file.size_bytes {
            return Ok(());
        }
        let offset = partial.size;
        let partial = std::cell::RefCell::new(partial);
        let begin = |start| match start == offset {
            true => Ok(()),
            false => partial.borrow_mut().restart().map_err(Failure::Final),
        };
        let sink = |chunk: &[u8]| {
            let mut partial = partial.borrow_mut();
            if partial.size + chunk.len() as u64 > file.size_bytes {
                return Err(Failure::Final(Error::TooLarge {
                    url: shown(url),
                    limit_bytes: file.size_bytes,
                }));
            }
            partial.write(chunk).map_err(Failure::Final)?;
            transfer.advance(chunk.len() as u64);
            Ok(())
        };
        self.run(get(self.http, url, offset, begin, sink))?;
        let size = partial.borrow().size;
        if size < file.size_bytes {
            let reason = format!("it ended after {size} of {} bytes", file.size_bytes);
            let url = shown(url);
            return Err(Failure::Passing(Error::Unreachable { url, reason }));
        }
        Ok(())
    }

    fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.http
            .run(self.observer, work)
            .unwrap_or(Err(Failure::Final(Error::Interrupted)))
    }

    /// Repeats `request` while its failure may pass.
    fn attempt(&self, mut request: impl FnMut() -> Result<(), Failure>) -> Result<(), Error> {
        let mut wait = BACKOFF;
        for attempt in 1.. {
            match request() {
                Ok(()) => break,
                Err(Failure::Passing(_)) if attempt < MAX_ATTEMPTS => {}
                Err(Failure::Passing(error) | Failure::Final(error)) => return Err(error),
            }
            // Built inside: a timer needs the runtime around it.
            let pause = async { tokio::time::sleep(wait).await };
            self.http
                .run(self.observer, pause)
                .map_err(|_| Error::Interrupted)?;
            wait *= 2;
        }
        Ok(())
    }
}

/// A failure, and whether trying again may help.
enum Failure {
    /// It may.
    Passing(Error),
    /// It will not.
    Final(Error),
}

/// GETs `url` from `offset` on, follows redirects, tells `begin` where the answer starts, and feeds `sink`.
async fn get(
    http: &Http,
    url: &str,
    offset: u64,
    begin: impl FnOnce(u64) -> Result<(), Failure>,
    mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let unreachable = |error| {
        Failure::Passing(Error::Unreachable {
            url: shown(url),
            reason: http::cause(error),
        })
    };
    let mut response = answer(http, url, offset).await?;
    match response.status() {
        StatusCode::OK => begin(0)?,
        StatusCode::PARTIAL_CONTENT if starts_at(&response, offset) => begin(offset)?,
        // What we have is no beginning of what the mirror has: once more from the start.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => {
            response = answer(http, url, 0).await?;
            if response.status() != StatusCode::OK {
                return Err(failed(url, response.status()));
            }
            begin(0)?;
        }
        status => return Err(failed(url, status)),
    }
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        sink(&chunk)?;
    }
    Ok(())
}

/// The answer to a GET after redirects.
async fn answer(http: &Http, url: &str, offset: u64) -> Result<Response, Failure> {
    let astray = || Failure::Final(Error::Redirect { url: shown(url) });
    let mut target = Url::parse(url).map_err(|error| {
        Failure::Final(Error::Unreachable {
            url: shown(url),
            reason: error.to_string(),
        })
    })?;
    for _ in 0..=MAX_REDIRECTS {
        let mut request = http.client().get(target.clone());
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let response = request.send().await.map_err(|error| {
            Failure::Passing(Error::Unreachable {
                url: shown(url),
                reason: http::cause(error),
            })
        })?;
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        target = location
            .and_then(|location| target.join(location).ok())
            .ok_or_else(astray)?;
        if !matches!(target.scheme(), "http" | "https") {
            return Err(astray());
        }
    }
    Err(astray())
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

fn failed(url: &str, status: StatusCode) -> Failure {
    let error = Error::Status {
        url: shown(url),
        status: status.as_u16(),
    };
    match status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        true => Failure::Passing(error),
        false => Failure::Final(error),
    }
}

/// The URL without what may be secret: user name, password, query.
fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "(no URL)".to_owned();
    };
    // These fail only for URLs that can have neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
