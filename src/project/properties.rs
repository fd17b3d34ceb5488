//! `pipeline.properties`.

use super::text::Text;
use super::{Error, Setting};

/// Reads `key=value` lines: `#` comments and empty lines are passed over, both sides are trimmed, the first `=` counts.
/// No quoting and no continuation; a later line of the same key wins.
///
/// # Errors
/// A line without `=`, or without a key before it.
///
/// # Spec
/// `path-to-production.md` §1.3.
pub(super) fn read(file: &Text) -> Result<Vec<(String, Setting<String>)>, Error> {
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    let mut found: Vec<(String, Setting<String>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = number + 1;
        // What stands there may be a secret: it is not shown.
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| file.refuse(number, "expected `key=value`, there is no `=`"))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(file.refuse(number, "expected `key=value`, there is no key before `=`"));
        }
        found.retain(|(known, _)| known != key);
        let setting = Setting::new(value.trim().to_owned(), file.origin(number));
        found.push((key.to_owned(), setting));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> Text {
        Text {
            path: "pipeline.properties".into(),
            text: text.to_owned(),
        }
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        let found = read(&file(text)).unwrap();
        let plain = |(key, setting): (String, Setting<String>)| (key, setting.value);
        found.into_iter().map(plain).collect()
    }

    #[test]
    fn comments_and_blanks_are_passed_over_and_the_rest_is_taken_as_it_stands() {
        let text = "\u{feff}# comment\n\n  A = b = c \r\n\t# another\nB='q'\\\nEMPTY=\nA=last\n";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs(text),
            [pair("B", "'q'\\"), pair("EMPTY", ""), pair("A", "last")]
        );
        let found = read(&file(text)).unwrap();
        assert_eq!(found[0].1.origin, file(text).origin(5));
    }

    #[test]
    fn a_line_that_is_no_pair_is_an_error_that_does_not_show_it() {
        for (text, line) in [("A=b\nhunter2\n", 2), ("=hunter2", 1), ("\n\n  =", 3)] {
            let error = read(&file(text)).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(pairs_in in proptest::collection::btree_map("[A-Za-z_.][A-Za-z0-9_.]{0,12}", "[!-~]([ -~]{0,20}[!-~])?", 0..8)) {
            let text: String = pairs_in.iter().map(|(key, value)| format!("{key}={value}\n# c\n\n")).collect();
            let found: Vec<(String, String)> = pairs(&text);
            prop_assert_eq!(found, pairs_in.into_iter().collect::<Vec<_>>());
        }
    }
}
