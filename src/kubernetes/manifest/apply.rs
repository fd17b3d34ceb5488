//! Edits written, all or none.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::{Edited, Error};
use crate::fs::{Context, Lock, read_limited, sync_directory};
use crate::yaml;

/// A file and what comes in its place.
struct Staged<'e> {
    edit: &'e Edited,
    /// The file itself, links followed.
    target: PathBuf,
    /// The neighbour with the new text.
    beside: PathBuf,
    metadata: Metadata,
}

/// Writes edits, all or none: every new text is written beside its file and synced, and only then they take the files'
/// places. Files that do not change are not touched.
///
/// Links are followed, and stay; permissions and owners are kept. A process that is killed before the first file is
/// replaced has changed nothing; one that is killed later leaves each file old or new, and the same edits again complete
/// it. Where a file cannot be replaced, those before it are put back.
///
/// # Errors
/// [`Error::File`] when something cannot be written, [`Error::Changed`] when a file is not what it was when it was read:
/// nothing is changed then. [`Error::Half`] when files could not be put back.
pub fn apply_all(edits: &[Edited]) -> Result<(), Error> {
    let mut targets = Vec::new();
    for edit in edits.iter().filter(|edit| edit.is_change()) {
        let target = fs::canonicalize(&edit.path).context("find", &edit.path)?;
        targets.push((target, edit));
    }
    let mut directories: Vec<PathBuf> = targets
        .iter()
        .map(|(target, _)| directory_of(target).to_owned())
        .collect();
    // In one order, so that two of us never wait for each other.
    directories.sort();
    directories.dedup();
    let mut locks = Vec::new();
    for directory in &directories {
        locks.push(Lock::exclusive(directory)?);
    }
    let mut staged: Vec<Staged<'_>> = Vec::new();
    let result = targets.iter().try_for_each(|(target, edit)| {
        if staged.iter().any(|other| other.target == *target) {
            return Err(Error::Changed {
                path: edit.path.clone(),
            });
        }
        staged.push(stage(target, edit)?);
        Ok(())
    });
    let result = result.and_then(|()| replace_all(&staged));
    for one in &staged {
        let _ = fs::remove_file(&one.beside);
    }
    result?;
    for directory in &directories {
        sync_directory(directory)?;
    }
    Ok(())
}

fn directory_of(target: &Path) -> &Path {
    target.parent().unwrap_or(Path::new("/"))
}

/// Writes the new text beside the file, with its permissions and owner.
fn stage<'e>(target: &Path, edit: &'e Edited) -> Result<Staged<'e>, Error> {
    let metadata = fs::metadata(target).context("read", target)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = directory_of(target).join(format!(".{name}.overcoat-new"));
    check(target, edit)?;
    // The directory is locked: what is here was left by one of us that was killed.
    if fs::symlink_metadata(&beside).is_ok() {
        fs::remove_file(&beside).context("remove", &beside)?;
    }
    let staged = Staged {
        edit,
        target: target.to_owned(),
        beside,
        metadata,
    };
    write(&staged, &edit.after).inspect_err(|_| {
        let _ = fs::remove_file(&staged.beside);
    })?;
    Ok(staged)
}

/// Refuses a file that is not what it was when it was read.
fn check(target: &Path, edit: &Edited) -> Result<(), Error> {
    match read_limited(target, yaml::MOST_BYTES as u64)? == edit.before.as_bytes() {
        true => Ok(()),
        false => Err(Error::Changed {
            path: edit.path.clone(),
        }),
    }
}

fn write(staged: &Staged<'_>, text: &str) -> Result<(), crate::fs::Error> {
    let path = &staged.beside;
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .context("write", path)?;
    file.write_all(text.as_bytes()).context("write", path)?;
    let own = file.metadata().context("read", path)?;
    let (uid, gid) = (staged.metadata.uid(), staged.metadata.gid());
    if (own.uid(), own.gid()) != (uid, gid) {
        // Somebody who may write here may still not give files away; then the file becomes theirs, as with any editor.
        let _ = fchown(&file, Some(uid), Some(gid));
    }
    let mode = Permissions::from_mode(staged.metadata.mode() & 0o7777);
    file.set_permissions(mode)
        .context("set the mode of", path)?;
    file.sync_all().context("sync", path)
}

fn replace_all(staged: &[Staged<'_>]) -> Result<(), Error> {
    for one in staged {
        check(&one.target, one.edit)?;
    }
    for (done, one) in staged.iter().enumerate() {
        if let Err(source) = fs::rename(&one.beside, &one.target).context("replace", &one.target) {
            let left: Vec<String> = staged[..done]
                .iter()
                .filter(|one| put_back(one).is_err())
                .map(|one| one.edit.path.display().to_string())
                .collect();
            return Err(match left.is_empty() {
                true => source.into(),
                false => Error::Half {
                    source,
                    changed: left,
                },
            });
        }
    }
    Ok(())
}

fn put_back(staged: &Staged<'_>) -> Result<(), crate::fs::Error> {
    write(staged, &staged.edit.before)?;
    fs::rename(&staged.beside, &staged.target).context("replace", &staged.target)
}
