//! The stages before pid 1: the user namespace of an ordinary user, and the namespaces of a step.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{self as rprocess, Pid, Signal};
use rustix::thread as rthread;
use rustix::thread::UnshareFlags;

use super::bookkeeping::Bookkeeper;
use super::identity::{IdMap, SubordinateIds};
use super::{Error, Network, OnSignal, Rung, STAGE_ARGUMENT, Spec};

/// The exit status of the user namespace's stage when there is no namespace: that of the whole program then
/// (docs/exit-codes.md).
const NO_NAMESPACE: u8 = 40;

/// The ids that an image may use: what nearly every image stays below.
const WANTED_IDS: u32 = 65_536;

/// The running program, also when its file was replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The exit status of a stage that failed before anything ran; the reason is on its stderr.
const STAGE_FAILED: u8 = 125;

/// The user namespace that a command can have for itself: its user as root and, where there are subordinate ids, these
/// as everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserNamespace {
    uid: u32,
    gid: u32,
    /// Of users and of groups.
    ranges: Option<(SubordinateIds, SubordinateIds)>,
}

impl UserNamespace {
    /// The one that needs nobody's help: the calling user as root, and nobody else.
    pub fn of_one_id() -> Self {
        Self {
            uid: rprocess::geteuid().as_raw(),
            gid: rprocess::getegid().as_raw(),
            ranges: None,
        }
    }

    /// Finds the calling user's ranges in `/etc/subuid` and `/etc/subgid`.
    ///
    /// # Errors
    /// [`Error::UserNamespace`] with the command that grants a range, when there is none or a small one.
    pub fn for_this_user() -> Result<Self, Error> {
        let (uid, gid) = (rprocess::getuid().as_raw(), rprocess::getgid().as_raw());
        let name = user_name(uid);
        let shown = name.clone().unwrap_or_else(|| uid.to_string());
        let range = |file: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let range = SubordinateIds::find(&text, name.as_deref(), uid);
            range.filter(|range| range.count >= WANTED_IDS - 1).ok_or_else(|| Error::UserNamespace {
                reason: format!("`{shown}` has fewer than {} subordinate ids in `{file}`", WANTED_IDS - 1),
                hint: format!(
                    "ask an administrator to run `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 \
                     {shown}` with ids that nobody else has, or build as root"
                ),
            })
        };
        Ok(Self {
            uid,
            gid,
            ranges: Some((range("/etc/subuid")?, range("/etc/subgid")?)),
        })
    }
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, listed) = (fields.next()?, fields.nth(1)?);
        (listed.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Starts `program` with `arguments` inside a new user namespace, in which it is root, with this process's streams.
///
/// # Errors
/// [`Error::File`] when the program cannot be started. Refusals by the kernel show as the child's exit status 125
/// and its message on stderr.
pub fn enter_user_namespace(
    program: &Path,
    namespace: &UserNamespace,
    arguments: &[OsString],
) -> Result<Child, Error> {
    let map = |own: u32, range: Option<SubordinateIds>| match range {
        Some(range) => format!("0 {own} 1 1 {} {}", range.start, range.count),
        None => format!("0 {own} 1"),
    };
    let (uids, gids) = namespace.ranges.unzip();
    Command::new(program)
        .args([STAGE_ARGUMENT, "user-namespace"])
        .arg(map(namespace.uid, uids))
        .arg(map(namespace.gid, gids))
        .arg(program)
        .args(arguments)
        .spawn()
        .map_err(|error| crate::fs::Error::new("execute", program, error).into())
}

/// `UID-MAP GID-MAP PROGRAM ARGUMENTS…`: makes the namespace and becomes the program.
pub(super) fn user_namespace_stage(arguments: &[OsString]) -> u8 {
    let [uids, gids, program, rest @ ..] = arguments else {
        return STAGE_FAILED;
    };
    // Signals then come from the process that waits for this one, once each, and not from the terminal as well.
    let _ = rprocess::setsid();
    let Err(error) = become_root_inside(uids, gids) else {
        die_with_parent();
        let error = Command::new(program).args(rest).exec();
        return fail(
            &format!("cannot execute `{}`: {error}", program.display()),
            "",
        );
    };
    match error {
        Error::UserNamespace { reason, hint } => {
            fail(&format!("cannot make a user namespace: {reason}"), &hint)
        }
        other => fail(&other.to_string(), ""),
    }
}

fn fail(what: &str, hint: &str) -> u8 {
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("\nhint: {hint}")
    };
    let _ = writeln!(std::io::stderr(), "error: {what}{hint}");
    NO_NAMESPACE
}

/// Starts the process that will map the ids of this one. It must run outside the new namespace, so it is started before
/// the namespace is made.
fn start_mapper(stage: &str, uids: &OsString, gids: &OsString) -> Result<Child, Error> {
    Command::new(THIS_PROGRAM)
        .args([STAGE_ARGUMENT, stage])
        .arg(std::process::id().to_string())
        .args([uids, gids])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| refused("start the id mapper", &error.to_string()))
}

/// Gives the mapper the word, waits for it, and becomes root inside.
fn finish_mapping(mut mapper: Child) -> Result<(), Error> {
    if let Some(mut go) = mapper.stdin.take() {
        let _ = go.write_all(b"go");
    }
    let output = mapper
        .wait_with_output()
        .map_err(|error| refused("wait for the id mapper", &error.to_string()))?;
    if !output.status.success() {
        let said = crate::event::printable(String::from_utf8_lossy(&output.stderr).trim());
        return Err(mapping_refused(&said));
    }
    let root = |step: &str, result: rustix::io::Result<()>| {
        result.map_err(|errno| refused(step, &errno.to_string()))
    };
    let (uid, gid) = (rprocess::Uid::ROOT, rprocess::Gid::ROOT);
    root("become group 0", rthread::set_thread_res_gid(gid, gid, gid))?;
    root("become user 0", rthread::set_thread_res_uid(uid, uid, uid))
}

fn become_root_inside(uids: &OsString, gids: &OsString) -> Result<(), Error> {
    // A single id is ours to map; a range takes the setuid helpers.
    let is_single = |map: &OsString| map.to_str().is_some_and(|map| map.split(' ').count() == 3);
    if is_single(uids) && is_single(gids) {
        unshare(UnshareFlags::NEWUSER).map_err(user_namespace_refused)?;
        let write = |file: &str, text: &OsString| {
            std::fs::write(Path::new("/proc/self").join(file), text.as_encoded_bytes())
                .map_err(|error| mapping_refused(&crate::fs::reason(&error)))
        };
        write("setgroups", &"deny".into())?;
        write("uid_map", uids)?;
        return write("gid_map", gids);
    }
    let mapper = start_mapper("map-ids", uids, gids)?;
    unshare(UnshareFlags::NEWUSER).map_err(user_namespace_refused)?;
    finish_mapping(mapper)
}

fn refused(step: &str, reason: &str) -> Error {
    Error::UserNamespace {
        reason: format!("cannot {step}: {reason}"),
        hint: "build as root, or use `--strategy direct`, which executes nothing".to_owned(),
    }
}

fn user_namespace_refused(errno: Errno) -> Error {
    let hint = match errno {
        // `builders-compared.md` §2.4: the kernel's ENOSPC has nothing to do with disks.
        Errno::NOSPC => {
            "this is not a full disk: `user.max_user_namespaces` is 0 or used up; ask the administrator for \
             `sysctl user.max_user_namespaces=15000`"
        }
        Errno::PERM => {
            "this container's seccomp profile or the kernel (`kernel.unprivileged_userns_clone`) forbids it; allow \
             user namespaces, or build as root"
        }
        _ => "build as root, or use `--strategy direct`, which executes nothing",
    };
    Error::UserNamespace {
        reason: crate::fs::reason(&errno.into()),
        hint: hint.to_owned(),
    }
}

fn mapping_refused(said: &str) -> Error {
    let hint = if said.contains("no such file") {
        "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora, RHEL), or build as root"
    } else {
        "`newuidmap` needs its setuid bit, a range for this user in /etc/subuid and /etc/subgid, and on Ubuntu 24.04 \
         an AppArmor profile that allows user namespaces; or build as root"
    };
    Error::UserNamespace {
        reason: format!("the ids could not be mapped: {said}"),
        hint: hint.to_owned(),
    }
}

/// The arguments of a stage that maps ids, once the parent has given the word.
fn told(arguments: &[OsString]) -> Option<&[OsString; 3]> {
    let arguments = arguments.try_into().ok()?;
    die_with_parent();
    let mut go = [0; 2];
    std::io::stdin().read_exact(&mut go).ok()?;
    Some(arguments)
}

/// `PID UID-MAP GID-MAP`: waits for the word and maps the ids of that process.
pub(super) fn map_ids_stage(arguments: &[OsString]) -> u8 {
    let Some([pid, uids, gids]) = told(arguments) else {
        return STAGE_FAILED;
    };
    for (program, map) in [("newuidmap", uids), ("newgidmap", gids)] {
        let words = map.to_string_lossy().into_owned();
        match Command::new(program)
            .arg(pid)
            .args(words.split(' '))
            .status()
        {
            Ok(status) if status.success() => {}
            Ok(_) => return STAGE_FAILED,
            Err(error) => {
                let reason = crate::fs::reason(&error);
                let _ = writeln!(std::io::stderr(), "`{program}`: {reason}");
                return STAGE_FAILED;
            }
        }
    }
    0
}

/// Where a stage finds its specification.
pub(super) enum SpecSource {
    /// On its standard input, so that it is never on a disk; that becomes `/dev/null` then.
    Input,
    /// In a file: for processes that need their standard input.
    File(PathBuf),
}

impl SpecSource {
    /// `-` or a path.
    pub(super) fn from_argument(argument: &OsString) -> Self {
        match argument.to_str() {
            Some("-") => Self::Input,
            _ => Self::File(PathBuf::from(argument)),
        }
    }

    pub(super) fn read(&self) -> Result<Spec, Error> {
        let bytes = match self {
            Self::File(path) => crate::fs::read_limited(path, 1 << 30)?,
            Self::Input => {
                let mut bytes = Vec::new();
                let nothing = std::fs::File::open("/dev/null");
                std::io::stdin()
                    .lock()
                    .read_to_end(&mut bytes)
                    .and_then(|_| Ok(rustix::stdio::dup2_stdin(nothing?)?))
                    .map_err(|error| crate::fs::Error::new("read", "standard input", error))?;
                bytes
            }
        };
        serde_json::from_slice(&bytes).map_err(|error| Error::Setup {
            step: "read the specification of the step".to_owned(),
            reason: error.to_string(),
            hint: None,
        })
    }

    /// Starts the next stage with the same specification.
    pub(super) fn start(&self, program: &Path, stage: &str, spec: &Spec) -> std::io::Result<Child> {
        let mut command = Command::new(program);
        command.args([STAGE_ARGUMENT, stage]).env_clear();
        match self {
            Self::File(path) => command.arg(path).spawn(),
            Self::Input => {
                let mut child = command.arg("-").stdin(Stdio::piped()).spawn()?;
                if let Some(mut input) = child.stdin.take() {
                    // A child that ends early says why by its status.
                    let _ = input.write_all(&serde_json::to_vec(spec)?);
                }
                Ok(child)
            }
        }
    }
}

/// `SPEC`: makes the namespaces of a step and starts pid 1 in them, or looks after a step without namespaces.
pub(super) fn stage(arguments: &[OsString]) -> u8 {
    let [argument] = arguments else {
        return STAGE_FAILED;
    };
    die_with_parent();
    leave_the_caller();
    let source = SpecSource::from_argument(argument);
    let Ok(spec) = source.read() else {
        return STAGE_FAILED;
    };
    // Opened now: after the root has changed, its path means something else.
    let Ok(directory) = std::fs::File::open(&spec.directory) else {
        return STAGE_FAILED;
    };
    let ended = if spec.rung.has_mounts() {
        run_init(&spec, &source)
    } else {
        super::keeper::run_init(&spec, &source)
    };
    ended.unwrap_or_else(|error| {
        report(&directory, error);
        STAGE_FAILED
    })
}

/// Lets go of what this process has from its caller: the terminal, into which a step could otherwise type (TIOCSTI),
/// and open files, through which it could reach the host (CVE-2024-21626). Standard streams stay.
fn leave_the_caller() {
    // Fails only for a process that leads its group, which a child just started does not.
    let _ = rprocess::setsid();
    close_fds::set_fds_cloexec(3, &[]);
}

/// Makes a sentence of what a stage failed to do.
pub(super) fn setup(step: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Setup {
        step: step.to_owned(),
        reason: error.to_string(),
        hint: None,
    }
}

fn run_init(spec: &Spec, source: &SpecSource) -> Result<u8, Error> {
    if spec.rung == Rung::UsernsDirect {
        // While there is one thread: the kernel demands it.
        become_root_of_own_ids()?;
        die_with_parent();
    }
    // Before the pid namespace: a process that has asked for one can no longer start threads.
    let signals =
        super::init::forwarded_signals().map_err(|error| setup("listen for signals", &error))?;
    let (sender, target) = std::sync::mpsc::channel::<Pid>();
    let on_signal = spec.on_signal;
    let status = spec.status();
    std::thread::spawn(move || pass_on(signals, &target, on_signal, &status));
    let mut flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if spec.network == Network::None {
        flags |= UnshareFlags::NEWNET;
    }
    let unshared = match unshare(flags) {
        // Kernels and containers that know no cgroup namespaces hide nothing worth hiding.
        Err(Errno::INVAL) => unshare(flags.difference(UnshareFlags::NEWCGROUP)),
        other => other,
    };
    unshared.map_err(|errno| Error::Setup {
        step: "make the namespaces of the step".to_owned(),
        reason: crate::fs::reason(&errno.into()),
        hint: Some("`overcoat doctor` tells what this machine allows".to_owned()),
    })?;
    if spec.network == Network::None {
        super::network::raise_loopback()
            .map_err(|errno| setup("raise the loopback interface", &errno))?;
    }
    let bookkeeper = Bookkeeper::begin(spec)?;
    let program = read_only_program().map_err(|errno| setup("protect this program", &errno))?;
    let mut init = source
        .start(&program, "init", spec)
        .map_err(|error| setup("start pid 1", &error))?;
    let pid = i32::try_from(init.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = sender.send(pid);
    }
    if let Some(bookkeeper) = bookkeeper {
        bookkeeper.keep(&mut || matches!(init.try_wait(), Ok(Some(_))))?;
    }
    let status = init
        .wait()
        .map_err(|error| setup("wait for pid 1", &error))?;
    Ok(super::exit_status(status))
}

/// Makes a user namespace in which every id that this process has is itself. Another process, outside, writes the map:
/// that takes capabilities which this one has only here.
fn become_root_of_own_ids() -> Result<(), Error> {
    let map = |file: &str| -> Result<OsString, Error> {
        let bytes = crate::fs::read_limited(Path::new(file), 1 << 16)?;
        Ok(IdMap::parse(&String::from_utf8_lossy(&bytes))
            .to_identity()
            .into())
    };
    let (uids, gids) = (map("/proc/self/uid_map")?, map("/proc/self/gid_map")?);
    let mapper = start_mapper("write-maps", &uids, &gids)?;
    unshare(UnshareFlags::NEWUSER).map_err(user_namespace_refused)?;
    finish_mapping(mapper)
}

/// `PID UID-MAP GID-MAP`: waits for the word and writes the maps of that process.
pub(super) fn write_maps_stage(arguments: &[OsString]) -> u8 {
    let Some([pid, uids, gids]) = told(arguments) else {
        return STAGE_FAILED;
    };
    for (file, map) in [("uid_map", uids), ("gid_map", gids)] {
        let path = Path::new("/proc").join(pid).join(file);
        if let Err(error) = std::fs::write(&path, map.as_encoded_bytes()) {
            let reason = crate::fs::reason(&error);
            let _ = writeln!(
                std::io::stderr(),
                "cannot write `{}`: {reason}",
                path.display()
            );
            return STAGE_FAILED;
        }
    }
    0
}

/// This program's file, bound onto itself read-only in this mount namespace. Pid 1 is run from there: through
/// `/proc/1/exe` a step that is root could otherwise change or replace the program on the host (CVE-2019-5736).
fn read_only_program() -> rustix::io::Result<PathBuf> {
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC,
    )?;
    let path = rustix::fs::readlink(THIS_PROGRAM, Vec::new())?;
    let path: OsString = std::os::unix::ffi::OsStringExt::from_vec(path.into_bytes());
    let path = PathBuf::from(path);
    super::mounts::bind_read_only(&path, &path)?;
    Ok(path)
}

fn pass_on(
    mut signals: signal_hook::iterator::Signals,
    target: &std::sync::mpsc::Receiver<Pid>,
    on_signal: OnSignal,
    status: &Path,
) {
    let Ok(target) = target.recv() else { return };
    for number in signals.forever() {
        // The kernel drops a signal for a pid 1 that has no handler yet. It takes room for its status right after it has
        // its handlers; if it ends before, so does this process.
        while on_signal == OnSignal::Forward
            && !std::fs::metadata(status).is_ok_and(|metadata| metadata.len() > 0)
        {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let signal = match on_signal {
            OnSignal::Forward => Signal::from_named_raw(number),
            OnSignal::Kill => Some(Signal::KILL),
        };
        if let Some(signal) = signal {
            let _ = rprocess::kill_process(target, signal);
        }
    }
}

/// Leaves an error where the parent looks for it.
fn report(directory: &std::fs::File, error: Error) {
    let error = match error {
        Error::Setup { step, reason, hint } => super::StatusError::Setup { step, reason, hint },
        other => super::StatusError::Setup {
            step: "start the step".to_owned(),
            reason: other.to_string(),
            hint: None,
        },
    };
    let status = super::Status {
        error: Some(error),
        ..super::Status::default()
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, super::STATUS, flags, Mode::from_raw_mode(0o600));
    if let Ok(file) = file {
        let _ = serde_json::to_writer(std::fs::File::from(file), &status);
    }
}

/// Asks the kernel to kill this process when its parent dies. The parent may be dead already: then init (or a
/// subreaper) is the parent, which the check after the call notices.
pub(super) fn die_with_parent() {
    let before = rprocess::getppid();
    let _ = rprocess::set_parent_process_death_signal(Some(Signal::KILL));
    if rprocess::getppid() != before {
        std::process::abort();
    }
}

/// Moves this thread into new namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // rustix deprecates the safe function because CLONE_FILES could give threads different descriptor tables;
    // no flag here does, and `unsafe` is denied in this crate.
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    #[expect(deprecated, reason = "the safe form; CLONE_FILES is never passed")]
    rthread::unshare(flags)
}
