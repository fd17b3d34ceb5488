//! A record that is being written.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::file::{Appender, Durable};
use super::line::{Beginning, Line, VERSION};
use super::log::Log;
use super::process::Process;
use super::record::{Facts, Id, Record, State};
use super::sequences::Sequences;
use super::{Afterwards, Begin, Ending, Error, History, Outcome, Recording};
use crate::event::Observer;
use crate::fs::{self, Context};
use crate::source::redact;

/// The most bytes of an error that a record keeps.
const MAX_ERROR: usize = 8 << 10;

/// An operation that was begun. Its record reads as running as long as this value lives, then as interrupted unless
/// [`Self::finish`] was called.
#[derive(Debug)]
pub struct Running {
    history: History,
    record: Record,
    log: Log,
    /// What was added since.
    facts: Mutex<Facts>,
}

impl Running {
    pub(super) fn begin(history: History, begin: Begin, now: SystemTime) -> Result<Self, Error> {
        let mut appender = Appender::open(&history.directory)?;
        let mut sequences = Sequences::load(&history, &appender)?;
        let id = Id::random()?;
        // Before the line: whoever reads the line finds the lock.
        let log = Log::new(locked_log(&history, &id)?);
        let labels = begin.labels.into_iter();
        let beginning = Beginning {
            version: VERSION,
            sequence: sequences.next(begin.operation, &begin.application),
            id,
            operation: begin.operation,
            application: begin.application,
            environment: begin.environment,
            started: now,
            host: begin.host,
            user: begin.user,
            process: Process::own(),
            commit: begin.commit,
            labels: labels.map(|(key, value)| (key, redact(&value))).collect(),
            facts: begin.facts.clean(),
        };
        let line = Line::Begin(Box::new(beginning));
        // Waiting for the disk twice would double what a record costs.
        appender.add(&line, Durable::Later)?;
        sequences.keep(&history, &appender);
        let Line::Begin(beginning) = line else {
            unreachable!("it was made above");
        };
        Ok(Self {
            history,
            record: (*beginning).into(),
            log,
            facts: Mutex::default(),
        })
    }

    /// The record as it was begun.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The record's id.
    pub fn id(&self) -> &Id {
        &self.record.id
    }

    /// Where its log is.
    pub fn log_path(&self) -> PathBuf {
        self.history.log_path(&self.record.id)
    }

    /// An observer that writes what happens into the log, at once, and hands it on.
    pub fn recording<'a>(&'a self, inner: &'a dyn Observer) -> Recording<'a> {
        Recording::new(&self.log, inner)
    }

    /// Writes a line into the log only.
    pub fn note(&self, text: &str) {
        self.log.write(&redact(text));
    }

    /// Writes down, durably, what has become known: from here on a killed process does not lose it.
    ///
    /// # Errors
    /// As [`History::begin`].
    pub fn update(&self, facts: Facts) -> Result<(), Error> {
        let facts = facts.clean();
        let id = self.record.id.clone();
        let line = Line::Update {
            id,
            facts: facts.clone(),
        };
        Appender::open(&self.history.directory)?.add(&line, Durable::Now)?;
        let mut known = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        known.add(facts);
        Ok(())
    }

    /// Writes down, durably, how it ended; the finished record.
    ///
    /// # Errors
    /// As [`History::begin`]. The record then reads as interrupted.
    pub fn finish(mut self, outcome: Outcome, now: SystemTime) -> Result<Record, Error> {
        let facts = outcome.facts.clean();
        let state = match outcome.ending {
            Ending::Success => State::Success,
            Ending::Error => State::Error,
            Ending::Interrupted => State::Interrupted,
        };
        let error = outcome.error.map(|text| shortened(redact(&text)));
        let line = Line::End {
            id: self.record.id.clone(),
            state,
            finished: now,
            error: error.clone(),
            facts: facts.clone(),
        };
        Appender::open(&self.history.directory)?.add(&line, Durable::Now)?;
        let known = self.facts.into_inner();
        self.record
            .facts
            .add(known.unwrap_or_else(PoisonError::into_inner));
        self.record.facts.add(facts);
        let end = (state, Some(now), error);
        (self.record.state, self.record.finished, self.record.error) = end;
        Ok(self.record)
    }
}

/// A new log that this process holds as long as it lives.
fn locked_log(history: &History, id: &Id) -> Result<File, Error> {
    let path = history.log_path(id);
    fs::create_dir_all(&history.directory.join("logs"))?;
    let mut options = OpenOptions::new();
    // What programs print may be for this person only.
    options.append(true).create_new(true).mode(0o600);
    let file = options.open(&path).context("create", &path)?;
    file.lock().context("lock", &path)?;
    Ok(file)
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_ERROR {
        let end = text.floor_char_boundary(MAX_ERROR);
        text.truncate(end);
        text.push_str(" …");
    }
    text
}

/// See [`History::afterwards`].
pub(super) fn afterwards(history: &History, id: &Id, later: Afterwards) -> Result<(), Error> {
    let line = Line::Afterwards {
        id: id.clone(),
        state: later.has_failed.then_some(State::Error),
        error: later.error.map(|text| shortened(redact(&text))),
        facts: later.facts.clean(),
    };
    Appender::open(&history.directory)?.add(&line, Durable::Now)
}

/// See [`History::forget`].
pub(super) fn forget(history: &History, ids: &[Id]) -> Result<(), Error> {
    let known = history.read()?.records;
    let is_over = |id: &&Id| {
        let found = known.iter().find(|record| record.id == **id);
        found.is_some_and(|record| record.state != State::Running)
    };
    let doomed: Vec<&Id> = ids.iter().filter(is_over).collect();
    if doomed.is_empty() {
        return Ok(());
    }
    let mut appender = Appender::open(&history.directory)?;
    for id in doomed {
        appender.add(&Line::Forget { id: id.clone() }, Durable::Now)?;
        let path = history.log_path(id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(fs::Error::new("remove", path, error).into());
            }
            _ => {}
        }
    }
    Ok(())
}
