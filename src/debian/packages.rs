//! Package indexes, and which packages a set of packages needs.
//!
//! An index is read as a stream, and only what resolving and downloading need is kept of it (some 20 MB for all of
//! Debian). Dependencies are parsed when they are looked at: a closure of a hundred packages looks at few.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io::{BufRead, Read};

use super::Error;
use super::version::Version;
use crate::digest::Digest;

/// The longest line an index may have, in bytes; real ones stay under 64 KiB.
const MAX_LINE: u64 = 1 << 20;
/// The most packages an index may have; Debian has some 70,000.
const MAX_PACKAGES: usize = 1 << 20;

/// A package as an index describes it. Its order is that of its name alone.
///
/// All its texts lie in one allocation: an index has 70,000 packages, and a dozen allocations for each would cost
/// more than the texts.
#[derive(Clone)]
pub struct Package {
    /// The values of [`FIELDS`], one after another.
    text: Box<str>,
    /// Where each value ends in `text`.
    ends: [u32; FIELDS.len()],
    /// The size of the `.deb` in bytes.
    pub size_bytes: u64,
    /// Which of the archives given to [`Index::add`] has it.
    pub archive: Archive,
}

impl Package {
    fn value(&self, field: Field) -> &str {
        let start = (field as usize)
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[field as usize] as usize]
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.value(Field::Package)
    }

    /// Its version.
    pub fn version(&self) -> Version {
        Version::parse(self.value(Field::Version)).expect("checked when it was read")
    }

    /// `all`, or the architecture it is built for.
    pub fn architecture(&self) -> &str {
        self.value(Field::Architecture)
    }

    /// True when a system is broken without it.
    pub fn is_essential(&self) -> bool {
        self.value(Field::Essential) == "yes"
    }

    /// True for `Multi-Arch: same`: dpkg's files about it are named with the architecture.
    pub fn is_multi_arch_same(&self) -> bool {
        self.value(Field::MultiArch) == "same"
    }

    /// `Pre-Depends`, as written; may be empty.
    pub fn pre_depends(&self) -> &str {
        self.value(Field::PreDepends)
    }

    /// `Depends`, as written; may be empty.
    pub fn depends(&self) -> &str {
        self.value(Field::Depends)
    }

    /// `Provides`, as written; may be empty.
    pub fn provides(&self) -> &str {
        self.value(Field::Provides)
    }

    /// `Conflicts`, as written; may be empty.
    pub fn conflicts(&self) -> &str {
        self.value(Field::Conflicts)
    }

    /// `Breaks`, as written; may be empty.
    pub fn breaks(&self) -> &str {
        self.value(Field::Breaks)
    }

    /// The path of the `.deb` below the archive's root: relative, without `..`.
    pub fn filename(&self) -> &str {
        self.value(Field::Filename)
    }

    /// The SHA-256 of the `.deb`.
    pub fn digest(&self) -> Digest {
        let text = format!("sha256:{}", self.value(Field::Sha256));
        text.parse().expect("checked when it was read")
    }

    /// How important the archive holds it to be, 0 the most.
    pub(super) fn rank(&self) -> usize {
        let ranks = ["required", "important", "standard", "optional"];
        ranks
            .iter()
            .position(|&rank| rank == self.value(Field::Priority))
            .unwrap_or(ranks.len())
    }
}

impl std::fmt::Debug for Package {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name(), self.value(Field::Version))
    }
}

impl Borrow<str> for Package {
    fn borrow(&self) -> &str {
        self.name()
    }
}

impl PartialEq for Package {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Package {}

impl PartialOrd for Package {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Package {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

/// Which of a distribution's archives a package lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Archive {
    /// The release and its updates.
    Main,
    /// The security updates.
    Security,
}

/// The newest version of every package of several indexes.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub(super) packages: BTreeSet<Package>,
}

impl Index {
    /// Reads an index (uncompressed) into this one. Where a package is there already, the newer version stays.
    ///
    /// `name` is for errors. Packages for other architectures than `architecture` and `all` are left out.
    ///
    /// # Errors
    /// [`Error::Index`] when the text is malformed or cannot be read to its end.
    pub fn add(
        &mut self,
        text: impl BufRead,
        name: &str,
        architecture: &str,
        archive: Archive,
    ) -> Result<(), Error> {
        let malformed = |reason: String| Error::Index {
            index: name.to_owned(),
            reason,
        };
        let mut lines = Lines::new(text);
        let mut stanza = Stanza::default();
        loop {
            let line = lines.next().map_err(&malformed)?;
            match line {
                Some(line) if !line.is_empty() => stanza.add(line).map_err(&malformed)?,
                _ => {
                    let is_end = line.is_none();
                    if let Some(package) = stanza.finish(archive).map_err(&malformed)? {
                        self.insert(package, architecture);
                    }
                    if self.packages.len() > MAX_PACKAGES {
                        return Err(malformed("it has too many packages".to_owned()));
                    }
                    if is_end {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn insert(&mut self, package: Package, architecture: &str) {
        let is_ours = [architecture, "all"].contains(&package.architecture());
        let known = self.packages.get(package.name());
        if is_ours && known.is_none_or(|known| known.version() < package.version()) {
            self.packages.replace(package);
        }
    }

    /// The newest version of a package.
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }

    /// How many packages there are.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// True when no index was added, or only empty ones.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}

/// Lines of bounded length, read one at a time into the same buffer.
struct Lines<R> {
    text: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn new(text: R) -> Self {
        let buffer = Vec::new();
        Self { text, buffer }
    }

    /// The next line without its end.
    fn next(&mut self) -> Result<Option<&str>, String> {
        self.buffer.clear();
        let mut limited = (&mut self.text).take(MAX_LINE);
        let count = limited
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| error.to_string())?;
        if count == 0 {
            return Ok(None);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if count as u64 == MAX_LINE {
            return Err(format!("a line is longer than {MAX_LINE} bytes"));
        }
        std::str::from_utf8(&self.buffer)
            .map(Some)
            .map_err(|_| "a line is not UTF-8".to_owned())
    }
}

/// The stanza being read.
#[derive(Default)]
struct Stanza {
    /// The values of [`FIELDS`].
    values: [String; FIELDS.len()],
    /// Which field a continuation line belongs to; `None` when it is one that we do not keep.
    current: Option<usize>,
    is_begun: bool,
}

/// The fields that we keep, in the order of [`Field`].
const FIELDS: [&str; 14] = [
    "Package",
    "Version",
    "Architecture",
    "Essential",
    "Multi-Arch",
    "Pre-Depends",
    "Depends",
    "Provides",
    "Conflicts",
    "Breaks",
    "Filename",
    "Size",
    "SHA256",
    "Priority",
];

/// The places of the fields in [`FIELDS`].
#[derive(Clone, Copy)]
enum Field {
    Package,
    Version,
    Architecture,
    Essential,
    MultiArch,
    PreDepends,
    Depends,
    Provides,
    Conflicts,
    Breaks,
    Filename,
    Size,
    Sha256,
    Priority,
}

impl Stanza {
    fn add(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with([' ', '\t']) {
            if let Some(field) = self.current {
                self.values[field].push_str(line);
            }
            return Ok(());
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("`{line:.80}` is no field"))?;
        self.is_begun = true;
        self.current = FIELDS
            .iter()
            .position(|&field| field.eq_ignore_ascii_case(name));
        if let Some(field) = self.current {
            if !self.values[field].is_empty() {
                return Err(format!(
                    "`{}` has the field `{name:.80}` twice",
                    self.values[0]
                ));
            }
            self.values[field].push_str(value.trim());
        }
        Ok(())
    }

    /// The package that the lines so far describe, if there were any; ready for the next stanza then.
    fn finish(&mut self, archive: Archive) -> Result<Option<Package>, String> {
        if !self.is_begun {
            return Ok(None);
        }
        let mut text = String::with_capacity(self.values.iter().map(String::len).sum());
        let mut ends = [0; FIELDS.len()];
        for (value, end) in self.values.iter_mut().zip(&mut ends) {
            text.push_str(value);
            *end = u32::try_from(text.len()).map_err(|_| "a stanza is too long".to_owned())?;
            // Cleared, not dropped: the next stanza needs the room again.
            value.clear();
        }
        (self.is_begun, self.current) = (false, None);
        let package = Package {
            text: text.into(),
            ends,
            size_bytes: 0,
            archive,
        };
        let refuse = |what: Field| {
            format!(
                "`{:.80}` has no usable `{}`",
                package.name(),
                FIELDS[what as usize]
            )
        };
        if !is_package_name(package.name()) {
            return Err(refuse(Field::Package));
        }
        if !is_safe_path(package.filename()) {
            return Err(refuse(Field::Filename));
        }
        Version::parse(package.value(Field::Version)).map_err(|_| refuse(Field::Version))?;
        if !is_sha256(package.value(Field::Sha256)) {
            return Err(refuse(Field::Sha256));
        }
        let size_bytes = package
            .value(Field::Size)
            .parse()
            .map_err(|_| refuse(Field::Size))?;
        Ok(Some(Package {
            size_bytes,
            ..package
        }))
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Policy 5.6.7; what passes is safe as part of a file name.
pub(super) fn is_package_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    name.len() >= 2 && name.bytes().all(allowed) && name.as_bytes()[0].is_ascii_alphanumeric()
}

/// A path that stays below the archive's root and needs no escaping in a URL.
fn is_safe_path(path: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._~/:%".contains(&byte);
    !path.is_empty()
        && path.bytes().all(allowed)
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
#[path = "packages_tests.rs"]
pub(super) mod tests;
