//! The kernel calls of seccomp's user notification, which no crate wraps safely. All `unsafe` of this program is here.
//!
//! A *listener* is a descriptor that belongs to a filter. When a filtered task makes one of the listed calls, it sleeps
//! until whoever holds the listener has received the notification and answered it.
//!
//! # Source
//! `seccomp_unotify(2)`; `Documentation/userspace-api/seccomp_filter.rst`. Linux 5.9 or newer: older ones do not tell
//! that the last filtered task is gone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{seccomp_data, seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog};
use rustix::io::Errno;

/// `AUDIT_ARCH_*` of the calls of this program's own architecture (`linux/audit.h`).
#[cfg(target_arch = "x86_64")]
const NATIVE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const NATIVE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const NATIVE: Option<u32> = None;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6): the waker hands its processor to the woken.
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// A call that a task wants to make and sleeps in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notification {
    /// What an answer refers to.
    pub id: u64,
    /// The task (a thread, not its process), as the pid namespace of the receiver numbers it.
    pub task: u32,
    /// Which call: one of `libc::SYS_*`.
    pub number: i64,
    /// Its arguments, as the registers hold them.
    pub arguments: [u64; 6],
}

/// The answer to a [`Notification`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The call returns this and does nothing else.
    Value(i64),
    /// The call fails with this and does nothing else.
    Error(Errno),
    /// The kernel makes the call, as if there were no listener.
    Continue,
}

/// What there is to do about a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// A notification can be received.
    Ready,
    /// No filtered task is left.
    Over,
}

/// Room for what a newer kernel may append to its structures (`SECCOMP_GET_NOTIF_SIZES`): it must not be overrun.
#[repr(C)]
struct Padded<T> {
    value: T,
    spare: [u64; 64],
}

/// Puts a filter on the calling thread and what it starts from now on, under which the calls `numbers` (of this
/// architecture) are reported to the returned descriptor and all others pass. The caller must have set
/// `no_new_privs` or hold `CAP_SYS_ADMIN`. The descriptor is close-on-exec.
///
/// # Errors
/// `EBUSY` when the thread has a listener already, `EACCES` without `no_new_privs`, `ENOSYS` or `EPERM` when an outer
/// filter forbids it, `EOPNOTSUPP` on an architecture that this program has no numbers for.
pub(super) fn install_listener(numbers: &[i64]) -> io::Result<OwnedFd> {
    let program = program(numbers)?;
    // Without the second flag (Linux 5.19), a signal between receipt and answer makes the task start its call again:
    // a `mknod` that was done would then find its own file.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = match install(
        &program,
        flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    ) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(&program, flags)?,
        other => other?,
    };
    // Faster where it is known, and no loss where it is not.
    let _ = ioctl(
        listener.as_fd(),
        libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
        SYNC_WAKE_UP,
    );
    Ok(listener)
}

/// Compares the number with each of `numbers`. Calls of a foreign architecture have other numbers and pass: the
/// filter of [`super::seccomp`] ends a process that makes one.
fn program(numbers: &[i64]) -> io::Result<Vec<sock_filter>> {
    let native = NATIVE.ok_or(Errno::OPNOTSUPP)?;
    let statement = |code: u32, k: u32| sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let load = |offset: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32);
    // Skips the next statement unless the loaded value is `k`.
    let only_if = |k: u32| sock_filter {
        jf: 1,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k)
    };
    let end = |action: u32| statement(libc::BPF_RET | libc::BPF_K, action);
    let mut program = vec![
        load(std::mem::offset_of!(seccomp_data, arch)),
        sock_filter {
            jt: 1,
            jf: 0,
            ..only_if(native)
        },
        end(libc::SECCOMP_RET_ALLOW),
        load(std::mem::offset_of!(seccomp_data, nr)),
    ];
    for number in numbers {
        let number = u32::try_from(*number).map_err(|_| Errno::INVAL)?;
        program.extend([only_if(number), end(libc::SECCOMP_RET_USER_NOTIF)]);
    }
    program.push(end(libc::SECCOMP_RET_ALLOW));
    Ok(program)
}

#[expect(unsafe_code, reason = "seccomp(2) takes a pointer to a pointer")]
fn install(program: &[sock_filter], flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let header = sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `len` statements from `filter`, both of `program`, which outlives the call; it writes
    // nothing. The filter changes nothing that the memory safety of this thread depends on: it reports calls only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const header,
        )
    };
    match i32::try_from(result) {
        // SAFETY: the call succeeded with NEW_LISTENER, so this is a new descriptor that nobody else knows.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sleeps until a filtered task makes a listed call, or none is left.
///
/// # Errors
/// What `poll(2)` says of a descriptor that is no listener.
#[expect(unsafe_code, reason = "poll(2) takes a pointer")]
pub(super) fn wait(listener: BorrowedFd<'_>) -> io::Result<Waiting> {
    let mut entry = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: one entry is passed and it lives through the call.
        let count = unsafe { libc::poll(&raw mut entry, 1, -1) };
        match count {
            1.. if entry.revents & libc::POLLIN != 0 => return Ok(Waiting::Ready),
            1.. if entry.revents & libc::POLLHUP != 0 => return Ok(Waiting::Over),
            1.. => return Err(Errno::BADF.into()),
            0 => {}
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Takes the next notification; `None` when its task died before.
///
/// # Errors
/// What the kernel says of a descriptor that is no listener.
pub(super) fn receive(listener: BorrowedFd<'_>) -> io::Result<Option<Notification>> {
    let data = seccomp_data {
        nr: 0,
        arch: 0,
        instruction_pointer: 0,
        args: [0; 6],
    };
    // All zero, as the kernel demands.
    let mut buffer = Padded {
        value: seccomp_notif {
            id: 0,
            pid: 0,
            flags: 0,
            data,
        },
        spare: [0; 64],
    };
    match ioctl_on(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut buffer) {
        Ok(()) => Ok(Some(Notification {
            id: buffer.value.id,
            task: buffer.value.pid,
            number: buffer.value.data.nr.into(),
            arguments: buffer.value.data.args,
        })),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Answers a notification. That its task has died meanwhile is no error.
///
/// # Errors
/// What the kernel says of a descriptor that is no listener, or of an answer that it does not understand.
pub(super) fn reply(listener: BorrowedFd<'_>, id: u64, reply: Reply) -> io::Result<()> {
    let (val, error, flags) = match reply {
        Reply::Value(value) => (value, 0, 0),
        Reply::Error(errno) => (0, -errno.raw_os_error(), 0),
        Reply::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let mut buffer = Padded {
        value: seccomp_notif_resp {
            id,
            val,
            error,
            flags,
        },
        spare: [0; 64],
    };
    match ioctl_on(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut buffer) {
        // ENOENT: it died. EINPROGRESS: it was interrupted and will ask again.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINPROGRESS)) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// True while the task of a notification still sleeps in its call, so that what was read from `/proc` under its
/// number is its own and not that of a later task with the same number.
pub(super) fn is_pending(listener: BorrowedFd<'_>, id: u64) -> bool {
    let mut buffer = Padded {
        value: id,
        spare: [0; 64],
    };
    ioctl_on(listener, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut buffer).is_ok()
}

fn ioctl_on<T>(
    listener: BorrowedFd<'_>,
    request: libc::Ioctl,
    buffer: &mut Padded<T>,
) -> io::Result<()> {
    let address = std::ptr::from_mut(buffer).expose_provenance();
    ioctl(listener, request, address as libc::c_ulong)
}

/// Only with a request of `SECCOMP_IOCTL_NOTIF_*`, and an argument as that one takes: a number, or the address of a
/// [`Padded`] that lives through the call.
#[expect(unsafe_code, reason = "ioctl(2) cannot check its argument")]
fn ioctl(
    listener: BorrowedFd<'_>,
    request: libc::Ioctl,
    argument: libc::c_ulong,
) -> io::Result<()> {
    // SAFETY: both callers keep to the rule above. The kernel reads and writes at most the structure that the request
    // encodes the size of, which `Padded` holds with room to spare.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), request, argument) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a call by its number, for tests of filters: only with arguments with which it changes no memory.
#[cfg(test)]
#[expect(unsafe_code, reason = "syscall(2) cannot check its arguments")]
pub(super) fn call(number: i64, arguments: [u64; 6]) -> Result<i64, Errno> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the tests pass invalid addresses, or none.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        let raw = io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(raw.unwrap_or_default()));
    }
    Ok(result)
}
