//! Reading on a thread of its own: decompressing a layer while the files in it are written.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// How much is handed over at a time, in bytes.
const CHUNK_BYTES: usize = 128 << 10;
/// How many chunks wait at most; two more are being filled and emptied.
const QUEUE: usize = 4;

/// What a reader on another thread read.
pub(super) struct Ahead {
    full: Receiver<io::Result<Chunk>>,
    empty: Sender<Chunk>,
    current: Chunk,
    position: usize,
}

#[derive(Default)]
struct Chunk {
    /// Of full size once it was filled: chunks come back and are used again.
    bytes: Vec<u8>,
    filled: usize,
}

/// Hands `then` the bytes that the reader of `open` gives, which is made and read by another thread. That thread has
/// ended when this returns; a reader that is not read to its end is read for at most another 768 KiB.
pub(super) fn read_ahead<R: Read, T>(
    open: impl FnOnce() -> io::Result<R> + Send,
    then: impl FnOnce(&mut Ahead) -> T,
) -> T {
    std::thread::scope(|scope| {
        let (filled, full) = sync_channel(QUEUE);
        let (empty, emptied) = channel();
        scope.spawn(move || {
            let failed = open().and_then(|mut reader| fill(&mut reader, &filled, &emptied));
            if let Err(error) = failed {
                // Nobody wants to know when the other side was dropped.
                let _ = filled.send(Err(error));
            }
        });
        for _ in 0..QUEUE + 2 {
            let _ = empty.send(Chunk::default());
        }
        then(&mut Ahead {
            full,
            empty,
            current: Chunk::default(),
            position: 0,
        })
    })
}

/// Fills chunks up to the end, or until the other side is dropped.
fn fill(
    reader: &mut dyn Read,
    filled: &SyncSender<io::Result<Chunk>>,
    emptied: &Receiver<Chunk>,
) -> io::Result<()> {
    while let Ok(mut chunk) = emptied.recv() {
        chunk.bytes.resize(CHUNK_BYTES, 0);
        chunk.filled = 0;
        let mut outcome = Ok(1);
        while chunk.filled < CHUNK_BYTES {
            outcome = reader.read(&mut chunk.bytes[chunk.filled..]);
            match &outcome {
                Ok(0) => break,
                Ok(count) => chunk.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // What came before an error counts: a tar may end before what follows it is found to be damaged.
        if filled.send(Ok(chunk)).is_err() || outcome? == 0 {
            break;
        }
    }
    Ok(())
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.filled {
            let Ok(next) = self.full.recv() else {
                return Ok(0);
            };
            let done = std::mem::replace(&mut self.current, next?);
            self.position = 0;
            if !done.bytes.is_empty() {
                let _ = self.empty.send(done);
            }
        }
        let left = &self.current.bytes[self.position..self.current.filled];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of odd sizes, then an error or the end.
    struct Uneven {
        left: Vec<u8>,
        piece: usize,
        fails: bool,
    }

    impl Read for Uneven {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left.is_empty() && self.fails {
                return Err(io::Error::other("torn"));
            }
            self.piece = self.piece * 7 % 100_003;
            let count = self.left.len().min(buffer.len()).min(self.piece + 1);
            buffer[..count].copy_from_slice(&self.left[..count]);
            self.left.drain(..count);
            Ok(count)
        }
    }

    fn read(length: usize, fails: bool) -> (Vec<u8>, io::Result<usize>) {
        let open = || {
            Ok(Uneven {
                left: super::super::compress::sample(length),
                piece: 3,
                fails,
            })
        };
        read_ahead(open, |ahead| {
            let mut bytes = Vec::new();
            let result = ahead.read_to_end(&mut bytes);
            (bytes, result)
        })
    }

    #[test]
    fn every_byte_arrives_and_then_the_end_or_the_error() {
        for length in [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES + 5] {
            for fails in [false, true] {
                let (bytes, result) = read(length, fails);
                assert!(bytes == super::super::compress::sample(length), "{length}");
                match result {
                    Ok(count) => assert!(!fails && count == length),
                    Err(error) => assert!(fails && error.to_string() == "torn"),
                }
            }
        }
    }

    #[test]
    fn who_stops_early_does_not_wait_for_the_rest() {
        let first = read_ahead(
            || Ok(io::repeat(7)),
            |ahead| {
                let mut byte = [0];
                ahead.read_exact(&mut byte).unwrap();
                byte[0]
            },
        );
        assert_eq!(first, 7);
    }

    #[test]
    fn what_cannot_be_opened_is_an_error_of_reading() {
        let open = || Err::<io::Empty, _>(io::Error::other("no"));
        let result = read_ahead(open, |ahead| ahead.read(&mut [0; 8]));
        assert_eq!(result.unwrap_err().to_string(), "no");
    }
}
