//! What an operation said, in a file, line by line as it happens.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::event::{Event, Observer, printable};
use crate::fs::{self, Context};
use crate::source::redact;

/// The most bytes of a log.
const MAX_LOG: usize = 64 << 20;

/// An open log. The file stays locked as long as this lives.
#[derive(Debug)]
pub(super) struct Log(Mutex<Open>);

#[derive(Debug)]
struct Open {
    file: File,
    room: usize,
}

impl Log {
    pub(super) fn new(file: File) -> Self {
        let room = MAX_LOG;
        Self(Mutex::new(Open { file, room }))
    }

    /// Adds a line. A log that does not fit on the disk stops no work.
    pub(super) fn write(&self, text: &str) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: String = text.lines().map(printable).collect::<Vec<_>>().join("\n");
        lines.push('\n');
        if open.room == 0 {
            return;
        }
        if lines.len() > open.room {
            open.room = 0;
            let _ = open
                .file
                .write_all(b"the log is full; the rest is not kept\n");
            return;
        }
        open.room -= lines.len();
        // By one write: another process that follows the log sees whole lines.
        let _ = open.file.write_all(lines.as_bytes());
    }
}

/// An observer that writes what happens into a log and hands it on.
pub struct Recording<'a> {
    log: &'a Log,
    inner: &'a dyn Observer,
}

impl std::fmt::Debug for Recording<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

impl<'a> Recording<'a> {
    pub(super) fn new(log: &'a Log, inner: &'a dyn Observer) -> Self {
        Self { log, inner }
    }
}

/// As [`Recording`], into a log that another process has open: for one that does a part of its work.
pub struct Continuing<'a> {
    log: Log,
    inner: &'a dyn Observer,
}

impl std::fmt::Debug for Continuing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Continuing").finish_non_exhaustive()
    }
}

impl<'a> Continuing<'a> {
    /// Opens the log in this file, which must be there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, inner: &'a dyn Observer) -> Result<Self, fs::Error> {
        let file = OpenOptions::new().append(true).open(path);
        Ok(Self {
            log: Log::new(file.context("open", path)?),
            inner,
        })
    }
}

impl Observer for Continuing<'_> {
    fn observe(&self, event: Event) {
        if let Some(line) = line(&event) {
            self.log.write(&redact(&line));
        }
        self.inner.observe(event);
    }

    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}

impl Observer for Recording<'_> {
    fn observe(&self, event: Event) {
        if let Some(line) = line(&event) {
            self.log.write(&redact(&line));
        }
        self.inner.observe(event);
    }

    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}

/// The lines for an event; none for what is of no use later.
fn line(event: &Event) -> Option<String> {
    let with = |mark: &str, text: &str, more: &str| match more {
        "" => format!("{mark}{text}"),
        more => format!("{mark}{text}: {more}"),
    };
    match event {
        Event::StageStarted { name, detail } => Some(with("==> ", name, detail)),
        Event::StageFinished { detail, .. } if detail.is_empty() => None,
        Event::StageFinished { detail, .. } => Some(format!("    {detail}")),
        Event::Output { line, .. } => Some(format!("  | {line}")),
        Event::Explanation { text } => Some(format!("explain: {text}")),
        Event::Note { text } => Some(format!("    note: {text}")),
        Event::Warning { text, hint: None } => Some(format!("warning: {text}")),
        Event::Warning {
            text,
            hint: Some(hint),
        } => Some(format!("warning: {text}\nhint: {hint}")),
        Event::TransferStarted { .. }
        | Event::TransferAdvanced { .. }
        | Event::TransferFinished { .. } => None,
    }
}
