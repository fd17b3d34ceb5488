//! Markers of locks, which know two variables more than those of requirements.

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};

use crate::python::pep508::{self, Token, tokens};

/// A marker of a lock file.
///
/// # Spec
/// packaging.python.org, *`pylock.toml` specification*: `extras` and `dependency_groups` are sets, asked with `in` and
/// `not in`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockMarker {
    tree: MarkerTree,
}

const EXTRAS: &str = "extras";
const GROUPS: &str = "dependency_groups";
/// What stands before the name of a dependency group when it is asked for as if it were an extra.
const GROUP: &str = "overcoat-dependency-group-";

impl LockMarker {
    /// Parses a marker.
    ///
    /// # Errors
    /// What is wrong with it; a comparison that has no exact meaning is wrong, too, for a lock must give one answer.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rewritten = rewrite(text)?;
        let mut doubts = Vec::new();
        let tree = pep508::marker(&rewritten, &mut doubts)?;
        match doubts.pop() {
            Some(doubt) => Err(doubt),
            None => Ok(Self { tree }),
        }
    }

    /// True when it holds for an environment, with these extras and groups asked for.
    pub fn evaluate(
        &self,
        environment: &MarkerEnvironment,
        extras: &[ExtraName],
        groups: &[ExtraName],
    ) -> bool {
        let as_extra = |group: &ExtraName| ExtraName::new(format!("{GROUP}{group}")).ok();
        let all: Vec<ExtraName> = extras
            .iter()
            .filter(|extra| !extra.as_ref().starts_with(GROUP))
            .cloned()
            .chain(groups.iter().filter_map(as_extra))
            .collect();
        self.tree.evaluate(environment, &all)
    }
}

/// Makes `'x' in extras` and `'x' in dependency_groups` comparisons with `extra`, which every parser knows.
fn rewrite(text: &str) -> Result<String, String> {
    let is_space = |token: &Token<'_>| matches!(token, Token::Space(_));
    let tokens: Vec<Token<'_>> = tokens(text).collect();
    let mut written = String::new();
    let mut rest = &tokens[..];
    while let Some(first) = rest.first() {
        // The next parts, and behind which of `rest` each ends.
        let mut next = (1..=rest.len()).filter(|end| !is_space(&rest[end - 1]));
        let mut part = || next.next().map(|end| (rest[end - 1], end)).unzip();
        let parts: [(Option<Token<'_>>, Option<usize>); 4] = std::array::from_fn(|_| part());
        let [one, two, three, four] = parts.map(|(token, _)| token);
        let (operator, set, end) = match (one, two, three, four) {
            (
                Some(Token::Text(_)),
                Some(Token::Word("in")),
                Some(Token::Word(set @ (EXTRAS | GROUPS))),
                _,
            ) => ("==", set, parts[2].1),
            (
                Some(Token::Text(_)),
                Some(Token::Word("not")),
                Some(Token::Word("in")),
                Some(Token::Word(set @ (EXTRAS | GROUPS))),
            ) => ("!=", set, parts[3].1),
            _ => {
                match first {
                    Token::Word(set @ (EXTRAS | GROUPS)) => {
                        return Err(format!("`{set}` can only be asked with `'name' in {set}`"));
                    }
                    Token::Text(text)
                    | Token::Word(text)
                    | Token::Space(text)
                    | Token::Other(text) => {
                        written.push_str(text);
                    }
                }
                rest = &rest[1..];
                continue;
            }
        };
        let Some(Token::Text(quoted)) = one else {
            continue;
        };
        let name = quoted.trim_matches(['\'', '"']).to_owned();
        let name = ExtraName::new(name).map_err(|error| error.to_string())?;
        let prefix = if set == EXTRAS { "" } else { GROUP };
        if name.as_ref().is_empty() || prefix.is_empty() && name.as_ref().starts_with(GROUP) {
            return Err(format!("`{name}` cannot be asked for"));
        }
        written.push_str(&format!(" extra {operator} '{prefix}{name}' "));
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::target::marker_environment;

    #[test]
    fn markers_of_locks_are_evaluated() {
        let environment = marker_environment(&"3.11.2".parse().unwrap(), "x86_64").unwrap();
        let name = |text: &str| ExtraName::new(text.to_owned()).unwrap();
        let table = [
            ("python_version >= '3.11' and sys_platform=='linux'", true),
            ("python_full_version<\"3.11\"", false),
            ("'cli' in extras", true),
            ("'CLI' in extras and 'dev' not in dependency_groups", true),
            ("'dev' in dependency_groups", false),
            ("'Test_All' in dependency_groups", true),
            ("'test-all' in extras", false),
            (
                "('x' in extras or 'cli' in extras) and platform_machine != 'aarch64'",
                true,
            ),
            ("'linux' in sys_platform", true),
        ];
        for (text, expected) in table {
            let marker = LockMarker::parse(text).unwrap();
            let found = marker.evaluate(&environment, &[name("cli")], &[name("test-all")]);
            assert_eq!(found, expected, "{text}");
        }
        for text in [
            "",
            "'a' in",
            "extras == 'x'",
            "'a",
            "python_version",
            "'overcoat-dependency-group-x' in extras",
            "sys_platform > os_name",
        ] {
            assert!(LockMarker::parse(text).is_err(), "{text}");
        }
    }
}
