//! Running something that is not ours: a root file system, a process, and walls around it.
//!
//! overcoat re-executes itself, so that everything that changes a process for good happens in a fresh,
//! single-threaded one, and no `unsafe` is needed:
//!
//! ```text
//! overcoat build           an ordinary user: enters a user namespace first, where it is root   [namespaces]
//!   └─ overcoat build      prepares layers and a spec (JSON)                                    [run]
//!        └─ stage          new namespaces, or none: then it looks after all descendants        [namespaces, keeper]
//!             └─ init      pid 1: mounts, pivot_root, uploads, drops privileges, reaps          [init, mounts, uploads,
//!                  └─ the process                                                               privileges, command]
//! ```
//!
//! How high the walls are depends on what this machine allows: that is the [`Rung`] of the ladder. Every stage asks the
//! kernel for a signal when its parent dies; the end of pid 1 ends everything below it, and where there is no pid
//! namespace the stage ends everything itself. So nothing outlives overcoat. This module knows nothing of images,
//! labels or scripts.

mod bookkeeping;
mod capabilities;
mod cgroup;
mod command;
mod confine;
mod identity;
mod init;
mod injections;
mod keeper;
pub mod ladder;
mod ledger;
mod mounts;
mod namespaces;
mod network;
mod output;
mod privileges;
pub mod probe;
pub mod publish;
mod refusal;
mod run;
mod seccomp;
mod sys;
mod uploads;

pub use capabilities::Capability;
pub use cgroup::{ControlGroup, Limits};
pub use identity::{IdMap, SubordinateIds};
pub use injections::{InjectedFile, Injection};
pub use ladder::Rung;
pub use ledger::{Device, FileIdentity, Ledger, Owner};
pub use namespaces::{UserNamespace, enter_user_namespace};
pub use run::{Capture, Exit, Input, Sandbox, exit_status};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Why something could not be run. What the process itself does wrong is an [`Exit`], not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed on this side of the walls.
    #[error(transparent)]
    File(#[from] crate::fs::Error),
    /// A step of the set-up was refused by the kernel.
    #[error("cannot {step}: {reason}")]
    Setup {
        /// What was tried, as a verb phrase.
        step: String,
        /// What the kernel said.
        reason: String,
        /// What may help, if that is known.
        hint: Option<String>,
    },
    /// A file of this machine cannot be shown where it should be.
    #[error("cannot inject {what}: {reason}")]
    Injection {
        /// Which, and where.
        what: String,
        /// Why.
        reason: String,
        /// What may help, if that is known.
        hint: Option<String>,
    },
    /// The image has no such user or group.
    #[error("the image has no {kind} `{name}`")]
    NoSuchUser {
        /// `user` or `group`.
        kind: String,
        /// The name as written.
        name: String,
    },
    /// The command is not in the image, or cannot be executed.
    #[error("cannot execute `{command}` in the image: {reason}")]
    Command {
        /// The first word of the command.
        command: String,
        /// Why.
        reason: String,
    },
    /// No user namespace can be made for this user.
    #[error("cannot make a user namespace: {reason}")]
    UserNamespace {
        /// What was refused, and by whom.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The step took longer than it may.
    #[error("the step did not end within {}", spoken(*limit))]
    TimedOut {
        /// How long it may take.
        limit: std::time::Duration,
        /// The last lines it printed.
        tail: Vec<String>,
    },
    /// The step's standard output, which was to be kept, is larger than it may be.
    #[error("the step printed more than {limit} bytes on its standard output, which is kept")]
    TooMuchOutput {
        /// How much it may be.
        limit: u64,
    },
    /// The person asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// `90 s`, `15 min`: what a person would say.
fn spoken(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        0 => format!("{} ms", duration.as_millis()),
        seconds => format!("{seconds} s"),
    }
}

impl Error {
    /// Things a person can do now.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Setup { hint, .. } | Self::Injection { hint, .. } => {
                hint.iter().cloned().collect()
            }
            Self::UserNamespace { hint, .. } => vec![hint.clone()],
            Self::NoSuchUser { .. } => {
                vec!["use a user that `/etc/passwd` of the image lists, or a number".to_owned()]
            }
            _ => Vec::new(),
        }
    }

    /// True when the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::File(error) => error.is_full(),
            // What travels from the stages is the kernel's text for ENOSPC. Namespaces have the same errno with
            // another meaning, but never come here (they are `UserNamespace`).
            Self::Setup { reason, .. } | Self::Injection { reason, .. } => {
                reason == "no space left on device"
            }
            _ => false,
        }
    }
}

/// What to run. Everything is explicit; nothing is inherited from this process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// The command and its arguments; the command is looked up in the `PATH` of `environment` unless it has a slash.
    pub arguments: Vec<String>,
    /// The whole environment. `HOME` is added from the image's `/etc/passwd` when it is not set.
    pub environment: Vec<(String, String)>,
    /// The working directory, absolute within the root file system; made when it is not there.
    pub working_directory: String,
    /// `user`, `user:group`, numeric or by name as the root file system's `/etc/passwd` and `/etc/group` know them;
    /// empty means root.
    pub user: String,
}

/// What the process sees as `/`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RootFilesystem {
    /// Directories stacked by overlay; what the process changes goes into another one.
    Overlay {
        /// The layers, topmost first.
        lowers: Vec<PathBuf>,
    },
    /// One directory, which the process changes.
    Tree(PathBuf),
    /// This machine's own: the running container, which the process changes.
    Host,
}

/// Something to put into the root file system before the process starts, owned by its user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// Where, as bytes: absolute within the root file system. Parents are made as needed.
    pub target: Vec<u8>,
    /// What.
    pub content: UploadContent,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
}

/// What an [`Upload`] puts there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum UploadContent {
    /// A directory, mode 0755.
    Directory,
    /// A copy of a file of this machine.
    File {
        /// Path on this machine, as bytes.
        source: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Symlink {
        /// The target's bytes.
        target: Vec<u8>,
    },
}

/// Something of this machine that is shown to the process and is never part of what it changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// Path on this machine: a file or a directory.
    pub source: PathBuf,
    /// Path within the root file system, absolute; made when it is not there.
    pub target: String,
    /// What the process may do with it.
    pub access: Access,
    /// Whether each user of the image has a directory of its own in `source`: made when needed, and given to that user.
    pub is_per_user: bool,
}

/// What a process may do with a [`Bind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// A file in memory that only the process and root inside can read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret {
    /// Path within the root file system, absolute.
    pub target: String,
    /// The file's bytes.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Which network a process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// This machine's.
    #[default]
    Host,
    /// A loopback interface of its own.
    None,
}

/// Owners of an image's files, where the disk does not have them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageOwners {
    /// A layer's directory: what is in it and not in the list belongs to root. `None` when the list is complete.
    pub layer: Option<PathBuf>,
    /// A file of `UID GID PATH\0`….
    pub list: PathBuf,
}

/// All that the stages need to know, written for them as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Spec {
    rung: Rung,
    root: RootFilesystem,
    /// Scratch of this run: `upper`, `work`, `root` and the status file are in it.
    directory: PathBuf,
    process: Process,
    uploads: Vec<Upload>,
    binds: Vec<Bind>,
    secrets: Vec<Secret>,
    injections: Vec<Injection>,
    dropped: Vec<Capability>,
    network: Network,
    on_signal: OnSignal,
    owners: Vec<ImageOwners>,
}

/// Where pid 1 writes its [`Status`], in the directory of a run.
const STATUS: &str = "status.json";

impl Spec {
    /// Where pid 1 writes its [`Status`].
    fn status(&self) -> PathBuf {
        self.directory.join(STATUS)
    }
}

/// What a stage does with a signal such as SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum OnSignal {
    /// Passes it on to the process.
    Forward,
    /// Ends everything at once.
    Kill,
}

/// What pid 1 has to say beside the exit status.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Status {
    /// Why the process could not be started.
    error: Option<StatusError>,
    /// Paths that are there only because of us: mount points, and copies of what cannot be mounted.
    scaffolding: Vec<Vec<u8>>,
    /// Directories that stand for caches: all that is in them is there only because of us.
    caches: Vec<Vec<u8>>,
    /// Files that were put where the image may have some, relative to the root, where they could not be mounted.
    injected: Vec<injections::Placed>,
    /// What is less than it could be, for people.
    notes: Vec<String>,
}

/// The part of [`Error`] that travels from the stages.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum StatusError {
    Setup {
        step: String,
        reason: String,
        hint: Option<String>,
    },
    Injection {
        what: String,
        reason: String,
        hint: Option<String>,
    },
    NoSuchUser {
        kind: String,
        name: String,
    },
    Command {
        command: String,
        reason: String,
    },
}

impl From<StatusError> for Error {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Setup { step, reason, hint } => Self::Setup { step, reason, hint },
            StatusError::Injection { what, reason, hint } => Self::Injection { what, reason, hint },
            StatusError::NoSuchUser { kind, name } => Self::NoSuchUser { kind, name },
            StatusError::Command { command, reason } => Self::Command { command, reason },
        }
    }
}

/// The first argument that makes this program a stage of the sandbox; see [`stage_main`].
pub const STAGE_ARGUMENT: &str = "__overcoat-sandbox";

/// Runs a stage of the sandbox, when `arguments` (without the program's name) ask for one: the exit status to end
/// with, or `None` when this is an ordinary call. To be called first in `main`, before any thread exists.
pub fn stage_main(arguments: &[std::ffi::OsString]) -> Option<u8> {
    let (first, rest) = arguments.split_first()?;
    if first != STAGE_ARGUMENT {
        return None;
    }
    let (stage, rest) = rest.split_first()?;
    Some(match stage.to_str() {
        Some("user-namespace") => namespaces::user_namespace_stage(rest),
        Some("map-ids") => namespaces::map_ids_stage(rest),
        Some("write-maps") => namespaces::write_maps_stage(rest),
        Some("stage") => namespaces::stage(rest),
        Some("init") => init::main(rest),
        Some("probe") => probe::stage(rest),
        _ => 70,
    })
}
