//! A line's options as words.

/// Divides text into words as Python's `shlex.split` does: quotes, and backslashes as in a shell.
///
/// # Errors
/// A quotation without end, or a backslash at the end.
pub(super) fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => {
                let next = chars.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            '\'' | '"' => quotation(c, &mut chars, word.get_or_insert_default())?,
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quotation(
    quote: char,
    chars: &mut std::str::Chars<'_>,
    word: &mut String,
) -> Result<(), &'static str> {
    const UNENDED: &str = "it has a quotation mark without its counterpart";
    loop {
        match chars.next().ok_or(UNENDED)? {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = chars.next().ok_or(UNENDED)?;
                if next != '"' && next != '\\' {
                    word.push('\\');
                }
                word.push(next);
            }
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_those_of_shlex() {
        // What Python 3.11's `shlex.split` gives.
        let table: [(&str, &[&str]); 7] = [
            ("a  b\tc", &["a", "b", "c"]),
            (r#"'a b'"c d" ''"#, &["a bc d", ""]),
            (r#""a\"b\\c\d" '\'"#, &["a\"b\\c\\d", "\\"]),
            (r"a\ b \#", &["a b", "#"]),
            ("a#b #c", &["a#b", "#c"]),
            ("--x=\"y z\"", &["--x=y z"]),
            ("  ", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        for text in ["'a", "\"a\\\"", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
