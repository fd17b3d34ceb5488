//! Fields of API objects. What is missing or of another type is empty: objects come from outside.

use serde_json::Value;

use crate::event::printable;

/// What is shown of a text from the cluster at most, in characters.
const SHOWN: usize = 600;

/// A text, or an empty one.
pub(in crate::kubernetes) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A count; negative ones do not exist.
pub(in crate::kubernetes) fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// A list, or an empty one.
pub(in crate::kubernetes) fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A flag that is false when it is missing.
pub(in crate::kubernetes) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// `metadata.name`.
pub(in crate::kubernetes) fn name(value: &Value) -> &str {
    text(value, "/metadata/name")
}

/// A label; its key may have slashes.
pub(in crate::kubernetes) fn label<'v>(value: &'v Value, key: &str) -> &'v str {
    value["metadata"]["labels"][key]
        .as_str()
        .unwrap_or_default()
}

/// The entry of `status.conditions` of this type.
pub(in crate::kubernetes) fn condition<'v>(value: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = items(value, "/status/conditions");
    conditions.iter().find(|one| text(one, "/type") == kind)
}

/// Reason and message of a condition, `BackoffLimitExceeded: …`, as they can be shown.
pub(in crate::kubernetes) fn joined_condition(value: &Value, kind: &str) -> String {
    let Some(found) = condition(value, kind) else {
        return String::new();
    };
    let texts = [text(found, "/reason"), text(found, "/message")];
    let texts: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    shown(&texts.join(": "))
}

/// True when `owner` is the controller of `value`, by uid: names are re-used.
pub(in crate::kubernetes) fn is_controlled_by(value: &Value, owner: &Value) -> bool {
    let uid = text(owner, "/metadata/uid");
    let owners = items(value, "/metadata/ownerReferences");
    !uid.is_empty()
        && owners
            .iter()
            .any(|one| text(one, "/uid") == uid && is_true(one, "/controller"))
}

/// A text from the cluster as it can be shown: one line, not too long.
pub(in crate::kubernetes) fn shown(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut cut: String = one_line.chars().take(SHOWN).collect();
    if cut.len() < one_line.len() {
        cut.push('…');
    }
    printable(&cut)
}
