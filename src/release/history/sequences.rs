//! The last number of each application and kind.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{self, Appender};
use super::line::{self, Line};
use super::{Error, History};
use crate::fs;
use crate::project::Operation;

const FILE: &str = "sequences.json";
const MAX_FILE: u64 = 4 << 20;

/// The last numbers in the first bytes of the file of records. It is kept beside that file so that only what came later
/// has to be read; when it is missing, damaged or of another file, everything is read.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Sequences {
    inode: u64,
    length: u64,
    last: BTreeMap<Operation, BTreeMap<String, u64>>,
}

impl Sequences {
    /// All numbers that were given so far.
    pub(super) fn load(history: &History, appender: &Appender) -> Result<Self, Error> {
        let inode = appender.inode()?;
        let known = kept(&history.directory)
            .filter(|known| known.inode == inode && known.length <= appender.length());
        let mut sequences = known.unwrap_or_default();
        sequences.inode = inode;
        let mut damaged = 0;
        file::for_each_line(
            &history.directory,
            sequences.length,
            |_, bytes| match line::parse(bytes) {
                Ok(Line::Begin(beginning)) => {
                    let of_operation = sequences.last.entry(beginning.operation).or_default();
                    let last = of_operation.entry(beginning.application).or_default();
                    *last = beginning.sequence.max(*last);
                }
                Ok(_) => {}
                Err(_) => damaged += 1,
            },
        )?;
        // A damaged line may have been a beginning, whose number must not be given again.
        for last in sequences.last.values_mut().flat_map(BTreeMap::values_mut) {
            *last = last.saturating_add(damaged);
        }
        sequences.length = appender.length();
        Ok(sequences)
    }

    /// The next number.
    pub(super) fn next(&mut self, operation: Operation, application: &str) -> u64 {
        let of_operation = self.last.entry(operation).or_default();
        let last = of_operation.entry(application.to_owned()).or_default();
        *last = last.saturating_add(1);
        *last
    }

    /// Keeps them for the next time. Best effort: without them, more has to be read.
    pub(super) fn keep(mut self, history: &History, appender: &Appender) {
        self.length = appender.length();
        if let Ok(bytes) = serde_json::to_vec(&self) {
            let _ = fs::replace(&history.directory.join(FILE), &bytes);
        }
    }
}

fn kept(directory: &Path) -> Option<Sequences> {
    let bytes = fs::read_limited(&directory.join(FILE), MAX_FILE).ok()?;
    serde_json::from_slice(&bytes).ok()
}
