//! The ownership ledger's two ends: the stage keeps it, pid 1 makes its process's calls come here.
//!
//! The stage is outside the walls of the step. It holds the outer `/proc`, in which the kernel's notifications name
//! processes, and the directory of this run, which nobody finds by its path once the root has changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self as rfs, Mode, OFlags, ResolveFlags};
use rustix::thread::CapabilitySet;

use super::identity::Identity;
use super::ledger::{self, Credentials, Ledger, Owner, Supervision};
use super::namespaces::setup;
use super::{Capability, Error, ImageOwners, RootFilesystem, Spec, StatusError, sys};

const SOCKET: &str = "ledger.sock";
const LEDGER: &str = "ledger.json";
const IDENTITY: &str = "identity.json";
/// Ids are answered too: the image's user is another than the kernel knows.
const PRETEND: bool = true;

/// The stage's end.
pub(super) struct Bookkeeper {
    socket: UnixListener,
    directory: OwnedFd,
    proc: OwnedFd,
    upper: Option<OwnedFd>,
    output: File,
    owners: Vec<KnownOwners>,
    lacks: CapabilitySet,
}

/// Owners in one layer, or in all.
struct KnownOwners {
    layer: Option<OwnedFd>,
    list: BTreeMap<Vec<u8>, Owner>,
}

impl Bookkeeper {
    /// Opens everything that will be out of reach later; none where files have their real owners.
    pub(super) fn begin(spec: &Spec) -> Result<Option<Self>, Error> {
        if !spec.rung.keeps_ledger() {
            return Ok(None);
        }
        let failed =
            |error: std::io::Error| setup("keep the ownership ledger", &crate::fs::reason(&error));
        let directory = open_directory(&spec.directory).map_err(|errno| failed(errno.into()))?;
        let socket = UnixListener::bind(through(&directory, SOCKET)).map_err(failed)?;
        let upper = match spec.root {
            RootFilesystem::Overlay { .. } => Some(
                open_directory(&spec.directory.join("upper"))
                    .map_err(|errno| failed(errno.into()))?,
            ),
            _ => None,
        };
        let known = |owners: &ImageOwners| -> Result<KnownOwners, Error> {
            let layer = owners.layer.as_deref().map(open_directory).transpose();
            Ok(KnownOwners {
                layer: layer.map_err(|errno| failed(errno.into()))?,
                list: parse_owners(&crate::fs::read_limited(&owners.list, 1 << 30)?),
            })
        };
        let owners = spec.owners.iter().map(known).collect::<Result<_, _>>()?;
        Ok(Some(Self {
            proc: open_directory(Path::new("/proc")).map_err(|errno| failed(errno.into()))?,
            output: File::create(spec.directory.join(LEDGER)).map_err(failed)?,
            socket,
            directory,
            upper,
            owners,
            lacks: Capability::set(&spec.dropped),
        }))
    }

    /// Answers the step until all of it has ended, and writes down what it asked for. Returns early when pid 1 ends
    /// before there is anything to answer, which `has_ended` tells.
    pub(super) fn keep(self, has_ended: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        let failed =
            |error: std::io::Error| setup("keep the ownership ledger", &crate::fs::reason(&error));
        loop {
            let moment = Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut sockets, Some(&moment)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {
                    if has_ended() {
                        return Ok(());
                    }
                }
                Ok(_) => break,
                Err(errno) => return Err(failed(errno.into())),
            }
        }
        let listener = ledger::receive_listener(&self.socket).map_err(failed)?;
        // Not by a path below /proc: that is the step's by now, in which this process is not.
        let identity = rfs::openat(
            &self.directory,
            IDENTITY,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let identity = identity
            .map(File::from)
            .map_err(|errno| failed(errno.into()))?;
        let identity: Identity = serde_json::from_reader(identity)
            .map_err(|error| setup("keep the ownership ledger", &error))?;
        let owners = self.owners;
        let ledger = ledger::supervise(
            listener,
            Supervision {
                proc: self.proc,
                upper: self.upper,
                identity: Credentials {
                    uid: identity.uid,
                    gid: identity.gid,
                    groups: identity.groups,
                },
                lacks: self.lacks,
                real: Owner {
                    uid: rustix::process::geteuid().as_raw(),
                    gid: rustix::process::getegid().as_raw(),
                },
                base: Box::new(move |path| owner_of(&owners, path)),
            },
        );
        let mut output = BufWriter::new(self.output);
        serde_json::to_writer(&mut output, &ledger)
            .map_err(std::io::Error::from)
            .and_then(|()| output.flush())
            .map_err(failed)
    }
}

/// Tells the stage, and whoever looks at the run later, who the step's user is.
pub(super) fn introduce(spec: &Spec, identity: &Identity) -> Result<(), StatusError> {
    let failed = |reason: String| StatusError::Setup {
        step: "write down the image's user".to_owned(),
        reason,
        hint: None,
    };
    let bytes = serde_json::to_vec(identity).map_err(|error| failed(error.to_string()))?;
    std::fs::write(spec.directory.join(IDENTITY), bytes)
        .map_err(|error| failed(crate::fs::reason(&error)))
}

/// Pid 1's end: the directory of the run, opened while it can be found.
pub(super) struct Caller(OwnedFd);

impl Caller {
    pub(super) fn new(spec: &Spec) -> Result<Option<Self>, StatusError> {
        if !spec.rung.keeps_ledger() {
            return Ok(None);
        }
        let directory = open_directory(&spec.directory)
            .map_err(|errno| super::mounts::refused("find the directory of this run", errno))?;
        Ok(Some(Self(directory)))
    }

    /// From here on, what this thread and its children ask about owners is answered by the stage.
    pub(super) fn hand_over(self) -> Result<(), StatusError> {
        let failed = |error: std::io::Error| StatusError::Setup {
            step: "hand over to the ownership ledger".to_owned(),
            reason: crate::fs::reason(&error),
            hint: Some(
                "`overcoat doctor` tells whether this kernel has seccomp user notification"
                    .to_owned(),
            ),
        };
        let listener = sys::install_listener(&ledger::numbers(PRETEND)).map_err(failed)?;
        ledger::send_listener(&through(&self.0, SOCKET), listener.as_fd()).map_err(failed)
    }
}

/// What the run left behind: the ledger, empty where none was kept.
pub(super) fn read_ledger(directory: &Path) -> Ledger {
    crate::fs::read_limited(&directory.join(LEDGER), 1 << 30)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// The step's user and group, as the image knows them; root where the step never came so far.
pub(super) fn read_user(directory: &Path) -> (u32, u32) {
    crate::fs::read_limited(&directory.join(IDENTITY), 1 << 20)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Identity>(&bytes).ok())
        .map_or((0, 0), |identity| (identity.uid, identity.gid))
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rfs::open(path, flags, Mode::empty())
}

/// A short path to something in an open directory: a socket's address holds 107 bytes, and the directory may not be
/// below this process's root any more.
fn through(directory: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// Whose a path of the image is; `None` when the image has no such path.
fn owner_of(known: &[KnownOwners], path: &[u8]) -> Option<Owner> {
    const ROOT: Owner = Owner { uid: 0, gid: 0 };
    for KnownOwners { layer, list } in known {
        let Some(layer) = layer else {
            return list.get(path).copied();
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
        // A link that is the path itself is opened, not followed.
        let parent_and_name = || -> Option<rfs::Stat> {
            let path = Path::new(OsStr::from_bytes(path));
            let (parent, name) = (path.parent()?, path.file_name()?);
            let parent = match parent.as_os_str().is_empty() {
                true => Path::new("."),
                false => parent,
            };
            let parent = rfs::openat2(layer, parent, flags, Mode::empty(), resolve).ok()?;
            rfs::statat(&parent, name, rfs::AtFlags::SYMLINK_NOFOLLOW).ok()
        };
        if let Some(status) = parent_and_name() {
            // Overlay's mark of a deleted name.
            let is_device =
                rfs::FileType::from_raw_mode(status.st_mode) == rfs::FileType::CharacterDevice;
            return (!is_device || status.st_rdev != 0)
                .then(|| list.get(path).copied().unwrap_or(ROOT));
        }
    }
    None
}

/// Reads `UID GID PATH\0`….
fn parse_owners(bytes: &[u8]) -> BTreeMap<Vec<u8>, Owner> {
    let parse = |record: &[u8]| {
        let mut fields = record.splitn(3, |byte| *byte == b' ');
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (uid, gid) = (number()?, number()?);
        Some((fields.next()?.to_vec(), Owner { uid, gid }))
    };
    bytes.split(|byte| *byte == 0).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_whatever_the_paths_hold() {
        let owners = parse_owners(b"0 0 etc\x001001 0 opt/a file\n\xff\0broken\0");
        let expected = [
            (b"etc".to_vec(), Owner { uid: 0, gid: 0 }),
            (b"opt/a file\n\xff".to_vec(), Owner { uid: 1001, gid: 0 }),
        ];
        assert_eq!(owners.into_iter().collect::<Vec<_>>(), expected);
    }
}
