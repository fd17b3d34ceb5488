//! The lines of the file, and the records that they make.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::process::{self, Process};
use super::record::{Facts, Id, Record, State};
use super::{Contents, Error, History, file, time};
use crate::project::Operation;

/// The version of the lines. Fields may be added without another one.
pub(super) const VERSION: u32 = 1;

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub(super) enum Line {
    /// An operation begins.
    Begin(Box<Beginning>),
    /// More is known of it.
    Update {
        /// Of which.
        id: Id,
        #[serde(flatten)]
        facts: Facts,
    },
    /// It has ended.
    End {
        /// Which.
        id: Id,
        state: State,
        #[serde(with = "time")]
        finished: SystemTime,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(flatten)]
        facts: Facts,
    },
    /// What came to be known after its end.
    Afterwards {
        /// Of which.
        id: Id,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<State>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(flatten)]
        facts: Facts,
    },
    /// It is not shown any more.
    Forget {
        /// Which.
        id: Id,
    },
    /// Something that only a newer overcoat knows.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Beginning {
    pub(super) version: u32,
    pub(super) id: Id,
    pub(super) sequence: u64,
    pub(super) operation: Operation,
    pub(super) application: String,
    pub(super) environment: String,
    #[serde(with = "time")]
    pub(super) started: SystemTime,
    pub(super) host: String,
    pub(super) user: String,
    pub(super) process: Process,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(super) facts: Facts,
}

/// A line that could not be read. The others were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads all records, and finds out which of the running ones still run.
pub(super) fn read(history: &History) -> Result<Contents, Error> {
    let contents = assembled(history)?;
    let is_gone = |record: &&Record| {
        record.state == State::Running
            && !process::is_at_work(&history.log_path(&record.id), &record.process)
    };
    let gone = contents.records.iter().filter(is_gone);
    let gone: Vec<Id> = gone.map(|record| record.id.clone()).collect();
    if gone.is_empty() {
        return Ok(contents);
    }
    // One may have ended in good order between the reading and the asking: its end is in the file then.
    let mut contents = assembled(history)?;
    for record in &mut contents.records {
        if record.state == State::Running && gone.contains(&record.id) {
            record.state = State::Interrupted;
        }
    }
    Ok(contents)
}

fn assembled(history: &History) -> Result<Contents, Error> {
    let mut assembly = Assembly::default();
    file::for_each_line(&history.directory, 0, |number, bytes| {
        assembly.take(number, bytes);
    })?;
    let mut records = assembly.records;
    records.retain(|record| !assembly.forgotten.contains_key(&record.id));
    Ok(Contents {
        records,
        damages: assembly.damages,
    })
}

#[derive(Default)]
struct Assembly {
    records: Vec<Record>,
    /// Where each record is.
    positions: BTreeMap<Id, usize>,
    forgotten: BTreeMap<Id, ()>,
    damages: Vec<Damage>,
    /// True once a line was none: it may have begun any record that has no beginning behind it.
    has_unreadable: bool,
}

impl Assembly {
    fn take(&mut self, number: usize, bytes: Option<&[u8]>) {
        let line = match parse(bytes) {
            Ok(line) => line,
            Err(reason) => {
                self.has_unreadable = true;
                return self.damaged(number, reason);
            }
        };
        match line {
            Line::Unknown => {}
            Line::Forget { id } => drop(self.forgotten.insert(id, ())),
            Line::Begin(beginning) => self.begin(number, *beginning),
            Line::Update { id, facts } => {
                if let Some(record) = self.find(number, &id) {
                    record.facts.add(facts);
                }
            }
            Line::Afterwards {
                id,
                state,
                error,
                facts,
            } => {
                if let Some(record) = self.find(number, &id) {
                    record.facts.add(facts);
                    record.error = error.or(record.error.take());
                    // One that has not ended ends by itself.
                    if record.finished.is_some() {
                        record.state = state.unwrap_or(record.state);
                    }
                }
            }
            Line::End {
                id,
                state,
                finished,
                error,
                facts,
            } => {
                let Some(record) = self.find(number, &id) else {
                    return;
                };
                if record.finished.is_some() {
                    return self.damaged(number, format!("the record {id} ends a second time"));
                }
                record.facts.add(facts);
                (record.state, record.finished, record.error) = (state, Some(finished), error);
            }
        }
    }

    fn begin(&mut self, number: usize, beginning: Beginning) {
        let id = beginning.id.clone();
        if self.positions.contains_key(&id) {
            return self.damaged(number, format!("the record {id} begins a second time"));
        }
        self.positions.insert(id, self.records.len());
        self.records.push(beginning.into());
    }

    fn find(&mut self, number: usize, id: &Id) -> Option<&mut Record> {
        let Some(position) = self.positions.get(id) else {
            // One torn line is one loss, and told once.
            if !self.has_unreadable {
                self.damaged(number, format!("the record {id} has no beginning"));
            }
            return None;
        };
        self.records.get_mut(*position)
    }

    fn damaged(&mut self, line: usize, reason: String) {
        self.damages.push(Damage { line, reason });
    }
}

impl From<Beginning> for Record {
    fn from(beginning: Beginning) -> Self {
        Self {
            id: beginning.id,
            sequence: beginning.sequence,
            operation: beginning.operation,
            application: beginning.application,
            environment: beginning.environment,
            state: State::Running,
            started: beginning.started,
            finished: None,
            error: None,
            host: beginning.host,
            user: beginning.user,
            process: beginning.process,
            commit: beginning.commit,
            labels: beginning.labels,
            facts: beginning.facts,
        }
    }
}

/// What a line says; none stands for one that is too long.
pub(super) fn parse(bytes: Option<&[u8]>) -> Result<Line, String> {
    let Some(bytes) = bytes else {
        return Err(format!("it has more than {} bytes", file::MAX_LINE));
    };
    serde_json::from_slice(bytes).map_err(|error| {
        // The place is that in the line, whose number is told beside it.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        format!("{text}, at its byte {}", error.column())
    })
}
