//! An entry added to a mapping, laid out as the entry that it follows.

use super::{Refusal, Splice, written};
use crate::yaml::{Node, Style, Value};

/// The change that adds `key: value` to a mapping behind the entry of `sibling`.
///
/// In a block it gets a line of its own with the sibling's indent and the text's line end; between brackets it stands
/// as the sibling does, on the same line or on one of its own, with quotes where the sibling's key has them.
///
/// # Errors
/// [`Refusal`] where the sibling does not tell the indent.
pub(in super::super) fn beside(
    text: &str,
    mapping: &Node,
    sibling: (&Node, &Node),
    key: &str,
    value: &str,
) -> Result<Splice, Refusal> {
    let refuse = || Refusal {
        line: mapping.line,
        reason: "is laid out in a way in which nothing can be added exactly".to_owned(),
    };
    let (name, standing) = sibling;
    let key_start = name.span.start;
    let line_start = text
        .get(..key_start)
        .ok_or_else(refuse)?
        .rfind('\n')
        .map_or(0, |at| at + 1);
    let prefix = text[line_start..key_start].trim_start_matches('\u{feff}');
    if is_flow(text, mapping) {
        let style = match name.value {
            Value::Scalar(_, Style::DoubleQuoted) => Style::DoubleQuoted,
            _ => Style::Plain,
        };
        let between = match prefix.trim().is_empty() && line_start > 0 {
            true => format!(",{}{prefix}", line_end(text)),
            false => ", ".to_owned(),
        };
        let (key, value) = (written(key, style), written(value, style));
        let end = standing.span.end;
        return Ok(Splice {
            at: end..end,
            text: format!("{between}{key}: {value}"),
        });
    }
    if !prefix.chars().all(|c| c == ' ' || c == '-') {
        return Err(refuse());
    }
    let indent = " ".repeat(prefix.len());
    let value = written(value, Style::Plain);
    let rest = text.get(standing.span.end..).ok_or_else(refuse)?;
    let end = line_end(text);
    Ok(match rest.find('\n') {
        Some(line) => {
            let at = standing.span.end + line + 1;
            let text = format!("{indent}{key}: {value}{end}");
            Splice { at: at..at, text }
        }
        None => Splice {
            at: text.len()..text.len(),
            text: format!("{end}{indent}{key}: {value}"),
        },
    })
}

/// The change that takes away an entry of a block mapping: its whole line, with the comment on it.
///
/// # Errors
/// [`Refusal`] for an entry that has no line of its own.
pub(in super::super) fn gone(text: &str, entry: (&Node, &Node)) -> Result<Splice, Refusal> {
    let (key, value) = entry;
    let refuse = || Refusal {
        line: key.line,
        reason: format!(
            "has `{}`, which must go and does not stand on a line of its own",
            key.text().map(crate::event::printable).unwrap_or_default()
        ),
    };
    let end = value.span.end.max(key.span.end);
    let (before, written, rest) = (
        text.get(..key.span.start).ok_or_else(refuse)?,
        text.get(key.span.start..end).ok_or_else(refuse)?,
        text.get(end..).ok_or_else(refuse)?,
    );
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = rest.find('\n').map_or(rest.len(), |at| at + 1);
    let is_alone = before[start..].chars().all(|c| c == ' ') && !written.contains('\n');
    let behind = rest[..line].trim();
    if !is_alone || !(behind.is_empty() || behind.starts_with('#')) {
        return Err(refuse());
    }
    // Without the line's end, the end of the line before goes.
    let start = match rest[..line].ends_with('\n') {
        true => start,
        false => text[..start].trim_end_matches(['\r', '\n']).len(),
    };
    Ok(Splice {
        at: start..end + line,
        text: String::new(),
    })
}

/// How the lines of a text end, by its first.
pub(in super::super) fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// True for a mapping between brackets.
fn is_flow(text: &str, mapping: &Node) -> bool {
    let mut rest = text.get(mapping.span.clone()).unwrap_or_default();
    while rest.starts_with(['&', '!']) {
        rest = rest[rest.find(char::is_whitespace).unwrap_or(rest.len())..].trim_start();
    }
    rest.starts_with('{')
}
