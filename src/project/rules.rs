//! What a value may be. Each rule answers with a sentence for what is not.

use crate::reference::Reference;

/// A rule for one text.
pub(super) type Rule = fn(&str) -> Result<(), String>;

/// The labels that overcoat writes itself begin so.
const RESERVED_LABELS: &str = "io.overcoat.";
/// The longest name of an application or environment, in bytes: it becomes the name of a directory.
const MOST_NAME_BYTES: usize = 100;

/// A name of an application or environment.
pub(super) fn name(text: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && text.chars().all(is_plain) && text.len() <= MOST_NAME_BYTES {
        return Ok(());
    }
    Err(format!(
        "a name has letters, digits, `.`, `_` and `-` only, begins with a letter or digit, and has at most {MOST_NAME_BYTES} of them"
    ))
}

/// A registry, with a path perhaps; what comes back has no `/` at its end.
pub(super) fn registry(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.contains("://") {
        return Err("a registry is `HOST[:PORT][/PATH]`, without `https://`".to_owned());
    }
    if trimmed.contains('@') {
        // It may be a password: it is not repeated.
        return Err(
            "a registry has no user, password or digest in it; log in with `overcoat login`"
                .to_owned(),
        );
    }
    match format!("{trimmed}/name").parse::<Reference>() {
        Ok(_) if trimmed.is_empty() => Err("it is empty".to_owned()),
        Ok(_) => Ok(trimmed.to_owned()),
        Err(error) => Err(format!("`{text}` is no registry: {}", error.reason)),
    }
}

/// An image's name without registry and tag.
pub(super) fn image(text: &str) -> Result<(), String> {
    let refuse = |reason: &str| Err(format!("`{text}` is no name for an image: {reason}"));
    match format!("localhost/{text}").parse::<Reference>() {
        Err(error) => refuse(&error.reason),
        Ok(reference) if reference.digest().is_some() || reference.repository() != text => {
            refuse("it is `NAME` or `TEAM/NAME`, without a tag or digest")
        }
        Ok(_) => Ok(()),
    }
}

/// `--strategy`.
pub(super) fn strategy(text: &str) -> Result<(), String> {
    match text {
        "auto" | "direct" | "assemble" => Ok(()),
        _ => Err(format!("`{text}` is none of `auto`, `direct`, `assemble`")),
    }
}

/// `OS/ARCHITECTURE[/VARIANT]`, each once.
pub(super) fn platforms(texts: &[String]) -> Result<(), String> {
    let is_word = |word: &str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        !word.is_empty() && word.chars().all(is_plain)
    };
    for (position, text) in texts.iter().enumerate() {
        let words: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&words.len()) || !words.into_iter().all(is_word) {
            return Err(format!("`{text}` is no platform: expected `linux/amd64`"));
        }
        if texts[..position].contains(text) {
            return Err(format!("`{text}` is there twice"));
        }
    }
    match texts.is_empty() {
        true => Err("it is empty: leave it out for this machine's platform".to_owned()),
        false => Ok(()),
    }
}

/// A name in a cluster: a DNS label.
///
/// # Spec
/// RFC 1123; Kubernetes, *Object Names and IDs*.
pub(super) fn container(text: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good = !text.is_empty()
        && text.len() <= 63
        && text.chars().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-');
    match is_good {
        true => Ok(()),
        false => Err(format!(
            "`{text}` cannot be a name in a cluster: those have small letters, digits and `-`, at most 63"
        )),
    }
}

/// `KIND/NAME` or `NAME` of a workload.
pub(super) fn workload(text: &str) -> Result<(), String> {
    let (kind, name) = match text.split_once('/') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, text),
    };
    let kinds = ["deployment", "statefulset", "daemonset"];
    if let Some(kind) = kind
        && !kinds.contains(&kind.to_ascii_lowercase().as_str())
    {
        return Err(format!(
            "`{kind}` is no kind of workload: `deployment`, `statefulset` or `daemonset`"
        ));
    }
    name.split('.').try_for_each(container)
}

/// A variable's name.
pub(super) fn variable(name: &str) -> Result<(), String> {
    let is_good =
        !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace);
    match is_good {
        true => Ok(()),
        false => Err(format!("`{name}` cannot be the name of a variable")),
    }
}

/// A label's key; its value may be anything.
pub(super) fn label(key: &str, _value: &str) -> Result<(), String> {
    check_label(key)
}

/// Looks whether a person may give a label with this key.
///
/// # Errors
/// A sentence that says why not: it is no word, or overcoat writes such labels itself.
pub fn check_label(key: &str) -> Result<(), String> {
    if key.is_empty() || key.contains(char::is_whitespace) || key.contains(char::is_control) {
        return Err("a label's key is a word".to_owned());
    }
    match key.starts_with(RESERVED_LABELS) {
        true => Err(format!(
            "labels that begin with `{RESERVED_LABELS}` are overcoat's own"
        )),
        false => Ok(()),
    }
}
