//! The file of results: `{"builds":[{"imageName":…,"tag":…}]}`, which Skaffold invented and op lives by.
//!
//! It is read in all the shapes that tools have written it in, and written in the one that all of them read: one compact
//! line, `imageName` before `tag`, and `tag` with the digest behind `@` once the image is in a registry. What the file has
//! beside these two keys is kept. The order of the builds matters: who does not say which image he means gets the last.
//!
//! # Spec
//! `path-to-production.md` §1.4 and §4.2.

mod entry;
mod error;

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

pub(in crate::release) use entry::names_its_registry;
pub use entry::{Entry, digest_of, tag_of};
pub use error::Error;

use crate::fs;

/// The name of the file that builds and promotions write.
pub const FILE: &str = "build_result.json";
/// The name of the same file where it is attached to a release.
pub const RELEASE_FILE: &str = "release_result.json";
/// How many bytes such a file may have.
const MAX_BYTES: u64 = 4 << 20;
/// What some programs put before the first character of a text file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What was built, in the order of the file: base images before those that are made on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildResult {
    /// The images. A file that was read has one at least.
    pub builds: Vec<Entry>,
    /// What the file says beside `builds`.
    pub others: Map<String, Value>,
}

impl BuildResult {
    /// The results of these builds.
    pub fn of(builds: Vec<Entry>) -> Self {
        Self {
            builds,
            others: Map::new(),
        }
    }

    /// Reads a file of at most 4 MiB.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Json`], and as [`Self::parse`]; [`Error::File`] for what cannot be read or is too
    /// large.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read_limited(path, MAX_BYTES).map_err(|error| match error.is_absent() {
            true => Error::Missing {
                path: path.to_owned(),
            },
            false => Error::File(error),
        })?;
        Self::parse(&bytes, path)
    }

    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Json`] for what is no JSON, [`Error::NoList`] without `builds`, [`Error::Empty`] for an empty list,
    /// [`Error::Entry`] for a build without a tag.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let path = || path.to_owned();
        let document: Value = serde_json::from_slice(bytes).map_err(|error| Error::Json {
            path: path(),
            reason: error.to_string(),
        })?;
        let Value::Object(mut document) = document else {
            return Err(Error::NoList { path: path() });
        };
        let Some(builds) = document.remove("builds") else {
            // Skaffold's output of one build: the document is the entry.
            if !document.contains_key("tag") {
                return Err(Error::NoList { path: path() });
            }
            let entry = Entry::from_json(Value::Object(document), 1, &path())?;
            return Ok(Self::of(vec![entry]));
        };
        let Value::Array(builds) = builds else {
            return Err(Error::NoList { path: path() });
        };
        if builds.is_empty() {
            return Err(Error::Empty { path: path() });
        }
        let builds = (1..).zip(builds);
        let builds = builds.map(|(number, build)| Entry::from_json(build, number, &path()));
        Ok(Self {
            builds: builds.collect::<Result<_, _>>()?,
            others: document,
        })
    }

    /// The build that a name means. Without a name, or with an empty one, the last. Names are compared as they stand; an
    /// entry that has none is known by the last part of its path. Of several with one name, the last.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`] with the names that there are; [`Error::Empty`]. Both name `path`.
    pub fn select(&self, name: Option<&str>, path: &Path) -> Result<&Entry, Error> {
        let empty = || Error::Empty {
            path: path.to_owned(),
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return self.builds.last().ok_or_else(empty);
        };
        let mut last_first = self.builds.iter().rev();
        let found = last_first.find(|entry| entry.image_name.as_deref() == Some(name));
        let nameless = || {
            let mut last_first = self.builds.iter().rev();
            last_first.find(|entry| entry.image_name.is_none() && entry.name() == name)
        };
        found.or_else(nameless).ok_or_else(|| Error::NoSuchImage {
            name: name.to_owned(),
            path: path.to_owned(),
            names: self.names(),
        })
    }

    /// What the builds are called, in the order of the file, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in &self.builds {
            if !names.iter().any(|name| name == entry.name()) {
                names.push(entry.name().to_owned());
            }
        }
        names
    }

    /// Adds a build, in the place of those that had its name.
    pub fn put(&mut self, build: Entry) {
        let has_its_name = |entry: &Entry| entry.name() == build.name();
        let Some(place) = self.builds.iter().position(has_its_name) else {
            return self.builds.push(build);
        };
        let mut number = 0;
        self.builds.retain(|entry| {
            number += 1;
            number - 1 <= place || entry.name() != build.name()
        });
        self.builds[place] = build;
    }

    /// Puts the builds of another file behind ours, as those do who merge the files of several jobs: nothing is left
    /// out, and the last one is the last of the last file.
    pub fn append(&mut self, other: Self) {
        self.builds.extend(other.builds);
        for (key, value) in other.others {
            self.others.entry(key).or_insert(value);
        }
    }

    /// One compact line with its end.
    pub fn to_line(&self) -> String {
        // Strings, lists and maps with names for keys: nothing that JSON could not hold.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the file so that it appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        Ok(fs::write_atomic(path, self.to_line().as_bytes())?)
    }
}

impl Serialize for BuildResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("builds", &self.builds)?;
        for (key, value) in &self.others {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Puts builds into a file that others may write at the same time: those of the same names are replaced where they
/// stand, new ones come last, the rest stays. An absent or empty file is begun.
///
/// # Errors
/// As [`BuildResult::read`] for a file that is there and makes no sense, and [`Error::File`].
pub fn update(path: &Path, builds: &[Entry]) -> Result<(), Error> {
    let _lock = lock(path)?;
    let before = present(path)?;
    let mut all = before.clone().unwrap_or_default();
    for (number, build) in builds.iter().enumerate() {
        // Two tags of one image, both made now, are both told.
        let is_again = builds[..number].iter().any(|it| it.name() == build.name());
        match is_again {
            true => all.builds.push(build.clone()),
            false => all.put(build.clone()),
        }
    }
    // What says the same already is left as it is.
    match before.as_ref() == Some(&all) {
        true => Ok(()),
        false => all.write(path),
    }
}

/// Removes what earlier builds of these names left in a file, and the file when nothing else is in it: who fails now must
/// not be taken for who succeeded then. An absent file is fine.
///
/// # Errors
/// As [`update`].
pub fn forget(path: &Path, names: &[&str]) -> Result<(), Error> {
    // Where the directory is not there, the file is not either.
    if !path.exists() {
        return Ok(());
    }
    let _lock = lock(path)?;
    let Some(mut all) = present(path)? else {
        return Ok(());
    };
    let before = all.builds.len();
    all.builds.retain(|entry| !names.contains(&entry.name()));
    match all.builds.len() {
        0 => remove(path),
        left if left == before => Ok(()),
        _ => all.write(path),
    }
}

/// Removes a file of results. An absent one is fine.
///
/// # Errors
/// [`Error::File`].
pub fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(fs::Error::new("remove", path, error).into())
        }
        _ => Ok(()),
    }
}

/// The directory is locked, so that nothing is added to it.
fn lock(path: &Path) -> Result<fs::Lock, Error> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    Ok(fs::Lock::exclusive(directory.unwrap_or(Path::new(".")))?)
}

fn present(path: &Path) -> Result<Option<BuildResult>, Error> {
    match BuildResult::read(path) {
        Ok(found) => Ok(Some(found)),
        Err(Error::Missing { .. } | Error::Empty { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
