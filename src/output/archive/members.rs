//! The members of an archive: where each is in the file.
//!
//! Contents are read when they are asked for, in whatever order, so nothing of an archive of many images is copied but
//! what is wanted. An archive that is compressed as a whole, or that is no regular file, is first decompressed into a
//! temporary file.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::Error;
use super::Format;
use super::plan::{Failed, copy};
use crate::digest::DigestWriter;
use crate::event::Observer;
use crate::fs::Context;
use crate::image::MAX_DOCUMENT_BYTES;
use crate::layer::{self, EntryPath, Kind};
use crate::store::BlobStore;

/// Archives of a hundred images have some thousand members.
const MAX_MEMBERS: usize = 65_536;
/// Their names, all together.
const MAX_NAMES_BYTES: usize = 16 << 20;
/// Old Docker links each layer that two images share, once.
const MAX_LINKS: usize = 8;
/// What an archive that is compressed as a whole may become without being suspicious …
const FREE_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 1 << 30 };
/// … and how many times its own size beyond that. gzip makes a thousandth of zeros and a third of programs.
const MAX_RATIO: u64 = 200;
/// What xz may need to decompress: its own largest setting, `-9`, needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// zstd's own default: a window of 128 MiB is what `--long` needs.
const ZSTD_WINDOW_LOG: u32 = 27;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: &[u8] = b"BZh";

/// Where the content of a member is in the tar, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) size: u64,
}

enum Member {
    File(Range),
    /// What is meant, as a path in the archive; why not, where that is none.
    Link(Result<EntryPath, String>),
}

/// An archive that was looked through.
pub(super) struct Members {
    tar: File,
    path: PathBuf,
    format: Format,
    members: BTreeMap<EntryPath, Member>,
}

impl Members {
    /// Looks an archive through.
    ///
    /// # Errors
    /// [`Error::Format`] for what is no tar, is cut off, has unsafe names or more than one content for a name.
    pub(super) fn open(
        path: &Path,
        format: Format,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let mut members = Self {
            tar: plain(path, format, store, observer)?,
            path: path.to_owned(),
            format,
            members: BTreeMap::new(),
        };
        members.look_through(observer)?;
        Ok(members)
    }

    fn look_through(&mut self, observer: &dyn Observer) -> Result<(), Error> {
        let length = self.tar.metadata().context("look at", &self.path)?.len();
        let tar = self.tar.try_clone().context("open", &self.path)?;
        let refuse = |text: String| Err(layer::Error::Hostile(text));
        let mut found: BTreeMap<EntryPath, Member> = BTreeMap::new();
        let mut twice = Vec::new();
        let mut names_bytes = 0;
        let looked = layer::read::index(tar, |entry, start| {
            if observer.is_cancelled() {
                return Err(layer::Error::Interrupted);
            }
            let path = entry.path;
            let member = match entry.kind {
                Kind::File { size } => {
                    if start.checked_add(size).is_none_or(|end| end > length) {
                        return refuse(format!("it is cut off within `{}`", named(&path)));
                    }
                    Member::File(Range { start, size })
                }
                Kind::Symlink { target } => Member::Link(follow(&path, &target)),
                Kind::HardLink { target } => Member::Link(Ok(target)),
                _ => return Ok(()),
            };
            names_bytes += path.as_bytes().len();
            if found.len() == MAX_MEMBERS || names_bytes > MAX_NAMES_BYTES {
                return refuse(format!(
                    "it has more than {MAX_MEMBERS} members, or {MAX_NAMES_BYTES} bytes of names"
                ));
            }
            match (found.get(&path), &member) {
                (None, _) => {
                    found.insert(path, member);
                }
                (Some(Member::File(first)), Member::File(second)) if twice.len() < 1000 => {
                    twice.push((path, *first, *second));
                }
                (Some(Member::Link(first)), Member::Link(second)) if first == second => {}
                _ => return refuse(format!("it has more than one `{}`", named(&path))),
            }
            Ok(())
        });
        looked.map_err(|error| match error {
            layer::Error::Interrupted => Error::Interrupted,
            layer::Error::Hostile(reason) => self.refuse(reason),
            layer::Error::Path(error) => self.refuse(error.to_string()),
            layer::Error::Io { source, .. } => self.refuse(crate::fs::reason(&source)),
            error => self.refuse(error.to_string()),
        })?;
        // Some writers repeat a member. One reader takes the first, another the last: they must be the same.
        for (path, first, second) in twice {
            let is_same = first.size == second.size
                && self.digest(first, observer)? == self.digest(second, observer)?;
            if !is_same {
                return Err(self.refuse(format!(
                    "it has more than one `{}`, and they are not the same",
                    named(&path)
                )));
            }
        }
        self.members = found;
        Ok(())
    }

    fn digest(
        &self,
        range: Range,
        observer: &dyn Observer,
    ) -> Result<crate::digest::Digest, Error> {
        let mut sink = DigestWriter::new(io::sink());
        self.copy(range, &mut sink, observer)?;
        Ok(sink.finish().1)
    }

    /// Which of the two kinds it is, where that was left open.
    pub(super) fn format(&self) -> Result<Format, Error> {
        match self.format {
            Format::Both if self.has("index.json") => Ok(Format::Oci),
            Format::Both if self.has("manifest.json") => Ok(Format::Docker),
            Format::Both => {
                Err(self.refuse("it has neither `index.json` nor `manifest.json`".to_owned()))
            }
            known => Ok(known),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        EntryPath::parse(name.as_bytes()).is_ok_and(|path| self.members.contains_key(&path))
    }

    /// The error that this is not what it should be.
    pub(super) fn refuse(&self, reason: String) -> Error {
        self.refuse_with(reason, None)
    }

    pub(super) fn refuse_with(&self, reason: String, hint: Option<&'static str>) -> Error {
        refusal(&self.path, self.format, reason, hint)
    }

    /// The file's name, for messages.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Where the content of the member `name` is; links are followed, within the archive.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or a link points outside or in a circle.
    pub(super) fn find(&self, name: &str) -> Result<Range, Error> {
        let missing = || self.refuse(format!("`{}` is missing from it", shown(name)));
        let unsafe_name = |error: layer::entry::PathError| self.refuse(error.to_string());
        let mut path = EntryPath::parse(name.as_bytes()).map_err(unsafe_name)?;
        for _ in 0..MAX_LINKS {
            match self.members.get(&path) {
                None => return Err(missing()),
                Some(Member::File(range)) => return Ok(*range),
                Some(Member::Link(Ok(target))) => path = target.clone(),
                Some(Member::Link(Err(reason))) => return Err(self.refuse(reason.clone())),
            }
        }
        Err(self.refuse(format!("`{}` is a link of too many links", shown(name))))
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Format`] when it is larger than any document may be.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let range = self.find(name)?;
        if range.size > MAX_DOCUMENT_BYTES {
            return Err(self.refuse(format!(
                "`{}` has {} bytes, and no document may have more than {MAX_DOCUMENT_BYTES}",
                shown(name),
                range.size
            )));
        }
        let mut bytes = Vec::new();
        self.reader(range)?
            .read_to_end(&mut bytes)
            .context("read", &self.path)?;
        Ok(bytes)
    }

    /// Copies a member's content.
    ///
    /// # Errors
    /// [`Error::File`] for either side, [`Error::Interrupted`].
    pub(super) fn copy(
        &self,
        range: Range,
        sink: &mut dyn Write,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let mut reader = self.reader(range)?;
        let copied = copy(&mut reader, sink, &|_| {}, observer);
        let copied = copied.map_err(|failed| failed_on(&self.path, failed))?;
        match copied == range.size {
            true => Ok(()),
            false => Err(self.refuse("it became shorter while it was read".to_owned())),
        }
    }

    fn reader(&self, range: Range) -> Result<io::Take<&File>, Error> {
        let mut tar = &self.tar;
        tar.seek(SeekFrom::Start(range.start))
            .context("read", &self.path)?;
        Ok(tar.take(range.size))
    }
}

/// A path as the archive has it: without the slash of a root.
fn named(path: &EntryPath) -> String {
    path.to_string().trim_start_matches('/').to_owned()
}

fn shown(name: &str) -> String {
    let name: String = name.chars().take(300).collect();
    crate::event::printable(&name)
}

fn refusal(path: &Path, format: Format, reason: String, hint: Option<&'static str>) -> Error {
    Error::Format {
        format: format.describe(),
        path: path.display().to_string(),
        reason,
        hint,
    }
}

fn failed_on(path: &Path, failed: Failed) -> Error {
    match failed {
        Failed::Interrupted => Error::Interrupted,
        Failed::Reading(error) => crate::fs::Error::new("read", path, error).into(),
        Failed::Writing(error) => crate::fs::Error::new("copy", path, error).into(),
    }
}

/// What the symbolic link `path` means, as a path in the archive.
fn follow(path: &EntryPath, target: &[u8]) -> Result<EntryPath, String> {
    let outside = || {
        let target = target[..target.len().min(200)].escape_ascii();
        format!(
            "`{}` is a link to `{target}`, which is outside of it",
            named(path)
        )
    };
    if target.starts_with(b"/") {
        return Err(outside());
    }
    let parent = path.parent().ok_or_else(outside)?;
    let mut parts: Vec<&[u8]> = parent.as_bytes().split(|byte| *byte == b'/').collect();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.pop() {
                Some(left) if !left.is_empty() => {}
                _ => return Err(outside()),
            },
            part => parts.push(part),
        }
    }
    EntryPath::parse(&parts.join(&b'/')).map_err(|error| error.to_string())
}

/// The archive as a file that is a plain tar.
fn plain(
    path: &Path,
    format: Format,
    store: &BlobStore,
    observer: &dyn Observer,
) -> Result<File, Error> {
    let mut file = crate::fs::open(path)?;
    let metadata = file.metadata().context("look at", path)?;
    if metadata.is_dir() {
        let hint = "a layout in a directory is written `oci:DIR`";
        let reason = "it is a directory".to_owned();
        return Err(refusal(path, format, reason, Some(hint)));
    }
    let mut start = Vec::new();
    (&mut file)
        .take(6)
        .read_to_end(&mut start)
        .context("read", path)?;
    let is_compressed = [GZIP, ZSTD, XZ].iter().any(|sign| start.starts_with(sign));
    if start.starts_with(BZIP2) {
        let hint = "decompress it with `bzip2 --decompress`";
        let reason = "it is compressed with bzip2".to_owned();
        return Err(refusal(path, format, reason, Some(hint)));
    }
    if metadata.is_file() && !is_compressed {
        file.seek(SeekFrom::Start(0)).context("read", path)?;
        return Ok(file);
    }
    let workspace = store.workspace()?;
    let copy = tempfile::tempfile_in(workspace).context("create a file in", workspace)?;
    let read_bytes = Rc::new(Cell::new(0));
    let compressed = Counted {
        inner: io::Cursor::new(start.clone()).chain(file),
        count: Rc::clone(&read_bytes),
    };
    let mut plain = decompress(compressed, &start).context("decompress", path)?;
    let mut sink = Bounded {
        inner: &copy,
        written: 0,
        read_bytes: &read_bytes,
    };
    super::plan::copy(&mut plain, &mut sink, &|_| {}, observer).map_err(|failed| match failed {
        Failed::Writing(error) if error.get_ref().is_some_and(|error| error.is::<Bomb>()) => {
            let hint = "if you trust it, decompress it yourself and use what comes out";
            refusal(path, format, error.to_string(), Some(hint))
        }
        Failed::Reading(error) if is_compressed => {
            let reason = format!("it cannot be decompressed: {}", crate::fs::reason(&error));
            refusal(path, format, reason, None)
        }
        failed => failed_on(path, failed),
    })?;
    (&copy)
        .seek(SeekFrom::Start(0))
        .context("read", workspace)?;
    Ok(copy)
}

fn decompress(reader: impl Read + 'static, start: &[u8]) -> io::Result<Box<dyn Read>> {
    let reader = io::BufReader::with_capacity(128 << 10, reader);
    if start.starts_with(GZIP) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)));
    }
    if start.starts_with(ZSTD) {
        let mut decoder = zstd::Decoder::with_buffer(reader)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    if start.starts_with(XZ) {
        let decoder = lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY_KIB);
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(reader))
}

/// Counts what goes through it, for whoever looks from outside.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "it becomes more than {0} bytes when it is decompressed, out of all proportion to its size"
)]
struct Bomb(u64);

/// Takes no more than what is in proportion to what was read.
struct Bounded<'a> {
    inner: &'a File,
    written: u64,
    read_bytes: &'a Cell<u64>,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = FREE_BYTES.saturating_add(self.read_bytes.get().saturating_mul(MAX_RATIO));
        if self.written + bytes.len() as u64 > limit {
            return Err(io::Error::other(Bomb(limit)));
        }
        let count = self.inner.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
