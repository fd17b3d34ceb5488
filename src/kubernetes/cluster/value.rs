//! Manifests as JSON, as kubectl reads them: YAML 1.1's words for true and false, octal modes, anchors, merge keys, lists.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::yaml::{self, Node, Style};

/// How many values a manifest may have once its aliases are replaced by what they stand for.
const MOST_VALUES: usize = yaml::MOST_NODES;

/// Why a manifest cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no YAML.
    #[error("{0}")]
    Yaml(#[from] yaml::Error),
    /// It is YAML, but not what manifests are.
    #[error("line {line}: {reason}")]
    Content {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
}

/// The objects of a text of YAML or JSON, in their order; those of a `List` one by one. Empty documents are passed over.
///
/// # Errors
/// [`ManifestError`]; a text with repeated keys is refused, for nobody knows which counts.
pub fn objects(text: &str) -> Result<Vec<Value>, ManifestError> {
    let mut objects = Vec::new();
    for document in yaml::parse(text)? {
        let Some(root) = document.root else { continue };
        if root.is_null() {
            continue;
        }
        let mut reader = Reader {
            anchors: BTreeMap::new(),
            left: MOST_VALUES,
        };
        let mut value = reader.value(&root)?;
        let is_list = value["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        match value.get_mut("items") {
            Some(Value::Array(items)) if is_list => objects.append(items),
            _ => objects.push(value),
        }
        if let Some(other) = objects.iter().find(|object| !object.is_object()) {
            let reason = format!("{} is not an object", short(other));
            return Err(ManifestError::Content {
                line: root.line,
                reason,
            });
        }
    }
    Ok(objects)
}

fn short(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::String(_) => "text".to_owned(),
        _ => "a number or a word".to_owned(),
    }
}

struct Reader<'a> {
    anchors: BTreeMap<usize, &'a Node>,
    left: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, node: &'a Node) -> Result<Value, ManifestError> {
        let content = |reason: &str| ManifestError::Content {
            line: node.line,
            reason: reason.to_owned(),
        };
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| content("its aliases stand for too much"))?;
        match &node.value {
            yaml::Value::Alias(number) => {
                let target = self.anchors.get(number).copied();
                self.value(
                    target.ok_or_else(|| content("the alias stands for itself, or for nothing"))?,
                )
            }
            yaml::Value::Scalar(text, style) => {
                let value = scalar(text, *style, node.tag.as_deref());
                self.remember(node);
                Ok(value)
            }
            yaml::Value::Sequence(items) => {
                let items: Result<Vec<Value>, _> =
                    items.iter().map(|item| self.value(item)).collect();
                self.remember(node);
                Ok(Value::Array(items?))
            }
            yaml::Value::Mapping(entries) => {
                let mut merged = Map::new();
                let mut own = Map::new();
                for (key, value) in entries {
                    let name = key.text().ok_or_else(|| content("a key is not text"))?;
                    let is_merge =
                        name == "<<" && matches!(key.value, yaml::Value::Scalar(_, Style::Plain));
                    let read = self.value(value)?;
                    if is_merge {
                        merge(&mut merged, read).ok_or_else(|| content("`<<` needs a mapping"))?;
                    } else if own.insert(name.to_owned(), read).is_some() {
                        let reason =
                            format!("the key `{}` is there twice", crate::event::printable(name));
                        return Err(ManifestError::Content {
                            line: key.line,
                            reason,
                        });
                    }
                }
                self.remember(node);
                merged.extend(own);
                Ok(Value::Object(merged))
            }
        }
    }

    /// Aliases stand for what has been read to its end, so none can stand for itself.
    fn remember(&mut self, node: &'a Node) {
        if let Some(anchor) = node.anchor {
            self.anchors.insert(anchor, node);
        }
    }
}

/// Adds what is not there yet.
fn merge(into: &mut Map<String, Value>, from: Value) -> Option<()> {
    match from {
        Value::Object(entries) => {
            for (name, value) in entries {
                into.entry(name).or_insert(value);
            }
            Some(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| match item {
            Value::Object(_) => merge(into, item),
            _ => None,
        }),
        _ => None,
    }
}

/// What a scalar means to kubectl (go-yaml 2, which is YAML 1.1).
fn scalar(text: &str, style: Style, tag: Option<&str>) -> Value {
    if style != Style::Plain || tag.is_some_and(|tag| tag.ends_with(":str") || tag == "!") {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if let Some(number) = integer(text) {
        return Value::Number(number);
    }
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E' | '_'))
        && text.contains(|c: char| c.is_ascii_digit());
    let float = is_number
        .then(|| text.replace('_', "").parse().ok())
        .flatten();
    let float = float
        .filter(|float: &f64| float.is_finite())
        .and_then(Number::from_f64);
    float.map_or_else(|| Value::from(text), Value::Number)
}

/// `12`, `-12`, `0644` and `0o644` (octal), `0x1f`, `0b11`, `1_000`.
fn integer(text: &str) -> Option<Number> {
    let digits = text.replace('_', "");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest.to_owned()),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits).to_owned()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0o" | "0O") => (&digits[2..], 8),
        Some("0b" | "0B") => (&digits[2..], 2),
        Some(_) if digits.starts_with('0') => (&digits[1..], 8),
        _ => (&digits[..], 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let signed = i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .ok()
        .map(Number::from);
    signed.or_else(|| {
        u64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| sign.is_empty())
            .map(Number::from)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_to_kubectl() {
        let text = "a: yes\nb: \"yes\"\nc: 0644\nd: 0o17\ne: 08\nf: 1.5\ng: 1.2.3\nh: ~\ni: 1_000\nj: -0x1f\nk: !!str 12\nl: 2026-01-02\nm: .\nn: 1e3\n";
        let expected = json!({
            "a": true, "b": "yes", "c": 420, "d": 15, "e": 8.0, "f": 1.5, "g": "1.2.3", "h": null, "i": 1000, "j": -31, "k": "12",
            "l": "2026-01-02", "m": ".", "n": 1000.0,
        });
        assert_eq!(objects(text).unwrap(), [expected]);
    }

    #[test]
    fn anchors_merge_keys_lists_and_several_documents_are_read() {
        let text = "---\nx: &base {a: 1, b: 2}\ny:\n  <<: *base\n  b: 3\n---\n---\nkind: List\nitems:\n- kind: A\n- {kind: B}\n";
        let expected = [
            json!({"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}),
            json!({"kind": "A"}),
            json!({"kind": "B"}),
        ];
        assert_eq!(objects(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_line() {
        for (text, reason) in [
            ("a: 1\nb: 2\na: 3\n", "line 3: the key `a` is there twice"),
            ("- a\n", "line 1: a list is not an object"),
            ("a: &x [*x]\n", "stands for itself"),
        ] {
            let error = objects(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_thousand_million_laughs_are_not_laughed() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let last = level - 1;
            let uses = vec![format!("*a{last}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{uses}]\n"));
        }
        let error = objects(&text).unwrap_err().to_string();
        assert!(error.contains("too much"), "{error}");
    }
}
