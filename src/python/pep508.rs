//! Requirements and markers as text, from people and from indexes.
//!
//! The parser below us panics at names that end with punctuation (`a-;`, `a[x.]`), overflows the stack at thousands of
//! parentheses, and takes memory without bound for markers that pair many extras; every text is hostile until checked, so
//! nothing else in overcoat calls it.

use pep508_rs::{MarkerTree, MarkerWarningKind, Requirement};
use reqwest::Url;

/// The longest requirement or marker, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// How deep parentheses may be nested.
const MAX_DEPTH: usize = 32;
/// How many comparisons with `extra` or `in` a marker may have that mixes `and` and `or`. Each is a variable of its own
/// in a decision diagram, which may double with every two of them.
const MAX_VARIABLES: usize = 24;
/// How often the rarer of `and` and `or` may occur where there are more of them: a diagram grows with two to the power
/// of it at most.
const MAX_MIXED: usize = 8;
/// How many of them there may be at all.
const MAX_ALTERNATIVES: usize = 128;
/// How often comparisons may be joined by `and` and `or`. The parser's time grows with the square of it and more: 386
/// operating systems take it 0.1 s, and 3,021 take 11 s.
const MAX_JOINED: usize = 512;

/// Parses a requirement; URLs are parsed and never looked up in the environment, which `pep508_rs`'s own type does.
///
/// Warnings, for comparisons without an exact meaning, are added to `doubts`.
///
/// # Errors
/// What is wrong with it, on one line.
///
/// # Spec
/// packaging.python.org, *Dependency specifiers* (PEP 508).
pub fn requirement(text: &str, doubts: &mut Vec<String>) -> Result<Requirement<Url>, String> {
    check(text)?;
    check_names(text)?;
    let mut reporter = reporter(doubts);
    Requirement::parse_reporter(text, "/", &mut reporter).map_err(|error| one_line(&error.message))
}

/// Parses a marker; as [`requirement`].
///
/// # Errors
/// What is wrong with it, on one line.
pub fn marker(text: &str, doubts: &mut Vec<String>) -> Result<MarkerTree, String> {
    check(text)?;
    let mut reporter = reporter(doubts);
    MarkerTree::parse_reporter(text, &mut reporter).map_err(|error| one_line(&error.message))
}

fn reporter(doubts: &mut Vec<String>) -> impl FnMut(MarkerWarningKind, String) {
    |kind, warning| {
        if kind != MarkerWarningKind::DeprecatedMarkerName {
            doubts.push(one_line(&warning));
        }
    }
}

fn one_line(message: &impl ToString) -> String {
    let text = message.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Refuses what would exhaust the parser.
fn check(text: &str) -> Result<(), String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let (mut depth, mut variables, mut ands, mut ors) = (0_usize, 0, 0, 0);
    for token in tokens(text) {
        match token {
            Token::Other("(") => depth += 1,
            Token::Other(")") => depth = depth.saturating_sub(1),
            Token::Word("extra" | "in") => variables += 1,
            Token::Word("and") => ands += 1,
            Token::Word("or") => ors += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!(
                "its parentheses are nested deeper than {MAX_DEPTH}"
            ));
        }
    }
    if ands + ors > MAX_JOINED {
        return Err(format!("it has more than {MAX_JOINED} comparisons"));
    }
    let is_mixed = ands.min(ors) > MAX_MIXED;
    if variables > MAX_ALTERNATIVES || (variables > MAX_VARIABLES && is_mixed) {
        return Err(format!(
            "it has {variables} comparisons with `extra` or `in`, which are too many to work with"
        ));
    }
    Ok(())
}

/// Refuses names of packages and extras that end with punctuation, at which the parser panics.
///
/// # Errors
/// What is wrong, on one line.
fn check_names(text: &str) -> Result<(), String> {
    let is_punctuation = |c: char| matches!(c, '.' | '-' | '_');
    let is_name = |c: char| c.is_ascii_alphanumeric() || is_punctuation(c);
    let text = text.trim_start();
    let name = &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())];
    let after = text[name.len()..].trim_start();
    let extras = after
        .strip_prefix('[')
        .map(|rest| rest.split(']').next().unwrap_or_default());
    let extras = extras.unwrap_or_default().split(|c| !is_name(c));
    match std::iter::once(name)
        .chain(extras)
        .find(|name| name.ends_with(is_punctuation))
    {
        Some(name) => Err(format!("`{name}` is not a name: it ends with punctuation")),
        None => Ok(()),
    }
}

/// A part of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A string with its quotation marks; without the second where it has none.
    Text(&'a str),
    /// A variable, or `and`, `or`, `not`, `in`.
    Word(&'a str),
    /// White space.
    Space(&'a str),
    /// Any other character.
    Other(&'a str),
}

/// Divides a marker into its parts; together they are the text again.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let end = |stop: &dyn Fn(char) -> bool| rest.find(stop).unwrap_or(rest.len());
        let length = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            c if is_word(c) => end(&|c| !is_word(c)),
            c if c.is_whitespace() => end(&|c: char| !c.is_whitespace()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(match first {
            '\'' | '"' => Token::Text(token),
            c if is_word(c) => Token::Word(token),
            c if c.is_whitespace() => Token::Space(token),
            _ => Token::Other(token),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_cannot_bear_is_refused() {
        let parse = |text: &str| requirement(text, &mut Vec::new()).map(|found| found.to_string());
        assert_eq!(
            parse("A.b [X-y]>=1 ; os_name=='nt'").unwrap(),
            "a-b[x-y]>=1 ; os_name == 'nt'"
        );
        for text in [
            "a-",
            "a- >=1",
            "a.;os_name=='nt'",
            "a[x-]",
            "a[x, y_ ]",
            "a[x.",
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let marker = |text: &str| marker(text, &mut Vec::new());
        let deep =
            |depth: usize| format!("{}os_name=='nt'{}", "(".repeat(depth), ")".repeat(depth));
        assert!(marker(&deep(30)).is_ok());
        assert!(marker(&deep(20_000)).unwrap_err().contains("nested"));
        let pairs = |count: usize| {
            let pair = |n: usize| format!("(extra == 'a{n}' and extra == 'b{n}')");
            (0..count).map(pair).collect::<Vec<_>>().join(" or ")
        };
        assert!(marker(&pairs(10)).is_ok());
        for hostile in [pairs(60), pairs(14), pairs(60).replace(" and ", "and ")] {
            assert!(marker(&hostile).unwrap_err().contains("comparisons"));
        }
        // Many extras with the same requirement, which packages really have.
        let many = |count: usize| vec!["extra=='x'"; count].join(" or ");
        assert!(marker(&many(128)).is_ok() && marker(&many(129)).is_err());
        let joined = |count: usize| vec!["os_name=='nt'"; count].join(" or ");
        assert!(marker(&joined(513)).is_ok());
        assert!(marker(&joined(514)).unwrap_err().contains("comparisons"));
        assert!(marker(&joined(10_000)).unwrap_err().contains("bytes"));
        let mut doubts = Vec::new();
        super::marker("os_name > sys_platform", &mut doubts).unwrap();
        assert_eq!(doubts.len(), 1);
    }

    #[test]
    fn parts_are_the_text_again() {
        let text = "('a b' not in extra)and\tx.y >= \"1\" ~é'";
        let parts: Vec<Token<'_>> = tokens(text).collect();
        let whole: String = parts
            .iter()
            .map(|token| match token {
                Token::Text(text) | Token::Word(text) | Token::Space(text) | Token::Other(text) => {
                    *text
                }
            })
            .collect();
        assert_eq!(whole, text);
        assert!(parts.contains(&Token::Text("'a b'")) && parts.contains(&Token::Word("x.y")));
    }
}
