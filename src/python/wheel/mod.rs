//! Wheels: read, checked, and laid out as pip would install them.
//!
//! ```text
//! file ─open─▶ Wheel ─install─▶ [Planned] ─write_layer─▶ layer
//! ```
//!
//! Nothing is unpacked to disk: a [`Planned`] file is a member of the archive, and its deflate stream goes into the layer
//! as it is ([`crate::layer::splice`]).
//!
//! # Spec
//! packaging.python.org, *Binary distribution format*, *Recording installed projects*, *Entry points*; where they leave
//! something open, pip 23.

mod check;
mod direct_url;
mod entry_points;
mod install;
mod layer;
mod metadata;
mod record;
pub mod script;

use std::collections::BTreeMap;
use std::fs::File;

pub use direct_url::{direct_url, file_url};
pub use entry_points::EntryPoint;
pub use install::{Content, INSTALLER, Planned, Site, install};
pub use layer::{Conflict, Installation, Written, write_layer};
pub use record::{Record, Row};

use super::WheelName;
use crate::layer::zip::{self, Archive, Limits, Member, ReadAt};
use metadata::Fields;

/// How large `METADATA`, `WHEEL` and `entry_points.txt` may be, in bytes.
const MAX_METADATA: u64 = 8 << 20;
/// How large `RECORD` may be, in bytes: 200,000 files.
const MAX_RECORD: u64 = 32 << 20;
/// How large scripts whose first line is changed may be together, in bytes. They are text.
const MAX_SCRIPTS: u64 = 16 << 20;

/// Why a wheel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is wrong with it.
    #[error("the wheel `{wheel}` cannot be used: {reason}")]
    Wheel {
        /// Its file name.
        wheel: String,
        /// What is wrong.
        reason: String,
    },
    /// Its archive, or the layer that it goes into.
    #[error("the wheel `{wheel}` cannot be used: {source}")]
    Layer {
        /// Its file name.
        wheel: String,
        /// What is wrong.
        source: crate::layer::Error,
    },
    /// The layer cannot be written.
    #[error("the layer of wheels cannot be written: {0}")]
    Write(#[source] crate::layer::Error),
}

/// A wheel whose archive and metadata were checked. Its contents are checked while they are written into a layer.
#[derive(Debug)]
pub struct Wheel<R = File> {
    name: WheelName,
    archive: Archive<R>,
    /// `METADATA`'s name, as it is spelt there.
    distribution: String,
    dist_info: String,
    record: Record,
    /// The row of `record` for each member; `None` for directories, `RECORD` and its signatures.
    rows: Vec<Option<usize>>,
    scripts: Vec<EntryPoint>,
    /// The members in `.data/…/scripts` that begin with `#!python`, with their content.
    python_scripts: BTreeMap<usize, Vec<u8>>,
}

impl<R: ReadAt> Wheel<R> {
    /// Opens a wheel. `name` is the file name that it was published with, which need not be the one that it has here.
    ///
    /// Checked are the archive ([`Archive::open`]); `WHEEL`: its version is 1, and a tag of it is in the file name;
    /// `METADATA`: name and version are those of the file name; `RECORD`: it has every file with a strong hash, and
    /// nothing else.
    ///
    /// # Errors
    /// [`Error`] with the file name and what is wrong.
    pub fn open(reader: R, name: WheelName) -> Result<Self, Error> {
        Self::open_limited(reader, name, &Limits::default())
    }

    /// As [`Self::open`], with other limits.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_limited(reader: R, name: WheelName, limits: &Limits) -> Result<Self, Error> {
        let wheel = name.to_string();
        let archive = Archive::open(reader, limits).map_err(|source| zip_error(&wheel, source))?;
        Self::checked(archive, name).map_err(|problem| problem.into_error(wheel))
    }

    fn checked(archive: Archive<R>, name: WheelName) -> Result<Self, Problem> {
        let dist_info = check::dist_info(archive.members(), &name)?;
        let read = |file: &str, limit| -> Result<Option<String>, Problem> {
            let path = format!("{dist_info}/{file}");
            let Some(index) = archive.find(&path) else {
                return Ok(None);
            };
            let bytes = archive.read(&archive.members()[index], limit)?;
            let text = String::from_utf8(bytes).map_err(|_| format!("`{path}` is not UTF-8"))?;
            Ok(Some(text))
        };
        let needed = |file: &str, limit| {
            let missing = || Problem::Reason(format!("it has no `{dist_info}/{file}`"));
            read(file, limit)?.ok_or_else(missing)
        };
        check::wheel(&Fields::parse(&needed("WHEEL", MAX_METADATA)?), &name)?;
        let distribution =
            check::metadata(&Fields::parse(&needed("METADATA", MAX_METADATA)?), &name)?;
        let record = Record::parse(&needed("RECORD", MAX_RECORD)?)?;
        let rows = check::record(archive.members(), &record, &dist_info)?;
        let scripts = match read("entry_points.txt", MAX_METADATA)? {
            Some(text) => entry_points::scripts(&text)?,
            None => Vec::new(),
        };
        let python_scripts = python_scripts(&archive, &record, &rows)?;
        Ok(Self {
            name,
            archive,
            distribution,
            dist_info,
            record,
            rows,
            scripts,
            python_scripts,
        })
    }

    /// What its file name says.
    pub fn name(&self) -> &WheelName {
        &self.name
    }

    /// The name of its `.dist-info` directory.
    pub fn dist_info(&self) -> &str {
        &self.dist_info
    }

    /// Its archive.
    pub fn archive(&self) -> &Archive<R> {
        &self.archive
    }

    /// Its console and GUI scripts, sorted by name.
    pub fn scripts(&self) -> &[EntryPoint] {
        &self.scripts
    }

    /// The content of a member, if it is what `RECORD` says and has at most `limit` bytes. `index` is the member's place
    /// in [`Archive::members`].
    ///
    /// # Errors
    /// [`Error`] with the wheel's file name and what is wrong.
    pub fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, Error> {
        let member = &self.archive.members()[index];
        let content = self.archive.read(member, limit);
        let content = content.map_err(|source| zip_error(self.name.as_str(), source))?;
        let hash = self.row(index).and_then(|row| row.hash);
        match hash.is_some_and(|hash| !hash.matches(&content)) {
            true => Err(Error::Wheel {
                wheel: self.name.to_string(),
                reason: format!("`{}` is not as its `RECORD` says", member.name),
            }),
            false => Ok(content),
        }
    }

    /// The row of `RECORD` for a member.
    fn row(&self, member: usize) -> Option<&Row> {
        self.rows
            .get(member)
            .copied()
            .flatten()
            .map(|row| &self.record.rows()[row])
    }
}

/// What is wrong, before the wheel's name is added.
#[derive(Debug)]
enum Problem {
    Reason(String),
    Zip(zip::Error),
}

impl Problem {
    fn into_error(self, wheel: String) -> Error {
        match self {
            Self::Reason(reason) => Error::Wheel { wheel, reason },
            Self::Zip(source) => zip_error(&wheel, source),
        }
    }
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<zip::Error> for Problem {
    fn from(error: zip::Error) -> Self {
        Self::Zip(error)
    }
}

fn zip_error(wheel: &str, source: zip::Error) -> Error {
    Error::Layer {
        wheel: wheel.to_owned(),
        source: source.into(),
    }
}

/// Reads the scripts whose first line must be changed. Others may be large programs, and stay where they are.
fn python_scripts<R: ReadAt>(
    archive: &Archive<R>,
    record: &Record,
    rows: &[Option<usize>],
) -> Result<BTreeMap<usize, Vec<u8>>, Problem> {
    let mut found = BTreeMap::new();
    let mut left = MAX_SCRIPTS;
    for (index, member) in archive.members().iter().enumerate() {
        if !is_script(member) || archive.read_start(member, script::MARK.len())? != script::MARK {
            continue;
        }
        let content = archive.read(member, left)?;
        left -= content.len() as u64;
        if let Some(row) = rows[index]
            && !record.rows()[row]
                .hash
                .is_some_and(|hash| hash.matches(&content))
        {
            return Err(format!("`{}` is not as its `RECORD` says", member.name).into());
        }
        found.insert(index, content);
    }
    Ok(found)
}

fn is_script(member: &Member) -> bool {
    let mut parts = member.name.splitn(3, '/');
    parts.next().is_some_and(|top| top.ends_with(".data"))
        && parts.next() == Some("scripts")
        && parts.next().is_some()
        && !member.is_directory()
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
pub(crate) mod tests;
