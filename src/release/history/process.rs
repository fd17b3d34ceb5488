//! Which process does the work, and whether it still does.

use std::fs::{File, TryLockError};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A process, so that another one of the same number is not taken for it, also after the machine was started anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in clock ticks since the machine was started (`/proc/PID/stat`, field 22); 0 when unknown.
    pub started_ticks: u64,
    /// Which start of the machine that was (`/proc/sys/kernel/random/boot_id`); empty when unknown.
    pub boot: String,
}

impl Process {
    /// This one.
    pub(super) fn own() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started_ticks: started_ticks(pid).unwrap_or_default(),
            boot: boot().unwrap_or_default(),
        }
    }

    /// True when there is still that process. False when that cannot be known: nobody waits for it then.
    fn is_there(&self) -> bool {
        let is_known = self.started_ticks > 0 && !self.boot.is_empty();
        is_known
            && boot().is_some_and(|boot| boot == self.boot)
            && started_ticks(self.pid) == Some(self.started_ticks)
    }
}

/// True while the process that began the record with this log is at work.
pub(super) fn is_at_work(log: &Path, process: &Process) -> bool {
    // A lock is seen from other containers too, which have other numbers for the same process.
    let Ok(file) = File::open(log) else {
        return process.is_there();
    };
    match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => process.is_there(),
    }
}

fn boot() -> Option<String> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let bytes = crate::fs::read_limited(path, 100).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn started_ticks(pid: u32) -> Option<u64> {
    let path = format!("/proc/{pid}/stat");
    let bytes = crate::fs::read_limited(Path::new(&path), 4096).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // `PID (NAME) STATE PARENT …`, where the name may hold anything; the state is field 3.
    let mut fields = text.rsplit(')').next()?.split_whitespace();
    fields.nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_its_start_and_its_boot() {
        let own = Process::own();
        assert!(own.is_there(), "{own:?}");
        let younger = Process {
            started_ticks: own.started_ticks + 1,
            ..own.clone()
        };
        let before = Process {
            boot: "another".to_owned(),
            ..own.clone()
        };
        let unknown = Process {
            started_ticks: 0,
            boot: String::new(),
            ..own
        };
        assert!(!younger.is_there() && !before.is_there() && !unknown.is_there());
    }
}
