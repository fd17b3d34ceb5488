//! How values stand in a Dockerfile, and which cannot.

use std::borrow::Cow;

use super::Error;

/// A name of a variable.
pub(super) fn variable_name(name: &str) -> Result<&str, Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_plain) {
        true => Ok(name),
        false => Err(Error::Unsayable {
            what: "the variable",
            name: name.escape_debug().to_string(),
            reason: "its name may have letters, digits and `_`, `.`, `-` only",
        }),
    }
}

/// `value` in double quotes, in which nothing is expanded. `what` and `name` tell whose it is.
///
/// # Spec
/// Dockerfile reference, *Environment replacement*: `\` before `$`, `"` and `\` takes their meaning away.
pub(super) fn quoted(what: &'static str, name: &str, value: &str) -> Result<String, Error> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(Error::Unsayable {
            what,
            name: name.escape_debug().to_string(),
            reason: "it has a line break or a zero byte",
        });
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for letter in value.chars() {
        if matches!(letter, '$' | '"' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    Ok(text)
}

/// A word that stands as it is: nothing that separates, quotes, expands, or begins a flag.
pub(super) fn bare<'a>(what: &'static str, word: &'a str) -> Result<&'a str, Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@+".contains(&byte);
    match !word.is_empty() && !word.starts_with('-') && word.bytes().all(is_plain) {
        true => Ok(word),
        false => Err(Error::Unsayable {
            what,
            name: word.escape_debug().to_string(),
            reason: "it has characters that would mean something else there",
        }),
    }
}

/// A path of the image or of the context that `COPY` and a shell both can be given.
pub(super) fn path<'a>(what: &'static str, path: &'a str) -> Result<&'a str, Error> {
    let is_wrong = |letter: char| letter.is_control() || "$\"'\\*?[]<>|;&`".contains(letter);
    let has_parent = path.split('/').any(|part| part == "..");
    match path.is_empty() || path.starts_with('-') || path.contains(is_wrong) || has_parent {
        false => Ok(path),
        true => Err(Error::Unsayable {
            what,
            name: path.escape_debug().to_string(),
            reason: "such a path may not be empty, begin with `-`, or have `..`, quotes or patterns in it",
        }),
    }
}

/// An absolute [`path`], without slashes at its end.
pub(super) fn absolute<'a>(what: &'static str, text: &'a str) -> Result<&'a str, Error> {
    if !text.starts_with('/') {
        return Err(Error::Unsayable {
            what,
            name: text.escape_debug().to_string(),
            reason: "it does not begin with `/`",
        });
    }
    path(what, text).map(|text| text.trim_end_matches('/'))
}

/// The two arguments of `COPY`: words, or a JSON list where one has a space.
pub(super) fn copied(from: &str, to: &str) -> String {
    match from.contains(' ') || to.contains(' ') {
        false => format!("{from} {to}"),
        // Checked paths have nothing that JSON would escape.
        true => format!("[\"{from}\", \"{to}\"]"),
    }
}

/// A checked path as a word of the shell.
pub(super) fn shell(path: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@%+,".contains(&byte);
    match path.bytes().all(is_plain) {
        true => Cow::Borrowed(path),
        false => Cow::Owned(format!("'{path}'")),
    }
}
