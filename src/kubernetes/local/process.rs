//! One run of somebody else's program: its time is limited, and so is what is kept of its output.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Error;
use crate::event::{Observer, printable};
use crate::fs::Context;

/// The most that is kept of what a program prints, from its end.
const KEPT_BYTES: u64 = 4 << 20;
/// How many of its last lines are shown.
const SHOWN_LINES: usize = 12;
const POLL: Duration = Duration::from_millis(10);
/// How long a program has for an orderly end.
const GRACE: Duration = Duration::from_secs(3);

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// `program argument …`, harmless to show.
    pub command: String,
    /// Its status.
    pub status: ExitStatus,
    /// What it printed to standard output: the last few megabytes.
    pub stdout: String,
    /// The same of standard error.
    pub stderr: String,
}

impl Ended {
    /// The last lines of what it printed, of standard error if there is any.
    pub fn said(&self) -> Vec<String> {
        let text = match self.stderr.trim().is_empty() {
            true => &self.stdout,
            false => &self.stderr,
        };
        let lines: Vec<String> = text.lines().map(printable).collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].to_vec()
    }

    /// The error that it means.
    pub fn failed(&self) -> Error {
        Error::Failed {
            command: self.command.clone(),
            how: self.status.to_string(),
            said: self.said(),
        }
    }
}

/// What every run has in common.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// A directory for what programs print while they run.
    pub place: &'a Path,
    /// How long each of them may take.
    pub limit: Duration,
    /// Who asks to stop.
    pub observer: &'a dyn Observer,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Runner<'_> {
    /// Runs a program found on the search path, without standard input, and waits for its end. When the person asks to stop, or
    /// the limit is over, it and what it started in its process group are ended.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Start`], [`Error::Timeout`], [`Error::Interrupted`]; not for its status.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Ended, Error> {
        let Self {
            place,
            limit,
            observer,
        } = *self;
        let words = std::iter::once(&program).chain(arguments).copied();
        let command = printable(&words.collect::<Vec<_>>().join(" "));
        // Files, not pipes: what the program leaves running in the background may keep them open.
        let file = || tempfile::tempfile_in(place).context("create a file in", place);
        let copy = |file: &File| file.try_clone().context("create a file in", place);
        let (mut stdout, mut stderr) = (file()?, file()?);
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(copy(&stdout)?)
            .stderr(copy(&stderr)?)
            .process_group(0)
            .spawn();
        let mut child = match child {
            Ok(child) => Running(Some(child)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoProgram {
                    program: program.to_owned(),
                });
            }
            Err(source) => {
                return Err(Error::Start {
                    program: program.into(),
                    source,
                });
            }
        };
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.poll().context("wait for", program.as_ref())? {
                break status;
            }
            if observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            if start.elapsed() > limit {
                return Err(Error::Timeout {
                    command,
                    seconds: limit.as_secs(),
                });
            }
            std::thread::sleep(POLL);
        };
        Ok(Ended {
            command,
            status,
            stdout: tail(&mut stdout),
            stderr: tail(&mut stderr),
        })
    }
}

/// A program under way, in a process group of its own; ended when dropped.
struct Running(Option<Child>);

impl Running {
    fn poll(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.0 else {
            return Ok(None);
        };
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.0 = None;
        }
        Ok(ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else {
            return;
        };
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::TERM);
            let start = Instant::now();
            while start.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(POLL);
            }
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
    }
}

fn tail(file: &mut File) -> String {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let start = SeekFrom::Start(length.saturating_sub(KEPT_BYTES));
    let read = file
        .seek(start)
        .and_then(|_| file.take(KEPT_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Silent;

    #[test]
    fn a_program_is_run_and_its_end_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let runner = |limit| Runner {
            place: directory.path(),
            limit: Duration::from_secs(limit),
            observer: &Silent,
        };
        let run = |script: &str, limit| runner(limit).run("sh", &["-c", script]);
        let ended = run(
            "cat; echo out; echo a >&2; printf 'b\\033[1m' >&2; exit 3",
            60,
        )
        .unwrap();
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str()),
            (Some(3), "out\n")
        );
        assert_eq!(ended.said().len(), 2);
        assert!(!ended.said()[1].contains('\u{1b}'), "{:?}", ended.said());
        assert!(matches!(
            run("sleep 60 & wait", 0),
            Err(Error::Timeout { .. })
        ));
        let absent = runner(9).run("no-such-program", &[]);
        assert!(matches!(absent, Err(Error::NoProgram { .. })));
    }
}
