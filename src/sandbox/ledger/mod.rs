//! The ownership ledger: who owns what, where the kernel has only one owner to give.
//!
//! With a single id in the user namespace, and in place as an ordinary user, `chown` fails: there is nobody to give a
//! file to. Yet `install -o`, `tar -x`, `useradd` and `apt-get` all do it, and the layer is to carry the owners they
//! meant. So a seccomp filter reports these calls to a supervisor outside the sandbox, which answers as the kernel
//! would in a container with all ids, and writes the owner down instead:
//!
//! ```text
//! step ── chown("/srv/a", 33, 33) ──► kernel ──► supervisor: finds the file as the step sees it     [resolve, target]
//!                                                            may this user do that?                 [credentials]
//!                                                            chown to the id that exists            (copy-up, ctime,
//!                                                            ledger: file → 33:33        [file]      set-id bits)
//!      ◄── 0 ────────────────────────────────────────────────┘
//! ```
//!
//! The supervisor never lets the kernel repeat a call whose arguments it has judged, since they can change meanwhile;
//! it does the work itself on a descriptor. It lets the kernel go on only where its own part is a note in the margin.
//!
//! Not answered: `stat`. A program that reads back the owner it set sees the id that exists, and so does one that
//! copies owners (`cp -a`, `mv` between file systems, `mv` of a directory of the builder, `chown :GROUP` of busybox):
//! what it then asks for, and what is recorded, is what `stat` says. Recorded by path until then, the owners of what lies below a renamed directory are lost where
//! there is no overlay.
//!
//! # Source
//! `seccomp_unotify(2)`, `chown(2)`, `setresuid(2)`, `credentials(7)`.

mod calls;
mod credentials;
mod file;
mod processes;
mod resolve;
mod supervisor;
mod target;
mod transfer;

#[cfg(test)]
mod tests;

pub(super) use calls::numbers;
pub(super) use credentials::Credentials;
pub use file::FileIdentity;
pub(super) use transfer::{receive_listener, send_listener};

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

/// The user and group that own a file, as the image is to know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// A device node that the step made, which on disk is an empty regular file with the node's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// A block device if true, a character device if not.
    pub is_block: bool,
    /// The driver's number.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// Owners and devices that a step asked for and the disk does not show. As JSON: two lists of pairs.
///
/// A record outlives its file: it says nothing about a path, and no later file has the same [`FileIdentity`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Pairs", into = "Pairs")]
pub struct Ledger {
    owners: BTreeMap<FileIdentity, Owner>,
    devices: BTreeMap<FileIdentity, Device>,
}

impl Ledger {
    /// True when nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.devices.is_empty()
    }

    /// The owner that the step gave a file; `None` when it left the owner alone.
    pub fn owner(&self, file: &FileIdentity) -> Option<Owner> {
        self.owners.get(file).copied()
    }

    /// The device that a regular file stands for; `None` when it is just a file.
    pub fn device(&self, file: &FileIdentity) -> Option<Device> {
        self.devices.get(file).copied()
    }

    /// Everything recorded about owners, ordered by file.
    pub fn owners(&self) -> impl Iterator<Item = (&FileIdentity, Owner)> {
        self.owners.iter().map(|(file, owner)| (file, *owner))
    }

    /// Everything recorded about devices, ordered by file.
    pub fn devices(&self) -> impl Iterator<Item = (&FileIdentity, Device)> {
        self.devices.iter().map(|(file, device)| (file, *device))
    }
}

/// [`Ledger`] as JSON has it: a map's key can only be a string there.
#[derive(Serialize, Deserialize)]
struct Pairs {
    owners: Vec<(FileIdentity, Owner)>,
    devices: Vec<(FileIdentity, Device)>,
}

impl From<Pairs> for Ledger {
    fn from(pairs: Pairs) -> Self {
        Self {
            owners: pairs.owners.into_iter().collect(),
            devices: pairs.devices.into_iter().collect(),
        }
    }
}

impl From<Ledger> for Pairs {
    fn from(ledger: Ledger) -> Self {
        Self {
            owners: ledger.owners.into_iter().collect(),
            devices: ledger.devices.into_iter().collect(),
        }
    }
}

/// Says who owns a path of the builder (its bytes, without the leading slash), `None` when it is not of the builder.
pub(super) type BuilderOwners = Box<dyn Fn(&[u8]) -> Option<Owner> + Send>;

/// What the supervisor of a step has to know.
///
/// The supervisor's own root directory must be the step's, and so must its mount namespace. It must be allowed to look
/// into the step's processes (`ptrace(2)`, *ptrace access mode checking*): it holds the capabilities of their user
/// namespace, or has their user id and is their ancestor.
pub(super) struct Supervision {
    /// A `/proc` of the pid namespace that the supervisor is in, opened as a directory.
    pub proc: OwnedFd,
    /// The upper directory, when the root is an overlay: there are the files that the layer will be made of.
    pub upper: Option<OwnedFd>,
    /// The user that the step believes to be.
    pub identity: Credentials,
    /// Capabilities that it does not have even as root.
    pub lacks: CapabilitySet,
    /// The user and group that files really get, as numbers of the supervisor's user namespace.
    pub real: Owner,
    /// The owners of the builder's files that have none recorded.
    pub base: BuilderOwners,
}

/// Answers the calls that [`numbers`] lists until the last filtered task is gone, and returns what was recorded.
///
/// Nothing that the step does ends it early, makes it wait or makes it read or keep more than a bounded amount: an
/// answer to a task that died goes nowhere, a bad address is the task's own `EFAULT`.
pub(super) fn supervise(listener: OwnedFd, supervision: Supervision) -> Ledger {
    supervisor::Supervisor::new(listener, supervision).run()
}
