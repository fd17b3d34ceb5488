//! How a value is written, and where the old one stands.

use std::sync::LazyLock;

use regex::Regex;

use super::{Refusal, Splice};
use crate::yaml::{self, Node, Style, Value};

/// The tag of text, which changes nothing of how an image is read.
const TEXT_TAGS: [&str; 2] = ["tag:yaml.org,2002:str", "!"];

/// What YAML 1.1 or 1.2 reads as something else than text although it is made of the letters of a reference: numbers in
/// all bases, sexagesimal ones (`12:30`), dates.
///
/// # Spec
/// YAML 1.1, *int*, *float* and *timestamp* of the type repository; YAML 1.2.2, 10.3.2.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"[0-9][0-9_]*|0[bB][01_]+|0[oO][0-7_]+|0[xX][0-9a-fA-F_]+";
    let float = r"[0-9_]*\.?[0-9_]*([eE][-+]?[0-9]+)?|[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?";
    let date = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}";
    #[expect(
        clippy::unwrap_used,
        reason = "the pattern is a constant, and a test uses it"
    )]
    Regex::new(&format!("^(?:[-+]?(?:{number}|{float})|{date})$")).unwrap()
});

/// What YAML 1.1 or 1.2 reads as a truth value or as nothing.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// A value as it is written in a style. The plain style gives way to double quotes where it would be read as something
/// else than this text.
pub(in super::super) fn written(value: &str, style: Style) -> String {
    match style {
        Style::SingleQuoted => format!("'{}'", value.replace('\'', "''")),
        Style::Plain | Style::Literal | Style::Folded if is_plain(value) => value.to_owned(),
        _ => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// True for text that stays itself without quotes, in blocks and between brackets. Narrower than YAML's rule.
fn is_plain(value: &str) -> bool {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || "._:/@+-".contains(c);
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    starts_well
        && value.chars().all(is_usual)
        && !value.ends_with(':')
        && !WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
        && !NUMBER.is_match(value)
}

/// The change that puts `new` in the place of the value of `key`, in the style that it has.
///
/// # Errors
/// [`Refusal`] for what is no single value, for one with a tag that makes something else of it, and for one in a block
/// of several lines.
pub(in super::super) fn in_place_of(
    text: &str,
    key: &Node,
    value: &Node,
    new: &str,
) -> Result<Splice, Refusal> {
    let refuse = |reason: String| Refusal {
        line: value.line,
        reason,
    };
    if let Some(tag) = value.tag.as_deref().filter(|tag| !TEXT_TAGS.contains(tag)) {
        let tag = crate::event::printable(tag);
        return Err(refuse(format!(
            "has the tag `{tag}`, which makes something else of it"
        )));
    }
    let Value::Scalar(old, style) = &value.value else {
        return Err(refuse(format!("is {}, not a single value", value.kind())));
    };
    // What is not written has no reliable place; its key has.
    if old.is_empty() && *style == Style::Plain {
        if value.tag.is_some() || value.anchor.is_some() {
            return Err(refuse("is empty behind a tag or an anchor".to_owned()));
        }
        return Ok(behind_key(text, key, new));
    }
    let standing = text.get(value.span.clone()).unwrap_or_default();
    if matches!(style, Style::Literal | Style::Folded) {
        let line = standing.trim();
        if old != line || line.contains('\n') {
            return Err(refuse(
                "is a block of several lines, or one that ends with a line break".to_owned(),
            ));
        }
        let start = value.span.start + (standing.len() - standing.trim_start().len());
        return Ok(Splice {
            at: start..start + line.len(),
            text: new.to_owned(),
        });
    }
    if !reads_as(standing, old, *style) {
        return Err(refuse(
            "is written in a way that cannot be placed exactly".to_owned(),
        ));
    }
    let style = match value.is_null() {
        true => style_of(key),
        false => *style,
    };
    Ok(Splice {
        at: value.span.clone(),
        text: written(new, style),
    })
}

/// How a value is written where there was none: with quotes where its key has them, as in JSON.
fn style_of(key: &Node) -> Style {
    match key.value {
        Value::Scalar(_, Style::DoubleQuoted) => Style::DoubleQuoted,
        _ => Style::Plain,
    }
}

/// True when a piece of text, read alone, is exactly this value.
fn reads_as(standing: &str, value: &str, style: Style) -> bool {
    let expected = Value::Scalar(value.to_owned(), style);
    yaml::parse(standing).is_ok_and(|documents| {
        let root = documents
            .first()
            .and_then(|document| document.root.as_ref());
        documents.len() == 1
            && root.is_some_and(|root| root.value == expected && root.span == (0..standing.len()))
    })
}

/// The change that writes a value behind a key that has none: `image:`, `{image: , …}`, `{image}`.
fn behind_key(text: &str, key: &Node, new: &str) -> Splice {
    let new = written(new, style_of(key));
    let rest = text.get(key.span.end..).unwrap_or_default();
    let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let (at, colon) = match rest[blank..].starts_with(':') {
        true => (key.span.end + blank + 1, ""),
        false => (key.span.end, ":"),
    };
    Splice {
        at: at..at,
        text: format!("{colon} {new}"),
    }
}
