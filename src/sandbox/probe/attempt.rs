//! Trying a rung in processes of its own, which do what a step's stages do and say how far they came.
//!
//! ```text
//! Prober ─▶ try RUNG      user namespace, id maps, further namespaces; or chroot
//!             ├─ map-ids  (userns-helper) runs newuidmap and newgidmap, outside the namespace
//!             ├─ write-maps (userns-direct) writes the maps, outside the namespace
//!             └─ inside   pid 1: overlay, /proc, owners, network and cgroup namespaces
//! ```
//!
//! Each prints one line of JSON, an [`Attempt`]. A step that fails ends the attempt where the next ones need it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{self as rfs, Access, AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{self as rmount, MountFlags, MountPropagationFlags};
use rustix::process::{Gid, Uid};
use rustix::thread::{self as rthread, SecureComputingMode, UnshareFlags};
use serde::{Deserialize, Serialize};

use super::facts::WANTED_IDS;
use crate::sandbox::ladder::Rung;
use crate::sandbox::{STAGE_ARGUMENT, mounts, namespaces};

/// The running program, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The highest id that an image may use (65535 stands for none in 16 bits): if it can own a file, all can.
const HIGHEST_ID: u32 = WANTED_IDS - 2;

/// What is tried, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// Starting a process that tries.
    Start,
    /// `seccomp` accepts filters.
    Filter,
    /// `unshare(CLONE_NEWUSER)`.
    UserNamespace,
    /// Writing the id maps.
    Maps,
    /// Becoming user 0 of the user namespace.
    BecomeRoot,
    /// Mount, pid, ipc and uts namespaces.
    Namespaces,
    /// Making all mounts private: the first mount operation.
    PrivateMounts,
    /// Mounting overlay, and replacing a directory in it.
    Overlay,
    /// The store's file system lets programs be executed, through overlay where there is one.
    Execute,
    /// Giving a file to the highest id.
    Owners,
    /// Making `/dev/null` and opening it.
    Devices,
    /// Mounting the new pid namespace's `/proc`.
    FreshProc,
    /// Showing the outer `/proc` elsewhere.
    OuterProc,
    /// A network namespace.
    NetworkNamespace,
    /// A cgroup namespace.
    CgroupNamespace,
    /// Another root directory.
    Chroot,
    /// Becoming the highest user and group.
    ChangeUser,
}

/// How one step went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tried {
    pub(super) step: Step,
    /// Why it failed; `None` when it worked.
    pub(super) failure: Option<Failure>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// The kernel's error number; 0 when it was not the kernel that refused.
    pub(super) errno: i32,
    /// What a program said, or at which point of several it was; may be empty.
    pub(super) said: String,
}

/// How far an attempt came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) tried: Vec<Tried>,
}

impl Attempt {
    /// The failure of a step, if it was tried and failed.
    pub(super) fn failure(&self, step: Step) -> Option<&Failure> {
        self.tried
            .iter()
            .find(|tried| tried.step == step)?
            .failure
            .as_ref()
    }

    /// True when the step was tried and worked.
    pub(super) fn worked(&self, step: Step) -> bool {
        self.tried
            .iter()
            .any(|tried| tried.step == step && tried.failure.is_none())
    }

    /// An attempt that could not even be started.
    pub(super) fn not_started(said: String) -> Self {
        let mut attempt = Self::default();
        attempt.note(Step::Start, Some(Failure { errno: 0, said }));
        attempt
    }

    fn note(&mut self, step: Step, failure: Option<Failure>) -> bool {
        let worked = failure.is_none();
        self.tried.push(Tried { step, failure });
        worked
    }

    fn record(&mut self, step: Step, result: rustix::io::Result<()>) -> bool {
        let failure = |errno: Errno| Failure {
            errno: errno.raw_os_error(),
            said: String::new(),
        };
        self.note(step, result.err().map(failure))
    }

    fn read_from(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Tries a rung in a process of its own, with `scratch` (an empty directory where the store is) for files. The maps are
/// those for `newuidmap` or for the map files: `0 1000 1 1 100000 65536`; empty where there are none.
pub(super) fn run(program: &Path, rung: Rung, scratch: &Path, maps: [&str; 2]) -> Attempt {
    let mut command = Command::new(program);
    command
        .args([STAGE_ARGUMENT, "probe", "try", rung.name()])
        .arg(scratch)
        .args(maps);
    // Not null(): there may be no `/dev/null`, and this must still say something. The pipe is closed at once.
    command.stdin(Stdio::piped());
    match command.output() {
        Err(error) => Attempt::not_started(crate::fs::reason(&error)),
        Ok(output) => Attempt::read_from(&output.stdout).unwrap_or_else(|| {
            let said = crate::event::printable(String::from_utf8_lossy(&output.stderr).trim());
            Attempt::not_started(
                format!("it ended early ({}) {said}", output.status)
                    .trim()
                    .to_owned(),
            )
        }),
    }
}

/// A stage of the probe; the exit status.
pub(in crate::sandbox) fn stage(arguments: &[OsString]) -> u8 {
    namespaces::die_with_parent();
    let words: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let mut attempt = Attempt::default();
    match (words.as_slice(), arguments) {
        (["try", rung, _, uids, gids], [_, _, scratch, ..]) => {
            let Some(rung) = Rung::ALL.into_iter().find(|known| known.name() == *rung) else {
                return 64;
            };
            try_rung(&mut attempt, rung, Path::new(scratch), [uids, gids]);
        }
        (["inside", _], [_, scratch]) => try_inside(&mut attempt, Path::new(scratch)),
        (["write-maps", pid, uids, gids], _) => {
            write_maps_when_told(&mut attempt, pid, [uids, gids])
        }
        _ => return 64,
    }
    let written = serde_json::to_vec(&attempt).map(|line| io::stdout().write_all(&line));
    u8::from(!matches!(written, Ok(Ok(()))))
}

fn try_rung(attempt: &mut Attempt, rung: Rung, scratch: &Path, maps: [&str; 2]) {
    attempt.record(Step::Filter, filters_are_accepted());
    let has_privileges = match rung {
        Rung::UsernsHelper => enter_with_help(attempt, "map-ids", maps),
        Rung::UsernsDirect => enter_with_help(attempt, "write-maps", maps),
        Rung::SingleId => {
            attempt.record(
                Step::UserNamespace,
                namespaces::unshare(UnshareFlags::NEWUSER),
            ) && attempt.record(Step::Maps, write_maps("self", maps))
                && attempt.record(Step::BecomeRoot, become_user(0))
        }
        Rung::Root => true,
        Rung::Chroot => return try_chroot(attempt, scratch),
        Rung::InPlace => return,
    };
    let flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if has_privileges && attempt.record(Step::Namespaces, namespaces::unshare(flags)) {
        let inside = run_inside(scratch);
        attempt.tried.extend(inside.tried);
    }
}

/// Without a filter to install the kernel answers EFAULT; anything else says that it would take none.
fn filters_are_accepted() -> rustix::io::Result<()> {
    match rthread::set_secure_computing_mode(SecureComputingMode::Filter) {
        Ok(()) | Err(Errno::FAULT) => Ok(()),
        other => other,
    }
}

/// Makes a user namespace whose maps another process writes: one that is outside, for it was started before.
fn enter_with_help(attempt: &mut Attempt, helper: &str, maps: [&str; 2]) -> bool {
    if maps.iter().any(|map| map.is_empty()) {
        // Without a map, it is still worth knowing whether there could be a namespace.
        attempt.record(
            Step::UserNamespace,
            namespaces::unshare(UnshareFlags::NEWUSER),
        );
        return false;
    }
    let mut command = Command::new(THIS_PROGRAM);
    command.arg(STAGE_ARGUMENT);
    command.args(["probe"].iter().filter(|_| helper == "write-maps"));
    command
        .args([helper, &std::process::id().to_string()])
        .args(maps);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut mapper = match command.spawn() {
        Ok(mapper) => mapper,
        Err(error) => return attempt.record(Step::Start, Err(errno(&error))),
    };
    let go = mapper.stdin.take();
    let has_namespace = attempt.record(
        Step::UserNamespace,
        namespaces::unshare(UnshareFlags::NEWUSER),
    );
    if let (true, Some(mut go)) = (has_namespace, go) {
        let _ = go.write_all(b"go");
    }
    let output = mapper.wait_with_output();
    if !has_namespace {
        return false;
    }
    let failure = match output {
        Err(error) => Some(Failure {
            errno: errno(&error).raw_os_error(),
            said: String::new(),
        }),
        Ok(output) => match Attempt::read_from(&output.stdout) {
            Some(mapped) => mapped.failure(Step::Maps).cloned(),
            None if output.status.success() => None,
            None => Some(Failure {
                errno: 0,
                said: crate::event::printable(String::from_utf8_lossy(&output.stderr).trim()),
            }),
        },
    };
    attempt.note(Step::Maps, failure) && attempt.record(Step::BecomeRoot, become_user(0))
}

fn write_maps_when_told(attempt: &mut Attempt, pid: &str, maps: [&str; 2]) {
    let mut go = [0; 2];
    if io::stdin().read_exact(&mut go).is_ok() {
        attempt.record(Step::Maps, write_maps(pid, maps));
    }
}

/// Writes the maps of a process's user namespace.
///
/// # Spec
/// user_namespaces(7): a map is written once, by one `write`; a process without `CAP_SETGID` outside must give up
/// `setgroups` first.
fn write_maps(process: &str, [uids, gids]: [&str; 2]) -> rustix::io::Result<()> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{process}/{file}");
        let mut file = File::options()
            .write(true)
            .open(path)
            .map_err(|error| errno(&error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| errno(&error))
    };
    if process == "self" {
        write("setgroups", "deny")?;
    }
    write("uid_map", &lines(uids))?;
    write("gid_map", &lines(gids))
}

/// One range a line, as the kernel wants it: numbers in threes.
fn lines(map: &str) -> String {
    let words: Vec<&str> = map.split(' ').collect();
    let lines: Vec<String> = words.chunks(3).map(|range| range.join(" ")).collect();
    lines.join("\n")
}

fn become_user(id: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    rthread::set_thread_res_gid(gid, gid, gid)?;
    rthread::set_thread_res_uid(uid, uid, uid)
}

/// Starts pid 1 of the new pid namespace.
fn run_inside(scratch: &Path) -> Attempt {
    let mut command = Command::new(THIS_PROGRAM);
    command
        .args([STAGE_ARGUMENT, "probe", "inside"])
        .arg(scratch)
        .stdin(Stdio::piped());
    match command.output() {
        Err(error) => {
            let mut attempt = Attempt::default();
            attempt.record(Step::Start, Err(errno(&error)));
            attempt
        }
        Ok(output) => Attempt::read_from(&output.stdout).unwrap_or_else(|| {
            Attempt::not_started(format!("pid 1 ended early ({})", output.status))
        }),
    }
}

/// `inside SCRATCH`: all that pid 1 of a step does with mounts.
fn try_inside(attempt: &mut Attempt, scratch: &Path) {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    if !attempt.record(Step::PrivateMounts, rmount::mount_change("/", private)) {
        return;
    }
    let root = scratch.join("root");
    let (stacked, said) = stack(scratch, &root);
    let failure = |errno: Errno| Failure {
        errno: errno.raw_os_error(),
        said: said.to_owned(),
    };
    attempt.note(Step::Overlay, stacked.err().map(failure));
    try_file(attempt, &root);
    let place = scratch.join("proc");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let fresh = rfs::mkdir(&place, Mode::RWXU)
        .and_then(|()| rmount::mount("proc", &place, "proc", flags, None));
    if !attempt.record(Step::FreshProc, fresh) {
        attempt.record(
            Step::OuterProc,
            rmount::mount_bind_recursive("/proc", &place),
        );
    }
    attempt.record(
        Step::NetworkNamespace,
        namespaces::unshare(UnshareFlags::NEWNET),
    );
    attempt.record(
        Step::CgroupNamespace,
        namespaces::unshare(UnshareFlags::NEWCGROUP),
    );
}

/// Stacks two directories and replaces a directory of the lower one. On a file system without user xattrs that fails
/// although the mount works (T10 of `rust-crates.md`).
fn stack(scratch: &Path, root: &Path) -> (rustix::io::Result<()>, &'static str) {
    let make = |name: &str| rfs::mkdir(scratch.join(name), Mode::from_raw_mode(0o755));
    let prepare = || -> rustix::io::Result<()> {
        for name in [
            "lower",
            "lower/directory",
            "lower/directory/below",
            "upper",
            "work",
            "root",
        ] {
            make(name)?;
        }
        Ok(())
    };
    if let Err(errno) = prepare() {
        return (Err(errno), "mkdir");
    }
    let rootfs = mounts::Overlay {
        lowers: &[scratch.join("lower")],
        upper: scratch.join("upper"),
        work: scratch.join("work"),
        mountpoint: root.to_owned(),
    };
    if let Err(errno) = mounts::stack(&rootfs) {
        return (Err(errno), "mount");
    }
    let directory = root.join("directory");
    let replace = || -> rustix::io::Result<()> {
        rfs::rmdir(directory.join("below"))?;
        rfs::rmdir(&directory)?;
        rfs::mkdir(&directory, Mode::RWXU)
    };
    (replace(), "replace a directory")
}

/// Whether a file in `directory` may be executed, and may have any owner.
fn try_file(attempt: &mut Attempt, directory: &Path) {
    let path = directory.join("program");
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(&path);
    let executable = made
        .map_err(|error| errno(&error))
        .and_then(|_| rfs::accessat(CWD, &path, Access::EXEC_OK, AtFlags::EACCESS));
    attempt.record(Step::Execute, executable);
    let given = chown(&path, Some(HIGHEST_ID), Some(HIGHEST_ID));
    attempt.record(Step::Owners, given.map_err(|error| errno(&error)));
}

fn try_chroot(attempt: &mut Attempt, scratch: &Path) {
    try_file(attempt, scratch);
    let null = scratch.join("null");
    let device = rfs::mknodat(
        CWD,
        &null,
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        rfs::makedev(1, 3),
    )
    .and_then(|()| {
        File::options()
            .write(true)
            .open(&null)
            .map(drop)
            .map_err(|error| errno(&error))
    });
    attempt.record(Step::Devices, device);
    let entered = rustix::process::chroot(scratch).and_then(|()| rustix::process::chdir("/"));
    attempt.record(Step::Chroot, entered);
    let changed = rthread::set_thread_groups(&[]).and_then(|()| become_user(HIGHEST_ID));
    attempt.record(Step::ChangeUser, changed);
}

fn errno(error: &io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_written_a_range_a_line() {
        assert_eq!(lines("0 1000 1 1 100000 65536"), "0 1000 1\n1 100000 65536");
        assert_eq!(lines("0 0 4294967295"), "0 0 4294967295");
    }

    #[test]
    fn an_attempt_survives_its_way_through_json() {
        let mut attempt = Attempt::default();
        assert!(attempt.record(Step::Filter, Ok(())));
        assert!(!attempt.record(Step::UserNamespace, Err(Errno::PERM)));
        let text = serde_json::to_vec(&attempt).unwrap();
        assert!(
            String::from_utf8_lossy(&text)
                .contains(r#""step":"user-namespace","failure":{"errno":1"#)
        );
        let read = Attempt::read_from(&text).unwrap();
        assert_eq!(read, attempt);
        assert!(
            read.worked(Step::Filter)
                && !read.worked(Step::UserNamespace)
                && !read.worked(Step::Maps)
        );
        assert_eq!(read.failure(Step::Maps), None);
        assert_eq!(Attempt::read_from(b"killed"), None);
    }
}
