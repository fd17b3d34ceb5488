//! What a Python distribution says of itself.
//!
//! # Spec
//! packaging.python.org, *Core metadata specifications*; *Recording installed projects*.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::licence::{self, Licence};
use super::text::{self, Lines};

/// The largest header of a `METADATA`, in bytes; the description behind it is not read.
const MAX_HEADER: u64 = 2 << 20;
/// The longest value that is put together of several lines, in bytes.
const MAX_VALUE: usize = 64 << 10;
/// How many classifiers are looked at.
const MAX_CLASSIFIERS: usize = 256;

/// A distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Distribution {
    /// As it writes it.
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licences: Vec<Licence>,
}

/// Reads the header; a reason when it says no name or version.
pub(super) fn read(content: &mut dyn Read) -> io::Result<Result<Distribution, String>> {
    let mut lines = Lines::new(content, MAX_HEADER);
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut classifiers = 0;
    let mut is_over = false;
    // Whether the next line may continue the last of the fields.
    let mut is_kept = false;
    while let Some(line) = lines.next()? {
        if line.is_empty() {
            is_over = true;
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let (true, Some((_, value))) = (is_kept, fields.last_mut())
                && value.len() + line.len() < MAX_VALUE
            {
                value.push('\n');
                value.push_str(line.trim());
            }
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let name = name.trim().to_ascii_lowercase();
        is_kept = match name.as_str() {
            "classifier" => {
                classifiers += 1;
                classifiers <= MAX_CLASSIFIERS
            }
            // The first of each counts.
            "name" | "version" | "license" | "license-expression" => {
                fields.iter().all(|(known, _)| *known != name)
            }
            _ => false,
        };
        if is_kept {
            fields.push((name, value.trim().to_owned()));
        }
    }
    if !is_over && lines.is_cut() {
        return Ok(Err(format!("its header is larger than {MAX_HEADER} bytes")));
    }
    let get = |wanted: &str| {
        let mut found = fields.iter().filter(|(name, _)| name == wanted);
        found.next().map(|(_, value)| value.as_str())
    };
    let Some(name) = get("name").and_then(name) else {
        return Ok(Err(
            "it says no name that a distribution can have".to_owned()
        ));
    };
    let Some(version) = get("version").and_then(text::word) else {
        return Ok(Err("it says no version".to_owned()));
    };
    let expression = get("license-expression").and_then(Licence::declared);
    let licences = match (expression, get("license").and_then(Licence::declared)) {
        (Some(licence), _) | (None, Some(licence)) => vec![licence],
        (None, None) => {
            let classifiers = fields.iter().filter(|(name, _)| name == "classifier");
            let named = classifiers.filter_map(|(_, value)| Licence::of_classifier(value));
            licence::distinct(named.collect())
        }
    };
    Ok(Ok(Distribution {
        name,
        version,
        licences,
    }))
}

/// A distribution's name.
///
/// # Spec
/// packaging.python.org, *Names and normalization*.
fn name(text: &str) -> Option<String> {
    let text = text::word(text)?;
    let bytes = text.as_bytes();
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let ends = [bytes.first()?, bytes.last()?];
    let is_name = bytes.iter().all(is_allowed) && ends.iter().all(|it| it.is_ascii_alphanumeric());
    is_name.then_some(text)
}

/// What installed a distribution: `pip`, `uv`.
pub(super) fn installer(content: &mut dyn Read) -> io::Result<Option<String>> {
    let first = Lines::new(content, 4096).next()?;
    Ok(first.and_then(|line| text::value(&line, 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Distribution, String> {
        read(&mut text.as_bytes()).unwrap()
    }

    #[test]
    fn the_header_is_read_and_the_description_is_not() {
        let found = parsed(
            "Metadata-Version: 2.1\r\nName: Flask\r\nVersion: 3.0.0\r\nLicense: BSD\r\n  3-Clause\r\n\
             Classifier: License :: OSI Approved :: BSD License\r\nAuthor: x\r\n Name: y\r\n\r\nName: other\r\n",
        );
        let found = found.unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("Flask", "3.0.0")
        );
        // Of several lines, it is the licence's text, and the classifiers say its name.
        assert_eq!(found.licences, [Licence::Named("BSD License".to_owned())]);
    }

    #[test]
    fn an_expression_is_stronger_than_words() {
        let found = parsed("Name: a\nVersion: 1\nLicense: x\nLicense-Expression: MIT OR ISC\n");
        let expected = Licence::Expression("MIT OR ISC".to_owned());
        assert_eq!(found.unwrap().licences, [expected]);
    }

    #[test]
    fn hostile_metadata_is_refused_or_cut() {
        for (text, reason) in [
            ("", "no name"),
            ("Name: a\n", "no version"),
            ("Version: 1\n", "no name"),
            ("Name: ../../etc\nVersion: 1\n", "no name"),
            ("Name: a\u{1b}[2J\nVersion: 1\n", "no name"),
            ("Name: a\nVersion: 1 2\n", "no version"),
            ("Description: x\n Name: a\nVersion: 1\n", "no name"),
        ] {
            let found = parsed(text);
            assert!(
                found.as_ref().is_err_and(|it| it.contains(reason)),
                "{text:?}: {found:?}"
            );
        }
        let endless = "X: y\n".repeat(1 << 19);
        assert!(
            parsed(&format!("{endless}Name: a\nVersion: 1\n"))
                .is_err_and(|it| it.contains("larger"))
        );
        let continued = format!("Name: a\nVersion: 1\nLicense: {}\n", " y\n".repeat(400_000));
        assert!(parsed(&continued).unwrap().licences.is_empty());
        let many = format!(
            "Name: a\nVersion: 1\n{}",
            "Classifier: License :: x\n".repeat(50_000)
        );
        assert_eq!(parsed(&many).unwrap().licences.len(), 1);
    }

    #[test]
    fn installers_are_one_short_line() {
        assert_eq!(
            installer(&mut &b"pip\nx"[..]).unwrap().as_deref(),
            Some("pip")
        );
        assert_eq!(installer(&mut &b"\n"[..]).unwrap(), None);
    }
}
