//! Metadata of wheels: from the index, from the wheel's end, or from the whole wheel.

use std::fs::File as DiskFile;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{CONTENT_LENGTH, RANGE};
use reqwest::{StatusCode, Url};

use super::cache::{self, Kept, Note};
use super::error::{Error, shown};
use super::metadata::{MAX_METADATA_BYTES, Metadata, header};
use super::page::{CoreMetadata, File};
use super::transport::{Head, Memory, Receiver, Transport};
use super::wheels::file_path;
use super::zip_member::{self, Bytes, Failure, TAIL_BYTES};
use super::{Index, address};
use crate::digest::{Algorithm, Digest, Digester};
use crate::event::Observer;
use crate::fs::{self, Context as _};
use crate::python::RemoteWheel;

/// A wheel up to this size is asked for whole: who wants its metadata will probably want the wheel, and a second request
/// takes longer than the bytes.
const WHOLE_BYTES: u64 = 128 << 10;
/// A wheel up to this size is read whole when its server knows nothing of ranges.
const SMALL_WHEEL_BYTES: u64 = 1 << 20;

impl Index<'_> {
    /// What the wheel behind `file` says of itself. See [`Index::metadata_of`].
    ///
    /// # Errors
    /// [`Error::Metadata`] for a source distribution, too: what it says, its build would have to tell.
    pub fn metadata(&self, file: &File, observer: &dyn Observer) -> Result<Arc<Metadata>, Error> {
        let wheel = file.wheel().ok_or_else(|| Error::Metadata {
            file: file.filename.clone(),
            reason: "it is a source distribution".to_owned(),
        })?;
        self.metadata_of(&wheel, &file.metadata, observer)
    }

    /// What a wheel says of itself, from the nearest place: this run's memory, the cache (by the wheel's SHA-256; a
    /// wheel without one is asked anew in each run), the wheel where it is on this machine, the file that the index
    /// has beside it, the end of the wheel by range requests, the whole wheel.
    ///
    /// What a range request gives cannot be compared with the wheel's digest. That is done when the wheel is fetched.
    ///
    /// # Errors
    /// [`Error::Metadata`] when it is damaged, missing or of another name or version than the wheel;
    /// [`Error::Digest`] when the index's file is not what the index promises; and what a request can fail with.
    pub fn metadata_of(
        &self,
        wheel: &RemoteWheel,
        offered: &CoreMetadata,
        observer: &dyn Observer,
    ) -> Result<Arc<Metadata>, Error> {
        let slot = {
            let mut slots = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(wheel.url.clone()).or_default())
        };
        // Held while it is asked for: others who want the same wait for the one answer.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*slot {
            return Ok(Arc::clone(known));
        }
        let read = Arc::new(self.find_metadata(wheel, offered, observer)?);
        *slot = Some(Arc::clone(&read));
        Ok(read)
    }

    fn find_metadata(
        &self,
        wheel: &RemoteWheel,
        offered: &CoreMetadata,
        observer: &dyn Observer,
    ) -> Result<Metadata, Error> {
        let refuse = |reason: String| Error::Metadata {
            file: wheel.name.to_string(),
            reason,
        };
        let digest = wheel.digest.as_ref();
        let digest = digest.filter(|digest| digest.algorithm() == Algorithm::Sha256);
        let path = digest.map(|digest| self.caches.pypi.join("metadata-v1").join(digest.hex()));
        if let Some(kept) = path.as_deref().and_then(cache::read)
            && let Ok(metadata) = Metadata::parse(&kept.body)
        {
            return Ok(metadata);
        }
        let url = address("wheel's URL", &wheel.url)?;
        let is_local = url.scheme() == "file";
        let text = self.metadata_text(wheel, &url, offered, observer)?;
        let metadata = Metadata::parse(&text).map_err(refuse)?;
        if metadata.name != wheel.name.name || metadata.version != wheel.name.version {
            return Err(refuse(format!(
                "it is of `{} {}`",
                metadata.name, metadata.version
            )));
        }
        if let Some(path) = path.filter(|_| !is_local) {
            let note = Note::default();
            let body = header(&text).to_vec();
            cache::write(&path, &Kept { note, body })?;
        }
        Ok(metadata)
    }

    fn metadata_text(
        &self,
        wheel: &RemoteWheel,
        url: &Url,
        offered: &CoreMetadata,
        observer: &dyn Observer,
    ) -> Result<Vec<u8>, Error> {
        if url.scheme() == "file" {
            return from_disk(wheel, &file_path(url)?);
        }
        if let Some(local) = self.cached(wheel)? {
            return from_disk(wheel, &local.path);
        }
        if wheel.digest.is_none() && !self.transport.is_secure(url) {
            return Err(Error::Insecure {
                host: url.host_str().unwrap_or_default().to_owned(),
                url: shown(url),
            });
        }
        if let Some(text) = self.read_index(wheel, url, offered, observer)? {
            return Ok(text);
        }
        if let Some(text) = self.read_ranges(wheel, url, observer)? {
            return Ok(text);
        }
        let fetched = self.fetch(std::slice::from_ref(wheel), observer)?;
        match fetched.first() {
            Some(local) => from_disk(wheel, &local.path),
            None => Err(Error::Interrupted),
        }
    }

    /// The file beside the wheel. An index that promises it and has it not is forgiven: the wheel has it, too.
    fn read_index(
        &self,
        wheel: &RemoteWheel,
        url: &Url,
        offered: &CoreMetadata,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<u8>>, Error> {
        if *offered == CoreMetadata::NotOffered {
            return Ok(None);
        }
        let mut url = url.clone();
        url.set_path(&format!("{}.metadata", url.path()));
        let mut memory = Memory::new(&url, MAX_METADATA_BYTES);
        let head = self.transport.get(&url, &[], &mut memory, observer)?;
        if matches!(head.status.as_u16(), 404 | 410) {
            return Ok(None);
        }
        if head.status != StatusCode::OK {
            return Err(head.error(self.transport.credentials(&head.url)));
        }
        if let CoreMetadata::Promised(expected) = offered {
            let mut digester = Digester::new(expected.algorithm());
            digester.update(&memory.bytes);
            let found: Digest = digester.finish();
            if found != *expected {
                return Err(Error::Digest {
                    file: format!("{}.metadata", wheel.name),
                    url: shown(&url),
                    expected: expected.clone(),
                    found,
                });
            }
        }
        Ok(Some(memory.bytes))
    }

    /// From the end of the wheel; `None` when its server knows nothing of ranges.
    fn read_ranges(
        &self,
        wheel: &RemoteWheel,
        url: &Url,
        observer: &dyn Observer,
    ) -> Result<Option<Vec<u8>>, Error> {
        let range = match wheel.size {
            Some(size) if size <= WHOLE_BYTES => "bytes=0-".to_owned(),
            Some(size) => format!("bytes={}-", size.saturating_sub(TAIL_BYTES)),
            None => format!("bytes=-{WHOLE_BYTES}"),
        };
        let mut part = Part::default();
        let headers = [(RANGE, range)];
        let head = self.transport.get(url, &headers, &mut part, observer)?;
        match head.status.as_u16() {
            401 | 403 | 404 | 410 => {
                return Err(head.error(self.transport.credentials(&head.url)));
            }
            _ if !part.is_used => return Ok(None),
            _ => {}
        }
        {
            let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
            sizes.insert(wheel.url.clone(), part.size);
        }
        if part.start == 0 && part.bytes.len() as u64 == part.size {
            self.keep_whole(wheel, &part.bytes)?;
        }
        let mut remote = Remote {
            transport: &self.transport,
            url,
            observer,
            start: part.start,
            tail: part.bytes,
            size: part.size,
        };
        match zip_member::metadata(&mut remote, &wheel.name) {
            Ok(text) => Ok(Some(text)),
            Err(Failure::Zip(reason)) => Err(Error::Metadata {
                file: wheel.name.to_string(),
                reason: reason.to_owned(),
            }),
            Err(Failure::Read(error)) => Err(error),
        }
    }
}

/// From a wheel on this machine.
fn from_disk(wheel: &RemoteWheel, path: &Path) -> Result<Vec<u8>, Error> {
    let file = fs::open(path)?;
    let size = file.metadata().context("look at", path)?.len();
    match zip_member::metadata(&mut Disk { file, path, size }, &wheel.name) {
        Ok(text) => Ok(text),
        Err(Failure::Zip(reason)) => Err(Error::Metadata {
            file: wheel.name.to_string(),
            reason: reason.to_owned(),
        }),
        Err(Failure::Read(error)) => Err(error.into()),
    }
}

struct Disk<'a> {
    file: DiskFile,
    path: &'a Path,
    size: u64,
}

impl Bytes for Disk<'_> {
    type Error = fs::Error;

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, fs::Error> {
        let seek = self.file.seek(SeekFrom::Start(range.start));
        seek.context("read", self.path)?;
        let mut bytes = Vec::new();
        let length = range.end - range.start;
        let mut part = self.file.by_ref().take(length);
        part.read_to_end(&mut bytes).context("read", self.path)?;
        Ok(bytes)
    }
}

/// A part of a file as one answer brings it, or a small file whole.
#[derive(Default)]
struct Part {
    is_used: bool,
    start: u64,
    /// Of the whole file.
    size: u64,
    /// How many bytes may come.
    limit: u64,
    bytes: Vec<u8>,
}

impl Receiver for Part {
    fn begin(&mut self, head: &Head) -> Result<bool, Error> {
        self.bytes.clear();
        let length = head
            .get(&CONTENT_LENGTH)
            .and_then(|length| length.parse::<u64>().ok());
        let found = match head.status {
            StatusCode::PARTIAL_CONTENT => head.range().and_then(|(start, size)| {
                let size = size?;
                Some((start, size, size.checked_sub(start)?.min(MAX_PART_BYTES)))
            }),
            // A server that takes no notice of the range: what is small is read all the same.
            _ => length
                .filter(|&length| length <= SMALL_WHEEL_BYTES)
                .map(|length| (0, length, length)),
        };
        self.is_used = found.is_some();
        (self.start, self.size, self.limit) = found.unwrap_or_default();
        Ok(self.is_used)
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let room = usize::try_from(self.limit).unwrap_or(usize::MAX) - self.bytes.len();
        // More than there can be is cut, and found to be wrong when it is looked at.
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }
}

/// No part that is asked for is larger: a directory with what is read before it.
const MAX_PART_BYTES: u64 = 34 << 20;

/// A file on a server, of which the end is here.
struct Remote<'a> {
    transport: &'a Transport<'a>,
    url: &'a Url,
    observer: &'a dyn Observer,
    start: u64,
    tail: Vec<u8>,
    size: u64,
}

impl Bytes for Remote<'_> {
    type Error = Error;

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let from = range.start.checked_sub(self.start);
        let to = range.end.checked_sub(self.start);
        if let (Some(from), Some(to)) = (from, to)
            && let Some(known) = self.tail.get(from as usize..to as usize)
        {
            return Ok(known.to_vec());
        }
        let mut part = Part::default();
        let text = format!("bytes={}-{}", range.start, range.end - 1);
        let headers = [(RANGE, text)];
        let url = self.url;
        let got = self.transport.get(url, &headers, &mut part, self.observer);
        let head = got?;
        if !head.status.is_success() {
            return Err(head.error(self.transport.credentials(&head.url)));
        }
        let is_right = (part.start, part.size, part.bytes.len() as u64)
            == (range.start, self.size, range.end - range.start);
        match is_right {
            true => Ok(part.bytes),
            false => Err(Error::Unreachable {
                url: shown(url),
                reason: "the answer is another part than was asked for".to_owned(),
            }),
        }
    }
}

/// A place for an answer that several may wait for.
pub(super) type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;
