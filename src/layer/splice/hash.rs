//! The hashes of a spliced layer: of its tar, and of the files in it; here, or on another thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::digest::{Algorithm, DiffId, Digester};
use crate::layer::{Error, Layer};

/// How much goes to the other thread at once.
const BATCH_BYTES: usize = 256 << 10;
/// How many batches may be under way.
const BATCHES: usize = 8;

/// What a file's content must hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentHash {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl ContentHash {
    /// The hash's name, as people write it.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Sha384(_) => "SHA-384",
            Self::Sha512(_) => "SHA-512",
        }
    }

    /// True when `content` hashes to it.
    pub fn matches(&self, content: &[u8]) -> bool {
        let mut check = Check::new(*self);
        check.update(content);
        check.finish()
    }
}

/// A content on its way to be compared with a hash.
#[derive(Debug)]
enum Check {
    Sha256(Sha256, [u8; 32]),
    Sha384(Sha384, [u8; 48]),
    Sha512(Sha512, [u8; 64]),
}

impl Check {
    fn new(expected: ContentHash) -> Self {
        match expected {
            ContentHash::Sha256(expected) => Self::Sha256(Sha256::new(), expected),
            ContentHash::Sha384(expected) => Self::Sha384(Sha384::new(), expected),
            ContentHash::Sha512(expected) => Self::Sha512(Sha512::new(), expected),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash, _) => hash.update(bytes),
            Self::Sha384(hash, _) => hash.update(bytes),
            Self::Sha512(hash, _) => hash.update(bytes),
        }
    }

    /// True when the content had the hash.
    fn finish(self) -> bool {
        match self {
            Self::Sha256(hash, expected) => hash.finalize()[..] == expected,
            Self::Sha384(hash, expected) => hash.finalize()[..] == expected,
            Self::Sha512(hash, expected) => hash.finalize()[..] == expected,
        }
    }
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct State {
    tar: Digester,
    size: u64,
    file: Option<(Check, ContentHash, String)>,
}

impl State {
    fn new() -> Self {
        Self {
            tar: Digester::new(Algorithm::Sha256),
            size: 0,
            file: None,
        }
    }

    fn begin_file(&mut self, expected: ContentHash, path: String) {
        self.file = Some((Check::new(expected), expected, path));
    }

    fn update(&mut self, bytes: &[u8]) {
        self.tar.update(bytes);
        self.size += bytes.len() as u64;
        if let Some((check, ..)) = &mut self.file {
            check.update(bytes);
        }
    }

    fn end_file(&mut self) -> Result<(), Error> {
        let Some((check, expected, path)) = self.file.take() else {
            return Ok(());
        };
        if check.finish() {
            return Ok(());
        }
        Err(Error::ContentHash {
            path,
            algorithm: expected.algorithm(),
        })
    }

    fn finish(self) -> Layer {
        Layer {
            diff_id: DiffId(self.tar.finish()),
            uncompressed_bytes: self.size,
        }
    }
}

#[derive(Debug)]
enum Mark {
    Begin(ContentHash, String),
    End,
}

/// Tar bytes, and where in them files begin and end.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    marks: Vec<(usize, Mark)>,
}

impl Batch {
    fn apply(&mut self, state: &mut State) -> Result<(), Error> {
        let mut done = 0;
        for (at, mark) in self.marks.drain(..) {
            state.update(&self.bytes[done..at]);
            done = at;
            match mark {
                Mark::Begin(expected, path) => state.begin_file(expected, path),
                Mark::End => state.end_file()?,
            }
        }
        state.update(&self.bytes[done..]);
        self.bytes.clear();
        Ok(())
    }
}

/// Computes the diff id, and compares files with what was promised of them.
#[derive(Debug)]
pub(super) enum Hasher {
    Here(Box<State>),
    There(Worker),
}

#[derive(Debug)]
pub(super) struct Worker {
    batch: Batch,
    batches: SyncSender<Batch>,
    used: Receiver<Batch>,
    thread: JoinHandle<Result<Layer, Error>>,
}

impl Hasher {
    pub(super) fn new(on_a_thread: bool) -> Self {
        if on_a_thread {
            Self::There(Worker::start())
        } else {
            Self::Here(Box::new(State::new()))
        }
    }

    /// The next bytes, up to [`Self::end_file`], are a file.
    pub(super) fn begin_file(&mut self, expected: ContentHash, path: String) {
        match self {
            Self::Here(state) => state.begin_file(expected, path),
            Self::There(worker) => worker.mark(Mark::Begin(expected, path)),
        }
    }

    pub(super) fn end_file(&mut self) -> Result<(), Error> {
        match self {
            Self::Here(state) => state.end_file(),
            Self::There(worker) => {
                worker.mark(Mark::End);
                Ok(())
            }
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Here(state) => state.update(bytes),
            Self::There(worker) => worker.update(bytes),
        }
    }

    pub(super) fn finish(self) -> Result<Layer, Error> {
        match self {
            Self::Here(state) => Ok(state.finish()),
            Self::There(worker) => worker.finish(),
        }
    }
}

impl Worker {
    fn start() -> Self {
        let (batches, work) = sync_channel::<Batch>(BATCHES);
        let (give_back, used) = sync_channel(BATCHES + 2);
        let thread = thread::spawn(move || {
            let mut state = State::new();
            for mut batch in work {
                batch.apply(&mut state)?;
                // Nobody wants it when the writer is gone.
                let _ = give_back.try_send(batch);
            }
            Ok(state.finish())
        });
        Self {
            batch: Batch::default(),
            batches,
            used,
            thread,
        }
    }

    fn mark(&mut self, mark: Mark) {
        self.batch.marks.push((self.batch.bytes.len(), mark));
    }

    fn update(&mut self, bytes: &[u8]) {
        self.batch.bytes.extend_from_slice(bytes);
        if self.batch.bytes.len() >= BATCH_BYTES {
            self.send();
        }
    }

    /// After an error nobody receives any more; `finish` has the error.
    fn send(&mut self) {
        let next = self.used.try_recv().unwrap_or_default();
        let _ = self.batches.send(std::mem::replace(&mut self.batch, next));
    }

    fn finish(mut self) -> Result<Layer, Error> {
        self.send();
        drop(self.batches);
        self.thread.join().unwrap_or_else(|_| {
            Err(Error::Io {
                action: "hash",
                path: "the layer".to_owned(),
                source: std::io::Error::other("a thread ended unexpectedly"),
            })
        })
    }
}
