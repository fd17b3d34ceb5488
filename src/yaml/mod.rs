//! YAML with positions: every value with the bytes of the text that it stands in.
//!
//! Settings are read from it, so that a mistake has its line; manifests are edited by it, so that everything else keeps its
//! bytes. JSON is read likewise, being YAML.

mod parse;
mod place;

use std::ops::Range;

pub use parse::{Documents, Error, documents, parse};

/// How deep values may lie in each other.
pub const MOST_DEPTH: usize = 200;
/// How many values a text may have.
pub const MOST_NODES: usize = 500_000;
/// How long a text may be, in bytes.
pub const MOST_BYTES: usize = 16 << 20;

/// One document of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its value; nothing for an empty document.
    pub root: Option<Node>,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// The bytes of the text that it stands in, quotes and brackets included. Empty for a value that is not written
    /// (`key:` with nothing after it). The span of a block mapping or sequence begins at its first key or dash, and ends where its last value ends.
    pub span: Range<usize>,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// A number that is the same for an anchor (`&name`) and its aliases (`*name`).
    pub anchor: Option<usize>,
    /// Its tag as it is written out (`!!str` is `tag:yaml.org,2002:str`), if it has one.
    pub tag: Option<String>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, with quotes and escapes resolved.
    Scalar(String, Style),
    /// `- …` or `[…]`.
    Sequence(Vec<Node>),
    /// `key: …` or `{…}`, in the order of the text; keys may be repeated.
    Mapping(Vec<(Node, Node)>),
    /// `*name`: the number of the anchor.
    Alias(usize),
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`.
    SingleQuoted,
    /// `"…"`.
    DoubleQuoted,
    /// `|`.
    Literal,
    /// `>`.
    Folded,
}

impl Node {
    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// True for what means nothing: `key:`, `~`, `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a mapping, the first if the key is repeated.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map(|(_, value)| value)
    }

    /// As [`Self::get`], through several mappings.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar(..) => "a single value",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Alias(_) => "an alias",
        }
    }
}
