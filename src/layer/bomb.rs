//! Layers that are small and unpack to far more than anybody meant.
//!
//! deflate can make a thousand bytes of one and zstd many thousands, so the size of a blob says nothing about the room
//! that it takes. What is unpacked is compared with what was read for it. Real layers stay below 20 to 1; a file of
//! zeros does not, so some gigabytes are free.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much a layer may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expansion {
    /// Up to this many bytes nobody asks.
    pub(super) free_bytes: u64,
    /// Beyond, how many bytes one byte may become, on average.
    pub(super) ratio: u64,
}

impl Default for Expansion {
    fn default() -> Self {
        Self {
            free_bytes: 4 << 30,
            ratio: 200,
        }
    }
}

/// A layer has grown beyond its [`Expansion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it unpacks to more than {unpacked} bytes, from {packed}: a decompression bomb")]
pub(super) struct Bomb {
    packed: u64,
    unpacked: u64,
}

impl Bomb {
    /// The bomb behind a failed read, if that is the reason.
    pub(super) fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Counts what is read before it is unpacked.
pub(super) struct Packed<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: BufRead> Packed<R> {
    pub(super) fn new(inner: R) -> (Self, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&count);
        (Self { inner, count }, shared)
    }
}

impl<R: BufRead> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Packed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        self.inner.consume(count);
    }
}

/// Counts what comes out, and fails when it is too much.
pub(super) struct Unpacked<R> {
    inner: R,
    packed: Arc<AtomicU64>,
    unpacked: u64,
    limit: Expansion,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(inner: R, packed: Arc<AtomicU64>, limit: Expansion) -> Self {
        Self {
            inner,
            packed,
            unpacked: 0,
            limit,
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked += count as u64;
        let packed = self.packed.load(Ordering::Relaxed);
        let limit = self.limit.free_bytes.max(packed * self.limit.ratio);
        if self.unpacked > limit {
            let unpacked = self.unpacked;
            return Err(io::Error::other(Bomb { packed, unpacked }));
        }
        Ok(count)
    }
}
