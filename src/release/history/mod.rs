//! What was done: one record for each build, push, promotion, deployment and release, in files beside the project.
//!
//! ```text
//! .overcoat/.gitignore           `*`
//! .overcoat/history/records.jsonl    a line when an operation begins, one when it ends, perhaps some in between
//! .overcoat/history/records.torn     ends of lines that a killed process left, as they were
//! .overcoat/history/sequences.json   the last numbers, so that not everything is read for the next one; can be missing
//! .overcoat/history/lock             held by whoever writes, for the time of one line
//! .overcoat/history/logs/ID.log      what was said; locked by the process that does the work, as long as it lives
//! ```
//!
//! Lines are only ever added. A record says `running` before anything happens; when its process is gone without having
//! said how it ended, it reads as `interrupted`. Whether a process is gone is told by the lock on its log, which the
//! system drops however the process ends; where there is no log, by its number, its start and the machine's boot.
//!
//! A line is written by one call, and that of an end is on the disk before the operation is over: a killed process leaves
//! at most one torn line at the end, which the next writer keeps aside, and a power failure loses nothing that was finished.
//! A damaged line elsewhere is reported with its number, and all others are read.
//!
//! No secrets are in a record or a log: what stands before the `@` of a URL is left out of everything that is written.
//! Source: specification *The path to production*, §2.4 and §2.6.

mod error;
mod file;
mod find;
mod line;
mod log;
mod process;
mod record;
mod sequences;
mod time;
mod writer;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::Error;
pub use find::{Direction, Filter, Order};
pub use line::Damage;
pub use log::{Continuing, Recording};
pub use process::Process;
pub use record::{Endpoint, Facts, Id, Record, State, Target, name_of, operation_of};
pub use writer::Running;

use crate::fs;
use crate::project::Operation;

/// The environment of records when nothing else is said.
pub const DEFAULT_ENVIRONMENT: &str = "default";

/// The records of one project.
#[derive(Clone, Debug)]
pub struct History {
    directory: PathBuf,
    /// The directory that git is to leave alone, made at the first record.
    ignored: Option<PathBuf>,
}

/// What is known when an operation begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// What is done.
    pub operation: Operation,
    /// To which application.
    pub application: String,
    /// In which environment, which is also the workspace; [`DEFAULT_ENVIRONMENT`] without one.
    pub environment: String,
    /// The name of this machine.
    pub host: String,
    /// Who does it.
    pub user: String,
    /// The full commit id of the source, if known.
    pub commit: Option<String>,
    /// Whatever `-label` and the project say.
    pub labels: std::collections::BTreeMap<String, String>,
    /// The image, the records that this one follows from, and what else is known already.
    pub facts: Facts,
}

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Well or not.
    pub ending: Ending,
    /// Why not; beside [`Ending::Success`], what failed afterwards.
    pub error: Option<String>,
    /// What is known now; added to what was known before.
    pub facts: Facts,
}

/// What came to be known of an operation after its end: that what it deployed did not come to run.
#[derive(Clone, Debug, Default)]
pub struct Afterwards {
    /// True when it counts as failed from now on.
    pub has_failed: bool,
    /// What failed.
    pub error: Option<String>,
    /// What is known now; added to what was known before.
    pub facts: Facts,
}

/// The three ways to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was done.
    Success,
    /// It was not.
    Error,
    /// The person wanted it to stop.
    Interrupted,
}

/// Everything that could be read.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The records that were not forgotten, in the order in which they began.
    pub records: Vec<Record>,
    /// The lines that could not be read.
    pub damages: Vec<Damage>,
}

impl History {
    /// The records of the project in `root`: `ROOT/.overcoat/history`. Nothing is made before the first record.
    pub fn of_project(root: &Path) -> Self {
        let ignored = root.join(".overcoat");
        Self {
            directory: ignored.join("history"),
            ignored: Some(ignored),
        }
    }

    /// The records in this directory, which is made at the first record.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            ignored: None,
        }
    }

    /// Where the records are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The log of a record; it may be missing.
    pub fn log_path(&self, id: &Id) -> PathBuf {
        self.directory.join("logs").join(format!("{id}.log"))
    }

    /// Writes that an operation is running, and gives it the next number of its application and kind. When the
    /// returned value goes away without [`Running::finish`], the record reads as interrupted.
    ///
    /// # Errors
    /// [`Error::File`] when the directory cannot be written, [`Error::TooLarge`] for a record of more than 1 MiB,
    /// [`Error::TooMuch`] as for [`Self::read`].
    pub fn begin(&self, begin: Begin, now: SystemTime) -> Result<Running, Error> {
        if let Some(ignored) = &self.ignored {
            ignore_in_git(ignored)?;
        }
        Running::begin(self.clone(), begin, now)
    }

    /// Reads all records. A directory that is not there has none. Nothing is written, so it may be read-only.
    ///
    /// # Errors
    /// [`Error::File`] when a file is there and cannot be read, [`Error::TooMuch`] when it has more than 256 MiB.
    pub fn read(&self) -> Result<Contents, Error> {
        line::read(self)
    }

    /// The records that a filter lets through, in its order.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn records(&self, filter: &Filter) -> Result<Vec<Record>, Error> {
        Ok(self.read()?.select(filter))
    }

    /// Writes down, durably, what came to be known of an operation that had ended. A record that is not there is a damaged line for readers.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn afterwards(&self, id: &Id, later: Afterwards) -> Result<(), Error> {
        writer::afterwards(self, id, later)
    }

    /// Forgets records and removes their logs. Their numbers are not given again. Unknown ones are left out; records
    /// that are running are kept.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn forget(&self, ids: &[Id]) -> Result<(), Error> {
        writer::forget(self, ids)
    }
}

/// Keeps git away from everything in our directory, the file itself too.
fn ignore_in_git(directory: &Path) -> Result<(), Error> {
    let path = directory.join(".gitignore");
    if !path.exists() {
        fs::create_dir_all(directory)?;
        fs::write_atomic(&path, b"*\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
