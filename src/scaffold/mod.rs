//! Files to begin with: a builder image of one's own ([`builder`]), and what makes an application S2I-ready
//! ([`application`]).
//!
//! Which files there are to be is pure data; [`write()`] puts them into a directory and never replaces one.

pub mod application;
pub mod builder;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::fs::Context;

/// A file that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaffoldFile {
    /// Its path below the directory, with `/` between components.
    pub path: String,
    /// Its mode: 0644, or 0755 for what is executed.
    pub mode: u32,
    /// Its content.
    pub text: String,
}

/// What became of a file.
#[derive(Debug)]
pub enum Outcome {
    /// It was written.
    Written,
    /// Something of this name was there and is as it was.
    Exists,
    /// It was not written, for another reason.
    Failed(crate::fs::Error),
}

/// Writes files below `directory`, which is made if need be with all directories in between. What is there stays, and the
/// other files are still written. Links below `directory` are not followed: nothing is written outside it.
///
/// # Errors
/// [`crate::fs::Error`] when `directory` cannot be made; what is wrong with a single file is its outcome, in the order of
/// `files`.
pub fn write(
    files: &[ScaffoldFile],
    directory: &Path,
) -> Result<Vec<(String, Outcome)>, crate::fs::Error> {
    crate::fs::create_dir_all(directory)?;
    let outcome = |file: &ScaffoldFile| {
        let outcome = write_one(file, directory).unwrap_or_else(Outcome::Failed);
        (file.path.clone(), outcome)
    };
    Ok(files.iter().map(outcome).collect())
}

fn write_one(file: &ScaffoldFile, directory: &Path) -> Result<Outcome, crate::fs::Error> {
    let path = directory.join(&file.path);
    if let Some((above, _)) = file.path.rsplit_once('/') {
        make_directories(directory, above)?;
    }
    // Neither a file nor a link, wherever that leads.
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.mode)
        .open(&path);
    let mut opened = match opened {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Outcome::Exists),
        opened => opened.context("create", &path)?,
    };
    let written = opened
        .write_all(file.text.as_bytes())
        // Whatever the umask is.
        .and_then(|()| opened.set_permissions(Permissions::from_mode(file.mode)));
    if written.is_err() {
        // Half a file would be taken for a whole one next time.
        let _ = fs::remove_file(&path);
    }
    written.context("write", &path)?;
    Ok(Outcome::Written)
}

fn make_directories(directory: &Path, below: &str) -> Result<(), crate::fs::Error> {
    let mut path = PathBuf::from(directory);
    for name in below.split('/') {
        path.push(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let source = io::Error::other("it is there and is no directory");
                return Err(crate::fs::Error::new("create directory", path, source));
            }
            Err(_) => fs::create_dir(&path).context("create directory", &path)?,
        }
    }
    Ok(())
}
