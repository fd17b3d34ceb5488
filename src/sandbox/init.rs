//! Pid 1 of a step: builds the walls, gives up its privileges, starts the process, reaps what it leaves.
//!
//! The order matters. Mounts need privileges and the host's paths, so they come first; uploads come before the
//! privileges go, because parents may belong to root; the bounding set must be cut while we are still root (T16);
//! the user changes last. Pid 1 then has no more rights than the process, and its end is the end of both.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{self as rfs, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::process::{self as rprocess, Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::thread::{self as rthread, CapabilitySet, CapabilitySets};
use signal_hook::iterator::Signals;

use super::identity::{self, Identity};
use super::mounts::{self, Root, refused};
use super::{Process, Spec, Status, StatusError, Upload, UploadContent};

/// The exit status of pid 1 when the process was never started; the status file says why.
pub(super) const NOT_STARTED: u8 = 125;

/// Room for an error in the status file.
const STATUS_BYTES: usize = 16 << 10;

/// Docker's default set: what a process that is root inside may do.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// `SPEC`: see the module's introduction. The exit status is that of the process, 128 + N if signal N ended it.
pub(super) fn main(arguments: &[std::ffi::OsString]) -> u8 {
    let [path] = arguments else {
        return NOT_STARTED;
    };
    super::namespaces::die_with_parent();
    // First of all: the kernel drops signals for a pid 1 that has no handler; those that come from now on are kept.
    let Ok(signals) = forwarded_signals() else {
        return NOT_STARTED;
    };
    let Ok(spec) = super::namespaces::read_spec(Path::new(path)) else {
        return NOT_STARTED;
    };
    // Opened now: after the root has changed, its path means something else.
    let Ok(mut status_file) = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&spec.status)
    else {
        return NOT_STARTED;
    };
    // The room is taken now: the disk may be full when there is something to say. JSON may end in white space.
    if status_file.write_all(&[b' '; STATUS_BYTES]).is_err() || status_file.rewind().is_err() {
        return NOT_STARTED;
    }
    let mut status = Status::default();
    let started = prepare(&spec, &mut status).and_then(|()| start(&spec.process));
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
    mounts::mount_rootfs(&spec.rootfs)?;
    let mut root = Root::open(&spec.rootfs.mountpoint)?;
    let identity = find_user(&root, &spec.process.user)?;
    for upload in &spec.uploads {
        place(&root, upload, &identity)?;
    }
    let directory = Path::new(&spec.process.working_directory);
    root.directory_at(directory)
        .map_err(|errno| refused(format!("enter `{}`", directory.display()), errno))?;
    root.mount_proc()?;
    root.mount_dev()?;
    for file in &spec.files {
        root.bind_file(&file.source, &file.target)?;
    }
    status.stubs = std::mem::take(&mut root.stubs);
    mounts::pivot(&root)?;
    rustix::system::sethostname(b"overcoat")
        .map_err(|errno| refused("set the host name", errno))?;
    rustix::process::chdir(directory)
        .map_err(|errno| refused(format!("enter `{}`", directory.display()), errno))?;
    drop_privileges(&identity).map_err(|errno| refused("drop privileges", errno))
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

/// Puts one upload into the root file system. Names are resolved inside it; what is there is replaced, and a link that
/// has the upload's own name is replaced too, not followed.
fn place(root: &Root, upload: &Upload, identity: &Identity) -> Result<(), StatusError> {
    use std::os::unix::ffi::OsStrExt;
    let target = Path::new(std::ffi::OsStr::from_bytes(&upload.target));
    let failed = |errno| refused(format!("put `{}` into the image", target.display()), errno);
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(failed(rustix::io::Errno::INVAL));
    };
    let parent = root.directory_at(parent).map_err(failed)?;
    let owner = (
        Some(Uid::from_raw(identity.uid)),
        Some(Gid::from_raw(identity.gid)),
    );
    let time = Timespec {
        tv_sec: upload.mtime,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    if !matches!(upload.content, UploadContent::Directory) {
        // A builder that is itself a built application may still hold an older one.
        match rfs::unlinkat(&parent, name, rfs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    match &upload.content {
        UploadContent::Directory => {
            match rfs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            rfs::chownat(
                &parent,
                name,
                owner.0,
                owner.1,
                rfs::AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(failed)
        }
        UploadContent::Symlink { target } => {
            rfs::symlinkat(&target[..], &parent, name).map_err(failed)?;
            rfs::chownat(
                &parent,
                name,
                owner.0,
                owner.1,
                rfs::AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(failed)?;
            rfs::utimensat(&parent, name, &times, rfs::AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
        }
        UploadContent::File { source, mode } => {
            let source = Path::new(std::ffi::OsStr::from_bytes(source));
            copy_file(
                source,
                parent.as_fd(),
                Path::new(name),
                *mode,
                owner,
                &times,
            )
            .map_err(|error| StatusError::Setup {
                step: format!("copy `{}` into the image", source.display()),
                reason: crate::fs::reason(&error),
                hint: None,
            })
        }
    }
}

fn copy_file(
    source: &Path,
    parent: BorrowedFd<'_>,
    name: &Path,
    mode: u32,
    owner: (Option<Uid>, Option<Gid>),
    times: &Timestamps,
) -> io::Result<()> {
    let mut from = File::open(source)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut to = File::from(rfs::openat(
        parent,
        name,
        flags,
        Mode::from_raw_mode(0o600),
    )?);
    io::copy(&mut from, &mut to)?;
    rfs::fchown(&to, owner.0, owner.1)?;
    rfs::fchmod(&to, Mode::from_raw_mode(mode))?;
    Ok(rfs::futimens(&to, times)?)
}

fn drop_privileges(identity: &Identity) -> rustix::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rprocess::setrlimit(Resource::Core, none)?;
    rthread::set_no_new_privs(true)?;
    for bit in 0..64 {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !CAPABILITIES.contains(capability) {
            match rthread::remove_capability_from_bounding_set(capability) {
                // The kernel knows no more of them.
                Err(rustix::io::Errno::INVAL) => break,
                other => other?,
            }
        }
    }
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rthread::set_thread_groups(&groups)?;
    rthread::set_thread_res_gid(gid, gid, gid)?;
    rthread::set_thread_res_uid(uid, uid, uid)?;
    if identity.uid == 0 {
        let sets = CapabilitySets {
            effective: CAPABILITIES,
            permitted: CAPABILITIES,
            inheritable: CapabilitySet::empty(),
        };
        rthread::set_capabilities(None, sets)?;
    }
    // Changing the user clears it.
    super::namespaces::die_with_parent();
    // Nobody inside may look at pid 1 through /proc, nor at the program that it is.
    rprocess::set_dumpable_behavior(rprocess::DumpableBehavior::NotDumpable)?;
    Ok(())
}

fn start(process: &Process) -> Result<Pid, StatusError> {
    let refuse = |command: &str, reason: &str| StatusError::Command {
        command: command.to_owned(),
        reason: reason.to_owned(),
    };
    let Some((command, arguments)) = process.arguments.split_first() else {
        return Err(refuse("", "the image names no command, and none was given"));
    };
    let search = process
        .environment
        .iter()
        .rev()
        .find(|(name, _)| name == "PATH");
    let search = search.map_or(
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        |(_, path)| path,
    );
    let program = find_program(command, search).map_err(|reason| refuse(command, &reason))?;
    let mut command_line = Command::new(&program);
    command_line
        .arg0(command)
        .args(arguments)
        .env_clear()
        .envs(process.environment.iter().cloned());
    if !process.environment.iter().any(|(name, _)| name == "HOME") {
        command_line.env("HOME", home(process));
    }
    let child = command_line.spawn().map_err(|error| {
        let reason = match error.kind() {
            // The file is there (it was found), so what is missing is what its first line or its ELF header names.
            io::ErrorKind::NotFound => format!(
                "its interpreter is not in the image ({})",
                interpreter(&program)
            ),
            _ => crate::fs::reason(&error),
        };
        refuse(command, &reason)
    })?;
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| refuse(command, "it has no process id"))
}

fn home(process: &Process) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let identity = identity::resolve(&process.user, &read("/etc/passwd"), &read("/etc/group"));
    identity
        .ok()
        .and_then(|identity| identity.home)
        .unwrap_or_else(|| "/".to_owned())
}

fn find_program(command: &str, search: &str) -> Result<PathBuf, String> {
    let executable =
        |path: &Path| rfs::access(path, rfs::Access::EXEC_OK).is_ok() && path.is_file();
    if command.contains('/') {
        let path = Path::new(command);
        return match path.metadata() {
            Err(error) => Err(crate::fs::reason(&error)),
            Ok(_) if executable(path) => Ok(path.to_owned()),
            Ok(_) => Err("it is not an executable file; `chmod +x` it".to_owned()),
        };
    }
    let candidates = search
        .split(':')
        .map(|directory| Path::new(directory).join(command));
    candidates
        .into_iter()
        .find(|path| executable(path))
        .ok_or_else(|| format!("it is nowhere in PATH ({search})"))
}

fn interpreter(program: &Path) -> String {
    let mut head = Vec::new();
    if let Ok(file) = File::open(program) {
        let _ = io::Read::read_to_end(&mut io::Read::take(file, 200), &mut head);
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match line.strip_prefix(b"#!") {
        Some(name) => format!(
            "`{}`",
            crate::event::printable(String::from_utf8_lossy(name).trim())
        ),
        None => "the loader that its ELF header names".to_owned(),
    }
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
                let code = status
                    .exit_status()
                    .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                return code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return NOT_STARTED,
        }
    }
}
