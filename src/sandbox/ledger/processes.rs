//! Which process believes to be whom.
//!
//! A process that never changed its ids has no entry: it is who its parent was when it forked. Forks are not reported,
//! so when a process changes its ids, its children of that moment get an entry with the old ones; later children find
//! the new ones by asking upwards. A child that outlives its parent and never changed its own ids is then a child of
//! pid 1, and counts as the step's user again.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::credentials::State;
use super::target::{Process, children, process, status_of};

/// Ancestors further away than this are not asked.
const MAX_DEPTH: usize = 4096;
/// Entries of ended processes are looked for when there are more entries than this, or twice as many as were left the
/// time before.
const SWEEP_ABOVE: usize = 4096;
/// Children that get an entry of their own when their parent changes its ids.
const MAX_CHILDREN: usize = 1024;

/// The ids of all processes of a step.
pub(super) struct Processes {
    initial: State,
    changed: BTreeMap<Process, State>,
    sweep_above: usize,
}

impl Processes {
    pub(super) fn new(initial: State) -> Self {
        Self {
            initial,
            changed: BTreeMap::new(),
            sweep_above: SWEEP_ABOVE,
        }
    }

    /// Who a task believes to be.
    pub(super) fn state(&self, proc: BorrowedFd<'_>, task: u32) -> Result<State, Errno> {
        if self.changed.is_empty() {
            return Ok(self.initial.clone());
        }
        let supervisor = rustix::process::getpid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs();
        let mut next = status_of(proc, task)?.process;
        for _ in 0..MAX_DEPTH {
            // An ancestor that ends just now is asked no more.
            let Ok(ancestor) = process(proc, next) else {
                break;
            };
            if let Some(state) = self.changed.get(&ancestor) {
                return Ok(state.clone());
            }
            // Above the supervisor nobody is of the step; 0 is the parent of what has none in this pid namespace.
            next = match status_of(proc, next) {
                Ok(above) if next != supervisor && above.parent != 0 => above.parent,
                _ => break,
            };
        }
        Ok(self.initial.clone())
    }

    /// Notes who the process of a task is from now on.
    pub(super) fn change(
        &mut self,
        proc: BorrowedFd<'_>,
        task: u32,
        old: &State,
        new: State,
    ) -> Result<(), Errno> {
        if *old == new {
            return Ok(());
        }
        let number = status_of(proc, task)?.process;
        for child in children(proc, number).into_iter().take(MAX_CHILDREN) {
            if let Ok(child) = process(proc, child) {
                self.changed.entry(child).or_insert_with(|| old.clone());
            }
        }
        self.changed.insert(process(proc, number)?, new);
        if self.changed.len() > self.sweep_above {
            self.changed
                .retain(|known, _| process(proc, known.id) == Ok(*known));
            self.sweep_above = SWEEP_ABOVE.max(self.changed.len() * 2);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::super::Credentials;
    use super::*;

    #[test]
    fn the_table_forgets_processes_that_ended() {
        let proc = std::fs::File::open("/proc").unwrap();
        let credentials = |uid| {
            State::new(&Credentials {
                uid,
                gid: 0,
                groups: Vec::new(),
            })
        };
        let mut processes = Processes::new(credentials(0));
        // The number of this very process, but of another time: that one has ended too.
        let own = std::process::id();
        for started in 0..SWEEP_ABOVE as u64 {
            let ended = Process { id: own, started };
            processes.changed.insert(ended, credentials(5));
        }
        let old = credentials(0);
        processes
            .change(proc.as_fd(), own, &old, credentials(7))
            .unwrap();
        assert_eq!(processes.changed.len(), 1);
        assert_eq!(processes.state(proc.as_fd(), own), Ok(credentials(7)));
    }
}
