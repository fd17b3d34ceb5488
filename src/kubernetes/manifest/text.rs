//! A file of manifests, read and checked.

use std::path::{Path, PathBuf};

use super::super::document::{Tree, duplicate_key};
use super::workload::{Standing, of_document};
use super::{Error, Workload};
use crate::fs;
use crate::yaml::{self, Document, Node, Style, Value};

/// A file of manifests: YAML of any number of documents, or JSON.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Where it is, for messages and for writing it back.
    pub path: PathBuf,
    pub(in super::super) text: String,
    pub(in super::super) documents: Vec<Document>,
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
    /// [`Error`] for what is no YAML, for templates of Helm, and for keys that are there twice.
    pub fn new(path: &Path, text: String) -> Result<Self, Error> {
        let documents = yaml::parse(&text).map_err(|source| match template_line(&text) {
            Some(line) => Error::Template {
                path: path.to_owned(),
                line,
            },
            None => Error::Syntax {
                path: path.to_owned(),
                source,
            },
        })?;
        let manifest = Self {
            path: path.to_owned(),
            text,
            documents,
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its workloads, in its order.
    pub fn workloads(&self) -> Vec<Workload> {
        let standing = (0..self.documents.len()).filter_map(|number| self.standing(number));
        standing
            .flat_map(|(_, standing)| standing)
            .map(|standing| standing.workload)
            .collect()
    }

    /// The workloads of one document, where they stand.
    pub(super) fn standing(&self, document: usize) -> Option<(Tree<'_>, Vec<Standing<'_>>)> {
        let root = self.documents.get(document)?.root.as_ref()?;
        let tree = Tree::new(root);
        let standing = of_document(&tree, root, document);
        Some((tree, standing))
    }

    fn check(&self) -> Result<(), Error> {
        for (number, document) in self.documents.iter().enumerate() {
            let Some(root) = &document.root else { continue };
            let is_object = root.get("kind").is_some() || root.get("apiVersion").is_some();
            if is_object && let Some((key, first, second)) = duplicate_key(root) {
                return Err(Error::DuplicateKey {
                    path: self.path.clone(),
                    key,
                    first,
                    second,
                });
            }
            let Some((_, standing)) = self.standing(number) else {
                continue;
            };
            let mut relied_on = standing.iter().flat_map(|standing| &standing.relied_on);
            let in_names =
                relied_on.find(|node| node.text().is_some_and(|text| text.contains("{{")));
            let has_workload = !standing.is_empty();
            let template = in_names
                .map(|node| node.line)
                .or_else(|| template_mark(root).filter(|_| has_workload));
            if let Some(line) = template {
                return Err(Error::Template {
                    path: self.path.clone(),
                    line,
                });
            }
        }
        Ok(())
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
