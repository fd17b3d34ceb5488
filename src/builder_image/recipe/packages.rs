//! From package files to layers.
//!
//! Packages are written in the order of their names, members in the order of the package (where directories come
//! before what is in them, hard links after their targets). So nothing has to be held back or read twice, and the layer depends on the
//! packages alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Content;
use super::definition::{Definition, Pattern, Share};
use super::filesystem::{OpenLayer, Tree};
use super::read_ahead::{self, Header, Packages};
use super::{Error, Supplies};
use crate::debian::archive;
use crate::debian::closure::Selected;
use crate::debian::ld_cache::LdCache;
use crate::debian::status::{self, Installed};
use crate::event::Observer;
use crate::image::edit::NewLayer;
use crate::layer::{Entry, EntryPath, Kind};

/// The largest file whose content the recipe can use, in bytes. The largest library of our own recipes has 7 MB.
const MAX_CONTENT: u64 = 32 << 20;

/// What unpacking has found, for the files that are made of it.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) tree: Tree,
    /// What the recipe wants to read, by path.
    pub(super) contents: BTreeMap<EntryPath, Vec<u8>>,
    /// What dpkg is told.
    pub(super) installed: Vec<Installed>,
    /// The dynamic linker's libraries; `None` where the recipe or the architecture has no such index.
    pub(super) ld_cache: Option<LdCache>,
    patterns: Vec<EntryPath>,
}

/// One layer: its name, and which of the selected packages it takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Portion<'a> {
    pub(super) name: &'a str,
    /// Indexes into the selection, in its order.
    pub(super) packages: Vec<usize>,
}

/// Shares the packages out among the recipe's layers.
pub(super) fn share<'a>(definition: &'a Definition, selection: &[Selected]) -> Vec<Portion<'a>> {
    let mut rest: BTreeSet<usize> = (0..selection.len()).collect();
    let mut portions = Vec::new();
    for layer in &definition.layers {
        let takes = |index: &usize| layer.packages == Share::Rest || selection[*index].is_base;
        let packages: Vec<usize> = rest.iter().copied().filter(takes).collect();
        rest.retain(|index| !takes(index));
        portions.push(Portion {
            name: &layer.name,
            packages,
        });
    }
    portions
}

/// Writes the packages as layers. `paths` are their files, in the order of the selection.
pub(super) fn write_layers(
    definition: &Definition,
    architecture: &str,
    selection: &[Selected],
    paths: &[PathBuf],
    supplies: &Supplies<'_>,
    observer: &dyn Observer,
) -> Result<(Vec<NewLayer>, Unpacked), Error> {
    let portions = share(definition, selection);
    let order: Vec<usize> = portions
        .iter()
        .flat_map(|portion| portion.packages.clone())
        .collect();
    let files: Vec<&Path> = order.iter().map(|index| &*paths[*index]).collect();
    let mut unpacked = Unpacked::new(definition, architecture)?;
    let mut layers = Vec::new();
    let mut portion = portions.iter();
    let mut open: Option<(OpenLayer<'_>, &Portion<'_>, usize)> = None;
    read_ahead::each(&files, |position, package| {
        let (mut layer, current, left) = match open.take() {
            Some(open) => open,
            None => {
                let next = portion
                    .by_ref()
                    .find(|portion| !portion.packages.is_empty());
                let next = next.expect("every package is in a portion");
                (
                    OpenLayer::begin(supplies.store, supplies.threads)?,
                    next,
                    next.packages.len(),
                )
            }
        };
        let name = selection[order[position]].package.name();
        unpacked.add(package, &Arc::from(name), &mut layer, observer)?;
        if left == 1 {
            layers.push(layer.finish(describe(current))?);
        } else {
            open = Some((layer, current, left - 1));
        }
        Ok::<(), Error>(())
    })?;
    Ok((layers, unpacked))
}

fn describe(portion: &Portion<'_>) -> String {
    let count = portion.packages.len();
    let noun = if count == 1 { "package" } else { "packages" };
    format!("overcoat: {} ({count} {noun})", portion.name)
}

impl Unpacked {
    /// Nothing yet, and knowing what will be wanted.
    pub(super) fn new(definition: &Definition, architecture: &str) -> Result<Self, Error> {
        let tree = Tree::new(&definition.filesystem.merged_usr);
        let mut patterns: Vec<Pattern> = definition.venv.wheels.clone();
        let mut ld_cache = None;
        for file in &definition.files {
            match &file.content {
                Content::Copy { from, .. } => patterns.push(Pattern::exactly(from)),
                Content::Concat(pattern) => patterns.push(pattern.clone()),
                Content::LdCache => ld_cache = LdCache::new(architecture),
                Content::Text(_)
                | Content::List { .. }
                | Content::Link(_)
                | Content::Directory
                | Content::AptSources => {}
            }
        }
        let patterns = patterns
            .iter()
            .map(|pattern| tree.map(&pattern.path))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tree,
            contents: BTreeMap::new(),
            installed: Vec::new(),
            ld_cache,
            patterns,
        })
    }

    /// Writes one package to the layer.
    fn add(
        &mut self,
        package: &mut Packages,
        name: &Arc<str>,
        layer: &mut OpenLayer<'_>,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let control_files = package.control_files()?;
        let conffiles: BTreeSet<String> =
            Installed::conffiles(&control_files).into_iter().collect();
        let (mut paths, mut md5_by_path) = (Vec::new(), BTreeMap::new());
        while let Some(header) = package.next_member()? {
            if observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let entry = entry(&header, name)?;
            if !entry.path.is_root() {
                let content = self.content(&entry, &header, &conffiles, package)?;
                if let Some(bytes) = &content
                    && conffiles.contains(&header.path)
                {
                    md5_by_path.insert(header.path.clone(), status::md5(bytes));
                }
                match content {
                    Some(bytes) => {
                        layer.add_packaged(&mut self.tree, entry.clone(), name, &bytes[..])?;
                        self.keep(&entry, bytes)?;
                    }
                    None => {
                        let written =
                            layer.add_packaged(&mut self.tree, entry.clone(), name, &mut *package);
                        // The layer cannot know why the body ended early.
                        written.map_err(|error| package.failure().map_or(error, Error::from))?;
                        self.note_link(&entry)?;
                    }
                }
            }
            paths.push(header.path);
        }
        self.installed.push(Installed {
            control_files,
            paths,
            md5_by_path,
        });
        Ok(())
    }

    /// The content of a file that somebody will want to see whole.
    fn content(
        &self,
        entry: &Entry,
        header: &Header,
        conffiles: &BTreeSet<String>,
        package: &mut Packages,
    ) -> Result<Option<Vec<u8>>, Error> {
        if header.kind != archive::Kind::File {
            return Ok(None);
        }
        let path = self.tree.map(&entry.path)?;
        let is_wanted = conffiles.contains(&header.path) || self.is_wanted(&path);
        let is_library = self.wants_library(&path) && header.size_bytes <= MAX_CONTENT;
        if !is_wanted && !is_library {
            return Ok(None);
        }
        if header.size_bytes > MAX_CONTENT {
            return Err(Error::TooLarge {
                path: path.to_string(),
                limit_bytes: MAX_CONTENT,
            });
        }
        let mut bytes = Vec::with_capacity(header.size_bytes as usize);
        match package
            .by_ref()
            .take(header.size_bytes)
            .read_to_end(&mut bytes)
        {
            Ok(_) => Ok(Some(bytes)),
            Err(error) => Err(package
                .failure()
                .map_or_else(|| read_failed(&path, error), Error::from)),
        }
    }

    fn is_wanted(&self, path: &EntryPath) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path))
    }

    fn wants_library(&self, path: &EntryPath) -> bool {
        let text = std::str::from_utf8(path.as_bytes()).unwrap_or_default();
        self.ld_cache
            .as_ref()
            .is_some_and(|cache| cache.wants(text))
    }

    fn keep(&mut self, entry: &Entry, bytes: Vec<u8>) -> Result<(), Error> {
        let path = self.tree.map(&entry.path)?;
        if let (Some(cache), Ok(text)) = (&mut self.ld_cache, std::str::from_utf8(path.as_bytes()))
        {
            cache.file(text, &bytes);
        }
        if self.is_wanted(&path) {
            self.contents.insert(path, bytes);
        }
        Ok(())
    }

    fn note_link(&mut self, entry: &Entry) -> Result<(), Error> {
        let (Some(cache), Kind::Symlink { target }) = (&mut self.ld_cache, &entry.kind) else {
            return Ok(());
        };
        let path = self.tree.map(&entry.path)?;
        if let (Ok(path), Ok(target)) = (
            std::str::from_utf8(path.as_bytes()),
            std::str::from_utf8(target),
        ) {
            cache.symlink(path, target);
        }
        Ok(())
    }
}

fn read_failed(path: &EntryPath, source: io::Error) -> Error {
    Error::Layer(crate::layer::Error::Io {
        action: "read",
        path: path.to_string(),
        source,
    })
}

fn entry(header: &Header, package: &Arc<str>) -> Result<Entry, Error> {
    let number = |what: &'static str, value: u64| {
        u32::try_from(value).map_err(|_| Error::Number {
            package: package.to_string(),
            path: header.path.clone(),
            what,
            value,
        })
    };
    let kind = match &header.kind {
        archive::Kind::Directory => Kind::Directory,
        archive::Kind::File => Kind::File {
            size: header.size_bytes,
        },
        archive::Kind::Symlink(target) => Kind::Symlink {
            target: target.clone().into_bytes(),
        },
        archive::Kind::HardLink(target) => Kind::HardLink {
            target: EntryPath::parse(target.as_bytes())?,
        },
    };
    let mode = match kind {
        // Whatever the package says: file systems do not keep another.
        Kind::Symlink { .. } => 0o777,
        _ => header.mode,
    };
    let mut entry = Entry::new(EntryPath::parse(header.path.as_bytes())?, kind, mode);
    entry.uid = number("owner", header.uid)?;
    entry.gid = number("group", header.gid)?;
    entry.mtime = number("time", header.mtime)?.into();
    Ok(entry)
}

/// True when `path` is in the pattern's directory and its name is like the pattern's.
pub(super) fn matches(pattern: &EntryPath, path: &EntryPath) -> bool {
    pattern.parent() == path.parent() && matches_name(pattern.file_name(), path.file_name())
}

fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
        return pattern == name;
    };
    let (head, tail) = (&pattern[..star], &pattern[star + 1..]);
    let Some(rest) = name.strip_prefix(head) else {
        return false;
    };
    (0..=rest.len()).any(|skipped| matches_name(tail, &rest[skipped..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_one_directory() {
        let rows = [
            ("a/*.crt", "a/x.crt", true),
            ("a/*.crt", "a/.crt", true),
            ("a/*.crt", "a/x.crt.old", false),
            ("a/*.crt", "a/b/x.crt", false),
            ("a/*.crt", "b/x.crt", false),
            ("a/p*-*.whl", "a/pip-1-py3.whl", true),
            ("a/p*-*.whl", "a/pip.whl", false),
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
        ];
        let path = |text: &str| EntryPath::parse(text.as_bytes()).unwrap();
        for (pattern, name, expected) in rows {
            assert_eq!(
                matches(&path(pattern), &path(name)),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
