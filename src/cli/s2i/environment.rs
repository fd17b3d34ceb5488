//! `--environment-file`: variables, one a line.

use std::path::Path;

use crate::fs::Error;

/// No list of variables is longer.
const LARGEST: u64 = 4 << 20;

/// Reads the variables of a file, in its order.
///
/// # Errors
/// [`Error`] when the file cannot be read.
///
/// # Spec
/// `s2i-compat.md` §2.7.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let bytes = crate::fs::read_limited(path, LARGEST)?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Lines are trimmed; `#` and `//` begin comments; what is no `NAME=VALUE` says nothing.
fn parse(text: &str) -> Vec<(String, String)> {
    let variable = |line: &str| {
        let line = line.trim();
        if line.starts_with('#') || line.starts_with("//") {
            return None;
        }
        let (name, value) = line.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_variable = !name.is_empty() && !line.contains('\0');
        is_variable.then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_what_is_no_variable_are_left_out() {
        let text = "# A=1\n  // B=2\n C = 3 \r\nno\n=x\nD=a=b\nE=\nC=4";
        let expected = [("C", "3"), ("D", "a=b"), ("E", ""), ("C", "4")];
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert_eq!(parse(text), expected);
    }
}
