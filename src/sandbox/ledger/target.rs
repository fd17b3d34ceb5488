//! Looking into a task that sleeps in a call: its memory, its directories, who it is.
//!
//! Everything goes through the supervisor's own `/proc` and the task's number there. A number can be given to another
//! task, so [`Target::check`] must follow whatever was opened or read and precede its use.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{self as rfs, Mode, OFlags};
use rustix::io::Errno;

use crate::sandbox::sys::{self, Notification};

/// A path with its terminating zero is at most so long (`PATH_MAX`).
const PATH_BYTES: usize = 4096;
/// Memory is read so that no read crosses the end of a page, behind which there may be nothing.
const PAGE_BYTES: u64 = 4096;
/// A file of `/proc` about a task is read up to here; all that is looked for comes before.
const STATUS_BYTES: u64 = 4096;

/// The task of a notification.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub listener: BorrowedFd<'a>,
    pub proc: BorrowedFd<'a>,
    pub notification: &'a Notification,
}

/// A process, told apart from later ones that have its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    pub id: u32,
    /// Clock ticks after the machine's start.
    pub started: u64,
}

/// What `/proc/N/status` says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// The number of its process.
    pub process: u32,
    /// The number of its process's parent.
    pub parent: u32,
    /// The bits that new files do not get.
    pub umask: u32,
}

impl Target<'_> {
    /// Fails with `ESRCH` when the task sleeps no more, so that its number may be another's by now.
    pub(super) fn check(&self) -> Result<(), Errno> {
        if sys::is_pending(self.listener, self.notification.id) {
            Ok(())
        } else {
            Err(Errno::SRCH)
        }
    }

    /// Opens what a link of the task's directory in `/proc` leads to: `root`, `cwd`, `fd/N`.
    pub(super) fn open(&self, name: &str) -> Result<OwnedFd, Errno> {
        let path = format!("{}/{name}", self.notification.task);
        let file = rfs::openat(
            self.proc,
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        self.check()?;
        Ok(file)
    }

    /// Opens what a descriptor of the task leads to; `EBADF` when it has no such descriptor.
    pub(super) fn descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        if number < 0 {
            return Err(Errno::BADF);
        }
        match self.open(&format!("fd/{number}")) {
            Err(Errno::NOENT) => Err(Errno::BADF),
            other => other,
        }
    }

    pub(super) fn status(&self) -> Result<Status, Errno> {
        let status = status_of(self.proc, self.notification.task)?;
        self.check()?;
        Ok(status)
    }

    /// Reads a path at an address; `EFAULT` when there is none, `ENAMETOOLONG` when it does not end in time.
    pub(super) fn path(&self, address: u64) -> Result<Vec<u8>, Errno> {
        let memory = self.memory(OFlags::RDONLY)?;
        let mut address = untagged(address);
        let mut path = Vec::new();
        while path.len() < PATH_BYTES {
            let in_page = PAGE_BYTES - address % PAGE_BYTES;
            let wanted = in_page.min((PATH_BYTES - path.len()) as u64) as usize;
            let mut chunk = [0; PAGE_BYTES as usize];
            let count = match memory.read_at(&mut chunk[..wanted], address) {
                Ok(0) | Err(_) => return Err(Errno::FAULT),
                Ok(count) => count,
            };
            let chunk = &chunk[..count];
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                path.extend_from_slice(&chunk[..end]);
                self.check()?;
                return Ok(path);
            }
            path.extend_from_slice(chunk);
            address = address.checked_add(count as u64).ok_or(Errno::FAULT)?;
        }
        Err(Errno::NAMETOOLONG)
    }

    /// Reads `count` 32-bit numbers at an address.
    pub(super) fn numbers(&self, address: u64, count: usize) -> Result<Vec<u32>, Errno> {
        let mut bytes = vec![0; count * 4];
        if count > 0 {
            let memory = self.memory(OFlags::RDONLY)?;
            memory
                .read_exact_at(&mut bytes, untagged(address))
                .map_err(|_| Errno::FAULT)?;
            self.check()?;
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or_default();
        Ok(bytes.chunks_exact(4).map(number).collect())
    }

    /// Writes 32-bit numbers at an address. Unlike the kernel, this also writes to the task's read-only pages.
    pub(super) fn write(&self, address: u64, numbers: &[u32]) -> Result<(), Errno> {
        if numbers.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_ne_bytes())
            .collect();
        let memory = self.memory(OFlags::WRONLY)?;
        memory
            .write_all_at(&bytes, untagged(address))
            .map_err(|_| Errno::FAULT)
    }

    fn memory(&self, access: OFlags) -> Result<File, Errno> {
        let path = format!("{}/mem", self.notification.task);
        let memory = rfs::openat(self.proc, path, access | OFlags::CLOEXEC, Mode::empty())?;
        self.check()?;
        Ok(memory.into())
    }
}

/// 64-bit ARM lets programs keep notes in the top byte of an address; `/proc` takes the address alone.
fn untagged(address: u64) -> u64 {
    if cfg!(target_arch = "aarch64") {
        address & 0x00ff_ffff_ffff_ffff
    } else {
        address
    }
}

fn read_start(proc: BorrowedFd<'_>, path: String) -> Result<Vec<u8>, Errno> {
    let file = rfs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::new();
    File::from(file)
        .take(STATUS_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(bytes)
}

/// Reads what `/proc/N/status` says of a task or process.
pub(super) fn status_of(proc: BorrowedFd<'_>, task: u32) -> Result<Status, Errno> {
    parse_status(&read_start(proc, format!("{task}/status"))?).ok_or(Errno::SRCH)
}

/// The task's name comes first and is its own choice, but `/proc` escapes the line ends in it.
fn parse_status(bytes: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(bytes);
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    Some(Status {
        process: field("Tgid")?.parse().ok()?,
        parent: field("PPid")?.parse().ok()?,
        umask: u32::from_str_radix(field("Umask")?, 8).ok()?,
    })
}

/// The process that has a number now.
pub(super) fn process(proc: BorrowedFd<'_>, id: u32) -> Result<Process, Errno> {
    let bytes = read_start(proc, format!("{id}/stat"))?;
    let started = parse_start(&bytes).ok_or(Errno::SRCH)?;
    Ok(Process { id, started })
}

/// Field 22 of `/proc/N/stat`. The second field is the name in parentheses, which may hold anything, so what counts is
/// the last parenthesis.
fn parse_start(bytes: &[u8]) -> Option<u64> {
    let name_end = bytes.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&bytes[name_end + 1..]);
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The children of a process, or of as many of its threads as can be read. Empty on a kernel without
/// `CONFIG_PROC_CHILDREN`.
pub(super) fn children(proc: BorrowedFd<'_>, id: u32) -> Vec<u32> {
    let tasks = rfs::openat(
        proc,
        format!("{id}/task"),
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let Ok(tasks) = tasks else { return Vec::new() };
    let Ok(entries) = rfs::Dir::read_from(&tasks) else {
        return Vec::new();
    };
    let mut children = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let list = read_start(tasks.as_fd(), format!("{name}/children")).unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        children.extend(
            list.split_whitespace()
                .filter_map(|word| word.parse::<u32>().ok()),
        );
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pose_as_a_field() {
        let status =
            b"Name:\tx\\nTgid:\t1\nUmask:\t0027\nState:\tS\nTgid:\t77\nPid:\t78\nPPid:\t5\n";
        let expected = Status {
            process: 77,
            parent: 5,
            umask: 0o027,
        };
        assert_eq!(parse_status(status), Some(expected));
        let stat = b"7 (a) 9 (b\n) S 1 7 7 0 -1 4 1 1 0 0 0 0 0 0 20 0 1 0 4242 1 1\n";
        assert_eq!(parse_start(stat), Some(4242));
        assert_eq!(parse_status(b""), None);
        assert_eq!(parse_start(b"7 (a) S"), None);
    }
}
