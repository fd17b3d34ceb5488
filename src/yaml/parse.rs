//! From events to values, within bounds.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

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
    if text.len() > MOST_BYTES {
        let reason = format!("it is longer than {} MiB", MOST_BYTES >> 20);
        return Err(Error {
            line: 1,
            column: 1,
            reason,
        });
    }
    let mut now = Cow::Borrowed(text);
    let mut read = 0;
    loop {
        let Refusal { error, index } = match parse_once(&now) {
            Ok(documents) => return Ok(documents),
            Err(refusal) => refusal,
        };
        let Some(tabs) = index.and_then(|index| tabs_before(&now, index)) else {
            return Err(error);
        };
        // Each reading brings one such place to light: their number times the length is bounded.
        read += text.len();
        if read > MOST_READ {
            let reason =
                "there is a tab behind the `:`, and there are too many such places: write a space"
                    .to_owned();
            return Err(Error { reason, ..error });
        }
        // As long as before, so that every value stands where it stood.
        let spaces = " ".repeat(tabs.len());
        now.to_mut().replace_range(tabs, &spaces);
    }
}

/// How many bytes are read in all, for texts with tabs where the parser does not take them.
const MOST_READ: usize = 4 * MOST_BYTES;

/// Why a text is not taken, and before which of the parser's characters, if it is the parser that does not take it.
struct Refusal {
    error: Error,
    index: Option<usize>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, index: None }
    }
}

/// The tabs between a `:` and this character. YAML 1.2 allows them there (6.2, 7.4: `s-separate-in-line`), and so do Kubernetes' readers;
/// the parser does only before quotes and brackets.
fn tabs_before(text: &str, index: usize) -> Option<Range<usize>> {
    let end = Bytes::of(text).at(index);
    let before = text.get(..end)?;
    let start = before.trim_end_matches('\t').len();
    let is_behind_colon = start < end && before[..start].ends_with(':');
    // `a:<TAB>- b` is wrong with a space too.
    let rest = &text.as_bytes()[end..];
    let is_item = rest.first() == Some(&b'-') && rest.get(1).is_none_or(u8::is_ascii_whitespace);
    (is_behind_colon && !is_item).then_some(start..end)
}

fn parse_once(text: &str) -> Result<Vec<Document>, Refusal> {
    let bytes = Bytes::of(text);
    let mut building = Building::default();
    // The mark at the beginning is not counted by the parser's positions.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    for event in Parser::new_from_str(body) {
        let (event, span) = event.map_err(|error| Refusal {
            error: Error {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                reason: error.info().to_owned(),
            },
            index: Some(error.marker().index()),
        })?;
        let mut range = bytes.range(&span);
        if let Event::Scalar(_, style, ..) = &event {
            range.start = after_properties(text, &range);
            range.end = end_of_scalar(text, &range, *style);
        }
        building.take(event, &span, range)?;
    }
    Ok(building.documents)
}

/// Where characters begin: the parser counts characters, and texts are spliced by bytes.
struct Bytes {
    /// The byte at which each character begins, and the end; nothing where all characters are single bytes.
    offsets: Option<Vec<usize>>,
    /// How many bytes come before the parser's first character.
    before: usize,
}

impl Bytes {
    fn of(text: &str) -> Self {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let offsets = (!body.is_ascii()).then(|| {
            let starts = body.char_indices().map(|(at, _)| at);
            starts.chain([body.len()]).collect()
        });
        Self {
            offsets,
            before: text.len() - body.len(),
        }
    }

    /// The byte at which one of the parser's characters begins.
    fn at(&self, index: usize) -> usize {
        self.before
            + match &self.offsets {
                None => index,
                Some(offsets) => offsets.get(index).or(offsets.last()).copied().unwrap_or(0),
            }
    }

    fn range(&self, span: &Span) -> Range<usize> {
        self.at(span.start.index())..self.at(span.end.index())
    }
}

/// Where a scalar begins behind its anchor and its tag, which the parser's span has in it.
fn after_properties(text: &str, range: &Range<usize>) -> usize {
    let written = text.get(range.clone()).unwrap_or_default();
    let mut rest = written;
    while rest.starts_with(['&', '!']) {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[word..].trim_start();
        while rest.starts_with('#') {
            rest = rest[rest.find('\n').unwrap_or(rest.len())..].trim_start();
        }
    }
    range.start + (written.len() - rest.len())
}

/// Where a scalar ends: the parser's spans go on over spaces and a comment behind it.
fn end_of_scalar(text: &str, range: &Range<usize>, style: ScalarStyle) -> usize {
    let written = text.get(range.clone()).unwrap_or_default();
    let quote = match style {
        ScalarStyle::SingleQuoted => '\'',
        ScalarStyle::DoubleQuoted => '"',
        // A plain scalar has no ` #` within it, and no spaces at its end.
        ScalarStyle::Plain => return range.start + written.trim_end().len(),
        ScalarStyle::Literal | ScalarStyle::Folded => return range.end,
    };
    let mut rest = written.char_indices().skip(1).peekable();
    while let Some((at, character)) = rest.next() {
        if character == '\\' && quote == '"' {
            rest.next();
        } else if character == quote {
            let is_doubled = quote == '\'' && rest.peek().is_some_and(|(_, next)| *next == quote);
            if !is_doubled {
                return range.start + at + 1;
            }
            rest.next();
        }
    }
    range.end
}

/// A mapping or sequence whose end has not come yet.
struct Open {
    node: Node,
    key: Option<Node>,
}

#[derive(Default)]
struct Building {
    documents: Vec<Document>,
    open: Vec<Open>,
    nodes: usize,
}

impl Building {
    fn take(&mut self, event: Event<'_>, span: &Span, bytes: Range<usize>) -> Result<(), Error> {
        let node = |value, anchor: usize, tag: Option<String>| Node {
            value,
            span: bytes.clone(),
            line: span.start.line(),
            column: span.start.col() + 1,
            anchor: (anchor != 0).then_some(anchor),
            tag,
        };
        match event {
            Event::DocumentStart(_) => self.documents.push(Document { root: None }),
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar(text.into_owned(), Style::from(style));
                let node = node(value, anchor, tag.as_deref().map(written_out));
                self.place(node)?;
            }
            Event::Alias(anchor) => self.place(node(Value::Alias(anchor), 0, None))?,
            Event::SequenceStart(anchor, tag) => {
                let value = Value::Sequence(Vec::new());
                self.begin(node(value, anchor, tag.as_deref().map(written_out)))?;
            }
            Event::MappingStart(anchor, tag) => {
                let value = Value::Mapping(Vec::new());
                self.begin(node(value, anchor, tag.as_deref().map(written_out)))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut open) = self.open.pop() {
                    // A bracket ends what it began; a block ends where its last value does, for the parser says so only
                    // after the empty lines and comments behind it.
                    let last = match &open.node.value {
                        Value::Sequence(items) => items.last().map(|item| item.span.end),
                        Value::Mapping(entries) => entries
                            .last()
                            .map(|(key, value)| value.span.end.max(key.span.end)),
                        _ => None,
                    };
                    let is_flow = bytes.end > bytes.start;
                    open.node.span.end = match (is_flow, last) {
                        (true, _) => bytes.end,
                        (false, Some(last)) => last.max(open.node.span.start),
                        (false, None) => open.node.span.end,
                    };
                    self.put(open.node);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(&mut self, node: Node) -> Result<(), Error> {
        self.count(&node)?;
        if self.open.len() >= MOST_DEPTH {
            let reason = format!("values lie in each other more than {MOST_DEPTH} deep");
            return Err(refused(&node, reason));
        }
        self.open.push(Open { node, key: None });
        Ok(())
    }

    fn place(&mut self, node: Node) -> Result<(), Error> {
        self.count(&node)?;
        self.put(node);
        Ok(())
    }

    fn count(&mut self, node: &Node) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            let reason = format!("there are more than {MOST_NODES} values");
            return Err(refused(node, reason));
        }
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            if let Some(document) = self.documents.last_mut() {
                document.root = Some(node);
            }
            return;
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::Sequence(items), _) => items.push(node),
            (Value::Mapping(entries), Some(key)) => entries.push((key, node)),
            (_, _) => open.key = Some(node),
        }
    }
}

fn refused(node: &Node, reason: String) -> Error {
    Error {
        line: node.line,
        column: node.column,
        reason,
    }
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
mod tests {
    use super::*;

    fn only(text: &str) -> Node {
        let mut documents = parse(text).unwrap();
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0).root.unwrap()
    }

    #[test]
    fn every_value_stands_where_its_span_says() {
        for (text, written) in [
            ("a: b # c\n", "b"),
            ("a: b   \n\n# c\nd: e", "b"),
            ("a: \"x\\\"y\"  # c\n", "\"x\\\"y\""),
            ("a: 'it''s' # 'c'\n", "'it''s'"),
            ("a: &n b # c\n", "b"),
            ("a: !!str 'b' # c\n", "'b'"),
            ("{a: b , c: d}", "b"),
            ("{\"a\": \"b\" , \"c\": 1}", "\"b\""),
            ("a: b:5000/c:d@e\t# c", "b:5000/c:d@e"),
        ] {
            let root = only(text);
            assert_eq!(
                &text[root.get("a").unwrap().span.clone()],
                written,
                "{text}"
            );
        }
        let text = "\u{feff}# größe\r\na: 'ü b' # c\r\nb: {c: \"x\\ty\", d: [1, zwölf]}\r\ne:\r\n- f\r\n-   g: h\r\n";
        let root = only(text);
        let at = |path: &[&str]| &text[root.at(path).unwrap().span.clone()];
        assert_eq!(at(&["a"]), "'ü b'");
        assert_eq!(at(&["b", "c"]), "\"x\\ty\"");
        assert_eq!(at(&["b", "d"]), "[1, zwölf]");
        assert_eq!(at(&["b"]), "{c: \"x\\ty\", d: [1, zwölf]}");
        let items = root.get("e").unwrap().items();
        assert_eq!(&text[items[0].span.clone()], "f");
        assert_eq!(&text[items[1].get("g").unwrap().span.clone()], "h");
        assert_eq!(items[1].get("g").unwrap().line, 6);
        assert_eq!(root.at(&["b", "c"]).unwrap().text(), Some("x\ty"));
    }

    #[test]
    fn anchors_and_aliases_share_a_number() {
        let root = only("a: &x 1\nb: *x\nc: &x 2\nd: *x\n");
        let number = |key: &str| match root.get(key).unwrap() {
            Node {
                value: Value::Alias(number),
                ..
            } => Some(*number),
            node => node.anchor,
        };
        assert_eq!(number("a"), number("b"));
        assert_eq!(number("c"), number("d"));
        assert_ne!(number("a"), number("c"));
    }

    #[test]
    fn nothing_written_is_null_with_an_empty_span() {
        let root = only("a:\nb: ~\nc: ''\n");
        assert!(root.get("a").unwrap().is_null() && root.get("a").unwrap().span.is_empty());
        assert!(root.get("b").unwrap().is_null());
        assert!(!root.get("c").unwrap().is_null());
    }

    #[test]
    fn documents_are_counted_and_empty_ones_have_no_root_value() {
        let documents = parse("---\na: 1\n---\nb: 2\n...\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = "[".repeat(MOST_DEPTH + 1);
        assert!(parse(&deep).unwrap_err().reason.contains("deep"));
        let many = "- \n".repeat(MOST_NODES + 1);
        assert!(parse(&many).unwrap_err().reason.contains("more than"));
    }

    #[test]
    fn a_tab_behind_a_colon_separates_as_a_space_does() {
        for text in [
            "a:\tb\n",
            "\u{feff}# größe\r\nx:\t\tü\r\na:\tb # c\r\n",
            "{x:\ty, \"a\":\tb}",
            "x: \"y:\tz\"\nw: |\n  v:\tu\na:\tb\n",
        ] {
            let root = only(text);
            let value = root.get("a").unwrap();
            assert_eq!((value.text(), &text[value.span.clone()]), (Some("b"), "b"));
        }
        let kept = only("a:\tb\nx: \"y:\tz\"\nw: |\n  v:\tu\n");
        assert_eq!(kept.get("x").unwrap().text(), Some("y:\tz"));
        assert_eq!(kept.get("w").unwrap().text(), Some("v:\tu\n"));
        for wrong in ["a:\t- b\n", "a:\n\tb: c\n"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let many = "a:\tb\n---\n".repeat(40_000);
        let error = parse(&many).unwrap_err();
        assert!(error.reason.contains("a tab behind the `:`"), "{error}");
    }

    #[test]
    fn a_mistake_has_its_line() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error}");
    }
}
