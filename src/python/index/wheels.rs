//! Wheels onto this machine: several at once, the largest first, each checked while it comes.
//!
//! ```text
//! wheels/
//! ├── sha256/HEX     a complete wheel whose SHA-256 is its name
//! └── tmp/           of running processes; what killed ones left is swept
//! ```
//!
//! A file gets its name only after its size and digest were found right, and after a sync. Later uses trust that name
//! and the size, and do not hash again: the directory is the user's own, and whoever installs a wheel compares each
//! member with the wheel's `RECORD` anyway.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use reqwest::{StatusCode, Url};
use tempfile::NamedTempFile;

use super::error::{Error, shown, shown_text};
use super::pool::work_through;
use super::transport::{Head, Receiver};
use super::{Index, address};
use crate::digest::{Algorithm, Digest, Digester};
use crate::event::{Direction, Observer, Transfer};
use crate::fs::{self, Context as _};
use crate::python::RemoteWheel;

/// How many wheels are fetched side by side.
const PARALLEL: usize = 8;
/// The largest wheel of which nobody said how large it is.
const MAX_WHEEL_BYTES: u64 = 8 << 30;

/// A wheel on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalWheel {
    /// Where it is: in the wheel cache, or where its `file:` URL says.
    pub path: PathBuf,
    /// Its SHA-256: promised and checked, or computed when nobody promised one.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Index<'_> {
    /// Fetches wheels that are not there yet, and returns where they are, in the order of `wheels`.
    ///
    /// A wheel without a promised digest is fetched each time, for its URL says nothing about its content; its digest
    /// is computed. A connection that breaks is continued where it ended, if there is a digest that tells whether the
    /// parts belong together.
    ///
    /// # Errors
    /// The first failure ends everything: [`Error::Digest`], [`Error::Size`], [`Error::TooLarge`] for other bytes than
    /// promised; [`Error::Insecure`] for a wheel without a digest over a connection without encryption; and what a
    /// request can fail with. What has arrived stays in the cache.
    pub fn fetch(
        &self,
        wheels: &[RemoteWheel],
        observer: &dyn Observer,
    ) -> Result<Vec<LocalWheel>, Error> {
        let done = Mutex::new(BTreeMap::new());
        let mut missing = Vec::new();
        let finish = |position: usize, wheel: LocalWheel| {
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.insert(position, wheel);
        };
        for (position, wheel) in wheels.iter().enumerate() {
            match self.cached(wheel)? {
                Some(local) => finish(position, local),
                None => missing.push(position),
            }
        }
        if !missing.is_empty() {
            let parent = self.caches.wheels.join("tmp");
            fs::Workspace::sweep(&parent);
            let workspace = fs::Workspace::create(&parent)?;
            missing.sort_by_key(|&position| Reverse(self.size(&wheels[position]).unwrap_or(0)));
            let threads = PARALLEL.min(missing.len());
            work_through(threads, missing, observer, |position, observer| {
                let local = self.one(&wheels[position], workspace.path(), observer)?;
                finish(position, local);
                Ok(())
            })?;
        }
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(done.into_values().collect())
    }

    /// True for a wheel that need not be fetched any more.
    pub fn has(&self, wheel: &RemoteWheel) -> bool {
        matches!(self.cached(wheel), Ok(Some(_)))
    }

    /// A wheel that is in the cache.
    pub(super) fn cached(&self, wheel: &RemoteWheel) -> Result<Option<LocalWheel>, Error> {
        let digest = wheel.digest.as_ref();
        let Some(digest) = digest.filter(|digest| digest.algorithm() == Algorithm::Sha256) else {
            return Ok(None);
        };
        let path = self.wheel_path(digest);
        match std::fs::metadata(&path).context("look at", &path) {
            Ok(metadata) if wheel.size.is_none_or(|size| size == metadata.len()) => {
                fs::touch(&path);
                Ok(Some(LocalWheel {
                    path,
                    digest: digest.clone(),
                    size: metadata.len(),
                }))
            }
            // A wrong size is the index's mistake or the disk's: fetching it again tells which.
            Ok(_) => Ok(None),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn wheel_path(&self, digest: &Digest) -> PathBuf {
        self.caches.wheels.join("sha256").join(digest.hex())
    }

    /// The size of a wheel, promised or seen.
    fn size(&self, wheel: &RemoteWheel) -> Option<u64> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        wheel.size.or_else(|| sizes.get(&wheel.url).copied())
    }

    fn one(
        &self,
        wheel: &RemoteWheel,
        scratch: &Path,
        observer: &dyn Observer,
    ) -> Result<LocalWheel, Error> {
        let url = address("wheel's URL", &wheel.url)?;
        if url.scheme() == "file" {
            return in_place(wheel, &url);
        }
        if wheel.digest.is_none() && !self.transport.is_secure(&url) {
            return Err(Error::Insecure {
                host: url.host_str().unwrap_or_default().to_owned(),
                url: shown(&url),
            });
        }
        let transfer = Transfer::start(
            observer,
            Direction::Download,
            wheel.name.as_str(),
            self.size(wheel),
        );
        let mut download = Download::new(wheel, &url, scratch, &transfer)?;
        let mut head = self.transport.get(&url, &[], &mut download, observer)?;
        if head.status == StatusCode::RANGE_NOT_SATISFIABLE && download.size > 0 {
            // What we have is no beginning of what the server has: once more from the start.
            download.restart()?;
            head = self.transport.get(&url, &[], &mut download, observer)?;
        }
        if !head.status.is_success() {
            return Err(head.error(self.transport.credentials(&head.url)));
        }
        let size = download.size;
        let (file, digest) = download.finish()?;
        let path = self.wheel_path(&digest);
        fs::create_dir_all(path.parent().unwrap_or(scratch))?;
        file.as_file().sync_data().context("sync", &path)?;
        file.persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
        Ok(LocalWheel { path, digest, size })
    }
}

/// A wheel of a directory stays where it is.
fn in_place(wheel: &RemoteWheel, url: &Url) -> Result<LocalWheel, Error> {
    let path = file_path(url)?;
    let mut file = fs::open(&path)?;
    let mut hashes = Hashes::new(wheel.digest.as_ref());
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).context("read", &path)?;
        if count == 0 {
            break;
        }
        hashes.update(&buffer[..count]);
        size += count as u64;
    }
    check_size(wheel, size)?;
    let digest = hashes.finish(wheel)?;
    Ok(LocalWheel { path, digest, size })
}

/// The path that a `file:` URL names.
pub(super) fn file_path(url: &Url) -> Result<PathBuf, Error> {
    url.to_file_path().map_err(|()| Error::Address {
        noun: "address",
        url: shown(url),
        reason: "it names no file of this machine".to_owned(),
    })
}

fn check_size(wheel: &RemoteWheel, found: u64) -> Result<(), Error> {
    match wheel.size {
        Some(expected) if expected != found => Err(Error::Size {
            file: wheel.name.to_string(),
            url: shown_text(&wheel.url),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

/// The SHA-256, which names the file, and beside it a promised digest of another kind.
struct Hashes {
    sha256: Digester,
    other: Option<Digester>,
}

impl Hashes {
    fn new(promised: Option<&Digest>) -> Self {
        let other = promised
            .map(Digest::algorithm)
            .filter(|&algorithm| algorithm != Algorithm::Sha256);
        Self {
            sha256: Digester::new(Algorithm::Sha256),
            other: other.map(Digester::new),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(other) = &mut self.other {
            other.update(bytes);
        }
    }

    /// The SHA-256, after what was promised was found to be true.
    fn finish(self, wheel: &RemoteWheel) -> Result<Digest, Error> {
        let digest = self.sha256.finish();
        let found = self.other.map_or_else(|| digest.clone(), Digester::finish);
        match &wheel.digest {
            Some(expected) if *expected != found => Err(Error::Digest {
                file: wheel.name.to_string(),
                url: shown_text(&wheel.url),
                expected: expected.clone(),
                found,
            }),
            _ => Ok(digest),
        }
    }
}

/// A wheel that is coming.
struct Download<'a> {
    wheel: &'a RemoteWheel,
    url: String,
    file: NamedTempFile,
    hashes: Hashes,
    size: u64,
    transfer: &'a Transfer<'a>,
}

impl<'a> Download<'a> {
    fn new(
        wheel: &'a RemoteWheel,
        url: &Url,
        scratch: &Path,
        transfer: &'a Transfer<'a>,
    ) -> Result<Self, Error> {
        Ok(Self {
            wheel,
            url: shown(url),
            file: NamedTempFile::new_in(scratch).context("create a file in", scratch)?,
            hashes: Hashes::new(wheel.digest.as_ref()),
            size: 0,
            transfer,
        })
    }

    fn restart(&mut self) -> Result<(), Error> {
        let path = self.file.path().to_owned();
        let file = self.file.as_file_mut();
        file.set_len(0).context("write", &path)?;
        file.seek(SeekFrom::Start(0)).context("write", &path)?;
        self.hashes = Hashes::new(self.wheel.digest.as_ref());
        self.size = 0;
        Ok(())
    }

    fn finish(self) -> Result<(NamedTempFile, Digest), Error> {
        check_size(self.wheel, self.size)?;
        let digest = self.hashes.finish(self.wheel)?;
        Ok((self.file, digest))
    }
}

impl Receiver for Download<'_> {
    fn offset(&self) -> u64 {
        // Without a digest nothing would tell that the second part is of another file.
        self.wheel.digest.as_ref().map_or(0, |_| self.size)
    }

    fn begin(&mut self, head: &Head) -> Result<bool, Error> {
        let offset = self.offset();
        let is_part = head.status == StatusCode::PARTIAL_CONTENT;
        if is_part && head.range().map(|(start, _)| start) != Some(offset) {
            return Err(Error::Unreachable {
                url: self.url.clone(),
                reason: "the answer is another part than was asked for".to_owned(),
            });
        }
        if !is_part && self.size > 0 {
            self.restart()?;
        }
        Ok(true)
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let limit_bytes = self.wheel.size.unwrap_or(MAX_WHEEL_BYTES);
        if self.size + bytes.len() as u64 > limit_bytes {
            return Err(Error::TooLarge {
                url: self.url.clone(),
                limit_bytes,
            });
        }
        let written = self.file.write_all(bytes);
        written.context("write", self.file.path())?;
        self.hashes.update(bytes);
        self.size += bytes.len() as u64;
        self.transfer.advance(bytes.len() as u64);
        Ok(())
    }
}
