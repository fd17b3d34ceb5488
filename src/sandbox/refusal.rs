//! What may be in the way of a sandbox: sixteen kinds, each with a code, a cause and a remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of thing is in the way. `docs/doctor.md` explains each; the numbers are an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "`meaning` has the sentence for each")]
pub enum IsoCode {
    Iso01,
    Iso02,
    Iso03,
    Iso04,
    Iso05,
    Iso06,
    Iso07,
    Iso08,
    Iso09,
    Iso10,
    Iso11,
    Iso12,
    Iso13,
    Iso14,
    Iso15,
    Iso16,
}

impl IsoCode {
    /// Every code.
    pub const ALL: [Self; 16] = [
        Self::Iso01,
        Self::Iso02,
        Self::Iso03,
        Self::Iso04,
        Self::Iso05,
        Self::Iso06,
        Self::Iso07,
        Self::Iso08,
        Self::Iso09,
        Self::Iso10,
        Self::Iso11,
        Self::Iso12,
        Self::Iso13,
        Self::Iso14,
        Self::Iso15,
        Self::Iso16,
    ];

    /// What it stands for, as `docs/doctor.md` has it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Iso01 => {
                "user namespaces are blocked: by a seccomp profile, or by a chroot around us"
            }
            Self::Iso02 => {
                "a security module (AppArmor, SELinux) forbids what a user namespace needs"
            }
            Self::Iso03 => "`user.max_user_namespaces` is 0",
            Self::Iso04 => "the kernel has user namespaces switched off, or was built without them",
            Self::Iso05 => "user namespaces are nested too deep, or used up",
            Self::Iso06 => "`newuidmap` or `newgidmap` is not installed",
            Self::Iso07 => "`newuidmap` or `newgidmap` is there and powerless",
            Self::Iso08 => "too few subordinate ids",
            Self::Iso09 => "an owner cannot be given to a file, nor be recorded",
            Self::Iso10 => "overlay cannot be used on the store",
            Self::Iso11 => "a fresh `/proc` is refused",
            Self::Iso12 => "there is no `/proc` in a step",
            Self::Iso13 => "the store's file system cannot be used",
            Self::Iso14 => "a capability is missing",
            Self::Iso15 => "a network namespace cannot be made",
            Self::Iso16 => "the isolation that was asked for cannot be had",
        }
    }
}

impl fmt::Display for IsoCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ISO{:02}", *self as u8 + 1)
    }
}

/// Why something cannot be had on this machine, and how it could.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} {cause} ({call})")]
pub struct Refusal {
    /// The kind.
    pub code: IsoCode,
    /// One sentence with the numbers and paths of this machine, without a full stop.
    pub cause: String,
    /// The command or setting that would change it; imperative, without a full stop.
    pub remedy: String,
    /// What was refused: a system call or a check, and its answer: `unshare(CLONE_NEWUSER): EPERM`.
    pub call: String,
}

impl Refusal {
    /// True when the disk or the quota of the store is full.
    pub fn is_full(&self) -> bool {
        let answers = [": ENOSPC", ": EDQUOT"];
        self.code == IsoCode::Iso13 && answers.iter().any(|answer| self.call.ends_with(answer))
    }
}
