//! From bytes to logical lines, step by step as pip's `req_file.preprocess` does it.

use std::collections::BTreeMap;

/// A logical line: continuations joined, comment gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogicalLine {
    /// The number of its first line, from 1.
    pub(super) number: usize,
    /// The text as it is in the file; never empty.
    pub(super) text: String,
}

/// Decodes a file: by its byte-order mark, else by the `coding:` comment of its first two lines, else as UTF-8.
///
/// # Errors
/// Why it is no text, or that the encoding is one we do not have.
///
/// # Spec
/// pip's `utils.encoding.auto_decode`; PEP 263 for the comment.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks(2).map(|pair| match pair {
            [one, other] => Ok(unit([*one, *other])),
            _ => Err("it ends within a character".to_owned()),
        });
        let units: Vec<u16> = units.collect::<Result<_, _>>()?;
        String::from_utf16(&units).map_err(|_| "it is not valid UTF-16".to_owned())
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err("it is UTF-32".to_owned()),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => match declared_encoding(bytes).as_deref() {
            None | Some("utf-8" | "utf8" | "utf-8-sig" | "ascii" | "us-ascii") => utf8(bytes),
            Some("latin-1" | "latin1" | "iso-8859-1") => {
                Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
            }
            Some(other) => Err(format!("it declares the encoding `{other}`")),
        },
    }
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned)
        .map_err(|error| format!("it is not UTF-8 (byte {})", error.valid_up_to()))
}

/// The encoding that a comment in the first two lines names, in lower case with hyphens.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let lines = bytes.split(|byte| *byte == b'\n').take(2);
    let mut comments = lines.filter(|line| line.starts_with(b"#"));
    comments.find_map(|line| {
        let line = String::from_utf8_lossy(line).into_owned();
        let (_, rest) = line.split_once("coding")?;
        let rest = rest.strip_prefix([':', '='])?.trim_start();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        (!name.is_empty()).then(|| name.to_ascii_lowercase().replace('_', "-"))
    })
}

/// What Python takes for white space: Rust's, and the four information separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Lines as Python's `str.splitlines` divides them: at more characters than `\n`.
fn split_lines(text: &str) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(is_end) {
        lines.push(&rest[..end]);
        let width = match &rest[end..] {
            after if after.starts_with("\r\n") => 2,
            after => after.chars().next().map_or(0, char::len_utf8),
        };
        rest = &rest[end + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// The logical lines of a file.
pub(super) fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut joined: Vec<LogicalLine> = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (index, line) in split_lines(text).into_iter().enumerate() {
        let is_comment = line.trim_start_matches(is_space).starts_with('#');
        let continues = line.ends_with('\\') && !is_comment;
        let mut current = open.take().unwrap_or(LogicalLine {
            number: index + 1,
            text: String::new(),
        });
        if continues {
            current.text.push_str(line.trim_matches('\\'));
            open = Some(current);
            continue;
        }
        if is_comment {
            // So that it is one wherever the line before it ends.
            current.text.push(' ');
        }
        current.text.push_str(line);
        joined.push(current);
    }
    joined.extend(open);
    joined
        .into_iter()
        .filter_map(|line| {
            let text = without_comment(&line.text)
                .trim_matches(is_space)
                .to_owned();
            (!text.is_empty()).then_some(LogicalLine { text, ..line })
        })
        .collect()
}

/// The line up to the first `#` that begins it or follows white space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (index, c) in line.char_indices() {
        if c == '#' && is_space(before) {
            return &line[..index];
        }
        before = c;
    }
    line
}

/// Puts the values of `${NAME}` into a line. A variable that is not set or empty stays as it is written, and so does
/// every name with anything but upper-case letters, digits and underscores.
///
/// # Errors
/// More than 1,000 variables in a line, or a result of more than 1 MiB.
pub(super) fn expand(
    line: &str,
    variables: &BTreeMap<String, String>,
) -> Result<String, &'static str> {
    let mut expanded = line.to_owned();
    let mut rest = line;
    let mut count = 0;
    while let Some(start) = rest.find("${") {
        rest = &rest[start + 2..];
        let is_allowed =
            |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        let length = rest.bytes().take_while(is_allowed).count();
        if length == 0 || !rest[length..].starts_with('}') {
            continue;
        }
        let name = &rest[..length];
        if let Some(value) = variables.get(name).filter(|value| !value.is_empty()) {
            let written = format!("${{{name}}}");
            let places = expanded.matches(&written).count();
            count += 1;
            if count > 1000 || expanded.len() + places * value.len() > MAX_LINE {
                return Err("it has too many variables, or too long ones");
            }
            expanded = expanded.replace(&written, value);
        }
    }
    Ok(expanded)
}

/// The longest line in bytes, variables expanded. A requirement with a hundred hashes has 8 KB.
pub(super) const MAX_LINE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        let lines = logical_lines(text).into_iter();
        lines.map(|line| (line.number, line.text)).collect()
    }

    fn owned(lines: &[(usize, &str)]) -> Vec<(usize, String)> {
        lines
            .iter()
            .map(|(number, text)| (*number, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn comments_and_continuations_are_as_pip_has_them() {
        let text = "# first\n\n a # b\nc#d\ne \\\n  --x\\\n  # comment\nf\\\n# g\nh \\";
        let expected = [(3, "a"), (4, "c#d"), (5, "e   --x"), (8, "f"), (10, "h")];
        assert_eq!(texts(text), owned(&expected));
        // A comment does not continue.
        assert_eq!(texts("# a \\\nb"), owned(&[(2, "b")]));
        assert_eq!(
            texts("a\r\nb\rc\x0cd\u{2028}e"),
            owned(&[(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")])
        );
    }

    #[test]
    fn variables_are_expanded_as_pip_does() {
        let variables = [("A", "1"), ("B_2", "${A}"), ("EMPTY", ""), ("lower", "x")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = BTreeMap::from(variables);
        let many = "${A}".repeat(1001);
        assert!(expand(&many, &variables).is_err());
        let expand = |line: &str| expand(line, &variables).unwrap();
        assert_eq!(expand("${A}$A${A}"), "1$A1");
        assert_eq!(
            expand("${EMPTY}${lower}${NONE}${A"),
            "${EMPTY}${lower}${NONE}${A"
        );
        // What a value brings is expanded only if the line itself names it later.
        assert_eq!(expand("${B_2}"), "${A}");
        assert_eq!(expand("${B_2}${A}"), "11");
    }

    #[test]
    fn files_are_decoded_by_mark_comment_or_as_utf8() {
        assert_eq!(decode(b"\xef\xbb\xbfa\xc3\xa4").unwrap(), "aä");
        assert_eq!(decode(b"\xff\xfea\0\n\0").unwrap(), "a\n");
        assert_eq!(decode(b"\xfe\xff\0a").unwrap(), "a");
        assert_eq!(
            decode(b"# -*- coding: latin-1 -*-\n\xe4")
                .unwrap()
                .chars()
                .last(),
            Some('ä')
        );
        assert!(decode(b"\xff\xfea").is_err());
        assert!(decode(b"a\xe4").unwrap_err().contains("byte 1"));
        assert!(
            decode(b"\n# coding=koi8-r\na")
                .unwrap_err()
                .contains("koi8-r")
        );
    }
}
