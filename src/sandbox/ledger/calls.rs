//! Which calls are answered, and what their registers say.

/// A path argument: where it starts, and the address of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// A descriptor of the task, or `AT_FDCWD`.
    pub directory: i32,
    pub path: u64,
}

/// Which of a process's two kinds of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

/// A new owner as `chown` takes it: `None` leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewOwner {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// A call that the supervisor answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `chown`, `lchown`, `fchownat` (with its flags).
    Chown { at: At, owner: NewOwner, flags: i32 },
    /// `fchown`.
    ChownDescriptor { descriptor: i32, owner: NewOwner },
    /// `mknod`, `mknodat`.
    MakeNode { at: At, mode: u32, device: u64 },
    /// `rename`, `renameat`, `renameat2`: `to` when both names change places.
    Rename { from: At, to: Option<At> },
    /// `link`, `linkat`.
    Link { from: At, flags: i32 },
    /// `setuid`, `setgid`.
    Set(Kind, u32),
    /// `setreuid`, `setregid`.
    SetTwo(Kind, u32, u32),
    /// `setresuid`, `setresgid`.
    SetThree(Kind, [u32; 3]),
    /// `setfsuid`, `setfsgid`.
    SetFile(Kind, u32),
    /// `setgroups`: how many, and the address of their numbers.
    SetGroups { count: i32, list: u64 },
    /// `getuid`, `getgid`.
    Real(Kind),
    /// `geteuid`, `getegid`.
    Effective(Kind),
    /// `getresuid`, `getresgid`: three addresses.
    Three(Kind, [u64; 3]),
    /// `getgroups`: room, and its address.
    Groups { count: i32, list: u64 },
}

/// The calls of processes that can be reported; `pretend` as in [`super::Supervision`].
pub(in super::super) fn numbers(pretend: bool) -> Vec<i64> {
    let mut numbers = vec![
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_mknodat,
        RENAMEAT,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
        libc::SYS_setgroups,
    ];
    #[cfg(target_arch = "x86_64")]
    numbers.extend([
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_mknod,
        libc::SYS_rename,
        libc::SYS_link,
    ]);
    if pretend {
        numbers.extend([
            libc::SYS_getuid,
            libc::SYS_getgid,
            libc::SYS_geteuid,
            libc::SYS_getegid,
            libc::SYS_getresuid,
            libc::SYS_getresgid,
            libc::SYS_getgroups,
        ]);
    }
    numbers
}

/// libc does not name it on every architecture (`include/uapi/asm-generic/unistd.h`).
#[cfg(target_arch = "x86_64")]
const RENAMEAT: i64 = libc::SYS_renameat;
#[cfg(not(target_arch = "x86_64"))]
const RENAMEAT: i64 = 38;

/// A register as the 32-bit argument that the kernel takes from it.
fn word(register: u64) -> u32 {
    register as u32
}

/// The same, where the argument has a sign: descriptors, flags, counts.
fn signed(register: u64) -> i32 {
    register as u32 as i32
}

fn new_owner(uid: u64, gid: u64) -> NewOwner {
    let id = |register| Some(word(register)).filter(|id| *id != u32::MAX);
    NewOwner {
        uid: id(uid),
        gid: id(gid),
    }
}

impl Call {
    /// Reads the registers of a call; `None` for one that is not in [`numbers`].
    pub(super) fn decode(number: i64, arguments: [u64; 6]) -> Option<Self> {
        let [a, b, c, d, e, _] = arguments;
        let at = |directory, path| At {
            directory: signed(directory),
            path,
        };
        let three = [word(a), word(b), word(c)];
        Some(match number {
            libc::SYS_fchownat => Self::Chown {
                at: at(a, b),
                owner: new_owner(c, d),
                flags: signed(e),
            },
            libc::SYS_fchown => Self::ChownDescriptor {
                descriptor: signed(a),
                owner: new_owner(b, c),
            },
            libc::SYS_mknodat => Self::MakeNode {
                at: at(a, b),
                mode: word(c),
                device: d,
            },
            RENAMEAT => Self::Rename {
                from: at(a, b),
                to: None,
            },
            libc::SYS_renameat2 => Self::Rename {
                from: at(a, b),
                to: (word(e) & libc::RENAME_EXCHANGE != 0).then(|| at(c, d)),
            },
            libc::SYS_linkat => Self::Link {
                from: at(a, b),
                flags: signed(e),
            },
            libc::SYS_setuid => Self::Set(Kind::User, word(a)),
            libc::SYS_setgid => Self::Set(Kind::Group, word(a)),
            libc::SYS_setreuid => Self::SetTwo(Kind::User, word(a), word(b)),
            libc::SYS_setregid => Self::SetTwo(Kind::Group, word(a), word(b)),
            libc::SYS_setresuid => Self::SetThree(Kind::User, three),
            libc::SYS_setresgid => Self::SetThree(Kind::Group, three),
            libc::SYS_setfsuid => Self::SetFile(Kind::User, word(a)),
            libc::SYS_setfsgid => Self::SetFile(Kind::Group, word(a)),
            libc::SYS_setgroups => Self::SetGroups {
                count: signed(a),
                list: b,
            },
            libc::SYS_getuid => Self::Real(Kind::User),
            libc::SYS_getgid => Self::Real(Kind::Group),
            libc::SYS_geteuid => Self::Effective(Kind::User),
            libc::SYS_getegid => Self::Effective(Kind::Group),
            libc::SYS_getresuid => Self::Three(Kind::User, [a, b, c]),
            libc::SYS_getresgid => Self::Three(Kind::Group, [a, b, c]),
            libc::SYS_getgroups => Self::Groups {
                count: signed(a),
                list: b,
            },
            _ => return Self::decode_older(number, arguments),
        })
    }

    /// Calls without a directory, which newer architectures do not have.
    #[cfg(target_arch = "x86_64")]
    fn decode_older(number: i64, [a, b, c, ..]: [u64; 6]) -> Option<Self> {
        let at = |path| At {
            directory: libc::AT_FDCWD,
            path,
        };
        Some(match number {
            libc::SYS_chown | libc::SYS_lchown => Self::Chown {
                at: at(a),
                owner: new_owner(b, c),
                flags: if number == libc::SYS_lchown {
                    libc::AT_SYMLINK_NOFOLLOW
                } else {
                    0
                },
            },
            libc::SYS_mknod => Self::MakeNode {
                at: at(a),
                mode: word(b),
                device: c,
            },
            libc::SYS_rename => Self::Rename {
                from: at(a),
                to: None,
            },
            libc::SYS_link => Self::Link {
                from: at(a),
                flags: 0,
            },
            _ => return None,
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn decode_older(_: i64, _: [u64; 6]) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_call_is_understood_and_no_other() {
        for number in numbers(true) {
            assert!(Call::decode(number, [0; 6]).is_some(), "{number}");
        }
        assert_eq!(Call::decode(libc::SYS_read, [0; 6]), None);
    }

    #[test]
    fn registers_are_cut_to_what_the_kernel_takes() {
        let call = Call::decode(
            libc::SYS_fchownat,
            [0xffff_ffff_ffff_ff9c, 0x1000, 1 << 32 | 7, u64::MAX, 0, 0],
        );
        let expected = Call::Chown {
            at: At {
                directory: libc::AT_FDCWD,
                path: 0x1000,
            },
            owner: NewOwner {
                uid: Some(7),
                gid: None,
            },
            flags: 0,
        };
        assert_eq!(call, Some(expected));
    }
}
