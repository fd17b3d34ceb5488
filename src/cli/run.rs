//! `overcoat run`, and entering a user namespace for commands that need one.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args as ClapArgs;

use super::args::{self, Shared};
use super::confine::{self, HandedFiles, Needs, Way};
use super::diagnostic::Diagnostic;
use super::exit::Code;
use super::{env, find, open_store, signals};
use crate::build::assemble::Place;
use crate::build::inputs::Volume;
use crate::build::rootfs::{RootFs, Wanted};
use crate::build::{Host, RootfsKind};
use crate::event::Event;
use crate::image::Image;
use crate::sandbox::publish::{self, Publication};
use crate::sandbox::{
    Bind, Input, Network, Process, UserNamespace, enter_user_namespace, exit_status,
};
use crate::store::BlobStore;

/// Run an image's command, or another, in the sandbox
///
/// The host's network is used, signals are passed on, and the exit status is the command's. What the command writes
/// is gone when it ends, except below a `--volume`.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    /// An image of the store, as `overcoat images` lists it
    image: String,

    #[command(flatten)]
    confine: confine::Flags,

    /// Set a variable; may be repeated
    #[arg(short, long = "env", value_name = "K=V", value_parser = args::variable)]
    environment: Vec<(String, String)>,

    /// Pass connections to this port of the host on to another, on which the application listens; may be repeated
    ///
    /// The application has the host's network, so its own port is open there, too. `PORT` alone, and two that are the same,
    /// are only checked to be free.
    #[arg(short, long = "publish", value_name = "[IP:]HOST:CONTAINER")]
    publications: Vec<Publication>,

    /// Show a directory or file of this machine to the command; may be repeated
    #[arg(long = "volume", value_name = "HOST:PATH[:ro]")]
    volumes: Vec<Volume>,

    /// What to run instead of the image's own command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// An application's image is never the container that overcoat runs in.
const NEEDS: Needs = Needs {
    network: Network::Host,
    may_be_in_place: false,
};

/// Runs the command; the exit status.
pub(super) fn run(args: &Args, shared: &Shared) -> Result<u8, Diagnostic> {
    let host = env::host(shared)?;
    let store = open_store(shared)?;
    let image = store.image(&find(&store, &args.image)?.manifest)?;
    let attached = Attached {
        image: &image,
        name: &args.image,
        process: process(args, &image)?,
        flags: &args.confine,
        binds: binds(&args.volumes)?,
        publications: &args.publications,
        is_quiet: !shared.verbose,
    };
    attached.run(&host, store, shared)
}

/// A process of an image that has this program's input and output.
pub(super) struct Attached<'a> {
    /// The image.
    pub(super) image: &'a Image,
    /// What the person called it.
    pub(super) name: &'a str,
    /// What is run.
    pub(super) process: Process,
    /// How it is kept apart.
    pub(super) flags: &'a confine::Flags,
    /// What of this machine it sees.
    pub(super) binds: Vec<Bind>,
    /// Ports that lead to its own.
    pub(super) publications: &'a [Publication],
    /// Whether nothing but warnings is shown beside what it prints.
    pub(super) is_quiet: bool,
}

impl Attached<'_> {
    /// Runs it, here or in a user namespace, in which the same command is started again; its exit status.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn run(
        mut self,
        host: &Host,
        store: BlobStore,
        shared: &Shared,
    ) -> Result<u8, Diagnostic> {
        // Both listen while layers are unpacked, so that no signal falls between the two.
        let forward = signals::forward()?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let interruption = signals::interrupt(&interrupted)?;
        let observer = super::observer_of(shared, self.is_quiet, Arc::clone(&interrupted));
        let observer = observer.as_ref();
        let (flags, program) = (self.flags, &host.program);
        let confinement =
            match confine::decide(flags, shared, NEEDS, program, store.root(), observer)? {
                Way::Here(confinement) | Way::LastResort(confinement, _) => confinement,
                Way::Inside(namespace, decided) => {
                    interruption.close();
                    drop((forward, store));
                    return confine::go_inside(
                        program,
                        &namespace,
                        &decided,
                        None,
                        HandedFiles::default(),
                    );
                }
            };
        if confinement.rootfs == RootfsKind::Host {
            return Err(Diagnostic::new(
                Code::Usage,
                "`--isolation in-place` is for builds: this container is the builder image, not the application's",
            )
            .hint("leave it out; `overcoat doctor` tells what this machine allows"));
        }
        if !self.binds.is_empty() && !confinement.rung.has_mounts() {
            let rung = confinement.rung.isolation();
            let what = format!("`--volume` needs mounts, which `--isolation {rung}` has not");
            return Err(Diagnostic::new(Code::Sandbox, what)
                .hint("leave it out; `overcoat doctor` tells what this machine allows"));
        }
        let published = publish::publish(self.publications)?;
        if published.count() > 0 {
            let ports = self.publications.iter().map(ToString::to_string);
            let ports: Vec<String> = ports.collect();
            let text = format!("ports that lead to the application's: {}", ports.join(", "));
            observer.observe(Event::Note { text });
        }
        let wanted = Wanted {
            image: self.image,
            name: self.name,
            confinement,
            threads: host.threads,
            ours: &[],
        };
        let directory = store.workspace()?.join("run");
        let root = RootFs::prepare(&wanted, &store, directory, observer)?;
        // From here on signals are for the process.
        interruption.close();
        if interrupted.load(Ordering::Relaxed) {
            return Err(crate::build::Error::Interrupted.into());
        }
        let sandbox = root.sandbox(program)?;
        // The application sees the host's name resolution; certificates and proxies are for builds.
        let loan = crate::build::assemble::Loan {
            resolution: host.loan.resolution.clone(),
            ..Default::default()
        };
        let mut binds = loan.lend(&sandbox.directory, Place::Inside, &mut self.process)?;
        binds.append(&mut self.binds);
        let input = Input {
            binds,
            ..Input::default()
        };
        let exit = sandbox.run_attached(&self.process, input, &forward, observer)?;
        root.finish(observer)?;
        Ok(exit.status)
    }
}

/// The process of an image that runs `command`, else its own, with the image's variables and `more`.
pub(super) fn process_of(image: &Image, command: &[String], more: &[(String, String)]) -> Process {
    let config = &image.config.parsed;
    let split = |line: String| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let mut environment: Vec<_> = config.environment().into_iter().filter_map(split).collect();
    environment.extend(more.iter().cloned());
    let command = match command.is_empty() {
        true => config.command(),
        false => command.to_vec(),
    };
    Process {
        arguments: [config.entrypoint(), command].concat(),
        environment,
        working_directory: config.working_directory().to_owned(),
        user: config.user().to_owned(),
    }
}

/// What is typed is stronger than what another command of ours handed down.
fn process(args: &Args, image: &Image) -> Result<Process, Diagnostic> {
    let mut environment = env::project::handed_environment()?;
    environment.extend(args.environment.iter().cloned());
    Ok(process_of(image, &args.command, &environment))
}

/// The volumes as they are shown.
///
/// # Errors
/// When one is not there.
fn binds(volumes: &[Volume]) -> Result<Vec<Bind>, Diagnostic> {
    let bind = |volume: &Volume| {
        let source = std::fs::canonicalize(&volume.source).map_err(|error| {
            let error = crate::fs::Error::new("use the volume", volume.source.clone(), error);
            Diagnostic::new(Code::Usage, error).hint(
                "`--volume HOST:PATH[:ro]` names a directory or file of this machine; volumes with names are engines' own",
            )
        })?;
        Ok(Bind {
            source,
            target: volume.target.clone(),
            access: volume.access,
            is_per_user: false,
        })
    };
    volumes.iter().map(bind).collect()
}

impl From<publish::Taken> for Diagnostic {
    fn from(error: publish::Taken) -> Self {
        Self::new(Code::Sandbox, error).hint(
            "take another port, `--publish HOST:CONTAINER`, or end what listens there (`ss -ltnp`); those below 1024 are root's",
        )
    }
}

/// Runs this program once more inside a user namespace, in which the calling user is root; its exit status.
///
/// # Errors
/// When no namespace can be had.
pub(super) fn again_inside(
    program: &Path,
    namespace: &UserNamespace,
    arguments: &[OsString],
) -> Result<u8, Diagnostic> {
    let forward = signals::forward()?;
    attend(
        enter_user_namespace(program, namespace, arguments)?,
        &forward,
    )
}

/// Waits for a process, which gets every signal that comes here; its exit status.
///
/// # Errors
/// When the system refuses to wait.
pub(super) fn attend(
    mut child: std::process::Child,
    forward: &std::sync::mpsc::Receiver<i32>,
) -> Result<u8, Diagnostic> {
    loop {
        let waited = child.try_wait();
        let waited = waited
            .map_err(|error| Diagnostic::new(Code::Internal, format!("cannot wait: {error}")))?;
        if let Some(status) = waited {
            return Ok(exit_status(status));
        }
        if let Ok(number) = forward.recv_timeout(std::time::Duration::from_millis(10)) {
            let pid = i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            let signal = rustix::process::Signal::from_named_raw(number);
            if let (Some(pid), Some(signal)) = (pid, signal) {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    }
}
