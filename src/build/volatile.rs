//! What package managers leave behind that differs from run to run and that nobody misses in an image.
//!
//! The rule is narrow, for to lose somebody's data silently is worse than another digest. A path is listed only if it
//! is written by apt, dpkg or ldconfig themselves, if two runs that install the same packages write different bytes to
//! it, and if whatever reads it makes it again or does without. Only files are left out, never directories or links,
//! and never a deletion: what the builder image has at such a path stays as it is there. `docs/image-format.md` argues
//! each path.

use crate::layer::change::Change;
use crate::layer::{EntryPath, Kind};

/// Single files.
const FILES: [&str; 8] = [
    // An index of libraries by inode and time of change, which are this machine's. ldconfig looks at the libraries
    // instead; what programs read is /etc/ld.so.cache, which is kept.
    "var/cache/ldconfig/aux-cache",
    // Two indexes over the package lists, with their inodes and times.
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin",
    // Journals: every line has a time. What is installed is in /var/lib/dpkg, which is kept.
    "var/log/alternatives.log",
    "var/log/apt/eipp.log.xz",
    "var/log/apt/history.log",
    "var/log/apt/term.log",
    "var/log/dpkg.log",
];

/// Directories whose files go: the package lists that `apt-get update` fetches. Their names hold the mirror that this
/// machine uses, and the archive signs them anew several times a day, whether a package has changed or not.
const DIRECTORIES: [&str; 1] = ["var/lib/apt/lists"];

/// True for what is never put into a layer.
pub(super) fn is_volatile(change: &Change) -> bool {
    let Change::Present { entry, .. } = change else {
        return false;
    };
    if !matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. }) {
        return false;
    }
    let is_in_one = |directory: &&str| {
        EntryPath::parse(directory.as_bytes())
            .is_ok_and(|directory| entry.path.is_within(&directory))
    };
    let path = entry.path.as_bytes();
    FILES.iter().any(|file| file.as_bytes() == path) || DIRECTORIES.iter().any(is_in_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Entry;

    #[test]
    fn only_files_at_the_listed_paths_are_left_out() {
        let path = |text: &str| EntryPath::parse(text.as_bytes()).unwrap();
        let present = |text: &str, kind| Change::Present {
            entry: Entry::new(path(text), kind, 0o644),
            content: None,
        };
        let file = || Kind::File { size: 1 };
        for gone in [
            "var/log/dpkg.log",
            "var/log/apt/term.log",
            "var/lib/apt/lists/mirror.example_debian_dists_sid_InRelease",
            "var/lib/apt/lists/partial/x",
            "var/cache/ldconfig/aux-cache",
        ] {
            assert!(is_volatile(&present(gone, file())), "{gone}");
            let target = path("elsewhere");
            assert!(is_volatile(&present(gone, Kind::HardLink { target })));
        }
        for kept in [
            "var/log/dpkg.log.1",
            "var/log/apt/other.log",
            "var/lib/apt/listsx",
            "var/lib/apt/extended_states",
            "var/lib/dpkg/status",
            "var/lib/dpkg/status-old",
            "var/cache/apt/archives/jq.deb",
            "opt/var/log/dpkg.log",
            "etc/ld.so.cache",
        ] {
            assert!(!is_volatile(&present(kept, file())), "{kept}");
        }
        let target = b"/dev/null".to_vec();
        assert!(!is_volatile(&present(
            "var/log/dpkg.log",
            Kind::Symlink { target }
        )));
        assert!(!is_volatile(&present(
            "var/lib/apt/lists/partial",
            Kind::Directory
        )));
        assert!(!is_volatile(&Change::Deleted(path("var/log/dpkg.log"))));
    }
}
