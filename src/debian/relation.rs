//! The grammar of `Depends` and its kin.

use std::fmt;

use super::packages::is_package_name;
use super::version::Version;

/// One alternative of a dependency: `NAME[:QUALIFIER] [(OPERATOR VERSION)]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The package's name, real or virtual.
    pub name: String,
    /// `any`, or an architecture.
    pub qualifier: Option<String>,
    /// Which versions will do; `None` for all.
    pub constraint: Option<(Operator, Version)>,
}

/// How a version has to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// All of them with their spelling, the longer ones before their own beginnings.
    const SPELLINGS: [(&'static str, Self); 7] = [
        ("<<", Self::Earlier),
        ("<=", Self::EarlierOrEqual),
        (">=", Self::LaterOrEqual),
        (">>", Self::Later),
        ("=", Self::Equal),
        // Long deprecated, and they mean what they do not say (policy 7.1).
        ("<", Self::EarlierOrEqual),
        (">", Self::LaterOrEqual),
    ];
}

impl Relation {
    /// True when `version` satisfies the constraint.
    pub fn accepts(&self, version: &Version) -> bool {
        match &self.constraint {
            None => true,
            Some((Operator::Earlier, bound)) => version < bound,
            Some((Operator::EarlierOrEqual, bound)) => version <= bound,
            Some((Operator::Equal, bound)) => version == bound,
            Some((Operator::LaterOrEqual, bound)) => version >= bound,
            Some((Operator::Later, bound)) => version > bound,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, constraint) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.trim_end().strip_suffix(')')?.trim())),
            None => (text.trim(), None),
        };
        let (name, qualifier) = match name.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
            None => (name, None),
        };
        let constraint = match constraint {
            None => None,
            Some(text) => {
                let spelled = |(spelling, _): &&(&str, Operator)| text.starts_with(spelling);
                let (spelling, operator) = Operator::SPELLINGS.iter().find(spelled)?;
                Some((*operator, Version::parse(&text[spelling.len()..]).ok()?))
            }
        };
        is_package_name(name).then(|| Self {
            name: name.to_owned(),
            qualifier,
            constraint,
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = &self.constraint {
            let spelling = Operator::SPELLINGS
                .iter()
                .find(|(_, known)| known == operator);
            write!(
                f,
                " ({} {version})",
                spelling.map_or("", |(spelling, _)| spelling)
            )?;
        }
        Ok(())
    }
}

/// Parses a field: all of the outer list are needed, one of each inner list is enough.
///
/// # Errors
/// The part that is no relation, cut to 100 characters.
///
/// # Spec
/// Debian policy 7.1.
pub fn parse_relations(text: &str) -> Result<Vec<Vec<Relation>>, String> {
    let clauses = text
        .split(',')
        .map(str::trim)
        .filter(|clause| !clause.is_empty());
    let refuse = |part: &str| part.chars().take(100).collect::<String>();
    let parse = |part: &str| Relation::parse(part).ok_or_else(|| refuse(part));
    clauses
        .map(|clause| clause.split('|').map(parse).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_parse_and_print() {
        let rows = [
            ("", ""),
            ("libc6", "libc6"),
            (
                "libc6(>=2.36),zlib1g ( << 2 ) ",
                "libc6 (>= 2.36), zlib1g (<< 2)",
            ),
            (
                "a1 | b2 (= 1:2-3), python3:any (>= 3.11~)",
                "a1 | b2 (= 1:2-3), python3:any (>= 3.11~)",
            ),
            (
                "aa (< 1), bb (> 1), cc (<= 1), dd (>> 1)",
                "aa (<= 1), bb (>= 1), cc (<= 1), dd (>> 1)",
            ),
            ("aa,\n bb,,", "aa, bb"),
        ];
        for (text, expected) in rows {
            let parsed = parse_relations(text).unwrap();
            let print = |clause: &Vec<Relation>| {
                clause
                    .iter()
                    .map(Relation::to_string)
                    .collect::<Vec<_>>()
                    .join(" | ")
            };
            assert_eq!(
                parsed.iter().map(print).collect::<Vec<_>>().join(", "),
                expected,
                "{text:?}"
            );
        }
        for text in [
            "a",
            "Libc6",
            "aa (1)",
            "aa (>= )",
            "aa (>= 1",
            "aa | ",
            "aa bb",
            "../aa",
            "aa (!= 1)",
        ] {
            assert!(parse_relations(text).is_err(), "{text:?} was accepted");
        }
    }
}
