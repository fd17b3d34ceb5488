//! The parent's side: a spec is written, a stage started, its output and its end are watched.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::output::{self, Said};
use super::{
    Bind, Capability, ControlGroup, Error, ImageOwners, Injection, Ledger, Limits, Network,
    OnSignal, Process, RootFilesystem, Rung, STAGE_ARGUMENT, Secret, Spec, Status, Upload,
};
use super::{bookkeeping, injections, uploads};
use crate::event::{Event, Observer, Stream};
use crate::fs::{Context, create_dir_all};

/// How often a silent step is looked after.
const POLL: Duration = Duration::from_millis(50);
/// So many last lines are kept for the report of a failure.
const TAIL_LINES: usize = 40;

/// A sandbox: where the program and its scratch space are.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// This program, which is re-executed as the stages.
    pub program: PathBuf,
    /// A directory for this run alone; with overlay, on a file system that can hold its upper directory.
    pub directory: PathBuf,
    /// How high the walls are.
    pub rung: Rung,
    /// What the process sees as `/`.
    pub root: RootFilesystem,
    /// Owners of the image's files, where the disk does not have them.
    pub owners: Vec<ImageOwners>,
}

/// What a process gets beside its arguments.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// What to put into the root file system before.
    pub uploads: Vec<Upload>,
    /// Files and directories to show.
    pub binds: Vec<Bind>,
    /// Files in memory.
    pub secrets: Vec<Secret>,
    /// Files of this machine that stand among the image's while the process runs.
    pub injections: Vec<Injection>,
    /// Capabilities that it does not have even as root.
    pub dropped: Vec<Capability>,
    /// Its network.
    pub network: Network,
    /// What it may use of this machine; for steps.
    pub limits: Limits,
    /// How long it may take; for steps.
    pub timeout: Option<Duration>,
    /// Where its standard output goes instead of to the observer; for steps.
    pub capture: Option<Capture>,
}

/// A file that receives a step's standard output as it is: bytes, of which few are in memory at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The file: made, or emptied, with mode 0600.
    pub file: PathBuf,
    /// The most bytes that it may hold. A step that prints more is ended, with [`Error::TooMuchOutput`].
    pub limit: u64,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit status; 128 + N when signal N ended it.
    pub status: u8,
    /// The last lines it printed, when they were captured.
    pub tail: Vec<String>,
    /// True when the kernel killed a process of it because its memory ran out.
    pub ran_out_of_memory: bool,
    /// Paths that are there only because of the sandbox, relative to the root.
    pub scaffolding: Vec<Vec<u8>>,
    /// Directories that stood for caches, relative to the root, where they could not be mounted.
    pub caches: Vec<Vec<u8>>,
    /// The process's user and group, as the image knows them.
    pub user: (u32, u32),
    /// Owners that it gave to files, where the disk does not have them.
    pub ledger: Ledger,
}

impl Sandbox {
    /// Where the process's changes are: an overlay upper directory.
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    /// Runs a step: its output goes line by line to the observer, or what it prints on its standard output into
    /// [`Input::capture`]; its input is empty.
    ///
    /// # Errors
    /// [`Error::Setup`] and its kin when it could not be started; [`Error::Interrupted`] when the person asked to
    /// stop, [`Error::TimedOut`] and [`Error::TooMuchOutput`], all three after everything in the sandbox has ended.
    pub fn run_step(
        &self,
        name: &str,
        process: &Process,
        input: Input,
        observer: &dyn Observer,
    ) -> Result<Exit, Error> {
        let (limits, timeout) = (input.limits, input.timeout);
        let capture = input.capture.as_ref().map(open_capture).transpose()?;
        let spec = self.spec(process, input, OnSignal::Kill)?;
        let group = self.control_group(&limits, observer);
        let mut child = Command::new(&self.program)
            .args([STAGE_ARGUMENT, "stage", "-"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("execute", &self.program)?;
        // It waits for its specification, so nothing of it runs before it is in its group.
        if let Some(Err(error)) = group.as_ref().map(|group| group.add(child.id())) {
            unlimited(&crate::fs::reason(&error), observer);
        }
        // Secrets are in it: it goes through a pipe and never to a disk.
        let bytes = serialised(&spec)?;
        if let Some(mut input) = child.stdin.take() {
            // A stage that ends early says why by its status.
            let _ = std::io::Write::write_all(&mut input, &bytes);
        }
        let (status, tail) = watch(&mut child, name, timeout, capture, observer)?;
        let mut exit = self.conclude(&spec, status, tail, observer)?;
        exit.ran_out_of_memory = group.is_some_and(|group| group.has_run_out_of_memory());
        Ok(exit)
    }

    /// Removes what a step was shown as a copy, where there are no mounts that end with it. Names are resolved inside the
    /// root file system, whatever the step made of its directories.
    ///
    /// # Errors
    /// [`Error::File`] when a copy may still be there.
    pub fn forget(&self, targets: impl Iterator<Item = String>) -> Result<(), Error> {
        let root = match &self.root {
            _ if self.rung.has_mounts() => return Ok(()),
            RootFilesystem::Overlay { .. } => return Ok(()),
            RootFilesystem::Tree(tree) => tree.clone(),
            RootFilesystem::Host => PathBuf::from("/"),
        };
        for target in targets {
            uploads::remove_inside(&root, std::path::Path::new(&target))
                .map_err(std::io::Error::from)
                .context(
                    "remove the secret",
                    &root.join(target.trim_start_matches('/')),
                )?;
        }
        Ok(())
    }

    /// Takes back what [`Input::injections`] put among the image's files, where there are no mounts that end with the
    /// process; what was there before is there again. To be called once the process has ended, however that was.
    ///
    /// # Errors
    /// [`Error::File`] when something may still be there.
    pub fn take_back_injections(&self) -> Result<(), Error> {
        let root = match &self.root {
            _ if self.rung.has_mounts() => return Ok(()),
            RootFilesystem::Overlay { .. } => return Ok(()),
            RootFilesystem::Tree(tree) => tree.as_path(),
            RootFilesystem::Host => std::path::Path::new("/"),
        };
        // It is written before the process starts, also when something fails half way.
        let said = crate::fs::read_limited(&self.directory.join(super::STATUS), 64 << 20).ok();
        let said: Option<Status> = said.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        injections::take_back(root, &said.unwrap_or_default().injected)
    }

    /// A control group for the limits, if there are any and this machine lets us.
    fn control_group(&self, limits: &Limits, observer: &dyn Observer) -> Option<ControlGroup> {
        if limits.is_empty() {
            return None;
        }
        // The directory has the random name of a workspace.
        let parts = self
            .directory
            .iter()
            .rev()
            .take(2)
            .map(|part| part.to_string_lossy());
        let name = format!("overcoat-{}", parts.collect::<Vec<_>>().join("-"));
        match ControlGroup::create(limits, &name) {
            Ok(group) => Some(group),
            Err(reason) => {
                unlimited(&reason, observer);
                None
            }
        }
    }

    /// Runs a process with this process's own streams, as `docker run` does. `forward` hands over signals to pass on,
    /// by number.
    ///
    /// # Errors
    /// [`Error::Setup`] and its kin when it could not be started.
    pub fn run_attached(
        &self,
        process: &Process,
        input: Input,
        forward: &mpsc::Receiver<i32>,
        observer: &dyn Observer,
    ) -> Result<Exit, Error> {
        let spec = self.spec(process, input, OnSignal::Forward)?;
        let mut command = self.stage_from_file(&spec)?;
        let mut child = command.spawn().context("execute", &self.program)?;
        let status = loop {
            if let Some(status) = child.try_wait().context("wait for", &self.program)? {
                break status;
            }
            if let Ok(number) = forward.recv_timeout(Duration::from_millis(20)) {
                signal(&child, number);
            }
        };
        self.conclude(&spec, status, Vec::new(), observer)
    }

    fn spec(&self, process: &Process, input: Input, on_signal: OnSignal) -> Result<Spec, Error> {
        for name in ["upper", "work", "root", injections::DIRECTORY] {
            create_dir_all(&self.directory.join(name))?;
        }
        // The upper directory is what the process sees as `/`.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let upper = self.upper();
        std::fs::set_permissions(&upper, mode).context("set the mode of", &upper)?;
        Ok(Spec {
            rung: self.rung,
            root: self.root.clone(),
            directory: self.directory.clone(),
            process: process.clone(),
            uploads: input.uploads,
            binds: input.binds,
            secrets: input.secrets,
            injections: input.injections,
            dropped: input.dropped,
            network: input.network,
            on_signal,
            owners: self.owners.clone(),
        })
    }

    /// The stage of a process that needs its standard input: its specification is in a file.
    fn stage_from_file(&self, spec: &Spec) -> Result<Command, Error> {
        let path = self.directory.join("spec.json");
        let bytes = serialised(spec)?;
        // The environment may hold secrets.
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(
            options.write(true).create(true).truncate(true),
            0o600,
        );
        options
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
            .context("write", &path)?;
        let mut command = Command::new(&self.program);
        // The step's environment is in the spec; what this process has stays with it.
        command
            .args([STAGE_ARGUMENT, "stage"])
            .arg(path)
            .env_clear();
        Ok(command)
    }

    fn conclude(
        &self,
        spec: &Spec,
        status: ExitStatus,
        tail: Vec<String>,
        observer: &dyn Observer,
    ) -> Result<Exit, Error> {
        let said = crate::fs::read_limited(&spec.status(), 64 << 20).ok();
        let said: Option<Status> = said.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match said {
            Some(Status {
                error: Some(error), ..
            }) => Err(error.into()),
            Some(Status {
                scaffolding,
                caches,
                notes,
                ..
            }) => {
                for text in notes {
                    observer.observe(Event::Note { text });
                }
                Ok(Exit {
                    status: exit_status(status),
                    tail,
                    ran_out_of_memory: false,
                    scaffolding,
                    caches,
                    user: bookkeeping::read_user(&self.directory),
                    ledger: bookkeeping::read_ledger(&self.directory),
                })
            }
            // A signal that was passed on before pid 1 could take it has ended the stage.
            None if status.signal().is_some() => Ok(Exit {
                status: exit_status(status),
                tail,
                ran_out_of_memory: false,
                scaffolding: Vec::new(),
                caches: Vec::new(),
                user: (0, 0),
                ledger: Ledger::default(),
            }),
            None => Err(Error::Setup {
                step: "start the sandbox".to_owned(),
                reason: format!("its first process ended early ({status})"),
                hint: None,
            }),
        }
    }
}

fn unlimited(reason: &str, observer: &dyn Observer) {
    observer.observe(Event::Warning {
        text: format!("the step runs without the limits that were asked for: {reason}"),
        hint: Some(
            "limits need a delegated control group: start overcoat with `systemd-run --user --scope -p Delegate=yes`, \
             or as root"
                .to_owned(),
        ),
    });
}

fn serialised(spec: &Spec) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(spec).map_err(|error| Error::Setup {
        step: "describe the step".to_owned(),
        reason: error.to_string(),
        hint: Some("keep the store where the path is UTF-8: `--store DIR`".to_owned()),
    })
}

/// A shell's view of an exit status: the process's own, 128 + N when signal N ended it, 1 for what is neither.
pub fn exit_status(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn signal(child: &Child, number: i32) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, rustix::process::Signal::from_named_raw(number)) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn open_capture(capture: &Capture) -> Result<(File, u64), Error> {
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create(true).truncate(true), 0o600);
    let file = options
        .open(&capture.file)
        .context("create", &capture.file)?;
    Ok((file, capture.limit))
}

fn watch(
    child: &mut Child,
    name: &str,
    timeout: Option<Duration>,
    capture: Option<(File, u64)>,
    observer: &dyn Observer,
) -> Result<(ExitStatus, Vec<String>), Error> {
    let start = Instant::now();
    let (says, said) = mpsc::sync_channel::<Said>(1024);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut tail = std::collections::VecDeque::new();
    std::thread::scope(|scope| {
        // Dropped on the way out, so that a reader that waits for room never waits for ever.
        let said = said;
        if let Some(stream) = out {
            let says = says.clone();
            scope.spawn(move || match capture {
                Some((file, limit)) => output::keep(stream, file, limit, &says),
                None => output::read_lines(stream, Stream::Out, &says),
            });
        }
        if let Some(stream) = err {
            let says = says.clone();
            scope.spawn(move || output::read_lines(stream, Stream::Err, &says));
        }
        drop(says);
        // The stage kills pid 1, and with it everything, before it ends itself.
        let end = |child: &mut Child| {
            signal(child, rustix::process::Signal::TERM.as_raw());
            let _ = child.wait();
        };
        loop {
            let overdue = timeout.filter(|limit| start.elapsed() > *limit);
            if observer.is_cancelled() || overdue.is_some() {
                end(child);
                let tail = tail.into_iter().collect();
                return Err(match overdue {
                    Some(limit) => Error::TimedOut { limit, tail },
                    None => Error::Interrupted,
                });
            }
            match said.recv_timeout(POLL) {
                Ok(Said::Line(stream, line)) => {
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line.clone());
                    let step = name.to_owned();
                    observer.observe(Event::Output { step, stream, line });
                }
                Ok(Said::Full(error)) => {
                    end(child);
                    return Err(error);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // Both streams have ended, so everybody who could write has.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = child
                        .wait()
                        .context("wait for", std::path::Path::new("the step"))?;
                    return Ok((status, tail.into_iter().collect()));
                }
            }
        }
    })
}
