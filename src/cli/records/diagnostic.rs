//! What people read when records, hooks or deployments are not as they should be.

use super::Failed;
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::release::operation::Failure;
use crate::release::{history, hooks, rollback};

/// How the advice begins after a hook that failed when the operation was done; who then takes it back after all leaves it out.
pub(in crate::cli) const NOTHING_TAKEN_BACK: &str = "nothing was taken back";

impl From<history::Error> for Diagnostic {
    fn from(error: history::Error) -> Self {
        let code = match &error {
            history::Error::File(file) if file.is_full() => Code::DiskFull,
            _ => Code::History,
        };
        Self {
            hints: error.hints(),
            ..Self::new(code, &error)
        }
    }
}

impl From<hooks::Error> for Diagnostic {
    fn from(error: hooks::Error) -> Self {
        let code = match error {
            hooks::Error::Interrupted { .. } => Code::Interrupted,
            _ => Code::Hook,
        };
        Self {
            hints: error.hints(),
            output: error.tail().to_vec(),
            ..Self::new(code, &error)
        }
    }
}

impl From<rollback::Error> for Diagnostic {
    fn from(error: rollback::Error) -> Self {
        Self {
            hints: error.hints(),
            ..Self::new(Code::History, &error)
        }
    }
}

impl<T> From<Failure<T, Failed>> for Diagnostic {
    fn from(failure: Failure<T, Failed>) -> Self {
        match failure {
            Failure::History(error) => Self::from(error).attempting("nothing was done"),
            Failure::Before(error) => Self::from(error).attempting("nothing was done"),
            Failure::Work(Failed(diagnostic)) => diagnostic,
            Failure::After {
                operation,
                performed,
                source,
            } => {
                let name = history::name_of(operation);
                let ended = match source {
                    hooks::Error::Interrupted { .. } => {
                        "and the hooks after it were not run to their end"
                    }
                    _ => "but a hook after it failed",
                };
                let diagnostic =
                    Self::from(source).attempting(format!("the {name} was done, {ended}"));
                let Some(record) = performed.record else {
                    return diagnostic;
                };
                let image = record.image().map(|image| format!(" with {image}"));
                diagnostic.hint(format!(
                    "{NOTHING_TAKEN_BACK}: it is on record as {}{}",
                    record.title(),
                    image.unwrap_or_default()
                ))
            }
        }
    }
}
