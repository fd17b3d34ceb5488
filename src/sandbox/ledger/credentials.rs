//! The kernel's rules for changing one's ids, applied to ids that exist only here.
//!
//! # Source
//! `setuid(2)`, `setreuid(2)`, `setresuid(2)`, `setfsuid(2)`, `setgroups(2)`; `kernel/sys.c` of Linux.

use std::rc::Rc;

use rustix::io::Errno;

use super::calls::Kind;

/// More supplementary groups than this are refused: what is kept per process must be small.
pub(super) const MAX_GROUPS: usize = 1024;

/// "Leave it as it is", where a call takes several ids.
const UNCHANGED: u32 = u32::MAX;

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Credentials {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

/// The four ids of one kind that a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    /// The one that files are made and reached with.
    pub file: u32,
}

impl Ids {
    fn all(id: u32) -> Self {
        Self {
            real: id,
            effective: id,
            saved: id,
            file: id,
        }
    }

    /// `setuid`, `setgid`.
    pub(super) fn set(&mut self, privileged: bool, id: u32) -> Result<(), Errno> {
        if id == UNCHANGED {
            return Err(Errno::INVAL);
        }
        if privileged {
            *self = Self::all(id);
        } else if id == self.real || id == self.saved {
            self.effective = id;
            self.file = id;
        } else {
            return Err(Errno::PERM);
        }
        Ok(())
    }

    /// `setreuid`, `setregid`.
    pub(super) fn set_two(
        &mut self,
        privileged: bool,
        real: u32,
        effective: u32,
    ) -> Result<(), Errno> {
        let old = *self;
        let real_allowed = [UNCHANGED, old.real, old.effective].contains(&real);
        let effective_allowed =
            [UNCHANGED, old.real, old.effective, old.saved].contains(&effective);
        if !(privileged || real_allowed && effective_allowed) {
            return Err(Errno::PERM);
        }
        if real != UNCHANGED {
            self.real = real;
        }
        if effective != UNCHANGED {
            self.effective = effective;
        }
        if real != UNCHANGED || (effective != UNCHANGED && effective != old.real) {
            self.saved = self.effective;
        }
        self.file = self.effective;
        Ok(())
    }

    /// `setresuid`, `setresgid`: real, effective, saved.
    pub(super) fn set_three(&mut self, privileged: bool, ids: [u32; 3]) -> Result<(), Errno> {
        let old = [UNCHANGED, self.real, self.effective, self.saved];
        if !privileged && !ids.iter().all(|id| old.contains(id)) {
            return Err(Errno::PERM);
        }
        for (slot, id) in [&mut self.real, &mut self.effective, &mut self.saved]
            .into_iter()
            .zip(ids)
        {
            if id != UNCHANGED {
                *slot = id;
            }
        }
        self.file = self.effective;
        Ok(())
    }

    /// `setfsuid`, `setfsgid`: what it was before. Nothing says whether it has changed.
    pub(super) fn set_file(&mut self, privileged: bool, id: u32) -> u32 {
        let old = self.file;
        let own = [self.real, self.effective, self.saved, self.file].contains(&id);
        if id != UNCHANGED && (privileged || own) {
            self.file = id;
        }
        old
    }
}

/// The ids that a process believes to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub users: Ids,
    pub groups: Ids,
    /// Shared by the many processes that inherit them.
    pub supplementary: Rc<[u32]>,
}

impl State {
    pub(super) fn new(credentials: &Credentials) -> Self {
        Self {
            users: Ids::all(credentials.uid),
            groups: Ids::all(credentials.gid),
            supplementary: credentials.groups.as_slice().into(),
        }
    }

    /// The ids of one kind.
    pub(super) fn ids(&mut self, kind: Kind) -> &mut Ids {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
        }
    }

    /// Has `CAP_SETUID` and `CAP_SETGID`, which come and go with the effective user.
    pub(super) fn may_change_ids(&self) -> bool {
        self.users.effective == 0
    }

    /// Has `CAP_CHOWN` and `CAP_MKNOD`, which come and go with the user that files are reached with.
    pub(super) fn may_give_away(&self) -> bool {
        self.users.file == 0
    }

    /// Is a member of a group, for the purpose of reaching files.
    pub(super) fn is_member(&self, gid: u32) -> bool {
        self.groups.file == gid || self.supplementary.contains(&gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(real: u32, effective: u32, saved: u32) -> Ids {
        Ids {
            real,
            effective,
            saved,
            file: effective,
        }
    }

    #[test]
    fn root_may_become_anybody_and_then_not_come_back() {
        let mut root = Ids::all(0);
        root.set(true, 42).unwrap();
        assert_eq!(root, Ids::all(42));
        assert_eq!(root.set(false, 0), Err(Errno::PERM));
        assert_eq!(root.set_two(false, UNCHANGED, 0), Err(Errno::PERM));
        assert_eq!(
            root.set_three(false, [UNCHANGED, UNCHANGED, 0]),
            Err(Errno::PERM)
        );
        assert_eq!(root.set_file(false, 0), 42);
        assert_eq!(root, Ids::all(42));
        assert_eq!(Ids::all(0).set(true, UNCHANGED), Err(Errno::INVAL));
    }

    #[test]
    fn an_effective_id_that_was_put_aside_comes_back() {
        let mut daemon = ids(0, 0, 0);
        daemon.set_three(true, [UNCHANGED, 42, UNCHANGED]).unwrap();
        assert_eq!(daemon, ids(0, 42, 0));
        daemon.set(false, 0).unwrap();
        assert_eq!(daemon, ids(0, 0, 0));
    }

    #[test]
    fn the_saved_id_follows_setreuid_as_the_kernel_has_it() {
        // (before, real, effective) → after
        let table = [
            (ids(5, 6, 7), UNCHANGED, 7, Ok(ids(5, 7, 7))),
            (ids(5, 6, 7), UNCHANGED, 5, Ok(ids(5, 5, 7))),
            (ids(5, 6, 7), 6, 5, Ok(ids(6, 5, 5))),
            (ids(5, 6, 7), 7, UNCHANGED, Err(Errno::PERM)),
            (ids(5, 6, 7), UNCHANGED, UNCHANGED, Ok(ids(5, 6, 7))),
            (ids(5, 6, 7), UNCHANGED, 8, Err(Errno::PERM)),
        ];
        for (before, real, effective, after) in table {
            let mut now = before;
            let result = now.set_two(false, real, effective).map(|()| now);
            assert_eq!(result, after, "{before:?} {real} {effective}");
        }
    }

    #[test]
    fn the_file_id_is_put_aside_without_touching_the_others() {
        let mut server = Ids::all(0);
        assert_eq!(server.set_file(true, 33), 0);
        assert_eq!(server.set_file(true, UNCHANGED), 33);
        assert_eq!(
            server,
            Ids {
                file: 33,
                ..Ids::all(0)
            }
        );
    }
}
