//! A file of manifests, read and checked.

use std::path::{Path, PathBuf};

use super::super::document::{Print, Tree, duplicate_key};
use super::workload::{Room, TooMany, of_document};
use super::{Error, Workload};
use crate::fs;
use crate::yaml::{self, Document, Node, Style, Value};

/// A file of manifests: YAML of any number of documents, or JSON.
///
/// What is held is the text, its workloads, and a print of each document; the documents themselves are read one at a time,
/// so a file needs a few times its size.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where it is, for messages and for writing it back.
    pub path: PathBuf,
    pub(in super::super) text: String,
    pub(in super::super) prints: Vec<Print>,
    pub(super) listed: Vec<Listed>,
}

/// A workload that was seen.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) workload: Workload,
    /// Which of the workloads of its document it is, from 0.
    pub(super) number: usize,
    /// Where the image of each of its containers is written, in their order.
    pub(super) images: Vec<Option<ImagePlace>>,
}

/// Where an image is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImagePlace {
    /// The line of its key, from 1.
    pub(super) line: usize,
    /// The byte behind it.
    pub(super) end: usize,
}

/// What gives an expression of Helm away even within quotes.
const HELM: [&str; 7] = [
    ".Values",
    ".Release",
    ".Chart",
    ".Capabilities",
    ".Files",
    "include ",
    "template ",
];

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read, is longer than [`yaml::MOST_BYTES`], or is no manifest: as [`Self::new`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(path);
        let metadata = metadata.map_err(|source| fs::Error::new("read", path, source))?;
        if !metadata.is_file() {
            let reason = std::io::Error::other("it is not a file");
            return Err(fs::Error::new("read", path, reason).into());
        }
        let bytes = fs::read_limited(path, yaml::MOST_BYTES as u64)?;
        let text = String::from_utf8(bytes).map_err(|_| Error::NotText {
            path: path.to_owned(),
        })?;
        Self::new(path, text)
    }

    /// A text that is, or is to be, at `path`.
    ///
    /// # Errors
    /// [`Error`] for what is no YAML, for templates of Helm, for keys that are there twice, and for aliases that make more
    /// of it than is read.
    pub fn new(path: &Path, text: String) -> Result<Self, Error> {
        let syntax = |source| match template_line(&text) {
            Some(line) => Error::Template {
                path: path.to_owned(),
                line,
            },
            None => Error::Syntax {
                path: path.to_owned(),
                source,
            },
        };
        let mut reading = Reading::default();
        for document in yaml::documents(&text).map_err(syntax)? {
            reading.take(path, &document.map_err(syntax)?)?;
        }
        Ok(reading.manifest(path, text))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its workloads, in its order.
    pub fn workloads(&self) -> Vec<Workload> {
        let listed = self.listed.iter();
        listed.map(|listed| listed.workload.clone()).collect()
    }

    /// One document, read again.
    pub(in super::super) fn document(&self, number: usize) -> Option<Document> {
        yaml::documents(&self.text).ok()?.nth(number)?.ok()
    }
}

/// A manifest of which some documents were seen.
#[derive(Default)]
pub(super) struct Reading {
    room: Room,
    prints: Vec<Print>,
    listed: Vec<Listed>,
}

impl Reading {
    /// The next document, checked.
    ///
    /// # Errors
    /// [`Error::Template`], [`Error::DuplicateKey`] and [`Error::Aliases`].
    pub(super) fn take(&mut self, path: &Path, document: &Document) -> Result<(), Error> {
        let number = self.prints.len();
        self.prints.push(Print::of(document));
        let Some(root) = &document.root else {
            return Ok(());
        };
        let is_object = root.get("kind").is_some() || root.get("apiVersion").is_some();
        if is_object && let Some((key, first, second)) = duplicate_key(root) {
            return Err(Error::DuplicateKey {
                path: path.to_owned(),
                key,
                first,
                second,
            });
        }
        let tree = Tree::new(root);
        let standing = of_document(&tree, root, number, &mut self.room);
        let standing = standing.map_err(|TooMany| Error::Aliases {
            path: path.to_owned(),
            line: root.line,
        })?;
        let mut relied_on = standing.iter().flat_map(|standing| &standing.relied_on);
        let in_names = relied_on.find(|node| node.text().is_some_and(|text| text.contains("{{")));
        let has_workload = !standing.is_empty();
        let template = in_names
            .map(|node| node.line)
            .or_else(|| template_mark(root).filter(|_| has_workload));
        if let Some(line) = template {
            return Err(Error::Template {
                path: path.to_owned(),
                line,
            });
        }
        let listed = standing.into_iter().enumerate().map(|(number, standing)| {
            let places = standing.containers.iter().map(|container| {
                let (key, value) = tree.entry(container, "image")?;
                Some(ImagePlace {
                    line: key.line,
                    end: value.span.end.max(key.span.end),
                })
            });
            Listed {
                number,
                images: places.collect(),
                workload: standing.workload,
            }
        });
        self.listed.extend(listed);
        Ok(())
    }

    /// The manifest of the documents, which are those of `text`.
    pub(super) fn manifest(self, path: &Path, text: String) -> Manifest {
        Manifest {
            path: path.to_owned(),
            text,
            prints: self.prints,
            listed: self.listed,
        }
    }
}

/// The line of the first `{{` that is not behind a `#`.
fn template_line(text: &str) -> Option<usize> {
    let code = |line: &str| {
        line.split(" #")
            .next()
            .is_some_and(|code| !code.starts_with('#') && code.contains("{{"))
    };
    text.lines().position(code).map(|index| index + 1)
}

/// The line of a value that is a template: `{{ … }}` is a mapping with a mapping as its key to YAML, and within a value
/// without quotes, or with Helm's own words, it is hardly anything else.
fn template_mark(node: &Node) -> Option<usize> {
    match &node.value {
        Value::Scalar(text, style) if text.contains("{{") => {
            let is_helm = *style == Style::Plain || HELM.iter().any(|word| text.contains(word));
            let is_block = matches!(style, Style::Literal | Style::Folded);
            (is_helm && !is_block).then_some(node.line)
        }
        Value::Mapping(entries) => entries.iter().find_map(|(key, value)| {
            let is_template = matches!(key.value, Value::Mapping(_));
            let line = is_template.then_some(key.line);
            line.or_else(|| template_mark(key))
                .or_else(|| template_mark(value))
        }),
        Value::Sequence(items) => items.iter().find_map(template_mark),
        _ => None,
    }
}
