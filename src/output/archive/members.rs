//! The members of an archive: where each is in the file.
//!
//! Contents are read when they are asked for, in whatever order, so nothing of an archive of many images is copied but
//! what is wanted. An archive that is compressed as a whole, or that is no regular file, is first decompressed into a
//! temporary file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::Error;
use super::Format;
use super::plain::{failed_on, plain, refusal};
use super::plan::copy;
use crate::digest::DigestWriter;
use crate::event::Observer;
use crate::fs::Context;
use crate::image::MAX_DOCUMENT_BYTES;
use crate::layer::{self, EntryPath, Kind};
use crate::store::BlobStore;

/// Archives of a hundred images have some thousand members.
const MAX_MEMBERS: usize = 65_536;
/// Their names, all together.
const MAX_NAMES_BYTES: usize = 16 << 20;
/// Old Docker links each layer that two images share, once.
const MAX_LINKS: usize = 8;
/// Where the content of a member is in the tar, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) size: u64,
}

enum Member {
    File(Range),
    /// What is meant, as a path in the archive; why not, where that is none.
    Link(Result<EntryPath, String>),
}

/// An archive that was looked through.
pub(super) struct Members {
    tar: File,
    path: PathBuf,
    format: Format,
    members: BTreeMap<EntryPath, Member>,
}

impl Members {
    /// Looks an archive through.
    ///
    /// # Errors
    /// [`Error::Format`] for what is no tar, is cut off, has unsafe names or more than one content for a name.
    pub(super) fn open(
        path: &Path,
        format: Format,
        store: &BlobStore,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let mut members = Self {
            tar: plain(path, format, store, observer)?,
            path: path.to_owned(),
            format,
            members: BTreeMap::new(),
        };
        members.look_through(observer)?;
        Ok(members)
    }

    fn look_through(&mut self, observer: &dyn Observer) -> Result<(), Error> {
        let length = self.tar.metadata().context("look at", &self.path)?.len();
        let tar = self.tar.try_clone().context("open", &self.path)?;
        let refuse = |text: String| Err(layer::Error::Hostile(text));
        let mut found: BTreeMap<EntryPath, Member> = BTreeMap::new();
        let mut twice = Vec::new();
        let mut names_bytes = 0;
        let looked = layer::read::index(tar, |entry, start| {
            if observer.is_cancelled() {
                return Err(layer::Error::Interrupted);
            }
            let path = entry.path;
            let member = match entry.kind {
                Kind::File { size } => {
                    if start.checked_add(size).is_none_or(|end| end > length) {
                        return refuse(format!("it is cut off within `{}`", named(&path)));
                    }
                    Member::File(Range { start, size })
                }
                Kind::Symlink { target } => Member::Link(follow(&path, &target)),
                Kind::HardLink { target } => Member::Link(Ok(target)),
                _ => return Ok(()),
            };
            names_bytes += path.as_bytes().len();
            if found.len() == MAX_MEMBERS || names_bytes > MAX_NAMES_BYTES {
                return refuse(format!(
                    "it has more than {MAX_MEMBERS} members, or {MAX_NAMES_BYTES} bytes of names"
                ));
            }
            match (found.get(&path), &member) {
                (None, _) => {
                    found.insert(path, member);
                }
                (Some(Member::File(first)), Member::File(second)) if twice.len() < 1000 => {
                    twice.push((path, *first, *second));
                }
                (Some(Member::Link(first)), Member::Link(second)) if first == second => {}
                _ => return refuse(format!("it has more than one `{}`", named(&path))),
            }
            Ok(())
        });
        looked.map_err(|error| match error {
            layer::Error::Interrupted => Error::Interrupted,
            layer::Error::Hostile(reason) => self.refuse(reason),
            layer::Error::Path(error) => self.refuse(error.to_string()),
            layer::Error::Io { source, .. } => self.refuse(crate::fs::reason(&source)),
            error => self.refuse(error.to_string()),
        })?;
        // Some writers repeat a member. One reader takes the first, another the last: they must be the same.
        for (path, first, second) in twice {
            let is_same = first.size == second.size
                && self.digest(first, observer)? == self.digest(second, observer)?;
            if !is_same {
                return Err(self.refuse(format!(
                    "it has more than one `{}`, and they are not the same",
                    named(&path)
                )));
            }
        }
        self.members = found;
        Ok(())
    }

    fn digest(
        &self,
        range: Range,
        observer: &dyn Observer,
    ) -> Result<crate::digest::Digest, Error> {
        let mut sink = DigestWriter::new(io::sink());
        self.copy(range, &mut sink, observer)?;
        Ok(sink.finish().1)
    }

    /// Which of the two kinds it is, where that was left open.
    pub(super) fn format(&self) -> Result<Format, Error> {
        match self.format {
            Format::Both if self.has("index.json") => Ok(Format::Oci),
            Format::Both if self.has("manifest.json") => Ok(Format::Docker),
            Format::Both => {
                Err(self.refuse("it has neither `index.json` nor `manifest.json`".to_owned()))
            }
            known => Ok(known),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        EntryPath::parse(name.as_bytes()).is_ok_and(|path| self.members.contains_key(&path))
    }

    /// The names of all members, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.members.keys().map(named)
    }

    /// The error that this is not what it should be.
    pub(super) fn refuse(&self, reason: String) -> Error {
        self.refuse_with(reason, None)
    }

    pub(super) fn refuse_with(&self, reason: String, hint: Option<&'static str>) -> Error {
        refusal(&self.path, self.format, reason, hint)
    }

    /// The file's name, for messages.
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Where the content of the member `name` is; links are followed, within the archive.
    ///
    /// # Errors
    /// [`Error::Format`] when there is none, or a link points outside or in a circle.
    pub(super) fn find(&self, name: &str) -> Result<Range, Error> {
        let missing = || self.refuse(format!("`{}` is missing from it", shown(name)));
        let unsafe_name = |error: layer::entry::PathError| self.refuse(error.to_string());
        let mut path = EntryPath::parse(name.as_bytes()).map_err(unsafe_name)?;
        for _ in 0..MAX_LINKS {
            match self.members.get(&path) {
                None => return Err(missing()),
                Some(Member::File(range)) => return Ok(*range),
                Some(Member::Link(Ok(target))) => path = target.clone(),
                Some(Member::Link(Err(reason))) => return Err(self.refuse(reason.clone())),
            }
        }
        Err(self.refuse(format!("`{}` is a link of too many links", shown(name))))
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Format`] when it is larger than any document may be.
    pub(super) fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let range = self.find(name)?;
        if range.size > MAX_DOCUMENT_BYTES {
            return Err(self.refuse(format!(
                "`{}` has {} bytes, and no document may have more than {MAX_DOCUMENT_BYTES}",
                shown(name),
                range.size
            )));
        }
        let mut bytes = Vec::new();
        self.reader(range)?
            .read_to_end(&mut bytes)
            .context("read", &self.path)?;
        Ok(bytes)
    }

    /// Copies a member's content.
    ///
    /// # Errors
    /// [`Error::File`] for either side, [`Error::Interrupted`].
    pub(super) fn copy(
        &self,
        range: Range,
        sink: &mut dyn Write,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let mut reader = self.reader(range)?;
        let copied = copy(&mut reader, sink, &|_| {}, observer);
        let copied = copied.map_err(|failed| failed_on(&self.path, failed))?;
        match copied == range.size {
            true => Ok(()),
            false => Err(self.refuse("it became shorter while it was read".to_owned())),
        }
    }

    fn reader(&self, range: Range) -> Result<io::Take<&File>, Error> {
        let mut tar = &self.tar;
        tar.seek(SeekFrom::Start(range.start))
            .context("read", &self.path)?;
        Ok(tar.take(range.size))
    }
}

/// A path as the archive has it: without the slash of a root.
fn named(path: &EntryPath) -> String {
    path.to_string().trim_start_matches('/').to_owned()
}

fn shown(name: &str) -> String {
    let name: String = name.chars().take(300).collect();
    crate::event::printable(&name)
}

/// What the symbolic link `path` means, as a path in the archive.
fn follow(path: &EntryPath, target: &[u8]) -> Result<EntryPath, String> {
    let outside = || {
        let target = target[..target.len().min(200)].escape_ascii();
        format!(
            "`{}` is a link to `{target}`, which is outside of it",
            named(path)
        )
    };
    if target.starts_with(b"/") {
        return Err(outside());
    }
    let parent = path.parent().ok_or_else(outside)?;
    let mut parts: Vec<&[u8]> = parent.as_bytes().split(|byte| *byte == b'/').collect();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.pop() {
                Some(left) if !left.is_empty() => {}
                _ => return Err(outside()),
            },
            part => parts.push(part),
        }
    }
    EntryPath::parse(&parts.join(&b'/')).map_err(|error| error.to_string())
}
