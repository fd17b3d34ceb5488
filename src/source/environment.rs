//! `.s2i/environment`: variables that the application brings.

/// Reads the file's text.
///
/// Lines are `NAME=value`; name and value lose surrounding white space, nothing is expanded and quotes are kept. A
/// `#` in the first column begins a comment. Lines without `=` or without a name say nothing. A repeated name is kept,
/// and the last one counts.
///
/// # Spec
/// `s2i-compat.md` §2.7, except that a variable with an empty name (` =x`) is dropped: no process can have one.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let variable = |line: &str| {
        if line.starts_with('#') {
            return None;
        }
        let (name, value) = line.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        (!name.is_empty() && !name.contains('\0') && !value.contains('\0'))
            .then(|| (name.to_owned(), value.to_owned()))
    };
    text.split('\n').filter_map(variable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_s2i_reads_them() {
        let table: [(&str, &[(&str, &str)]); 13] = [
            ("# A=b", &[]),
            ("A=b", &[("A", "b")]),
            ("APP_FILE = service.py", &[("APP_FILE", "service.py")]),
            ("A=b\r\n", &[("A", "b")]),
            ("A=", &[("A", "")]),
            ("A=b=c", &[("A", "b=c")]),
            ("A=\"b c\"", &[("A", "\"b c\"")]),
            ("A=$HOME", &[("A", "$HOME")]),
            ("no equals\n\n=x\n =x", &[]),
            (" # x=y", &[("# x", "y")]),
            ("export A=b", &[("export A", "b")]),
            ("A=1\nA=2", &[("A", "1"), ("A", "2")]),
            ("A=\0", &[]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect();
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
