//! gzip whose bytes depend on nothing but the input.
//!
//! zlib-rs gives different output when the same input is cut into other `write` calls (T5 of `rust-crates.md`), and
//! when a compressor is re-used (T6). So the input is cut here, into blocks of a fixed size; every block gets a
//! fresh compressor that is primed with the end of the block before, and ends on a byte boundary (sync flush), so
//! that blocks can be compressed side by side and joined. The result is one ordinary gzip member. The number of
//! threads changes the speed, never the bytes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use flate2::{Compress, Compression, FlushCompress, Status};

/// Part of the format: another value gives other digests.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// Part of the format: deflate can look back this far.
const WINDOW_BYTES: usize = 32 << 10;
/// Part of the format: 6 is what gzip itself takes.
const LEVEL: u32 = 6;
/// RFC 1952: deflate, no flags, no time, no extra flags, unknown system.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses what is written to it into one gzip member; [`GzipWriter::finish`] must be called.
pub struct GzipWriter<W: Write> {
    sink: W,
    block: Vec<u8>,
    previous: Option<Arc<Vec<u8>>>,
    checksum: crc32fast::Hasher,
    size: u64,
    header_written: bool,
    threads: usize,
    workers: Option<Workers>,
}

impl<W: Write> std::fmt::Debug for GzipWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GzipWriter")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl<W: Write> GzipWriter<W> {
    /// A writer that compresses with up to `threads` threads. They start with the first full block, so small inputs
    /// start none.
    pub fn new(sink: W, threads: usize) -> Self {
        Self {
            sink,
            block: Vec::new(),
            previous: None,
            checksum: crc32fast::Hasher::new(),
            size: 0,
            header_written: false,
            threads: threads.max(1),
            workers: None,
        }
    }

    /// Writes the rest and the trailer, and gives the sink back.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_header()?;
        if let Some(mut workers) = self.workers.take() {
            while let Some(bytes) = workers.next_result()? {
                self.sink.write_all(&bytes)?;
            }
        }
        let last = Block {
            bytes: Arc::new(std::mem::take(&mut self.block)),
            previous: self.previous.take(),
            is_last: true,
        };
        self.sink.write_all(&last.compress()?)?;
        self.sink
            .write_all(&self.checksum.finalize().to_le_bytes())?;
        // RFC 1952: ISIZE is the size modulo 2^32.
        self.sink.write_all(&(self.size as u32).to_le_bytes())?;
        Ok(self.sink)
    }

    fn write_header(&mut self) -> io::Result<()> {
        if !self.header_written {
            self.header_written = true;
            self.sink.write_all(&HEADER)?;
        }
        Ok(())
    }

    fn send_block(&mut self) -> io::Result<()> {
        self.write_header()?;
        let bytes = Arc::new(std::mem::replace(
            &mut self.block,
            Vec::with_capacity(BLOCK_BYTES),
        ));
        let block = Block {
            bytes: Arc::clone(&bytes),
            previous: self.previous.replace(bytes),
            is_last: false,
        };
        let threads = self.threads;
        let workers = self.workers.get_or_insert_with(|| Workers::start(threads));
        workers.submit(block);
        // Two blocks more than threads keep everybody busy and memory bounded.
        if workers.pending.len() > threads + 2
            && let Some(bytes) = workers.next_result()?
        {
            self.sink.write_all(&bytes)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block is sent only when more follows: the last one, even if full, ends the stream.
        if self.block.len() == BLOCK_BYTES && !bytes.is_empty() {
            self.send_block()?;
        }
        let count = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.checksum.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    /// Does nothing: a flush in the middle would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Block {
    bytes: Arc<Vec<u8>>,
    previous: Option<Arc<Vec<u8>>>,
    is_last: bool,
}

impl Block {
    fn compress(&self) -> io::Result<Vec<u8>> {
        let previous = self.previous.as_deref().map_or(&[][..], Vec::as_slice);
        deflate(&self.bytes, previous, self.is_last)
    }
}

/// One run of a fresh compressor over `bytes`, primed with the end of `previous`: the end of a deflate stream, or a
/// part of one that ends on a byte boundary.
pub(super) fn deflate(bytes: &[u8], previous: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
    let failed =
        |error: &dyn std::fmt::Display| io::Error::other(format!("deflate failed: {error}"));
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    if !previous.is_empty() {
        let dictionary = &previous[previous.len().saturating_sub(WINDOW_BYTES)..];
        compress
            .set_dictionary(dictionary)
            .map_err(|error| failed(&error))?;
    }
    let flush = if is_last {
        FlushCompress::Finish
    } else {
        FlushCompress::Sync
    };
    // Room for the worst case (stored blocks and the flush marker), so that one call does it: the output must
    // not depend on how often the buffer was full.
    let mut output = Vec::with_capacity(bytes.len() + bytes.len() / 1000 + 1024);
    let status = compress
        .compress_vec(bytes, &mut output, flush)
        .map_err(|error| failed(&error))?;
    let complete = compress.total_in() == bytes.len() as u64 && output.len() < output.capacity();
    match (status, is_last) {
        (Status::StreamEnd, true) => Ok(output),
        (Status::Ok | Status::BufError, false) if complete => Ok(output),
        (status, _) => Err(failed(&format_args!("unexpected status {status:?}"))),
    }
}

type Reply = io::Result<Vec<u8>>;

/// A block and where its compressed form is awaited.
type Job = (Block, mpsc::SyncSender<Reply>);

struct Workers {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    pending: VecDeque<mpsc::Receiver<Reply>>,
}

impl Workers {
    fn start(count: usize) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let work = |queue: Arc<Mutex<mpsc::Receiver<Job>>>| {
            loop {
                let job = queue.lock().map(|queue| queue.recv());
                let Ok(Ok((block, reply))) = job else { return };
                // Nobody waits for the reply when the writer was dropped half-way.
                let _ = reply.send(block.compress());
            }
        };
        let threads = (0..count)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || work(queue))
            })
            .collect();
        Self {
            jobs: Some(jobs),
            threads,
            pending: VecDeque::new(),
        }
    }

    fn submit(&mut self, block: Block) {
        let (reply, result) = mpsc::sync_channel(1);
        if let Some(jobs) = &self.jobs {
            // A failed send shows as a closed reply channel in `next_result`.
            let _ = jobs.send((block, reply));
        }
        self.pending.push_back(result);
    }

    /// The oldest outstanding result, waiting for it; `None` when there is none.
    fn next_result(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.pending.pop_front() {
            None => Ok(None),
            Some(result) => match result.recv() {
                Ok(reply) => reply.map(Some),
                Err(mpsc::RecvError) => {
                    Err(io::Error::other("a compression thread ended unexpectedly"))
                }
            },
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Bytes that compress about as well as code does, the same every time.
#[cfg(test)]
pub(super) fn sample(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(
            format!("def f{}(x): return x + {}\n", state % 997, state % 89).as_bytes(),
        );
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn compress(bytes: &[u8], threads: usize, piece: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new(), threads);
        for chunk in bytes.chunks(piece.max(1)) {
            writer.write_all(chunk).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    /// T5 of rust-crates.md: zlib-rs output depends on how the input is cut into writes.
    #[test]
    fn t5_the_size_of_writes_does_not_change_the_bytes() {
        let bytes = sample(3 * BLOCK_BYTES + 12_345);
        let expected = compress(&bytes, 2, usize::MAX);
        for piece in [777, 8 << 10, BLOCK_BYTES, BLOCK_BYTES + 1] {
            assert!(
                compress(&bytes, 2, piece) == expected,
                "pieces of {piece} bytes"
            );
        }
    }

    /// T6 of rust-crates.md: a compressor that is used again remembers what it did before.
    #[test]
    fn t6_what_a_thread_compressed_before_does_not_change_the_bytes() {
        let bytes = sample(3 * BLOCK_BYTES);
        let blocks: Vec<_> = bytes
            .chunks(BLOCK_BYTES)
            .map(|chunk| Arc::new(chunk.to_vec()))
            .collect();
        let compress = |index: usize| {
            let block = Block {
                bytes: Arc::clone(&blocks[index]),
                previous: Some(Arc::clone(&blocks[(index + 1) % 3])),
                is_last: false,
            };
            block.compress().unwrap()
        };
        let forwards: Vec<_> = [0, 1, 2].map(compress).into();
        let backwards: Vec<_> = [2, 1, 0].map(compress).into_iter().rev().collect();
        assert!(forwards == backwards);
    }

    /// T7 of rust-crates.md: a writer with one thread that takes another way gives other bytes than one with two.
    #[test]
    fn t7_the_number_of_threads_does_not_change_the_bytes() {
        let bytes = sample(5 * BLOCK_BYTES);
        let expected = compress(&bytes, 1, usize::MAX);
        for threads in [2, 3, 8] {
            assert!(
                compress(&bytes, threads, usize::MAX) == expected,
                "{threads} threads"
            );
        }
    }

    #[test]
    fn every_length_comes_back_from_a_reader_that_knows_one_member_only() {
        for length in [
            0,
            1,
            1000,
            BLOCK_BYTES - 1,
            BLOCK_BYTES,
            BLOCK_BYTES + 1,
            2 * BLOCK_BYTES,
        ] {
            let bytes = sample(length);
            let compressed = compress(&bytes, 2, usize::MAX);
            let mut back = Vec::new();
            let mut reader = flate2::bufread::GzDecoder::new(&compressed[..]);
            reader.read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{length} bytes");
            assert!(
                reader.into_inner().is_empty(),
                "{length} bytes: something follows the member"
            );
        }
    }

    #[test]
    fn the_format_is_pinned() {
        // A change of zlib-rs, the level or the block size shows here first; it is a change of image bytes.
        let digest =
            crate::digest::Digest::of(&compress(&sample(2 * BLOCK_BYTES + 99), 2, usize::MAX));
        assert_eq!(
            digest.to_string(),
            "sha256:629dc632401329f2f86169c2936c8b67c6985134f35259f667f65e0774fa4cab"
        );
    }
}
