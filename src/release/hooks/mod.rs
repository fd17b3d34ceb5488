//! Commands that a project wants beside its operations.
//!
//! Hooks run in the order in which they are written, without a shell, in the project's directory. The first one that fails
//! ends the operation: those behind it do not run, and nothing that comes later takes its failure away. A hook with
//! `on-failure = "continue"` is told as a warning when it fails. What an operation is about is in variables
//! ([`Context`]); all that hooks print is [`Event::Output`].
//!
//! Source: specification *The path to production*, §2.3, which also names what other tools do wrong here.

pub mod process;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use process::End;

use super::history::name_of;
use crate::event::{Event, Observer, stage};
use crate::fs;
use crate::project::{Hook, OnFailure, Operation, When};

/// The variables that hooks get beside those of this process. One that has no value is taken away, so that a hook never
/// sees that of another operation around this one.
pub const VARIABLES: [&str; 16] = [
    "OVERCOAT",
    "OVERCOAT_OPERATION",
    "OVERCOAT_STAGE",
    "OVERCOAT_PROJECT",
    "OVERCOAT_APPLICATION",
    "OVERCOAT_WORKSPACE",
    "OVERCOAT_ENVIRONMENT",
    "OVERCOAT_IMAGE",
    "OVERCOAT_TAG",
    "OVERCOAT_DIGEST",
    "OVERCOAT_PLATFORMS",
    "OVERCOAT_RESULT_FILE",
    "OVERCOAT_RECORD",
    "OVERCOAT_SOURCE",
    "OVERCOAT_HISTORY",
    "OVERCOAT_ERROR",
];

/// What hooks are told of the operation that they stand beside.
#[derive(Clone, Default)]
pub struct Context {
    /// The project's directory, where hooks are started: absolute.
    pub root: PathBuf,
    /// The program that runs, for hooks that call it: absolute.
    pub program: Option<PathBuf>,
    /// The variables of this process.
    pub variables: Vec<(OsString, OsString)>,
    /// The project's name.
    pub project: Option<String>,
    /// The application.
    pub application: String,
    /// The environment, also told as the workspace.
    pub environment: String,
    /// The image without digest, `ghcr.io/acme/web:v1`; its tag becomes a variable of its own.
    pub image: Option<String>,
    /// The image's digest, once it is known.
    pub digest: Option<String>,
    /// The image's platforms, `linux/amd64`.
    pub platforms: Vec<String>,
    /// The file of results, absolute.
    pub result_file: Option<PathBuf>,
    /// The directory of the application's source, absolute.
    pub source: Option<PathBuf>,
    /// The id of the operation's record.
    pub record: Option<String>,
    /// The directory of records, so that a hook's own commands find the same ones.
    pub history: Option<PathBuf>,
    /// Why the operation failed, for hooks of [`When::Failure`].
    pub error: Option<String>,
}

impl Context {
    /// The context of a project's directory, with nothing else known.
    pub fn of(root: &Path, variables: Vec<(OsString, OsString)>) -> Self {
        Self {
            root: root.to_owned(),
            variables,
            ..Self::default()
        }
    }
}

// The variables hold what a person keeps in their environment, passwords too.
impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("root", &self.root)
            .field("application", &self.application)
            .field("environment", &self.environment)
            .field("image", &self.image)
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

/// Why a hook ended an operation. `hook` is a phrase with its program, its place and where it was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It ended badly.
    #[error("{hook} {how}")]
    Failed {
        /// Which.
        hook: String,
        /// `ended with status 3`, `was ended by signal 9`.
        how: String,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    /// It took too long; it and what it had started were killed.
    #[error("{hook} did not end within {}", humantime::format_duration(*limit))]
    TimedOut {
        /// Which.
        hook: String,
        /// How long it had.
        limit: Duration,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    /// There is no such program.
    #[error("{hook} cannot be started: there is no program `{program}` {place}")]
    NoProgram {
        /// Which.
        hook: String,
        /// As it is written.
        program: String,
        /// Where it was looked for.
        place: String,
    },
    /// The command has no words.
    #[error("{hook} has no command")]
    NoCommand {
        /// Which.
        hook: String,
    },
    /// The program is there and cannot be started.
    #[error("{hook} cannot be started: {source}")]
    Start {
        /// Which.
        hook: String,
        /// Why.
        source: fs::Error,
    },
    /// The person wanted it to stop.
    #[error("interrupted at {hook}")]
    Interrupted {
        /// Which was running, or was next.
        hook: String,
    },
}

impl Error {
    /// What a person can do.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoProgram { .. } => {
                "hooks are started without a shell; `[\"sh\", \"-c\", \"…\"]` is a hook of one, and a program of the \
                 project is written with its path: `./notify.sh`"
            }
            Self::NoCommand { .. } => {
                "write the program and its arguments: `command = [\"./notify.sh\"]`"
            }
            Self::TimedOut { .. } => "give it more time: `timeout = \"10m\"` in its table",
            Self::Start { source, .. } if source.is_absent() => {
                "the program that its first line names (`#!…`) is not there"
            }
            Self::Start { .. } => "make it executable: `chmod +x`",
            Self::Failed { .. } => {
                "a hook whose failure does not matter has `on-failure = \"continue\"` in its table"
            }
            Self::Interrupted { .. } => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    /// The last lines that the hook printed.
    pub fn tail(&self) -> &[String] {
        match self {
            Self::Failed { tail, .. } | Self::TimedOut { tail, .. } => tail,
            _ => &[],
        }
    }
}

/// The hooks of an operation for an application in an environment, in their order.
pub fn of<'a>(
    hooks: &'a [Hook],
    operation: Operation,
    when: When,
    context: &Context,
) -> impl Iterator<Item = &'a Hook> {
    let is_meant =
        |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let (application, environment) = (context.application.clone(), context.environment.clone());
    hooks.iter().filter(move |hook| {
        hook.operation == operation
            && hook.when == when
            && is_meant(&hook.applications, &application)
            && is_meant(&hook.environments, &environment)
    })
}

/// Runs the hooks of an operation, one after the other.
///
/// # Errors
/// The first failure of a hook that may not fail; [`Error::Interrupted`] when the person wants to stop, also where a
/// failure would not matter.
pub fn run(
    hooks: &[Hook],
    operation: Operation,
    when: When,
    context: &Context,
    observer: &dyn Observer,
) -> Result<(), Error> {
    for hook in of(hooks, operation, when, context) {
        let failure = match run_one(hook, context, observer) {
            Ok(()) => continue,
            Err(failure) => failure,
        };
        let is_interrupted = matches!(failure, Error::Interrupted { .. });
        match hook.on_failure {
            OnFailure::Continue if !is_interrupted => observer.observe(Event::Warning {
                text: format!("{failure}; the work goes on"),
                hint: None,
            }),
            _ => return Err(failure),
        }
    }
    Ok(())
}

fn run_one(hook: &Hook, context: &Context, observer: &dyn Observer) -> Result<(), Error> {
    let name = phrase(hook);
    if observer.is_cancelled() {
        return Err(Error::Interrupted { hook: name });
    }
    let Some((program, arguments)) = hook.command.split_first() else {
        return Err(Error::NoCommand { hook: name });
    };
    let path = find(program, context, &name)?;
    let running = stage(observer, "run hook", short(hook));
    let mut command = Command::new(&path);
    command
        .args(arguments)
        .current_dir(&context.root)
        .env_clear()
        .envs(context.variables.iter().map(|(name, value)| (name, value)));
    for (variable, value) in variables(hook, context) {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    let step = format!("hook {}", short(hook));
    let (end, tail) =
        process::run(&mut command, hook.timeout, &step, observer).map_err(|error| {
            Error::Start {
                hook: name.clone(),
                source: fs::Error::new("run", path, error),
            }
        })?;
    match end {
        End::Interrupted => Err(Error::Interrupted { hook: name }),
        End::TimedOut(limit) => Err(Error::TimedOut {
            hook: name,
            limit,
            tail,
        }),
        End::Exited(status) if status.success() => {
            running.finish("");
            Ok(())
        }
        End::Exited(status) => Err(Error::Failed {
            hook: name,
            how: process::how(status),
            tail,
        }),
    }
}

/// The hook in an error. Its arguments are left out: they may hold what is not for logs.
fn phrase(hook: &Hook) -> String {
    let program = hook.command.first().map_or("", String::as_str);
    format!(
        "the hook `{program}` {} {} ({})",
        when(hook.when),
        name_of(hook.operation),
        hook.origin
    )
}

/// The hook in progress and logs.
fn short(hook: &Hook) -> String {
    let program = hook.command.first().map_or("", String::as_str);
    format!(
        "`{program}` {} {}",
        when(hook.when),
        name_of(hook.operation)
    )
}

fn when(when: When) -> &'static str {
    match when {
        When::Before => "before",
        When::After => "after",
        When::Failure => "on failure of",
    }
}

/// The variables of [`VARIABLES`], with their values.
fn variables(
    hook: &Hook,
    context: &Context,
) -> impl Iterator<Item = (&'static str, Option<OsString>)> {
    let stage = match hook.when {
        When::Before => "before",
        When::After => "after",
        When::Failure => "failure",
    };
    let text = |text: &str| Some(OsString::from(text)).filter(|text| !text.is_empty());
    let perhaps = |value: &Option<String>| value.as_deref().and_then(text);
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.clone().into_os_string());
    let values = [
        path(&context.program),
        text(name_of(hook.operation)),
        text(stage),
        perhaps(&context.project),
        text(&context.application),
        text(&context.environment),
        text(&context.environment),
        perhaps(&context.image),
        context.image.as_deref().and_then(tag).and_then(text),
        perhaps(&context.digest),
        text(&context.platforms.join(",")),
        path(&context.result_file),
        perhaps(&context.record),
        path(&context.source),
        path(&context.history),
        perhaps(&context.error),
    ];
    VARIABLES.into_iter().zip(values)
}

/// The tag of an image's name. A port is none: it has a `/` behind it.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once(':')?;
    (!tag.contains('/')).then_some(tag)
}

/// The program: a path below the project's directory, or what `PATH` has.
fn find(program: &str, context: &Context, hook: &str) -> Result<PathBuf, Error> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let absent = |place: String| Error::NoProgram {
        hook: hook.to_owned(),
        program: program.to_owned(),
        place,
    };
    if program.contains('/') {
        let path = context.root.join(program);
        // One that may not be executed is told by the system, at the start.
        return match path.is_file() {
            true => Ok(path),
            false => Err(absent(format!("in `{}`", context.root.display()))),
        };
    }
    let search = context.variables.iter().find(|(name, _)| name == "PATH");
    let search = search.map(|(_, value)| value.clone()).unwrap_or_default();
    let mut directories = std::env::split_paths(&search).filter(|path| path.is_absolute());
    let found = directories.find_map(|path| Some(path.join(program)).filter(is_program));
    found.ok_or_else(|| absent("in the directories of PATH".to_owned()))
}

#[cfg(test)]
mod tests;
