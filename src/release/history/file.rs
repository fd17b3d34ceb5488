//! The file of records as bytes: read line by line, and added to by one writer at a time.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Error;
use crate::fs::{self, Context, Lock};

/// The most bytes that a line has.
pub(super) const MAX_LINE: usize = 1 << 20;
/// The most bytes that are read: some hundred thousand records.
const MAX_FILE: u64 = 256 << 20;

const RECORDS: &str = "records.jsonl";
const TORN: &str = "records.torn";
const LOCK: &str = "lock";

/// Hands over each line from byte `start` on, with its number from 1; none in the place of one that is too long. The last
/// one counts without its end only if it is whole: it may be about to be written.
pub(super) fn for_each_line(
    directory: &Path,
    start: u64,
    mut take: impl FnMut(usize, Option<&[u8]>),
) -> Result<(), Error> {
    let path = directory.join(RECORDS);
    let mut file = match fs::open(&path) {
        Err(error) if error.is_absent() => return Ok(()),
        file => file?,
    };
    let length = file.metadata().context("read", &path)?.len();
    if length > MAX_FILE {
        let limit = MAX_FILE;
        return Err(Error::TooMuch { path, limit });
    }
    file.seek(SeekFrom::Start(start)).context("read", &path)?;
    let mut reader = BufReader::with_capacity(1 << 16, file.take(MAX_FILE));
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let most = MAX_LINE as u64 + 1;
        let count = (&mut reader).take(most).read_until(b'\n', &mut line);
        if count.context("read", &path)? == 0 {
            break;
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            take(number, Some(&line));
        } else if line.len() > MAX_LINE {
            let is_ended = skip_line(&mut reader).context("read", &path)?;
            if is_ended {
                take(number, None);
            }
        } else if is_whole(&line) {
            take(number, Some(&line));
        }
    }
    Ok(())
}

/// Goes behind the end of the line; false when the file ends before.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        if let Some(position) = buffer.iter().position(|byte| *byte == b'\n') {
            reader.consume(position + 1);
            return Ok(true);
        }
        let count = buffer.len();
        reader.consume(count);
    }
}

fn is_whole(line: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|value| value.is_object())
}

/// When a line survives a power failure. It survives the death of its process at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// When it was added.
    Now,
    /// With the next one that is so, or when the system writes it.
    Later,
}

/// The right to add lines; others wait for it, so it is held for a moment only.
pub(super) struct Appender {
    _lock: Lock,
    directory: PathBuf,
    path: PathBuf,
    file: File,
    length: u64,
}

impl Appender {
    /// Waits for other writers, makes what is missing, and puts a torn line at the end aside.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        fs::create_dir_all(directory)?;
        let lock = Lock::exclusive(&directory.join(LOCK))?;
        let path = directory.join(RECORDS);
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(&path).context("open", &path)?;
        if is_new {
            fs::sync_directory(directory)?;
        }
        let length = file.metadata().context("read", &path)?.len();
        let directory = directory.to_owned();
        let mut appender = Self {
            _lock: lock,
            directory,
            path,
            file,
            length,
        };
        appender.mend()?;
        Ok(appender)
    }

    /// How many bytes the file has.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Which file it is, whatever it is called.
    pub(super) fn inode(&self) -> Result<u64, Error> {
        let metadata = self.file.metadata().context("read", &self.path)?;
        Ok(metadata.ino())
    }

    /// Adds a line by one write.
    pub(super) fn add(&mut self, line: &impl serde::Serialize, when: Durable) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(|error| fs::Error::new("write", &self.path, error.into()))?;
        bytes.push(b'\n');
        if bytes.len() > MAX_LINE {
            let (bytes, limit) = (bytes.len(), MAX_LINE);
            return Err(Error::TooLarge { bytes, limit });
        }
        if let Err(error) = self.file.write_all(&bytes) {
            // The disk is full: what came of the line is taken back, so that nothing is torn.
            let _ = self.file.set_len(self.length);
            return Err(fs::Error::new("write", &self.path, error).into());
        }
        if when == Durable::Now {
            self.file.sync_data().context("sync", &self.path)?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Puts a line without end aside: a process was killed while it wrote, or the power failed. A line that only
    /// lacks its end gets it.
    fn mend(&mut self) -> Result<(), Error> {
        let start = self.start_of_last_line()?;
        if start == self.length {
            return Ok(());
        }
        let mut tail = Vec::new();
        self.file
            .seek(SeekFrom::Start(start))
            .context("read", &self.path)?;
        (&self.file)
            .take(MAX_FILE)
            .read_to_end(&mut tail)
            .context("read", &self.path)?;
        if tail.len() < MAX_LINE && is_whole(&tail) {
            self.file.write_all(b"\n").context("write", &self.path)?;
            self.length += 1;
        } else {
            let aside = self.directory.join(TORN);
            let mut options = OpenOptions::new();
            let mut torn = options
                .append(true)
                .create(true)
                .open(&aside)
                .context("open", &aside)?;
            tail.push(b'\n');
            torn.write_all(&tail).context("write", &aside)?;
            torn.sync_data().context("sync", &aside)?;
            // Only now: killed in between, the line is aside twice, and lost never.
            self.file.set_len(start).context("shorten", &self.path)?;
            self.length = start;
        }
        self.file
            .sync_data()
            .context("sync", &self.path)
            .map_err(Into::into)
    }

    /// Where the line begins that has no end; the length when all have one.
    fn start_of_last_line(&mut self) -> Result<u64, Error> {
        let mut end = self.length;
        let mut chunk = vec![0; 1 << 16];
        // The last byte alone first: it is almost always an end.
        let mut size = 1;
        while end > 0 {
            let start = end.saturating_sub(size);
            let part = &mut chunk[..usize::try_from(end - start).unwrap_or(1 << 16)];
            self.file
                .seek(SeekFrom::Start(start))
                .and_then(|_| self.file.read_exact(part))
                .context("read", &self.path)?;
            if let Some(position) = part.iter().rposition(|byte| *byte == b'\n') {
                return Ok(start + position as u64 + 1);
            }
            (end, size) = (start, 1 << 16);
        }
        Ok(0)
    }
}
