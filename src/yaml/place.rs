//! From the parser's positions to bytes of the text.

use std::ops::Range;

use saphyr_parser::{ScalarStyle, Span};

/// How many characters lie between two places that are kept.
const STEP: usize = 32;

/// Where characters begin: the parser counts characters, and texts are spliced by bytes.
pub(super) struct Places<'t> {
    /// What the parser reads: the text without the mark at its beginning.
    body: &'t str,
    /// The byte at which each [`STEP`]th character begins; nothing where all characters are single bytes.
    kept: Option<Vec<u32>>,
    /// How many bytes come before the parser's first character.
    before: usize,
}

impl<'t> Places<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        // A text is no longer than `MOST_BYTES`, so its places fit.
        let starts = || body.char_indices().map(|(at, _)| at as u32);
        Self {
            body,
            kept: (!body.is_ascii()).then(|| starts().step_by(STEP).collect()),
            before: text.len() - body.len(),
        }
    }

    pub(super) fn range(&self, span: &Span) -> Range<usize> {
        self.before + self.at(span.start.index())..self.before + self.at(span.end.index())
    }

    /// The byte of a character; the end for one behind it.
    fn at(&self, index: usize) -> usize {
        let Some(kept) = &self.kept else { return index };
        let Some(near) = kept.get(index / STEP).map(|near| *near as usize) else {
            return self.body.len();
        };
        let mut rest = self.body[near..].char_indices();
        rest.nth(index % STEP)
            .map_or(self.body.len(), |(at, _)| near + at)
    }
}

/// Where a scalar begins behind its anchor and its tag, which the parser's span has in it.
pub(super) fn after_properties(text: &str, range: &Range<usize>) -> usize {
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
pub(super) fn end_of_scalar(text: &str, range: &Range<usize>, style: ScalarStyle) -> usize {
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
