//! What stands around an operation of a project: its hooks, its record, its log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::diagnostic::Diagnostic;
use super::env;
use super::exit::Code;
use crate::event::Observer;
use crate::project::{Operation, Project};
use crate::release::history::{Begin, DEFAULT_ENVIRONMENT, Facts, History, Running};
use crate::release::hooks::{self, Context};
use crate::release::operation::{self, Done, Failure, Job, Performed};

/// The operations of one application in one environment.
pub(super) struct Around<'a> {
    project: &'a Project,
    application: &'a str,
    environment: String,
    history: History,
    context: Context,
    commit: Option<String>,
}

/// An error in one line, as records have it.
struct Told(Diagnostic);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        self.0
            .because
            .iter()
            .try_for_each(|reason| write!(f, ": {reason}"))
    }
}

impl<'a> Around<'a> {
    /// What the project says is to stand around operations of `application`. The environment is the one that is named,
    /// else that of OVERCOAT_ENVIRONMENT, else the default one.
    pub(super) fn new(
        project: &'a Project,
        application: &'a str,
        environment: Option<&str>,
    ) -> Self {
        let named = environment.map(str::to_owned);
        let environment = named.or_else(env::record::environment);
        let history = match env::record::history() {
            Some(directory) => History::at(directory),
            None => History::of_project(&project.root),
        };
        Self {
            project,
            application,
            environment: environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            history,
            context: Context {
                project: project.name.as_ref().map(|name| name.value.clone()),
                ..Context::of(&project.root, env::record::variables())
            },
            commit: None,
        }
    }

    /// The same for an application whose source is in this directory, at this commit.
    pub(super) fn with_source(mut self, source: &Path, commit: Option<String>) -> Self {
        self.context.source = Some(source.to_owned());
        self.commit = commit;
        self
    }

    /// True when there are hooks beside this operation.
    pub(super) fn has_hooks(&self, operation: Operation) -> bool {
        let mut hooks = self.project.hooks.iter();
        hooks.any(|hook| hook.operation == operation)
    }

    /// The log of a record.
    pub(super) fn log(&self, running: &Running) -> PathBuf {
        self.history.log_path(running.id())
    }

    /// Does the work with its hooks around it, and keeps a record of it.
    ///
    /// # Errors
    /// Those of the work; [`Code::Hook`] and [`Code::History`].
    pub(super) fn perform<T>(
        &self,
        operation: Operation,
        facts: Facts,
        observer: &dyn Observer,
        work: impl FnOnce(&dyn Observer, Option<&Running>) -> Result<Done<T>, Diagnostic>,
    ) -> Result<Performed<T>, Diagnostic> {
        let job = Job {
            history: Some(&self.history),
            begin: Begin {
                operation,
                application: self.application.to_owned(),
                environment: self.environment.clone(),
                host: env::record::machine(),
                user: env::record::user(),
                commit: self.commit.clone(),
                labels: Default::default(),
                facts,
            },
            hooks: &self.project.hooks,
            context: self.context.clone(),
            clock: &SystemTime::now,
        };
        let work = |observer: &dyn Observer, running: Option<&Running>| {
            work(observer, running).map_err(Told)
        };
        operation::perform(job, observer, work).map_err(diagnostic)
    }
}

fn diagnostic<T>(failure: Failure<T, Told>) -> Diagnostic {
    match failure {
        Failure::Work(Told(diagnostic)) => diagnostic,
        Failure::History(error) => Diagnostic::new(Code::History, error),
        Failure::Before(ref source) => of_hook(source).attempting(failure.to_string()),
        Failure::After { ref source, .. } => of_hook(source).attempting(failure.to_string()),
    }
}

fn of_hook(error: &hooks::Error) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(Code::Hook, error);
    diagnostic.hints = error.hints();
    diagnostic
}
