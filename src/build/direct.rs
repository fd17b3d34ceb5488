//! Layers without executing anything: the source, written as it would be after `assemble` put it in its place.

use super::commit::Form;
use super::{Error, Tools};
use crate::event::{Observer, stage};
use crate::image::edit::NewLayer;
use crate::layer::{Entry, EntryPath, Kind, whiteout};
use crate::source::{SourceKind, SourceTree};

/// Who owns the files, and where they go.
pub(super) struct Placement<'a> {
    pub directory: &'a EntryPath,
    pub uid: u32,
    pub gid: u32,
    pub umask: u32,
    pub form: Form,
}

/// Writes the application layer. Directories above the application's own are the builder's and are not mentioned.
pub(super) fn layers(
    placement: &Placement<'_>,
    source: &SourceTree,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let writing = stage(observer, "write layers", "");
    let mut writer = placement.form.begin(tools)?;
    let allowed = !placement.umask;
    let own = |path: EntryPath, kind, mode: u32| Entry {
        uid: placement.uid,
        gid: placement.gid,
        mtime: placement.form.epoch,
        ..Entry::new(path, kind, mode)
    };
    let (directory_mode, program_mode, file_mode) =
        (0o777 & allowed, 0o777 & allowed, 0o666 & allowed);
    writer.append(
        &own(placement.directory.clone(), Kind::Directory, directory_mode),
        std::io::empty(),
    )?;
    for file in &source.entries {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let path = placement.directory.join(&file.path)?;
        if whiteout::is_reserved(&path) {
            let text = format!("`{path}` has a name that layers reserve for deletions");
            return Err(crate::layer::Error::Hostile(text).into());
        }
        match &file.kind {
            SourceKind::Directory => writer.append(
                &own(path, Kind::Directory, directory_mode),
                std::io::empty(),
            )?,
            SourceKind::Symlink { target } => {
                let kind = Kind::Symlink {
                    target: target.clone(),
                };
                writer.append(&own(path, kind, 0o777), std::io::empty())?;
            }
            SourceKind::File {
                is_executable,
                size,
            } => {
                let mode = if *is_executable {
                    program_mode
                } else {
                    file_mode
                };
                let host = std::os::unix::ffi::OsStrExt::from_bytes(file.path.as_slice());
                let content = crate::fs::open(&source.root.join::<&std::ffi::OsStr>(host))?;
                writer.append(&own(path, Kind::File { size: *size }, mode), content)?;
            }
        }
    }
    let created_by = "overcoat direct: application".to_owned();
    let layers = vec![placement.form.finish(writer, created_by)?];
    writing.finish(super::commit::describe(&layers));
    Ok(layers)
}
