//! Variables that the application brings (`.s2i/environment`) or that a person gives (`-e`, `-E`).

/// Variables and what a person should know of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// Name and value, in order; of a repeated name the last one counts.
    pub list: Vec<(String, String)>,
    /// A sentence for each value that is probably not what was meant. No value is in them: it may be a secret.
    pub notes: Vec<String>,
}

impl Variables {
    fn push(&mut self, name: &str, value: &str) {
        let quotes = ['"', '\''];
        let is_quoted =
            |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
        let shown = crate::event::printable(name);
        if value.contains(',') && value.contains('=') {
            self.notes.push(format!(
                "the value of `{shown}` has both `,` and `=`: it is one value, not a list of variables"
            ));
        } else if quotes.into_iter().any(is_quoted) {
            self.notes.push(format!(
                "the quotes around the value of `{shown}` are part of it"
            ));
        }
        self.list.push((name.to_owned(), value.to_owned()));
    }
}

/// Reads the text of `.s2i/environment`.
///
/// Lines are `NAME=value`; name and value lose surrounding white space, nothing is expanded and quotes are kept. A
/// `#` in the first column begins a comment. Lines without `=` or without a name say nothing. A repeated name is kept,
/// and the last one counts.
///
/// # Spec
/// `s2i-compat.md` §2.7, except that a variable with an empty name (` =x`) is dropped, for no process can have one, and that
/// lines of more than 64 KiB are read like others.
pub fn parse(text: &str) -> Variables {
    let mut variables = Variables::default();
    for line in text.split('\n').filter(|line| !line.starts_with('#')) {
        if let Some((name, value)) = pair(line) {
            variables.push(name, value);
        }
    }
    variables
}

/// Reads the text of a file that `-E` names: as [`parse()`], but white space may stand before a comment, and `//` begins one
/// too.
///
/// # Spec
/// `s2i-compat.md` §2.7, except that the variables stay in order.
pub fn parse_file(text: &str) -> Variables {
    let mut variables = Variables::default();
    for line in text.split('\n').map(str::trim) {
        if line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        if let Some((name, value)) = pair(line) {
            variables.push(name, value);
        }
    }
    variables
}

/// What `-e` was given says no variable. What it says is not shown: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// There is no `=`.
    #[error("it has no `=`: write NAME=VALUE")]
    NoValue,
    /// There is nothing before the `=`.
    #[error("there is no name before its `=`: write NAME=VALUE")]
    NoName,
    /// There is a NUL in it.
    #[error("no variable can hold a NUL byte")]
    Nul,
}

/// Reads an argument of `-e`, by the rules of a line of [`parse()`]: one variable, with notes.
///
/// # Errors
/// [`ArgumentError`] for what has no `=` or no name.
///
/// # Spec
/// `s2i-compat.md` §2.7.
pub fn parse_argument(text: &str) -> Result<Variables, ArgumentError> {
    let (name, _) = text.split_once('=').ok_or(ArgumentError::NoValue)?;
    if name.trim().is_empty() {
        return Err(ArgumentError::NoName);
    }
    let (name, value) = pair(text).ok_or(ArgumentError::Nul)?;
    let mut variables = Variables::default();
    variables.push(name, value);
    Ok(variables)
}

fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty() && !name.contains('\0') && !value.contains('\0')).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    /// Case 9: the order is that of the lines.
    #[test]
    fn lines_are_read_as_s2i_reads_them() {
        let table: [(&str, &[(&str, &str)]); 14] = [
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
            ("Key1=v\nKey2=w", &[("Key1", "v"), ("Key2", "w")]),
            ("A=\0", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).list, owned(expected), "{text:?}");
        }
        let long = format!("A={}\nB=2", "x".repeat(70 << 10));
        assert_eq!(parse(&long).list.len(), 2);
    }

    /// Cases 1 to 7.
    #[test]
    fn arguments_are_one_variable_or_refused() {
        let read = |text: &str| parse_argument(text).map(|found| found.list);
        assert_eq!(read("FOO=bar"), Ok(owned(&[("FOO", "bar")])));
        assert_eq!(read("FOO="), Ok(owned(&[("FOO", "")])));
        assert_eq!(read(" FOO = bar "), Ok(owned(&[("FOO", "bar")])));
        assert_eq!(read("FOO"), Err(ArgumentError::NoValue));
        assert_eq!(read("="), Err(ArgumentError::NoName));
        assert_eq!(read(" =x"), Err(ArgumentError::NoName));
        assert_eq!(read("A=\0"), Err(ArgumentError::Nul));
        assert_eq!(read("FOO=bar,"), Ok(owned(&[("FOO", "bar,")])));
        let both = parse_argument("FOO=bar,BAR=foo").unwrap();
        assert_eq!(both.list, owned(&[("FOO", "bar,BAR=foo")]));
        assert!(both.notes[0].contains("`FOO`") && !both.notes[0].contains("bar"));
        for (text, value) in [("Value=4", "4"), ("Value=Value,5", "Value,5")] {
            let found = parse_argument(text).unwrap();
            assert_eq!(
                (found.list, found.notes),
                (owned(&[("Value", value)]), vec![])
            );
        }
    }

    #[test]
    fn files_of_variables_have_two_kinds_of_comment() {
        let text = "  # A=1\n// B=2\n  C = 3\r\nno\n=x\n\nD=4//5";
        assert_eq!(parse_file(text).list, owned(&[("C", "3"), ("D", "4//5")]));
    }

    #[test]
    fn quotes_that_stay_are_mentioned_without_the_value() {
        let found = parse("A=\"secret\"\nB='x'\nC=\"\nD=it's");
        assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
        assert!(found.notes[0].contains("`A`") && !found.notes[0].contains("secret"));
    }
}
