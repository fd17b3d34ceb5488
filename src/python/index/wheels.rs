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
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use reqwest::{StatusCode, Url};
use tempfile::NamedTempFile;

use super::error::{Error, shown, shown_text};
use super::page::File;
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

/// A file to fetch, and what it must be.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// Its name, for people.
    name: &'a str,
    url: &'a str,
    digest: Option<&'a Digest>,
    size: Option<u64>,
}

impl<'a> From<&'a RemoteWheel> for Wanted<'a> {
    fn from(wheel: &'a RemoteWheel) -> Self {
        Self {
            name: wheel.name.as_str(),
            url: &wheel.url,
            digest: wheel.digest.as_ref(),
            size: wheel.size,
        }
    }
}

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

    /// Keeps a wheel that came whole where only its end was looked for, if it is what was promised. What is not will be
    /// told when the wheel is fetched.
    pub(super) fn keep_whole(&self, wheel: &RemoteWheel, bytes: &[u8]) -> Result<(), Error> {
        let found = Digest::of(bytes);
        if wheel.digest.as_ref() == Some(&found) {
            let path = self.wheel_path(&found);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write_atomic(&path, bytes)?;
        }
        Ok(())
    }

    fn wheel_path(&self, digest: &Digest) -> PathBuf {
        self.caches.wheels.join("sha256").join(digest.hex())
    }

    /// The size of a wheel, promised or seen.
    fn size(&self, wheel: &RemoteWheel) -> Option<u64> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        wheel.size.or_else(|| sizes.get(&wheel.url).copied())
    }

    /// Fetches a source distribution into `directory`, under its own name. It is not kept: its wheel is.
    ///
    /// # Errors
    /// As [`Index::fetch`].
    pub fn fetch_source(
        &self,
        source: &File,
        directory: &Path,
        observer: &dyn Observer,
    ) -> Result<LocalWheel, Error> {
        let wanted = Wanted {
            name: &source.filename,
            url: &source.url,
            digest: source.digest.as_ref(),
            size: source.size,
        };
        fs::create_dir_all(directory)?;
        // The name comes from a page of the index.
        let name = Path::new(&source.filename).file_name().unwrap_or_default();
        let path = directory.join(name);
        let url = address("source distribution's URL", wanted.url)?;
        if url.scheme() == "file" {
            let local = in_place(wanted, &url)?;
            std::fs::copy(&local.path, &path).context("write", &path)?;
            readable(&path)?;
            return Ok(LocalWheel { path, ..local });
        }
        let (file, digest, size) = self.download(wanted, wanted.size, &url, directory, observer)?;
        file.persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
        readable(&path)?;
        Ok(LocalWheel { path, digest, size })
    }

    fn one(
        &self,
        wheel: &RemoteWheel,
        scratch: &Path,
        observer: &dyn Observer,
    ) -> Result<LocalWheel, Error> {
        let url = address("wheel's URL", &wheel.url)?;
        if url.scheme() == "file" {
            return in_place(wheel.into(), &url);
        }
        let expected = self.size(wheel);
        let (file, digest, size) =
            self.download(wheel.into(), expected, &url, scratch, observer)?;
        let path = self.wheel_path(&digest);
        fs::create_dir_all(path.parent().unwrap_or(scratch))?;
        file.as_file().sync_data().context("sync", &path)?;
        file.persist(&path)
            .map_err(|error| error.error)
            .context("write", &path)?;
        Ok(LocalWheel { path, digest, size })
    }

    /// Fetches a file into `scratch`: it, its SHA-256 and its size. `expected_size` is for who watches.
    fn download(
        &self,
        wanted: Wanted<'_>,
        expected_size: Option<u64>,
        url: &Url,
        scratch: &Path,
        observer: &dyn Observer,
    ) -> Result<(NamedTempFile, Digest, u64), Error> {
        if wanted.digest.is_none() && !self.transport.is_secure(url) {
            return Err(Error::Insecure {
                host: url.host_str().unwrap_or_default().to_owned(),
                url: shown(url),
            });
        }
        let transfer = Transfer::start(observer, Direction::Download, wanted.name, expected_size);
        let mut download = Download::new(wanted, url, scratch, &transfer)?;
        let mut head = self.transport.get(url, &[], &mut download, observer)?;
        if head.status == StatusCode::RANGE_NOT_SATISFIABLE && download.size > 0 {
            // What we have is no beginning of what the server has: once more from the start.
            download.restart()?;
            head = self.transport.get(url, &[], &mut download, observer)?;
        }
        if !head.status.is_success() {
            return Err(head.error(self.transport.credentials(&head.url)));
        }
        let size = download.size;
        let (file, digest) = download.finish()?;
        Ok((file, digest, size))
    }
}

/// Lets everybody read a file: who builds of it is another user.
fn readable(path: &Path) -> Result<(), Error> {
    let permissions = std::fs::Permissions::from_mode(0o644);
    Ok(std::fs::set_permissions(path, permissions).context("set the mode of", path)?)
}

/// A wheel of a directory stays where it is.
fn in_place(wanted: Wanted<'_>, url: &Url) -> Result<LocalWheel, Error> {
    let path = file_path(url)?;
    let mut file = fs::open(&path)?;
    let mut hashes = Hashes::new(wanted.digest);
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
    check_size(wanted, size)?;
    let digest = hashes.finish(wanted)?;
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

fn check_size(wanted: Wanted<'_>, found: u64) -> Result<(), Error> {
    match wanted.size {
        Some(expected) if expected != found => Err(Error::Size {
            file: wanted.name.to_owned(),
            url: shown_text(wanted.url),
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
    fn finish(self, wanted: Wanted<'_>) -> Result<Digest, Error> {
        let digest = self.sha256.finish();
        let found = self.other.map_or_else(|| digest.clone(), Digester::finish);
        match wanted.digest {
            Some(expected) if *expected != found => Err(Error::Digest {
                file: wanted.name.to_owned(),
                url: shown_text(wanted.url),
                expected: expected.clone(),
                found,
            }),
            _ => Ok(digest),
        }
    }
}

/// A wheel that is coming.
struct Download<'a> {
    wanted: Wanted<'a>,
    url: String,
    file: NamedTempFile,
    hashes: Hashes,
    size: u64,
    transfer: &'a Transfer<'a>,
}

impl<'a> Download<'a> {
    fn new(
        wanted: Wanted<'a>,
        url: &Url,
        scratch: &Path,
        transfer: &'a Transfer<'a>,
    ) -> Result<Self, Error> {
        Ok(Self {
            wanted,
            url: shown(url),
            file: NamedTempFile::new_in(scratch).context("create a file in", scratch)?,
            hashes: Hashes::new(wanted.digest),
            size: 0,
            transfer,
        })
    }

    fn restart(&mut self) -> Result<(), Error> {
        let path = self.file.path().to_owned();
        let file = self.file.as_file_mut();
        file.set_len(0).context("write", &path)?;
        file.seek(SeekFrom::Start(0)).context("write", &path)?;
        self.hashes = Hashes::new(self.wanted.digest);
        self.size = 0;
        Ok(())
    }

    fn finish(self) -> Result<(NamedTempFile, Digest), Error> {
        check_size(self.wanted, self.size)?;
        let digest = self.hashes.finish(self.wanted)?;
        Ok((self.file, digest))
    }
}

impl Receiver for Download<'_> {
    fn offset(&self) -> u64 {
        // Without a digest nothing would tell that the second part is of another file.
        self.wanted.digest.map_or(0, |_| self.size)
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
        let limit_bytes = self.wanted.size.unwrap_or(MAX_WHEEL_BYTES);
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
