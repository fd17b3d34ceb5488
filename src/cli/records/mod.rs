//! What the commands about records share: which project, which application, which environment; and an operation with its
//! record and its hooks around it, for every command that does something.

mod choose;
pub(super) mod diagnostic;
pub(super) mod files;
pub(super) mod loaded;
pub(super) mod reach;
pub(super) mod redeploy;
pub(super) mod rollouts;
pub(super) mod running;
pub(super) mod table;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;

use clap::Args;

use super::args::Shared;
use super::diagnostic::Diagnostic;
use super::env::person;
use super::{env, project};
use crate::digest::Digest;
use crate::event::{Event, Observer};
use crate::project::{Application, Operation, Project};
use crate::reference::Reference;
use crate::release::history::{
    Begin, Contents, DEFAULT_ENVIRONMENT, Facts, History, Id, Running, State,
};
use crate::release::hooks::Context;
use crate::release::operation::{self, Done, Job, Performed};

/// How many damaged lines are told one by one.
const TOLD_DAMAGES: usize = 5;

/// The environment that a command is about.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub(super) struct Flags {
    /// The environment, which is also the workspace of the records
    #[arg(id = "workspace", long = "environment", visible_alias = "workspace", value_name = "ENV", env = person::ENVIRONMENT)]
    pub(super) environment: Option<String>,
}

impl Flags {
    /// What was asked for; an empty variable asks for nothing.
    pub(super) fn asked(&self) -> Option<&str> {
        self.environment.as_deref().filter(|name| !name.is_empty())
    }
}

/// Work that is several operations: what the record of each says afterwards, in their order.
pub(super) type Work<'w> = dyn FnMut(&dyn Observer) -> Result<Vec<Done<()>>, Diagnostic> + 'w;

/// A project and its records.
pub(super) struct Place {
    /// The project.
    pub(super) project: Project,
    /// Its records.
    pub(super) history: History,
}

impl Place {
    /// The project of the working directory, and its records or those of `--history`.
    ///
    /// # Errors
    /// As [`project::load`].
    pub(super) fn open(shared: &Shared) -> Result<Self, Diagnostic> {
        Self::of(project::load(shared)?, shared)
    }

    /// The records of this project, or those of `--history`.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub(super) fn of(project: Project, shared: &Shared) -> Result<Self, Diagnostic> {
        let named = shared.history.as_ref();
        let history = match named.filter(|directory| !directory.as_os_str().is_empty()) {
            Some(directory) => {
                let absolute = std::path::absolute(directory)
                    .map_err(|error| crate::fs::Error::new("find", directory.clone(), error))?;
                History::at(absolute)
            }
            None => History::of_project(&project.root),
        };
        Ok(Self { project, history })
    }

    /// All records that can be read; of the others, a warning.
    ///
    /// # Errors
    /// With [`super::exit::Code::History`].
    pub(super) fn read(&self, observer: &dyn Observer) -> Result<Contents, Diagnostic> {
        let contents = self.history.read()?;
        let file = self.history.directory().join("records.jsonl");
        for damage in contents.damages.iter().take(TOLD_DAMAGES) {
            observer.observe(Event::Warning {
                text: format!(
                    "{}, line {}: the record cannot be read: {}",
                    file.display(),
                    damage.line,
                    damage.reason
                ),
                hint: Some(
                    "the other records count; without that line in the file, this is not told again"
                        .to_owned(),
                ),
            });
        }
        if let Some(more) = contents.damages.len().checked_sub(TOLD_DAMAGES + 1) {
            observer.observe(Event::Warning {
                text: format!("{} lines more cannot be read", more + 1),
                hint: None,
            });
        }
        Ok(contents)
    }

    /// What is known of an operation when it begins here.
    pub(super) fn beginning(
        &self,
        operation: Operation,
        application: &str,
        environment: Option<&str>,
        facts: Facts,
    ) -> Begin {
        let known = self.project.application(application).ok();
        let own = known.map(|application| &application.labels);
        let labels = self.project.labels.iter().chain(own.into_iter().flatten());
        let labels: BTreeMap<String, String> = labels
            .map(|(key, label)| (key.clone(), label.value.clone()))
            .collect();
        Begin {
            operation,
            application: application.to_owned(),
            environment: environment.unwrap_or(DEFAULT_ENVIRONMENT).to_owned(),
            host: person::machine(),
            user: person::user(),
            commit: None,
            labels,
            facts,
        }
    }

    /// What hooks of an application are told besides.
    pub(super) fn context(&self, application: &str) -> Context {
        let known = self.project.application(application).ok();
        let source = known.map(|application| application.source(&self.project));
        Context {
            project: self.project.name.as_ref().map(|name| name.value.clone()),
            source: source.map(PathBuf::from),
            program: person::program(),
            ..Context::of(&self.project.root, person::variables())
        }
    }

    /// Whose image a name is: the application's that has it, else the last part of the name.
    pub(super) fn application_of_image(&self, reference: &Reference) -> String {
        let name = reference.name();
        let is_of = |application: &&Application| {
            let image = application.image_name();
            let rest = name.strip_suffix(image);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        match self.project.applications.iter().find(is_of) {
            Some(application) => application.name.clone(),
            None => name.rsplit('/').next().unwrap_or(&name).to_owned(),
        }
    }

    /// The newest records of what brought a digest here, one of a kind: what a later operation follows from.
    ///
    /// # Errors
    /// With [`super::exit::Code::History`].
    pub(super) fn links_of(
        &self,
        application: &str,
        digest: Option<&Digest>,
    ) -> Result<BTreeMap<Operation, Id>, Diagnostic> {
        let mut links = BTreeMap::new();
        let Some(digest) = digest else {
            return Ok(links);
        };
        for record in self.history.read()?.records {
            let is_of_it = record.application == application
                && record.state == State::Success
                && record.facts.digest.as_ref() == Some(digest);
            let leads_there = matches!(
                record.operation,
                Operation::Build | Operation::Push | Operation::Promote
            );
            if is_of_it && leads_there {
                links.insert(record.operation, record.id);
            }
        }
        Ok(links)
    }

    /// Performs several operations at once, each with its record and its hooks: what is done is done within all of them, so that what one
    /// is refused for stops all. Their records, in their order; none of those that could not be kept.
    ///
    /// # Errors
    /// As [`Self::perform`].
    pub(super) fn perform_all(
        &self,
        begins: Vec<Begin>,
        observer: &dyn Observer,
        work: &mut Work<'_>,
    ) -> Result<Vec<Option<Id>>, Diagnostic> {
        let mut ids = Vec::new();
        self.nest(begins.into(), &mut ids, observer, work)?;
        Ok(ids)
    }

    /// What is left of what the work says, when the records of `begins` have taken theirs from its end.
    fn nest(
        &self,
        mut begins: VecDeque<Begin>,
        ids: &mut Vec<Option<Id>>,
        observer: &dyn Observer,
        work: &mut Work<'_>,
    ) -> Result<Vec<Done<()>>, Diagnostic> {
        let Some(begin) = begins.pop_front() else {
            return work(observer);
        };
        let mut others = Vec::new();
        self.perform(begin, observer, |observer, running| {
            ids.push(running.map(|running| running.id().clone()));
            let mut said = self.nest(begins, ids, observer, work)?;
            // The record of the last operation is the innermost.
            let own = said.pop().unwrap_or_default();
            others = said;
            Ok(own)
        })?;
        Ok(others)
    }

    /// Performs an operation with its record and the project's hooks around it.
    ///
    /// # Errors
    /// What the work or a hook failed of.
    pub(super) fn perform<T>(
        &self,
        begin: Begin,
        observer: &dyn Observer,
        work: impl FnOnce(&dyn Observer, Option<&Running>) -> Result<Done<T>, Diagnostic>,
    ) -> Result<Performed<T>, Diagnostic> {
        let job = Job {
            context: self.context(&begin.application),
            history: Some(&self.history),
            begin,
            hooks: &self.project.hooks,
            clock: &env::person::now,
        };
        let performed = operation::perform(job, observer, |observer, running| {
            work(observer, running).map_err(Failed)
        });
        performed.map_err(Into::into)
    }
}

/// Work that failed; its text is what a record keeps of it: one line.
#[derive(Debug)]
pub(super) struct Failed(pub(super) Diagnostic);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        self.0
            .because
            .iter()
            .try_for_each(|reason| write!(f, ": {reason}"))
    }
}
