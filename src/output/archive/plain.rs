//! Archives that are compressed as a whole, or come through a pipe: a plain tar in a temporary file is made of them.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use super::super::Error;
use super::Format;
use super::plan::{Failed, copy};
use crate::event::Observer;
use crate::fs::Context;
use crate::store::BlobStore;

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

/// The archive as a file that is a plain tar.
pub(super) fn plain(
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
    let tar = tempfile::tempfile_in(workspace).context("create a file in", workspace)?;
    let read_bytes = Rc::new(Cell::new(0));
    let compressed = Counted {
        inner: io::Cursor::new(start.clone()).chain(file),
        count: Rc::clone(&read_bytes),
    };
    let mut plain = decompress(compressed, &start).context("decompress", path)?;
    let mut sink = Bounded {
        inner: &tar,
        written: 0,
        read_bytes: &read_bytes,
    };
    copy(&mut plain, &mut sink, &|_| {}, observer).map_err(|failed| match failed {
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
    (&tar).seek(SeekFrom::Start(0)).context("read", workspace)?;
    Ok(tar)
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

/// The error that `path` is no such archive.
pub(super) fn refusal(
    path: &Path,
    format: Format,
    reason: String,
    hint: Option<&'static str>,
) -> Error {
    Error::Format {
        format: format.describe(),
        path: path.display().to_string(),
        reason,
        hint,
    }
}

/// What a failed copy from the archive means.
pub(super) fn failed_on(path: &Path, failed: Failed) -> Error {
    match failed {
        Failed::Interrupted => Error::Interrupted,
        Failed::Reading(error) => crate::fs::Error::new("read", path, error).into(),
        Failed::Writing(error) => crate::fs::Error::new("copy", path, error).into(),
    }
}
