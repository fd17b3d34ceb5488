//! The content of a member, piece by piece, beside the bytes that it is packed in.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{Error, Member, Method};

const INPUT_BYTES: usize = 64 << 10;
/// Several times the window: at the end of every piece the decompressor copies up to 32 KiB of it.
const OUTPUT_BYTES: usize = 256 << 10;

/// Buffers that many members can use after each other.
pub struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
    decompress: Decompress,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            input: vec![0; INPUT_BYTES],
            output: vec![0; OUTPUT_BYTES],
            decompress: Decompress::new(false),
        }
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Part of a member.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The next bytes of its data as they are packed; may be empty.
    pub packed: &'a [u8],
    /// The next bytes of its content; may be empty.
    pub content: &'a [u8],
}

/// Reads a member's data to its end and unpacks it on the way.
///
/// Never gives out more than the size that the archive promises. The content is right only once
/// [`Unpacking::next`] gave `None`: size and CRC-32 are compared there.
#[derive(Debug)]
pub struct Unpacking<'a, R> {
    raw: R,
    member: &'a Member,
    scratch: &'a mut Scratch,
    /// Input that is not unpacked yet.
    from: usize,
    to: usize,
    /// Packed bytes that were not read yet.
    left: u64,
    size: u64,
    crc32: crc32fast::Hasher,
    is_at_end: bool,
}

impl<'a, R: Read> Unpacking<'a, R> {
    /// Begins to unpack the data `raw` of `member`.
    pub fn new(raw: R, member: &'a Member, scratch: &'a mut Scratch) -> Self {
        scratch.decompress.reset(false);
        Self {
            raw,
            member,
            scratch,
            from: 0,
            to: 0,
            left: member.packed_size,
            size: 0,
            crc32: crc32fast::Hasher::new(),
            is_at_end: member.method == Method::Stored && member.size == 0,
        }
    }

    /// The next piece; `None` at the end, when all was right.
    ///
    /// # Errors
    /// [`Error::Member`] when data or content are not as the archive says, [`Error::Io`].
    #[allow(clippy::should_implement_trait)] // A lending iterator is none.
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, Error> {
        if self.is_at_end {
            return self.check().map(|()| None);
        }
        let mut packed = 0..0;
        if self.from == self.to && self.left > 0 {
            self.to = self.fill()?;
            self.from = 0;
            self.left -= self.to as u64;
            packed = 0..self.to;
        }
        let count = match self.member.method {
            Method::Stored => {
                self.from = self.to;
                self.is_at_end = self.left == 0;
                packed.len()
            }
            Method::Deflated => self.inflate()?,
        };
        let Scratch { input, output, .. } = &*self.scratch;
        let content = match self.member.method {
            Method::Stored => &input[..count],
            Method::Deflated => &output[..count],
        };
        self.size += count as u64;
        if self.size > self.member.size {
            let reason = format!(
                "has more content than the {} bytes it says",
                self.member.size
            );
            return Err(Error::member(&self.member.name, reason));
        }
        self.crc32.update(content);
        let packed = &input[packed];
        Ok(Some(Piece { packed, content }))
    }

    fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::member(&self.member.name, reason)
    }

    fn fill(&mut self) -> Result<usize, Error> {
        loop {
            match self.raw.read(&mut self.scratch.input) {
                Ok(0) => return Err(self.refuse("is cut off")),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }

    /// One call of the decompressor: how many bytes of output there are.
    fn inflate(&mut self) -> Result<usize, Error> {
        let Scratch {
            input,
            output,
            decompress,
        } = &mut *self.scratch;
        let before = (decompress.total_in(), decompress.total_out());
        let status =
            decompress.decompress(&input[self.from..self.to], output, FlushDecompress::None);
        let read = decompress.total_in() - before.0;
        let count = decompress.total_out() - before.1;
        let status = status.map_err(|_| self.refuse("has data that is no deflate stream"))?;
        // Both are limited by the buffers.
        self.from += read as usize;
        match status {
            Status::StreamEnd if self.from < self.to || self.left > 0 => {
                Err(self.refuse("has bytes after the end of its deflate stream"))
            }
            Status::StreamEnd => {
                self.is_at_end = true;
                Ok(count as usize)
            }
            _ if read == 0 && count == 0 && (self.from < self.to || self.left == 0) => {
                Err(self.refuse("has a deflate stream without an end"))
            }
            _ => Ok(count as usize),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.size != self.member.size {
            let reason = format!(
                "has {} bytes of content, not the {} it says",
                self.size, self.member.size
            );
            return Err(self.refuse(reason));
        }
        if self.crc32.clone().finalize() != self.member.crc32 {
            return Err(self.refuse("has another CRC-32 than it says"));
        }
        Ok(())
    }
}
