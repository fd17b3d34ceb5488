//! Where `overcoat.toml` is.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::text::unreadable;
use super::{Error, FILE};
use crate::fs;

/// Looks for [`FILE`] in a directory and in those above it.
///
/// A file above the directory must be this user's, root's, or of the directory's owner: hooks are commands, and anybody
/// can write a file into `/tmp`.
///
/// # Errors
/// When the nearest file is somebody else's, or cannot be looked at.
pub fn find(directory: &Path) -> Result<Option<PathBuf>, Error> {
    for above in directory.ancestors() {
        let path = above.join(FILE);
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => continue,
                // Whoever may not look into a directory cannot have meant what is in it.
                std::io::ErrorKind::PermissionDenied if above != directory => continue,
                _ => return Err(unreadable(&path, fs::reason(&error))),
            },
        };
        let of_directory = std::fs::metadata(directory).map(|own| own.uid()).ok();
        let user = rustix::process::geteuid().as_raw();
        if above != directory && !is_trusted(metadata.uid(), user, of_directory) {
            return Err(Error::Unreadable {
                reason: "it belongs to another user, and may have commands in it".to_owned(),
                hints: vec![format!(
                    "name it if it is meant: `--config {}`",
                    path.display()
                )],
                path,
            });
        }
        return Ok(Some(path));
    }
    Ok(None)
}

/// Whether what one user has written is obeyed by another one who works in somebody's directory.
fn is_trusted(owner: u32, user: u32, of_directory: Option<u32>) -> bool {
    owner == 0 || owner == user || of_directory == Some(owner)
}

#[cfg(test)]
mod tests {
    use super::is_trusted;

    #[test]
    fn strangers_are_not_obeyed() {
        assert!(is_trusted(0, 1000, Some(1000)));
        assert!(is_trusted(1000, 1000, Some(1001)));
        // In a container one is often root in somebody's directory.
        assert!(is_trusted(1000, 0, Some(1000)));
        assert!(!is_trusted(1001, 1000, Some(1000)));
        assert!(!is_trusted(1001, 0, Some(1000)));
        assert!(!is_trusted(1001, 1000, None));
    }
}
