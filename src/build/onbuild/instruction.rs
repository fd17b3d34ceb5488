//! Reading the instructions of triggers: words, quotes and variables, as a Dockerfile has them.

use std::collections::BTreeMap;

/// An instruction that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the builder image's ONBUILD trigger `{trigger}` cannot be carried out: {reason}")]
pub struct Refusal {
    /// The trigger.
    pub trigger: String,
    /// Why.
    pub reason: String,
}

/// A trigger: its instruction in capital letters, and what follows.
pub(super) fn split(trigger: &str) -> (String, &str) {
    let trigger = trigger.trim();
    let (name, rest) = trigger
        .split_once(char::is_whitespace)
        .unwrap_or((trigger, ""));
    (name.to_ascii_uppercase(), rest.trim())
}

/// The words of the JSON form, `["a", "b"]`; `None` when the text is of the other form.
pub(super) fn json_words(text: &str) -> Option<Vec<String>> {
    let is_list = text.starts_with('[');
    is_list.then(|| serde_json::from_str(text).ok()).flatten()
}

/// The flags before an instruction's words, `--name=value`, and the rest.
pub(super) fn flags(mut text: &str) -> (Vec<(&str, &str)>, &str) {
    let mut flags = Vec::new();
    while let Some(rest) = text.strip_prefix("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        flags.push(flag.split_once('=').unwrap_or((flag, "")));
        text = after.trim_start();
    }
    (flags, text)
}

/// Splits at white space outside quotes, replaces variables outside single quotes, and takes quotes and backslashes away.
pub(super) fn words(text: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut has_word = false;
    let mut quote = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                if has_word {
                    words.push(std::mem::take(&mut word));
                }
                has_word = false;
                rest = after;
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = after.chars().next();
                word.extend(next);
                has_word = true;
                rest = &after[next.map_or(0, char::len_utf8)..];
                continue;
            }
            ('$', None | Some('"')) => {
                let (value, used) = variable(after, variables);
                word.push_str(&value);
                has_word = true;
                rest = &after[used..];
                continue;
            }
            (c, _) => word.push(c),
        }
        has_word = true;
        rest = after;
    }
    if has_word {
        words.push(word);
    }
    words
}

/// What stands for the variable that `text` (behind the `$`) begins with, and how many bytes of it that is.
fn variable(text: &str, variables: &BTreeMap<String, String>) -> (String, usize) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_of = |text: &str| text.chars().take_while(|c| is_name(*c)).count();
    let value = |name: &str| variables.get(name).cloned();
    let Some(inner) = text.strip_prefix('{') else {
        return match name_of(text) {
            0 => ("$".to_owned(), 0),
            length => (value(&text[..length]).unwrap_or_default(), length),
        };
    };
    let Some(end) = inner.find('}') else {
        return ("$".to_owned(), 0);
    };
    let (name, rest) = inner[..end].split_at(name_of(&inner[..end]));
    let found = value(name);
    let text = match (rest.get(..2), rest.get(2..)) {
        (Some(":-"), Some(other)) => found
            .filter(|value| !value.is_empty())
            .unwrap_or_else(|| other.to_owned()),
        (Some(":+"), Some(other)) => {
            let is_set = found.is_some_and(|value| !value.is_empty());
            if is_set {
                other.to_owned()
            } else {
                String::new()
            }
        }
        _ => found.unwrap_or_default(),
    };
    (text, end + 2)
}

/// `NAME=value …`, or the older `NAME the rest of the line`.
pub(super) fn pairs(
    text: &str,
    variables: &BTreeMap<String, String>,
) -> Option<Vec<(String, String)>> {
    let first = text.split(char::is_whitespace).next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        let value = words(value, variables).join(" ");
        return Some(vec![(name.to_owned(), value)]);
    }
    let pair = |word: String| {
        let (name, value) = word.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    words(text, variables).into_iter().map(pair).collect()
}
