//! The pattern language of Go's `filepath.Match`, which `.s2iignore` is written in.

/// A pattern for one component of a path.
///
/// `*` is any bytes and `?` any character, a leading dot too; `[a-z]` and `[^a-z]` are classes; `\` takes the meaning from the
/// next character. There is no `**`, and `!` in a class is a character like others.
///
/// # Spec
/// pkg.go.dev/path/filepath, *Match*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyBytes,
    AnyCharacter,
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// The pattern breaks the language's rules: an open class, a `\` at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPattern;

impl Glob {
    /// Reads a pattern for one component.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn parse(pattern: &str) -> Result<Self, BadPattern> {
        let mut tokens = Vec::new();
        let mut rest = pattern.chars();
        while let Some(c) = rest.next() {
            let literal = match c {
                '*' => {
                    tokens.push(Token::AnyBytes);
                    continue;
                }
                '?' => {
                    tokens.push(Token::AnyCharacter);
                    continue;
                }
                '[' => {
                    tokens.push(class(&mut rest)?);
                    continue;
                }
                '\\' => rest.next().ok_or(BadPattern)?,
                c => c,
            };
            let mut buffer = [0; 4];
            let bytes = literal.encode_utf8(&mut buffer).bytes();
            tokens.extend(bytes.map(Token::Byte));
        }
        Ok(Self(tokens))
    }

    /// Whether a whole name, without slashes, is what the pattern says.
    pub fn matches(&self, name: &[u8]) -> bool {
        let tokens = &self.0;
        let (mut token, mut at) = (0, 0);
        // Where to go on when what follows the last `*` does not fit: with one byte more for it.
        let mut again: Option<(usize, usize)> = None;
        loop {
            let step = match tokens.get(token) {
                None if at == name.len() => return true,
                None => None,
                Some(Token::AnyBytes) => {
                    again = Some((token + 1, at));
                    Some(0)
                }
                Some(found) => found.length_in(&name[at..]),
            };
            match (step, again) {
                (Some(length), _) => {
                    token += 1;
                    at += length;
                }
                (None, Some((after, from))) if from < name.len() => {
                    again = Some((after, from + 1));
                    (token, at) = (after, from + 1);
                }
                (None, _) => return false,
            }
        }
    }
}

impl Token {
    /// How many bytes at the beginning of `rest` this is; `None` when it is not there.
    fn length_in(&self, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        match self {
            Self::Byte(byte) => (first == *byte).then_some(1),
            Self::AnyBytes => None,
            Self::AnyCharacter => Some(character(rest).1),
            Self::Class { is_negated, ranges } => {
                let (c, length) = character(rest);
                let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                (is_in != *is_negated).then_some(length)
            }
        }
    }
}

/// The first character and its length; a byte that begins none is one by itself, as in Go.
fn character(bytes: &[u8]) -> (char, usize) {
    let most = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(most) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&most[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// A class, whose opening bracket is read already.
fn class(rest: &mut std::str::Chars<'_>) -> Result<Token, BadPattern> {
    let is_negated = rest.as_str().starts_with('^');
    if is_negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        if rest.as_str().starts_with(']') && !ranges.is_empty() {
            rest.next();
            return Ok(Token::Class { is_negated, ranges });
        }
        let low = member(rest)?;
        let mut high = low;
        if rest.as_str().starts_with('-') {
            rest.next();
            high = member(rest)?;
        }
        ranges.push((low, high));
    }
}

/// One end of a range.
fn member(rest: &mut std::str::Chars<'_>) -> Result<char, BadPattern> {
    match rest.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => rest.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows are those that Go's documentation of `Match` gives rise to.
    #[test]
    fn patterns_match_as_go_matches_them() {
        let table: [(&str, &[u8], bool); 34] = [
            ("abc", b"abc", true),
            ("abc", b"abcd", false),
            ("*", b"abc", true),
            ("*", b"", true),
            ("*", b".hidden", true),
            ("*c", b"abc", true),
            ("a*", b"a", true),
            ("a*b?c*x", b"abxbbxdbxebxczzx", true),
            ("a*b?c*x", b"abxbbxdbxebxczzy", false),
            ("a*****b", b"axxb", true),
            ("ab[c]", b"abc", true),
            ("ab[b-d]", b"abc", true),
            ("ab[e-g]", b"abc", false),
            ("ab[^c]", b"abc", false),
            ("ab[^e-g]", b"abc", true),
            ("ab[!c]", b"ab!", true),
            ("ab[!c]", b"abd", false),
            ("a\\*b", b"a*b", true),
            ("a\\*b", b"ab", false),
            ("a?b", "a\u{263a}b".as_bytes(), true),
            ("a[^a]b", "a\u{263a}b".as_bytes(), true),
            ("a??b", "a\u{263a}b".as_bytes(), false),
            ("a?b", b"a\xffb", true),
            ("[\\]a]", b"]", true),
            ("[\\-x]", b"x", true),
            ("[x\\-]", b"-", true),
            ("[b-a]", b"a", false),
            ("[-]", b"", false),
            ("*x", b"xxx", true),
            ("**", b"a", true),
            ("?", b"", false),
            ("\u{e9}*", "\u{e9}t".as_bytes(), true),
            ("*.bar", b"foo.bar", true),
            ("a*b*c", b"abbcc", true),
        ];
        for (pattern, name, expected) in table {
            let matched = Glob::parse(pattern).is_ok_and(|glob| glob.matches(name));
            assert_eq!(matched, expected, "{pattern} {name:?}");
        }
        for bad in [
            "[", "[]a]", "[^]", "[-]", "[x-]", "[a-b-c]", "a\\", "[a", "[\\",
        ] {
            assert_eq!(Glob::parse(bad), Err(BadPattern), "{bad}");
        }
    }

    /// A pattern of many stars takes time in proportion to lengths, not to their powers: this ends.
    #[test]
    fn many_stars_do_not_multiply() {
        let glob = Glob::parse(&"a*".repeat(60)).unwrap();
        let mut name = vec![b'a'; 250];
        assert!(glob.matches(&name));
        name[0] = b'b';
        assert!(!glob.matches(&name));
        let glob = Glob::parse(&format!("{}b", "*a".repeat(60))).unwrap();
        assert!(!glob.matches(&[b'a'; 250]));
    }
}
