//! An entry added to the list of images, laid out as the entries before it.

use super::super::document::{Refusal, Splice, line_end, same, written};
use crate::yaml::{self, Node, Style, Value};

/// The key of the list.
const IMAGES: &str = "images";

/// The change that adds an entry, and the list if there is none.
///
/// # Errors
/// [`Refusal`] for what is laid out in a way that is not known here.
pub(super) fn append(text: &str, root: &Node, entry: &[(&str, &str)]) -> Result<Splice, Refusal> {
    let refuse = |node: &Node| Refusal {
        line: node.line,
        reason: "is laid out in a way in which no image can be added exactly".to_owned(),
    };
    let end = line_end(text);
    let in_front = |prefix: &str| {
        let indent = " ".repeat(prefix.len());
        let lines = entry.iter().enumerate().map(|(number, (key, value))| {
            let before = if number == 0 { prefix } else { &indent };
            format!("{before}{key}: {}{end}", written(value, Style::Plain))
        });
        lines.collect::<String>()
    };
    let standing = root
        .entries()
        .iter()
        .find(|(key, _)| key.text() == Some(IMAGES));
    let Some((key, list)) = standing else {
        if text
            .get(root.span.start..)
            .is_none_or(|rest| rest.starts_with(['{', '&', '!']))
        {
            return Err(refuse(root));
        }
        let prefix =
            line_before(text, root.entries()[0].0.span.start).trim_start_matches('\u{feff}');
        if !prefix.is_empty() {
            return Err(refuse(root));
        }
        return Ok(behind_line(
            text,
            root.span.end,
            &format!("{IMAGES}:{end}{}", in_front("- ")),
        ));
    };
    if list.anchor.is_some() || list.tag.is_some() {
        return Err(refuse(list));
    }
    let start = list.span.start;
    match &list.value {
        Value::Scalar(..) if list.is_null() && list.text() == Some("") => {
            let lines = in_front("- ");
            Ok(behind_line(text, key.span.end, &lines))
        }
        Value::Sequence(items) if text.get(start..).is_some_and(|rest| rest.starts_with('[')) => {
            let is_json = matches!(key.value, Value::Scalar(_, Style::DoubleQuoted));
            let style = if is_json {
                Style::DoubleQuoted
            } else {
                Style::Plain
            };
            let pairs: Vec<String> = entry
                .iter()
                .map(|(key, value)| format!("{}: {}", written(key, style), written(value, style)))
                .collect();
            let pairs = format!("{{{}}}", pairs.join(", "));
            Ok(match items.last() {
                Some(last) => insertion(last.span.end, format!(", {pairs}")),
                None => insertion(start + 1, pairs),
            })
        }
        Value::Sequence(items) => {
            let Some(last) = items.last() else {
                return Err(refuse(list));
            };
            let prefix = line_before(text, last.span.start);
            let dash = prefix.trim_start_matches(' ').strip_prefix('-');
            match dash.is_some_and(|rest| !rest.is_empty() && rest.trim_matches(' ').is_empty()) {
                true => Ok(behind_line(text, last.span.end, &in_front(prefix))),
                false => Err(refuse(last)),
            }
        }
        _ => Err(refuse(list)),
    }
}

fn insertion(at: usize, text: String) -> Splice {
    Splice { at: at..at, text }
}

/// The line up to a byte.
fn line_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    &before[before.rfind('\n').map_or(0, |at| at + 1)..]
}

/// Whole lines, each with its end, put behind the line of a byte. Where that line has no end, the last of them has none.
fn behind_line(text: &str, at: usize, lines: &str) -> Splice {
    match text.get(at..).and_then(|rest| rest.find('\n')) {
        Some(line) => insertion(at + line + 1, lines.to_owned()),
        None => {
            let end = line_end(text);
            insertion(
                text.len(),
                format!("{end}{}", lines.strip_suffix(end).unwrap_or(lines)),
            )
        }
    }
}

/// The text after the change, if it has this entry more and nothing else is different.
pub(super) fn verify(
    text: &str,
    root: &Node,
    splice: &Splice,
    entry: &[(&str, &str)],
) -> Option<String> {
    let after = splice.apply(text)?;
    let documents = yaml::parse(&after).ok()?;
    let [document] = documents.as_slice() else {
        return None;
    };
    let now = document.root.as_ref()?;
    let others = |node: &Node| {
        let entries = node
            .entries()
            .iter()
            .filter(|(key, _)| key.text() != Some(IMAGES));
        entries.cloned().collect::<Vec<_>>()
    };
    let (old, new) = (others(root), others(now));
    let are_others = old.len() == new.len()
        && old
            .iter()
            .zip(&new)
            .all(|((a, b), (c, d))| same(a, c) && same(b, d));
    let before = root.get(IMAGES).map(Node::items).unwrap_or_default();
    let (last, kept) = now.get(IMAGES)?.items().split_last()?;
    let are_kept = before.len() == kept.len() && before.iter().zip(kept).all(|(a, b)| same(a, b));
    let is_entry = last.entries().len() == entry.len()
        && last
            .entries()
            .iter()
            .zip(entry)
            .all(|((key, value), wanted)| {
                key.text() == Some(wanted.0) && value.text() == Some(wanted.1)
            });
    (are_others && are_kept && is_entry).then_some(after)
}
