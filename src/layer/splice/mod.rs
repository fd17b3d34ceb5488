//! Layers from zip archives without compressing anything again.
//!
//! A member of a zip archive is a raw deflate stream with a CRC-32 and a size, and so is a member of a gzip file; a gzip
//! file may have many members (RFC 1952, 2.2). So a file of the archive becomes a member of the layer as it stands:
//!
//! ```text
//! gzip member      padding of the file before, small files, tar header      compressed here
//! gzip member      content of one file                                      the zip member's stream, untouched
//! gzip member      padding, …
//! ```
//!
//! It is unpacked once, for the diff id, the CRC-32 and, when asked, a hash; the result is thrown away.
//!
//! What is compressed here is cut by the entries and at fixed sizes, each part by a fresh compressor (traps T5 and T6 of
//! `rust-crates.md`): the bytes depend on the entries alone, not on threads or on how contents are read.

mod fixed;
mod hash;

use std::io::{self, Read, Write};

pub use hash::ContentHash;

use super::compress::{self, BLOCK_BYTES};
use super::entry::{Entry, Kind};
use super::zip::{Archive, Member, Method, ReadAt, Scratch, Unpacking};
use super::{Error, Layer, tar};
use hash::Hasher;

/// Part of the format: smaller files are compressed with their neighbours, which takes less room than a gzip member
/// and a tar header of their own, and little time.
const SPLICED_BYTES: u64 = 4 << 10;
/// Part of the format: what is not longer is compressed with the fixed code; a compressor would take longer to start.
const FIXED_BYTES: usize = 1 << 10;

/// Writes a layer as [`super::LayerWriter`] does, of the same tar bytes, with contents that come compressed.
///
/// Memory does not grow with the contents.
#[derive(Debug)]
pub struct SplicedWriter<W: Write> {
    sink: W,
    newest_mtime: i64,
    /// Tar bytes that are not compressed yet.
    pending: Vec<u8>,
    hasher: Hasher,
    scratch: Scratch,
}

impl<W: Write> SplicedWriter<W> {
    /// Begins a layer. `newest_mtime` (seconds since 1970) is the latest time an entry may show. With more than one of
    /// `threads`, one of them computes the hashes.
    pub fn new(sink: W, newest_mtime: i64, threads: usize) -> Self {
        Self {
            sink,
            newest_mtime,
            pending: Vec::new(),
            hasher: Hasher::new(threads > 1),
            scratch: Scratch::default(),
        }
    }

    /// Adds an entry; `content` is read for files and must give exactly the size that the entry says.
    ///
    /// # Errors
    /// [`Error::Content`] when it gives another size, [`Error::Io`] when reading or writing fails.
    pub fn append(&mut self, entry: &Entry, mut content: impl Read) -> Result<(), Error> {
        let failed = |source| io_error("write the layer entry", entry, source);
        let header = tar::header(entry, self.newest_mtime);
        self.compress(&header).map_err(failed)?;
        let Kind::File { size } = entry.kind else {
            return Ok(());
        };
        let mut buffer = vec![0; 16 << 10];
        let mut left = size;
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| changed(entry, size))?;
            self.compress(&buffer[..count]).map_err(failed)?;
        }
        if left > 0 {
            return Err(changed(entry, size));
        }
        self.compress(tar::padding(size)).map_err(failed)
    }

    /// Adds a file whose content is a member of `archive`, deflated as it is there (a stored or small one is compressed
    /// here). `expected` is compared with the content at the latest when the layer is finished.
    ///
    /// # Errors
    /// [`Error::Content`] when the entry is no file of the member's size, [`Error::Zip`] when the content is not as the
    /// archive says, [`Error::ContentHash`] for a hash of this or an earlier file, [`Error::Io`].
    pub fn append_member<R: ReadAt>(
        &mut self,
        entry: &Entry,
        archive: &Archive<R>,
        member: &Member,
        expected: Option<&ContentHash>,
    ) -> Result<(), Error> {
        let failed = |source| io_error("write the layer entry", entry, source);
        if entry.kind != (Kind::File { size: member.size }) {
            return Err(changed(entry, member.size));
        }
        self.compress(&tar::header(entry, self.newest_mtime))
            .map_err(failed)?;
        if let Some(expected) = expected {
            self.hasher.begin_file(*expected, entry.path.to_string());
        }
        let is_spliced = member.method == Method::Deflated && member.size >= SPLICED_BYTES;
        if is_spliced {
            self.flush_pending().map_err(failed)?;
            self.sink.write_all(&compress::HEADER).map_err(failed)?;
        }
        // Lent out for the loop, for the pieces lie in it.
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut unpacking = Unpacking::new(archive.raw(member), member, &mut scratch);
        while let Some(piece) = unpacking.next()? {
            if is_spliced {
                self.sink.write_all(piece.packed).map_err(failed)?;
                self.hasher.update(piece.content);
            } else {
                self.compress(piece.content).map_err(failed)?;
            }
        }
        self.scratch = scratch;
        if is_spliced {
            self.write_trailer(member.crc32, member.size)
                .map_err(failed)?;
        }
        if expected.is_some() {
            self.hasher.end_file()?;
        }
        self.compress(tar::padding(member.size)).map_err(failed)
    }

    /// Ends the layer: the sink, and what is known of the uncompressed tar.
    ///
    /// # Errors
    /// [`Error::ContentHash`] for a file that is not as promised, [`Error::Io`] when writing fails.
    pub fn finish(mut self) -> Result<(W, Layer), Error> {
        let failed = |source| Error::Io {
            action: "finish",
            path: "the layer".to_owned(),
            source,
        };
        self.compress(&tar::END).map_err(failed)?;
        self.flush_pending().map_err(failed)?;
        let layer = self.hasher.finish()?;
        Ok((self.sink, layer))
    }

    /// Takes tar bytes that are to be compressed here. Full blocks become gzip members of their own.
    fn compress(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        while !bytes.is_empty() {
            if self.pending.len() == BLOCK_BYTES {
                self.flush_pending()?;
            }
            let count = bytes.len().min(BLOCK_BYTES - self.pending.len());
            self.pending.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn flush_pending(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let deflated = if self.pending.len() <= FIXED_BYTES {
            fixed::deflate(&self.pending)
        } else {
            compress::deflate(&self.pending, &[], true)?
        };
        self.sink.write_all(&compress::HEADER)?;
        self.sink.write_all(&deflated)?;
        let crc32 = crc32fast::hash(&self.pending);
        self.write_trailer(crc32, self.pending.len() as u64)?;
        self.pending.clear();
        Ok(())
    }

    fn write_trailer(&mut self, crc32: u32, size: u64) -> io::Result<()> {
        self.sink.write_all(&crc32.to_le_bytes())?;
        // RFC 1952: ISIZE is the size modulo 2^32.
        self.sink.write_all(&(size as u32).to_le_bytes())
    }
}

fn io_error(action: &'static str, entry: &Entry, source: io::Error) -> Error {
    Error::Io {
        action,
        path: entry.path.to_string(),
        source,
    }
}

fn changed(entry: &Entry, expected: u64) -> Error {
    Error::Content {
        path: entry.path.to_string(),
        expected,
    }
}

#[cfg(test)]
#[path = "splice_tests.rs"]
mod tests;
