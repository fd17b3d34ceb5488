//! Pid 1 of a step: builds the walls, gives up its privileges, starts the process, reaps what it leaves.
//!
//! The order matters. Mounts need privileges and the host's paths, so they come first; uploads come before the
//! privileges go, because parents may belong to root; the bounding set must be cut while we are still root (T16);
//! the user changes last. Pid 1 then has no more rights than the process, and its end is the end of both.
//!
//! On the rungs without namespaces this is an ordinary process, and the stage above it (`keeper`) does the reaping.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use rustix::fs::{self as rfs, Mode, OFlags};
use rustix::process::{self as rprocess, Pid, Signal, WaitOptions};
use signal_hook::iterator::Signals;

use super::bookkeeping::{self, Caller};
use super::identity::{self, Identity};
use super::ladder::Rung;
use super::mounts::{self, Root, refused};
use super::namespaces::SpecSource;
use super::uploads::{self, Owner};
use super::{
    Capability, Spec, Status, StatusError, command, confine, exit_status, injections, privileges,
    seccomp,
};

/// The exit status of pid 1 when the process was never started; the status file says why.
pub(super) const NOT_STARTED: u8 = 125;

/// Room for an error in the status file.
const STATUS_BYTES: usize = 16 << 10;

/// `SPEC`: see the module's introduction. The exit status is that of the process, 128 + N if signal N ended it.
pub(super) fn main(arguments: &[std::ffi::OsString]) -> u8 {
    let [source] = arguments else {
        return NOT_STARTED;
    };
    super::namespaces::die_with_parent();
    // First of all: the kernel drops signals for a pid 1 that has no handler; those that come from now on are kept.
    let Ok(signals) = forwarded_signals() else {
        return NOT_STARTED;
    };
    let Ok(spec) = SpecSource::from_argument(source).read() else {
        return NOT_STARTED;
    };
    // Opened now: after the root has changed, its path means something else.
    let Ok(mut status_file) = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(spec.status())
    else {
        return NOT_STARTED;
    };
    // The room is taken now: the disk may be full when there is something to say. JSON may end in white space.
    if status_file.write_all(&[b' '; STATUS_BYTES]).is_err() || status_file.rewind().is_err() {
        return NOT_STARTED;
    }
    let mut status = Status::default();
    let started = prepare(&spec, &mut status).and_then(|()| command::start(&spec.process));
    let child = started.map_err(|error| status.error = Some(error));
    let written = serde_json::to_writer(&mut status_file, &status);
    drop(status_file);
    match (child, written) {
        (Ok(child), Ok(())) => reap(child, signals),
        _ => NOT_STARTED,
    }
}

fn prepare(spec: &Spec, status: &mut Status) -> Result<(), StatusError> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let caller = Caller::new(spec)?;
    let identity = match spec.rung {
        Rung::Chroot => enter_chroot(spec, status)?,
        Rung::InPlace => settle_in_place(spec, status)?,
        _ => enter_namespaces(spec, status)?,
    };
    let directory = Path::new(&spec.process.working_directory);
    rustix::process::chdir(directory)
        .map_err(|errno| refused(format!("enter `{}`", directory.display()), errno))?;
    // Above `drop`: its own user namespace makes the image's user out of root.
    if spec.rung == Rung::SingleId {
        privileges::be_called(&identity)?;
    }
    privileges::drop(&identity, spec.rung, Capability::set(&spec.dropped))?;
    // Changing the user clears it.
    super::namespaces::die_with_parent();
    // Nobody inside may look at pid 1 through /proc, nor at the program that it is.
    rprocess::set_dumpable_behavior(rprocess::DumpableBehavior::NotDumpable)
        .map_err(|errno| refused("hide pid 1", errno))?;
    // The first filter sends calls to the stage, the second refuses what no step needs.
    if let Some(caller) = caller {
        caller.hand_over()?;
    }
    let sees = if spec.rung.has_mounts() {
        seccomp::Sees::Itself
    } else {
        seccomp::Sees::Everybody
    };
    seccomp::confine(sees)
}

/// Mounts, uploads, and the new root.
fn enter_namespaces(spec: &Spec, status: &mut Status) -> Result<Identity, StatusError> {
    let mountpoint = mounts::mount_rootfs(spec)?;
    let mut root = Root::open(&mountpoint)?;
    let identity = furnish(&root, spec)?;
    if !root.mount_proc()? {
        status.notes.push(
            "ISO11: the outer /proc is shown, for this container masks parts of it: the step can see which processes \
             run beside it"
                .to_owned(),
        );
    }
    root.mount_dev()?;
    let owner = Owner::new(&identity, spec.rung);
    root.mount_secrets(&spec.secrets, |file| owner.give_open(file))?;
    for wanted in &spec.binds {
        root.bind(&uploads::for_user(wanted, &identity, owner)?)?;
    }
    injections::show(&mut root, spec, owner)?;
    status.scaffolding = std::mem::take(&mut root.stubs);
    mounts::pivot(&root)?;
    // podman's list of system calls forbids it; then the container's name is seen, which keeps no secret.
    let _ = rustix::system::sethostname(b"overcoat");
    Ok(identity)
}

/// An ordinary user's namespace has as many ids as were given to that user.
fn check_mapped(identity: &Identity, rung: Rung) -> Result<(), StatusError> {
    if rung != Rung::UsernsHelper {
        return Ok(());
    }
    for (kind, file, id) in [
        ("user", "uid_map", identity.uid),
        ("group", "gid_map", identity.gid),
    ] {
        let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        if !identity::IdMap::parse(&text).has(id) {
            return Err(StatusError::Setup {
                step: format!("become the {kind} {id}"),
                reason: "this user namespace has no such id".to_owned(),
                hint: Some(format!(
                    "use `--isolation single-id`, or a range of more than {id} ids in /etc/subuid and /etc/subgid"
                )),
            });
        }
    }
    Ok(())
}

/// What every root file system gets before the walls are closed: the source and the working directory.
fn furnish(root: &Root, spec: &Spec) -> Result<Identity, StatusError> {
    let identity = find_user(root, &spec.process.user)?;
    check_mapped(&identity, spec.rung)?;
    bookkeeping::introduce(spec, &identity)?;
    let owner = Owner::new(&identity, spec.rung);
    for upload in &spec.uploads {
        uploads::place(root, upload, owner)?;
    }
    let directory = Path::new(&spec.process.working_directory);
    root.directory_at(directory)
        .map_err(|errno| refused(format!("enter `{}`", directory.display()), errno))?;
    Ok(identity)
}

/// Changes the root directory and closes the rest with Landlock. What would be mounted elsewhere is copied.
fn enter_chroot(spec: &Spec, status: &mut Status) -> Result<Identity, StatusError> {
    let super::RootFilesystem::Tree(tree) = &spec.root else {
        return Err(refused(
            "change the root directory",
            rustix::io::Errno::INVAL,
        ));
    };
    let root = Root::open(tree)?;
    let identity = furnish(&root, spec)?;
    let owner = Owner::new(&identity, spec.rung);
    uploads::copy_binds(&root, &spec.binds, owner, status)?;
    uploads::copy_secrets(&root, &spec.secrets, owner, &mut status.scaffolding)?;
    injections::copy_all(&root, spec, owner, status)?;
    if !uploads::make_devices(&root)? {
        status.notes.push(
            "this container may not make device nodes: /dev/null and its kin are ordinary files for the step".to_owned(),
        );
    }
    status.notes.push(
        "ISO12: the step runs without /proc: process substitution of bash and Python's multiprocessing may fail in it"
            .to_owned(),
    );
    let top: OwnedFd = root
        .directory_at(Path::new("/"))
        .map_err(|errno| refused("open the root", errno))?;
    rustix::process::fchdir(&top)
        .and_then(|()| rustix::process::chroot("."))
        .map_err(|errno| refused("change the root directory", errno))?;
    wall_off(&top, status)?;
    Ok(identity)
}

/// The root directory stays; so do its mounts.
fn settle_in_place(spec: &Spec, status: &mut Status) -> Result<Identity, StatusError> {
    mounts::protect_proc_in_place()?;
    let root = Root::open(Path::new("/"))?;
    let identity = furnish(&root, spec)?;
    let owner = Owner::new(&identity, spec.rung);
    uploads::copy_binds(&root, &spec.binds, owner, status)?;
    uploads::copy_secrets(&root, &spec.secrets, owner, &mut status.scaffolding)?;
    injections::copy_all(&root, spec, owner, status)?;
    let top: OwnedFd = root
        .directory_at(Path::new("/"))
        .map_err(|errno| refused("open the root", errno))?;
    wall_off(&top, status)?;
    Ok(identity)
}

/// Landlock needs `no_new_privs` unless one is root in the user namespace.
fn wall_off(top: &OwnedFd, status: &mut Status) -> Result<(), StatusError> {
    rustix::thread::set_no_new_privs(true).map_err(|errno| refused("set no_new_privs", errno))?;
    match confine::below(top.as_fd()) {
        Ok(true) => {}
        Ok(false) => status.notes.push(
            "this kernel's Landlock is old or off: the step could reach files of this container if it got out of its \
             root directory, and signal its processes"
                .to_owned(),
        ),
        Err(reason) => status.notes.push(format!("the step is not confined by Landlock: {reason}")),
    }
    Ok(())
}

fn find_user(root: &Root, user: &str) -> Result<Identity, StatusError> {
    let text = |name: &str| -> String {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = rfs::ResolveFlags::IN_ROOT | rfs::ResolveFlags::NO_MAGICLINKS;
        let file =
            rfs::openat2(root.directory(), name, flags, Mode::empty(), resolve).map(File::from);
        let bytes = file.map(|file| {
            let mut bytes = Vec::new();
            let _ = io::Read::read_to_end(&mut io::Read::take(file, 16 << 20), &mut bytes);
            bytes
        });
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    identity::resolve(user, &text("etc/passwd"), &text("etc/group"))
}

/// The signals that are passed on to the process.
pub(super) fn forwarded_signals() -> io::Result<Signals> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH])
}

/// Waits for the process, reaping orphans meanwhile; pid 1's end is the end of whatever is left.
fn reap(child: Pid, mut signals: Signals) -> u8 {
    std::thread::spawn(move || {
        for number in signals.forever() {
            if let Some(signal) = Signal::from_named_raw(number) {
                let _ = rprocess::kill_process(child, signal);
            }
        }
    });
    loop {
        match rprocess::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                return exit_status(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return NOT_STARTED,
        }
    }
}
