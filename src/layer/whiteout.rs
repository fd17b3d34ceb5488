//! The spellings of "deleted": in a layer's tar, and in a directory that overlay stacks.
//!
//! | meaning | in a tar | in a directory |
//! |---|---|---|
//! | `name` is deleted | an empty file `.wh.name` | a character device 0:0 called `name` |
//! | all that lower layers have in a directory is deleted | an empty file `.wh..wh..opq` in it | `user.overlay.opaque` = `y` on it |
//!
//! # Spec
//! OCI image-spec `layer.md`, *Whiteouts*; Linux `Documentation/filesystems/overlayfs.rst`, *whiteouts and opaque
//! directories*. We mount with `userxattr`, inside and outside user namespaces, so the attribute is `user.`.

use super::entry::{EntryPath, PathError};

/// The extended attribute that makes a directory opaque for overlay.
pub const OPAQUE_XATTR: &str = "user.overlay.opaque";
const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a tar member's name says about deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// This path is deleted.
    Deleted(EntryPath),
    /// Everything from lower layers in this directory is deleted.
    Opaque(EntryPath),
}

/// Reads a member's path; `None` when it is an ordinary one.
///
/// # Errors
/// [`PathError`] for a whiteout of nothing, of `.` or of `..`, and for names that the format reserves.
pub fn parse(path: &EntryPath) -> Result<Option<Whiteout>, PathError> {
    let name = path.file_name();
    let (Some(parent), true) = (path.parent(), name.starts_with(PREFIX)) else {
        return Ok(None);
    };
    if name == OPAQUE {
        return Ok(Some(Whiteout::Opaque(parent)));
    }
    let target = &name[PREFIX.len()..];
    if matches!(target, b"" | b"." | b"..") || target.starts_with(PREFIX) {
        return Err(PathError {
            name: path.as_bytes().escape_ascii().to_string(),
            reason: "is a whiteout of something that cannot be deleted",
        });
    }
    Ok(Some(Whiteout::Deleted(parent.join(target)?)))
}

/// The tar name that says `path` is deleted.
///
/// # Errors
/// [`PathError`] when the longer name no longer fits the kernel's limit.
pub fn deleted(path: &EntryPath) -> Result<EntryPath, PathError> {
    let parent = path.parent().unwrap_or_else(|| path.clone());
    parent.join(&[PREFIX, path.file_name()].concat())
}

/// True when a file of this name on disk would be read as a whiteout if it were written into a layer.
pub fn is_reserved(path: &EntryPath) -> bool {
    path.file_name().starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn both_spellings_are_inverse() {
        assert_eq!(parse(&path("a/b")).unwrap(), None);
        assert_eq!(
            parse(&deleted(&path("a/b")).unwrap()).unwrap(),
            Some(Whiteout::Deleted(path("a/b")))
        );
        assert_eq!(
            parse(&path("a/.wh..wh..opq")).unwrap(),
            Some(Whiteout::Opaque(path("a")))
        );
        assert_eq!(
            parse(&path(".wh.x")).unwrap(),
            Some(Whiteout::Deleted(path("x")))
        );
    }

    #[test]
    fn whiteouts_of_dots_and_reserved_names_are_refused() {
        for name in [
            "a/.wh.",
            "a/.wh..",
            "a/.wh...",
            ".wh..wh.plnk",
            "a/.wh..wh.aufs",
        ] {
            assert!(parse(&path(name)).is_err(), "{name}");
        }
    }
}
