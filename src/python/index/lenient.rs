//! Specifiers and requirements as packages really have them.
//!
//! The few ways in which old packages break PEP 440 are mended, each of which pip accepted for years.

use std::borrow::Cow;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;
use pep508_rs::{Requirement, VerbatimUrl, VersionOrUrl};

use crate::event::printable;
use crate::python::pep508;

/// The longest specifier that is read.
const MAX_SPECIFIER_BYTES: usize = 1 << 10;

/// Reads version specifiers, mending what can be mended.
///
/// # Errors
/// What is wrong with them, in a clause.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, String> {
    if text.len() > MAX_SPECIFIER_BYTES {
        return Err("it is too long".to_owned());
    }
    if let Ok(specifiers) = VersionSpecifiers::from_str(text) {
        return Ok(specifiers);
    }
    VersionSpecifiers::from_str(&mended(text))
        .map_err(|error| printable(&error.to_string().replace('\n', " ")))
}

/// Reads a requirement of another package, mending what can be mended. Nothing in it is taken from the environment:
/// `pep508_rs` itself would put variables into URLs.
///
/// # Errors
/// What is wrong with it, in a clause.
///
/// # Spec
/// packaging.python.org, *Dependency specifiers*.
pub fn requirement(text: &str) -> Result<Requirement, String> {
    // Comparisons without an exact meaning are false, and nobody here can do anything about them.
    let read = |text: &str| pep508::requirement(text, &mut Vec::new());
    let read = read(text).or_else(|reason| {
        let mended = mended_requirement(text).and_then(|mended| read(&mended).ok());
        mended.ok_or_else(|| printable(&reason))
    })?;
    Ok(Requirement {
        name: read.name,
        extras: read.extras,
        version_or_url: read.version_or_url.map(|what| match what {
            VersionOrUrl::VersionSpecifier(specifiers) => {
                VersionOrUrl::VersionSpecifier(specifiers)
            }
            VersionOrUrl::Url(url) => VersionOrUrl::Url(VerbatimUrl::from_url(url)),
        }),
        marker: read.marker,
        origin: None,
    })
}

/// Mends the specifiers between a requirement's name and its marker.
fn mended_requirement(text: &str) -> Option<String> {
    let (before, marker) = match text.split_once(';') {
        Some((before, marker)) => (before, Some(marker)),
        None => (text, None),
    };
    if before.contains('@') {
        return None;
    }
    let start = before.find(['<', '>', '=', '~', '!', '('])?;
    let (name, specifiers) = before.split_at(start);
    let specifiers = specifiers.trim();
    let bare = specifiers.strip_prefix('(').unwrap_or(specifiers);
    let bare = bare.strip_suffix(')').unwrap_or(bare);
    let mut whole = format!("{name}{}", mended(bare));
    if let Some(marker) = marker {
        whole.push_str(" ;");
        whole.push_str(marker);
    }
    Some(whole)
}

/// `>=3.6.*`, `>= '3.6'`, `>=3.6,`, `>=3.6<4`, `>=3.6.`, `~=3`: as what they were meant.
fn mended(text: &str) -> String {
    let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '~' | '!');
    let text = text.replace(['\'', '"'], "");
    let mut clauses: Vec<Cow<'_, str>> = Vec::new();
    for clause in text.split(',') {
        // A comma is missing where an operator follows a version.
        let mut rest = clause.trim();
        while !rest.is_empty() {
            let operator = rest.find(|c| !is_operator(c)).unwrap_or(rest.len());
            let next = rest[operator..]
                .find(is_operator)
                .map_or(rest.len(), |found| operator + found);
            let (operator, version) = (&rest[..operator], rest[operator..next].trim());
            clauses.push(mended_clause(operator, version));
            rest = rest[next..].trim();
            if next == 0 {
                break;
            }
        }
    }
    clauses.retain(|clause| !clause.is_empty());
    clauses.join(",")
}

fn mended_clause(operator: &str, version: &str) -> Cow<'static, str> {
    let version = version.trim_end_matches('.');
    let prefix = version.strip_suffix(".*");
    match (operator, prefix) {
        // For these a prefix says what its first version says.
        (">=" | "<" | "~=", Some(prefix)) => format!("{operator}{prefix}").into(),
        // Newer than every, or not newer than every: both are about the next number, which is what `!=` leaves.
        (">", Some(prefix)) => format!(">={prefix},!={prefix}.*").into(),
        ("~=", None) if !version.contains('.') && !version.is_empty() => {
            format!("~={version}.0").into()
        }
        _ => format!("{operator}{version}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_specifiers_are_mended() {
        for (text, meant) in [
            (">=3.6", ">=3.6"),
            (">=3.6.*", ">=3.6"),
            (">=2.7,!=3.0.*,!=3.1.*,<4.*", ">=2.7,!=3.0.*,!=3.1.*,<4"),
            (">='3.6'", ">=3.6"),
            (">=3.6,", ">=3.6"),
            (">=3.6, <3.10.", ">=3.6,<3.10"),
            (">=3.6<4", ">=3.6,<4"),
            ("~=3", "~=3.0"),
            (">3.5.*", ">=3.5,!=3.5.*"),
        ] {
            let expected: VersionSpecifiers = meant.parse().unwrap();
            assert_eq!(specifiers(text).unwrap(), expected, "{text}");
        }
        for text in ["three", ">=", "<=3.x", "=>3", "é", "<é>", &"<".repeat(2000)] {
            assert!(specifiers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn requirements_are_read_and_old_ones_mended() {
        for (text, meant) in [
            ("a", "a"),
            ("a (>=1.0)", "a>=1.0"),
            (
                "a[b,c] (>=1.*,<2.*) ; extra == 'x'",
                "a[b,c]>=1,<2 ; extra == 'x'",
            ),
            ("a>=1<2", "a>=1,<2"),
            ("a (>=1.0,)", "a>=1.0"),
        ] {
            assert_eq!(requirement(text), requirement(meant), "{text}");
            assert!(requirement(meant).is_ok(), "{meant}");
        }
    }

    #[test]
    fn hostile_requirements_are_refused_and_nothing_panics() {
        let nested = format!("a ; {}os_name == 'x'{}", "(".repeat(5000), ")".repeat(5000));
        // `(x0 and y0) or (x1 and y1) or …` with the variables in the worst order has 2^n nodes.
        let pairs: Vec<String> = (0..40)
            .map(|n| format!("(extra == 'x{n}' and extra == 'y{n}')"))
            .collect();
        let exponential = format!("a ; {}", pairs.join(" or "));
        for text in [
            "",
            "-",
            "a-",
            "a- >=1",
            "a. ; os_name == 'x'",
            "a[b-]",
            "a[b,c_ ]",
            "é",
            "a é",
            "a[é]",
            "a @",
            "a @ é",
            "a ; é",
            "a ; os_name == 'é",
            "a>=é",
            "a (é",
            "../a",
            "a ; extra == 'é-' or",
            &nested,
            &exponential,
        ] {
            assert!(requirement(text).is_err(), "{text}");
        }
        let many: Vec<String> = (0..60).map(|n| format!("extra == 'x{n}'")).collect();
        assert!(requirement(&format!("a ; {}", many.join(" or "))).is_ok());
        // An extra that is none is never asked for.
        let odd = requirement("a ; extra == 'b-'").unwrap();
        assert!(!odd.marker.is_true());
    }

    #[test]
    fn urls_of_requirements_take_nothing_from_the_environment() {
        let read = requirement("a @ https://example.org/${HOME}/$PATH/a.whl").unwrap();
        let url = read.version_or_url.unwrap().to_string();
        assert!(url.contains("HOME") && url.contains("$PATH"), "{url}");
    }
}
