//! Several wheels as one layer.

use std::collections::BTreeMap;
use std::io::Write;

use super::install::{Content, Planned, Site, install};
use super::{Error, Wheel};
use crate::layer::zip::ReadAt;
use crate::layer::{self, EntryPath, Layer, SplicedWriter};
use crate::python::PackageName;

/// A wheel to install, and what is recorded of that.
#[derive(Debug)]
pub struct Installation<R = std::fs::File> {
    /// The wheel.
    pub wheel: Wheel<R>,
    /// True when the application asked for it by name: it gets `REQUESTED`.
    pub is_requested: bool,
    /// The content of `direct_url.json` ([`super::direct_url`]); `None` for what came from an index.
    pub direct_url: Option<Vec<u8>>,
}

impl<R> Installation<R> {
    /// Of a wheel that came from an index.
    pub fn new(wheel: Wheel<R>, is_requested: bool) -> Self {
        Self {
            wheel,
            is_requested,
            direct_url: None,
        }
    }
}

/// Two wheels with different files of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where they meet.
    pub path: EntryPath,
    /// The package whose file is in the layer: the last by name.
    pub kept: PackageName,
    /// The package whose file is not.
    pub dropped: PackageName,
}

/// What [`write_layer`] made.
#[derive(Debug)]
pub struct Written<W> {
    /// The sink, to which everything was written.
    pub sink: W,
    /// What is known of the layer's tar.
    pub layer: Layer,
    /// Files that two wheels have, sorted by path.
    pub conflicts: Vec<Conflict>,
}

/// Installs wheels into one layer, which it writes compressed to `sink`. The result does not depend on the order of
/// `wheels` nor on `threads` (with two, one computes the hashes).
///
/// Of files that several wheels have, one is written: that of the package whose name comes last. (pip keeps that of the
/// package that it installs last, which depends on who requires whom.)
///
/// # Errors
/// [`Error`] when a wheel cannot be installed or its content is not as it says, and when what is a file in one is a
/// directory in another.
pub fn write_layer<R: ReadAt, W: Write>(
    wheels: &[Installation<R>],
    site: &Site<'_>,
    sink: W,
    threads: usize,
) -> Result<Written<W>, Error> {
    let mut order: Vec<usize> = (0..wheels.len()).collect();
    order.sort_by(|a, b| key(&wheels[*a].wheel).cmp(&key(&wheels[*b].wheel)));
    let mut merged: BTreeMap<EntryPath, (usize, Planned)> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for index in order {
        let Installation {
            wheel,
            is_requested,
            direct_url,
        } = &wheels[index];
        for planned in install(wheel, site, *is_requested, direct_url.as_deref())? {
            let path = planned.entry.path.clone();
            let Some((other, before)) = merged.insert(path.clone(), (index, planned)) else {
                continue;
            };
            let (_, now) = &merged[&path];
            let other = &wheels[other].wheel;
            if (before.content == Content::None) != (now.content == Content::None) {
                return Err(Error::Wheel {
                    wheel: wheel.name().to_string(),
                    reason: format!(
                        "`{path}` is a file in it and a directory in `{}`, or the other way round",
                        other.name()
                    ),
                });
            }
            let is_same = before.entry == now.entry && before.row == now.row;
            if !is_same && now.content != Content::None {
                conflicts.push(Conflict {
                    path,
                    kept: wheel.name().name.clone(),
                    dropped: other.name().name.clone(),
                });
            }
        }
    }
    conflicts.sort_by(|a, b| (&a.path, &a.dropped).cmp(&(&b.path, &b.dropped)));
    let mut writer = SplicedWriter::new(sink, site.epoch, threads);
    for (index, planned) in merged.values() {
        let wheel = &wheels[*index].wheel;
        append(&mut writer, wheel, planned).map_err(|source| named(wheel, source))?;
    }
    let (sink, layer) = writer.finish().map_err(|source| {
        let layer::Error::ContentHash { path, .. } = &source else {
            return Error::Write(source);
        };
        let found = merged.iter().find(|(name, _)| name.to_string() == *path);
        match found {
            Some((_, (index, _))) => named(&wheels[*index].wheel, source),
            None => Error::Write(source),
        }
    })?;
    Ok(Written {
        sink,
        layer,
        conflicts,
    })
}

/// Names first, then all that tells two wheels apart.
fn key<R>(wheel: &Wheel<R>) -> (&PackageName, &str) {
    (&wheel.name.name, wheel.name.as_str())
}

fn append<R: ReadAt, W: Write>(
    writer: &mut SplicedWriter<W>,
    wheel: &Wheel<R>,
    planned: &Planned,
) -> Result<(), layer::Error> {
    match &planned.content {
        Content::None => writer.append(&planned.entry, std::io::empty()),
        Content::Generated(bytes) => writer.append(&planned.entry, &bytes[..]),
        Content::Member(member) => writer.append_member(
            &planned.entry,
            &wheel.archive,
            &wheel.archive.members()[*member],
            wheel.row(*member).and_then(|row| row.hash.as_ref()),
        ),
    }
}

/// What is wrong with a wheel is said with its name; what is wrong with the sink is not its fault.
fn named<R>(wheel: &Wheel<R>, source: layer::Error) -> Error {
    match source {
        layer::Error::Io { .. } => Error::Write(source),
        source => Error::Layer {
            wheel: wheel.name.to_string(),
            source,
        },
    }
}
