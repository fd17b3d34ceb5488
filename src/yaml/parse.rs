//! From events to values, within bounds.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::place::{Places, after_properties, end_of_scalar};
use super::{Document, MOST_BYTES, MOST_DEPTH, MOST_NODES, Node, Style, Value};

/// Why a text is not YAML, or not one that is read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Reads all documents of a text.
///
/// # Errors
/// [`Error`] for what is no YAML, and for texts of more than [`MOST_BYTES`], [`MOST_NODES`] or [`MOST_DEPTH`].
///
/// # Spec
/// YAML 1.2.2.
pub fn parse(text: &str) -> Result<Vec<Document>, Error> {
    documents(text)?.collect()
}

/// The documents of a text one after another, so that of a long stream only one is held at a time.
///
/// # Errors
/// [`Error`] for a text of more than [`MOST_BYTES`]; the others of [`parse`] come where they are met, and end the stream.
pub fn documents(text: &str) -> Result<Documents<'_>, Error> {
    if text.len() > MOST_BYTES {
        let reason = format!("it is longer than {} MiB", MOST_BYTES >> 20);
        return Err(Error {
            line: 1,
            column: 1,
            reason,
        });
    }
    // The mark at the beginning is not counted by the parser's positions.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(Documents {
        text,
        places: Places::of(text),
        parser: Some(Parser::new_from_str(body)),
        building: Building::default(),
    })
}

/// What is the matter with `a:<TAB>b`. YAML 1.2.2 allows it (6.2), the parser does not, nor do all other readers.
const TAB: &str =
    "there is a tab behind the `:`, which not every reader of YAML takes: write a space";

/// True when a line, from 1, has a tab right behind a `:`.
fn has_tab_behind_colon(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1));
    line.is_some_and(|line| line.contains(":\t"))
}

/// The documents of a text, in its order: see [`documents`].
pub struct Documents<'t> {
    text: &'t str,
    places: Places<'t>,
    /// Nothing behind the end and behind a mistake.
    parser: Option<Parser<'t, StrInput<'t>>>,
    building: Building,
}

impl fmt::Debug for Documents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.text.len();
        f.debug_struct("Documents")
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl Iterator for Documents<'_> {
    type Item = Result<Document, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.document(true)
    }

    /// The documents before it are read and held to the bounds, but not kept.
    fn nth(&mut self, number: usize) -> Option<Self::Item> {
        for _ in 0..number {
            if let Err(error) = self.document(false)? {
                return Some(Err(error));
            }
        }
        self.next()
    }
}

impl Documents<'_> {
    /// Reads on to the end of a document; one that is not wanted has no root then.
    fn document(&mut self, is_wanted: bool) -> Option<Result<Document, Error>> {
        let read = self.read_document(is_wanted).transpose();
        if !matches!(read, Some(Ok(_))) {
            self.parser = None;
        }
        read
    }

    fn read_document(&mut self, is_wanted: bool) -> Result<Option<Document>, Error> {
        let Some(parser) = self.parser.as_mut() else {
            return Ok(None);
        };
        for event in parser {
            let (event, span) = event.map_err(|error| {
                let line = error.marker().line();
                Error {
                    line,
                    column: error.marker().col() + 1,
                    reason: match has_tab_behind_colon(self.text, line) {
                        true => TAB.to_owned(),
                        false => error.info().to_owned(),
                    },
                }
            })?;
            if matches!(event, Event::DocumentEnd) {
                let root = self.building.root.take();
                return Ok(Some(Document { root }));
            }
            self.building.count(&event, &span)?;
            if is_wanted {
                let mut range = self.places.range(&span);
                if let Event::Scalar(_, style, ..) = &event {
                    range.start = after_properties(self.text, &range);
                    range.end = end_of_scalar(self.text, &range, *style);
                }
                self.building.take(event, &span, range);
            }
        }
        Ok(None)
    }
}

/// A mapping or sequence whose end has not come yet.
struct Open {
    node: Node,
    key: Option<Node>,
}

#[derive(Default)]
struct Building {
    /// The value of the document that is read.
    root: Option<Node>,
    open: Vec<Open>,
    /// How many mappings and sequences have not come to their end.
    depth: usize,
    /// How many values the text had until now.
    nodes: usize,
}

impl Building {
    /// Holds a text to the bounds.
    fn count(&mut self, event: &Event<'_>, span: &Span) -> Result<(), Error> {
        let refused = |reason: String| Error {
            line: span.start.line(),
            column: span.start.col() + 1,
            reason,
        };
        let is_open = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        match event {
            Event::SequenceEnd | Event::MappingEnd => self.depth = self.depth.saturating_sub(1),
            Event::Scalar(..) | Event::Alias(_) => self.nodes += 1,
            _ if is_open => {
                self.nodes += 1;
                self.depth += 1;
            }
            _ => {}
        }
        if self.nodes > MOST_NODES {
            let reason = format!("there are more than {MOST_NODES} values");
            return Err(refused(reason));
        }
        if self.depth > MOST_DEPTH {
            let reason = format!("values lie in each other more than {MOST_DEPTH} deep");
            return Err(refused(reason));
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: &Span, bytes: Range<usize>) {
        let node = |value, anchor: usize, tag: Option<String>| Node {
            value,
            span: bytes.clone(),
            line: span.start.line(),
            column: span.start.col() + 1,
            anchor: (anchor != 0).then_some(anchor),
            tag,
        };
        let open = |node| Open { node, key: None };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar(exact(text), Style::from(style));
                let node = node(value, anchor, tag.as_deref().map(written_out));
                self.put(node);
            }
            Event::Alias(anchor) => self.put(node(Value::Alias(anchor), 0, None)),
            Event::SequenceStart(anchor, tag) => {
                let value = Value::Sequence(Vec::new());
                let node = node(value, anchor, tag.as_deref().map(written_out));
                self.open.push(open(node));
            }
            Event::MappingStart(anchor, tag) => {
                let value = Value::Mapping(Vec::new());
                let node = node(value, anchor, tag.as_deref().map(written_out));
                self.open.push(open(node));
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.put(closed(open.node, bytes));
                }
            }
            _ => {}
        }
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Sequence(items), _) => items.push(node),
            (Value::Mapping(entries), Some(key)) => entries.push((key, node)),
            (_, _) => open.key = Some(node),
        }
    }
}

/// A mapping or sequence with its end. `bytes` is where the parser saw it.
fn closed(mut node: Node, bytes: Range<usize>) -> Node {
    // Room for more than there is would be most of what a tree needs: mappings are small, and many.
    match &mut node.value {
        Value::Sequence(items) => items.shrink_to_fit(),
        Value::Mapping(entries) => entries.shrink_to_fit(),
        _ => {}
    }
    // A bracket ends what it began; a block ends where its last value does, for the parser says so only after the empty
    // lines and comments behind it.
    let last = match &node.value {
        Value::Sequence(items) => items.last().map(|item| item.span.end),
        Value::Mapping(entries) => entries
            .last()
            .map(|(key, value)| value.span.end.max(key.span.end)),
        _ => None,
    };
    let is_flow = bytes.end > bytes.start;
    node.span.end = match (is_flow, last) {
        (true, _) => bytes.end,
        (false, Some(last)) => last.max(node.span.start),
        (false, None) => node.span.end,
    };
    node
}

/// The text without room for more.
fn exact(text: Cow<'_, str>) -> String {
    let mut text = text.into_owned();
    text.shrink_to_fit();
    text
}

fn written_out(tag: &Tag) -> String {
    format!("{}{}", tag.handle, tag.suffix)
}

impl From<ScalarStyle> for Style {
    fn from(style: ScalarStyle) -> Self {
        match style {
            ScalarStyle::Plain => Self::Plain,
            ScalarStyle::SingleQuoted => Self::SingleQuoted,
            ScalarStyle::DoubleQuoted => Self::DoubleQuoted,
            ScalarStyle::Literal => Self::Literal,
            ScalarStyle::Folded => Self::Folded,
        }
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
