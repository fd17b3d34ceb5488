//! One member of a layer: where it is, what it is, whose it is.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path within a root file system: relative, without empty, `.` or `..` components, without NUL. Bytes, not text.
///
/// It orders bytewise, which puts every directory before what is in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(Vec<u8>);

/// Why bytes are not a path within a root file system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name `{name}` {reason}")]
pub struct PathError {
    /// The name, escaped, cut to 200 bytes.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl EntryPath {
    /// Reads a tar member's name: a leading `/` or `./` and a trailing `/` mean nothing. The root itself (`./`) is
    /// the empty path.
    ///
    /// # Errors
    /// [`PathError`] for `..` components, NUL bytes and names beyond the kernel's limits (4,096 bytes in all, 255 for
    /// each component), which no file system could hold.
    pub fn parse(name: &[u8]) -> Result<Self, PathError> {
        let refuse = |reason| PathError {
            name: name[..name.len().min(200)].escape_ascii().to_string(),
            reason,
        };
        if name.contains(&0) {
            return Err(refuse("holds a NUL byte"));
        }
        let mut path = Vec::with_capacity(name.len());
        for component in name.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(refuse("points outside with `..`")),
                long if long.len() > 255 => {
                    return Err(refuse("has a component longer than 255 bytes"));
                }
                component => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(component);
                }
            }
        }
        if path.len() > 4095 {
            return Err(refuse("is longer than 4,095 bytes"));
        }
        Ok(Self(path))
    }

    /// The root itself.
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// The bytes, without leading or trailing slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a relative path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Where it is below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(self.as_path())
    }

    /// True for the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds it; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        let start = self
            .0
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        Self::parse(&[&self.0[..], b"/", name].concat())
    }

    /// True when it is `directory` or below it.
    pub fn is_within(&self, directory: &Self) -> bool {
        directory.is_root()
            || self.0 == directory.0
            || (self.0.starts_with(&directory.0) && self.0.get(directory.0.len()) == Some(&b'/'))
    }
}

impl fmt::Display for EntryPath {
    /// With a leading slash, as people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.escape_ascii())
    }
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link with this target, as it stands.
    Symlink {
        /// The target's bytes; they may point anywhere.
        target: Vec<u8>,
    },
    /// Another name of a file that comes earlier in the layer.
    HardLink {
        /// The earlier name.
        target: EntryPath,
    },
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One member, with all that a layer says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: EntryPath,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner, numeric.
    pub uid: u32,
    /// Group, numeric.
    pub gid: u32,
    /// Modification time in whole seconds since 1970.
    pub mtime: i64,
    /// Extended attributes, by full name (`security.capability`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// A member of root, with the time 0.
    pub fn new(path: EntryPath, kind: Kind, mode: u32) -> Self {
        Self {
            path,
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: BTreeMap::new(),
        }
    }
}

/// The extended attribute of file capabilities.
pub const CAPABILITY_XATTR: &[u8] = b"security.capability";

/// True for an extended attribute that belongs in a layer: file capabilities and the user's own. Security labels,
/// ACL caches and overlay's bookkeeping describe this machine, not the image.
pub fn is_portable_xattr(name: &[u8]) -> bool {
    name == CAPABILITY_XATTR || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_or_refused() {
        let table: [(&[u8], Option<&str>); 10] = [
            (b"./", Some("/")),
            (b"/", Some("/")),
            (b"a", Some("/a")),
            (b"./a/./b//c/", Some("/a/b/c")),
            (b"/etc/passwd", Some("/etc/passwd")),
            (b"..", None),
            (b"a/../../b", None),
            (b"a\0b", None),
            (&[b'x'; 256], None),
            (b"a..b/...", Some("/a..b/...")),
        ];
        for (name, expected) in table {
            let parsed = EntryPath::parse(name).ok().map(|path| path.to_string());
            assert_eq!(
                parsed.as_deref(),
                expected,
                "{:?}",
                name.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn within_means_the_directory_or_below_it() {
        let path = |text: &str| EntryPath::parse(text.as_bytes()).unwrap();
        assert!(path("opt/app").is_within(&path("opt")));
        assert!(path("opt").is_within(&path("opt")));
        assert!(path("opt").is_within(&path("")));
        assert!(!path("option").is_within(&path("opt")));
        assert_eq!(path("opt/app").parent(), Some(path("opt")));
        assert_eq!(path("opt").parent(), Some(path("")));
        assert_eq!(path("").parent(), None);
        assert_eq!(path("opt/app").file_name(), b"app");
    }

    #[test]
    fn overlay_bookkeeping_is_not_portable() {
        for name in [
            "user.overlay.origin",
            "user.overlay.opaque",
            "trusted.overlay.opaque",
            "security.selinux",
        ] {
            assert!(!is_portable_xattr(name.as_bytes()), "{name}");
        }
        for name in ["security.capability", "user.comment"] {
            assert!(is_portable_xattr(name.as_bytes()), "{name}");
        }
    }
}
