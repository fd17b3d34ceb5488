//! Records chosen and ordered.

use super::record::{Id, Record, State, name_of, operation_of};
use super::{Contents, Error};
use crate::project::Operation;

/// How many records an error names.
const MAX_NAMED: usize = 5;

/// Which records, and in which order. The default is all, the one that began last first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one application.
    pub application: Option<String>,
    /// Of one environment.
    pub environment: Option<String>,
    /// Of these kinds; of all when empty.
    pub operations: Vec<Operation>,
    /// In these states; in all when empty.
    pub states: Vec<State>,
    /// By which time.
    pub order: Order,
    /// From which end.
    pub direction: Direction,
    /// How many at most.
    pub limit: Option<usize>,
}

/// By which time records are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// When they began.
    #[default]
    StartTime,
    /// When they ended; those that have not are the newest.
    CompleteTime,
}

/// Which record is first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The newest.
    #[default]
    Descending,
    /// The oldest.
    Ascending,
}

impl Filter {
    fn lets_through(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.application, &record.application)
            && is(&self.environment, &record.environment)
            && (self.operations.is_empty() || self.operations.contains(&record.operation))
            && (self.states.is_empty() || self.states.contains(&record.state))
    }
}

impl Contents {
    /// The records that a filter lets through, in its order.
    pub fn select(&self, filter: &Filter) -> Vec<Record> {
        let mut chosen: Vec<(usize, &Record)> = self
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| filter.lets_through(record))
            .collect();
        // Clocks are set back: of equal times, what was written later is later.
        match filter.order {
            Order::StartTime => chosen.sort_by_key(|(place, record)| (record.started, *place)),
            Order::CompleteTime => chosen.sort_by_key(|(place, record)| {
                (record.finished.is_none(), record.finished, *place)
            }),
        }
        if filter.direction == Direction::Descending {
            chosen.reverse();
        }
        let limit = filter.limit.unwrap_or(usize::MAX);
        let records = chosen.into_iter().take(limit);
        records.map(|(_, record)| record.clone()).collect()
    }

    /// The record of that id.
    pub fn by_id(&self, id: &Id) -> Option<&Record> {
        self.records.iter().find(|record| record.id == *id)
    }

    /// The one record that a person names among those that `filter` lets through: `7` or `v7`, `web/7`, `deploy/7`,
    /// `web/deploy/7`, or the first letters of a long id.
    ///
    /// # Errors
    /// [`Error::NoRecord`], [`Error::Ambiguous`].
    pub fn resolve(&self, wanted: &str, filter: &Filter) -> Result<Record, Error> {
        let name = Name::of(wanted);
        let all = Filter {
            limit: None,
            ..filter.clone()
        };
        let all = self.select(&all);
        let titles = |records: &[Record]| {
            let title = |record: &Record| format!("{} ({})", record.title(), record.id.short());
            records.iter().take(MAX_NAMED).map(title).collect()
        };
        let mut found: Vec<Record> = all.clone();
        found.retain(|record| name.as_ref().is_some_and(|name| name.is_of(record)));
        match found.len() {
            1 => Ok(found.swap_remove(0)),
            0 => Err(Error::NoRecord {
                wanted: wanted.to_owned(),
                known: titles(&all),
            }),
            _ => Err(Error::Ambiguous {
                wanted: wanted.to_owned(),
                candidates: titles(&found),
            }),
        }
    }
}

/// A record as a person names it.
enum Name<'a> {
    Id(&'a str),
    Number {
        sequence: u64,
        application: Option<&'a str>,
        operation: Option<Operation>,
    },
}

impl<'a> Name<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (path, last) = match text.rsplit_once('/') {
            Some((path, last)) => (Some(path), last),
            None => (None, text),
        };
        let number = last.strip_prefix('v').unwrap_or(last);
        let Ok(sequence) = number.parse() else {
            let is_id = path.is_none() && !last.is_empty();
            return is_id.then_some(Self::Id(last));
        };
        let (application, operation) = match path {
            None => (None, None),
            Some(path) => match path.rsplit_once('/') {
                Some((application, name)) if operation_of(name).is_some() => {
                    (Some(application), operation_of(name))
                }
                _ => match operation_of(path) {
                    Some(operation) => (None, Some(operation)),
                    None => (Some(path), None),
                },
            },
        };
        Some(Self::Number {
            sequence,
            application,
            operation,
        })
    }

    fn is_of(&self, record: &Record) -> bool {
        match self {
            Self::Id(letters) => record.id.as_str().starts_with(letters),
            Self::Number {
                sequence,
                application,
                operation,
            } => {
                record.sequence == *sequence
                    && application.is_none_or(|wanted| record.application == wanted)
                    && operation.is_none_or(|wanted| record.operation == wanted)
            }
        }
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let operation = name_of(self.operation);
        write!(f, "{operation} {} of {}", self.sequence, self.application)
    }
}
