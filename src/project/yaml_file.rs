//! YAML files of other tools: their values with lines to name, aliases followed.

use std::collections::BTreeMap;

use super::text::Text;
use super::{Error, Origin};
use crate::yaml::{self, Node, Value as Kind};

/// A file that was parsed.
#[derive(Debug)]
pub(super) struct Yaml<'a> {
    file: &'a Text,
    documents: Vec<yaml::Document>,
}

/// A value in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    file: &'a Text,
    node: &'a Node,
    /// Values that other places refer to.
    anchors: &'a BTreeMap<usize, &'a Node>,
}

impl<'a> Yaml<'a> {
    /// Parses a file.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the line of what is no YAML.
    pub(super) fn parse(file: &'a Text) -> Result<Self, Error> {
        let documents = yaml::parse(&file.text).map_err(|error| {
            file.refuse(error.line, format!("it is not YAML: {}", error.reason))
        })?;
        Ok(Self { file, documents })
    }

    /// What its documents refer to by aliases.
    pub(super) fn anchors(&self) -> BTreeMap<usize, &Node> {
        let mut found = BTreeMap::new();
        let mut waiting: Vec<&Node> = self.nodes().collect();
        while let Some(node) = waiting.pop() {
            if let Some(number) = node.anchor
                && !matches!(node.value, Kind::Alias(_))
            {
                found.insert(number, node);
            }
            waiting.extend(node.items());
            waiting.extend(node.entries().iter().flat_map(|(key, value)| [key, value]));
        }
        found
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let roots = self
            .documents
            .iter()
            .filter_map(|document| document.root.as_ref());
        roots.filter(|root| !root.is_null())
    }

    /// The documents that are not empty.
    pub(super) fn roots<'b>(&'b self, anchors: &'b BTreeMap<usize, &'b Node>) -> Vec<Value<'b>> {
        let value = |node| Value {
            file: self.file,
            node,
            anchors,
        };
        self.nodes().map(value).collect()
    }
}

impl<'a> Value<'a> {
    /// Its place.
    pub(super) fn origin(&self) -> Origin {
        self.file.origin(self.node.line)
    }

    /// The error of this value.
    pub(super) fn refuse(&self, reason: impl AsRef<str>) -> Error {
        self.file.refuse(self.node.line, reason)
    }

    fn resolved(&self) -> Result<&'a Node, Error> {
        match &self.node.value {
            Kind::Alias(number) => self
                .anchors
                .get(number)
                .copied()
                .ok_or_else(|| self.refuse("this alias refers to nothing")),
            _ => Ok(self.node),
        }
    }

    fn of(&self, node: &'a Node) -> Self {
        Self { node, ..*self }
    }

    fn expected(&self, name: &str, what: &str) -> Error {
        let found = self.resolved().map_or("an alias", Node::kind);
        self.refuse(format!("`{name}`: expected {what}, found {found}"))
    }

    /// True for nothing: `key:`.
    pub(super) fn is_null(&self) -> bool {
        self.resolved().is_ok_and(Node::is_null)
    }

    /// True for a single value.
    pub(super) fn is_text(&self) -> bool {
        self.resolved()
            .is_ok_and(|node| node.text().is_some() && !node.is_null())
    }

    /// True for a list.
    pub(super) fn is_list(&self) -> bool {
        self.resolved()
            .is_ok_and(|node| matches!(node.value, Kind::Sequence(_)))
    }

    /// Its entries in their order, keys as text. `name` is how messages call it.
    ///
    /// # Errors
    /// When it is no mapping, has a key twice, a key that is no text, or a merge key.
    pub(super) fn entries(&self, name: &str) -> Result<Vec<(&'a str, Self)>, Error> {
        let Kind::Mapping(entries) = &self.resolved()?.value else {
            return Err(self.expected(name, "a mapping"));
        };
        let mut found: Vec<(&'a str, Self)> = Vec::with_capacity(entries.len());
        let mut names = std::collections::BTreeSet::new();
        for (key, value) in entries {
            let at = self.of(key);
            let word = key
                .text()
                .ok_or_else(|| at.refuse(format!("`{name}`: a key is {}", key.kind())))?;
            if word == "<<" {
                return Err(at.refuse("merge keys (`<<`) are not followed: write the values out"));
            }
            if !names.insert(word) {
                return Err(at.refuse(format!("`{word}` is there twice")));
            }
            found.push((word, self.of(value)));
        }
        Ok(found)
    }

    /// The value of a key; nothing where it is absent or nothing.
    ///
    /// # Errors
    /// As [`Self::entries`].
    pub(super) fn get(&self, name: &str, key: &str) -> Result<Option<Self>, Error> {
        let entries = self.entries(name)?;
        let found = entries.into_iter().find(|(word, _)| *word == key);
        Ok(found
            .map(|(_, value)| value)
            .filter(|value| !value.is_null()))
    }

    /// Its items.
    ///
    /// # Errors
    /// When it is no list.
    pub(super) fn items(&self, name: &str) -> Result<Vec<Self>, Error> {
        match &self.resolved()?.value {
            Kind::Sequence(items) => Ok(items.iter().map(|item| self.of(item)).collect()),
            _ => Err(self.expected(name, "a list")),
        }
    }

    /// Its text, not empty.
    ///
    /// # Errors
    /// When it is no single value, or empty.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, Error> {
        let text = self.any_text(name)?;
        match text.is_empty() {
            true => Err(self.refuse(format!("`{name}` is empty"))),
            false => Ok(text),
        }
    }

    /// Its text, perhaps empty; nothing at all is empty text.
    ///
    /// # Errors
    /// When it is no single value.
    pub(super) fn any_text(&self, name: &str) -> Result<&'a str, Error> {
        let node = self.resolved()?;
        match node.text() {
            Some(text) if text.contains('\0') => {
                Err(self.refuse(format!("`{name}` has a NUL character in it")))
            }
            Some(_) if node.is_null() => Ok(""),
            Some(text) => Ok(text),
            None => Err(self.expected(name, "a single value")),
        }
    }
}
