//! An operation with everything around it: its record, its hooks, its log.
//!
//! ```text
//! record `running` ─▶ hooks before ─▶ the work ─▶ hooks after ─▶ record `success`
//!                          │              └─▶ hooks on failure ─▶ record `error`
//!                          └────────────────────▲
//! ```
//!
//! A hook that fails after the work takes nothing back: the record says `success` with the digest, and beside it what the
//! hook failed of. A hook on failure that fails is a warning: the failure before it is the one that counts. When the person
//! interrupts, nothing more is started.
//!
//! Source: specification *The path to production*, §2.3 and §2.4.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::SystemTime;

use super::history::{self, Begin, Ending, Facts, History, Outcome, Record, Running};
use super::hooks::{self, Context};
use crate::event::{Event, Observer};
use crate::project::{Hook, Operation, When};
use crate::source::redact;

/// What an operation has around it.
pub struct Job<'a> {
    /// Where its record goes; none where no records are kept.
    pub history: Option<&'a History>,
    /// What is known of it.
    pub begin: Begin,
    /// All hooks of the project.
    pub hooks: &'a [Hook],
    /// What hooks are told. Application, environment, image, digest and record are filled in from the rest.
    pub context: Context,
    /// The time.
    pub clock: &'a dyn Fn() -> SystemTime,
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("begin", &self.begin)
            .finish_non_exhaustive()
    }
}

/// What work has to say when it is done.
#[derive(Clone, Debug, Default)]
pub struct Done<T> {
    /// Its result.
    pub value: T,
    /// What becomes part of the record, and of what hooks are told.
    pub facts: Facts,
    /// The image's platforms, for hooks.
    pub platforms: Vec<String>,
    /// The file of results that was written, for hooks.
    pub result_file: Option<PathBuf>,
}

/// An operation that was done.
#[derive(Clone, Debug)]
pub struct Performed<T> {
    /// What the work gave.
    pub value: T,
    /// Its record; none where no records are kept, or when its end could not be written, of which a warning was told.
    pub record: Option<Record>,
}

/// Why an operation was not done as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Failure<T, E> {
    /// Its record could not be begun. Nothing was done.
    #[error("cannot keep a record: {0}")]
    History(#[source] history::Error),
    /// A hook before it failed. The work was not begun.
    #[error("nothing was done: {0}")]
    Before(#[source] hooks::Error),
    /// The work failed.
    #[error("{0}")]
    Work(E),
    /// The work was done, and a hook after it failed.
    #[error("the {} was done, but a hook after it failed: {source}", history::name_of(*operation))]
    After {
        /// What was done.
        operation: Operation,
        /// With which result.
        performed: Box<Performed<T>>,
        /// What failed.
        source: hooks::Error,
    },
}

/// Performs an operation. `work` gets the observer that it has to tell everything, and the record, to which it may add what
/// must not be lost when it is killed ([`Running::update`]).
///
/// # Errors
/// [`Failure`], which says whether the work was done.
pub fn perform<T, E: Display>(
    job: Job<'_>,
    observer: &dyn Observer,
    work: impl FnOnce(&dyn Observer, Option<&Running>) -> Result<Done<T>, E>,
) -> Result<Performed<T>, Failure<T, E>> {
    let operation = job.begin.operation;
    let mut context = Context {
        application: job.begin.application.clone(),
        environment: job.begin.environment.clone(),
        history: job.history.map(|history| history.directory().to_owned()),
        ..job.context
    };
    learn(&mut context, &job.begin.facts);
    let running = match job.history {
        Some(history) => Some(
            history
                .begin(job.begin, (job.clock)())
                .map_err(Failure::History)?,
        ),
        None => None,
    };
    context.record = running.as_ref().map(|running| running.id().to_string());
    let frame = Frame {
        hooks: job.hooks,
        operation,
        clock: job.clock,
        outer: observer,
    };
    let recording = running.as_ref().map(|running| running.recording(observer));
    let inner: &dyn Observer = match &recording {
        Some(recording) => recording,
        None => observer,
    };

    if let Err(error) = hooks::run(job.hooks, operation, When::Before, &context, inner) {
        frame.failed(&error.to_string(), &mut context, inner);
        let text = Some(error.to_string());
        frame.finish(running, ending(observer), text, Facts::default());
        return Err(Failure::Before(error));
    }
    let done = match work(inner, running.as_ref()) {
        Ok(done) => done,
        Err(error) => {
            frame.failed(&error.to_string(), &mut context, inner);
            let text = Some(error.to_string());
            frame.finish(running, ending(observer), text, Facts::default());
            return Err(Failure::Work(error));
        }
    };
    learn(&mut context, &done.facts);
    context.platforms = done.platforms;
    context.result_file = done.result_file.or(context.result_file);
    let mut after = hooks::of(job.hooks, operation, When::After, &context);
    if let Some(running) = running.as_ref().filter(|_| after.next().is_some()) {
        // Hooks take their time, and what was done is not to be forgotten if we are killed meanwhile.
        frame.warn_of(running.update(done.facts.clone()).err());
    }
    let ended = hooks::run(job.hooks, operation, When::After, &context, inner);
    let error = ended.as_ref().err().map(ToString::to_string);
    let record = frame.finish(running, Ending::Success, error, done.facts);
    let performed = Performed {
        value: done.value,
        record,
    };
    match ended {
        Ok(()) => Ok(performed),
        Err(source) => Err(Failure::After {
            operation,
            performed: Box::new(performed),
            source,
        }),
    }
}

/// What the pieces of [`perform`] share.
struct Frame<'a> {
    hooks: &'a [Hook],
    operation: Operation,
    clock: &'a dyn Fn() -> SystemTime,
    outer: &'a dyn Observer,
}

impl Frame<'_> {
    /// Runs the hooks that are there for a failure, unless the person has had enough.
    fn failed(&self, error: &str, context: &mut Context, observer: &dyn Observer) {
        if observer.is_cancelled() {
            return;
        }
        context.error = Some(redact(error));
        if let Err(error) = hooks::run(self.hooks, self.operation, When::Failure, context, observer)
        {
            observer.observe(Event::Warning {
                text: error.to_string(),
                hint: error.hints().into_iter().next(),
            });
        }
    }

    fn finish(
        &self,
        running: Option<Running>,
        ending: Ending,
        error: Option<String>,
        facts: Facts,
    ) -> Option<Record> {
        let running = running?;
        if let Some(error) = &error {
            running.note(&format!("error: {error}"));
        }
        let outcome = Outcome {
            ending,
            error,
            facts,
        };
        match running.finish(outcome, (self.clock)()) {
            Ok(record) => Some(record),
            Err(error) => {
                self.warn_of(Some(error));
                None
            }
        }
    }

    /// What was done is done, whether or not it can be written down.
    fn warn_of(&self, error: Option<history::Error>) {
        if let Some(error) = error {
            self.outer.observe(Event::Warning {
                text: format!(
                    "the record of this {} is not complete: {error}",
                    history::name_of(self.operation)
                ),
                hint: None,
            });
        }
    }
}

fn ending(observer: &dyn Observer) -> Ending {
    match observer.is_cancelled() {
        true => Ending::Interrupted,
        false => Ending::Error,
    }
}

fn learn(context: &mut Context, facts: &Facts) {
    context.image = facts.image.clone().or(context.image.take());
    let digest = facts.digest.as_ref().map(ToString::to_string);
    context.digest = digest.or(context.digest.take());
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
