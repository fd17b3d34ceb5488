//! The layer on top of the packages: what maintainer scripts would have made, the S2I scripts, the virtual
//! environment, dpkg's records. Nothing is executed for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::content::{Content, File};
use super::definition::{Alternative, Debian, Definition, ImagePath, Pattern};
use super::filesystem::OpenLayer;
use super::packages::{Unpacked, matches};
use super::{EPOCH, Error, Recipe, Supplies, configuration, shipped, venv};
use crate::debian::mirror::{DEFAULT_MIRROR, DEFAULT_SECURITY_MIRROR};
use crate::debian::status;
use crate::image::edit::NewLayer;
use crate::layer::{Entry, EntryPath, Kind};

/// Who owns what is not from a package, in errors.
const OWNER: &str = "the recipe";
/// dpkg's records.
const DPKG: &str = "/var/lib/dpkg";
/// Debian's keys as the package `debian-archive-keyring` has them: what apt believes.
const APT_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Control files that are programs, by the end of their names.
const PROGRAMS: [&str; 5] = ["config", "postinst", "postrm", "preinst", "prerm"];

/// Owner and group.
pub(super) type Owner = (u32, u32);

/// Entries that are to be written, by path, and all that they can be made of.
pub(super) struct Generated<'a> {
    definition: &'a Definition,
    unpacked: &'a mut Unpacked,
    entries: BTreeMap<EntryPath, (Entry, Vec<u8>)>,
}

/// Makes everything and writes it as one layer. `python` is the interpreter's full version. Gives also the distributions
/// in the virtual environment, as their `.dist-info` directories are called.
pub(super) fn write_layer(
    recipe: &Recipe,
    unpacked: &mut Unpacked,
    python: &str,
    supplies: &Supplies<'_>,
) -> Result<(NewLayer, Vec<String>), Error> {
    let definition = &recipe.definition;
    let entries = BTreeMap::new();
    let mut generated = Generated {
        definition,
        unpacked,
        entries,
    };
    for file in &definition.files {
        generated.add_file(file)?;
    }
    for alternative in &definition.alternatives {
        generated.add_alternative(alternative)?;
    }
    let stock = shipped::SCRIPTS.iter().copied();
    let own = recipe.scripts.iter();
    for (name, bytes) in stock.chain(own.map(|(name, bytes)| (&name[..], &bytes[..]))) {
        let path = path(&format!("{}/{name}", shipped::SCRIPTS_DIRECTORY))?;
        generated.put_file(&path, bytes.to_vec(), 0o755, (0, 0))?;
    }
    let installed = venv::add(&mut generated, &definition.venv, python)?;
    let workdir = path(&configuration::working_directory(definition))?;
    if !generated.entries.contains_key(&workdir) {
        generated.put(&workdir, Kind::Directory, 0o775, definition.venv.owner)?;
    }
    generated.add_status()?;
    Ok((generated.write(supplies)?, installed))
}

/// A path that this module makes up.
pub(super) fn path(text: &str) -> Result<EntryPath, Error> {
    Ok(EntryPath::parse(text.as_bytes())?)
}

impl Generated<'_> {
    /// Puts a file; what was there is replaced, unless it is a directory.
    pub(super) fn put_file(
        &mut self,
        path: &EntryPath,
        bytes: Vec<u8>,
        mode: u32,
        owner: Owner,
    ) -> Result<(), Error> {
        let size = bytes.len() as u64;
        let path = self.put(path, Kind::File { size }, mode, owner)?;
        if let Some((_, content)) = self.entries.get_mut(&path) {
            *content = bytes;
        }
        Ok(())
    }

    /// Puts an entry without content; gives the path that it really has.
    pub(super) fn put(
        &mut self,
        path: &EntryPath,
        kind: Kind,
        mode: u32,
        owner: Owner,
    ) -> Result<EntryPath, Error> {
        let path = self.unpacked.tree.map(path)?;
        let occupied = |by| Error::Occupied {
            path: path.to_string(),
            by,
        };
        match (&kind, self.unpacked.tree.is_directory(&path)) {
            (Kind::Directory, Some(false)) => return Err(occupied("a file")),
            (Kind::Directory, _) | (_, None | Some(false)) => {}
            // What packages have as an empty directory may be a link on every real system.
            (Kind::Symlink { .. }, Some(true)) if !self.unpacked.tree.has_children(&path) => {}
            (Kind::Symlink { .. }, Some(true)) => {
                return Err(occupied("a directory that is not empty"));
            }
            (_, Some(true)) => return Err(occupied("a directory")),
        }
        let mut entry = Entry::new(path.clone(), kind, mode);
        (entry.uid, entry.gid) = owner;
        entry.mtime = EPOCH;
        self.entries.insert(path.clone(), (entry, Vec::new()));
        Ok(path)
    }

    /// Puts a symbolic link.
    pub(super) fn put_link(
        &mut self,
        path: &EntryPath,
        target: &str,
        owner: Owner,
    ) -> Result<(), Error> {
        let target = target.as_bytes().to_vec();
        self.put(path, Kind::Symlink { target }, 0o777, owner)
            .map(drop)
    }

    fn add_file(&mut self, file: &File) -> Result<(), Error> {
        for target in &file.paths {
            let bytes = match &file.content {
                Content::Directory => {
                    self.put(&target.path, Kind::Directory, file.mode, file.owner)?;
                    continue;
                }
                Content::Link(link) => {
                    self.put_link(&target.path, link, file.owner)?;
                    continue;
                }
                Content::Text(text) => text.clone().into_bytes(),
                Content::Copy { from, append } => {
                    let mut bytes = self.content_of(from, target)?;
                    bytes.extend_from_slice(append.as_bytes());
                    bytes
                }
                Content::Concat(pattern) => {
                    let files = self.matching(pattern, &target.text)?;
                    files
                        .into_iter()
                        .flat_map(|(_, bytes)| bytes.to_vec())
                        .collect()
                }
                Content::List { pattern, strip } => self.names(pattern, strip, target)?,
                Content::LdCache => match &self.unpacked.ld_cache {
                    Some(cache) => cache.finish(),
                    // An architecture whose format we do not know: the linker does without.
                    None => continue,
                },
                Content::AptSources => self.apt_sources(target)?,
            };
            self.put_file(&target.path, bytes, file.mode, file.owner)?;
        }
        Ok(())
    }

    /// The content of one file, generated or packaged.
    fn content_of(&self, from: &ImagePath, needed_by: &ImagePath) -> Result<Vec<u8>, Error> {
        let path = self.unpacked.tree.map(&from.path)?;
        let generated = self
            .entries
            .get(&path)
            .filter(|(entry, _)| matches!(entry.kind, Kind::File { .. }));
        let bytes = generated
            .map(|(_, bytes)| bytes)
            .or_else(|| self.unpacked.contents.get(&path));
        bytes.cloned().ok_or_else(|| Error::Missing {
            path: from.text.clone(),
            needed_by: needed_by.text.clone(),
        })
    }

    /// The packaged files that match, sorted; at least one.
    pub(super) fn matching(
        &self,
        pattern: &Pattern,
        needed_by: &str,
    ) -> Result<Vec<(&EntryPath, &[u8])>, Error> {
        let wanted = self.unpacked.tree.map(&pattern.path)?;
        let found: Vec<_> = self
            .unpacked
            .contents
            .iter()
            .filter(|(path, _)| matches(&wanted, path))
            .map(|(path, bytes)| (path, &bytes[..]))
            .collect();
        match found.is_empty() {
            false => Ok(found),
            true => Err(Error::Missing {
                path: pattern.text.clone(),
                needed_by: needed_by.to_owned(),
            }),
        }
    }

    fn names(
        &self,
        pattern: &Pattern,
        strip: &str,
        needed_by: &ImagePath,
    ) -> Result<Vec<u8>, Error> {
        let wanted = self.unpacked.tree.map(&pattern.path)?;
        let mut lines = String::new();
        for path in self
            .unpacked
            .tree
            .paths()
            .filter(|path| matches(&wanted, path))
        {
            let path = path.to_string();
            lines.push_str(path.strip_prefix(strip).unwrap_or(&path));
            lines.push('\n');
        }
        match lines.is_empty() {
            false => Ok(lines.into_bytes()),
            true => Err(Error::Missing {
                path: pattern.text.clone(),
                needed_by: needed_by.text.clone(),
            }),
        }
    }

    /// [`apt_sources`], if the keys that it names are there.
    fn apt_sources(&self, needed_by: &ImagePath) -> Result<Vec<u8>, Error> {
        let keyring = path(APT_KEYRING)?;
        if self.unpacked.tree.owner(&keyring).is_none() {
            return Err(Error::Missing {
                path: APT_KEYRING.to_owned(),
                needed_by: needed_by.text.clone(),
            });
        }
        Ok(apt_sources(&self.definition.debian).into_bytes())
    }

    /// The links and the record that `update-alternatives` makes.
    fn add_alternative(&mut self, alternative: &Alternative) -> Result<(), Error> {
        let Alternative {
            name, link, target, ..
        } = alternative;
        self.link_alternative(name, link, target)?;
        let mut record = format!("auto\n{}\n", link.text);
        for slave in &alternative.slaves {
            self.link_alternative(&slave.name, &slave.link, &slave.target)?;
            record.push_str(&format!("{}\n{}\n", slave.name, slave.link.text));
        }
        record.push_str(&format!("\n{}\n{}\n", target.text, alternative.priority));
        for slave in &alternative.slaves {
            record.push_str(&format!("{}\n", slave.target.text));
        }
        record.push('\n');
        let path = path(&format!("{DPKG}/alternatives/{name}"))?;
        self.put_file(&path, record.into_bytes(), 0o644, (0, 0))
    }

    fn link_alternative(
        &mut self,
        name: &str,
        link: &ImagePath,
        target: &ImagePath,
    ) -> Result<(), Error> {
        let real = self.unpacked.tree.map(&target.path)?;
        if self.unpacked.tree.owner(&real).is_none() {
            return Err(Error::Missing {
                path: target.text.clone(),
                needed_by: format!("the alternative {name}"),
            });
        }
        let middle = format!("/etc/alternatives/{name}");
        self.put_link(&link.path, &middle, (0, 0))?;
        self.put_link(&path(&middle)?, &target.text, (0, 0))
    }

    fn add_status(&mut self) -> Result<(), Error> {
        let installed = std::mem::take(&mut self.unpacked.installed);
        for (name, bytes) in status::database(&installed)? {
            let is_program = name
                .rsplit_once('.')
                .is_some_and(|(_, kind)| PROGRAMS.contains(&kind));
            let mode = if is_program { 0o755 } else { 0o644 };
            self.put_file(&path(&format!("{DPKG}/{name}"))?, bytes, mode, (0, 0))?;
        }
        Ok(())
    }

    fn write(self, supplies: &Supplies<'_>) -> Result<NewLayer, Error> {
        let owner: Arc<str> = Arc::from(OWNER);
        let mut layer = OpenLayer::begin(supplies.store, supplies.threads)?;
        for (entry, bytes) in self.entries.values() {
            layer.write(&mut self.unpacked.tree, entry, &owner, &bytes[..])?;
        }
        layer.finish("overcoat: generated files, scripts and the virtual environment".to_owned())
    }
}

/// A source file for apt that names the recipe's suites, its components, and Debian's own address: never that of the
/// mirror in use, which is this machine's business.
///
/// # Spec
/// sources.list(5), *DEB822-STYLE FORMAT*.
pub(super) fn apt_sources(debian: &Debian) -> String {
    let stanza = |uri: &str, suites: &str| {
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {}\nSigned-By: {APT_KEYRING}\n",
            debian.components.join(" ")
        )
    };
    let archive = match &debian.updates {
        Some(updates) => format!("{} {updates}", debian.suite),
        None => debian.suite.clone(),
    };
    let mut stanzas = vec![stanza(DEFAULT_MIRROR, &archive)];
    if let Some(security) = &debian.security {
        stanzas.push(stanza(DEFAULT_SECURITY_MIRROR, security));
    }
    stanzas.join("\n")
}
