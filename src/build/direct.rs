//! Layers without executing anything: the source, written as it would be after `assemble` put it in its place.

use super::{Error, Tools};
use crate::event::{Observer, stage};
use crate::image::edit::NewLayer;
use crate::image::{Descriptor, media_type};
use crate::layer::{Entry, EntryPath, Kind, LayerWriter, whiteout};
use crate::source::{SourceKind, SourceTree};

/// Who owns the files, and where they go.
pub(super) struct Placement<'a> {
    pub directory: &'a EntryPath,
    pub uid: u32,
    pub gid: u32,
    pub epoch: i64,
}

/// Writes the application layer. Directories above the application's own are the builder's and are not mentioned.
pub(super) fn layers(
    placement: &Placement<'_>,
    source: &SourceTree,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let writing = stage(observer, "write layers", "");
    let mut writer = LayerWriter::new(tools.store.begin_blob()?, placement.epoch, tools.threads);
    let own = |path: EntryPath, kind, mode| Entry {
        uid: placement.uid,
        gid: placement.gid,
        mtime: placement.epoch,
        ..Entry::new(path, kind, mode)
    };
    writer.append(
        &own(placement.directory.clone(), Kind::Directory, 0o775),
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
        // Group 0 may do what the owner may, as S2I images have it: the application may run as any user of group 0.
        match &file.kind {
            SourceKind::Directory => {
                writer.append(&own(path, Kind::Directory, 0o775), std::io::empty())?
            }
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
                let mode = if *is_executable { 0o775 } else { 0o664 };
                let host = std::os::unix::ffi::OsStrExt::from_bytes(file.path.as_slice());
                let content = crate::fs::open(&source.root.join::<&std::ffi::OsStr>(host))?;
                writer.append(&own(path, Kind::File { size: *size }, mode), content)?;
            }
        }
    }
    let (blob, layer) = writer.finish()?;
    let (digest, size) = blob.finish()?;
    let layers = vec![NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: layer.diff_id,
        created_by: "overcoat direct: application".to_owned(),
    }];
    writing.finish(super::commit::describe(&layers));
    Ok(layers)
}
