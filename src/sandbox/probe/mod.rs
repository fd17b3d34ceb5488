//! Finding out by trying which rungs of the [`ladder`] work on this machine, and saying why the others do not.
//!
//! ```text
//! Facts (read) ──────┐
//!                    ├─▶ diagnosis (pure) ─▶ Verdict ─▶ ladder::choose
//! Attempt (tried) ───┘
//! ```
//!
//! Markers and version numbers lie in both directions, so what works is decided by trying alone, in processes of their
//! own (`attempt.rs`). Facts only explain what was refused.

mod apparmor;
mod attempt;
mod diagnosis;
mod errno;
mod facts;
mod ingredients;
mod parts;
mod place;
mod userns;

pub use apparmor::profile as apparmor_profile;
pub(super) use attempt::stage;
pub use facts::{Cgroups, Facts, Helper};
pub use ingredients::{Ingredient, State, ingredients};
pub use place::Place;

use std::io::Write;
use std::path::{Path, PathBuf};

use attempt::Attempt;
use rustix::fs::Mode;
use rustix::io::Errno;

use super::ladder::{self, Chosen, Isolation, LadderError, Refusal, Rung, Verdict};
use crate::fs::Workspace;

/// Where something is mounted, by the text of `/proc/self/mountinfo`.
pub(super) fn mount_points(text: &str) -> impl Iterator<Item = PathBuf> {
    place::mounts(text).into_iter().map(|mount| mount.point)
}

/// So many bytes must fit into the store: a file system without room for them is full.
const ROOM_BYTES: usize = 64 << 10;

/// Tries rungs, each in a process of its own.
#[derive(Clone, Debug)]
pub struct Prober {
    program: PathBuf,
    facts: Facts,
}

impl Prober {
    /// Reads the facts; tries nothing yet. `program` is this program, which is re-executed; `store` the store's directory,
    /// which need not exist and is not made; `search_path` the value of `PATH`, in which `newuidmap` is looked up.
    pub fn new(program: &Path, store: &Path, search_path: &str) -> Self {
        Self {
            program: program.to_owned(),
            facts: Facts::gather(store, search_path),
        }
    }

    /// What was read.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// True when the rung is meant for a user such as this one; others are refused without being tried.
    pub fn is_meant(&self, rung: Rung) -> bool {
        diagnosis::is_meant_for(&self.facts, rung)
    }

    /// Tries every rung: the verdicts in the ladder's order.
    pub fn survey(&self) -> Vec<Verdict> {
        Rung::ALL
            .into_iter()
            .map(|rung| self.verdict(rung))
            .collect()
    }

    /// Finds the rung to take. Tries from the top and stops at the first that works; everything is tried only when
    /// there is an error to explain.
    ///
    /// # Errors
    /// [`LadderError`] when nothing works, or not what is `wanted` or `required`.
    pub fn choose(
        &self,
        wanted: Isolation,
        required: Option<Isolation>,
    ) -> Result<Chosen, LadderError> {
        let mut verdicts: Vec<Verdict> = Vec::new();
        for rung in wanted.rungs() {
            verdicts.push(self.verdict(*rung));
            if verdicts
                .last()
                .is_some_and(|verdict| verdict.outcome.is_ok())
            {
                break;
            }
        }
        let chosen = ladder::choose(&verdicts, wanted, required);
        if chosen.is_ok() {
            return chosen;
        }
        let is_missing = |rung: &Rung| !verdicts.iter().any(|verdict| verdict.rung == *rung);
        let rest: Vec<_> = Rung::ALL
            .into_iter()
            .filter(is_missing)
            .map(|rung| self.verdict(rung))
            .collect();
        verdicts.extend(rest);
        verdicts.sort_by_key(|verdict| verdict.rung);
        ladder::choose(&verdicts, wanted, required)
    }

    fn verdict(&self, rung: Rung) -> Verdict {
        if !self.is_meant(rung) {
            return diagnosis::not_meant(&self.facts, rung);
        }
        match self.attempt(rung) {
            Ok(attempt) => diagnosis::judge(&self.facts, rung, &attempt),
            Err(refusal) => Verdict {
                rung,
                outcome: Err(refusal),
            },
        }
    }

    fn attempt(&self, rung: Rung) -> Result<Attempt, Refusal> {
        let scratch = Scratch::make(&self.facts.store)
            .map_err(|(call, errno)| diagnosis::unusable_store(&self.facts, call, errno))?;
        let maps = maps(&self.facts, rung);
        Ok(attempt::run(
            &self.program,
            rung,
            scratch.path(),
            [&maps[0], &maps[1]],
        ))
    }
}

/// The id maps of a rung, for users and for groups: numbers in threes (inner, outer, count), empty where there is none.
fn maps(facts: &Facts, rung: Rung) -> [String; 2] {
    let own = [facts.uid, facts.gid];
    match rung {
        Rung::UsernsHelper => match facts.subordinate {
            [Some(uids), Some(gids)] => [(own[0], uids), (own[1], gids)]
                .map(|(own, range)| format!("0 {own} 1 1 {} {}", range.start, range.count)),
            _ => Default::default(),
        },
        Rung::UsernsDirect => [&facts.uid_ranges, &facts.gid_ranges].map(|ranges| {
            let same: Vec<_> = ranges
                .iter()
                .map(|(first, count)| format!("{first} {first} {count}"))
                .collect();
            same.join(" ")
        }),
        Rung::SingleId => own.map(|own| format!("0 {own} 1")),
        Rung::Root | Rung::Chroot | Rung::InPlace => Default::default(),
    }
}

/// An empty directory on the store's file system, removed with all it holds.
enum Scratch {
    /// In the store's `tmp`: what a killed process leaves there is swept.
    InStore(Workspace),
    /// In the store, or as near to it as something exists: a store is not made only to try something.
    Near(PathBuf),
}

impl Scratch {
    /// Makes it, and looks whether something fits into it. On failure, the call that failed.
    fn make(place: &Place) -> Result<Self, (&'static str, Errno)> {
        let work = place.path.join("tmp");
        let in_store = if work.is_dir() {
            Workspace::create(&work).ok().map(Self::InStore)
        } else {
            None
        };
        let scratch = match in_store {
            Some(scratch) => scratch,
            None => Self::Near(new_directory(if work.is_dir() {
                &work
            } else {
                &place.existing
            })?),
        };
        let path = scratch.path().join("room");
        std::fs::File::create_new(&path)
            .and_then(|mut file| file.write_all(&[0; ROOM_BYTES]))
            .map_err(|error| {
                (
                    "write",
                    error
                        .raw_os_error()
                        .map_or(Errno::IO, Errno::from_raw_os_error),
                )
            })?;
        Ok(scratch)
    }

    fn path(&self) -> &Path {
        match self {
            Self::InStore(workspace) => workspace.path(),
            Self::Near(path) => path,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Self::Near(path) = self {
            // Overlay leaves a directory with mode 000.
            let _ = crate::fs::remove_tree(path);
        }
    }
}

/// A new directory for this user alone. By hand, for `tempfile`'s errors do not tell the error number.
fn new_directory(parent: &Path) -> Result<PathBuf, (&'static str, Errno)> {
    let mut result = Err(Errno::EXIST);
    for number in 0..1000 {
        let path = parent.join(format!(".overcoat-probe-{}-{number}", std::process::id()));
        result = rustix::fs::mkdir(&path, Mode::RWXU).map(|()| path);
        if !matches!(result, Err(Errno::EXIST)) {
            break;
        }
    }
    result.map_err(|errno| ("mkdir", errno))
}

#[cfg(test)]
mod tests;
