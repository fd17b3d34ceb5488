//! One call of overcoat.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{FAILED, say};
use crate::cli::diagnostic::Diagnostic;
use crate::cli::exit::Code;
use crate::cli::{run, signals};

/// Has what we start end when we are killed, which cannot be passed on.
const ENDS_WITH_PARENT: &str = "--ends-with-parent";

/// A command line of overcoat's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: Vec<(String, OsString)>,
    is_shown: bool,
}

impl Step {
    /// A call with these flags.
    pub(super) fn new(before: &[OsString], is_shown: bool) -> Self {
        Self {
            arguments: before.to_vec(),
            variables: Vec::new(),
            is_shown,
        }
    }

    /// Adds a word.
    pub(super) fn push(&mut self, word: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(word.as_ref().to_owned());
        self
    }

    /// Adds a flag and its value, in one word: the value may begin with `-`.
    pub(super) fn flag(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        let mut word = OsString::from(name);
        word.push("=");
        word.push(value.as_ref());
        self.arguments.push(word);
        self
    }

    /// Sets a variable for this call.
    pub(super) fn variable(&mut self, name: &str, value: &OsStr) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self) -> Result<Command, Diagnostic> {
        let program = std::env::current_exe().map_err(|error| {
            Diagnostic::new(Code::Internal, format!("cannot find this program: {error}"))
        })?;
        if self.is_shown {
            let words = self.arguments.iter().map(|word| word.to_string_lossy());
            let words: Vec<_> = words.collect();
            say(&format!("+ overcoat {}", words.join(" ")));
        }
        let mut command = Command::new(program);
        command.args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs it to its end; op's status for it. What failed it has told itself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn run(&self) -> Result<u8, Diagnostic> {
        let forward = signals::forward()?;
        let child = self
            .command()?
            .arg(ENDS_WITH_PARENT)
            .stdin(Stdio::null())
            // A signal of the terminal comes through us, once: the second one would end it without tidying up.
            .process_group(0)
            .spawn();
        let child = child.map_err(cannot_start)?;
        Ok(match run::attend(child, &forward)? {
            0 => 0,
            status if status == Code::Usage as u8 => status,
            status if status == Code::Interrupted as u8 => status,
            _ => FAILED,
        })
    }

    /// Becomes it.
    ///
    /// # Errors
    /// When it cannot be started; otherwise this does not come back.
    pub(super) fn become_it(&self) -> Result<u8, Diagnostic> {
        Err(cannot_start(self.command()?.exec()))
    }
}

fn cannot_start(error: std::io::Error) -> Diagnostic {
    let reason = crate::fs::reason(&error);
    Diagnostic::new(
        Code::Internal,
        format!("cannot start this program again: {reason}"),
    )
}

/// Runs one after the other until one fails; op's status.
///
/// # Errors
/// As [`Step::run`].
pub(super) fn run_all(steps: &[Step]) -> Result<u8, Diagnostic> {
    for step in steps {
        let status = step.run()?;
        if status != 0 {
            return Ok(status);
        }
    }
    Ok(0)
}
