//! Exit codes, grouped by where the trouble is. They are an interface: scripts compare them.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// All is done.
    Success = 0,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// A name given to `-t`, `push`, `pull` … is no image reference.
    InvalidReference = 3,
    /// The image that was named is not in the store.
    NoSuchImage = 4,
    /// The source is not there, neither a directory nor an archive, or cannot be cloned.
    NoSource = 10,
    /// `requirements.txt` cannot be read.
    Requirements = 11,
    /// Another part of the source, or its archive, cannot be read.
    UnreadableSource = 12,
    /// The packages that the application requires do not exist, or not in versions that fit together.
    Packages = 13,
    /// `--locked`, and versions are left to choose.
    NotLocked = 14,
    /// The source is a git repository without any commit.
    EmptyRepository = 15,
    /// The builder image does not exist.
    NoBuilder = 20,
    /// The image is not a builder.
    NotABuilder = 21,
    /// The builder image is for another platform, or cannot do what was asked.
    UnsuitableBuilder = 22,
    /// A recipe's packages cannot be had or are not authentic.
    Recipe = 23,
    /// The user that would run scripts is not among `--allowed-uids`.
    ForbiddenUser = 24,
    /// A registry or the network failed, or the settings of a registry cannot be used or forbid it.
    Registry = 30,
    /// A registry wants other credentials.
    Unauthorised = 31,
    /// Bytes are not what their digest says.
    DigestMismatch = 32,
    /// A layer or document is damaged or unsafe.
    DamagedImage = 33,
    /// The sandbox cannot be set up on this machine.
    Sandbox = 40,
    /// The image has no such user or command.
    Process = 41,
    /// A script of the build failed; its own status is in the message.
    Script = 50,
    /// `build --check`: another way to build gives another image.
    NotReproducible = 51,
    /// An output cannot be written, or a container engine does not take the image.
    Output = 60,
    /// The disk or the quota is full.
    DiskFull = 61,
    /// The store is damaged or is something else, or others use it and it is wanted alone.
    Store = 62,
    /// A file operation failed for another reason.
    File = 63,
    /// A mistake in overcoat itself.
    Internal = 70,
    /// `overcoat.toml`, or another tool's settings, cannot be read or make no sense.
    Project = 80,
    /// There is no such environment or application.
    NoEnvironment = 81,
    /// The file of results is not there, is empty, or lacks the image.
    NoResult = 82,
    /// A tag stands for another digest already; nothing was moved.
    Conflict = 83,
    /// A manifest cannot be edited as it stands.
    Manifest = 84,
    /// There is no such container or workload.
    NoContainer = 85,
    /// `--check`: a file would be changed.
    WouldChange = 86,
    /// Several workloads or containers may be meant.
    Ambiguous = 87,
    /// A template of Helm was named where a manifest is wanted.
    Template = 88,
    /// There is no cluster, no way to it, or its API failed.
    Cluster = 90,
    /// The cluster does not allow it.
    Forbidden = 91,
    /// The rollout failed.
    RolloutFailed = 92,
    /// The rollout was not complete in time.
    RolloutTimeout = 93,
    /// The new pods run, but did not say that they are ready.
    NotReady = 94,
    /// A hook failed.
    Hook = 95,
    /// Records cannot be read or written, or there is no such record.
    History = 96,
    /// A check before the work refuses it.
    Refused = 97,
    /// k3d or kind failed, or the node does not have the image.
    Loader = 98,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}
