//! Package files, read in order by a thread of their own.
//!
//! Writing a layer is one sequence, and so is decompressing packages: one thread decompresses into a bounded queue
//! what another takes out and writes (and more threads compress). A second decompressor would not make it faster, for
//! it would wait at its full queue, but takes 8 MiB for its window.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::debian;
use crate::debian::archive::{Deb, Kind, Member};

/// How much is put together before it goes into the queue, in bytes.
const BATCH_BYTES: usize = 128 << 10;
/// How many members are put together at most; many are empty.
const BATCH_PIECES: usize = 512;
/// How many batches the queue holds.
const QUEUE: usize = 16;

/// A member of a package's data, without its body.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// As in [`Member::path`].
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: u64,
    pub(super) size_bytes: u64,
}

enum Piece {
    Control(BTreeMap<String, Vec<u8>>),
    Member(Header),
    Body(Vec<u8>),
    End(Result<(), debian::Error>),
}

/// The packages being read, each up to the end of its members.
pub(super) struct Packages {
    batches: Receiver<Vec<Piece>>,
    batch: std::vec::IntoIter<Piece>,
    peeked: Option<Piece>,
    body: io::Cursor<Vec<u8>>,
}

/// Calls `visit` with each of the packages, in order.
///
/// # Errors
/// The first error of `visit`; [`Packages`]'s functions hand out what goes wrong with reading.
pub(super) fn each<E>(
    paths: &[&Path],
    mut visit: impl FnMut(usize, &mut Packages) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let (queue, batches) = sync_channel(QUEUE);
        scope.spawn(move || read_all(paths, queue));
        // Dropped before the thread is waited for, which ends then if it has not already.
        let mut packages = Packages {
            batches,
            batch: Vec::new().into_iter(),
            peeked: None,
            body: io::Cursor::default(),
        };
        (0..paths.len()).try_for_each(|index| visit(index, &mut packages))
    })
}

fn read_all(paths: &[&Path], queue: SyncSender<Vec<Piece>>) {
    let mut sender = Sender::new(queue);
    for path in paths {
        let result = match read(path, &mut sender) {
            Ok(()) => Ok(()),
            // Nobody listens any more: the work has ended with another error.
            Err(Stopped::Abandoned) => return,
            Err(Stopped::Failed(error)) => Err(error),
        };
        let is_last = result.is_err();
        if sender.send(Piece::End(result), 0).is_err() || is_last {
            break;
        }
    }
    let _ = sender.flush();
}

impl Packages {
    /// What the next package's `control.tar` holds; to be asked for first.
    pub(super) fn control_files(&mut self) -> Result<BTreeMap<String, Vec<u8>>, debian::Error> {
        match self.next_piece() {
            Piece::Control(files) => Ok(files),
            Piece::End(Err(error)) => Err(error),
            _ => unreachable!("a reader begins with the control files"),
        }
    }

    /// The package's next member; `None` ends the package. What was not read of the body before is skipped.
    pub(super) fn next_member(&mut self) -> Result<Option<Header>, debian::Error> {
        self.body = io::Cursor::default();
        loop {
            match self.next_piece() {
                Piece::Body(_) => {}
                Piece::Member(header) => return Ok(Some(header)),
                Piece::End(Ok(())) => return Ok(None),
                Piece::End(Err(error)) => return Err(error),
                Piece::Control(_) => unreachable!("a reader sends the control files once"),
            }
        }
    }

    /// Why a body ended early, if the package is to blame; to be asked when [`Read::read`] has failed.
    pub(super) fn failure(&mut self) -> Option<debian::Error> {
        match self.peeked.take() {
            Some(Piece::End(Err(error))) => Some(error),
            other => {
                self.peeked = other;
                None
            }
        }
    }

    fn next_piece(&mut self) -> Piece {
        if let Some(piece) = self.peeked.take() {
            return piece;
        }
        loop {
            if let Some(piece) = self.batch.next() {
                return piece;
            }
            match self.batches.recv() {
                Ok(batch) => self.batch = batch.into_iter(),
                // The thread has panicked, which the scope passes on at its end.
                Err(_) => return Piece::End(Ok(())),
            }
        }
    }
}

impl Read for Packages {
    /// Reads the body of the member that came last.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.body.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.next_piece() {
                Piece::Body(bytes) => self.body = io::Cursor::new(bytes),
                other => {
                    let is_failure = matches!(other, Piece::End(Err(_)));
                    self.peeked = Some(other);
                    return match is_failure {
                        true => Err(io::Error::other("the package cannot be read")),
                        false => Ok(0),
                    };
                }
            }
        }
    }
}

/// Why a reader ends before the end.
enum Stopped {
    Abandoned,
    Failed(debian::Error),
}

impl From<debian::Error> for Stopped {
    fn from(error: debian::Error) -> Self {
        Self::Failed(error)
    }
}

fn read(path: &Path, sender: &mut Sender) -> Result<(), Stopped> {
    let deb = Deb::open(path)?;
    let control = deb.control_files()?;
    sender.send(Piece::Control(control), BATCH_BYTES)?;
    deb.data(|member| send_member(member, path, sender))
}

fn send_member(member: Member<'_>, path: &Path, sender: &mut Sender) -> Result<(), Stopped> {
    let broken = |error: io::Error| debian::Error::Deb {
        path: path.to_owned(),
        reason: crate::fs::reason(&error),
    };
    let header = Header {
        path: member.path,
        kind: member.kind,
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        mtime: member.mtime,
        size_bytes: member.size_bytes,
    };
    let mut left = header.size_bytes;
    sender.send(Piece::Member(header), 0)?;
    while left > 0 {
        let size = left.min(BATCH_BYTES as u64);
        let mut bytes = Vec::with_capacity(size as usize);
        member
            .body
            .take(size)
            .read_to_end(&mut bytes)
            .map_err(broken)?;
        if bytes.len() as u64 != size {
            return Err(Stopped::Failed(broken(io::ErrorKind::UnexpectedEof.into())));
        }
        left -= size;
        sender.send(Piece::Body(bytes), size as usize)?;
    }
    Ok(())
}

/// The filling end of a queue.
struct Sender {
    queue: SyncSender<Vec<Piece>>,
    batch: Vec<Piece>,
    bytes: usize,
}

impl Sender {
    fn new(queue: SyncSender<Vec<Piece>>) -> Self {
        let (batch, bytes) = (Vec::new(), 0);
        Self {
            queue,
            batch,
            bytes,
        }
    }

    fn send(&mut self, piece: Piece, bytes: usize) -> Result<(), Stopped> {
        self.batch.push(piece);
        self.bytes += bytes;
        match self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_PIECES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.queue.send(batch).map_err(|_| Stopped::Abandoned)
    }
}
