//! An archive that is known before it is written: its members, in order, and its exact size.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::Path;

use super::super::Error;
use crate::event::{Observer, Transfer};
use crate::fs::Context;
use crate::image::Descriptor;
use crate::layer::{self, EntryPath};
use crate::store::{self, BlobStore};

/// POSIX.1-2024 pax: members are padded to whole records, and two records of zeros end the archive.
const RECORD_BYTES: u64 = 512;
const END: [u8; 2 * RECORD_BYTES as usize] = [0; 2 * RECORD_BYTES as usize];
/// How much is copied at once, and so how soon Ctrl-C is heard.
const CHUNK_BYTES: usize = 128 << 10;

/// The members of an archive: documents in memory, layers by their descriptors.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    members: Vec<Member<'a>>,
}

#[derive(Debug)]
struct Member<'a> {
    header: Vec<u8>,
    name: String,
    size: u64,
    bytes: Bytes<'a>,
}

#[derive(Debug)]
enum Bytes<'a> {
    Here(Cow<'a, [u8]>),
    /// The blob as it is.
    Blob(&'a Descriptor),
    /// The tar within a compressed layer.
    Tar(&'a Descriptor),
}

impl<'a> Plan<'a> {
    pub(super) fn document(&mut self, name: &str, bytes: impl Into<Cow<'a, [u8]>>) {
        let bytes = bytes.into();
        self.add(name, bytes.len() as u64, Bytes::Here(bytes));
    }

    pub(super) fn blob(&mut self, name: &str, blob: &'a Descriptor) {
        self.add(name, blob.size, Bytes::Blob(blob));
    }

    /// A layer's tar, of which only reading it tells the size: it must be read for that, and is read again to be written.
    pub(super) fn tar(
        &mut self,
        name: &str,
        layer: &'a Descriptor,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let mut tar = open_tar(layer, store)?;
        let size = copy(&mut tar, &mut io::sink(), &|_| {}, observer)
            .map_err(|failed| failed.reading(layer, store))?;
        self.add(name, size, Bytes::Tar(layer));
        Ok(())
    }

    fn add(&mut self, name: &str, size: u64, bytes: Bytes<'a>) {
        self.members.push(Member {
            header: header(name, size),
            name: name.to_owned(),
            size,
            bytes,
        });
    }

    /// How many bytes [`Self::write`] will write.
    pub fn size(&self) -> u64 {
        let members = self.members.iter();
        let members: u64 = members
            .map(|member| member.header.len() as u64 + member.size.next_multiple_of(RECORD_BYTES))
            .sum();
        members + END.len() as u64
    }

    /// Writes the archive; the same bytes every time. Blobs are checked on the way: after an error, what was written is
    /// to be thrown away. `target` names it, in messages and as a transfer.
    ///
    /// # Errors
    /// [`Error::File`] when the sink does not take it, [`Error::Store`] for blobs that are damaged or not there,
    /// [`Error::Interrupted`].
    pub fn write(
        &self,
        sink: &mut dyn Write,
        target: &Path,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let name = target.display().to_string();
        let direction = crate::event::Direction::Upload;
        let transfer = Transfer::start(observer, direction, name, Some(self.size()));
        for member in &self.members {
            sink.write_all(&member.header).context("write", target)?;
            let copied = match &member.bytes {
                Bytes::Here(bytes) => {
                    sink.write_all(bytes).context("write", target)?;
                    bytes.len() as u64
                }
                Bytes::Blob(blob) => {
                    let mut blob_bytes = store.open_blob(blob)?;
                    copy(
                        &mut blob_bytes,
                        sink,
                        &|count| transfer.advance(count),
                        observer,
                    )
                    .map_err(|failed| failed.copying(blob, store, target))?
                }
                Bytes::Tar(layer) => {
                    let mut tar = open_tar(layer, store)?;
                    copy(&mut tar, sink, &|count| transfer.advance(count), observer)
                        .map_err(|failed| failed.copying(layer, store, target))?
                }
            };
            if copied != member.size {
                let changed = io::Error::other(format!("`{}` has changed its size", member.name));
                return Err(crate::fs::Error::new("write", target, changed).into());
            }
            let padding = copied.next_multiple_of(RECORD_BYTES) - copied;
            let padding = usize::try_from(padding).unwrap_or(0);
            sink.write_all(&END[..padding]).context("write", target)?;
        }
        sink.write_all(&END)
            .and_then(|()| sink.flush())
            .context("write", target)?;
        Ok(())
    }
}

/// The header of a regular file of root's from 1970, and before it GNU tar's record of the name where the header cannot
/// hold it (SHA-512).
fn header(name: &str, size: u64) -> Vec<u8> {
    debug_assert!(EntryPath::parse(name.as_bytes()).is_ok());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    let mut builder = tar::Builder::new(Vec::new());
    // It writes as much as it is given, whatever the header says: nothing, behind the header.
    builder
        .append_data(&mut header, name, io::empty())
        .expect("a vector takes everything, and names of members have no NUL");
    builder.get_ref().clone()
}

fn open_tar<'a>(layer: &Descriptor, store: &'a BlobStore) -> Result<Box<dyn Read + 'a>, Error> {
    let compression =
        crate::image::media_type::layer_compression(&layer.media_type).ok_or_else(|| {
            Error::Layer {
                digest: layer.digest.clone(),
                reason: format!("its media type is `{}`", layer.media_type),
            }
        })?;
    let reader = io::BufReader::with_capacity(CHUNK_BYTES, store.open_blob(layer)?);
    Ok(layer::decompress(reader, compression).context("read", &store.blob_path(&layer.digest))?)
}

/// Which side of a copy failed.
pub(super) enum Failed {
    Interrupted,
    Reading(io::Error),
    Writing(io::Error),
}

impl Failed {
    fn reading(self, blob: &Descriptor, store: &BlobStore) -> Error {
        self.copying(blob, store, Path::new(""))
    }

    fn copying(self, blob: &Descriptor, store: &BlobStore, target: &Path) -> Error {
        match self {
            Self::Interrupted => Error::Interrupted,
            Self::Reading(error) => {
                store::Error::reading(&store.blob_path(&blob.digest), error).into()
            }
            Self::Writing(error) => crate::fs::Error::new("write", target, error).into(),
        }
    }
}

/// Copies to the end, which is where a verifying reader checks; how many bytes.
pub(super) fn copy(
    source: &mut dyn Read,
    sink: &mut dyn Write,
    advance: &dyn Fn(u64),
    observer: &dyn Observer,
) -> Result<u64, Failed> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        if observer.is_cancelled() {
            return Err(Failed::Interrupted);
        }
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failed::Reading(error)),
        };
        sink.write_all(&buffer[..count]).map_err(Failed::Writing)?;
        total += count as u64;
        advance(count as u64);
    }
}
