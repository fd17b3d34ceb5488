//! Changes become layers: dependencies below, the application on top.

use std::io::Write;

use super::assemble::Step;
use super::rootfs::Changed;
use super::split::Split;
use super::{Error, Tools};
use crate::event::Observer;
use crate::fs::Context;
use crate::image::edit::NewLayer;
use crate::image::media_type::Compression;
use crate::image::{Descriptor, media_type};
use crate::layer::change::Change;
use crate::layer::pyc::SourceTimes;
use crate::layer::{EntryPath, Kind, LayerWriter, Member, members};
use crate::store;

/// What a layer looks like, whatever is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The latest time that a file shows, in seconds since 1970.
    pub epoch: i64,
    pub compression: Compression,
}

/// Splits changes and writes a layer of each part that is not empty.
pub(super) fn layers(
    changed: Changed<'_>,
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
    let split = Split::new(of_application, &step.process.environment);
    let is_application = |path: &EntryPath| split.is_application(path);
    let name = |is_application: bool| match is_application {
        true => "overcoat assemble: application",
        false => "overcoat assemble: dependencies",
    };
    parts(changed, step.form, &is_application, &name, tools, observer)
}

/// Writes one layer of all changes; `None` when there are none.
pub(super) fn layer(
    changed: Changed<'_>,
    form: Form,
    created_by: &str,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Option<NewLayer>, Error> {
    let layers = parts(changed, form, &|_| true, &|_| created_by, tools, observer)?;
    Ok(layers.into_iter().next())
}

fn parts<'n>(
    changed: Changed<'_>,
    form: Form,
    is_upper: &dyn Fn(&EntryPath) -> bool,
    created_by: &dyn Fn(bool) -> &'n str,
    tools: &Tools<'_>,
    observer: &dyn Observer,
) -> Result<Vec<NewLayer>, Error> {
    let Changed {
        changes,
        directory,
        owners,
        before,
    } = changed;
    // Before they are split: a source and its bytecode may go into different layers.
    let times = SourceTimes::find(&changes, directory, before, form.epoch)?;
    let (upper, lower): (Vec<Change>, Vec<Change>) = changes
        .into_iter()
        .partition(|change| is_upper(change.path()));
    let mut layers = Vec::new();
    for (is_upper, part) in [(false, lower), (true, upper)] {
        if !part.is_empty() {
            let part = members(part, directory, owners)?;
            let writer = write(part, &times, form.begin(tools)?, observer)?;
            layers.push(form.finish(writer, created_by(is_upper).to_owned())?);
        }
    }
    Ok(layers)
}

impl Form {
    /// Begins a layer of this form in the store.
    pub(super) fn begin<'t>(
        self,
        tools: &Tools<'t>,
    ) -> Result<LayerWriter<store::BlobWriter<'t>>, Error> {
        let sink = tools.store.begin_blob()?;
        let writer =
            LayerWriter::with_compression(sink, self.epoch, tools.threads, self.compression);
        Ok(writer?)
    }

    /// Ends a layer that [`Self::begin`] began.
    pub(super) fn finish(
        self,
        writer: LayerWriter<store::BlobWriter<'_>>,
        created_by: String,
    ) -> Result<NewLayer, Error> {
        let (blob, layer) = writer.finish()?;
        let (digest, size) = blob.finish()?;
        let media_type = media_type::layer(self.compression);
        Ok(NewLayer {
            descriptor: Descriptor::new(media_type, digest, size),
            diff_id: layer.diff_id,
            created_by,
        })
    }
}

fn write<W: Write>(
    members: Vec<Member>,
    times: &SourceTimes,
    mut writer: LayerWriter<W>,
    observer: &dyn Observer,
) -> Result<LayerWriter<W>, Error> {
    for (entry, content) in members {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        match content.filter(|_| matches!(entry.kind, Kind::File { .. })) {
            Some(path) => {
                let file = crate::fs::open(&path)?;
                let content = times.content(&entry.path, file).context("read", &path)?;
                writer.append(&entry, content)?;
            }
            None => writer.append(&entry, std::io::empty())?,
        }
    }
    Ok(writer)
}

/// A few words on what was written.
pub(super) fn describe(layers: &[NewLayer]) -> String {
    if layers.len() > 3 {
        let bytes: u64 = layers.iter().map(|layer| layer.descriptor.size).sum();
        return format!("{} layers ({bytes} bytes)", layers.len());
    }
    let describe = |layer: &NewLayer| {
        let (_, name) = layer.created_by.split_once(": ").unwrap_or_default();
        format!(
            "{name} {} ({} bytes)",
            layer.descriptor.digest.short(),
            layer.descriptor.size
        )
    };
    layers.iter().map(describe).collect::<Vec<_>>().join(", ")
}
