//! The stage of a step without a pid namespace: it sees to it that nothing of the step is left.
//!
//! A process whose parent dies is handed to the nearest ancestor that asked for orphans (`PR_SET_CHILD_SUBREAPER`).
//! This one asks, so all that the step starts stays below it and can be found and killed; also when overcoat itself is
//! killed, for then the kernel sends this process a signal.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::fs::{self as rfs, Mode, OFlags};
use rustix::process::{self as rprocess, Pid, Signal, WaitOptions};

use super::bookkeeping::Bookkeeper;
use super::namespaces::{SpecSource, setup};
use super::{Error, OnSignal, Spec, exit_status};

/// Between two walks through all processes, while those that were killed end.
const PAUSE: Duration = Duration::from_millis(1);
/// So many ids after that of a dead process its child is looked for.
const SUCCESSORS: i32 = 8;

/// Starts the step and waits for its end and the end of all that it started.
pub(super) fn run_init(spec: &Spec, source: &SpecSource) -> Result<u8, Error> {
    let proc = open_proc().map_err(|errno| setup("open /proc", &errno))?;
    rprocess::set_child_subreaper(Some(rprocess::getpid()))
        .map_err(|errno| setup("adopt orphans", &errno))?;
    let signals =
        super::init::forwarded_signals().map_err(|error| setup("listen for signals", &error))?;
    // Not SIGKILL, as elsewhere: there is something left to do.
    let parent = rprocess::getppid();
    rprocess::set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|errno| setup("watch the parent", &errno))?;
    if rprocess::getppid() != parent {
        return Err(Error::Interrupted);
    }
    let bookkeeper = Bookkeeper::begin(spec)?;
    let init = source
        .start(std::path::Path::new("/proc/self/exe"), "init", spec)
        .map_err(|error| setup("start the step", &error))?;
    let child = i32::try_from(init.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| setup("start the step", &"it has no process id"))?;
    let on_signal = spec.on_signal;
    let watched = open_proc().map_err(|errno| setup("open /proc", &errno))?;
    std::thread::spawn(move || {
        let mut signals = signals;
        for number in signals.forever() {
            let is_orphan = rprocess::getppid() != parent;
            match Signal::from_named_raw(number) {
                Some(signal) if on_signal == OnSignal::Forward && !is_orphan => {
                    let _ = rprocess::kill_process(child, signal);
                }
                _ => kill_descendants(&watched),
            }
        }
    });
    // Orphans are reaped as they come: a step may leave thousands.
    let (ended, end) = mpsc::channel();
    let is_over = Arc::new(AtomicBool::new(false));
    let (flag, watched) = (
        Arc::clone(&is_over),
        open_proc().map_err(|errno| setup("open /proc", &errno))?,
    );
    std::thread::spawn(move || reap(child, &ended, &watched, &flag));
    let mut status = None;
    if let Some(bookkeeper) = bookkeeper {
        bookkeeper.keep(&mut || {
            status = status.or_else(|| end.try_recv().ok());
            status.is_some()
        })?;
    }
    let status = match status {
        Some(status) => status,
        None => end
            .recv()
            .map_err(|error| setup("wait for the step", &error))?,
    };
    is_over.store(true, Ordering::Relaxed);
    while !descendants(&proc, rprocess::getpid()).is_empty() {
        kill_descendants(&proc);
        std::thread::sleep(PAUSE);
    }
    // Here, not only where overcoat waits: it may have been killed.
    let root = match &spec.root {
        super::RootFilesystem::Tree(tree) => tree.as_path(),
        _ => std::path::Path::new("/"),
    };
    for secret in &spec.secrets {
        let _ = super::uploads::remove_inside(root, std::path::Path::new(&secret.target));
    }
    Ok(status)
}

/// Waits for every child that this process has or gets; tells when the step itself has ended, and how. Once all is over,
/// whoever is handed over by a death is killed too.
fn reap(step: Pid, ended: &mpsc::Sender<u8>, proc: &OwnedFd, is_over: &AtomicBool) {
    loop {
        match rprocess::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == step => {
                let status = exit_status(ExitStatus::from_raw(status.as_raw()));
                if ended.send(status).is_err() {
                    return;
                }
            }
            Ok(Some((pid, _))) if is_over.load(Ordering::Relaxed) => kill_successors(proc, pid),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // No child: nobody is below this process any more.
            Err(_) => return,
        }
    }
}

fn open_proc() -> rustix::io::Result<OwnedFd> {
    rfs::open(
        "/proc",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// A process that forks and ends all the time is always gone when a walk through `/proc` is over. But its death hands its
/// child to this process, and the child's id is one of the next. A child of ours keeps its id until we have reaped it, so
/// nobody else can be hit.
fn kill_successors(proc: &OwnedFd, ended: Pid) {
    let own = rprocess::getpid().as_raw_nonzero().get();
    let first = ended.as_raw_nonzero().get();
    for pid in (first..first.saturating_add(SUCCESSORS)).skip(1) {
        if parent_of(proc, pid) == Some(own)
            && let Some(pid) = Pid::from_raw(pid)
        {
            let _ = rprocess::kill_process(pid, Signal::KILL);
        }
    }
}

fn kill_descendants(proc: &OwnedFd) {
    for pid in descendants(proc, rprocess::getpid()) {
        let _ = rprocess::kill_process(pid, Signal::KILL);
    }
}

/// All processes below `top`, from the parents that `/proc/PID/stat` names.
fn descendants(proc: &OwnedFd, top: Pid) -> Vec<Pid> {
    let Ok(directory) = rfs::Dir::read_from(proc) else {
        return Vec::new();
    };
    let mut parents = Vec::new();
    for entry in directory.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .ok()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(proc, pid) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![top.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents
            .iter()
            .filter(|(_, of)| *of == parent)
            .map(|(pid, _)| *pid);
        found.extend(children.collect::<Vec<_>>());
        next += 1;
    }
    found
        .iter()
        .skip(1)
        .filter_map(|pid| Pid::from_raw(*pid))
        .collect()
}

fn parent_of(proc: &OwnedFd, pid: i32) -> Option<i32> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rfs::openat(proc, format!("{pid}/stat"), flags, Mode::empty()).ok()?;
    let mut bytes = [0; 4096];
    let length = rustix::io::read(&file, &mut bytes).ok()?;
    // `PID (NAME) STATE PARENT …`, where the name may hold anything.
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    text.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}
