//! The changed text read again, and compared with the old one.

use super::{Print, Splice};
use crate::yaml::{self, Document, Node, Style, Value};

/// The one difference that there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Change<'v> {
    /// One value is this now.
    Value(&'v str),
    /// One mapping has this entry more.
    Entry(&'v str, &'v str),
    /// One mapping has an entry of this key less.
    Gone(&'v str),
}

/// What a text was before it changed.
#[derive(Clone, Copy)]
pub(in super::super) struct Before<'b> {
    pub text: &'b str,
    /// What each of its documents was.
    pub prints: &'b [Print],
    /// Which of them changes, from 0, and its value.
    pub number: usize,
    pub root: &'b Node,
}

/// The text after a splice, if it differs from the text before in this and nothing else: all documents are read again. The
/// one that changes is compared value by value, with styles, tags and anchors; the others by their prints. `look` sees
/// each document of the changed text, and may refuse it.
pub(in super::super) fn verify(
    before: Before<'_>,
    splice: &Splice,
    change: Change<'_>,
    mut look: impl FnMut(usize, &Document) -> bool,
) -> Option<String> {
    let after = splice.apply(before.text)?;
    let mut comparison = Comparison {
        change,
        at: splice.at.clone(),
        found: 0,
    };
    let mut count = 0;
    for (number, document) in yaml::documents(&after).ok()?.enumerate() {
        let document = document.ok()?;
        let is_same = match &document.root {
            Some(root) if number == before.number => comparison.same(before.root, root),
            _ => before.prints.get(number) == Some(&Print::of(&document)),
        };
        if !is_same || !look(number, &document) {
            return None;
        }
        count += 1;
    }
    (count == before.prints.len() && comparison.found == 1).then_some(after)
}

/// True for the same value with the same styles, tags and anchors, wherever it stands.
pub(in super::super) fn same(a: &Node, b: &Node) -> bool {
    let nothing = Change::Gone("");
    let mut comparison = Comparison {
        change: nothing,
        at: 0..0,
        found: 0,
    };
    comparison.same(a, b) && comparison.found == 0
}

struct Comparison<'v> {
    change: Change<'v>,
    at: std::ops::Range<usize>,
    found: usize,
}

impl Comparison<'_> {
    /// True when the values are the same but for the change, which is counted.
    fn same(&mut self, old: &Node, new: &Node) -> bool {
        if old.anchor != new.anchor || old.tag != new.tag {
            return false;
        }
        match (&old.value, &new.value) {
            (Value::Scalar(a, style), Value::Scalar(b, new_style))
                if a == b && style == new_style =>
            {
                true
            }
            (Value::Scalar(_, style), Value::Scalar(b, new_style)) => {
                let may_quote = *style == Style::Plain && *new_style == Style::DoubleQuoted;
                let is_style = style == new_style || may_quote;
                self.is_change(is_style && self.change == Change::Value(b) && self.is_here(old))
            }
            (Value::Sequence(a), Value::Sequence(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(a, b))
            }
            (Value::Mapping(a), Value::Mapping(b)) => self.same_entries(a, b),
            (Value::Alias(a), Value::Alias(b)) => a == b,
            _ => false,
        }
    }

    fn same_entries(&mut self, old: &[(Node, Node)], new: &[(Node, Node)]) -> bool {
        let mut new = new.iter();
        let mut old = old.iter().peekable();
        for (key, value) in new.by_ref() {
            let is_more = matches!((self.change, key.text(), value.text()),
                (Change::Entry(k, v), Some(text), Some(written)) if k == text && v == written);
            let is_next = old
                .peek()
                .is_some_and(|(next, _)| next.text() == key.text());
            if is_more && !is_next {
                if !self.is_change(
                    key.anchor.is_none() && value.anchor.is_none() && value.tag.is_none(),
                ) {
                    return false;
                }
                continue;
            }
            let mut next = old.next();
            if let (Change::Gone(gone), Some((name, _))) = (self.change, next)
                && name.text() == Some(gone)
                && key.text() != Some(gone)
            {
                self.found += 1;
                next = old.next();
            }
            let is_same = next
                .is_some_and(|(name, standing)| self.same(name, key) && self.same(standing, value));
            if !is_same {
                return false;
            }
        }
        match (old.next(), self.change) {
            (None, _) => true,
            (Some((name, _)), Change::Gone(gone)) if name.text() == Some(gone) => {
                self.found += 1;
                old.next().is_none()
            }
            _ => false,
        }
    }

    fn is_change(&mut self, is_right: bool) -> bool {
        self.found += 1;
        is_right && self.found == 1
    }

    /// True for the value that was meant, and not another that happens to change likewise. A value that is not written
    /// stands before the place where it comes.
    fn is_here(&self, old: &Node) -> bool {
        let is_within = old.span.start <= self.at.start && self.at.end <= old.span.end;
        let is_unwritten =
            matches!(&old.value, Value::Scalar(text, Style::Plain) if text.is_empty());
        is_within || is_unwritten
    }
}
