//! Changes become layers: dependencies below, the application on top.

use std::collections::BTreeMap;
use std::path::Path;

use super::assemble::Step;
use super::{Error, Tools};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::edit::NewLayer;
use crate::image::{Descriptor, media_type};
use crate::layer::change::{self, Change};
use crate::layer::{Entry, EntryPath, Kind, LayerWriter, whiteout};

/// Splits `changes` (sorted) and writes a layer of each part that is not empty.
pub(super) fn layers(
    changes: Vec<Change>,
    upper: &Path,
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
            layers.push(write(name, part, upper, step.epoch, tools, observer)?);
        }
    }
    Ok(layers)
}

fn write(
    name: &str,
    changes: Vec<Change>,
    upper: &Path,
    epoch: i64,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<NewLayer, Error> {
    let mut writer = LayerWriter::new(tools.store.begin_blob()?, epoch, tools.threads);
    for (entry, content) in members(changes, upper)? {
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

type Member = (Entry, Option<std::path::PathBuf>);

/// The members of a layer's tar, sorted by the names they have there, with every directory above a change.
fn members(changes: Vec<Change>, upper: &Path) -> Result<Vec<Member>, Error> {
    let mut members: BTreeMap<EntryPath, Member> = BTreeMap::new();
    let mut parents: BTreeMap<EntryPath, Entry> = BTreeMap::new();
    let here: Vec<EntryPath> = changes.iter().map(|change| change.path().clone()).collect();
    let mut moved = BTreeMap::new();
    for change in changes {
        let mut parent = change.path().parent();
        while let Some(path) = parent.filter(|path| !path.is_root() && !parents.contains_key(path))
        {
            parents.insert(path.clone(), change::directory_entry(upper, &path)?);
            parent = path.parent();
        }
        let empty = |path: EntryPath| (Entry::new(path, Kind::File { size: 0 }, 0), None);
        let (entry, content) = match change {
            Change::Deleted(path) => empty(whiteout::deleted(&path)?),
            Change::Opaque(path) => empty(whiteout::opaque(&path)?),
            Change::Present { entry, content } => (
                relink(entry, content.as_deref(), &here, &mut moved)?,
                content,
            ),
        };
        members.insert(entry.path.clone(), (entry, content));
    }
    for (path, entry) in parents {
        members.entry(path).or_insert((entry, None));
    }
    Ok(members.into_values().collect())
}

/// A hard link whose first name went into another layer becomes a file here, and its further names links to it.
fn relink(
    mut entry: Entry,
    content: Option<&Path>,
    here: &[EntryPath],
    moved: &mut BTreeMap<EntryPath, EntryPath>,
) -> Result<Entry, Error> {
    let (Kind::HardLink { target }, Some(content)) = (&entry.kind, content) else {
        return Ok(entry);
    };
    if here.binary_search(target).is_ok() {
        return Ok(entry);
    }
    entry.kind = match moved.get(target) {
        Some(first) => Kind::HardLink {
            target: first.clone(),
        },
        None => {
            moved.insert(target.clone(), entry.path.clone());
            let size = std::fs::symlink_metadata(content)
                .context("read", content)?
                .len();
            Kind::File { size }
        }
    };
    Ok(entry)
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
