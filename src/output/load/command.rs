//! Engines through their commands: the archive goes to the command's standard input.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::{Error, Load, Talk};
use crate::event::printable;
use crate::fs::Context;

/// How long an engine may do nothing that can be seen. Unpacking a large image on a slow disk is such a time.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How long a command has for an orderly end.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// What is kept of what a command prints.
const KEPT_BYTES: u64 = 64 << 10;
const KEPT_LINES: usize = 12;

/// Runs a command that reads the archive; it must end well.
pub(super) fn feed(
    program: &Path,
    before: &[String],
    arguments: &[&str],
    load: &Load<'_>,
) -> Result<(), Error> {
    let talk = &load.talk;
    let mut running = Running::start(program, before, arguments, Stdio::piped(), None, talk)?;
    let stdin = running.child.stdin.take();
    let moved = AtomicU64::new(0);
    let has_failed = AtomicBool::new(false);
    let (written, status) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut pipe = Pipe {
                inner: stdin,
                moved: &moved,
            };
            let target = Path::new(load.talk.engine);
            let written = load
                .plan
                .write(&mut pipe, target, load.talk.store, load.talk.observer);
            match &written {
                Ok(()) => pipe.inner = None,
                // A broken pipe is the command's own doing, and it will end.
                Err(error) if is_broken_pipe(error) => {}
                // The end of the pipe would look like the end of the archive: the command is stopped first.
                Err(_) => has_failed.store(true, Ordering::Relaxed),
            }
            (written, pipe.inner)
        });
        let has_moved = || moved.load(Ordering::Relaxed);
        let status = running.wait(&has_moved, &has_failed, talk);
        let (written, pipe) = match writer.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        drop(pipe);
        (written, status)
    });
    let status = status?;
    match (written, status.success()) {
        (Ok(()), true) => Ok(()),
        (Err(super::super::Error::Interrupted), _) => Err(Error::Interrupted),
        // A command that ends early breaks the pipe: what it said is the reason.
        (Err(error), false) if !is_broken_pipe(&error) => Err(error.into()),
        // It has what it wanted, and did not wait for the end.
        (Err(error), true) if is_broken_pipe(&error) => Ok(()),
        (Err(error), true) => Err(error.into()),
        (_, false) => Err(running.refused(status, talk)),
    }
}

/// Runs a command that answers on its standard output; the answer, or what it said when it ended badly.
pub(super) fn ask(
    program: &Path,
    before: &[String],
    arguments: &[String],
    talk: &Talk<'_>,
) -> Result<String, Error> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut running = Running::start(program, before, &arguments, Stdio::null(), None, talk)?;
    let status = running.wait(&|| 0, &AtomicBool::new(false), talk)?;
    match status.success() {
        true => Ok(tail(&mut running.stdout)),
        false => Err(running.refused(status, talk)),
    }
}

/// Runs a command that writes an archive to its standard output, into `file`; the command is stopped when that has more
/// than `limit` bytes.
pub(super) fn write_to(
    program: &Path,
    before: &[String],
    arguments: &[String],
    file: &File,
    limit: u64,
    talk: &Talk<'_>,
) -> Result<(), Error> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let stdin = Stdio::null();
    let mut running = Running::start(program, before, &arguments, stdin, Some(file), talk)?;
    let is_too_much = AtomicBool::new(false);
    let written = || {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length > limit {
            is_too_much.store(true, Ordering::Relaxed);
        }
        length
    };
    let status = running.wait(&written, &is_too_much, talk)?;
    if written() > limit {
        return Err(Error::Protocol {
            engine: talk.engine.to_owned(),
            reason: format!("it writes an archive of more than {limit} bytes"),
        });
    }
    match status.success() {
        true => Ok(()),
        false => Err(running.refused(status, talk)),
    }
}

fn is_broken_pipe(error: &super::super::Error) -> bool {
    matches!(error, super::super::Error::File(error) if error.source.kind() == io::ErrorKind::BrokenPipe)
}

/// The command's standard input, with a count of what has gone through.
struct Pipe<'a> {
    inner: Option<ChildStdin>,
    moved: &'a AtomicU64,
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(pipe) = &mut self.inner else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let count = pipe.write(bytes)?;
        self.moved.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A command under way, in a process group of its own; stopped when dropped.
struct Running {
    child: Child,
    has_ended: bool,
    /// Files, not pipes: what the command leaves running in the background may keep them open.
    stdout: File,
    stderr: File,
}

impl Running {
    fn start(
        program: &Path,
        before: &[String],
        arguments: &[&str],
        stdin: Stdio,
        output: Option<&File>,
        talk: &Talk<'_>,
    ) -> Result<Self, Error> {
        let place = talk.store.workspace().map_err(super::super::Error::from)?;
        let file = || tempfile::tempfile_in(place).context("create a file in", place);
        let copy = |file: &File| file.try_clone().context("create a file in", place);
        let stdout = match output {
            Some(file) => copy(file)?,
            None => file()?,
        };
        let stderr = file()?;
        let child = Command::new(program)
            .args(before)
            .args(arguments)
            .stdin(stdin)
            .stdout(copy(&stdout)?)
            .stderr(copy(&stderr)?)
            .process_group(0)
            .spawn()
            .context("execute", program)?;
        Ok(Self {
            child,
            has_ended: false,
            stdout,
            stderr,
        })
    }

    /// Waits for the end, and brings it about when the person wants it, the archive cannot be read on, or nothing moves.
    fn wait(
        &mut self,
        moved: &dyn Fn() -> u64,
        has_failed: &AtomicBool,
        talk: &Talk<'_>,
    ) -> Result<ExitStatus, Error> {
        let mut last = (0, Instant::now());
        loop {
            let ended = self.child.try_wait();
            if let Some(status) = ended.context("wait for", Path::new(talk.engine))? {
                self.has_ended = true;
                return Ok(status);
            }
            if talk.observer.is_cancelled() {
                self.stop();
                return Err(Error::Interrupted);
            }
            let now = moved();
            if now != last.0 {
                last = (now, Instant::now());
            }
            if last.1.elapsed() > IDLE_LIMIT {
                self.stop();
                return Err(Error::Stalled {
                    engine: talk.engine.to_owned(),
                    minutes: IDLE_LIMIT.as_secs() / 60,
                });
            }
            if has_failed.swap(false, Ordering::Relaxed) {
                self.stop();
                continue;
            }
            std::thread::sleep(POLL);
        }
    }

    fn ends_within(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }

    /// Ends the command and what it started: in an orderly way, or else at once.
    fn stop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, Signal::TERM);
            if !self.ends_within(GRACE) {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
        }
        let _ = self.child.wait();
        self.has_ended = true;
    }

    fn refused(&mut self, status: ExitStatus, talk: &Talk<'_>) -> Error {
        let mut said = tail(&mut self.stderr);
        if said.trim().is_empty() {
            said = tail(&mut self.stdout);
        }
        let lines: Vec<String> = said.lines().map(printable).collect();
        let first = lines.len().saturating_sub(KEPT_LINES);
        Error::Refused {
            engine: talk.engine.to_owned(),
            how: status.to_string(),
            said: lines[first..].to_vec(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.stop();
        }
    }
}

/// The last of what a command printed.
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
