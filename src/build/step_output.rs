//! Where the output of a step goes: to whoever watches, and into a log file; secrets are masked in both.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::inputs::Redaction;
use crate::event::{Event, Observer};
use crate::fs::Context;

/// An observer that masks and keeps what a step prints, and hands everything on.
pub(super) struct StepOutput<'a> {
    inner: &'a dyn Observer,
    redaction: Redaction,
    log: Mutex<Option<BufWriter<File>>>,
    path: PathBuf,
}

impl<'a> StepOutput<'a> {
    /// Begins a log file named after the image. An older one of that name is replaced; a build that still writes to it
    /// goes on undisturbed.
    ///
    /// # Errors
    /// [`crate::fs::Error`] when it cannot be made.
    pub(super) fn new(
        inner: &'a dyn Observer,
        redaction: Redaction,
        directory: &Path,
        name: &str,
    ) -> Result<Self, crate::fs::Error> {
        crate::fs::create_private_dir(directory)?;
        let file =
            tempfile::NamedTempFile::new_in(directory).context("create a file in", directory)?;
        let path = directory.join(file_name(name));
        let file = file
            .persist(&path)
            .map_err(|error| crate::fs::Error::new("create", &path, error.error))?;
        Ok(Self {
            inner,
            redaction,
            log: Mutex::new(Some(BufWriter::new(file))),
            path,
        })
    }

    /// The log's path, complete as far as it could be written. A log that does not fit on the disk stops no build.
    pub(super) fn finish(self) -> PathBuf {
        if let Ok(Some(mut log)) = self.log.into_inner() {
            let _ = log.flush();
        }
        self.path
    }

    /// Lines as they may be shown.
    pub(super) fn hide(&self, lines: Vec<String>) -> Vec<String> {
        lines.iter().map(|line| self.redaction.hide(line)).collect()
    }
}

/// Where the log of the image `name` is in a store.
pub fn log_file(store: &Path, name: &str) -> PathBuf {
    store.join(LOGS).join(file_name(name))
}

/// The directory of a store that holds the logs.
pub(super) const LOGS: &str = "logs";

fn file_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain = |c: char| if is_plain(c) { c } else { '-' };
    let name: String = name.chars().map(plain).take(200).collect();
    format!("{name}.log")
}

impl Observer for StepOutput<'_> {
    fn observe(&self, event: Event) {
        match event {
            Event::Output { step, stream, line } => {
                let line = self.redaction.hide(&line);
                if let Ok(mut log) = self.log.lock()
                    && let Some(file) = log.as_mut()
                    && writeln!(file, "{line}").is_err()
                {
                    *log = None;
                }
                self.inner.observe(Event::Output { step, stream, line });
            }
            other => self.inner.observe(other),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled()
    }
}
