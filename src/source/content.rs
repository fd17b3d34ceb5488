//! What is in a source, as digests: the input of every key that depends on it.
//!
//! Reading every file for every build would cost more than the rest of the build, so digests are remembered with what
//! `stat` said of their files. A remembered digest is believed only when no edit can have gone unseen: size, times,
//! inode and device are the same, and the file had rested for longer than any clock's granularity when it was read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use super::{Error, Links, SourceKind, SourceTree};
use crate::digest::{Algorithm, Digest, Digester};
use crate::event::Observer;
use crate::fs::Context;

/// The first bytes of a file of remembered digests.
const MAGIC: &[u8] = b"overcoat source digests 1\n";
/// Larger files of remembered digests are not ours.
const MAX_CACHE_BYTES: u64 = 256 << 20;
/// How long a file must have rested before it was read: FAT counts in steps of two seconds, all others in smaller ones.
const GRANULARITY_NS: i128 = 3_000_000_000;
/// File systems whose clock is this machine's, by the numbers of statfs(2). Elsewhere a server's clock may be late,
/// and nothing is remembered.
const LOCAL_FILE_SYSTEMS: [i64; 9] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0x0102_1994, // tmpfs
    0x794C_7630, // overlay
    0x2FC1_2FC1, // zfs
    0xF2F5_2010, // f2fs
    0xCA45_1A4E, // bcachefs
    0x4D44,      // fat
];

/// The digests of a source.
#[derive(Clone, Debug)]
pub struct Contents {
    tree: Digest,
    entries: BTreeMap<Vec<u8>, Digest>,
    seen: BTreeMap<Vec<u8>, Signature>,
}

/// What `stat` says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
    inode: u64,
    device: u64,
}

impl Signature {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: metadata.len(),
            mtime_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    fn had_rested(&self, at_ns: i128) -> bool {
        self.mtime_ns.max(self.ctime_ns) + GRANULARITY_NS < at_ns
    }
}

/// A remembered digest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Remembered {
    signature: Signature,
    /// When it was read, in nanoseconds since 1970.
    read_ns: i128,
    digest: [u8; 32],
}

impl Contents {
    /// Digests a source. `cache` is a file for remembered digests, made if need be; `now` is a time at which the
    /// source had not been read yet. Also which files changed while they were read: none.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for files that cannot be read; [`Error::Changed`] when one is edited meanwhile;
    /// [`Error::Interrupted`]. A cache that cannot be read or written is done without.
    pub fn read(
        source: &SourceTree,
        cache: Option<&Path>,
        now: SystemTime,
        threads: usize,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let now_ns = match now.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i128,
            Err(_) => 0,
        };
        let cache = cache.filter(|_| is_on_this_machine(&source.root));
        let known = cache.map(load).unwrap_or_default();
        let results = Mutex::new((BTreeMap::new(), None));
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut buffer = vec![0; 128 << 10];
            let mut mine = Vec::new();
            let failure = loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(batch) = source
                    .entries
                    .get(first..source.entries.len().min(first + BATCH))
                else {
                    break None;
                };
                if batch.is_empty() {
                    break None;
                }
                if observer.is_cancelled() {
                    break Some(Error::Interrupted);
                }
                let mut failed = None;
                for entry in batch {
                    if !matches!(entry.kind, SourceKind::File { .. }) {
                        continue;
                    }
                    let path = source.file_path(&entry.path);
                    match remember(
                        &path,
                        source.links,
                        known.get(&entry.path),
                        now_ns,
                        &mut buffer,
                    ) {
                        Ok(found) => mine.push((entry.path.clone(), found)),
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
                if failed.is_some() {
                    break failed;
                }
            };
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.0.extend(mine);
            if let Some(error) = failure {
                results.1.get_or_insert(error);
            }
        };
        let helpers = threads.min(source.entries.len() / (4 * BATCH));
        std::thread::scope(|scope| {
            for _ in 1..helpers {
                scope.spawn(worker);
            }
            worker();
        });
        let (found, failure) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failure {
            return Err(error);
        }
        match cache {
            Some(cache) if found == known => crate::fs::touch(cache),
            // Remembering is a convenience.
            Some(cache) => drop(store(cache, &found)),
            None => {}
        }
        Ok(Self::new(source, found))
    }

    fn new(source: &SourceTree, found: BTreeMap<Vec<u8>, Remembered>) -> Self {
        let mut entries = BTreeMap::new();
        for entry in &source.entries {
            let mut digester = Digester::new(Algorithm::Sha256);
            match &entry.kind {
                SourceKind::Directory => digester.update(b"directory"),
                SourceKind::Symlink { target } => {
                    digester.update(b"link ");
                    digester.update(target);
                }
                SourceKind::File { is_executable, .. } => {
                    digester.update(match is_executable {
                        true => b"program ",
                        false => b"file    ",
                    });
                    if let Some(found) = found.get(&entry.path) {
                        digester.update(&found.digest);
                    }
                }
            }
            entries.insert(entry.path.clone(), digester.finish());
        }
        let mut digester = Digester::new(Algorithm::Sha256);
        digester.update(b"overcoat source 1\n");
        for (path, digest) in &entries {
            digester.update(&(path.len() as u64).to_le_bytes());
            digester.update(path);
            digester.update(digest.to_string().as_bytes());
        }
        Self {
            tree: digester.finish(),
            entries,
            seen: found
                .into_iter()
                .map(|(path, found)| (path, found.signature))
                .collect(),
        }
    }

    /// The digest of everything: paths, kinds, whether files can be executed, contents, targets of links.
    pub fn tree(&self) -> &Digest {
        &self.tree
    }

    /// The digest of each entry, by its path.
    pub fn entries(&self) -> &BTreeMap<Vec<u8>, Digest> {
        &self.entries
    }

    /// Looks once more whether any file was edited since it was read.
    ///
    /// # Errors
    /// [`Error::Changed`] with the first that was.
    pub fn still_holds(&self, source: &SourceTree) -> Result<(), Error> {
        for (path, signature) in &self.seen {
            let file = source.file_path(path);
            let now = look(&file, source.links).map(|metadata| Signature::of(&metadata));
            if now.ok() != Some(*signature) {
                return Err(changed(&file));
            }
        }
        Ok(())
    }
}

/// How many entries a thread takes at a time.
const BATCH: usize = 64;

fn changed(path: &Path) -> Error {
    Error::Changed {
        path: path.display().to_string(),
    }
}

/// What `stat` says of a file, through a link only where links are followed.
fn look(path: &Path, links: Links) -> std::io::Result<std::fs::Metadata> {
    match links {
        Links::Keep => std::fs::symlink_metadata(path),
        Links::Follow => std::fs::metadata(path),
    }
}

fn remember(
    path: &Path,
    links: Links,
    known: Option<&Remembered>,
    now_ns: i128,
    buffer: &mut [u8],
) -> Result<Remembered, Error> {
    if let Some(known) = known {
        let metadata = look(path, links).context("read", path)?;
        let signature = Signature::of(&metadata);
        if metadata.is_file() && known.signature == signature && signature.had_rested(known.read_ns)
        {
            return Ok(known.clone());
        }
    }
    let mut flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NONBLOCK;
    if links == Links::Keep {
        flags |= rustix::fs::OFlags::NOFOLLOW;
    }
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let mut file = File::from(file.map_err(std::io::Error::from).context("open", path)?);
    let before = Signature::of(&file.metadata().context("read", path)?);
    let mut digester = Digester::new(Algorithm::Sha256);
    let mut count = 0;
    loop {
        match file.read(buffer).context("read", path)? {
            0 => break,
            read => {
                digester.update(&buffer[..read]);
                count += read as u64;
            }
        }
    }
    let after = Signature::of(&file.metadata().context("read", path)?);
    if before != after || count != after.size {
        return Err(changed(path));
    }
    let mut digest = [0; 32];
    let hex = digester.finish();
    for (byte, pair) in digest.iter_mut().zip(hex.hex().as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    Ok(Remembered {
        signature: after,
        read_ns: now_ns,
        digest,
    })
}

fn is_on_this_machine(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| {
        #[allow(
            clippy::unnecessary_cast,
            reason = "the type differs between architectures"
        )]
        LOCAL_FILE_SYSTEMS.contains(&(found.f_type as i64 & 0xFFFF_FFFF))
    })
}

/// What is remembered; nothing when the file is absent, damaged, or of another version.
fn load(path: &Path) -> BTreeMap<Vec<u8>, Remembered> {
    let read = || -> Option<BTreeMap<Vec<u8>, Remembered>> {
        let bytes = crate::fs::read_limited(path, MAX_CACHE_BYTES).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
        if Digest::of(body).hex().as_bytes() != sum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut known = BTreeMap::new();
        while !rest.is_empty() {
            let length = u32::from_le_bytes(take(&mut rest)?) as usize;
            let (name, after) = rest.split_at_checked(length)?;
            rest = after;
            let size = u64::from_le_bytes(take(&mut rest)?);
            let mut number = || Some(i128::from_le_bytes(take(&mut rest)?));
            let (mtime_ns, ctime_ns, read_ns) = (number()?, number()?, number()?);
            let inode = u64::from_le_bytes(take(&mut rest)?);
            let device = u64::from_le_bytes(take(&mut rest)?);
            let signature = Signature {
                size,
                mtime_ns,
                ctime_ns,
                inode,
                device,
            };
            let digest = take(&mut rest)?;
            known.insert(
                name.to_vec(),
                Remembered {
                    signature,
                    read_ns,
                    digest,
                },
            );
        }
        Some(known)
    };
    read().unwrap_or_default()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

fn store(path: &Path, known: &BTreeMap<Vec<u8>, Remembered>) -> Result<(), crate::fs::Error> {
    let mut bytes = MAGIC.to_vec();
    for (name, found) in known {
        let Remembered {
            signature,
            read_ns,
            digest,
        } = found;
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(name);
        bytes.extend(signature.size.to_le_bytes());
        for number in [signature.mtime_ns, signature.ctime_ns, *read_ns] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(signature.inode.to_le_bytes());
        bytes.extend(signature.device.to_le_bytes());
        bytes.extend(digest);
    }
    let sum = Digest::of(&bytes);
    bytes.extend(sum.hex().as_bytes());
    if let Some(directory) = path.parent() {
        crate::fs::create_dir_all(directory)?;
    }
    crate::fs::replace(path, &bytes)
}

impl SourceTree {
    /// Where an entry is on this machine.
    pub fn file_path(&self, path: &[u8]) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(path))
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
