//! One image changed, in memory.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use similar::TextDiff;

use super::super::document::{Before, Change, verify};
use super::text::Reading;
use super::{Error, Found, Manifest};
use crate::reference::Reference;
use crate::yaml::Document;

/// A file before and after an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The file.
    pub path: PathBuf,
    /// Its text before.
    pub before: String,
    /// Its text after; the same when the value was right already.
    pub after: String,
}

impl Edited {
    /// True when the file would become another.
    pub fn is_change(&self) -> bool {
        self.before != self.after
    }

    /// What changes, as a unified diff with three lines around it, which `git apply` and `patch -p1` take in the directory
    /// `here`, an absolute path; empty when nothing does. A file that is not below it is named from the root.
    pub fn diff(&self, here: &Path) -> String {
        if !self.is_change() {
            return String::new();
        }
        let whole = normalised(&here.join(&self.path));
        let path = whole.strip_prefix(normalised(here)).unwrap_or(&whole);
        let path = path.display().to_string();
        let path = path.trim_start_matches('/').to_owned();
        // Only `\n` ends a line to those who apply it, and an end that is missing is told.
        let old: Vec<&str> = self.before.split_inclusive('\n').collect();
        let new: Vec<&str> = self.after.split_inclusive('\n').collect();
        let diff = TextDiff::configure()
            .newline_terminated(true)
            .diff_slices(&old, &new);
        let mut unified = diff.unified_diff();
        unified
            .context_radius(3)
            .header(&named("a", &path), &named("b", &path))
            .to_string()
    }
}

/// The name of a file in a diff. Where one with a space ends, programs see by the tab; one that would not stay on its line
/// is written between quotes, as `git` writes it.
fn named(side: &str, path: &str) -> String {
    let is_special = |character: char| character.is_control() || matches!(character, '"' | '\\');
    if !path.contains(is_special) {
        let tab = if path.contains(' ') { "\t" } else { "" };
        return format!("{side}/{path}{tab}");
    }
    let quoted = path.bytes().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    });
    format!("\"{side}/{}\"", quoted.collect::<String>())
}

/// The path without `.` and `..`, by its text alone.
fn normalised(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// Gives a container that was [found](super::find) another image, written as it is given.
///
/// Nothing is written to a disk. The changed text was read again, and differs from the old one in that one value.
///
/// # Errors
/// [`Error::Reference`] for what is no reference, [`Error::Shared`] for an image that an anchor shares with others,
/// [`Error::Unfit`] for one that cannot be changed exactly, [`Error::Damage`] when the changed text is not what it should
/// be.
pub fn edit(manifest: &Manifest, found: &Found, image: &str) -> Result<Edited, Error> {
    let changed = changed(manifest, found, image)?;
    Ok(Edited {
        path: manifest.path.clone(),
        before: manifest.text.clone(),
        after: changed.map_or_else(|| manifest.text.clone(), |changed| changed.text),
    })
}

/// The manifest with the change; nothing where the image is right already.
fn changed(manifest: &Manifest, found: &Found, image: &str) -> Result<Option<Manifest>, Error> {
    let _: Reference = image.parse()?;
    if manifest.image_of(found) == Some(image) {
        return Ok(None);
    }
    let damage = || damage(&manifest.path, found.line);
    let document = manifest.document(found.document);
    let root = document.and_then(|document| document.root);
    let root = root.ok_or_else(damage)?;
    let (splice, is_entry) = found.splice(manifest, &root, image)?.ok_or_else(damage)?;
    let change = match is_entry {
        true => Change::Entry("image", image),
        false => Change::Value(image),
    };
    let before = Before {
        text: &manifest.text,
        prints: &manifest.prints,
        number: found.document,
        root: &root,
    };
    let mut reading = Reading::default();
    let look = |_: usize, document: &Document| reading.take(&manifest.path, document).is_ok();
    let after = verify(before, &splice, change, look).ok_or_else(damage)?;
    // Which value changed is known; that it is the container's image is what the reader of the manifest will see.
    let again = reading.manifest(&manifest.path, after);
    match again.image_of(found).is_some_and(|now| now == image) {
        true => Ok(Some(again)),
        false => Err(damage()),
    }
}

/// As [`edit`], for several containers, of which several may be in one file: one [`Edited`] for each file that has any of
/// them, in the order of the files. All of them succeed, or none is given.
///
/// # Errors
/// As [`edit`].
pub fn edit_all(manifests: &[Manifest], edits: &[(Found, &str)]) -> Result<Vec<Edited>, Error> {
    let mut done: BTreeMap<usize, Manifest> = BTreeMap::new();
    for (found, image) in edits {
        let Some(manifest) = done
            .get(&found.manifest)
            .or_else(|| manifests.get(found.manifest))
        else {
            return Err(damage(&found.path, found.line));
        };
        let changed = changed(manifest, found, image)?;
        let now = changed.unwrap_or_else(|| manifest.clone());
        done.insert(found.manifest, now);
    }
    let edited = done.into_iter().map(|(number, manifest)| Edited {
        path: manifest.path,
        before: manifests[number].text.clone(),
        after: manifest.text,
    });
    Ok(edited.collect())
}

fn damage(path: &Path, line: usize) -> Error {
    Error::Damage {
        path: path.to_owned(),
        line,
    }
}
