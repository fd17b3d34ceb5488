//! Names of error numbers: what a support ticket needs beside the sentence.

use rustix::io::Errno;

/// The names that the calls of a sandbox end with.
const NAMES: [(Errno, &str); 25] = [
    (Errno::PERM, "EPERM"),
    (Errno::NOENT, "ENOENT"),
    (Errno::IO, "EIO"),
    (Errno::AGAIN, "EAGAIN"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::ACCESS, "EACCES"),
    (Errno::FAULT, "EFAULT"),
    (Errno::BUSY, "EBUSY"),
    (Errno::EXIST, "EEXIST"),
    (Errno::NODEV, "ENODEV"),
    (Errno::NOTDIR, "ENOTDIR"),
    (Errno::INVAL, "EINVAL"),
    (Errno::NFILE, "ENFILE"),
    (Errno::MFILE, "EMFILE"),
    (Errno::NOSPC, "ENOSPC"),
    (Errno::ROFS, "EROFS"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG"),
    (Errno::NOSYS, "ENOSYS"),
    (Errno::LOOP, "ELOOP"),
    (Errno::OVERFLOW, "EOVERFLOW"),
    (Errno::USERS, "EUSERS"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    (Errno::STALE, "ESTALE"),
    (Errno::DQUOT, "EDQUOT"),
    (Errno::KEYEXPIRED, "EKEYEXPIRED"),
];

/// `EPERM`; `errno 123` for the rest.
pub(super) fn name(errno: i32) -> String {
    let named = NAMES
        .iter()
        .find(|(known, _)| known.raw_os_error() == errno);
    match (named, errno) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, 0) => "failed".to_owned(),
        (None, errno) => format!("errno {errno}"),
    }
}

/// A call with its answer: `unshare(CLONE_NEWUSER): EPERM`.
pub(super) fn answered(call: &str, errno: i32) -> String {
    format!("{call}: {}", name(errno))
}

/// The error number as rustix has it; `None` for 0, which stands for "not the kernel".
pub(super) fn known(errno: i32) -> Option<Errno> {
    NAMES
        .iter()
        .map(|(known, _)| *known)
        .find(|known| known.raw_os_error() == errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names_and_none_is_unknown() {
        assert_eq!(
            answered("chroot", Errno::PERM.raw_os_error()),
            "chroot: EPERM"
        );
        assert_eq!(name(4095), "errno 4095");
        assert_eq!(known(0), None);
        assert_eq!(known(Errno::ROFS.raw_os_error()), Some(Errno::ROFS));
    }
}
