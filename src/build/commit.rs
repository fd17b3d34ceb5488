//! Changes become layers: dependencies below, the application on top.

use std::path::Path;

use super::assemble::Step;
use super::{Error, Tools};
use crate::event::Observer;
use crate::image::edit::NewLayer;
use crate::image::{Descriptor, media_type};
use crate::layer::change::Change;
use crate::layer::owners::Owners;
use crate::layer::{EntryPath, Kind, LayerWriter, Member, members};

/// Splits `changes` (sorted) and writes a layer of each part that is not empty.
pub(super) fn layers(
    changes: Vec<Change>,
    directory: &Path,
    owners: &dyn Owners,
    step: &Step<'_>,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let ours = ["src", "scripts", "artifacts"].map(|name| format!("{}/{name}", step.destination));
    let mut of_application: Vec<EntryPath> = ours
        .iter()
        .filter_map(|path| EntryPath::parse(path.as_bytes()).ok())
        .collect();
    of_application.push(step.application_directory.clone());
    let is_application = |change: &Change| {
        of_application
            .iter()
            .any(|directory| change.path().is_within(directory))
    };
    let (application, dependencies): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(is_application);
    let mut layers = Vec::new();
    for (name, part) in [("dependencies", dependencies), ("application", application)] {
        if !part.is_empty() {
            let part = members(part, directory, owners)?;
            layers.push(write(name, part, step.epoch, tools, observer)?);
        }
    }
    Ok(layers)
}

fn write(
    name: &str,
    members: Vec<Member>,
    epoch: i64,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<NewLayer, Error> {
    let mut writer = LayerWriter::new(tools.store.begin_blob()?, epoch, tools.threads);
    for (entry, content) in members {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        match content.filter(|_| matches!(entry.kind, Kind::File { .. })) {
            Some(path) => writer.append(&entry, crate::fs::open(&path)?)?,
            None => writer.append(&entry, std::io::empty())?,
        }
    }
    let (blob, layer) = writer.finish()?;
    let (digest, size) = blob.finish()?;
    Ok(NewLayer {
        descriptor: Descriptor::new(media_type::OCI_LAYER_GZIP, digest, size),
        diff_id: layer.diff_id,
        created_by: format!("overcoat assemble: {name}"),
    })
}

/// A few words on what was written.
pub(super) fn describe(layers: &[NewLayer]) -> String {
    let describe = |layer: &NewLayer| {
        let name = layer.created_by.rsplit(' ').next().unwrap_or_default();
        format!(
            "{name} {} ({} bytes)",
            layer.descriptor.digest.short(),
            layer.descriptor.size
        )
    };
    layers.iter().map(describe).collect::<Vec<_>>().join(", ")
}
