//! What a document is, in few bytes.

use sha2::{Digest as _, Sha256};

use crate::yaml::{Document, Node, Style, Value};

/// SHA-256 over all values of a document with their styles, tags and anchors, and over nothing of where they stand: two
/// documents have the same print when [`super::same`] says that they are the same.
///
/// A text of thousands of documents is held as their prints; only the one that changes is compared value by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Print([u8; 32]);

impl Print {
    pub(in super::super) fn of(document: &Document) -> Self {
        let mut written = Vec::new();
        if let Some(root) = &document.root {
            write(root, &mut written);
        }
        Self(Sha256::digest(&written).into())
    }
}

/// Writes a value so that no other has the same bytes: everything has its length before it.
fn write(node: &Node, into: &mut Vec<u8>) {
    let number = |number: usize, into: &mut Vec<u8>| into.extend((number as u64).to_le_bytes());
    let text = |text: &str, into: &mut Vec<u8>| {
        number(text.len(), into);
        into.extend(text.as_bytes());
    };
    // Anchors are counted from 1.
    number(node.anchor.unwrap_or(0), into);
    into.push(node.tag.is_some().into());
    text(node.tag.as_deref().unwrap_or_default(), into);
    match &node.value {
        Value::Scalar(scalar, style) => {
            into.push(match style {
                Style::Plain => b'p',
                Style::SingleQuoted => b's',
                Style::DoubleQuoted => b'd',
                Style::Literal => b'l',
                Style::Folded => b'f',
            });
            text(scalar, into);
        }
        Value::Sequence(items) => {
            into.push(b'[');
            number(items.len(), into);
            items.iter().for_each(|item| write(item, into));
        }
        Value::Mapping(entries) => {
            into.push(b'{');
            number(entries.len(), into);
            for (key, value) in entries {
                write(key, into);
                write(value, into);
            }
        }
        Value::Alias(of) => {
            into.push(b'*');
            number(*of, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::same;
    use super::*;
    use crate::yaml;

    #[test]
    fn prints_differ_when_anything_but_the_place_does() {
        let texts = [
            "",
            "a: b",
            "a: 'b'",
            "a: \"b\"",
            "a: |-\n  b",
            "a: >-\n  b",
            "a: !!str b",
            "a: !x b",
            "a: &x b",
            "a: [b]",
            "a: {b: }",
            "a: b\nc: d",
            "a: {b: c}\nd: e",
            "a: {b: c, d: e}",
            "[a, [b, c]]",
            "[a, [b], c]",
            "[a, [b], [c]]",
            "&x a",
            "- &x a\n- *x",
            "- &x a\n- &y b\n- *x",
            "- &x a\n- &y b\n- *y",
            "ab: c",
            "a: bc",
            "a",
            "[]",
            "{}",
            "''",
        ];
        let documents = texts.map(|text| yaml::parse(&format!("---\n{text}\n")).unwrap());
        for (number, one) in documents.iter().enumerate() {
            for (other, two) in documents.iter().enumerate() {
                let is_same = Print::of(&one[0]) == Print::of(&two[0]);
                assert_eq!(
                    is_same,
                    number == other,
                    "{} {}",
                    texts[number],
                    texts[other]
                );
                if let (Some(a), Some(b)) = (&one[0].root, &two[0].root) {
                    assert_eq!(is_same, same(a, b), "{} {}", texts[number], texts[other]);
                }
            }
        }
    }

    #[test]
    fn the_place_is_no_part_of_a_print() {
        let of = |text: &str| Print::of(&yaml::parse(text).unwrap()[0]);
        assert_eq!(
            of("a: [b, 'c']\n"),
            of("# x\n\n---\n  a:\n   - b # y\n   - 'c'\n")
        );
    }
}
