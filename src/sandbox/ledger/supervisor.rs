//! Answering: one notification after another, in one thread.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{
    self as rfs, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Statx, Timespec, Timestamps,
    Uid,
};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::calls::{At, Call, Kind, NewOwner};
use super::credentials::{Ids, MAX_GROUPS, State};
use super::file::{birth, statx};
use super::processes::Processes;
use super::resolve::{Last, Object, Resolver, Spot, mount, path_of};
use super::target::Target;
use super::{Device, FileIdentity, Ledger, Owner, Supervision};
use crate::sandbox::sys::{self, Notification, Reply, Waiting};

/// So many recorded files are held open, so that their inodes cannot be given to new files at once. A file system's
/// clock goes in steps of up to 10 ms, and within one a new file would have the birth time of the old. This many
/// records take longer than that: one was measured at 35 µs.
const HELD: usize = 512;
/// How often a file is looked for below the upper directory while it is renamed.
const MAX_LOOKS: usize = 16;
/// What overlay writes to a file that it copied up, in a user namespace and outside.
const ORIGINS: [&str; 2] = ["user.overlay.origin", "trusted.overlay.origin"];

type Answer = Result<Reply, Errno>;

/// A supervisor with all that it knows.
pub(super) struct Supervisor {
    listener: OwnedFd,
    supervision: Supervision,
    processes: Processes,
    root: Option<Spot>,
    ledger: Ledger,
    held: VecDeque<OwnedFd>,
}

impl Supervisor {
    pub(super) fn new(listener: OwnedFd, supervision: Supervision) -> Self {
        let root = rfs::statx(rfs::CWD, "/", AtFlags::empty(), super::file::WANTED);
        Self {
            listener,
            processes: Processes::new(State::new(&supervision.identity)),
            supervision,
            root: root.ok().as_ref().map(Spot::of),
            ledger: Ledger::default(),
            held: VecDeque::new(),
        }
    }

    /// Answers until the last filtered task is gone.
    pub(super) fn run(mut self) -> Ledger {
        // An error here says that the descriptor is no listener: nobody waits for an answer then.
        while let Ok(Waiting::Ready) = sys::wait(self.listener.as_fd()) {
            let notification = match sys::receive(self.listener.as_fd()) {
                Ok(Some(notification)) => notification,
                Ok(None) => continue,
                Err(_) => break,
            };
            let mut answer = self.answer(&notification);
            if matches!(answer, Err(Errno::MFILE | Errno::NFILE)) && !self.held.is_empty() {
                // Better an inode that is used again at once than no answer.
                self.held.clear();
                answer = self.answer(&notification);
            }
            let reply = answer.unwrap_or_else(Reply::Error);
            if sys::reply(self.listener.as_fd(), notification.id, reply).is_err() {
                break;
            }
        }
        self.ledger
    }

    fn answer(&mut self, notification: &Notification) -> Answer {
        let Some(call) = Call::decode(notification.number, notification.arguments) else {
            return Ok(Reply::Continue);
        };
        match call {
            Call::Chown { at, owner, flags } => {
                let object = self.object(notification, at, flags)?;
                self.chown(notification, object, owner)
            }
            Call::ChownDescriptor { descriptor, owner } => {
                let object = Object::new(self.target(notification).descriptor(descriptor)?)?;
                self.chown(notification, object, owner)
            }
            Call::MakeNode { at, mode, device } => self.make_node(notification, at, mode, device),
            Call::Rename { from, to } => {
                for at in [Some(from), to].into_iter().flatten() {
                    self.pin(notification, at, libc::AT_SYMLINK_NOFOLLOW);
                }
                Ok(Reply::Continue)
            }
            Call::Link { from, flags } => {
                // `linkat` follows only when asked to, the other way round than `fchownat`.
                let follow = flags & libc::AT_SYMLINK_FOLLOW != 0;
                let nofollow = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
                self.pin(notification, from, flags & libc::AT_EMPTY_PATH | nofollow);
                Ok(Reply::Continue)
            }
            other => self.answer_about_ids(notification, other),
        }
    }

    fn target<'a>(&'a self, notification: &'a Notification) -> Target<'a> {
        Target {
            listener: self.listener.as_fd(),
            proc: self.supervision.proc.as_fd(),
            notification,
        }
    }

    fn resolver<'a>(&'a self, notification: &'a Notification) -> Result<Resolver<'a>, Errno> {
        Ok(Resolver {
            target: self.target(notification),
            own_root: self.root.ok_or(Errno::NOSYS)?,
        })
    }

    fn state(&self, notification: &Notification) -> Result<State, Errno> {
        let state = self
            .processes
            .state(self.supervision.proc.as_fd(), notification.task)?;
        self.target(notification).check()?;
        Ok(state)
    }

    /// The file that the arguments of a call of the `fchownat` kind name.
    fn object(&self, notification: &Notification, at: At, flags: i32) -> Result<Object, Errno> {
        if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let target = self.target(notification);
        let may_be_empty = flags & libc::AT_EMPTY_PATH != 0;
        let path = match at.path {
            // Since Linux 6.11.
            0 if may_be_empty => Vec::new(),
            address => target.path(address)?,
        };
        if path.is_empty() && may_be_empty {
            let file = match at.directory {
                libc::AT_FDCWD => target.open("cwd")?,
                descriptor => target.descriptor(descriptor)?,
            };
            return Object::new(file);
        }
        let last = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
            Last::Itself
        } else {
            Last::Followed
        };
        self.resolver(notification)?.open(at.directory, &path, last)
    }

    /// True for files that the layer can hold: those on the mount of the root directory.
    fn is_on_root(&self, object: &Object) -> bool {
        self.root
            .is_some_and(|root| root.mount == mount(&object.stat))
    }

    fn chown(&mut self, notification: &Notification, object: Object, new: NewOwner) -> Answer {
        let state = self.state(notification)?;
        let on_root = self.is_on_root(&object);
        let may_give_away =
            state.may_give_away() && !self.supervision.lacks.contains(CapabilitySet::CHOWN);
        let needs_old = !may_give_away || new.uid.is_none() || new.gid.is_none();
        let old = if on_root && needs_old {
            self.known_owner(&object)?
        } else {
            None
        };
        // A file without a record was made by the step, as far as anybody knows by the one who asks.
        let old = old.unwrap_or(Owner {
            uid: state.users.file,
            gid: state.groups.file,
        });
        if !may_give_away {
            let keeps_user = new.uid.is_none_or(|uid| uid == old.uid);
            let keeps_group = new
                .gid
                .is_none_or(|gid| gid == old.gid || state.is_member(gid));
            let asks_nothing = new.uid.is_none() && new.gid.is_none();
            let is_owner = old.uid == state.users.file;
            if !(asks_nothing || is_owner && keeps_user && keeps_group) {
                return Err(Errno::PERM);
            }
        }
        match self.chown_really(&object) {
            Ok(()) => {}
            // What is not part of the layer may belong to the host: `/dev/null`, `/proc`, what was bound in.
            Err(error) if !on_root && error != Errno::ROFS => return Ok(Reply::Value(0)),
            // In a container, what belongs to another user of it. That nothing would change can be said; that something
            // changes cannot be seen later, and so would be lost.
            Err(Errno::PERM) if self.asks_for_what_is(&object, new)? => return Ok(Reply::Value(0)),
            Err(error) => return Err(error),
        }
        if on_root && (new.uid.is_some() || new.gid.is_some()) {
            let owner = Owner {
                uid: new.uid.unwrap_or(old.uid),
                gid: new.gid.unwrap_or(old.gid),
            };
            if let Some((identity, held)) = self.identity(object)? {
                self.hold(held);
                self.ledger.owners.insert(identity, owner);
            }
        }
        Ok(Reply::Value(0))
    }

    /// True when a file has the owner already that it is to get.
    fn asks_for_what_is(&self, object: &Object, new: NewOwner) -> Result<bool, Errno> {
        let known = self.known_owner(object)?;
        Ok(known.is_some_and(|known| {
            new.uid.is_none_or(|uid| uid == known.uid) && new.gid.is_none_or(|gid| gid == known.gid)
        }))
    }

    /// Gives a file to the ids that exist. It has them already, but the rest of what the kernel does happens: the file
    /// is copied up, its time of change is set, its set-id bits and capabilities go.
    fn chown_really(&self, object: &Object) -> Result<(), Errno> {
        let Owner { uid, gid } = self.supervision.real;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rfs::chownat(&object.file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    }

    /// The owner that a file of the root has by a record, or by being the builder's; `None` when the step made it.
    fn known_owner(&self, object: &Object) -> Result<Option<Owner>, Errno> {
        let builder = |path: &[u8]| (self.supervision.base)(path);
        if object.stat.stx_nlink == 0 {
            let identity = FileIdentity::from_statx(&object.stat);
            return Ok(self.ledger.owner(&identity));
        }
        let path = path_of(self.supervision.proc.as_fd(), object.file.as_fd())?;
        let path = path.strip_prefix(b"/").unwrap_or(&path);
        let Some(upper) = &self.supervision.upper else {
            let identity = FileIdentity::from_statx(&object.stat);
            return Ok(self.ledger.owner(&identity).or_else(|| builder(path)));
        };
        let file = match open_below(upper, path, OFlags::PATH) {
            Ok(file) => file,
            // It has not been copied up.
            Err(Errno::NOENT) => return Ok(builder(path)),
            Err(error) => return Err(error),
        };
        let stat = statx(file.as_fd())?;
        let recorded = self.ledger.owner(&FileIdentity::from_statx(&stat));
        Ok(recorded.or_else(|| {
            let is_new = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile
                && !was_copied_up(upper, path);
            if is_new { None } else { builder(path) }
        }))
    }

    /// The identity under which the layer's writer will find a file of the root, with a descriptor that keeps the inode
    /// from being used again. `None` for a file without a name, which no layer will hold.
    fn identity(&self, object: Object) -> Result<Option<(FileIdentity, OwnedFd)>, Errno> {
        let Some(upper) = &self.supervision.upper else {
            return Ok(Some((FileIdentity::from_statx(&object.stat), object.file)));
        };
        for _ in 0..MAX_LOOKS {
            let now = statx(object.file.as_fd())?;
            if now.stx_nlink == 0 {
                return Ok(None);
            }
            let path = path_of(self.supervision.proc.as_fd(), object.file.as_fd())?;
            let path = path.strip_prefix(b"/").unwrap_or(&path);
            let file = match open_below(upper, path, OFlags::PATH) {
                Ok(file) => file,
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
                Err(error) => return Err(error),
            };
            let stat = statx(file.as_fd())?;
            if is_same(&now, &stat) {
                return Ok(Some((FileIdentity::from_statx(&stat), file)));
            }
        }
        // Reached through a name that is gone while another one is left, or renamed without end. Success without a
        // record would be a wrong owner in the image.
        Err(Errno::STALE)
    }

    fn hold(&mut self, file: OwnedFd) {
        if self.held.len() == HELD {
            self.held.pop_front();
        }
        self.held.push_back(file);
    }

    /// Gives a builder's file that is about to get another name a record of its own, since its owner is known by the
    /// old name alone. What goes wrong here is for the kernel to say: the call itself is still to come.
    fn pin(&mut self, notification: &Notification, at: At, flags: i32) {
        let Ok(object) = self.object(notification, at, flags) else {
            return;
        };
        if !self.is_on_root(&object)
            || !matches!(object.kind(), FileType::RegularFile | FileType::Symlink)
        {
            return;
        }
        let Ok(Some(owner)) = self.known_owner(&object) else {
            return;
        };
        if self.supervision.upper.is_some() && copy_up(&self.supervision, &object).is_err() {
            return;
        }
        if let Ok(Some((identity, held))) = self.identity(object) {
            self.hold(held);
            self.ledger.owners.entry(identity).or_insert(owner);
        }
    }

    fn make_node(&mut self, notification: &Notification, at: At, mode: u32, device: u64) -> Answer {
        // The kernel takes 32 bits (`new_decode_dev`).
        let device = device as u32;
        let device = Device {
            is_block: mode & libc::S_IFMT == libc::S_IFBLK,
            major: device >> 8 & 0xfff,
            minor: device & 0xff | device >> 12 & 0xf_ff00,
        };
        let is_node = [libc::S_IFBLK, libc::S_IFCHR].contains(&(mode & libc::S_IFMT));
        let is_whiteout = !device.is_block && (device.major, device.minor) == (0, 0);
        // Pipes, sockets, files and overlay's whiteouts are anybody's to make.
        if !is_node || is_whiteout {
            return Ok(Reply::Continue);
        }
        let state = self.state(notification)?;
        if !state.may_give_away() || self.supervision.lacks.contains(CapabilitySet::MKNOD) {
            return Err(Errno::PERM);
        }
        let target = self.target(notification);
        let path = target.path(at.path)?;
        let (parent, name) = self.resolver(notification)?.parent(at.directory, &path)?;
        if !self.is_on_root(&parent) {
            return Err(Errno::PERM);
        }
        let mode = Mode::from_raw_mode(mode & 0o7777 & !target.status()?.umask);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rfs::openat(&parent.file, name.as_slice(), flags, Mode::empty())?;
        let object = Object::new(file)?;
        self.chown_really(&object)?;
        // After the owner, whose change takes set-id bits away; and without this process's own umask.
        rfs::fchmod(&object.file, mode)?;
        if let Some((identity, held)) = self.identity(object)? {
            let owner = Owner {
                uid: state.users.file,
                gid: state.groups.file,
            };
            self.hold(held);
            self.ledger.owners.insert(identity, owner);
            self.ledger.devices.insert(identity, device);
        }
        Ok(Reply::Value(0))
    }

    fn answer_about_ids(&mut self, notification: &Notification, call: Call) -> Answer {
        let old = self.state(notification)?;
        let target = self.target(notification);
        let ids = |kind| match kind {
            Kind::User => old.users,
            Kind::Group => old.groups,
        };
        match call {
            Call::Real(kind) => return Ok(Reply::Value(ids(kind).real.into())),
            Call::Effective(kind) => return Ok(Reply::Value(ids(kind).effective.into())),
            Call::Three(kind, addresses) => {
                let Ids {
                    real,
                    effective,
                    saved,
                    ..
                } = ids(kind);
                for (address, id) in addresses.into_iter().zip([real, effective, saved]) {
                    target.write(address, &[id])?;
                }
                return Ok(Reply::Value(0));
            }
            Call::Groups { count, list } => return groups(&target, &old, count, list),
            _ => {}
        }
        let mut new = old.clone();
        let mut value = 0;
        let needed = match call {
            Call::Set(Kind::User, _)
            | Call::SetTwo(Kind::User, ..)
            | Call::SetThree(Kind::User, _)
            | Call::SetFile(Kind::User, _) => CapabilitySet::SETUID,
            _ => CapabilitySet::SETGID,
        };
        let may = old.may_change_ids() && !self.supervision.lacks.contains(needed);
        match call {
            Call::Set(kind, id) => new.ids(kind).set(may, id)?,
            Call::SetTwo(kind, real, effective) => {
                new.ids(kind).set_two(may, real, effective)?;
            }
            Call::SetThree(kind, three) => new.ids(kind).set_three(may, three)?,
            Call::SetFile(kind, id) => value = new.ids(kind).set_file(may, id).into(),
            Call::SetGroups { count, list } => {
                if !may {
                    return Err(Errno::PERM);
                }
                let count = usize::try_from(count).map_err(|_| Errno::INVAL)?;
                // The kernel allows more (NGROUPS_MAX), this table does not.
                if count > 65_536 {
                    return Err(Errno::INVAL);
                } else if count > MAX_GROUPS {
                    return Err(Errno::NOMEM);
                }
                new.supplementary = target.numbers(list, count)?.into();
            }
            _ => return Ok(Reply::Continue),
        }
        let proc = self.supervision.proc.as_fd();
        self.processes.change(proc, notification.task, &old, new)?;
        Ok(Reply::Value(value))
    }
}

fn groups(target: &Target<'_>, state: &State, count: i32, list: u64) -> Answer {
    let groups = &state.supplementary;
    let room = usize::try_from(count).map_err(|_| Errno::INVAL)?;
    if room > 0 {
        if room < groups.len() {
            return Err(Errno::INVAL);
        }
        target.write(list, groups)?;
    }
    Ok(Reply::Value(groups.len() as i64))
}

/// Opens a file below a directory by the path that the kernel gave it: without links, mounts or `..` on the way.
fn open_below(directory: &OwnedFd, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rfs::openat2(directory, path, flags, Mode::empty(), resolve)
}

/// Whether a file seen through the overlay and one in its upper directory are the same. The overlay may show another
/// inode number, but it shows the upper file's times and size.
fn is_same(shown: &Statx, upper: &Statx) -> bool {
    shown.stx_mode == upper.stx_mode
        && (birth(shown) == birth(upper) || birth(shown) == (0, 0))
        && (shown.stx_ctime.tv_sec, shown.stx_ctime.tv_nsec)
            == (upper.stx_ctime.tv_sec, upper.stx_ctime.tv_nsec)
}

/// True when overlay made a regular file of the upper directory from one of the builder's; false when the step did.
/// Overlay does not tell about files that the builder has under several names.
fn was_copied_up(upper: &OwnedFd, path: &[u8]) -> bool {
    let Ok(file) = open_below(upper, path, OFlags::RDONLY | OFlags::NONBLOCK) else {
        return false;
    };
    ORIGINS.iter().any(|name| {
        let length = rfs::fgetxattr(&file, *name, &mut [0_u8; 0][..]);
        length.is_ok()
    })
}

/// Has overlay copy a file up and changes nothing about it: its times are set to what they are. (`chown` would take the
/// set-id bits and capabilities of a program that is only renamed.)
fn copy_up(supervision: &Supervision, object: &Object) -> Result<(), Errno> {
    let time = |time: rfs::StatxTimestamp| Timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec.into(),
    };
    let times = Timestamps {
        last_access: time(object.stat.stx_atime),
        last_modification: time(object.stat.stx_mtime),
    };
    // Through /proc, because `utimensat` takes no descriptor that has no access. The link leads to the very file, also
    // when that is a symbolic link.
    let link = format!("self/fd/{}", object.file.as_raw_fd());
    rfs::utimensat(&supervision.proc, link, &times, AtFlags::empty())
}
