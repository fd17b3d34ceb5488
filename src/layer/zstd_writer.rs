//! zstd whose bytes depend on nothing but the input.
//!
//! libzstd gives other bytes without workers than with them (T8 of `rust-crates.md`), so there is always one at least,
//! also on a machine with one core. With workers, the input is cut into jobs of a fixed size, each compressed by itself:
//! the number of workers changes the speed, never the bytes.
//!
//! # Spec
//! RFC 8878; libzstd's `zstd.h`, `ZSTD_c_nbWorkers` and `ZSTD_c_jobSize`.

use std::io::{self, Write};

use zstd::zstd_safe::CParameter;

/// Part of the format: 3 is what zstd itself takes.
const LEVEL: i32 = 3;
/// Part of the format: another value gives other digests. libzstd's own choice, 8 MiB, would need 16 MiB for each worker.
const JOB_BYTES: u32 = 2 << 20;
/// The input reaches libzstd in pieces of this size, however it was written.
const BLOCK_BYTES: usize = 128 << 10;
/// Each worker holds a few jobs in memory.
const MAX_WORKERS: usize = 8;

/// Compresses what is written to it into one zstd frame with a checksum and without the size of its content;
/// [`ZstdWriter::finish`] must be called.
pub(super) struct ZstdWriter<W: Write> {
    encoder: zstd::Encoder<'static, W>,
    block: Vec<u8>,
}

impl<W: Write> ZstdWriter<W> {
    /// A writer that compresses with up to `threads` threads (8 at most, 1 at least), beside the caller's.
    ///
    /// # Errors
    /// When libzstd cannot start.
    pub(super) fn new(sink: W, threads: usize) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(sink, LEVEL)?;
        let workers = threads.clamp(1, MAX_WORKERS);
        encoder.multithread(u32::try_from(workers).map_err(io::Error::other)?)?;
        encoder.set_parameter(CParameter::JobSize(JOB_BYTES))?;
        encoder.include_checksum(true)?;
        Ok(Self {
            encoder,
            block: Vec::with_capacity(BLOCK_BYTES),
        })
    }

    /// Writes the rest and the end of the frame, and gives the sink back.
    ///
    /// # Errors
    /// The sink's.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.encoder.write_all(&self.block)?;
        self.encoder.finish()
    }
}

impl<W: Write> Write for ZstdWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK_BYTES {
            self.encoder.write_all(&self.block)?;
            self.block.clear();
        }
        let count = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Does nothing: a flush in the middle would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::sample;
    use super::*;

    fn compress(bytes: &[u8], threads: usize, piece: usize) -> Vec<u8> {
        let mut writer = ZstdWriter::new(Vec::new(), threads).unwrap();
        for chunk in bytes.chunks(piece.max(1)) {
            writer.write_all(chunk).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    /// T8 of rust-crates.md: 0 workers give other bytes than 1 or more.
    #[test]
    fn t8_the_number_of_threads_does_not_change_the_bytes() {
        for length in [0, 1, 1000, JOB_BYTES as usize, 5 * JOB_BYTES as usize + 77] {
            let bytes = sample(length);
            let expected = compress(&bytes, 1, usize::MAX);
            for threads in [0, 2, 3, 8, 100] {
                assert!(
                    compress(&bytes, threads, usize::MAX) == expected,
                    "{length} bytes with {threads} threads"
                );
            }
            assert!(zstd::decode_all(&expected[..]).unwrap() == bytes);
        }
    }

    #[test]
    fn t8_no_workers_would_change_the_bytes() {
        let bytes = sample(3 * JOB_BYTES as usize);
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(&bytes).unwrap();
        let without = encoder.finish().unwrap();
        assert!(
            without != compress(&bytes, 1, usize::MAX),
            "the trap is gone: one thread may do without workers"
        );
    }

    /// T5 of rust-crates.md is about zlib; here it is libzstd's own buffers that must not show.
    #[test]
    fn t5_the_size_of_writes_does_not_change_the_bytes() {
        let bytes = sample(2 * JOB_BYTES as usize + 12_345);
        let expected = compress(&bytes, 2, usize::MAX);
        for piece in [777, 8 << 10, BLOCK_BYTES + 1, JOB_BYTES as usize] {
            assert!(
                compress(&bytes, 2, piece) == expected,
                "pieces of {piece} bytes"
            );
        }
    }

    #[test]
    fn the_format_is_pinned() {
        // A change of libzstd, the level or the job size shows here first; it is a change of image bytes.
        let compressed = compress(&sample(2 * JOB_BYTES as usize + 99), 2, usize::MAX);
        assert_eq!(
            crate::digest::Digest::of(&compressed).to_string(),
            "sha256:efafcd1d22fc353911b377f82240f5868b33f27504242971a67fca8400d53874"
        );
    }

    #[test]
    fn a_damaged_frame_is_found_by_its_checksum() {
        let bytes = sample(100_000);
        let mut compressed = compress(&bytes, 1, usize::MAX);
        let end = compressed.len() - 1;
        compressed[end] ^= 1;
        assert!(zstd::decode_all(&compressed[..]).is_err());
    }
}
